//! Where a provider's key set comes from: the seam, and the source that is a file. It does not look
//! inside the key set.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// Most bytes of a key set: about 300 RSA keys.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

/// A key set on its way.
pub type Loading<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, KeyError>> + Send + 'a>>;

/// Where the JSON Web Key Set (RFC 7517 section 5) of one provider comes from.
///
/// Contract: `load` gives the key set as it is now, as JSON text of at most [`JWKS_BYTES_MAX`] bytes; an
/// implementation stops reading beyond that. It returns after a bounded time. It keeps no copy: the
/// caller caches, limits how often it asks, and never asks twice at once. What it returns is trusted to
/// be the provider's, so the implementation authenticates its origin (a path, TLS).
pub trait KeySource: fmt::Debug + Send + Sync {
    /// Loads the key set.
    fn load(&self) -> Loading<'_>;
}

/// Why a key set could not be loaded. Texts hold no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key id occurs twice, so a token would not say which key it means.
    #[error("key set has two signature keys with the id `{kid}`")]
    DuplicateKid {
        /// The id, cut to a printable text.
        kid: String,
    },
    /// The file cannot be read.
    #[error("key set file `{path}` cannot be read: {problem}")]
    File {
        /// The path as configured.
        path: String,
        /// What the operating system says.
        problem: String,
    },
    /// The address is one that key sets may not be loaded from.
    #[error("key set address is refused: {problem}")]
    ForbiddenAddress {
        /// What is wrong and how to allow it.
        problem: String,
    },
    /// The task that loads it was stopped.
    #[error("loading the key set was interrupted")]
    Interrupted,
    /// Not a key set.
    #[error("key set is malformed: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// A key set without a key that could verify a signature.
    #[error("key set has no usable signature key ({dropped} keys are not usable)")]
    NoUsableKey {
        /// Keys in the set that were left out.
        dropped: usize,
    },
    /// The server answered something else than the key set; redirects are not followed.
    #[error("key set server answered with status {status}")]
    Status {
        /// The HTTP status code.
        status: u16,
    },
    /// Loaded before, but too long ago.
    #[error("key set is older than `stale_max_s`")]
    Stale,
    /// More than [`JWKS_BYTES_MAX`] bytes.
    #[error("key set is larger than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    /// The server cannot be reached, or does not answer in time.
    #[error("key set server cannot be reached: {problem}")]
    Unreachable {
        /// What failed.
        problem: String,
    },
}

/// A key set in a file.
#[derive(Debug)]
pub(crate) struct FileSource {
    path: PathBuf,
}

impl FileSource {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl KeySource for FileSource {
    fn load(&self) -> Loading<'_> {
        let path = self.path.clone();
        // The file system may block for long (network mounts); other calls must go on meanwhile.
        let read = tokio::task::spawn_blocking(move || read(&path));
        Box::pin(async move { read.await.unwrap_or(Err(KeyError::Interrupted)) })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |error: &std::io::Error| KeyError::File {
        path: path.display().to_string(),
        problem: error.to_string(),
    };
    let bytes_max = u64::try_from(JWKS_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(&error))?;
    if bytes.len() > JWKS_BYTES_MAX {
        return Err(KeyError::TooLarge);
    }
    Ok(bytes)
}
