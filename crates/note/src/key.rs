//! Named public keys in the text form of C2SP signed-note verifier keys.
//!
//! Knows nothing of what is signed, and no secret.

use crate::hash::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsa44};
use std::fmt;

/// Why a key could not be read, made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name breaks the rules of signed-note.
    #[error(
        "`{0}` cannot name a key: a name is not empty and has no white space, control character or `+`"
    )]
    Name(String),
    /// The text is no private key. What it says is kept out of the message.
    #[error("this is not a private key line: expected `PRIVATE+KEY+<name>+<hash>+<key>`")]
    PrivateText,
    /// The text is no verifier key.
    #[error("this is not a verifier key line: expected `<name>+<hash>+<key>`")]
    VerifierText,
    /// The hash in the text is not the hash of its name and key.
    #[error("the key hash of `{0}` does not fit its name and key: the line is damaged")]
    HashMismatch(String),
    /// The key is of an algorithm that cannot be used here.
    #[error("the key of `{0}` is not of a kind that can be used here")]
    Algorithm(String),
    /// The system gave no randomness.
    #[error("the system has no randomness to make a key from")]
    Random,
    /// The signature is not by this key over these bytes.
    #[error("the signature is not by the key `{0}`")]
    Signature(String),
    /// The key could not sign. What a device says of it, without any secret.
    #[error("the key `{name}` cannot sign: {what}")]
    Unusable {
        /// The name of the key.
        name: String,
        /// Why.
        what: String,
    },
}

/// The signature type of a key: what it signs, and how. The bytes are those
/// of C2SP signed-note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// 0x01: Ed25519 over the text of a note; the keys of logs.
    Ed25519,
    /// 0x04: Ed25519 cosignatures with a time; the keys of witnesses.
    Ed25519Cosignature,
    /// 0x06: ML-DSA-44 cosignatures with a time; the keys of witnesses.
    MlDsa44Cosignature,
}

impl Algorithm {
    /// The signature type byte.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Ed25519Cosignature => 0x04,
            Self::MlDsa44Cosignature => 0x06,
        }
    }

    /// The algorithm of a signature type byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        let all = [Self::Ed25519, Self::Ed25519Cosignature, Self::MlDsa44Cosignature];
        all.into_iter().find(|algorithm| algorithm.byte() == byte)
    }

    /// The length of a public key, in bytes.
    #[must_use]
    pub fn public_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => 32,
            Self::MlDsa44Cosignature => 1312,
        }
    }

    /// The length of a bare signature, in bytes.
    #[must_use]
    pub fn signature_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => 64,
            Self::MlDsa44Cosignature => 2420,
        }
    }
}

/// Verifies signatures of one named key.
#[derive(Clone)]
pub struct Verifier {
    name: String,
    id: [u8; 4],
    algorithm: Algorithm,
    public: Vec<u8>,
    parsed: Parsed,
}

#[derive(Clone)]
enum Parsed {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    MlDsa44(Box<ml_dsa::VerifyingKey<MlDsa44>>),
}

impl Verifier {
    /// A key from its public bytes.
    ///
    /// # Errors
    /// [`KeyError::Name`]; [`KeyError::Algorithm`] when the bytes are no
    /// public key of this algorithm.
    pub fn new(name: &str, algorithm: Algorithm, public: &[u8]) -> Result<Self, KeyError> {
        check_name(name)?;
        let parsed = Parsed::new(algorithm, public);
        let parsed = parsed.ok_or_else(|| KeyError::Algorithm(name.to_owned()))?;
        let id = key_id(name, algorithm, public);
        Ok(Self { name: name.to_owned(), id, algorithm, public: public.to_vec(), parsed })
    }

    /// Reads a verifier key line `<name>+<hash8hex>+<base64(type||pubkey)>`,
    /// with or without one newline at its end.
    ///
    /// # Errors
    /// [`KeyError`] when it is anything but exactly such a line.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let mut parts = line.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::VerifierText);
        };
        check_name(name)?;
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::VerifierText)?;
        let (byte, public) = bytes.split_first().ok_or(KeyError::VerifierText)?;
        let algorithm = Algorithm::from_byte(*byte);
        let algorithm = algorithm.ok_or_else(|| KeyError::Algorithm(name.to_owned()))?;
        if public.len() != algorithm.public_bytes() {
            return Err(KeyError::VerifierText);
        }
        let verifier = Self::new(name, algorithm, public)?;
        if verifier.id_hex() == hash {
            Ok(verifier)
        } else {
            Err(KeyError::HashMismatch(name.to_owned()))
        }
    }

    /// The verifier key line, without a newline.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut key = vec![self.algorithm.byte()];
        key.extend_from_slice(&self.public);
        format!("{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(key))
    }

    /// The name of the key; for a log's key also the origin of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four bytes that tell keys of one name apart in a note.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// [`Verifier::id`] as eight hexadecimal digits.
    #[must_use]
    pub fn id_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }

    /// What it signs, and how.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key: 32 bytes for Ed25519 (RFC 8032), 1312 for ML-DSA-44
    /// (FIPS 204).
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// Checks a bare signature over `message`. Ed25519 is checked strictly: no
    /// second form of a signature, no key of small order.
    ///
    /// # Errors
    /// [`KeyError::Signature`] when it is not by this key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let verified = match &self.parsed {
            Parsed::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Parsed::MlDsa44(key) => EncodedSignature::<MlDsa44>::try_from(signature)
                .ok()
                .and_then(|encoded| ml_dsa::Signature::<MlDsa44>::decode(&encoded))
                .is_some_and(|signature| key.verify_with_context(message, &[], &signature)),
        };
        if verified { Ok(()) } else { Err(KeyError::Signature(self.name.clone())) }
    }
}

impl Parsed {
    fn new(algorithm: Algorithm, public: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Ed25519 | Algorithm::Ed25519Cosignature => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
                Some(Self::Ed25519(Box::new(key)))
            }
            Algorithm::MlDsa44Cosignature => {
                let encoded = EncodedVerifyingKey::<MlDsa44>::try_from(public).ok()?;
                Some(Self::MlDsa44(Box::new(ml_dsa::VerifyingKey::decode(&encoded))))
            }
        }
    }
}

impl PartialEq for Verifier {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.algorithm, &self.public) == (&other.name, other.algorithm, &other.public)
    }
}

impl Eq for Verifier {}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.to_text()).finish()
    }
}

/// A key that signs, wherever its secret is. The signature is the bare one of
/// the key's algorithm over exactly these bytes.
pub trait Sign: fmt::Debug + Send + Sync {
    /// The public half.
    fn verifier(&self) -> &Verifier;

    /// Signs `message`.
    ///
    /// # Errors
    /// [`KeyError::Unusable`] when the key does not answer; a key in memory
    /// always does.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// The rules of signed-note for a key name.
pub(crate) fn check_name(name: &str) -> Result<(), KeyError> {
    let forbidden = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.contains(forbidden) {
        return Err(KeyError::Name(name.escape_debug().to_string()));
    }
    Ok(())
}

/// SHA-256(name || 0x0A || type || public key), its first four bytes.
fn key_id(name: &str, algorithm: Algorithm, public: &[u8]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend_from_slice(&[b'\n', algorithm.byte()]);
    bytes.extend_from_slice(public);
    let [a, b, c, d, ..] = *Hash::of(&bytes).as_bytes();
    [a, b, c, d]
}
