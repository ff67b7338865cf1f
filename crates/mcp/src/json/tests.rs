//! The reader against `serde_json` and against naive models.

use proptest::prelude::*;

use super::Reader;
use crate::limits::{DuplicateKeys, Limits};
use crate::malformed::Fault;

fn limits(duplicate_keys: DuplicateKeys) -> Limits {
    Limits { depth_max: 100, duplicate_keys, ..Limits::default() }
}

fn skip(text: &str, duplicate_keys: DuplicateKeys) -> Result<(), Fault> {
    let mut reader = Reader::new(text, &limits(duplicate_keys));
    reader.skip().and_then(|()| reader.end()).map_err(|malformed| malformed.fault())
}

fn string(text: &str) -> Result<String, Fault> {
    let mut reader = Reader::new(text, &Limits::default());
    reader.string().map(std::borrow::Cow::into_owned).map_err(|malformed| malformed.fault())
}

#[test]
fn grammar() {
    let good = [
        "0",
        "-0",
        "10",
        "1.5",
        "-1.5e+10",
        "1E5",
        "true",
        "false",
        "null",
        "\"\"",
        "[]",
        "{}",
        " [ 1 , 2 ] ",
        "{\"a\":{\"a\":[{}]}}",
        "\t\r\n1\n",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
        "\"\\ud800\"",
        "[[],[[]],{}]",
    ];
    for text in good {
        assert_eq!(skip(text, DuplicateKeys::Everywhere), Ok(()), "{text}");
    }
    let bad = [
        ("", Fault::Truncated),
        ("[", Fault::Truncated),
        ("[1", Fault::Truncated),
        ("{\"a\"", Fault::Truncated),
        ("{\"a\":1", Fault::Truncated),
        ("\"abc", Fault::Truncated),
        ("\"abc\\", Fault::Truncated),
        ("tru", Fault::Truncated),
        ("-", Fault::Truncated),
        ("1.", Fault::Truncated),
        ("[1,]", Fault::NotJson),
        ("{\"a\":1,}", Fault::NotJson),
        ("{a:1}", Fault::NotJson),
        ("{1:1}", Fault::NotJson),
        ("[1}", Fault::NotJson),
        ("{\"a\":1]", Fault::NotJson),
        ("{\"a\" 1}", Fault::NotJson),
        ("[1 2]", Fault::NotJson),
        ("trux", Fault::NotJson),
        ("'a'", Fault::NotJson),
        ("NaN", Fault::NotJson),
        ("+1", Fault::NotJson),
        ("\u{feff}1", Fault::NotJson),
        ("\u{a0}1", Fault::NotJson),
        ("-a", Fault::BadNumber),
        ("1.e5", Fault::BadNumber),
        ("1e+x", Fault::BadNumber),
        ("01", Fault::TrailingBytes),
        ("1 1", Fault::TrailingBytes),
        ("\"a\nb\"", Fault::BadString),
        ("\"1234567\u{0}\"", Fault::BadString),
        ("\"\\x\"", Fault::BadString),
        ("\"\\u12g4\"", Fault::BadString),
    ];
    for (text, fault) in bad {
        assert_eq!(skip(text, DuplicateKeys::Everywhere), Err(fault), "{text:?}");
    }
}

#[test]
fn strings_are_decoded() {
    assert_eq!(string(r#""\u0078""#), Ok("x".to_owned()));
    assert_eq!(string(r#""a\ud83d\ude00b""#), Ok("a😀b".to_owned()));
    assert_eq!(string(r#""\"\\\/\b\f\n\r\t\u0000""#), Ok("\"\\/\u{8}\u{c}\n\r\t\0".to_owned()));
    for half in
        [r#""\ud83d""#, r#""\ud83dx""#, r#""\ude00""#, r#""\ude00\ude00""#, r#""\ud83d\u0041""#]
    {
        assert_eq!(string(half), Err(Fault::LoneSurrogate), "{half}");
    }
}

#[test]
fn many_keys_are_compared_too() {
    for count in [2, 15, 16, 17, 18, 40, 500] {
        let keys: Vec<String> = (0..count).map(|index| format!("\"k{index}\":{index}")).collect();
        let unique = format!("{{{}}}", keys.join(","));
        assert_eq!(skip(&unique, DuplicateKeys::Everywhere), Ok(()), "{count}");
        for twin in [0, count - 1] {
            let twice = format!("{{{},\"k{twin}\":1}}", keys.join(","));
            let mut reader = Reader::new(&twice, &limits(DuplicateKeys::Everywhere));
            let malformed = reader.skip().unwrap_err();
            assert_eq!(malformed.fault(), Fault::DuplicateKey, "{count}");
            assert_eq!(malformed.at(), Some(unique.len()), "{count} {twin}");
            assert_eq!(skip(&twice, DuplicateKeys::ReadLevels), Ok(()), "{count}");
        }
    }
}

#[test]
fn keys_are_compared_decoded() {
    assert_eq!(skip(r#"{"a":1,"\u0061":2}"#, DuplicateKeys::Everywhere), Err(Fault::DuplicateKey));
    assert_eq!(skip(r#"{"a":{"a":1},"b":{"a":1}}"#, DuplicateKeys::Everywhere), Ok(()));
    assert_eq!(skip(r#"{"\ud800":1}"#, DuplicateKeys::Everywhere), Err(Fault::LoneSurrogate));
}

#[test]
fn depth_is_bounded_and_never_exhausts_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        assert_eq!(skip(&nested(100), DuplicateKeys::Everywhere), Ok(()));
        assert_eq!(skip(&nested(101), DuplicateKeys::Everywhere), Err(Fault::TooDeep { max: 100 }));
        let deep = nested(200_000);
        let limits = Limits { depth_max: 200_000, ..Limits::default() };
        assert!(Reader::new(&deep, &limits).skip().is_ok());
    }
}

/// JSON with duplicate keys on purpose, beside what a naive model says about it.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(u8),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Tree {
    fn write(&self, out: &mut String) {
        match self {
            Self::Leaf(number) => out.push_str(&number.to_string()),
            Self::Text(text) => out.push_str(&serde_json::to_string(text).unwrap()),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(" ,");
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    // Every other key is written in escapes, which must not hide a twin.
                    if index % 2 == 1 {
                        let escaped: String =
                            key.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
                        out.push_str(&format!("\"{escaped}\""));
                    } else {
                        out.push_str(&serde_json::to_string(key).unwrap());
                    }
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    fn has_twins(&self) -> bool {
        match self {
            Self::Leaf(_) | Self::Text(_) => false,
            Self::List(items) => items.iter().any(Self::has_twins),
            Self::Map(members) => {
                let unique: std::collections::BTreeSet<&String> =
                    members.iter().map(|(key, _)| key).collect();
                unique.len() < members.len() || members.iter().any(|(_, tree)| tree.has_twins())
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let key = prop_oneof![
        8 => "[a-z]{1,3}",
        1 => Just("é😀".to_owned()),
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![any::<u8>().prop_map(Tree::Leaf), any::<String>().prop_map(Tree::Text)];
    leaf.prop_recursive(4, 64, 24, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
            prop::collection::vec((key.clone(), inner), 0..24).prop_map(Tree::Map),
        ]
    })
}

proptest! {
    #[test]
    fn duplicates_are_found_as_a_naive_model_finds_them(tree in tree()) {
        let mut text = String::new();
        tree.write(&mut text);
        let expected = if tree.has_twins() { Err(Fault::DuplicateKey) } else { Ok(()) };
        prop_assert_eq!(skip(&text, DuplicateKeys::Everywhere), expected);
        prop_assert_eq!(skip(&text, DuplicateKeys::ReadLevels), Ok(()));
    }

    #[test]
    fn accepts_what_serde_json_accepts(text in r#"[\[\]{}",:\\ubtrefalsn01eE.+\- \n\x00é]{0,24}"#) {
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(skip(&text, DuplicateKeys::ReadLevels).is_ok(), theirs, "{:?}", text);
    }

    #[test]
    fn strings_decode_as_serde_json_decodes_them(
        inside in r#"([a-zé "]|\\["\\/bfnrtu]|\\u[dD][89cC][0-9a-f]{2}|\\u[0-9a-f]{4}){0,12}"#
    ) {
        let text = format!("\"{inside}\"");
        let mut reader = Reader::new(&text, &Limits::default());
        let ours = reader.string().ok().filter(|_| reader.end().is_ok()).map(|s| s.into_owned());
        prop_assert_eq!(ours, serde_json::from_str::<String>(&text).ok());
    }

    #[test]
    fn written_strings_read_back(text in any::<String>()) {
        let mut out = Vec::new();
        super::write_string(&mut out, &text);
        let written = String::from_utf8(out).unwrap();
        prop_assert_eq!(string(&written), Ok(text.clone()));
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
