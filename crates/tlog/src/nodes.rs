//! Node hashes of the tree, read from the hash tiles.
//!
//! Knows nothing of proofs or roots; [`crate::proof`] asks it.

use crate::error::{Error, corrupt, io_error};
use crate::merkle::root_of;
use crate::storage::Storage;
use note::Hash;
use note::{TILE_WIDTH, Tile, TileKind, tile_hash};
use std::collections::BTreeMap;
use std::io;

/// The hash tiles of a tree of a published size. Reads each tile once.
#[derive(Debug)]
pub(crate) struct TileNodes<'a> {
    storage: &'a dyn Storage,
    size: u64,
    tiles: BTreeMap<Tile, Vec<u8>>,
}

impl<'a> TileNodes<'a> {
    pub(crate) fn new(storage: &'a dyn Storage, size: u64) -> Self {
        Self { storage, size, tiles: BTreeMap::new() }
    }

    /// The root of the complete subtree over entries
    /// `index << level .. (index + 1) << level`; `None` when the published
    /// tree does not have all of it.
    pub(crate) fn node(&mut self, level: u32, index: u64) -> Result<Option<Hash>, Error> {
        let width = u64::from(TILE_WIDTH);
        let (tile_level, within) = (level / 8, level % 8);
        let kind = TileKind::Hashes(u8::try_from(tile_level).unwrap_or(u8::MAX));
        let total = Tile::total(kind, self.size);
        let (first, count) = (index << within, 1_u64 << within);
        if total < first + count {
            return Ok(None);
        }
        let tile = published_tile(kind, first / width, self.size);
        let bytes = self.tile(tile)?;
        let positions = first % width..first % width + count;
        let hashes: Option<Vec<Hash>> = positions.map(|at| tile_hash(bytes, at)).collect();
        match hashes {
            Some(hashes) => Ok(Some(root_of(&hashes))),
            None => Err(corrupt(&tile.path(), 0, None, "the tile is too short")),
        }
    }

    fn tile(&mut self, tile: Tile) -> Result<&[u8], Error> {
        if !self.tiles.contains_key(&tile) {
            let bytes = read_tile(self.storage, tile)?;
            self.tiles.insert(tile, bytes);
        }
        Ok(self.tiles.get(&tile).map(Vec::as_slice).unwrap_or_default())
    }
}

/// The tile at this place as it was published for a tree of this size: full,
/// or as wide as the tree made it.
pub(crate) fn published_tile(kind: TileKind, index: u64, size: u64) -> Tile {
    let before = index * u64::from(TILE_WIDTH);
    let rest = Tile::total(kind, size).saturating_sub(before);
    let width = u16::try_from(rest).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
    Tile { kind, index, width }
}

/// The bytes of a published tile, or of the full one in place of a partial one
/// that was superseded.
pub(crate) fn read_tile(storage: &dyn Storage, tile: Tile) -> Result<Vec<u8>, Error> {
    let path = tile.path();
    let absent = match storage.read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => error,
        read => return read.map_err(io_error("read", &path)),
    };
    let full = Tile::full(tile.kind, tile.index).path();
    let read = if tile.is_full() { Err(absent) } else { storage.read(&full) };
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(corrupt(&path, 0, None, "the tile is missing"))
        }
        read => read.map_err(io_error("read", &full)),
    }
}
