use super::{Attempt, Cache, Found, Issued, Key, SLOTS_MAX, landed};
use crate::refused::{Reason, Refused};
use crate::secret::Secret;
use event::Time;
use std::sync::Arc;
use std::time::{Duration, Instant};

const A: Key = [1; 32];
const B: Key = [2; 32];

fn at(seconds: i64) -> Time {
    Time::from_unix_us(seconds * 1_000_000)
}

fn issued(value: &str, until: i64) -> Arc<Issued> {
    let value = Arc::new(Secret::new(value.to_owned()));
    Arc::new(Issued::new(value, at(until).unix_us(), None))
}

fn missing(found: Found) -> Attempt {
    match found {
        Found::Missing(attempt) => attempt,
        other => panic!("it is there: {other:?}"),
    }
}

fn held(found: Found) -> String {
    match found {
        Found::Held(issued) => issued.value.expose().to_owned(),
        other => panic!("it is not there: {other:?}"),
    }
}

#[tokio::test]
async fn one_attempt_serves_whoever_waits() {
    let mut cache = Cache::default();
    let attempt = missing(cache.find(A, "p1", at(0)));
    let Found::Awaited(first) = cache.find(A, "p1", at(0)) else { panic!("it is under way") };
    let Found::Awaited(second) = cache.find(A, "p1", at(0)) else { panic!("it is under way") };
    missing(cache.find(B, "p1", at(0)));
    let own = attempt.awaited.clone();
    cache.land(attempt, Ok(issued("one", 10)));
    for awaited in [own, first, second] {
        assert_eq!(landed(awaited).await.unwrap().value.expose(), "one");
    }
    assert_eq!(held(cache.find(A, "p1", at(9))), "one");
    assert_eq!(missing(cache.find(A, "p1", at(10))).before.unwrap().value.expose(), "one");
}

#[tokio::test]
async fn a_failure_is_told_to_those_who_wait_and_not_kept() {
    let mut cache = Cache::default();
    let attempt = missing(cache.find(A, "p1", at(0)));
    let Found::Awaited(awaited) = cache.find(A, "p1", at(0)) else { panic!("it is under way") };
    cache.land(attempt, Err(Refused::new(Reason::Denied, "no")));
    assert_eq!(landed(awaited).await.unwrap_err().reason, Reason::Denied);
    missing(cache.find(A, "p1", at(0)));
}

#[tokio::test]
async fn an_attempt_that_breaks_off_holds_nobody_up() {
    let mut cache = Cache::default();
    let attempt = missing(cache.find(A, "p1", at(0)));
    let Found::Awaited(awaited) = cache.find(A, "p1", at(0)) else { panic!("it is under way") };
    drop(attempt);
    assert_eq!(landed(awaited).await.unwrap_err().reason, Reason::Unreachable);
    missing(cache.find(A, "p1", at(0)));
}

#[tokio::test]
async fn what_was_forgotten_meanwhile_is_not_held() {
    let mut cache = Cache::default();
    let attempt = missing(cache.find(A, "p1", at(0)));
    let awaited = attempt.awaited.clone();
    cache.forget();
    // Another attempt has begun under the same key.
    let another = missing(cache.find(A, "p1", at(0)));
    cache.land(attempt, Ok(issued("old", 10)));
    assert_eq!(landed(awaited).await.unwrap().value.expose(), "old", "its own call was permitted");
    cache.land(another, Ok(issued("new", 10)));
    assert_eq!(held(cache.find(A, "p1", at(1))), "new");
}

#[test]
fn other_policies_forget_what_was_issued_under_those_before() {
    let mut cache = Cache::default();
    for key in [A, B] {
        let attempt = missing(cache.find(key, "p1", at(0)));
        cache.land(attempt, Ok(issued("one", 10)));
    }
    assert_eq!(held(cache.find(A, "p1", at(1))), "one");
    missing(cache.find(A, "p2", at(1)));
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_credential_that_is_not_taken_is_not_used_again() {
    let mut cache = Cache::default();
    let attempt = missing(cache.find(A, "p1", at(0)));
    let first = issued("first", 100);
    cache.land(attempt, Ok(Arc::clone(&first)));
    first.reject(Instant::now());
    let attempt = missing(cache.find(A, "p1", at(1)));
    let value = Arc::new(Secret::new("second".to_owned()));
    let second = Arc::new(Issued::new(value, at(100).unix_us(), attempt.before.as_deref()));
    cache.land(attempt, Ok(Arc::clone(&second)));
    // A third one would fare no better.
    second.reject(Instant::now());
    assert_eq!(held(cache.find(A, "p1", at(9))), "second");
    second.reject(Instant::now() + Duration::from_secs(10));
    missing(cache.find(A, "p1", at(12)));
}

#[test]
fn there_is_a_bound_and_what_has_expired_goes_first() {
    let mut cache = Cache::default();
    let key = |n: usize| {
        let mut key = Key::default();
        key[..8].copy_from_slice(&n.to_be_bytes());
        key
    };
    for n in 0..SLOTS_MAX {
        let attempt = missing(cache.find(key(n), "p1", at(0)));
        let until = if n < 10 { 1 } else { 100 };
        cache.land(attempt, Ok(issued("one", until)));
    }
    missing(cache.find(key(SLOTS_MAX), "p1", at(2)));
    assert_eq!(cache.len(), SLOTS_MAX - 9);
    for n in SLOTS_MAX + 1..SLOTS_MAX + 20 {
        missing(cache.find(key(n), "p1", at(2)));
    }
    assert_eq!(cache.len(), SLOTS_MAX);
}
