//! Which sequence each event belongs to and what its place there is; what a run may begin and end with;
//! and what may be recorded when.

use crate::{Site, answered, asked, begun, in_session, recorder, refused, verified};
use audit::{Recorder, Unavailable};
use event::{Event, Kind, LeafHash, Sequence};
use std::collections::BTreeMap;
use std::sync::Arc;
use tlog::Log;

/// Session and number of every event: `None` is the run's own sequence.
fn places(site: &Site) -> Vec<(&'static str, u64)> {
    site.rows().iter().map(|row| (row.event.kind.as_str(), row.event.sequence.unwrap().n)).collect()
}

async fn ask(recorder: &Recorder, session: Option<&str>) -> Event {
    let call = recorder.call_id();
    let mut event = asked(recorder, call);
    event.session = session.map(str::to_owned);
    let index = recorder.record(&event).await.unwrap().index();
    answered(recorder, call, index)
}

#[tokio::test]
async fn every_event_follows_the_one_before_it_in_its_sequence() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let in_a = ask(&recorder, Some("a")).await;
    let in_b = ask(&recorder, Some("b")).await;
    let in_none = ask(&recorder, None).await;
    // An answer that opens a session belongs to its question all the same.
    recorder.submit(&in_session(in_none, "c")).unwrap();
    recorder.submit(&in_b).unwrap();
    recorder.submit(&in_a).unwrap();
    recorder.submit(&in_session(refused(&recorder, recorder.call_id()), "a")).unwrap();
    recorder.submit(&in_session(refused(&recorder, recorder.call_id()), "unknown")).unwrap();
    recorder.heartbeat().await.unwrap();
    recorder.end_session("b");
    recorder.end().await.unwrap();
    log.close().unwrap();
    assert_eq!(
        places(&site),
        [
            ("gateway.started", 0),
            ("call.asked", 0),
            ("call.asked", 0),
            ("call.asked", 1),
            ("call.answered", 2),
            ("call.answered", 1),
            ("call.answered", 1),
            ("call.refused", 2),
            ("call.refused", 3),
            ("log.heartbeat", 4),
            ("session.ended", 2),
            ("gateway.stopped", 5),
        ]
    );
    let rows = site.rows();
    let run = rows[0].event.id.0;
    let before = [(3, 0), (4, 3), (5, 2), (6, 1), (7, 6), (8, 4), (9, 8), (10, 5), (11, 9)];
    let mut reader = log.reader();
    for (this, before) in before {
        let leaf = LeafHash(*tlog::leaf_hash(&reader.entry(before).unwrap()).as_bytes());
        let Sequence { previous, run: found, .. } = rows[this].event.sequence.unwrap();
        assert_eq!((previous, found), (Some(leaf), run), "entry {this}");
    }
    let details = |entry: usize| {
        let pairs = rows[entry].event.details.iter();
        pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(details(9), "open_calls=0 recorded=9 sequences=2");
    assert_eq!(details(11), "open_calls=0 recorded=11");
    verified(&site);
}

#[tokio::test]
async fn what_an_event_says_of_its_own_place_does_not_count() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let mut event = asked(&recorder, recorder.call_id());
    event.sequence =
        Some(Sequence { n: 77, previous: Some(LeafHash([7; 32])), run: recorder.call_id().0 });
    recorder.record(&event).await.unwrap();
    let found = site.rows()[1].event.sequence.unwrap();
    assert_eq!((found.n, found.run), (1, site.rows()[0].event.id.0));
    log.close().unwrap();
    verified(&site);
}

#[tokio::test]
async fn a_session_ends_with_its_last_open_call() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let answers = [ask(&recorder, Some("a")).await, ask(&recorder, Some("a")).await];
    recorder.end_session("a");
    recorder.submit(&answers[0]).unwrap();
    // Still a call of the session: it has not ended.
    let late = ask(&recorder, Some("a")).await;
    recorder.submit(&answers[1]).unwrap();
    recorder.submit(&late).unwrap();
    recorder.end_session("a");
    recorder.end_session("never seen");
    recorder.heartbeat().await.unwrap();
    // One that comes after the end begins another sequence, and ends it when told again.
    let later = ask(&recorder, Some("a")).await;
    recorder.end_session("a");
    recorder.submit(&later).unwrap();
    recorder.end().await.unwrap();
    log.close().unwrap();
    let places = places(&site);
    assert_eq!(places[6..8], [("call.answered", 5), ("session.ended", 6)]);
    assert_eq!(places[9..12], [("call.asked", 0), ("call.answered", 1), ("session.ended", 2)]);
    assert_eq!(site.rows()[8].event.details["sequences"], "0");
    verified(&site);
}

#[tokio::test]
async fn the_counts_are_those_at_that_place_in_the_log() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let first = ask(&recorder, Some("a")).await;
    let second = ask(&recorder, None).await;
    recorder.heartbeat().await.unwrap();
    recorder.submit(&first).unwrap();
    recorder.heartbeat().await.unwrap();
    recorder.submit(&second).unwrap();
    recorder.heartbeat().await.unwrap();
    let open = ask(&recorder, None).await;
    recorder.end().await.unwrap();
    recorder.submit(&open).unwrap_err();
    log.close().unwrap();
    let told: Vec<_> = site
        .rows()
        .into_iter()
        .map(|row| row.event.details)
        .filter(|details| details.contains_key("recorded"))
        .map(|details| {
            let of = |key: &str| details.get(key).cloned().unwrap_or_default();
            (of("recorded"), of("open_calls"), of("oldest_open"), of("sequences"))
        })
        .collect();
    let expected =
        [("3", "2", "1", "1"), ("5", "1", "2", "1"), ("7", "0", "", "1"), ("9", "1", "8", "")];
    let expected = expected.map(|(recorded, open, oldest, sequences)| {
        (recorded.to_owned(), open.to_owned(), oldest.to_owned(), sequences.to_owned())
    });
    assert_eq!(told, expected);
    verified(&site);
}

#[tokio::test]
async fn a_run_has_a_beginning_and_an_end() {
    let (site, log) = Site::new();
    let recorder = recorder(&log);
    let misplaced =
        |error: Unavailable| assert!(matches!(error, Unavailable::Misplaced(_)), "{error}");
    let notice = || recorder.notice(Kind::PolicyChanged, BTreeMap::new());
    misplaced(notice().await.unwrap_err());
    misplaced(recorder.submit(&refused(&recorder, recorder.call_id())).unwrap_err());
    misplaced(recorder.heartbeat().await.unwrap_err());
    misplaced(recorder.end().await.unwrap_err());
    recorder.end_session("a");
    let details = BTreeMap::from([("command".to_owned(), "serve".to_owned())]);
    let receipt = recorder.begin(details).await.unwrap();
    assert_eq!(receipt.index(), 0);
    misplaced(recorder.begin(BTreeMap::new()).await.unwrap_err());
    for kind in [
        Kind::GatewayStarted,
        Kind::GatewayStopped,
        Kind::LogHeartbeat,
        Kind::LogRecovered,
        Kind::SessionEnded,
        Kind::CallInDoubt,
    ] {
        misplaced(recorder.notice(kind, BTreeMap::new()).await.unwrap_err());
    }
    notice().await.unwrap();
    recorder.end().await.unwrap();
    misplaced(notice().await.unwrap_err());
    misplaced(recorder.heartbeat().await.unwrap_err());
    misplaced(recorder.end().await.unwrap_err());
    log.close().unwrap();
    assert_eq!(site.rows()[0].event.details["command"], "serve");
    assert_eq!(site.rows().len(), 3);
    verified(&site);
}

#[tokio::test]
async fn a_call_is_asked_once_and_answered_once() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let call = recorder.call_id();
    let index = recorder.record(&asked(&recorder, call)).await.unwrap().index();
    recorder.record(&asked(&recorder, call)).await.unwrap_err();
    recorder.record(&answered(&recorder, recorder.call_id(), index)).await.unwrap_err();
    recorder.record(&Event { call: None, ..asked(&recorder, call) }).await.unwrap_err();
    recorder.submit(&answered(&recorder, call, index)).unwrap();
    recorder.submit(&answered(&recorder, call, index)).unwrap_err();
    recorder.end().await.unwrap();
    log.close().unwrap();
    assert_eq!(site.rows().len(), 4);
    verified(&site);
}

#[tokio::test]
async fn suspended_calls_wait_and_everything_else_goes_on_record() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let answer = ask(&recorder, Some("a")).await;
    recorder.suspend("no witness answers");
    let error = recorder.record(&asked(&recorder, recorder.call_id())).await.unwrap_err();
    assert!(matches!(&error, Unavailable::Suspended { reason } if reason == "no witness answers"));
    assert_eq!(error.to_string(), "calls are suspended: no witness answers");
    assert!(matches!(
        recorder.submit(&asked(&recorder, recorder.call_id())),
        Err(Unavailable::Suspended { .. })
    ));
    assert!(matches!(recorder.health(), Err(Unavailable::Suspended { .. })));
    recorder.record(&answer).await.unwrap();
    recorder.record(&refused(&recorder, recorder.call_id())).await.unwrap();
    recorder.notice(Kind::PolicyChanged, BTreeMap::new()).await.unwrap();
    recorder.heartbeat().await.unwrap();
    recorder.end_session("a");
    recorder.resume();
    recorder.health().unwrap();
    recorder.submit(&ask(&recorder, None).await).unwrap();
    recorder.suspend("again");
    recorder.end().await.unwrap();
    log.close().unwrap();
    assert_eq!(site.rows().len(), 10);
    verified(&site);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_keep_every_sequence_whole() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let recorder = recorder.clone();
        tasks.spawn(async move {
            let session = format!("s{}", task % 5);
            for round in 0..20 {
                let session = (task != 3).then_some(session.as_str());
                let answer = ask(&recorder, session).await;
                if round % 7 == 0 {
                    recorder.heartbeat().await.unwrap();
                }
                recorder.submit(&answer).unwrap();
                if let Some(session) = session.filter(|_| round == 13) {
                    recorder.end_session(session);
                }
            }
        });
    }
    tasks.join_all().await;
    recorder.end().await.unwrap();
    log.close().unwrap();
    let counts = verified(&site);
    assert_eq!((counts.asked, counts.answered, counts.open), (320, 320, 0));
}

#[tokio::test]
async fn who_writes_to_the_log_beside_the_recorder_is_found_out() {
    let (_site, log) = Site::new();
    let recorder = begun(&log).await;
    log.submit(b"x".to_vec()).unwrap().await.unwrap();
    let error = recorder.record(&asked(&recorder, recorder.call_id())).await.unwrap_err();
    assert!(matches!(error, Unavailable::OutOfStep), "{error}");
    assert!(matches!(recorder.health(), Err(Unavailable::OutOfStep)));
    assert!(recorder.end().await.is_err());
    log.close().unwrap();
}

#[tokio::test]
async fn more_sessions_may_end_than_the_log_has_room_for() {
    let (site, log) = Site::new();
    log.close().unwrap();
    let signer = tlog::Signer::from_text(&site.key).unwrap();
    let small = tlog::Config { queue_entries: 8, ..crate::config() };
    let log: Log = Log::open(&site.path(), signer, small).unwrap().0;
    let recorder = Arc::new(begun(&log).await);
    let sessions: Vec<_> = (0..300).map(|n| format!("s{n}")).collect();
    for session in &sessions {
        let answer = ask(&recorder, Some(session)).await;
        recorder.record(&answer).await.unwrap();
    }
    for session in &sessions {
        recorder.end_session(session);
    }
    recorder.end().await.unwrap();
    log.close().unwrap();
    let rows = site.rows();
    let ended = rows.iter().filter(|row| row.event.kind == Kind::SessionEnded).count();
    assert_eq!((ended, rows.len()), (300, 902));
    verified(&site);
}
