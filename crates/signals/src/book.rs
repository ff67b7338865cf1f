//! The file in which revocations outlive a restart. One JSON object a line; replaced as a whole.

use event::Time;
use identity::Subject;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where revocations are kept. Only one process may write there.
#[derive(Debug, Clone)]
pub struct Book {
    path: PathBuf,
}

/// Why revocations cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The file system does not let us.
    #[error("cannot {what} `{path}`: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is not of the form; nothing of the file was taken over.
    #[error(
        "`{path}` line {line} is no revocation: put the file back from a copy, or remove it if everything that \
         was revoked has expired"
    )]
    Line {
        /// Where.
        path: String,
        /// Counted from 1.
        line: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    iss: String,
    sub: String,
    up_to: Time,
}

impl Book {
    /// The book in this file, which need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What was kept; nothing where there is no file yet.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn read(&self) -> Result<Vec<(Subject, Time)>, BookError> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(|source| io("read", &self.path, source))?,
        };
        let read = |(index, line): (usize, &str)| {
            let line: Line = serde_json::from_str(line).map_err(|_| BookError::Line {
                path: self.path.display().to_string(),
                line: index + 1,
            })?;
            Ok((Subject { iss: line.iss, sub: line.sub }, line.up_to))
        };
        text.lines().enumerate().map(read).collect()
    }

    /// Keeps these and nothing else; durable on return. Only their owner can read the file.
    ///
    /// # Errors
    /// [`BookError::Io`]; what was kept before stays.
    pub fn write(&self, revoked: &HashMap<Subject, Time>) -> Result<(), BookError> {
        let mut sorted: Vec<_> = revoked.iter().collect();
        sorted.sort();
        let mut text = Vec::new();
        for (Subject { iss, sub }, up_to) in sorted {
            let line = Line { iss: iss.clone(), sub: sub.clone(), up_to: *up_to };
            serde_json::to_writer(&mut text, &line)
                .map_err(|error| io("write", &self.path, error.into()))?;
            text.push(b'\n');
        }
        let new = self.path.with_extension("new");
        let written = owned(&new).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.map_err(|source| io("write", &new, source))?;
        fs::rename(&new, &self.path).map_err(|source| io("replace", &self.path, source))?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| io("sync", directory, source))
    }
}

fn owned(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> BookError {
    BookError::Io { what, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::{Book, BookError};
    use event::Time;
    use identity::Subject;
    use std::collections::HashMap;
    use std::fs;

    fn some(sub: &str, us: i64) -> (Subject, Time) {
        let iss = "https://idp.example".to_owned();
        (Subject { iss, sub: sub.to_owned() }, Time::from_unix_us(us))
    }

    #[test]
    fn what_is_kept_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let book = Book::new(directory.path().join("revoked"));
        assert!(book.read().unwrap().is_empty());
        let revoked = HashMap::from([some("b\n\"", 2_000_001), some("a", 1)]);
        book.write(&revoked).unwrap();
        assert_eq!(book.read().unwrap().into_iter().collect::<HashMap<_, _>>(), revoked);
        book.write(&HashMap::from([some("c", 3)])).unwrap();
        assert_eq!(book.read().unwrap(), [some("c", 3)]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(directory.path().join("revoked")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_book_is_not_taken_for_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("revoked");
        let book = Book::new(path.clone());
        book.write(&HashMap::from([some("a", 1), some("b", 2)])).unwrap();
        let text = fs::read(&path).unwrap();
        fs::write(&path, text.strip_suffix(b"\"}\n").unwrap()).unwrap();
        assert!(matches!(book.read(), Err(BookError::Line { line: 2, .. })));
    }

    #[test]
    fn what_cannot_be_kept_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let book = Book::new(directory.path().join("none").join("revoked"));
        let error = book.write(&HashMap::new()).unwrap_err().to_string();
        assert!(error.starts_with("cannot write `"), "{error}");
    }
}
