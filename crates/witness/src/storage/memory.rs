//! A directory in memory that fails where a test says and forgets what was not made durable.
//!
//! Stands in for [`Files`](super::Files) in tests; knows nothing of what the files say.

use super::{Storage, directory};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files as programs see them, and as they would be after a power cut.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default, Clone)]
struct Inner {
    seen: BTreeMap<String, Vec<u8>>,
    durable: BTreeMap<String, Vec<u8>>,
    /// The changes that fail, counted from the first one ever, and how.
    failures: Range<u64>,
    failing: Failing,
    changes: u64,
}

/// How far an operation comes that fails.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It does nothing.
    #[default]
    Before,
    /// It does everything, and says that it did not.
    After,
    /// A write leaves half of its bytes; everything else does nothing.
    Halfway,
}

impl Memory {
    /// These changes fail, counted from the first one ever; all others do not (the incident to
    /// survive is a program that goes on after an error).
    pub(crate) fn fail(&self, failures: Range<u64>, failing: Failing) {
        let mut inner = self.lock();
        inner.failures = failures;
        inner.failing = failing;
    }

    /// How many changes were asked for so far.
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// What is there after a power cut: what was made durable, or all that was seen.
    pub(crate) fn after_power_cut(&self, everything: bool) -> Self {
        let inner = self.lock();
        let kept = if everything { &inner.seen } else { &inner.durable };
        let next = Inner { seen: kept.clone(), durable: kept.clone(), ..Inner::default() };
        Self { inner: Mutex::new(next) }
    }

    /// Alters or removes a file behind the program's back.
    pub(crate) fn alter(&self, path: &str, alter: impl FnOnce(Option<Vec<u8>>) -> Option<Vec<u8>>) {
        let mut inner = self.lock();
        let before = inner.seen.remove(path);
        if let Some(after) = alter(before) {
            inner.seen.insert(path.to_owned(), after);
        }
        inner.durable = inner.seen.clone();
    }

    /// Every path.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.lock().seen.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a change unless it is its turn to fail.
    fn change(&self, change: impl FnOnce(&mut Inner, Failing) -> io::Result<()>) -> io::Result<()> {
        let mut inner = self.lock();
        let fails = inner.failures.contains(&inner.changes);
        inner.changes += 1;
        if !fails {
            return change(&mut inner, Failing::After);
        }
        let failing = inner.failing;
        if failing != Failing::Before {
            change(&mut inner, failing)?;
        }
        Err(io::Error::other("the disk failed"))
    }
}

impl Storage for Memory {
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let found = self.lock().seen.get(path).cloned();
        match found {
            Some(bytes) if bytes_max < bytes.len() => Err(ErrorKind::FileTooLarge.into()),
            found => Ok(found),
        }
    }

    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|inner, failing| {
            if inner.seen.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let end = if failing == Failing::Halfway { bytes.len() / 2 } else { bytes.len() };
            inner.seen.insert(path.to_owned(), bytes.get(..end).unwrap_or_default().to_vec());
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|inner, failing| {
            if failing == Failing::Halfway {
                return Ok(());
            }
            let bytes = inner.seen.remove(from).ok_or(ErrorKind::NotFound)?;
            inner.seen.insert(to.to_owned(), bytes);
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        if !self.lock().seen.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        self.change(|inner, _| {
            inner.seen.remove(path);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.change(|inner, failing| {
            if failing == Failing::Halfway {
                return Ok(());
            }
            let here = |path: &str| directory(path) == dir;
            inner.durable.retain(|path, _| !here(path));
            let seen = inner.seen.iter().filter(|(path, _)| here(path));
            let seen: Vec<_> = seen.map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
            inner.durable.extend(seen);
            Ok(())
        })
    }

    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        let inner = self.lock();
        let here = inner.seen.keys().filter(|path| directory(path) == dir);
        Ok(here.filter_map(|path| path.rsplit('/').next().map(str::to_owned)).collect())
    }
}
