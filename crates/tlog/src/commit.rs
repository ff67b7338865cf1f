//! The committer: one thread that makes entries durable, a batch at a time.
//!
//! While one batch is being synced the next one gathers in the queue. Knows nothing of tiles, checkpoints and the keys that sign them.

use crate::batch::{Commit, Tip};
use crate::epoch::EpochKey;
use crate::error::{Error, io_error};
use crate::format::{FRAME_BYTES, Header, TRAILER_BYTES, push_entry, push_epoch, push_trailer};
use crate::merkle::CompactRange;
use crate::queue::{Reply, Submission};
use crate::scan::segment_path;
use crate::shared::{Active, Shared};
use crate::storage::Access;
use note::Hash;
use note::{Batch, Sign as _};
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
    /// Whether the certificate of this epoch stands in the segment.
    certified: bool,
    /// Signs the batches; gone when the committer ends.
    epoch: EpochKey,
    /// The time of the last batch.
    time_ms: u64,
    /// The bytes of the batch at hand; reused.
    buffer: Vec<u8>,
    /// The text that is signed; reused.
    text: String,
    /// Commits until free space is looked at again.
    room_known_for: u32,
}

impl Committer {
    /// Goes on after `tree`, whose last trailer has the hash `previous`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        (tree, previous): (CompactRange, Hash),
        segment: Active,
        epoch: EpochKey,
    ) -> Self {
        let time_ms = shared.tip.borrow().time_ms;
        Self {
            shared,
            tree,
            previous,
            segment,
            certified: false,
            epoch,
            time_ms,
            buffer: Vec::new(),
            text: String::new(),
            room_known_for: 0,
        }
    }

    /// Works until the queue is closed and empty. Whatever happens, every
    /// entry gets an answer.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let bound = shared.bounds.batch;
        let mut entries = Vec::new();
        while shared.queue.take(&mut entries, bound) {
            let work = AssertUnwindSafe(|| self.commit(&entries));
            let committed = catch_unwind(work)
                .unwrap_or_else(|_| Err(shared.poison("the committer failed unexpectedly")));
            shared.write_ended();
            match committed {
                Ok(commit) => acknowledge(entries.drain(..), &commit),
                Err(error) => refuse(entries.drain(..), &error),
            }
        }
    }

    /// Makes one batch durable. Before the write an error leaves everything as
    /// it was; from the write on it stops the log.
    fn commit(&mut self, entries: &[Submission]) -> Result<Arc<Commit>, Error> {
        self.shared.check_poison()?;
        self.shared.write_begins();
        let time_ms = self.shared.config.time_after(self.time_ms)?;
        self.check_room()?;
        let certificate =
            if self.certified { 0 } else { self.epoch.certificate.len() + FRAME_BYTES };
        let frames: usize = entries.iter().map(|one| FRAME_BYTES + one.entry.bytes.len()).sum();
        let bytes = u64::try_from(certificate + frames + TRAILER_BYTES).unwrap_or(u64::MAX);
        if self.segment.length - self.segment.offset < bytes {
            self.next_segment()?;
        }
        let before = self.tree.clone();
        let encoded = self.encode(entries, time_ms);
        let (batch, hash) = encoded.map_err(|cause| self.shared.poison(&cause))?;
        if let Err(cause) = self.write() {
            return Err(self.shared.poison(&cause));
        }
        // Durable: a crash from here on keeps the batch. It still counts only
        // if its file can be found again.
        self.shared.check_named(&self.segment)?;
        self.previous = hash;
        self.certified = true;
        self.time_ms = time_ms;
        self.shared.set_active_offset(self.segment.offset);
        let tip = Tip { size: batch.size, root: batch.root, time_ms };
        self.shared.tip.send_replace(tip);
        let leaves = entries.iter().map(|one| one.entry.leaf_hash).collect();
        let epoch = Arc::clone(&self.epoch.certificate);
        Ok(Arc::new(Commit { batch: Arc::new(batch), epoch, before, leaves }))
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
        self.certified = false;
        self.shared.set_active(&self.segment);
        Ok(())
    }

    /// Adds the entries to the tree and writes the batch to the buffer, after
    /// the header and the certificate where they are not there yet.
    fn encode(&mut self, entries: &[Submission], time_ms: u64) -> Result<(Batch, Hash), String> {
        self.buffer.clear();
        if self.segment.offset == 0 {
            self.header().push(&mut self.buffer);
        }
        if !self.certified {
            push_epoch(&mut self.buffer, self.epoch.certificate.as_bytes());
        }
        let first = self.tree.size();
        for submission in entries {
            push_entry(&mut self.buffer, &submission.entry.bytes);
            self.tree.push(submission.entry.leaf_hash);
        }
        let mut batch = Batch {
            first,
            count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            size: self.tree.size(),
            root: self.tree.root(),
            previous: self.previous,
            time_ms,
            signature: [0; 64],
        };
        self.text.clear();
        batch.write_text(self.shared.genesis.name(), &mut self.text);
        let signature = self.epoch.signer.sign(self.text.as_bytes());
        let signature = signature.map_err(|error| error.to_string())?;
        batch.signature = signature.try_into().map_err(|_| "a signature has no 64 bytes")?;
        let hash = push_trailer(&mut self.buffer, &batch);
        Ok((batch, hash))
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

fn acknowledge(entries: impl Iterator<Item = Submission>, commit: &Arc<Commit>) {
    for (position, submission) in entries.enumerate() {
        let reply = Reply { commit: Arc::clone(commit), position };
        // Nobody waits any more: the entry is in the log all the same.
        submission.reply.send(Ok(reply)).ok();
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
        Error::ClockWentBack { behind_ms, max_ms } => {
            Error::ClockWentBack { behind_ms: *behind_ms, max_ms: *max_ms }
        }
        Error::Poisoned { cause } => Error::Poisoned { cause: Arc::clone(cause) },
        other => Error::Poisoned { cause: other.to_string().into() },
    }
}

/// How many commits go by between two looks at the free space.
const ROOM_CHECK_COMMITS: u32 = 64;
