//! Attackers who know the format.

use crate::{Key, append, closed_log, config, entry, files, judge, verify, write_files};
use std::collections::BTreeMap;
use std::path::Path;
use tlog::{Checkpoint, Error, Hash, Lines, Log, leaf_hash, node_hash};
use verify::{Failure, Verdict};

/// Where the body of an entry is: the file and the offset.
fn find(files: &BTreeMap<String, Vec<u8>>, prefix: &str, index: u64) -> (String, usize) {
    let wanted = entry(index);
    let mut all = files.iter().filter(|(path, _)| path.starts_with(prefix));
    all.find_map(|(path, bytes)| {
        let at = bytes.windows(wanted.len()).position(|window| window == wanted)?;
        Some((path.clone(), at))
    })
    .unwrap()
}

fn check(log: &Path) -> Failure {
    verify(log).unwrap_err()
}

/// Makes the checksum of the frame fit its body again.
fn mend_checksum(bytes: &mut [u8], body: usize) {
    let length = u32::from_be_bytes(bytes[body - 9..body - 5].try_into().unwrap());
    let length_usize = usize::try_from(length).unwrap();
    let covered =
        [&bytes[body - 9..body - 5], &bytes[body - 1..body], &bytes[body..body + length_usize]]
            .concat();
    let checksum = crc32c::crc32c(&covered).to_be_bytes();
    bytes[body - 5..body - 1].copy_from_slice(&checksum);
}

#[test]
fn an_altered_entry_is_named_even_with_a_good_checksum() {
    let key = Key::generate();
    let dir = closed_log(&key, 60);
    let log = dir.path().join("log");
    let original = files(&log);
    for index in [0, 13, 37, 59] {
        let (path, at) = find(&original, "segments/", index);
        let mut altered = original.clone();
        altered.get_mut(&path).unwrap()[at + 1] ^= 4;
        write_files(&log, &altered);
        let failure = check(&log);
        assert_eq!((failure.verdict, failure.entry), (Verdict::Altered, Some(index)));
        assert_eq!(failure.path, path);
        mend_checksum(altered.get_mut(&path).unwrap(), at);
        write_files(&log, &altered);
        let failure = check(&log);
        assert_eq!((failure.verdict, failure.entry), (Verdict::Altered, Some(index)), "{failure}");
        assert_eq!(failure.path, path);
        assert!(matches!(Log::open(&log, key.signer(), config()), Err(Error::Corrupt(_))));
        // The bundle says the same: the tree does not.
        let (bundle, position) = find(&original, "tile/entries", index);
        altered.get_mut(&bundle).unwrap()[position + 1] ^= 4;
        write_files(&log, &altered);
        assert_eq!(check(&log).entry, Some(index));
        write_files(&log, &original);
    }
    // The bundle alone.
    let (bundle, at) = find(&original, "tile/entries", 20);
    let mut altered = original;
    altered.get_mut(&bundle).unwrap()[at] ^= 1;
    write_files(&log, &altered);
    let failure = check(&log);
    assert_eq!((failure.path, failure.entry), (bundle, Some(20)));
    assert_eq!(failure.offset, u64::try_from(at).ok());
}

#[test]
fn a_whole_log_rewritten_under_another_key_is_found() {
    let (key, thief) = (Key::generate(), Key::generate());
    let dir = closed_log(&thief, 20);
    let log = dir.path().join("log");
    let (signer, key_alone) = (key.signer(), |log: &Path, pinned: &tlog::Verifier| {
        judge(log, &[pinned], &[]).unwrap_err().verdict
    });
    assert_eq!(key_alone(&log, signer.verifier()), Verdict::WrongKey);
    // With the right key line put in, the segments belong to another log.
    let line = format!("{}\n", signer.verifier().to_text());
    std::fs::write(log.join("origin.vkey"), line).unwrap();
    assert_eq!(key_alone(&log, signer.verifier()), Verdict::WrongKey);
}

#[test]
fn a_batch_signed_by_another_key_is_found() {
    let (key, thief) = (Key::generate(), Key::generate());
    let (own, other) = (closed_log(&key, 5), closed_log(&thief, 5));
    let (own, other) = (own.path().join("log"), other.path().join("log"));
    let segment = "segments/00000000000000000000.seg";
    let mut bytes = files(&other)[segment].clone();
    // The header of the right log, before the batches of the other.
    bytes[..104].copy_from_slice(&files(&own)[segment][..104]);
    std::fs::write(own.join(segment), bytes).unwrap();
    let failure = check(&own);
    assert_eq!((failure.verdict, failure.path.as_str()), (Verdict::WrongKey, segment));
    assert!(matches!(Log::open(&own, key.signer(), config()), Err(Error::Corrupt(_))));
}

#[test]
fn a_rolled_back_log_is_found_by_a_checkpoint_kept_elsewhere() {
    let key = Key::generate();
    let dir = closed_log(&key, 20);
    let log = dir.path().join("log");
    let old = files(&log);
    let (open, _) = Log::open(&log, key.signer(), config()).unwrap();
    append(&open, 20..40);
    open.close().unwrap();
    let note = std::fs::read(log.join("checkpoint")).unwrap();
    let report = judge(&log, &[], &[&note]).unwrap();
    assert_eq!((report.entries, report.given_sizes), (40, vec![40]));

    // An older checkpoint holds of a log that grew.
    let earlier = &old["checkpoint"];
    assert_eq!(judge(&log, &[], &[earlier]).unwrap().given_sizes, [20]);

    // All of an older copy: consistent with itself, not with what was seen.
    std::fs::remove_dir_all(&log).unwrap();
    write_files(&log, &old);
    verify(&log).unwrap();
    let failure = judge(&log, &[], &[&note]).unwrap_err();
    assert_eq!((failure.verdict, failure.entry), (Verdict::Truncated, Some(20)));

    // Older segments with the newer checkpoint.
    std::fs::write(log.join("checkpoint"), note).unwrap();
    assert_eq!(check(&log).verdict, Verdict::Truncated);
    let Err(Error::Corrupt(found)) = Log::open(&log, key.signer(), config()) else {
        panic!("a rollback was opened")
    };
    assert_eq!((found.path.as_str(), found.entry), ("checkpoint", Some(20)));
}

#[test]
fn another_history_under_the_same_key_is_found() {
    let key = Key::generate();
    let (one, two) = (closed_log(&key, 20), tempfile::tempdir().unwrap());
    let fork = two.path().join("log");
    let log = Log::create(&fork, key.signer(), config()).unwrap();
    append(&log, 1..22);
    log.close().unwrap();
    let note = std::fs::read(one.path().join("log/checkpoint")).unwrap();
    let failure = judge(&fork, &[], &[&note]).unwrap_err();
    assert_eq!(failure.verdict, Verdict::Forked, "{failure}");
    assert_eq!(failure.evidence.len(), 2);
    let stranger = closed_log(&Key::generate(), 1);
    let foreign = std::fs::read(stranger.path().join("log/checkpoint")).unwrap();
    assert_eq!(judge(&fork, &[], &[&foreign]).unwrap_err().verdict, Verdict::WrongKey);
}

/// The published files are enough for anybody who knows the specification:
/// bundle to leaves, leaves to root, root to checkpoint.
#[test]
fn the_published_files_stand_on_their_own() {
    let key = Key::generate();
    let dir = closed_log(&key, 5);
    let files = files(&dir.path().join("log"));
    let mut bundle = files["tile/entries/000.p/5"].as_slice();
    let mut leaves = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        leaves.push(leaf_hash(entry));
        bundle = rest;
    }
    let tile: Vec<u8> = leaves.iter().flat_map(Hash::as_bytes).copied().collect();
    assert_eq!(files["tile/0/000.p/5"], tile);
    let [a, b, c, d, e] = leaves.try_into().unwrap();
    let root = node_hash(&node_hash(&node_hash(&a, &b), &node_hash(&c, &d)), &e);
    let signer = key.signer();
    let note = &files["checkpoint"];
    let read = Checkpoint::verify(note, signer.verifier(), Lines::LogOnly).unwrap();
    assert_eq!((read.size, read.root), (5, root));
}
