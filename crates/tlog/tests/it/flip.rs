//! Every byte of every file matters.

use crate::{Key, closed_log, files, write_files};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tlog::verify;
use tlog::verify::{Expected, FailureKind};

/// Some tens of entries in several segments, with tiles and a checkpoint.
fn sample() -> (tempfile::TempDir, BTreeMap<String, Vec<u8>>) {
    let dir = closed_log(&Key::generate(), 60);
    let log = dir.path().join("log");
    let files = files(&log);
    let count = |prefix| files.keys().filter(|path| path.starts_with(prefix)).count();
    assert!(2 <= count("segments/"), "{:?}", files.keys());
    assert!(2 <= count("tile/"), "{:?}", files.keys());
    assert_eq!(count(""), count("segments/") + count("tile/") + 3);
    verify(&log, &Expected::default(), &mut ()).unwrap();
    (dir, files)
}

/// Flips bits in each byte of one file; the verification must name the file.
fn flip_all(log: &Path, path: &str, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(log.join(path)).unwrap();
    for (offset, byte) in (0..).zip(bytes) {
        for bits in [0x01, 0x80] {
            file.write_at(&[byte ^ bits], offset).unwrap();
            let verified = verify(log, &Expected::default(), &mut ());
            let failure = verified.expect_err(&format!("`{path}` byte {offset} bits {bits:02x}"));
            assert_eq!(failure.path, path, "byte {offset}: {failure}");
        }
        file.write_at(&[*byte], offset).unwrap();
    }
    verify(log, &Expected::default(), &mut ()).unwrap();
}

#[test]
fn every_flipped_byte_is_found_and_its_file_named() {
    let (_dir, files) = sample();
    let paths: Vec<&String> = files.keys().collect();
    // Two threads, each with a copy of its own and every second file.
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (files, paths) = (&files, &paths);
            scope.spawn(move || {
                let copy = tempfile::tempdir().unwrap();
                write_files(copy.path(), files);
                for path in paths.iter().skip(part).step_by(2) {
                    flip_all(copy.path(), path, &files[*path]);
                }
            });
        }
    });
}

#[test]
fn every_deleted_shortened_and_lengthened_file_is_found() {
    let (dir, files) = sample();
    let log = dir.path().join("log");
    let last_segment = files.keys().rfind(|path| path.starts_with("segments/")).unwrap();
    for (path, bytes) in &files {
        let check = |what: &str| {
            let verified = verify(&log, &Expected::default(), &mut ());
            let failure = verified.expect_err(&format!("`{path}` {what}"));
            (failure.kind, failure.path)
        };
        fs::remove_file(log.join(path)).unwrap();
        let (kind, named) = check("deleted");
        if path == last_segment {
            // Nothing says that there was one but the checkpoint.
            assert_eq!((kind, named.as_str()), (FailureKind::Truncated, "checkpoint"));
        } else {
            assert_eq!((kind, &named), (FailureKind::Missing, path));
        }
        if !bytes.is_empty() {
            fs::write(log.join(path), &bytes[..bytes.len() - 1]).unwrap();
            assert_eq!(check("shortened").1, *path);
        }
        for added in [0, b'\n', 1] {
            fs::write(log.join(path), [bytes.as_slice(), &[added]].concat()).unwrap();
            assert_eq!(check("lengthened").1, *path);
        }
        fs::write(log.join(path), bytes).unwrap();
    }
    verify(&log, &Expected::default(), &mut ()).unwrap();
}

#[test]
fn every_file_that_does_not_belong_is_found() {
    let (dir, _) = sample();
    let log = dir.path().join("log");
    for path in [
        "notes.txt",
        ".hidden",
        "lock.pid",
        "segments/1.seg",
        "segments/00000000000000000000.seg.bak",
        "tile/0/0",
        "tile/data/000",
        "tile/0/000.p/61x",
        "other/file",
    ] {
        let at = log.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, "").unwrap();
        let failure = verify(&log, &Expected::default(), &mut ()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Altered, "{path}");
        assert!(path.starts_with(&failure.path), "{path}: {failure}");
        fs::remove_file(&at).unwrap();
        fs::remove_dir(log.join("other")).ok();
        fs::remove_dir(log.join("tile/data")).ok();
    }
    std::os::unix::fs::symlink("lock", log.join("link")).unwrap();
    assert_eq!(verify(&log, &Expected::default(), &mut ()).unwrap_err().path, "link");
    fs::remove_file(log.join("link")).unwrap();
    // Tiles of entries that are not there, and segments in between.
    for (path, kind) in [
        ("tile/0/000.p/61", FailureKind::Truncated),
        ("tile/0/001", FailureKind::Truncated),
        ("tile/5/000.p/1", FailureKind::Truncated),
        ("tile/entries/000", FailureKind::Truncated),
        ("tile/0/000.p/59", FailureKind::Altered),
        ("segments/00000000000000000007.seg", FailureKind::Missing),
    ] {
        let at = log.join(path);
        let made = at.parent().unwrap().exists();
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, [0; 32]).unwrap();
        let failure = verify(&log, &Expected::default(), &mut ()).unwrap_err();
        assert_eq!(failure.kind, kind, "{path}: {failure}");
        fs::remove_file(&at).unwrap();
        if !made {
            fs::remove_dir_all(log.join("tile/5")).unwrap();
        }
    }
    verify(&log, &Expected::default(), &mut ()).unwrap();
}

#[test]
fn what_a_stopped_writer_leaves_is_told_from_damage() {
    let (dir, _) = sample();
    let log = dir.path().join("log");
    let check = || verify(&log, &Expected::default(), &mut ());
    fs::write(log.join("publish.tmp"), "half a ti").unwrap();
    let failure = check().unwrap_err();
    assert_eq!((failure.kind, failure.path.as_str()), (FailureKind::UnfinishedTail, "publish.tmp"));
    fs::remove_file(log.join("publish.tmp")).unwrap();
    let spare = log.join("segments/spare.seg");
    fs::write(&spare, [0; 4096]).unwrap();
    check().unwrap();
    fs::write(&spare, [[0; 4095].as_slice(), &[1]].concat()).unwrap();
    let failure = check().unwrap_err();
    assert_eq!((failure.kind, failure.offset), (FailureKind::Altered, Some(4095)));
    assert_eq!(failure.path, "segments/spare.seg");
}
