//! What servers say that no client gets to see: on record like a refused call, the server being the one
//! that is refused. Bounded for each exchange, so that a server cannot fill the log. Judges nothing;
//! whoever withholds a message says why.

use crate::asked::{Asked, Origin};
use crate::reported::{Reported, Told};
use audit::Recorder;
use event::{Actor, CallId, Chain, Direction, Event, Transport};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Records of single messages in one exchange; what comes beyond is counted and recorded as one.
const SINGLE_MAX: u32 = 8;

/// Requests of the server that are refused in one exchange, each on record and told; what comes beyond is
/// withheld.
const REFUSED_MAX: u32 = 32;

/// Code in the record. Nobody is told, but a server whose question is lost.
pub(crate) const CODE: i64 = 40_020;

/// Why a message of a server does not reach its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withholding {
    /// Not one strict JSON-RPC message.
    Malformed,
    /// Several messages together.
    Batch,
    /// Answers no call in progress.
    UnsolicitedAnswer,
    /// Answers a call that ended before, such as one that was cancelled.
    LateAnswer,
    /// A request where the protocol knows none from servers: outside a session.
    OutsideSession,
    /// A request in an exchange whose call has been answered.
    AfterEnd,
    /// A message in the answer to something that is owed none.
    OutOfPlace,
    /// Larger than messages of servers may be.
    TooLarge,
    /// A message for no exchange in progress that waited for its client until others needed the room, or
    /// one to an exchange that is behind.
    Unheard,
    /// A request of the server after many of its requests were refused in the same exchange.
    RefusedOften,
}

/// What was withheld in one exchange so far.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    single: u32,
    /// Requests of the server that were refused.
    refused: u32,
    more: u64,
    more_bytes: u64,
}

/// Where something was withheld.
#[derive(Debug, Clone)]
pub(crate) struct Scene<'a> {
    pub(crate) recorder: &'a Recorder,
    pub(crate) server: &'a str,
    pub(crate) origin: Origin,
    /// Digest of the session.
    pub(crate) session: Option<String>,
    /// The call in whose exchange it came.
    pub(crate) chain: Chain,
}

/// What one server program says that concerns nobody: it has no exchange to be counted in.
#[derive(Debug)]
pub(crate) struct Strays {
    recorder: Recorder,
    server: Arc<str>,
    /// Digest of its only session, when it has one.
    session: Option<String>,
    withheld: Mutex<Withheld>,
    /// States of tasks that it told, where nothing else takes them.
    reported: Mutex<Reported>,
}

impl Withholding {
    /// The stable reason code for the record.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "server.malformed",
            Self::Batch => "server.batch",
            Self::UnsolicitedAnswer => "server.unsolicited-answer",
            Self::LateAnswer => "server.late-answer",
            Self::OutsideSession => "server.outside-session",
            Self::AfterEnd => "server.after-end",
            Self::OutOfPlace => "server.out-of-place",
            Self::TooLarge => "server.too-large",
            Self::Unheard => "server.unheard",
            Self::RefusedOften => "server.refused-often",
        }
    }
}

impl Withheld {
    /// Puts one withheld message of `bytes` on record, and says under which id; or counts it.
    pub(crate) fn message(
        &mut self,
        why: Withholding,
        bytes: u64,
        scene: &Scene<'_>,
    ) -> Option<CallId> {
        if SINGLE_MAX <= self.single {
            self.more += 1;
            self.more_bytes = self.more_bytes.saturating_add(bytes);
            return None;
        }
        self.single += 1;
        Some(scene.record(why.reason(), bytes, None))
    }

    /// Counts a request of the server that was refused.
    pub(crate) fn note_refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// Whether so many were refused that no other is looked at.
    pub(crate) fn is_refused_often(&self) -> bool {
        REFUSED_MAX <= self.refused
    }

    /// Puts on record how many more there were.
    pub(crate) fn end(self, scene: &Scene<'_>) {
        if 0 < self.more {
            scene.record("server.more-withheld", self.more_bytes, Some(self.more));
        }
    }
}

impl Strays {
    pub(crate) fn new(recorder: &Recorder, server: &str, session: Option<String>) -> Self {
        let (withheld, reported) = (Mutex::default(), Mutex::default());
        Self { recorder: recorder.clone(), server: server.into(), session, withheld, reported }
    }

    /// For another program of the same server.
    pub(crate) fn another(&self) -> Self {
        let (withheld, reported) = (Mutex::default(), Mutex::default());
        let (recorder, server) = (self.recorder.clone(), Arc::clone(&self.server));
        Self { recorder, server, session: None, withheld, reported }
    }

    pub(crate) fn withhold(&self, why: Withholding, bytes: usize) {
        self.message(why, bytes);
    }

    /// As [`Withheld::message`].
    pub(crate) fn message(&self, why: Withholding, bytes: usize) -> Option<CallId> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.lock().message(why, bytes, &self.scene())
    }

    /// As [`Withheld::note_refused`].
    pub(crate) fn note_refused(&self) {
        self.lock().note_refused();
    }

    /// As [`Withheld::is_refused_often`].
    pub(crate) fn is_refused_often(&self) -> bool {
        self.lock().is_refused_often()
    }

    /// Puts on record what was only counted, and begins anew: with each call that the program gets.
    pub(crate) fn settle(&self) {
        let withheld = std::mem::take(&mut *self.lock());
        withheld.end(&self.scene());
    }

    /// Puts the state of a task on record; `chain` is that of the task.
    pub(crate) fn report(&self, told: Told, chain: Option<Chain>) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.hear(told, chain, &self.scene());
    }

    /// Puts on record all that was only counted: the program is gone.
    pub(crate) fn end(&self) {
        self.settle();
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).end(&self.scene());
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            recorder: &self.recorder,
            server: &self.server,
            origin: Origin::local(Transport::Stdio),
            session: self.session.clone(),
            chain: Chain::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Withheld> {
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Scene<'a> {
    /// In the exchange of a call.
    pub(crate) fn of(
        recorder: &'a Recorder,
        server: &'a str,
        asked: &Asked,
        session: Option<String>,
    ) -> Self {
        let chain = asked.next_in_chain();
        Self { recorder, server, origin: asked.origin.clone(), session, chain }
    }

    /// Nothing depends on this record: it is durable with the next group commit, and when it cannot be
    /// written the operator is told.
    fn record(&self, reason: &'static str, bytes: u64, count: Option<u64>) -> CallId {
        let call = self.recorder.call_id();
        tracing::warn!(%call, server = self.server, reason, "withheld from the client");
        let mut event = self.event(call, reason, bytes);
        if let Some(count) = count {
            event.details.insert("withheld".to_owned(), count.to_string());
        }
        if let Err(error) = self.recorder.submit(&event) {
            tracing::error!(%call, reason, %error, "what was withheld could not be put on record");
        }
        call
    }

    fn event(&self, call: CallId, reason: &str, bytes: u64) -> Event {
        let origin = &self.origin;
        Event::refused(
            self.recorder.stamp(origin.peer.as_deref(), Some(origin.transport)),
            event::Refused {
                call,
                actor: Actor::server(self.server),
                direction: Direction::ToClient,
                resource: None,
                decision: None,
                refusal: event::Refusal {
                    code: CODE,
                    http_status: None,
                    reason: reason.to_owned(),
                },
                request_bytes: bytes,
                client: None,
                protocol: None,
                session: self.session.clone(),
                chain: self.chain,
            },
        )
    }
}
