//! Numbers that look random and follow from a seed, so that a run can be repeated.

use std::hash::{BuildHasher as _, Hasher as _};

/// Variable that sets the seed.
const SEED: &str = "COUNTERSIGN_CRASH_SEED";

/// A generator (`SplitMix64`: Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or_default()
    }
}

/// The seed of this run: the one that is set, or a new one.
#[expect(clippy::disallowed_methods, reason = "a failed run is repeated by setting its seed")]
pub(super) fn seed() -> anyhow::Result<u64> {
    match std::env::var(SEED) {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(std::hash::RandomState::new().build_hasher().finish()),
    }
}
