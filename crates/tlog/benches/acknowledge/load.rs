//! The load: tasks that each wait for one entry after another, and how long each had to wait.
//!
//! Knows nothing of what makes the entries durable.

use crate::{ENTRY_BYTES, Outcome, WARM_UP, machine};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How much is asked for.
#[derive(Debug)]
pub(crate) struct Load {
    /// How many tasks wait at once.
    pub(crate) writers: usize,
    /// How long.
    pub(crate) time: Duration,
    /// What the tasks run on.
    pub(crate) runtime: Handle,
}

/// What one round measured.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// How long it took.
    pub(crate) time: Duration,
    /// How long each entry took, in nanoseconds, the shortest first.
    pub(crate) latencies_ns: Vec<u64>,
    /// How many commits that were.
    pub(crate) commits: usize,
    /// Processor time of the process: writers, committer and kernel.
    pub(crate) cpu: Duration,
}

/// What makes entries durable.
pub(crate) trait Append: Send + Sync + 'static {
    /// Returns when the entry is on stable storage: whether it is the first of its batch.
    fn append(&self, entry: Vec<u8>) -> impl Future<Output = Outcome<bool>> + Send;

    /// How many entries it says it has.
    fn appended(&self) -> Outcome<u64>;
}

impl Load {
    /// The length of a file with room for everything that will be written.
    pub(crate) fn file_bytes(&self) -> u64 {
        let entries = u64::try_from(self.entries_max(WARM_UP + self.time)).unwrap_or(u64::MAX);
        // A quarter more for what a format adds, when every entry is a batch.
        let bytes = entries.saturating_mul(u64::try_from(ENTRY_BYTES * 5 / 4).unwrap_or(u64::MAX));
        bytes.saturating_add(1 << 20).next_multiple_of(1 << 20)
    }

    /// One round after a short one that does not count.
    pub(crate) fn run(&self, target: &Arc<impl Append>) -> Outcome<Round> {
        let before = self.run_for(WARM_UP, target)?;
        let cpu = machine::cpu()?;
        let mut round = self.run_for(self.time, target)?;
        round.cpu = machine::cpu()?.saturating_sub(cpu);
        let counted = u64::try_from(before.latencies_ns.len() + round.latencies_ns.len())?;
        let appended = target.appended()?;
        if appended != counted {
            return Err(format!("{counted} entries were acknowledged, {appended} are there").into());
        }
        round.latencies_ns.sort_unstable();
        Ok(round)
    }

    fn run_for(&self, time: Duration, target: &Arc<impl Append>) -> Outcome<Round> {
        let each = self.entries_max(time) / self.writers;
        let started = Instant::now();
        let writers: Vec<_> = (0..self.writers)
            .map(|_| self.runtime.spawn(write(Arc::clone(target), started + time, each)))
            .collect();
        let mut round = Round::default();
        for writer in writers {
            let (latencies_ns, commits) = self.runtime.block_on(writer)??;
            round.latencies_ns.extend(latencies_ns);
            round.commits += commits;
        }
        round.time = started.elapsed();
        Ok(round)
    }

    /// More than a disk of today makes durable in this time. Where that is wrong, a round ends early
    /// rather than with a file that is full.
    fn entries_max(&self, time: Duration) -> usize {
        let ms = usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
        ms.saturating_mul(self.writers.saturating_mul(20).min(500))
    }
}

async fn write(
    target: Arc<impl Append>,
    end: Instant,
    entries_max: usize,
) -> Outcome<(Vec<u64>, usize)> {
    let mut latencies_ns = Vec::new();
    let mut commits = 0;
    loop {
        let entry = vec![7; ENTRY_BYTES];
        let sent = Instant::now();
        if end <= sent || entries_max <= latencies_ns.len() {
            return Ok((latencies_ns, commits));
        }
        commits += usize::from(target.append(entry).await?);
        latencies_ns.push(u64::try_from(sent.elapsed().as_nanos())?);
    }
}
