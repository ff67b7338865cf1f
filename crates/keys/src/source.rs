//! What a configuration names: a file or a key in a token.

use crate::error::Error;
use crate::file;
use crate::token::Token;
use crate::uri::Uri;
use note::{Sign, Verifier};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a private key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In a PKCS#11 token.
    Token(Box<Uri>),
}

impl Source {
    /// Reads what a configuration says: a `pkcs11:` URI, or a path. A relative
    /// path is relative to `directory`.
    ///
    /// # Errors
    /// [`Error::Uri`].
    pub fn parse(text: &str, directory: &Path) -> Result<Self, Error> {
        if text.starts_with("pkcs11:") {
            Ok(Self::Token(Box::new(Uri::parse(text)?)))
        } else {
            Ok(Self::File(directory.join(text)))
        }
    }
}

/// The key at a place. `origin` names a key in a token, which has no name of
/// its own; a key in a file names itself.
///
/// # Errors
/// [`Error`] when it cannot be had.
pub fn load(source: &Source, origin: Option<&str>) -> Result<Arc<dyn Sign>, Error> {
    match source {
        Source::File(path) => Ok(Arc::new(file::read(path)?)),
        Source::Token(uri) => {
            let origin = origin.ok_or(Error::Nameless)?;
            Ok(Arc::new(Token::open(uri, origin)?))
        }
    }
}

/// Makes an Ed25519 key pair in a token, which the secret never leaves.
/// Returns its public half.
///
/// # Errors
/// [`Error::Token`], also when the token has a key of this label.
pub fn generate_in_token(uri: &Uri, origin: &str) -> Result<Verifier, Error> {
    Token::generate(uri, origin)
}
