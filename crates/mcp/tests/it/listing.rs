//! Lists of what a server offers: what is read of them, what is refused, and that taking items out
//! leaves every other byte alone.

use mcp::edit::{Edit, Step, find};
use mcp::{Fault, Limits, ListKind, Listing, Malformed, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(message: &str, kind: ListKind) -> Result<Option<Listing<'_>>, Malformed> {
    Listing::read(message.as_bytes(), kind, &Limits::for_replies())
}

fn fault(message: &str) -> Fault {
    read(message, ListKind::Tools).unwrap_err().fault()
}

#[test]
fn every_kind_has_its_own_key() {
    for (method, member, key) in [
        ("tools/list", "tools", "name"),
        ("prompts/list", "prompts", "name"),
        ("resources/list", "resources", "uri"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    ] {
        let kind = ListKind::of(&Method::from_name(method.into())).unwrap();
        assert_eq!((kind.member(), kind.key()), (member, key));
        let message = json!({"id": 1, "result": {
            member: [{key: "a", "x": 1}, {"y": [2], key: "é\n"}], "nextCursor": "c",
            "ttlMs": 1, "cacheScope": "public"}});
        let text = message.to_string();
        let list = read(&text, kind).unwrap().unwrap();
        assert!(!list.is_last());
        assert_eq!(list.next_cursor.as_deref(), Some("c"));
        assert_eq!(list.cache_scope.as_deref(), Some("public"));
        let keys: Vec<_> = list.items.iter().map(|item| (item.index, &*item.key)).collect();
        assert_eq!(keys, [(0, "a"), (1, "é\n")]);
        for (index, item) in list.items.iter().enumerate() {
            let value: Value = serde_json::from_str(item.raw).unwrap();
            assert_eq!(value, message["result"][member][index]);
        }
        let found = find(text.as_bytes(), &[&kind.path()[..], &[Step::Each]].concat()).unwrap();
        assert!(found.iter().map(|found| found.raw).eq(list.items.iter().map(|item| item.raw)));
    }
    assert_eq!(ListKind::of(&Method::ToolsCall), None);
}

#[test]
fn what_is_no_list_is_none() {
    for message in [
        r#"{"id":1,"error":{"code":1,"message":""}}"#,
        r#"{"id":1,"result":{}}"#,
        r#"{"id":1,"result":{"prompts":[{"name":"p"}]}}"#,
        r#"{"id":1,"result":[]}"#,
        r#"{"method":"x","params":{"tools":[]}}"#,
    ] {
        assert_eq!(read(message, ListKind::Tools), Ok(None), "{message}");
    }
    let message = r#"{"id":1,"result":{"tools":[],"nextCursor":null}}"#;
    assert!(read(message, ListKind::Tools).unwrap().unwrap().is_last());
}

#[test]
fn what_clients_may_read_otherwise_is_refused() {
    let with = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
    for (result, wanted) in [
        (r#"{"tools":[{"name":"a"}],"tools":[]}"#, Fault::DuplicateKey),
        (r#"{"tools":[{"name":"a","name":"b"}]}"#, Fault::DuplicateKey),
        (r#"{"tools":[{"name":"a","description":"x","description":"y"}]}"#, Fault::DuplicateKey),
        (r#"{"tools":[{"name":"a","n\u0061me":"b"}]}"#, Fault::DuplicateKey),
        (r#"{"Tools":[{"name":"a"}]}"#, Fault::LookalikeKey),
        (r#"{"tools":[{"name":"a","NAME":"b"}]}"#, Fault::LookalikeKey),
        (r#"{"tools":[],"nextcursor":"x"}"#, Fault::LookalikeKey),
        (r#"{"tools":[{"title":"a"}]}"#, Fault::Missing { field: "name" }),
        (r#"{"tools":[{"name":7}]}"#, Fault::Missing { field: "name" }),
        (r#"{"tools":[{"name":""}]}"#, Fault::Missing { field: "name" }),
        (r#"{"tools":{"name":"a"}}"#, Fault::WrongType { field: "tools", expected: "an array" }),
        (r#"{"tools":["a"]}"#, Fault::WrongType { field: "tools", expected: "a list of objects" }),
        (
            r#"{"tools":[],"nextCursor":7}"#,
            Fault::WrongType { field: "result.nextCursor", expected: "a string" },
        ),
    ] {
        assert_eq!(fault(&with(result)), wanted, "{result}");
    }
    assert_eq!(fault(r#"{"Result":{"tools":[]}}"#), Fault::LookalikeKey);
    assert_eq!(fault("[]"), Fault::NotAnObject);
    assert_eq!(fault(r#"{"result":{"tools":[]}} x"#), Fault::TrailingBytes);
    let limits = Limits { items_max: 1, ..Limits::for_replies() };
    let two = with(r#"{"tools":[{"name":"a"},{"name":"b"}]}"#);
    let error = Listing::read(two.as_bytes(), ListKind::Tools, &limits).unwrap_err();
    assert_eq!(error.fault(), Fault::TooMany { field: "tools", max: 1 });
}

/// JSON text with numbers no parser of doubles keeps, blanks and keys in any order.
fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("12345678901234567890123".to_owned()),
        Just("-0.0e+00".to_owned()),
        Just("1.00".to_owned()),
        Just(r#""\u0041 \ud800 \/""#.to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let blank = prop_oneof![Just(""), Just(" "), Just("\n\t")];
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), blank.clone()).prop_map(
                |(items, blank)| format!("[{blank}{}]", items.join(&format!("{blank},")))
            ),
            (prop::collection::vec(inner, 0..4), blank).prop_map(|(items, blank)| {
                let members = items.iter().enumerate().rev();
                let members = members.map(|(n, value)| format!("\"z{n}\"{blank}:{value}{blank}"));
                format!("{{{blank}{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    /// What is kept is kept to the byte and in order; what is gone is gone; the rest is not touched.
    #[test]
    fn filtering_changes_nothing_else(
        items in prop::collection::vec((text(), any::<bool>(), 0..3_usize), 0..8),
        before in text(),
        after in text(),
    ) {
        let raws: Vec<String> = items.iter().enumerate().map(|(n, (value, _, blanks))| {
            let blank = " ".repeat(*blanks);
            format!("{{{blank}\"x\":{value},\"name\":\"t{n}\"{blank}}}")
        }).collect();
        let head = format!("{{\"a\":{before}, \"result\" :{{\"_meta\":{before},\"tools\": [");
        let tail = format!("], \"z\":{after}}},\"id\":1}}");
        let message = format!("{head}{}{tail}", raws.join(" , "));
        let list = read(&message, ListKind::Tools).unwrap().unwrap();
        prop_assert!(list.items.iter().map(|item| item.raw).eq(&raws));

        let mut edit = Edit::new(message.as_bytes()).unwrap();
        let removed = edit.retain(&ListKind::Tools.path(), |n, _| items[n].1).unwrap();
        let out = String::from_utf8(edit.finish().unwrap()).unwrap();
        let kept: Vec<&str> =
            raws.iter().zip(&items).filter(|(_, item)| item.1).map(|(raw, _)| raw.as_str()).collect();
        prop_assert_eq!(removed, raws.len() - kept.len());
        prop_assert_eq!(&out, &format!("{head}{}{tail}", kept.join(" , ")));
        let again = read(&out, ListKind::Tools).unwrap().unwrap();
        prop_assert!(again.items.iter().map(|item| item.raw).eq(kept));
    }

    /// A value that is replaced by itself changes nothing, and one that is put in can be taken out.
    #[test]
    fn changes_can_be_taken_back(value in text(), other in text()) {
        let message = format!("{{\"a\":[{value} , {other}],\"b\" : {{ }}, \"c\":{{ \"x\" : 1 }} }}");
        let path = [Step::Key("a"), Step::Index(0)];
        let change = |message: &str, with: &str| {
            let mut edit = Edit::new(message.as_bytes()).unwrap();
            assert_eq!(edit.replace(&path, with), Ok(1));
            String::from_utf8(edit.finish().unwrap()).unwrap()
        };
        prop_assert_eq!(&change(&message, &value), &message);
        prop_assert_eq!(&change(&change(&message, &other), &value), &message);

        for object in [Step::Key("b"), Step::Key("c")] {
            let mut edit = Edit::new(message.as_bytes()).unwrap();
            prop_assert_eq!(edit.insert(&[object], "k", &other), Ok(1));
            let put_in = edit.finish().unwrap();
            let found = find(&put_in, &[object, Step::Key("k")]).unwrap();
            prop_assert_eq!(found[0].raw, other.as_str());
            let mut edit = Edit::new(&put_in).unwrap();
            prop_assert_eq!(edit.remove(&[object], "k"), Ok(1));
            prop_assert_eq!(edit.finish().unwrap(), message.as_bytes());
        }
    }
}
