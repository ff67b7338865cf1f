//! Which answer belongs to which question. Holds only the open calls. Whether they fit together the
//! verifier says; a log that pairs badly is still served.

use event::{CallId, Event, Kind};
use std::collections::HashMap;

/// The open calls while a log is read from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    open: HashMap<CallId, u64>,
}

impl Pairing {
    /// Takes the next event.
    pub(crate) fn take(&mut self, index: u64, event: &Event) {
        match (event.kind, event.call) {
            (Kind::CallAsked, Some(call)) => drop(self.open.insert(call, index)),
            (Kind::CallAnswered | Kind::CallInDoubt, Some(call)) => drop(self.open.remove(&call)),
            _ => {}
        }
    }

    /// The open calls with the index of their `call.asked`, in that order.
    pub(crate) fn into_open(self) -> Vec<(CallId, u64)> {
        let mut open: Vec<(CallId, u64)> = self.open.into_iter().collect();
        open.sort_by_key(|(_, asked)| *asked);
        open
    }
}
