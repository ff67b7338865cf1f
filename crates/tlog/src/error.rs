//! What can go wrong with a log while it is written and read. What an offline
//! verification finds is a [`crate::verify::Failure`] instead.

use crate::checkpoint::CheckpointError;
use crate::key::KeyError;
use std::io;
use std::sync::Arc;

/// Why the log refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer holds the directory.
    #[error("another process is writing this log: stop it, or use another directory")]
    Locked,
    /// There is already something where a log should be created.
    #[error("the directory has `{0}` in it already: a log is created in a new directory only")]
    Exists(String),
    /// The directory holds no log.
    #[error("there is no log here: `{0}` is missing; create the log first, or restore the file")]
    NotALog(String),
    /// The configuration cannot work.
    #[error("{0}")]
    Config(&'static str),
    /// The log belongs to another key.
    #[error("the log belongs to the key `{found}`, not to `{expected}`")]
    WrongKey {
        /// The verifier key line of the key that was given.
        expected: String,
        /// What `origin.vkey` says.
        found: String,
    },
    /// The stored log is not what this log wrote.
    #[error(transparent)]
    Corrupt(#[from] Box<Corruption>),
    /// The checkpoint in the log's directory is not acceptable.
    #[error("`checkpoint`: {0}; restore the whole log from one copy")]
    Checkpoint(#[from] CheckpointError),
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file operation failed outside of the commit path.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file, relative to the log's directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The entry is empty or too long; nothing was written.
    #[error("an entry has 1 to {max} bytes, this one has {bytes}")]
    EntrySize {
        /// The length of the entry, in bytes.
        bytes: usize,
        /// The most the log takes, in bytes.
        max: usize,
    },
    /// So many entries wait already; nothing was written.
    #[error("{entries} entries wait to be written, which is the most allowed: try again later")]
    QueueFull {
        /// The bound, in entries.
        entries: usize,
    },
    /// The disk has too little room; nothing was written.
    #[error("the disk of the log has {free} bytes left, fewer than the {min} kept free: make room")]
    DiskFull {
        /// Free bytes.
        free: u64,
        /// The least that stays free, in bytes.
        min: u64,
    },
    /// Writing failed once; the log takes nothing more until it is opened anew.
    #[error("the log stopped: {cause}; find the cause, then open the log again")]
    Poisoned {
        /// What failed first.
        cause: Arc<str>,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// There is no such entry, or not yet.
    #[error("the log has no entry {index}: it has {size} entries")]
    OutOfRange {
        /// The index that was asked for.
        index: u64,
        /// The number of entries.
        size: u64,
    },
}

/// Where a stored log differs from what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` at byte {offset}{}: {what}; restore the log from a copy or verify it", at_entry(.entry))]
pub struct Corruption {
    /// The file, relative to the log's directory.
    pub path: String,
    /// The position in it, in bytes.
    pub offset: u64,
    /// The index of the first entry that cannot be trusted, where known.
    pub entry: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// Marks a file operation in an [`Error::Io`].
pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a str,
) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

/// An [`Error::Corrupt`].
pub(crate) fn corrupt(
    path: &str,
    offset: u64,
    entry: Option<u64>,
    what: impl Into<String>,
) -> Error {
    let corruption = Corruption { path: path.to_owned(), offset, entry, what: what.into() };
    Error::Corrupt(Box::new(corruption))
}

fn at_entry(entry: &Option<u64>) -> String {
    entry.map_or(String::new(), |index| format!(", entry {index}"))
}
