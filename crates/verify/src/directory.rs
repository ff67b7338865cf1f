//! A log in a directory of this machine.
//!
//! Knows names and lengths of files, and nothing of their content.

use crate::failure::{Failure, Verdict};
use crate::source::{READ_BYTES_MAX, Source, SourceError};
use crate::walk::{CHECKPOINT, LOCK, SEGMENTS, VERIFIER_KEY};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The directory of a log, or a copy of its published files.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The log in this directory.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Source for Directory {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        let file = File::open(self.path.join(path)).map_err(|error| source_error(&error))?;
        let mut bytes = Vec::new();
        let read = file.take(READ_BYTES_MAX + 1).read_to_end(&mut bytes);
        let read = read.map_err(|error| source_error(&error))?;
        let too_long = READ_BYTES_MAX < u64::try_from(read).unwrap_or(u64::MAX);
        if too_long { Err(SourceError::TooLong) } else { Ok(bytes) }
    }

    fn list(&self, directory: &str) -> Result<Option<Vec<String>>, SourceError> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(self.path.join(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(names)),
            entries => entries.map_err(|error| source_error(&error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| source_error(&error))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(Some(names))
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// Whether a writer holds the log. Takes the lock for an instant, if it can,
/// and no harm is done: a writer that comes just then tries again.
///
/// # Errors
/// When there is no log, or its lock is no file.
pub(crate) fn is_live(dir: &Path) -> Result<bool, Failure> {
    let path = dir.join(LOCK);
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if dir.join(SEGMENTS).exists() {
                let what = "the file is missing";
                return Err(Failure::needed(Verdict::Missing, LOCK, what));
            }
            // A copy of the published files has no lock.
            if [VERIFIER_KEY, CHECKPOINT].iter().any(|name| dir.join(name).exists()) {
                return Ok(false);
            }
            let what = "there is no log in this directory";
            return Err(Failure::needed(Verdict::Unreadable, LOCK, what));
        }
        Err(error) => return Err(unreadable(LOCK, &error)),
    };
    if !metadata.is_file() {
        return Err(Failure::needed(Verdict::Altered, LOCK, "this is not a file"));
    }
    let file = File::open(path).map_err(|error| unreadable(LOCK, &error))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(unreadable(LOCK, &error)),
    }
}

pub(crate) fn unreadable(path: &str, error: &io::Error) -> Failure {
    let path = if path.is_empty() { "." } else { path };
    Failure::needed(Verdict::Unreadable, path, format!("it cannot be read: {error}"))
}

fn source_error(error: &io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::NotFound,
        _ => SourceError::Unreadable(error.to_string()),
    }
}
