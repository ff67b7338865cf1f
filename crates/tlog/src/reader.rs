//! Reads a log, live or at rest: entries in order, single entries, proofs.
//!
//! Trusts the files; the verifier does not.

use crate::batch::Tip;
use crate::entries::Entries;
use crate::error::{Error, io_error};
use crate::nodes::{TileNodes, published_tile, read_tile};
use crate::proof;
use crate::prune;
use crate::publish::CHECKPOINT;
use crate::shared::lock;
use crate::statements::{KeyChain, KeyState, VERIFIER_KEY};
use crate::storage::{Files, Storage};
use note::{Checkpoint, Hash, Verifier, leaf_hash, node_hash};
use note::{TILE_WIDTH, TileKind, bundle_entry};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Reads one log without ever writing to it.
#[derive(Debug)]
pub struct Reader {
    storage: Arc<dyn Storage>,
    verifier: Verifier,
    /// The keys of the log as far as the last checkpoint needed them.
    chain: Mutex<KeyChain>,
    tip: Option<watch::Receiver<Tip>>,
    /// The leaf hashes after the last full published bundle, as far as they
    /// were needed.
    recent: Option<Recent>,
    /// Where single entries that are in no bundle yet are looked for.
    cursor: Option<Entries>,
}

#[derive(Debug)]
struct Recent {
    start: u64,
    leaves: Vec<Hash>,
    entries: Entries,
}

impl Reader {
    /// Opens the log in `dir` for reading; it may be open for writing in any
    /// process.
    ///
    /// # Errors
    /// [`Error::NotALog`] or [`Error::Key`] when there is none, [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let storage: Arc<dyn Storage> = Arc::new(Files::new(dir));
        let line = match storage.read(VERIFIER_KEY) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotALog(VERIFIER_KEY.to_owned()));
            }
            read => read.map_err(io_error("read", VERIFIER_KEY))?,
        };
        let verifier = Verifier::from_text(&String::from_utf8_lossy(&line))?;
        Ok(Self::on(storage, verifier, None))
    }

    pub(crate) fn on(
        storage: Arc<dyn Storage>,
        verifier: Verifier,
        tip: Option<watch::Receiver<Tip>>,
    ) -> Self {
        let chain = Mutex::new(KeyChain::new(verifier.clone()));
        Self { storage, verifier, chain, tip, recent: None, cursor: None }
    }

    /// The first key of the log, which it names as its own.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The entries from index `from` on, which may not exist yet.
    ///
    /// # Errors
    /// [`Error::NotALog`] without segments, [`Error::Pruned`], [`Error::Io`].
    pub fn entries(&self, from: u64) -> Result<Entries, Error> {
        Entries::from_index(Arc::clone(&self.storage), from, self.tip.clone())
    }

    /// The published checkpoint, signed by a key that the log's statements
    /// allow to sign it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it is not the log's, [`Error::Io`].
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let note = self.checkpoint_note()?;
        let mut chain = lock(&self.chain);
        if let Ok(checkpoint) = chain.verify_checkpoint(&note) {
            return Ok(checkpoint);
        }
        // Signed by a key that came meanwhile, perhaps.
        *chain = KeyChain::load(self.storage.as_ref())?;
        Ok(chain.verify_checkpoint(&note)?)
    }

    /// What the log says of its keys, now.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its statements are not what it signed; [`Error::Io`].
    pub fn keys(&self) -> Result<Vec<KeyState>, Error> {
        Ok(KeyChain::load(self.storage.as_ref())?.states(|_| false))
    }

    /// The smallest index of an entry that is kept; 0 when nothing was pruned.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Corrupt`] when the log says it in no known way.
    pub fn minimum(&self) -> Result<u64, Error> {
        prune::stated_minimum(self.storage.as_ref())
    }

    /// The bytes of the published checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn checkpoint_note(&self) -> Result<Vec<u8>, Error> {
        self.storage.read(CHECKPOINT).map_err(io_error("read", CHECKPOINT))
    }

    /// The entry with this index: from its bundle when it is published, else
    /// from the segments, where asking in rising order is cheapest.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when it is not there yet, [`Error::Pruned`] when
    /// it no longer is; [`Error::Io`], [`Error::Corrupt`].
    pub fn entry(&mut self, index: u64) -> Result<Vec<u8>, Error> {
        let published = self.checkpoint()?.size;
        prune::check_kept(self.storage.as_ref(), index)?;
        if index < published {
            let width = u64::from(TILE_WIDTH);
            let tile = published_tile(TileKind::Entries, index / width, published);
            let bundle = read_tile(self.storage.as_ref(), tile)?;
            let entry = bundle_entry(&bundle, index % width).map(<[u8]>::to_vec);
            let what = "the bundle does not have the entry";
            return entry.ok_or_else(|| crate::error::corrupt(&tile.path(), 0, Some(index), what));
        }
        let mut cursor = match self.cursor.take() {
            Some(cursor) if cursor.cursor() <= index => cursor,
            _ => self.entries(published.min(index))?,
        };
        let mut found = None;
        let mut size = cursor.cursor();
        while let Some((at, entry)) = cursor.next_entry()? {
            size = at + 1;
            if at == index {
                found = Some(entry.to_vec());
                break;
            }
        }
        self.cursor = Some(cursor);
        found.ok_or(Error::OutOfRange { index, size })
    }

    /// The root of the tree over the first `size` entries, from the stored
    /// hashes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when there are fewer, [`Error::Io`],
    /// [`Error::Corrupt`].
    pub fn root(&mut self, size: u64) -> Result<Hash, Error> {
        if size == 0 {
            return Ok(Hash::EMPTY_ROOT);
        }
        self.with_nodes(size, |node| proof::subtree(0, size, node))
    }

    /// The proof that the entry `index` is in the tree of the first `size`
    /// entries, whether published or not; see [`crate::verify_inclusion`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Io`], [`Error::Corrupt`].
    pub fn inclusion_proof(&mut self, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
        if size <= index {
            return Err(Error::OutOfRange { index, size });
        }
        self.with_nodes(size, |node| proof::inclusion(index, size, node))
    }

    /// The proof that the first `new` entries continue the first `old` ones;
    /// see [`crate::verify_consistency`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Io`], [`Error::Corrupt`].
    pub fn consistency_proof(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        if new < old {
            return Err(Error::OutOfRange { index: old, size: new });
        }
        self.with_nodes(new, |node| proof::consistency(old, new, node))
    }

    /// Gives `work` the node hashes of the first `size` entries.
    fn with_nodes<T>(
        &mut self,
        size: u64,
        work: impl FnOnce(&mut dyn FnMut(u32, u64) -> Result<Hash, Error>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let published = self.checkpoint()?.size;
        if published < size {
            self.read_recent(published, size)?;
        }
        let tiles = TileNodes::new(self.storage.as_ref(), published);
        let mut nodes = Nodes { tiles, recent: self.recent.as_ref() };
        work(&mut |level, index| nodes.node(level, index))
    }

    /// Reads the leaves after the published bundles, up to `size` at least.
    fn read_recent(&mut self, published: u64, size: u64) -> Result<(), Error> {
        let start = published - published % u64::from(TILE_WIDTH);
        let mut recent = match self.recent.take() {
            Some(recent) if recent.start == start => recent,
            _ => Recent { start, leaves: Vec::new(), entries: self.entries(start)? },
        };
        while recent.entries.cursor() < size {
            let Some((_, entry)) = recent.entries.next_entry()? else { break };
            recent.leaves.push(leaf_hash(entry));
        }
        let have = recent.entries.cursor();
        self.recent = Some(recent);
        if have < size { Err(Error::OutOfRange { index: size - 1, size: have }) } else { Ok(()) }
    }
}

/// Node hashes from the published tiles, and above unpublished leaves.
struct Nodes<'a> {
    tiles: TileNodes<'a>,
    recent: Option<&'a Recent>,
}

impl Nodes<'_> {
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Error> {
        if let Some(hash) = self.tiles.node(level, index)? {
            return Ok(hash);
        }
        if level == 0 {
            let leaf = self.recent.and_then(|recent| {
                let at = usize::try_from(index.checked_sub(recent.start)?).ok()?;
                recent.leaves.get(at).copied()
            });
            return leaf.ok_or(Error::OutOfRange { index, size: index });
        }
        let left = self.node(level - 1, index * 2)?;
        let right = self.node(level - 1, index * 2 + 1)?;
        Ok(node_hash(&left, &right))
    }
}
