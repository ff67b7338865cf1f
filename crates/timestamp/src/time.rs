//! The stamped time: `genTime` of RFC 3161 section 2.4.2, a `GeneralizedTime` in UTC that may have a
//! fraction of a second.
//!
//! Knows no clock and no time zone.

use der::asn1::GeneralizedTime;
use der::{Any, ErrorKind, Length, Tag, Tagged};
use std::time::Duration;

/// The time since 1970-01-01 UTC.
///
/// # Errors
/// When it is not `YYYYMMDDhhmmss[.s…]Z` in the one form of DER, is before 1970, or is more exact
/// than nanoseconds.
pub(crate) fn since_1970(time: &Any) -> der::Result<Duration> {
    time.tag().assert_eq(Tag::GeneralizedTime)?;
    let malformed =
        || der::Error::new(ErrorKind::Value { tag: Tag::GeneralizedTime }, Length::ZERO);
    let text = time.value().strip_suffix(b"Z").ok_or_else(malformed)?;
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().ok_or_else(malformed)?;
    let nanoseconds = match parts.next() {
        None => 0,
        Some(fraction) => nanoseconds(fraction).ok_or_else(malformed)?,
    };
    // Without its fraction it is a form that `der` reads.
    let plain = Any::new(Tag::GeneralizedTime, [whole, b"Z"].concat())?;
    let seconds = plain.decode_as::<GeneralizedTime>()?.to_unix_duration();
    Ok(seconds + Duration::from_nanos(nanoseconds))
}

/// The digits after the point. DER forbids none at all and zeros at the end (X.690 section 11.7).
fn nanoseconds(fraction: &[u8]) -> Option<u64> {
    let exact = (1..=DIGITS_MAX).contains(&fraction.len())
        && fraction.iter().all(u8::is_ascii_digit)
        && fraction.last() != Some(&b'0');
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(DIGITS_MAX);
    exact.then(|| digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Digits of a fraction in nanoseconds.
const DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        since_1970(&Any::new(Tag::GeneralizedTime, text.as_bytes()).unwrap()).ok()
    }

    #[test]
    fn a_time_is_read_with_and_without_a_fraction() {
        let whole = Duration::from_secs(1_795_349_694);
        assert_eq!(read("20261122121454Z"), Some(whole));
        assert_eq!(read("20261122121454.606Z"), Some(whole + Duration::from_millis(606)));
        assert_eq!(read("20261122121454.000000001Z"), Some(whole + Duration::from_nanos(1)));
        assert_eq!(read("19700101000000Z"), Some(Duration::ZERO));
    }

    #[test]
    fn any_other_form_is_refused() {
        for text in [
            "",
            "Z",
            "20261122121454",
            "202611221214Z",
            "20261122121454.Z",
            "20261122121454.6060Z",
            "20261122121454.0Z",
            "20261122121454.0000000001Z",
            "20261122121454.6.6Z",
            "20261122121454,606Z",
            "20261122121454.-06Z",
            "20261122121454+0000",
            "20261122121460Z",
            "20260230121454Z",
            "19691231235959Z",
            "2026112212145 Z",
            "20261122121454ZZ",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let utc = Any::new(Tag::UtcTime, b"261122121454Z".as_slice()).unwrap();
        assert!(since_1970(&utc).is_err());
    }
}
