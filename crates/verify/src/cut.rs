//! Cuts the segments of a log into blocks of whole batches, and checks what
//! can be checked without hashing entries: headers, frames, the chain of
//! trailers, and who certified the keys that sign batches.

use crate::check::{Check, Checks};
use crate::directory::unreadable;
use crate::failure::{Failure, Verdict};
use crate::keys::Ring;
use crate::pipeline::{BatchEnd, Block, EpochKey, Work};
use crate::segment::{Frame, Framed, HEADER_BYTES, Segment, u64_from};
use crate::tail::is_torn;
use crate::walk::{SEGMENTS, parse_segment_path, segment_path};
use note::{Batch, Epoch, Hash};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// All segments of a log, to be cut.
pub(crate) struct Cutter<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) ring: &'a Ring,
    pub(crate) checks: Checks,
    pub(crate) live: bool,
    /// The largest size that somebody was promised.
    pub(crate) promised: u64,
    /// By the index of their first entry, with their lengths in bytes.
    pub(crate) segments: BTreeMap<u64, u64>,
}

/// How far the cutting has come.
#[derive(Debug)]
struct Cursor {
    ordinal: u64,
    next: u64,
    /// The hash of the last trailer; `None` before the first segment of a log
    /// whose beginning is pruned.
    previous: Option<Hash>,
    epoch: Option<Arc<EpochKey>>,
}

/// A segment while it is cut.
struct Cutting<'c> {
    segment: Segment,
    is_last: bool,
    /// Where the next batch begins; 0 before the header was read.
    at: u64,
    begun: bool,
    /// The epoch key that the segment named last.
    epoch: Option<Arc<EpochKey>>,
    length: Option<u64>,
    cursor: &'c mut Cursor,
}

/// Takes work; false when nobody wants more.
type Emit<'e> = dyn FnMut(Work) -> bool + 'e;

/// Lists the segments.
pub(crate) fn list(dir: &Path) -> Result<BTreeMap<u64, u64>, Failure> {
    let mut segments = BTreeMap::new();
    let entries = match fs::read_dir(dir.join(SEGMENTS)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(segments),
        entries => entries.map_err(|error| unreadable(SEGMENTS, &error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(SEGMENTS, &error))?;
        let path = format!("{SEGMENTS}/{}", entry.file_name().to_string_lossy());
        if let Some(first) = parse_segment_path(&path) {
            let metadata = entry.metadata().map_err(|error| unreadable(&path, &error))?;
            segments.insert(first, metadata.len());
        }
    }
    Ok(segments)
}

impl Cutter<'_> {
    /// The index of the first entry that is there.
    pub(crate) fn first(&self) -> Option<u64> {
        self.segments.keys().next().copied()
    }

    /// Hands out all blocks; a failure ends it, and is handed out last.
    pub(crate) fn cut(&self, emit: &mut Emit<'_>) {
        if let Err(failure) = self.segments(emit) {
            emit(Work::Failed(failure));
        }
    }

    fn segments(&self, emit: &mut Emit<'_>) -> Result<(), Failure> {
        let first = self.first().unwrap_or(0);
        let previous = (first == 0).then_some(Hash::ZERO);
        let mut cursor = Cursor { ordinal: 0, next: first, previous, epoch: None };
        let last = self.segments.keys().next_back();
        for first in self.segments.keys() {
            if *first != cursor.next {
                let next = cursor.next;
                let what = format!("the segment with entry {next} is missing");
                let failure = Failure::new(Check::SegmentGap, &segment_path(next), what);
                self.checks.fail(failure.entry(next))?;
                cursor.next = *first;
            }
            if !self.segment(&mut cursor, Some(first) == last, emit)? {
                return Ok(());
            }
            cursor.ordinal += 1;
        }
        Ok(())
    }

    fn segment(
        &self,
        cursor: &mut Cursor,
        is_last: bool,
        emit: &mut Emit<'_>,
    ) -> Result<bool, Failure> {
        let path = segment_path(cursor.next);
        let file = File::open(self.dir.join(&path)).map_err(|error| unreadable(&path, &error))?;
        let segment = Segment::open(&path, file, self.checks);
        let segment = segment.map_err(|error| unreadable(&path, &error))?;
        let mut cutting =
            Cutting { segment, is_last, at: 0, begun: false, epoch: None, length: None, cursor };
        let mut block = cutting.new_block();
        let mut tries = 0;
        let ended = loop {
            match self.batch(&mut cutting, &mut block) {
                Ok(true) => {
                    if BLOCK_BYTES <= block.bytes.len() {
                        let next = cutting.new_block();
                        if !emit(Work::Block(std::mem::replace(&mut block, next))) {
                            return Ok(false);
                        }
                    }
                }
                Ok(false) => break Ok(()),
                Err(_) if is_last && self.live && tries < LIVE_TRIES => {
                    // Most likely a write under way: look again in a moment.
                    tries += 1;
                    thread::sleep(LIVE_TRY_INTERVAL);
                    cutting.segment.forget();
                }
                Err(failure) => break Err(failure),
            }
        };
        if !block.entries.is_empty() && !emit(Work::Block(block)) {
            return Ok(false);
        }
        match ended {
            Ok(()) => self.end(&cutting)?,
            Err(failure) => self.unfinished_or_failed(&cutting, failure)?,
        }
        Ok(true)
    }

    /// What has to be so where no batch follows.
    fn end(&self, cutting: &Cutting<'_>) -> Result<(), Failure> {
        let segment = &cutting.segment;
        if !cutting.begun && cutting.cursor.ordinal != 0 {
            let failure = Failure::new(Check::SegmentEmpty, &segment.path, "no batch follows");
            self.unfinished_or_failed(cutting, failure.at(cutting.at))?;
        }
        self.check_length(cutting)?;
        if cutting.is_last && self.live {
            return Ok(());
        }
        match segment.written_after(cutting.at)? {
            None => Ok(()),
            Some((first, _)) => {
                let what = "bytes that are not zero follow the last batch";
                let failure = Failure::new(Check::SegmentZeros, &segment.path, what).at(first);
                self.unfinished_or_failed(cutting, failure)
            }
        }
    }

    /// Tells the unfinished end of a log from damage.
    fn unfinished_or_failed(&self, cutting: &Cutting<'_>, failure: Failure) -> Result<(), Failure> {
        let failure = failure.entry_if_none(cutting.cursor.next);
        if failure.check.is_some_and(|check| self.checks.skips(check)) {
            return Ok(());
        }
        // A file cut short was not cut by a power failure: it had its length
        // before it had its first entry.
        self.check_length(cutting).map_err(|short| Failure {
            offset: failure.offset.or(short.offset),
            entry: failure.entry,
            ..short
        })?;
        let promised = cutting.cursor.next < self.promised;
        if !cutting.is_last || promised || !self.is_unfinished(cutting)? {
            return Err(failure);
        }
        if self.live {
            return Ok(());
        }
        let what = format!("{}: a write to the end of the log was not finished", failure.what);
        let tail = Failure::new(Check::UnfinishedTail, &failure.path, what);
        self.checks.fail(Failure { offset: failure.offset, entry: failure.entry, ..tail })
    }

    /// Whether a power cut explains what follows the last batch.
    fn is_unfinished(&self, cutting: &Cutting<'_>) -> Result<bool, Failure> {
        if cutting.cursor.ordinal == 0 && cutting.at == 0 {
            // The first header was durable before there was a log.
            return Ok(false);
        }
        // A later header is part of the first write to its segment.
        let whole = !cutting.begun && cutting.cursor.ordinal != 0;
        let (start, head) = if whole { (0, HEADER_BYTES) } else { (cutting.at, 0) };
        let Some((_, last)) = cutting.segment.written_after(start)? else { return Ok(true) };
        let previous = cutting.cursor.previous.unwrap_or(Hash::ZERO);
        let tail = cutting.segment.stretch(start, last)?;
        Ok(tail.is_some_and(|tail| is_torn(&tail, start, &previous, head)))
    }

    /// The file has the length that its header states.
    fn check_length(&self, cutting: &Cutting<'_>) -> Result<(), Failure> {
        let (Some(length), bytes) = (cutting.length, cutting.segment.bytes) else { return Ok(()) };
        let (at, verdict, what) = if bytes < length {
            (bytes, Verdict::Truncated, "the end of the file is cut off")
        } else {
            (length, Verdict::Altered, "bytes were added to the file")
        };
        self.checks.require(Check::SegmentLength, bytes == length, || {
            let path = &cutting.segment.path;
            Failure::new(Check::SegmentLength, path, what).verdict(verdict).at(at)
        })
    }

    /// Cuts off the next batch; false when zeros follow.
    fn batch(&self, cutting: &mut Cutting<'_>, block: &mut Block) -> Result<bool, Failure> {
        if cutting.at == 0 {
            self.header(cutting)?;
        }
        let start = cutting.at;
        let mut at = start;
        let mut entries: Vec<(u64, u64)> = Vec::new();
        cutting.segment.pass(start);
        loop {
            let index = cutting.cursor.next + u64_from(entries.len());
            let framed = cutting.segment.frame(at).map_err(|failure| failure.entry(index))?;
            match framed.frame {
                Frame::Blank if at == start => return Ok(false),
                Frame::Blank => {
                    let what = "a batch has no trailer";
                    let failure = Failure::new(Check::FrameForm, &cutting.segment.path, what);
                    self.checks.fail(failure.at(start))?;
                    return Ok(false);
                }
                Frame::Entry => entries.push((framed.body, framed.end)),
                Frame::Epoch => self.epoch(cutting, &framed, at, at != start)?,
                Frame::Trailer(batch) => {
                    let trailer = (at, framed.end);
                    return self.trailer(cutting, block, (*batch, trailer, &entries));
                }
            }
            at = framed.end;
        }
    }

    fn trailer(
        &self,
        cutting: &mut Cutting<'_>,
        block: &mut Block,
        (batch, (at, end), entries): (Batch, (u64, u64), &[(u64, u64)]),
    ) -> Result<bool, Failure> {
        let next = cutting.cursor.next;
        let path = Arc::clone(&cutting.segment.path);
        let require = |check, holds, what: &str| {
            self.checks
                .require(check, holds, || Failure::new(check, &path, what).at(at).entry(next))
        };
        let size = next + u64_from(entries.len());
        require(Check::BatchEmpty, !entries.is_empty(), "a batch has no entries")?;
        let numbered = batch.first == next && batch.size == size;
        require(Check::BatchNumbers, numbered, "a trailer numbers its entries wrongly")?;
        let counted = u64::from(batch.count) == size - next;
        require(Check::BatchCount, counted, "a trailer counts its entries wrongly")?;
        let chained = cutting.cursor.previous.is_none_or(|previous| batch.previous == previous);
        require(Check::BatchChain, chained, "a trailer does not name the trailer before it")?;
        let epoch = match (&cutting.epoch, &cutting.cursor.epoch) {
            (Some(epoch), _) => Arc::clone(epoch),
            (None, other) => {
                let what = "the segment does not name the key that signs its batches";
                require(Check::EpochMissing, false, what)?;
                let Some(epoch) = other else { return Ok(false) };
                Arc::clone(epoch)
            }
        };
        let whole = cutting.segment.slice(at, end);
        cutting.cursor.previous = Some(Hash::of(whole));
        cutting.cursor.next = size;
        // Where the batch begins in the block.
        let start = entries.first().map_or(at, |(start, _)| *start);
        let shift = block.bytes.len();
        block.bytes.extend_from_slice(cutting.segment.slice(start, at));
        let place = |offset: u64| usize::try_from(offset - start).unwrap_or(0) + shift;
        block.entries.extend(entries.iter().map(|(from, to)| place(*from)..place(*to)));
        block.places.extend(entries.iter().map(|(from, _)| *from));
        block.batches.push(BatchEnd { entries: block.entries.len(), batch, offset: at, epoch });
        cutting.at = end;
        cutting.begun = true;
        Ok(true)
    }

    fn header(&self, cutting: &mut Cutting<'_>) -> Result<(), Failure> {
        let header = cutting.segment.header()?;
        let path = Arc::clone(&cutting.segment.path);
        let require = |check, holds, at: u64, what: &str| {
            self.checks.require(check, holds, || Failure::new(check, &path, what).at(at))
        };
        if cutting.cursor.previous.is_none() {
            // The first that is there of a log whose beginning is pruned.
            cutting.cursor.ordinal = header.ordinal;
            cutting.cursor.previous = Some(header.previous);
        }
        let cursor = &cutting.cursor;
        let ordinal = header.ordinal == cursor.ordinal;
        require(
            Check::SegmentOrdinal,
            ordinal,
            12,
            "the header has the number of another segment",
        )?;
        let first = header.first == cursor.next;
        require(Check::SegmentFirst, first, 20, "the header has the index of another entry")?;
        let chained = Some(header.previous) == cursor.previous;
        let what = "the header does not name the last trailer before it";
        require(Check::SegmentChain, chained, 36, what)?;
        let log = header.log == self.ring.log_hash();
        require(Check::SegmentLog, log, 68, "the header names another log")?;
        cutting.length = Some(header.length);
        cutting.at = u64_from(HEADER_BYTES);
        Ok(())
    }

    /// Takes over the key that a certificate names.
    fn epoch(
        &self,
        cutting: &mut Cutting<'_>,
        framed: &Framed,
        at: u64,
        inside: bool,
    ) -> Result<(), Failure> {
        let next = cutting.cursor.next;
        let path = Arc::clone(&cutting.segment.path);
        let fail = |check, what: &str| Failure::new(check, &path, what).at(at).entry(next);
        self.checks.require(Check::EpochPlace, !inside, || {
            fail(Check::EpochPlace, "a certificate does not stand at the beginning of a batch")
        })?;
        let body = cutting.segment.slice(framed.body, framed.end);
        let known = cutting.cursor.epoch.as_ref().filter(|epoch| epoch.certificate == body);
        // Each segment names the key that was in use again.
        if let (Some(known), false) = (known, cutting.begun) {
            cutting.epoch = Some(Arc::clone(known));
            return Ok(());
        }
        let parsed = Epoch::parse(body).ok();
        let parsed = parsed.filter(|(epoch, _)| epoch.origin == self.ring.origin);
        let Some((epoch, note)) = parsed else {
            let what = "this is not a certificate of this log in its one form";
            return self.checks.fail(fail(Check::EpochForm, what));
        };
        let unseen = cutting.cursor.epoch.is_none() && next != 0 && epoch.size <= next;
        self.checks.require(Check::EpochSize, epoch.size == next || unseen, || {
            fail(Check::EpochSize, "a certificate has another number of entries before it")
        })?;
        let found = self.ring.signatures(&note, epoch.size);
        // Who signed it may have been revoked since: then its word does not count,
        // and a checkpoint has to cover what it certified.
        let signed = !found.valid.is_empty() || found.outdated.is_some();
        let alone = found.wrong.is_none() && found.others == 0;
        self.checks.require(Check::EpochSigner, signed && alone, || {
            fail(Check::EpochSigner, "a certificate is not signed by a key of the log")
        })?;
        let certificate = body.to_vec();
        let key = Arc::new(EpochKey { key: epoch.key, certificate, trusted: found.trusted });
        cutting.epoch = Some(Arc::clone(&key));
        cutting.cursor.epoch = Some(key);
        Ok(())
    }
}

impl Cutting<'_> {
    fn new_block(&self) -> Block {
        let (path, first) = (Arc::clone(&self.segment.path), self.cursor.next);
        Block { path, first, ..Block::default() }
    }
}

/// How large a block is, at least, when there is more.
const BLOCK_BYTES: usize = 256 << 10;
/// How often the end of a log that is being written is read again: for a tenth
/// of a second in all.
const LIVE_TRIES: u32 = 20;
const LIVE_TRY_INTERVAL: Duration = Duration::from_millis(5);
