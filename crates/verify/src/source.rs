//! Where a log is read from.
//!
//! Knows the names of files, and nothing of what is in them.

use crate::directory::Directory;
use crate::http::Http;
use std::path::Path;

/// A place with the files of a log, by their paths in C2SP tlog-tiles and in
/// the log's directory: `checkpoint`, `tile/0/000`, `keys/1.note`.
pub trait Source: Sync {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// Reads a whole file of at most [`READ_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`SourceError`].
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError>;

    /// The names of the files in a directory, such as `keys`; empty when there
    /// is none, `None` when this source cannot tell.
    ///
    /// # Errors
    /// [`SourceError`].
    fn list(&self, _directory: &str) -> Result<Option<Vec<String>>, SourceError> {
        Ok(None)
    }

    /// The directory, when it is one on this machine: then its segments are
    /// read too, and files that do not belong are found.
    fn directory(&self) -> Option<&Path> {
        None
    }
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It is not there.
    #[error("the file is missing")]
    NotFound,
    /// It is longer than any file of a log.
    #[error("it is longer than any such file of a log")]
    TooLong,
    /// It is there, or may be, and cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// The source that an argument names: an address that begins with `http://` or
/// `https://`, which is read with the bearer token where there is one, or a directory.
///
/// # Errors
/// [`SourceError::Unreadable`] for an address that is none.
pub fn open(text: &str, token: Option<&str>) -> Result<Box<dyn Source>, SourceError> {
    if text.starts_with("http://") || text.starts_with("https://") {
        let source = Http::new(text)?;
        Ok(Box::new(match token {
            Some(token) => source.with_token(token),
            None => source,
        }))
    } else {
        Ok(Box::new(Directory::new(Path::new(text))))
    }
}

/// The longest file that is read in one piece: twice the longest bundle, which
/// is 256 entries of 65,537 bytes.
pub const READ_BYTES_MAX: u64 = 32 << 20;
