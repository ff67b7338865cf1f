#![doc = include_str!("../README.md")]

mod batch;
mod checkpoint;
mod commit;
mod config;
mod edge;
mod entries;
mod error;
mod format;
mod key;
mod log;
mod merkle;
mod nodes;
mod proof;
mod publish;
mod queue;
mod reader;
mod recover;
mod scan;
mod shared;
pub mod storage;
mod tile;
mod torn;
pub mod verify;

pub use batch::{Batch, Committed, Tip};
pub use checkpoint::{Checkpoint, CheckpointError, Lines};
pub use config::{Clock, Config};
pub use entries::Entries;
pub use error::{Corruption, Error};
pub use key::{KeyError, Signer, Verifier};
pub use log::{Log, Pending};
pub use merkle::{Hash, leaf_hash, node_hash};
pub use proof::{ProofError, root_from_inclusion, verify_consistency, verify_inclusion};
pub use reader::Reader;
pub use recover::Recovered;
pub use tile::{ENTRY_BYTES_MAX, TILE_WIDTH, Tile, TileKind};
pub use verify::verify;
