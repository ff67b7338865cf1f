//! Lists of what a server offers: a naive parser finds the same items, and what is changed in a list
//! leaves everything else as it was.

use crate::json::Json;
use mcp::edit::{Edit, Step, find};
use mcp::{Limits, ListKind, Listing};

/// Reads the input as an answer to each of the lists, and changes it.
pub fn mcp_listing(data: &[u8]) {
    let limits = Limits::for_replies();
    let model = str::from_utf8(data).ok().and_then(|text| Json::parse(text, limits.depth_max));
    for kind in ListKind::ALL {
        match Listing::read(data, kind, &limits) {
            Ok(Some(list)) => {
                let model = model.as_ref().expect("a naive parser refuses what was accepted");
                check_list(&list, kind, model);
                check_filtering(data, &list, kind, model);
            }
            Ok(None) => assert!(model.is_some(), "what is not JSON was accepted"),
            Err(malformed) => assert!(malformed.to_string().len() < 200, "it repeats the body"),
        }
    }
    check_changes(data, model.as_ref());
}

fn check_list(list: &Listing<'_>, kind: ListKind, model: &Json) {
    assert!(!model.has_twin_keys(), "a key of the envelope stands twice");
    let result = model.get("result").expect("a result was found");
    assert!(!result.has_twin_keys(), "a key of the result stands twice");
    let items = result.get(kind.member()).expect("a list was found").items();
    assert_eq!(items.len(), list.items.len());
    for (index, (item, model)) in list.items.iter().zip(items).enumerate() {
        assert_eq!(item.index, index);
        assert!(!model.has_twin_keys(), "a key of an item stands twice");
        assert!(model.get(kind.key()).is_some_and(|key| key.is_text(&item.key)));
        assert_eq!(whole(item.raw), *model);
    }
    let cursor = result.get("nextCursor").and_then(Json::text);
    assert_eq!(cursor.as_deref(), list.next_cursor.as_deref());
}

/// Every second item goes; the naive parser finds the others, and nothing else that is new.
fn check_filtering(data: &[u8], list: &Listing<'_>, kind: ListKind, model: &Json) {
    let mut edit = Edit::new(data).expect("what was read as a list is JSON");
    let removed = edit.retain(&kind.path(), |place, _| place % 2 == 1).expect("one change");
    assert_eq!(removed, list.items.len().div_ceil(2));
    let out = edit.finish().expect("one change touches nothing twice");
    let limits = Limits::for_replies();
    let again = Listing::read(&out, kind, &limits).expect("still a list").expect("still a list");
    let kept = list.items.iter().filter(|item| item.index % 2 == 1);
    assert!(kept.map(|item| item.raw).eq(again.items.iter().map(|item| item.raw)));
    let mut wanted = model.clone();
    let mut place = 0;
    wanted.member("result").member(kind.member()).items_mut().retain(|_| {
        place += 1;
        place % 2 == 0
    });
    assert_eq!(whole(str::from_utf8(&out).expect("still text")), wanted);
}

/// Values put in are found there, and can be taken out again.
fn check_changes(data: &[u8], model: Option<&Json>) {
    let Ok(mut edit) = Edit::new(data) else { return };
    assert!(model.is_some(), "what is not JSON was accepted");
    let Ok(added) = edit.insert(&[Step::Key("result")], KEY, "[1.0]") else { return };
    let out = edit.finish().expect("one change touches nothing twice");
    let path = [Step::Key("result"), Step::Key(KEY)];
    if added == 1 {
        let found = find(&out, &path).expect("still JSON");
        assert!(found.iter().map(|found| found.raw).eq(["[1.0]"]));
        let mut edit = Edit::new(&out).expect("still JSON");
        assert_eq!(edit.remove(&path[..1], KEY), Ok(1));
        let back = edit.finish().expect("one change touches nothing twice");
        assert_eq!(back, data, "what was put in cannot be taken out");
    } else {
        assert_eq!(out, data, "a text was changed in which nothing was found");
    }
}

fn whole(raw: &str) -> Json {
    Json::parse(raw, usize::MAX).expect("a slice of a body is a whole value")
}

const KEY: &str = "io.example/new";
