//! What servers declare, and the file in which it is kept: a file is read as it was written or not at all, a
//! definition has one fingerprint however it is spelled, and nothing that a screen would hide is shown.

use crate::json::Json;
use crate::script::Script;
use event::Time;
use inventory::{Definition, Inventory, Settings, differences, hidden_characters, visible};
use mcp::{Limits, ListKind, Listing};

/// The first byte chooses what the rest is: a file, or two lists to compare.
pub fn inventory_state(data: &[u8]) {
    let mut script = Script::new(data);
    if script.byte().is_multiple_of(2) {
        return check_file(script.rest());
    }
    let kind = *script.choose(&ListKind::ALL);
    let bytes_max = usize::from(script.number());
    let mut halves = script.rest().splitn(2, |byte| *byte == b'\n');
    let (before, after) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    check_lists(kind, before, after, bytes_max);
}

fn check_file(bytes: &[u8]) {
    let Ok(known) = Inventory::from_json(bytes, Settings::default()) else { return };
    assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok(), "a file that is no JSON");
    let written = known.to_json();
    let again = Inventory::from_json(&written, Settings::default()).expect("it was just written");
    assert_eq!(again.to_json(), written, "a file changes by being read");
    assert_eq!(known.entries().count(), again.entries().count());
    for ((server, kind, name, entry), other) in known.entries().zip(again.entries()) {
        assert_eq!((server, kind, name, entry), other, "something was forgotten");
        let definitions = entry.accepted.iter().chain(&entry.shown);
        for definition in definitions {
            check_shown(None, definition, 4_096);
        }
    }
}

fn check_lists(kind: ListKind, before: &[u8], after: &[u8], bytes_max: usize) {
    let (before, after) = (definitions(kind, before), definitions(kind, after));
    for definition in before.iter().chain(&after) {
        check_shown(None, definition, bytes_max);
        assert!(definition.differing(definition).is_empty());
    }
    for (old, new) in before.iter().zip(&after) {
        check_shown(Some(old), new, bytes_max);
        assert_eq!(old.differing(new), new.differing(old));
        if old.digest == new.digest {
            assert_eq!((&old.parts, &old.text), (&new.parts, &new.text), "one digest of two");
            assert_eq!(differences(Some(old), new, usize::MAX), too_large_or_nothing(new));
        }
    }
}

/// Every item of the list; its fingerprint does not depend on how it is spaced or in which order its members
/// are, and a list that a naive parser reads otherwise has another one.
fn definitions(kind: ListKind, body: &[u8]) -> Vec<Definition> {
    let limits = Limits::for_replies();
    let Ok(Some(list)) = Listing::read(body, kind, &limits) else { return Vec::new() };
    let of = |item: &mcp::Item<'_>| Definition::of(kind, item, time(), "ci/alice");
    let all: Vec<Definition> = list.items.iter().map(of).collect();
    for (item, definition) in list.items.iter().zip(&all) {
        if !definition.digest.starts_with("sha256:") {
            assert!(definition.digest.starts_with("raw-sha256:"));
            continue;
        }
        let model = Json::parse(item.raw, usize::MAX).expect("an item is JSON");
        assert!(!model.has_twin_keys_anywhere(), "one form of what has several");
        let Some(text) = &definition.text else { continue };
        let respelled =
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{}":[ {text}]}}}}"#, kind.member());
        let again = Listing::read(respelled.as_bytes(), kind, &limits);
        let again = again.expect("canonical JSON is JSON").expect("still a list");
        assert_eq!(
            of(&again.items[0]).digest,
            definition.digest,
            "another spelling, another digest"
        );
    }
    all
}

fn check_shown(before: Option<&Definition>, after: &Definition, bytes_max: usize) {
    let shown = differences(before, after, bytes_max);
    assert!(shown.len() <= bytes_max.max(200), "{} bytes are shown of {bytes_max}", shown.len());
    assert_eq!(visible(&shown), shown, "something is hidden");
    if let Some(text) = &after.text {
        assert!(hidden_characters(after) <= text.chars().count());
        let seen = visible(text);
        assert_eq!(visible(&seen), seen);
    }
}

fn too_large_or_nothing(definition: &Definition) -> String {
    let shown = differences(Some(definition), definition, usize::MAX);
    assert!(
        shown.is_empty() || shown.starts_with("[too large"),
        "a difference of nothing: {shown}"
    );
    shown
}

fn time() -> Time {
    Time::from_unix_us(1_785_196_800_000_000)
}
