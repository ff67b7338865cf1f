//! What a log says of its own keys and of what it no longer keeps: signed
//! notes of this product.
//!
//! Knows nothing of which statement is valid at which size; it reads and
//! writes the texts.

use crate::hash::Hash;
use crate::key::Verifier;
use crate::text::{Note, NoteError};

/// One statement of a log about its keys. The statements of a log are numbered
/// from 1 without gaps, in the files `keys/<ordinal>.note`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The origin of the log.
    pub origin: String,
    /// Its place among the statements of the log, from 1.
    pub ordinal: u64,
    /// What it says.
    pub action: Action,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// This key may revoke others; only as the first statement, signed by the
    /// first key. Its secret stays offline.
    Recovery {
        /// The recovery key, named `<origin>/recovery`.
        key: Verifier,
        /// The number of entries of the log then.
        size: u64,
    },
    /// From this size on the log signs with this key too. Signed by a key that
    /// is valid then, and by the new one.
    Rotate {
        /// The new key, named like the log.
        key: Verifier,
        /// The smallest checkpoint it signs.
        size: u64,
    },
    /// This key signs no checkpoint beyond this size. Signed by another key
    /// that is valid then.
    Retire {
        /// The key.
        key: Verifier,
        /// The largest checkpoint it signs.
        size: u64,
    },
    /// This key is not trusted beyond this size, where the log had this root.
    /// Signed by the recovery key, or by another key that is valid then.
    Revoke {
        /// The key.
        key: Verifier,
        /// The last size at which it is trusted.
        size: u64,
        /// The root of the log at this size.
        root: Hash,
    },
}

impl Statement {
    /// The path of a statement in the log's directory.
    #[must_use]
    pub fn path(ordinal: u64) -> String {
        format!("{STATEMENTS}/{ordinal}.note")
    }

    /// The ordinal in such a path; `None` for any other.
    #[must_use]
    pub fn parse_path(path: &str) -> Option<u64> {
        let name = path.strip_prefix(STATEMENTS)?.strip_prefix('/')?;
        let ordinal = name.strip_suffix(".note")?.parse().ok()?;
        (0 < ordinal && Self::path(ordinal) == path).then_some(ordinal)
    }

    /// The text that is signed: `<origin>/keys/v1`, the ordinal, the word for
    /// the action, the verifier key line, the size, for `revoke` the root in
    /// base64, and the time in milliseconds; one a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (key, size) = self.action.key();
        let root = match &self.action {
            Action::Revoke { root, .. } => format!("{}\n", root.to_base64()),
            _ => String::new(),
        };
        let (origin, ordinal, word) = (&self.origin, self.ordinal, self.action.word());
        let (key, time_ms) = (key.to_text(), self.time_ms);
        format!("{origin}/keys/v1\n{ordinal}\n{word}\n{key}\n{size}\n{root}{time_ms}\n")
    }

    /// Reads a statement without checking who signed it.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when it is not in its one canonical form.
    pub fn parse(note: &[u8]) -> Result<(Self, Note<'_>), NoteError> {
        let note = Note::parse(note)?;
        let statement = Self::read(note.text());
        let statement = statement.filter(|statement| statement.to_text() == note.text());
        let statement = statement.ok_or(NoteError::Malformed("it is no statement about keys"))?;
        Ok((statement, note))
    }

    fn read(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let [head, ordinal, word, key, size, rest @ ..] = lines.as_slice() else { return None };
        let origin = head.strip_suffix("/keys/v1")?.to_owned();
        let key = Verifier::from_text(key).ok()?;
        let size = size.parse().ok()?;
        let (action, time) = match (*word, rest) {
            ("recovery", [time]) => (Action::Recovery { key, size }, time),
            ("rotate", [time]) => (Action::Rotate { key, size }, time),
            ("retire", [time]) => (Action::Retire { key, size }, time),
            ("revoke", [root, time]) => {
                (Action::Revoke { key, size, root: Hash::from_base64(root)? }, time)
            }
            _ => return None,
        };
        let name = action.key().0.name();
        let named = match action {
            Action::Recovery { .. } => name == Self::recovery_name(&origin),
            _ => name == origin,
        };
        let (ordinal, time_ms) = (ordinal.parse().ok()?, time.parse().ok()?);
        named.then_some(Self { origin, ordinal, action, time_ms })
    }

    /// The name of the recovery key of a log.
    #[must_use]
    pub fn recovery_name(origin: &str) -> String {
        format!("{origin}/recovery")
    }
}

impl Action {
    /// The key that the statement is about, and the size.
    #[must_use]
    pub fn key(&self) -> (&Verifier, u64) {
        match self {
            Self::Recovery { key, size }
            | Self::Rotate { key, size }
            | Self::Retire { key, size }
            | Self::Revoke { key, size, .. } => (key, *size),
        }
    }

    /// The word in the text.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Recovery { .. } => "recovery",
            Self::Rotate { .. } => "rotate",
            Self::Retire { .. } => "retire",
            Self::Revoke { .. } => "revoke",
        }
    }
}

/// Says that a log keeps no entries below an index (pruning as in C2SP
/// tlog-tiles); its hash tiles stay. In the file `pruned`, signed by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The origin of the log.
    pub origin: String,
    /// The smallest index that is kept, a multiple of 256.
    pub minimum: u64,
    /// When it was pruned, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
}

impl Pruned {
    /// The text that is signed: `<origin>/pruned/v1`, the minimum index, the
    /// time in milliseconds; one a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}/pruned/v1\n{}\n{}\n", self.origin, self.minimum, self.time_ms)
    }

    /// Reads the note without checking who signed it.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when it is not in its one canonical form.
    pub fn parse(note: &[u8]) -> Result<(Self, Note<'_>), NoteError> {
        let note = Note::parse(note)?;
        let read = || {
            let lines: Vec<&str> = note.text().lines().collect();
            let [head, minimum, time] = lines.as_slice() else { return None };
            let origin = head.strip_suffix("/pruned/v1")?.to_owned();
            let (minimum, time_ms) = (minimum.parse().ok()?, time.parse().ok()?);
            let pruned = Self { origin, minimum, time_ms };
            (pruned.to_text() == note.text() && minimum % 256 == 0).then_some(pruned)
        };
        let pruned = read().ok_or(NoteError::Malformed("it does not say what was pruned"))?;
        Ok((pruned, note))
    }
}

const STATEMENTS: &str = "keys";

#[cfg(test)]
#[cfg(feature = "sign")]
mod tests {
    use super::{Action, Pruned, Statement};
    use crate::hash::leaf_hash;
    use crate::signer::Signer;
    use crate::text::Note;

    #[test]
    fn statements_round_trip_and_are_canonical() {
        let (log, _) = Signer::generate("example.com/log").unwrap();
        let (other, _) = Signer::generate("example.com/log/recovery").unwrap();
        let key = log.verifier().clone();
        let actions = [
            Action::Recovery { key: other.verifier().clone(), size: 0 },
            Action::Rotate { key: key.clone(), size: 5 },
            Action::Retire { key: key.clone(), size: 6 },
            Action::Revoke { key, size: 7, root: leaf_hash(b"x") },
        ];
        for (ordinal, action) in (1..).zip(actions) {
            let origin = "example.com/log".to_owned();
            let statement = Statement { origin, ordinal, action, time_ms: 9 };
            let note = Note::sign(&statement.to_text(), &log).unwrap();
            let (read, parsed) = Statement::parse(note.as_bytes()).unwrap();
            assert_eq!(read, statement);
            parsed.verify(log.verifier()).unwrap();
            for altered in [
                statement.to_text().replacen("keys/v1", "keys/v2", 1),
                statement.to_text().replacen("\n9\n", "\n09\n", 1),
                format!("{}more\n", statement.to_text()),
                statement.to_text().replacen("example.com/log/keys", "example.org/log/keys", 1),
            ] {
                let note = Note::sign(&altered, &log).unwrap();
                assert!(Statement::parse(note.as_bytes()).is_err(), "{altered}");
            }
        }
        assert_eq!(Statement::parse_path("keys/12.note"), Some(12));
        for bad in ["keys/0.note", "keys/01.note", "keys/x.note", "keys/1", "1.note"] {
            assert_eq!(Statement::parse_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_was_pruned_is_a_multiple_of_a_bundle() {
        let (log, _) = Signer::generate("example.com/log").unwrap();
        let origin = "example.com/log".to_owned();
        let mut pruned = Pruned { origin, minimum: 512, time_ms: 9 };
        let note = Note::sign(&pruned.to_text(), &log).unwrap();
        assert_eq!(Pruned::parse(note.as_bytes()).unwrap().0, pruned);
        pruned.minimum = 513;
        let note = Note::sign(&pruned.to_text(), &log).unwrap();
        assert!(Pruned::parse(note.as_bytes()).is_err());
    }
}
