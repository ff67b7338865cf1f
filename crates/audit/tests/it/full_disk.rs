//! The log takes entries in and refuses them when it comes to writing, because the disk is full, and goes
//! on when there is room: what was refused must be as if it had never been.
use verify::EventCounts;

use crate::{answered, asked, begun, config, in_session, judged, refused};
use audit::{Recorder, Unavailable};
use event::{Event, Kind, Status};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tlog::storage::Memory;
use tlog::{Error, Log, Signer};

const NEEDED: u64 = 1_000_000;

/// A log on a disk in memory that is full when told so.
struct Disk {
    memory: Memory,
    key: String,
}

impl Disk {
    fn new() -> (Self, Log) {
        let memory = Memory::default();
        let (signer, key) = Signer::generate("example.com/log").unwrap();
        let log = Log::create_on(Arc::new(memory.clone()), signer, needing()).unwrap();
        let disk = Self { memory, key: key.to_string() };
        disk.free();
        (disk, log)
    }

    fn fill(&self) {
        self.memory.set_free_bytes(NEEDED - 1);
    }

    fn free(&self) {
        self.memory.set_free_bytes(NEEDED * 1_000);
    }

    fn verified(&self) -> EventCounts {
        let directory = tempfile::tempdir().unwrap();
        self.memory.copy_to(directory.path()).unwrap();
        judged(directory.path()).unwrap()
    }
}

fn needing() -> tlog::Config {
    tlog::Config { free_bytes_min: NEEDED, ..config() }
}

/// The log looks at the room before the first commit of its life and then rarely, but again and again
/// once it found none: this many commits bring it to look.
async fn until_it_looks(recorder: &Recorder) -> Option<Unavailable> {
    for _ in 0..200 {
        let refusal = refused(recorder, recorder.call_id());
        if let Err(error) = recorder.record(&refusal).await {
            return Some(error);
        }
    }
    None
}

/// A call that is asked in this session.
async fn ask(recorder: &Recorder, session: &str) -> Event {
    let call = recorder.call_id();
    let event = in_session(asked(recorder, call), session);
    let index = recorder.record(&event).await.unwrap().index();
    answered(recorder, call, index)
}

#[tokio::test]
async fn what_is_refused_leaves_no_gap() {
    let (disk, log) = Disk::new();
    let recorder = begun(&log).await;
    let answers = [ask(&recorder, "a").await, ask(&recorder, "b").await, ask(&recorder, "a").await];
    recorder.record(&answers[2]).await.unwrap();
    disk.fill();
    let error = until_it_looks(&recorder).await.unwrap();
    assert!(matches!(error, Unavailable::Log(Error::DiskFull { .. })), "{error}");
    // Handed over and refused later, with nobody waiting: the last open call of a session, its end,
    // the first event of a session, a question.
    recorder.end_session("a");
    recorder.submit(&answers[0]).unwrap();
    let new = in_session(asked(&recorder, recorder.call_id()), "new");
    recorder.submit(&new).ok();
    recorder.submit(&in_session(refused(&recorder, recorder.call_id()), "new")).ok();
    for _ in 0..3 {
        let event = asked(&recorder, recorder.call_id());
        let error = recorder.record(&event).await.unwrap_err();
        assert!(
            matches!(error, Unavailable::Log(Error::DiskFull { .. }) | Unavailable::Refused),
            "{error}"
        );
    }
    disk.free();
    // The answer is not on record, so the call is open, and so is its session.
    let receipt = recorder.heartbeat().await.unwrap();
    let heartbeat = log.reader().entry(receipt.index()).unwrap();
    let details = Event::decode(&heartbeat).unwrap().details;
    assert_eq!((details["open_calls"].as_str(), details["sequences"].as_str()), ("2", "2"));
    recorder.record(&answers[0]).await.unwrap();
    recorder.record(&answers[1]).await.unwrap();
    let again = ask(&recorder, "new").await;
    recorder.record(&again).await.unwrap();
    recorder.end().await.unwrap();
    log.close().unwrap();
    let counts = disk.verified();
    assert_eq!((counts.asked, counts.answered, counts.open), (4, 4, 0));
}

#[tokio::test]
async fn a_refusal_is_noticed_even_if_nobody_waits_any_more() {
    let (disk, log) = Disk::new();
    let recorder = begun(&log).await;
    disk.fill();
    until_it_looks(&recorder).await.unwrap();
    for _ in 0..3 {
        // Begins to wait, and goes away.
        let event = asked(&recorder, recorder.call_id());
        let mut waiting = pin!(recorder.record(&event));
        let first = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(first, Poll::Pending | Poll::Ready(Err(_))));
    }
    until_it_looks(&recorder).await.unwrap();
    disk.free();
    let answer = ask(&recorder, "a").await;
    recorder.submit(&answer).unwrap();
    recorder.end().await.unwrap();
    log.close().unwrap();
    assert_eq!(disk.verified().open, 0);
}

#[tokio::test]
async fn a_call_whose_answer_was_refused_is_in_doubt_in_the_next_run() {
    let (disk, log) = Disk::new();
    let recorder = begun(&log).await;
    let answer = ask(&recorder, "a").await;
    disk.fill();
    until_it_looks(&recorder).await.unwrap();
    recorder.submit(&answer).unwrap();
    until_it_looks(&recorder).await.unwrap();
    disk.free();
    recorder.end().await.unwrap();
    log.close().unwrap();
    assert_eq!(disk.verified().open, 1);
    let signer = Signer::from_text(&disk.key).unwrap();
    let (log, recovered) = Log::open_on(Arc::new(disk.memory.clone()), signer, needing()).unwrap();
    let next = begun(&log).await;
    assert_eq!(next.recover(&recovered).await.unwrap(), 1);
    next.end().await.unwrap();
    let last = log.tip().size - 1;
    let mut reader = log.reader();
    let in_doubt = Event::decode(&reader.entry(last - 1).unwrap()).unwrap();
    // The run before ended in order, and says so: nothing was recovered.
    let started = Event::decode(&reader.entry(last - 2).unwrap()).unwrap();
    assert_eq!((started.kind, in_doubt.kind), (Kind::GatewayStarted, Kind::CallInDoubt));
    assert_eq!(in_doubt.outcome.unwrap().status, Status::Unknown);
    log.close().unwrap();
    assert_eq!(disk.verified().open, 0);
}
