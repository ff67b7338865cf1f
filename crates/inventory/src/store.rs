//! A directory that holds the state of an inventory, and approvals that wait to be taken up. It refuses
//! to leave half a file: everything is written beside, made durable and put in place.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use event::Time;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::inventory::{Approval, Inventory, Settings};
use crate::kind::{kind_from_word, kind_word};
use crate::state::Unreadable;

/// The directory of an inventory: `state.json`, written by the gateway only, and `approvals/`, where
/// others put what they approve.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// Approvals that were given together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    /// Who approves, as `<provider>/<id>`.
    pub by: String,
    /// When.
    pub at: Time,
    /// What.
    pub approvals: Vec<Approval>,
}

/// Approvals that wait in a file.
#[derive(Debug)]
pub struct Waiting {
    /// The file.
    pub path: PathBuf,
    /// What it holds, or why it cannot be read.
    pub approvals: Result<Approvals, StoreError>,
}

/// A file of an inventory cannot be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system says no.
    #[error("cannot {what} `{path}`: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not what it must be.
    #[error("`{path}` cannot be used: {why}")]
    Content {
        /// Which file.
        path: String,
        /// Why not.
        why: String,
    },
}

impl Store {
    /// The inventory in this directory, which need not be there yet.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Makes the directories, readable by their owner only.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn create(&self) -> Result<(), StoreError> {
        let approvals = self.approvals();
        fs::create_dir_all(&approvals).map_err(|error| io("make", &approvals, error))?;
        for directory in [&self.directory, &approvals] {
            restrict(directory).map_err(|error| io("restrict", directory, error))?;
        }
        Ok(())
    }

    /// The state; an empty one where there is none yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(&self, settings: Settings) -> Result<Inventory, StoreError> {
        let path = self.state();
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Inventory::new(settings));
            }
            read => read.map_err(|error| io("read", &path, error))?,
        };
        Inventory::from_json(&bytes, settings).map_err(|error: Unreadable| StoreError::Content {
            path: path.display().to_string(),
            why: error.to_string(),
        })
    }

    /// Writes the state; durable on return.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the state that was there before stays.
    pub fn save(&self, state: &[u8]) -> Result<(), StoreError> {
        put(&self.state(), state)
    }

    /// Takes over the state of another inventory, if that has one; what was here is gone then.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the state that was there before stays.
    pub fn take_over(&self, other: &Self) -> Result<(), StoreError> {
        let path = other.state();
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            read => {
                let state = read.map_err(|error| io("read", &path, error))?;
                self.create()?;
                self.save(&state)
            }
        }
    }

    /// Puts approvals where the gateway finds them, under a name that none had before: `id` is to be
    /// unique.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn approve(&self, id: &str, approvals: &Approvals) -> Result<(), StoreError> {
        self.create()?;
        let filed = FiledApprovals {
            version: VERSION,
            by: approvals.by.clone(),
            at: approvals.at,
            approvals: approvals.approvals.iter().map(FiledApproval::from).collect(),
        };
        let bytes = serde_json::to_vec_pretty(&filed).unwrap_or_default();
        put(&self.approvals().join(format!("{id}.json")), &bytes)
    }

    /// The approvals that wait, in the order of their names.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the directory cannot be read.
    pub fn waiting(&self) -> Result<Vec<Waiting>, StoreError> {
        let directory = self.approvals();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| io("read", &directory, error))?,
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .take(WAITING_MAX)
            .collect();
        paths.sort();
        Ok(paths
            .into_iter()
            .map(|path| Waiting { approvals: read_approvals(&path), path })
            .collect())
    }

    /// Takes away a file of approvals that were taken up.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn take_away(&self, path: &Path) -> Result<(), StoreError> {
        fs::remove_file(path).map_err(|error| io("remove", path, error))
    }

    /// Puts a file of approvals that cannot be used out of the way, for somebody to look at.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn set_aside(&self, path: &Path) -> Result<(), StoreError> {
        let aside = path.with_extension("rejected");
        fs::rename(path, &aside).map_err(|error| io("rename", path, error))
    }

    fn state(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    fn approvals(&self) -> PathBuf {
        self.directory.join("approvals")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FiledApprovals {
    version: u32,
    by: String,
    at: Time,
    approvals: Vec<FiledApproval>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FiledApproval {
    server: String,
    kind: String,
    name: String,
    digest: String,
    settled: Vec<String>,
    beside: bool,
}

impl From<&Approval> for FiledApproval {
    fn from(approval: &Approval) -> Self {
        Self {
            server: approval.server.clone(),
            kind: kind_word(approval.kind).to_owned(),
            name: approval.name.clone(),
            digest: approval.digest.clone(),
            settled: approval.settled.clone(),
            beside: approval.beside,
        }
    }
}

fn read_approvals(path: &Path) -> Result<Approvals, StoreError> {
    let content = |why: String| StoreError::Content { path: path.display().to_string(), why };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| io("read", path, error))?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| io("read", path, error))?;
    if FILE_BYTES_MAX < u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
        return Err(content(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let filed: FiledApprovals =
        serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
    if filed.version != VERSION {
        return Err(content(format!("it has version {}; {VERSION} is read", filed.version)));
    }
    let approvals = filed.approvals.into_iter().map(|approval| {
        Ok(Approval {
            kind: kind_from_word(&approval.kind)
                .ok_or_else(|| content(format!("there is no kind `{}`", approval.kind)))?,
            server: approval.server,
            name: approval.name,
            digest: approval.digest,
            settled: approval.settled,
            beside: approval.beside,
        })
    });
    let approvals = approvals.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Approvals { by: filed.by, at: filed.at, approvals })
}

/// Writes beside, makes durable, puts in place, and makes that durable.
fn put(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = create_private(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let directory = path.parent().unwrap_or_else(|| Path::new("."));
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| io("write", path, error))
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<File> {
    File::create(path)
}

#[cfg(unix)]
fn restrict(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn restrict(_directory: &Path) -> std::io::Result<()> {
    Ok(())
}

fn io(what: &'static str, path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Io { what, path: path.display().to_string(), error }
}

const VERSION: u32 = 1;
/// Files of approvals that are looked at together; more wait for the next time.
const WAITING_MAX: usize = 100;
/// Bytes of one file of approvals.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
