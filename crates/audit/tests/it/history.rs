//! Any history of calls, sessions, heartbeats, ends and crashes: what recovery finds is what a reader of
//! the whole log finds, and the log is complete every time.

use crate::reference::relinked;
use crate::{answered, asked, config, in_session, judged, refused};
use audit::{Clock, Place, Recorder};
use event::{CallId, Event, Kind};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tlog::storage::Memory;
use tlog::{Log, Recovered, Signer};

/// One thing that happens in a run.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A call in this session; 0 is none.
    Ask(u8),
    /// The answer to one of the open calls.
    Answer(usize),
    Refuse(u8),
    EndSession(u8),
    Notice,
    Heartbeat,
}

/// A run, and how many of the entries at the end of the log are lost with it; `None` when it ends in
/// order.
type Run = (Vec<Step>, Option<usize>);

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8).prop_map(Step::Ask),
        4 => any::<usize>().prop_map(Step::Answer),
        1 => (0..4_u8).prop_map(Step::Refuse),
        1 => (1..4_u8).prop_map(Step::EndSession),
        1 => Just(Step::Notice),
        1 => Just(Step::Heartbeat),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    (prop::collection::vec(step(), 0..25), prop::option::weighted(0.7, 0..6_usize))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn recovery_finds_what_a_reader_of_everything_finds(
        runs in prop::collection::vec(run(), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(&runs));
    }
}

/// The log of one run after another, each on what the one before has left.
async fn check(runs: &[Run]) {
    let mut entries = Vec::new();
    for (steps, lost) in runs {
        let expected = open(&entries);
        let in_order = entries.last().is_none_or(|last| last.kind == Kind::GatewayStopped);
        let (memory, log) = log_of(&entries).await;
        let place = Place { gateway: "gw".to_owned(), region: None };
        let recorder = Recorder::new(log.clone(), place, Clock::start());
        recorder.begin(BTreeMap::new()).await.unwrap();
        let size = u64::try_from(entries.len()).unwrap();
        let recovered = Recovered { entries: size, bytes_dropped: 0, clean: false };
        assert_eq!(recorder.recover(&recovered).await.unwrap(), expected.len());
        let found = read(&log).split_off(entries.len());
        let in_doubt = found.iter().filter(|event| event.kind == Kind::CallInDoubt);
        let in_doubt: BTreeSet<_> = in_doubt.map(|e| (e.asked.unwrap(), e.call.unwrap())).collect();
        assert_eq!(in_doubt, expected);
        assert_eq!(found.iter().any(|event| event.kind == Kind::LogRecovered), !in_order);
        live(&recorder, steps).await;
        if lost.is_none() {
            recorder.end().await.unwrap();
        }
        entries = read(&log);
        log.close().unwrap();
        complete(&memory);
        assert_eq!(relinked(&entries), entries);
        // A crash at any moment: of a run, of its recovery, or of its very beginning.
        let kept = entries.len() - lost.unwrap_or(0).min(entries.len());
        entries.truncate(kept);
    }
}

async fn live(recorder: &Recorder, steps: &[Step]) {
    let mut open: Vec<(CallId, u64)> = Vec::new();
    let name = |session: u8| format!("s{session}");
    for step in steps {
        match *step {
            Step::Ask(session) => {
                let call = recorder.call_id();
                let mut event = asked(recorder, call);
                event.session = (session > 0).then(|| name(session));
                open.push((call, recorder.record(&event).await.unwrap().index()));
            }
            Step::Answer(which) if !open.is_empty() => {
                let (call, index) = open.remove(which % open.len());
                recorder.record(&answered(recorder, call, index)).await.unwrap();
            }
            Step::Answer(_) => {}
            Step::Refuse(session) => {
                let event = refused(recorder, recorder.call_id());
                recorder.submit(&in_session(event, &name(session))).unwrap();
            }
            Step::EndSession(session) => recorder.end_session(&name(session)),
            Step::Notice => {
                recorder.notice(Kind::PolicyChanged, BTreeMap::new()).await.unwrap();
            }
            Step::Heartbeat => {
                recorder.heartbeat().await.unwrap();
            }
        }
    }
    // Everything that was handed over is committed when this is.
    recorder.notice(Kind::LogRead, BTreeMap::new()).await.unwrap();
}

/// The calls without an end, by reading all of it.
fn open(entries: &[Event]) -> BTreeSet<(u64, CallId)> {
    let mut open = BTreeSet::new();
    for (index, event) in (0_u64..).zip(entries) {
        match event.kind {
            Kind::CallAsked => {
                open.insert((index, event.call.unwrap()));
            }
            Kind::CallAnswered | Kind::CallInDoubt => {
                open.remove(&(event.asked.unwrap(), event.call.unwrap()));
            }
            _ => {}
        }
    }
    open
}

async fn log_of(entries: &[Event]) -> (Memory, Log) {
    let memory = Memory::default();
    let (signer, _) = Signer::generate("example.com/log").unwrap();
    let log = Log::create_on(Arc::new(memory.clone()), signer, config()).unwrap();
    let pending = entries.iter().map(|event| log.submit(event.encode().unwrap()).unwrap());
    for pending in pending.collect::<Vec<_>>() {
        pending.await.unwrap();
    }
    (memory, log)
}

fn read(log: &Log) -> Vec<Event> {
    let entries = log.reader().entries(0).unwrap();
    entries.map(|entry| Event::decode_strict(&entry.unwrap().1).unwrap()).collect()
}

fn complete(memory: &Memory) {
    let directory = tempfile::tempdir().unwrap();
    memory.copy_to(directory.path()).unwrap();
    judged(directory.path()).unwrap();
}
