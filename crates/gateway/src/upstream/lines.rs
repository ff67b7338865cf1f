//! What a server program says in one exchange: the lines that were routed to it.

use super::conversation::Conversation;
use crate::asked::Asked;
use bytes::Bytes;
use mcp::RequestId;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Lines of one exchange, as the client is to see them. They end when the answer has come or the
/// program is gone.
#[derive(Debug)]
pub(crate) struct Lines {
    queue: mpsc::Receiver<Bytes>,
    pushed_back: Option<Bytes>,
    conversation: Arc<Conversation>,
    /// The id by which the program knows the request.
    id: Option<RequestId>,
}

impl Lines {
    pub(crate) fn new(
        queue: mpsc::Receiver<Bytes>,
        conversation: Arc<Conversation>,
        id: Option<RequestId>,
    ) -> Self {
        Self { queue, pushed_back: None, conversation, id }
    }

    /// The next line; `None` when there are no more.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        match self.pushed_back.take() {
            Some(line) => Some(line),
            None => self.queue.recv().await,
        }
    }

    /// Puts a line back, to be the next one.
    pub(crate) fn push_back(&mut self, line: Bytes) {
        self.pushed_back = Some(line);
    }

    /// Tells the program that the answer is not wanted any more (`notifications/cancelled`), which is
    /// what the end of the connection means on HTTP. When its client says so itself, that goes on as it is.
    pub(crate) async fn abandon(&mut self, asked: &Asked) {
        self.queue.close();
        let Some(id) = self.id.take() else { return };
        if asked.is_cancelled() {
            self.conversation.forget(&id);
        } else {
            self.conversation.cancel(&id, asked.proof()).await;
        }
    }
}
