//! The logs a witness serves: the file `logs`, one verifier key a line, read anew whenever it changed.
//!
//! Knows nothing of what a witness has seen of them.

use crate::storage::{PutError, Storage, put};
use note::{Algorithm, Hash, KeyError, Note, Verifier, cosigned};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The logs by their origins, each with its keys.
pub(crate) type Logs = BTreeMap<String, Vec<Verifier>>;

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The file cannot be read or written.
    #[error("the list of logs `{LOGS}` cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The file is not there.
    #[error("there is no list of logs `{LOGS}`: is this the directory of a witness?")]
    Missing,
    /// The file is not text.
    #[error("the list of logs `{LOGS}` is not UTF-8")]
    NotText,
    /// A line is no verifier key.
    #[error("line {line} of `{LOGS}`: {error}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The name of a log is too long to be cosigned.
    #[error("line {line} of `{LOGS}`: the name of a log has at most {ORIGIN_BYTES_MAX} bytes")]
    NameTooLong {
        /// The line, from 1.
        line: usize,
    },
    /// More logs than a witness serves.
    #[error("`{LOGS}` lists more than {LOGS_MAX} keys")]
    TooMany,
}

/// The list as it was when it could last be read.
#[derive(Debug)]
pub(crate) struct Book {
    storage: Arc<dyn Storage>,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    /// The bytes that were looked at last, good or bad; `None` when they could not be read.
    bytes: Option<Vec<u8>>,
    logs: Arc<Logs>,
}

impl Book {
    /// Reads the list.
    pub(crate) fn open(storage: Arc<dyn Storage>) -> Result<Self, LogsError> {
        let bytes = read(storage.as_ref())?;
        let logs = Arc::new(parse(&bytes)?);
        Ok(Self { storage, last: Mutex::new(Last { bytes: Some(bytes), logs }) })
    }

    /// The list as it is now. One that cannot be used is complained of once, and the one before
    /// stays in force.
    pub(crate) fn current(&self) -> Arc<Logs> {
        let read = read(self.storage.as_ref());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.bytes.as_deref() == read.as_deref().ok() {
            return Arc::clone(&last.logs);
        }
        let (bytes, parsed) = match read {
            Ok(bytes) => {
                let parsed = parse(&bytes);
                (Some(bytes), parsed)
            }
            Err(error) => (None, Err(error)),
        };
        last.bytes = bytes;
        match parsed {
            Ok(logs) => {
                tracing::info!(logs = logs.len(), "the list of logs was read again");
                last.logs = Arc::new(logs);
            }
            Err(error) => tracing::error!(%error, "the list of logs is not used as it stands now"),
        }
        Arc::clone(&last.logs)
    }
}

/// Reads the list as it stands.
pub(crate) fn load(storage: &dyn Storage) -> Result<Logs, LogsError> {
    parse(&read(storage)?)
}

/// Adds a key at the end, unless it is there. What people wrote into the file stays.
pub(crate) fn add(storage: &dyn Storage, key: &Verifier) -> Result<bool, LogsError> {
    let mut bytes = read(storage)?;
    let logs = parse(&bytes)?;
    if logs.get(key.name()).is_some_and(|keys| keys.contains(key)) {
        return Ok(false);
    }
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(key.to_text().as_bytes());
    bytes.push(b'\n');
    parse(&bytes)?;
    put(storage, LOGS, &bytes).map_err(PutError::into_io)?;
    Ok(true)
}

/// What a signature of a note by one key comes to.
pub(crate) fn is_signed(note: &Note<'_>, key: &Verifier) -> Option<bool> {
    note.by(key)?;
    Some(match key.algorithm() {
        Algorithm::Ed25519 => note.verify(key).is_ok(),
        // Logs may sign with the formats of cosignatures; tlog-checkpoint recommends it.
        Algorithm::Ed25519Cosignature | Algorithm::MlDsa44Cosignature => {
            matches!(cosigned(note, key), Ok(Some(_)))
        }
    })
}

/// The name of a log in paths: SHA-256 of its origin in hexadecimal, as in tlog-witness.
pub(crate) fn origin_hash(origin: &str) -> String {
    Hash::of(origin.as_bytes()).to_string()
}

fn read(storage: &dyn Storage) -> Result<Vec<u8>, LogsError> {
    storage.read(LOGS, LOGS_BYTES_MAX)?.ok_or(LogsError::Missing)
}

fn parse(bytes: &[u8]) -> Result<Logs, LogsError> {
    let text = str::from_utf8(bytes).map_err(|_| LogsError::NotText)?;
    let mut logs = Logs::new();
    let mut count = 0;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let key = Verifier::from_text(text).map_err(|error| LogsError::Line { line, error })?;
        if ORIGIN_BYTES_MAX < key.name().len() {
            return Err(LogsError::NameTooLong { line });
        }
        count += 1;
        if LOGS_MAX < count {
            return Err(LogsError::TooMany);
        }
        let keys = logs.entry(key.name().to_owned()).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(logs)
}

/// The file.
pub(crate) const LOGS: &str = "logs";
/// What stands at the head of a new one.
pub(crate) const LOGS_HEAD: &str = "\
# The logs this witness serves: one verifier key a line, several lines for a log with several keys.
# `countersign witness add-log` adds to it and begins a log. Changes count at once.
";
/// The most keys of logs.
pub const LOGS_MAX: usize = 1_000;
/// The most bytes of the file: every key of the largest kind, and as much again for comments.
const LOGS_BYTES_MAX: usize = 4 << 20;
/// The longest origin, in bytes; a post-quantum cosignature has one byte for its length.
pub const ORIGIN_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::{Book, LOGS, LogsError, add, parse};
    use crate::storage::Storage;
    use crate::storage::memory::Memory;
    use note::{Algorithm, Signer, Verifier};
    use std::sync::Arc;

    fn key(name: &str) -> Verifier {
        Signer::generate(name).unwrap().0.verifier().clone()
    }

    fn storage(text: &str) -> Arc<Memory> {
        let storage = Memory::default();
        storage.alter(LOGS, |_| Some(text.as_bytes().to_vec()));
        Arc::new(storage)
    }

    #[test]
    fn keys_of_one_origin_stand_together() {
        let (one, two, other) = (key("log.example/1"), key("log.example/1"), key("log.example/2"));
        let [a, b, c] = [&one, &two, &other].map(Verifier::to_text);
        let text = format!("# comment\n\n{a}\n  {c}  \n{b}\n{a}\n");
        let logs = parse(text.as_bytes()).unwrap();
        assert_eq!(logs["log.example/1"], [one, two]);
        assert_eq!(logs["log.example/2"], [other]);
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        let text = format!("# comment\n{}\nsomething\n", key("log.example/1").to_text());
        assert!(matches!(parse(text.as_bytes()), Err(LogsError::Line { line: 3, .. })));
        let long = key(&"x".repeat(256)).to_text();
        assert!(matches!(parse(long.as_bytes()), Err(LogsError::NameTooLong { line: 1 })));
        assert!(matches!(parse(b"\xff"), Err(LogsError::NotText)));
        let many = format!("{}\n", key("log.example/1").to_text()).repeat(1_001);
        assert!(matches!(parse(many.as_bytes()), Err(LogsError::TooMany)));
    }

    #[test]
    fn a_key_is_added_once_and_comments_stay() {
        let storage = storage("# mine");
        let (one, two) = (key("log.example/1"), key("log.example/1"));
        assert!(add(storage.as_ref(), &one).unwrap());
        assert!(!add(storage.as_ref(), &one).unwrap());
        assert!(add(storage.as_ref(), &two).unwrap());
        let text = String::from_utf8(storage.read(LOGS, 10_000).unwrap().unwrap()).unwrap();
        assert_eq!(text, format!("# mine\n{}\n{}\n", one.to_text(), two.to_text()));
    }

    #[test]
    fn a_changed_list_counts_at_once_and_a_bad_one_not_at_all() {
        let (one, two) = (key("log.example/1"), key("log.example/2"));
        let storage = storage(&one.to_text());
        let book = Book::open(Arc::clone(&storage) as Arc<dyn Storage>).unwrap();
        assert!(book.current().contains_key("log.example/1"));
        storage.alter(LOGS, |_| Some(b"nonsense".to_vec()));
        assert!(book.current().contains_key("log.example/1"));
        storage.alter(LOGS, |_| None);
        assert!(book.current().contains_key("log.example/1"));
        storage.alter(LOGS, |_| Some(two.to_text().into_bytes()));
        let logs = book.current();
        assert!(!logs.contains_key("log.example/1") && logs.contains_key("log.example/2"));
    }

    #[test]
    fn a_log_may_sign_with_any_algorithm() {
        use super::is_signed;
        use note::{Checkpoint, Note, cosign, leaf_hash};
        let origin = "log.example/1".to_owned();
        let checkpoint = Checkpoint { origin, size: 1, root: leaf_hash(b"x") };
        for algorithm in [Algorithm::Ed25519Cosignature, Algorithm::MlDsa44Cosignature] {
            let (signer, _) = Signer::generate_for("log.example/1", algorithm).unwrap();
            let (other, _) = Signer::generate_for("log.example/1", algorithm).unwrap();
            let line = cosign(&checkpoint.to_text(), &signer, 5).unwrap();
            let note = format!("{}\n{line}", checkpoint.to_text());
            let parsed = Note::parse(note.as_bytes()).unwrap();
            assert_eq!(is_signed(&parsed, signer.verifier()), Some(true));
            assert_eq!(is_signed(&parsed, other.verifier()), None);
            let altered = note.replacen("\n1\n", "\n2\n", 1);
            let parsed = Note::parse(altered.as_bytes()).unwrap();
            assert_eq!(is_signed(&parsed, signer.verifier()), Some(false));
        }
    }
}
