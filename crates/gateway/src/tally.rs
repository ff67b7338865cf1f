//! Counts what may come in any number, such as requests of strangers: some of it has a record of its own in
//! each minute, and the rest is told by its number. Knows when, and nothing of what.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time in which so many are recorded one by one.
const WINDOW: Duration = Duration::from_secs(60);

/// How many there were lately.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Records of single ones in one minute.
    single_max: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the window began.
    since: Option<Instant>,
    single: u32,
    more: u64,
}

impl Tally {
    pub(crate) fn new(single_max: u32) -> Self {
        Self { single_max, state: Mutex::default() }
    }

    /// Whether one that comes now is to be recorded by itself, and how many before it were only counted and
    /// are to be recorded now.
    pub(crate) fn hear(&self, now: Instant) -> (bool, u64) {
        let mut state = self.lock();
        let counted = state.settle(now);
        state.since.get_or_insert(now);
        let by_itself = state.single < self.single_max;
        if by_itself {
            state.single += 1;
        } else {
            state.more += 1;
        }
        (by_itself, counted)
    }

    /// How many were only counted in a window that is over.
    pub(crate) fn settle(&self, now: Instant) -> u64 {
        self.lock().settle(now)
    }

    /// How many were only counted, at the end of it all.
    pub(crate) fn end(&self) -> u64 {
        std::mem::take(&mut *self.lock()).more
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self, now: Instant) -> u64 {
        let is_over =
            self.since.is_some_and(|since| WINDOW <= now.saturating_duration_since(since));
        if is_over { std::mem::take(self).more } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, WINDOW};
    use std::time::{Duration, Instant};

    #[test]
    fn what_exceeds_the_bound_is_counted() {
        let (tally, start) = (Tally::new(3), Instant::now());
        for _ in 0..3 {
            assert_eq!(tally.hear(start), (true, 0));
        }
        for _ in 0..1_000 {
            assert_eq!(tally.hear(start + WINDOW - Duration::from_nanos(1)), (false, 0));
        }
        assert_eq!(tally.hear(start + WINDOW), (true, 1_000));
        assert_eq!(tally.settle(start + WINDOW), 0);
        for _ in 0..4 {
            tally.hear(start + WINDOW);
        }
        assert_eq!(tally.settle(start + WINDOW * 2), 2);
        assert_eq!(tally.end(), 0);
    }
}
