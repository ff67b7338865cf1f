//! Every operation of a scripted run fails in every way, and the machine stops:
//! what was acknowledged is there afterwards, and nothing was acknowledged
//! after the fault.

use crate::error::Error;
use crate::keys::Keys;
use crate::log::Log;
use crate::log::tests::{append, config, entry, fill, signer, stored};
use crate::simulation::{MemoryMark, check_files};
use crate::storage::{Fault, FaultKind, Memory, Storage as _, Survival};
use note::{Action, Algorithm, Sign, Signer, Statement, cosign};
use std::sync::Arc;

/// What a run was told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: u64,
    submitted: u64,
    refused: bool,
}

/// Appends across several segments, publishes, closes.
fn script(log: &Log) -> Told {
    let mut told = Told::default();
    for step in 0..ENTRIES {
        let answer = log.submit(entry(step)).and_then(|pending| {
            told.submitted += 1;
            pending.wait()
        });
        match answer {
            Ok(committed) => {
                assert!(!told.refused, "acknowledged after the log had stopped");
                assert_eq!(committed.index, step);
                told.acknowledged = step + 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::Poisoned { .. }), "{error}");
                told.refused = true;
            }
        }
        if step % 6 == 5 {
            // A failed publication does not stop the log.
            let published = log.publish();
            assert!(published.is_err() || !told.refused);
        }
    }
    if log.close().is_ok() {
        assert!(log.checkpoint().size == ENTRIES && !told.refused);
    }
    told
}

fn fresh() -> (Memory, Log) {
    let storage = Memory::default();
    let log = Log::create_on(Arc::new(storage.clone()), signer(), config()).unwrap();
    (storage, log)
}

/// Opens what survived, checks it against what was told, and goes on.
fn check(storage: &Memory, told: &Told, case: &str) {
    let opened = Log::open_on(Arc::new(storage.clone()), signer(), config());
    let (log, recovered) = opened.unwrap_or_else(|error| panic!("{case}: {error}"));
    let entries = stored(&log);
    let count = u64::try_from(entries.len()).unwrap();
    assert_eq!(recovered.entries, count, "{case}");
    assert!(told.acknowledged <= count && count <= told.submitted, "{case}: {count} entries");
    for (index, found) in (0..).zip(&entries) {
        assert_eq!(*found, entry(index), "{case}: entry {index}");
    }
    append(&log, count..count + 2);
    log.close().unwrap_or_else(|error| panic!("{case}: {error}"));
    let expected: Vec<_> = (0..count + 2).map(entry).collect();
    let published = check_files(storage, &expected);
    assert_eq!(published, Ok(count + 2), "{case}");
}

#[test]
fn every_operation_failing_in_every_way() {
    let (storage, log) = fresh();
    let first = storage.operations();
    assert_eq!(script(&log).acknowledged, ENTRIES);
    let last = storage.operations();
    assert!(60 < last - first, "the run does enough: {}", last - first);
    let mut stopped = 0;
    for operation in first..last {
        // Once each, and once as a disk that is gone from then on.
        let faults = KINDS.map(|kind| (kind, false)).into_iter();
        for (kind, lasting) in faults.chain([(FaultKind::NotPersisted, true)]) {
            let (storage, log) = fresh();
            storage.plan(Fault { operation, kind, lasting });
            let told = script(&log);
            stopped += u32::from(told.refused);
            for survival in SURVIVALS {
                let case = format!("{operation} {kind:?} lasting {lasting}, {survival:?}");
                check(&storage.copy(survival), &told, &case);
            }
        }
    }
    assert!(100 < stopped, "many faults hit the commit path: {stopped}");
}

#[test]
fn a_half_made_log_is_no_log() {
    let (storage, _log) = fresh();
    for operation in 0..storage.operations() {
        for kind in KINDS {
            let storage = Memory::default();
            storage.plan(Fault { operation, kind, lasting: false });
            let made = Log::create_on(Arc::new(storage.clone()), signer(), config());
            if let Ok(log) = made {
                // The fault fell on the rewriting of a log already made.
                log.close().unwrap();
                continue;
            }
            for survival in SURVIVALS {
                let storage = storage.copy(survival);
                match Log::open_on(Arc::new(storage.clone()), signer(), config()) {
                    Ok((log, _)) => append(&log, 0..1).truncate(0),
                    Err(Error::NotALog(_) | Error::Corrupt(_) | Error::Io { .. }) => {}
                    Err(error) => panic!("{operation} {kind:?} {survival:?}: {error}"),
                }
            }
        }
    }
}

#[test]
fn what_was_found_after_a_failed_sync_is_brought_to_the_disk() {
    let (storage, log) = fresh();
    append(&log, 0..3);
    let operation = storage.operations() + 1;
    storage.plan(Fault { operation, kind: FaultKind::NotPersisted, lasting: false });
    assert!(log.submit(entry(3)).unwrap().wait().is_err());
    assert!(log.close().is_err());
    // The process starts again; the machine never stopped and shows the entry.
    let (log, recovered) = Log::open_on(Arc::new(storage.clone()), signer(), config()).unwrap();
    assert_eq!(recovered.entries, 4);
    append(&log, 4..5);
    // Now it stops.
    let told = Told { acknowledged: 5, submitted: 5, refused: false };
    check(&storage.crash(Survival::Nothing), &told, "after the crash");
}

#[test]
fn the_fault_while_recovering_is_survived_too() {
    for torn in [0, 1] {
        let (storage, log) = fresh();
        append(&log, 0..8);
        let operation = storage.operations() + torn;
        storage.plan(Fault { operation, kind: FaultKind::Torn, lasting: false });
        assert!(log.submit(vec![3; 2000]).unwrap().wait().is_err());
        drop(log);
        let storage = storage.copy(Survival::Nothing);
        for operation in 0..6 {
            for kind in KINDS {
                let storage = storage.copy(Survival::Nothing);
                storage.plan(Fault { operation, kind, lasting: true });
                let opened = Log::open_on(Arc::new(storage.clone()), signer(), config());
                drop(opened);
                for survival in SURVIVALS {
                    let told = Told { acknowledged: 8, submitted: 8, refused: true };
                    let case = format!("{torn}, {operation} {kind:?}, {survival:?}");
                    check(&storage.copy(survival), &told, &case);
                }
            }
        }
    }
}

/// What was told of everything that is done beside appending.
#[derive(Default)]
struct Operated {
    appended: Told,
    published: u64,
    rotated: Option<bool>,
    beside: Option<bool>,
    pruned: Option<bool>,
}

/// Publishes with and without a witness, brings in a key, prunes and puts a
/// timestamp beside, in a log of [`PUBLISHED`] entries. Goes on after every
/// error, as an operator who does not look would.
fn operate(log: &Log, done: &mut Operated) {
    let witness = Algorithm::Ed25519Cosignature;
    let witness = Signer::from_seed("witness.example/w", witness, &[6; 32]).unwrap();
    let told = &mut done.appended;
    (told.acknowledged, told.submitted) = (PUBLISHED, PUBLISHED);
    append_some(log, told, 2);
    if let Ok(Some(checkpoint)) = log.publish() {
        done.published = checkpoint.size;
    }
    let key = second_key().verifier().clone();
    let size = log.tip().size;
    let statement = rotation(Action::Rotate { key, size });
    done.rotated = Some(log.add_statement(&statement).is_ok());
    append_some(log, told, 1);
    if let Ok(Some(candidate)) = log.prepare() {
        let line = cosign(&candidate.checkpoint.to_text(), &witness, 1).unwrap();
        let note = format!("{}{line}", candidate.note);
        if log.publish_note(&candidate, note.as_bytes()).is_ok() {
            done.published = candidate.checkpoint.size;
        }
    }
    done.beside = Some(log.put_beside(BESIDE, b"stamped").is_ok());
    done.pruned = Some(log.prune(256).is_ok());
    append_some(log, told, 1);
    if log.close().is_ok() {
        assert_eq!(log.checkpoint().size, told.acknowledged);
        done.published = told.acknowledged;
    }
}

fn append_some(log: &Log, told: &mut Told, count: u64) {
    for _ in 0..count {
        let answer = log.submit(entry(told.submitted)).and_then(|pending| {
            told.submitted += 1;
            pending.wait()
        });
        if answer.is_ok() {
            assert!(!told.refused, "acknowledged after the log had stopped");
            told.acknowledged = told.submitted;
        }
        told.refused |= answer.is_err();
    }
}

fn second_key() -> Signer {
    Signer::from_seed("example.com/log", Algorithm::Ed25519, &[8; 32]).unwrap()
}

fn rotation(action: Action) -> Vec<u8> {
    let origin = "example.com/log".to_owned();
    let statement = Statement { origin, ordinal: 1, action, time_ms: 1 };
    let signers: [Arc<dyn Sign>; 2] = [Arc::new(signer()), Arc::new(second_key())];
    Keys::sign_note(&statement.to_text(), &signers).unwrap().into_bytes()
}

fn open_marked(storage: &Memory, mark: &MemoryMark) -> Result<Log, Error> {
    let mut config = config();
    config.segment_bytes = 16 << 10;
    config.high_water = Some(Arc::new(mark.clone()));
    Log::open_on(Arc::new(storage.clone()), signer(), config).map(|(log, _)| log)
}

/// Opens what survived: what was done is done, what was tried is done or not,
/// and everything can be done again.
fn check_operated(storage: &Memory, mark: &MemoryMark, done: &Operated, case: &str) {
    let fail = |error: &dyn std::fmt::Display| -> ! { panic!("{case}: {error}") };
    let log = open_marked(storage, mark).unwrap_or_else(|error| fail(&error));
    let count = log.tip().size;
    let told = &done.appended;
    assert!(told.acknowledged <= count && count <= told.submitted, "{case}: {count} entries");
    assert!(done.published <= log.checkpoint().size, "{case}");
    let is = |done: Option<bool>, found: bool| found == (done == Some(true)) || done == Some(false);
    let rotated = log.next_statement() == 2;
    assert!(is(done.rotated, rotated), "{case}: rotated {rotated}");
    assert!(is(done.pruned, log.minimum() == 256), "{case}: pruned below {}", log.minimum());
    let beside = storage.read(BESIDE).ok();
    assert!(is(done.beside, beside.is_some()), "{case}: {beside:?}");
    assert!(beside.is_none_or(|bytes| bytes == b"stamped"), "{case}");
    let entries: Vec<_> = (0..count).map(entry).collect();
    check_files(storage, &entries).unwrap_or_else(|what| fail(&what));
    if !rotated {
        let (key, size) = (second_key().verifier().clone(), count);
        let added = log.add_statement(&rotation(Action::Rotate { key, size }));
        added.unwrap_or_else(|error| fail(&error));
    }
    log.prune(256).unwrap_or_else(|error| fail(&error));
    append(&log, count..count + 2);
    log.put_beside(BESIDE, b"stamped").unwrap_or_else(|error| fail(&error));
    log.close().unwrap_or_else(|error| fail(&error));
    let entries: Vec<_> = (0..count + 2).map(entry).collect();
    assert_eq!(check_files(storage, &entries), Ok(count + 2), "{case}");
}

#[test]
fn every_operation_beside_appending_failing_in_every_way() {
    let original = Memory::default();
    let mut large = config();
    large.segment_bytes = 16 << 10;
    let log = Log::create_on(Arc::new(original.clone()), signer(), large).unwrap();
    fill(&log, 0..PUBLISHED);
    log.close().unwrap();
    let start = |faults: &[Fault]| {
        let (storage, mark) = (original.copy(Survival::Everything), MemoryMark::default());
        let log = open_marked(&storage, &mark).unwrap();
        let first = storage.operations();
        for fault in faults {
            storage.plan_another(Fault { operation: first + fault.operation, ..*fault });
        }
        let mut done = Operated::default();
        operate(&log, &mut done);
        (storage.operations() - first, storage, mark, done)
    };
    let (count, .., done) = start(&[]);
    let all = [done.rotated, done.beside, done.pruned];
    assert_eq!((all, done.appended.acknowledged), ([Some(true); 3], PUBLISHED + 4));
    assert!(40 < count, "the run does enough: {count}");
    for operation in 0..count {
        let one = |kind, lasting| vec![Fault { operation, kind, lasting }];
        let mut cases: Vec<_> = KINDS.map(|kind| one(kind, false)).into_iter().collect();
        cases.push(one(FaultKind::NotPersisted, true));
        let next = Fault { operation: operation + 1, kind: FaultKind::Torn, lasting: false };
        cases.push([one(FaultKind::Persisted, false), vec![next]].concat());
        for faults in cases {
            let (_, storage, mark, done) = start(&faults);
            let known = crate::high_water::HighWater::read(&mark).unwrap();
            for survival in [Survival::Nothing, Survival::Random(operation)] {
                let mark = MemoryMark::default();
                mark.set(known.clone());
                let case = format!("{faults:?}, {survival:?}");
                check_operated(&storage.copy(survival), &mark, &done, &case);
            }
        }
    }
}

const PUBLISHED: u64 = 300;
const BESIDE: &str = "timestamps/300.note";
const ENTRIES: u64 = 18;
const KINDS: [FaultKind; 5] = [
    FaultKind::NotPersisted,
    FaultKind::Persisted,
    FaultKind::Torn,
    FaultKind::Short,
    FaultKind::NoSpace,
];
const SURVIVALS: [Survival; 4] =
    [Survival::Nothing, Survival::Everything, Survival::FirstHalf, Survival::Holes];
