#![doc = include_str!("../README.md")]

mod batch;
mod commit;
mod config;
mod edge;
mod entries;
mod epoch;
mod error;
mod format;
mod high_water;
mod keys;
mod log;
mod mark;
mod merkle;
mod nodes;
mod proof;
mod prune;
mod publish;
mod queue;
mod reader;
mod recover;
mod scan;
mod sealed;
mod shared;
#[cfg(any(test, feature = "testing"))]
pub mod simulation;
mod statements;
pub mod storage;
mod torn;
mod walk;

pub use batch::{Committed, Tip};
pub use config::{Clock, Config};
pub use entries::Entries;
pub use error::{Corruption, Error};
pub use high_water::{HighWater, HighWaterFile};
pub use keys::Keys;
pub use log::{Log, Pending};
pub use note::{
    Batch, Checkpoint, CheckpointError, ENTRY_BYTES_MAX, Hash, KeyError, Lines, ProofError, Sign,
    Signer, TILE_WIDTH, Tile, TileKind, Verifier, leaf_hash, node_hash, root_from_inclusion,
    verify_consistency, verify_inclusion,
};
pub use publish::Candidate;
pub use queue::{Entry, Urgency};
pub use reader::Reader;
pub use recover::Recovered;
pub use statements::{KeyRole, KeyState};
