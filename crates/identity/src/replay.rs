//! Which proofs were used already, by a digest of what makes each of them one of its kind. Bounded in number
//! and in time; what it cannot remember is not accepted. It knows no token and no clock.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::digest::sha256;

/// Why a proof cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotFresh {
    /// It was used before.
    Used,
    /// So old that its use may have been forgotten.
    Forgotten,
    /// No place to remember it in.
    Full,
}

/// A use of a proof.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use<'a> {
    /// Thumbprint of the key that made it: what others use never collides with it.
    pub(crate) key: &'a str,
    /// What its maker calls it (`jti`).
    pub(crate) id: &'a str,
    /// The second that it carries: of its making, or of its end.
    pub(crate) stamp_s: i64,
}

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Uses at once.
    pub(crate) entries_max: usize,
    /// Seconds after its stamp for which a use is remembered: at least as long as the proof is accepted.
    pub(crate) keep_s: i64,
}

/// The uses of a while. Each takes about 64 bytes.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    /// Held for one look-up and the removal of what is over, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: HashSet<Key>,
    by_stamp: BTreeMap<i64, Vec<Key>>,
    /// The latest stamp of a use that is no longer remembered. What is not younger may be one of those: the
    /// clock may have gone back, or proofs may be accepted for longer than before.
    forgotten_s: Option<i64>,
}

/// The first half of a SHA-256: nobody finds a second use with the digest of a first one.
type Key = [u8; 16];

impl Replays {
    /// Notes the use of a proof, if it is the first one.
    pub(crate) fn take(&self, proof: Use<'_>, memory: Memory, now_s: i64) -> Result<(), NotFresh> {
        let key = key(&proof);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_before(now_s.saturating_sub(memory.keep_s));
        if state.used.contains(&key) {
            return Err(NotFresh::Used);
        }
        if state.forgotten_s.is_some_and(|forgotten_s| proof.stamp_s <= forgotten_s) {
            return Err(NotFresh::Forgotten);
        }
        if memory.entries_max <= state.used.len() {
            return Err(NotFresh::Full);
        }
        state.used.insert(key);
        state.by_stamp.entry(proof.stamp_s).or_default().push(key);
        Ok(())
    }
}

impl State {
    fn forget_before(&mut self, stamp_s: i64) {
        while let Some(oldest) = self.by_stamp.first_entry() {
            let oldest_s = *oldest.key();
            if stamp_s <= oldest_s {
                return;
            }
            for key in oldest.remove() {
                self.used.remove(&key);
            }
            self.forgotten_s = self.forgotten_s.max(Some(oldest_s));
        }
    }
}

/// Lengths first, so that no two pairs of texts are one.
fn key(proof: &Use<'_>) -> Key {
    let both = format!("{} {}{}", proof.key.len(), proof.key, proof.id);
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(sha256(both.as_bytes())) {
        *to = from;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::{Memory, NotFresh, Replays, Use};
    use proptest::prelude::{ProptestConfig, prop_assert, proptest};
    use std::collections::HashSet;

    const MEMORY: Memory = Memory { entries_max: 3, keep_s: 10 };

    fn take(replays: &Replays, id: &str, stamp_s: i64, now_s: i64) -> Result<(), NotFresh> {
        replays.take(Use { key: "k", id, stamp_s }, MEMORY, now_s)
    }

    #[test]
    fn a_proof_is_used_once_as_long_as_it_is_accepted() {
        let replays = Replays::default();
        assert_eq!(take(&replays, "a", 100, 100), Ok(()));
        for now_s in [100, 105, 110] {
            assert_eq!(take(&replays, "a", 100, now_s), Err(NotFresh::Used));
        }
        let other = Use { key: "l", id: "a", stamp_s: 100 };
        assert_eq!(replays.take(other, MEMORY, 110), Ok(()), "that of another key is another");
        assert_eq!(take(&replays, "a", 105, 110), Err(NotFresh::Used), "whenever it was made");
        // Over, and then the clock goes back.
        assert_eq!(take(&replays, "b", 111, 111), Ok(()));
        assert_eq!(take(&replays, "a", 100, 105), Err(NotFresh::Forgotten));
        assert_eq!(take(&replays, "c", 101, 105), Ok(()));
        // Or proofs are accepted for longer than before.
        let longer = Memory { keep_s: 100, ..MEMORY };
        let again = replays.take(Use { key: "k", id: "a", stamp_s: 100 }, longer, 112);
        assert_eq!(again, Err(NotFresh::Forgotten));
    }

    #[test]
    fn two_pairs_of_texts_are_never_one() {
        let replays = Replays::default();
        let take = |key, id| replays.take(Use { key, id, stamp_s: 1 }, MEMORY, 1);
        assert_eq!(take("ab", "c"), Ok(()));
        assert_eq!(take("a", "bc"), Ok(()));
        assert_eq!(take("ab", "c"), Err(NotFresh::Used));
    }

    #[test]
    fn when_it_is_full_nothing_is_accepted_until_there_is_room() {
        let replays = Replays::default();
        for (id, stamp_s) in [("a", 100), ("b", 101), ("c", 102)] {
            assert_eq!(take(&replays, id, stamp_s, 102), Ok(()));
        }
        assert_eq!(take(&replays, "d", 103, 110), Err(NotFresh::Full));
        assert_eq!(take(&replays, "a", 100, 110), Err(NotFresh::Used));
        assert_eq!(take(&replays, "d", 103, 111), Ok(()));
        assert_eq!(take(&replays, "e", 104, 111), Err(NotFresh::Full));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Whatever the clock does: what is accepted while `stamp + keep` is not over is accepted once.
        #[test]
        fn never_twice(steps in proptest::collection::vec((0_u8..6, 0_i64..40, -20_i64..30), 1..80)) {
            let replays = Replays::default();
            let mut accepted = HashSet::new();
            let mut now_s = 1_000;
            for (id, age_s, step_s) in steps {
                now_s += step_s;
                let (id, stamp_s) = (id.to_string(), now_s - age_s % 11);
                if take(&replays, &id, stamp_s, now_s).is_ok() {
                    prop_assert!(accepted.insert((id, stamp_s)), "used twice");
                }
                let state = replays.state.lock().unwrap();
                prop_assert!(state.used.len() <= 3);
                prop_assert!(state.by_stamp.values().map(Vec::len).sum::<usize>() == state.used.len());
            }
        }
    }
}
