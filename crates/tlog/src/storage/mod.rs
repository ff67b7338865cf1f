//! The seam between the log and the disk, with its contract.
//!
//! Two implementations: [`Files`], and the in-memory one with faults that the
//! tests use. Knows nothing of what the bytes mean.

mod files;

#[cfg(any(test, feature = "testing"))]
mod gate;
#[cfg(any(test, feature = "testing"))]
mod inode;
#[cfg(any(test, feature = "testing"))]
mod memory;

pub use files::Files;
#[cfg(any(test, feature = "testing"))]
pub use inode::Survival;
#[cfg(any(test, feature = "testing"))]
pub use memory::{Fault, FaultKind, Memory};

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// One directory of files. Paths are relative to it, with `/` between names.
///
/// **Durability.** A method says what is on stable storage once it returns;
/// what it does not say may be lost, in any combination, when the machine
/// stops. **Ordering.** Later reads through the same storage see every earlier
/// write, durable or not; nothing else is ordered. **Errors.** After an error
/// the caller does not know what happened: nothing, all of it or a part. It
/// gives the file up and never repeats the operation on it. **Concurrency.**
/// Every method may be called from several threads; the callers see to it that
/// two do not write the same file.
pub trait Storage: Debug + Send + Sync {
    /// Claims the directory for one writer, until the claim is dropped or the
    /// process ends. `None`: another writer has it. `NotFound`: there is no
    /// lock file, and none is made.
    fn lock(&self) -> io::Result<Option<Box<dyn Claim>>>;

    /// The names of the files and directories in `dir`, in no order;
    /// `NotFound` when there is no such directory.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes `dir` and the directories above it, as far as they are missing.
    /// They are durable on return.
    fn make_dir(&self, dir: &str) -> io::Result<()>;

    /// The whole content of a small file; `NotFound` when there is none.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Puts a file with this content in place, whole or not at all, instead of
    /// any older one; its directory exists. The content is durable before the
    /// name appears; the name is durable after [`Storage::sync_dir`].
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable which names the directory has; `""` is the top.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Removes a file, or a directory with everything in it. `NotFound` when
    /// there is none. Durable after [`Storage::sync_dir`].
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Gives a file another name. Durable after [`Storage::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes a file of `length` zero bytes that are really written, so that
    /// overwriting them needs no more room. The bytes are durable on return,
    /// the name after [`Storage::sync_dir`].
    fn create_zeroed(&self, path: &str, length: u64) -> io::Result<()>;

    /// Opens a file for reading or for writing too; `NotFound` when there is
    /// none. Never creates.
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StoredFile>>;

    /// How many bytes an unprivileged writer could still add.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Whether the file system takes no writes, as when it was mounted anew
    /// after an error.
    fn is_read_only(&self) -> io::Result<bool>;
}

/// An open file. It stays the same file when its name is given to another.
pub trait StoredFile: Debug + Send + Sync {
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Reads into `buffer` from `offset`; fewer bytes only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes once, within the length of the file. Returns how many bytes were
    /// taken; fewer than given is a failure that the caller must not mend.
    /// Not durable before [`StoredFile::sync`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes every earlier write to this file durable.
    fn sync(&self) -> io::Result<()>;

    /// Whether `path` still names this very file, and nothing else does: false
    /// when it was removed, replaced or linked a second time.
    fn is_at(&self, path: &str) -> io::Result<bool>;
}

/// Holds the directory for one writer; dropping it lets go.
pub trait Claim: Debug + Send + Sync {
    /// Whether the lock file is still the one that was claimed.
    fn holds(&self) -> io::Result<bool>;
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// The name of the lock file; always empty.
pub(crate) const LOCK: &str = "lock";
/// The file that [`Storage::put`] writes before it gives it its name.
pub(crate) const PUT_TEMPORARY: &str = "publish.tmp";
