//! Older copies and other histories of a log, against its high-water mark.

use crate::config::Config;
use crate::error::Error;
use crate::high_water::{HighWater as _, HighWaterFile};
use crate::log::Log;
use crate::log::tests::{append, config, entry, signer};
use crate::simulation::{MarkFault, MemoryMark};
use crate::storage::{Fault, FaultKind, Memory, Storage as _, Survival};
use std::sync::Arc;

fn marked(mark: &MemoryMark) -> Config {
    Config { high_water: Some(Arc::new(mark.clone())), ..config() }
}

fn create(mark: &MemoryMark) -> (Memory, Log) {
    let storage = Memory::default();
    let log = Log::create_on(Arc::new(storage.clone()), signer(), marked(mark)).unwrap();
    (storage, log)
}

fn open(storage: &Memory, mark: &MemoryMark) -> Result<Log, Error> {
    Log::open_on(Arc::new(storage.clone()), signer(), marked(mark)).map(|(log, _)| log)
}

#[test]
fn every_earlier_copy_of_a_log_is_refused() {
    let mark = MemoryMark::default();
    let (storage, log) = create(&mark);
    let mut copies = Vec::new();
    for index in 0..24 {
        copies.push((index, storage.copy(Survival::Everything)));
        append(&log, index..index + 1);
        if index % 5 == 4 {
            log.publish().unwrap();
            copies.push((index + 1, storage.copy(Survival::Everything)));
        }
    }
    log.close().unwrap();
    for (entries, copy) in &copies {
        let opened = open(copy, &mark).map(|log| log.tip().size);
        let Err(Error::RolledBack { held, marked: 24 }) = opened else {
            panic!("a copy with {entries} entries was opened: {opened:?}")
        };
        assert_eq!(held, *entries);
        let text = Error::RolledBack { held, marked: 24 }.to_string();
        assert!(text.contains("newest copy"), "it says what to do: {text}");
    }
    // The newest one is taken, and so is one that was not published yet.
    let (storage, log) = (storage.copy(Survival::Everything), open(&storage, &mark).unwrap());
    append(&log, 24..26);
    drop(log);
    open(&storage, &mark).unwrap().close().unwrap();
}

#[test]
fn another_history_of_the_same_length_is_refused() {
    let mark = MemoryMark::default();
    let (_, log) = create(&mark);
    append(&log, 0..10);
    log.close().unwrap();
    let (storage, fork) = create(&MemoryMark::default());
    append(&fork, 1..6);
    fork.publish().unwrap();
    append(&fork, 6..11);
    for survival in [Survival::Nothing, Survival::Everything] {
        let refused = open(&storage.copy(survival), &mark).map(drop).unwrap_err();
        assert!(matches!(refused, Error::RolledBack { held: 10, marked: 10 }), "{refused}");
    }
    fork.close().unwrap();
    append(&open(&storage, &MemoryMark::default()).unwrap(), 11..40);
    let refused = open(&storage.copy(Survival::Everything), &mark).map(drop).unwrap_err();
    assert!(matches!(refused, Error::RolledBack { held: 39, marked: 10 }), "{refused}");
}

#[test]
fn no_log_is_made_where_a_mark_knows_of_one() {
    let mark = MemoryMark::default();
    let (_, log) = create(&mark);
    append(&log, 0..1);
    log.close().unwrap();
    let storage = Memory::default();
    let made = Log::create_on(Arc::new(storage.clone()), signer(), marked(&mark)).map(drop);
    assert!(matches!(made, Err(Error::RolledBack { held: 0, marked: 1 })));
    assert!(storage.list("").unwrap().is_empty(), "nothing was made");
}

#[test]
fn a_mark_is_taken_up_by_a_log_that_had_none() {
    let (storage, log) = create(&MemoryMark::default());
    append(&log, 0..3);
    log.close().unwrap();
    let mark = MemoryMark::default();
    open(&storage, &mark).unwrap().close().unwrap();
    let note = storage.read("checkpoint").unwrap();
    assert_eq!(mark.read().unwrap().unwrap(), note);
    // And moved on when the log went on without it.
    let other = MemoryMark::default();
    append(&open(&storage, &other).unwrap(), 3..5);
    let storage = storage.copy(Survival::Everything);
    open(&storage, &other).unwrap().close().unwrap();
    let storage = storage.copy(Survival::Everything);
    open(&storage, &mark).unwrap();
    assert_eq!(mark.read().unwrap(), storage.read("checkpoint").ok());
}

#[test]
fn a_mark_that_somebody_else_moved_stops_the_log() {
    let mark = MemoryMark::default();
    let (storage, log) = create(&mark);
    append(&log, 0..3);
    mark.set(Some(b"another".to_vec()));
    assert!(matches!(log.publish(), Err(Error::HighWater(_))));
    assert!(matches!(log.submit(entry(3)), Err(Error::Poisoned { .. })));
    assert!(log.close().is_err());
    let refused = open(&storage, &mark).map(drop).unwrap_err();
    assert!(matches!(refused, Error::HighWater(_)), "{refused}");
}

#[test]
fn a_mark_that_cannot_be_moved_keeps_the_checkpoint_back() {
    for fault in [MarkFault::NotPersisted, MarkFault::Persisted] {
        for again in [false, true] {
            let mark = MemoryMark::default();
            let (storage, log) = create(&mark);
            append(&log, 0..3);
            let before = storage.read("checkpoint").unwrap();
            mark.plan(fault);
            assert!(matches!(log.publish(), Err(Error::Io { .. })));
            assert_eq!(storage.read("checkpoint").unwrap(), before);
            if again {
                append(&log, 3..4);
            }
            assert_eq!(log.publish().unwrap().unwrap().size, 3 + u64::from(again));
            log.close().unwrap();
            open(&storage, &mark).unwrap();
        }
    }
}

#[test]
fn the_mark_is_moved_before_the_checkpoint_appears() {
    let mark = MemoryMark::default();
    let (storage, log) = create(&mark);
    append(&log, 0..3);
    let candidate = log.prepare().unwrap().unwrap();
    let operation = storage.operations();
    storage.plan(Fault { operation, kind: FaultKind::NotPersisted, lasting: true });
    assert!(log.publish_note(&candidate, candidate.note.as_bytes()).is_err());
    assert_eq!(mark.read().unwrap().unwrap(), candidate.note.as_bytes());
    let storage = storage.crash(Survival::Nothing);
    let log = open(&storage, &mark).unwrap();
    assert_eq!((log.checkpoint().size, log.tip().size), (0, 3));
    append(&log, 3..4);
    log.close().unwrap();
}

#[test]
fn a_mark_in_a_file_survives_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mark = Arc::new(HighWaterFile::new(&dir.path().join("mark")));
    let config = Config { high_water: Some(mark), free_bytes_min: 0, ..config() };
    let path = dir.path().join("log");
    let log = Log::create(&path, signer(), config.clone()).unwrap();
    append(&log, 0..5);
    log.close().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    let made = Log::create(&path, signer(), config).map(drop);
    assert!(matches!(made, Err(Error::RolledBack { held: 0, marked: 5 })));
}
