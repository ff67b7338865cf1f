//! What can go wrong with a log while it is written and read. What an offline
//! verification finds is for the verifier to say.

use note::CheckpointError;
use note::KeyError;
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
    /// None of the keys may sign what comes next, by the log's own statements.
    #[error(
        "the key `{key}` may not sign for the log when it has {size} entries: it was retired, \
         revoked or is not in force yet; give a key that is"
    )]
    KeyNotValid {
        /// The verifier key line of the key that was given.
        key: String,
        /// The number of entries.
        size: u64,
    },
    /// A statement about keys was not taken.
    #[error("the statement about keys is not taken: {0}")]
    Statement(&'static str),
    /// What was to be published is no checkpoint of this log that may follow.
    #[error("the checkpoint is not published: {0}")]
    Candidate(&'static str),
    /// The log is older than its high-water mark, or has another history.
    #[error(
        "the log was rolled back: it has {held} entries and not the tree of {marked} entries that \
         its high-water mark speaks of; put the newest copy of the log in place, or start a new \
         log that names the last known checkpoint, and leave the mark as it is"
    )]
    RolledBack {
        /// The number of entries in the log.
        held: u64,
        /// The number of entries that the mark speaks of.
        marked: u64,
    },
    /// The high-water mark cannot be used.
    #[error("the high-water mark of the log: {0}; it belongs to one log and one writer")]
    HighWater(String),
    /// The entry was removed, in order.
    #[error("the log no longer has entry {index}: it was pruned below {minimum}")]
    Pruned {
        /// The index that was asked for.
        index: u64,
        /// The smallest index that is kept.
        minimum: u64,
    },
    /// This is not how far the log can be pruned.
    #[error("the log cannot be pruned below {minimum}: {what}")]
    Minimum {
        /// The minimum index that was asked for.
        minimum: u64,
        /// Why not.
        what: &'static str,
    },
    /// The file cannot be put beside the log.
    #[error("`{path}` cannot be put beside the log: {what}")]
    Beside {
        /// The path that was asked for.
        path: String,
        /// Why not.
        what: &'static str,
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
    /// A write to the disk hangs.
    #[error("the disk of the log has not answered for {waited_ms} ms: look after it")]
    Stalled {
        /// How long, in milliseconds.
        waited_ms: u64,
    },
    /// The file system cannot be written.
    #[error("the file system of the log is read-only: find out why, then mount it for writing")]
    ReadOnly,
    /// The clock is behind the last batch by more than is allowed.
    #[error(
        "the clock is {behind_ms} ms behind the last batch of the log, more than the {max_ms} ms \
         allowed: set the clock right, or wait"
    )]
    ClockWentBack {
        /// How far behind, in milliseconds.
        behind_ms: u64,
        /// How far is allowed, in milliseconds.
        max_ms: u64,
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
