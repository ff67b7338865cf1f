//! Looks at a finished segment without reading it: its header, its length and
//! the end of its last batch.
//!
//! Knows nothing of what is in between.

use crate::error::{Error, corrupt, io_error};
use crate::format::{Frame, Header, TRAILER_BYTES, parse_frame};
use crate::scan::{Head, SegmentScan, segment_path};
use crate::storage::{Access, Storage, StoredFile};
use crate::walk::Before;
use note::Hash;
use std::io;

/// Checks that the segment is there as it was finished: it continues what was
/// before it, and ends with the entry before `end`. Returns what it leads to.
pub(crate) fn check_sealed(
    storage: &dyn Storage,
    (first, end): (u64, u64),
    before: Option<Before>,
    log: Hash,
) -> Result<Before, Error> {
    let (scan, head) = SegmentScan::open(storage, first)?;
    let path = scan.path();
    let header = match head {
        Head::Header(header) => header,
        Head::Blank => return Err(corrupt(path, 0, Some(first), "no segment header")),
        Head::Bad(what) => return Err(corrupt(path, 0, Some(first), what)),
    };
    let found = Before { ordinal: header.ordinal, previous: header.previous };
    let Before { ordinal, previous } = before.unwrap_or(found);
    if header != (Header { ordinal, first, segment_bytes: scan.length(), previous, log }) {
        let what = "the segment does not continue the log, or has another length";
        return Err(corrupt(path, 0, Some(first), what));
    }
    let file = storage.open(path, Access::Read).map_err(io_error("open", path))?;
    let last = last_trailer(file.as_ref(), scan.length()).map_err(io_error("read", path))?;
    match last {
        Some((size, previous)) if size == end => Ok(Before { ordinal: ordinal + 1, previous }),
        Some((size, _)) if size < end => {
            let what = "the segment that should be here is missing";
            Err(corrupt(&segment_path(size), 0, Some(size), what))
        }
        _ => Err(corrupt(path, 0, None, "the segment does not end with a whole batch")),
    }
}

/// The size of the log after the last batch in the file, and the hash of its
/// trailer. A trailer never ends in zeros, and zeros follow it.
fn last_trailer(file: &dyn StoredFile, length: u64) -> io::Result<Option<(u64, Hash)>> {
    let mut upto = length;
    while 0 < upto {
        let from = upto.saturating_sub(CHUNK_BYTES);
        let bytes = read(file, from, upto)?;
        let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
            upto = from;
            continue;
        };
        let end = from + u64::try_from(last).unwrap_or(0) + 1;
        let trailer = u64::try_from(TRAILER_BYTES).unwrap_or(u64::MAX);
        let Some(start) = end.checked_sub(trailer) else { return Ok(None) };
        let found = match parse_frame(&read(file, start, end)?) {
            Frame::Trailer(batch, hash) => Some((batch.size, hash)),
            _ => None,
        };
        return Ok(found);
    }
    Ok(None)
}

fn read(file: &dyn StoredFile, from: u64, upto: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(upto - from).unwrap_or(usize::MAX)];
    let count = file.read_at(&mut bytes, from)?;
    bytes.truncate(count);
    Ok(bytes)
}

const CHUNK_BYTES: u64 = 64 << 10;
