//! How long and how firmly a version is kept from being deleted, and how headers say so.
//!
//! Knows no bucket and no clock; the storage alone enforces what is written here.

use jiff::Timestamp;
use std::fmt;

/// Who may lift the lock before its time.
///
/// Source: S3 API, `x-amz-object-lock-mode`. Ordered by strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// Whoever holds the right to bypass it. For trials, not for evidence.
    Governance,
    /// Nobody, not even the owner of the account.
    Compliance,
}

/// A lock on a version of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retention {
    /// Who may lift it.
    pub mode: LockMode,
    /// When it ends by itself, in whole seconds since 1970 (UTC).
    pub until_unix_s: u64,
}

impl LockMode {
    /// The word the S3 API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "GOVERNANCE" => Some(Self::Governance),
            "COMPLIANCE" => Some(Self::Compliance),
            _ => None,
        }
    }
}

impl Retention {
    /// Whether a version under this lock is kept at least as firmly and as long as `wanted` asks.
    #[must_use]
    pub fn covers(self, wanted: Self) -> bool {
        wanted.mode <= self.mode && wanted.until_unix_s <= self.until_unix_s
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {}", self.mode.as_str(), date(self.until_unix_s))
    }
}

/// RFC 3339 in UTC, as `x-amz-object-lock-retain-until-date` takes it. Times outside of
/// [`UNIX_S_MAX`] are shown as their number.
pub(crate) fn date(unix_s: u64) -> String {
    i64::try_from(unix_s)
        .ok()
        .filter(|_| unix_s <= UNIX_S_MAX)
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| unix_s.to_string(), |time| time.to_string())
}

/// Reads what [`date`] writes, and what servers answer (with fractions, which are cut off).
pub(crate) fn parse_date(text: &str) -> Option<u64> {
    // Years with signs are no RFC 3339; the parser takes some that are out of its own range.
    let text = text.starts_with(|c: char| c.is_ascii_digit()).then_some(text)?;
    let time = text.parse::<Timestamp>().ok()?;
    u64::try_from(time.as_second()).ok()
}

/// The last second of the year 9998: later times have no date with four digits in every zone.
pub(crate) const UNIX_S_MAX: u64 = 253_370_764_799;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_written_as_the_api_takes_them() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(1_795_350_371), "2026-11-22T12:26:11Z");
        assert_eq!(date(UNIX_S_MAX), "9998-12-31T23:59:59Z");
        assert_eq!(date(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn dates_are_read_as_servers_write_them() {
        assert_eq!(parse_date("2026-11-22T12:26:11Z"), Some(1_795_350_371));
        assert_eq!(parse_date("2026-11-22T12:26:11.999Z"), Some(1_795_350_371));
        assert_eq!(parse_date("2026-11-22T13:26:11+01:00"), Some(1_795_350_371));
        for text in [
            "",
            "tomorrow",
            "2026-11-22",
            "1969-12-31T23:59:59Z",
            "1795350371",
            "-009999-01-02T01:59:58.000001Z",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_lock_covers_what_is_no_firmer_and_no_longer() {
        let lock = |mode, until_unix_s| Retention { mode, until_unix_s };
        let (weak, firm) = (LockMode::Governance, LockMode::Compliance);
        assert!(lock(firm, 10).covers(lock(firm, 10)));
        assert!(lock(firm, 11).covers(lock(weak, 10)));
        assert!(!lock(firm, 9).covers(lock(firm, 10)));
        assert!(!lock(weak, 99).covers(lock(firm, 10)));
    }

    #[test]
    fn modes_are_the_words_of_the_api() {
        for mode in [LockMode::Governance, LockMode::Compliance] {
            assert_eq!(LockMode::parse(mode.as_str()), Some(mode));
        }
        assert_eq!(LockMode::parse("compliance"), None);
    }

    proptest! {
        #[test]
        fn every_date_is_read_back(unix_s in 0..=UNIX_S_MAX) {
            prop_assert_eq!(parse_date(&date(unix_s)), Some(unix_s));
        }
    }
}
