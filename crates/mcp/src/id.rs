//! Request ids, by which answers find their questions. It refuses to know whose id it is: the two
//! directions of a session count separately.

use std::fmt;

use crate::json;

/// The id of a request: a string or an integer (schema `RequestId` of every revision).
///
/// Equality is on the decoded value; the string `"1"` and the number `1` are different ids.
/// Integers are accepted only as every parser writes them: no fraction, no exponent, no `-0`.
/// [`fmt::Display`] writes the id as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Repr);

/// A progress token, which has the same shape as a request id (schema `ProgressToken`).
pub type ProgressToken = RequestId;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Integer(i64),
    /// Digits, possibly after a minus, of an integer beyond `i64`.
    Long(Box<str>),
    Text(Box<str>),
}

impl RequestId {
    /// An id that is a string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self(Repr::Text(text.into()))
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Text(text) => Some(text),
            Repr::Integer(_) | Repr::Long(_) => None,
        }
    }

    /// The number, if it is one that fits.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match &self.0 {
            Repr::Integer(number) => Some(*number),
            Repr::Long(_) | Repr::Text(_) => None,
        }
    }

    /// Reads the literal of a JSON number; `None` unless it is an integer without fraction and
    /// exponent, and not minus zero.
    pub(crate) fn from_number(literal: &str) -> Option<Self> {
        if literal == "-0" || literal.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            return None;
        }
        Some(Self(match literal.parse() {
            Ok(number) => Repr::Integer(number),
            Err(_) => Repr::Long(literal.into()),
        }))
    }

    /// Appends the id as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Repr::Long(digits) => out.extend_from_slice(digits.as_bytes()),
            Repr::Text(text) => json::write_string(out, text),
        }
    }
}

impl From<i64> for RequestId {
    fn from(number: i64) -> Self {
        Self(Repr::Integer(number))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}
