//! Whose credentials do not count any more, though they have not expired. It knows no signal and no file:
//! who hears of a revocation says so here.

use arc_swap::ArcSwap;
use event::{Actor, Hop, Time};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// A party as its issuer names it: `iss` and `sub` of its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// Issuer.
    pub iss: String,
    /// What the issuer calls it.
    pub sub: String,
}

/// The revocations in force. One for the whole process, shared by whoever asks.
#[derive(Debug)]
pub struct Revocations {
    /// For each subject: what was issued up to then does not count.
    active: ArcSwap<HashMap<Subject, Time>>,
    /// Held to change them, never across an await.
    changing: Mutex<()>,
    /// How often they changed.
    changed: watch::Sender<u64>,
}

/// There is no room for another revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{REVOCATIONS_MAX} revocations are in force already")]
pub struct Full;

impl Default for Revocations {
    fn default() -> Self {
        let (changed, _) = watch::channel(0);
        Self { active: ArcSwap::default(), changing: Mutex::default(), changed }
    }
}

impl Revocations {
    /// From now on no credential counts that was issued for this subject at `up_to` or before. An earlier
    /// revocation of the same subject is not taken back by one that reaches less far.
    ///
    /// # Errors
    /// [`Full`]; nothing changed.
    pub fn revoke(&self, subject: Subject, up_to: Time, now: Time) -> Result<(), Full> {
        self.restore(std::iter::once((subject, up_to)), now)
    }

    /// As [`Revocations::revoke`], for several at once, such as those that were in force before a restart.
    ///
    /// # Errors
    /// [`Full`]; nothing changed.
    pub fn restore(
        &self,
        revoked: impl IntoIterator<Item = (Subject, Time)>,
        now: Time,
    ) -> Result<(), Full> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::clone(&self.active.load());
        for (subject, up_to) in revoked {
            let until = next.entry(subject).or_insert(up_to);
            *until = (*until).max(up_to);
        }
        // What was issued before has expired by itself.
        next.retain(|_, up_to| now.unix_us().saturating_sub(up_to.unix_us()) <= AGE_MAX_US);
        if next.len() > REVOCATIONS_MAX {
            return Err(Full);
        }
        self.active.store(Arc::new(next));
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Those in force, in no order.
    #[must_use]
    pub fn active(&self) -> Arc<HashMap<Subject, Time>> {
        self.active.load_full()
    }

    /// The hop of an actor's chain whose credential does not count any more. What does not say when it was
    /// issued may have been issued before.
    #[must_use]
    pub fn revoked<'a>(&self, actor: &'a Actor) -> Option<&'a Hop> {
        let active = self.active.load();
        if active.is_empty() {
            return None;
        }
        let issued = actor.chain.iter().find_map(|hop| hop.evidence.iat);
        actor.chain.iter().find(|hop| {
            let Some(iss) = &hop.evidence.iss else { return false };
            let sub = hop.evidence.sub.as_ref().unwrap_or(&hop.id);
            let subject = Subject { iss: iss.clone(), sub: sub.clone() };
            active.get(&subject).is_some_and(|up_to| issued.is_none_or(|issued| issued <= *up_to))
        })
    }

    /// Returns when what this actor showed does not count any more.
    pub async fn wait(&self, actor: &Actor) {
        let mut changed = self.changed.subscribe();
        while self.revoked(actor).is_none() {
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// Revocations in force at once: some thirty megabytes.
const REVOCATIONS_MAX: usize = 100_000;

/// So long a credential can live at most (`token_lifetime_max_s` is at most seven days), and a day for clocks
/// and certificates; in microseconds.
const AGE_MAX_US: i64 = 8 * 86_400 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::{AGE_MAX_US, Full, REVOCATIONS_MAX, Revocations, Subject};
    use event::{Actor, Evidence, EvidenceKind, Hop, HopRole, Level, Time};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn at(seconds: i64) -> Time {
        Time::from_unix_us(seconds * 1_000_000)
    }

    fn subject(sub: &str) -> Subject {
        Subject { iss: "https://issuer".to_owned(), sub: sub.to_owned() }
    }

    /// Of a person and the agent that acts for it.
    fn actor(issued: Option<i64>) -> Actor {
        let hop = |id: &str, iat: Option<Time>| Hop {
            evidence: Evidence {
                iat,
                iss: Some("https://issuer".to_owned()),
                ..Evidence::new(EvidenceKind::Jwt)
            },
            id: id.to_owned(),
            level: Level::VerifiedBearer,
            role: HopRole::Agent,
        };
        let chain = [hop("alice", issued.map(at)), hop("agent", None)].into();
        Actor { chain, ..Actor::anonymous() }
    }

    #[test]
    fn what_was_issued_up_to_then_does_not_count() {
        let revocations = Revocations::default();
        let revoked = |issued| revocations.revoked(&actor(issued)).map(|hop| hop.id.clone());
        assert_eq!(revoked(Some(1)), None);
        revocations.revoke(subject("alice"), at(100), at(100)).unwrap();
        assert_eq!(revoked(Some(99)).as_deref(), Some("alice"));
        assert_eq!(revoked(Some(100)).as_deref(), Some("alice"));
        assert_eq!(revoked(Some(101)), None, "issued anew");
        assert_eq!(revoked(None).as_deref(), Some("alice"), "nobody knows when");
        revocations.revoke(subject("alice"), at(50), at(100)).unwrap();
        assert!(revoked(Some(99)).is_some(), "an older one takes nothing back");
        revocations.revoke(subject("agent"), at(200), at(200)).unwrap();
        assert_eq!(revoked(Some(150)).as_deref(), Some("agent"));
        let mut job = actor(Some(150)).chain.to_vec();
        job.truncate(1);
        job[0].evidence.sub = Some("repo:o/r".to_owned());
        let job = Actor { chain: job.into(), ..Actor::anonymous() };
        revocations.revoke(subject("alice"), at(160), at(200)).unwrap();
        assert_eq!(revocations.revoked(&job), None, "its issuer calls it otherwise");
        revocations.revoke(subject("repo:o/r"), at(160), at(200)).unwrap();
        assert!(revocations.revoked(&job).is_some());
        let other = Subject { iss: "https://other".to_owned(), sub: "bob".to_owned() };
        revocations.revoke(other, at(900), at(900)).unwrap();
        assert_eq!(revoked(Some(300)), None);
    }

    #[test]
    fn those_that_nothing_can_outlive_go() {
        let revocations = Revocations::default();
        let many =
            |from: usize| (from..from + REVOCATIONS_MAX).map(|n| (subject(&n.to_string()), at(0)));
        revocations.restore(many(0), at(0)).unwrap();
        assert_eq!(revocations.revoke(subject("alice"), at(0), at(0)), Err(Full));
        assert_eq!(revocations.active().len(), REVOCATIONS_MAX);
        let later = AGE_MAX_US / 1_000_000 + 1;
        revocations.revoke(subject("alice"), at(later), at(later)).unwrap();
        assert_eq!(revocations.active().len(), 1);
    }

    #[test]
    fn who_waits_is_told() {
        let revocations = Revocations::default();
        let alice = actor(Some(1));
        let mut waiting = pin!(revocations.wait(&alice));
        let mut poll = || waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll(), Poll::Pending);
        revocations.revoke(subject("bob"), at(5), at(5)).unwrap();
        assert_eq!(poll(), Poll::Pending);
        revocations.revoke(subject("alice"), at(5), at(5)).unwrap();
        assert_eq!(poll(), Poll::Ready(()));
    }
}
