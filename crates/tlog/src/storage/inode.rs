//! One file of the disk in memory: what is read, what is durable, and what a
//! crash makes of the difference.
//!
//! Knows nothing of names.

use std::io;

/// What a crash leaves of writes and names that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// The sectors of the first half of each write; no names.
    FirstHalf,
    /// Every second sector of 512 bytes of each write, and the names.
    Holes,
    /// Any sectors of each write, and any names: which, this seed says.
    Random(u64),
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// The writes since the last sync: offset and bytes.
    pub(super) unsynced: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    pub(super) fn settled(bytes: Vec<u8>) -> Self {
        Self { live: bytes.clone(), durable: bytes, unsynced: Vec::new() }
    }

    pub(super) fn settle(&mut self) {
        for (offset, written) in self.unsynced.drain(..) {
            overwrite(&mut self.durable, &written, offset);
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        overwrite(&mut self.live, bytes, offset);
        self.unsynced.push((offset, bytes.to_vec()));
        Ok(())
    }

    /// What a crash leaves; `number` tells the files apart.
    pub(super) fn after_crash(&self, survival: Survival, number: u64) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (order, (offset, written)) in (0_u64..).zip(&self.unsynced) {
            match survival {
                Survival::Nothing => {}
                Survival::Everything => overwrite(&mut bytes, written, *offset),
                Survival::FirstHalf => {
                    let cut = (offset + written.len() / 2) / SECTOR_BYTES * SECTOR_BYTES;
                    let kept = written.get(..cut.saturating_sub(*offset)).unwrap_or_default();
                    overwrite(&mut bytes, kept, *offset);
                }
                Survival::Holes => {
                    keep_sectors(&mut bytes, written, *offset, |sector| sector % 2 == 1);
                }
                Survival::Random(seed) => {
                    let mixed = mix(mix(seed, number), order);
                    keep_sectors(&mut bytes, written, *offset, |sector| {
                        mix(mixed, sector) & 1 == 0
                    });
                }
            }
        }
        bytes
    }
}

/// A number that looks random and depends on both (`SplitMix64`).
pub(super) fn mix(seed: u64, value: u64) -> u64 {
    let mut mixed = (seed ^ value.wrapping_mul(0xff51_afd7_ed55_8ccd)).wrapping_add(GOLDEN);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn keep_sectors(bytes: &mut [u8], written: &[u8], offset: usize, keep: impl Fn(u64) -> bool) {
    for (position, byte) in (offset..).zip(written) {
        if keep(u64::try_from(position / SECTOR_BYTES).unwrap_or(0)) {
            overwrite(bytes, &[*byte], position);
        }
    }
}

fn overwrite(bytes: &mut [u8], written: &[u8], offset: usize) {
    for (to, from) in bytes.iter_mut().skip(offset).zip(written) {
        *to = *from;
    }
}

const SECTOR_BYTES: usize = 512;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
