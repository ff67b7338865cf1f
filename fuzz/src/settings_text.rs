//! Settings in TOML: what is good is read as serde reads it, what is not is said at its place and without its
//! value, and takes nothing good with it.

use crate::script::{Script, patch};
use serde::{Deserialize, Serialize};
use settings::{MISTAKES_MAX, Mistake, Text};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// The first byte chooses what the rest is: a file, changes to a good one, or lines.
pub fn settings_text(data: &[u8]) {
    let mut script = Script::new(data);
    let mut bytes = Vec::new();
    match script.byte() % 3 {
        0 => bytes.extend_from_slice(script.rest()),
        1 => {
            bytes.extend_from_slice(SAMPLE.as_bytes());
            patch(&mut bytes, &mut script);
        }
        _ => {
            while !script.is_at_end() {
                bytes.extend_from_slice(script.choose(&LINES).as_bytes());
                bytes.push(b'\n');
            }
        }
    }
    if let Ok(text) = str::from_utf8(&bytes) {
        check(text);
    }
}

/// Of every kind that settings are.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    name: String,
    count: Option<u16>,
    offset: i64,
    ratio: Option<f32>,
    on: bool,
    kind: Kind,
    words: Vec<String>,
    pair: (u8, String),
    environment: BTreeMap<String, String>,
    inner: Inner,
    server: Vec<Server>,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Inner {
    key: Option<String>,
    deep: Nothing,
    kinds: Vec<Kind>,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    name: String,
    url: Option<String>,
    #[serde(default)]
    limits: BTreeMap<String, u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    One,
    NumberTwo,
}

fn check(text: &str) {
    let parsed = Text::new(text, LIST);
    let (read, mistakes) = parsed.read::<Settings>();
    let (again, same) = Text::new(text, LIST).read::<Settings>();
    assert_eq!((shown(&again), &same), (shown(&read), &mistakes), "the second time is another");
    assert!(mistakes.len() <= MISTAKES_MAX);
    let places = [
        "server",
        "server[0].name",
        "server[1]",
        "server.name",
        "inner.deep.x",
        "",
        "[",
        "words[0]",
    ];
    let later = places.map(|path| parsed.mistake_at(path, "is wrong"));
    mistakes.iter().chain(&later).for_each(|mistake| check_mistake(text, mistake));
    let Ok(mut table) = text.parse::<toml::Table>() else {
        assert!(!mistakes.is_empty(), "what is no TOML has no mistake");
        return;
    };
    match table.get_mut(LIST) {
        Some(only @ toml::Value::Table(_)) => *only = toml::Value::Array(vec![only.clone()]),
        _ => match toml::from_str::<Settings>(text) {
            Ok(whole) => {
                assert_eq!(mistakes, [], "what serde reads has no mistakes");
                assert_eq!(shown(&whole), shown(&read), "read otherwise than serde does");
            }
            Err(_) => assert!(!mistakes.is_empty(), "what serde refuses has mistakes"),
        },
    }
    if mistakes.len() < MISTAKES_MAX {
        check_rest(&table, &read);
    }
}

/// What is good by itself is read, whatever else is wrong.
fn check_rest(table: &toml::Table, read: &Settings) {
    let value = |settings: &Settings, key| {
        let whole = toml::Value::try_from(settings).expect("settings are TOML");
        shown(&whole.get(key).cloned())
    };
    for (key, own) in table.iter().filter(|(_, own)| !has_date(own)) {
        let alone = toml::Table::from_iter([(key.clone(), own.clone())]);
        let Ok(alone) = Settings::deserialize(alone) else { continue };
        assert_eq!(value(read, key), value(&alone, key), "`{key}` was lost with another mistake");
    }
}

/// A date that was taken out of its text is a text to serde.
fn has_date(value: &toml::Value) -> bool {
    match value {
        toml::Value::Datetime(_) => true,
        toml::Value::Array(items) => items.iter().any(has_date),
        toml::Value::Table(table) => table.values().any(has_date),
        _ => false,
    }
}

/// A mistake is one line, at a place in the text, and repeats no value.
fn check_mistake(text: &str, mistake: &Mistake) {
    let message = &mistake.message;
    assert!(!message.is_empty() && message.lines().count() == 1, "{message:?}");
    assert!(message.len() < 400, "{message}");
    // A bare word at the place of a key is a key.
    let value =
        match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, ")) {
            Some((name, rest))
                if name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) =>
            {
                rest
            }
            _ => message,
        };
    assert!(SECRETS.iter().all(|secret| !value.contains(secret)), "it repeats a value: {message}");
    let Some((line, column)) = mistake.place else { return };
    let line = line.checked_sub(1).and_then(|line| text.split('\n').nth(line));
    let line = line.unwrap_or_else(|| panic!("a line that is not there: {mistake}"));
    assert!((1..=line.chars().count() + 1).contains(&column), "{mistake}");
}

/// For values that may hold a number that is none, and does not equal itself.
fn shown(value: &impl Debug) -> String {
    format!("{value:?}")
}

const LIST: &str = "server";
/// What values of the sample and of the lines hold.
const SECRETS: [&str; 2] = ["canary", "31415926"];

const SAMPLE: &str = r#"# settings
name = "canary"
count = 7
offset = -31415926
ratio = 0.5
on = true
kind = "number-two"
words = ["canary", 'canary', """
canary"""]
pair = [1, "canary"]
environment = { TOKEN = "canary", "PIN é" = "31415926" }

[inner]
key = "canary"
deep = {}
kinds = ["one", "number-two"]

[[server]]
name = "a"
url = "https://user:canary@a/"
limits.calls = 31415926

[[server]]
name = "b"
[server.limits]
calls = 1
"#;

const LINES: [&str; 48] = [
    "name = \"canary\"",
    "name = 31415926",
    "name = [\"canary\"]",
    "name = { canary = \"canary\" }",
    "name = 3141-59-26",
    "name = 1979-05-27T07:32:00Z",
    "name",
    "= 5",
    "count = \"canary\"",
    "count = 31415926",
    "count = -1",
    "count = 1e99",
    "offset = 99999999999999999999",
    "offset = 31415926.5",
    "ratio = nan",
    "ratio = \"31415926\"",
    "on = \"canary, expected canary\"",
    "on = 31415926",
    "kind = \"canary\"",
    "kind = \"number-two\"",
    "kind = { canary = 1 }",
    "kind = { one = 31415926 }",
    "kind = 31415926",
    "words = [\"x\", 31415926]",
    "words = \"canary\"",
    "words = [\"a\",",
    "pair = [1]",
    "pair = [31415926, \"canary\"]",
    "pair = { 0 = 1, canary = \"canary\" }",
    "environment = { TOKEN = 31415926 }",
    "environment = { \"canary\" = true }",
    "environment.\"a`b\" = []",
    "\"x`canary` y\" = 1",
    "\"canary \\\"\" = 1",
    "canary = 1",
    "\"`, expected canary\" = \"canary\"",
    "[inner]",
    "[inner.deep]",
    "[inner.deep.canary]",
    "deep.\"can ary canary\" = 1",
    "key = 31415926",
    "kinds = [\"one\", \"canary\"]",
    "[server]",
    "[[server]]",
    "[server.limits]",
    "\"calls canary\" = \"canary\"",
    "url = [31415926]",
    "[server.\"canary x\"]",
];
