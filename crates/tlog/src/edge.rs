//! The right edge of the tiles: turns leaf hashes into tiles as they fill.
//!
//! Knows nothing of storage.

use crate::merkle::{Hash, root_of};
use crate::tile::{TILE_WIDTH, Tile, TileKind};

/// The hashes of the tiles that are not full yet, for each level.
#[derive(Debug, Clone, Default)]
pub(crate) struct TileEdge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl TileEdge {
    /// Adds a leaf. Gives each hash tile that is full now to `full`, the
    /// lowest level first, with its hashes.
    pub(crate) fn push<E>(
        &mut self,
        leaf: Hash,
        full: &mut impl FnMut(Tile, &[Hash]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::with_capacity(usize::from(TILE_WIDTH)));
            }
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else { break };
            hashes.push(hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let kind = TileKind::Hashes(level);
            let index = Tile::total(kind, self.size) / u64::from(TILE_WIDTH) - 1;
            full(Tile::full(kind, index), hashes)?;
            hash = root_of(hashes.iter());
            hashes.clear();
        }
        Ok(())
    }

    /// The tiles that are not full, with their hashes.
    pub(crate) fn partials(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        (0_u8..).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty()).map(
            |(level, hashes)| {
                let kind = TileKind::Hashes(level);
                let index = Tile::total(kind, self.size) / u64::from(TILE_WIDTH);
                let width = u16::try_from(hashes.len()).unwrap_or(TILE_WIDTH);
                (Tile { kind, index, width }, hashes.as_slice())
            },
        )
    }

    /// The number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// The bytes of a hash tile.
pub(crate) fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(Hash::as_bytes).copied().collect()
}
