//! A log on real files, and a recorder of notices, for the tests of this crate.

use crate::notices::{Notices, Recording, Unrecorded};
use event::Kind;
use note::{Algorithm, Signer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tlog::{Config, Log};

/// A log that grows; its bytes are the same in every run.
#[derive(Debug)]
pub(crate) struct SampleLog {
    _temporary: TempDir,
    directory: PathBuf,
    log: Log,
}

impl SampleLog {
    /// A published log of these entries.
    pub(crate) fn of(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("log");
        let mut config = Config::new(Arc::new(|| 1_700_000_000_000));
        config.segment_bytes = 1 << 20;
        config.free_bytes_min = 0;
        let log = Log::create(&directory, signer(), config).unwrap();
        let sample = Self { _temporary: temporary, directory, log };
        sample.append(entries);
        sample.publish();
        sample
    }

    /// A published log of so many small entries.
    pub(crate) fn with(entries: u64) -> Self {
        Self::of((0..entries).map(entry))
    }

    pub(crate) fn append(&self, entries: impl IntoIterator<Item = Vec<u8>>) {
        let pending: Vec<_> = entries.into_iter().map(|e| self.log.submit(e).unwrap()).collect();
        // On a thread of its own, since no task may wait like this.
        std::thread::scope(|threads| {
            threads.spawn(|| pending.into_iter().for_each(|one| drop(one.wait().unwrap())));
        });
    }

    pub(crate) fn publish(&self) {
        self.log.publish().unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.directory.join(path)).unwrap()
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// The key of the sample log.
pub(crate) fn signer() -> Signer {
    Signer::from_seed("example.com/audit", Algorithm::Ed25519, &[7; 32]).unwrap()
}

pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// Keeps notices, or refuses them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) notices: Mutex<Vec<(Kind, BTreeMap<String, String>)>>,
    pub(crate) refuses: AtomicBool,
}

impl Kept {
    /// What was recorded since the last time, as `kind key=value …`.
    pub(crate) fn take(&self) -> Vec<String> {
        let notices = std::mem::take(&mut *self.notices.lock().unwrap());
        let line = |(kind, details): (Kind, BTreeMap<String, String>)| {
            let details = details.iter().map(|(key, value)| format!(" {key}={value}"));
            format!("{}{}", kind.as_str(), details.collect::<String>())
        };
        notices.into_iter().map(line).collect()
    }
}

impl Notices for Kept {
    fn notice(&self, kind: Kind, details: BTreeMap<String, String>) -> Recording<'_> {
        Box::pin(async move {
            if self.refuses.load(Ordering::SeqCst) {
                return Err(Unrecorded("the disk is full".to_owned()));
            }
            self.notices.lock().unwrap().push((kind, details));
            Ok(())
        })
    }
}
