//! For how long what a caller showed of itself counts, for what goes on in its name meanwhile. Knows no
//! credential; those who verify it do.

use arc_swap::ArcSwap;
use event::{Actor, Time};
use identity::Revocations;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Who counts, until that changes.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    changed: Mutex<CancellationToken>,
    /// Whose credentials do not count any more.
    revocations: ArcSwap<Revocations>,
}

/// When a caller has to show again who it is.
#[derive(Debug, Clone)]
pub(crate) struct Lapse {
    actor: Actor,
    /// Cancelled when callers are found out otherwise.
    identities: CancellationToken,
    revocations: Arc<Revocations>,
    expires: Option<Instant>,
}

impl Identities {
    /// Callers are found out otherwise from now on.
    pub(crate) fn change(&self) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *changed).cancel();
    }

    /// These revocations count from now on, for what begins from now on.
    pub(crate) fn heed(&self, revocations: &Arc<Revocations>) {
        self.revocations.store(Arc::clone(revocations));
    }

    /// For a caller that was verified just now.
    pub(crate) fn lapse(&self, actor: &Actor, now: Time) -> Lapse {
        let identities = self.changed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let expires = expiry(actor, now).and_then(|left| Instant::now().checked_add(left));
        let revocations = self.revocations.load_full();
        Lapse { actor: actor.clone(), identities, revocations, expires }
    }
}

impl Lapse {
    pub(crate) fn counts(&self) -> bool {
        !self.identities.is_cancelled()
            && self.revocations.revoked(&self.actor).is_none()
            && self.expires.is_none_or(|expires| Instant::now() < expires)
    }

    /// Returns when the caller has to show again who it is.
    pub(crate) async fn lapsed(&self) {
        let expired = async {
            match self.expires {
                Some(expires) => tokio::time::sleep_until(expires).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.identities.cancelled() => {}
            () = self.revocations.wait(&self.actor) => {}
            () = expired => {}
        }
    }
}

/// How long what an actor showed still counts; `None` for ever.
fn expiry(actor: &Actor, now: Time) -> Option<Duration> {
    let soonest = actor.chain.iter().filter_map(|hop| hop.evidence.exp).min()?;
    let left = soonest.unix_us().saturating_sub(now.unix_us());
    Some(Duration::from_micros(u64::try_from(left).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::Identities;
    use event::{Actor, Evidence, EvidenceKind, Hop, HopRole, Level, Time};
    use identity::{Revocations, Subject};
    use std::sync::Arc;

    fn actor(expires: Option<Time>) -> Actor {
        let iss = Some("https://idp".to_owned());
        let evidence = Evidence { exp: expires, iss, ..Evidence::new(EvidenceKind::Jwt) };
        let (id, level, role) = ("agent".to_owned(), Level::VerifiedBearer, HopRole::Agent);
        Actor { chain: Arc::new([Hop { evidence, id, level, role }]), ..Actor::anonymous() }
    }

    #[test]
    fn who_has_to_show_again_who_it_is_does_not_count() {
        let (identities, now) = (Identities::default(), Time::from_unix_us(1_000_000_000));
        let later = Time::from_unix_us(now.unix_us() + 60_000_000);
        let (lasting, brief) = (identities.lapse(&actor(None), now), actor(Some(later)));
        assert!(lasting.counts());
        assert!(identities.lapse(&brief, now).counts());
        assert!(!identities.lapse(&brief, later).counts(), "it has expired");
        identities.change();
        assert!(!lasting.counts(), "who counts has changed");
        assert!(identities.lapse(&actor(None), now).counts(), "it was found out anew");
        let revocations = Arc::<Revocations>::default();
        identities.heed(&revocations);
        let (lasting, other) = (identities.lapse(&actor(None), now), Actor::anonymous());
        let other = identities.lapse(&other, now);
        let subject = Subject { iss: "https://idp".to_owned(), sub: "agent".to_owned() };
        revocations.revoke(subject, later, now).unwrap();
        assert!(!lasting.counts() && other.counts(), "one was revoked");
    }
}
