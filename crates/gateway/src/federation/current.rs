//! The endpoint of all servers as it is now, for what goes on in a caller's name beyond a change of the
//! configuration. Keeps none alive, and refuses whoever does not count any more.

use super::Federation;
use crate::event_stream::expiry;
use event::{Actor, Time};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// The latest of those that serve the same members and the same sessions.
#[derive(Debug, Default)]
pub(super) struct Current {
    latest: Mutex<Weak<Federation>>,
    /// How often it changed who counts.
    identities: AtomicU64,
}

/// It, for one caller.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    current: Arc<Current>,
    identities: u64,
    /// When what the caller showed does not count any more.
    expires: Option<Instant>,
}

impl Current {
    /// It is this one from now on.
    pub(super) fn set(&self, federation: &Arc<Federation>) {
        *self.lock() = Arc::downgrade(federation);
    }

    /// `None` when there is none any more: other members are served now.
    pub(super) fn upgrade(&self) -> Option<Arc<Federation>> {
        self.lock().upgrade()
    }

    /// Callers are found out otherwise from now on.
    pub(super) fn change_identities(&self) {
        self.identities.fetch_add(1, Ordering::AcqRel);
    }

    /// For a caller that was verified just now.
    pub(super) fn standing(self: &Arc<Self>, actor: &Actor, now: Time) -> Standing {
        Standing {
            current: Arc::clone(self),
            identities: self.identities.load(Ordering::Acquire),
            expires: expiry(actor, now).and_then(|left| Instant::now().checked_add(left)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Weak<Federation>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// `None` when there is none any more, since other members are served now, and when the caller has to
    /// show again who it is.
    pub(super) fn upgrade(&self) -> Option<Arc<Federation>> {
        let counts = self.identities == self.current.identities.load(Ordering::Acquire)
            && self.expires.is_none_or(|expires| Instant::now() < expires);
        counts.then(|| self.current.upgrade()).flatten()
    }
}
