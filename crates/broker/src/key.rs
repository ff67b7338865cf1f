//! Private keys that the gateway signs JSON Web Tokens with: from PEM or a private JWK to a signature. It
//! knows no claims.

use crate::refused::{Reason, Refused};
use crate::secret::Secret;
use crate::source::read_private;
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use zeroize::{Zeroize as _, Zeroizing};

/// A key, and the one algorithm that it is used with.
pub(crate) struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a key that nobody but its owner may read.
    pub(crate) fn read(path: &Path) -> Result<Self, Refused> {
        let text = read_private(path)?;
        let found = if text.trim_start().starts_with('{') { of_jwk(&text) } else { of_pem(&text) };
        found.map_err(|problem| {
            Refused::new(Reason::File, format!("`{}` {problem}", path.display()))
        })
    }

    /// Signs claims.
    pub(crate) fn sign(
        &self,
        kid: Option<&str>,
        claims: &impl Serialize,
    ) -> Result<Secret, Refused> {
        let failed = |_| Refused::new(Reason::File, "the key cannot sign");
        let kid = match kid {
            Some(kid) => kid.to_owned(),
            None => self.thumbprint()?,
        };
        let header = Header { kid: Some(kid), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).map(Secret::new).map_err(failed)
    }

    /// The name of the public key (RFC 7638).
    pub(crate) fn thumbprint(&self) -> Result<String, Refused> {
        let failed = |_| Refused::new(Reason::File, "the key has no public key");
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).map_err(failed)?;
        jwk.thumbprint(ThumbprintHash::SHA256).map_err(failed)
    }
}

type Found = Result<SigningKey, &'static str>;

fn of_pem(text: &str) -> Found {
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs1(der)) => rsa(der.secret_pkcs1_der()),
        Ok(PrivateKeyDer::Pkcs8(der)) => of_pkcs8(der.secret_pkcs8_der()),
        Ok(_) => {
            Err("is in another form than PKCS#8: convert it with `openssl pkcs8 -topk8 -nocrypt`")
        }
        Err(_) => Err(NO_KEY),
    }
}

fn of_pkcs8(der: &[u8]) -> Found {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| NO_KEY)?;
    match info.algorithm.oid {
        RSA => rsa(info.private_key.as_bytes()),
        EC => ec(der),
        ED25519 => ed25519(der),
        _ => Err(OTHER),
    }
}

fn rsa(der: &[u8]) -> Found {
    let pair = RsaKeyPair::from_der(der).map_err(|_| "holds an RSA key that cannot be used")?;
    if pair.public_modulus_len() < RSA_BYTES_MIN {
        return Err("holds an RSA key of fewer than 2048 bits");
    }
    Ok(SigningKey { key: EncodingKey::from_rsa_der(der), algorithm: Algorithm::RS256 })
}

fn ec(der: &[u8]) -> Found {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
        .map_err(|_| "holds an EC key of another curve than P-256")?;
    Ok(SigningKey { key: EncodingKey::from_ec_der(der), algorithm: Algorithm::ES256 })
}

fn ed25519(der: &[u8]) -> Found {
    // In the one form whose public key is found again.
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NO_KEY)?;
    let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| NO_KEY)?;
    of_seed(seed.as_ref())
}

fn of_seed(seed: &[u8]) -> Found {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NO_KEY)?;
    let der = pair.to_pkcs8v1().map_err(|_| NO_KEY)?;
    Ok(SigningKey { key: EncodingKey::from_ed_der(der.as_ref()), algorithm: Algorithm::EdDSA })
}

/// A private JWK of the types whose parts make a key by themselves (RFC 7518, section 6.2; RFC 8037).
#[derive(Deserialize)]
struct PrivateJwk {
    kty: String,
    crv: Option<String>,
    d: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn of_jwk(text: &str) -> Found {
    // What the parser would say may show a part of the key.
    let mut jwk: PrivateJwk = serde_json::from_str(text).map_err(|_| NO_KEY)?;
    let part = |part: &Option<String>| {
        let bytes = URL_SAFE_NO_PAD.decode(part.as_deref().unwrap_or_default());
        bytes.map(Zeroizing::new).map_err(|_| NO_KEY)
    };
    let found = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => of_seed(&part(&jwk.d)?),
        ("EC", Some("P-256")) => {
            let point = [[4].as_slice(), &part(&jwk.x)?, &part(&jwk.y)?].concat();
            let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let d = part(&jwk.d)?;
            let pair = EcdsaKeyPair::from_private_key_and_public_key(curve, &d, &point);
            let der = pair.map_err(|_| NO_KEY)?.to_pkcs8v1().map_err(|_| NO_KEY)?;
            ec(der.as_ref())
        }
        ("RSA", _) => Err("holds an RSA key as JWK, which is read in PEM only"),
        _ => Err(OTHER),
    };
    jwk.d.zeroize();
    found
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// 2048 bits, the least that signatures of RSA take (NIST SP 800-57).
const RSA_BYTES_MIN: usize = 256;

const NO_KEY: &str = "holds no private key: it must hold one in PEM, or a private JWK";
const OTHER: &str = "holds a key of another type than RSA, EC P-256 and Ed25519";

#[cfg(test)]
mod tests;
