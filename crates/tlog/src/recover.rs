//! Opening: the whole log is read, checked and continued where it ended.
//!
//! The same whether the last writer closed it, was killed or lost power. What
//! was acknowledged is there, or the log is refused; only the unfinished end
//! of the last segment, which nobody was promised, is taken away. Nothing is
//! changed before everything was checked.

use crate::batch::{Batch, Tip};
use crate::checkpoint::{Checkpoint, Lines};
use crate::edge::TileEdge;
use crate::error::{Error, corrupt, io_error};
use crate::format::{HEADER_BYTES, Header};
use crate::key::{Signer, Verifier};
use crate::merkle::{CompactRange, Hash, leaf_hash};
use crate::publish::{CHECKPOINT, Resume};
use crate::scan::{
    Head, Position, SEGMENTS, SPARE, SegmentScan, Step, list_segments, segment_path,
};
use crate::shared::{Active, log_id};
use crate::storage::{Access, PUT_TEMPORARY, Storage};
use crate::tile::TILE_WIDTH;
use crate::torn::{Tail, judge};
use std::io;

/// What opening found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The number of entries in the log.
    pub entries: u64,
    /// How many bytes of an unfinished write were taken away. Nobody was told
    /// that what they held was committed.
    pub bytes_dropped: u64,
    /// Whether the last writer closed the log.
    pub clean: bool,
}

/// Everything that is needed to go on with the log.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) tree: CompactRange,
    pub(crate) previous: Hash,
    pub(crate) active: Active,
    pub(crate) tip: Tip,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) edge: Resume,
    pub(crate) recovered: Recovered,
}

/// Reads and checks the log, then mends its end. The caller holds the claim.
pub(crate) fn recover(storage: &dyn Storage, signer: &Signer) -> Result<Recovery, Error> {
    check_key(storage, signer)?;
    let verifier = signer.verifier();
    let note = match storage.read(CHECKPOINT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotALog(CHECKPOINT.to_owned()));
        }
        read => read.map_err(io_error("read", CHECKPOINT))?,
    };
    let checkpoint = Checkpoint::verify(&note, verifier, Lines::LogOnly)?;
    let mut walk = Walk::new(storage, verifier, log_id(signer), checkpoint);
    walk.segments()?;
    walk.check_end()?;
    walk.mend()
}

/// The path of the file with the verifier key line.
pub(crate) const VERIFIER_KEY: &str = "origin.vkey";

fn check_key(storage: &dyn Storage, signer: &Signer) -> Result<(), Error> {
    let found = match storage.read(VERIFIER_KEY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotALog(VERIFIER_KEY.to_owned()));
        }
        read => read.map_err(io_error("read", VERIFIER_KEY))?,
    };
    let expected = signer.verifier().to_text();
    if found == format!("{expected}\n").as_bytes() {
        return Ok(());
    }
    let found = String::from_utf8_lossy(&found).trim_end().to_owned();
    Err(Error::WrongKey { expected, found })
}

/// The state of the walk over all segments.
struct Walk<'a> {
    storage: &'a dyn Storage,
    verifier: &'a Verifier,
    log: Hash,
    checkpoint: Checkpoint,
    tree: CompactRange,
    tiles: TileEdge,
    /// Where publishing goes on, once the walk came by.
    edge: Option<Resume>,
    time_ms: u64,
    /// The end of the last segment with a batch in it, or of the first one.
    end: Option<End>,
    /// The name of a segment in which no batch was finished.
    unbegun: Option<u64>,
    bytes_dropped: usize,
}

struct End {
    position: Position,
    length: u64,
    /// Where the last batch begins.
    last_batch: u64,
    /// Whether bytes that are not zero follow.
    torn: bool,
}

impl<'a> Walk<'a> {
    fn new(
        storage: &'a dyn Storage,
        verifier: &'a Verifier,
        log: Hash,
        checkpoint: Checkpoint,
    ) -> Self {
        Self {
            storage,
            verifier,
            log,
            checkpoint,
            tree: CompactRange::default(),
            tiles: TileEdge::default(),
            edge: None,
            time_ms: 0,
            end: None,
            unbegun: None,
            bytes_dropped: 0,
        }
    }

    fn segments(&mut self) -> Result<(), Error> {
        let firsts = list_segments(self.storage)?;
        let count = firsts.len();
        for (ordinal, first) in (0_u64..).zip(firsts) {
            let is_last = usize::try_from(ordinal).is_ok_and(|ordinal| ordinal + 1 == count);
            let next = self.tree.size();
            if first != next {
                let what = "the segment that should be here is missing";
                return Err(corrupt(&segment_path(next), 0, Some(next), what));
            }
            self.segment(ordinal, first, is_last)?;
        }
        Ok(())
    }

    fn segment(&mut self, ordinal: u64, first: u64, is_last: bool) -> Result<(), Error> {
        let (mut scan, head) = SegmentScan::open(self.storage, first)?;
        let previous = self.end.as_ref().map_or(Hash::ZERO, |end| end.position.previous);
        let segment_bytes = scan.length();
        let expected = Header { ordinal, first, segment_bytes, previous, log: self.log };
        match head {
            Head::Header(header) if header == expected => {}
            Head::Header(_) => {
                let what = "the segment does not continue the log, or has another length";
                return Err(corrupt(scan.path(), 0, Some(first), what));
            }
            Head::Blank | Head::Bad(_) if is_last && ordinal != 0 => {
                scan.resume(Position { offset: 0, ..scan.position().clone() });
                return self.unbegun(&scan, first, HEADER_BYTES);
            }
            Head::Blank => return Err(corrupt(scan.path(), 0, Some(first), "no segment header")),
            Head::Bad(what) => return Err(corrupt(scan.path(), 0, Some(first), what)),
        }
        let (last, last_batch) = self.batches(&mut scan)?;
        if let Some(batch) = &last {
            // Trailers are chained by hash: a good signature on the last one
            // of a segment vouches for all before it.
            let wrong = |_| corrupt(scan.path(), last_batch, Some(batch.first), BAD_SIGNATURE);
            batch.verify(self.verifier).map_err(wrong)?;
            self.time_ms = batch.time_ms;
        } else if ordinal != 0 {
            if is_last {
                return self.unbegun(&scan, first, 0);
            }
            return Err(corrupt(scan.path(), scan.position().offset, Some(first), "no batch"));
        }
        let torn = self.judge_tail(&scan, is_last, 0)?;
        let position = scan.position().clone();
        self.end = Some(End { position, length: scan.length(), last_batch, torn });
        Ok(())
    }

    /// Walks over the batches of a segment; the last one and where it begins.
    fn batches(&mut self, scan: &mut SegmentScan) -> Result<(Option<Box<Batch>>, u64), Error> {
        let mut last = None;
        let mut last_batch = scan.position().offset;
        loop {
            let before = scan.position().clone();
            let Step::Batch(batch) = scan.step()? else { return Ok((last, last_batch)) };
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

    fn leaf(&mut self, leaf: Hash, path: &str, offset: u64) -> Result<(), Error> {
        self.tree.push(leaf);
        self.tiles.push(leaf, &mut |_, _| Ok::<(), Error>(()))?;
        let size = self.tree.size();
        if size == self.checkpoint.size && self.tree.root() != self.checkpoint.root {
            let what = format!("the first {size} entries do not have the root in `checkpoint`");
            return Err(corrupt(path, offset, None, what));
        }
        Ok(())
    }

    /// Keeps the state at the last full bundle of the published tree.
    fn note_edge(&mut self, position: &Position) {
        let boundary = self.checkpoint.size - self.checkpoint.size % u64::from(TILE_WIDTH);
        if self.tree.size() == boundary {
            let tiles = self.tiles.clone();
            self.edge = Some(Resume { tiles, position: position.clone() });
        }
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
        let claimed = self.checkpoint.size;
        if size < claimed {
            let what = format!("the checkpoint covers {claimed} entries, the segments hold {size}");
            return Err(corrupt(CHECKPOINT, 0, Some(size), what));
        }
        if claimed == 0 && self.checkpoint.root != Hash::EMPTY_ROOT {
            return Err(corrupt(CHECKPOINT, 0, None, "the root is not that of an empty log"));
        }
        Ok(())
    }

    /// Takes away what was not finished, and makes sure that what was found is
    /// on stable storage and not only in the memory of the system.
    fn mend(mut self) -> Result<Recovery, Error> {
        let leftovers = self.remove_leftovers()?;
        let Some(end) = self.end.take() else { return Err(Error::NotALog(segment_path(0))) };
        self.note_edge(&end.position);
        let path = segment_path(end.position.segment);
        let file = self.storage.open(&path, Access::ReadWrite).map_err(io_error("open", &path))?;
        let active = Active {
            file,
            path,
            ordinal: end.position.ordinal,
            first: end.position.segment,
            offset: end.position.offset,
            length: end.length,
        };
        rewrite(&active, &end).map_err(io_error("write", &active.path))?;
        let size = self.tree.size();
        let tip = Tip { size, root: self.tree.root(), time_ms: self.time_ms };
        let torn = end.torn || self.unbegun.is_some() || leftovers;
        let recovered = Recovered {
            entries: size,
            bytes_dropped: u64::try_from(self.bytes_dropped).unwrap_or(u64::MAX),
            clean: !torn && self.checkpoint.size == size,
        };
        let edge = self.edge.ok_or_else(|| Error::NotALog(segment_path(0)))?;
        let (tree, checkpoint, previous) = (self.tree, self.checkpoint, end.position.previous);
        Ok(Recovery { tree, previous, active, tip, checkpoint, edge, recovered })
    }

    /// Removes files that a crash left; true when there were any.
    fn remove_leftovers(&self) -> Result<bool, Error> {
        let mut found = false;
        let unbegun = self.unbegun.map(segment_path);
        for path in [Some(PUT_TEMPORARY), Some(SPARE), unbegun.as_deref()].into_iter().flatten() {
            match self.storage.remove(path) {
                Ok(()) => found = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("remove", path)(error)),
            }
        }
        if found {
            self.storage.sync_dir("").map_err(io_error("sync", "."))?;
            self.storage.sync_dir(SEGMENTS).map_err(io_error("sync", SEGMENTS))?;
        }
        Ok(found)
    }
}

/// Writes the last batch again as it is, and zeros over an unfinished one.
/// After a failed sync the system may show bytes that are on no disk; writing
/// them again is what brings them there.
fn rewrite(active: &Active, end: &End) -> io::Result<()> {
    let stop = if end.torn { active.length } else { active.offset };
    let mut at = end.last_batch;
    while at < stop {
        let zeroing = active.offset <= at;
        let upto = if zeroing { stop } else { active.offset };
        let count = usize::try_from(upto - at).unwrap_or(usize::MAX).min(REWRITE_BYTES);
        let mut bytes = vec![0; count];
        let unread = !zeroing && active.file.read_at(&mut bytes, at)? != count;
        if unread || active.file.write_at(&bytes, at)? != count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at += u64::try_from(count).unwrap_or(u64::MAX);
    }
    active.file.sync()
}

const BAD_SIGNATURE: &str = "a batch is not signed by the key of the log";
const DAMAGED: &str = "the end of the log was altered; no power cut leaves it so";
const REWRITE_BYTES: usize = 1 << 20;
