//! Every bad response, each with the one reason for which it is refused.

use crate::{ROOTS, imprint, verify};
use proptest::prelude::*;
use timestamp::{ChainError, RESPONSE_BYTES_MAX, TimestampError, roots_from_pem};

/// The same content as in `GOOD` or nearly so, by an authority with one fault.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../fixtures/", $name, ".tsr")).as_slice()
    };
}

const GOOD: &[u8] = fixture!("ecdsa");
const GOOD_TIME_S: u64 = 1_795_351_781;

fn purpose(why: &'static str) -> TimestampError {
    TimestampError::Purpose { why }
}

#[test]
fn a_refusal_is_shown_in_the_words_of_the_authority() {
    let error = verify(fixture!("rejected")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the authority refused: status `rejection` (`Requested policy is not supported.`); see \
         what it accepts"
    );
}

#[test]
fn the_words_of_an_authority_are_made_harmless() {
    let words = "\x1b[31m\n`".repeat(100);
    let mut text = vec![0x0c, 0x82];
    text.extend(u16::try_from(words.len()).unwrap().to_be_bytes());
    text.extend(words.as_bytes());
    let wrap = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], length.as_slice(), content].concat()
    };
    let status = [[0x02, 0x01, 0x09].as_slice(), &wrap(0x30, &text)].concat();
    let error = verify(&wrap(0x30, &wrap(0x30, &status))).unwrap_err();
    let TimestampError::Refused { status, text } = &error else { panic!("{error:?}") };
    assert_eq!(status, "9");
    assert!(text.starts_with(" (`\\u{1b}[31m\\n`"), "{text}");
    assert!(text.is_ascii() && text.chars().all(|c| !c.is_control()) && text.len() < 2_000);
}

#[test]
fn what_is_not_a_granted_time_stamp_is_refused() {
    assert_eq!(verify(&[0x30, 5, 0x30, 3, 2, 1, 0]), Err(TimestampError::NoToken));
    let (bytes, max) = (RESPONSE_BYTES_MAX + 1, RESPONSE_BYTES_MAX);
    assert_eq!(verify(&vec![0; bytes]), Err(TimestampError::TooLong { bytes, max }));
    for bytes in [b"".as_slice(), b"<html>503</html>", &[0x30, 0x80, 0, 0], &vec![0; max]] {
        let error = verify(bytes).unwrap_err();
        assert!(matches!(error, TimestampError::Malformed { what: "the response", .. }), "{error}");
    }
    let found = "1.2.840.113549.1.7.1".to_owned();
    assert_eq!(verify(fixture!("wrong-content")), Err(TimestampError::ContentType { found }));
    assert_eq!(verify(fixture!("version-2")), Err(TimestampError::Version { found: 2 }));
    let oid = "1.3.6.1.4.1.99999.9".to_owned();
    let expected = TimestampError::CriticalExtension { oid };
    assert_eq!(verify(fixture!("critical-extension")), Err(expected));
}

#[test]
fn a_time_stamp_over_something_else_is_refused() {
    assert_eq!(verify(fixture!("other-imprint")), Err(TimestampError::Imprint));
    let found = "2.16.840.1.101.3.4.2.3".to_owned();
    assert_eq!(verify(fixture!("sha512-imprint")), Err(TimestampError::ImprintAlgorithm { found }));
    let roots = roots_from_pem(ROOTS).unwrap();
    for bit in 0..256 {
        let mut other = imprint();
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(timestamp::verify(GOOD, other, None, &roots), Err(TimestampError::Imprint));
    }
}

#[test]
fn the_signature_must_be_one_and_name_its_certificate() {
    assert_eq!(verify(fixture!("two-signers")), Err(TimestampError::Signers { found: 2 }));
    assert_eq!(verify(fixture!("no-certificates")), Err(TimestampError::SignerMissing));
    assert_eq!(verify(fixture!("unbound")), Err(TimestampError::Unbound));
    // The same key, issuer and serial number, and the period of another certificate.
    assert_eq!(verify(fixture!("stand-in")), Err(TimestampError::Binding));
}

#[test]
fn a_signature_that_is_not_believed_is_refused() {
    let (what, found) = ("the signature", "1.3.14.3.2.26".to_owned());
    let expected = TimestampError::DigestAlgorithm { what, found };
    assert_eq!(verify(fixture!("sha1-signature")), Err(expected));
    let found = "1.2.840.10045.4.3.2".to_owned();
    assert_eq!(verify(fixture!("p521")), Err(TimestampError::SignatureAlgorithm { found }));
    assert_eq!(verify(fixture!("weak-key")), Err(TimestampError::Signature));
}

#[test]
fn a_certificate_for_anything_else_is_refused() {
    assert_eq!(verify(fixture!("wrong-purpose")), Err(purpose("it has another")));
    assert_eq!(verify(fixture!("extra-purpose")), Err(purpose("it has further ones")));
    assert_eq!(verify(fixture!("loose-purpose")), Err(purpose("it is not critical")));
    assert_eq!(verify(fixture!("no-purpose")), Err(purpose("it has none")));
    assert_eq!(verify(fixture!("wrong-usage")), Err(TimestampError::KeyUsage));
    assert_eq!(verify(fixture!("other-authority")), Err(TimestampError::Authority));
}

#[test]
fn a_root_must_vouch_for_the_authority_at_the_stamped_time() {
    let time_s = GOOD_TIME_S;
    let ended = ChainError::Expired { time_s, not_after_s: 1_609_459_200 };
    assert_eq!(verify(fixture!("expired")), Err(ended.into()));
    let not_before_s = 4_102_444_800;
    let begins = ChainError::NotYetValid { time_s, not_before_s };
    assert_eq!(verify(fixture!("not-yet-valid")), Err(begins.into()));
    let why = "one that is no issuer has issued";
    assert_eq!(verify(fixture!("issuer-usage")), Err(ChainError::Constraint { why }.into()));

    let check = |response, roots: &[Vec<u8>]| timestamp::verify(response, imprint(), None, roots);
    let other = roots_from_pem(include_str!("../fixtures/rsa-root.pem")).unwrap();
    assert_eq!(check(GOOD, &other), Err(ChainError::UnknownIssuer.into()));
    assert_eq!(check(GOOD, &[]), Err(ChainError::NoRoots.into()));
    let bad = [other[0].clone(), b"root".to_vec()];
    assert_eq!(check(GOOD, &bad), Err(ChainError::Root { index: 1 }.into()));

    assert_eq!(verify(fixture!("expired-root")), Err(ChainError::UnknownIssuer.into()));
    let old = roots_from_pem(include_str!("../fixtures/old-root.pem")).unwrap();
    let ended = ChainError::Expired { time_s: 1_767_323_045, not_after_s: 1_609_459_200 };
    assert_eq!(check(fixture!("expired-root"), &old), Err(ended.into()));
}

/// A certificate of the token is no root, even if it is the one that signed.
#[test]
fn a_token_does_not_bring_its_own_root() {
    let rsa = fixture!("rsa");
    let ec = roots_from_pem(include_str!("../fixtures/ec-root.pem")).unwrap();
    let error = timestamp::verify(rsa, imprint(), None, &ec);
    assert_eq!(error, Err(ChainError::UnknownIssuer.into()));
}

#[test]
fn a_response_cut_short_or_with_more_behind_it_is_refused() {
    for length in 0..GOOD.len() {
        assert!(verify(&GOOD[..length]).is_err(), "{length} bytes");
    }
    assert!(verify(&[GOOD, &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(verify(&bytes).is_err());
    }

    /// A part of one response in the place of a part of another: whatever it is, it says nothing
    /// that the one did not say.
    #[test]
    fn no_splice_says_anything_new(
        (from, to) in (0..GOOD.len(), 0..40_usize),
        (other_from, other_to) in (0..GOOD.len(), 0..40_usize),
        keep_length in any::<bool>(),
    ) {
        let good = verify(GOOD);
        let other = fixture!("key-identifier");
        let to = (from + to).min(GOOD.len());
        let other_to = if keep_length { other_from + to - from } else { other_from + other_to };
        let part = other.get(other_from..other_to.min(other.len())).unwrap_or_default();
        let spliced = [&GOOD[..from], part, &GOOD[to..]].concat();
        let outcome = verify(&spliced);
        prop_assert!(outcome.is_err() || outcome == good, "{outcome:?}");
    }

    #[test]
    fn no_root_panics(at in 0..400_usize, value in any::<u8>()) {
        let mut roots = roots_from_pem(include_str!("../fixtures/ec-root.pem")).unwrap();
        let byte = at % roots[0].len();
        roots[0][byte] = value;
        let outcome = timestamp::verify(GOOD, imprint(), None, &roots);
        prop_assert!(outcome.is_err() || outcome == verify(GOOD), "{outcome:?}");
    }
}
