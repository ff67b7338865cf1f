//! Publishes the committed log as static files: entry bundles, hash tiles and
//! a signed checkpoint, in the layout of C2SP tlog-tiles.
//!
//! In two steps, so that witnesses can be asked in between: prepare, and put in
//! place. Takes nothing from the memory of the writer but the root to compare
//! with: entries are read back from the segments, and the root that is signed
//! is computed from the tiles, read back from storage. A log whose memory or
//! disk flipped a bit signs nothing.

use crate::batch::Tip;
use crate::edge::{TileEdge, tile_bytes};
use crate::entries::Entries;
use crate::error::{Error, corrupt, io_error};
use crate::keys::Keys;
use crate::mark::Mark;
use crate::nodes::TileNodes;
use crate::proof::subtree;
use crate::prune::{self, PRUNED};
use crate::scan::{Position, list_segments};
use crate::storage::Storage;
use note::{Checkpoint, Hash, Note, Sign, leaf_hash};
use note::{TILE_WIDTH, Tile, TileKind, push_bundle_entry};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Remembers what was published, and where the bundle at the right edge
/// begins.
#[derive(Debug)]
pub(crate) struct Publisher {
    storage: Arc<dyn Storage>,
    published: Checkpoint,
    mark: Mark,
    /// The smallest index that is kept.
    minimum: u64,
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

/// A checkpoint that is signed and not published yet: everything that it
/// speaks of is in place, so that witnesses can be asked for cosignatures.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// What the log says of itself.
    pub checkpoint: Checkpoint,
    /// The same as a note, signed by the keys of the log.
    pub note: String,
}

impl Publisher {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        published: Checkpoint,
        (mark, minimum): (Mark, u64),
        edge: Resume,
    ) -> Self {
        let (dirs, unsynced) = (BTreeSet::new(), BTreeSet::new());
        let superseding = Vec::new();
        Self { storage, published, mark, minimum, edge, dirs, unsynced, superseding }
    }

    /// The last published checkpoint.
    pub(crate) fn published(&self) -> &Checkpoint {
        &self.published
    }

    /// The smallest index that is kept.
    pub(crate) fn minimum(&self) -> u64 {
        self.minimum
    }

    /// Writes what a checkpoint of the log up to `tip` speaks of, and signs
    /// it; `None` when that is published already.
    ///
    /// After an error nothing was promised: the old checkpoint stands, and
    /// tiles that were written already are the same when written again.
    pub(crate) fn prepare(
        &mut self,
        tip: Tip,
        signers: &[Arc<dyn Sign>],
    ) -> Result<Option<Candidate>, Error> {
        if tip.size == self.published.size {
            return Ok(None);
        }
        self.write_tiles(tip.size)?;
        let root = self.stored_root(tip.size)?;
        if root != tip.root {
            let what = "the tiles do not have the root that was committed";
            return Err(corrupt("tile", 0, None, what));
        }
        while let Some(dir) = self.unsynced.first().cloned() {
            self.storage.sync_dir(&dir).map_err(io_error("sync", &dir))?;
            self.unsynced.remove(&dir);
        }
        let origin = self.published.origin.clone();
        let checkpoint = Checkpoint { origin, size: tip.size, root };
        let note = Keys::sign_note(&checkpoint.to_text(), signers)?;
        Ok(Some(Candidate { checkpoint, note }))
    }

    /// Puts a candidate in place, with the lines that others added to it.
    pub(crate) fn publish(
        &mut self,
        candidate: &Candidate,
        note: &[u8],
        signers: &[Arc<dyn Sign>],
    ) -> Result<Checkpoint, Error> {
        check_candidate(candidate, note, signers).map_err(Error::Candidate)?;
        let checkpoint = &candidate.checkpoint;
        if checkpoint.size <= self.published.size {
            return Err(Error::Candidate("one as large or larger is published already"));
        }
        // Everything the checkpoint speaks of is durable. Where the mark is,
        // it is known from here on; then it may appear.
        self.mark.advance(note)?;
        self.storage.put(CHECKPOINT, note).map_err(io_error("write", CHECKPOINT))?;
        self.storage.sync_dir("").map_err(io_error("sync", CHECKPOINT))?;
        self.published = checkpoint.clone();
        self.drop_superseded()?;
        Ok(checkpoint.clone())
    }

    /// Says in this signed note that entries below `minimum` are gone, then
    /// removes them. After an error it can be called again.
    pub(crate) fn prune(&mut self, minimum: u64, note: &str) -> Result<(), Error> {
        self.storage.put(PRUNED, note.as_bytes()).map_err(io_error("write", PRUNED))?;
        self.storage.sync_dir("").map_err(io_error("sync", PRUNED))?;
        self.minimum = minimum;
        let firsts = list_segments(self.storage.as_ref())?;
        let kept = prune::first_kept(&firsts, minimum, self.published.size);
        // Publishing goes on in this one, if only at its end.
        let kept = kept.min(self.edge.position.segment);
        prune::remove_below(self.storage.as_ref(), minimum, kept)
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
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
        match self.storage.read(&path) {
            Ok(found) if found == bytes => {
                // From an attempt that failed, perhaps before this.
                self.unsynced.insert(dir);
                return Ok(());
            }
            Ok(_) => return Err(corrupt(&path, 0, None, "the tile is not what the log holds")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &path)(error)),
        }
        if !self.dirs.contains(&dir) {
            if let Err(error) = self.storage.make_dir(&dir) {
                // The next attempt may find directories that are not durable.
                let above = dir.match_indices('/').filter_map(|(at, _)| dir.get(..at));
                self.unsynced.extend(above.chain([""]).map(str::to_owned));
                return Err(io_error("create", &dir)(error));
            }
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

/// Whether a note is this candidate, with lines that others added.
fn check_candidate(
    candidate: &Candidate,
    note: &[u8],
    signers: &[Arc<dyn Sign>],
) -> Result<(), &'static str> {
    let note = Note::parse(note).map_err(|_| "it is no signed note")?;
    if note.text() != candidate.checkpoint.to_text() {
        return Err("it is not the candidate with signature lines added");
    }
    for key in signers {
        note.verify(key.verifier()).map_err(|_| "a key of the log did not sign it")?;
    }
    let origin = candidate.checkpoint.origin.as_str();
    let own = note.signatures().iter().filter(|line| line.name == origin).count();
    if own != signers.len() {
        return Err("it has a line in the name of the log that is not the log's");
    }
    Ok(())
}

/// The name of the checkpoint file.
pub(crate) const CHECKPOINT: &str = "checkpoint";
const WIDTH: u64 = TILE_WIDTH as u64;
