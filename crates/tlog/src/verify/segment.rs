//! Parses a segment for the verifier: its own reading of the format that
//! `format.rs` describes, over the whole file in memory.
//!
//! Knows nothing of trees and keys.

use crate::torn::{Tail, judge};
use crate::verify::failure::{Failure, FailureKind};
use note::Batch;
use note::Hash;
use std::ops::Range;

/// A segment on its way through the verifier.
#[derive(Debug)]
pub(super) struct Segment {
    path: String,
    ordinal: u64,
    first: u64,
    previous: Hash,
    log: Hash,
    /// Where the next batch begins; 0 before the header was checked.
    at: usize,
    /// The length of the file according to its header.
    length: Option<usize>,
}

/// A batch that is well formed, numbered right and chained.
#[derive(Debug)]
pub(super) struct Found {
    /// Where the certificate before it is in the file.
    pub(super) certificate: Option<Range<usize>>,
    /// Where the bytes of its entries are in the file.
    pub(super) entries: Vec<Range<usize>>,
    pub(super) batch: Batch,
    /// The hash of the trailer frame.
    pub(super) hash: Hash,
    /// Where the trailer begins, and where it ends.
    pub(super) trailer: usize,
    pub(super) end: usize,
}

/// Why there is no further batch.
#[derive(Debug)]
pub(super) enum Stop {
    /// Zeros follow, at least as far as a frame would begin.
    End,
    /// Something else follows.
    Bad(Failure),
}

impl Segment {
    /// The segment at `path`, with its ordinal and the index of its first
    /// entry, and the last trailer and the log that its header has to name.
    pub(super) fn new(
        path: &str,
        (ordinal, first): (u64, u64),
        (previous, log): (Hash, Hash),
    ) -> Self {
        let path = path.to_owned();
        Self { path, ordinal, first, previous, log, at: 0, length: None }
    }

    /// The next batch, whose first entry is to have index `next` and whose
    /// trailer is to name `previous`.
    pub(super) fn next(&mut self, bytes: &[u8], next: u64, previous: &Hash) -> Result<Found, Stop> {
        if self.at == 0 {
            self.header(bytes).map_err(Stop::Bad)?;
        }
        let mut entries = Vec::new();
        let mut certificate = None;
        let mut at = self.at;
        loop {
            let frame = match self.frame(bytes, at, next, entries.len()) {
                Err(Stop::End) if at != self.at => {
                    return Err(self.bad(at, "a batch has no trailer"));
                }
                frame => frame?,
            };
            let index = next + count(entries.len());
            match frame.kind {
                KIND_ENTRY => {
                    entries.push(frame.body.clone());
                    at = frame.body.end;
                }
                KIND_EPOCH if at == self.at => {
                    at = frame.body.end;
                    certificate = Some(frame.body.clone());
                }
                KIND_TRAILER => {
                    let trailer = at;
                    let mut found = self.trailer(bytes, entries, trailer..frame.body.end)?;
                    found.certificate = certificate;
                    let wrong = |what| self.bad_entry(trailer, index, what);
                    let batch = &found.batch;
                    let size = next + count(found.entries.len());
                    if found.entries.is_empty() {
                        return Err(wrong("a batch has no entries"));
                    }
                    if batch.first != next || batch.size != size {
                        return Err(wrong("a trailer numbers its entries wrongly"));
                    }
                    if u64::from(batch.count) != size - next {
                        return Err(wrong("a trailer counts its entries wrongly"));
                    }
                    if batch.previous != *previous {
                        return Err(wrong("a trailer does not name the trailer before it"));
                    }
                    self.at = found.end;
                    return Ok(found);
                }
                _ => return Err(self.bad_entry(at, index, "a frame has an unknown type")),
            }
        }
    }

    /// Whether no batch was found.
    pub(super) fn is_unbegun(&self) -> bool {
        self.at <= HEADER
    }

    /// The file has the length that its header states.
    pub(super) fn check_length(&self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(length) = self.length else { return Ok(()) };
        let fail = |kind, at, what| Err(Failure::new(kind, &self.path, what).at(at));
        if bytes.len() < length {
            fail(FailureKind::Truncated, bytes.len(), "the end of the file is cut off")
        } else if length < bytes.len() {
            fail(FailureKind::Altered, length, "bytes were added to the file")
        } else {
            Ok(())
        }
    }

    /// The first byte after the batches that is not zero.
    pub(super) fn stray_byte(&self, bytes: &[u8]) -> Option<Failure> {
        let tail = bytes.get(self.at..).unwrap_or_default();
        let stray = self.at + tail.iter().position(|byte| *byte != 0)?;
        let what = "bytes that are not zero follow the last batch";
        Some(Failure::new(FailureKind::Altered, &self.path, what).at(stray))
    }

    /// Whether a power cut explains what follows the last batch.
    pub(super) fn is_unfinished(&self, bytes: &[u8], previous: &Hash) -> bool {
        if self.ordinal == 0 && self.at == 0 {
            // The first header was durable before there was a log.
            return false;
        }
        // A later header is part of the first write to its segment.
        let (start, head) = if self.is_unbegun() { (0, HEADER) } else { (self.at, 0) };
        let tail = bytes.get(start..).unwrap_or_default();
        judge(tail, count(start), previous, head) != Tail::Damaged
    }

    fn header(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let fail = |at, what| Failure::new(FailureKind::Altered, &self.path, what).at(at);
        let field = |range: Range<usize>| bytes.get(range).unwrap_or_default();
        let number = |at| Some(count_from(bytes.get(at..at + 8)?));
        if field(0..8) != b"TLOG-SEG" {
            return Err(fail(0, "the file does not begin as a segment"));
        }
        if field(8..12) != [0, 0, 0, 2] {
            return Err(fail(8, "the format version is unknown"));
        }
        if field(100..104) != crc32c::crc32c(field(0..100)).to_be_bytes() {
            return Err(fail(100, "the checksum of the header is wrong"));
        }
        if number(12) != Some(self.ordinal) {
            return Err(fail(12, "the header has the number of another segment"));
        }
        if number(20) != Some(self.first) {
            return Err(fail(20, "the header has the index of another entry"));
        }
        if field(36..68) != self.previous.as_bytes() {
            return Err(fail(36, "the header does not name the last trailer before it"));
        }
        if field(68..100) != self.log.as_bytes() {
            return Err(fail(68, "the header names another log"));
        }
        self.length = number(28).and_then(|length| usize::try_from(length).ok());
        self.at = HEADER;
        Ok(())
    }

    fn frame(&self, bytes: &[u8], at: usize, next: u64, entries: usize) -> Result<RawFrame, Stop> {
        let index = next + count(entries);
        let rest = bytes.get(at..).unwrap_or_default();
        let Some((head, rest)) = rest.split_at_checked(FRAME) else {
            // Too short for a frame: fine, if it is zeros.
            return Err(Stop::End);
        };
        if head.iter().all(|byte| *byte == 0) {
            return Err(Stop::End);
        }
        let fail = |what| self.bad_entry(at, index, what);
        let (Some(length), Some(checksum), Some(kind)) =
            (head.get(0..4), head.get(4..8), head.last())
        else {
            return Err(Stop::End);
        };
        let bytes_long = usize::try_from(count_from(length)).unwrap_or(usize::MAX);
        if bytes_long == 0 || 65_535 < bytes_long {
            return Err(fail("a frame has an impossible length"));
        }
        let Some(body) = rest.get(..bytes_long) else {
            return Err(fail("the file ends within a frame"));
        };
        let covered = [length, std::slice::from_ref(kind), body];
        if covered.into_iter().fold(0, crc32c::crc32c_append).to_be_bytes() != *checksum {
            return Err(fail("the checksum of a frame is wrong"));
        }
        let start = at + FRAME;
        Ok(RawFrame { kind: *kind, body: start..start + bytes_long })
    }

    fn trailer(
        &self,
        bytes: &[u8],
        entries: Vec<Range<usize>>,
        frame: Range<usize>,
    ) -> Result<Found, Stop> {
        let whole = bytes.get(frame.clone()).unwrap_or_default();
        let body = whole.get(FRAME..).unwrap_or_default();
        let batch = trailer_fields(body);
        let batch = batch.ok_or_else(|| self.bad(frame.start, "a trailer is not well formed"))?;
        let hash = Hash::of(whole);
        let (trailer, end) = (frame.start, frame.end);
        Ok(Found { certificate: None, entries, batch, hash, trailer, end })
    }

    fn bad(&self, at: usize, what: &str) -> Stop {
        Stop::Bad(Failure::new(FailureKind::Altered, &self.path, what).at(at))
    }

    fn bad_entry(&self, at: usize, index: u64, what: &str) -> Stop {
        Stop::Bad(Failure::new(FailureKind::Altered, &self.path, what).at(at).entry(index))
    }
}

struct RawFrame {
    kind: u8,
    body: Range<usize>,
}

fn trailer_fields(body: &[u8]) -> Option<Batch> {
    if body.len() != 157 || body.last() != Some(&0xee) {
        return None;
    }
    let hash = |range: Range<usize>| body.get(range)?.try_into().ok().map(Hash::from_bytes);
    Some(Batch {
        first: count_from(body.get(0..8)?),
        count: u32::try_from(count_from(body.get(8..12)?)).ok()?,
        size: count_from(body.get(12..20)?),
        root: hash(20..52)?,
        previous: hash(52..84)?,
        time_ms: count_from(body.get(84..92)?),
        signature: body.get(92..156)?.try_into().ok()?,
    })
}

/// A big-endian number of up to eight bytes.
fn count_from(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

const HEADER: usize = 104;
const FRAME: usize = 9;
const KIND_ENTRY: u8 = 1;
const KIND_TRAILER: u8 = 2;
const KIND_EPOCH: u8 = 3;
