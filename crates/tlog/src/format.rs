//! The bytes of a segment file, and nothing else: no files, no tree, no keys.
//!
//! All numbers are big-endian; all checksums are CRC-32C (Castagnoli).
//!
//! A segment is a header, then batches back to back, then zeros up to its
//! fixed length.
//!
//! | header  | bytes | content |
//! | ------: | ----: | ------- |
//! |       0 |     8 | `TLOG-SEG` |
//! |       8 |     4 | format version, 2 |
//! |      12 |     8 | ordinal of the segment, from 0 |
//! |      20 |     8 | index of its first entry |
//! |      28 |     8 | length of the file |
//! |      36 |    32 | SHA-256 of the last trailer frame before it, or zeros |
//! |      68 |    32 | SHA-256 of the verifier key line of the log |
//! |     100 |     4 | checksum of the 100 bytes above |
//!
//! A batch is one or more entry frames and one trailer frame. An epoch frame
//! comes before them in the first batch of an epoch, and in the first batch of
//! every segment: the key in it signs the batches from there on. Every frame
//! starts with the same nine bytes:
//!
//! | frame   | bytes | content |
//! | ------: | ----: | ------- |
//! |       0 |     4 | length of the body |
//! |       4 |     4 | checksum of the length, the type and the body |
//! |       8 |     1 | type: 1 entry, 2 trailer, 3 epoch |
//! |       9 |     - | body: the entry as it was appended, the trailer, or the certificate |
//!
//! | trailer | bytes | content |
//! | ------: | ----: | ------- |
//! |       0 |     8 | index of the first entry of the batch |
//! |       8 |     4 | number of entries of the batch |
//! |      12 |     8 | number of entries of the log after it |
//! |      20 |    32 | root of the tree over them |
//! |      52 |    32 | SHA-256 of the whole trailer frame before it, or zeros |
//! |      84 |     8 | time in milliseconds since 1970-01-01 UTC |
//! |      92 |    64 | Ed25519 signature, see [`Batch::text`] |
//! |     156 |     1 | `0xEE`: a complete trailer never ends in zeros |
//!
//! The certificate is a signed note of at most 4,096 bytes, see
//! [`note::Epoch`]. In version 1 the key of the log signed every batch itself,
//! and there was no epoch frame.

use note::Batch;
use note::ENTRY_BYTES_MAX;
use note::Hash;

/// The head of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ordinal: u64,
    pub(crate) first: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) previous: Hash,
    pub(crate) log: Hash,
}

impl Header {
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.ordinal.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.segment_bytes.to_be_bytes());
        bytes.extend_from_slice(self.previous.as_bytes());
        bytes.extend_from_slice(self.log.as_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        out.extend_from_slice(&bytes);
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let covered = bytes.get(..HEADER_BYTES - 4).ok_or("the segment has no whole header")?;
        let mut fields = Fields(bytes);
        if fields.take::<8>() != Some(*MAGIC) {
            return Err("the segment does not begin with `TLOG-SEG`");
        }
        match fields.u32() {
            Some(VERSION) => {}
            Some(1) => return Err(OLD_VERSION),
            _ => return Err("the segment has an unknown format version"),
        }
        let header = (|| {
            Some(Self {
                ordinal: fields.u64()?,
                first: fields.u64()?,
                segment_bytes: fields.u64()?,
                previous: fields.hash()?,
                log: fields.hash()?,
            })
        })();
        if fields.u32() != Some(crc32c::crc32c(covered)) {
            return Err("the checksum of the segment header is wrong");
        }
        header.ok_or("the segment has no whole header")
    }
}

/// What stands at a place in a segment.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// Zeros: nothing was written here.
    Blank,
    /// The frame is this many bytes long, more than there are.
    Incomplete(usize),
    /// No frame begins here.
    Bad(&'static str),
    /// An entry.
    Entry(&'a [u8]),
    /// The certificate of the epoch that begins or goes on.
    Epoch(&'a [u8]),
    /// The end of a batch, and the hash of the whole frame.
    Trailer(Box<Batch>, Hash),
}

/// Reads the frame that `bytes` begins with.
pub(crate) fn parse_frame(bytes: &[u8]) -> Frame<'_> {
    let mut fields = Fields(bytes);
    let (Some(length), Some(checksum), Some([kind])) = (fields.take(), fields.u32(), fields.take())
    else {
        return Frame::Incomplete(FRAME_BYTES);
    };
    let body_bytes = match (u32::from_be_bytes(length), checksum, kind) {
        (0, 0, 0) => return Frame::Blank,
        (0, ..) => return Frame::Bad("a frame has no length"),
        (length, _, ENTRY | EPOCH) => usize::try_from(length).unwrap_or(usize::MAX),
        (length, _, TRAILER) if usize::try_from(length) == Ok(TRAILER_BODY_BYTES) => {
            TRAILER_BODY_BYTES
        }
        (_, _, TRAILER) => return Frame::Bad("a trailer has the wrong length"),
        _ => return Frame::Bad("a frame has an unknown type"),
    };
    match kind {
        EPOCH if EPOCH_BYTES_MAX < body_bytes => {
            return Frame::Bad("a certificate is longer than 4096 bytes");
        }
        _ if ENTRY_BYTES_MAX < body_bytes => {
            return Frame::Bad("an entry is longer than 65535 bytes");
        }
        _ => {}
    }
    let Some(body) = fields.0.get(..body_bytes) else {
        return Frame::Incomplete(FRAME_BYTES + body_bytes);
    };
    if frame_checksum(length, kind, body) != checksum {
        return Frame::Bad("the checksum of a frame is wrong");
    }
    match kind {
        ENTRY => return Frame::Entry(body),
        EPOCH => return Frame::Epoch(body),
        _ => {}
    }
    let Some(batch) = parse_trailer(body) else {
        return Frame::Bad("a trailer is not well formed");
    };
    let hash = bytes.get(..TRAILER_BYTES).map_or(Hash::ZERO, Hash::of);
    Frame::Trailer(Box::new(batch), hash)
}

/// Appends the frame of an entry of 1 to [`ENTRY_BYTES_MAX`] bytes.
pub(crate) fn push_entry(out: &mut Vec<u8>, entry: &[u8]) {
    push_frame(out, ENTRY, entry);
}

/// Appends the frame of a certificate of 1 to [`EPOCH_BYTES_MAX`] bytes.
pub(crate) fn push_epoch(out: &mut Vec<u8>, certificate: &[u8]) {
    push_frame(out, EPOCH, certificate);
}

/// Appends the frame of a trailer; returns its hash.
pub(crate) fn push_trailer(out: &mut Vec<u8>, batch: &Batch) -> Hash {
    let mut body = [0; TRAILER_BODY_BYTES];
    let mut at = 0;
    for field in [
        batch.first.to_be_bytes().as_slice(),
        &batch.count.to_be_bytes(),
        &batch.size.to_be_bytes(),
        batch.root.as_bytes(),
        batch.previous.as_bytes(),
        &batch.time_ms.to_be_bytes(),
        &batch.signature,
        &[END_MARK],
    ] {
        let end = at + field.len();
        if let Some(to) = body.get_mut(at..end) {
            to.copy_from_slice(field);
        }
        at = end;
    }
    let start = out.len();
    push_frame(out, TRAILER, &body);
    out.get(start..).map_or(Hash::ZERO, Hash::of)
}

fn push_frame(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&frame_checksum(length, kind, body).to_be_bytes());
    out.push(kind);
    out.extend_from_slice(body);
}

fn parse_trailer(body: &[u8]) -> Option<Batch> {
    let mut fields = Fields(body);
    let batch = Batch {
        first: fields.u64()?,
        count: fields.u32()?,
        size: fields.u64()?,
        root: fields.hash()?,
        previous: fields.hash()?,
        time_ms: fields.u64()?,
        signature: fields.take()?,
    };
    (fields.0 == [END_MARK]).then_some(batch)
}

fn frame_checksum(length: [u8; 4], kind: u8, body: &[u8]) -> u32 {
    let [a, b, c, d] = length;
    crc32c::crc32c_append(crc32c::crc32c(&[a, b, c, d, kind]), body)
}

/// Takes fields of fixed width off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn hash(&mut self) -> Option<Hash> {
        self.take().map(Hash::from_bytes)
    }
}

/// The length of a segment header, in bytes.
pub(crate) const HEADER_BYTES: usize = 104;
/// The length of what comes before the body of a frame, in bytes.
pub(crate) const FRAME_BYTES: usize = 9;
/// The length of a whole trailer frame, in bytes.
pub(crate) const TRAILER_BYTES: usize = FRAME_BYTES + TRAILER_BODY_BYTES;
/// The last byte of every complete trailer.
pub(crate) const END_MARK: u8 = 0xee;
/// The longest certificate of an epoch, in bytes.
pub(crate) const EPOCH_BYTES_MAX: usize = 4096;
const TRAILER_BODY_BYTES: usize = 157;
const MAGIC: &[u8; 8] = b"TLOG-SEG";
const VERSION: u32 = 2;
const OLD_VERSION: &str = "the segment has format version 1, and only version 2 is read: start a new log, \
    and keep this one with the program that wrote it";
const ENTRY: u8 = 1;
const TRAILER: u8 = 2;
const EPOCH: u8 = 3;

#[cfg(test)]
mod tests {
    use super::{
        FRAME_BYTES, Frame, HEADER_BYTES, Header, OLD_VERSION, TRAILER_BYTES, parse_frame,
        push_entry, push_epoch, push_trailer,
    };
    use note::Batch;
    use note::{Hash, leaf_hash};
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    fn batch() -> Batch {
        Batch {
            first: 7,
            count: 2,
            size: 9,
            root: leaf_hash(b"root"),
            previous: leaf_hash(b"previous"),
            time_ms: 1_700_000_000_000,
            signature: [3; 64],
        }
    }

    fn header() -> Header {
        Header {
            ordinal: 1,
            first: 7,
            segment_bytes: 4096,
            previous: leaf_hash(b"previous"),
            log: leaf_hash(b"log"),
        }
    }

    #[test]
    fn headers_round_trip_and_every_bit_matters() {
        let mut bytes = Vec::new();
        header().push(&mut bytes);
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(Header::parse(&bytes), Ok(header()));
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&altered).is_err(), "bit {bit}");
        }
        assert!(Header::parse(&bytes[1..]).is_err());
        assert!(Header::parse(&bytes[..HEADER_BYTES - 1]).is_err());
        bytes[11] = 1;
        assert_eq!(Header::parse(&bytes), Err(OLD_VERSION), "whatever its checksum is");
    }

    #[test]
    fn trailers_round_trip_and_every_bit_matters() {
        let mut bytes = Vec::new();
        let hash = push_trailer(&mut bytes, &batch());
        assert_eq!(bytes.len(), TRAILER_BYTES);
        let Frame::Trailer(read, read_hash) = parse_frame(&bytes) else { panic!("no trailer") };
        assert_eq!((*read, read_hash), (batch(), hash));
        assert_eq!(hash, Hash::of(&bytes));
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let frame = parse_frame(&altered);
            assert!(matches!(frame, Frame::Bad(_) | Frame::Incomplete(_)), "bit {bit}: {frame:?}");
        }
    }

    #[test]
    fn certificates_round_trip_and_have_a_bound() {
        let mut bytes = Vec::new();
        push_epoch(&mut bytes, &[b'x'; 4096]);
        assert!(matches!(parse_frame(&bytes), Frame::Epoch(read) if read == [b'x'; 4096]));
        bytes.clear();
        push_epoch(&mut bytes, &[b'x'; 4097]);
        assert!(matches!(parse_frame(&bytes), Frame::Bad(_)));
    }

    #[test]
    fn zeros_are_blank() {
        assert!(matches!(parse_frame(&[0; 20]), Frame::Blank));
        assert!(matches!(parse_frame(&[0; FRAME_BYTES - 1]), Frame::Incomplete(FRAME_BYTES)));
        assert!(matches!(parse_frame(&[0, 0, 0, 0, 1, 0, 0, 0, 0]), Frame::Bad(_)));
    }

    proptest! {
        #[test]
        fn entries_round_trip(entry in vec(any::<u8>(), 1..300), rest: Vec<u8>) {
            let mut bytes = Vec::new();
            push_entry(&mut bytes, &entry);
            let length = bytes.len();
            let cut = parse_frame(&bytes[..length - 1]);
            assert!(matches!(cut, Frame::Incomplete(n) if n == length || n == FRAME_BYTES));
            bytes.extend_from_slice(&rest);
            let Frame::Entry(read) = parse_frame(&bytes) else { panic!("no entry") };
            assert_eq!(read, entry);
        }

        #[test]
        fn no_bytes_make_the_parser_fail(bytes: Vec<u8>) {
            let frame = parse_frame(&bytes);
            assert!(!matches!(frame, Frame::Trailer(..)));
        }

        #[test]
        fn an_altered_entry_is_no_entry(entry in vec(any::<u8>(), 1..100), bit: usize) {
            let mut bytes = Vec::new();
            push_entry(&mut bytes, &entry);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let frame = parse_frame(&bytes);
            assert!(matches!(frame, Frame::Bad(_) | Frame::Incomplete(_)), "{frame:?}");
        }
    }
}
