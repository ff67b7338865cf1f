//! JSON strings: found, checked, decoded and written. It refuses to know what they mean.

use std::borrow::Cow;

use super::{Read, Reader};
use crate::malformed::{Fault, Malformed};

impl<'a> Reader<'a> {
    /// Reads a string and decodes its escapes; borrowed if it has none.
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        let start = self.place() + 1;
        let escaped = self.scan_string()?;
        let inside = self.slice(start, self.at - 1)?;
        if escaped { decode(inside, start).map(Cow::Owned) } else { Ok(Cow::Borrowed(inside)) }
    }

    /// Checks a string and leaves it behind. Half surrogate pairs pass: they are good grammar.
    pub(super) fn skip_string(&mut self) -> Read<()> {
        self.scan_string().map(|_| ())
    }

    /// From the opening quote to behind the closing one; says whether there were escapes.
    #[inline]
    fn scan_string(&mut self) -> Read<bool> {
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at += plain_run(self.rest());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.skip_escape()?;
                }
                Some(_) => return Err(self.fault(Fault::BadString)),
                None => return Err(self.fault(Fault::Truncated)),
            }
        }
    }

    fn skip_escape(&mut self) -> Read<()> {
        match self.rest() {
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|x| x.is_ascii_hexdigit()) => {
                self.at += 6;
                Ok(())
            }
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                self.at += 2;
                Ok(())
            }
            [_] => Err(self.fault(Fault::Truncated)),
            _ => Err(self.fault(Fault::BadString)),
        }
    }
}

/// Appends `text` as a JSON string, escaping what RFC 8259 section 7 requires and nothing more.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x00..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Decodes the inside of a string whose escapes are known to be well formed; `start` is its offset
/// in the body.
fn decode(inside: &str, start: usize) -> Read<String> {
    let mut decoded = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((plain, tail)) = rest.split_once('\\') {
        decoded.push_str(plain);
        let at = start + inside.len() - tail.len() - 1;
        let surrogate = || Malformed::new(Fault::LoneSurrogate, at);
        let mut after = tail.chars();
        let character = match after.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (character, remaining) =
                    unicode_escape(after.as_str()).ok_or_else(surrogate)?;
                after = remaining.chars();
                character
            }
            Some(literal) => literal,
            None => return Err(Malformed::new(Fault::BadString, at)),
        };
        decoded.push(character);
        rest = after.as_str();
    }
    decoded.push_str(rest);
    Ok(decoded)
}

/// Decodes what follows `\u`: four digits, or two times four with `\u` between them. `None` for
/// half a pair.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let (first, rest) = code_unit(text)?;
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let (second, rest) = code_unit(rest.strip_prefix("\\u")?)?;
    if 0xdc00 <= first || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Some((char::from_u32(scalar)?, rest))
}

fn code_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

/// The number of bytes before the first quote, backslash or control character.
///
/// Eight bytes at a time: `(x - 0x01..) & !x & 0x80..` marks the zero bytes of `x`, exactly so up
/// to and including the lowest, which is the one we want.
#[inline]
fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some(word) = bytes.get(run..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let marks = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES) | controls(word);
        if marks != 0 {
            return run + usize::try_from(marks.trailing_zeros() / 8).unwrap_or_default();
        }
        run += 8;
    }
    let tail = bytes.get(run..).unwrap_or_default();
    run + tail.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0x00..=0x1f)).count()
}

fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH_BITS
}

fn controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & HIGH_BITS
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = ONES * 0x80;
const QUOTES: u64 = ONES * 0x22;
const BACKSLASHES: u64 = ONES * 0x5c;
