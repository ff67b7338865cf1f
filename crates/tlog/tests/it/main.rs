//! A log on real files, attacked from outside and read from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

mod flip;
mod live;
mod oracle;
mod tamper;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tlog::{Committed, Config, Log, Signer, Verifier};
use verify::{Directory, Entries, Failure, Options, Report};

/// The key of the logs in these tests, new for each.
struct Key {
    text: String,
}

impl Key {
    fn generate() -> Self {
        let (_, text) = Signer::generate("example.com/log").unwrap();
        Self { text: text.to_string() }
    }

    fn signer(&self) -> Signer {
        Signer::from_text(&self.text).unwrap()
    }
}

fn config() -> Config {
    let mut config = Config::new(Arc::new(|| 1_700_000_000_000));
    config.segment_bytes = 4096;
    config.batch_entries = 8;
    config.free_bytes_min = 0;
    config
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}: {}", "x".repeat(usize::try_from(index % 7 * 20).unwrap())).into_bytes()
}

/// Submits the entries at once and waits for all of them.
fn append(log: &Log, range: std::ops::Range<u64>) -> Vec<Committed> {
    let pending: Vec<_> = range.map(|index| log.submit(entry(index)).unwrap()).collect();
    pending.into_iter().map(|one| one.wait().unwrap()).collect()
}

/// A closed log of this many entries.
fn closed_log(key: &Key, entries: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::create(&dir.path().join("log"), key.signer(), config()).unwrap();
    append(&log, 0..entries);
    log.close().unwrap();
    dir
}

/// What the verifier says of a log, which shares no code with this crate.
fn verify(log: &Path) -> Result<Report, Failure> {
    judge(log, &[], &[])
}

/// The same with keys and checkpoints that were kept elsewhere.
fn judge(log: &Path, keys: &[&Verifier], checkpoints: &[&[u8]]) -> Result<Report, Failure> {
    let options = Options {
        keys: keys.iter().map(|key| (*key).clone()).collect(),
        checkpoints: checkpoints.iter().map(|note| note.to_vec()).collect(),
        entries: Entries::Opaque,
        threads: NonZeroUsize::new(1),
        ..Options::default()
    };
    verify::verify(&Directory::new(log), &options, &mut ())
}

/// Every file under `dir` with its content, by relative path.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(below) = dirs.pop() {
        for child in fs::read_dir(dir.join(&below)).unwrap() {
            let child = child.unwrap();
            let path = below.join(child.file_name());
            if child.file_type().unwrap().is_dir() {
                dirs.push(path);
            } else {
                let name = path.to_str().unwrap().to_owned();
                found.insert(name, fs::read(child.path()).unwrap());
            }
        }
    }
    found
}

/// Writes files under `dir`, as [`files`] found them.
fn write_files(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
