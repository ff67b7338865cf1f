//! The witness's own directory, and what is durable in it when.
//!
//! Knows nothing of what the files say.

#[cfg(test)]
pub(crate) mod memory;

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The files of a witness. Paths are relative, parts joined by `/`.
///
/// Contract: when [`Storage::write_new`] returns, the bytes are durable but perhaps not the name;
/// names are durable when [`Storage::sync_dir`] of their directory returns. After an error anything
/// between nothing and everything of the operation may have happened. Callers see to it that nobody
/// else writes the same path at the same time.
pub(crate) trait Storage: fmt::Debug + Send + Sync {
    /// All of a file; `None` when there is none. More than `bytes_max` is an error.
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>>;

    /// Makes a file that must not be there, with these bytes.
    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name in the same directory, in the place of a file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file away.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// The names in a directory.
    fn names(&self, dir: &str) -> io::Result<Vec<String>>;
}

/// Why a file was not replaced.
#[derive(Debug)]
pub(crate) enum PutError {
    /// The old content is still there and durable.
    Unchanged(io::Error),
    /// Either content may be there, now or after a crash.
    Unknown(io::Error),
}

/// Replaces a file as a whole. When this returns, the new content is what any later reader finds,
/// after a crash too.
pub(crate) fn put(storage: &dyn Storage, path: &str, bytes: &[u8]) -> Result<(), PutError> {
    let temporary = format!("{path}{TEMPORARY}");
    // What a crash left behind was never renamed, so nobody relied on it.
    match storage.remove(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(PutError::Unchanged(error));
        }
        _ => {}
    }
    storage.write_new(&temporary, bytes).map_err(PutError::Unchanged)?;
    storage.rename(&temporary, path).map_err(PutError::Unknown)?;
    storage.sync_dir(directory(path)).map_err(PutError::Unknown)
}

impl PutError {
    /// What the file system said.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Unchanged(error) | Self::Unknown(error) => error,
        }
    }
}

/// The files below one directory.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    /// The files below `root`. Nothing is opened yet.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes a directory below the root that must not be there, durably.
    pub(crate) fn make_dir(&self, dir: &str, mode: u32) -> io::Result<()> {
        DirBuilder::new().mode(mode).create(self.at(dir))?;
        self.sync_dir(directory(dir))
    }

    /// Takes the lock on a directory; it is held until the file is dropped, or the process ends.
    /// `None` when somebody else has it. The directory itself is locked, because a lock file could be
    /// deleted under its holder.
    pub(crate) fn lock(&self, dir: &str) -> io::Result<Option<File>> {
        let file = File::open(self.at(dir))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Storage for Files {
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.at(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes)?;
        if bytes_max < bytes.len() {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "the file is too long"));
        }
        Ok(Some(bytes))
    }

    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(FILE_MODE).open(self.at(path))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.at(dir))?.sync_all()
    }

    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(dir))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }
}

/// The directory a path is in; empty for the root.
fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// What the next content of a file is called until it is complete.
const TEMPORARY: &str = ".new";
/// The owner reads and writes, the group reads, others do not.
const FILE_MODE: u32 = 0o640;
