//! The key of an epoch: it signs the batches from one opening of the log to
//! its closing, and is never on a disk.
//!
//! Knows nothing of segments.

use crate::error::Error;
use crate::format::EPOCH_BYTES_MAX;
use note::{Epoch, Sign, Signer};
use std::sync::Arc;

/// A fresh key and the log's word for it.
#[derive(Debug)]
pub(crate) struct EpochKey {
    pub(crate) signer: Signer,
    /// The certificate: [`Epoch`], signed by a key of the log.
    pub(crate) certificate: Arc<str>,
}

impl EpochKey {
    /// Makes a key from the randomness of the system and has the log certify
    /// it for the batches after `size` entries.
    pub(crate) fn begin(log: &dyn Sign, size: u64, time_ms: u64) -> Result<Self, Error> {
        let origin = log.verifier().name().to_owned();
        // The text of the secret is wiped right here.
        let (signer, _) = Signer::generate(&Epoch::key_name(&origin))?;
        let epoch = Epoch { origin, key: signer.verifier().clone(), size, time_ms };
        let certificate = epoch.sign(log)?.into();
        Ok(Self { signer, certificate })
    }
}

/// The longest certificate of a log with this origin, in bytes.
pub(crate) fn certificate_bytes_max(origin: &str) -> Result<usize, Error> {
    // The origin stands three times: in the first line, in the verifier key
    // line (`+`, id, `+`, 44 of base64), and in the signature line (92 of
    // base64); two numbers have up to 20 digits.
    let fixed = "/epoch/v1\n".len()
        + "/batch+01234567+\n".len()
        + 44
        + 2 * (20 + 1)
        + "\n\u{2014}  \n".len()
        + 92;
    let bytes = 3 * origin.len() + fixed;
    if EPOCH_BYTES_MAX < bytes {
        return Err(Error::Config("the origin of the log is too long"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{EpochKey, certificate_bytes_max};
    use note::{Epoch, Signer};

    #[test]
    fn a_certificate_is_never_longer_than_was_reserved() {
        for origin in ["a", "example.com/log", &"long".repeat(300)] {
            let (log, _) = Signer::generate(origin).unwrap();
            let epoch = EpochKey::begin(&log, u64::MAX, u64::MAX).unwrap();
            let reserved = certificate_bytes_max(origin).unwrap();
            assert_eq!(epoch.certificate.len(), reserved, "{origin}");
            let (read, note) = Epoch::parse(epoch.certificate.as_bytes()).unwrap();
            assert_eq!(&read.key, epoch.signer.verifier());
            note.verify(log.verifier()).unwrap();
        }
        assert!(certificate_bytes_max(&"x".repeat(1_400)).is_err());
    }

    #[test]
    fn every_epoch_has_a_key_of_its_own() {
        let (log, _) = Signer::generate("example.com/log").unwrap();
        let [one, two] = [0, 0].map(|size| EpochKey::begin(&log, size, 1).unwrap());
        assert_ne!(one.signer.verifier(), two.signer.verifier());
    }
}
