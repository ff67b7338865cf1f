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

    pub(super) fn after_crash(&self, survival: Survival) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (offset, written) in &self.unsynced {
            match survival {
                Survival::Nothing => {}
                Survival::Everything => overwrite(&mut bytes, written, *offset),
                Survival::FirstHalf => {
                    let cut = (offset + written.len() / 2) / SECTOR_BYTES * SECTOR_BYTES;
                    let kept = written.get(..cut.saturating_sub(*offset)).unwrap_or_default();
                    overwrite(&mut bytes, kept, *offset);
                }
                Survival::Holes => {
                    for (position, byte) in (*offset..).zip(written) {
                        if position / SECTOR_BYTES % 2 == 1 {
                            overwrite(&mut bytes, &[*byte], position);
                        }
                    }
                }
            }
        }
        bytes
    }
}

fn overwrite(bytes: &mut [u8], written: &[u8], offset: usize) {
    for (to, from) in bytes.iter_mut().skip(offset).zip(written) {
        *to = *from;
    }
}

const SECTOR_BYTES: usize = 512;
