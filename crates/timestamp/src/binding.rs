//! Which certificate a signature was made with, as the signature itself says: `ESSCertID` (RFC 2634,
//! SHA-1) and `ESSCertIDv2` (RFC 5035).
//!
//! Without it a signature would hold for any certificate of the same key: one with another name or
//! another period could be put in the place of the true one. SHA-1 serves to compare two
//! certificates only when an authority still uses the old form; a root has to vouch for the
//! certificate all the same.

use crate::asn1::{IssuerSerial, SigningCertificate, SigningCertificateV2};
use crate::certificate::Signer;
use crate::digest::Digest;
use crate::error::TimestampError;
use der::Any;
use x509_cert::ext::pkix::name::GeneralName;

/// The lists of certificates of a signature: at least one, none of them empty.
#[derive(Debug)]
pub(crate) struct Binding {
    lists: Vec<Vec<Named>>,
}

#[derive(Debug)]
struct Named {
    digest: Digest,
    hash: Vec<u8>,
    issuer_serial: Option<IssuerSerial>,
}

impl Binding {
    /// The lists of both attributes, of which one may be absent.
    pub(crate) fn new(old: Option<&Any>, new: Option<&Any>) -> Result<Self, TimestampError> {
        let malformed = TimestampError::malformed("the attribute `signingCertificate`");
        let old = old.map(Any::decode_as::<SigningCertificate>).transpose().map_err(malformed)?;
        let malformed = TimestampError::malformed("the attribute `signingCertificateV2`");
        let new = new.map(Any::decode_as::<SigningCertificateV2>).transpose().map_err(malformed)?;
        let mut lists = Vec::new();
        if let Some(old) = old {
            lists.push(of_old(old));
        }
        if let Some(new) = new {
            lists.push(of_new(new)?);
        }
        if lists.is_empty() || lists.iter().any(Vec::is_empty) {
            return Err(TimestampError::Unbound);
        }
        Ok(Self { lists })
    }

    /// Whether the first of each list, which is the signer, is this certificate.
    pub(crate) fn names_signer(&self, signer: &Signer) -> bool {
        self.lists.iter().all(|list| {
            list.first().is_some_and(|named| named.is(&signer.der) && named.is_of(signer))
        })
    }

    /// Whether this certificate may stand between the signer and a root: a list of more than one
    /// names all that may (RFC 5035 section 3).
    pub(crate) fn permits(&self, certificate: &[u8]) -> bool {
        self.lists
            .iter()
            .all(|list| list.len() == 1 || list.iter().any(|named| named.is(certificate)))
    }
}

impl Named {
    fn is(&self, certificate: &[u8]) -> bool {
        self.digest.of(certificate) == self.hash
    }

    /// Issuer and serial number, if named, must be those of the certificate as well.
    fn is_of(&self, signer: &Signer) -> bool {
        let Some(named) = &self.issuer_serial else { return true };
        let subject = signer.certificate.tbs_certificate();
        named.serial == *subject.serial_number()
            && named.issuer.iter().any(
                |name| matches!(name, GeneralName::DirectoryName(name) if name == subject.issuer()),
            )
    }
}

fn of_old(attribute: SigningCertificate) -> Vec<Named> {
    let certificates = attribute.certificates.into_iter();
    certificates
        .map(|id| Named {
            digest: Digest::Sha1,
            hash: id.hash.into_bytes().into(),
            issuer_serial: id.issuer_serial,
        })
        .collect()
}

fn of_new(attribute: SigningCertificateV2) -> Result<Vec<Named>, TimestampError> {
    let certificates = attribute.certificates.into_iter();
    certificates
        .map(|id| {
            let digest = match &id.hash_algorithm {
                None => Digest::Sha256,
                Some(named) => {
                    Digest::named_by(named).ok_or_else(|| TimestampError::DigestAlgorithm {
                        what: "the attribute `signingCertificateV2`",
                        found: named.oid.to_string(),
                    })?
                }
            };
            Ok(Named { digest, hash: id.hash.into_bytes().into(), issuer_serial: id.issuer_serial })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(certificates: &[&[u8]]) -> Vec<Named> {
        let named = |bytes: &&[u8]| Named {
            digest: Digest::Sha256,
            hash: Digest::Sha256.of(bytes),
            issuer_serial: None,
        };
        certificates.iter().map(named).collect()
    }

    #[test]
    fn a_list_of_the_signer_alone_limits_nobody_else() {
        let binding = Binding { lists: vec![list(&[b"signer"])] };
        assert!(binding.permits(b"issuer"));
    }

    #[test]
    fn a_longer_list_limits_the_path() {
        let binding = Binding { lists: vec![list(&[b"signer", b"issuer"]), list(&[b"signer"])] };
        assert!(binding.permits(b"issuer"));
        assert!(!binding.permits(b"other"));
    }

    #[test]
    fn every_list_must_permit() {
        let one = list(&[b"signer", b"issuer", b"other"]);
        let binding = Binding { lists: vec![one, list(&[b"signer", b"issuer"])] };
        assert!(binding.permits(b"issuer"));
        assert!(!binding.permits(b"other"));
    }

    #[test]
    fn no_list_at_all_binds_nothing() {
        assert_eq!(Binding::new(None, None).unwrap_err(), TimestampError::Unbound);
        let empty = Any::new(der::Tag::Sequence, [0x30, 0x00]).unwrap();
        assert_eq!(Binding::new(None, Some(&empty)).unwrap_err(), TimestampError::Unbound);
        assert_eq!(Binding::new(Some(&empty), None).unwrap_err(), TimestampError::Unbound);
    }
}
