//! The names and the contents of tiles and entry bundles (C2SP tlog-tiles).
//!
//! Knows nothing of storage: a tile here is a name and a width.

use crate::hash::Hash;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of the subtrees of 256 to the power of this level, 0 to 63.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// One tile: 256 hashes or entries, or fewer at the right edge of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What it holds.
    pub kind: TileKind,
    /// Its position among the tiles of its kind.
    pub index: u64,
    /// How many hashes or entries it holds, 1 to 256.
    pub width: u16,
}

impl Tile {
    /// The full tile at this place.
    #[must_use]
    pub fn full(kind: TileKind, index: u64) -> Self {
        Self { kind, index, width: TILE_WIDTH }
    }

    /// Whether it holds all it can.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The path under the log's directory, such as `tile/0/x001/x234/067` or
    /// `tile/entries/000.p/17`.
    #[must_use]
    pub fn path(&self) -> String {
        let full = self.full_path();
        if self.is_full() { full } else { format!("{full}.p/{}", self.width) }
    }

    /// The directory that holds the partial tiles at this place.
    #[must_use]
    pub fn partial_dir(&self) -> String {
        format!("{}.p", self.full_path())
    }

    /// Reads what [`Tile::path`] writes; `None` for anything else.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(level.parse().ok().filter(|level| *level < 64)?),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let mut index: u64 = 0;
        for group in number.split('/') {
            let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
            index = index.checked_mul(1000)?.checked_add(digits)?;
        }
        let tile = Self { kind, index, width };
        // Writing it again refuses every second spelling of a name.
        ((1..=TILE_WIDTH).contains(&width) && tile.path() == path).then_some(tile)
    }

    /// How many hashes the tiles of this kind hold for a tree of `size`
    /// entries, over all their tiles.
    #[must_use]
    pub fn total(kind: TileKind, size: u64) -> u64 {
        match kind {
            TileKind::Entries => size,
            TileKind::Hashes(level) => size.checked_shr(u32::from(level) * 8).unwrap_or(0),
        }
    }

    fn full_path(&self) -> String {
        let mut path = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest != 0 {
            path = format!("x{:03}/{path}", rest % 1000);
            rest /= 1000;
        }
        match self.kind {
            TileKind::Hashes(level) => format!("tile/{level}/{path}"),
            TileKind::Entries => format!("tile/entries/{path}"),
        }
    }
}

/// Appends one entry to a bundle: its length in two bytes, big-endian, then
/// its bytes. The entry is at most [`ENTRY_BYTES_MAX`] long.
pub fn push_bundle_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entry at `position` of a bundle; `None` when it has none.
#[must_use]
pub fn bundle_entry(bundle: &[u8], position: u64) -> Option<&[u8]> {
    let mut rest = bundle;
    let mut at = 0;
    loop {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (entry, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if at == position {
            return Some(entry);
        }
        at += 1;
        rest = tail;
    }
}

/// The hash at `position` of a hash tile; `None` when it has none.
#[must_use]
pub fn tile_hash(tile: &[u8], position: u64) -> Option<Hash> {
    let position = usize::try_from(position).ok()?;
    let (hashes, _) = tile.as_chunks::<32>();
    hashes.get(position).copied().map(Hash::from_bytes)
}

/// How many hashes or entries a full tile holds: tiles are eight levels high.
pub const TILE_WIDTH: u16 = 256;

/// The longest entry, in bytes: a bundle writes the length in two bytes.
pub const ENTRY_BYTES_MAX: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::{Tile, TileKind, bundle_entry, push_bundle_entry};
    use proptest::prelude::{any, proptest};

    #[test]
    fn paths_of_the_specification() {
        let tile = |kind, index, width| Tile { kind, index, width }.path();
        assert_eq!(tile(TileKind::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile(TileKind::Hashes(0), 0, 256), "tile/0/000");
        assert_eq!(tile(TileKind::Hashes(1), 273, 8), "tile/1/273.p/8");
        assert_eq!(tile(TileKind::Entries, 70_000, 112), "tile/entries/x070/000.p/112");
        // A tree of 70,000 entries, as the specification walks through it.
        assert_eq!(Tile::total(TileKind::Hashes(0), 70_000), 273 * 256 + 112);
        assert_eq!(Tile::total(TileKind::Hashes(1), 70_000), 256 + 17);
        assert_eq!(Tile::total(TileKind::Hashes(2), 70_000), 1);
        assert_eq!(Tile::total(TileKind::Hashes(63), u64::MAX), 0);
    }

    #[test]
    fn one_spelling_only() {
        for path in [
            "tile/0/0",
            "tile/00/000",
            "tile/+0/000",
            "tile/64/000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/07",
            "tile/0/000.p/",
            "tile/0/000/",
            "tile/entries/",
            "tile/data/000",
            "tiles/0/000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn paths_round_trip(level in 0_u8..64, index in any::<u64>(), width in 1_u16..=256) {
            for kind in [TileKind::Hashes(level), TileKind::Entries] {
                let tile = Tile { kind, index, width };
                assert_eq!(Tile::parse(&tile.path()), Some(tile));
            }
        }

        #[test]
        fn bundles_give_back_what_was_put_in(entries: Vec<Vec<u8>>) {
            let mut bundle = Vec::new();
            for entry in &entries {
                push_bundle_entry(&mut bundle, entry);
            }
            for (position, entry) in (0..).zip(&entries) {
                assert_eq!(bundle_entry(&bundle, position), Some(entry.as_slice()));
            }
            assert_eq!(bundle_entry(&bundle, entries.len().try_into().unwrap()), None);
        }
    }
}
