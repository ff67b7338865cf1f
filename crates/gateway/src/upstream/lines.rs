//! What a server program says in one exchange: the lines that were routed to it.

use super::conversation::Conversation;
use super::waiting::{Behind, LineReceiver};
use crate::asked::Asked;
use bytes::Bytes;
use mcp::RequestId;
use std::sync::Arc;

/// Lines of one exchange, as the client is to see them. They end when the answer has come or the
/// program is gone.
#[derive(Debug)]
pub(crate) struct Lines {
    queue: LineReceiver,
    pushed_back: Option<Bytes>,
    conversation: Arc<Conversation>,
    /// The id by which the program knows the request, and which of those that had it.
    id: Option<(RequestId, u64)>,
}

impl Lines {
    pub(super) fn new(
        queue: LineReceiver,
        conversation: Arc<Conversation>,
        id: Option<(RequestId, u64)>,
    ) -> Self {
        Self { queue, pushed_back: None, conversation, id }
    }

    /// The next line; `None` when there are no more.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Behind> {
        match self.pushed_back.take() {
            Some(line) => Ok(Some(line)),
            None => self.queue.recv().await,
        }
    }

    /// Returns when more was said than could wait.
    pub(crate) async fn behind(&self) {
        self.queue.behind().await;
    }

    /// Puts a line back, to be the next one.
    pub(crate) fn push_back(&mut self, line: Bytes) {
        self.pushed_back = Some(line);
    }

    /// Tells the program that the answer is not wanted any more (`notifications/cancelled`), which is
    /// what the end of the connection means on HTTP. When its client says so itself, that goes on as it is.
    pub(crate) async fn abandon(&mut self, asked: &Asked) {
        self.queue.close();
        let Some((id, serial)) = self.id.take() else { return };
        if asked.is_cancelled() {
            self.conversation.forget(&id, serial);
        } else {
            self.conversation.cancel(&id, serial, asked.proof()).await;
        }
    }
}
