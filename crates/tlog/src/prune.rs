//! Removes old entries (C2SP tlog-tiles, section on pruning): bundles and
//! segments below a minimum index. Hash tiles stay, so that every proof can
//! still be made.
//!
//! What was pruned is said in a signed note first; removing goes on from there
//! after any interruption. Knows nothing of why entries may go.

use crate::error::{Error, corrupt, io_error};
use crate::scan::{SEGMENTS, list_segments, segment_path};
use crate::statements::KeyChain;
use crate::storage::Storage;
use note::{Pruned, TILE_WIDTH, Tile, TileKind};
use std::io;

/// The smallest index that the log keeps, as its keys signed it; 0 when
/// nothing was pruned.
pub(crate) fn signed_minimum(
    storage: &dyn Storage,
    chain: &KeyChain,
    published: u64,
) -> Result<u64, Error> {
    let Some(note) = read(storage)? else { return Ok(0) };
    let pruned = chain.verify_pruned(&note, published);
    Ok(pruned.map_err(|what| corrupt(PRUNED, 0, None, what))?.minimum)
}

/// The same, taken at its word.
pub(crate) fn stated_minimum(storage: &dyn Storage) -> Result<u64, Error> {
    let Some(note) = read(storage)? else { return Ok(0) };
    let pruned = Pruned::parse(&note);
    Ok(pruned.map_err(|error| corrupt(PRUNED, 0, None, error.to_string()))?.0.minimum)
}

/// Refuses an index whose entry is gone.
pub(crate) fn check_kept(storage: &dyn Storage, index: u64) -> Result<(), Error> {
    let minimum = stated_minimum(storage)?;
    if index < minimum { Err(Error::Pruned { index, minimum }) } else { Ok(()) }
}

/// The first index of the first segment to keep: the one with the entry
/// `minimum` in it, or the last published entry, whichever comes first.
pub(crate) fn first_kept(firsts: &[u64], minimum: u64, published: u64) -> u64 {
    let needed = minimum.min(published.saturating_sub(1));
    firsts.iter().copied().rfind(|first| *first <= needed).unwrap_or(0)
}

/// Removes the bundles below `minimum` and the segments before the one that
/// begins at `kept`. May be interrupted and called again.
pub(crate) fn remove_below(storage: &dyn Storage, minimum: u64, kept: u64) -> Result<(), Error> {
    if minimum == 0 {
        return Ok(());
    }
    remove_bundles(storage, BUNDLES, minimum / u64::from(TILE_WIDTH))?;
    let old = list_segments(storage)?.into_iter().filter(|first| *first < kept);
    let old: Vec<u64> = old.collect();
    for first in &old {
        remove(storage, &segment_path(*first))?;
    }
    if old.is_empty() {
        return Ok(());
    }
    storage.sync_dir(SEGMENTS).map_err(io_error("sync", SEGMENTS))
}

/// The name of the note that says what was pruned.
pub(crate) const PRUNED: &str = "pruned";

/// Removes the bundles with an index below `end` from a directory of them.
fn remove_bundles(storage: &dyn Storage, dir: &str, end: u64) -> Result<(), Error> {
    let names = match storage.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(io_error("list", dir))?,
    };
    let mut removed = false;
    for name in names {
        let path = format!("{dir}/{name}");
        // Any tile in it tells where a directory belongs.
        let first = if name.starts_with('x') {
            Tile::parse(&format!("{path}/000"))
        } else if name.ends_with(".p") {
            Tile::parse(&format!("{path}/1"))
        } else {
            Tile::parse(&path)
        };
        let old = |tile: &Tile| tile.kind == TileKind::Entries && tile.index < end;
        if !first.as_ref().is_some_and(old) {
            continue;
        }
        if name.starts_with('x') {
            remove_bundles(storage, &path, end)?;
            let left = storage.list(&path).map_err(io_error("list", &path))?;
            if !left.is_empty() {
                continue;
            }
        }
        remove(storage, &path)?;
        removed = true;
    }
    if !removed {
        return Ok(());
    }
    storage.sync_dir(dir).map_err(io_error("sync", dir))
}

fn remove(storage: &dyn Storage, path: &str) -> Result<(), Error> {
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn read(storage: &dyn Storage) -> Result<Option<Vec<u8>>, Error> {
    match storage.read(PRUNED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(read.map_err(io_error("read", PRUNED))?)),
    }
}

const BUNDLES: &str = "tile/entries";

#[cfg(test)]
mod tests {
    use super::{first_kept, remove_below};
    use crate::storage::{Memory, Storage as _};
    use note::{Tile, TileKind};

    #[test]
    fn bundles_go_with_their_directories_whatever_their_numbers() {
        let storage = Memory::default();
        let indices = [0, 1, 998, 999, 1000, 1001, 1999, 2000, 999_999, 1_000_000, 1_234_067];
        for index in indices {
            for tile in [
                Tile::full(TileKind::Entries, index),
                Tile { kind: TileKind::Entries, index, width: 7 },
                Tile::full(TileKind::Hashes(0), index),
            ] {
                let path = tile.path();
                storage.make_dir(path.rsplit_once('/').unwrap().0).unwrap();
                storage.put(&path, b"x").unwrap();
            }
        }
        storage.make_dir("segments").unwrap();
        for end in indices {
            remove_below(&storage, end * 256, 0).unwrap();
            for index in indices {
                let full = Tile::full(TileKind::Entries, index).path();
                let partial = Tile { kind: TileKind::Entries, index, width: 7 }.path();
                assert_eq!(storage.read(&full).is_ok(), end <= index, "{index} of {end}");
                assert_eq!(storage.read(&partial).is_ok(), end <= index, "{index} of {end}");
                assert!(storage.read(&Tile::full(TileKind::Hashes(0), index).path()).is_ok());
            }
        }
        remove_below(&storage, 1_234_068 * 256, 0).unwrap();
        assert!(storage.list("tile/entries").unwrap().is_empty(), "no directory is left");
    }

    #[test]
    fn the_segment_with_the_last_published_entry_is_always_kept() {
        let firsts = [0, 100, 300, 512];
        for (minimum, published, kept) in
            [(0, 600, 0), (256, 600, 100), (512, 513, 512), (512, 512, 300), (256, 256, 100)]
        {
            assert_eq!(first_kept(&firsts, minimum, published), kept, "{minimum} of {published}");
        }
        assert_eq!(first_kept(&[], 0, 0), 0);
    }
}
