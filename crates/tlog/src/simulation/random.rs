//! Chance that can be had again.
//!
//! Knows nothing of what it decides.

/// Numbers that look random (`SplitMix64`).
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// Any number.
    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is at least one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// True once in `count` times.
    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// An entry of 9 bytes to `length` and 8.
    pub(super) fn entry(&mut self, length: u64) -> Vec<u8> {
        let length = self.below(length) + 1;
        let byte = u8::try_from(self.below(256)).unwrap_or(0);
        let mut entry = self.number().to_be_bytes().to_vec();
        entry.resize(usize::try_from(length).unwrap_or(0) + 8, byte);
        entry
    }
}
