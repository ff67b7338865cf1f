//! What one commit of the write-ahead log promises, and the key it is signed
//! with: both are formats of this product.
//!
//! Knows nothing of the file they stand in.

use crate::hash::Hash;
use crate::key::{Algorithm, KeyError, Sign, Verifier};
use crate::text::{Note, NoteError};
use std::fmt::Write as _;

/// The signed end of a batch: after these entries the tree had this root.
///
/// The signature is Ed25519 by the epoch key over [`Batch::text`]. Its first
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
    /// [`KeyError::Signature`] when it is not by this key over this batch of
    /// the log with this origin.
    pub fn verify(&self, origin: &str, epoch: &Verifier) -> Result<(), KeyError> {
        epoch.verify(self.text(origin).as_bytes(), &self.signature)
    }

    /// Appends [`Batch::text`] to a buffer.
    pub fn write_text(&self, origin: &str, text: &mut String) {
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

/// The certificate of an epoch key: the log's own key says that from this
/// size on, batches are signed by that one. The key lives in memory only, from
/// one opening of the log to its closing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The origin of the log.
    pub origin: String,
    /// The epoch key; its name is `<origin>/batch`.
    pub key: Verifier,
    /// The number of entries before its first batch.
    pub size: u64,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
}

impl Epoch {
    /// The name of the epoch keys of a log.
    #[must_use]
    pub fn key_name(origin: &str) -> String {
        format!("{origin}/batch")
    }

    /// The text that is signed, four lines: `<origin>/epoch/v1`, the verifier
    /// key line, the size, the time.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { origin, key, size, time_ms } = self;
        format!("{origin}/epoch/v1\n{}\n{size}\n{time_ms}\n", key.to_text())
    }

    /// The certificate: a note signed by a key of the log.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, log: &dyn Sign) -> Result<String, KeyError> {
        Note::sign(&self.to_text(), log)
    }

    /// Reads a certificate without checking who signed it.
    ///
    /// # Errors
    /// When it is not in its one canonical form.
    pub fn parse(note: &[u8]) -> Result<(Self, Note<'_>), NoteError> {
        let note = Note::parse(note)?;
        let malformed = || NoteError::Malformed("it is no certificate of an epoch key");
        let lines: Vec<&str> = note.text().lines().collect();
        let [head, key, size, time] = lines.as_slice() else { return Err(malformed()) };
        let origin = head.strip_suffix("/epoch/v1").ok_or_else(malformed)?.to_owned();
        let key = Verifier::from_text(key).map_err(|_| malformed())?;
        let size = size.parse().map_err(|_| malformed())?;
        let time_ms = time.parse().map_err(|_| malformed())?;
        let epoch = Self { origin, key, size, time_ms };
        let canonical = epoch.to_text() == note.text()
            && epoch.key.name() == Self::key_name(&epoch.origin)
            && epoch.key.algorithm() == Algorithm::Ed25519;
        if canonical { Ok((epoch, note)) } else { Err(malformed()) }
    }
}
