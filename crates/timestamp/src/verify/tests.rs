//! Alterations: every byte of a good response, every part of the signature.
//!
//! Looks inside a response to know which bytes are signed; the rest is in `tests/it`.

use super::*;
use crate::roots::roots_from_pem;
use crate::{ChainError, digest::Digest};
use std::ops::Range;

const RSA: &[u8] = include_bytes!("../../tests/fixtures/rsa.tsr");
const ECDSA: &[u8] = include_bytes!("../../tests/fixtures/ecdsa.tsr");

/// A good response and where in it the parts are that somebody signed.
struct Sample {
    response: &'static [u8],
    sha256: [u8; 32],
    roots: Vec<Vec<u8>>,
    good: Timestamp,
    content: Range<usize>,
    signed: Vec<Range<usize>>,
}

impl Sample {
    fn new(response: &'static [u8], root: &str) -> Self {
        let roots = roots_from_pem(root).unwrap();
        let stamped = include_bytes!("../../tests/fixtures/checkpoint.txt");
        let sha256 = Digest::Sha256.of(stamped).try_into().unwrap();
        let good = verify(response, sha256, None, &roots).unwrap();
        let find = |part: &[u8]| {
            let at = response.windows(part.len()).position(|window| window == part).unwrap();
            at..at + part.len()
        };
        let signed = Signed::open(&token(response).unwrap()).unwrap();
        let (content, attributes, signature) = signed.parts();
        let content = find(content);
        // Behind the tag, which is another one where the set is signed than where it stands.
        let mut ranges = vec![content.clone(), find(&attributes[1..]), find(signature)];
        let verified = signed.verify().unwrap();
        ranges.push(find(&verified.signer.der));
        // A root that comes along is not looked at.
        ranges
            .extend(verified.others.iter().filter(|der| !roots.contains(der)).map(|der| find(der)));
        Self { response, sha256, roots, good, content, signed: ranges }
    }

    fn check(&self, response: &[u8]) -> Result<Timestamp, TimestampError> {
        verify(response, self.sha256, None, &self.roots)
    }

    /// Flips every byte with each mask that belongs to its place: everything that was signed must
    /// be refused, everything else must at least say the same. Gives the bytes that do.
    fn flip_everything(&self, masks: impl Fn(usize) -> Vec<u8>) -> Vec<usize> {
        let mut unchanged = Vec::new();
        for at in 0..self.response.len() {
            for mask in masks(at) {
                let mut altered = self.response.to_vec();
                altered[at] ^= mask;
                let Ok(found) = self.check(&altered) else { continue };
                assert_eq!(found, self.good, "byte {at}, mask {mask:#x}");
                let is_signed = self.signed.iter().any(|range| range.contains(&at));
                assert!(!is_signed, "byte {at}, mask {mask:#x} is signed");
                unchanged.push(at);
            }
        }
        unchanged.dedup();
        unchanged
    }
}

fn ecdsa() -> Sample {
    Sample::new(ECDSA, include_str!("../../tests/fixtures/ec-root.pem"))
}

/// What nobody signs: the status (granted, or with changes), two versions, and the list of hash
/// functions ahead of the content.
const UNSIGNED_BYTES_MAX: usize = 3 + 13;

#[test]
fn every_bit_of_an_ecdsa_response_is_refused_or_says_the_same() {
    let unchanged = ecdsa().flip_everything(|_| (0..8).map(|bit| 1 << bit).chain([0xff]).collect());
    assert!(unchanged.len() <= UNSIGNED_BYTES_MAX, "{unchanged:?}");
}

#[test]
fn every_byte_of_an_rsa_response_is_refused_or_says_the_same() {
    let sample = Sample::new(RSA, include_str!("../../tests/fixtures/rsa-root.pem"));
    assert_eq!(sample.signed.len(), 5, "the intermediate certificate is one of the parts");
    let mut unchanged = sample.flip_everything(|at| vec![1 << (at % 8), 0xff]);
    let root = &sample.roots[0];
    let at = RSA.windows(root.len()).position(|window| window == root).unwrap();
    unchanged.retain(|byte| !(at..at + root.len()).contains(byte));
    assert!(unchanged.len() <= UNSIGNED_BYTES_MAX, "{unchanged:?}");
}

/// Whoever alters the content can set its hash right, but not sign it.
#[test]
fn altered_content_with_its_hash_set_right_is_refused() {
    let sample = ecdsa();
    let hash = Digest::Sha256.of(&sample.response[sample.content.clone()]);
    let mut altered = sample.response.to_vec();
    // The last byte of the content is the `Z` of the time; the one before is of the fraction.
    let digit = sample.content.end - 2;
    assert!(altered[digit].is_ascii_digit());
    altered[digit] = if altered[digit] == b'1' { b'2' } else { b'1' };
    assert_eq!(sample.check(&altered), Err(TimestampError::MessageDigest));
    let new_hash = Digest::Sha256.of(&altered[sample.content.clone()]);
    let at = altered.windows(32).rposition(|window| window == hash).unwrap();
    altered[at..at + 32].copy_from_slice(&new_hash);
    assert_eq!(sample.check(&altered), Err(TimestampError::Signature));
}

/// The last byte of a certificate is of the signature of its issuer.
#[test]
fn a_certificate_that_its_issuer_did_not_sign_is_refused() {
    let sample = Sample::new(
        include_bytes!("../../tests/fixtures/rsa4096.tsr"),
        include_str!("../../tests/fixtures/rsa4096-root.pem"),
    );
    let signed = Signed::open(&token(sample.response).unwrap()).unwrap();
    let mut verified = signed.verify().unwrap();
    let time = Duration::from_millis(sample.good.time_unix_ms);
    assert_eq!(chain::verify(&verified, &sample.roots, time), Ok(()));
    *verified.signer.der.last_mut().unwrap() ^= 1;
    let outcome = chain::verify(&verified, &sample.roots, time);
    assert_eq!(outcome, Err(ChainError::Signature));
}
