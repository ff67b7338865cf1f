//! Reads a TOML text into structures and finds all mistakes in it, not just the first: each mistake is
//! noted with its place, what it concerns is left out, and the reading begins again. Knows no field by
//! name.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Mistakes reported at most; a file with more is not a configuration.
pub const MISTAKES_MAX: usize = 50;

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line and column, both from 1; `None` when it is about something that is not there.
    pub place: Option<(usize, usize)>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A TOML text and its parsed form.
#[derive(Debug)]
pub struct Text<'t> {
    text: &'t str,
    tree: Spanned<DeTable<'t>>,
    syntax: Vec<Mistake>,
}

impl<'t> Text<'t> {
    /// Parses a text in which `list`, at its top, may be a list of tables or one table.
    #[must_use]
    pub fn new(text: &'t str, list: &str) -> Self {
        let (mut tree, errors) = DeTable::parse_recoverable(text);
        list_of_one(tree.get_mut(), list);
        let syntax = errors
            .iter()
            .take(MISTAKES_MAX)
            .map(|e| Mistake {
                place: e.span().map(|s| place(text, s.start)),
                message: e.message().to_owned(),
            })
            .collect();
        Self { text, tree, syntax }
    }

    /// Reads the whole text; what could not be read has its default.
    #[must_use]
    pub fn read<T: for<'de> Deserialize<'de> + Default>(&self) -> (T, Vec<Mistake>) {
        let mut mistakes = self.syntax.clone();
        let mut tree = self.tree.clone();
        while mistakes.len() < MISTAKES_MAX {
            let error = match T::deserialize(tree.clone().into_deserializer()) {
                Ok(read) => return (read, mistakes),
                Err(error) => error,
            };
            let span = error.span();
            mistakes.push(Mistake {
                place: span.as_ref().map(|s| place(self.text, s.start)),
                message: without_value(error.message()),
            });
            if !span.is_some_and(|span| remove(tree.get_mut(), &span)) {
                break;
            }
        }
        (T::default(), mistakes)
    }

    /// A mistake in the value at a dotted path such as `identity.provider[1].issuer`, or at the nearest
    /// thing above it that exists.
    #[must_use]
    pub fn mistake_at(&self, path: &str, message: &str) -> Mistake {
        let mut span: Option<Range<usize>> = None;
        let mut value: Option<&DeValue<'_>> = None;
        for step in path.split(['.', '[']) {
            let next = match (value, step.strip_suffix(']')) {
                (None, None) => entry(self.tree.get_ref(), step),
                (Some(DeValue::Table(table)), None) => entry(table, step),
                (Some(DeValue::Array(array)), None) => match array.first().map(Spanned::get_ref) {
                    Some(DeValue::Table(table)) => entry(table, step),
                    _ => None,
                },
                (Some(DeValue::Array(array)), Some(index)) => index
                    .parse()
                    .ok()
                    .and_then(|i: usize| array.get(i))
                    .map(|v| (v.span(), v.get_ref())),
                _ => None,
            };
            let Some((at, below)) = next else { break };
            span = Some(at);
            value = Some(below);
        }
        Mistake {
            place: span.map(|s| place(self.text, s.start)),
            message: format!("`{path}`: {message}"),
        }
    }
}

/// What may be there several times may be written as one table too.
fn list_of_one<'t>(table: &mut DeTable<'t>, key: &str) {
    let Some((_, value)) = table.iter_mut().find(|(k, _)| k.get_ref() == key) else { return };
    let span = value.span();
    if let DeValue::Table(_) = value.get_ref() {
        let one = std::mem::replace(value.get_mut(), DeValue::Boolean(false));
        let mut list = DeArray::new();
        list.push(Spanned::new(span, one));
        *value.get_mut() = DeValue::Array(list);
    }
}

fn entry<'a, 't>(table: &'a DeTable<'t>, key: &str) -> Option<(Range<usize>, &'a DeValue<'t>)> {
    table.iter().find(|(k, _)| k.get_ref() == key).map(|(k, v)| (k.span(), v.get_ref()))
}

/// Removes the innermost entry that a span lies in; false when there is none.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    for (_, value) in table.iter_mut() {
        let removed = match value.get_mut() {
            DeValue::Table(inner) => remove(inner, span),
            DeValue::Array(items) => items.iter_mut().any(|item| match item.get_mut() {
                DeValue::Table(inner) => remove(inner, span),
                _ => false,
            }),
            _ => false,
        };
        if removed {
            return true;
        }
    }
    let found = table
        .iter()
        .find(|(key, value)| within(span, &key.span()) || lies_in(span, value))
        .map(|(key, _)| key.clone());
    found.is_some_and(|key| table.remove(&key).is_some())
}

/// Whether a span lies in a value; tables of a list may stand anywhere.
fn lies_in(span: &Range<usize>, value: &Spanned<DeValue<'_>>) -> bool {
    let items = match value.get_ref() {
        DeValue::Array(items) => items.iter().as_slice(),
        _ => &[],
    };
    within(span, &value.span()) || items.iter().any(|item| within(span, &item.span()))
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && outer.start < outer.end
}

/// Line and column of a byte offset, both from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// A message without what is not what was expected: it may be a secret at the wrong place.
fn without_value(message: &str) -> String {
    // The name or value stands before it, and may read like it.
    let expected = match message.rsplit_once(", expected ") {
        Some((_, expected)) if !message.ends_with(NO_FIELDS) => format!("expected {expected}"),
        _ => "nothing is expected here".to_owned(),
    };
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let name = rest.split('`').next().unwrap_or_default();
        let is_whole = rest.get(name.len()..).is_some_and(|rest| rest.starts_with("`, "));
        return match is_whole && name.chars().all(is_of_bare_key) {
            true => format!("unknown field `{name}`, {expected}"),
            false => format!("unknown field, {expected}"),
        };
    }
    if message.starts_with("unknown variant `") {
        return format!("unknown word, {expected}");
    }
    let unexpected = ["invalid type: ", "invalid value: "]
        .into_iter()
        .find_map(|wrong| Some((wrong, message.strip_prefix(wrong)?)));
    let kind = unexpected.and_then(|(wrong, value)| {
        let (_, kind) = KINDS.into_iter().find(|(begin, _)| value.starts_with(begin))?;
        Some((wrong, kind))
    });
    match kind {
        Some((wrong, kind)) => format!("{wrong}{kind}, {expected}"),
        None => message.to_owned(),
    }
}

/// What keys without quotes are made of (TOML 1.0, "Keys").
fn is_of_bare_key(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_')
}

/// How a message ends where nothing is expected.
const NO_FIELDS: &str = "`, there are no fields";

/// How messages begin to show a value (`serde::de::Unexpected`), and what kind it is of.
const KINDS: [(&str, &str); 5] = [
    ("boolean `", "boolean"),
    ("character `", "text"),
    ("floating point `", "number"),
    ("integer `", "integer"),
    ("string \"", "text"),
];

#[cfg(test)]
mod tests {
    use super::{MISTAKES_MAX, Text, without_value};
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        name: String,
        count: u16,
        kind: Kind,
        server: Vec<Server>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        #[default]
        One,
        Two,
    }

    #[derive(Debug, Deserialize)]
    struct Server {
        name: String,
    }

    fn read(text: &str) -> (Settings, Vec<String>) {
        let (read, mistakes) = Text::new(text, "server").read();
        let mut mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        mistakes.sort_unstable();
        (read, mistakes)
    }

    #[test]
    fn what_is_good_is_read_beside_what_is_wrong() {
        let (settings, mistakes) =
            read("name = \"gw\"\ncount = \"x\"\ncolour = 1\n[server]\nname = \"a\"\n");
        assert_eq!((settings.name.as_str(), settings.count), ("gw", 0));
        assert_eq!(settings.server[0].name, "a");
        assert_eq!(
            mistakes,
            [
                "line 2, column 9: invalid type: text, expected u16",
                "line 3, column 1: unknown field `colour`, expected one of `name`, `count`, `kind`, `server`"
            ]
        );
    }

    #[test]
    fn a_table_of_a_list_takes_nothing_else_with_it() {
        let (settings, mistakes) = read("count = 7\n[[server]]\nname = \"a\"\n[[server]]\n");
        assert_eq!((settings.count, settings.server.len()), (7, 0));
        assert_eq!(mistakes, ["line 4, column 1: missing field `name`"]);
    }

    #[test]
    fn there_is_a_bound_to_mistakes() {
        for line in ["= 1\n".to_owned(), (0..80).map(|n| format!("k{n} = 1\n")).collect()] {
            assert_eq!(read(&line.repeat(80)).1.len(), MISTAKES_MAX);
        }
    }

    #[test]
    fn no_message_repeats_a_value() {
        for (text, expected) in [
            ("name = 123456", "invalid type: integer, expected a string"),
            ("name = 99999999999999999999", "invalid type: integer, expected a string"),
            ("name = 1234.5", "invalid type: number, expected a string"),
            ("name = true", "invalid type: boolean, expected a string"),
            ("count = 123456", "invalid value: integer, expected u16"),
            ("count = \"a, expected b\"", "invalid type: text, expected u16"),
            ("kind = \"canary\"", "unknown word, expected `one` or `two`"),
            ("kind = { canary = 1 }", "unknown word, expected `one` or `two`"),
            ("\"a canary\" = 1", "unknown field, expected one of "),
            ("\"a`canary\" = 1", "unknown field, expected one of "),
            ("\"`, expected canary\" = 1", "unknown field ``, expected one of "),
        ] {
            let (_, mistakes) = read(text);
            assert!(mistakes[0].contains(expected), "{text}: {mistakes:?}");
            assert!(
                !mistakes[0].contains("canary") && !mistakes[0].contains("1234"),
                "{mistakes:?}"
            );
        }
        for name in ["canary x", "`, expected canary"] {
            let shown = without_value(&format!("unknown field `{name}`, there are no fields"));
            assert!(shown.ends_with(", nothing is expected here"), "{shown}");
            assert!(!shown.contains("canary"), "{shown}");
        }
        assert_eq!(without_value("missing field `name`"), "missing field `name`");
    }
}
