//! The bounded queue between those who append and the one who commits.
//!
//! Knows nothing of files. A plain mutex and a condition variable: the lock is
//! held for a push or a drain, never across input or output.

use crate::batch::Commit;
use crate::error::Error;
use note::{Hash, leaf_hash};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// An entry with its leaf hash, which is computed once, by whoever makes it:
/// many do so at once, and the committer is one.
#[derive(Debug)]
pub struct Entry {
    pub(crate) bytes: Vec<u8>,
    pub(crate) leaf_hash: Hash,
}

impl Entry {
    /// Its leaf hash.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        self.leaf_hash
    }
}

impl From<Vec<u8>> for Entry {
    fn from(bytes: Vec<u8>) -> Self {
        let leaf_hash = leaf_hash(&bytes);
        Self { bytes, leaf_hash }
    }
}

/// When an entry is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// At once.
    Now,
    /// With the next entry that is committed at once, and in any case within
    /// [`Config::linger_ms`](crate::Config::linger_ms): so one sync does for
    /// what nobody waits for and for what comes after it.
    Soon,
}

/// An entry on its way to the log.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) entry: Entry,
    pub(crate) urgency: Urgency,
    pub(crate) reply: oneshot::Sender<Result<Reply, Error>>,
}

/// The answer to an entry: its position in a commit. As little as can be, so
/// that the committer is done with it soon; whoever waits makes more of it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) commit: Arc<Commit>,
    pub(crate) position: usize,
}

/// How much one batch takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchBound {
    pub(crate) entries: usize,
    /// Bytes of entries and of what the format adds to each.
    pub(crate) bytes: usize,
    /// Bytes that the format adds to each entry.
    pub(crate) overhead: usize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    entries_max: usize,
    /// How long an entry that is not urgent may wait for one that is.
    linger: Duration,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Submission>,
    /// Whether one of those waiting is to be committed at once.
    urgent: bool,
    committer: Committer,
    closed: bool,
}

/// What the committer does: only when it sleeps, a push has to wake it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Committer {
    #[default]
    Works,
    /// For a while: an entry that is not urgent lets it.
    Dozes,
    /// Until anything comes.
    Sleeps,
}

impl State {
    /// Whether the committer is to be woken for an entry.
    fn wakes(&mut self, urgency: Urgency) -> bool {
        let wakes = match self.committer {
            Committer::Works => false,
            Committer::Dozes => urgency == Urgency::Now,
            Committer::Sleeps => true,
        };
        if wakes {
            self.committer = Committer::Works;
        }
        wakes
    }
}

impl Queue {
    pub(crate) fn new(entries_max: usize, linger: Duration) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), entries_max, linger }
    }

    /// Adds an entry, or refuses at once.
    pub(crate) fn push(&self, submission: Submission) -> Result<(), Error> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::Closed);
        }
        if self.entries_max <= state.waiting.len() {
            return Err(Error::QueueFull { entries: self.entries_max });
        }
        // Half full, nothing lingers.
        let crowded = self.entries_max <= 2 * (state.waiting.len() + 1);
        let urgency = if crowded { Urgency::Now } else { submission.urgency };
        state.urgent |= urgency == Urgency::Now;
        state.waiting.push_back(submission);
        let wakes = state.wakes(urgency);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Entries that wait.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Adds entries that the committer finds together.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn push_all(&self, submissions: Vec<Submission>) {
        let mut state = self.state();
        state.waiting.extend(submissions);
        state.urgent = true;
        state.committer = Committer::Works;
        drop(state);
        self.arrived.notify_one();
    }

    /// Waits for entries and moves as many as the bound allows, at least one,
    /// to `batch`. False when the queue is closed and empty.
    pub(crate) fn take(&self, batch: &mut Vec<Submission>, bound: BatchBound) -> bool {
        let mut state = self.wait(self.state());
        if state.waiting.is_empty() {
            return false;
        }
        let mut bytes = 0;
        while let Some(next) = state.waiting.front() {
            bytes += next.entry.bytes.len() + bound.overhead;
            let fits = bytes <= bound.bytes && batch.len() < bound.entries;
            if !fits && !batch.is_empty() {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        // What is left did not fit, and has waited long enough.
        state.urgent = !state.waiting.is_empty();
        true
    }

    /// Waits until something is to be committed, or the queue is closed. The
    /// committer dozes first, because what is not urgent tends to come right
    /// after a commit, and then needs nobody to be woken twice.
    fn wait<'q>(&'q self, mut state: MutexGuard<'q, State>) -> MutexGuard<'q, State> {
        let mut dozes = true;
        while !state.closed && !state.urgent {
            if dozes {
                state.committer = Committer::Dozes;
                let dozed = self.arrived.wait_timeout(state, self.linger);
                let (woken, timeout) = dozed.unwrap_or_else(PoisonError::into_inner);
                state = woken;
                if timeout.timed_out() {
                    if !state.waiting.is_empty() {
                        break;
                    }
                    dozes = false;
                }
            } else {
                state.committer = Committer::Sleeps;
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                dozes = !state.waiting.is_empty();
            }
        }
        state.committer = Committer::Works;
        state
    }

    /// Takes no more entries; those that wait are still handed out.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    #[cfg(test)]
    fn sleeps(&self) -> bool {
        self.state().committer == Committer::Sleeps
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchBound, Queue, Submission, Urgency};
    use crate::error::Error;
    use std::time::Duration;
    use tokio::sync::oneshot;

    /// Long enough to fail a test that waits for it.
    const LINGER: Duration = Duration::from_secs(3_600);

    fn submission(bytes: usize) -> Submission {
        of(Urgency::Now, bytes)
    }

    fn of(urgency: Urgency, bytes: usize) -> Submission {
        Submission { entry: vec![1; bytes].into(), urgency, reply: oneshot::channel().0 }
    }

    fn taken(queue: &Queue, bound: BatchBound) -> Vec<usize> {
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch, bound));
        batch.iter().map(|submission| submission.entry.bytes.len()).collect()
    }

    #[test]
    fn refuses_beyond_its_bound_and_after_closing() {
        let queue = Queue::new(2, LINGER);
        queue.push(submission(1)).unwrap();
        queue.push(submission(1)).unwrap();
        let full = queue.push(submission(1));
        assert!(matches!(full, Err(Error::QueueFull { entries: 2 })));
        queue.close();
        assert!(matches!(queue.push(submission(1)), Err(Error::Closed)));
        let bound = BatchBound { entries: 9, bytes: 99, overhead: 0 };
        assert_eq!(taken(&queue, bound), [1, 1]);
        assert!(!queue.take(&mut Vec::new(), bound));
    }

    #[test]
    fn what_is_not_urgent_goes_with_what_is() {
        let queue = Queue::new(99, LINGER);
        queue.push(of(Urgency::Soon, 1)).unwrap();
        queue.push(of(Urgency::Soon, 2)).unwrap();
        queue.push(of(Urgency::Now, 3)).unwrap();
        queue.push(of(Urgency::Soon, 4)).unwrap();
        let bound = BatchBound { entries: 3, bytes: 99, overhead: 0 };
        assert_eq!(taken(&queue, bound), [1, 2, 3]);
        assert_eq!(taken(&queue, bound), [4], "what did not fit has waited long enough");
    }

    #[test]
    fn what_is_not_urgent_goes_alone_in_the_end() {
        let bound = BatchBound { entries: 9, bytes: 99, overhead: 0 };
        let queue = Queue::new(99, Duration::from_millis(1));
        queue.push(of(Urgency::Soon, 1)).unwrap();
        assert_eq!(taken(&queue, bound), [1], "after its time");
        let queue = Queue::new(3, LINGER);
        queue.push(of(Urgency::Soon, 1)).unwrap();
        queue.push(of(Urgency::Soon, 2)).unwrap();
        assert_eq!(taken(&queue, bound), [1, 2], "half full");
        let queue = Queue::new(99, LINGER);
        queue.push(of(Urgency::Soon, 1)).unwrap();
        queue.close();
        assert_eq!(taken(&queue, bound), [1], "at the end");
    }

    #[test]
    fn a_committer_that_sleeps_is_woken() {
        let queue = Queue::new(99, Duration::from_millis(1));
        let bound = BatchBound { entries: 9, bytes: 99, overhead: 0 };
        std::thread::scope(|scope| {
            for urgency in [Urgency::Soon, Urgency::Now] {
                let taker = scope.spawn(|| taken(&queue, bound));
                while !queue.sleeps() {
                    std::thread::yield_now();
                }
                queue.push(of(urgency, 7)).unwrap();
                assert_eq!(taker.join().unwrap(), [7]);
            }
        });
    }

    #[test]
    fn a_batch_keeps_order_and_bounds() {
        let queue = Queue::new(9, LINGER);
        for bytes in [3, 4, 5, 50, 1, 1, 1] {
            queue.push(submission(bytes)).unwrap();
        }
        let bound = BatchBound { entries: 2, bytes: 20, overhead: 1 };
        assert_eq!(taken(&queue, bound), [3, 4]);
        assert_eq!(taken(&queue, bound), [5], "50 more do not fit");
        assert_eq!(taken(&queue, bound), [50], "one always goes");
        assert_eq!(taken(&queue, bound), [1, 1]);
        assert_eq!(taken(&queue, bound), [1]);
    }
}
