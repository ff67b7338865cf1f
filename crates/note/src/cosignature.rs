//! Cosignatures of checkpoints by witnesses (C2SP tlog-cosignature), in both
//! kinds: Ed25519 (0x04) and ML-DSA-44 (0x06).
//!
//! Knows nothing of when a witness may cosign.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::{Algorithm, KeyError, Sign, Verifier};
use crate::text::{Note, NoteError, line};

/// The line by which a witness cosigns the checkpoint with this text, at this
/// time in seconds since 1970-01-01 UTC.
///
/// # Errors
/// [`CheckpointError`] when the text is no checkpoint's, or its origin or the
/// name of the key is too long to be signed; a key that is no witness's or
/// cannot sign.
pub fn cosign(text: &str, key: &dyn Sign, time_s: u64) -> Result<String, CosignError> {
    let message = message(text, key.verifier(), time_s)?;
    let mut bytes = time_s.to_be_bytes().to_vec();
    bytes.extend_from_slice(&key.sign(&message)?);
    Ok(line(key.verifier(), &bytes))
}

/// Checks the cosignature of a witness on a note. Returns its time, in seconds
/// since 1970-01-01 UTC; `None` when the witness did not cosign.
///
/// # Errors
/// [`CosignError`] when there is a line by this witness that does not verify.
pub fn cosigned(note: &Note<'_>, witness: &Verifier) -> Result<Option<u64>, CosignError> {
    let Some(found) = note.by(witness) else { return Ok(None) };
    let unsigned = || NoteError::Unsigned(witness.name().to_owned());
    let (time, signature) = found.bytes.split_first_chunk::<8>().ok_or_else(unsigned)?;
    let time_s = u64::from_be_bytes(*time);
    let message = message(note.text(), witness, time_s)?;
    witness.verify(&message, signature).map_err(|_| unsigned())?;
    Ok(Some(time_s))
}

/// Why a checkpoint cannot be cosigned, or a cosignature is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignError {
    /// What is cosigned is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The signature is not the witness's.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The key is no witness's, or cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The time is beyond what a cosignature can say.
    #[error("the time {0} cannot be in a cosignature")]
    Time(u64),
}

/// The message that is signed; section "Format" of tlog-cosignature.
fn message(text: &str, key: &Verifier, time_s: u64) -> Result<Vec<u8>, CosignError> {
    if i64::try_from(time_s).is_err() {
        return Err(CosignError::Time(time_s));
    }
    match key.algorithm() {
        Algorithm::Ed25519 => Err(KeyError::Algorithm(key.name().to_owned()).into()),
        Algorithm::Ed25519Cosignature => {
            Ok(format!("cosignature/v1\ntime {time_s}\n{text}").into_bytes())
        }
        Algorithm::MlDsa44Cosignature => {
            // Extension lines are not part of this message: the first three
            // lines are.
            let end = text.match_indices('\n').nth(2).map_or(text.len(), |(at, _)| at + 1);
            let checkpoint = Checkpoint::parse(text.get(..end).unwrap_or(text))?;
            let mut message = b"subtree/v1\n\0".to_vec();
            push_name(&mut message, key.name())?;
            message.extend_from_slice(&time_s.to_be_bytes());
            push_name(&mut message, &checkpoint.origin)?;
            message.extend_from_slice(&0_u64.to_be_bytes());
            message.extend_from_slice(&checkpoint.size.to_be_bytes());
            message.extend_from_slice(checkpoint.root.as_bytes());
            Ok(message)
        }
    }
}

fn push_name(message: &mut Vec<u8>, name: &str) -> Result<(), CheckpointError> {
    let too_long = |_| CheckpointError::Malformed("a name has more than 255 bytes");
    message.push(u8::try_from(name.len()).map_err(too_long)?);
    message.extend_from_slice(name.as_bytes());
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "sign")]
mod tests {
    use super::{cosign, cosigned};
    use crate::checkpoint::Checkpoint;
    use crate::hash::leaf_hash;
    use crate::key::Algorithm;
    use crate::signer::Signer;
    use crate::text::Note;

    fn signed(log: &Signer) -> String {
        let origin = "example.com/log".to_owned();
        Checkpoint { origin, size: 3, root: leaf_hash(b"x") }.sign(log).unwrap()
    }

    #[test]
    fn both_kinds_verify_and_every_byte_of_them_matters() {
        let (log, _) = Signer::generate("example.com/log").unwrap();
        for algorithm in [Algorithm::Ed25519Cosignature, Algorithm::MlDsa44Cosignature] {
            let (witness, _) = Signer::generate_for("witness.example/w", algorithm).unwrap();
            let note = signed(&log);
            let text = Note::parse(note.as_bytes()).unwrap().text().to_owned();
            let line = cosign(&text, &witness, 1_700_000_000).unwrap();
            let both = format!("{note}{line}");
            let parsed = Note::parse(both.as_bytes()).unwrap();
            assert_eq!(cosigned(&parsed, witness.verifier()), Ok(Some(1_700_000_000)));
            parsed.verify(log.verifier()).unwrap();
            let own = note.len();
            for at in (0..text.len()).chain(own..both.len()).step_by(7) {
                let mut altered = both.clone().into_bytes();
                altered[at] ^= 1;
                let Ok(parsed) = Note::parse(&altered) else { continue };
                assert_ne!(cosigned(&parsed, witness.verifier()), Ok(Some(1_700_000_000)), "{at}");
            }
            let (other, _) = Signer::generate_for("witness.example/w", algorithm).unwrap();
            assert_eq!(cosigned(&parsed, other.verifier()), Ok(None));
        }
    }

    #[test]
    fn a_log_key_does_not_cosign() {
        let (log, _) = Signer::generate("example.com/log").unwrap();
        let note = signed(&log);
        let text = Note::parse(note.as_bytes()).unwrap().text().to_owned();
        assert!(cosign(&text, &log, 1).is_err());
        assert!(cosigned(&Note::parse(note.as_bytes()).unwrap(), log.verifier()).is_err());
    }
}
