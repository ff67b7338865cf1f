//! Credentials that are held, and those that are being got: one attempt at a time for each, whoever waits.
//! It knows no provider.

use crate::refused::{Reason, Refused};
use crate::secret::Secret;
use event::Time;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What a credential is held under.
pub(crate) type Key = [u8; 32];

/// What an attempt came to.
pub(crate) type Landed = Result<Arc<Issued>, Refused>;

/// A credential, and until when it is used.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) value: Arc<Secret>,
    pub(crate) sha256: String,
    issued: Instant,
    until_us: AtomicI64,
    /// The server did not take it.
    rejected: AtomicBool,
    /// Nor did it take the one before.
    is_second: bool,
}

impl Issued {
    /// One that was issued just now, in the place of another.
    pub(crate) fn new(value: Arc<Secret>, until_us: i64, before: Option<&Self>) -> Self {
        let sha256 = value.sha256();
        let is_second = before.is_some_and(|before| before.rejected.load(Ordering::Acquire));
        let (until_us, rejected) = (AtomicI64::new(until_us), AtomicBool::new(false));
        Self { value, sha256, issued: Instant::now(), until_us, rejected, is_second }
    }

    /// Goes on being used: it was looked at again, and is still the one.
    pub(crate) fn renew(&self, until_us: i64) {
        self.until_us.store(until_us, Ordering::Release);
        self.rejected.store(false, Ordering::Release);
    }

    /// Is not used again, unless it has only just taken the place of one that the server did not take
    /// either: then a third one would fare no better.
    pub(crate) fn reject(&self, now: Instant) {
        if !self.is_second || AGE_MIN <= now.saturating_duration_since(self.issued) {
            self.rejected.store(true, Ordering::Release);
        }
    }

    fn is_usable(&self, now: Time) -> bool {
        now.unix_us() < self.until_us.load(Ordering::Acquire)
            && !self.rejected.load(Ordering::Acquire)
    }
}

/// What is held of one server.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: HashMap<Key, Slot>,
    /// Policies under which all of it was issued.
    policy_set: String,
    /// Attempts so far.
    attempts: u64,
}

#[derive(Debug)]
enum Slot {
    Held(Arc<Issued>),
    /// An attempt is under way; what was held before comes along.
    Awaited {
        attempt: u64,
        landing: watch::Receiver<Option<Landed>>,
        before: Option<Arc<Issued>>,
    },
}

/// What there is under a key.
#[derive(Debug)]
pub(crate) enum Found {
    Held(Arc<Issued>),
    /// Somebody else is getting it.
    Awaited(watch::Receiver<Option<Landed>>),
    /// Whoever asked must get it now.
    Missing(Attempt),
}

/// The duty to get a credential.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) key: Key,
    number: u64,
    landing: watch::Sender<Option<Landed>>,
    pub(crate) awaited: watch::Receiver<Option<Landed>>,
    /// What was held before.
    pub(crate) before: Option<Arc<Issued>>,
}

impl Cache {
    /// What is there for somebody whose call these policies permit. What was issued under others is
    /// forgotten.
    pub(crate) fn find(&mut self, key: Key, policy_set: &str, now: Time) -> Found {
        if policy_set != self.policy_set {
            policy_set.clone_into(&mut self.policy_set);
            self.forget();
        }
        let before = match self.slots.get(&key) {
            Some(Slot::Held(issued)) if issued.is_usable(now) => {
                return Found::Held(Arc::clone(issued));
            }
            Some(Slot::Awaited { landing, .. }) if landing.has_changed().is_ok() => {
                return Found::Awaited(landing.clone());
            }
            Some(Slot::Held(issued)) => Some(Arc::clone(issued)),
            Some(Slot::Awaited { before, .. }) => before.clone(),
            None => None,
        };
        self.make_room(now);
        self.attempts += 1;
        let (landing, awaited) = watch::channel(None);
        let slot = Slot::Awaited {
            attempt: self.attempts,
            landing: awaited.clone(),
            before: before.clone(),
        };
        self.slots.insert(key, slot);
        Found::Missing(Attempt { key, number: self.attempts, landing, awaited, before })
    }

    /// Tells whoever waits what became of an attempt, and holds a credential, unless all of this was
    /// forgotten meanwhile.
    pub(crate) fn land(&mut self, attempt: Attempt, landed: Landed) {
        let Attempt { key, number, landing, .. } = attempt;
        let is_current =
            |slot: &Slot| matches!(slot, Slot::Awaited { attempt, .. } if *attempt == number);
        if self.slots.get(&key).is_some_and(is_current) {
            match &landed {
                Ok(issued) => {
                    self.slots.insert(key, Slot::Held(Arc::clone(issued)));
                }
                Err(_) => {
                    self.slots.remove(&key);
                }
            }
        }
        landing.send_replace(Some(landed));
    }

    /// Forgets everything; attempts that are under way serve those who wait for them, and nobody else.
    pub(crate) fn forget(&mut self) {
        self.slots.clear();
    }

    /// Credentials held.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn make_room(&mut self, now: Time) {
        if self.slots.len() < SLOTS_MAX {
            return;
        }
        self.slots.retain(|_, slot| match slot {
            Slot::Held(issued) => issued.is_usable(now),
            Slot::Awaited { .. } => true,
        });
        if SLOTS_MAX <= self.slots.len()
            && let Some(key) = self.slots.keys().next().copied()
        {
            self.slots.remove(&key);
        }
    }
}

/// Waits for an attempt.
pub(crate) async fn landed(mut awaited: watch::Receiver<Option<Landed>>) -> Landed {
    let interrupted = || Refused::new(Reason::Unreachable, "getting it was interrupted");
    match awaited.wait_for(Option::is_some).await {
        Ok(landed) => landed.clone().unwrap_or_else(|| Err(interrupted())),
        Err(_) => Err(interrupted()),
    }
}

/// Credentials of one server held at once, of some kilobytes each; beyond that any one of them goes.
const SLOTS_MAX: usize = 10_000;

/// So long the second of two credentials that the server does not take is used all the same, so that a server
/// that takes none is no reason to ask for a new one with every call.
const AGE_MIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
