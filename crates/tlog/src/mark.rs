//! Keeps the high-water mark in step with what is published.
//!
//! Knows nothing of where the mark is kept.

use crate::error::{Error, io_error};
use crate::high_water::HighWater;
use crate::nodes::TileNodes;
use crate::proof::subtree;
use crate::statements::KeyChain;
use crate::storage::Storage;
use note::{Checkpoint, Hash};
use std::sync::Arc;

/// The mark as it was last seen.
#[derive(Debug)]
pub(crate) struct Mark {
    place: Option<Arc<dyn HighWater>>,
    known: Option<Vec<u8>>,
    /// What was to be the mark when advancing it failed: it may be.
    attempted: Option<Vec<u8>>,
}

impl Mark {
    /// Reads the mark, and the checkpoint in it.
    pub(crate) fn read(
        place: Option<Arc<dyn HighWater>>,
        chain: &KeyChain,
    ) -> Result<(Self, Option<Checkpoint>), Error> {
        let known = place.as_ref().map(|place| place.read()).transpose();
        let known = known.map_err(io_error("read", MARK))?.flatten();
        let checkpoint = known.as_deref().map(|note| chain.verify_checkpoint(note)).transpose();
        let checkpoint = checkpoint.map_err(|error| Error::HighWater(error.to_string()))?;
        Ok((Self { place, known, attempted: None }, checkpoint))
    }

    /// Moves the mark on. [`Error::HighWater`]: somebody else moved it.
    pub(crate) fn advance(&mut self, note: &[u8]) -> Result<(), Error> {
        let Some(place) = &self.place else { return Ok(()) };
        if self.attempted.is_some() {
            let found = place.read().map_err(io_error("read", MARK))?;
            if found == self.attempted {
                self.known = found;
            }
            self.attempted = None;
        }
        if self.known.as_deref() == Some(note) {
            return Ok(());
        }
        match place.advance(self.known.as_deref(), note) {
            Ok(true) => {
                self.known = Some(note.to_vec());
                Ok(())
            }
            Ok(false) => Err(Error::HighWater("somebody else moved it".to_owned())),
            Err(error) => {
                self.attempted = Some(note.to_vec());
                Err(io_error("write", MARK)(error))
            }
        }
    }
}

/// Refuses a log that the mark does not speak of. `root` is the one at the
/// mark's size, when the log has it.
pub(crate) fn check(marked: &Checkpoint, held: u64, root: Option<Hash>) -> Result<(), Error> {
    if root == Some(marked.root) {
        return Ok(());
    }
    Err(Error::RolledBack { held, marked: marked.size })
}

/// The root at a size that is covered by the published tiles.
pub(crate) fn published_root(
    storage: &dyn Storage,
    size: u64,
    published: u64,
) -> Result<Option<Hash>, Error> {
    if size == 0 {
        return Ok(Some(Hash::EMPTY_ROOT));
    }
    let mut nodes = TileNodes::new(storage, published);
    let root = subtree(0, size, &mut |level, index| {
        let node = nodes.node(level, index)?;
        node.ok_or(Error::OutOfRange { index: size - 1, size: published })
    });
    match root {
        Err(Error::OutOfRange { .. }) => Ok(None),
        root => root.map(Some),
    }
}

/// What messages call the mark.
const MARK: &str = "the high-water mark";
