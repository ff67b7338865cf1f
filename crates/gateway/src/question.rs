//! Calls of the server to the client (sampling, elicitation, roots): the same stages as the other way,
//! seen from the other side. The server is the actor; a policy must permit it; the record comes first.

use crate::asked::{Asked, Ending, Marks, Origin};
use crate::call::Call;
use crate::pipeline::{About, Pipeline};
use crate::refusal::{Cause, Known, Refusal};
use crate::session::Session;
use bytes::Bytes;
use event::{Actor, CallId, Chain, Direction, Event, Status};
use mcp::Message;
use policy::Verdict;
use std::sync::OnceLock;
use std::time::Instant;

impl Pipeline {
    /// Admits a request of the server and keeps it until the client answers, under this call. `Err` holds
    /// the answer for the server; the refusal is on record.
    pub(crate) async fn question(
        &self,
        message: &Message<'_>,
        bytes: u64,
        origin: &Origin,
        session: &Session,
    ) -> Result<Option<CallId>, Bytes> {
        let (Some(call), Some(id)) = (Call::of(message, &self.server), message.id()) else {
            return Ok(None);
        };
        let refusal = match self.admit_question(&call, bytes, origin, session).await {
            Ok(asked) => {
                let admitted = asked.call;
                let Some(asked) = session.keep_to_client(id.clone(), asked) else {
                    return Ok(Some(admitted));
                };
                self.ended(&asked, &Ending::new(Status::Cancelled)).await;
                let cause = Cause::Overloaded("too many calls to the client wait for an answer");
                Refusal::new(cause, self.known_question(&call, bytes, session))
            }
            Err(refusal) => refusal,
        };
        self.refuse(&refusal, origin).await;
        Err(refusal.message())
    }

    async fn admit_question(
        &self,
        call: &Call,
        bytes: u64,
        origin: &Origin,
        session: &Session,
    ) -> Result<Asked, Refusal> {
        let known = self.known_question(call, bytes, session);
        if call.id.as_ref().is_some_and(|id| session.asks_already(id)) {
            return Err(Refusal::new(Cause::IdInUse, known));
        }
        let about = About {
            call: known.call,
            direction: Direction::ToClient,
            origin,
            request_bytes: bytes,
            in_session: true,
            handle: None,
        };
        let permit = match self.policy.decide(&self.policy_request(&known.actor, call, &about)) {
            Verdict::Permitted(permit) => permit,
            Verdict::Forbidden(forbidden) => {
                let cause = Cause::Forbidden(Box::new(forbidden));
                return Err(Refusal::new(cause, known));
            }
        };
        let event = Event::asked(
            self.recorder.stamp(origin.peer.as_deref(), Some(origin.transport)),
            event::Asked {
                call: known.call,
                actor: known.actor.clone(),
                direction: Direction::ToClient,
                resource: call.resource.clone(),
                decision: permit.decision().clone(),
                request_bytes: bytes,
                client: None,
                protocol: None,
                session: known.session.clone(),
                chain: known.chain,
            },
        );
        let recorded = self.recorder.record(&event).await;
        self.end_again(Some(session));
        match recorded {
            Ok(receipt) => Ok(Asked {
                call: known.call,
                chain: known.chain,
                on: (call.resource.method.clone(), call.resource.names.clone()),
                named: Vec::new(),
                owner: session.owner.clone(),
                origin: origin.clone(),
                request_bytes: bytes,
                permit,
                receipt,
                sent: Instant::now(),
                marks: Marks::default(),
                list: None,
                lent: OnceLock::new(),
                watched: self.watch_question(call, known.call),
            }),
            Err(unavailable) => Err(Refusal::new(Cause::Unrecordable(unavailable), known)),
        }
    }

    fn known_question(&self, call: &Call, bytes: u64, session: &Session) -> Known {
        Known {
            call: self.recorder.call_id(),
            chain: Chain::default(),
            actor: Actor::server(&self.server),
            direction: Direction::ToClient,
            resource: Some(call.resource.clone()),
            client: None,
            protocol: None,
            session: Some(session.digest.clone()),
            request_bytes: bytes,
            id: call.id.clone(),
            metadata: None,
        }
    }
}
