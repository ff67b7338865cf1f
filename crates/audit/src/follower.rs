//! The way out of the log: events in order from a cursor. Reads committed bytes only, from this process
//! or another one, and never slows the writer.

use event::{DecodeError, Event};
use std::path::Path;
use tlog::{Entries, Reader};

/// Reads events from a cursor on.
#[derive(Debug)]
pub struct Follower {
    entries: Entries,
}

/// One event and where it stands.
#[derive(Debug, Clone)]
pub struct Row {
    /// Index of its entry.
    pub index: u64,
    /// The event.
    pub event: Event,
}

/// Why the log cannot be followed further.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log cannot be read.
    #[error("audit log: {0}")]
    Log(#[from] tlog::Error),
    /// An entry is not an event of a version that this program knows.
    #[error("entry {index}: {reason}")]
    Entry {
        /// Index of the entry.
        index: u64,
        /// Why.
        reason: DecodeError,
    },
}

impl Follower {
    /// Follows the log in `directory` from entry `cursor` on, which need not exist yet; from the first
    /// entry that is kept, when `cursor` was pruned.
    ///
    /// # Errors
    /// When there is no log or it cannot be read.
    pub fn open(directory: &Path, cursor: u64) -> Result<Self, FollowError> {
        let reader = Reader::open(directory)?;
        Ok(Self { entries: reader.entries(cursor.max(reader.minimum()?))? })
    }

    /// Index of the next entry.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.entries.cursor()
    }

    /// The next event; `None` when it is not there yet: ask again later.
    ///
    /// # Errors
    /// When it cannot be read; the cursor then stands behind it, so that a reader may go on.
    pub fn next_row(&mut self) -> Result<Option<Row>, FollowError> {
        let Some((index, bytes)) = self.entries.next_entry()? else { return Ok(None) };
        match Event::decode(bytes) {
            Ok(event) => Ok(Some(Row { index, event })),
            Err(reason) => Err(FollowError::Entry { index, reason }),
        }
    }
}
