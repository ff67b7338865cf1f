//! The hash functions that a time stamp may name.
//!
//! SHA-1 is here for one place only: the old form in which a signature names its certificate.

use der::Any;
use der::oid::ObjectIdentifier;
use sha2::Digest as _;
use x509_cert::spki::AlgorithmIdentifierOwned;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    /// Only to compare a certificate that a root vouches for anyway with the one that was meant.
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    /// The function that is meant, of those that are fit to be signed. RFC 5754 section 2 allows
    /// parameters that are absent or null and no others.
    pub(crate) fn named_by(identifier: &AlgorithmIdentifierOwned) -> Option<Self> {
        if !identifier.parameters.as_ref().is_none_or(Any::is_null) {
            return None;
        }
        match identifier.oid {
            SHA256 => Some(Self::Sha256),
            SHA384 => Some(Self::Sha384),
            SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The hash of the bytes.
    pub(crate) fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
        }
    }
}

/// `id-sha256`, RFC 5754 section 2.2.
pub(crate) const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
