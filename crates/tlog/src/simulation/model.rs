//! What a directory must hold when these entries were appended, computed in
//! the plainest way.
//!
//! Knows nothing of how the log came to it.

use crate::prune::stated_minimum;
use crate::reader::Reader;
use crate::statements::KeyChain;
use crate::storage::{Memory, Storage as _};
use note::{Hash, TILE_WIDTH, Tile, TileKind, leaf_hash, node_hash, push_bundle_entry};
use std::sync::Arc;

/// MTH of RFC 6962 section 2.1, word for word.
pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// Checks every published tile and bundle, the checkpoint and all entries in
/// the segments of a log against what was appended to it. Returns how many of
/// them are published.
///
/// # Errors
/// The first difference.
pub(crate) fn check_files(storage: &Memory, entries: &[Vec<u8>]) -> Result<u64, String> {
    let chain = KeyChain::load(storage).map_err(|error| error.to_string())?;
    let note = storage.read("checkpoint").map_err(|error| format!("checkpoint: {error}"))?;
    let checkpoint = chain.verify_checkpoint(&note).map_err(|error| error.to_string())?;
    let size = checkpoint.size;
    let published = entries.get(..index_of(size));
    let published = published.ok_or(format!("{size} entries are published, too many"))?;
    let leaves: Vec<Hash> = published.iter().map(|entry| leaf_hash(entry)).collect();
    if checkpoint.root != naive_root(&leaves) {
        return Err(format!("the checkpoint of {size} entries has another root"));
    }
    let minimum = stated_minimum(storage).map_err(|error| error.to_string())?;
    check_bundles(storage, published, minimum)?;
    check_tiles(storage, leaves)?;
    let genesis = chain.genesis().cloned().ok_or("the log has no key")?;
    let reader = Reader::on(Arc::new(storage.clone()), genesis, None);
    let stored = reader.entries(minimum).map_err(|error| error.to_string())?;
    let mut next = minimum;
    for entry in stored {
        let (index, entry) = entry.map_err(|error| error.to_string())?;
        let expected = entries.get(index_of(index));
        if index != next || Some(&entry) != expected {
            return Err(format!("entry {index} is another"));
        }
        next += 1;
    }
    if index_of(next) == entries.len() {
        Ok(size)
    } else {
        Err(format!("{next} entries are there"))
    }
}

fn check_bundles(storage: &Memory, entries: &[Vec<u8>], minimum: u64) -> Result<(), String> {
    for (index, chunk) in (0..).zip(entries.chunks(usize::from(TILE_WIDTH))) {
        let tile = tile(TileKind::Entries, index, chunk.len());
        if (index + 1) * u64::from(TILE_WIDTH) <= minimum {
            if storage.read(&tile.path()).is_ok() {
                return Err(format!("`{}` was pruned and is there", tile.path()));
            }
            continue;
        }
        let mut bundle = Vec::new();
        chunk.iter().for_each(|entry| push_bundle_entry(&mut bundle, entry));
        compare(storage, tile, &bundle)?;
    }
    Ok(())
}

fn check_tiles(storage: &Memory, leaves: Vec<Hash>) -> Result<(), String> {
    let mut hashes = leaves;
    for level in 0_u8.. {
        if hashes.is_empty() {
            return Ok(());
        }
        let chunks = hashes.chunks(usize::from(TILE_WIDTH));
        for (index, chunk) in (0..).zip(chunks.clone()) {
            let bytes: Vec<u8> = chunk.iter().flat_map(Hash::as_bytes).copied().collect();
            compare(storage, tile(TileKind::Hashes(level), index, chunk.len()), &bytes)?;
        }
        let full = chunks.filter(|chunk| chunk.len() == usize::from(TILE_WIDTH));
        hashes = full.map(naive_root).collect();
    }
    Ok(())
}

fn tile(kind: TileKind, index: u64, width: usize) -> Tile {
    Tile { kind, index, width: u16::try_from(width).unwrap_or(TILE_WIDTH) }
}

fn compare(storage: &Memory, tile: Tile, bytes: &[u8]) -> Result<(), String> {
    let path = tile.path();
    // A full tile stands in for a partial one.
    let full = Tile::full(tile.kind, tile.index).path();
    let found = storage.read(&path).or_else(|_| storage.read(&full));
    match found {
        Ok(found) if found.starts_with(bytes) && (found.len() == bytes.len() || path != full) => {
            Ok(())
        }
        Ok(_) => Err(format!("`{path}` has another content")),
        Err(error) => Err(format!("`{path}`: {error}")),
    }
}

fn index_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
