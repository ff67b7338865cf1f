//! Every byte of every file matters. What else can be done to files, the tests of the verifier do to
//! files of their own making.

use crate::{Key, closed_log, files, verify, write_files};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Some tens of entries in several segments, with tiles and a checkpoint.
fn sample() -> (tempfile::TempDir, BTreeMap<String, Vec<u8>>) {
    let dir = closed_log(&Key::generate(), 60);
    let log = dir.path().join("log");
    let files = files(&log);
    let count = |prefix| files.keys().filter(|path| path.starts_with(prefix)).count();
    assert!(2 <= count("segments/"), "{:?}", files.keys());
    assert!(2 <= count("tile/"), "{:?}", files.keys());
    assert_eq!(count(""), count("segments/") + count("tile/") + 3);
    verify(&log).unwrap();
    (dir, files)
}

/// Flips bits in each byte of one file; the verification must name the file.
fn flip_all(log: &Path, path: &str, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(log.join(path)).unwrap();
    for (offset, byte) in (0..).zip(bytes) {
        for bits in [0x01, 0x80] {
            file.write_at(&[byte ^ bits], offset).unwrap();
            let verified = verify(log);
            let failure = verified.expect_err(&format!("`{path}` byte {offset} bits {bits:02x}"));
            assert_eq!(failure.path, path, "byte {offset}: {failure}");
        }
        file.write_at(&[*byte], offset).unwrap();
    }
    verify(log).unwrap();
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
