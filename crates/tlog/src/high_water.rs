//! The high-water mark: the last checkpoint, kept where a copy of the log's
//! disk does not reach, so that an older copy of the log is noticed.
//!
//! Knows nothing of what a mark says; [`crate::recover`] compares.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A place for one mark, on another device or machine than the log.
///
/// **Durability.** A mark that was advanced is durable when the method
/// returns. **Ordering.** Marks are compared and swapped: of several who
/// advance from the same one, one succeeds. **Errors.** After an error the
/// caller does not know whether the mark was advanced, and reads it.
/// **Concurrency.** Every method may be called from several threads and
/// processes.
pub trait HighWater: Debug + Send + Sync {
    /// The mark; `None` when there is none yet.
    ///
    /// # Errors
    /// When it cannot be read; there is no mark only when this says so.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Puts `new` in the place of `old`, which is `None` when there is no mark
    /// yet. False: the mark is another, and was left as it is.
    ///
    /// # Errors
    /// When it cannot be read or written.
    fn advance(&self, old: Option<&[u8]>, new: &[u8]) -> io::Result<bool>;
}

/// A mark in a file. Next to it stand `<file>.lock`, which is held while the
/// mark is changed, and in passing `<file>.tmp`.
#[derive(Debug, Clone)]
pub struct HighWaterFile {
    path: PathBuf,
}

impl HighWaterFile {
    /// The mark in the file at `path`, whose directory exists. Nothing is
    /// opened or made yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(extension);
        name.into()
    }

    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.beside(".tmp");
        let mut file = writing().truncate(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(temporary, &self.path)?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl HighWater for HighWaterFile {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn advance(&self, old: Option<&[u8]>, new: &[u8]) -> io::Result<bool> {
        let lock = writing().truncate(false).open(self.beside(".lock"))?;
        // Held for some file operations by whoever has it; given back when
        // `lock` is dropped.
        lock.lock()?;
        if self.read()?.as_deref() != old {
            return Ok(false);
        }
        self.put(new)?;
        Ok(true)
    }
}

fn writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(FILE_MODE);
    options
}

/// The owner reads and writes, the group reads, others do not.
const FILE_MODE: u32 = 0o640;

#[cfg(test)]
mod tests {
    use super::{HighWater, HighWaterFile};
    use std::fs;

    #[test]
    fn a_mark_is_compared_and_swapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let (one, two) = (HighWaterFile::new(&path), HighWaterFile::new(&path));
        assert_eq!(one.read().unwrap(), None);
        assert!(!one.advance(Some(b"other"), b"a").unwrap());
        assert!(one.advance(None, b"a").unwrap());
        assert!(!two.advance(None, b"b").unwrap(), "there is one already");
        assert!(two.advance(Some(b"a"), b"b").unwrap());
        assert!(!one.advance(Some(b"a"), b"c").unwrap());
        assert_eq!(one.read().unwrap().unwrap(), b"b");
        assert!(!dir.path().join("mark.tmp").exists());
    }

    #[test]
    fn of_many_who_advance_from_one_mark_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let moved: usize = std::thread::scope(|scope| {
            let threads = [0_u8; 8].map(|_| {
                scope.spawn(|| {
                    let file = HighWaterFile::new(&path);
                    let moved = (0..20_u8).map(|step| {
                        let old = step.checked_sub(1).map(|old| vec![old]);
                        usize::from(file.advance(old.as_deref(), &[step]).unwrap())
                    });
                    moved.sum::<usize>()
                })
            });
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let last = usize::from(fs::read(&path).unwrap()[0]);
        assert_eq!(moved, last + 1);
    }

    #[test]
    fn a_mark_that_cannot_be_reached_is_an_error_and_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        let file = HighWaterFile::new(dir.path());
        assert!(file.read().is_err(), "a directory is no mark");
        let file = HighWaterFile::new(&dir.path().join("gone/mark"));
        assert!(file.advance(None, b"a").is_err());
    }
}
