//! Whose sessions are, and when their calls begin and end.

use super::{NoPlace, NoSession, Owner, Session, Sessions, handle_digest};
use crate::asked::{Asked, Origin};
use crate::config::{AnswerDurability, Limits};
use crate::definitions::Definitions;
use crate::handles::Handles;
use crate::observer::Unobserved;
use crate::pipeline::{Admitted, Caller, Pipeline, Received};
use crate::quota::Quotas;
use audit::{Clock, Place, Recorder};
use bytes::Bytes;
use event::{Actor, Chain, Transport};
use inventory::{Inventory, Settings};
use mcp::RequestId;
use policy::{Bundle, Engine, Source};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tlog::storage::Memory;
use tlog::{Log, Signer};
use tokio_util::sync::CancellationToken;

fn owner(id: &str) -> Owner {
    Owner::of(&Actor { id: id.to_owned(), ..Actor::anonymous() })
}

#[test]
fn a_session_serves_its_owner_only() {
    let sessions = Sessions::new(10, 10, Duration::from_secs(60));
    let now = Instant::now();
    sessions.open(b"s1", owner("a"), None, now).0.unwrap();
    assert!(sessions.enter(b"s1", &owner("a"), now).is_ok());
    assert_eq!(sessions.enter(b"s1", &owner("b"), now).unwrap_err(), NoSession::OfAnother);
    assert_eq!(sessions.enter(b"s2", &owner("a"), now).unwrap_err(), NoSession::Unknown);
    assert!(sessions.close(&handle_digest(b"s1")).is_some());
    assert_eq!(sessions.enter(b"s1", &owner("a"), now).unwrap_err(), NoSession::Unknown);
}

#[test]
fn full_means_refused_unless_idle_ones_make_room() {
    let idle = Duration::from_secs(60);
    let sessions = Sessions::new(1, 10, idle);
    let start = Instant::now();
    sessions.open(b"s1", owner("a"), None, start).0.unwrap();
    assert!(sessions.open(b"s2", owner("a"), None, start).0.is_err());
    let (opened, expired) = sessions.open(b"s2", owner("a"), None, start + idle);
    assert!(opened.is_ok());
    assert_eq!(expired.len(), 1);
}

#[test]
fn who_has_most_sessions_makes_room_for_others() {
    let sessions = Sessions::new(3, 10, Duration::from_secs(60));
    let start = Instant::now();
    for (place, id) in [b"s1", b"s2", b"s3"].into_iter().enumerate() {
        let at = start + Duration::from_secs(place as u64);
        sessions.open(id, owner("a"), None, at).0.unwrap();
    }
    let later = start + Duration::from_secs(10);
    assert!(sessions.open(b"s4", owner("a"), None, later).0.is_err(), "not for itself");
    let (opened, ended) = sessions.open(b"s4", owner("b"), None, later);
    assert!(opened.is_ok());
    let ended: Vec<_> = ended.iter().map(|session| session.digest.clone()).collect();
    assert_eq!(ended, [handle_digest(b"s1")], "the one that was used least lately");
    assert!(sessions.open(b"s5", owner("b"), None, later).0.is_err(), "it has one less already");
    assert!(sessions.make_room(&owner("c")).is_some());
    assert!(sessions.make_room(&owner("c")).is_none(), "everybody has one");
}

#[test]
fn idle_sessions_end() {
    let idle = Duration::from_secs(60);
    let sessions = Sessions::new(10, 10, idle);
    let start = Instant::now();
    sessions.open(b"s1", owner("a"), None, start).0.unwrap();
    sessions.enter(b"s1", &owner("a"), start + idle / 2).unwrap();
    assert!(sessions.enter(b"s1", &owner("a"), start + idle).is_ok());
    assert_eq!(
        sessions.enter(b"s1", &owner("a"), start + idle * 2).unwrap_err(),
        NoSession::Unknown
    );
    assert_eq!(sessions.expire(start + idle * 2).len(), 1);
}

#[tokio::test]
async fn a_session_with_a_call_in_progress_is_not_idle() {
    let idle = Duration::from_secs(60);
    let sessions = Sessions::new(10, 10, idle);
    let (start, id) = (Instant::now(), RequestId::from(5));
    let session = sessions.open(b"s1", owner("a"), None, start).0.unwrap();
    session.reserve(&id).unwrap();
    assert!(sessions.expire(start + idle * 3).is_empty());
    session.release(&id);
    assert!(sessions.enter(b"s1", &owner("a"), start + idle * 3).is_ok());
    assert_eq!(sessions.expire(start + idle * 4).len(), 1);
}

#[tokio::test]
async fn a_call_that_waits_to_be_resumed_keeps_no_session_alive() {
    let idle = Duration::from_secs(60);
    let sessions = Sessions::new(10, 10, idle);
    let (start, id) = (Instant::now(), RequestId::from(5));
    let session = sessions.open(b"s1", owner("a"), None, start).0.unwrap();
    assert!(session.keep_open(&id, &on_record().await));
    assert_eq!(sessions.expire(start + idle).len(), 1);
}

/// A call of the client that is on record and permitted.
async fn on_record() -> Arc<Asked> {
    let clock = Clock::start();
    let (signer, _) = Signer::generate("example.com/log").unwrap();
    let config = tlog::Config::new(Arc::new(move || clock.now().unix_ms()));
    let log = Log::create_on(Arc::new(Memory::default()), signer, config).unwrap();
    let place = Place { gateway: "gw".to_owned(), region: None };
    let recorder = Recorder::new(log, place, clock);
    recorder.begin(BTreeMap::new()).await.unwrap();
    let text = "@id(\"all\") permit (principal, action, resource);".to_owned();
    let bundle = Bundle::parse(vec![Source { name: "main.cedar".to_owned(), text }]).unwrap();
    let limits = Limits::default();
    let inventory = Inventory::new(Settings::default());
    let pipeline = Pipeline {
        recorder,
        policy: Arc::new(Engine::new(bundle)),
        definitions: Arc::new(Definitions::in_memory(inventory, false)),
        sessions: Arc::new(Sessions::new(1, 10, limits.session_idle)),
        schemas: Arc::default(),
        handles: Arc::new(Handles::new(10, limits.handle_age)),
        server: "srv".to_owned(),
        quotas: Quotas::of_one_program(&limits, Instant::now()),
        limits,
        answers: AnswerDurability::NextCommit,
        receipts: false,
        observer: Arc::new(Unobserved),
        reach: Arc::default(),
    };
    let received = Received {
        call: pipeline.recorder.call_id(),
        chain: Chain::default(),
        caller: Caller::Known(Actor { id: "a".to_owned(), ..Actor::anonymous() }),
        headers: None,
        origin: Origin::local(Transport::Stdio),
        session_id: None,
        only: None,
        raw: Bytes::from_static(br#"{"jsonrpc":"2.0","id":5,"method":"tools/list"}"#),
        arrived: Instant::now(),
    };
    match pipeline.admit(&received).await.unwrap() {
        Admitted::Call { asked, .. } => asked,
        Admitted::Answer { .. } => panic!("it is a request"),
    }
}

fn session() -> Arc<Session> {
    let sessions = Sessions::new(1, 10, Duration::from_secs(60));
    sessions.open(b"s1", owner("a"), None, Instant::now()).0.unwrap()
}

#[tokio::test]
async fn a_call_may_be_cancelled_before_it_is_on_record() {
    let (session, asked, id) = (session(), on_record().await, RequestId::from(5));
    session.reserve(&id).unwrap();
    assert!(session.cancel(&id).is_none(), "there is nothing on record to be ended");
    assert!(!asked.is_cancelled());
    session.hold(&id, &asked);
    assert!(asked.is_cancelled());
    let stop = CancellationToken::new();
    session.carry(&id, &asked, &stop);
    assert!(stop.is_cancelled(), "its exchange ends before it begins");
    assert!(!asked.has_ended(), "and puts the end on record");
}

#[tokio::test]
async fn a_call_may_be_cancelled_before_it_is_carried() {
    let (session, asked, id) = (session(), on_record().await, RequestId::from(5));
    session.reserve(&id).unwrap();
    session.hold(&id, &asked);
    assert!(session.cancel(&id).is_some(), "whoever cancels it puts the end on record");
    let stop = CancellationToken::new();
    session.carry(&id, &asked, &stop);
    assert!(stop.is_cancelled());
    assert!(asked.has_ended());
}

#[tokio::test]
async fn an_id_in_use_is_waited_for() {
    let (session, asked, id) = (session(), on_record().await, RequestId::from(5));
    let patience = Duration::from_millis(1);
    session.reserve(&id).unwrap();
    session.hold(&id, &asked);
    assert_eq!(session.reserve_within(&id, patience).await, Err(NoPlace::InUse));
    let long = Duration::from_secs(3_600);
    let (waited, ()) = tokio::join!(session.reserve_within(&id, long), async {
        tokio::task::yield_now().await;
        session.end_call(&id, &asked);
    });
    assert_eq!(waited, Ok(()));
    assert_eq!(session.reserve_within(&id, Duration::ZERO).await, Err(NoPlace::InUse));
    session.release(&id);
    assert_eq!(session.reserve_within(&id, Duration::ZERO).await, Ok(()));
}
