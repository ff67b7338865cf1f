//! Why a private key cannot be had. Nothing here shows what a key or a PIN
//! says.

use note::KeyError;
use std::io;
use std::path::PathBuf;

/// Why a key could not be loaded, made or stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot use the private key `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may use the file.
    #[error(
        "private key `{}` can be used by others (mode {mode:04o}): run `chmod 600` on it, \
         and make a new key if others were there",
        path.display()
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no private key.
    #[error("`{}` is not a private key of a log", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// The URI does not name a key in a token.
    #[error("`{uri}` does not name a key in a token: {what}")]
    Uri {
        /// The URI without what it says of a PIN.
        uri: String,
        /// What is wrong.
        what: String,
    },
    /// A key in a token has no name of its own.
    #[error("a key in a token needs the name of the log: give the origin")]
    Nameless,
    /// The token did not do what was asked.
    #[error("token: cannot {action}: {what}")]
    Token {
        /// What was asked.
        action: &'static str,
        /// What the token or its module said.
        what: String,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}
