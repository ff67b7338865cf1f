//! Definitions as people can compare them: line by line, with everything visible that a screen would
//! hide. It refuses to judge what it shows.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use crate::definition::Definition;

/// The difference of two definitions, in the form of unified diffs, of at most `bytes_max` bytes; what
/// does not fit is left out, and a last line says so.
#[must_use]
pub fn differences(before: Option<&Definition>, after: &Definition, bytes_max: usize) -> String {
    let Some(after) = after.text.as_deref() else { return TOO_LARGE.to_owned() };
    let before = match before.map(|before| before.text.as_deref()) {
        Some(Some(text)) => rendered(text),
        Some(None) => return TOO_LARGE.to_owned(),
        None => String::new(),
    };
    let after = rendered(after);
    if LINES_MAX < before.lines().count() + after.lines().count() {
        return TOO_LARGE.to_owned();
    }
    let diff = TextDiff::from_lines(&before, &after);
    let mut out = String::new();
    for (place, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        let mut gap = if place == 0 { "" } else { "...\n" };
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let line = change.value().trim_end_matches('\n');
            if bytes_max < out.len() + gap.len() + line.len() + 2 + CUT.len() {
                out.push_str(CUT);
                return out;
            }
            out.push_str(std::mem::take(&mut gap));
            out.push(sign);
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// `text` with every character that a screen would not show, or that changes the order in which others
/// are shown, written as `\u{…}`. Line feeds stay.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            // Writing to a string cannot fail.
            write!(out, "\\u{{{:x}}}", u32::from(character)).ok();
        } else {
            out.push(character);
        }
    }
    out
}

/// How many characters of a definition's texts [`visible`] would have to write out.
#[must_use]
pub fn hidden_characters(definition: &Definition) -> usize {
    let Some(text) = definition.text.as_deref() else { return 0 };
    match serde_json::from_str(text) {
        Ok(value) => hidden_in(&value),
        Err(_) => text.chars().filter(|character| is_hidden(*character)).count(),
    }
}

fn hidden_in(value: &Value) -> usize {
    let count = |text: &str| text.chars().filter(|c| *c != '\t' && is_hidden(*c)).count();
    match value {
        Value::String(text) => count(text),
        Value::Array(items) => items.iter().map(hidden_in).sum(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| count(key) + hidden_in(value)).sum()
        }
        _ => 0,
    }
}

/// Control characters, joiners and other marks without width, marks of direction, variation selectors,
/// fillers, tag characters (Unicode 16, `Default_Ignorable_Code_Point`, with the interlinear and
/// separator marks).
fn is_hidden(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// One member after the other: texts by their lines and sentences, everything else as indented JSON.
fn rendered(text: &str) -> String {
    let Ok(members) = serde_json::from_str::<Map<String, Value>>(text) else {
        return visible(text);
    };
    let mut out = String::new();
    for (key, value) in &members {
        match value {
            Value::String(text) => {
                writeln!(out, "{}:", visible(key)).ok();
                for line in text.lines().flat_map(sentences) {
                    writeln!(out, "  {}", visible(line.trim_end_matches(' '))).ok();
                }
            }
            _ => {
                let json = serde_json::to_string_pretty(value).unwrap_or_default();
                writeln!(out, "{}: {}", visible(key), visible(&json)).ok();
            }
        }
    }
    out
}

/// A line cut after its sentences, so that a change in one does not make all of a long line differ.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    line.split_inclusive(". ")
}

const CONTEXT_LINES: usize = 2;
/// Lines on both sides together that are compared; beyond that the comparison would take too long.
const LINES_MAX: usize = 4_000;
const CUT: &str = "[the rest of the difference is left out]\n";
const TOO_LARGE: &str = "[too large to be shown: compare the digests]\n";

#[cfg(test)]
mod tests;
