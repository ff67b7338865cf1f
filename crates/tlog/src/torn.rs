//! Tells an unfinished write at the end of the log from damage.
//!
//! Segments are zero before they are written, and a batch is one write. What a
//! power cut leaves of it is therefore a prefix, or the batch with whole
//! sectors still zero. Anything else was changed by someone or something.
//! Knows nothing of files.

use crate::format::{END_MARK, FRAME_BYTES, Frame, TRAILER_BYTES, parse_frame};
use note::Batch;
use note::Hash;

/// What stands after the last whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros.
    Clean,
    /// What a power cut leaves of a batch that nobody was promised.
    Torn {
        /// How many bytes, up to the last that is not zero.
        bytes: usize,
    },
    /// A power cut does not explain it.
    Damaged,
}

/// Judges `bytes`, everything from file offset `at`, right after the trailer
/// with hash `previous`, to the end of the file; zeros at the end may be left
/// out. `head` bytes of a segment header come first when the segment has no
/// batch yet.
pub(crate) fn judge(bytes: &[u8], at: u64, previous: &Hash, head: usize) -> Tail {
    let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else { return Tail::Clean };
    let written = bytes.get(..=last).unwrap_or(bytes);
    let torn = Tail::Torn { bytes: written.len() };
    if has_blank_sector(written, at) {
        return torn;
    }
    let frames = written.get(head..).unwrap_or_default();
    if has_chained_trailer(frames, previous) || !is_prefix(frames) {
        return Tail::Damaged;
    }
    torn
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
    let is_next = |batch: &Batch| batch.previous == *previous;
    (0..written.len()).any(|at| {
        let bytes = written.get(at..).unwrap_or_default();
        let frame = bytes.get(..TRAILER_BYTES).unwrap_or_default();
        // Few places look like the end of a trailer; only those are parsed.
        frame.last() == Some(&END_MARK)
            && matches!(parse_frame(frame), Frame::Trailer(batch, _) if is_next(&batch))
    })
}

/// Whether the bytes are a certificate, if there is one, then good entry
/// frames, and then the beginning of a frame.
fn is_prefix(written: &[u8]) -> bool {
    let mut rest = written;
    loop {
        match parse_frame(rest) {
            Frame::Entry(body) => {
                rest = rest.get(FRAME_BYTES + body.len()..).unwrap_or_default();
            }
            Frame::Epoch(body) if rest.len() == written.len() => {
                rest = rest.get(FRAME_BYTES + body.len()..).unwrap_or_default();
            }
            // As long as a trailer and ended like one: a whole one, altered.
            Frame::Incomplete(_) => {
                return rest.len() != TRAILER_BYTES || rest.last() != Some(&END_MARK);
            }
            Frame::Blank | Frame::Bad(_) | Frame::Epoch(_) | Frame::Trailer(..) => return false,
        }
    }
}

/// The smallest unit that a disk writes whole.
const SECTOR_BYTES: usize = 512;
const SECTOR_BYTES_U64: u64 = 512;

#[cfg(test)]
mod tests {
    use super::{Tail, judge};
    use crate::format::{TRAILER_BYTES, push_entry, push_epoch, push_trailer};
    use note::Batch;
    use note::{Hash, leaf_hash};

    fn batch_bytes() -> Vec<u8> {
        let mut bytes = Vec::new();
        push_epoch(&mut bytes, &[b'c'; 300]);
        for entry in 1..=12_u8 {
            push_entry(&mut bytes, &[entry; 100]);
        }
        let batch = Batch {
            first: 0,
            count: 12,
            size: 12,
            root: leaf_hash(b"root"),
            previous: Hash::ZERO,
            time_ms: 1,
            signature: [9; 64],
        };
        push_trailer(&mut bytes, &batch);
        bytes
    }

    fn check(written: &[u8], at: u64) -> Tail {
        let mut bytes = written.to_vec();
        bytes.resize(4096, 0);
        judge(&bytes, at, &Hash::ZERO, 0)
    }

    #[test]
    fn zeros_are_clean() {
        assert_eq!(check(&[], 77), Tail::Clean);
    }

    #[test]
    fn every_prefix_is_torn() {
        let bytes = batch_bytes();
        for length in 1..bytes.len() {
            let tail = check(&bytes[..length], 104);
            assert!(!matches!(tail, Tail::Damaged), "{length}");
        }
    }

    #[test]
    fn every_set_of_missing_sectors_is_torn() {
        let whole = batch_bytes();
        for at in [0, 104, 500, 508] {
            let sector = |offset: usize| (offset + at) / 512;
            for missing in 1..1 << (sector(whole.len() - 1) + 1) {
                let mut bytes = whole.clone();
                for (offset, byte) in bytes.iter_mut().enumerate() {
                    if missing >> sector(offset) & 1 == 1 {
                        *byte = 0;
                    }
                }
                let tail = check(&bytes, at.try_into().unwrap());
                assert!(!matches!(tail, Tail::Damaged), "at {at}, missing {missing:b}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_whole_batch_is_damage() {
        let whole = batch_bytes();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&bytes, 104), Tail::Damaged, "bit {bit}");
        }
        assert!(TRAILER_BYTES < whole.len());
    }
}
