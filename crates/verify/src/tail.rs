//! Tells an unfinished write at the end of the log from damage.
//!
//! Segments are zero before they are written, and a batch is one write. What a
//! power cut leaves of it is therefore a prefix, or the batch with whole
//! sectors still zero. Anything else was changed by someone or something.
//! Knows nothing of files.

use crate::segment::{
    FRAME_BYTES, KIND_ENTRY, KIND_EPOCH, KIND_TRAILER, TRAILER_END, TRAILER_FRAME_BYTES, count_from,
};
use note::Hash;

/// Whether a power cut explains `bytes`: everything from file offset `at`,
/// right after the trailer with hash `previous`, up to the last byte that is
/// not zero. `head` bytes of a segment header come first when the segment has
/// no batch yet.
pub(crate) fn is_torn(bytes: &[u8], at: u64, previous: &Hash, head: usize) -> bool {
    if has_blank_sector(bytes, at) {
        return true;
    }
    let frames = bytes.get(head..).unwrap_or_default();
    !has_chained_trailer(frames, previous) && is_prefix(frames)
}

/// Whether a sector was never written. Three zeros or fewer may be the start
/// of a length, so they say nothing.
fn has_blank_sector(written: &[u8], at: u64) -> bool {
    let into = usize::try_from(at % SECTOR_BYTES_U64).unwrap_or(0);
    let first = (SECTOR_BYTES - into).min(written.len());
    let (first, rest) = written.split_at_checked(first).unwrap_or_default();
    let blank = |sector: &[u8]| 3 < sector.len() && sector.iter().all(|byte| *byte == 0);
    blank(first) || rest.chunks(SECTOR_BYTES).any(blank)
}

/// Whether the end of the very next batch is there: then it was written whole.
fn has_chained_trailer(written: &[u8], previous: &Hash) -> bool {
    let chained = |frame: &[u8]| {
        let names = frame.get(FRAME_BYTES + 52..FRAME_BYTES + 84);
        names == Some(previous.as_bytes().as_slice())
            && frame.get(FRAME_BYTES - 1) == Some(&KIND_TRAILER)
            && has_good_checksum(frame)
    };
    let frames = written.windows(TRAILER_FRAME_BYTES);
    frames.filter(|frame| frame.last() == Some(&TRAILER_END)).any(chained)
}

/// Whether the bytes are a certificate, if there is one, good entry frames, and
/// then the beginning of a frame.
fn is_prefix(written: &[u8]) -> bool {
    let mut rest = written;
    loop {
        let Some(head) = rest.get(..FRAME_BYTES) else { return true };
        let length = head.get(..4).map_or(0, count_from);
        let possible = match head.last() {
            Some(&KIND_ENTRY) => (1..=65_535).contains(&length),
            // Only the first frame of a batch is a certificate.
            Some(&KIND_EPOCH) => rest.len() == written.len() && (1..=4096).contains(&length),
            Some(&KIND_TRAILER) => length == 157,
            _ => false,
        };
        if !possible {
            return false;
        }
        let bytes = FRAME_BYTES + usize::try_from(length).unwrap_or(usize::MAX);
        let Some((frame, after)) = rest.split_at_checked(bytes) else {
            // As long as a trailer and ended like one: a whole one, altered.
            return rest.len() != TRAILER_FRAME_BYTES || rest.last() != Some(&TRAILER_END);
        };
        if head.last() == Some(&KIND_TRAILER) || !has_good_checksum(frame) {
            return false;
        }
        rest = after;
    }
}

/// Whether the checksum of a whole frame is right.
pub(crate) fn has_good_checksum(frame: &[u8]) -> bool {
    let (Some(length), Some(checksum)) = (frame.get(..4), frame.get(4..8)) else { return false };
    let covered = [length, frame.get(8..).unwrap_or_default()];
    covered.into_iter().fold(0, crc32c::crc32c_append).to_be_bytes() == *checksum
}

/// The smallest unit that a disk writes whole.
const SECTOR_BYTES: usize = 512;
const SECTOR_BYTES_U64: u64 = 512;
