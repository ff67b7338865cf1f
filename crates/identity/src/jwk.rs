//! A provider's key set (RFC 7517): which of its keys may verify a signature, and which one a token
//! means. It knows no claims and no network.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Algorithm;
use crate::digest::sha256;
use crate::rejection::printable;
use crate::source::KeyError;
use crate::strict_json::{self, Object};

/// The usable signature keys of a provider.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Arc<Key>>);

impl KeySet {
    /// Reads a key set. Keys that may not or cannot verify a signature are left out: encryption keys,
    /// symmetric and private ones, unknown types, weak or malformed ones.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let malformed = |problem: &str| KeyError::Malformed { problem: problem.to_owned() };
        let set = strict_json::parse_object(bytes, VALUES_MAX)
            .map_err(|error| malformed(&error.to_string()))?;
        let Some(Value::Array(members)) = set.get("keys") else {
            return Err(malformed("it has no array `keys`"));
        };
        if members.len() > KEYS_MAX {
            return Err(malformed("it has too many keys"));
        }
        let objects = members.iter().filter_map(Value::as_object);
        let keys: Vec<_> = objects.filter_map(Key::parse).map(Arc::new).collect();
        if keys.is_empty() {
            return Err(KeyError::NoUsableKey { dropped: members.len() });
        }
        let mut seen = BTreeSet::new();
        for kid in keys.iter().filter_map(|key| key.kid.as_deref()) {
            if !seen.insert(kid) {
                return Err(KeyError::DuplicateKid { kid: printable(kid) });
            }
        }
        Ok(Self(keys))
    }

    /// The key that a token means: the one with its key id, if the algorithm fits; without a key id,
    /// the only one that the algorithm fits.
    pub(crate) fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<Arc<Key>> {
        let mut fitting = self.0.iter().filter(|key| key.fits(algorithm));
        let found = match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        found.cloned()
    }
}

/// One public signature key.
#[derive(Debug)]
pub(crate) struct Key {
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    shape: Shape,
    decoding: DecodingKey,
    thumbprint: String,
}

impl Key {
    /// The key in the form that verifies.
    pub(crate) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// RFC 7638 thumbprint: SHA-256, base64url.
    pub(crate) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether signatures of this algorithm may be verified with it.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.shape == Shape::of(algorithm)
    }

    /// `None` when the key may not or cannot verify a signature.
    pub(crate) fn parse(jwk: &Object) -> Option<Self> {
        if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) || !may_verify(jwk) {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if !kid.is_empty() && kid.len() <= KID_BYTES_MAX => {
                Some(kid.clone())
            }
            Some(_) => return None,
        };
        // An `alg` that we do not know is an algorithm that no accepted token can have.
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::parse(name.as_str()?)?),
        };
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        let material = match (text("kty")?, text("crv")) {
            ("RSA", None) => Material::rsa(text("n")?, text("e")?),
            ("EC", Some("P-256")) => Material::ec(Shape::P256, text("x")?, text("y")?),
            ("EC", Some("P-384")) => Material::ec(Shape::P384, text("x")?, text("y")?),
            ("OKP", Some("Ed25519")) => Material::ed25519(text("x")?),
            _ => None,
        }?;
        if algorithm.is_some_and(|own| Shape::of(own) != material.shape) {
            return None;
        }
        Some(Self {
            kid,
            algorithm,
            shape: material.shape,
            decoding: material.decoding,
            thumbprint: URL_SAFE_NO_PAD.encode(sha256(material.canonical.as_bytes())),
        })
    }
}

/// What a key's type and curve make it good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Shape {
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Self::Rsa,
            Algorithm::Es256 => Self::P256,
            Algorithm::Es384 => Self::P384,
            Algorithm::EdDsa => Self::Ed25519,
        }
    }
}

/// The numbers of a key, checked, and the text that its thumbprint is taken of (RFC 7638 section 3.2).
struct Material {
    shape: Shape,
    decoding: DecodingKey,
    canonical: String,
}

impl Material {
    fn rsa(n: &str, e: &str) -> Option<Self> {
        let (modulus, exponent) = (decode(n)?, decode(e)?);
        let bits = modulus.len() * 8 - usize::try_from(modulus.first()?.leading_zeros()).ok()?;
        // RFC 7518 section 6.3.1: no leading zero octets. An exponent of 1 would accept anything, and
        // one beyond 64 bits only costs time.
        let minimal = modulus.first() != Some(&0) && exponent.first() != Some(&0);
        let odd = modulus.last()? & 1 == 1 && exponent.last()? & 1 == 1;
        let sound = exponent.len() <= 8 && exponent != [1];
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || !minimal || !odd || !sound {
            return None;
        }
        Some(Self {
            shape: Shape::Rsa,
            decoding: DecodingKey::from_rsa_raw_components(&modulus, &exponent),
            canonical: format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        })
    }

    fn ec(shape: Shape, x: &str, y: &str) -> Option<Self> {
        let (curve, bytes, algorithm): (_, _, &'static dyn VerificationAlgorithm) = match shape {
            Shape::P256 => ("P-256", 32, &ECDSA_P256_SHA256_FIXED),
            Shape::P384 => ("P-384", 48, &ECDSA_P384_SHA384_FIXED),
            Shape::Rsa | Shape::Ed25519 => return None,
        };
        let (left, right) = (decode(x)?, decode(y)?);
        if left.len() != bytes || right.len() != bytes {
            return None;
        }
        // Refuses a point that is not on the curve.
        ParsedPublicKey::new(algorithm, [&[4], left.as_slice(), &right].concat()).ok()?;
        Some(Self {
            shape,
            decoding: DecodingKey::from_ec_components(x, y).ok()?,
            canonical: format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#),
        })
    }

    fn ed25519(x: &str) -> Option<Self> {
        let point = decode(x)?;
        if point.len() != 32 {
            return None;
        }
        ParsedPublicKey::new(&ED25519, &point).ok()?;
        Some(Self {
            shape: Shape::Ed25519,
            decoding: DecodingKey::from_ed_components(x).ok()?,
            canonical: format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        })
    }
}

/// RFC 7517 sections 4.2 and 4.3: what the key is for, when it says so.
fn may_verify(jwk: &Object) -> bool {
    let signature_use = jwk.get("use").is_none_or(|own| own.as_str() == Some("sig"));
    let verify_operation = jwk.get("key_ops").is_none_or(|operations| {
        let operations = operations.as_array().map(Vec::as_slice).unwrap_or_default();
        operations.iter().any(|operation| operation.as_str() == Some("verify"))
    });
    signature_use && verify_operation
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A key with one of these is symmetric, or private and published: whoever can read it can sign.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];

/// Most keys of a set.
const KEYS_MAX: usize = 100;

/// Most JSON values of a set: a hundred keys of twenty members, certificates included.
const VALUES_MAX: usize = 4_000;

/// Longest key id in bytes.
pub(crate) const KID_BYTES_MAX: usize = 256;

/// Bits of an RSA modulus: NIST SP 800-131A forbids less, and more only costs time.
const RSA_BITS_MIN: usize = 2_048;
const RSA_BITS_MAX: usize = 8_192;

#[cfg(test)]
mod tests;
