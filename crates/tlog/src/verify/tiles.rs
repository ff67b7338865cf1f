//! Rebuilds every tile and bundle from the entries and compares the published
//! ones with them, byte for byte.

use crate::verify::failure::{Failure, FailureKind};
use crate::verify::listing::{self, missing};
use crate::verify::tree::fold_level;
use note::Hash;
use note::{TILE_WIDTH, Tile, TileKind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The tiles at the right edge as they come to be, and the list of published
/// ones that were not compared yet.
#[derive(Debug)]
pub(super) struct TileCheck {
    dir: PathBuf,
    listed: BTreeSet<Tile>,
    /// The size for which tiles have to be there.
    published: u64,
    live: bool,
    size: u64,
    bundle: Content,
    levels: Vec<Content>,
}

/// What is in a tile so far.
#[derive(Debug, Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    /// Where each item ends in the bytes.
    ends: Vec<usize>,
    hashes: Vec<Hash>,
}

impl TileCheck {
    pub(super) fn new(dir: &Path, listed: BTreeSet<Tile>, published: u64, live: bool) -> Self {
        let dir = dir.to_owned();
        let (bundle, levels) = (Content::default(), Vec::new());
        Self { dir, listed, published, live, size: 0, bundle, levels }
    }

    /// Adds an entry with its leaf hash; compares tiles as they become full.
    pub(super) fn push(&mut self, entry: &[u8], leaf: Hash) -> Result<(), Failure> {
        let index = self.size / WIDTH;
        self.size += 1;
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        self.bundle.push(&[&length.to_be_bytes(), entry]);
        if self.bundle.is_full() {
            let bundle = std::mem::take(&mut self.bundle);
            self.compare(TileKind::Entries, index, &bundle)?;
        }
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
            self.compare(kind, Tile::total(kind, self.size) / WIDTH - 1, &content)?;
            hash = fold_level(&content.hashes);
        }
        Ok(())
    }

    /// Compares the tiles that are not full, and finds published tiles that
    /// the log has no entries for.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        let bundle = std::mem::take(&mut self.bundle);
        self.compare(TileKind::Entries, self.size / WIDTH, &bundle)?;
        for (level, content) in (0_u8..).zip(std::mem::take(&mut self.levels)) {
            let kind = TileKind::Hashes(level);
            self.compare(kind, Tile::total(kind, self.size) / WIDTH, &content)?;
        }
        match self.listed.first() {
            None => Ok(()),
            Some(tile) => {
                let what = "the tile is of entries that the log does not hold";
                Err(Failure::new(FailureKind::Truncated, &tile.path(), what).entry(self.size))
            }
        }
    }

    /// The first entry from index `first` on whose published leaf hash is
    /// another; `None` when none is, or nothing is published.
    pub(super) fn first_difference(&self, first: u64, leaves: &[Hash]) -> Option<u64> {
        (first..).zip(leaves).find_map(|(index, leaf)| {
            let kind = TileKind::Hashes(0);
            let tiles = self.listed.iter().rfind(|tile| {
                let covers = tile.kind == kind && tile.index == index / WIDTH;
                covers && index % WIDTH < u64::from(tile.width)
            });
            let bytes = listing::read(&self.dir, &tiles?.path()).ok()?;
            let at = usize::try_from(index % WIDTH).ok()? * 32;
            let published = bytes.get(at..at + 32)?;
            (published != leaf.as_bytes()).then_some(index)
        })
    }

    /// Compares all published tiles at one place with its content.
    fn compare(&mut self, kind: TileKind, index: u64, content: &Content) -> Result<(), Failure> {
        let published = self.at_place(kind, index, content.width());
        let is_whole = published.last().is_some_and(Tile::is_full);
        for tile in published {
            self.listed.remove(&tile);
            match listing::read(&self.dir, &tile.path()) {
                // Superseded by the full tile since the names were read.
                Err(failure)
                    if failure.kind == FailureKind::Missing && self.live && !tile.is_full() => {}
                read => content.compare(tile, &read?)?,
            }
        }
        if is_whole { Ok(()) } else { self.compare_needed(kind, index, content) }
    }

    /// The published tiles at this place that the content reaches.
    fn at_place(&self, kind: TileKind, index: u64, width: u16) -> Vec<Tile> {
        let low = Tile { kind, index, width: 1 };
        if width == 0 {
            return Vec::new();
        }
        self.listed.range(low..=Tile { kind, index, width }).copied().collect()
    }

    /// The tile that the checkpoint needs at this place must be there.
    fn compare_needed(&self, kind: TileKind, index: u64, content: &Content) -> Result<(), Failure> {
        let needed = Tile::total(kind, self.published).saturating_sub(index * WIDTH);
        if needed == 0 {
            return Ok(());
        }
        let width = u16::try_from(needed).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
        let needed = Tile { kind, index, width };
        let full = Tile::full(kind, index);
        let found = [needed, full].into_iter().find(|tile| self.dir.join(tile.path()).is_file());
        match found {
            None => Err(missing(&needed.path()).entry(first_entry(needed, 0))),
            Some(tile) if tile.is_full() && content.is_full() => {
                content.compare(tile, &listing::read(&self.dir, &tile.path())?)
            }
            // Compared already; or full since, and of entries yet to come.
            Some(_) => Ok(()),
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
    fn compare(&self, tile: Tile, published: &[u8]) -> Result<(), Failure> {
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
        Err(Failure::new(FailureKind::Altered, &tile.path(), what).at(at).entry(entry))
    }
}

/// The first entry under an item of a tile.
fn first_entry(tile: Tile, item: u64) -> u64 {
    let position = tile.index * WIDTH + item;
    match tile.kind {
        TileKind::Entries => position,
        TileKind::Hashes(level) => position.checked_shl(u32::from(level) * 8).unwrap_or(u64::MAX),
    }
}

const WIDTH: u64 = 256;
