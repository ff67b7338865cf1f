//! The whole log, checked offline: its bytes by `tlog`, its content here, in one pass.

use crate::completeness::Completeness;
use crate::pairing::Pairing;
use event::{Event, Kind, LeafHash};
use std::path::Path;
use tlog::verify::{Expected, Failure, Observer, Progress, Report};

/// What a log that verified holds.
#[derive(Debug)]
pub struct Verified {
    /// What was found of the log itself.
    pub report: Report,
    /// What its entries are.
    pub counts: EventCounts,
}

/// How many events of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Calls that were passed on.
    pub asked: u64,
    /// Calls whose end is on record.
    pub answered: u64,
    /// Calls that a crash left without a known end.
    pub in_doubt: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Everything else.
    pub other: u64,
    /// Calls that were passed on and have no end yet.
    pub open: u64,
}

/// Verifies the log in `directory`; `progress` is called after every batch.
///
/// # Errors
/// The first thing that is wrong: with the bytes, or with an entry that is no event in canonical form
/// or does not fit those before it: a gap in a sequence, an answer without its question, a run without
/// its beginning or with other counts than it says.
pub fn verify(
    directory: &Path,
    expected: &Expected,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verified, Failure> {
    let mut content = Content {
        pairing: Pairing::default(),
        completeness: Completeness::default(),
        counts: EventCounts::default(),
        progress,
    };
    let report = tlog::verify::verify(directory, expected, &mut content)?;
    content.counts.open = content.pairing.open_calls();
    Ok(Verified { report, counts: content.counts })
}

struct Content<'p> {
    pairing: Pairing,
    completeness: Completeness,
    counts: EventCounts,
    progress: &'p mut dyn FnMut(Progress),
}

impl Observer for Content<'_> {
    fn entry(&mut self, index: u64, entry: &[u8]) -> Result<(), String> {
        let event = Event::decode_strict(entry).map_err(|error| error.to_string())?;
        self.pairing.take(index, &event)?;
        let leaf = LeafHash(*tlog::leaf_hash(entry).as_bytes());
        self.completeness.take(index, &event, leaf)?;
        let count = match event.kind {
            Kind::CallAsked => &mut self.counts.asked,
            Kind::CallAnswered => &mut self.counts.answered,
            Kind::CallInDoubt => &mut self.counts.in_doubt,
            Kind::CallRefused => &mut self.counts.refused,
            _ => &mut self.counts.other,
        };
        *count += 1;
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        (self.progress)(progress);
    }
}
