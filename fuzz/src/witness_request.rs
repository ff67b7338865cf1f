//! What is submitted to a witness: taken exactly when a naive parser takes it, and written back to the
//! byte.

use crate::script::{Script, patch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use witness::{PROOF_LINES_MAX, Request};

/// The first byte chooses what the rest is: a body, or changes to a good one.
pub fn witness_request(data: &[u8]) {
    let mut script = Script::new(data);
    if script.byte().is_multiple_of(2) {
        check(script.rest());
    } else {
        let mut body = GOOD.to_vec();
        patch(&mut body, &mut script);
        check(&body);
    }
}

fn check(body: &[u8]) {
    let parsed = Request::parse(body);
    let naive = naive(body);
    assert_eq!(parsed.is_ok(), naive.is_some(), "one takes what the other refuses: {parsed:?}");
    let (Ok(request), Some((old, proof, note))) = (parsed, naive) else { return };
    let hashes: Vec<Vec<u8>> = request.proof.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    assert_eq!((request.old, hashes, request.note), (old, proof, note), "read differently");
    assert_eq!(request.encode(), body, "a second spelling of a submission");
}

/// The old size, the hashes of the proof, and the checkpoint.
type Naive<'a> = (u64, Vec<Vec<u8>>, &'a [u8]);

/// No line before the note is empty, so the first empty one ends them.
fn naive(body: &[u8]) -> Option<Naive<'_>> {
    let end = body.windows(2).position(|pair| pair == b"\n\n")?;
    let head = str::from_utf8(&body[..end]).ok()?;
    let mut lines = head.split('\n');
    let digits = lines.next()?.strip_prefix("old ")?;
    let plain = digits == "0" || !digits.starts_with('0');
    let old = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?.parse().ok()?;
    let hash = |line: &str| {
        let bytes = STANDARD.decode(line).ok()?;
        (bytes.len() == 32 && STANDARD.encode(&bytes) == line).then_some(bytes)
    };
    let proof: Vec<Vec<u8>> = lines.map(hash).collect::<Option<_>>()?;
    (plain && proof.len() <= PROOF_LINES_MAX).then_some((old, proof, &body[end + 2..]))
}

/// The example of the specification.
const GOOD: &[u8] =
    include_bytes!("../../crates/witness/tests/golden/add-checkpoint-specification.txt");
