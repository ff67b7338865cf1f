//! Private keys in memory, in the text form `PRIVATE+KEY+…` of Go's note
//! package.
//!
//! The secret is never displayed, never in an error, and its copies are wiped
//! when they are dropped.

use crate::key::{Algorithm, KeyError, Sign, Verifier, check_name};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use zeroize::Zeroizing;

/// Signs with one named key that is held in memory.
pub struct Signer {
    pair: Pair,
    verifier: Verifier,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    MlDsa44(PqdsaKeyPair),
}

impl Signer {
    /// Makes the Ed25519 key of a log from system randomness. Returns it with
    /// its private key line, which the caller stores where only the log's
    /// owner reads it.
    ///
    /// # Errors
    /// [`KeyError::Name`], or [`KeyError::Random`] when the system has none.
    pub fn generate(name: &str) -> Result<(Self, Zeroizing<String>), KeyError> {
        Self::generate_for(name, Algorithm::Ed25519)
    }

    /// Makes a key of any algorithm, as [`Signer::generate`].
    ///
    /// # Errors
    /// As [`Signer::generate`].
    pub fn generate_for(
        name: &str,
        algorithm: Algorithm,
    ) -> Result<(Self, Zeroizing<String>), KeyError> {
        check_name(name)?;
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| KeyError::Random)?;
        let signer = Self::from_seed(name, algorithm, &seed)?;
        let secret = encode_seed(algorithm, &seed);
        let id = signer.verifier.id_hex();
        Ok((signer, Zeroizing::new(format!("PRIVATE+KEY+{name}+{id}+{}", secret.as_str()))))
    }

    /// Reads a private key line
    /// `PRIVATE+KEY+<name>+<hash8hex>+<base64(type||seed)>`, with or without
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
        let bytes = Zeroizing::new(STANDARD.decode(key).map_err(|_| KeyError::PrivateText)?);
        let (byte, seed) = bytes.split_first().ok_or(KeyError::PrivateText)?;
        let algorithm = Algorithm::from_byte(*byte);
        let algorithm = algorithm.ok_or_else(|| KeyError::Algorithm(name.to_owned()))?;
        let mut fixed = Zeroizing::new([0; 32]);
        if seed.len() != fixed.len() {
            return Err(KeyError::PrivateText);
        }
        fixed.copy_from_slice(seed);
        let signer = Self::from_seed(name, algorithm, &fixed)?;
        if signer.verifier.id_hex() == hash {
            Ok(signer)
        } else {
            Err(KeyError::HashMismatch(name.to_owned()))
        }
    }

    /// A key from its 32-byte seed, which the caller wipes.
    ///
    /// # Errors
    /// [`KeyError::Name`]; [`KeyError::Algorithm`] when it makes no key.
    pub fn from_seed(name: &str, algorithm: Algorithm, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let rejected = |_| KeyError::Algorithm(name.to_owned());
        let (pair, public) = match algorithm {
            Algorithm::Ed25519 | Algorithm::Ed25519Cosignature => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(rejected)?;
                let public = pair.public_key().as_ref().to_vec();
                (Pair::Ed25519(pair), public)
            }
            Algorithm::MlDsa44Cosignature => {
                let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed).map_err(rejected)?;
                let public = pair.public_key().as_ref().to_vec();
                (Pair::MlDsa44(pair), public)
            }
        };
        Ok(Self { pair, verifier: Verifier::new(name, algorithm, &public)? })
    }
}

impl Signer {
    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

impl Sign for Signer {
    fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::MlDsa44(pair) => {
                let mut signature = vec![0; self.verifier.algorithm().signature_bytes()];
                let signed = pair.sign(message, &mut signature);
                let unusable = |_| KeyError::Unusable {
                    name: self.verifier.name().to_owned(),
                    what: "the library refused to sign".to_owned(),
                };
                signed.map_err(unusable)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.verifier.to_text()).finish()
    }
}

fn encode_seed(algorithm: Algorithm, seed: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([algorithm.byte(); 33]);
    let (_, rest) = bytes.split_at_mut(1);
    rest.copy_from_slice(seed);
    Zeroizing::new(STANDARD.encode(bytes.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::Signer;
    use crate::key::{KeyError, Sign as _, Verifier};

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
        let signature = again.sign(b"message").unwrap();
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
