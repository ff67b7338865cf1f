//! One strict pass over a JSON text (RFC 8259): grammar, depth and duplicate keys in the same
//! walk. It refuses to know JSON-RPC, and it builds no tree: a value is read where it stands,
//! taken as a slice, or skipped without recursion, so that no input can exhaust the stack.

mod string;

use std::borrow::Cow;

pub(crate) use self::string::write_string;
use crate::limits::{DuplicateKeys, Limits};
use crate::malformed::{Fault, Malformed};

pub(crate) type Read<T> = Result<T, Malformed>;

/// What the next value is, judged by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A cursor over a text of which everything before it has been found to be good JSON.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    depth_max: usize,
    everywhere: bool,
    /// The keys seen so far of every open object, the innermost last.
    keys: Vec<Key<'a>>,
    /// The containers that `skip` has open.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Key<'a> {
    text: Cow<'a, str>,
    at: usize,
}

#[derive(Debug, Clone, Copy)]
enum Open {
    Array,
    /// An object whose keys begin at this index of `Reader::keys`.
    Object(usize),
}

/// Refuses encodings that other parsers may guess at.
pub(crate) fn checked_text(bytes: &[u8]) -> Read<&str> {
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => return Err(Malformed::new(Fault::ByteOrderMark, 0)),
        // UTF-16 and UTF-32 show by their mark, or by the zero byte beside an ASCII bracket.
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [_, 0, ..] => {
            return Err(Malformed::new(Fault::WideEncoding, 0));
        }
        _ => {}
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Malformed::new(Fault::NotUtf8, error.valid_up_to()))?;
    if text.bytes().all(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) {
        return Err(Malformed::nowhere(Fault::Empty));
    }
    Ok(text)
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, limits: &Limits) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            depth_max: limits.depth_max,
            everywhere: limits.duplicate_keys == DuplicateKeys::Everywhere,
            keys: Vec::with_capacity(16),
            open: Vec::with_capacity(8),
        }
    }

    /// The offset of the next value, blanks skipped.
    pub(crate) fn place(&mut self) -> usize {
        self.skip_blanks();
        self.at
    }

    /// A fault at the cursor.
    pub(crate) fn fault(&self, fault: Fault) -> Malformed {
        Malformed::new(fault, self.at)
    }

    /// What the next value is; a fault if none can start here.
    #[inline]
    pub(crate) fn kind(&mut self) -> Read<Kind> {
        match self.next_byte()? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'"' => Ok(Kind::String),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b't' | b'f' => Ok(Kind::Bool),
            b'n' => Ok(Kind::Null),
            _ => Err(self.fault(Fault::NotJson)),
        }
    }

    /// Requires that nothing but blanks is left.
    pub(crate) fn end(&mut self) -> Read<()> {
        self.skip_blanks();
        if self.at < self.text.len() { Err(self.fault(Fault::TrailingBytes)) } else { Ok(()) }
    }

    /// Reads an object; `member` gets each decoded key with its offset and must consume the value.
    /// Duplicate keys are refused whatever the limits say.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str, usize) -> Read<()>,
    ) -> Read<()> {
        let first_key = self.keys.len();
        self.enter(b'{')?;
        if self.next_byte()? == b'}' {
            self.leave();
            return Ok(());
        }
        loop {
            let at = self.place();
            let key = self.key()?;
            self.remember(first_key, key.clone(), at)?;
            member(self, &key, at)?;
            match self.next_byte()? {
                b',' => self.at += 1,
                b'}' => {
                    self.forget(first_key)?;
                    self.leave();
                    return Ok(());
                }
                _ => return Err(self.fault(Fault::NotJson)),
            }
        }
    }

    /// Reads an array; `element` must consume each value.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.enter(b'[')?;
        if self.next_byte()? == b']' {
            self.leave();
            return Ok(());
        }
        loop {
            element(self)?;
            match self.next_byte()? {
                b',' => self.at += 1,
                b']' => {
                    self.leave();
                    return Ok(());
                }
                _ => return Err(self.fault(Fault::NotJson)),
            }
        }
    }

    /// Takes the next value as it stands in the text.
    pub(crate) fn raw(&mut self) -> Read<&'a str> {
        let start = self.place();
        self.skip()?;
        self.slice(start, self.at)
    }

    /// What was read since an offset.
    pub(crate) fn since(&self, start: usize) -> Read<&'a str> {
        self.slice(start, self.at)
    }

    /// Reads a string, or skips a value of another kind.
    pub(crate) fn string_or_skip(&mut self) -> Read<Option<Cow<'a, str>>> {
        if self.kind()? == Kind::String {
            self.string().map(Some)
        } else {
            self.skip()?;
            Ok(None)
        }
    }

    /// Reads `true` or `false`.
    pub(crate) fn bool(&mut self) -> Read<bool> {
        if self.next_byte()? == b't' {
            self.literal("true")?;
            Ok(true)
        } else {
            self.literal("false")?;
            Ok(false)
        }
    }

    /// Reads the literal of a number.
    pub(crate) fn number(&mut self) -> Read<&'a str> {
        let start = self.place();
        self.skip_number()?;
        self.slice(start, self.at)
    }

    /// Checks the next value and leaves it behind, without recursion.
    pub(crate) fn skip(&mut self) -> Read<()> {
        let floor = self.open.len();
        loop {
            let opened = self.skip_first()?;
            if !opened && self.close_finished(floor)? {
                return Ok(());
            }
        }
    }

    /// Skips a scalar or an empty container, or opens a container and stands before its first
    /// value; says whether it opened one.
    fn skip_first(&mut self) -> Read<bool> {
        match self.kind()? {
            Kind::Object => {
                self.enter(b'{')?;
                if self.next_byte()? == b'}' {
                    self.leave();
                    return Ok(false);
                }
                self.open.push(Open::Object(self.keys.len()));
                self.skip_key(self.keys.len())?;
                return Ok(true);
            }
            Kind::Array => {
                self.enter(b'[')?;
                if self.next_byte()? == b']' {
                    self.leave();
                    return Ok(false);
                }
                self.open.push(Open::Array);
                return Ok(true);
            }
            Kind::String => self.skip_string()?,
            Kind::Number => self.skip_number()?,
            Kind::Bool => {
                self.bool()?;
            }
            Kind::Null => self.literal("null")?,
        }
        Ok(false)
    }

    /// After a value: closes every container that ends here. True if `skip` is done, false if
    /// another value follows.
    fn close_finished(&mut self, floor: usize) -> Read<bool> {
        while floor < self.open.len() {
            let innermost = self.open.last().copied();
            match (self.next_byte()?, innermost) {
                (b',', Some(Open::Object(first_key))) => {
                    self.at += 1;
                    self.skip_key(first_key)?;
                    return Ok(false);
                }
                (b',', Some(Open::Array)) => {
                    self.at += 1;
                    return Ok(false);
                }
                (b'}', Some(Open::Object(first_key))) => self.forget(first_key)?,
                (b']', Some(Open::Array)) => {}
                _ => return Err(self.fault(Fault::NotJson)),
            }
            self.open.pop();
            self.leave();
        }
        Ok(true)
    }

    /// A key of an object that is only skipped: decoded only where duplicates are looked for.
    fn skip_key(&mut self, first_key: usize) -> Read<()> {
        if self.everywhere {
            let at = self.place();
            let key = self.key()?;
            self.remember(first_key, key, at)
        } else {
            if self.next_byte()? != b'"' {
                return Err(self.fault(Fault::NotJson));
            }
            self.skip_string()?;
            self.colon()
        }
    }

    #[inline]
    fn key(&mut self) -> Read<Cow<'a, str>> {
        if self.next_byte()? != b'"' {
            return Err(self.fault(Fault::NotJson));
        }
        let key = self.string()?;
        self.colon()?;
        Ok(key)
    }

    #[inline]
    fn colon(&mut self) -> Read<()> {
        if self.next_byte()? != b':' {
            return Err(self.fault(Fault::NotJson));
        }
        self.at += 1;
        Ok(())
    }

    /// Few keys are compared at once, many when the object closes: sorting then keeps a hostile
    /// object of a million keys from costing the square of it.
    #[inline]
    fn remember(&mut self, first_key: usize, text: Cow<'a, str>, at: usize) -> Read<()> {
        let siblings = self.keys.get(first_key..).unwrap_or_default();
        if siblings.len() < COMPARED_KEYS_MAX && siblings.iter().any(|key| key.text == text) {
            return Err(Malformed::new(Fault::DuplicateKey, at));
        }
        self.keys.push(Key { text, at });
        Ok(())
    }

    fn forget(&mut self, first_key: usize) -> Read<()> {
        let siblings = self.keys.get_mut(first_key..).unwrap_or_default();
        if COMPARED_KEYS_MAX < siblings.len() {
            siblings.sort_unstable_by(|a, b| (&a.text, a.at).cmp(&(&b.text, b.at)));
            let twins = siblings.windows(2).filter_map(|pair| match pair {
                [first, second] if first.text == second.text => Some(second.at),
                _ => None,
            });
            if let Some(at) = twins.min() {
                return Err(Malformed::new(Fault::DuplicateKey, at));
            }
        }
        self.keys.truncate(first_key);
        Ok(())
    }

    #[inline]
    fn enter(&mut self, bracket: u8) -> Read<()> {
        if self.next_byte()? != bracket {
            return Err(self.fault(Fault::NotJson));
        }
        if self.depth == self.depth_max {
            return Err(self.fault(Fault::TooDeep { max: self.depth_max }));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Consumes the closing bracket, at which the cursor stands.
    #[inline]
    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn skip_number(&mut self) -> Read<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.skip_digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Read<()> {
        let rest = self.rest();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        match digits {
            0 if rest.is_empty() => Err(self.fault(Fault::Truncated)),
            0 => Err(self.fault(Fault::BadNumber)),
            _ => Ok(()),
        }
    }

    fn literal(&mut self, literal: &str) -> Read<()> {
        let rest = self.rest();
        if rest.starts_with(literal.as_bytes()) {
            self.at += literal.len();
            Ok(())
        } else if literal.as_bytes().starts_with(rest) {
            Err(self.fault(Fault::Truncated))
        } else {
            Err(self.fault(Fault::NotJson))
        }
    }

    /// The next byte that is not blank, left where it stands.
    #[inline]
    fn next_byte(&mut self) -> Read<u8> {
        self.skip_blanks();
        self.peek().ok_or_else(|| self.fault(Fault::Truncated))
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn slice(&self, start: usize, end: usize) -> Read<&'a str> {
        self.text.get(start..end).ok_or_else(|| self.fault(Fault::NotJson))
    }
}

/// Up to this many keys of an object are compared with each other as they come.
const COMPARED_KEYS_MAX: usize = 16;

#[cfg(test)]
mod tests;
