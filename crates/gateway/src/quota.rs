//! How much one actor and one server may have: calls in a second, calls at once, bytes of a request.
//! Knows who asks and when, and nothing of what is asked; time is an argument.

use crate::call::Call;
use crate::config::{Limits, Quota};
use crate::pipeline::{Pipeline, Received, known};
use crate::refusal::{Cause, Refusal};
use crate::session::Owner;
use event::Actor;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a call to one server must keep to.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// Shared by all servers of a gateway: an actor has its quota once.
    actors: Arc<Actors>,
    server: Arc<Meter>,
    /// The smaller one of both.
    request_bytes_max: Option<usize>,
}

/// The places that a call takes, until its end is on record.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    _actor: Option<OwnedSemaphorePermit>,
    _server: Option<OwnedSemaphorePermit>,
}

/// Which bound a call would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// Calls in a second; this long until the next one.
    Rate(Whose, Duration),
    /// Calls at once.
    Concurrency(Whose),
}

/// Whose bound it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Actor,
    Server,
}

impl Quotas {
    pub(crate) fn new(actors: Arc<Actors>, server: Arc<Meter>) -> Self {
        let sizes = [actors.quota.request_bytes_max, server.request_bytes_max];
        Self { actors, server, request_bytes_max: sizes.into_iter().flatten().min() }
    }

    /// For the only client of one program: what an actor may have.
    pub(crate) fn of_one_program(limits: &Limits, now: Instant) -> Self {
        let actors = Actors::new(limits.actor.clone(), limits.actors_max);
        Self::new(Arc::new(actors), Arc::new(Meter::new(&Quota::default(), now)))
    }

    /// Takes a place for one call of this size. The actor's own bounds come first, so that one who
    /// exceeds them takes nothing away from the others at the same server.
    pub(crate) fn take(
        &self,
        owner: impl FnOnce() -> Owner,
        bytes: usize,
        now: Instant,
    ) -> Result<Slot, Cause> {
        if let Some(max) = self.request_bytes_max.filter(|max| bytes > *max) {
            return Err(Cause::RequestBytes(max));
        }
        let actor = if self.actors.is_bounded() { self.actors.take(owner(), now)? } else { None };
        let server =
            self.server.take(now).map_err(|over| Cause::Limited(over.of(Whose::Server)))?;
        Ok(Slot { _actor: actor, _server: server })
    }
}

/// The meters of all actors that called lately.
#[derive(Debug)]
pub(crate) struct Actors {
    quota: Quota,
    actors_max: usize,
    by_owner: Mutex<HashMap<Owner, Meter>>,
}

impl Actors {
    pub(crate) fn new(quota: Quota, actors_max: usize) -> Self {
        Self { quota, actors_max, by_owner: Mutex::new(HashMap::new()) }
    }

    /// What one actor may have.
    pub(crate) fn quota(&self) -> &Quota {
        &self.quota
    }

    fn is_bounded(&self) -> bool {
        self.quota.calls_per_second.is_some() || self.quota.calls_max.is_some()
    }

    fn take(&self, owner: Owner, now: Instant) -> Result<Option<OwnedSemaphorePermit>, Cause> {
        let mut by_owner = self.lock();
        if by_owner.len() >= self.actors_max && !by_owner.contains_key(&owner) {
            by_owner.retain(|_, meter| !meter.is_idle(now));
            if by_owner.len() >= self.actors_max {
                return Err(Cause::Overloaded("more actors are calling than can be counted"));
            }
        }
        let meter = by_owner.entry(owner).or_insert_with(|| Meter::new(&self.quota, now));
        meter.take(now).map_err(|over| Cause::Limited(over.of(Whose::Actor)))
    }

    /// Forgets the actors of whom nothing is to be remembered.
    pub(crate) fn forget_idle(&self, now: Instant) {
        self.lock().retain(|_, meter| !meter.is_idle(now));
    }

    /// Actors remembered.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Meter>> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one actor or one server has taken of its quota.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Option<Rate>,
    /// When the bucket is full again.
    full_at: Mutex<Instant>,
    calls: Option<(Arc<Semaphore>, usize)>,
    request_bytes_max: Option<usize>,
}

/// As [`Exceeded`], before it is said whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Rate(Duration),
    Concurrency,
}

impl Over {
    fn of(self, whose: Whose) -> Exceeded {
        match self {
            Self::Rate(wait) => Exceeded::Rate(whose, wait),
            Self::Concurrency => Exceeded::Concurrency(whose),
        }
    }
}

impl Meter {
    pub(crate) fn new(quota: &Quota, now: Instant) -> Self {
        Self {
            rate: quota.calls_per_second.map(|per_second| Rate::new(per_second, quota.calls_burst)),
            full_at: Mutex::new(now),
            calls: quota.calls_max.map(|max| (Arc::new(Semaphore::new(max)), max)),
            request_bytes_max: quota.request_bytes_max,
        }
    }

    fn take(&self, now: Instant) -> Result<Option<OwnedSemaphorePermit>, Over> {
        let place = match &self.calls {
            Some((calls, _)) => {
                Some(Arc::clone(calls).try_acquire_owned().map_err(|_| Over::Concurrency)?)
            }
            None => None,
        };
        if let Some(rate) = &self.rate {
            let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
            *full_at = rate.take(*full_at, now).map_err(Over::Rate)?;
        }
        Ok(place)
    }

    /// Whether a new meter would be the same.
    fn is_idle(&self, now: Instant) -> bool {
        let unused =
            self.calls.as_ref().is_none_or(|(calls, max)| calls.available_permits() == *max);
        unused && *self.full_at.lock().unwrap_or_else(PoisonError::into_inner) <= now
    }
}

/// The generic cell rate algorithm (ITU-T I.371, virtual scheduling): a bucket that fills evenly, kept
/// as the one moment at which it will be full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    /// From one call to the next.
    interval: Duration,
    /// From an empty bucket to a full one.
    fill: Duration,
}

impl Rate {
    fn new(per_second: u32, burst: Option<u32>) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        // Without a word on bursts a whole second may come at once.
        let burst = burst.unwrap_or(per_second).max(1);
        Self { interval, fill: interval.saturating_mul(burst) }
    }

    /// When the bucket is full again after one more call; or how long to wait for that call.
    fn take(self, full_at: Instant, now: Instant) -> Result<Instant, Duration> {
        let after = full_at.max(now) + self.interval;
        match after.duration_since(now).checked_sub(self.fill) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(after),
        }
    }
}

impl Pipeline {
    /// Takes a place within what the actor and the server may have. What ends something is never
    /// refused for that.
    pub(crate) fn within_quotas(
        &self,
        received: &Received,
        call: &Call,
        actor: &Actor,
    ) -> Result<Slot, Refusal> {
        if call.ends_something() {
            return Ok(Slot::default());
        }
        self.quotas
            .take(|| Owner::with_any_key(actor), received.raw.len(), Instant::now())
            .map_err(|cause| Refusal::new(cause, known(received, Some(call), Some(actor))))
    }
}

#[cfg(test)]
mod tests {
    use super::{Actors, Exceeded, Meter, Over, Quotas, Rate, Whose};
    use crate::config::Quota;
    use crate::refusal::Cause;
    use crate::session::Owner;
    use event::Actor;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn owner(id: &str) -> Owner {
        Owner::of(&Actor { id: id.to_owned(), ..Actor::anonymous() })
    }

    fn quota(per_second: u32, burst: u32) -> Quota {
        Quota { calls_per_second: Some(per_second), calls_burst: Some(burst), ..Quota::default() }
    }

    fn quotas(actor: Quota, server: &Quota, now: Instant) -> Quotas {
        Quotas::new(Arc::new(Actors::new(actor, 100)), Arc::new(Meter::new(server, now)))
    }

    #[test]
    fn a_rate_lets_its_burst_pass_and_then_its_interval() {
        let rate = Rate::new(10, Some(3));
        let start = Instant::now();
        let mut full_at = start;
        for _ in 0..3 {
            full_at = rate.take(full_at, start).unwrap();
        }
        assert_eq!(rate.take(full_at, start), Err(Duration::from_millis(100)));
        let later = start + Duration::from_millis(60);
        assert_eq!(rate.take(full_at, later), Err(Duration::from_millis(40)));
        full_at = rate.take(full_at, start + Duration::from_millis(100)).unwrap();
        assert!(rate.take(full_at, start + Duration::from_millis(100)).is_err());
        let rested = start + Duration::from_secs(60);
        for _ in 0..3 {
            full_at = rate.take(full_at, rested).unwrap();
        }
        assert!(rate.take(full_at, rested).is_err());
    }

    #[test]
    fn no_window_holds_more_than_burst_and_rate_allow() {
        // Every pattern of calls, by a small generator of its own: 7 a second, bursts of 4.
        let rate = Rate::new(7, Some(4));
        let start = Instant::now();
        let mut state = 0x9e37_79b9_u64;
        for _ in 0..50 {
            let mut full_at = start;
            let mut now = Duration::ZERO;
            let mut passed: Vec<Duration> = Vec::new();
            for _ in 0..300 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                now += Duration::from_millis((state >> 33) % 200);
                if let Ok(next) = rate.take(full_at, start + now) {
                    full_at = next;
                    passed.push(now);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let allowed = 4.0 + (*to - *from).as_secs_f64() * 7.0;
                    let found = f64::from(u32::try_from(j - i + 1).unwrap());
                    assert!(found <= allowed + 1e-6, "{found} calls where {allowed} are allowed");
                }
            }
        }
    }

    #[test]
    fn each_actor_has_a_quota_of_its_own() {
        let now = Instant::now();
        let quotas = quotas(quota(1, 2), &Quota::default(), now);
        for _ in 0..2 {
            quotas.take(|| owner("a"), 1, now).unwrap();
        }
        let refused = quotas.take(|| owner("a"), 1, now).unwrap_err();
        assert!(matches!(
            refused,
            Cause::Limited(Exceeded::Rate(Whose::Actor, wait)) if wait == Duration::from_secs(1)
        ));
        quotas.take(|| owner("b"), 1, now).unwrap();
    }

    #[test]
    fn an_actor_over_its_rate_takes_nothing_from_the_server() {
        let now = Instant::now();
        let quotas = quotas(quota(1, 1), &quota(1, 2), now);
        quotas.take(|| owner("a"), 1, now).unwrap();
        for _ in 0..10 {
            quotas.take(|| owner("a"), 1, now).unwrap_err();
        }
        quotas.take(|| owner("b"), 1, now).unwrap();
        let refused = quotas.take(|| owner("c"), 1, now).unwrap_err();
        assert!(matches!(refused, Cause::Limited(Exceeded::Rate(Whose::Server, _))));
    }

    #[test]
    fn places_come_back_at_the_end_of_a_call() {
        let now = Instant::now();
        let one = Quota { calls_max: Some(1), ..Quota::default() };
        let quotas = quotas(one, &Quota::default(), now);
        let slot = quotas.take(|| owner("a"), 1, now).unwrap();
        let refused = quotas.take(|| owner("a"), 1, now).unwrap_err();
        assert!(matches!(refused, Cause::Limited(Exceeded::Concurrency(Whose::Actor))));
        drop(slot);
        quotas.take(|| owner("a"), 1, now).unwrap();
    }

    #[test]
    fn a_refused_rate_keeps_no_place() {
        let now = Instant::now();
        let meter = Meter::new(&Quota { calls_max: Some(5), ..quota(1, 1) }, now);
        let place = meter.take(now).unwrap();
        assert_eq!(meter.take(now).unwrap_err(), Over::Rate(Duration::from_secs(1)));
        drop(place);
        assert!(meter.is_idle(now + Duration::from_secs(1)));
    }

    #[test]
    fn sizes_are_bounded_by_the_smaller_quota() {
        let now = Instant::now();
        let size = |max| Quota { request_bytes_max: Some(max), ..Quota::default() };
        let quotas = quotas(size(100), &size(50), now);
        quotas.take(|| owner("a"), 50, now).unwrap();
        let refused = quotas.take(|| owner("a"), 51, now).unwrap_err();
        assert!(matches!(refused, Cause::RequestBytes(50)));
    }

    #[test]
    fn what_is_remembered_of_actors_is_bounded_and_expires() {
        let now = Instant::now();
        let actors = Actors::new(Quota { calls_max: Some(9), ..quota(1, 2) }, 3);
        for id in ["a", "b", "c"] {
            actors.take(owner(id), now).unwrap();
        }
        assert!(matches!(actors.take(owner("d"), now), Err(Cause::Overloaded(_))));
        let held = actors.take(owner("a"), now).unwrap();
        // The others have rested; the one whose call goes on is not forgotten.
        let later = now + Duration::from_secs(10);
        actors.take(owner("d"), later).unwrap();
        assert_eq!(actors.len(), 2);
        drop(held);
        actors.forget_idle(later + Duration::from_secs(10));
        assert_eq!(actors.len(), 0);
    }
}
