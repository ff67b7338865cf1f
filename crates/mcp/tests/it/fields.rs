//! What is read of a message, beside what `serde_json` reads of the same bytes; and that no bytes
//! whatever make the parser panic.

use std::borrow::Cow;

use mcp::message::{Meta, Reference};
use mcp::{Frame, Limits, Message, Outcome, Params, RequestId, Response, Revision, parse};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::parse_one;

#[test]
fn every_field_of_a_modern_call() {
    let body = r#" {"id":"call-1","params":{"requestState":"s\u0074","arguments" : {"a":1.0} ,
        "inputResponses":{"k":{"action":"accept"}},"task":{"ttl":1},"name":"get_weather",
        "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":7,
        "io.modelcontextprotocol/clientInfo":{"name":"Example","version":"1.0","title":"x"},
        "io.modelcontextprotocol/clientCapabilities":{"extensions":{}},"vendor/x":[1],
        "io.modelcontextprotocol/logLevel":"debug","traceparent":"00-ab-cd-01"}},
        "method":"tools/call","jsonrpc":"2.0"}"#;
    let Ok(Message::Request(call)) = parse_one(body) else { panic!("a request") };
    assert_eq!(call.id, RequestId::text("call-1"));
    let params = *call.params;
    assert!(
        params.raw.is_some_and(|raw| raw.starts_with("{\"requestState\"") && raw.ends_with("}}"))
    );
    assert_eq!(params.name.as_deref(), Some("get_weather"));
    assert_eq!(params.arguments, Some(r#"{"a":1.0}"#));
    assert_eq!(params.request_state.as_deref(), Some("st"));
    assert_eq!(params.input_responses, Some(r#"{"k":{"action":"accept"}}"#));
    assert_eq!(params.task, Some(r#"{"ttl":1}"#));
    assert_eq!(params.revision(), Some(Revision::V2026_07_28));
    // Nothing is copied that needs no decoding.
    assert!(matches!(params.name, Some(Cow::Borrowed(_))));
    check_modern_meta(params.meta.as_ref().unwrap());
}

fn check_modern_meta(meta: &Meta<'_>) {
    assert_eq!(meta.protocol_version.as_deref(), Some("2026-07-28"));
    let client = meta.client.as_ref().unwrap();
    assert_eq!(client.name.as_deref(), Some("Example"));
    assert_eq!(client.version.as_deref(), Some("1.0"));
    assert_eq!(meta.client_capabilities, Some(r#"{"extensions":{}}"#));
    assert_eq!(meta.progress_token, Some(RequestId::from(7)));
    assert_eq!(meta.log_level.as_deref(), Some("debug"));
    assert_eq!(meta.traceparent.as_deref(), Some("00-ab-cd-01"));
}

#[test]
fn every_field_of_a_handshake_and_of_notices() {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":
        "2025-11-25","capabilities":{},"clientInfo":{"version":"2","name":"C"}}}"#;
    let message = parse_one(body).unwrap();
    let params = message.params().unwrap();
    assert_eq!(params.protocol_version.as_deref(), Some("2025-11-25"));
    assert_eq!(params.revision(), Some(Revision::V2025_11_25));
    assert_eq!(params.client.as_ref().unwrap().name.as_deref(), Some("C"));

    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q","reason":"no"}}"#;
    let message = parse_one(body).unwrap();
    assert_eq!(message.params().unwrap().request_id, Some(RequestId::text("q")));
    assert_eq!(message.params().unwrap().reason.as_deref(), Some("no"));

    let body = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":3,"progress":1}}"#;
    assert_eq!(parse_one(body).unwrap().params().unwrap().progress_token, Some(RequestId::from(3)));

    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}"#;
    assert!(parse_one(body).unwrap().params().unwrap().has_cursor);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(parse_one(body).unwrap().params(), Some(&Params::default()));
}

#[test]
fn responses_of_clients() {
    let body = r#"{"jsonrpc":"2.0","id":5,"result":{"roots":[{"uri":"file:///a"}]}}"#;
    let Ok(Message::Response(response)) = parse_one(body) else { panic!("a response") };
    assert_eq!(response.id, Some(RequestId::from(5)));
    let Outcome::Result(result) = response.outcome else { panic!("a result") };
    assert_eq!(result.raw, r#"{"roots":[{"uri":"file:///a"}]}"#);
    for id in ["", r#""id":null,"#] {
        let body = format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":-32700,"message":"m"}}}}"#);
        let error = Response { id: None, outcome: Outcome::Error { code: -32_700 } };
        assert_eq!(parse_one(&body), Ok(Message::Response(error)));
    }
}

#[test]
fn batches_are_read_element_by_element() {
    let body = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}},
        {"jsonrpc":"2.0","method":"notifications/initialized"},
        {"jsonrpc":"2.0","id":2,"result":{}}]"#;
    let Ok(Frame::Batch(messages)) = parse(body.as_bytes(), &Limits::default()) else {
        panic!("a batch");
    };
    let kinds = messages.iter().map(|message| match message {
        Message::Request(_) => "request",
        Message::Notification(_) => "notification",
        Message::Response(_) => "response",
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["request", "notification", "response"]);
}

/// Compares everything read with the tree that `serde_json` makes of the same bytes.
fn check_against_value(frame: &Frame<'_>, value: &Value) {
    let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    assert_eq!(frame.messages().len(), elements.len());
    for (message, value) in frame.messages().iter().zip(elements) {
        assert_eq!(message.method().map(|method| method.name()), value["method"].as_str());
        match (&value["id"], message.id()) {
            // `serde_json` turns an integer beyond 64 bits into a float; we keep its digits.
            (Value::Number(number), Some(id)) if number.is_f64() => {
                assert!(id.as_integer().is_none() && id.as_text().is_none());
            }
            (Value::Null, id) => assert_eq!(id, None),
            (value, id) => assert_eq!(Some(value.to_string()), id.map(ToString::to_string)),
        }
        if let Some(params) = message.params() {
            check_params(
                params,
                &value["params"],
                message.method().is_some_and(mcp::Method::is_known),
            );
        }
    }
}

fn check_params(params: &Params<'_>, value: &Value, strict: bool) {
    let texts = [
        (&params.name, "name"),
        (&params.uri, "uri"),
        (&params.task_id, "taskId"),
        (&params.protocol_version, "protocolVersion"),
        (&params.request_state, "requestState"),
    ];
    for (text, key) in texts {
        // An unknown method may have texts that we refuse to read; never do we read another text.
        if strict || text.is_some() {
            assert_eq!(text.as_deref(), value[key].as_str(), "{key}");
        }
    }
    let parsed = |raw: Option<&str>| raw.map(|raw| serde_json::from_str::<Value>(raw).unwrap());
    assert_eq!(parsed(params.arguments).as_ref(), value.get("arguments"));
    assert_eq!(parsed(params.input_responses).as_ref(), value.get("inputResponses"));
    assert_eq!(params.has_cursor, !value["cursor"].is_null());
    check_meta(params, value);
    check_lists(params, value);
}

fn check_meta(params: &Params<'_>, value: &Value) {
    if let Some(meta) = &params.meta {
        let value = &value["_meta"];
        let version = value["io.modelcontextprotocol/protocolVersion"].as_str();
        assert_eq!(meta.protocol_version.as_deref(), version);
        let client = &value["io.modelcontextprotocol/clientInfo"];
        assert_eq!(meta.client.is_some(), client.is_object());
        if let Some(peer) = &meta.client {
            assert_eq!(peer.name.as_deref(), client["name"].as_str());
            assert_eq!(peer.version.as_deref(), client["version"].as_str());
        }
    }
}

fn check_lists(params: &Params<'_>, value: &Value) {
    if let Some(watched) = &params.subscriptions {
        let value = &value["notifications"];
        for (list, key) in [(&watched.uris, "resourceSubscriptions"), (&watched.tasks, "taskIds")] {
            let theirs = value[key].as_array().map(Vec::as_slice).unwrap_or_default();
            assert_eq!(list.iter().map(|text| json!(text)).collect::<Vec<_>>(), theirs);
        }
    }
    match &params.reference {
        Some(Reference::Prompt(name)) => assert_eq!(value["ref"]["name"], json!(name)),
        Some(Reference::Resource(uri)) => assert_eq!(value["ref"]["uri"], json!(uri)),
        None => {}
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z_é\"\\\\]{0,8}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = Value> {
    r#"[a-zA-Z0-9_/:.é😀"\\ -]{1,24}"#.prop_map(Value::from)
}

fn id() -> impl Strategy<Value = Value> {
    prop_oneof![any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from), text()]
}

/// An object with each of these members or without it.
fn object(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let (keys, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    let values: Vec<_> = values.into_iter().map(prop::option::of).collect();
    values
        .prop_map(move |values| {
            let members = keys.iter().zip(values);
            let present = members.filter_map(|(key, value)| Some(((*key).to_owned(), value?)));
            Value::Object(present.collect::<Map<String, Value>>())
        })
        .boxed()
}

fn params() -> impl Strategy<Value = Value> {
    let peer = || object(vec![("name", text().boxed()), ("version", text().boxed())]);
    let texts = || prop::collection::vec(text(), 0..4).prop_map(Value::from).boxed();
    let meta = object(vec![
        ("progressToken", id().boxed()),
        ("io.modelcontextprotocol/protocolVersion", text().boxed()),
        ("io.modelcontextprotocol/clientInfo", peer()),
        ("io.modelcontextprotocol/clientCapabilities", object(vec![])),
        ("vendor/x", any_value().boxed()),
    ]);
    let reference = text().prop_map(|name| json!({"type": "ref/prompt", "name": name}));
    let watched = object(vec![("resourceSubscriptions", texts()), ("taskIds", texts())]);
    // What the targets need is always there; the rest comes and goes.
    let optional = object(vec![
        ("_meta", meta),
        ("arguments", any_value().boxed()),
        ("inputResponses", any_value().boxed()),
        ("requestState", any::<String>().prop_map(Value::from).boxed()),
        ("cursor", text().boxed()),
        ("clientInfo", peer()),
        ("protocolVersion", text().boxed()),
        ("zzz", any_value().boxed()),
    ]);
    (optional, text(), text(), text(), reference, watched).prop_map(
        |(mut params, name, uri, task_id, reference, watched)| {
            params["name"] = name;
            params["uri"] = uri;
            params["taskId"] = task_id;
            params["ref"] = reference;
            params["notifications"] = watched;
            params
        },
    )
}

fn message() -> impl Strategy<Value = Value> {
    let method = prop_oneof![
        4 => prop::sample::select(mcp::Method::KNOWN.to_vec())
            .prop_map(|method| method.name().to_owned()),
        1 => "vendor/[a-z]{1,8}",
    ];
    let call = (method, params(), id()).prop_map(|(method, params, id)| {
        let mut call = json!({"jsonrpc": "2.0", "method": method, "params": params});
        if !method.starts_with("notifications/") {
            call["id"] = id;
        }
        call
    });
    let answer = (id(), prop::collection::btree_map("[a-z]{1,6}", any_value(), 0..4))
        .prop_map(|(id, result)| json!({"jsonrpc": "2.0", "id": id, "result": result}));
    prop_oneof![6 => call, 1 => answer]
}

/// Escapes every string character by character, which must change nothing.
fn escape_everything(text: &str) -> String {
    let mut inside = false;
    let mut backslash = false;
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '"' if !backslash => {
                inside = !inside;
                out.push(character);
            }
            'g'..='z' if inside && !backslash => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => out.push(character),
        }
        backslash = character == '\\' && !backslash;
    }
    out
}

proptest! {
    #[test]
    fn valid_messages_are_read_as_serde_json_reads_them(value in message(), pretty: bool) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let body = body.unwrap();
        let frame = parse(body.as_bytes(), &Limits::default());
        prop_assert!(frame.is_ok(), "{:?} {}", frame, body);
        check_against_value(&frame.unwrap(), &value);

        let escaped = escape_everything(&body);
        let value = serde_json::from_str(&escaped).unwrap();
        check_against_value(&parse(escaped.as_bytes(), &Limits::default()).unwrap(), &value);
    }

    #[test]
    fn batches_are_read_as_serde_json_reads_them(values in prop::collection::vec(message(), 1..4)) {
        let value = Value::from(values);
        let body = value.to_string();
        check_against_value(&parse(body.as_bytes(), &Limits::default()).unwrap(), &value);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(&bytes, &Limits::default()).is_err());
    }

    #[test]
    fn mutated_messages_are_refused_or_read_as_serde_json_reads_them(
        value in message(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        let mut body = value.to_string().into_bytes();
        for (index, byte, kind) in mutations {
            let at = index.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, b"{}[]\",:\\0"[usize::from(byte) % 9]),
                2 => { body.remove(at); }
                _ => body.truncate(at.max(1)),
            }
        }
        if let Ok(frame) = parse(&body, &Limits::default()) {
            // Half surrogate pairs in skipped values are the one thing `serde_json` refuses here.
            if let Ok(value) = serde_json::from_slice::<Value>(&body) {
                check_against_value(&frame, &value);
            }
        }
    }

    #[test]
    fn a_message_cut_short_is_refused(value in message(), index: prop::sample::Index) {
        let body = value.to_string();
        let cut = &body.as_bytes()[..index.index(body.len())];
        prop_assert!(parse(cut, &Limits::default()).is_err());
    }
}
