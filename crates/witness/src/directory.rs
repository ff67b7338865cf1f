//! What an operator does with the directory of a witness: make it, add a log, start a log over.
//!
//! ```text
//! keys/*.key      private keys, mode 0600        vkeys       the verifier keys
//! logs            the keys of the logs           state/      the latest checkpoint of each log
//! evidence/       contradictions that logs signed
//! ```
//!
//! Knows nothing of the network.

use crate::evidence::EVIDENCE;
use crate::keys::{self, KEYS, KeysError};
use crate::logs::{self, LOGS, LOGS_HEAD, LogsError};
use crate::state::{self, LogState, STATE, StateError};
use crate::storage::{Files, PutError, put};
use note::Verifier;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why the directory of a witness cannot be made, opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The file system says no.
    #[error("`{}` cannot be used as the directory of a witness: {error}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        error: io::Error,
    },
    /// Something is there where a new one was to be made.
    #[error("`{}` is not empty: name a new directory", .0.display())]
    NotEmpty(PathBuf),
    /// Somebody else has the directory.
    #[error("`{}` is in use by another witness or command: a witness is one process", .0.display())]
    InUse(PathBuf),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The list of logs cannot be used.
    #[error(transparent)]
    Logs(#[from] LogsError),
    /// The state of a log cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The log is not in the list.
    #[error("the log `{0}` is not in the list `{LOGS}`")]
    NotListed(String),
}

/// What became of a key that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// The log is new and begins with nothing.
    Begun,
    /// The log is listed again, and what was cosigned of it earlier still holds.
    Resumed,
    /// The log was listed and has one more key.
    FurtherKey,
    /// The key was in the list.
    Unchanged,
}

/// Makes the directory of a new witness, with both its keys, and returns these: Ed25519 and ML-DSA-44
/// under one name.
///
/// # Errors
/// [`DirectoryError`] when something is there already or cannot be made; what was made stays.
pub fn init(root: &Path, name: &str) -> Result<Vec<Verifier>, DirectoryError> {
    let io = |error| DirectoryError::Io { path: root.to_owned(), error };
    fs::create_dir_all(root).map_err(io)?;
    if fs::read_dir(root).map_err(io)?.next().is_some() {
        return Err(DirectoryError::NotEmpty(root.to_owned()));
    }
    let files = Files::new(root);
    files.make_dir(KEYS, 0o700).map_err(io)?;
    files.make_dir(STATE, 0o750).map_err(io)?;
    files.make_dir(EVIDENCE, 0o750).map_err(io)?;
    let made = keys::make(root, name)?;
    // The list comes last: without it the directory is not taken for a witness's.
    put(&files, LOGS, LOGS_HEAD.as_bytes()).map_err(PutError::into_io).map_err(io)?;
    Ok(made.iter().map(|key| key.verifier().clone()).collect())
}

/// Adds a key of a log, and begins the log if it is new. A witness that runs serves it at once.
///
/// # Errors
/// [`StateError::Missing`] when the log is in the list but what was cosigned of it is not known:
/// adding is not forgetting. Else [`DirectoryError`] when the files cannot be used.
pub fn add_log(root: &Path, key: &Verifier) -> Result<Added, DirectoryError> {
    let files = Files::new(root);
    let _editing = lock(&files, root, STATE)?;
    let own = verifiers(root)?;
    let listed = logs::load(&files)?;
    let known = listed.get(key.name());
    let begun = match known {
        Some(_) => {
            state::load(&files, key.name(), &own)?;
            false
        }
        None => match state::begin(&files, key.name()) {
            Ok(()) => true,
            Err(StateError::Exists { .. }) => {
                state::load(&files, key.name(), &own)?;
                false
            }
            Err(error) => return Err(error.into()),
        },
    };
    let added = logs::add(&files, key)?;
    Ok(match (added, begun, known) {
        (_, true, _) => Added::Begun,
        (true, false, None) => Added::Resumed,
        (true, false, Some(_)) => Added::FurtherKey,
        (false, false, _) => Added::Unchanged,
    })
}

/// Starts a log over: what was cosigned of it is put aside and counts no more, so that the next
/// checkpoint is taken whatever it says. The only way in which a witness forgets; it must not be
/// running. Returns the file the old state was put into, if there was one.
///
/// # Errors
/// [`DirectoryError`] when the log is not listed, the witness runs or the files cannot be used.
pub fn forget_log(root: &Path, origin: &str) -> Result<Option<PathBuf>, DirectoryError> {
    let files = Files::new(root);
    let _serving = lock(&files, root, "")?;
    let _editing = lock(&files, root, STATE)?;
    if !logs::load(&files)?.contains_key(origin) {
        return Err(DirectoryError::NotListed(origin.to_owned()));
    }
    Ok(state::forget(&files, origin)?.map(|aside| root.join(aside)))
}

/// The logs of a witness, and how far each was cosigned; also while it runs.
///
/// # Errors
/// [`DirectoryError`] when keys or list cannot be used. A log whose state cannot be used says so for
/// itself.
pub fn status(root: &Path) -> Result<(Vec<Verifier>, Vec<LogState>), DirectoryError> {
    let files = Files::new(root);
    let own = verifiers(root)?;
    let logs = logs::load(&files)?;
    let states = state::of_logs(&files, &logs, &own);
    Ok((own, states))
}

/// Takes the lock of a directory below `root`; the root's own is that of the running witness.
pub(crate) fn lock(files: &Files, root: &Path, dir: &str) -> Result<File, DirectoryError> {
    let taken = files.lock(dir);
    let taken = taken.map_err(|error| DirectoryError::Io { path: root.join(dir), error })?;
    taken.ok_or_else(|| DirectoryError::InUse(root.to_owned()))
}

fn verifiers(root: &Path) -> Result<Vec<Verifier>, KeysError> {
    Ok(keys::load(root)?.iter().map(|key| key.verifier().clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::{Added, DirectoryError, add_log, forget_log, init};
    use crate::logs::LOGS;
    use crate::state::{StateError, path};
    use note::{Signer, Verifier};
    use std::fs;

    fn key(name: &str) -> Verifier {
        Signer::generate(name).unwrap().0.verifier().clone()
    }

    #[test]
    fn a_directory_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("w");
        assert_eq!(init(&root, "witness.example").unwrap().len(), 2);
        assert!(matches!(init(&root, "witness.example"), Err(DirectoryError::NotEmpty(_))));
        assert!(matches!(
            init(&directory.path().join("v"), "no name"),
            Err(DirectoryError::Keys(_))
        ));
    }

    #[test]
    fn a_log_begins_once() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("w");
        init(&root, "witness.example").unwrap();
        let (one, two) = (key("log.example"), key("log.example"));
        assert_eq!(add_log(&root, &one).unwrap(), Added::Begun);
        assert_eq!(add_log(&root, &one).unwrap(), Added::Unchanged);
        assert_eq!(add_log(&root, &two).unwrap(), Added::FurtherKey);
        // Taken out of the list and listed again, it is the same log.
        fs::write(root.join(LOGS), "").unwrap();
        assert_eq!(add_log(&root, &one).unwrap(), Added::Resumed);
        // A key whose state is gone is not begun by adding it again, nor by a further key.
        fs::remove_file(root.join(path("log.example"))).unwrap();
        for key in [&one, &two] {
            let refused = add_log(&root, key).unwrap_err();
            assert!(
                matches!(refused, DirectoryError::State(StateError::Missing { .. })),
                "{refused}"
            );
        }
        assert_eq!(forget_log(&root, "log.example").unwrap(), None);
        assert_eq!(add_log(&root, &one).unwrap(), Added::Unchanged);
        let unknown = forget_log(&root, "other.example");
        assert!(matches!(unknown, Err(DirectoryError::NotListed(_))));
    }

    #[test]
    fn what_is_no_witness_is_not_made_one() {
        let directory = tempfile::tempdir().unwrap();
        assert!(add_log(directory.path(), &key("log.example")).is_err());
        assert!(forget_log(directory.path(), "log.example").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
