//! Receipts of single entries: that this entry is in the log under a published checkpoint.
//!
//! A receipt is checked before it is handed out: its hashes lead from the entry to the root in the
//! checkpoint. Who signed the checkpoint is for whoever is given the receipt to check.

mod cose;
mod find;

pub use find::{Depth, Of, Wanted};

use audit::FollowError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event::CallId;
use note::{
    Checkpoint, CheckpointError, Hash, KeyError, LogProof, Note, Pruned, Sign, TILE_WIDTH, Tile,
    TileKind, leaf_hash, root_from_inclusion, tile_hash,
};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use tlog::Reader;

/// Makes the receipts of one log from its directory.
#[derive(Debug, Clone)]
pub struct Receipts {
    directory: PathBuf,
}

/// In which form a receipt comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text, C2SP tlog-proof.
    TlogProof,
    /// COSE receipt, RFC 9942.
    Cose,
    /// The same facts as one JSON object.
    Json,
}

impl Format {
    /// The media type. RFC 9942 registers none of its own: a COSE receipt is a `COSE_Sign1` object,
    /// whose type is in RFC 9052 section 11.3.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::TlogProof => "text/plain; charset=utf-8",
            Self::Cose => "application/cose; cose-type=\"cose-sign1\"",
            Self::Json => "application/json",
        }
    }
}

/// Whether the entry itself goes with its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It does; as data that is not authenticated but by its hash.
    With,
    /// It does not.
    Without,
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The entry is not under a checkpoint yet, or there is none.
    #[error(
        "entry {index} is not published: the checkpoint covers {size} entries; while the log is being \
         written a new one comes about every second"
    )]
    NotPublished {
        /// The entry.
        index: u64,
        /// What the checkpoint covers.
        size: u64,
    },
    /// No entry is of this call.
    #[error("there is no call {call} in the log{}", and_pruned(*.minimum))]
    NoSuchCall {
        /// The call.
        call: CallId,
        /// Entries below this index are not kept.
        minimum: u64,
    },
    /// The call is there, but has no such record.
    #[error(
        "call {call} has no answer on record yet: ask for the receipt of its question, or again later"
    )]
    NoSuchRecord {
        /// The call.
        call: CallId,
    },
    /// The call is not where its time says, and no more was searched.
    #[error(
        "call {call} is not found near its time: give the index of its entry, or search the whole log with `countersign receipt`"
    )]
    NotFoundNear {
        /// The call.
        call: CallId,
    },
    /// The entry is no longer kept.
    #[error(
        "entry {index} was pruned: entries below {minimum} are no longer kept; its proof can be had without the entry"
    )]
    Pruned {
        /// The entry.
        index: u64,
        /// The smallest index that is kept.
        minimum: u64,
    },
    /// The files of the log do not fit together.
    #[error("{0}; verify the log before you trust anything in it")]
    Altered(String),
    /// The published checkpoint is not one.
    #[error("the published checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The key has not signed this checkpoint, and therefore signs no receipt.
    #[error(
        "the published checkpoint is not signed by the key `{0}`: give the key that the log signs with"
    )]
    OtherKey(String),
    /// The key cannot sign receipts.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// CBOR was refused by its library.
    #[error("the receipt cannot be encoded: {0}")]
    Encoding(String),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] tlog::Error),
    /// The log cannot be searched.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A file of the log cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// The file, in the directory of the log.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What all forms of a receipt say.
#[derive(Debug)]
struct Proven {
    leaf: Hash,
    checkpoint: Checkpoint,
    proof: LogProof,
}

impl Receipts {
    /// The receipts of the log in `directory`, which may be open for writing meanwhile.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The receipt of an entry as text, C2SP tlog-proof, with the published checkpoint and all its
    /// signatures. The entry, when asked for, is its extra data.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn tlog_proof(&self, index: u64, entry: Entry) -> Result<String, ReceiptError> {
        Ok(self.prove(index, entry)?.proof.to_text())
    }

    /// The receipt of an entry as COSE receipt (RFC 9942), signed by the key of the log over the root of
    /// the published checkpoint, which the same key must have signed before.
    ///
    /// # Errors
    /// See [`ReceiptError`]; above all [`ReceiptError::OtherKey`].
    pub fn cose(&self, index: u64, key: &dyn Sign) -> Result<Vec<u8>, ReceiptError> {
        let proven = self.prove(index, Entry::Without)?;
        let name = || key.verifier().name().to_owned();
        let note =
            Note::parse(proven.proof.checkpoint.as_bytes()).map_err(CheckpointError::from)?;
        note.verify(key.verifier()).map_err(|_| ReceiptError::OtherKey(name()))?;
        if key.verifier().name() != proven.checkpoint.origin {
            return Err(ReceiptError::OtherKey(name()));
        }
        cose::sign(&proven.checkpoint, index, &proven.proof.hashes, key)
    }

    /// The receipt of an entry as one JSON object with a newline: `origin`, `index`, `leaf_hash`,
    /// `size`, `root` and `proof` (hashes in base64), `checkpoint` (the note), and `entry` (base64) when
    /// asked for.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn json(&self, index: u64, entry: Entry) -> Result<String, ReceiptError> {
        let Proven { leaf, checkpoint, proof } = self.prove(index, entry)?;
        let object = JsonReceipt {
            checkpoint: &proof.checkpoint,
            entry: proof.extra.as_ref().map(|entry| STANDARD.encode(entry)),
            index,
            leaf_hash: leaf.to_base64(),
            origin: &checkpoint.origin,
            proof: proof.hashes.iter().map(Hash::to_base64).collect(),
            root: checkpoint.root.to_base64(),
            size: checkpoint.size,
        };
        let text = serde_json::to_string(&object);
        text.map(|text| format!("{text}\n")).map_err(|e| ReceiptError::Encoding(e.to_string()))
    }

    /// The index of the entry that is wanted.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn find(&self, wanted: Wanted, of: Of, depth: Depth) -> Result<u64, ReceiptError> {
        match wanted {
            Wanted::Index(index) => Ok(index),
            Wanted::Call(call) => find::find(&self.directory, self.minimum()?, (call, of), depth),
        }
    }

    fn prove(&self, index: u64, entry: Entry) -> Result<Proven, ReceiptError> {
        let mut reader = Reader::open(&self.directory)?;
        let note = reader.checkpoint_note()?;
        let parsed = Note::parse(&note).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::parse(parsed.text())?;
        let size = checkpoint.size;
        if size <= index {
            return Err(ReceiptError::NotPublished { index, size });
        }
        let hashes = reader.inclusion_proof(index, size)?;
        let leaf = self.leaf(index, size)?;
        let root = root_from_inclusion(leaf, index, size, &hashes);
        if root != Ok(checkpoint.root) {
            let what = format!("the tiles do not lead from entry {index} to the published root");
            return Err(ReceiptError::Altered(what));
        }
        let extra = match entry {
            Entry::Without => None,
            Entry::With => Some(self.entry(&mut reader, index, leaf)?),
        };
        let checkpoint_text = String::from_utf8_lossy(&note).into_owned();
        let proof = LogProof { extra, index, hashes, checkpoint: checkpoint_text };
        Ok(Proven { leaf, checkpoint, proof })
    }

    fn entry(&self, reader: &mut Reader, index: u64, leaf: Hash) -> Result<Vec<u8>, ReceiptError> {
        let minimum = self.minimum()?;
        if index < minimum {
            return Err(ReceiptError::Pruned { index, minimum });
        }
        let entry = reader.entry(index)?;
        if leaf_hash(&entry) == leaf {
            Ok(entry)
        } else {
            Err(ReceiptError::Altered(format!("entry {index} is not what its tile says")))
        }
    }

    /// The leaf hash of a published entry, whether the entry is still kept or not.
    fn leaf(&self, index: u64, size: u64) -> Result<Hash, ReceiptError> {
        let width = u64::from(TILE_WIDTH);
        let full = Tile::full(TileKind::Hashes(0), index / width);
        let rest = size - index / width * width;
        let partial =
            Tile { width: u16::try_from(rest).unwrap_or(TILE_WIDTH).min(TILE_WIDTH), ..full };
        let tile = match self.read(&partial.path())? {
            Some(tile) => tile,
            None => self.read(&full.path())?.unwrap_or_default(),
        };
        tile_hash(&tile, index % width)
            .ok_or_else(|| ReceiptError::Altered(format!("`{}` is missing or cut", partial.path())))
    }

    /// The smallest index of which entries are kept.
    fn minimum(&self) -> Result<u64, ReceiptError> {
        let Some(note) = self.read("pruned")? else { return Ok(0) };
        match Pruned::parse(&note) {
            Ok((pruned, _)) => Ok(pruned.minimum),
            Err(error) => Err(ReceiptError::Altered(format!("`pruned`: {error}"))),
        }
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReceiptError> {
        match std::fs::read(self.directory.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ReceiptError::Io { path: path.to_owned(), source }),
        }
    }
}

#[derive(Serialize)]
struct JsonReceipt<'a> {
    checkpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    index: u64,
    leaf_hash: String,
    origin: &'a str,
    proof: Vec<String>,
    root: String,
    size: u64,
}

fn and_pruned(minimum: u64) -> String {
    if minimum == 0 {
        return String::new();
    }
    format!(" from entry {minimum} on; what was before is no longer kept")
}

#[cfg(test)]
mod tests;
