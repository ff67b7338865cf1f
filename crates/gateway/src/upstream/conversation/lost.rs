//! What a server says that nobody takes in time: on record, and answered where it asks something.

use super::Conversation;
use crate::queue::permits;
use crate::unheard;
use crate::upstream::waiting::LINES_MAX;
use crate::withheld::Withholding;
use bytes::Bytes;
use mcp::{Frame, Message};
use std::sync::Arc;

impl Conversation {
    /// Nobody hears this any more; what it is answered, if it asks something.
    pub(super) fn lose(&self, line: &Bytes) -> Option<Bytes> {
        let call = self.strays.message(Withholding::Unheard, line.len());
        let read = mcp::parse(line, &mcp::Limits::for_replies());
        let Ok(Frame::Single(Message::Request(question))) = read else { return None };
        Some(unheard::answer(&question.id, call))
    }

    /// Answers what was lost in the client's stead. Whoever reads what is said cannot wait for that: what
    /// is said may have to be read first. A server that takes none of it is owed no more.
    pub(super) fn answer(self: &Arc<Self>, answers: Vec<Bytes>) {
        let places = permits(answers.len(), LINES_MAX);
        let Ok(places) = Arc::clone(&self.answers).try_acquire_many_owned(places) else {
            return tracing::warn!("a server takes no answers to what it asked in vain");
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            for answer in answers {
                if let Err(error) = this.send_own(answer).await {
                    tracing::warn!(%error, "server could not be told that its call was lost");
                    break;
                }
            }
            drop(places);
        });
    }
}
