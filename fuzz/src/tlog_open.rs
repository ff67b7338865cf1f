//! Opening a log that was tampered with: it is refused, or holds exactly what was written, and goes
//! on as if nothing had happened.

use crate::tlog_sample::{Damage, config, damage, disk, root, signer};
use std::sync::Arc;
use tlog::storage::{Memory, Survival};
use tlog::{Checkpoint, Error, Lines, Log, Recovered};

/// The input lists changes to the files of a log, which is then opened for writing.
pub fn tlog_open(data: &[u8]) {
    let damage = damage(data);
    let memory = disk(&damage.files);
    let Ok((log, recovered)) = open(&memory) else { return };
    let count = check_prefix(&damage, &log, recovered);
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
    assert_eq!(stored(&log), expected);
    log.close().ok();
}

fn open(memory: &Memory) -> Result<(Log, Recovered), Error> {
    Log::open_on(Arc::new(memory.clone()), signer(), config())
}

fn stored(log: &Log) -> Vec<Vec<u8>> {
    let entries = log.reader().entries(0).expect("an open log has segments");
    entries.map(|entry| entry.expect("an open log is whole").1).collect()
}

/// The entries are a prefix of what was written, up to the end of a batch, and no shorter than the
/// checkpoint says.
fn check_prefix(damage: &Damage, log: &Log, recovered: Recovered) -> u64 {
    let sample = damage.sample;
    let entries = stored(log);
    let tip = log.tip();
    assert_eq!(recovered.entries, tip.size);
    assert_eq!(index(tip.size), entries.len());
    assert!(sample.entries.starts_with(&entries), "an entry that was never written");
    assert_eq!(sample.batches.get(&tip.size), Some(&tip.root), "no batch ends here");
    let note = &damage.files["checkpoint"];
    assert!(sample.notes.contains(note), "a checkpoint that the log never signed");
    let checkpoint = Checkpoint::verify(note, log.verifier(), Lines::LogOnly);
    let checkpoint = checkpoint.expect("a log opens with its own checkpoint only");
    assert!(checkpoint.size <= tip.size, "entries of the checkpoint are gone");
    assert_eq!(log.checkpoint(), checkpoint);
    tip.size
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
