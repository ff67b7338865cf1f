//! Named Ed25519 keys in the text forms of C2SP signed-note: what signs and
//! what verifies notes and batches.
//!
//! Knows nothing of what is signed. The secret is never displayed, never in
//! an error, and its copies are wiped when they are dropped.

use crate::merkle::Hash;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use zeroize::Zeroizing;

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
    /// The key is of an algorithm other than Ed25519 (0x01).
    #[error("the key of `{0}` is not an Ed25519 key")]
    Algorithm(String),
    /// The system gave no randomness.
    #[error("the system has no randomness to make a key from")]
    Random,
    /// The signature is not by this key over these bytes.
    #[error("the signature is not by the key `{0}`")]
    Signature(String),
}

/// Verifies signatures of one named key.
#[derive(Clone)]
pub struct Verifier {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
    parsed: ParsedPublicKey,
}

impl Verifier {
    /// Reads a verifier key line `<name>+<hash8hex>+<base64(0x01||pubkey)>`,
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
        let public = decode_key(name, key).ok_or(KeyError::VerifierText)??;
        let verifier = Self::from_public(name, *public)?;
        if hex(verifier.id) == hash {
            Ok(verifier)
        } else {
            Err(KeyError::HashMismatch(name.to_owned()))
        }
    }

    /// The verifier key line, without a newline.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}+{}+{}", self.name, hex(self.id), encode_key(&self.public).as_str())
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
        hex(self.id)
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    /// [`KeyError::Signature`] when it is not by this key.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), KeyError> {
        self.parsed
            .verify_sig(message, signature)
            .map_err(|_| KeyError::Signature(self.name.clone()))
    }

    fn from_public(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        let parsed = ParsedPublicKey::new(&ED25519, public)
            .map_err(|_| KeyError::Algorithm(name.to_owned()))?;
        Ok(Self { name: name.to_owned(), id: key_id(name, &public), public, parsed })
    }
}

impl PartialEq for Verifier {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.public == other.public
    }
}

impl Eq for Verifier {}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.to_text()).finish()
    }
}

/// Signs with one named key.
pub struct Signer {
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

impl Signer {
    /// Makes a key from system randomness. Returns it with its private key
    /// line, which the caller stores where only the log's owner reads it.
    ///
    /// # Errors
    /// [`KeyError::Name`], or [`KeyError::Random`] when the system has none.
    pub fn generate(name: &str) -> Result<(Self, Zeroizing<String>), KeyError> {
        check_name(name)?;
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| KeyError::Random)?;
        let signer = Self::from_seed(name, &seed)?;
        let secret = encode_key(&seed);
        let id = signer.verifier.id_hex();
        Ok((signer, Zeroizing::new(format!("PRIVATE+KEY+{name}+{id}+{}", secret.as_str()))))
    }

    /// Reads a private key line
    /// `PRIVATE+KEY+<name>+<hash8hex>+<base64(0x01||seed)>`, with or without
    /// one newline at its end.
    ///
    /// # Errors
    /// [`KeyError`] when it is anything but exactly such a line.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let rest = line.strip_prefix("PRIVATE+KEY+").ok_or(KeyError::PrivateText)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::PrivateText);
        };
        check_name(name)?;
        let seed = decode_key(name, key).ok_or(KeyError::PrivateText)??;
        let signer = Self::from_seed(name, &seed)?;
        if signer.verifier.id_hex() == hash {
            Ok(signer)
        } else {
            Err(KeyError::HashMismatch(name.to_owned()))
        }
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }

    /// A key from its 32-byte seed, which the caller wipes.
    pub(crate) fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let rejected = |_| KeyError::Algorithm(name.to_owned());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(rejected)?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, verifier: Verifier::from_public(name, public)? })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.verifier.to_text()).finish()
    }
}

/// The rules of signed-note for a key name.
fn check_name(name: &str) -> Result<(), KeyError> {
    let forbidden = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.contains(forbidden) {
        return Err(KeyError::Name(name.escape_debug().to_string()));
    }
    Ok(())
}

/// SHA-256(name || 0x0A || 0x01 || public key), its first four bytes.
fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend_from_slice(&[b'\n', ALGORITHM_ED25519]);
    bytes.extend_from_slice(public);
    let [a, b, c, d, ..] = *Hash::of(&bytes).as_bytes();
    [a, b, c, d]
}

/// `None` for what is no base64 of 33 bytes, an error for another algorithm.
fn decode_key(name: &str, text: &str) -> Option<Result<Zeroizing<[u8; 32]>, KeyError>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    let (algorithm, key) = bytes.split_first()?;
    if *algorithm != ALGORITHM_ED25519 {
        return Some(Err(KeyError::Algorithm(name.to_owned())));
    }
    let mut fixed = Zeroizing::new([0; 32]);
    if key.len() != fixed.len() {
        return None;
    }
    fixed.copy_from_slice(key);
    Some(Ok(fixed))
}

fn encode_key(key: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([ALGORITHM_ED25519; 33]);
    let (_, rest) = bytes.split_at_mut(1);
    rest.copy_from_slice(key);
    Zeroizing::new(STANDARD.encode(bytes.as_slice()))
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

/// The algorithm byte of Ed25519 in signed-note.
const ALGORITHM_ED25519: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::{KeyError, Signer, Verifier};

    /// The key pair of the documentation of Go's `sumdb/note`.
    const GO_PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const GO_VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn reads_the_keys_of_the_go_documentation() {
        let signer = Signer::from_text(GO_PRIVATE).unwrap();
        assert_eq!(signer.verifier().to_text(), GO_VERIFIER);
        assert_eq!(Verifier::from_text(&format!("{GO_VERIFIER}\n")).unwrap(), *signer.verifier());
    }

    #[test]
    fn generated_keys_differ_round_trip_and_sign() {
        let (one, text) = Signer::generate("example.com/log").unwrap();
        let (two, _) = Signer::generate("example.com/log").unwrap();
        assert_ne!(one.verifier(), two.verifier());
        let again = Signer::from_text(&text).unwrap();
        let signature = again.sign(b"message");
        one.verifier().verify(b"message", &signature).unwrap();
        assert!(one.verifier().verify(b"Message", &signature).is_err());
        assert!(two.verifier().verify(b"message", &signature).is_err());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let (signer, text) = Signer::generate("example.com/log").unwrap();
        let secret = text.rsplit('+').next().unwrap();
        assert!(!format!("{signer:?}").contains(secret));
        let damaged = text.replacen("PRIVATE", "PRIVATF", 1);
        let error = Signer::from_text(&damaged).unwrap_err();
        assert!(!format!("{error:?} {error}").contains(secret));
    }

    #[test]
    fn refuses_names_and_lines_out_of_form() {
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "a\u{7}"] {
            assert!(matches!(Signer::generate(name), Err(KeyError::Name(_))), "{name:?}");
        }
        assert!(Verifier::from_text("a").is_err());
        assert!(Verifier::from_text(&format!("{GO_VERIFIER}\n\n")).is_err());
        let wrong_hash = GO_VERIFIER.replacen("c74f20a3", "c74f20a4", 1);
        let error = Verifier::from_text(&wrong_hash).unwrap_err();
        assert_eq!(error, KeyError::HashMismatch("PeterNeumann".to_owned()));
        let upper = GO_VERIFIER.replacen("c74f20a3", "C74F20A3", 1);
        assert!(Verifier::from_text(&upper).is_err());
        let other = Verifier::from_text("a+00000000+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
        assert_eq!(other, Err(KeyError::Algorithm("a".to_owned())));
    }
}
