//! The event itself: one structure for every kind, with constructors that demand what each kind must
//! hold. Fields stand in sorted order; that order is the canonical encoding.

use crate::{Actor, Credential, Decision, Kind, Outcome, Refusal, Resource, Sequence, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Version of the event schema, field `v`. Additions keep it; nothing is ever removed or renamed.
pub const SCHEMA_VERSION: u32 = 1;

/// Identifies one call; its records share it. A UUID version 7 (RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub Uuid);

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies one event. A UUID version 7 (RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

/// Which way a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The server asks the client.
    ToClient,
    /// The client asks the server.
    ToServer,
}

/// How the caller reached the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Streamable HTTP.
    Http,
    /// HTTP with a stream of server-sent events, the transport of the revision 2024-11-05.
    HttpSse,
    /// Standard input and output of a local process.
    Stdio,
}

/// When and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Name of the gateway, from its configuration.
    pub gateway: String,
    /// Microseconds since this run of the gateway began, by the monotonic clock.
    pub monotonic_us: u64,
    /// Address and port of the caller's connection, as seen by the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Region, from the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Wall-clock time.
    pub time: Time,
    /// How the caller reached the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
}

/// Size of what flowed; never its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Bytes of the request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<u64>,
    /// Bytes of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
    /// Messages in the answer, server-sent notifications included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_messages: Option<u64>,
}

/// What the client says of itself (`clientInfo`): unverified, and never used to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedClient {
    /// Claimed name.
    pub name: String,
    /// Claimed version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Index in the log of the `call.asked` entry that this one belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u64>,
    /// The call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// What the client says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClaimedClient>,
    /// The credential that the call went to the server with; never its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Why it was permitted or forbidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Facts of kinds other than calls; keys are ASCII.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Which way the call goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// When and where.
    pub environment: Environment,
    /// The call directly before this one, when this one goes on with it: the next round of a call that
    /// asked for input, or a question about its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<CallId>,
    /// Digests (`sha256:` and 32 hex digits) of the handles that the answer gave out, by which other calls
    /// go on with this one: `requestState`, task ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handles: Vec<String>,
    /// This event.
    pub id: EventId,
    /// What it reports.
    pub kind: Kind,
    /// What came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How much flowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// Protocol revision that the message claims, such as `2026-07-28`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Why the gateway refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// What was touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// The first call of the chain that this one belongs to: of rounds, of questions about a task, or of
    /// the parts of one request of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<CallId>,
    /// Its place among the events of its sequence. Only who writes the log knows it: what is here when
    /// an event is handed over to be recorded does not count ([`Event::draft`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Sequence>,
    /// `sha256:` and the first 32 hex digits of the digest of the session id, which itself can work
    /// like a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Schema version.
    pub v: u32,
}

/// Identifier and circumstances of a new event.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Identifier of the event.
    pub id: EventId,
    /// When and where.
    pub environment: Environment,
}

/// The calls that one belongs with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chain {
    /// The call directly before it.
    pub follows: Option<CallId>,
    /// The first call.
    pub root: Option<CallId>,
}

/// What a `call.asked` event must hold.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The call.
    pub call: CallId,
    /// Who asks.
    pub actor: Actor,
    /// Which way.
    pub direction: Direction,
    /// What is touched.
    pub resource: Resource,
    /// Why it is permitted.
    pub decision: Decision,
    /// Bytes of the message.
    pub request_bytes: u64,
    /// What the client says of itself.
    pub client: Option<ClaimedClient>,
    /// Protocol revision claimed.
    pub protocol: Option<String>,
    /// Digest of the session id.
    pub session: Option<String>,
    /// The calls it belongs with.
    pub chain: Chain,
}

/// What a `call.answered` or `call.in-doubt` event must hold.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The call.
    pub call: CallId,
    /// Index of its `call.asked` entry.
    pub asked: u64,
    /// What came out.
    pub outcome: Outcome,
    /// Sizes.
    pub payload: Payload,
    /// Digest of the session id, when the answer opened the session.
    pub session: Option<String>,
}

/// What a `call.refused` event must hold; what was not yet known when it was refused is absent.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The call.
    pub call: CallId,
    /// Who asked, as far as it was established.
    pub actor: Actor,
    /// Which way.
    pub direction: Direction,
    /// What would have been touched.
    pub resource: Option<Resource>,
    /// The decision, when a policy was asked.
    pub decision: Option<Decision>,
    /// Why.
    pub refusal: Refusal,
    /// Bytes of the message, as far as it was read.
    pub request_bytes: u64,
    /// What the client says of itself.
    pub client: Option<ClaimedClient>,
    /// Protocol revision claimed.
    pub protocol: Option<String>,
    /// Digest of the session id.
    pub session: Option<String>,
    /// The calls it belongs with.
    pub chain: Chain,
}

impl Event {
    /// A call that is about to be passed on.
    #[must_use]
    pub fn asked(stamp: Stamp, asked: Asked) -> Self {
        Self {
            actor: Some(asked.actor),
            call: Some(asked.call),
            client: asked.client,
            decision: Some(asked.decision),
            direction: Some(asked.direction),
            follows: asked.chain.follows,
            payload: Some(Payload {
                request_bytes: Some(asked.request_bytes),
                ..Payload::default()
            }),
            protocol: asked.protocol,
            resource: Some(asked.resource),
            root: asked.chain.root,
            session: asked.session,
            ..Self::bare(stamp, Kind::CallAsked)
        }
    }

    /// A call whose end is known.
    #[must_use]
    pub fn answered(stamp: Stamp, answered: Answered) -> Self {
        Self {
            asked: Some(answered.asked),
            call: Some(answered.call),
            outcome: Some(answered.outcome),
            payload: Some(answered.payload),
            session: answered.session,
            ..Self::bare(stamp, Kind::CallAnswered)
        }
    }

    /// A call that was asked before a crash and whose end nobody knows.
    #[must_use]
    pub fn in_doubt(stamp: Stamp, call: CallId, asked: u64) -> Self {
        Self {
            asked: Some(asked),
            call: Some(call),
            outcome: Some(Outcome::new(crate::Status::Unknown, 0)),
            ..Self::bare(stamp, Kind::CallInDoubt)
        }
    }

    /// A call that the gateway refused.
    #[must_use]
    pub fn refused(stamp: Stamp, refused: Refused) -> Self {
        Self {
            actor: Some(refused.actor),
            call: Some(refused.call),
            client: refused.client,
            decision: refused.decision,
            direction: Some(refused.direction),
            follows: refused.chain.follows,
            payload: Some(Payload {
                request_bytes: Some(refused.request_bytes),
                ..Payload::default()
            }),
            protocol: refused.protocol,
            refusal: Some(refused.refusal),
            resource: refused.resource,
            root: refused.chain.root,
            session: refused.session,
            ..Self::bare(stamp, Kind::CallRefused)
        }
    }

    /// The end of a session; `session` is the digest of its id.
    #[must_use]
    pub fn session_ended(stamp: Stamp, session: String) -> Self {
        Self { session: Some(session), ..Self::bare(stamp, Kind::SessionEnded) }
    }

    /// The state of a task, which a server told by itself; `chain` is that of the task, or of the call in whose
    /// exchange it was told.
    #[must_use]
    pub fn task_reported(stamp: Stamp, chain: Chain, details: BTreeMap<String, String>) -> Self {
        let Chain { follows, root } = chain;
        Self { details, follows, root, ..Self::bare(stamp, Kind::TaskReported) }
    }

    /// Something that happened to the gateway itself; `details` keys must be ASCII.
    #[must_use]
    pub fn notice(stamp: Stamp, kind: Kind, details: BTreeMap<String, String>) -> Self {
        Self { details, ..Self::bare(stamp, kind) }
    }

    /// A credential for a server was issued, or could not be had; `actor` is for whom, where it is for one. The
    /// call for which it was asked stands in `details`: this event is none of that call's own.
    #[must_use]
    pub fn credential(
        stamp: Stamp,
        kind: Kind,
        actor: Option<Actor>,
        details: BTreeMap<String, String>,
    ) -> Self {
        Self { actor, details, ..Self::bare(stamp, kind) }
    }

    fn bare(stamp: Stamp, kind: Kind) -> Self {
        Self {
            actor: None,
            asked: None,
            call: None,
            client: None,
            credential: None,
            decision: None,
            details: BTreeMap::new(),
            direction: None,
            environment: stamp.environment,
            follows: None,
            handles: Vec::new(),
            id: stamp.id,
            kind,
            outcome: None,
            payload: None,
            protocol: None,
            refusal: None,
            resource: None,
            root: None,
            sequence: None,
            session: None,
            v: SCHEMA_VERSION,
        }
    }
}
