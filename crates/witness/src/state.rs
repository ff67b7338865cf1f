//! What a witness remembers of each log: the latest checkpoint it cosigned, in one file a log.
//!
//! A log without such a file is not served: only an operator's command begins one or starts one over,
//! because a witness that forgets by itself would cosign a rewritten log. Knows nothing of proofs.

use crate::logs::{Logs, origin_hash};
use crate::request::read_checkpoint;
use crate::storage::{PutError, Storage, put};
use note::{Checkpoint, Hash, Note, Verifier, cosigned};
use std::io;

/// What a witness knows of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// The log was begun, and no checkpoint of it was cosigned yet.
    Nothing,
    /// The latest checkpoint.
    Latest(Latest),
}

/// The latest checkpoint a witness cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Latest {
    pub(crate) checkpoint: Checkpoint,
    /// The note: text, lines of the log that were verified, own lines.
    pub(crate) note: String,
    /// The time in the own lines, in seconds since 1970-01-01 UTC.
    pub(crate) time_s: u64,
}

/// Why a witness does not know what it cosigned.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no file.
    #[error(
        "the state of the log `{origin}` is missing (`{path}`). If this witness never cosigned that \
         log, `countersign witness add-log` begins it. If it did, restore the file; to start over \
         without it is `countersign witness forget-log`"
    )]
    Missing {
        /// The log.
        origin: String,
        /// Where the file should be.
        path: String,
    },
    /// There is a file, and it is not what this witness wrote.
    #[error(
        "the state of the log `{origin}` is damaged (`{path}`): {what}. Restore the file; to start \
         over without it is `countersign witness forget-log`"
    )]
    Damaged {
        /// The log.
        origin: String,
        /// Where the file is.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The file cannot be read or written.
    #[error("the state of the log `{origin}` cannot be read or written (`{path}`): {error}")]
    Io {
        /// The log.
        origin: String,
        /// Where the file is.
        path: String,
        /// What the file system said.
        error: io::Error,
    },
    /// There is a state already where a new one was to begin.
    #[error("there is a state of the log `{origin}` already (`{path}`)")]
    Exists {
        /// The log.
        origin: String,
        /// Where the file is.
        path: String,
    },
}

/// A log and what a witness knows of it.
#[derive(Debug)]
pub struct LogState {
    /// The log.
    pub origin: String,
    /// The size of the latest checkpoint; 0 when nothing was cosigned yet.
    pub size: Result<u64, StateError>,
}

impl Held {
    /// The number of entries that were cosigned; 0 when nothing was.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Latest(latest) => latest.checkpoint.size,
        }
    }

    /// The root that was cosigned.
    pub(crate) fn root(&self) -> Hash {
        match self {
            Self::Nothing => Hash::EMPTY_ROOT,
            Self::Latest(latest) => latest.checkpoint.root,
        }
    }

    /// The note that was cosigned.
    pub(crate) fn note(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Latest(latest) => Some(&latest.note),
        }
    }
}

impl Latest {
    /// Reads a note that the witness with these keys made of a checkpoint of `origin`. At least one
    /// of the keys must have cosigned it, and no line of theirs may be wrong: the cosignature is what
    /// tells a whole file from a damaged one.
    pub(crate) fn read(bytes: Vec<u8>, origin: &str, keys: &[Verifier]) -> Result<Self, String> {
        let note = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let parsed = Note::parse(note.as_bytes()).map_err(|error| error.to_string())?;
        let checkpoint = read_checkpoint(parsed.text()).map_err(str::to_owned)?;
        if checkpoint.origin != origin {
            return Err(format!("it is of the log `{}`", checkpoint.origin.escape_debug()));
        }
        let mut times = Vec::new();
        for key in keys {
            times.extend(cosigned(&parsed, key).map_err(|error| error.to_string())?);
        }
        let time_s = times.into_iter().max();
        let time_s = time_s.ok_or("it is not cosigned by a key of this witness")?;
        Ok(Self { checkpoint, note, time_s })
    }
}

/// What is known of a log.
pub(crate) fn load(
    storage: &dyn Storage,
    origin: &str,
    keys: &[Verifier],
) -> Result<Held, StateError> {
    let path = path(origin);
    let read = storage.read(&path, note::NOTE_BYTES_MAX);
    let bytes = match read {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(StateError::Missing { origin: origin.to_owned(), path }),
        Err(error) => return Err(StateError::Io { origin: origin.to_owned(), path, error }),
    };
    if bytes == beginning(origin).as_bytes() {
        return Ok(Held::Nothing);
    }
    let read = Latest::read(bytes, origin, keys);
    let damaged = |what| StateError::Damaged { origin: origin.to_owned(), path, what };
    Ok(Held::Latest(read.map_err(damaged)?))
}

/// What is known of every log.
pub(crate) fn of_logs(storage: &dyn Storage, logs: &Logs, keys: &[Verifier]) -> Vec<LogState> {
    let state = |origin: &String| {
        let held = load(storage, origin, keys);
        LogState { origin: origin.clone(), size: held.map(|held| held.size()) }
    };
    logs.keys().map(state).collect()
}

/// Makes this the latest checkpoint, durably.
pub(crate) fn store(storage: &dyn Storage, latest: &Latest) -> Result<(), PutError> {
    put(storage, &path(&latest.checkpoint.origin), latest.note.as_bytes())
}

/// Begins a log of which nothing was cosigned. Never in the place of what is there.
pub(crate) fn begin(storage: &dyn Storage, origin: &str) -> Result<(), StateError> {
    let path = path(origin);
    match storage.read(&path, note::NOTE_BYTES_MAX) {
        Ok(None) => {}
        Ok(Some(_)) => return Err(StateError::Exists { origin: origin.to_owned(), path }),
        Err(error) => return Err(StateError::Io { origin: origin.to_owned(), path, error }),
    }
    put(storage, &path, beginning(origin).as_bytes()).map_err(|error| StateError::Io {
        origin: origin.to_owned(),
        path,
        error: error.into_io(),
    })
}

/// Puts what is known of a log aside, under a name of its own, and begins it anew. Returns where the
/// old state is, if there was one.
pub(crate) fn forget(storage: &dyn Storage, origin: &str) -> Result<Option<String>, StateError> {
    let path = path(origin);
    let failed = |error| StateError::Io { origin: origin.to_owned(), path: path.clone(), error };
    let there = storage.names(STATE).map_err(failed)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let aside = if there.iter().any(|one| one == name) {
        let taken = |number: &usize| !there.contains(&format!("{name}.forgotten-{number}"));
        let number = (1..).find(taken).unwrap_or_default();
        let aside = format!("{path}.forgotten-{number}");
        storage.rename(&path, &aside).map_err(failed)?;
        storage.sync_dir(STATE).map_err(failed)?;
        Some(aside)
    } else {
        None
    };
    begin(storage, origin)?;
    Ok(aside)
}

/// The file of a log.
pub(crate) fn path(origin: &str) -> String {
    format!("{STATE}/{}.note", origin_hash(origin))
}

/// The content of the file before anything was cosigned. It has no empty line, so it is no note.
fn beginning(origin: &str) -> String {
    format!("countersign witness: no checkpoint of this log was cosigned yet\n{origin}\n")
}

/// The directory of the files.
pub(crate) const STATE: &str = "state";

#[cfg(test)]
mod tests {
    use super::{Held, Latest, StateError, begin, forget, load, path, store};
    use crate::storage::Storage;
    use crate::storage::memory::Memory;
    use note::{Algorithm, Checkpoint, Signer, Verifier, cosign, leaf_hash};

    const ORIGIN: &str = "log.example/1";

    fn witness(algorithm: Algorithm) -> Signer {
        Signer::generate_for("witness.example", algorithm).unwrap().0
    }

    fn latest(keys: &[&Signer]) -> Latest {
        let (log, _) = Signer::generate(ORIGIN).unwrap();
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 3, root: leaf_hash(b"x") };
        let mut note = checkpoint.sign(&log).unwrap();
        for key in keys {
            note.push_str(&cosign(&checkpoint.to_text(), *key, 1_700_000_000).unwrap());
        }
        Latest { checkpoint, note, time_s: 1_700_000_000 }
    }

    #[test]
    fn what_is_stored_is_known_again() {
        let storage = Memory::default();
        let key = witness(Algorithm::Ed25519Cosignature);
        let keys = [key.verifier().clone()];
        begin(&storage, ORIGIN).unwrap();
        assert_eq!(load(&storage, ORIGIN, &keys).unwrap(), Held::Nothing);
        let latest = latest(&[&key]);
        store(&storage, &latest).unwrap();
        assert_eq!(load(&storage, ORIGIN, &keys).unwrap(), Held::Latest(latest));
        assert!(matches!(begin(&storage, ORIGIN), Err(StateError::Exists { .. })));
    }

    #[test]
    fn no_file_is_not_an_empty_log() {
        let storage = Memory::default();
        let key = witness(Algorithm::Ed25519Cosignature).verifier().clone();
        let error = load(&storage, ORIGIN, &[key]).unwrap_err();
        assert!(matches!(error, StateError::Missing { .. }));
        assert!(error.to_string().contains("add-log"), "{error}");
    }

    #[test]
    fn any_changed_byte_is_damage() {
        let key = witness(Algorithm::Ed25519Cosignature);
        let keys = [key.verifier().clone()];
        let latest = latest(&[&key]);
        let storage = Memory::default();
        let (text, _) = latest.note.split_once("\n\n").unwrap();
        let own = latest.note.rfind('\u{2014}').unwrap();
        for at in (0..text.len()).chain(own..latest.note.len()) {
            let mut bytes = latest.note.clone().into_bytes();
            bytes[at] ^= 1;
            storage.alter(&path(ORIGIN), |_| Some(bytes));
            let error = load(&storage, ORIGIN, &keys).unwrap_err();
            assert!(matches!(error, StateError::Damaged { .. }), "byte {at}: {error}");
        }
        for end in 0..latest.note.len() {
            storage.alter(&path(ORIGIN), |_| Some(latest.note.as_bytes()[..end].to_vec()));
            let error = load(&storage, ORIGIN, &keys).unwrap_err();
            assert!(matches!(error, StateError::Damaged { .. }), "cut at {end}: {error}");
        }
    }

    #[test]
    fn a_second_key_may_come_later_and_a_strange_one_knows_nothing() {
        let (one, two) =
            (witness(Algorithm::Ed25519Cosignature), witness(Algorithm::MlDsa44Cosignature));
        let storage = Memory::default();
        store(&storage, &latest(&[&one])).unwrap();
        let known = |keys: &[&Signer]| {
            let keys: Vec<Verifier> = keys.iter().map(|key| key.verifier().clone()).collect();
            load(&storage, ORIGIN, &keys).is_ok()
        };
        assert!(known(&[&one, &two]));
        assert!(!known(&[&two]));
        store(&storage, &latest(&[&one, &two])).unwrap();
        assert!(known(&[&two]));
        // The state of another log in the place of this one.
        let bytes = storage.read(&path(ORIGIN), 100_000).unwrap();
        storage.alter(&path("log.example/2"), |_| bytes);
        let keys = [one.verifier().clone()];
        let error = load(&storage, "log.example/2", &keys).unwrap_err();
        assert!(error.to_string().contains("it is of the log `log.example/1`"), "{error}");
    }

    #[test]
    fn what_is_forgotten_is_kept_aside() {
        let storage = Memory::default();
        let key = witness(Algorithm::Ed25519Cosignature);
        let keys = [key.verifier().clone()];
        assert_eq!(forget(&storage, ORIGIN).unwrap(), None);
        let latest = latest(&[&key]);
        for number in 1..=2 {
            store(&storage, &latest).unwrap();
            let aside = forget(&storage, ORIGIN).unwrap().unwrap();
            assert!(aside.ends_with(&format!(".note.forgotten-{number}")), "{aside}");
            let kept = storage.read(&aside, 100_000).unwrap().unwrap();
            assert_eq!(kept, latest.note.as_bytes());
            assert_eq!(load(&storage, ORIGIN, &keys).unwrap(), Held::Nothing);
        }
    }
}
