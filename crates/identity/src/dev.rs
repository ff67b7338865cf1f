//! A token issuer, and the key of a client, for development, demos and tests. Private keys live in memory and
//! die with the process; nothing here belongs into production.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::Time;
use serde_json::{Map, Value, json};
use std::fmt;

use crate::digest::sha256;
use crate::jwk::Key;
use crate::source::{KeyError, KeySource, Loading};

/// Issues tokens signed with an ES256 key of its own.
pub struct TokenIssuer {
    issuer: String,
    kid: String,
    key: EcdsaKeyPair,
}

/// The issuer could not make a key or a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library could not make a key or a signature")]
pub struct SigningError;

impl TokenIssuer {
    /// An issuer with this `iss`, this key id and a new key.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn generate(issuer: &str, kid: &str) -> Result<Self, SigningError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = key.map_err(|_| SigningError)?;
        Ok(Self { issuer: issuer.to_owned(), kid: kid.to_owned(), key })
    }

    /// The public key as a JSON Web Key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        // SEC 1 section 2.3.3: one byte of form, then the two coordinates.
        let point = self.key.public_key().as_ref();
        let coordinate = |range| point.get::<std::ops::Range<usize>>(range).unwrap_or_default();
        json!({
            "alg": "ES256",
            "crv": "P-256",
            "kid": self.kid,
            "kty": "EC",
            "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(coordinate(1..33)),
            "y": URL_SAFE_NO_PAD.encode(coordinate(33..65)),
        })
    }

    /// The public key as a JSON Web Key Set: what to serve at `jwks_url` or write to `jwks_file`.
    #[must_use]
    pub fn jwks(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }

    /// A token for a subject and an audience, valid from `now` for `lifetime_s` seconds.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(
        &self,
        subject: &str,
        audience: &str,
        now: Time,
        lifetime_s: u32,
    ) -> Result<String, SigningError> {
        let claims = json!({"sub": subject, "aud": audience});
        let Value::Object(claims) = claims else { return Err(SigningError) };
        self.token_with(claims, now, lifetime_s)
    }

    /// A token with these claims; `iss`, `iat` and `exp` are filled in where they are absent.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token_with(
        &self,
        mut claims: Map<String, Value>,
        now: Time,
        lifetime_s: u32,
    ) -> Result<String, SigningError> {
        let now_s = now.unix_s();
        let defaults = [
            ("iss", json!(self.issuer)),
            ("iat", json!(now_s)),
            ("exp", json!(now_s + i64::from(lifetime_s))),
        ];
        for (name, value) in defaults {
            claims.entry(name).or_insert(value);
        }
        let header = json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"});
        self.sign(&header.to_string(), &Value::Object(claims).to_string())
    }

    /// A signed token of any header and any claims, sensible or not.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, header: &str, claims: &str) -> Result<String, SigningError> {
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| SigningError)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// A key source with this issuer's present key, for a verifier in the same process.
    #[must_use]
    pub fn key_source(&self) -> Box<dyn KeySource> {
        Box::new(FixedKeys(self.jwks()))
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// A key that a client proves to have.
#[derive(Debug)]
pub struct ProofKey(TokenIssuer);

impl ProofKey {
    /// A new key.
    ///
    /// # Errors
    /// When none can be made.
    pub fn generate() -> Result<Self, SigningError> {
        TokenIssuer::generate("", "").map(Self)
    }

    /// The public key as a JSON Web Key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = self.0.jwk();
        if let Some(members) = jwk.as_object_mut() {
            members.retain(|name, _| ["crv", "kty", "x", "y"].contains(&name.as_str()));
        }
        jwk
    }

    /// Its thumbprint (RFC 7638): `jkt` of tokens that are bound to it.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let key = jwk.as_object().and_then(Key::parse);
        key.map(|key| key.thumbprint().to_owned()).unwrap_or_default()
    }

    /// A `DPoP` proof for a request of this method to this URI with this token (RFC 9449 section 4.2).
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn proof(
        &self,
        (method, uri): (&str, &str),
        token: &str,
        (jti, now): (&str, Time),
    ) -> Result<String, SigningError> {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        let ath = URL_SAFE_NO_PAD.encode(sha256(token.as_bytes()));
        let claims =
            json!({"jti": jti, "htm": method, "htu": uri, "iat": now.unix_s(), "ath": ath});
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A signed proof of any header and any claims, sensible or not.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, header: &str, claims: &str) -> Result<String, SigningError> {
        self.0.sign(header, claims)
    }
}

/// A key set that never changes.
#[derive(Debug)]
struct FixedKeys(String);

impl KeySource for FixedKeys {
    fn load(&self) -> Loading<'_> {
        let loaded: Result<_, KeyError> = Ok(self.0.clone().into_bytes());
        Box::pin(std::future::ready(loaded))
    }
}
