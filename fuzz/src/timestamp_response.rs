//! Responses of timestamp authorities (RFC 3161): whatever was changed in one, either it proves nothing or it
//! says what the authority signed.

use crate::script::{Script, patch};
use std::sync::LazyLock;
use timestamp::{RESPONSE_BYTES_MAX, Timestamp, roots_from_pem, verify};

/// The first byte chooses what the rest is: a response, a text with roots, or changes to a good response.
pub fn timestamp_response(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 4 {
        0 => check(script.rest(), None),
        1 => check_roots(script.rest()),
        _ => {
            let good = *script.choose(GOOD);
            let mut changed = good.to_vec();
            patch(&mut changed, &mut script);
            check(&changed, Some(good));
        }
    }
}

/// What is signed is all that a response proves: one that holds says what one of the good ones says, and
/// only of what that one is over.
fn check(response: &[u8], changed_from: Option<&[u8]>) {
    let judged = verify(response, IMPRINT, None, &ROOTS);
    match &judged {
        Ok(said) => {
            assert!(response.len() <= RESPONSE_BYTES_MAX);
            let known = SAID.iter().any(|(_, good)| good == said);
            assert!(known, "no authority ever said {said:?}");
            if let Some(good) = changed_from {
                let said_before = SAID.iter().find(|(bytes, _)| *bytes == good).map(|(_, s)| s);
                assert_eq!(said_before, Some(said), "a change that nobody signed counts");
            }
            verify(response, IMPRINT, None, &[]).expect_err("nobody is trusted by himself");
        }
        Err(refused) => assert!(refused.to_string().len() < 4_000, "it repeats the response"),
    }
    verify(response, [0; 32], None, &ROOTS).expect_err("nothing was said of another hash");
}

/// Roots are certificates, each written by itself, and few.
fn check_roots(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    let Ok(roots) = roots_from_pem(text) else { return };
    assert!(!roots.is_empty() && roots.len() <= timestamp::ROOTS_MAX);
    assert!(roots.len() <= text.matches("-----BEGIN").count(), "a certificate out of nothing");
    for root in &roots {
        assert_eq!(root.first(), Some(&0x30), "a certificate is a sequence");
    }
}

static ROOTS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| roots_from_pem(PEM).expect("the roots are well formed"));

/// What each good response says.
static SAID: LazyLock<Vec<(&[u8], Timestamp)>> = LazyLock::new(|| {
    let said =
        |good: &'static [u8]| (good, verify(good, IMPRINT, None, &ROOTS).expect("it is good"));
    GOOD.iter().map(|good| said(good)).collect()
});

const PEM: &str = concat!(
    include_str!("../../crates/timestamp/tests/fixtures/rsa-root.pem"),
    include_str!("../../crates/timestamp/tests/fixtures/ec-root.pem"),
    include_str!("../../crates/timestamp/tests/fixtures/p384-root.pem"),
);

/// With the chain of the authority inside, and without; with one signer of each kind, and one made by hand.
const GOOD: &[&[u8]] = &[
    include_bytes!("../../crates/timestamp/tests/fixtures/ecdsa.tsr"),
    include_bytes!("../../crates/timestamp/tests/fixtures/rsa.tsr"),
    include_bytes!("../../crates/timestamp/tests/fixtures/p384.tsr"),
    include_bytes!("../../crates/timestamp/tests/fixtures/hand-written.tsr"),
];

/// The SHA-256 hash of what they are over, `checkpoint.txt` beside them.
const IMPRINT: [u8; 32] = [
    0xc0, 0xdc, 0x8f, 0x5f, 0x31, 0x92, 0xb8, 0x61, 0xd7, 0xc2, 0xef, 0x23, 0x05, 0x96, 0x82, 0xae,
    0xed, 0xa6, 0xc3, 0x91, 0xd3, 0xd0, 0xa2, 0x3a, 0x2e, 0x40, 0x5d, 0x4b, 0xea, 0xe1, 0x98, 0xf6,
];
