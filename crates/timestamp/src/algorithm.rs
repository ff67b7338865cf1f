//! The signatures that are believed: a table for the chain of certificates and for CMS alike.
//!
//! Knows no certificate. RSA keys have at least 2048 bits; there is no SHA-1.

use crate::digest::Digest;
use der::oid::ObjectIdentifier;
use der::{Decode, Encode};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, Pss, RsaPublicKey};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use sha2::{Sha256, Sha384, Sha512};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// One way to sign.
#[derive(Debug)]
pub(crate) struct Algorithm {
    scheme: Scheme,
    digest: Digest,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Pkcs1,
    Pss,
    P256,
    P384,
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let hash = self.digest.of(message);
        let valid = match self.scheme {
            Scheme::Pkcs1 => pkcs1(self.digest, public_key, &hash, signature),
            Scheme::Pss => pss(self.digest, public_key, &hash, signature),
            Scheme::P256 => p256_valid(public_key, &hash, signature),
            Scheme::P384 => p384_valid(public_key, &hash, signature),
        };
        valid.ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// The ways to sign that a `SignerInfo` with these two fields may mean: the key decides which.
///
/// For RSA, RFC 3370 section 3.2 lets the signature algorithm be plain `rsaEncryption`; the hash
/// function is then that of the digest algorithm. In every other case the two must agree.
pub(crate) fn of_signer(
    signature: &AlgorithmIdentifierOwned,
    digest: Digest,
) -> der::Result<Vec<&'static Algorithm>> {
    let der = signature.to_der()?;
    let named = der::AnyRef::from_der(&der)?.value();
    let plain_rsa = signature.oid == RSA_ENCRYPTION
        && signature.parameters.as_ref().is_none_or(der::Any::is_null);
    Ok(ALL
        .iter()
        .filter(|algorithm| algorithm.digest == digest)
        .filter(|algorithm| {
            algorithm.signature.as_ref() == named
                || (plain_rsa && algorithm.scheme == Scheme::Pkcs1)
        })
        .collect())
}

/// Every way to sign, as `rustls-webpki` wants them.
pub(crate) fn all() -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    ALL.iter().map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm).collect()
}

fn pkcs1(digest: Digest, key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let scheme = match digest {
        Digest::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        Digest::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        Digest::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
        Digest::Sha1 => return None,
    };
    rsa_key(key)?.verify(scheme, hash, signature).ok()
}

fn pss(digest: Digest, key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let key = rsa_key(key)?;
    match digest {
        Digest::Sha256 => key.verify(Pss::<Sha256>::new(), hash, signature).ok(),
        Digest::Sha384 => key.verify(Pss::<Sha384>::new(), hash, signature).ok(),
        Digest::Sha512 => key.verify(Pss::<Sha512>::new(), hash, signature).ok(),
        Digest::Sha1 => None,
    }
}

fn rsa_key(der: &[u8]) -> Option<RsaPublicKey> {
    let key = RsaPublicKey::from_pkcs1_der(der).ok()?;
    (RSA_BITS_MIN <= key.n().bits()).then_some(key)
}

fn p256_valid(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(hash, &signature).ok()
}

fn p384_valid(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(hash, &signature).ok()
}

const fn rsa(scheme: Scheme, digest: Digest, signature: AlgorithmIdentifier) -> Algorithm {
    Algorithm { scheme, digest, key: alg_id::RSA_ENCRYPTION, signature }
}

const fn p256(digest: Digest, signature: AlgorithmIdentifier) -> Algorithm {
    Algorithm { scheme: Scheme::P256, digest, key: alg_id::ECDSA_P256, signature }
}

const fn p384(digest: Digest, signature: AlgorithmIdentifier) -> Algorithm {
    Algorithm { scheme: Scheme::P384, digest, key: alg_id::ECDSA_P384, signature }
}

static ALL: [Algorithm; 12] = [
    rsa(Scheme::Pkcs1, Digest::Sha256, alg_id::RSA_PKCS1_SHA256),
    rsa(Scheme::Pkcs1, Digest::Sha384, alg_id::RSA_PKCS1_SHA384),
    rsa(Scheme::Pkcs1, Digest::Sha512, alg_id::RSA_PKCS1_SHA512),
    rsa(Scheme::Pss, Digest::Sha256, alg_id::RSA_PSS_SHA256),
    rsa(Scheme::Pss, Digest::Sha384, alg_id::RSA_PSS_SHA384),
    rsa(Scheme::Pss, Digest::Sha512, alg_id::RSA_PSS_SHA512),
    p256(Digest::Sha256, alg_id::ECDSA_SHA256),
    p256(Digest::Sha384, alg_id::ECDSA_SHA384),
    p256(Digest::Sha512, alg_id::ECDSA_SHA512),
    p384(Digest::Sha256, alg_id::ECDSA_SHA256),
    p384(Digest::Sha384, alg_id::ECDSA_SHA384),
    p384(Digest::Sha512, alg_id::ECDSA_SHA512),
];

/// `rsaEncryption`, RFC 3370 section 3.2.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// Bits of an RSA modulus: shorter ones can be factored. The `rsa` crate takes at most 8192.
const RSA_BITS_MIN: u32 = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use x509_cert::spki::SubjectPublicKeyInfoOwned;

    /// Signatures by OpenSSL, one of every kind: name, public key, signature.
    const SIGNATURES: &str = include_str!("../tests/fixtures/signatures.txt");
    const MESSAGE: &[u8] = include_bytes!("../tests/fixtures/checkpoint.txt");

    struct Sample {
        name: &'static str,
        key: SubjectPublicKeyInfoOwned,
        signature: Vec<u8>,
    }

    impl Sample {
        fn verify(&self, algorithm: &Algorithm, message: &[u8]) -> bool {
            let bits = self.key.subject_public_key.raw_bytes();
            algorithm.verify_signature(bits, message, &self.signature).is_ok()
        }
    }

    fn samples() -> Vec<Sample> {
        let sample = |line: &'static str| {
            let [name, key, signature] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let key = STANDARD.decode(key).unwrap();
            let key = SubjectPublicKeyInfoOwned::from_der(&key).unwrap();
            Sample { name, key, signature: STANDARD.decode(signature).unwrap() }
        };
        SIGNATURES.lines().map(sample).collect()
    }

    fn name(algorithm: &Algorithm) -> String {
        format!("{:?}-{:?}", algorithm.scheme, algorithm.digest).to_lowercase()
    }

    #[test]
    fn a_signature_is_of_one_kind_and_over_one_message() {
        let samples = samples();
        assert_eq!(samples.len(), ALL.len());
        for sample in &samples {
            let fits: Vec<_> = ALL.iter().filter(|one| sample.verify(one, MESSAGE)).collect();
            let [algorithm] = fits[..] else { panic!("{}: {fits:?}", sample.name) };
            assert_eq!(name(algorithm), sample.name);
            assert!(!sample.verify(algorithm, &MESSAGE[1..]));
            let key = sample.key.algorithm.to_der().unwrap();
            let key = der::AnyRef::from_der(&key).unwrap();
            assert_eq!(key.value(), algorithm.public_key_alg_id().as_ref());
        }
    }

    proptest! {
        #[test]
        fn no_altered_key_or_signature_is_believed_or_panics(
            sample in 0..12_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in 0..40_usize,
        ) {
            let Sample { key, mut signature, .. } = samples().swap_remove(sample);
            let original = [key.subject_public_key.raw_bytes(), &signature].concat();
            let mut key = key.subject_public_key.raw_bytes().to_vec();
            for (at, value) in changes {
                let at = at.index(key.len() + signature.len());
                match key.get_mut(at) {
                    Some(byte) => *byte = value,
                    None => signature[at - key.len()] = value,
                }
            }
            signature.truncate(signature.len().saturating_sub(cut.saturating_sub(20)));
            prop_assume!([key.as_slice(), &signature].concat() != original);
            for algorithm in &ALL {
                prop_assert!(algorithm.verify_signature(&key, MESSAGE, &signature).is_err());
            }
        }
    }
}
