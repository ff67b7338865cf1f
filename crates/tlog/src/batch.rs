//! What one commit promises: the signed statement at the end of every batch.
//!
//! Knows nothing of the file it stands in.

use crate::key::{KeyError, Signer, Verifier};
use crate::merkle::Hash;
use std::fmt::Write as _;
use std::sync::Arc;

/// The signed end of a batch: after these entries the tree had this root.
///
/// The signature is the log's own Ed25519 key over [`Batch::text`]. Its first
/// line is not the origin, so it can never pass for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The index of the first entry of the batch.
    pub first: u64,
    /// The number of entries, at least one.
    pub count: u32,
    /// The number of entries of the log after the batch.
    pub size: u64,
    /// The root of the tree over these `size` entries.
    pub root: Hash,
    /// The SHA-256 of the trailer frame before this one; zeros for the first.
    pub previous: Hash,
    /// When the batch was committed, in milliseconds since 1970-01-01 UTC, by
    /// the clock the log was given.
    pub time_ms: u64,
    /// The signature.
    pub signature: [u8; 64],
}

impl Batch {
    /// The text that is signed, seven lines: `<origin>/batch/v1`, then first
    /// index, count, size (decimal), root, hash of the previous trailer
    /// (base64), and the time in milliseconds (decimal).
    #[must_use]
    pub fn text(&self, origin: &str) -> String {
        let mut text = String::with_capacity(origin.len() + 192);
        self.write_text(origin, &mut text);
        text
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`KeyError::Signature`] when it is not by this key over this batch.
    pub fn verify(&self, verifier: &Verifier) -> Result<(), KeyError> {
        verifier.verify(self.text(verifier.name()).as_bytes(), &self.signature)
    }

    /// Signs the batch; `text` is a buffer to write the text in.
    pub(crate) fn sign(&mut self, signer: &Signer, text: &mut String) {
        text.clear();
        self.write_text(signer.verifier().name(), text);
        self.signature = signer.sign(text.as_bytes());
    }

    fn write_text(&self, origin: &str, text: &mut String) {
        let Self { first, count, size, time_ms, .. } = self;
        let (root, previous) = (self.root.to_base64(), self.previous.to_base64());
        // Writing to a string does not fail.
        write!(
            text,
            "{origin}/batch/v1\n{first}\n{count}\n{size}\n{root}\n{previous}\n{time_ms}\n"
        )
        .ok();
    }
}

/// The answer to an entry: it is on stable storage, and this is its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The index of the entry in the log.
    pub index: u64,
    /// The leaf hash of the entry.
    pub leaf_hash: Hash,
    /// The batch it was committed in, shared with the other entries of it.
    pub batch: Arc<Batch>,
}

impl Committed {
    /// The number of entries of the log after the batch.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        self.batch.size
    }

    /// The root of the tree over [`Committed::tree_size`] entries.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.batch.root
    }
}

/// How far the log has come: everything up to here is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The number of committed entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// When the last batch was committed, in milliseconds since 1970-01-01
    /// UTC; 0 when there is none.
    pub time_ms: u64,
}
