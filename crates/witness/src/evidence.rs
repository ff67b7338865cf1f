//! Contradictions that logs signed, kept for whoever must judge them.
//!
//! Nothing here is ever overwritten or removed, and nobody can fill the disk with it: what comes
//! twice is kept once, and there is a bound for each log. Knows nothing of how a contradiction was
//! found.

use crate::logs::origin_hash;
use crate::storage::{PutError, Storage, put};
use note::Hash;
use std::io;

/// What two notes say against the log that signed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two roots of one size: by itself proof that the log forked.
    Fork,
    /// No proof leads from one to the other. The log may have been rewritten; it may also be that
    /// somebody sent a wrong proof, which needs no key.
    Unproven,
}

/// What became of a contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It was written: the paths begin with this.
    New(String),
    /// It is there already.
    Before,
    /// There is no room left for more of this log.
    Full,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Unproven => "unproven",
        }
    }

    /// Proofs of a fork need the log's key, so there is more room for them than for what anybody can
    /// send.
    fn pairs_max(self) -> usize {
        match self {
            Self::Fork => 64,
            Self::Unproven => 16,
        }
    }
}

/// Keeps the note that was cosigned, if any, and the one that contradicts it.
pub(crate) fn keep(
    storage: &dyn Storage,
    kind: Kind,
    origin: &str,
    (held, submitted): (Option<&str>, &str),
) -> io::Result<Kept> {
    let group = format!("{}-{}-", origin_hash(origin), kind.name());
    let pair = format!("{}\n{submitted}", held.unwrap_or_default());
    let digest = Hash::of(pair.as_bytes());
    let names = storage.names(EVIDENCE)?;
    let complete = format!("{group}{digest}{SUBMITTED}");
    if names.contains(&complete) {
        return Ok(Kept::Before);
    }
    let of_group = |name: &&String| name.starts_with(&group) && name.ends_with(SUBMITTED);
    if kind.pairs_max() <= names.iter().filter(of_group).count() {
        return Ok(Kept::Full);
    }
    let path = format!("{EVIDENCE}/{group}{digest}");
    // The note in hand first: a pair is complete when its second file is there. The names hold the
    // digest of the content, so what a crash left can only be replaced by the same.
    if let Some(held) = held {
        put(storage, &format!("{path}{HELD}"), held.as_bytes()).map_err(PutError::into_io)?;
    }
    let submitted_path = format!("{path}{SUBMITTED}");
    put(storage, &submitted_path, submitted.as_bytes()).map_err(PutError::into_io)?;
    Ok(Kept::New(path))
}

/// The directory of the notes.
pub(crate) const EVIDENCE: &str = "evidence";
const HELD: &str = "-cosigned.note";
const SUBMITTED: &str = "-submitted.note";

#[cfg(test)]
mod tests {
    use super::{Kept, Kind, keep};
    use crate::storage::Storage as _;
    use crate::storage::memory::Memory;

    #[test]
    fn a_pair_is_kept_once_and_to_the_byte() {
        let storage = Memory::default();
        let pair = (Some("held"), "submitted");
        let Kept::New(path) = keep(&storage, Kind::Fork, "log.example", pair).unwrap() else {
            panic!("it is new");
        };
        for (end, wanted) in [("cosigned", "held"), ("submitted", "submitted")] {
            let found = storage.read(&format!("{path}-{end}.note"), 100).unwrap().unwrap();
            assert_eq!(found, wanted.as_bytes());
        }
        assert_eq!(keep(&storage, Kind::Fork, "log.example", pair).unwrap(), Kept::Before);
        assert_eq!(storage.paths().len(), 2);
    }

    #[test]
    fn there_is_room_for_so_many_of_each_log_and_kind() {
        let storage = Memory::default();
        for (kind, max) in [(Kind::Unproven, 16), (Kind::Fork, 64)] {
            for number in 0..max {
                let kept = keep(&storage, kind, "log.example", (None, &format!("{number}")));
                assert!(matches!(kept.unwrap(), Kept::New(_)), "{number}");
            }
            let kept = keep(&storage, kind, "log.example", (None, "one more"));
            assert_eq!(kept.unwrap(), Kept::Full);
            let kept = keep(&storage, kind, "other.example", (None, "one more"));
            assert!(matches!(kept.unwrap(), Kept::New(_)));
        }
    }

    #[test]
    fn what_a_crash_left_is_completed() {
        let whole = Memory::default();
        let pair = (Some("held"), "submitted");
        let Kept::New(path) = keep(&whole, Kind::Fork, "log.example", pair).unwrap() else {
            panic!("it is new");
        };
        whole.alter(&format!("{path}-submitted.note"), |_| None);
        assert_eq!(keep(&whole, Kind::Fork, "log.example", pair).unwrap(), Kept::New(path));
        assert_eq!(whole.paths().len(), 2);
    }
}
