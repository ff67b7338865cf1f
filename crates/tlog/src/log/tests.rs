//! The behaviour of an open log, on a disk in memory.

use crate::batch::Committed;
use crate::config::Config;
use crate::error::Error;
use crate::log::Log;
use crate::queue::{Entry, Submission, Urgency};
use crate::scan::{SPARE, segment_path};
use crate::simulation::naive_root;
use crate::storage::{Fault, FaultKind, Memory, Storage as _, Survival};
use note::{Epoch, Hash, Signer, TILE_WIDTH, leaf_hash, verify_consistency, verify_inclusion};
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use verify::Entries::Opaque;
use verify::{Directory, Failure, Options, Report, Verdict};

pub(super) fn signer() -> Signer {
    Signer::from_seed("example.com/log", note::Algorithm::Ed25519, &[7; 32]).unwrap()
}

pub(super) fn config() -> Config {
    let mut config = Config::new(Arc::new(|| 1_700_000_000_000));
    config.segment_bytes = 4096;
    config
}

pub(super) fn entry(index: u64) -> Vec<u8> {
    let length = usize::try_from(index * 37 % 500).unwrap() + 8;
    (0..length).map(|at| u8::try_from(at % 251).unwrap() ^ index.to_be_bytes()[7]).collect()
}

pub(super) fn append(log: &Log, range: std::ops::Range<u64>) -> Vec<Committed> {
    range.map(|index| log.submit(entry(index)).unwrap().wait().unwrap()).collect()
}

/// Appends these entries in as few batches as can be.
pub(super) fn fill(log: &Log, range: std::ops::Range<u64>) -> Vec<Committed> {
    let entries: Vec<_> = range.map(entry).collect();
    log.submit_all(&entries).into_iter().map(|one| one.wait().unwrap()).collect()
}

pub(super) fn stored(log: &Log) -> Vec<Vec<u8>> {
    log.reader().entries(0).unwrap().map(|entry| entry.unwrap().1).collect()
}

pub(super) fn verified(storage: &Memory) -> Result<Report, Failure> {
    let dir = tempfile::tempdir().unwrap();
    storage.copy_to(dir.path()).unwrap();
    let options = Options { entries: Opaque, ..Options::default() };
    verify::verify(&Directory::new(dir.path()), &options, &mut ())
}

fn naive(count: u64) -> Hash {
    naive_root(&(0..count).map(|index| leaf_hash(&entry(index))).collect::<Vec<_>>())
}

/// Where the first entry of the first segment stands.
fn first_entry(log: &Log) -> u64 {
    104 + 9 + u64::try_from(log.epoch().len()).unwrap() + 9
}

fn create() -> (Memory, Log) {
    let storage = Memory::default();
    let log = Log::create_on(Arc::new(storage.clone()), signer(), config()).unwrap();
    (storage, log)
}

fn reopen(storage: &Memory) -> Result<Log, Error> {
    Log::open_on(Arc::new(storage.clone()), signer(), config()).map(|(log, _)| log)
}

#[test]
fn an_empty_log_is_a_log() {
    let (storage, log) = create();
    assert_eq!(log.tip().size, 0);
    assert_eq!(log.tip().root, Hash::EMPTY_ROOT);
    assert_eq!(log.publish().unwrap(), None);
    log.close().unwrap();
    let report = verified(&storage).unwrap();
    assert_eq!((report.entries, report.first_time_ms, report.checkpoint_size), (0, None, 0));
    let (log, recovered) = Log::open_on(Arc::new(storage.clone()), signer(), config()).unwrap();
    assert!(recovered.clean);
    append(&log, 0..1);
    log.close().unwrap();
    assert_eq!(verified(&storage).unwrap().entries, 1);
}

#[test]
fn receipts_name_the_place_and_are_signed() {
    let (storage, log) = create();
    for (index, committed) in (0..).zip(append(&log, 0..30)) {
        assert_eq!(committed.index, index);
        assert_eq!(committed.leaf_hash, leaf_hash(&entry(index)));
        assert_eq!(committed.tree_size(), index + 1);
        assert_eq!(committed.root(), naive(index + 1));
        let (epoch, certificate) = Epoch::parse(committed.epoch.as_bytes()).unwrap();
        certificate.verify(log.verifier()).unwrap();
        assert_eq!(&committed.epoch, log.epoch());
        committed.batch.verify("example.com/log", &epoch.key).unwrap();
        assert!(committed.batch.verify("example.com/log", log.verifier()).is_err());
        let mut other = (*committed.batch).clone();
        other.time_ms += 1;
        assert!(other.verify("example.com/log", &epoch.key).is_err());
        let proof = committed.proof();
        verify_inclusion(&entry(index), index, index + 1, &committed.root(), &proof).unwrap();
    }
    assert!(2 < storage.list("segments").unwrap().len(), "several segments were filled");
    assert_eq!(log.tip().root, naive(30));
    log.close().unwrap();
    let report = verified(&storage).unwrap();
    assert_eq!((report.entries, report.root), (30, naive(30)));
    assert_eq!(report.first_time_ms, Some(1_700_000_000_000));
}

#[test]
fn entries_have_one_byte_to_what_a_segment_holds() {
    let (_, log) = create();
    let certificate = 9 + crate::epoch::certificate_bytes_max("example.com/log").unwrap();
    let max = 4096 - 104 - certificate - 9 - 166;
    let refused = log.submit(Vec::new()).unwrap_err();
    assert!(matches!(refused, Error::EntrySize { bytes: 0, .. }));
    let refused = log.submit(vec![1; max + 1]).unwrap_err();
    assert!(matches!(refused, Error::EntrySize { max: stated, .. } if stated == max));
    for bytes in [max, 1, max, max - 1] {
        log.submit(vec![1; bytes]).unwrap().wait().unwrap();
    }
    log.close().unwrap();

    let mut config = config();
    config.segment_bytes = 1 << 20;
    let storage = Memory::default();
    let log = Log::create_on(Arc::new(storage.clone()), signer(), config).unwrap();
    assert!(log.submit(vec![1; 65_536]).is_err());
    log.submit(vec![1; 65_535]).unwrap().wait().unwrap();
    log.close().unwrap();
    assert_eq!(verified(&storage).unwrap().entries, 1);
}

#[test]
fn a_full_queue_refuses_at_once() {
    // The clock runs in the committer: while it waits, the queue fills.
    let (entered, at_clock) = mpsc::channel();
    let (go, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let mut config = Config::new(Arc::new(move || {
        if std::thread::current().name() == Some("tlog-commit") {
            entered.send(()).ok();
            released.lock().unwrap().recv().ok();
        }
        5
    }));
    config.monotonic = Arc::new(|| 0);
    config.segment_bytes = 4096;
    config.queue_entries = 3;
    let log = Log::create_on(Arc::new(Memory::default()), signer(), config).unwrap();
    let first = log.submit(entry(0)).unwrap();
    at_clock.recv().unwrap();
    let waiting: Vec<_> = (1..4).map(|index| log.submit(entry(index)).unwrap()).collect();
    assert!(matches!(log.submit(entry(4)), Err(Error::QueueFull { entries: 3 })));
    drop(go);
    assert_eq!(first.wait().unwrap().index, 0);
    let batches: Vec<_> = waiting.into_iter().map(|one| one.wait().unwrap().batch).collect();
    assert_eq!(batches[0].count, 3, "what gathered is one batch");
    assert_eq!(batches[0], batches[2]);
    log.submit(entry(4)).unwrap().wait().unwrap();
    log.close().unwrap();
}

#[test]
fn a_closed_log_refuses_and_lets_go() {
    let (storage, log) = create();
    let pending = log.submit(entry(0)).unwrap();
    assert!(matches!(reopen(&storage), Err(Error::Locked)));
    log.close().unwrap();
    assert_eq!(pending.wait().unwrap().index, 0, "what waited was committed");
    assert_eq!(log.checkpoint().size, 1, "and published");
    assert!(matches!(log.submit(entry(1)), Err(Error::Closed)));
    assert!(matches!(log.health(), Err(Error::Closed)));
    log.close().unwrap();
    reopen(&storage).unwrap().close().unwrap();
}

#[test]
fn the_directory_must_be_new_or_a_log() {
    let (storage, log) = create();
    log.close().unwrap();
    let again = Log::create_on(Arc::new(storage.clone()), signer(), config());
    assert!(matches!(again, Err(Error::Exists(_))));
    assert!(matches!(reopen(&Memory::default()), Err(Error::NotALog(_))));
    let other = Signer::from_seed("example.com/log", note::Algorithm::Ed25519, &[8; 32]).unwrap();
    let wrong = Log::open_on(Arc::new(storage), other, config());
    assert!(matches!(wrong, Err(Error::WrongKey { .. })));
    let mut small = config();
    small.segment_bytes = 4095;
    let refused = Log::create_on(Arc::new(Memory::default()), signer(), small);
    assert!(matches!(refused, Err(Error::Config(_))));
}

#[test]
fn a_removed_or_replaced_segment_is_seen_by_the_next_append() {
    for attack in [Memory::unlink, Memory::replace] {
        let (storage, log) = create();
        append(&log, 0..2);
        attack(&storage, &segment_path(0));
        let answer = log.submit(entry(2)).unwrap().wait();
        assert!(matches!(answer, Err(Error::Poisoned { .. })));
        assert!(matches!(log.health(), Err(Error::Poisoned { .. })));
        assert_eq!(log.tip().size, 2);
        assert!(matches!(log.publish(), Err(Error::Poisoned { .. })));
        assert!(matches!(log.close(), Err(Error::Poisoned { .. })));
    }
}

#[test]
fn a_removed_or_replaced_segment_is_seen_by_an_idle_log() {
    for attack in [Memory::unlink, Memory::replace] {
        let (storage, log) = create();
        append(&log, 0..2);
        log.health().unwrap();
        attack(&storage, &segment_path(0));
        assert!(matches!(log.health(), Err(Error::Poisoned { .. })));
        assert!(matches!(log.submit(entry(2)), Err(Error::Poisoned { .. })));
    }
}

#[test]
fn a_replaced_lock_file_stops_the_log() {
    let (storage, log) = create();
    storage.replace("lock");
    assert!(matches!(log.health(), Err(Error::Poisoned { .. })));
}

#[test]
fn too_little_room_refuses_until_there_is_more() {
    let storage = Memory::default();
    let mut limited = config();
    limited.free_bytes_min = 10_000;
    let log = Log::create_on(Arc::new(storage.clone()), signer(), limited).unwrap();
    append(&log, 0..1);
    storage.set_free_bytes(9_999);
    assert!(matches!(log.health(), Err(Error::DiskFull { free: 9_999, min: 10_000 })));
    let answers = (1..200).map(|index| log.submit(entry(index)).unwrap().wait());
    let refused = answers.filter(Result::is_err).count();
    assert!(0 < refused, "seen within some commits");
    storage.set_free_bytes(u64::MAX);
    log.health().unwrap();
    log.submit(entry(0)).unwrap().wait().unwrap();
    log.close().unwrap();
    verified(&storage).unwrap();
}

#[test]
fn nothing_is_published_that_is_not_stored() {
    for path in [segment_path(0), "tile/0/000.p/3".to_owned()] {
        let (storage, log) = create();
        append(&log, 0..3);
        log.publish().unwrap();
        append(&log, 3..4);
        // A bit flips in an entry, or in a tile that is read back.
        let offset = if path.starts_with("seg") { first_entry(&log) + 2 } else { 0 };
        storage.flip(&path, offset, 1);
        let published = log.publish();
        if path.starts_with("seg") {
            assert!(matches!(published, Err(Error::Corrupt(_))), "{path}");
            assert_eq!(log.checkpoint().size, 3);
            assert!(matches!(log.submit(entry(4)), Err(Error::Poisoned { .. })));
        } else {
            published.unwrap();
            assert_eq!(verified(&storage).unwrap_err().path, path);
        }
    }
}

#[test]
fn a_root_that_the_stored_entries_do_not_have_is_never_signed() {
    let (storage, log) = create();
    append(&log, 0..3);
    log.publish().unwrap();
    // A bit of a leaf hash flips in memory: what is stored is well formed.
    let (reply, answer) = tokio::sync::oneshot::channel();
    let flipped = Entry { leaf_hash: leaf_hash(b"flipped"), ..entry(3).into() };
    let submission = Submission { entry: flipped, urgency: Urgency::Now, reply };
    log.handle.shared.queue.push(submission).unwrap();
    answer.blocking_recv().unwrap().unwrap();
    let note = storage.read("checkpoint").unwrap();
    assert!(matches!(log.publish(), Err(Error::Corrupt(found)) if found.path == "tile"));
    assert_eq!(storage.read("checkpoint").unwrap(), note);
    assert!(matches!(log.submit(entry(4)), Err(Error::Poisoned { .. })));
    drop(log);
    assert!(matches!(reopen(&storage.crash(Survival::Nothing)), Err(Error::Corrupt(_))));
}

#[test]
fn a_tile_that_is_already_there_must_be_the_same() {
    let (storage, log) = create();
    append(&log, 0..3);
    log.publish().unwrap();
    log.close().unwrap();
    // The checkpoint is rolled back, and a tile has another content.
    let old =
        note::Checkpoint { origin: "example.com/log".to_owned(), size: 0, root: Hash::EMPTY_ROOT };
    storage.put("checkpoint", old.sign(&signer()).unwrap().as_bytes()).unwrap();
    let log = reopen(&storage).unwrap();
    storage.flip("tile/0/000.p/3", 5, 1);
    assert!(matches!(log.publish(), Err(Error::Corrupt(found)) if found.path == "tile/0/000.p/3"));
    assert!(matches!(log.health(), Err(Error::Poisoned { .. })));
}

#[test]
fn publishing_covers_many_tiles_and_goes_on_after_a_restart() {
    let mut config = config();
    config.segment_bytes = 64 << 10;
    let storage = Memory::default();
    let shared: Arc<dyn crate::storage::Storage> = Arc::new(storage.clone());
    let mut log = Log::create_on(Arc::clone(&shared), signer(), config.clone()).unwrap();
    let width = u64::from(TILE_WIDTH);
    let mut size = 0;
    for step in [1, 255, 1, 300, 2, width * 3 - 47, 20] {
        let pending: Vec<_> =
            (size..size + step).map(|index| log.submit(entry(index)).unwrap()).collect();
        for one in pending {
            one.wait().unwrap();
        }
        size += step;
        let checkpoint = log.publish().unwrap().unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (size, naive(size)));
        if step != 300 {
            log.close().unwrap();
            let report = verified(&storage).unwrap();
            assert_eq!((report.entries, report.checkpoint_size), (size, size));
            let opened = Log::open_on(Arc::clone(&shared), signer(), config.clone()).unwrap();
            assert!(opened.1.clean);
            log = opened.0;
        }
    }
    assert!(storage.read("tile/0/000").is_ok());
    assert!(storage.list("tile/0/000.p").is_err(), "partial tiles made room");
    assert!(storage.read(&format!("tile/1/000.p/{}", size / width)).is_ok());
}

#[test]
fn readers_follow_a_live_log_across_segments() {
    let (storage, log) = create();
    let mut committed = log.committed();
    let mut follower = log.reader().entries(0).unwrap();
    let mut late = log.reader().entries(25).unwrap();
    assert!(follower.next().is_none());
    let mut seen = 0;
    for round in 0..10 {
        append(&log, round * 5..round * 5 + 5);
        assert!(committed.has_changed().unwrap());
        assert_eq!(committed.borrow_and_update().size, round * 5 + 5);
        while let Some((index, bytes)) = follower.next_entry().unwrap() {
            assert_eq!((index, bytes), (seen, entry(seen).as_slice()));
            seen += 1;
        }
        assert_eq!(seen, round * 5 + 5);
        assert_eq!(follower.cursor(), seen);
    }
    let rest: Vec<u64> = late.by_ref().map(|entry| entry.unwrap().0).collect();
    assert_eq!(rest, (25..50).collect::<Vec<_>>());
    assert!(late.next().is_none());
    assert!(3 < storage.list("segments").unwrap().len());
}

#[test]
fn a_follower_never_sees_what_is_not_durable() {
    let (storage, log) = create();
    append(&log, 0..2);
    let mut follower = log.reader().entries(2).unwrap();
    // The write arrives and the sync fails: the bytes can be read, and are not
    // committed.
    let operation = storage.operations() + 1;
    storage.plan(Fault { operation, kind: FaultKind::NotPersisted, lasting: true });
    assert!(log.submit(entry(2)).unwrap().wait().is_err());
    assert!(follower.next_entry().unwrap().is_none());
}

#[test]
fn a_follower_reports_damage_instead_of_waiting() {
    let (storage, log) = create();
    append(&log, 0..3);
    let second = first_entry(&log) + 8 + 166 + 9;
    storage.flip(&segment_path(0), second, 1);
    let mut follower = log.reader().entries(0).unwrap();
    assert_eq!(follower.next_entry().unwrap().unwrap().0, 0);
    let Err(Error::Corrupt(found)) = follower.next_entry() else { panic!("not seen") };
    assert_eq!((found.path, found.entry), (segment_path(0), Some(1)));
}

#[test]
fn single_entries_and_proofs_before_and_after_publication() {
    let mut config = config();
    config.segment_bytes = 32 << 10;
    let log = Log::create_on(Arc::new(Memory::default()), signer(), config).unwrap();
    let mut reader = log.reader();
    append(&log, 0..300);
    log.publish().unwrap();
    append(&log, 300..330);
    for index in [0, 17, 255, 256, 299, 300, 329, 5, 310] {
        assert_eq!(reader.entry(index).unwrap(), entry(index), "{index}");
    }
    let missing = reader.entry(330);
    assert!(matches!(missing, Err(Error::OutOfRange { index: 330, size: 330 })));
    for size in [1, 2, 255, 256, 257, 300, 301, 329, 330] {
        let root = naive(size);
        assert_eq!(reader.root(size).unwrap(), root);
        for index in [0, size / 2, size - 1] {
            let proof = reader.inclusion_proof(index, size).unwrap();
            verify_inclusion(&entry(index), index, size, &root, &proof).unwrap();
        }
        let proof = reader.consistency_proof(size, 330).unwrap();
        verify_consistency((size, &root), (330, &naive(330)), &proof).unwrap();
    }
    assert!(matches!(reader.root(331), Err(Error::OutOfRange { .. })));
    assert!(reader.inclusion_proof(5, 5).is_err());
    append(&log, 330..331);
    log.publish().unwrap();
    assert_eq!(reader.root(331).unwrap(), naive(331));
    assert_eq!(reader.entry(330).unwrap(), entry(330));
}

#[test]
fn an_unfinished_write_is_taken_away_and_told() {
    // Half of the write, or every second sector of it, is on the disk.
    for operation in [0, 1] {
        let (storage, log) = create();
        append(&log, 0..2);
        let operation = storage.operations() + operation;
        storage.plan(Fault { operation, kind: FaultKind::Torn, lasting: true });
        assert!(log.submit(vec![9; 1500]).unwrap().wait().is_err());
        let storage = storage.crash(Survival::Nothing);
        let failure = verified(&storage).unwrap_err();
        assert_eq!(failure.verdict, Verdict::UnfinishedTail, "{failure}");
        assert_eq!((failure.path, failure.entry), (segment_path(0), Some(2)));
        let (log, recovered) = Log::open_on(Arc::new(storage.clone()), signer(), config()).unwrap();
        assert!(!recovered.clean && 500 < recovered.bytes_dropped);
        assert_eq!(recovered.entries, 2);
        append(&log, 2..4);
        log.close().unwrap();
        assert_eq!(verified(&storage).unwrap().entries, 4);
    }
}

#[test]
fn an_altered_end_is_refused_and_not_taken_for_an_unfinished_one() {
    let (storage, log) = create();
    append(&log, 0..3);
    drop(log);
    let storage = storage.crash(Survival::Nothing);
    // Entry 2 is in no checkpoint: only the judgement of the end protects it.
    let segment = storage.read(&segment_path(0)).unwrap();
    let last = segment.iter().rposition(|byte| *byte != 0).unwrap();
    for offset in last - 300..=last {
        let copy = storage.copy(Survival::Nothing);
        copy.flip(&segment_path(0), u64::try_from(offset).unwrap(), 0x10);
        assert!(matches!(reopen(&copy), Err(Error::Corrupt(_))), "byte {offset}");
        assert_eq!(verified(&copy).unwrap_err().verdict, Verdict::Altered, "byte {offset}");
    }
}

#[test]
fn a_checkpoint_beyond_the_segments_is_refused() {
    let (storage, log) = create();
    append(&log, 0..20);
    log.publish().unwrap();
    let old = storage.read(&segment_path(0)).unwrap();
    log.close().unwrap();
    let names = storage.list("segments").unwrap();
    // The last segment is gone: an older copy of the directory.
    let last = format!("segments/{}", names.iter().max().unwrap());
    storage.remove(&last).unwrap();
    let Err(Error::Corrupt(found)) = reopen(&storage) else { panic!("rollback not seen") };
    assert_eq!(found.path, "checkpoint");
    assert_eq!(verified(&storage).unwrap_err().verdict, Verdict::Truncated);
    // The first one is gone.
    storage.put(&last, &old).unwrap();
    storage.remove(&segment_path(0)).unwrap();
    assert!(
        matches!(reopen(&storage), Err(Error::Corrupt(found)) if found.path == segment_path(0))
    );
}

#[test]
fn a_checkpoint_with_another_root_is_refused() {
    let (storage, log) = create();
    append(&log, 0..5);
    log.close().unwrap();
    let forked = note::Checkpoint { origin: "example.com/log".to_owned(), size: 4, root: naive(5) };
    storage.put("checkpoint", forked.sign(&signer()).unwrap().as_bytes()).unwrap();
    assert!(matches!(reopen(&storage), Err(Error::Corrupt(_))));
    let failure = verified(&storage).unwrap_err();
    assert_eq!((failure.verdict, failure.path.as_str()), (Verdict::Altered, "checkpoint"));
}

#[test]
fn an_answer_can_be_polled_without_a_runtime() {
    let (_, log) = create();
    let mut first = log.submit(entry(0)).unwrap();
    append(&log, 1..2);
    // Answers come in order, so the first is there when the second is.
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(answer) = Pin::new(&mut first).poll(&mut context) else { panic!("not there") };
    assert_eq!(answer.unwrap().index, 0);
}

#[test]
fn a_spare_segment_is_made_ahead_and_gone_after_closing() {
    let (storage, log) = create();
    append(&log, 0..1);
    log.publish().unwrap();
    assert!(storage.read(SPARE).is_err(), "too early");
    log.submit(vec![1; 2000]).unwrap().wait().unwrap();
    log.publish().unwrap();
    assert_eq!(storage.read(SPARE).unwrap(), [0; 4096]);
    let operations = storage.operations();
    log.submit(vec![1; 3000]).unwrap().wait().unwrap();
    // Rename, sync of the directory, write, sync: no segment was filled.
    assert_eq!(storage.operations() - operations, 4);
    assert!(storage.read(SPARE).is_err(), "in use");
    log.publish().unwrap();
    assert!(storage.read(SPARE).is_ok());
    log.close().unwrap();
    assert!(storage.read(SPARE).is_err());
    assert_eq!(verified(&storage).unwrap().entries, 3);
}

#[test]
fn a_panic_in_the_clock_stops_the_log_and_answers() {
    let mut config = Config::new(Arc::new(|| {
        assert_ne!(std::thread::current().name(), Some("tlog-commit"), "the clock broke");
        5
    }));
    config.segment_bytes = 4096;
    let log = Log::create_on(Arc::new(Memory::default()), signer(), config).unwrap();
    let answer = log.submit(entry(0)).unwrap().wait();
    assert!(matches!(answer, Err(Error::Poisoned { .. })));
    assert!(matches!(log.submit(entry(1)), Err(Error::Poisoned { .. })));
    assert!(log.close().is_err());
}
