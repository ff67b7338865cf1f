//! What there is to copy of a log up to its published checkpoint, in the order in which it grew.
//!
//! A block is 256 entries: their bundle, their tile, and every higher tile that they complete. The tail is
//! what else a checkpoint needs to be verified: partial tiles, the keys, and the checkpoint itself. Knows no
//! storage.

use super::AnchorError;
use super::cursor::Cursor;
use super::manifest::{Manifest, ObjectRef, VERSION};
use bytes::Bytes;
use note::{
    Checkpoint, CheckpointError, Hash, Note, Pruned, Statement, TILE_WIDTH, Tile, TileKind,
    bundle_entry, leaf_hash,
};
use std::io;
use std::path::Path;
use tlog::Reader;

/// What a round copies.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) checkpoint: Checkpoint,
    /// The published note, as it was when the round began.
    note: Bytes,
    /// Entries below this index are not kept.
    minimum: u64,
    /// How many statements about keys there are.
    statements: u64,
    /// Whether there is a statement of what was pruned.
    pruned: bool,
}

/// One file to copy, and the name of its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) path: String,
    pub(crate) key: String,
    /// What the file holds when it was read already.
    content: Option<Bytes>,
    /// The tile that it is.
    tile: Option<Tile>,
}

impl Plan {
    /// Looks at what is published, and checks that the stored hashes lead to the root in the checkpoint.
    pub(crate) fn read(directory: &Path) -> Result<Self, AnchorError> {
        let mut reader = Reader::open(directory)?;
        let note = reader.checkpoint_note()?;
        let parsed = Note::parse(&note).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::parse(parsed.text())?;
        if reader.root(checkpoint.size)? != checkpoint.root {
            let what = "the tiles do not have the root of the published checkpoint";
            return Err(AnchorError::Altered(what.to_owned()));
        }
        let pruned = read_file(directory, "pruned")?;
        let minimum = match &pruned {
            Some(note) => Pruned::parse(note)
                .map(|(pruned, _)| pruned.minimum)
                .map_err(|error| AnchorError::Altered(format!("`pruned`: {error}")))?,
            None => 0,
        };
        let mut statements = 0;
        while directory.join(Statement::path(statements + 1)).exists() {
            statements += 1;
        }
        let pruned = pruned.is_some();
        Ok(Self { checkpoint, note: Bytes::from(note), minimum, statements, pruned })
    }

    /// How many blocks are full.
    pub(crate) fn blocks(&self) -> u64 {
        self.checkpoint.size / WIDTH
    }

    /// The files of a full block, under their own names. A bundle that was pruned is not there any more.
    pub(crate) fn block(&self, block: u64) -> Vec<Item> {
        let mut tiles = Vec::new();
        if self.minimum <= block * WIDTH {
            tiles.push(Tile::full(TileKind::Entries, block));
        }
        let (mut level, mut index) = (0, block);
        loop {
            tiles.push(Tile::full(TileKind::Hashes(level), index));
            if index % WIDTH != WIDTH - 1 {
                break;
            }
            (level, index) = (level + 1, index / WIDTH);
        }
        tiles.into_iter().map(Item::full).collect()
    }

    /// What else the checkpoint needs, under names of its own.
    pub(crate) fn tail(&self) -> Vec<Item> {
        let size = self.checkpoint.size;
        let mut items = Vec::new();
        let partial = |kind| {
            let total = Tile::total(kind, size);
            let width = u16::try_from(total % WIDTH).unwrap_or(0);
            (width != 0).then_some(Tile { kind, index: total / WIDTH, width })
        };
        let bundle = partial(TileKind::Entries);
        let hashes = (0..LEVELS).filter_map(|level| partial(TileKind::Hashes(level)));
        for tile in bundle.into_iter().chain(hashes) {
            items.push(Item { tile: Some(tile), ..Item::at(size, tile.path()) });
        }
        items.push(Item::at(size, "origin.vkey".to_owned()));
        items.extend((1..=self.statements).map(|one| Item::at(size, Statement::path(one))));
        if self.pruned {
            items.push(Item::at(size, "pruned".to_owned()));
        }
        let note = Some(self.note.clone());
        items.push(Item { content: note, ..Item::at(size, "checkpoint".to_owned()) });
        items
    }

    /// The manifest of the blocks since the last part.
    pub(crate) fn part(&self, cursor: &Cursor) -> Manifest {
        Manifest { previous: None, size: None, ..self.whole(cursor, Vec::new()) }
    }

    /// The manifest of a whole round: the tail, and the blocks that are in no part yet.
    pub(crate) fn whole(&self, cursor: &Cursor, tail: Vec<ObjectRef>) -> Manifest {
        Manifest {
            blocks_from: cursor.sealed,
            blocks_to: cursor.blocks,
            objects: [cursor.open.clone(), tail].concat(),
            origin: self.checkpoint.origin.clone(),
            part: cursor.part.clone(),
            previous: cursor.manifest.clone(),
            size: Some(self.checkpoint.size),
            v: VERSION,
        }
    }
}

impl Item {
    fn full(tile: Tile) -> Self {
        let path = tile.path();
        Self { key: path.clone(), path, content: None, tile: Some(tile) }
    }

    fn at(size: u64, path: String) -> Self {
        Self { key: format!("at/{size}/{path}"), path, content: None, tile: None }
    }
}

/// Reads files that belong together; a bundle must be what its tile says.
pub(crate) fn read_all(
    directory: &Path,
    items: Vec<Item>,
) -> Result<Vec<(Item, Bytes)>, AnchorError> {
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        let bytes = match (&item.content, item.tile) {
            (Some(bytes), _) => bytes.clone(),
            (None, Some(tile)) => tile_bytes(directory, tile)?,
            (None, None) => required(directory, &item.path)?,
        };
        read.push((item, bytes));
    }
    let of = |kind: TileKind| {
        read.iter().find(|(item, _)| item.tile.is_some_and(|tile| tile.kind == kind))
    };
    if let Some((item, bundle)) = of(TileKind::Entries)
        && !of(TileKind::Hashes(0)).is_some_and(|(_, leaves)| fit(bundle, leaves))
    {
        return Err(AnchorError::Altered(format!("`{}` is not what its tile says", item.path)));
    }
    Ok(read)
}

/// The bytes of a tile; of a partial one that was superseded meanwhile, what the full one begins with.
fn tile_bytes(directory: &Path, tile: Tile) -> Result<Bytes, AnchorError> {
    let path = tile.path();
    if let Some(bytes) = read_file(directory, &path)? {
        return Ok(Bytes::from(bytes));
    }
    if tile.is_full() {
        return required(directory, &path);
    }
    let full = required(directory, &Tile::full(tile.kind, tile.index).path())?;
    let length = match tile.kind {
        TileKind::Hashes(_) => usize::from(tile.width) * HASH_BYTES,
        TileKind::Entries => (0..u64::from(tile.width))
            .map_while(|at| bundle_entry(&full, at))
            .map(|entry| entry.len() + 2)
            .sum(),
    };
    if length <= full.len() {
        Ok(full.slice(..length))
    } else {
        Err(AnchorError::Altered(format!("`{path}` is cut")))
    }
}

/// Whether the entries of a bundle have exactly these leaf hashes.
fn fit(bundle: &[u8], leaves: &[u8]) -> bool {
    let (hashes, rest) = leaves.as_chunks::<HASH_BYTES>();
    let mut bytes = 0;
    let all = (0..).zip(hashes).all(|(at, hash)| {
        bundle_entry(bundle, at).is_some_and(|entry| {
            bytes += entry.len() + 2;
            leaf_hash(entry) == Hash::from_bytes(*hash)
        })
    });
    all && rest.is_empty() && bytes == bundle.len()
}

fn required(directory: &Path, path: &str) -> Result<Bytes, AnchorError> {
    let missing =
        || AnchorError::Read { path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
    read_file(directory, path)?.map(Bytes::from).ok_or_else(missing)
}

fn read_file(directory: &Path, path: &str) -> Result<Option<Vec<u8>>, AnchorError> {
    match std::fs::read(directory.join(path)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AnchorError::Read { path: path.to_owned(), source }),
    }
}

const WIDTH: u64 = TILE_WIDTH as u64;
/// Levels of tiles over a log of any size.
const LEVELS: u8 = 8;
const HASH_BYTES: usize = 32;
