//! The keys of a witness in its directory: an Ed25519 one and a post-quantum one.
//!
//! Knows nothing of what they sign. Secrets are readable by their owner only, and never in an error.

use crate::storage::Storage as _;
use crate::storage::{Files, put};
use note::{Algorithm, KeyError, Sign, Signer};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Why the keys of a witness cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("the key file `{}` cannot be read or written: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        error: io::Error,
    },
    /// Others than the owner may read a key.
    #[error(
        "the key file `{}` has the mode {mode:o}: others may read it. Make it readable by its owner \
         only (`chmod 600`), and think of making a new key", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file holds no key.
    #[error("the key file `{}` cannot be used: {error}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any secret.
        error: KeyError,
    },
    /// A key for something else than cosigning, or under another name.
    #[error("the key file `{}` holds no key that cosigns as `{name}`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The name of the witness.
        name: String,
    },
    /// There is no key at all.
    #[error("there is no key in `{}`: `countersign witness init` makes them", .0.display())]
    None(PathBuf),
    /// The name cannot be one of a witness.
    #[error("the name of a witness has at most {NAME_BYTES_MAX} bytes")]
    NameTooLong,
}

/// Makes both keys of a witness and writes them. The directory must be there and hold none.
pub(crate) fn make(root: &Path, name: &str) -> Result<Vec<Arc<dyn Sign>>, KeysError> {
    if NAME_BYTES_MAX < name.len() {
        return Err(KeysError::NameTooLong);
    }
    let mut keys: Vec<Arc<dyn Sign>> = Vec::new();
    for (file, algorithm) in FILES {
        let path = root.join(KEYS).join(file);
        let (signer, text) = Signer::generate_for(name, algorithm)
            .map_err(|error| KeysError::Key { path: path.clone(), error })?;
        let line = Zeroizing::new(format!("{}\n", text.as_str()));
        write_secret(&path, line.as_bytes())
            .map_err(|error| KeysError::Io { path: path.clone(), error })?;
        keys.push(Arc::new(signer));
    }
    let files = Files::new(root);
    let io = |error| KeysError::Io { path: root.join(KEYS), error };
    files.sync_dir(KEYS).map_err(io)?;
    let lines = keys.iter().map(|key| format!("{}\n", key.verifier().to_text()));
    let lines: String = lines.collect();
    put(&files, PUBLIC, lines.as_bytes())
        .map_err(|error| KeysError::Io { path: root.join(PUBLIC), error: error.into_io() })?;
    Ok(keys)
}

/// Reads the keys that are there: both, or one of them.
pub(crate) fn load(root: &Path) -> Result<Vec<Arc<dyn Sign>>, KeysError> {
    let mut keys: Vec<Arc<dyn Sign>> = Vec::new();
    for (file, algorithm) in FILES {
        let path = root.join(KEYS).join(file);
        let text = match read_secret(&path) {
            Ok(text) => text,
            Err(KeysError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let signer = Signer::from_text(&text)
            .map_err(|error| KeysError::Key { path: path.clone(), error })?;
        let name = keys.first().map_or(signer.verifier().name(), |key| key.verifier().name());
        if signer.verifier().algorithm() != algorithm || signer.verifier().name() != name {
            return Err(KeysError::Foreign { path, name: name.to_owned() });
        }
        keys.push(Arc::new(signer));
    }
    if keys.is_empty() { Err(KeysError::None(root.join(KEYS))) } else { Ok(keys) }
}

fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    let io = |error| KeysError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Open { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// The directory of the keys.
pub(crate) const KEYS: &str = "keys";
/// The verifier key lines, for people.
const PUBLIC: &str = "vkeys";
const FILES: [(&str, Algorithm); 2] = [
    ("ed25519.key", Algorithm::Ed25519Cosignature),
    ("ml-dsa-44.key", Algorithm::MlDsa44Cosignature),
];
/// The longest private key line that is read, in bytes.
const KEY_BYTES_MAX: u64 = 4096;
/// The longest name, in bytes; a post-quantum cosignature has one byte for its length.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::{KEYS, KeysError, load, make};
    use note::{Algorithm, Signer};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(KEYS)).unwrap();
        directory
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn made_keys_are_read_again_and_secret() {
        let directory = directory();
        let made = make(directory.path(), "witness.example").unwrap();
        let read = load(directory.path()).unwrap();
        let lines = |keys: &[std::sync::Arc<dyn note::Sign>]| -> Vec<String> {
            keys.iter().map(|key| key.verifier().to_text()).collect()
        };
        assert_eq!((made.len(), lines(&made)), (2, lines(&read)));
        let public = fs::read_to_string(directory.path().join("vkeys")).unwrap();
        assert_eq!(public, format!("{}\n", lines(&made).join("\n")));
        for file in ["ed25519.key", "ml-dsa-44.key"] {
            let path = directory.path().join(KEYS).join(file);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            mode(&path, 0o640);
            assert!(matches!(load(directory.path()), Err(KeysError::Open { mode: 0o640, .. })));
            mode(&path, 0o600);
        }
        assert!(make(directory.path(), "witness.example").is_err(), "keys are overwritten");
    }

    #[test]
    fn one_key_is_enough_and_none_is_not() {
        let directory = directory();
        assert!(matches!(load(directory.path()), Err(KeysError::None(_))));
        make(directory.path(), "witness.example").unwrap();
        fs::remove_file(directory.path().join(KEYS).join("ml-dsa-44.key")).unwrap();
        let keys = load(directory.path()).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].verifier().algorithm(), Algorithm::Ed25519Cosignature);
    }

    #[test]
    fn what_is_no_key_of_this_witness_is_refused() {
        let directory = directory();
        make(directory.path(), "witness.example").unwrap();
        let path = directory.path().join(KEYS).join("ml-dsa-44.key");
        let (_, log) = Signer::generate("witness.example").unwrap();
        let (_, other) =
            Signer::generate_for("other.example", Algorithm::MlDsa44Cosignature).unwrap();
        for text in [log.as_str(), other.as_str()] {
            fs::write(&path, text).unwrap();
            assert!(matches!(load(directory.path()), Err(KeysError::Foreign { .. })));
        }
        fs::write(&path, "PRIVATE+KEY+a+b+c").unwrap();
        assert!(matches!(load(directory.path()), Err(KeysError::Key { .. })));
        assert!(matches!(make(directory.path(), &"x".repeat(256)), Err(KeysError::NameTooLong)));
    }
}
