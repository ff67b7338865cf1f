//! The bounded queue between those who append and the one who commits.
//!
//! Knows nothing of files. A plain mutex and a condition variable: the lock is
//! held for a push or a drain, never across input or output.

use crate::batch::Commit;
use crate::error::Error;
use note::{Hash, leaf_hash};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// An entry on its way to the log.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) entry: Entry,
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
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Submission>,
    /// Whether the committer sleeps: only then a push has to wake it.
    idle: bool,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), entries_max }
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
        state.waiting.push_back(submission);
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Adds entries that the committer finds together.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn push_all(&self, submissions: Vec<Submission>) {
        let mut state = self.state();
        state.waiting.extend(submissions);
        state.idle = false;
        drop(state);
        self.arrived.notify_one();
    }

    /// Waits for entries and moves as many as the bound allows, at least one,
    /// to `batch`. False when the queue is closed and empty.
    pub(crate) fn take(&self, batch: &mut Vec<Submission>, bound: BatchBound) -> bool {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state.idle = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
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
        true
    }

    /// Takes no more entries; those that wait are still handed out.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
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
    use super::{BatchBound, Queue, Submission};
    use crate::error::Error;
    use tokio::sync::oneshot;

    fn submission(bytes: usize) -> Submission {
        Submission { entry: vec![1; bytes].into(), reply: oneshot::channel().0 }
    }

    fn taken(queue: &Queue, bound: BatchBound) -> Vec<usize> {
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch, bound));
        batch.iter().map(|submission| submission.entry.bytes.len()).collect()
    }

    #[test]
    fn refuses_beyond_its_bound_and_after_closing() {
        let queue = Queue::new(2);
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
    fn a_batch_keeps_order_and_bounds() {
        let queue = Queue::new(9);
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
