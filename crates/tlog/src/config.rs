//! The settings of a log, with their bounds.

use crate::error::Error;
use crate::format::{FRAME_BYTES, HEADER_BYTES, TRAILER_BYTES};
use crate::queue::BatchBound;
use crate::tile::ENTRY_BYTES_MAX;
use std::fmt;
use std::sync::Arc;

/// Tells the time of a commit, in milliseconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a log is written. Make one with [`Config::new`] and change fields.
#[derive(Clone)]
pub struct Config {
    /// The length of a new segment file, in bytes; 64 MiB. At least 4 KiB; an
    /// entry never exceeds a segment, so 256 KiB or more for entries of any
    /// length. A verification holds one segment in memory.
    pub segment_bytes: u64,
    /// How many entries may wait to be written; 4096. One more is refused.
    pub queue_entries: usize,
    /// How many entries one commit takes at most; 1024.
    pub batch_entries: usize,
    /// How many bytes one commit takes at most, beyond its first entry; 1 MiB.
    pub batch_bytes: usize,
    /// How many bytes stay free on the disk; 128 MiB. Below it nothing is
    /// appended.
    pub free_bytes_min: u64,
    /// The time that batches carry.
    pub clock: Clock,
}

impl Config {
    /// The defaults, with this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            segment_bytes: 64 << 20,
            queue_entries: 4096,
            batch_entries: 1024,
            batch_bytes: 1 << 20,
            free_bytes_min: 128 << 20,
            clock,
        }
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.segment_bytes < SEGMENT_BYTES_MIN || SEGMENT_BYTES_MAX < self.segment_bytes {
            return Err(Error::Config("a segment has 4 KiB to 4 GiB"));
        }
        if self.queue_entries == 0 || self.batch_entries == 0 || self.batch_bytes == 0 {
            return Err(Error::Config("the queue and a batch hold at least one entry"));
        }
        Ok(())
    }

    /// The longest entry that fits in a segment and in a bundle, in bytes.
    pub(crate) fn entry_bytes_max(&self) -> usize {
        (self.payload_bytes() - FRAME_BYTES).min(ENTRY_BYTES_MAX)
    }

    /// The bounds of one batch: it has to fit in one segment.
    pub(crate) fn batch_bound(&self) -> BatchBound {
        BatchBound {
            // The count in a trailer has four bytes.
            entries: self.batch_entries.min(1 << 24),
            bytes: self.batch_bytes.min(self.payload_bytes()),
            overhead: FRAME_BYTES,
        }
    }

    /// What a segment has room for in entry frames, if it holds one batch.
    fn payload_bytes(&self) -> usize {
        let bytes = usize::try_from(self.segment_bytes).unwrap_or(usize::MAX);
        bytes.saturating_sub(HEADER_BYTES + TRAILER_BYTES)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("segment_bytes", &self.segment_bytes)
            .field("queue_entries", &self.queue_entries)
            .field("batch_entries", &self.batch_entries)
            .field("batch_bytes", &self.batch_bytes)
            .field("free_bytes_min", &self.free_bytes_min)
            .finish_non_exhaustive()
    }
}

const SEGMENT_BYTES_MIN: u64 = 4 << 10;
const SEGMENT_BYTES_MAX: u64 = 4 << 30;
