//! The right edge of the tiles: turns leaf hashes into tiles as they fill.
//!
//! Only reads from storage; whoever asks writes.

use crate::error::{Error, corrupt};
use crate::merkle::{CompactRange, root_of};
use crate::nodes::{published_tile, read_tile};
use crate::storage::Storage;
use note::{Hash, TILE_WIDTH, Tile, TileKind, tile_hash};

/// The hashes of the tiles that are not full yet, for each level.
#[derive(Debug, Clone, Default)]
pub(crate) struct TileEdge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl TileEdge {
    /// The edge after the first `size` entries, from the hash tiles that were
    /// published for `published` entries or more. Nothing in them is checked
    /// but their length: compare [`TileEdge::compact_range`] with something
    /// that was signed.
    pub(crate) fn from_tiles(
        storage: &dyn Storage,
        size: u64,
        published: u64,
    ) -> Result<Self, Error> {
        let mut levels = Vec::new();
        for level in 0_u8.. {
            let kind = TileKind::Hashes(level);
            let total = Tile::total(kind, size);
            if total == 0 {
                break;
            }
            let (index, count) = (total / WIDTH, total % WIDTH);
            let mut hashes = Vec::with_capacity(usize::from(TILE_WIDTH));
            if 0 < count {
                let tile = published_tile(kind, index, published);
                let bytes = read_tile(storage, tile)?;
                for at in 0..count {
                    let short = || corrupt(&tile.path(), 0, None, "the tile is too short");
                    hashes.push(tile_hash(&bytes, at).ok_or_else(short)?);
                }
            }
            levels.push(hashes);
        }
        Ok(Self { size, levels })
    }

    /// The tree over all leaves: what is not in a full tile is in these.
    pub(crate) fn compact_range(&self) -> CompactRange {
        let mut peaks = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let width = 1 << rest.len().ilog2();
                let (subtree, after) = rest.split_at(width);
                peaks.push(root_of(subtree));
                rest = after;
            }
        }
        CompactRange::from_peaks(self.size, peaks)
    }

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

const WIDTH: u64 = TILE_WIDTH as u64;
