//! What makes two definitions the same.

use super::{Definition, Part};
use event::Time;
use mcp::{Item, ListKind};

fn definition(kind: ListKind, raw: &str) -> Definition {
    let item = Item { key: "n".into(), raw, index: 0 };
    Definition::of(kind, &item, Time::from_unix_us(0), "p/a")
}

#[test]
fn spelling_does_not_matter_and_content_does() {
    let tool = |raw| definition(ListKind::Tools, raw);
    let one = tool(r#"{"name":"n","description":"d","inputSchema":{"a":1,"b":[1.0]}}"#);
    let same = tool(r#"{ "inputSchema": {"b":[1],"a":1e0}, "description":"\u0064", "name":"n"}"#);
    assert_eq!(one.digest, same.digest);
    assert_eq!(one.differing(&same), []);
    // The digest is one that anybody can work out.
    assert_eq!(
        tool(r#"{"name":"n"}"#).digest,
        "sha256:e5d7b2adb8fb9f9187638229b0a2cf241c5f155867cd31c82cbb20c642e62554"
    );
    for (raw, part) in [
        (r#"{"name":"n","description":"D","inputSchema":{"a":1,"b":[1]}}"#, Part::Description),
        (r#"{"name":"n","description":"d","inputSchema":{"a":1,"b":[1,2]}}"#, Part::InputSchema),
        (r#"{"name":"n","description":"d","inputSchema":{"a":1,"b":[1]},"title":""}"#, Part::Title),
        (r#"{"name":"n","description":"d","inputSchema":{"a":1,"b":[1]},"_meta":{}}"#, Part::Other),
        (
            r#"{"name":"n","description":"d","inputSchema":{"a":1,"b":[1]},"annotations":{"x":1}}"#,
            Part::Annotations,
        ),
    ] {
        let other = tool(raw);
        assert_ne!(one.digest, other.digest, "{raw}");
        assert_eq!(one.differing(&other), [part], "{raw}");
    }
}

#[test]
fn what_readers_may_see_differently_is_compared_by_bytes() {
    for raw in [
        r#"{"name":"n","inputSchema":{"a":1,"a":2}}"#,
        r#"{"name":"n","description":"\ud800"}"#,
        &format!(r#"{{"name":"n","x":{}{}}}"#, "[".repeat(200), "]".repeat(200)),
    ] {
        let one = definition(ListKind::Tools, raw);
        assert!(one.digest.starts_with("raw-sha256:"), "{raw}");
        let other = definition(ListKind::Tools, &raw.replace(":\"n\"", ": \"n\""));
        assert_ne!(one.digest, other.digest);
        assert_eq!(one.differing(&other), [Part::Other]);
    }
}

#[test]
fn what_a_resource_says_of_its_content_is_no_part_of_it() {
    let one = r#"{"uri":"n","name":"x","size":1,"annotations":{"lastModified":"a"}}"#;
    let other = r#"{"uri":"n","name":"x","size":2,"annotations":{"lastModified":"b"}}"#;
    let digest = |kind, raw| definition(kind, raw).digest;
    assert_eq!(digest(ListKind::Resources, one), digest(ListKind::Resources, other));
    assert_ne!(digest(ListKind::Tools, one), digest(ListKind::Tools, other));
    let audience = r#"{"uri":"n","name":"x","annotations":{"audience":["user"]}}"#;
    assert_ne!(digest(ListKind::Resources, one), digest(ListKind::Resources, audience));
}

#[test]
fn long_texts_are_not_kept() {
    let raw = format!(r#"{{"name":"n","description":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(definition(ListKind::Tools, &raw).text, None);
}

#[test]
fn words_are_those_of_the_encoding() {
    for part in Part::ALL {
        assert_eq!(serde_json::to_string(&part).unwrap(), format!("\"{}\"", part.as_str()));
    }
    assert!(Part::ALL.iter().map(|part| part.as_str()).is_sorted());
}
