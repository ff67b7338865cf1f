//! What one run has recorded so far: which sequence each event belongs to, how far each sequence is, and
//! which calls are open. The rule is that of `docs/event-format.md`. Pure: it knows no log, no clock and
//! no lock, and holds nothing of sessions that have ended and calls that are closed.

use event::{CallId, Event, Kind, LeafHash, Sequence};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// The sequences and open calls of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    run: Uuid,
    recorded: u64,
    own: Link,
    /// The sequences of sessions that have begun and not ended, by digest of the session id.
    sessions: HashMap<Arc<str>, Chain>,
    /// How many sequences of sessions have begun.
    begun: u64,
    calls: HashMap<CallId, OpenCall>,
    /// Where the open calls were asked, so that the oldest is found at once.
    asked: BTreeSet<u64>,
}

/// The sequence that an event belongs to, and its place there.
#[derive(Debug)]
pub(crate) struct Place {
    which: Which,
    pub(crate) sequence: Sequence,
}

/// What brings the ledger back to how it was before an event was taken.
#[derive(Debug)]
pub(crate) struct Undo {
    which: Which,
    before: Link,
    ended: Option<Chain>,
    opened: Option<CallId>,
    closed: Option<(CallId, OpenCall)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// The run's own.
    Run,
    /// That of a session, which has begun.
    Session(Arc<str>),
    /// That of a session, which begins here.
    NewSession(Arc<str>),
}

/// The end of a sequence as far as it is.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    /// Number of the next event.
    next: u64,
    previous: Option<LeafHash>,
}

/// The sequence of a session.
#[derive(Debug, Default)]
struct Chain {
    /// Tells it from another sequence of the same session: one that ended may be followed by one more.
    ordinal: u64,
    link: Link,
    open_calls: u64,
    /// The session is over; its sequence ends with its last open call.
    ending: bool,
}

#[derive(Debug)]
struct OpenCall {
    /// Index of its `call.asked`.
    asked: u64,
    /// The sequence of a session that it belongs to.
    chain: Option<(Arc<str>, u64)>,
}

impl Ledger {
    /// Of a run that has recorded nothing.
    pub(crate) fn new(run: Uuid) -> Self {
        Self {
            run,
            recorded: 0,
            own: Link::default(),
            sessions: HashMap::new(),
            begun: 0,
            calls: HashMap::new(),
            asked: BTreeSet::new(),
        }
    }

    /// How many events the run has recorded.
    pub(crate) fn recorded(&self) -> u64 {
        self.recorded
    }

    /// How many calls that were asked in this run have no end yet.
    pub(crate) fn open_calls(&self) -> u64 {
        u64::try_from(self.calls.len()).unwrap_or(u64::MAX)
    }

    /// Index of the `call.asked` of the oldest of them.
    pub(crate) fn oldest_open(&self) -> Option<u64> {
        self.asked.first().copied()
    }

    /// How many sequences of sessions have begun and not ended.
    pub(crate) fn sequences(&self) -> u64 {
        u64::try_from(self.sessions.len()).unwrap_or(u64::MAX)
    }

    /// Whether the call was asked in this run and has no end yet.
    pub(crate) fn is_open(&self, call: CallId) -> bool {
        self.calls.contains_key(&call)
    }

    /// Where the event belongs, as the next one of the run.
    pub(crate) fn place(&self, event: &Event) -> Place {
        let which = self.which(event);
        let Link { next: n, previous } = match &which {
            Which::Run => self.own,
            Which::Session(session) => {
                self.sessions.get(session).map(|chain| chain.link).unwrap_or_default()
            }
            Which::NewSession(_) => Link::default(),
        };
        Place { which, sequence: Sequence { n, previous, run: self.run } }
    }

    /// Takes the event that was placed, now that it is the entry `index` with this leaf hash.
    pub(crate) fn take(
        &mut self,
        place: Place,
        event: &Event,
        (index, leaf): (u64, LeafHash),
    ) -> Undo {
        let which = place.which;
        self.recorded += 1;
        let mut undo = Undo {
            which: which.clone(),
            before: Link { next: place.sequence.n, previous: place.sequence.previous },
            ended: None,
            opened: None,
            closed: None,
        };
        let link = Link { next: place.sequence.n + 1, previous: Some(leaf) };
        let is_end = matches!(event.kind, Kind::CallAnswered | Kind::CallInDoubt);
        undo.opened = event.call.filter(|_| event.kind == Kind::CallAsked);
        undo.closed = event.call.filter(|_| is_end).and_then(|call| self.calls.remove_entry(&call));
        let calls = i64::from(undo.opened.is_some()) - i64::from(undo.closed.is_some());
        let chain = self.advance(&which, link, calls);
        if let Some((_, open)) = &undo.closed {
            self.asked.remove(&open.asked);
        }
        if let Some(call) = undo.opened {
            self.asked.insert(index);
            self.calls.insert(call, OpenCall { asked: index, chain });
        }
        if event.kind == Kind::SessionEnded {
            undo.ended = which.session().and_then(|session| self.sessions.remove(session));
        }
        undo
    }

    /// Moves the end of a sequence, which begins here when it must. The sequence, when it is one of a
    /// session.
    fn advance(&mut self, which: &Which, link: Link, calls: i64) -> Option<(Arc<str>, u64)> {
        let Some(session) = which.session() else {
            self.own = link;
            return None;
        };
        if matches!(which, Which::NewSession(_)) {
            self.begun += 1;
            let chain = Chain { ordinal: self.begun, ..Chain::default() };
            self.sessions.insert(Arc::clone(session), chain);
        }
        let chain = self.sessions.get_mut(session)?;
        chain.link = link;
        chain.open_calls = chain.open_calls.saturating_add_signed(calls);
        Some((Arc::clone(session), chain.ordinal))
    }

    /// Forgets the event that was taken last.
    pub(crate) fn undo(&mut self, undo: Undo) {
        let Undo { which, before, ended, opened, closed } = undo;
        self.recorded = self.recorded.saturating_sub(1);
        if let Some((session, chain)) = which.session().cloned().zip(ended) {
            self.sessions.insert(session, chain);
        }
        let calls = i64::from(closed.is_some()) - i64::from(opened.is_some());
        if let Some(open) = opened.and_then(|call| self.calls.remove(&call)) {
            self.asked.remove(&open.asked);
        }
        if let Some((call, open)) = closed {
            self.asked.insert(open.asked);
            self.calls.insert(call, open);
        }
        match which {
            Which::NewSession(session) => {
                self.sessions.remove(&session);
            }
            which => {
                self.advance(&which, before, calls);
            }
        }
    }

    /// Notes that a session is over. Its sequence, when it has one, ends with its last open call.
    pub(crate) fn end_session(&mut self, session: &str) {
        if let Some(chain) = self.sessions.get_mut(session) {
            chain.ending = true;
        }
    }

    /// Whether the session is over, no call of its sequence is open, and only its end is missing.
    pub(crate) fn is_due(&self, session: &str) -> bool {
        self.sessions.get(session).is_some_and(|chain| chain.ending && chain.open_calls == 0)
    }

    fn which(&self, event: &Event) -> Which {
        let own = || Which::Run;
        let begun = |session: &str| {
            let known = self.sessions.get_key_value(session);
            known.map(|(session, _)| Which::Session(Arc::clone(session)))
        };
        match (event.kind, event.session.as_deref()) {
            (Kind::CallAnswered | Kind::CallInDoubt, _) => {
                let open = event.call.and_then(|call| self.calls.get(&call));
                let chain = open.and_then(|open| open.chain.as_ref());
                let chain = chain.filter(|(session, ordinal)| {
                    self.sessions.get(session).is_some_and(|chain| chain.ordinal == *ordinal)
                });
                chain.map_or_else(own, |(session, _)| Which::Session(Arc::clone(session)))
            }
            (Kind::CallRefused, Some(session)) => begun(session).unwrap_or_else(own),
            (_, Some(session)) => {
                begun(session).unwrap_or_else(|| Which::NewSession(Arc::from(session)))
            }
            (_, None) => own(),
        }
    }
}

impl Undo {
    /// The session of the sequence that the event belongs to.
    pub(crate) fn session(&self) -> Option<&Arc<str>> {
        self.which.session()
    }
}

impl Which {
    fn session(&self) -> Option<&Arc<str>> {
        match self {
            Self::Run => None,
            Self::Session(session) | Self::NewSession(session) => Some(session),
        }
    }
}
