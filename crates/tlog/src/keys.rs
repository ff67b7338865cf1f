//! The private keys that a log is opened with.
//!
//! Knows nothing of which of them is valid at which size:
//! [`crate::statements`] does.

use crate::error::Error;
use note::{Algorithm, KeyError, Sign, Signer, signature_line};
use std::sync::Arc;

/// The keys that sign the checkpoints of a log: all of them sign each one, as
/// far as the statements of the log about its keys allow. The first that may
/// also certifies the key of the batches.
///
/// Usually one; two while a new key takes over from an old one.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Ed25519 keys with the same name, the origin of the log; the most
    /// important first.
    pub log: Vec<Arc<dyn Sign>>,
}

impl Keys {
    /// The origin that these keys name.
    pub(crate) fn origin(&self) -> Result<&str, Error> {
        let Some(first) = self.log.first().map(|key| key.verifier()) else {
            return Err(Error::Config("a log needs a key to sign with"));
        };
        for (at, key) in self.log.iter().enumerate() {
            let verifier = key.verifier();
            if verifier.algorithm() != Algorithm::Ed25519 {
                return Err(KeyError::Algorithm(verifier.name().to_owned()).into());
            }
            if verifier.name() != first.name() {
                return Err(Error::Config("the keys of a log all have its origin as their name"));
            }
            if self.log.iter().skip(at + 1).any(|other| other.verifier() == verifier) {
                return Err(Error::Config("a key of the log was given twice"));
            }
        }
        Ok(first.name())
    }

    /// A note of this text, signed by each of `signers`.
    pub(crate) fn sign_note(text: &str, signers: &[Arc<dyn Sign>]) -> Result<String, KeyError> {
        let mut note = format!("{text}\n");
        for key in signers {
            note.push_str(&signature_line(text, key.as_ref())?);
        }
        Ok(note)
    }
}

impl From<Signer> for Keys {
    fn from(signer: Signer) -> Self {
        Self { log: vec![Arc::new(signer)] }
    }
}

impl From<Arc<dyn Sign>> for Keys {
    fn from(key: Arc<dyn Sign>) -> Self {
        Self { log: vec![key] }
    }
}

impl From<Vec<Arc<dyn Sign>>> for Keys {
    fn from(log: Vec<Arc<dyn Sign>>) -> Self {
        Self { log }
    }
}
