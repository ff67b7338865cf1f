//! The body of `add-checkpoint` (C2SP tlog-witness): an old size, the proof from there, and the
//! signed checkpoint.
//!
//! Knows no log, no key and no state: what is read here is well formed and nothing more.

use note::{Checkpoint, Hash, Note};

/// A submission to a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The size of the checkpoint that the proof starts from.
    pub old: u64,
    /// The consistency proof, RFC 6962 section 2.1.2.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, exactly as it is in the body.
    pub note: &'a [u8],
}

/// Why a body is no submission. Answered with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// The first line is not the old size.
    #[error("the first line must be `old`, a space, and a tree size in plain decimal")]
    Old,
    /// There is no empty line after the proof.
    #[error("there is no empty line between the proof and the checkpoint")]
    NoEmptyLine,
    /// A proof that no tree can need.
    #[error("a consistency proof has at most {PROOF_LINES_MAX} lines")]
    ProofTooLong,
    /// A proof line is no hash.
    #[error("proof line {0} is not a hash of 32 bytes in base64")]
    Proof(usize),
    /// What follows is no signed checkpoint.
    #[error("the checkpoint cannot be read: {0}")]
    Checkpoint(String),
    /// The old size is beyond the new one.
    #[error("the old size {old} is larger than the size {size} of the checkpoint")]
    OldBeyondNew {
        /// The size in the first line.
        old: u64,
        /// The size in the checkpoint.
        size: u64,
    },
}

impl<'a> Request<'a> {
    /// Takes a body apart. There is one spelling of every submission: what is accepted,
    /// [`Request::encode`] writes back to the byte.
    ///
    /// # Errors
    /// [`BadRequest`] for the first thing that is out of form.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadRequest> {
        let (first, mut rest) = split_line(body).ok_or(BadRequest::Old)?;
        let size = first.strip_prefix(b"old ").ok_or(BadRequest::Old)?;
        let old = decimal(size).ok_or(BadRequest::Old)?;
        let mut proof = Vec::new();
        loop {
            let (line, after) = split_line(rest).ok_or(BadRequest::NoEmptyLine)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if proof.len() == PROOF_LINES_MAX {
                return Err(BadRequest::ProofTooLong);
            }
            let text = str::from_utf8(line).ok();
            let hash = text.and_then(Hash::from_base64);
            proof.push(hash.ok_or(BadRequest::Proof(proof.len() + 1))?);
        }
        Ok(Self { old, proof, note: rest })
    }

    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = format!("old {}\n", self.old).into_bytes();
        for hash in &self.proof {
            body.extend_from_slice(hash.to_base64().as_bytes());
            body.push(b'\n');
        }
        body.push(b'\n');
        body.extend_from_slice(self.note);
        body
    }

    /// Reads the checkpoint. Nothing is verified yet.
    ///
    /// # Errors
    /// [`BadRequest::Checkpoint`] when it is none.
    pub(crate) fn checkpoint(&self) -> Result<(Note<'a>, Checkpoint), BadRequest> {
        let bad = |why: String| BadRequest::Checkpoint(why);
        let note = Note::parse(self.note).map_err(|error| bad(error.to_string()))?;
        let checkpoint = read_checkpoint(note.text()).map_err(|error| bad(error.to_owned()))?;
        Ok((note, checkpoint))
    }
}

/// Reads the text of a checkpoint of any log: other than those of our own it may have further lines,
/// which are cosigned (by Ed25519) and otherwise not looked at.
pub(crate) fn read_checkpoint(text: &str) -> Result<Checkpoint, &'static str> {
    let third = text.match_indices('\n').nth(2).map(|(at, _)| at + 1);
    let (head, further) = text.split_at(third.unwrap_or(text.len()));
    if further.split_inclusive('\n').any(|line| line == "\n") {
        return Err("it has an empty line");
    }
    Checkpoint::parse(head).map_err(|_| "its text is not origin, size and root, one a line")
}

/// A number without sign, spaces or leading zeros.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The first line without its newline, and what follows it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at(end);
    Some((line, rest.get(1..)?))
}

/// The most lines of a proof: that many a tree of 2^63 entries needs.
pub const PROOF_LINES_MAX: usize = 63;

/// The longest body that is read, in bytes: a full proof and 16 signatures of post-quantum size, which
/// everybody must accept.
pub const REQUEST_BYTES_MAX: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::{BadRequest, PROOF_LINES_MAX, Request, read_checkpoint};
    use note::leaf_hash;
    use proptest::prelude::{any, prop, proptest};

    #[test]
    fn the_example_of_the_specification_is_read() {
        let body = include_bytes!("../tests/golden/add-checkpoint-specification.txt");
        let request = Request::parse(body).unwrap();
        assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
        let (note, checkpoint) = request.checkpoint().unwrap();
        assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
        assert_eq!((checkpoint.size, note.signatures().len()), (20_852_163, 2));
        assert_eq!(request.encode(), body);
    }

    #[test]
    fn what_is_out_of_form_is_named() {
        let hash = leaf_hash(b"x").to_base64();
        let many = format!("old 1\n{}\nnote", format!("{hash}\n").repeat(PROOF_LINES_MAX + 1));
        let most = format!("old 1\n{}\nnote", format!("{hash}\n").repeat(PROOF_LINES_MAX));
        assert_eq!(Request::parse(most.as_bytes()).unwrap().proof.len(), PROOF_LINES_MAX);
        for (body, wanted) in [
            ("", BadRequest::Old),
            ("old 1", BadRequest::Old),
            ("old 01\n\n", BadRequest::Old),
            ("old +1\n\n", BadRequest::Old),
            ("old -1\n\n", BadRequest::Old),
            ("old \n\n", BadRequest::Old),
            ("old  1\n\n", BadRequest::Old),
            ("old 1 \n\n", BadRequest::Old),
            ("Old 1\n\n", BadRequest::Old),
            ("old 18446744073709551616\n\n", BadRequest::Old),
            ("old 1\r\n\r\n", BadRequest::Old),
            ("old 1\n", BadRequest::NoEmptyLine),
            (&format!("old 1\n{hash}\n"), BadRequest::NoEmptyLine),
            (&format!("old 1\n{hash}"), BadRequest::NoEmptyLine),
            (&format!("old 1\n{hash}\n \n\n"), BadRequest::Proof(2)),
            (&format!("old 1\n{}\n\n", hash.trim_end_matches('=')), BadRequest::Proof(1)),
            (&format!("old 1\n{hash}{hash}\n\n"), BadRequest::Proof(1)),
            ("old 1\n\u{e9}\n\n", BadRequest::Proof(1)),
            (&many, BadRequest::ProofTooLong),
        ] {
            assert_eq!(Request::parse(body.as_bytes()), Err(wanted), "{body:?}");
        }
        let empty = Request::parse(b"old 0\n\n").unwrap();
        assert!(matches!(empty.checkpoint(), Err(BadRequest::Checkpoint(_))));
    }

    #[test]
    fn further_lines_of_a_checkpoint_are_allowed_unless_empty() {
        let root = leaf_hash(b"x").to_base64();
        for (further, good) in [("", true), ("one\n", true), ("one\ntwo\n", true), ("\n", false)] {
            let text = format!("example.com/log\n3\n{root}\n{further}");
            assert_eq!(read_checkpoint(&text).is_ok(), good, "{further:?}");
        }
        assert!(read_checkpoint(&format!("example.com/log\n3\n{root}\none\n\ntwo\n")).is_err());
        assert!(read_checkpoint("example.com/log\n3\n").is_err());
        assert!(read_checkpoint(&format!("\n3\n{root}\n")).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_come_back(body in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(request) = Request::parse(&body) {
                assert_eq!(request.encode(), body);
            }
        }

        #[test]
        fn nearly_good_bytes_are_refused_or_come_back(
            body in "old [0-9]{1,21}\n([A-Za-z0-9+/]{43}=\n){0,3}(\n)?[a-z\n]{0,9}",
        ) {
            if let Ok(request) = Request::parse(body.as_bytes()) {
                assert_eq!(request.encode(), body.as_bytes());
                assert!(request.checkpoint().is_err());
            }
        }

        #[test]
        fn what_is_written_is_read(
            old in any::<u64>(),
            leaves in prop::collection::vec(any::<[u8; 4]>(), 0..=PROOF_LINES_MAX),
            note in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let proof = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
            let request = Request { old, proof, note: &note };
            assert_eq!(Request::parse(&request.encode()), Ok(request));
        }
    }
}
