//! Opening from the last checkpoint, and what of the rest is looked at.

use crate::error::{Corruption, Error};
use crate::log::Log;
use crate::log::tests::{append, config, entry, fill, signer};
use crate::scan::segment_path;
use crate::simulation::check_files;
use crate::storage::{Access, Memory, Storage as _, Survival};
use std::sync::Arc;

/// A log of 400 entries, all published, in many segments.
fn closed() -> Memory {
    let storage = Memory::default();
    let log = Log::create_on(Arc::new(storage.clone()), signer(), config()).unwrap();
    for step in 0..4 {
        fill(&log, step * 100..step * 100 + 100);
        log.publish().unwrap();
    }
    log.close().unwrap();
    storage
}

fn open(storage: &Memory) -> Result<Log, Error> {
    Log::open_on(Arc::new(storage.clone()), signer(), config()).map(|(log, _)| log)
}

fn damage(storage: &Memory) -> Corruption {
    match open(storage) {
        Err(Error::Corrupt(found)) => *found,
        other => panic!("not refused as corrupt: {other:?}"),
    }
}

fn segments(storage: &Memory) -> Vec<u64> {
    crate::scan::list_segments(storage).unwrap()
}

fn expected(entries: u64) -> Vec<Vec<u8>> {
    (0..entries).map(entry).collect()
}

#[test]
fn finished_segments_are_not_read_and_yet_looked_at() {
    let storage = closed();
    let firsts = segments(&storage);
    assert!(8 < firsts.len());
    let early = segment_path(firsts[2]);
    let file = storage.open(&early, Access::ReadWrite).unwrap();
    // In the middle: only the verifier reads that.
    let copy = storage.copy(Survival::Everything);
    copy.flip(&early, 1_000, 1);
    open(&copy).unwrap().close().unwrap();
    // The header, the end, the length, the order.
    let bytes = storage.read(&early).unwrap();
    let end = u64::try_from(bytes.iter().rposition(|byte| *byte != 0).unwrap()).unwrap();
    for offset in [0, 20, 40, 80, 103, end, end - 100, end - 165, end + 1, 4095] {
        let copy = storage.copy(Survival::Everything);
        copy.flip(&early, offset, 1);
        assert_eq!(damage(&copy).path, early, "byte {offset}");
    }
    for (attack, named) in [
        (vec![0; 4096], &early),
        (bytes[..4000].to_vec(), &early),
        ([bytes.as_slice(), &[0]].concat(), &early),
        (storage.read(&segment_path(firsts[3])).unwrap(), &early),
    ] {
        let copy = storage.copy(Survival::Everything);
        copy.put(&early, &attack).unwrap();
        assert_eq!(damage(&copy).path, *named);
    }
    let copy = storage.copy(Survival::Everything);
    copy.remove(&early).unwrap();
    assert_eq!(
        damage(&copy),
        Corruption {
            path: early.clone(),
            offset: 0,
            entry: Some(firsts[2]),
            what: "the segment that should be here is missing".to_owned(),
        }
    );
    drop(file);
}

#[test]
fn damaged_tiles_are_reported_and_not_mended() {
    let storage = closed();
    for (path, offset) in [("tile/0/001.p/144", 5), ("tile/1/000.p/1", 31)] {
        let copy = storage.copy(Survival::Everything);
        copy.flip(path, offset, 1);
        let found = damage(&copy);
        assert_eq!(found.path, "tile", "{found}");
        let copy = storage.copy(Survival::Everything);
        copy.remove(path).unwrap();
        assert_eq!(damage(&copy).path, path);
        copy.put(path, b"short").unwrap();
        let found = damage(&copy);
        assert_eq!((found.path.as_str(), found.what.as_str()), (path, "the tile is too short"));
    }
    // When the segments are damaged too, they are what counts.
    let copy = storage.copy(Survival::Everything);
    copy.flip("tile/0/001.p/144", 5, 1);
    copy.flip(&segment_path(0), 1_000, 1);
    assert_eq!(damage(&copy).path, segment_path(0));
}

#[test]
fn entries_after_the_checkpoint_are_all_read() {
    let storage = closed();
    let log = open(&storage).unwrap();
    fill(&log, 400..430);
    drop(log);
    let storage = storage.copy(Survival::Everything);
    let firsts = segments(&storage);
    let late: Vec<_> = firsts.iter().filter(|first| 350 < **first).collect();
    for first in late {
        let copy = storage.copy(Survival::Everything);
        copy.flip(&segment_path(*first), 1_200, 1);
        assert!(damage(&copy).path.starts_with("segments/"), "{first}");
    }
    let log = open(&storage).unwrap();
    assert_eq!((log.tip().size, log.checkpoint().size), (430, 400));
    append(&log, 430..431);
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(431)), Ok(431));
}

#[test]
fn every_number_of_entries_is_opened_from_its_checkpoint() {
    let mut config = config();
    config.segment_bytes = 16 << 10;
    let storage = Memory::default();
    let shared: Arc<dyn crate::storage::Storage> = Arc::new(storage.clone());
    let mut log = Log::create_on(Arc::clone(&shared), signer(), config.clone()).unwrap();
    let mut size = 0;
    for step in [1, 1, 253, 1, 1, 254, 1, 1, 30, 226, 300] {
        fill(&log, size..size + step);
        size += step;
        log.close().unwrap();
        let (next, recovered) =
            Log::open_on(Arc::clone(&shared), signer(), config.clone()).unwrap();
        assert!(recovered.clean && recovered.entries == size, "{recovered:?}");
        assert_eq!(next.tip().root, log.tip().root);
        log = next;
    }
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(size)), Ok(size));
}

#[test]
fn a_log_of_the_first_format_version_is_refused_and_told_so() {
    let storage = closed();
    for segment in segments(&storage) {
        storage.flip(&segment_path(segment), 11, 3);
    }
    let found = damage(&storage);
    assert_eq!(found.path, segment_path(0));
    assert!(found.what.contains("version 1") && found.what.contains("new log"), "{found}");
}

#[test]
fn a_certificate_must_be_the_logs_and_in_its_place() {
    let storage = Memory::default();
    let log = Log::create_on(Arc::new(storage.clone()), signer(), config()).unwrap();
    append(&log, 0..3);
    let length = u64::try_from(log.epoch().len()).unwrap();
    drop(log);
    for offset in [104 + 9, 104 + 9 + 40, 104 + 9 + length - 5] {
        let copy = storage.copy(Survival::Everything);
        copy.flip(&segment_path(0), offset, 1);
        assert_eq!(damage(&copy).path, segment_path(0));
    }
    // The certificate of another epoch, whole and with a good checksum.
    let other = Memory::default();
    let log = Log::create_on(Arc::new(other.clone()), signer(), config()).unwrap();
    append(&log, 0..3);
    drop(log);
    let frame = usize::try_from(9 + length).unwrap();
    let file = storage.open(&segment_path(0), Access::ReadWrite).unwrap();
    let bytes = other.read(&segment_path(0)).unwrap();
    file.write_at(&bytes[104..104 + frame], 104).unwrap();
    file.sync().unwrap();
    let found = damage(&storage.copy(Survival::Everything));
    assert!(found.what.contains("not signed by the key of its epoch"), "{found}");
}
