//! Every byte matters, every file, every length, and every time before.

use super::fixture::{Files, Plan, judge, judge_dir, pinned, write};
use crate::failure::Verdict;
use crate::options::Options;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Flips bits in each byte of one file; the failure must name the file.
fn flip_all(log: &Path, path: &str, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(log.join(path)).unwrap();
    // After the last batch of all, a byte is what a power cut leaves of the next.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let is_last = !fs::exists(log.join(segment_after(path))).unwrap();
    for (offset, byte) in (0..).zip(bytes) {
        let bits = [0x01, 0x80, 0x20, 0xff][usize::try_from(offset % 4).unwrap()];
        file.write_at(&[byte ^ bits], offset).unwrap();
        let verified = judge_dir(log, &pinned(), None);
        let failure = verified.expect_err(&format!("`{path}` byte {offset} bits {bits:02x}"));
        let after = is_last && end < usize::try_from(offset).unwrap();
        let unfinished = failure.verdict == Verdict::UnfinishedTail;
        assert!(!unfinished || after, "`{path}` byte {offset}");
        let named = failure.path == path || path == "origin.vkey";
        assert!(named, "`{path}` byte {offset} bits {bits:02x}: {failure}");
        file.write_at(&[*byte], offset).unwrap();
    }
}

/// The path of the segment after this one; each has three batches of three entries.
fn segment_after(path: &str) -> String {
    let first = crate::walk::parse_segment_path(path);
    first.map_or_else(|| path.to_owned(), |first| crate::walk::segment_path(first + 9))
}

/// Two threads, each with a copy of its own and every second file.
fn each_file(files: &Files, alter: fn(&Path, &str, &[u8])) {
    let paths: Vec<&String> = files.keys().collect();
    std::thread::scope(|scope| {
        for part in 0..2 {
            let paths = &paths;
            scope.spawn(move || {
                let copy = tempfile::tempdir().unwrap();
                write(copy.path(), files);
                for path in paths.iter().skip(part).step_by(2) {
                    alter(copy.path(), path, &files[*path]);
                    judge_dir(copy.path(), &pinned(), None).unwrap();
                }
            });
        }
    });
}

#[test]
fn every_flipped_byte_of_a_log_is_found_and_its_file_named() {
    let files = Plan::usual().files();
    assert!(3 <= files.keys().filter(|path| path.starts_with("segments/")).count());
    each_file(&files, flip_all);
}

#[test]
fn every_flipped_byte_of_the_published_files_is_found() {
    each_file(&Plan::usual().published_files(), flip_all);
}

/// Cuts one file to every length, lengthens it and takes it away.
fn resize_all(log: &Path, path: &str, bytes: &[u8]) {
    let at = log.join(path);
    let file = OpenOptions::new().write(true).open(&at).unwrap();
    for length in (0..bytes.len()).rev() {
        file.set_len(length.try_into().unwrap()).unwrap();
        let failure = judge_dir(log, &pinned(), None).expect_err(path);
        assert_ne!(failure.verdict, Verdict::UnfinishedTail, "{path} cut to {length}");
    }
    for added in [0, b'\n', 1] {
        fs::write(&at, [bytes, &[added]].concat()).unwrap();
        judge_dir(log, &pinned(), None).expect_err(path);
    }
    fs::remove_file(&at).unwrap();
    let failure = judge_dir(log, &pinned(), None).expect_err(path);
    // Nothing says that there was a last segment but the checkpoint.
    let last = path.starts_with("segments/") && !fs::exists(log.join(segment_after(path))).unwrap();
    let verdict = if last { Verdict::Truncated } else { Verdict::Missing };
    assert_eq!(failure.verdict, verdict, "{path}: {failure}");
    fs::write(at, bytes).unwrap();
}

#[test]
fn every_deleted_shortened_and_lengthened_file_is_found() {
    each_file(&Plan::usual().files(), resize_all);
    each_file(&Plan::usual().published_files(), resize_all);
}

#[test]
fn a_rollback_to_any_earlier_snapshot_is_found_with_a_checkpoint_at_hand() {
    let plan = Plan::usual();
    let whole = plan.entries.len();
    let keep = plan.note(whole);
    for size in (0..whole).step_by(3) {
        let mut earlier = Plan::usual();
        earlier.entries.truncate(size);
        if size == 0 {
            continue;
        }
        let options = Options { checkpoints: vec![keep.clone()], ..pinned() };
        for files in [earlier.files(), earlier.published_files()] {
            // By itself the snapshot is as good as any log.
            judge(&files, &pinned()).unwrap();
            let failure = judge(&files, &options).unwrap_err();
            assert_eq!(failure.verdict, Verdict::Truncated, "{size}: {failure}");
            let again = Options { checkpoints: vec![earlier.note(size)], ..pinned() };
            let report = judge(&files, &again).unwrap();
            assert_eq!(report.given_sizes, [u64::try_from(size).unwrap()]);
        }
        // Nor does an old checkpoint help with the new files.
        let mut files = plan.published_files();
        files.insert("checkpoint".to_owned(), earlier.note(size));
        let verdict = judge(&files, &pinned()).unwrap_err().verdict;
        assert!(matches!(verdict, Verdict::Truncated | Verdict::Missing), "{size}: {verdict}");
    }
}

#[test]
fn what_does_not_belong_is_found() {
    let files = Plan::usual().files();
    for path in [
        "notes.txt",
        ".hidden",
        "lock.pid",
        "segments/1.seg",
        "segments/00000000000000000000.seg.bak",
        "tile/0/0",
        "tile/data/000",
        "keys/one.note",
        "keys/0.note",
        "timestamps/1",
        "timestamps/01.note",
        "other/file",
    ] {
        let mut altered = files.clone();
        altered.insert(path.to_owned(), Vec::new());
        let failure = judge(&altered, &pinned()).expect_err(path);
        assert_eq!(failure.verdict, Verdict::Altered, "{path}: {failure}");
    }
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &files);
    std::os::unix::fs::symlink("lock", dir.path().join("link")).unwrap();
    assert_eq!(judge_dir(dir.path(), &pinned(), None).unwrap_err().path, "link");
    fs::remove_file(dir.path().join("link")).unwrap();
    judge_dir(dir.path(), &pinned(), None).unwrap();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]

    #[test]
    fn no_bytes_in_any_file_panic(
        pick: proptest::sample::Index,
        at: proptest::sample::Index,
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..40),
    ) {
        let mut files = Plan::usual().files();
        let path = files.keys().nth(pick.index(files.len())).unwrap().clone();
        let file = files.get_mut(&path).unwrap();
        let at = at.index(file.len() + 1);
        let altered = [&file[..at], &bytes, file.get(at + bytes.len()..).unwrap_or_default()];
        let altered = altered.concat();
        let same = *file == altered;
        *file = altered;
        assert_eq!(judge(&files, &pinned()).is_ok(), same, "{path}");
    }
}
