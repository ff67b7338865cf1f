//! The log's directory on a real file system, through plain system calls.
//!
//! Knows nothing of what the bytes mean.

use crate::storage::{Access, Claim, LOCK, PUT_TEMPORARY, Storage, StoredFile};
use rustix::fs::{AtFlags, CWD, StatVfsMountFlags, StatxFlags};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The files under one directory.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// The files under `root`. Nothing is opened or made yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Storage for Files {
    fn lock(&self) -> io::Result<Option<Box<dyn Claim>>> {
        let file = OpenOptions::new().read(true).write(true).open(self.at(LOCK))?;
        // A verifier holds the lock for an instant to see whether a writer has
        // it; such an instant is waited out, a writer is not.
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => {
                    let claim = Flock { file, path: self.at(LOCK) };
                    return Ok(Some(Box::new(claim)));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_TRY_INTERVAL),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(dir))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.at(dir);
        let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.is_dir()).collect();
        for path in missing.into_iter().rev().filter(|path| !path.as_os_str().is_empty()) {
            fs::DirBuilder::new().mode(DIR_MODE).create(path)?;
            match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => File::open(parent)?.sync_all()?,
                None => File::open(".")?.sync_all()?,
            }
        }
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.at(path))
    }

    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.at(PUT_TEMPORARY);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        drop(file);
        fs::rename(temporary, self.at(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.at(dir))?.sync_all()
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.at(path);
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn create_zeroed(&self, path: &str, length: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(FILE_MODE).open(self.at(path))?;
        let zeros = vec![0; ZERO_CHUNK_BYTES];
        let mut offset = 0;
        while offset < length {
            let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
            let chunk = zeros.get(..left).unwrap_or(&zeros);
            file.write_all_at(chunk, offset)?;
            offset += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        }
        // The whole of it, with the length: later commits sync data only.
        file.sync_all()
    }

    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        let write = access == Access::ReadWrite;
        let file = OpenOptions::new().read(true).write(write).open(self.at(path))?;
        let id = Identity::of_open(&file)?;
        Ok(Arc::new(OpenFile { file, id, root: self.root.clone() }))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn is_read_only(&self) -> io::Result<bool> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_flag.contains(StatVfsMountFlags::RDONLY))
    }
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    id: Identity,
    root: PathBuf,
}

impl StoredFile for OpenFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        let mut at = offset;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    at += u64::try_from(count).unwrap_or(0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn is_at(&self, path: &str) -> io::Result<bool> {
        self.id.is_only_at(&self.root.join(path))
    }
}

#[derive(Debug)]
struct Flock {
    file: File,
    path: PathBuf,
}

impl Claim for Flock {
    fn holds(&self) -> io::Result<bool> {
        Identity::of_open(&self.file)?.is_only_at(&self.path)
    }
}

/// Device and inode number. The number is not given away while the file is
/// open, so equal numbers mean the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of_open(file: &File) -> io::Result<Self> {
        let open = file.metadata()?;
        Ok(Self { device: open.dev(), inode: open.ino() })
    }

    /// Whether `path` names this file, as its only name.
    ///
    /// Asks for no timestamps: the sync after somebody has read those of a
    /// file takes longer (docs/performance.md, "The log").
    fn is_only_at(self, path: &Path) -> io::Result<bool> {
        let wanted = StatxFlags::INO | StatxFlags::NLINK;
        match rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, wanted) {
            Ok(named) => {
                let device = rustix::fs::makedev(named.stx_dev_major, named.stx_dev_minor);
                let same = self == Self { device, inode: named.stx_ino };
                Ok(same && named.stx_nlink == 1)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// How often a busy lock is tried: a quarter of a second in all.
const LOCK_TRIES: u32 = 10;
const LOCK_TRY_INTERVAL: Duration = Duration::from_millis(25);
/// The owner reads and writes, the group reads, others do not.
const FILE_MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;
/// How many zeros one write brings, in bytes.
const ZERO_CHUNK_BYTES: usize = 1 << 20;
