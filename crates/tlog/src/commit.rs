//! The committer: one thread that makes entries durable, a batch at a time.
//!
//! While one batch is being synced the next one gathers in the queue; nobody
//! lingers. Knows nothing of tiles and checkpoints.

use crate::batch::{Batch, Committed, Tip};
use crate::error::{Error, io_error};
use crate::format::{FRAME_BYTES, Header, TRAILER_BYTES, push_entry, push_trailer};
use crate::merkle::{CompactRange, Hash};
use crate::queue::Submission;
use crate::scan::segment_path;
use crate::shared::{Active, Shared};
use crate::storage::Access;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What the committer owns: nobody else reads or writes it.
#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    tree: CompactRange,
    /// The hash of the last trailer.
    previous: Hash,
    segment: Active,
    /// The bytes of the batch at hand; reused.
    buffer: Vec<u8>,
    /// The text that is signed; reused.
    text: String,
    /// Commits until free space is looked at again.
    room_known_for: u32,
}

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        tree: CompactRange,
        previous: Hash,
        segment: Active,
    ) -> Self {
        let (buffer, text) = (Vec::new(), String::new());
        Self { shared, tree, previous, segment, buffer, text, room_known_for: 0 }
    }

    /// Works until the queue is closed and empty. Whatever happens, every
    /// entry gets an answer.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let bound = shared.config.batch_bound();
        let mut entries = Vec::new();
        while shared.queue.take(&mut entries, bound) {
            let work = AssertUnwindSafe(|| self.commit(&entries));
            let committed = catch_unwind(work)
                .unwrap_or_else(|_| Err(shared.poison("the committer failed unexpectedly")));
            match committed {
                Ok(batch) => acknowledge(entries.drain(..), &batch),
                Err(error) => refuse(entries.drain(..), &error),
            }
        }
    }

    /// Makes one batch durable. Before the write an error leaves everything as
    /// it was; from the write on it stops the log.
    fn commit(&mut self, entries: &[Submission]) -> Result<Arc<Batch>, Error> {
        self.shared.check_poison()?;
        self.check_room()?;
        let frames: usize = entries.iter().map(|one| FRAME_BYTES + one.entry.len()).sum();
        let bytes = u64::try_from(frames + TRAILER_BYTES).unwrap_or(u64::MAX);
        if self.segment.length - self.segment.offset < bytes {
            self.next_segment()?;
        }
        let (batch, hash) = self.encode(entries);
        if let Err(cause) = self.write() {
            return Err(self.shared.poison(&cause));
        }
        // Durable: a crash from here on keeps the batch. It still counts only
        // if its file can be found again.
        self.shared.check_named(&self.segment)?;
        self.previous = hash;
        self.shared.set_active_offset(self.segment.offset);
        let tip = Tip { size: batch.size, root: batch.root, time_ms: batch.time_ms };
        self.shared.tip.send_replace(tip);
        Ok(Arc::new(batch))
    }

    fn check_room(&mut self) -> Result<(), Error> {
        if self.room_known_for == 0 {
            self.shared.check_room(0).map_err(|error| self.unless_full(error))?;
            self.room_known_for = ROOM_CHECK_COMMITS;
        }
        self.room_known_for -= 1;
        Ok(())
    }

    /// A full disk is waited out; any other error stops the log.
    fn unless_full(&self, error: Error) -> Error {
        match error {
            Error::DiskFull { .. } => error,
            _ => self.shared.poison(&error.to_string()),
        }
    }

    /// Seals the segment, which needs no writing, and begins another. Too
    /// little room leaves everything as it was; other errors stop the log.
    fn next_segment(&mut self) -> Result<(), Error> {
        let first = self.tree.size();
        let path = segment_path(first);
        let opened = self.shared.take_spare(&path).and_then(|()| {
            let opened = self.shared.storage.open(&path, Access::ReadWrite);
            opened.map_err(io_error("open", &path))
        });
        let file = opened.map_err(|error| self.unless_full(error))?;
        self.segment = Active {
            file,
            path,
            ordinal: self.segment.ordinal + 1,
            first,
            offset: 0,
            length: self.shared.config.segment_bytes,
        };
        self.shared.set_active(&self.segment);
        Ok(())
    }

    /// Adds the entries to the tree and writes the batch to the buffer, after
    /// the header when it is the first of its segment.
    fn encode(&mut self, entries: &[Submission]) -> (Batch, Hash) {
        self.buffer.clear();
        if self.segment.offset == 0 {
            self.header().push(&mut self.buffer);
        }
        let first = self.tree.size();
        for submission in entries {
            push_entry(&mut self.buffer, &submission.entry);
            self.tree.push(submission.leaf_hash);
        }
        let mut batch = Batch {
            first,
            count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            size: self.tree.size(),
            root: self.tree.root(),
            previous: self.previous,
            time_ms: (self.shared.config.clock)(),
            signature: [0; 64],
        };
        batch.sign(&self.shared.signer, &mut self.text);
        let hash = push_trailer(&mut self.buffer, &batch);
        (batch, hash)
    }

    fn header(&self) -> Header {
        Header {
            ordinal: self.segment.ordinal,
            first: self.segment.first,
            segment_bytes: self.segment.length,
            previous: self.previous,
            log: self.shared.log,
        }
    }

    /// One write, one sync. There is no second try on this file: after a
    /// failed sync the system may have forgotten what was not written.
    fn write(&mut self) -> Result<(), String> {
        let path = &self.segment.path;
        let written = self
            .segment
            .file
            .write_at(&self.buffer, self.segment.offset)
            .map_err(|error| format!("cannot write `{path}`: {error}"))?;
        if written != self.buffer.len() {
            let wanted = self.buffer.len();
            return Err(format!("cannot write `{path}`: {written} of {wanted} bytes were taken"));
        }
        let synced = self.segment.file.sync();
        synced.map_err(|error| format!("cannot sync `{path}`: {error}"))?;
        self.segment.offset += u64::try_from(written).unwrap_or(u64::MAX);
        Ok(())
    }
}

fn acknowledge(entries: impl Iterator<Item = Submission>, batch: &Arc<Batch>) {
    for (index, submission) in (batch.first..).zip(entries) {
        let batch = Arc::clone(batch);
        let committed = Committed { index, leaf_hash: submission.leaf_hash, batch };
        // Nobody waits any more: the entry is in the log all the same.
        submission.reply.send(Ok(committed)).ok();
    }
}

fn refuse(entries: impl Iterator<Item = Submission>, error: &Error) {
    for submission in entries {
        submission.reply.send(Err(again(error))).ok();
    }
}

/// The same error for one more waiter.
fn again(error: &Error) -> Error {
    match error {
        Error::DiskFull { free, min } => Error::DiskFull { free: *free, min: *min },
        Error::Poisoned { cause } => Error::Poisoned { cause: Arc::clone(cause) },
        other => Error::Poisoned { cause: other.to_string().into() },
    }
}

/// How many commits go by between two looks at the free space.
const ROOM_CHECK_COMMITS: u32 = 64;
