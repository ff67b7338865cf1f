//! Rebuilds every tile and bundle from the entries and compares the published
//! ones with them, byte for byte; and reads nodes of the tree out of tiles.
//!
//! Holds the right edge only, and no list of tiles.

use crate::check::{Check, Checks};
use crate::failure::{Failure, Verdict};
use crate::keys::refused;
use crate::source::{Source, SourceError};
use crate::tree::fold_level;
use note::{Hash, TILE_WIDTH, Tile, TileKind, tile_hash};
use std::collections::BTreeMap;

/// The tiles at the right edge as they come to be.
pub(crate) struct TileCheck<'a> {
    source: &'a dyn Source,
    checks: Checks,
    /// The size for which tiles have to be there.
    published: u64,
    live: bool,
    /// Bundles of entries below it are not compared: they may be pruned.
    minimum: u64,
    size: u64,
    bundle: Content,
    levels: Vec<Content>,
    /// A tile that was read already.
    ahead: Option<(Tile, Vec<u8>)>,
}

/// What is in a tile so far.
#[derive(Debug, Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    /// Where each item ends in the bytes.
    ends: Vec<usize>,
    hashes: Vec<Hash>,
}

impl<'a> TileCheck<'a> {
    pub(crate) fn new(
        (source, checks, live): (&'a dyn Source, Checks, bool),
        published: u64,
        minimum: u64,
    ) -> Self {
        let (bundle, levels) = (Content::default(), Vec::new());
        Self { source, checks, published, live, minimum, size: 0, bundle, levels, ahead: None }
    }

    /// Takes a tile that was read ahead of need.
    pub(crate) fn take_ahead(&mut self, tile: Option<(Tile, Vec<u8>)>) {
        self.ahead = tile;
    }

    /// Adds an entry with its leaf hash; compares tiles as they become full.
    /// `from` is the bundle that the entry was read from, if it was.
    pub(crate) fn push(
        &mut self,
        entry: &[u8],
        leaf: Hash,
        from: Option<Tile>,
    ) -> Result<(), Failure> {
        let index = self.size / WIDTH;
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        self.bundle.push(&[&length.to_be_bytes(), entry]);
        self.push_leaf(leaf)?;
        if !self.size.is_multiple_of(WIDTH) {
            return Ok(());
        }
        let bundle = std::mem::take(&mut self.bundle);
        // One that began with pruned entries is not whole, and gone as well.
        if bundle.is_full() {
            self.compare(TileKind::Entries, index, &bundle, from)
        } else {
            Ok(())
        }
    }

    /// Adds the leaf hash of an entry that is pruned.
    pub(crate) fn push_leaf(&mut self, leaf: Hash) -> Result<(), Failure> {
        self.size += 1;
        let mut hash = leaf;
        for level in 0_u8.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Content::default());
            }
            let Some(content) = self.levels.get_mut(usize::from(level)) else { break };
            content.push(&[hash.as_bytes()]);
            content.hashes.push(hash);
            if !content.is_full() {
                break;
            }
            let content = std::mem::take(content);
            let kind = TileKind::Hashes(level);
            self.compare(kind, Tile::total(kind, self.size) / WIDTH - 1, &content, None)?;
            hash = fold_level(&content.hashes);
        }
        Ok(())
    }

    /// Compares the tiles that are not full.
    pub(crate) fn end(&mut self, from: Option<Tile>) -> Result<(), Failure> {
        let bundle = std::mem::take(&mut self.bundle);
        self.compare(TileKind::Entries, self.size / WIDTH, &bundle, from)?;
        for (level, content) in (0_u8..).zip(std::mem::take(&mut self.levels)) {
            let kind = TileKind::Hashes(level);
            self.compare(kind, Tile::total(kind, self.size) / WIDTH, &content, None)?;
        }
        Ok(())
    }

    /// The first entry from index `first` on whose published leaf hash is
    /// another; `None` when none is, or nothing is published.
    pub(crate) fn first_difference(&self, first: u64, leaves: &[Hash]) -> Option<u64> {
        let mut tile: Option<(u64, Vec<u8>)> = None;
        (first..).zip(leaves).find_map(|(index, leaf)| {
            let at = index / WIDTH;
            if tile.as_ref().is_none_or(|(held, _)| *held != at) {
                let kind = TileKind::Hashes(0);
                let needed = needed(kind, at, self.published)?;
                let bytes = self.source.read(&Tile { kind, index: at, width: needed }.path());
                let full = || self.source.read(&Tile::full(kind, at).path());
                tile = Some((at, bytes.or_else(|_| full()).ok()?));
            }
            let published = tile_hash(&tile.as_ref()?.1, index % WIDTH)?;
            (published != *leaf).then_some(index)
        })
    }

    /// Compares all published tiles at one place with its content. `known` is
    /// the one that the content was read from.
    fn compare(
        &self,
        kind: TileKind,
        index: u64,
        content: &Content,
        known: Option<Tile>,
    ) -> Result<(), Failure> {
        let width = content.width();
        if width == 0 || (kind == TileKind::Entries && index * WIDTH < self.minimum) {
            return Ok(());
        }
        let full = Tile::full(kind, index);
        let needed = needed(kind, index, self.published).unwrap_or(0);
        let mut found = known == Some(full) && content.is_full();
        if !found && (content.is_full() || needed == TILE_WIDTH) {
            found = self.compare_one(full, content)?;
        }
        let listed = self.source.list(&full.partial_dir());
        let listed = listed.map_err(|error| refused(&full.partial_dir(), &error))?;
        for name in listed.iter().flatten() {
            let tile = Tile::parse(&format!("{}/{name}", full.partial_dir()));
            // Those that reach further are found by the walk over the files.
            if let Some(tile) = tile.filter(|tile| tile.width <= width && known != Some(*tile)) {
                self.compare_one(tile, content)?;
            }
        }
        if found || needed == 0 {
            return Ok(());
        }
        self.compare_needed(Tile { kind, index, width: needed }, content, known)
    }

    /// The tile that the checkpoint needs at this place must be there; the full
    /// one may stand for it.
    fn compare_needed(
        &self,
        needed: Tile,
        content: &Content,
        known: Option<Tile>,
    ) -> Result<(), Failure> {
        let full = Tile::full(needed.kind, needed.index);
        if known == Some(needed) || known == Some(full) || self.compare_one(needed, content)? {
            return Ok(());
        }
        if !needed.is_full()
            && let Some(bytes) = self.read(full)?
        {
            return content.compare_start(full, &bytes, self.checks);
        }
        let what = "the file is missing";
        let failure = Failure::new(Check::TileMissing, &needed.path(), what);
        self.checks.fail(failure.entry(first_entry(needed, 0)))
    }

    /// Compares one tile; false when it is not there.
    fn compare_one(&self, tile: Tile, content: &Content) -> Result<bool, Failure> {
        if content.width() < tile.width {
            // Of entries that come later; only a log that is written has them.
            return Ok(self.live && self.read(tile)?.is_some());
        }
        let Some(bytes) = self.read(tile)? else { return Ok(false) };
        content.compare(tile, &bytes, self.checks)?;
        Ok(true)
    }

    fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, Failure> {
        match &self.ahead {
            Some((ahead, bytes)) if *ahead == tile => Ok(Some(bytes.clone())),
            _ => read_tile(self.source, tile),
        }
    }
}

impl Content {
    fn push(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.ends.push(self.bytes.len());
    }

    fn width(&self) -> u16 {
        u16::try_from(self.ends.len()).unwrap_or(TILE_WIDTH)
    }

    fn is_full(&self) -> bool {
        self.width() == TILE_WIDTH
    }

    /// Compares a published tile with the first items of the content.
    fn compare(&self, tile: Tile, published: &[u8], checks: Checks) -> Result<(), Failure> {
        let end = self.ends.get(usize::from(tile.width) - 1).copied().unwrap_or(0);
        let expected = self.bytes.get(..end).unwrap_or_default();
        if published == expected {
            return Ok(());
        }
        let same = published.iter().zip(expected).take_while(|(left, right)| left == right);
        let at = same.count();
        let item = self.ends.iter().take_while(|end| **end <= at).count();
        let item = item.min(usize::from(tile.width) - 1);
        let entry = first_entry(tile, u64::try_from(item).unwrap_or(0));
        let what = "the tile is not what the entries make it";
        let failure = Failure::new(Check::TileContent, &tile.path(), what);
        checks.fail(failure.at(crate::segment::u64_from(at)).entry(entry))
    }

    /// Compares the content with the beginning of a tile that reaches further.
    fn compare_start(&self, tile: Tile, published: &[u8], checks: Checks) -> Result<(), Failure> {
        let start = published.get(..self.bytes.len()).unwrap_or(published);
        self.compare(Tile { width: self.width(), ..tile }, start, checks)
    }
}

/// Reads nodes of the tree out of published tiles. They are not trusted: who
/// asks compares the root that they lead to.
pub(crate) struct Reader<'a> {
    source: &'a dyn Source,
    size: u64,
    held: BTreeMap<Tile, Vec<u8>>,
}

impl<'a> Reader<'a> {
    /// Of a tree of this size.
    pub(crate) fn new(source: &'a dyn Source, size: u64) -> Self {
        Self { source, size, held: BTreeMap::new() }
    }

    /// The root of the 2^level leaves at this place.
    pub(crate) fn node(&mut self, level: u8, index: u64) -> Result<Hash, Failure> {
        let (kind, within) = (TileKind::Hashes(level / 8), level % 8);
        let start = index << within;
        let (path, bytes) = self.tile(kind, start / WIDTH)?;
        let hashes: Option<Vec<Hash>> =
            (0..1_u64 << within).map(|n| tile_hash(bytes, start % WIDTH + n)).collect();
        let short = || Failure::new(Check::TileContent, &path, "the tile is too short");
        hashes.map(|hashes| fold_level(&hashes)).ok_or_else(short)
    }

    /// A tile or bundle of the tree, and its path.
    pub(crate) fn tile(&mut self, kind: TileKind, index: u64) -> Result<(String, &[u8]), Failure> {
        let width = needed(kind, index, self.size).unwrap_or(1);
        let tile = Tile { kind, index, width };
        if !self.held.contains_key(&tile) {
            if TILES_HELD_MAX <= self.held.len() {
                self.held.pop_first();
            }
            self.held.insert(tile, read_needed(self.source, tile)?.1);
        }
        let bytes = self.held.get(&tile).map(Vec::as_slice).unwrap_or_default();
        Ok((tile.path(), bytes))
    }
}

/// Reads a tile, or the full one that may stand for it.
pub(crate) fn read_needed(source: &dyn Source, tile: Tile) -> Result<(Tile, Vec<u8>), Failure> {
    if let Some(bytes) = read_tile(source, tile)? {
        return Ok((tile, bytes));
    }
    let full = Tile::full(tile.kind, tile.index);
    if !tile.is_full()
        && let Some(bytes) = read_tile(source, full)?
    {
        return Ok((full, bytes));
    }
    let failure = Failure::new(Check::TileMissing, &tile.path(), "the file is missing");
    Err(failure.entry(first_entry(tile, 0)))
}

/// Reads a tile; `None` when it is not there.
pub(crate) fn read_tile(source: &dyn Source, tile: Tile) -> Result<Option<Vec<u8>>, Failure> {
    let path = tile.path();
    match source.read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(SourceError::NotFound) => Ok(None),
        Err(SourceError::TooLong) => {
            let what = "the tile is longer than any tile is";
            Err(Failure::needed(Verdict::Altered, &path, what))
        }
        Err(error) => Err(refused(&path, &error)),
    }
}

/// How wide the tile at this place has to be in a tree of this size; `None`
/// when it has none there.
pub(crate) fn needed(kind: TileKind, index: u64, size: u64) -> Option<u16> {
    let rest = Tile::total(kind, size).saturating_sub(index * WIDTH);
    (rest != 0).then(|| u16::try_from(rest).unwrap_or(TILE_WIDTH).min(TILE_WIDTH))
}

/// The first entry under an item of a tile.
pub(crate) fn first_entry(tile: Tile, item: u64) -> u64 {
    let position = tile.index * WIDTH + item;
    match tile.kind {
        TileKind::Entries => position,
        TileKind::Hashes(level) => position.checked_shl(u32::from(level) * 8).unwrap_or(u64::MAX),
    }
}

pub(crate) const WIDTH: u64 = 256;
/// How many tiles are held while nodes are read, 8 KiB each.
const TILES_HELD_MAX: usize = 512;
