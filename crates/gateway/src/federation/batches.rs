//! Several messages of a client in one body, on the endpoint of all servers: each goes its own way there.
//! Refuses to know how answers are gathered.

use super::Federation;
use crate::batch::{self, Part, parts_of};
use crate::client::ClientEnd;
use crate::endpoint::Endpoint;
use crate::inbound::Inbound;
use crate::pipeline::{Pipeline, Received, known};
use crate::refusal::{Cause, Refusal};
use mcp::{Frame, Method};
use std::sync::Arc;

impl Federation {
    /// Carries each message of a batch by itself and answers all of them together.
    pub(super) async fn batch(self: &Arc<Self>, inbound: Inbound, client: ClientEnd) {
        let call = self.recorder.call_id();
        let (_, received) = inbound.clone().into_received(call);
        match self.open_batch(&received) {
            Ok(parts) => {
                let endpoint = Endpoint::All(Arc::clone(self));
                batch::carry(endpoint, (inbound, call), parts, client).await;
            }
            Err(refusal) => {
                self.refuse(&refusal, &received.origin).await;
                client.answer(refusal.response());
            }
        }
    }

    /// As a single server takes batches: in sessions whose revision has them, without `initialize`.
    fn open_batch(&self, received: &Received) -> Result<Vec<Part>, Refusal> {
        let refuse = |cause: Cause| Refusal::new(cause, known(received, None, None));
        let messages = match mcp::parse(&received.raw, &self.limits.messages) {
            Ok(Frame::Batch(messages)) => messages,
            Ok(Frame::Single(_)) => return Err(refuse(Cause::Batch)),
            Err(malformed) => return Err(refuse(malformed.into())),
        };
        if received.session_id.is_none() {
            return Err(refuse(Cause::Batch));
        }
        let actor = Pipeline::identify(received, None)?;
        let refuse = |cause: Cause| Refusal::new(cause, known(received, None, Some(&actor)));
        let session = self.enter(received, &actor).map_err(refuse)?;
        let initializes = messages.iter().any(|m| m.method() == Some(&Method::Initialize));
        if initializes || !session.takes_batches() {
            return Err(refuse(Cause::Batch));
        }
        Ok(parts_of(&received.raw, &messages))
    }
}
