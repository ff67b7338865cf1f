//! Opening a log that was tampered with: it is refused, or holds exactly what was written, and goes
//! on as if nothing had happened. Entries that the checkpoint covers are not read when a log is opened:
//! damage there shows when they are read, and what checksums cannot tell, the verifier does.

use crate::tlog_sample::{Damage, config, damage, disk, root, signer};
use std::sync::Arc;
use tlog::storage::{Memory, Survival};
use tlog::{Checkpoint, Error, Lines, Log, Recovered};

/// The input lists changes to the files of a log, which is then opened for writing.
pub fn tlog_open(data: &[u8]) {
    let damage = damage(data);
    let memory = disk(&damage.files);
    let Ok((log, recovered)) = open(&memory) else { return };
    let Some(count) = check_prefix(&damage, &log, recovered) else {
        log.close().ok();
        return;
    };
    check_reader(&damage, &log, count);

    // It goes on: what is acknowledged now is there however the process ends.
    let new = format!("new entry {count}").into_bytes();
    let committed = log.submit(new.clone()).and_then(tlog::Pending::wait);
    let committed = committed.expect("an open log takes entries");
    assert_eq!(committed.index, count);
    let mut expected = damage.sample.entries[..index(count)].to_vec();
    expected.push(new);
    assert_eq!(committed.root(), root(&expected));
    let (left, closed) = if damage.choice & 4 == 0 {
        let closed = log.close();
        // Tiles are not read when a log is opened: damage there shows when they are continued.
        let only_tiles = matches!(closed, Err(Error::Corrupt(_) | Error::Poisoned { .. }));
        assert!(closed.is_ok() || only_tiles, "{closed:?}");
        (memory, closed.is_ok())
    } else {
        let survival = SURVIVALS[usize::from(damage.choice >> 3 & 3)];
        let left = memory.crash(survival);
        // The rest falls on a machine that stopped: only the thread is waited for.
        log.close().expect_err("a stopped machine cannot close a log");
        (left, false)
    };
    let (log, recovered) = open(&left).expect("a log that was opened and went on opens again");
    assert!(!closed || recovered.clean, "a closed log is not clean");
    check_stored(&damage, &log, &expected);
    log.close().ok();
}

fn open(memory: &Memory) -> Result<(Log, Recovered), Error> {
    Log::open_on(Arc::new(memory.clone()), signer(), config())
}

/// All entries; `None` when some that the checkpoint covers cannot be read.
fn stored(log: &Log) -> Option<Vec<Vec<u8>>> {
    let entries = log.reader().entries(0).ok()?;
    entries.map(|entry| Some(entry.ok()?.1)).collect()
}

/// Holds what can be read against what was written.
fn check_stored(damage: &Damage, log: &Log, expected: &[Vec<u8>]) {
    let covered = index(log.checkpoint().size);
    let Some(entries) = stored(log) else { return };
    assert_eq!(entries.len(), expected.len());
    for (at, (entry, expected)) in entries.iter().zip(expected).enumerate() {
        // Where checksums were mended, only hashes tell, which are not computed here.
        let unread = damage.mended && at < covered;
        assert!(entry == expected || unread, "entry {at} was never written");
    }
}

/// The entries are a prefix of what was written, up to the end of a batch, and no shorter than the
/// checkpoint says.
fn check_prefix(damage: &Damage, log: &Log, recovered: Recovered) -> Option<u64> {
    let sample = damage.sample;
    let tip = log.tip();
    assert_eq!(recovered.entries, tip.size);
    check_stored(damage, log, &sample.entries[..index(tip.size)]);
    assert_eq!(sample.batches.get(&tip.size), Some(&tip.root), "no batch ends here");
    let note = &damage.files["checkpoint"];
    assert!(sample.notes.contains(note), "a checkpoint that the log never signed");
    let checkpoint = Checkpoint::verify(note, log.verifier(), Lines::LogOnly);
    let checkpoint = checkpoint.expect("a log opens with its own checkpoint only");
    assert!(checkpoint.size <= tip.size, "entries of the checkpoint are gone");
    assert_eq!(log.checkpoint(), checkpoint);
    stored(log).map(|_| tip.size)
}

/// The tiles are taken as they are; where they are untouched, so is what is read from them.
fn check_reader(damage: &Damage, log: &Log, count: u64) {
    let sample = damage.sample;
    let tiles_are_untouched = sample
        .files
        .iter()
        .all(|(path, bytes)| !path.starts_with("tile/") || damage.files.get(path) == Some(bytes));
    // The crash came before the tiles of the last checkpoint were written.
    let has_tiles = sample.closed || Some(&damage.files["checkpoint"]) != sample.notes.last();
    let untouched = tiles_are_untouched && has_tiles;
    let mut reader = log.reader();
    for at in [0, count / 2, count.saturating_sub(1), count] {
        let entry = reader.entry(at);
        let proof = reader.inclusion_proof(at, count);
        if untouched && at < count {
            let expected = &sample.entries[index(at)];
            assert_eq!(entry.as_ref().ok(), Some(expected), "entry {at}");
            let proof = proof.expect("an entry that is there has a proof");
            let verified = tlog::verify_inclusion(expected, at, count, &log.tip().root, &proof);
            verified.expect("the proof holds");
        } else if count <= at {
            assert!(entry.is_err() && proof.is_err(), "an entry beyond the end");
        }
    }
    let (root, consistency) = (reader.root(count), reader.consistency_proof(count / 2, count));
    if untouched {
        assert_eq!(root.ok(), Some(log.tip().root));
        assert!(consistency.is_ok());
    }
}

fn index(count: u64) -> usize {
    usize::try_from(count).expect("a small number")
}

const SURVIVALS: [Survival; 4] =
    [Survival::Nothing, Survival::Everything, Survival::FirstHalf, Survival::Holes];
