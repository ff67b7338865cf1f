//! What a verification found: where, and of which kind.

use std::fmt;

/// The first thing that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which kind it is of; a program decides by this.
    pub kind: FailureKind,
    /// The file, relative to the log's directory.
    pub path: String,
    /// The byte in the file, where known.
    pub offset: Option<u64>,
    /// The index of the first entry that is affected, where known.
    pub entry: Option<u64>,
    /// What is wrong, for a human.
    pub what: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Bytes are not what they were, or are there that should not be.
    Altered,
    /// Entries at the end are gone: the log was cut, or rolled back.
    Truncated,
    /// A signature is not by the log's key.
    Signature,
    /// The log belongs to another key or has another origin.
    WrongKey,
    /// A writer was stopped in the middle of a write that nobody was told had
    /// succeeded. Opening the log mends it.
    UnfinishedTail,
    /// A file is missing.
    Missing,
    /// There is no log here, or it cannot be read.
    Unreadable,
    /// The observer refused an entry.
    Rejected,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, path: &str, what: impl Into<String>) -> Self {
        Self { kind, path: path.to_owned(), offset: None, entry: None, what: what.into() }
    }

    pub(super) fn at(self, offset: usize) -> Self {
        Self { offset: u64::try_from(offset).ok(), ..self }
    }

    pub(super) fn entry(self, entry: u64) -> Self {
        Self { entry: Some(entry), ..self }
    }

    pub(super) fn entry_known(self, entry: Option<u64>) -> Self {
        Self { entry, ..self }
    }

    pub(super) fn entry_if_none(self, entry: u64) -> Self {
        Self { entry: self.entry.or(Some(entry)), ..self }
    }

    /// Says that the file is too short, at the place found already.
    pub(super) fn or_shorter(self, short: Self) -> Self {
        Self { offset: self.offset.or(short.offset), entry: self.entry, ..short }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.path)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(entry) = self.entry {
            write!(f, ", entry {entry}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for Failure {}
