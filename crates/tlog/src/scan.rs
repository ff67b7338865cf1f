//! Walks the batches of one segment file, in order, in large reads.
//!
//! Checks checksums, the chain of trailers and the numbering. Knows nothing of
//! the tree and verifies no signature: who needs that does it on the batches.

use crate::error::{Error, corrupt, io_error};
use crate::format::{FRAME_BYTES, Frame, HEADER_BYTES, Header, TRAILER_BYTES, parse_frame};
use crate::storage::{Access, Storage, StoredFile};
use note::Batch;
use note::Hash;
use std::sync::Arc;

/// Where a scan stands: at the start of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// The ordinal of the segment.
    pub(crate) ordinal: u64,
    /// The index of the first entry of the segment, which names it.
    pub(crate) segment: u64,
    /// The byte in the segment.
    pub(crate) offset: u64,
    /// The index of the entry that comes next.
    pub(crate) next: u64,
    /// The hash of the trailer before.
    pub(crate) previous: Hash,
}

/// A walk through one segment.
#[derive(Debug)]
pub(crate) struct SegmentScan {
    file: Arc<dyn StoredFile>,
    path: String,
    length: u64,
    position: Position,
    window: Window,
    /// Where the entries of the last batch are, as file offset and length.
    spans: Vec<(u64, usize)>,
    /// Where the certificate before the last batch is, when it has one.
    certificate: Option<(u64, usize)>,
}

/// What a step through a segment finds.
#[derive(Debug)]
pub(crate) enum Step {
    /// A whole batch; its entries are in [`SegmentScan::entries`].
    Batch(Box<Batch>),
    /// Nothing was written after the last batch, as far as the next frame.
    End,
    /// What follows the last batch is no batch.
    Bad(BadFrame),
}

/// Why there is no batch.
#[derive(Debug)]
pub(crate) struct BadFrame {
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}

/// What the head of a segment file is.
#[derive(Debug)]
pub(crate) enum Head {
    /// A header.
    Header(Header),
    /// Zeros.
    Blank,
    /// Anything else.
    Bad(&'static str),
}

impl SegmentScan {
    /// Opens the segment whose first entry has index `first`, and reads its
    /// head. The scan stands before its first batch; call
    /// [`SegmentScan::resume`] to stand elsewhere.
    pub(crate) fn open(storage: &dyn Storage, first: u64) -> Result<(Self, Head), Error> {
        let path = segment_path(first);
        let file = storage.open(&path, Access::Read).map_err(io_error("open", &path))?;
        let length = file.length().map_err(io_error("read", &path))?;
        let position = Position {
            ordinal: 0,
            segment: first,
            offset: u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX),
            next: first,
            previous: Hash::ZERO,
        };
        let window = Window { chunk: CHUNK_BYTES_MIN, ..Window::default() };
        let (spans, certificate) = (Vec::new(), None);
        let mut scan = Self { file, path, length, position, window, spans, certificate };
        scan.fill(0, HEADER_BYTES)?;
        let bytes = scan.window.from(0);
        let head = bytes.get(..HEADER_BYTES).unwrap_or(bytes);
        let head = match Header::parse(bytes) {
            Ok(header) => {
                scan.position.ordinal = header.ordinal;
                scan.position.previous = header.previous;
                Head::Header(header)
            }
            Err(_) if head.iter().all(|byte| *byte == 0) => Head::Blank,
            Err(what) => Head::Bad(what),
        };
        Ok((scan, head))
    }

    /// Stands at a position of this segment known from earlier.
    pub(crate) fn resume(&mut self, position: Position) {
        self.position = position;
        self.window.forget();
    }

    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The length of the file when it was opened.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The index and the bytes of the entries of the last batch.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|(offset, length)| self.window.slice(*offset, *length))
    }

    /// The entry at `position` of the last batch.
    pub(crate) fn entry(&self, position: usize) -> Option<&[u8]> {
        let (offset, length) = self.spans.get(position)?;
        Some(self.window.slice(*offset, *length))
    }

    /// The certificate of the epoch that the last batch begins or, as the first
    /// of its segment, goes on with.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        let (offset, length) = self.certificate?;
        Some(self.window.slice(offset, length))
    }

    /// Goes over the next batch. After [`Step::End`] and [`Step::Bad`] it
    /// stands where it stood, and looks at the file again when called again.
    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        let was_read_before = !self.window.bytes.is_empty();
        let mut step = self.walk()?;
        if was_read_before && !matches!(step, Step::Batch(_)) {
            // What is in memory may be older than what is in the file.
            self.window.forget();
            step = self.walk()?;
        }
        if !matches!(step, Step::Batch(_)) {
            self.window.forget();
            self.spans.clear();
            self.certificate = None;
        }
        Ok(step)
    }

    /// What is written from the current position on: everything up to the last byte that is not zero.
    pub(crate) fn rest(&self) -> Result<Vec<u8>, Error> {
        let mut written = Vec::new();
        let mut block = vec![0; CHUNK_BYTES_MAX];
        let (mut at, mut zeros) = (self.position.offset, 0);
        while at < self.length {
            let read = self.file.read_at(&mut block, at).map_err(io_error("read", &self.path))?;
            let block = block.get(..read).unwrap_or_default();
            if block.is_empty() {
                break;
            }
            at += count(read);
            let Some(last) = block.iter().rposition(|byte| *byte != 0) else {
                zeros += read;
                continue;
            };
            written.resize(written.len() + zeros, 0);
            written.extend_from_slice(block.get(..=last).unwrap_or_default());
            zeros = read - last - 1;
        }
        Ok(written)
    }

    fn walk(&mut self) -> Result<Step, Error> {
        let start = self.position.offset;
        self.window.drop_before(start);
        self.spans.clear();
        self.certificate = None;
        let mut at = start;
        let mut wanted = FRAME_BYTES;
        loop {
            let whole = self.fill(at, wanted)?;
            let bad = |what| Ok(Step::Bad(BadFrame { offset: at, what }));
            let body = at + count(FRAME_BYTES);
            match parse_frame(self.window.from(at)) {
                Frame::Entry(bytes) => {
                    let length = bytes.len();
                    self.spans.push((body, length));
                    at = body + count(length);
                    wanted = FRAME_BYTES;
                }
                Frame::Epoch(_) if at != start => return bad("a certificate is within a batch"),
                Frame::Epoch(bytes) => {
                    let length = bytes.len();
                    self.certificate = Some((body, length));
                    at = body + count(length);
                    wanted = FRAME_BYTES;
                }
                Frame::Trailer(batch, hash) => {
                    if let Some(what) = self.misfit(&batch) {
                        return bad(what);
                    }
                    self.position.offset = at + count(TRAILER_BYTES);
                    self.position.next = batch.size;
                    self.position.previous = hash;
                    return Ok(Step::Batch(batch));
                }
                Frame::Incomplete(bytes) if whole || wanted < bytes => wanted = bytes,
                Frame::Incomplete(_) | Frame::Blank if at == start => return Ok(Step::End),
                Frame::Incomplete(_) => return bad("the segment ends within a batch"),
                Frame::Blank => return bad("a batch has no trailer"),
                Frame::Bad(what) => return bad(what),
            }
        }
    }

    /// What is wrong with a trailer after the entries that were walked over.
    fn misfit(&self, batch: &Batch) -> Option<&'static str> {
        let entries = count(self.spans.len());
        let numbered = batch.first == self.position.next
            && u64::from(batch.count) == entries
            && batch.first.checked_add(entries) == Some(batch.size);
        let is_first = self.position.next == self.position.segment;
        if entries == 0 {
            Some("a batch has no entries")
        } else if is_first && self.certificate.is_none() {
            Some("the segment does not begin with the certificate of its epoch")
        } else if !numbered {
            Some("a trailer numbers the entries otherwise than they stand")
        } else if batch.previous != self.position.previous {
            Some("a trailer does not name the trailer before it")
        } else {
            None
        }
    }

    /// Sees that the window has `wanted` bytes from `at`; false when the file
    /// ends before.
    fn fill(&mut self, at: u64, wanted: usize) -> Result<bool, Error> {
        let read = self.window.fill(self.file.as_ref(), at, wanted);
        read.map_err(io_error("read", &self.path))
    }
}

/// Part of a file in memory.
#[derive(Debug, Default)]
struct Window {
    /// The file offset of the first byte.
    start: u64,
    bytes: Vec<u8>,
    /// How many bytes the next read asks for.
    chunk: usize,
}

impl Window {
    fn fill(
        &mut self,
        file: &dyn StoredFile,
        at: u64,
        wanted: usize,
    ) -> Result<bool, std::io::Error> {
        if self.bytes.is_empty() {
            self.start = at;
        }
        while self.from(at).len() < wanted {
            let filled = self.bytes.len();
            self.bytes.resize(filled + self.chunk.max(wanted), 0);
            let offset = self.start + count(filled);
            let room = self.bytes.get_mut(filled..).unwrap_or_default();
            let read = file.read_at(room, offset)?;
            self.bytes.truncate(filled + read);
            if read == 0 {
                return Ok(false);
            }
            // A scan that goes on reads more at a time.
            self.chunk = (self.chunk * 2).min(CHUNK_BYTES_MAX);
        }
        Ok(true)
    }

    fn from(&self, at: u64) -> &[u8] {
        let skip = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.bytes.get(skip..).unwrap_or_default()
    }

    fn slice(&self, offset: u64, length: usize) -> &[u8] {
        self.from(offset).get(..length).unwrap_or_default()
    }

    /// Gives up the bytes before `at`, when that is worth moving the others.
    fn drop_before(&mut self, at: u64) {
        let used = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        if self.bytes.len() <= used {
            self.bytes.clear();
            self.start = at;
        } else if self.bytes.len() / 2 < used {
            self.bytes.drain(..used);
            self.start = at;
        }
    }

    /// Gives up everything, so that the file is read again.
    fn forget(&mut self) {
        self.bytes.clear();
        self.chunk = CHUNK_BYTES_MIN;
    }
}

/// The first indices of the segments in the directory, in order. The spare is
/// left out.
pub(crate) fn list_segments(storage: &dyn Storage) -> Result<Vec<u64>, Error> {
    let names = storage.list(SEGMENTS).map_err(io_error("list", SEGMENTS))?;
    let mut firsts = Vec::with_capacity(names.len());
    for name in names {
        let path = format!("{SEGMENTS}/{name}");
        if path == SPARE {
            continue;
        }
        let first = parse_segment_path(&path);
        firsts.push(first.ok_or_else(|| corrupt(&path, 0, None, "the file is no segment"))?);
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// The path of the segment whose first entry has this index.
pub(crate) fn segment_path(first: u64) -> String {
    format!("{SEGMENTS}/{first:020}.seg")
}

/// Reads what [`segment_path`] writes.
pub(crate) fn parse_segment_path(path: &str) -> Option<u64> {
    let digits = path.strip_prefix("segments/")?.strip_suffix(".seg")?;
    let first = digits.parse().ok()?;
    (segment_path(first) == path).then_some(first)
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The directory of the segments.
pub(crate) const SEGMENTS: &str = "segments";
/// A segment made ahead of need, all zeros.
pub(crate) const SPARE: &str = "segments/spare.seg";
/// A poll of a live log reads little; a scan soon reads much.
const CHUNK_BYTES_MIN: usize = 16 << 10;
const CHUNK_BYTES_MAX: usize = 256 << 10;
