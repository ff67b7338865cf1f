//! Every rule by which a body is refused, each with the bodies just inside and just outside of it.

use mcp::{DuplicateKeys, Fault, Frame, Limits, Message, RequestId, code, parse};

use crate::{parse_one, request};

fn fault_of(body: &[u8]) -> Option<Fault> {
    parse(body, &Limits::default()).err().map(|malformed| malformed.fault())
}

const fn missing(field: &'static str) -> Fault {
    Fault::Missing { field }
}

const fn wrong(field: &'static str, expected: &'static str) -> Fault {
    Fault::WrongType { field, expected }
}

#[test]
fn encodings_other_than_plain_utf8_are_refused() {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let wide =
        |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { ping.encode_utf16().flat_map(bytes).collect() };
    let marked = |mark: &[u8], body: &[u8]| [mark, body].concat();
    let table: [(Vec<u8>, Fault); 12] = [
        (b"".to_vec(), Fault::Empty),
        (b" \r\n\t".to_vec(), Fault::Empty),
        (marked(b"\xef\xbb\xbf", ping.as_bytes()), Fault::ByteOrderMark),
        (wide(u16::to_le_bytes), Fault::WideEncoding),
        (wide(u16::to_be_bytes), Fault::WideEncoding),
        (marked(b"\xff\xfe", &wide(u16::to_le_bytes)), Fault::WideEncoding),
        (marked(b"\xfe\xff", &wide(u16::to_be_bytes)), Fault::WideEncoding),
        (marked(b"\0\0\0", ping.as_bytes()), Fault::WideEncoding),
        (b"{\"jsonrpc\":\"2.0\",\"\xff\":1}".to_vec(), Fault::NotUtf8),
        (b"{\"a\":\"\xed\xa0\x80\"}".to_vec(), Fault::NotUtf8),
        (b"{\"a\":\"\xc0\xaf\"}".to_vec(), Fault::NotUtf8),
        (b"\x1f\x8b\x08\x00".to_vec(), Fault::NotUtf8),
    ];
    for (body, fault) in table {
        assert_eq!(fault_of(&body), Some(fault), "{body:?}");
    }
    assert_eq!(fault_of(ping.as_bytes()), None);
    assert_eq!(fault_of(format!("\r\n {ping}\n").as_bytes()), None);
}

#[test]
fn envelopes() {
    let id = wrong("id", "a string or an integer");
    let table = [
        (r#"7"#, Fault::NotAnObject),
        (r#""ping""#, Fault::NotAnObject),
        (r#"null"#, Fault::NotAnObject),
        (r#"{}"#, Fault::WrongVersion),
        (r#"{"id":1,"method":"ping"}"#, Fault::WrongVersion),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Fault::WrongVersion),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, Fault::WrongVersion),
        (r#"{"jsonrpc":"2.0","id":1}"#, Fault::NoKind),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, wrong("method", "a string")),
        (r#"{"jsonrpc":"2.0","id":1,"method":null}"#, wrong("method", "a string")),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, Fault::EmptyText { field: "method" }),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"pi\u0000ng"}"#,
            Fault::ControlCharacter { field: "method" },
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping\u0085"}"#,
            Fault::ControlCharacter { field: "method" },
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#, Fault::LoneSurrogate),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, wrong("params", "an object")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#, wrong("params", "an object")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x/y","params":"a"}"#, wrong("params", "an object")),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Fault::NullId),
        (r#"{"jsonrpc":"2.0","id":null,"method":"vendor/x"}"#, Fault::NullId),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, id),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#, id),
        (r#"{"jsonrpc":"2.0","id":1e2,"method":"ping"}"#, id),
        (r#"{"jsonrpc":"2.0","id":-0,"method":"ping"}"#, id),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, id),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, id),
        (r#"{"jsonrpc":"2.0","method":"tools/list"}"#, missing("id")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}"#, Fault::UnexpectedId),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#,
            Fault::ResultAndError,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, Fault::MethodAndResult),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","error":{"code":1,"message":""}}"#,
            Fault::MethodAndResult,
        ),
        (r#"{"jsonrpc":"2.0","result":{}}"#, missing("id")),
        (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, Fault::NullId),
        (r#"{"jsonrpc":"2.0","id":1,"result":[]}"#, wrong("result", "an object")),
        (r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, wrong("error", "an object")),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"message":""}}"#, wrong("error.code", "an integer")),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":""}}"#,
            wrong("error.code", "an integer"),
        ),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, wrong("error.message", "a string")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}x"#, Fault::TrailingBytes),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{}"#, Fault::TrailingBytes),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\0", Fault::TrailingBytes),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, Fault::Truncated),
        (r#"{"jsonrpc":"2.0","id":01,"method":"ping"}"#, Fault::NotJson),
        (r#"{'jsonrpc':"2.0"}"#, Fault::NotJson),
    ];
    for (body, fault) in table {
        assert_eq!(fault_of(body.as_bytes()), Some(fault), "{body}");
    }
}

#[test]
fn unknown_members_are_carried() {
    let body = r#"{"x-trace":{"a":[1]},"jsonrpc":"2.0","id":1,"method":"ping","params":{"new":1}}"#;
    assert!(matches!(parse_one(body), Ok(Message::Request(_))));
}

#[test]
fn duplicate_keys() {
    let inside = |params: &str| request("tools/call", params);
    let read = [
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":1,"extra":1}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}"#.to_owned(),
        inside(r#"{"name":"a","name":"b"}"#),
        inside(r#"{"name":"a","n\u0061me":"b"}"#),
        inside(r#"{"name":"a","_meta":{},"_meta":{}}"#),
        inside(r#"{"name":"a","other":1,"other":1}"#),
        inside(r#"{"name":"a","_meta":{"progressToken":1,"progressToken":2}}"#),
        inside(r#"{"name":"a","clientInfo":{"name":"a","name":"b"}}"#),
        inside(r#"{"name":"a","ref":{"type":"ref/prompt","name":"a","name":"b"}}"#),
        inside(r#"{"name":"a","notifications":{"taskIds":[],"taskIds":[]}}"#),
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"code":2,"message":""}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}"#.to_owned(),
        // An unknown method changes nothing: the envelope is the same for all.
        request("vendor/x", r#"{"name":"a","name":"b"}"#),
    ];
    let elsewhere = [
        inside(r#"{"name":"a","arguments":{"path":"/a","path":"/b"}}"#),
        inside(r#"{"name":"a","arguments":{"list":[1,{"k":{"x":1,"\u0078":2}}]}}"#),
        inside(r#"{"name":"a","_meta":{"vendor/x":{"a":1,"a":2}}}"#),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":{"a":1,"a":2}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"a":1,"a":2}]}}"#.to_owned(),
    ];
    let lenient = Limits { duplicate_keys: DuplicateKeys::ReadLevels, ..Limits::default() };
    for body in &read {
        assert_eq!(fault_of(body.as_bytes()), Some(Fault::DuplicateKey), "{body}");
        let malformed = parse(body.as_bytes(), &lenient).unwrap_err();
        assert_eq!(malformed.fault(), Fault::DuplicateKey, "{body}");
    }
    for body in &elsewhere {
        assert_eq!(fault_of(body.as_bytes()), Some(Fault::DuplicateKey), "{body}");
        assert!(parse(body.as_bytes(), &lenient).is_ok(), "{body}");
    }
}

#[test]
fn keys_that_some_parsers_take_for_ours_are_refused() {
    let refused = [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","ID":2}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"vendor/x","PARAMS":{}}"#.to_owned(),
        request("tools/call", r#"{"name":"a","Name":"b"}"#),
        request("tools/call", r#"{"name":"a","ARGUMENTS":{}}"#),
        request("tools/call", r#"{"name":"a","argument\u017f":{}}"#),
        request("tasks/get", r#"{"taskId":"a","tas\u212aid":"b"}"#),
        request("tools/call", r#"{"name":"a","_meta":{"ProgressToken":1}}"#),
        request("subscriptions/listen", r#"{"notifications":{"taskids":["x"]}}"#),
        request("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"a","NAME":"b"}}"#),
    ];
    for body in &refused {
        assert_eq!(fault_of(body.as_bytes()), Some(Fault::LookalikeKey), "{body}");
    }
    let carried = [
        request("vendor/x", r#"{"Name":"b"}"#),
        request("tools/call", r#"{"name":"a","arguments":{"Name":1,"name":2}}"#),
        request("tools/call", r#"{"name":"a","names":1,"nam":2,"näme":3}"#),
    ];
    for body in &carried {
        assert_eq!(fault_of(body.as_bytes()), None, "{body}");
    }
}

#[test]
fn fields_of_a_wrong_type_are_refused_in_known_methods_only() {
    for &(method, params, fault) in WRONG_FIELDS {
        let body = request(method, params);
        let malformed = parse_one(&body).unwrap_err();
        assert_eq!(malformed.fault(), fault, "{body}");
        assert_eq!(malformed.id(), Some(&RequestId::from(1)), "{body}");
        let expected =
            if params.contains("\"_meta\":[") || !format!("{fault:?}").contains("\"params\"") {
                code::INVALID_PARAMS
            } else {
                code::INVALID_REQUEST
            };
        assert_eq!(malformed.code(), expected, "{body}");
        let vendor = request("vendor/x", params);
        assert!(parse_one(&vendor).is_ok(), "{vendor}");
    }
}

#[test]
fn batches() {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let table = [
        ("[]".to_owned(), Fault::EmptyBatch),
        (format!("[[{ping}]]"), Fault::NestedBatch),
        (format!("[{ping},7]"), Fault::NotAnObject),
        (format!("[{ping},{{}}]"), Fault::WrongVersion),
        (format!("[{}]", vec![ping; 51].join(",")), Fault::BatchTooLong { max: 50 }),
        (format!("[{ping}] {ping}"), Fault::TrailingBytes),
        (format!("[{ping},]"), Fault::NotJson),
    ];
    for (body, fault) in table {
        let malformed = parse(body.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(malformed.fault(), fault, "{body}");
        assert_eq!(malformed.id(), None, "{body}");
    }
    let full = format!("[{}]", vec![ping; 50].join(","));
    let Ok(Frame::Batch(messages)) = parse(full.as_bytes(), &Limits::default()) else {
        panic!("a batch of 50 is read");
    };
    assert_eq!(messages.len(), 50);
}

#[test]
fn bounds_hold_at_their_edge() {
    let limits = Limits {
        depth_max: 5,
        name_bytes_max: 14,
        uri_bytes_max: 16,
        id_bytes_max: 4,
        items_max: 2,
        ..Limits::default()
    };
    let check = |body: &str, fault: Option<Fault>| {
        let found = parse(body.as_bytes(), &limits).err().map(|malformed| malformed.fault());
        assert_eq!(found, fault, "{body}");
    };
    let too_long = |field, max| Some(Fault::TooLong { field, max });
    check(&request("tools/call", r#"{"name":"12345678901234"}"#), None);
    check(&request("tools/call", r#"{"name":"123456789012345"}"#), too_long("params.name", 14));
    // The decoded length counts.
    check(&request("tools/call", r#"{"name":"\u0031\u0032\u0033"}"#), None);
    check(&request("resources/read", r#"{"uri":"1234567890123456"}"#), None);
    check(&request("resources/read", r#"{"uri":"12345678901234567"}"#), too_long("params.uri", 16));
    check(&request("vendor/x/123456", "{}"), too_long("method", 14));
    check(r#"{"jsonrpc":"2.0","id":"1234","method":"ping"}"#, None);
    check(r#"{"jsonrpc":"2.0","id":"12345","method":"ping"}"#, too_long("id", 4));
    check(r#"{"jsonrpc":"2.0","id":12345,"method":"ping"}"#, too_long("id", 4));
    check(r#"{"jsonrpc":"2.0","id":1,"method":"vendor","params":{"a":[[["deep"]]]}}"#, None);
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"vendor","params":{"a":[[[[]]]]}}"#,
        Some(Fault::TooDeep { max: 5 }),
    );
    let listen = |uris: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"notifications":{{"taskIds":{uris}}}}}}}"#
        )
    };
    check(&listen(r#"["a","b"]"#), None);
    let too_many = Fault::TooMany { field: "params.notifications.taskIds", max: 2 };
    check(&listen(r#"["a","b","c"]"#), Some(too_many));
}

#[test]
fn brackets_in_strings_are_not_depth() {
    let text = "[{".repeat(1_000);
    let body =
        request("tools/call", &format!(r#"{{"name":"a","arguments":{{"t":"{text}\"[["}}}}"#));
    assert!(parse_one(&body).is_ok());
}

#[test]
fn ten_thousand_levels_do_not_exhaust_the_stack() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = request("tools/call", &format!(r#"{{"name":"a","arguments":{deep}}}"#));
    let malformed = parse_one(&body).unwrap_err();
    assert_eq!(malformed.fault(), Fault::TooDeep { max: 100 });
    let limits = Limits { depth_max: 20_000, ..Limits::default() };
    let frame = parse(body.as_bytes(), &limits).unwrap();
    assert_eq!(frame.messages()[0].params().unwrap().arguments, Some(deep.as_str()));
}

#[test]
fn refusals_say_where_and_never_repeat_what_was_sent() {
    let secret = "hunter2";
    let bodies = [
        request("tools/call", r#"{"name":"a","hunter2":1,"hunter2":2}"#),
        request("tools/call", r#"{"name":"hunter2\n"}"#),
        request("tools/call", r#"{"name":"a","NAME":"hunter2"}"#),
        request("hunter2\\u0000", "{}"),
        format!("{} hunter2", request("ping", "{}")),
        r#"{"jsonrpc":"hunter2"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","hunter2"}"#.to_owned(),
    ];
    for body in bodies {
        let malformed = parse_one(&body).unwrap_err();
        let message = malformed.to_string();
        assert!(!message.contains(secret), "{message}");
        assert!(message.contains(" (at byte "), "{message}");
        assert!(!format!("{malformed:?}").contains(secret), "{malformed:?}");
    }
    let body = r#"{"jsonrpc":"2.0","id":"q","method":"ping","method":"x"}"#;
    let malformed = parse_one(body).unwrap_err();
    assert_eq!(malformed.at(), body.rfind("\"method\""));
    assert_eq!(malformed.id(), Some(&RequestId::text("q")));
    assert_eq!(
        malformed.to_string(),
        "an object has the same key twice: send each key once (at byte 42)"
    );
}

#[test]
fn every_refusal_has_a_code_with_a_status() {
    let table = [
        (&b"{"[..], code::PARSE_ERROR),
        (b"[]", code::INVALID_REQUEST),
        (br#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, code::INVALID_PARAMS),
    ];
    for (body, expected) in table {
        let malformed = parse(body, &Limits::default()).unwrap_err();
        assert_eq!(malformed.code(), expected);
        assert_eq!(code::http_status(malformed.code()), 400);
    }
    assert_eq!(code::http_status(code::METHOD_NOT_FOUND), 404);
    assert_eq!(code::http_status(40_301), 200);
}

#[test]
fn ids_are_equal_by_their_decoded_value() {
    let id = |literal: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{literal},"method":"ping"}}"#);
        parse_one(&body).unwrap().id().cloned().unwrap()
    };
    assert_eq!(id(r#""a""#), id(r#""\u0061""#));
    assert_eq!(id("7"), RequestId::from(7));
    assert_ne!(id("7"), id(r#""7""#));
    assert_ne!(id("18446744073709551616"), id("18446744073709551617"));
    for literal in
        ["0", "-7", "9223372036854775807", "-9223372036854775809", r#""a\"\\\n""#, r#""""#]
    {
        assert_eq!(id(literal).to_string(), literal);
    }
}

/// method, params, fault
const WRONG_FIELDS: &[(&str, &str, Fault)] = &[
    ("tools/call", r#"{"name":5}"#, wrong("params.name", "a string")),
    ("tools/call", r#"{"name":["a"]}"#, wrong("params.name", "a string")),
    ("tools/call", r#"{"name":null}"#, wrong("params.name", "a string")),
    ("tools/call", r#"{"name":""}"#, Fault::EmptyText { field: "params.name" }),
    ("tools/call", r#"{"name":"a\nb"}"#, Fault::ControlCharacter { field: "params.name" }),
    ("tools/call", r#"{"name":"a","_meta":[]}"#, wrong("params._meta", "an object")),
    ("tools/call", r#"{"name":"a","_meta":null}"#, wrong("params._meta", "an object")),
    (
        "tools/call",
        r#"{"name":"a","_meta":{"progressToken":1.5}}"#,
        wrong("params._meta.progressToken", "a string or an integer"),
    ),
    (
        "tools/call",
        r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":1}}"#,
        wrong("params._meta.io.modelcontextprotocol/protocolVersion", "a string"),
    ),
    (
        "tools/call",
        r#"{"name":"a","_meta":{"io.modelcontextprotocol/clientCapabilities":[]}}"#,
        wrong("params._meta.io.modelcontextprotocol/clientCapabilities", "an object"),
    ),
    ("tools/call", r#"{"name":"a","requestState":{}}"#, wrong("params.requestState", "a string")),
    ("resources/read", r#"{"uri":{}}"#, wrong("params.uri", "a string")),
    ("tasks/get", r#"{"taskId":1}"#, wrong("params.taskId", "a string")),
    ("completion/complete", r#"{"ref":"a"}"#, wrong("params.ref", "an object")),
    (
        "completion/complete",
        r#"{"ref":{"type":"ref/tool","name":"a"}}"#,
        wrong("params.ref.type", "`ref/prompt` or `ref/resource`"),
    ),
    (
        "completion/complete",
        r#"{"ref":{"name":"a"}}"#,
        wrong("params.ref.type", "`ref/prompt` or `ref/resource`"),
    ),
    (
        "completion/complete",
        r#"{"ref":{"type":"ref/prompt","uri":"a"}}"#,
        missing("params.ref.name"),
    ),
    (
        "completion/complete",
        r#"{"ref":{"type":"ref/resource","name":"a"}}"#,
        missing("params.ref.uri"),
    ),
    ("subscriptions/listen", r#"{"notifications":[]}"#, wrong("params.notifications", "an object")),
    (
        "subscriptions/listen",
        r#"{"notifications":{"resourceSubscriptions":"a"}}"#,
        wrong("params.notifications.resourceSubscriptions", "an array of strings"),
    ),
    (
        "subscriptions/listen",
        r#"{"notifications":{"taskIds":["a",1]}}"#,
        wrong("params.notifications.taskIds", "a string"),
    ),
    ("initialize", r#"{"protocolVersion":1}"#, wrong("params.protocolVersion", "a string")),
    ("initialize", r#"{"clientInfo":"me"}"#, wrong("params.clientInfo", "an object")),
];
