//! Every operation of a scripted run fails in every way, and the machine stops:
//! what was acknowledged is there afterwards, and nothing was acknowledged
//! after the fault.

use crate::error::Error;
use crate::log::Log;
use crate::log::tests::{append, config, entry, signer, stored, verified};
use crate::storage::{Fault, FaultKind, Memory, Survival};
use std::sync::Arc;

/// What a run was told.
#[derive(Default)]
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
    let report = verified(storage).unwrap_or_else(|failure| panic!("{case}: {failure}"));
    assert_eq!(report.entries, count + 2, "{case}");
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
