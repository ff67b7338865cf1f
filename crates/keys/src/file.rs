//! Private keys in files, one line each, for their owner only.

use crate::error::Error;
use note::Signer;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes that are wiped when they are no longer used.
pub type Secret = Zeroizing<Vec<u8>>;

/// Reads the private key in a file that nobody but its owner may use.
///
/// # Errors
/// [`Error::File`], [`Error::Permissions`], [`Error::Content`].
pub fn read(path: &Path) -> Result<Signer, Error> {
    let mut text = Zeroizing::new(String::new());
    let file = open_private(path)?;
    let failed = |source| Error::File { path: path.to_owned(), source };
    file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let signer = Signer::from_text(text.trim_end_matches('\n'));
    signer.map_err(|source| Error::Content { path: path.to_owned(), source })
}

/// Reads a file with a secret of another kind, such as a TLS key: at most `bytes_max` bytes, and only
/// when nobody but its owner may use it.
///
/// # Errors
/// [`Error::File`], also when it is longer; [`Error::Permissions`].
pub fn read_private(path: &Path, bytes_max: u64) -> Result<Secret, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut bytes = Zeroizing::new(Vec::new());
    let read = open_private(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    let read = u64::try_from(read.map_err(failed)?).unwrap_or(u64::MAX);
    if bytes_max < read {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large")));
    }
    Ok(bytes)
}

/// Writes a private key line to a new file that only its owner may use.
///
/// # Errors
/// [`Error::File`], also when there is such a file.
pub fn write(path: &Path, line: &str) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(line.as_bytes()).map_err(failed)?;
    file.write_all(b"\n").map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn open_private(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    check_permissions(path, &file)?;
    Ok(file)
}

/// The permissions of the open file itself, so that it cannot be changed for
/// another in between.
#[cfg(unix)]
fn check_permissions(path: &Path, file: &File) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::Permissions { path: path.to_owned(), mode })
}

#[cfg(not(unix))]
fn check_permissions(_path: &Path, _file: &File) -> Result<(), Error> {
    Ok(())
}

/// No private key line is longer.
const KEY_BYTES_MAX: u64 = 8 << 10;

#[cfg(test)]
mod tests {
    use super::{read, read_private, write};
    use crate::error::Error;
    use note::Signer;
    use std::fs;

    #[test]
    fn keys_round_trip_and_are_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.key");
        let (signer, line) = Signer::generate("example.com/log").unwrap();
        write(&path, &line).unwrap();
        assert_eq!(read(&path).unwrap().verifier(), signer.verifier());
        assert!(matches!(write(&path, &line), Err(Error::File { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_use_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.key");
        let (_, line) = Signer::generate("example.com/log").unwrap();
        write(&path, &line).unwrap();
        for mode in [0o640, 0o604, 0o610, 0o644, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, Error::Permissions { .. }), "{mode:o}: {error}");
            assert!(error.to_string().contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        read(&path).unwrap();
    }

    #[test]
    fn other_secrets_have_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tls.key");
        write(&path, "secret").unwrap();
        assert_eq!(*read_private(&path, 7).unwrap(), b"secret\n");
        assert!(matches!(read_private(&path, 6), Err(Error::File { .. })));
    }

    #[test]
    fn what_is_no_key_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.key");
        write(&path, "PRIVATE+KEY+a+00000000+c2VjcmV0").unwrap();
        let error = read(&path).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c2Vj"));
    }
}
