//! Publishes the committed log as static files: entry bundles, hash tiles and
//! a signed checkpoint, in the layout of C2SP tlog-tiles.
//!
//! Takes nothing from the memory of the writer but the root to compare with:
//! entries are read back from the segments, and the root that is signed is
//! computed from the tiles, read back from storage. A log whose memory or disk
//! flipped a bit signs nothing.

use crate::batch::Tip;
use crate::checkpoint::Checkpoint;
use crate::edge::{TileEdge, tile_bytes};
use crate::entries::Entries;
use crate::error::{Error, corrupt, io_error};
use crate::key::Signer;
use crate::merkle::{Hash, leaf_hash};
use crate::nodes::TileNodes;
use crate::proof::subtree;
use crate::scan::Position;
use crate::storage::Storage;
use crate::tile::{TILE_WIDTH, Tile, TileKind, push_bundle_entry};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Remembers what was published, and where the bundle at the right edge
/// begins.
#[derive(Debug)]
pub(crate) struct Publisher {
    storage: Arc<dyn Storage>,
    published: Checkpoint,
    edge: Resume,
    /// Directories known to exist.
    dirs: BTreeSet<String>,
    /// Directories with names that are not durable yet.
    unsynced: BTreeSet<String>,
    /// Full tiles whose partial ones can go.
    superseding: Vec<Tile>,
}

/// Where publishing goes on: at an index that is a multiple of 256.
#[derive(Debug, Clone)]
pub(crate) struct Resume {
    pub(crate) tiles: TileEdge,
    /// The batch with the entry after the edge in it.
    pub(crate) position: Position,
}

impl Publisher {
    pub(crate) fn new(storage: Arc<dyn Storage>, published: Checkpoint, edge: Resume) -> Self {
        let (dirs, unsynced) = (BTreeSet::new(), BTreeSet::new());
        Self { storage, published, edge, dirs, unsynced, superseding: Vec::new() }
    }

    /// The last published checkpoint.
    pub(crate) fn published(&self) -> &Checkpoint {
        &self.published
    }

    /// Publishes the log up to `tip`; `None` when that is published already.
    ///
    /// After an error nothing was promised: the old checkpoint stands, and
    /// tiles that were written already are the same when written again.
    pub(crate) fn publish(
        &mut self,
        tip: Tip,
        signer: &Signer,
    ) -> Result<Option<Checkpoint>, Error> {
        if tip.size == self.published.size {
            return Ok(None);
        }
        self.write_tiles(tip.size)?;
        let root = self.stored_root(tip.size)?;
        if root != tip.root {
            let what = "the tiles do not have the root that was committed";
            return Err(corrupt("tile", 0, None, what));
        }
        for dir in std::mem::take(&mut self.unsynced) {
            self.storage.sync_dir(&dir).map_err(io_error("sync", &dir))?;
        }
        // Everything the checkpoint speaks of is durable; now it may appear.
        let origin = signer.verifier().name().to_owned();
        let checkpoint = Checkpoint { origin, size: tip.size, root };
        let note = checkpoint.sign(signer);
        self.storage.put(CHECKPOINT, note.as_bytes()).map_err(io_error("write", CHECKPOINT))?;
        self.storage.sync_dir("").map_err(io_error("sync", CHECKPOINT))?;
        self.published = checkpoint.clone();
        self.drop_superseded()?;
        Ok(Some(checkpoint))
    }

    /// Writes the bundles and tiles from the last full bundle on.
    fn write_tiles(&mut self, size: u64) -> Result<(), Error> {
        let from = self.edge.tiles.size();
        let position = self.edge.position.clone();
        let mut entries = Entries::resume(Arc::clone(&self.storage), position, from)?;
        let mut edge = self.edge.tiles.clone();
        let mut bundle = Vec::new();
        while edge.size() < size {
            let Some((_, entry)) = entries.next_entry()? else {
                let what = "committed entries cannot be read back";
                return Err(corrupt("segments", 0, Some(edge.size()), what));
            };
            push_bundle_entry(&mut bundle, entry);
            let leaf = leaf_hash(entry);
            edge.push(leaf, &mut |tile, hashes| self.write_tile(tile, &tile_bytes(hashes)))?;
            if edge.size().is_multiple_of(WIDTH) {
                let index = edge.size() / WIDTH - 1;
                self.write_tile(Tile::full(TileKind::Entries, index), &bundle)?;
                bundle.clear();
                self.edge = Resume { tiles: edge.clone(), position: entries.position() };
            }
        }
        let width = u16::try_from(size % WIDTH).unwrap_or(0);
        if width != 0 {
            let tile = Tile { kind: TileKind::Entries, index: size / WIDTH, width };
            self.write_tile(tile, &bundle)?;
        }
        for (tile, hashes) in edge.partials() {
            self.write_tile(tile, &tile_bytes(hashes))?;
        }
        Ok(())
    }

    /// Puts a tile in place. A tile never changes: one that is there already
    /// must be the same.
    fn write_tile(&mut self, tile: Tile, bytes: &[u8]) -> Result<(), Error> {
        let path = tile.path();
        if tile.is_full() {
            self.superseding.push(tile);
        }
        match self.storage.read(&path) {
            Ok(found) if found == bytes => return Ok(()),
            Ok(_) => return Err(corrupt(&path, 0, None, "the tile is not what the log holds")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &path)(error)),
        }
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
        if !self.dirs.contains(&dir) {
            self.storage.make_dir(&dir).map_err(io_error("create", &dir))?;
            self.dirs.insert(dir.clone());
        }
        self.storage.put(&path, bytes).map_err(io_error("write", &path))?;
        self.unsynced.insert(dir);
        Ok(())
    }

    /// The root over the first `size` entries, from the stored tiles alone.
    fn stored_root(&self, size: u64) -> Result<Hash, Error> {
        let mut nodes = TileNodes::new(self.storage.as_ref(), size);
        subtree(0, size, &mut |level, index| {
            let node = nodes.node(level, index)?;
            node.ok_or_else(|| corrupt("tile", 0, None, "a tile is missing"))
        })
    }

    /// Removes the partial tiles in whose place a full one stands.
    fn drop_superseded(&mut self) -> Result<(), Error> {
        for tile in std::mem::take(&mut self.superseding) {
            let dir = tile.partial_dir();
            self.dirs.remove(&dir);
            match self.storage.remove(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove", &dir)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The name of the checkpoint file.
pub(crate) const CHECKPOINT: &str = "checkpoint";
const WIDTH: u64 = TILE_WIDTH as u64;
