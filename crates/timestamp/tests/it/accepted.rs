//! What a good response says. Every expected value was taken from `openssl ts -reply -text`.

use crate::{ROOTS, imprint, verify};
use std::time::Duration;
use timestamp::{Timestamp, TimestampError, roots_from_pem};

struct Case {
    response: &'static [u8],
    time_unix_ms: u64,
    accuracy: Option<Duration>,
    serial: &'static str,
    policy: &'static str,
    authority: &'static str,
}

/// The nonce in `rsa.tsr`, as OpenSSL chose it.
const RSA_NONCE: &str = include_str!("../fixtures/rsa.nonce");
/// The nonce in `hand-written.tsr`.
const HAND_WRITTEN_NONCE: u64 = 0xfedc_ba98_7654_3210;

const ECDSA: &[u8] = include_bytes!("../fixtures/ecdsa.tsr");
const ECDSA_SERIAL: &str = "8f00000000000000000000000000000000000002";
const ECDSA_TIME: u64 = 1_795_351_781_728;

const CASES: &[Case] = &[
    // A chain of three in the token, named by the signature; accuracy and nonce.
    Case {
        response: include_bytes!("../fixtures/rsa.tsr"),
        time_unix_ms: 1_795_351_781_000,
        accuracy: Some(Duration::from_micros(1_500_100)),
        serial: "02",
        policy: "1.3.6.1.4.1.99999.1",
        authority: "CN=RSA Authority,O=Fixture Trust",
    },
    // A fraction of a second; a serial number of 160 bits.
    Case {
        response: ECDSA,
        time_unix_ms: ECDSA_TIME,
        accuracy: None,
        serial: ECDSA_SERIAL,
        policy: "1.3.6.1.4.1.99999.2",
        authority: "CN=EC Authority,O=Fixture Trust",
    },
    // SHA-384 throughout; the certificate is named by a SHA-512 hash.
    Case {
        response: include_bytes!("../fixtures/p384.tsr"),
        time_unix_ms: 1_795_351_781_000,
        accuracy: None,
        serial: "0b",
        policy: "1.3.6.1.4.1.99999.3",
        authority: "CN=P-384 Authority,O=Fixture Trust",
    },
    // SHA-512 and 4096 bits; the certificate is named by a SHA-1 hash, the old way.
    Case {
        response: include_bytes!("../fixtures/rsa4096.tsr"),
        time_unix_ms: 1_795_351_781_000,
        accuracy: None,
        serial: "80",
        policy: "1.3.6.1.4.1.99999.4",
        authority: "CN=RSA 4096 Authority,O=Fixture Trust",
    },
    // RSA-PSS for the time stamp and for the certificate.
    Case {
        response: include_bytes!("../fixtures/pss.tsr"),
        time_unix_ms: ECDSA_TIME,
        accuracy: None,
        serial: ECDSA_SERIAL,
        policy: "1.3.6.1.4.1.99999.2",
        authority: "CN=PSS Authority,O=Fixture Trust",
    },
    // The signer is named by its key identifier instead of issuer and serial number.
    Case {
        response: include_bytes!("../fixtures/key-identifier.tsr"),
        time_unix_ms: ECDSA_TIME,
        accuracy: None,
        serial: ECDSA_SERIAL,
        policy: "1.3.6.1.4.1.99999.2",
        authority: "CN=EC Authority,O=Fixture Trust",
    },
    // Accuracy in milliseconds only, and the name of the authority in another kind of string.
    Case {
        response: include_bytes!("../fixtures/hand-written.tsr"),
        time_unix_ms: 1_767_323_045_250,
        accuracy: Some(Duration::from_millis(20)),
        serial: "07",
        policy: "1.3.6.1.4.1.99999.2",
        authority: "CN=EC Authority,O=Fixture Trust",
    },
];

#[test]
fn a_good_response_says_when_who_and_how() {
    for case in CASES {
        let expected = Timestamp {
            time_unix_ms: case.time_unix_ms,
            accuracy: case.accuracy,
            serial: case.serial.into(),
            policy: case.policy.into(),
            authority: case.authority.into(),
        };
        assert_eq!(verify(case.response), Ok(expected));
    }
}

#[test]
fn the_nonce_of_the_request_is_that_of_the_answer() {
    let roots = roots_from_pem(ROOTS).unwrap();
    let check = |response, nonce| timestamp::verify(response, imprint(), Some(nonce), &roots);
    let rsa = include_bytes!("../fixtures/rsa.tsr").as_slice();
    let nonce = u64::from_str_radix(RSA_NONCE.trim(), 16).unwrap();
    assert!(check(rsa, nonce).is_ok());
    assert_eq!(check(rsa, nonce ^ 1), Err(TimestampError::Nonce));
    assert_eq!(check(rsa, 0), Err(TimestampError::Nonce));
    let hand_written = include_bytes!("../fixtures/hand-written.tsr").as_slice();
    assert!(check(hand_written, HAND_WRITTEN_NONCE).is_ok());
    assert_eq!(check(hand_written, !HAND_WRITTEN_NONCE), Err(TimestampError::Nonce));
    assert_eq!(check(ECDSA, 0), Err(TimestampError::NonceMissing));
}

/// OpenSSL writes a set of certificates in the order in which it got them; DER wants it sorted.
#[test]
fn an_unsorted_set_of_certificates_is_read() {
    let rsa = include_bytes!("../fixtures/rsa.tsr");
    let lengths: Vec<u16> = rsa
        .windows(10)
        .filter(|bytes| bytes.starts_with(&[0x30, 0x82]) && bytes[4..6] == [0x30, 0x82])
        .filter(|bytes| bytes[8..] == [0xa0, 0x03])
        .map(|bytes| u16::from_be_bytes([bytes[2], bytes[3]]))
        .collect();
    assert_eq!(lengths.len(), 3, "the token has three certificates");
    assert!(!lengths.is_sorted(), "the fixture no longer shows an unsorted set: {lengths:?}");
    assert!(verify(rsa).is_ok());
}

/// Which root vouches is for the caller; others beside it change nothing.
#[test]
fn one_root_is_enough_and_the_order_does_not_matter() {
    let mut roots = roots_from_pem(ROOTS).unwrap();
    let all = timestamp::verify(ECDSA, imprint(), None, &roots).unwrap();
    roots.reverse();
    assert_eq!(timestamp::verify(ECDSA, imprint(), None, &roots), Ok(all.clone()));
    let only = roots_from_pem(include_str!("../fixtures/ec-root.pem")).unwrap();
    assert_eq!(timestamp::verify(ECDSA, imprint(), None, &only), Ok(all));
}
