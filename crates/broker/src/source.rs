//! Where secrets are kept: files that only their owner reads, and what the environment held at the start.

use crate::refused::{Reason, Refused};
use crate::secret::Secret;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where a secret is.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// In a file, which is read whenever the secret is needed.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(Arc<Secret>),
}

impl Source {
    /// The secret as it is now: one line of visible ASCII characters.
    pub(crate) fn read(&self) -> Result<Arc<Secret>, Refused> {
        let (secret, place) = match self {
            Self::Variable(secret) => (Arc::clone(secret), "the variable".to_owned()),
            Self::File(path) => {
                let text = read_private(path)?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                let line = line.strip_suffix('\r').unwrap_or(line);
                (Arc::new(Secret::new(line.to_owned())), format!("the file `{}`", path.display()))
            }
        };
        let text = secret.expose();
        if text.is_empty() || !text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
            let problem = format!("{place} must hold the secret alone: one line of visible ASCII");
            return Err(Refused::new(Reason::File, problem));
        }
        Ok(secret)
    }
}

/// The text of a file that nobody but its owner may use.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, Refused> {
    let shown = path.display();
    let refused = |problem: String| Refused::new(Reason::File, problem);
    let failed = |error: std::io::Error| refused(format!("cannot read `{shown}`: {error}"));
    let file = File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Of the open file itself, so that it cannot be changed for another in between.
        let metadata = file.metadata().map_err(failed)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(refused(format!("`{shown}` can be used by others: run `chmod 600` on it")));
        }
        if !metadata.is_file() {
            return Err(refused(format!("`{shown}` is no file")));
        }
    }
    let mut text = Zeroizing::new(String::with_capacity(4_096));
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if FILE_BYTES_MAX < u64::try_from(text.len()).unwrap_or(u64::MAX) {
        return Err(refused(format!("`{shown}` is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// No secret and no key is longer.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::Source;
    use crate::refused::{Reason, Refused};
    use crate::secret::Secret;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::sync::Arc;

    fn put(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn read(path: &Path) -> Result<String, Refused> {
        Source::File(path.to_owned()).read().map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_file_holds_one_line_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        for text in ["canary", "canary\n", "canary\r\n"] {
            put(&path, text, 0o600);
            assert_eq!(read(&path).unwrap(), "canary");
        }
        put(&path, "canary\n", 0o400);
        read(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(&path).unwrap_err();
            assert_eq!(refused.reason, Reason::File);
            assert!(refused.problem.ends_with("run `chmod 600` on it"), "{refused}");
        }
        let long = "x".repeat(70_000);
        for text in ["", "\n", "canary\ncanary\n", "canary\t", "canarié", &long] {
            fs::remove_file(&path).unwrap();
            put(&path, text, 0o600);
            let refused = read(&path).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused}");
        }
        read(&directory.path().join("none")).unwrap_err();
        read(directory.path()).unwrap_err();
    }

    #[test]
    fn a_variable_is_looked_at_in_the_same_way() {
        let of = |text: &str| Source::Variable(Arc::new(Secret::new(text.to_owned()))).read();
        assert_eq!(of("canary").unwrap().expose(), "canary");
        for text in ["", "two\nlines"] {
            assert_eq!(of(text).unwrap_err().reason, Reason::File);
        }
    }
}
