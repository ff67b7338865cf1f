//! The endpoint of all servers as it is now, for what goes on in a caller's name beyond a change of the
//! configuration. Keeps none alive, and refuses whoever does not count any more.

use super::Federation;
use crate::event_stream::expiry;
use event::{Actor, Time};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The latest of those that serve the same members and the same sessions.
#[derive(Debug, Default)]
pub(super) struct Current {
    latest: Mutex<Weak<Federation>>,
    /// Cancelled, and another one, when it changes who counts.
    identities: Mutex<CancellationToken>,
}

/// It, for one caller.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    current: Arc<Current>,
    identities: CancellationToken,
    /// When what the caller showed does not count any more.
    expires: Option<Instant>,
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
        std::mem::take(&mut *lock(&self.identities)).cancel();
    }

    /// For a caller that was verified just now.
    pub(super) fn standing(self: &Arc<Self>, actor: &Actor, now: Time) -> Standing {
        Standing {
            current: Arc::clone(self),
            identities: lock(&self.identities).clone(),
            expires: expiry(actor, now).and_then(|left| Instant::now().checked_add(left)),
        }
    }
}

impl Standing {
    /// `None` when there is none any more, since other members are served now, and when the caller has to
    /// show again who it is.
    pub(super) fn upgrade(&self) -> Option<Arc<Federation>> {
        self.counts().then(|| self.current.upgrade()).flatten()
    }

    /// Returns when the caller has to show again who it is.
    pub(super) async fn lapsed(&self) {
        let expired = async {
            match self.expires {
                Some(expires) => tokio::time::sleep_until(expires).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.identities.cancelled() => {}
            () = expired => {}
        }
    }

    fn counts(&self) -> bool {
        !self.identities.is_cancelled()
            && self.expires.is_none_or(|expires| Instant::now() < expires)
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::Current;
    use event::{Actor, Evidence, EvidenceKind, Hop, HopRole, Level, Time};
    use std::sync::Arc;

    fn actor(expires: Option<Time>) -> Actor {
        let evidence = Evidence { exp: expires, ..Evidence::new(EvidenceKind::Jwt) };
        let (id, level, role) = ("agent".to_owned(), Level::VerifiedBearer, HopRole::Agent);
        Actor { chain: Arc::new([Hop { evidence, id, level, role }]), ..Actor::anonymous() }
    }

    #[test]
    fn who_has_to_show_again_who_it_is_does_not_count() {
        let (current, now) = (Arc::new(Current::default()), Time::from_unix_us(1_000_000_000));
        let later = Time::from_unix_us(now.unix_us() + 60_000_000);
        let (lasting, brief) = (current.standing(&actor(None), now), actor(Some(later)));
        assert!(lasting.counts());
        assert!(current.standing(&brief, now).counts());
        assert!(!current.standing(&brief, later).counts(), "it has expired");
        current.change_identities();
        assert!(!lasting.counts(), "who counts has changed");
        assert!(current.standing(&actor(None), now).counts(), "it was found out anew");
    }
}
