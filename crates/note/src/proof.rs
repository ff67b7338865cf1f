//! Offline proofs that an entry is in a log (C2SP tlog-proof): the receipt to
//! keep.
//!
//! Knows nothing of where the entry is.

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::merkle::{ProofError, root_from_inclusion};
use crate::policy::{Judgement, Policy, PolicyError};
use crate::text::{Note, NoteError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// A proof of inclusion with the checkpoint it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// Data for the application, not authenticated.
    pub extra: Option<Vec<u8>>,
    /// The index of the entry.
    pub index: u64,
    /// The hashes from the sibling of the leaf to the child of the root.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, with the cosignatures of witnesses.
    pub checkpoint: String,
}

/// Why a proof is not one, or does not prove.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogProofError {
    /// It is not in the form of tlog-proof.
    #[error("this is not a proof of a log: {0}")]
    Malformed(&'static str),
    /// The checkpoint in it is not one.
    #[error("the checkpoint in the proof: {0}")]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    /// The hashes do not lead to the root.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
    /// The checkpoint is not what the policy demands.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl LogProof {
    /// The text, for a file that ends in `.tlog-proof`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            writeln!(text, "extra {}", STANDARD.encode(extra)).ok();
        }
        writeln!(text, "index {}", self.index).ok();
        for hash in &self.hashes {
            writeln!(text, "{}", hash.to_base64()).ok();
        }
        format!("{text}\n{}", self.checkpoint)
    }

    /// Reads the text of a proof; nothing in it was verified yet.
    ///
    /// # Errors
    /// [`LogProofError::Malformed`] for anything out of form.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogProofError> {
        let malformed = LogProofError::Malformed;
        let text = str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(malformed("it has no empty line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(malformed("its first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => {
                let text = line.strip_prefix("extra ").unwrap_or_default();
                Some(STANDARD.decode(text).map_err(|_| malformed("its extra data is not base64"))?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.ok_or(malformed("it has no index"))?;
        let number: u64 = index.parse().map_err(|_| malformed("its index is no number"))?;
        if number.to_string() != index {
            return Err(malformed("its index is not in plain decimal"));
        }
        let hashes: Option<Vec<Hash>> = lines.map(Hash::from_base64).collect();
        let hashes = hashes.ok_or(malformed("a hash is not in base64"))?;
        if HASHES_MAX < hashes.len() {
            return Err(malformed("it has more than 64 hashes"));
        }
        Note::parse(checkpoint.as_bytes()).map_err(|error| match error {
            NoteError::Malformed(what) => malformed(what),
            NoteError::Unsigned(_) => malformed("its checkpoint is not signed"),
        })?;
        Ok(Self { extra, index: number, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// The checkpoint in the proof, whoever signed it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse_checkpoint(&self) -> Result<Checkpoint, LogProofError> {
        let note = Note::parse(self.checkpoint.as_bytes());
        let note = note.map_err(crate::checkpoint::CheckpointError::from)?;
        Ok(Checkpoint::parse(note.text())?)
    }

    /// Checks that the entry with this leaf hash is in the log, and the
    /// checkpoint against a policy: section "Verifying a tlog proof".
    ///
    /// # Errors
    /// [`LogProofError`] when it is not shown. The quorum is for the caller to
    /// look at in what is returned.
    pub fn verify(&self, leaf: Hash, policy: &Policy) -> Result<Judgement, LogProofError> {
        let judgement = policy.judge(self.checkpoint.as_bytes())?;
        let checkpoint = &judgement.checkpoint;
        let root = root_from_inclusion(leaf, self.index, checkpoint.size, &self.hashes)?;
        if root == checkpoint.root { Ok(judgement) } else { Err(ProofError::WrongRoot.into()) }
    }
}

const HEADER: &str = "c2sp.org/tlog-proof@v1";
const HASHES_MAX: usize = 64;

#[cfg(test)]
#[cfg(feature = "sign")]
mod tests {
    use super::{LogProof, LogProofError};
    use crate::checkpoint::Checkpoint;
    use crate::hash::{leaf_hash, node_hash};
    use crate::policy::Policy;
    use crate::signer::Signer;

    fn proof() -> (LogProof, Policy) {
        let (log, _) = Signer::generate("example.com/log").unwrap();
        let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
        let origin = "example.com/log".to_owned();
        let checkpoint = Checkpoint { origin, size: 2, root: node_hash(&left, &right) };
        let checkpoint = checkpoint.sign(&log).unwrap();
        let proof = LogProof { extra: Some(vec![1]), index: 1, hashes: vec![left], checkpoint };
        let policy = format!("log {}\nquorum none\n", log.verifier().to_text());
        (proof, Policy::parse(policy.as_bytes()).unwrap())
    }

    #[test]
    fn proofs_round_trip_and_prove() {
        let (mut proof, policy) = proof();
        for extra in [None, Some(vec![]), Some(b"data".to_vec())] {
            proof.extra = extra;
            let text = proof.to_text();
            let read = LogProof::parse(text.as_bytes()).unwrap();
            assert_eq!(read, proof);
            read.verify(leaf_hash(b"right"), &policy).unwrap();
            assert!(read.verify(leaf_hash(b"left"), &policy).is_err());
        }
    }

    #[test]
    fn every_byte_but_the_extra_data_matters() {
        let (mut proof, policy) = proof();
        proof.extra = None;
        let text = proof.to_text().into_bytes();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut altered = text.clone();
                altered[at] ^= 1 << bit;
                let verified = LogProof::parse(&altered)
                    .and_then(|proof| proof.verify(leaf_hash(b"right"), &policy));
                assert!(verified.is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn refuses_what_is_out_of_form() {
        let (proof, _) = proof();
        let text = proof.to_text();
        for altered in [
            text.replacen("@v1", "@v2", 1),
            text.replacen("index 1", "index 01", 1),
            text.replacen("index 1", "index -1", 1),
            text.replacen("index 1\n", "", 1),
            text.replacen("extra AQ==", "extra AQ", 1),
            text.replacen("\n\n", "\n", 1),
        ] {
            let error = LogProof::parse(altered.as_bytes()).unwrap_err();
            assert!(matches!(error, LogProofError::Malformed(_)), "{altered}");
        }
    }
}
