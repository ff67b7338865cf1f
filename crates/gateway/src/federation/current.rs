//! The endpoint of all servers as it is now, for what goes on in a caller's name beyond a change of the
//! configuration. Keeps none alive, and refuses whoever does not count any more.

use super::Federation;
use crate::lapse::{Identities, Lapse};
use event::{Actor, Time};
use identity::Revocations;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The latest of those that serve the same members and the same sessions.
#[derive(Debug, Default)]
pub(super) struct Current {
    latest: Mutex<Weak<Federation>>,
    identities: Identities,
}

/// It, for one caller.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    current: Arc<Current>,
    lapse: Lapse,
}

impl Current {
    /// It is this one from now on.
    pub(super) fn set(&self, federation: &Arc<Federation>) {
        *lock(&self.latest) = Arc::downgrade(federation);
    }

    /// `None` when there is none any more: other members are served now.
    pub(super) fn upgrade(&self) -> Option<Arc<Federation>> {
        lock(&self.latest).upgrade()
    }

    /// Callers are found out otherwise from now on.
    pub(super) fn change_identities(&self) {
        self.identities.change();
    }

    /// These revocations count from now on.
    pub(super) fn heed(&self, revocations: &Arc<Revocations>) {
        self.identities.heed(revocations);
    }

    /// For a caller that was verified just now.
    pub(super) fn standing(self: &Arc<Self>, actor: &Actor, now: Time) -> Standing {
        Standing { current: Arc::clone(self), lapse: self.identities.lapse(actor, now) }
    }
}

impl Standing {
    /// `None` when there is none any more, since other members are served now, and when the caller has to
    /// show again who it is.
    pub(super) fn upgrade(&self) -> Option<Arc<Federation>> {
        self.lapse.counts().then(|| self.current.upgrade()).flatten()
    }

    /// Returns when the caller has to show again who it is.
    pub(super) async fn lapsed(&self) {
        self.lapse.lapsed().await;
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
