//! Calls of the server that wait for the client's answer. Their ids are a space of their own.

use super::Session;
use crate::asked::Asked;
use event::CallId;
use mcp::RequestId;

impl Session {
    /// Whether a call of the server with this id waits for the client's answer.
    pub(crate) fn asks_already(&self, id: &RequestId) -> bool {
        self.lock().to_client.contains_key(id)
    }

    /// Keeps a call of the server until the client answers; gives it back when there is no room or its
    /// id is taken.
    pub(crate) fn keep_to_client(&self, id: RequestId, asked: Asked) -> Option<Asked> {
        let mut state = self.lock();
        let full = state.to_client.len() >= self.calls_max;
        if state.over || full || state.to_client.contains_key(&id) {
            return Some(asked);
        }
        state.to_client.insert(id, asked);
        None
    }

    /// Takes the server's call that a client's answer belongs to.
    pub(crate) fn take_to_client(&self, id: &RequestId) -> Option<Asked> {
        self.lock().to_client.remove(id)
    }

    /// As [`Session::take_to_client`], if it is this call: the id may be another's by now.
    pub(crate) fn take_unheard(&self, id: &RequestId, call: CallId) -> Option<Asked> {
        let mut state = self.lock();
        state.to_client.get(id).filter(|asked| asked.call == call)?;
        state.to_client.remove(id)
    }
}
