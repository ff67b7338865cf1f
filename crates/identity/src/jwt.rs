//! The form of a signed token (RFC 7515 compact serialization): its parts, its header, its signature.
//! It knows no claims beyond their being an object, and no configuration.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use serde_json::Value;

use crate::config::Algorithm;
use crate::jwk::{KID_BYTES_MAX, Key};
use crate::rejection::{Reason, Rejection};
use crate::strict_json::{self, Object, StrictError};

/// A token of the right form; nothing in it is verified.
pub(crate) struct Token<'a> {
    /// What the header asks for; it asks for nothing that we do not do.
    pub(crate) header: Header,
    /// The claims as written.
    pub(crate) claims: Object,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// The header parameters that we act on.
pub(crate) struct Header {
    /// `alg` as written: a text, perhaps of no algorithm that we know.
    pub(crate) alg: String,
    /// `kid`.
    pub(crate) kid: Option<String>,
    /// `typ`, without `application/`.
    pub(crate) typ: Option<String>,
}

impl<'a> Token<'a> {
    /// Reads a token and refuses a header that nobody should honour.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Rejection> {
        let (token, header) = Self::split(text)?;
        match header.contains_key(OWN_KEY) {
            true => Err(Rejection::at(Reason::ForbiddenHeader, OWN_KEY).expected("absent")),
            false => Ok(token),
        }
    }

    /// Reads a proof, whose header holds the key that it was made with.
    pub(crate) fn parse_proof(text: &'a str) -> Result<(Self, Object), Rejection> {
        let (token, mut header) = Self::split(text)?;
        match header.remove(OWN_KEY) {
            Some(Value::Object(key)) => Ok((token, key)),
            _ => Err(Rejection::at(Reason::MalformedToken, OWN_KEY).expected("an object")),
        }
    }

    fn split(text: &'a str) -> Result<(Self, Object), Rejection> {
        let malformed = |part| Rejection::at(Reason::MalformedToken, part);
        let (signed, signature) = text.rsplit_once('.').ok_or_else(|| malformed("token"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| malformed("token"))?;
        // A part with a further dot in it is refused as base64url.
        let header = object(header, "header")?;
        let claims = object(claims, "claims")?;
        let signature = decode(signature).ok_or_else(|| malformed("signature"))?;
        let read = Header::read(&header)?;
        Ok((Self { header: read, claims, signed: signed.as_bytes(), signature }, header))
    }

    /// Checks the signature with this key, which must fit the algorithm.
    pub(crate) fn verify(&self, algorithm: Algorithm, key: &Key) -> Result<(), Rejection> {
        let invalid = || Rejection::new(Reason::InvalidSignature);
        let algorithm = primitive(algorithm);
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key.decoding())
            .map_err(|_| invalid())?;
        verifier.verify(self.signed, &self.signature).map_err(|_| invalid())
    }
}

impl Header {
    fn read(header: &Object) -> Result<Self, Rejection> {
        if header.contains_key("crit") {
            return Err(Rejection::at(Reason::CriticalHeader, "crit").expected("absent"));
        }
        if let Some(name) = FORBIDDEN.into_iter().find(|name| header.contains_key(*name)) {
            return Err(Rejection::at(Reason::ForbiddenHeader, name).expected("absent"));
        }
        let malformed = |name| Rejection::at(Reason::MalformedToken, name);
        let text = |name: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(malformed(name).expected("a text")),
        };
        let alg = text("alg")?.ok_or_else(|| malformed("alg").expected("a text"))?;
        let kid = text("kid")?;
        if kid.is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
            return Err(malformed("kid").expected(&format!("1 to {KID_BYTES_MAX} bytes")));
        }
        // RFC 7515 section 4.1.9: `application/` is understood when it is left out.
        let typ = text("typ")?.map(|typ| match typ.split_at_checked(MEDIA_TREE.len()) {
            Some((tree, rest)) if tree.eq_ignore_ascii_case(MEDIA_TREE) => rest.to_owned(),
            _ => typ.clone(),
        });
        Ok(Self { alg: alg.clone(), kid: kid.cloned(), typ })
    }
}

fn object(part: &str, name: &'static str) -> Result<Object, Rejection> {
    let malformed = || Rejection::at(Reason::MalformedToken, name);
    let bytes = decode(part).ok_or_else(malformed)?;
    strict_json::parse_object(&bytes, VALUES_MAX).map_err(|error| match error {
        StrictError::Duplicate => Rejection::at(Reason::DuplicateKey, name),
        StrictError::Malformed => malformed(),
    })
}

/// Strict base64url: no padding, no foreign characters, and the unused bits of the last character are
/// zero, so that one content has one text.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn primitive(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    }
}

/// Parameters that offer the token's own key (RFC 7515 sections 4.1.2, 4.1.5, 4.1.6), change the signing
/// input (RFC 7797), or belong to encrypted tokens (RFC 7516).
const FORBIDDEN: [&str; 6] = ["b64", "enc", "jku", "x5c", "x5u", "zip"];

/// The own key itself (RFC 7515 section 4.1.3), which only a proof of possession has.
const OWN_KEY: &str = "jwk";

const MEDIA_TREE: &str = "application/";

/// Most JSON values of the header or the claims: some hundred group names and every platform claim.
const VALUES_MAX: usize = 2_000;
