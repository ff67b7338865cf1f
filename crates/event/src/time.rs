//! A point in time on the wall clock, in UTC. It never reads a clock: whoever builds an event passes
//! the time in.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Wall-clock time in UTC with microsecond precision.
///
/// Text form: RFC 3339 with exactly six fractional digits and `Z`, so that text order is time order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(jiff::Timestamp);

impl Time {
    /// The time `us` microseconds after 1970-01-01T00:00:00Z; values outside the years −9999 to 9999
    /// become the epoch.
    #[must_use]
    pub fn from_unix_us(us: i64) -> Self {
        Self(jiff::Timestamp::from_microsecond(us).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_us(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; times before it are 0.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        u64::try_from(self.0.as_millisecond()).unwrap_or(0)
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_s(self) -> i64 {
        self.0.as_second()
    }

    /// Reads RFC 3339 text with any offset and precision. Years have four digits there, without a sign; so
    /// has the time in UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Years with signs are ISO 8601; the parser takes some that are out of its own range.
        let time: jiff::Timestamp =
            text.starts_with(|c: char| c.is_ascii_digit()).then_some(text)?.parse().ok()?;
        let time = Self::from_unix_us(time.as_microsecond());
        (YEAR_0_UNIX_US <= time.unix_us()).then_some(time)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("time is not RFC 3339"))
    }
}

/// The beginning of the year 0.
const YEAR_0_UNIX_US: i64 = -62_167_219_200_000_000;

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn years_have_four_digits() {
        for text in [
            "-009999-01-02T01:59:58.000001Z",
            "-009999-01-02T01:59:59Z",
            "-000001-01-01T00:00:00Z",
            "+002026-11-22T08:37:00Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-23:00",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
        let first = "0000-01-01T00:00:00.000000Z";
        assert_eq!(Time::parse(first).unwrap().to_string(), first);
    }

    #[test]
    fn text_has_fixed_width_and_reads_back() {
        for us in [0, 1, 1_000_000, 1_795_336_620_123_456, 1_795_336_620_100_000] {
            let time = Time::from_unix_us(us);
            assert_eq!(time.to_string().len(), "2026-11-22T08:37:00.123456Z".len());
            assert_eq!(Time::parse(&time.to_string()), Some(time));
            assert_eq!(time.unix_us(), us);
        }
        assert_eq!(Time::from_unix_us(0).to_string(), "1970-01-01T00:00:00.000000Z");
    }
}
