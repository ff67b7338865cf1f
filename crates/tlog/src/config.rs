//! The settings of a log, with their bounds.

use crate::epoch::certificate_bytes_max;
use crate::error::Error;
use crate::format::{FRAME_BYTES, HEADER_BYTES, TRAILER_BYTES};
use crate::high_water::HighWater;
use crate::queue::BatchBound;
use note::ENTRY_BYTES_MAX;
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
    /// How long an entry that is not urgent waits for one that is, in
    /// milliseconds; 5 ms. See [`Urgency::Soon`](crate::Urgency::Soon).
    pub linger_ms: u64,
    /// How many bytes stay free on the disk; 128 MiB. Below it nothing is
    /// appended.
    pub free_bytes_min: u64,
    /// How long a write and its sync may take, in milliseconds; 10 s. While
    /// one takes longer, the log refuses.
    pub sync_stall_max_ms: u64,
    /// How far the clock may go back, in milliseconds; 5 s. Batches then carry
    /// the last time once more. Further back the log refuses, until the clock
    /// is where it was.
    pub clock_back_max_ms: u64,
    /// The time that batches carry.
    pub clock: Clock,
    /// How long things take: milliseconds since any moment, never going back.
    /// [`Config::new`] takes the clock for it; give a better one.
    pub monotonic: Clock,
    /// Where the high-water mark is, on another device than the log; `None`
    /// when an older copy of the log may be opened unnoticed.
    pub high_water: Option<Arc<dyn HighWater>>,
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
            linger_ms: 5,
            free_bytes_min: 128 << 20,
            sync_stall_max_ms: 10_000,
            clock_back_max_ms: 5_000,
            monotonic: Arc::clone(&clock),
            clock,
            high_water: None,
        }
    }

    /// The time for what comes after something that carries `last_ms`: now, or
    /// the same once more when the clock went back a little.
    pub(crate) fn time_after(&self, last_ms: u64) -> Result<u64, Error> {
        let now = (self.clock)();
        let (behind_ms, max_ms) = (last_ms.saturating_sub(now), self.clock_back_max_ms);
        if max_ms < behind_ms {
            return Err(Error::ClockWentBack { behind_ms, max_ms });
        }
        Ok(now.max(last_ms))
    }

    /// Refuses what cannot work. What fits in a batch depends on the origin,
    /// because the certificate of an epoch does.
    pub(crate) fn bounds(&self, origin: &str) -> Result<Bounds, Error> {
        if self.segment_bytes < SEGMENT_BYTES_MIN || SEGMENT_BYTES_MAX < self.segment_bytes {
            return Err(Error::Config("a segment has 4 KiB to 4 GiB"));
        }
        if self.queue_entries == 0 || self.batch_entries == 0 || self.batch_bytes == 0 {
            return Err(Error::Config("the queue and a batch hold at least one entry"));
        }
        let segment = usize::try_from(self.segment_bytes).unwrap_or(usize::MAX);
        let certificate = FRAME_BYTES + certificate_bytes_max(origin)?;
        // What a segment has room for in entry frames, if it holds one batch.
        let payload = segment.saturating_sub(HEADER_BYTES + certificate + TRAILER_BYTES);
        if payload <= FRAME_BYTES {
            return Err(Error::Config("a segment is too short for an origin this long"));
        }
        Ok(Bounds {
            entry_bytes_max: (payload - FRAME_BYTES).min(ENTRY_BYTES_MAX),
            batch: BatchBound {
                // The count in a trailer has four bytes.
                entries: self.batch_entries.min(1 << 24),
                bytes: self.batch_bytes.min(payload),
                overhead: FRAME_BYTES,
            },
        })
    }
}

/// What a log takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The longest entry that fits in a segment and in a bundle, in bytes.
    pub(crate) entry_bytes_max: usize,
    /// The bounds of one batch: it has to fit in one segment.
    pub(crate) batch: BatchBound,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("segment_bytes", &self.segment_bytes)
            .field("queue_entries", &self.queue_entries)
            .field("batch_entries", &self.batch_entries)
            .field("batch_bytes", &self.batch_bytes)
            .field("linger_ms", &self.linger_ms)
            .field("free_bytes_min", &self.free_bytes_min)
            .field("sync_stall_max_ms", &self.sync_stall_max_ms)
            .field("clock_back_max_ms", &self.clock_back_max_ms)
            .field("high_water", &self.high_water)
            .finish_non_exhaustive()
    }
}

const SEGMENT_BYTES_MIN: u64 = 4 << 10;
const SEGMENT_BYTES_MAX: u64 = 4 << 30;
