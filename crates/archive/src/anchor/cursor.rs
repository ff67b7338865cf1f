//! How far copying has come, in a small file that is replaced as a whole.
//!
//! Losing it costs time and no evidence: everything is stored again under the same names, which is success.

use super::manifest::{ManifestRef, ObjectRef};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// How far copying has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Blocks of 256 entries that are copied with their full tiles.
    pub blocks: u64,
    /// The last manifest of a whole round.
    pub manifest: Option<ManifestRef>,
    /// The copies of the blocks that are in no part yet.
    pub open: Vec<ObjectRef>,
    /// The last manifest of a part.
    pub part: Option<ManifestRef>,
    /// Blocks that are in parts.
    pub sealed: u64,
    /// The size of the last checkpoint that was copied with everything it covers.
    pub size: u64,
}

/// Why the cursor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The file cannot be read or written.
    #[error("cannot keep how far copying has come in `{path}`: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is none of ours.
    #[error(
        "`{path}` does not say how far copying has come: {reason}; when you remove it, everything is copied again"
    )]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Cursor {
    /// Reads the file; without one, nothing was copied.
    ///
    /// # Errors
    /// See [`CursorError`].
    pub fn load(path: &Path) -> Result<Self, CursorError> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|source| failed(path, source))?,
        };
        serde_json::from_slice(&text).map_err(|error| CursorError::Malformed {
            path: path.display().to_string(),
            reason: error.to_string(),
        })
    }

    /// Replaces the file; durable on return.
    ///
    /// # Errors
    /// See [`CursorError`].
    pub fn save(&self, path: &Path) -> Result<(), CursorError> {
        let text = serde_json::to_vec(self).map_err(|error| failed(path, error.into()))?;
        replace(path, &text).map_err(|source| failed(path, source))
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn failed(path: &Path, source: io::Error) -> CursorError {
    CursorError::Io { path: path.display().to_string(), source }
}
