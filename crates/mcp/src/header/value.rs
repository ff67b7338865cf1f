//! The encoding of mirrored values (2026-07-28, "Value Encoding"). It refuses to know which header
//! a value belongs to.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Writes a value for `Mcp-Name` or `Mcp-Param-*`: as it is if it is safe, else in Base64 between
/// the sentinels. Decoding gives back exactly `value`.
#[must_use]
pub fn encode_header_value(value: &str) -> String {
    let is_plain = plain(value.as_bytes()) == Some(value);
    if is_plain && between_sentinels(value).is_none() {
        return value.to_owned();
    }
    format!("{OPENING}{}{CLOSING}", STANDARD.encode(value))
}

/// Reads a value of `Mcp-Name` or `Mcp-Param-*`, trimming optional white space and decoding Base64
/// between sentinels. `None` for invalid characters, bad Base64 (the standard alphabet with its
/// padding is required) or bytes that are not UTF-8.
#[must_use]
pub fn decode_header_value(value: &[u8]) -> Option<Cow<'_, str>> {
    let value = plain(value)?;
    match between_sentinels(value) {
        Some(encoded) => {
            let decoded = STANDARD.decode(encoded).ok()?;
            String::from_utf8(decoded).ok().map(Cow::Owned)
        }
        None => Some(Cow::Borrowed(value)),
    }
}

/// The trimmed value, if it is of visible ASCII, spaces and tabs (RFC 9110, section 5.5).
pub(super) fn plain(value: &[u8]) -> Option<&str> {
    if !value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return None;
    }
    std::str::from_utf8(value).ok().map(|text| text.trim_matches([' ', '\t']))
}

fn between_sentinels(value: &str) -> Option<&str> {
    value.strip_prefix(OPENING)?.strip_suffix(CLOSING)
}

const OPENING: &str = "=?base64?";
const CLOSING: &str = "?=";
