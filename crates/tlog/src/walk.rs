//! Walks over the segments from some point on: every checksum, every link,
//! every root and one signature for each epoch in each segment.
//!
//! Changes nothing, and does not know why it starts where it starts.

use crate::edge::TileEdge;
use crate::error::{Error, corrupt};
use crate::format::{HEADER_BYTES, Header};
use crate::merkle::CompactRange;
use crate::publish::{CHECKPOINT, Resume};
use crate::scan::{Head, Position, SegmentScan, Step, segment_path};
use crate::statements::KeyChain;
use crate::storage::Storage;
use crate::torn::{Tail, judge};
use note::{Batch, Checkpoint, Epoch, Hash, TILE_WIDTH, leaf_hash};

/// What a walk is held against.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) chain: &'a KeyChain,
    /// SHA-256 of the verifier key line of the log.
    pub(crate) log: Hash,
    pub(crate) checkpoint: &'a Checkpoint,
    /// A size at which somebody wants to know the root; 0 for nobody.
    pub(crate) watched: u64,
}

/// The state of the walk.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    known: &'a Known<'a>,
    pub(crate) tree: CompactRange,
    tiles: TileEdge,
    /// What the next segment has to continue; `None` when nothing before it is
    /// there any more.
    before: Option<Before>,
    epoch: Option<InForce>,
    /// Where publishing goes on, once the walk came by.
    pub(crate) edge: Option<Resume>,
    /// When the last batch was committed.
    pub(crate) time_ms: u64,
    /// The end of the last segment with a batch in it, or of the first one.
    pub(crate) end: Option<End>,
    /// The name of a segment in which no batch was finished.
    pub(crate) unbegun: Option<u64>,
    pub(crate) bytes_dropped: usize,
    /// The root at the watched size.
    pub(crate) watched_root: Option<Hash>,
}

/// The certificate of the epoch of the batch at hand.
#[derive(Debug)]
struct InForce {
    note: Vec<u8>,
    epoch: Epoch,
    /// Whether the key that signed it may still be believed.
    counts: bool,
}

/// What a segment continues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    /// The ordinal of the segment that follows.
    pub(crate) ordinal: u64,
    /// The hash of the last trailer.
    pub(crate) previous: Hash,
}

/// Where the log ends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) position: Position,
    pub(crate) length: u64,
    /// Where the last batch begins.
    pub(crate) last_batch: u64,
    /// Whether bytes that are not zero follow.
    pub(crate) torn: bool,
}

impl<'a> Walk<'a> {
    /// Starts after the entries that `tiles` is over.
    pub(crate) fn new(known: &'a Known<'a>, tiles: TileEdge, before: Option<Before>) -> Self {
        let tree = tiles.compact_range();
        let watched_root = (0 < known.watched && tree.size() == known.watched).then(|| tree.root());
        Self {
            known,
            tree,
            tiles,
            before,
            epoch: None,
            edge: None,
            time_ms: 0,
            end: None,
            unbegun: None,
            bytes_dropped: 0,
            watched_root,
        }
    }

    /// Walks over these segments, the last of which is the last of the log.
    pub(crate) fn segments(&mut self, firsts: &[u64]) -> Result<(), Error> {
        for (at, first) in firsts.iter().enumerate() {
            let next = self.tree.size();
            if *first != next {
                let what = "the segment that should be here is missing";
                return Err(corrupt(&segment_path(next), 0, Some(next), what));
            }
            self.segment(*first, at + 1 == firsts.len())?;
        }
        self.check_end()
    }

    /// Notes the state at the last full bundle of the published tree.
    pub(crate) fn note_edge(&mut self, position: &Position) {
        let size = self.known.checkpoint.size;
        if self.tree.size() == size - size % u64::from(TILE_WIDTH) {
            let tiles = self.tiles.clone();
            self.edge = Some(Resume { tiles, position: position.clone() });
        }
    }

    fn segment(&mut self, first: u64, is_last: bool) -> Result<(), Error> {
        let (mut scan, head) = SegmentScan::open(self.known.storage, first)?;
        let alone = self.end.is_none();
        match head {
            Head::Header(header) => self.check_header(&scan, &header)?,
            Head::Blank | Head::Bad(_) if is_last && !alone => {
                scan.resume(Position { offset: 0, ..scan.position().clone() });
                return self.unbegun(&scan, first, HEADER_BYTES);
            }
            Head::Blank => return Err(corrupt(scan.path(), 0, Some(first), "no segment header")),
            Head::Bad(what) => return Err(corrupt(scan.path(), 0, Some(first), what)),
        }
        let (last, last_batch) = self.batches(&mut scan)?;
        match last {
            Some(batch) => {
                self.check_signature(&batch, scan.path(), last_batch)?;
                self.time_ms = batch.time_ms;
            }
            None if alone => {}
            None if is_last => return self.unbegun(&scan, first, 0),
            None => {
                return Err(corrupt(scan.path(), scan.position().offset, Some(first), "no batch"));
            }
        }
        let torn = self.judge_tail(&scan, is_last, 0)?;
        let position = scan.position().clone();
        self.before = Some(Before { ordinal: position.ordinal + 1, previous: position.previous });
        self.end = Some(End { position, length: scan.length(), last_batch, torn });
        Ok(())
    }

    fn check_header(&self, scan: &SegmentScan, header: &Header) -> Result<(), Error> {
        let position = scan.position();
        let found = Before { ordinal: header.ordinal, previous: header.previous };
        let Before { ordinal, previous } = self.before.unwrap_or(found);
        let segment_bytes = scan.length();
        let (first, log) = (position.segment, self.known.log);
        if *header == (Header { ordinal, first, segment_bytes, previous, log }) {
            return Ok(());
        }
        let what = "the segment does not continue the log, or has another length";
        Err(corrupt(scan.path(), 0, Some(first), what))
    }

    /// Walks over the batches of a segment; the last one and where it begins.
    fn batches(&mut self, scan: &mut SegmentScan) -> Result<(Option<Box<Batch>>, u64), Error> {
        let mut last: Option<Box<Batch>> = None;
        let mut last_batch = scan.position().offset;
        loop {
            let before = scan.position().clone();
            let Step::Batch(batch) = scan.step()? else { return Ok((last, last_batch)) };
            if let Some(certificate) = scan.certificate() {
                if let Some(last) = &last {
                    self.check_signature(last, scan.path(), last_batch)?;
                }
                self.begin_epoch(certificate, scan.path(), before.offset)?;
            }
            last_batch = before.offset;
            for entry in scan.entries() {
                self.note_edge(&before);
                self.leaf(leaf_hash(entry), scan.path(), before.offset)?;
            }
            if self.tree.root() != batch.root {
                let what = "the entries of a batch do not have the root in its trailer";
                return Err(corrupt(scan.path(), before.offset, Some(batch.first), what));
            }
            last = Some(batch);
        }
    }

    /// Takes in the certificate before a batch: the one in force once more, or
    /// one that begins right here.
    fn begin_epoch(&mut self, note: &[u8], path: &str, offset: u64) -> Result<(), Error> {
        if self.epoch.as_ref().is_some_and(|in_force| in_force.note == note) {
            return Ok(());
        }
        let next = self.tree.size();
        let wrong = |what| corrupt(path, offset, Some(next), what);
        let (epoch, counts) = self.known.chain.verify_certificate(note).map_err(wrong)?;
        let begins = if self.epoch.is_none() { epoch.size <= next } else { epoch.size == next };
        if !begins {
            return Err(wrong("the certificate of an epoch is for another part of the log"));
        }
        self.epoch = Some(InForce { note: note.to_vec(), epoch, counts });
        Ok(())
    }

    /// Trailers are chained by hash: a good signature on the last one of an
    /// epoch in a segment vouches for all before it. Entries that are in the
    /// checkpoint need no epoch to vouch for them.
    fn check_signature(&self, batch: &Batch, path: &str, offset: u64) -> Result<(), Error> {
        let wrong = |what| Err(corrupt(path, offset, Some(batch.first), what));
        let Some(InForce { epoch, counts, .. }) = &self.epoch else { return wrong(BAD_SIGNATURE) };
        if batch.verify(&epoch.origin, &epoch.key).is_err() {
            return wrong(BAD_SIGNATURE);
        }
        if !counts && self.known.checkpoint.size < batch.size {
            return wrong("a batch is of an epoch that only a revoked key vouches for");
        }
        Ok(())
    }

    fn leaf(&mut self, leaf: Hash, path: &str, offset: u64) -> Result<(), Error> {
        self.tree.push(leaf);
        self.tiles.push(leaf, &mut |_, _| Ok::<(), Error>(()))?;
        let size = self.tree.size();
        let checkpoint = self.known.checkpoint;
        if size == checkpoint.size && self.tree.root() != checkpoint.root {
            let what = format!("the first {size} entries do not have the root in `checkpoint`");
            return Err(corrupt(path, offset, None, what));
        }
        if size == self.known.watched {
            self.watched_root = Some(self.tree.root());
        }
        Ok(())
    }

    /// Whether a write to the end of this segment was not finished.
    fn judge_tail(
        &mut self,
        scan: &SegmentScan,
        is_last: bool,
        head: usize,
    ) -> Result<bool, Error> {
        let offset = scan.position().offset;
        let next = Some(self.tree.size());
        match judge(&scan.rest()?, offset, &scan.position().previous, head) {
            Tail::Clean => Ok(false),
            Tail::Torn { bytes } if is_last => {
                self.bytes_dropped += bytes;
                Ok(true)
            }
            Tail::Torn { .. } => {
                Err(corrupt(scan.path(), offset, next, "a finished segment does not end in zeros"))
            }
            Tail::Damaged => Err(corrupt(scan.path(), offset, next, DAMAGED)),
        }
    }

    fn unbegun(&mut self, scan: &SegmentScan, first: u64, head: usize) -> Result<(), Error> {
        self.judge_tail(scan, true, head)?;
        self.unbegun = Some(first);
        Ok(())
    }

    /// The log must hold all that the checkpoint speaks of.
    fn check_end(&self) -> Result<(), Error> {
        let size = self.tree.size();
        let claimed = self.known.checkpoint.size;
        if size < claimed {
            let what = format!("the checkpoint covers {claimed} entries, the segments hold {size}");
            return Err(corrupt(CHECKPOINT, 0, Some(size), what));
        }
        if claimed == 0 && self.known.checkpoint.root != Hash::EMPTY_ROOT {
            return Err(corrupt(CHECKPOINT, 0, None, "the root is not that of an empty log"));
        }
        Ok(())
    }
}

const BAD_SIGNATURE: &str = "a batch is not signed by the key of its epoch";
const DAMAGED: &str = "the end of the log was altered; no power cut leaves it so";
