//! Group commit and nothing else: the queue, the one committer and the waiters of the log, for the
//! targets that the log is compared with.
//!
//! Knows nothing of what a commit is.

use crate::Outcome;
use crate::load::Append;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// Makes a batch durable.
pub(crate) trait Commit: Send + 'static {
    /// Returns when all of it is on stable storage.
    fn commit(&mut self, entries: &[Submission]) -> Outcome<()>;
}

/// An entry on its way.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) entry: Vec<u8>,
    reply: oneshot::Sender<bool>,
}

/// One committer thread and the queue before it.
#[derive(Debug)]
pub(crate) struct Group {
    shared: Arc<Shared>,
    committer: JoinHandle<Outcome<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<(VecDeque<Submission>, bool)>,
    arrived: Condvar,
    appended: AtomicU64,
}

impl Group {
    /// Starts the committer.
    pub(crate) fn start(name: &str, mut store: impl Commit) -> Outcome<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name(name.to_owned());
        let committer = thread.spawn(move || {
            let mut batch = Vec::new();
            while of_thread.take(&mut batch) {
                // Those who wait learn of an error by getting no answer.
                store.commit(&batch)?;
                of_thread.appended.fetch_add(u64::try_from(batch.len())?, Ordering::Relaxed);
                for (i, submission) in batch.drain(..).enumerate() {
                    submission.reply.send(i == 0).ok();
                }
            }
            Ok(())
        })?;
        Ok(Self { shared, committer })
    }

    /// Ends the committer.
    pub(crate) fn end(self) -> Outcome<()> {
        self.shared.waiting().1 = true;
        self.shared.arrived.notify_one();
        self.committer.join().map_err(|_| "the committer failed unexpectedly")?
    }
}

impl Append for Group {
    async fn append(&self, entry: Vec<u8>) -> Outcome<bool> {
        let (reply, answer) = oneshot::channel();
        self.shared.push(Submission { entry, reply });
        Ok(answer.await?)
    }

    fn appended(&self) -> Outcome<u64> {
        Ok(self.shared.appended.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn push(&self, submission: Submission) {
        self.waiting().0.push_back(submission);
        self.arrived.notify_one();
    }

    /// Waits for entries; false when there will be no more.
    fn take(&self, batch: &mut Vec<Submission>) -> bool {
        let mut waiting = self.waiting();
        while waiting.0.is_empty() {
            if waiting.1 {
                return false;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let count = waiting.0.len().min(BATCH_ENTRIES);
        batch.extend(waiting.0.drain(..count));
        true
    }

    /// What waits, and whether no more will come. Held for a push or a drain.
    fn waiting(&self) -> MutexGuard<'_, (VecDeque<Submission>, bool)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much one batch takes at most; as in the log.
const BATCH_ENTRIES: usize = 1_024;
