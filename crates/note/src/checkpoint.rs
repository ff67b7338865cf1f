//! Checkpoints (C2SP tlog-checkpoint): what a log says of itself.
//!
//! Knows nothing of the tree behind a checkpoint.

use crate::hash::Hash;
use crate::key::{KeyError, Sign, Verifier};
use crate::text::{Note, NoteError};

/// What a log says of itself: so many entries, with this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree over these entries.
    pub root: Hash,
}

/// Why a signed checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not the text of a signed checkpoint.
    #[error("this is not a signed checkpoint: {0}")]
    Malformed(&'static str),
    /// It is of another log.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    Origin {
        /// The origin that the key names.
        expected: String,
        /// The origin in the checkpoint.
        found: String,
    },
    /// No signature by the key is there, or it does not verify.
    #[error("the checkpoint has no valid signature by `{0}`")]
    Signature(String),
    /// A signature line by someone else, where only the log may sign.
    #[error("the checkpoint has a signature line that is not the log's")]
    UnknownLine,
}

/// Which signature lines a checkpoint may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Exactly one, by the log.
    LogOnly,
    /// One by the log, and any number by others, such as witnesses.
    WithWitnesses,
}

impl Checkpoint {
    /// The text that is signed: origin, size and root, one a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// The signed note, ready to publish.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, key: &dyn Sign) -> Result<String, KeyError> {
        Note::sign(&self.to_text(), key)
    }

    /// Reads a signed checkpoint of the log whose key `verifier` is. Takes
    /// only the canonical form: no extension lines, no bytes before or after.
    ///
    /// # Errors
    /// [`CheckpointError`] when it is anything else or not signed by the key.
    pub fn verify(note: &[u8], verifier: &Verifier, lines: Lines) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != verifier.name() {
            let expected = verifier.name().to_owned();
            return Err(CheckpointError::Origin { expected, found: checkpoint.origin });
        }
        note.verify(verifier)?;
        if lines == Lines::LogOnly && note.signatures().len() != 1 {
            return Err(CheckpointError::UnknownLine);
        }
        Ok(checkpoint)
    }

    /// Reads the text of a checkpoint, three lines and nothing more, whoever
    /// signed it. (tlog-checkpoint allows extension lines and recommends
    /// against them; the logs here have none.)
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let body =
            text.strip_suffix('\n').ok_or(malformed("its text does not end in a newline"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("its text does not have three lines"));
        };
        if origin.is_empty() {
            return Err(malformed("it has no origin"));
        }
        let number: u64 = size.parse().map_err(|_| malformed("its size is no number"))?;
        if number.to_string() != size {
            return Err(malformed("its size is not in plain decimal"));
        }
        let root = Hash::from_base64(root).ok_or(malformed("its root is no hash in base64"))?;
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }
}

impl From<NoteError> for CheckpointError {
    fn from(error: NoteError) -> Self {
        match error {
            NoteError::Malformed(what) => Self::Malformed(what),
            NoteError::Unsigned(key) => Self::Signature(key),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sign")]
mod tests {
    use super::{Checkpoint, CheckpointError, Lines};
    use crate::hash::{Hash, leaf_hash};
    use crate::key::Algorithm;
    use crate::signer::Signer;

    /// The seed is 32 times 0x07: Ed25519 signs deterministically, so the
    /// bytes of a checkpoint are fixed.
    const KEY: &str =
        "PRIVATE+KEY+example.com/audit+KEYHASH+AQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

    fn signer() -> Signer {
        Signer::from_seed("example.com/audit", Algorithm::Ed25519, &[7; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "example.com/audit".to_owned(), size: 3, root: leaf_hash(b"x") }
    }

    #[test]
    fn golden() {
        assert!(Signer::from_text(KEY).is_err(), "the hash of the key is checked");
        let note = checkpoint().sign(&signer()).unwrap();
        assert_eq!(note, include_str!("../tests/golden/checkpoint.txt"));
    }

    #[test]
    fn every_byte_of_a_checkpoint_matters() {
        let signer = signer();
        let note = checkpoint().sign(&signer).unwrap().into_bytes();
        let read = Checkpoint::verify(&note, signer.verifier(), Lines::LogOnly).unwrap();
        assert_eq!(read, checkpoint());
        for lines in [Lines::LogOnly, Lines::WithWitnesses] {
            for at in 0..note.len() {
                for bit in 0..8 {
                    let mut altered = note.clone();
                    altered[at] ^= 1 << bit;
                    let refused = Checkpoint::verify(&altered, signer.verifier(), lines);
                    assert!(refused.is_err(), "byte {at} bit {bit}");
                }
                let refused = Checkpoint::verify(&note[..at], signer.verifier(), lines);
                assert!(refused.is_err(), "cut at {at}");
            }
        }
        let longer = [note.as_slice(), b"\n"].concat();
        assert!(Checkpoint::verify(&longer, signer.verifier(), Lines::LogOnly).is_err());
    }

    #[test]
    fn witnesses_sign_beside_the_log_only_where_allowed() {
        let signer = signer();
        let (witness, _) = Signer::generate("witness.example").unwrap();
        let note = checkpoint().sign(&signer).unwrap();
        let cosigned = checkpoint().sign(&witness).unwrap();
        let (_, line) = cosigned.split_once("\n\n").unwrap();
        let both = format!("{note}{line}");
        let verifier = signer.verifier();
        let refused = Checkpoint::verify(both.as_bytes(), verifier, Lines::LogOnly);
        assert_eq!(refused, Err(CheckpointError::UnknownLine));
        Checkpoint::verify(both.as_bytes(), verifier, Lines::WithWitnesses).unwrap();
        let only = Checkpoint::verify(cosigned.as_bytes(), verifier, Lines::WithWitnesses);
        assert_eq!(only, Err(CheckpointError::Signature("example.com/audit".to_owned())));
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        let signer = signer();
        let root = Hash::EMPTY_ROOT.to_base64();
        for body in [
            format!("example.com/audit\n01\n{root}\n"),
            format!("example.com/audit\n+1\n{root}\n"),
            format!("example.com/audit\n1\n{root}\nextension\n"),
            format!("example.com/audit\n1\n{}\n", root.trim_end_matches('=')),
        ] {
            let own = checkpoint().sign(&signer).unwrap();
            let (_, signature) = own.split_once("\n\n").unwrap();
            let note = format!("{body}\n{signature}");
            let refused = Checkpoint::verify(note.as_bytes(), signer.verifier(), Lines::LogOnly);
            assert!(matches!(refused, Err(CheckpointError::Malformed(_))), "{body}");
        }
    }
}
