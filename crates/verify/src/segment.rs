//! Reads one segment file through a window: the verifier's own reading of the
//! format, version 2. All numbers are big-endian, all checksums CRC-32C.
//!
//! A segment is a header of 104 bytes, then frames, then zeros. A frame is the
//! length of its body (4 bytes), a checksum over length, kind and body (4), the
//! kind (1: entry, 2: trailer, 3: certificate of an epoch key) and the body. A
//! trailer ends a batch of entries; a certificate stands before a batch.
//!
//! Knows nothing of trees and keys.

use crate::check::{Check, Checks};
use crate::failure::{Failure, Verdict};
use crate::tail::has_good_checksum;
use note::{Batch, Hash};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A segment on its way through the verifier.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: Arc<str>,
    file: File,
    /// The length of the file, in bytes.
    pub(crate) bytes: u64,
    /// Part of the file, and where it is.
    window: Vec<u8>,
    start: u64,
    checks: Checks,
}

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ordinal: u64,
    pub(crate) first: u64,
    pub(crate) length: u64,
    pub(crate) previous: Hash,
    pub(crate) log: Hash,
}

/// What stands at a place.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Zeros, as far as a frame would begin.
    Blank,
    Entry,
    Trailer(Box<Batch>),
    /// The certificate of an epoch key.
    Epoch,
}

/// A frame, and where its body is in the file.
#[derive(Debug)]
pub(crate) struct Framed {
    pub(crate) frame: Frame,
    pub(crate) body: u64,
    pub(crate) end: u64,
}

impl Segment {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(path: &str, file: File, checks: Checks) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.into(), file, bytes, window: Vec::new(), start: 0, checks })
    }

    /// Reads the header, and what is wrong with it by itself.
    pub(crate) fn header(&mut self) -> Result<Header, Failure> {
        self.fill(0, HEADER_BYTES)?;
        let checks = self.checks;
        let bytes = self.at(0).get(..HEADER_BYTES).unwrap_or_default();
        let fail = |check, at: u64, what: &str| Failure::new(check, &self.path, what).at(at);
        let field = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
        checks.require(Check::SegmentForm, field(0, 8) == MAGIC, || {
            fail(Check::SegmentForm, 0, "the file does not begin as a segment")
        })?;
        checks.require(Check::SegmentVersion, field(8, 12) == [0, 0, 0, 2], || {
            let what = match field(8, 12) {
                [0, 0, 0, 1] => {
                    "the segment is of format version 1, which has no epoch keys: this program \
                     reads version 2"
                }
                _ => "the format version is unknown: this program reads version 2",
            };
            fail(Check::SegmentVersion, 8, what)
        })?;
        let sum = crc32c::crc32c(field(0, 100)).to_be_bytes();
        checks.require(Check::SegmentChecksum, field(100, 104) == sum, || {
            fail(Check::SegmentChecksum, 100, "the checksum of the header is wrong")
        })?;
        let hash =
            |from, to| field(from, to).try_into().map(Hash::from_bytes).unwrap_or(Hash::ZERO);
        Ok(Header {
            ordinal: count_from(field(12, 20)),
            first: count_from(field(20, 28)),
            length: count_from(field(28, 36)),
            previous: hash(36, 68),
            log: hash(68, 100),
        })
    }

    /// Reads the frame at this place of the file.
    pub(crate) fn frame(&mut self, at: u64) -> Result<Framed, Failure> {
        let path = Arc::clone(&self.path);
        let fail = |check, what: &str| Failure::new(check, &path, what).at(at);
        let blank = Framed { frame: Frame::Blank, body: at, end: at };
        self.fill(at, FRAME_BYTES)?;
        let Some(head) = self.at(at).first_chunk::<FRAME_BYTES>().copied() else {
            // Too short for a frame: fine, if it is zeros.
            return Ok(blank);
        };
        if head == [0; FRAME_BYTES] {
            return Ok(blank);
        }
        let [a, b, c, d, .., kind] = head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let possible = match kind {
            KIND_ENTRY => (1..=65_535).contains(&length),
            KIND_TRAILER => length == TRAILER_FRAME_BYTES - FRAME_BYTES,
            KIND_EPOCH => (1..=EPOCH_BYTES_MAX).contains(&length),
            _ => false,
        };
        if !possible {
            let what = "a frame has an unknown kind or an impossible length";
            self.checks.fail(fail(Check::FrameForm, what))?;
            return Ok(blank);
        }
        self.fill(at, FRAME_BYTES + length)?;
        let Some(whole) = self.at(at).get(..FRAME_BYTES + length) else {
            self.checks.fail(fail(Check::FrameForm, "the file ends within a frame"))?;
            return Ok(blank);
        };
        self.checks.require(Check::FrameChecksum, has_good_checksum(whole), || {
            fail(Check::FrameChecksum, "the checksum of a frame is wrong")
        })?;
        let frame = match kind {
            KIND_ENTRY => Frame::Entry,
            KIND_EPOCH => Frame::Epoch,
            _ => {
                let body = whole.get(FRAME_BYTES..).unwrap_or_default();
                let ended = body.last() == Some(&TRAILER_END);
                self.checks.require(Check::TrailerForm, ended, || {
                    fail(Check::TrailerForm, "a trailer is not well formed")
                })?;
                Frame::Trailer(Box::new(trailer_fields(body).ok_or_else(|| {
                    Failure::needed(Verdict::Altered, &path, "a trailer is too short").at(at)
                })?))
            }
        };
        let body = at + u64_from(FRAME_BYTES);
        Ok(Framed { frame, body, end: body + u64_from(length) })
    }

    /// Bytes that were read as part of a frame.
    pub(crate) fn slice(&self, from: u64, to: u64) -> &[u8] {
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        self.at(from).get(..length).unwrap_or_default()
    }

    /// Lets go of what comes before this place, when it is worth it.
    pub(crate) fn pass(&mut self, at: u64) {
        let used = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        if self.window.len() <= used {
            self.window.clear();
            self.start = at;
        } else if self.window.len() / 2 < used {
            self.window.drain(..used);
            self.start = at;
        }
    }

    /// Reads the file again: it is being written.
    pub(crate) fn forget(&mut self) {
        self.window.clear();
        if let Ok(metadata) = self.file.metadata() {
            self.bytes = metadata.len();
        }
    }

    /// The first byte from here on that is not zero, and the last.
    pub(crate) fn written_after(&self, at: u64) -> Result<Option<(u64, u64)>, Failure> {
        let mut chunk = vec![0; self.chunk()];
        let (mut place, mut found) = (at, None);
        loop {
            let read = self.file.read_at(&mut chunk, place).map_err(|e| self.unreadable(&e))?;
            let bytes = chunk.get(..read).unwrap_or_default();
            if read == 0 {
                return Ok(found);
            }
            if let (Some(first), Some(last)) =
                (bytes.iter().position(|byte| *byte != 0), bytes.iter().rposition(|b| *b != 0))
            {
                let first = found.map_or(place + u64_from(first), |(first, _)| first);
                found = Some((first, place + u64_from(last)));
            }
            place += u64_from(read);
        }
    }

    /// The bytes from one place to another, both included; `None` when they are
    /// more than any write.
    pub(crate) fn stretch(&self, from: u64, last: u64) -> Result<Option<Vec<u8>>, Failure> {
        let length = usize::try_from(last.saturating_sub(from)).unwrap_or(usize::MAX);
        if BATCH_BYTES_MAX < length {
            return Ok(None);
        }
        let mut bytes = vec![0; length + 1];
        self.file.read_exact_at(&mut bytes, from).map_err(|error| self.unreadable(&error))?;
        Ok(Some(bytes))
    }

    /// The bytes in the window from this place on.
    fn at(&self, at: u64) -> &[u8] {
        let skip = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.window.get(skip..).unwrap_or_default()
    }

    /// Sees that the window has so many bytes from `at`, if the file has.
    fn fill(&mut self, at: u64, wanted: usize) -> Result<(), Failure> {
        if self.window.is_empty() {
            self.start = at;
        }
        if BATCH_BYTES_MAX < self.window.len() {
            let what = "a batch is longer than any that is written";
            return Err(Failure::new(Check::FrameForm, &self.path, what).at(self.start));
        }
        while self.at(at).len() < wanted {
            let filled = self.window.len();
            self.window.resize(filled + self.chunk().max(wanted), 0);
            let room = self.window.get_mut(filled..).unwrap_or_default();
            let read = self.file.read_at(room, self.start + u64_from(filled));
            let read = read.map_err(|error| self.unreadable(&error))?;
            self.window.truncate(filled + read);
            if read == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// How many bytes are read at a time.
    fn chunk(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(CHUNK_BYTES).clamp(1, CHUNK_BYTES)
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::needed(Verdict::Unreadable, &self.path, format!("it cannot be read: {error}"))
    }
}

fn trailer_fields(body: &[u8]) -> Option<Batch> {
    let hash = |from, to| body.get(from..to)?.try_into().ok().map(Hash::from_bytes);
    Some(Batch {
        first: count_from(body.get(0..8)?),
        count: u32::try_from(count_from(body.get(8..12)?)).ok()?,
        size: count_from(body.get(12..20)?),
        root: hash(20, 52)?,
        previous: hash(52, 84)?,
        time_ms: count_from(body.get(84..92)?),
        signature: body.get(92..156)?.try_into().ok()?,
    })
}

/// A big-endian number of up to eight bytes.
pub(crate) fn count_from(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

pub(crate) fn u64_from(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The length of a segment header.
pub(crate) const HEADER_BYTES: usize = 104;
/// The length of what comes before the body of a frame.
pub(crate) const FRAME_BYTES: usize = 9;
/// The length of a whole trailer frame.
pub(crate) const TRAILER_FRAME_BYTES: usize = FRAME_BYTES + 157;
/// The last byte of every complete trailer.
pub(crate) const TRAILER_END: u8 = 0xee;
pub(crate) const KIND_ENTRY: u8 = 1;
pub(crate) const KIND_TRAILER: u8 = 2;
pub(crate) const KIND_EPOCH: u8 = 3;
const EPOCH_BYTES_MAX: usize = 4096;
const MAGIC: &[u8] = b"TLOG-SEG";
const CHUNK_BYTES: usize = 1 << 20;
/// The longest batch that is held in memory.
const BATCH_BYTES_MAX: usize = 1 << 30;
