//! What a verification is told: what to trust, what to hold the log against,
//! and how much to look at.

use crate::source::Source;
use note::{Policy, Verifier};
use std::fmt;
use std::num::NonZeroUsize;

/// What the log is held against. All of it is optional: a log alone can only
/// be shown to be consistent with itself.
#[derive(Default)]
pub struct Options<'a> {
    /// Keys of the log, known from elsewhere. One of them is enough; keys that
    /// came later are followed through the statements of the log.
    pub keys: Vec<Verifier>,
    /// Which logs and witnesses are trusted, and how many witnesses it takes.
    /// Its logs of this origin count as [`Options::keys`].
    pub policy: Option<Policy>,
    /// Signed checkpoints kept from earlier or received from others: the log
    /// must still hold everything they speak of.
    pub checkpoints: Vec<Vec<u8>>,
    /// Another copy of the log, which must not contradict this one.
    pub compare: Option<&'a dyn Source>,
    /// The roots of the timestamp authorities, as PEM certificates. Without
    /// them timestamps are reported and not judged.
    pub tsa_roots: Option<Vec<u8>>,
    /// Looks at some entries only; `None` looks at everything.
    pub sample: Option<Sample>,
    /// What the entries are.
    pub entries: Entries,
    /// How many threads read and hash, while one more judges; with 1 all is
    /// done on the caller's. The number of processors when `None`, and more
    /// for an address.
    pub threads: Option<NonZeroUsize>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("keys", &self.keys)
            .field("checkpoints", &self.checkpoints.len())
            .field("compare", &self.compare.map(Source::name))
            .field("sample", &self.sample)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

/// What the entries of a log are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Entries {
    /// Events; their form and completeness are judged.
    #[default]
    Events,
    /// Anything; only their bytes are judged.
    Opaque,
}

/// How many entries are looked at, chosen at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// So many.
    Entries {
        /// The number, at most that of the log.
        count: u64,
        /// The same seed chooses the same entries.
        seed: u64,
    },
    /// So many of a hundred, at least one.
    Percent {
        /// 1 to 100.
        percent: u8,
        /// The same seed chooses the same entries.
        seed: u64,
    },
}

impl Sample {
    /// How many of `size` entries are looked at.
    #[must_use]
    pub fn count(self, size: u64) -> u64 {
        match self {
            Self::Entries { count, .. } => count.min(size),
            Self::Percent { percent, .. } => {
                let share = u128::from(size) * u128::from(percent.min(100)) / 100;
                u64::try_from(share).unwrap_or(size).max(1).min(size)
            }
        }
    }

    /// The seed.
    #[must_use]
    pub fn seed(self) -> u64 {
        match self {
            Self::Entries { seed, .. } | Self::Percent { seed, .. } => seed,
        }
    }
}

/// Watches a verification. `()` watches nothing.
pub trait Observer {
    /// Called for every entry that was looked at, in order, once its batch or
    /// bundle was verified. For events, after the event was judged.
    fn entry(&mut self, _index: u64, _entry: &[u8]) {}

    /// Called after every block of entries.
    fn progress(&mut self, _progress: Progress) {}
}

impl Observer for () {}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries verified so far.
    pub entries: u64,
    /// Bytes of segments or bundles read so far.
    pub bytes: u64,
    /// Bytes of segments in all; `None` when that is not known.
    pub bytes_total: Option<u64>,
    /// Entries in all; `None` when that is not known.
    pub entries_total: Option<u64>,
}
