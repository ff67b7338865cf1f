//! A log that is open while others look at it.

use crate::{Key, append, closed_log, config, entry, verify};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use tlog::{Error, Log, Reader, verify_inclusion};
use verify::Verdict;

fn open_log(key: &Key) -> (tempfile::TempDir, PathBuf, Log) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/log");
    let log = Log::create(&path, key.signer(), config()).unwrap();
    (dir, path, log)
}

#[test]
fn a_second_writer_is_refused() {
    let key = Key::generate();
    let (_dir, path, log) = open_log(&key);
    let second = Log::open(&path, key.signer(), config());
    assert!(matches!(second, Err(Error::Locked)));
    assert!(second.unwrap_err().to_string().contains("another process"));
    append(&log, 0..3);
    log.close().unwrap();
    let (again, recovered) = Log::open(&path, key.signer(), config()).unwrap();
    assert!(recovered.clean);
    assert_eq!(recovered.entries, 3);
    again.close().unwrap();
}

#[test]
fn create_and_open_do_not_stand_in_for_each_other() {
    let key = Key::generate();
    let dir = closed_log(&key, 1);
    let log = dir.path().join("log");
    assert!(matches!(Log::create(&log, key.signer(), config()), Err(Error::Exists(_))));
    let none = dir.path().join("none");
    assert!(matches!(Log::open(&none, key.signer(), config()), Err(Error::NotALog(_))));
    assert!(!none.exists(), "opening made nothing");
}

#[test]
fn a_deleted_segment_or_directory_stops_an_open_log() {
    type Attack = fn(&PathBuf);
    let attacks: [Attack; 4] = [
        |path| fs::remove_file(path.join("segments/00000000000000000000.seg")).unwrap(),
        |path| fs::remove_dir_all(path).unwrap(),
        |path| fs::rename(path, path.with_extension("moved")).unwrap(),
        |path| {
            let segment = path.join("segments/00000000000000000000.seg");
            let bytes = fs::read(&segment).unwrap();
            fs::remove_file(&segment).unwrap();
            fs::write(&segment, bytes).unwrap();
        },
    ];
    for attack in attacks {
        for idle in [true, false] {
            let key = Key::generate();
            let (_dir, path, log) = open_log(&key);
            append(&log, 0..3);
            log.health().unwrap();
            attack(&path);
            if idle {
                assert!(matches!(log.health(), Err(Error::Poisoned { .. })));
            }
            let answer = log.submit(entry(3)).and_then(tlog::Pending::wait);
            assert!(matches!(answer, Err(Error::Poisoned { .. })));
            assert!(log.health().is_err());
            assert!(log.close().is_err());
        }
    }
}

#[test]
fn a_second_name_for_the_segment_stops_an_open_log() {
    let key = Key::generate();
    let (dir, path, log) = open_log(&key);
    append(&log, 0..1);
    let segment = path.join("segments/00000000000000000000.seg");
    fs::hard_link(segment, dir.path().join("copy")).unwrap();
    assert!(matches!(log.health(), Err(Error::Poisoned { .. })));
}

#[test]
fn a_log_that_grows_is_verified_meanwhile() {
    let key = Key::generate();
    let (_dir, path, log) = open_log(&key);
    append(&log, 0..10);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 10;
            while !done.load(Ordering::Relaxed) && next < 5_000 {
                append(&log, next..next + 5);
                next += 5;
                if next % 20 == 0 {
                    log.publish().unwrap();
                }
            }
        });
        let mut entries = 0;
        for _ in 0..15 {
            let report = verify(&path);
            let report = report.unwrap_or_else(|failure| panic!("{failure}"));
            assert!(report.live);
            assert!(entries <= report.entries);
            entries = report.entries;
        }
        done.store(true, Ordering::Relaxed);
    });
    let size = log.tip().size;
    log.close().unwrap();
    let report = verify(&path).unwrap();
    assert!(!report.live);
    assert_eq!((report.entries, report.checkpoint_size), (size, size));
}

#[test]
fn damage_in_a_live_log_is_found() {
    let key = Key::generate();
    let (_dir, path, log) = open_log(&key);
    append(&log, 0..30);
    log.publish().unwrap();
    let segment = path.join("segments/00000000000000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[115] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let failure = verify(&path).unwrap_err();
    assert_eq!((failure.verdict, failure.entry), (Verdict::Altered, Some(0)));
}

#[test]
fn a_reader_of_another_process_follows() {
    let key = Key::generate();
    let (_dir, path, log) = open_log(&key);
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.verifier(), key.signer().verifier());
    let mut entries = reader.entries(0).unwrap();
    assert!(entries.next().is_none());
    for round in 0..6 {
        append(&log, round * 10..round * 10 + 10);
        let seen: Vec<_> = entries.by_ref().map(Result::unwrap).collect();
        let wrote: Vec<_> = (round * 10..round * 10 + 10).map(|at| (at, entry(at))).collect();
        assert_eq!(seen, wrote);
        if round == 3 {
            log.publish().unwrap();
        }
    }
    let checkpoint = reader.checkpoint().unwrap();
    assert_eq!(checkpoint.size, 40);
    let proof = reader.inclusion_proof(7, 40).unwrap();
    verify_inclusion(&entry(7), 7, 40, &checkpoint.root, &proof).unwrap();
    let proof = reader.inclusion_proof(7, 60).unwrap();
    verify_inclusion(&entry(7), 7, 60, &log.tip().root, &proof).unwrap();
    assert_eq!(reader.entry(55).unwrap(), entry(55));
    log.close().unwrap();
}

#[test]
fn many_writers_get_an_index_each() {
    let key = Key::generate();
    let (_dir, path, log) = open_log(&key);
    let mut indices: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let log = log.clone();
                scope.spawn(move || {
                    let one =
                        |at: u64| log.submit(entry(writer * 100 + at)).unwrap().wait().unwrap();
                    (0..25).map(|at| one(at).index).collect::<Vec<u64>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    indices.sort_unstable();
    assert_eq!(indices, (0..200).collect::<Vec<_>>());
    log.close().unwrap();
    assert_eq!(verify(&path).unwrap().entries, 200);
}
