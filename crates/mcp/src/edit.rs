//! Changes single values of a JSON text and leaves every other byte as it was: numbers keep their
//! form, keys their order, blanks their place. It refuses to know what a message means, and it never
//! parses and writes again what it does not change.

use std::borrow::Cow;
use std::ops::Range;

use thiserror::Error;

use crate::json::{Kind, Read, Reader, checked_text, write_string};
use crate::limits::Limits;
use crate::malformed::Malformed;

/// One step from a value into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'p> {
    /// The member of an object with this (decoded) key.
    Key(&'p str),
    /// The element of an array at this index, counted from 0.
    Index(usize),
    /// Every element of an array, or the value of every member of an object.
    Each,
}

/// A value of a text, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'m> {
    /// Offset of its first byte.
    pub start: usize,
    /// The value as it stands in the text.
    pub raw: &'m str,
}

/// Why a text was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The text is not JSON, nested too deep, or an object on the way to the value has a key twice.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// What was to be put in is not one JSON value.
    #[error("what is put into a message must be one JSON value")]
    NotJson,
    /// Two changes touch the same bytes, or the members of the same container.
    #[error("two changes of one message touch the same place: apply one after the other")]
    Overlap,
}

/// Changes to one text, collected and then applied together.
///
/// All paths are those of the text as it was. A path that leads nowhere changes nothing: every
/// operation says how many places it found.
#[derive(Debug)]
pub struct Edit<'m> {
    text: &'m str,
    changes: Vec<(Range<usize>, String)>,
    /// Where the containers open whose members were put in or taken out.
    containers: Vec<usize>,
}

/// The values at `path`, in the order in which they stand; none if it leads nowhere.
///
/// # Errors
/// [`Malformed`] if the text is not JSON within [`Limits::for_replies`], or an object on the path has
/// a key twice.
pub fn find<'m>(text: &'m [u8], path: &[Step<'_>]) -> Result<Vec<Found<'m>>, Malformed> {
    found(checked_text(text)?, path)
}

/// `text` as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

impl<'m> Edit<'m> {
    /// Nothing changed yet.
    ///
    /// # Errors
    /// [`Malformed`] if the text is not JSON within [`Limits::for_replies`].
    pub fn new(text: &'m [u8]) -> Result<Self, Malformed> {
        let text = checked_text(text)?;
        found(text, &[])?;
        Ok(Self { text, changes: Vec::new(), containers: Vec::new() })
    }

    /// Replaces every value at `path` by the JSON text `with`; says how many there were.
    ///
    /// # Errors
    /// [`Problem`]; nothing is changed then.
    pub fn replace(&mut self, path: &[Step<'_>], with: &str) -> Result<usize, Problem> {
        self.rewrite(path, |_| Some(Cow::Borrowed(with)))
    }

    /// Replaces every value at `path` by what `with` makes of it, as it stands; `None` leaves it.
    /// Says how many were replaced.
    ///
    /// # Errors
    /// [`Problem`]; nothing is changed then.
    pub fn rewrite<'t>(
        &mut self,
        path: &[Step<'_>],
        mut with: impl FnMut(&'m str) -> Option<Cow<'t, str>>,
    ) -> Result<usize, Problem> {
        let mut changes = Vec::new();
        for value in found(self.text, path)? {
            if let Some(text) = with(value.raw) {
                check_value(&text)?;
                changes.push((value.range(), text.into_owned()));
            }
        }
        let count = changes.len();
        self.changes.append(&mut changes);
        Ok(count)
    }

    /// Puts the member `"key":value` first into every object at `path` that has no such member; says
    /// how many objects got it. `value` is JSON text.
    ///
    /// # Errors
    /// [`Problem`]; nothing is changed then.
    pub fn insert(&mut self, path: &[Step<'_>], key: &str, value: &str) -> Result<usize, Problem> {
        check_value(value)?;
        let mut changes = Vec::new();
        let mut opened = Vec::new();
        for object in found(self.text, path)? {
            if !object.raw.starts_with('{') {
                continue;
            }
            let parts = members(object)?;
            if parts.iter().any(|part| part.key.as_deref() == Some(key)) {
                continue;
            }
            let (at, comma) = match parts.first() {
                Some(first) => (first.range.start, ","),
                None => (object.start + 1, ""),
            };
            changes.push((at..at, format!("{}:{value}{comma}", quoted(key))));
            opened.push(object.start);
        }
        self.open(&opened)?;
        let count = changes.len();
        self.changes.append(&mut changes);
        Ok(count)
    }

    /// Takes out of every array at `path` the elements that `keep` does not want, and out of every
    /// object its members, each with one comma; says how many. `keep` gets the place in the container,
    /// counted from 0, and the value as it stands.
    ///
    /// # Errors
    /// [`Problem`]; nothing is changed then.
    pub fn retain(
        &mut self,
        path: &[Step<'_>],
        mut keep: impl FnMut(usize, &'m str) -> bool,
    ) -> Result<usize, Problem> {
        let mut cuts = Vec::new();
        let mut opened = Vec::new();
        let mut count = 0;
        for container in found(self.text, path)? {
            let parts = members(container)?;
            let kept: Vec<bool> =
                parts.iter().enumerate().map(|(place, part)| keep(place, part.raw)).collect();
            let removed = kept.iter().filter(|kept| !**kept).count();
            if removed != 0 {
                opened.push(container.start);
                cuts.extend(cut(&parts, &kept));
                count += removed;
            }
        }
        self.open(&opened)?;
        self.changes.extend(cuts.into_iter().map(|cut| (cut, String::new())));
        Ok(count)
    }

    /// Takes the member `key` out of every object at `path`; says how many there were.
    ///
    /// # Errors
    /// [`Problem`]; nothing is changed then.
    pub fn remove(&mut self, path: &[Step<'_>], key: &str) -> Result<usize, Problem> {
        let mut cuts = Vec::new();
        let mut opened = Vec::new();
        for object in found(self.text, path)? {
            let parts = members(object)?;
            let kept: Vec<bool> =
                parts.iter().map(|part| part.key.as_deref() != Some(key)).collect();
            if kept.contains(&false) {
                opened.push(object.start);
                cuts.extend(cut(&parts, &kept));
            }
        }
        self.open(&opened)?;
        let count = opened.len();
        self.changes.extend(cuts.into_iter().map(|cut| (cut, String::new())));
        Ok(count)
    }

    /// The text with all changes.
    ///
    /// # Errors
    /// [`Problem::Overlap`] if two changes touch the same bytes.
    pub fn finish(mut self) -> Result<Vec<u8>, Problem> {
        self.changes.sort_by_key(|(range, _)| (range.start, range.end));
        let added: usize = self.changes.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(self.text.len() + added);
        let mut done = 0;
        for (range, with) in &self.changes {
            let kept = self.text.as_bytes().get(done..range.start).ok_or(Problem::Overlap)?;
            out.extend_from_slice(kept);
            out.extend_from_slice(with.as_bytes());
            done = range.end;
        }
        out.extend_from_slice(self.text.as_bytes().get(done..).unwrap_or_default());
        Ok(out)
    }

    /// The commas of a container are minded once: a second change of its members is refused.
    fn open(&mut self, containers: &[usize]) -> Result<(), Problem> {
        if containers.iter().any(|start| self.containers.contains(start)) {
            return Err(Problem::Overlap);
        }
        self.containers.extend_from_slice(containers);
        Ok(())
    }
}

impl Found<'_> {
    /// The bytes it takes.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }
}

/// A part of a container: an element, or a member with its key.
struct Part<'m> {
    key: Option<Cow<'m, str>>,
    /// From the first byte, that of the key included, to the end of the value.
    range: Range<usize>,
    raw: &'m str,
}

/// The parts of an array or object, in order; none of a scalar.
fn members(container: Found<'_>) -> Read<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut reader = Reader::new(container.raw, &limits());
    let mut push = |key: Option<&str>, from: usize, start: usize, raw| {
        let key = key.map(|key| Cow::Owned(key.to_owned()));
        let from = container.start + from;
        parts.push(Part { key, range: from..container.start + start + str::len(raw), raw });
    };
    match reader.kind()? {
        Kind::Object => reader.object(|reader, key, at| {
            let start = reader.place();
            push(Some(key), at, start, reader.raw()?);
            Ok(())
        })?,
        Kind::Array => reader.array(|reader| {
            let start = reader.place();
            push(None, start, start, reader.raw()?);
            Ok(())
        })?,
        _ => {}
    }
    Ok(parts)
}

/// What must go so that only the kept parts stay, with as many commas as they need: what stands before
/// the first kept part goes with the comma behind it, everything later with the comma before it.
fn cut(parts: &[Part<'_>], kept: &[bool]) -> Vec<Range<usize>> {
    let first_kept = kept.iter().position(|kept| *kept);
    let mut cuts = Vec::new();
    for (place, (part, _)) in parts.iter().zip(kept).enumerate().filter(|(_, (_, kept))| !**kept) {
        let is_before = first_kept.is_none_or(|first| place < first);
        let next = parts.get(place + 1).map(|next| next.range.start);
        let before = place.checked_sub(1).and_then(|before| parts.get(before));
        cuts.push(match (is_before, before) {
            (false, Some(before)) => before.range.end..part.range.end,
            _ => part.range.start..next.unwrap_or(part.range.end),
        });
    }
    cuts
}

fn found<'m>(text: &'m str, path: &[Step<'_>]) -> Read<Vec<Found<'m>>> {
    let mut reader = Reader::new(text, &limits());
    let mut values = Vec::new();
    walk(&mut reader, path, &mut values)?;
    reader.end()?;
    Ok(values)
}

/// Reads one value and keeps what stands at the end of `path` in it. As deep as the path is long.
fn walk<'m>(reader: &mut Reader<'m>, path: &[Step<'_>], values: &mut Vec<Found<'m>>) -> Read<()> {
    let Some((step, rest)) = path.split_first() else {
        let start = reader.place();
        values.push(Found { start, raw: reader.raw()? });
        return Ok(());
    };
    match (reader.kind()?, step) {
        (Kind::Object, Step::Key(wanted)) => {
            reader.object(
                |reader, key, _| {
                    if key == *wanted { walk(reader, rest, values) } else { reader.skip() }
                },
            )
        }
        (Kind::Object, Step::Each) => reader.object(|reader, _, _| walk(reader, rest, values)),
        (Kind::Array, Step::Each) => reader.array(|reader| walk(reader, rest, values)),
        (Kind::Array, Step::Index(wanted)) => {
            let mut place = 0;
            reader.array(|reader| {
                place += 1;
                if place == wanted + 1 { walk(reader, rest, values) } else { reader.skip() }
            })
        }
        _ => reader.skip(),
    }
}

fn check_value(text: &str) -> Result<(), Problem> {
    found(text, &[]).map(|_| ()).map_err(|_| Problem::NotJson)
}

fn limits() -> Limits {
    Limits::for_replies()
}

#[cfg(test)]
mod tests;
