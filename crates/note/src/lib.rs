#![doc = include_str!("../README.md")]

mod batch;
mod checkpoint;
mod cosignature;
mod hash;
mod key;
mod merkle;
mod policy;
mod proof;
#[cfg(feature = "sign")]
mod signer;
mod statement;
mod text;
mod tile;

pub use batch::{Batch, Epoch};
pub use checkpoint::{Checkpoint, CheckpointError, Lines};
pub use cosignature::{CosignError, cosign, cosigned};
pub use hash::{Hash, leaf_hash, node_hash};
pub use key::{Algorithm, KeyError, Sign, Verifier};
pub use merkle::{ProofError, root_from_inclusion, verify_consistency, verify_inclusion};
pub use policy::{Judgement, Policy, PolicyError, Seen, Witness};
pub use proof::{LogProof, LogProofError};
#[cfg(feature = "sign")]
pub use signer::Signer;
pub use statement::{Action, Pruned, Statement};
pub use text::{NOTE_BYTES_MAX, Note, NoteError, SIGNATURES_MAX, Signature, signature_line};
pub use tile::{
    ENTRY_BYTES_MAX, TILE_WIDTH, Tile, TileKind, bundle_entry, push_bundle_entry, tile_hash,
};
