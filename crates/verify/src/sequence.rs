//! What one run of a gateway has on record: which sequence each event belongs
//! to, how far each sequence is, and which calls are open. The rule is that of
//! `docs/event-format.md`.
//!
//! Holds what is open, and nothing of what has ended.

use crate::event::{Facts, Kind};
use note::Hash;
use std::collections::{BTreeSet, HashMap};

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: u128,
    /// Its beginning is pruned: what begins unseen is taken at its word once.
    pub(crate) pruned: bool,
    /// How many events are on record, where that is known.
    pub(crate) recorded: Option<u64>,
    own: Link,
    sessions: HashMap<Box<str>, Chain>,
    /// How many sequences of sessions have begun.
    begun: u64,
    calls: HashMap<u128, Open>,
    /// Where the open calls were asked.
    asked: BTreeSet<u64>,
    /// Whether the run before broke off; `None` when that is pruned.
    pub(crate) recovers: Option<bool>,
    pub(crate) ended: bool,
    /// The seconds between heartbeats, and the time and index of the last.
    pub(crate) heartbeat_s: Option<u64>,
    pub(crate) beat: Option<(u64, u64)>,
}

/// The end of a sequence as far as it is; `None` when that is pruned.
type Link = Option<(u64, Option<Hash>)>;

#[derive(Debug)]
struct Chain {
    /// Tells it from another sequence of the same session.
    ordinal: u64,
    link: Link,
}

#[derive(Debug)]
struct Open {
    asked: u64,
    chain: Option<(Box<str>, u64)>,
}

/// The sequence that an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    Run,
    Session(Box<str>),
    /// It begins with this event.
    NewSession(Box<str>),
    /// One that began in what is pruned, nobody can say which.
    Unknown,
}

impl Run {
    pub(crate) fn new(id: u128, recovers: Option<bool>) -> Self {
        Self {
            id,
            pruned: false,
            recorded: Some(0),
            own: Some((0, None)),
            sessions: HashMap::new(),
            begun: 0,
            calls: HashMap::new(),
            asked: BTreeSet::new(),
            recovers,
            ended: false,
            heartbeat_s: None,
            beat: None,
        }
    }

    /// A run whose beginning is pruned.
    pub(crate) fn pruned(id: u128) -> Self {
        Self { pruned: true, recorded: None, own: None, ..Self::new(id, None) }
    }

    pub(crate) fn open_calls(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn oldest_open(&self) -> Option<u64> {
        self.asked.first().copied()
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Where the question of an open call of this run is.
    pub(crate) fn asked(&self, call: u128) -> Option<u64> {
        self.calls.get(&call).map(|open| open.asked)
    }

    /// The calls that are open, and where they were asked.
    pub(crate) fn open(&self) -> impl Iterator<Item = (u128, u64)> {
        self.calls.iter().map(|(call, open)| (*call, open.asked))
    }

    /// The sequence that an event belongs to.
    pub(crate) fn which(&self, facts: &Facts) -> Which {
        let begun = |session: &str| {
            self.sessions.contains_key(session).then(|| Which::Session(session.into()))
        };
        match (facts.kind, facts.session.as_deref()) {
            (Kind::CallAnswered | Kind::CallInDoubt, _) => {
                let open = facts.call.and_then(|call| self.calls.get(&call));
                if open.is_none() && self.pruned {
                    return self.which_fits(facts).unwrap_or(Which::Unknown);
                }
                let chain = open.and_then(|open| open.chain.as_ref());
                let same = |(session, ordinal): &&(Box<str>, u64)| {
                    self.sessions.get(session).is_some_and(|chain| chain.ordinal == *ordinal)
                };
                chain.filter(same).map_or(Which::Run, |(name, _)| Which::Session(name.clone()))
            }
            (Kind::CallRefused, Some(session)) => begun(session).unwrap_or_else(|| {
                if !self.pruned {
                    return Which::Run;
                }
                let new = || Which::NewSession(session.into());
                let unknown = || if self.own.is_none() { Which::Unknown } else { new() };
                self.which_fits(facts).unwrap_or_else(unknown)
            }),
            (_, Some(session)) => {
                begun(session).unwrap_or_else(|| Which::NewSession(session.into()))
            }
            (_, None) => Which::Run,
        }
    }

    /// The known sequence that an event goes on with.
    fn which_fits(&self, facts: &Facts) -> Option<Which> {
        let sequence = facts.sequence.as_ref()?;
        let link: Link = Some((sequence.n, sequence.previous));
        if self.own == link {
            return Some(Which::Run);
        }
        let mut chains = self.sessions.iter();
        let fits = chains.find(|(_, chain)| chain.link == link);
        fits.map(|(session, _)| Which::Session(session.clone()))
    }

    /// The number and the link that the next event of a sequence has; `None`
    /// when that is pruned.
    pub(crate) fn next(&self, which: &Which) -> Link {
        match which {
            Which::Run => self.own,
            Which::Session(session) => self.sessions.get(session).and_then(|chain| chain.link),
            Which::NewSession(_) if self.pruned => None,
            Which::NewSession(_) => Some((0, None)),
            Which::Unknown => None,
        }
    }

    /// Takes an event that is the entry `index` with this leaf hash.
    pub(crate) fn take(&mut self, which: Which, facts: &Facts, (index, leaf): (u64, Hash)) {
        if let Some(recorded) = &mut self.recorded {
            *recorded += 1;
        }
        let n = facts.sequence.as_ref().map_or(0, |sequence| sequence.n);
        let link = Some((n.saturating_add(1), Some(leaf)));
        let mut chain = None;
        match which {
            Which::Run => self.own = link,
            Which::Session(session) | Which::NewSession(session) => {
                let next = self.begun;
                let held = self.sessions.entry(session.clone()).or_insert_with(|| {
                    self.begun += 1;
                    Chain { ordinal: next, link: None }
                });
                held.link = link;
                chain = Some((session, held.ordinal));
            }
            Which::Unknown => {}
        }
        match (facts.kind, facts.call) {
            (Kind::CallAsked, Some(call)) => {
                self.asked.insert(index);
                self.calls.insert(call, Open { asked: index, chain });
            }
            (Kind::CallAnswered | Kind::CallInDoubt, Some(call)) => {
                if let Some(open) = self.calls.remove(&call) {
                    self.asked.remove(&open.asked);
                }
            }
            (Kind::SessionEnded, _) => {
                if let Some((session, _)) = chain {
                    self.sessions.remove(&session);
                }
            }
            _ => {}
        }
    }
}
