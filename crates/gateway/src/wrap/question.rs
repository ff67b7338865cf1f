//! What a wrapped server asks its client: judged like every call, and answered here when it may not be
//! asked. It knows nothing of the client's own calls.

use super::Wrapped;
use crate::pipeline::length;
use crate::withheld::Withholding;
use bytes::Bytes;
use mcp::Message;
use tokio::io::AsyncWrite;

impl<W: AsyncWrite + Unpin + Send> Wrapped<W> {
    /// Judges a request of the server; what the client is to see now. A refused one is answered in the
    /// client's stead, up to a bound.
    pub(super) async fn server_question(
        &self,
        message: &Message<'_>,
        raw: &Bytes,
    ) -> Option<Bytes> {
        if self.strays.is_refused_often() {
            self.strays.withhold(Withholding::RefusedOften, raw.len());
            return None;
        }
        let asked = self.pipeline.question(message, length(raw), &self.origin, &self.session);
        let Err(answer) = asked.await else { return Some(raw.clone()) };
        self.strays.note_refused();
        // A program that is gone needs no answer.
        if let Some(input) = self.input() {
            input.send_own(answer).await.ok();
        }
        None
    }
}
