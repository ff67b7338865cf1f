//! What a verification found: the verdict, where, and by which check.

use crate::check::Check;
use std::fmt;

/// What a verification comes to. The worst that was found counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Everything verifies, and enough witnesses cosigned the checkpoint.
    Witnessed,
    /// Everything verifies against a key or a checkpoint known from elsewhere.
    Valid,
    /// Everything verifies, but only against what the log says of itself:
    /// nothing shows that it is the log it claims to be, or that its end is
    /// not gone.
    Unproven,
    /// Bytes are not what they were, or are there that should not be.
    Altered,
    /// Entries at the end are gone: the log was cut, or rolled back.
    Truncated,
    /// The log signed two histories that contradict each other.
    Forked,
    /// The log belongs to another key or has another origin.
    WrongKey,
    /// A file is missing.
    Missing,
    /// The bytes are those that were written, but events are missing among
    /// them, or they do not fit together.
    Incomplete,
    /// Everything verifies, but not enough witnesses cosigned the checkpoint.
    Unwitnessed,
    /// A writer was stopped in the middle of a write that nobody was told had
    /// succeeded. Opening the log mends it.
    UnfinishedTail,
    /// There is no log here, or it cannot be read.
    Unreadable,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 12] = [
        Self::Witnessed,
        Self::Valid,
        Self::Unproven,
        Self::Altered,
        Self::Truncated,
        Self::Forked,
        Self::WrongKey,
        Self::Missing,
        Self::Incomplete,
        Self::Unwitnessed,
        Self::UnfinishedTail,
        Self::Unreadable,
    ];

    /// The exit status of a program that ends with this verdict. 1 is shared
    /// with every other failure to read or write, 2 is for wrong arguments.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Witnessed | Self::Valid => 0,
            Self::Unreadable => 1,
            Self::Unproven => 10,
            Self::Altered => 11,
            Self::Truncated => 12,
            Self::Forked => 13,
            Self::WrongKey => 14,
            Self::Missing => 15,
            Self::Incomplete => 16,
            Self::Unwitnessed => 17,
            Self::UnfinishedTail => 18,
        }
    }

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Witnessed => "witnessed",
            Self::Valid => "valid",
            Self::Unproven => "unproven",
            Self::Altered => "altered",
            Self::Truncated => "truncated",
            Self::Forked => "forked",
            Self::WrongKey => "wrong-key",
            Self::Missing => "missing",
            Self::Incomplete => "incomplete",
            Self::Unwitnessed => "unwitnessed",
            Self::UnfinishedTail => "unfinished-tail",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first thing that is wrong with a log or a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means; a program decides by this.
    pub verdict: Verdict,
    /// The check that failed; `None` when there was nothing to check, as what
    /// is needed cannot be read.
    pub check: Option<Check>,
    /// The file, relative to the log, or what was given.
    pub path: String,
    /// The byte in the file, where known.
    pub offset: Option<u64>,
    /// The index of the first entry that is affected, where known.
    pub entry: Option<u64>,
    /// What is wrong, for a human.
    pub what: String,
    /// For a fork: the notes that contradict each other.
    pub evidence: Vec<Evidence>,
}

/// A file that proves a failure to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// A name for the file.
    pub name: String,
    /// Its bytes, as they were found.
    pub bytes: Vec<u8>,
}

impl Failure {
    /// A failed check, with the verdict that is usual for it.
    pub(crate) fn new(check: Check, path: &str, what: impl Into<String>) -> Self {
        Self::of(check.verdict(), Some(check), path, what)
    }

    /// Something that is needed and cannot be had.
    pub(crate) fn needed(verdict: Verdict, path: &str, what: impl Into<String>) -> Self {
        Self::of(verdict, None, path, what)
    }

    fn of(verdict: Verdict, check: Option<Check>, path: &str, what: impl Into<String>) -> Self {
        let (path, what) = (path.to_owned(), what.into());
        Self { verdict, check, path, offset: None, entry: None, what, evidence: Vec::new() }
    }

    pub(crate) fn verdict(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    pub(crate) fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    pub(crate) fn entry(self, entry: u64) -> Self {
        Self { entry: Some(entry), ..self }
    }

    pub(crate) fn entry_known(self, entry: Option<u64>) -> Self {
        Self { entry, ..self }
    }

    pub(crate) fn entry_if_none(self, entry: u64) -> Self {
        Self { entry: self.entry.or(Some(entry)), ..self }
    }

    pub(crate) fn evidence(self, evidence: Vec<Evidence>) -> Self {
        Self { evidence, ..self }
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
