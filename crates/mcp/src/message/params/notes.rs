//! Reading fields while remembering the first irregularity instead of failing at once, because
//! only the method decides whether it matters, and the method may come last. It refuses to decide.

use std::borrow::Cow;

use crate::id::RequestId;
use crate::json::{Kind, Read, Reader};
use crate::limits::Limits;
use crate::malformed::{Fault, Malformed};

/// The first irregularity found, if any.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    first: Option<Malformed>,
}

impl Notes {
    /// Fails with what was noted.
    pub(crate) fn into_result(self) -> Read<()> {
        self.first.map_or(Ok(()), Err)
    }

    /// Notes a fault at an offset, unless there is one already.
    pub(crate) fn note(&mut self, fault: Fault, at: usize) {
        self.first.get_or_insert_with(|| Malformed::new(fault, at));
    }

    /// Notes a key that some parsers take for one of `known`: those which ignore case.
    pub(crate) fn unknown_key(&mut self, key: &str, known: &[&str], at: usize) {
        if known.iter().any(|known| folds_to(key, known)) {
            self.note(Fault::LookalikeKey, at);
        }
    }

    /// Whether an object follows; if not, notes it and skips the value.
    pub(crate) fn is_object(&mut self, reader: &mut Reader<'_>, field: &'static str) -> Read<bool> {
        self.expect(reader, field, Kind::Object, "an object")
    }

    /// A text that names something: not empty, at most `max` bytes, no control characters.
    pub(crate) fn text<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        field: &'static str,
        max: usize,
    ) -> Read<Option<Cow<'a, str>>> {
        let at = reader.place();
        let Some(text) = self.string(reader, field)? else {
            return Ok(None);
        };
        let fault = if text.is_empty() {
            Fault::EmptyText { field }
        } else if max < text.len() {
            Fault::TooLong { field, max }
        } else if has_control(&text) {
            Fault::ControlCharacter { field }
        } else {
            return Ok(Some(text));
        };
        self.note(fault, at);
        Ok(None)
    }

    /// A string of any content.
    pub(crate) fn string<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        field: &'static str,
    ) -> Read<Option<Cow<'a, str>>> {
        if self.expect(reader, field, Kind::String, "a string")? {
            reader.string().map(Some)
        } else {
            Ok(None)
        }
    }

    /// A list of texts, each as [`Self::text`] wants it, under the bounds for URIs and lists.
    pub(crate) fn texts<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        field: &'static str,
        limits: &Limits,
    ) -> Read<Vec<Cow<'a, str>>> {
        let mut texts = Vec::new();
        if !self.expect(reader, field, Kind::Array, "an array of strings")? {
            return Ok(texts);
        }
        let max = limits.items_max;
        reader.array(|reader| {
            if texts.len() == max {
                self.note(Fault::TooMany { field, max }, reader.place());
                return reader.skip();
            }
            texts.extend(self.text(reader, field, limits.uri_bytes_max)?);
            Ok(())
        })?;
        Ok(texts)
    }

    /// A request id or a progress token.
    pub(crate) fn id(
        &mut self,
        reader: &mut Reader<'_>,
        field: &'static str,
        max: usize,
    ) -> Read<Option<RequestId>> {
        let at = reader.place();
        let (id, length) = match reader.kind()? {
            Kind::String => {
                let text = reader.string()?;
                (Some(RequestId::text(&text)), text.len())
            }
            Kind::Number => {
                let literal = reader.number()?;
                (RequestId::from_number(literal), literal.len())
            }
            _ => {
                reader.skip()?;
                (None, 0)
            }
        };
        if id.is_none() {
            self.note(Fault::WrongType { field, expected: "a string or an integer" }, at);
        } else if max < length {
            self.note(Fault::TooLong { field, max }, at);
            return Ok(None);
        }
        Ok(id)
    }

    fn expect(
        &mut self,
        reader: &mut Reader<'_>,
        field: &'static str,
        kind: Kind,
        expected: &'static str,
    ) -> Read<bool> {
        let at = reader.place();
        if reader.kind()? == kind {
            return Ok(true);
        }
        self.note(Fault::WrongType { field, expected }, at);
        reader.skip()?;
        Ok(false)
    }
}

fn has_control(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().any(|byte| byte.is_ascii_control());
    }
    text.chars().any(char::is_control)
}

/// Whether a parser that ignores case takes `key` for `known`, which is ASCII. Such parsers fold as
/// Unicode does, where two letters outside ASCII fold into it: the long s and the Kelvin sign.
fn folds_to(key: &str, known: &str) -> bool {
    if key.is_ascii() {
        return key.eq_ignore_ascii_case(known);
    }
    let folded = key.chars().map(|character| match character {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(known.chars().map(|character| character.to_ascii_lowercase()))
}
