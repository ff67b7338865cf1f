//! Events into a log and out of it again: receipts, sequences, what a crash leaves, what the verifier
//! makes of it, and reading along.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

mod full_disk;
mod gaps;
mod history;
mod recovery;
mod reference;
mod sequences;

use audit::{Clock, Follower, Place, Recorder, Row};
use event::{
    Actor, Answered, Asked, Basis, CallId, Chain, Decision, Direction, Effect, Event, Kind,
    MethodClass, Outcome, Payload, Refused, Resource, ResourceKind, Status, Transport,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tlog::{Error, Log, Recovered, Signer};
use verify::{Directory, EventCounts, Failure, Options};

/// A log directory and its key; opened and closed at will.
struct Site {
    directory: TempDir,
    key: String,
}

impl Site {
    /// With a new, empty log that is open.
    fn new() -> (Self, Log) {
        let directory = tempfile::tempdir().unwrap();
        let (signer, key) = Signer::generate("example.com/log").unwrap();
        let site = Self { directory, key: key.to_string() };
        let log = Log::create(&site.path(), signer, config()).unwrap();
        (site, log)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn open(&self) -> (Log, Recovered) {
        let signer = Signer::from_text(&self.key).unwrap();
        Log::open(&self.path(), signer, config()).unwrap()
    }

    fn rows(&self) -> Vec<Row> {
        rows(&mut Follower::open(&self.path(), 0).unwrap())
    }
}

fn config() -> tlog::Config {
    let clock = Clock::start();
    let mut config = tlog::Config::new(Arc::new(move || clock.now().unix_ms()));
    config.segment_bytes = 1 << 18;
    config.free_bytes_min = 0;
    config
}

/// A recorder that has begun its run: its next entry is the second of the run.
async fn begun(log: &Log) -> Recorder {
    let recorder = recorder(log);
    recorder.begin(BTreeMap::new()).await.unwrap();
    recorder
}

/// One whose run has not begun.
fn recorder(log: &Log) -> Recorder {
    let place = Place { gateway: "gw".to_owned(), region: Some("eu".to_owned()) };
    Recorder::new(log.clone(), place, Clock::start())
}

/// What there is to read now.
fn rows(follower: &mut Follower) -> Vec<Row> {
    std::iter::from_fn(|| follower.next_row().unwrap()).collect()
}

fn asked(recorder: &Recorder, call: CallId) -> Event {
    let resource = Resource {
        class: MethodClass::Write,
        kind: ResourceKind::Tool,
        method: "tools/call".to_owned(),
        names: vec!["query".to_owned()],
        server: "srv".to_owned(),
    };
    let decision = Decision {
        basis: Basis::Permit,
        determining: vec!["p".to_owned()],
        effect: Effect::Permit,
        engine: "engine".to_owned(),
        errors: Vec::new(),
        policy_set: "sha256:00".to_owned(),
        schema: "sha256:00".to_owned(),
    };
    let stamp = recorder.stamp(Some("127.0.0.1:1"), Some(Transport::Http));
    Event::asked(
        stamp,
        Asked {
            call,
            actor: Actor::anonymous(),
            direction: Direction::ToServer,
            resource,
            decision,
            request_bytes: 10,
            client: None,
            protocol: None,
            session: None,
            chain: Chain::default(),
        },
    )
}

fn in_session(event: Event, session: &str) -> Event {
    Event { session: Some(session.to_owned()), ..event }
}

/// What the verifier, which shares no code with this crate, says of the events of a log.
fn judged(directory: &Path) -> Result<EventCounts, Failure> {
    let report = verify::verify(&Directory::new(directory), &Options::default(), &mut ())?;
    Ok(report.counts.unwrap())
}

/// The whole log verifies.
fn verified(site: &Site) -> EventCounts {
    judged(&site.path()).unwrap()
}

fn answered(recorder: &Recorder, call: CallId, asked: u64) -> Event {
    Event::answered(
        recorder.stamp(None, None),
        Answered {
            call,
            asked,
            outcome: Outcome::new(Status::Ok, 5),
            payload: Payload::default(),
            session: None,
        },
    )
}

fn refused(recorder: &Recorder, call: CallId) -> Event {
    Event::refused(
        recorder.stamp(None, None),
        Refused {
            call,
            actor: Actor::anonymous(),
            direction: Direction::ToServer,
            resource: None,
            decision: None,
            refusal: event::Refusal {
                code: 40_100,
                http_status: Some(401),
                reason: "r".to_owned(),
            },
            request_bytes: 0,
            client: None,
            protocol: None,
            session: None,
            chain: Chain::default(),
        },
    )
}

#[tokio::test]
async fn a_receipt_says_which_call_is_where() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let calls = [recorder.call_id(), recorder.call_id()];
    assert_ne!(calls[0], calls[1]);
    for (index, call) in (1..).zip(calls) {
        let receipt = recorder.record(&asked(&recorder, call)).await.unwrap();
        assert_eq!((receipt.index(), receipt.call()), (index, Some(call)));
        // Durable now, so readable now, without anything being closed or published.
        assert_eq!(site.rows().last().unwrap().event.call, Some(call));
        let committed = receipt.committed();
        let entry = log.reader().entry(index).unwrap();
        assert_eq!(committed.leaf_hash, tlog::leaf_hash(&entry));
        assert_eq!((committed.index, committed.tree_size()), (index, index + 1));
    }
    let notice = recorder.notice(Kind::PolicyChanged, BTreeMap::new()).await.unwrap();
    assert_eq!((notice.index(), notice.call()), (3, None));
    log.close().unwrap();
}

#[tokio::test]
async fn events_say_where_and_when() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let before = recorder.clock().now();
    recorder.record(&asked(&recorder, recorder.call_id())).await.unwrap();
    recorder.record(&asked(&recorder, recorder.call_id())).await.unwrap();
    log.close().unwrap();
    let rows = site.rows();
    let place = &rows[1].event.environment;
    assert_eq!((place.gateway.as_str(), place.region.as_deref()), ("gw", Some("eu")));
    assert_eq!(place.peer.as_deref(), Some("127.0.0.1:1"));
    assert!(before <= place.time && place.time <= recorder.clock().now());
    assert!(place.monotonic_us <= rows[2].event.environment.monotonic_us);
    assert_ne!(rows[1].event.id, rows[2].event.id);
}

#[tokio::test]
async fn what_was_handed_over_is_there_after_the_next_record() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let call = recorder.call_id();
    let index = recorder.record(&asked(&recorder, call)).await.unwrap().index();
    recorder.submit(&answered(&recorder, call, index)).unwrap();
    assert_eq!(recorder.end().await.unwrap().index(), 3);
    let kinds: Vec<_> = site.rows().iter().map(|row| row.event.kind).collect();
    assert_eq!(
        kinds,
        [Kind::GatewayStarted, Kind::CallAsked, Kind::CallAnswered, Kind::GatewayStopped]
    );
    log.close().unwrap();
}

#[tokio::test]
async fn an_event_that_cannot_be_an_entry_is_refused_and_harms_nothing() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let mut large = asked(&recorder, recorder.call_id());
    large.details.insert("x".to_owned(), "y".repeat(70_000));
    let error = recorder.record(&large).await.unwrap_err();
    assert!(error.to_string().starts_with("audit log: event of "), "{error}");
    assert!(recorder.submit(&large).is_err());
    recorder.health().unwrap();
    recorder.record(&asked(&recorder, recorder.call_id())).await.unwrap();
    assert_eq!(site.rows().len(), 2);
    log.close().unwrap();
    verified(&site);
}

#[tokio::test]
async fn a_closed_log_takes_nothing() {
    let (_site, log) = Site::new();
    let recorder = begun(&log).await;
    log.close().unwrap();
    let event = asked(&recorder, recorder.call_id());
    for error in [recorder.record(&event).await.unwrap_err(), recorder.submit(&event).unwrap_err()]
    {
        assert!(matches!(error, audit::Unavailable::Log(Error::Closed)), "{error}");
    }
    assert!(recorder.health().is_err());
}

#[tokio::test]
async fn a_follower_reads_along_from_any_place() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    let mut whole = Follower::open(&site.path(), 0).unwrap();
    let mut later = Follower::open(&site.path(), 4).unwrap();
    assert_eq!(rows(&mut whole)[0].event.kind, Kind::GatewayStarted);
    assert_eq!((whole.next_row().unwrap().is_none(), whole.cursor()), (true, 1));
    assert!(later.next_row().unwrap().is_none(), "its first entry need not exist yet");
    let mut calls = Vec::new();
    for round in 1..=3_usize {
        for _ in 0..2 {
            let call = recorder.call_id();
            recorder.record(&asked(&recorder, call)).await.unwrap();
            calls.push(call);
        }
        let new: Vec<_> = rows(&mut whole).iter().map(|row| row.event.call.unwrap()).collect();
        assert_eq!(new, calls[calls.len() - 2..]);
        assert_eq!(whole.cursor(), u64::try_from(calls.len() + 1).unwrap());
        let seen = rows(&mut later);
        match round {
            1 => assert!(seen.is_empty()),
            2 => assert_eq!(seen.iter().map(|row| row.index).collect::<Vec<_>>(), [4]),
            _ => assert_eq!(seen.iter().map(|row| row.index).collect::<Vec<_>>(), [5, 6]),
        }
    }
    // Stopping and coming back at the cursor neither repeats nor skips.
    let cursor = whole.cursor();
    drop(whole);
    recorder.record(&refused(&recorder, recorder.call_id())).await.unwrap();
    log.close().unwrap();
    let mut again = Follower::open(&site.path(), cursor).unwrap();
    let rest = rows(&mut again);
    assert_eq!(rest.len(), 1);
    assert_eq!((rest[0].index, rest[0].event.kind), (7, Kind::CallRefused));
}

#[tokio::test]
async fn a_follower_passes_over_what_it_cannot_read() {
    let (site, log) = Site::new();
    let older = asked(&recorder(&log), recorder(&log).call_id());
    log.submit(older.encode().unwrap()).unwrap().await.unwrap();
    log.submit(b"not an event".to_vec()).unwrap().await.unwrap();
    begun(&log).await;
    log.close().unwrap();
    let mut follower = Follower::open(&site.path(), 0).unwrap();
    assert_eq!(follower.next_row().unwrap().unwrap().index, 0);
    let error = follower.next_row().unwrap_err();
    assert!(error.to_string().starts_with("entry 1: entry is not an event"), "{error}");
    assert_eq!(follower.next_row().unwrap().unwrap().index, 2);
    assert!(follower.next_row().unwrap().is_none());
}

#[test]
fn a_directory_without_a_log_cannot_be_followed() {
    let directory = tempfile::tempdir().unwrap();
    let error = Follower::open(directory.path(), 0).unwrap_err();
    assert!(error.to_string().contains("there is no log here"), "{error}");
}
