//! The call path: every message, from either side and over every transport, goes through here.
//!
//! Read [`Pipeline::admit`] first. Each stage takes what the stage before it made; nothing can be sent
//! without the two proofs at its end.

use crate::asked::{Asked, Ending, Origin};
use crate::call::Call;
use crate::claims;
use crate::config::{AnswerDurability, Limits};
use crate::definitions::Definitions;
use crate::ending::ending_of;
use crate::handles::Handles;
use crate::listed::ListAsked;
use crate::observer::ServerObserver;
use crate::quota::Quotas;
use crate::reach::Reach;
use crate::refusal::{self, Cause, Known, Refusal};
use crate::schemas::Schemas;
use crate::session::{NoPlace, Owner, Session, Sessions};
use audit::{Receipt, Recorder, Unavailable};
use broker::Lent;
use bytes::Bytes;
use event::{Actor, CallId, Chain, Direction, Event, Status};
use http::HeaderMap;
use identity::Rejection;
use mcp::{Frame, Message, RequestId};
use policy::{Engine, Permit, Verdict};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So long a request waits for the id that it shares with a call in progress, whose client may be gone: long
/// enough to see it go.
const ID_PATIENCE: Duration = Duration::from_millis(500);

/// What every exchange needs.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) recorder: Recorder,
    pub(crate) policy: Arc<Engine>,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) sessions: Arc<Sessions>,
    /// What this server wants mirrored in headers.
    pub(crate) schemas: Arc<Schemas>,
    pub(crate) handles: Arc<Handles>,
    /// Name of the upstream server.
    pub(crate) server: String,
    pub(crate) limits: Limits,
    pub(crate) answers: AnswerDurability,
    /// Whether results carry the receipt of their call.
    pub(crate) receipts: bool,
    /// What one actor and this server may have.
    pub(crate) quotas: Quotas,
    /// Who is told of what happens.
    pub(crate) observer: Arc<dyn ServerObserver>,
    /// Whether the server could be reached lately.
    pub(crate) reach: Arc<Reach>,
}

/// Who a caller was found to be, before its message is looked at.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// By a verified credential, or a local user.
    Known(Actor),
    /// Nobody, and why.
    Stranger(Rejection),
}

/// A message as it arrived, before anything about it is believed.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) call: CallId,
    /// The calls it is known to belong with: the request of the client that it is a part of.
    pub(crate) chain: Chain,
    pub(crate) caller: Caller,
    /// Of the HTTP request; none when the message did not come as one.
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) origin: Origin,
    /// The session header of the HTTP transport.
    pub(crate) session_id: Option<Vec<u8>>,
    /// The only client of a program: its ids count across its messages whatever their revision.
    pub(crate) only: Option<Arc<Session>>,
    pub(crate) raw: Bytes,
    /// When it had arrived.
    pub(crate) arrived: Instant,
}

/// The circumstances of a call, for policy.
#[derive(Debug)]
pub(crate) struct About<'a> {
    pub(crate) call: CallId,
    pub(crate) direction: Direction,
    pub(crate) origin: &'a Origin,
    pub(crate) request_bytes: u64,
    pub(crate) in_session: bool,
    /// `known` or `unknown`, when it goes on with other calls by a handle.
    pub(crate) handle: Option<&'static str>,
}

impl Received {
    /// The revision that the HTTP header claims.
    pub(crate) fn header_revision(&self) -> Option<mcp::Revision> {
        let headers = self.headers.as_ref()?;
        mcp::Revision::from_header(headers.get(mcp::header::PROTOCOL_VERSION)?.as_bytes())
    }
}

/// A message that may go on: permitted, and durably on record.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// A request or notification.
    Call { call: Box<Call>, asked: Arc<Asked>, session: Option<Arc<Session>> },
    /// The client's answer to a call of the server, with that call's proofs.
    Answer { asked: Arc<Asked>, session: Arc<Session> },
}

impl Pipeline {
    /// Everything that must be true before a message goes anywhere: it is MCP, we know who sends it,
    /// the session is theirs, a policy permits it, and all this is durable. In this order, and each
    /// failure is a recorded refusal.
    pub(crate) async fn admit(&self, received: &Received) -> Result<Admitted, Refusal> {
        let message = self.parse(received)?;
        let Some(call) = Call::of(&message, &self.server) else {
            return self.admit_answer(received, &message).await;
        };
        let mut call = call.or_revision(received.header_revision());
        self.check_headers(received, &message, &call)?;
        let actor = Self::identify(received, Some(&call))?;
        let slot = self.within_quotas(received, &call, &actor)?;
        let session = self.enter_session(received, &call, &actor)?;
        let agreed = session.as_deref().and_then(Session::revision).filter(|r| !r.is_modern());
        call = call.or_revision(agreed.cloned());
        self.join_chain(received, &mut call, &actor)?;
        let permit = self.decide(received, &call, &actor, session.is_some())?;
        let place = call.id.as_ref().zip(session.as_deref().or(received.only.as_deref()));
        if let Some((id, session)) = place {
            let known = |none: NoPlace| {
                Refusal::new(none.into(), known(received, Some(&call), Some(&actor)))
            };
            // The only client of a program is there as long as its pipe is.
            let patience = if received.only.is_some() { Duration::ZERO } else { ID_PATIENCE };
            session.reserve_within(id, patience).await.map_err(known)?;
        }
        let recorded = self.record_asked(received, &call, &actor, &permit).await;
        if let (Err(_), Some((id, session))) = (&recorded, place) {
            session.release(id);
        }
        let receipt = recorded?;
        self.end_again(session.as_deref());
        let list = ListAsked::of(&call, &received.raw, &actor, session.is_some());
        let watched = self.watch(received, &call, slot);
        let asked = Asked::new(received, &call, &actor, (permit, receipt), watched);
        let asked = Arc::new(Asked { list, ..asked });
        self.handles.follow(&call, &asked);
        if let Some((id, session)) = place {
            session.hold(id, &asked);
        }
        Ok(Admitted::Call { call: Box::new(call), asked, session })
    }

    /// As [`Pipeline::admit`], for the session operations of HTTP that carry no message.
    pub(crate) async fn admit_http(
        &self,
        received: &Received,
        call: &Call,
    ) -> Result<(Arc<Asked>, Option<Arc<Session>>), Refusal> {
        let actor = Self::identify(received, Some(call))?;
        let slot = self.within_quotas(received, call, &actor)?;
        let session = self.enter_session(received, call, &actor)?;
        let permit = self.decide(received, call, &actor, session.is_some())?;
        let receipt = self.record_asked(received, call, &actor, &permit).await?;
        self.end_again(session.as_deref());
        let watched = self.watch(received, call, slot);
        Ok((Arc::new(Asked::new(received, call, &actor, (permit, receipt), watched)), session))
    }

    pub(crate) fn parse<'a>(&self, received: &'a Received) -> Result<Message<'a>, Refusal> {
        let refuse = |cause: Cause, id: Option<RequestId>| {
            Refusal::new(cause, Known { id, ..known(received, None, None) })
        };
        match mcp::parse(&received.raw, &self.limits.messages) {
            Ok(Frame::Single(message)) => Ok(message),
            Ok(Frame::Batch(_)) => Err(refuse(Cause::Batch, None)),
            Err(malformed) => {
                let id = malformed.id().cloned();
                Err(refuse(Cause::Malformed(malformed), id))
            }
        }
    }

    /// Headers must say what the body says, and those of the 2026-07-28 revision must be there; decisions
    /// rest on the body alone (transports, "Server Validation").
    pub(crate) fn check_headers(
        &self,
        received: &Received,
        message: &Message<'_>,
        call: &Call,
    ) -> Result<(), Refusal> {
        let Some(headers) = &received.headers else { return Ok(()) };
        let refuse = |cause: Cause| Refusal::new(cause, known(received, Some(call), None));
        claims::check(headers, message).map_err(|mismatch| refuse(mismatch.into()))?;
        if !call.is_modern() {
            return Ok(());
        }
        mcp::header::check_modern_meta(message).map_err(|missing| refuse(missing.into()))?;
        let pairs = || headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        mcp::header::check_modern_headers(pairs(), message)
            .map_err(|mismatch| refuse(mismatch.into()))?;
        let tool = message.params().and_then(|params| params.name.as_deref());
        let tool = tool.filter(|_| matches!(call.method, mcp::Method::ToolsCall));
        let Some(params) = tool.and_then(|tool| self.schemas.of(tool)) else { return Ok(()) };
        mcp::header::check_param_headers(pairs(), &received.raw, &params)
            .map_err(|mismatch| refuse(mismatch.into()))
    }

    /// Who sends this; strangers are refused.
    pub(crate) fn identify(received: &Received, call: Option<&Call>) -> Result<Actor, Refusal> {
        match &received.caller {
            Caller::Known(actor) => Ok(actor.clone()),
            Caller::Stranger(rejection) => {
                let cause = Cause::Unidentified(rejection.clone());
                Err(Refusal::new(cause, known(received, call, None)))
            }
        }
    }

    /// The session a message belongs to. Stateless revisions have none: their session header is
    /// ignored here and removed on the way upstream.
    fn enter_session(
        &self,
        received: &Received,
        call: &Call,
        actor: &Actor,
    ) -> Result<Option<Arc<Session>>, Refusal> {
        let Some(id) = received.session_id.as_deref().filter(|_| !call.is_modern()) else {
            return Ok(None);
        };
        let entered = self.sessions.enter(id, &Owner::of(actor), Instant::now());
        let known = || known(received, Some(call), Some(actor));
        entered.map(Some).map_err(|none| Refusal::new(none.into(), known()))
    }

    fn decide(
        &self,
        received: &Received,
        call: &Call,
        actor: &Actor,
        in_session: bool,
    ) -> Result<Permit, Refusal> {
        let about = About {
            call: received.call,
            direction: Direction::ToServer,
            origin: &received.origin,
            request_bytes: length(&received.raw),
            in_session,
            handle: call.handle_word(),
        };
        match self.policy.decide(&self.policy_request(actor, call, &about)) {
            Verdict::Permitted(permit) => Ok(permit),
            Verdict::Forbidden(forbidden) => Err(Refusal::new(
                Cause::Forbidden(Box::new(forbidden)),
                known(received, Some(call), Some(actor)),
            )),
        }
    }

    pub(crate) fn policy_request<'a>(
        &'a self,
        actor: &'a Actor,
        call: &'a Call,
        about: &About<'a>,
    ) -> policy::Request<'a> {
        policy::Request {
            call: about.call,
            actor,
            resource: &call.resource,
            direction: about.direction,
            context: policy::Context {
                transport: about.origin.transport,
                protocol: call.revision.as_ref().map(mcp::Revision::name),
                peer: about.origin.address,
                region: self.recorder.place().region.as_deref(),
                gateway: &self.recorder.place().gateway,
                time: self.recorder.clock().now(),
                request_bytes: about.request_bytes,
                session: about.in_session,
                handle: about.handle,
                definition: self.definition(call, about.direction),
            },
        }
    }

    async fn record_asked(
        &self,
        received: &Received,
        call: &Call,
        actor: &Actor,
        permit: &Permit,
    ) -> Result<Receipt, Refusal> {
        let about = || known(received, Some(call), Some(actor));
        let event = Event::asked(
            self.recorder.stamp(received.origin.peer.as_deref(), Some(received.origin.transport)),
            asked_record(about(), permit.decision().clone()),
        );
        self.record(&event, about).await
    }

    async fn record(&self, event: &Event, known: impl Fn() -> Known) -> Result<Receipt, Refusal> {
        let begun = Instant::now();
        let recorded = self.recorder.record(event).await;
        self.observer.recorded(begun.elapsed());
        recorded.map_err(|unavailable| Refusal::new(Cause::Unrecordable(unavailable), known()))
    }

    /// A client's answer: it must come from the owner of a session in which the server asked. Its
    /// record is durable before the server sees it.
    async fn admit_answer(
        &self,
        received: &Received,
        message: &Message<'_>,
    ) -> Result<Admitted, Refusal> {
        let actor = Self::identify(received, None)?;
        let known = || known(received, None, Some(&actor));
        let refuse = |cause| Refusal::new(cause, known());
        let id = received.session_id.as_deref().ok_or_else(|| refuse(Cause::UnknownSession))?;
        let session = self
            .sessions
            .enter(id, &Owner::of(&actor), Instant::now())
            .map_err(|none| refuse(none.into()))?;
        let asked = message.id().and_then(|id| session.take_to_client(id));
        let asked = asked.ok_or_else(|| refuse(Cause::OutOfPlace("response")))?;
        let Message::Response(response) = message else {
            return Err(refuse(Cause::OutOfPlace("response")));
        };
        let ending = ending_of(response, &received.raw);
        self.answered(&asked, &ending, AnswerDurability::BeforeRelease)
            .await
            .map_err(|unavailable| refuse(Cause::Unrecordable(unavailable)))?;
        Ok(Admitted::Answer { asked: Arc::new(asked), session })
    }

    /// Puts a refusal on record.
    pub(crate) async fn refuse(&self, refusal: &Refusal, origin: &Origin) {
        self.tell_refusal(refusal);
        refusal::record(&self.recorder, refusal, origin).await;
    }

    /// Puts the end of a call on record: durable on return if `durability` says so.
    pub(crate) async fn answered(
        &self,
        asked: &Asked,
        ending: &Ending,
        durability: AnswerDurability,
    ) -> Result<(), Unavailable> {
        self.tell_end(asked, ending);
        let (outcome, payload) = asked.outcome(ending);
        let event = Event::answered(
            self.recorder.stamp(asked.origin.peer.as_deref(), Some(asked.origin.transport)),
            event::Answered {
                call: asked.call,
                asked: asked.receipt.index(),
                outcome,
                payload,
                session: ending.session.clone(),
            },
        );
        let event = Event {
            credential: asked.lent.get().and_then(Lent::on_record),
            details: ending.details(),
            handles: ending.handles.clone(),
            ..event
        };
        let recorded = match durability {
            AnswerDurability::BeforeRelease => self.recorder.record(&event).await.map(|_| ()),
            AnswerDurability::NextCommit => self.recorder.submit(&event),
        };
        recorded.inspect_err(|error| {
            tracing::error!(call = %asked.call, %error, "the end of a call could not be put on record");
        })
    }

    /// Ends a session: what still waited in it has no known end, its own end is on record after that of
    /// its last call in progress, and its program stops.
    pub(crate) async fn end_session(&self, session: &Session) {
        for asked in session.take_all() {
            self.ended(&asked, &Ending::new(Status::Unknown)).await;
        }
        self.recorder.end_session(&session.digest);
        if let Some(program) = &session.program {
            program.end().await;
        }
    }

    /// A call that was asked while its session came to its end may have been recorded after that. Its
    /// session then has begun anew on record, and must end there once more.
    pub(crate) fn end_again(&self, session: Option<&Session>) {
        if let Some(session) = session.filter(|session| session.has_ended()) {
            self.recorder.end_session(&session.digest);
        }
    }

    /// As [`Pipeline::answered`], for calls whose end nobody waits for.
    pub(crate) async fn ended(&self, asked: &Asked, ending: &Ending) {
        // Already logged; there is nobody left to refuse.
        self.answered(asked, ending, AnswerDurability::NextCommit).await.ok();
    }
}

/// What is known of a message at some stage.
pub(crate) fn known(received: &Received, call: Option<&Call>, actor: Option<&Actor>) -> Known {
    Known {
        call: received.call,
        actor: match (actor, &received.caller) {
            (Some(actor), _) | (None, Caller::Known(actor)) => actor.clone(),
            (None, Caller::Stranger(_)) => Actor::anonymous(),
        },
        chain: chain_of(received, call),
        direction: Direction::ToServer,
        resource: call.map(|c| c.resource.clone()),
        client: call.and_then(|c| c.client.clone()),
        protocol: call.and_then(|c| c.revision.as_ref()).map(|r| event::bounded(r.name(), 32)),
        // Stateless revisions ignore the session header, and so does the record.
        session: received
            .session_id
            .as_deref()
            .filter(|_| !call.is_some_and(Call::is_modern))
            .map(crate::session::handle_digest),
        request_bytes: length(&received.raw),
        id: call.and_then(|c| c.id.clone()),
        metadata: received.origin.metadata.clone(),
    }
}

fn asked_record(known: Known, decision: event::Decision) -> event::Asked {
    event::Asked {
        call: known.call,
        actor: known.actor,
        direction: known.direction,
        resource: known.resource.unwrap_or_else(|| Call::http("unknown", "").resource),
        decision,
        request_bytes: known.request_bytes,
        client: known.client,
        protocol: known.protocol,
        session: known.session,
        chain: known.chain,
    }
}

/// By its handles a call belongs to a chain of its own; else to that of what it is a part of.
pub(crate) fn chain_of(received: &Received, call: Option<&Call>) -> Chain {
    call.map(|call| call.chain).filter(|chain| chain.follows.is_some()).unwrap_or(received.chain)
}

/// A length as the record holds it.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
