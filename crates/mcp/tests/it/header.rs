//! Mirrored headers against bodies, and the encoding of their values.

use mcp::code;
use mcp::header::{
    HeaderMismatch, MetaMissing, check_modern_headers, check_modern_meta, decode_header_value,
    encode_header_value, mcp_name,
};
use proptest::prelude::*;

use crate::{parse_one, request};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const VERSION: (&str, &[u8]) = ("MCP-Protocol-Version", b"2026-07-28");
const NAMED: (&str, &[u8]) = ("Mcp-Name", b"a");
const CALL: (&str, &[u8]) = ("Mcp-Method", b"tools/call");

type Headers = &'static [(&'static str, &'static [u8])];

fn check(headers: &[(&str, &[u8])], body: &str) -> Result<(), HeaderMismatch> {
    let message =
        parse_one(body).map_err(|_| HeaderMismatch::Invalid { header: "the test's body" })?;
    check_modern_headers(headers.iter().copied(), &message)
}

fn call(name: &str) -> String {
    request("tools/call", &format!(r#"{{"name":"{name}",{META}}}"#))
}

#[test]
fn headers_that_mirror_the_body_pass() {
    let accepted: [(Headers, String); 10] = [
        (&[VERSION, CALL, ("Mcp-Name", b"a_b")], call("a_b")),
        (
            &[
                ("mcp-protocol-version", b" 2026-07-28\t"),
                ("MCP-METHOD", b"tools/call "),
                ("mcp-NAME", b"\ta_b"),
            ],
            call("a_b"),
        ),
        (&[VERSION, CALL, ("Mcp-Name", b"=?base64?SGVsbG8sIOS4lueVjA==?=")], call("Hello, 世界")),
        (&[VERSION, CALL, ("Mcp-Name", b"=?base64?IHBhZGRlZCA=?=")], call(" padded ")),
        (&[VERSION, CALL, ("Mcp-Name", b"=?base64?YQ==?=")], call(r"\u0061")),
        (
            &[VERSION, CALL, ("Mcp-Name", b"a"), ("Mcp-Param-X", b"1"), ("Accept", b"*/*")],
            call("a"),
        ),
        (&[VERSION, ("Mcp-Method", b"tools/list")], request("tools/list", &format!("{{{META}}}"))),
        (&[VERSION, ("Mcp-Method", b"vendor/x")], request("vendor/x", &format!("{{{META}}}"))),
        (&[VERSION], r#"{"jsonrpc":"2.0","method":"vendor/noticed"}"#.to_owned()),
        (
            &[VERSION, ("Mcp-Method", b"tasks/get"), ("Mcp-Name", b"t1")],
            request("tasks/get", &format!(r#"{{"taskId":"t1",{META}}}"#)),
        ),
    ];
    for (headers, body) in accepted {
        assert_eq!(check(headers, &body), Ok(()), "{headers:?} {body}");
    }
}

#[test]
fn headers_that_do_not_mirror_the_body_are_refused() {
    let missing = |header| HeaderMismatch::Missing { header };
    let differs = |header| HeaderMismatch::Differs { header };
    let repeated = |header| HeaderMismatch::Repeated { header };
    let invalid = |header| HeaderMismatch::Invalid { header };
    let (version, method, name) = ("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name");
    let refused: [(Headers, String, HeaderMismatch); 22] = [
        (&[CALL, NAMED], call("a"), missing(version)),
        (&[VERSION, NAMED], call("a"), missing(method)),
        (&[VERSION, CALL], call("a"), missing(name)),
        (&[VERSION, VERSION, CALL, NAMED], call("a"), repeated(version)),
        (&[VERSION, CALL, ("mcp-method", b"tools/call"), NAMED], call("a"), repeated(method)),
        (&[VERSION, CALL, NAMED, ("mcp-name", b"a")], call("a"), repeated(name)),
        (&[("MCP-Protocol-Version", b"2025-11-25"), CALL, NAMED], call("a"), differs(version)),
        (&[VERSION, CALL, NAMED], request("tools/call", r#"{"name":"a"}"#), differs(version)),
        (&[VERSION, ("Mcp-Method", b"tools/list"), NAMED], call("a"), differs(method)),
        (&[VERSION, ("Mcp-Method", b"Tools/call"), NAMED], call("a"), differs(method)),
        (
            &[VERSION, ("Mcp-Method", b"=?base64?dG9vbHMvY2FsbA==?="), NAMED],
            call("a"),
            differs(method),
        ),
        (&[VERSION, CALL, ("Mcp-Name", b"A")], call("a"), differs(name)),
        (&[VERSION, CALL, ("Mcp-Name", b"a, a")], call("a"), differs(name)),
        (&[VERSION, CALL, ("Mcp-Name", b"")], call("a"), differs(name)),
        (&[VERSION, CALL, ("Mcp-Name", b"=?BASE64?YQ==?=")], call("a"), differs(name)),
        (&[VERSION, CALL, ("Mcp-Name", b"=?base64?YQ?=")], call("a"), invalid(name)),
        (&[VERSION, CALL, ("Mcp-Name", b"=?base64?!!?=")], call("a"), invalid(name)),
        (&[VERSION, CALL, ("Mcp-Name", b"=?base64?/w==?=")], call("a"), invalid(name)),
        (&[VERSION, CALL, ("Mcp-Name", b"\xc3\xa4")], call("ä"), invalid(name)),
        (&[VERSION, CALL, ("Mcp-Name", b"a\x00")], call("a"), invalid(name)),
        (
            &[VERSION, ("Mcp-Method", b"x")],
            r#"{"jsonrpc":"2.0","method":"y"}"#.to_owned(),
            differs(method),
        ),
        (
            &[VERSION, ("Mcp-Method", b"x")],
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
            differs(method),
        ),
    ];
    for (headers, body, mismatch) in refused {
        assert_eq!(check(headers, &body), Err(mismatch), "{headers:?} {body}");
        assert_eq!(mismatch.code(), code::HEADER_MISMATCH);
        assert_eq!(code::http_status(mismatch.code()), 400);
    }
}

#[test]
fn each_method_mirrors_its_own_field() {
    let table = [
        ("tools/call", r#"{"name":"n","uri":"u","taskId":"t"}"#, Some("n")),
        ("prompts/get", r#"{"name":"n","uri":"u","taskId":"t"}"#, Some("n")),
        ("resources/read", r#"{"name":"n","uri":"u","taskId":"t"}"#, Some("u")),
        ("tasks/get", r#"{"name":"n","uri":"u","taskId":"t"}"#, Some("t")),
        ("tasks/update", r#"{"name":"n","uri":"u","taskId":"t"}"#, Some("t")),
        ("tasks/cancel", r#"{"name":"n","uri":"u","taskId":"t"}"#, Some("t")),
        ("skills/get", r#"{"name":"n","uri":"u","taskId":"t"}"#, None),
        ("tools/list", r#"{"name":"n"}"#, None),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"n"}}"#, None),
        ("vendor/x", r#"{"name":"n"}"#, None),
    ];
    for (method, params, expected) in table {
        let body = request(method, params);
        assert_eq!(mcp_name(&parse_one(&body).unwrap()), expected, "{method}");
    }
}

#[test]
fn modern_requests_need_their_meta() {
    let missing = |key| Err(MetaMissing { key });
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let capabilities = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
    let table = [
        ("{}".to_owned(), missing("protocolVersion")),
        (r#"{"_meta":{}}"#.to_owned(), missing("protocolVersion")),
        (format!(r#"{{"_meta":{{{capabilities}}}}}"#), missing("protocolVersion")),
        (format!(r#"{{"_meta":{{{version}}}}}"#), missing("clientCapabilities")),
        (format!(r#"{{"_meta":{{{version},{capabilities}}}}}"#), Ok(())),
    ];
    for (params, expected) in table {
        let body = request("tools/list", &params);
        assert_eq!(check_modern_meta(&parse_one(&body).unwrap()), expected, "{body}");
    }
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
    assert_eq!(check_modern_meta(&parse_one(notice).unwrap()), Ok(()));
    assert_eq!(MetaMissing { key: "x" }.code(), code::INVALID_PARAMS);
}

#[test]
fn values_are_encoded_as_the_specification_shows() {
    let table = [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("", ""),
        ("a b\tc", "a b\tc"),
        ("=?base64?", "=?base64?"),
        ("=?base64?=", "=?base64?="),
    ];
    for (value, encoded) in table {
        assert_eq!(encode_header_value(value), encoded);
        assert_eq!(decode_header_value(encoded.as_bytes()).as_deref(), Some(value));
    }
}

proptest! {
    #[test]
    fn encoded_values_decode_to_themselves(value in any::<String>()) {
        let encoded = encode_header_value(&value);
        prop_assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')));
        let decoded = decode_header_value(encoded.as_bytes());
        prop_assert_eq!(decoded.as_deref(), Some(value.as_str()));
        let padded = format!(" \t{encoded}\t ");
        let decoded = decode_header_value(padded.as_bytes());
        prop_assert_eq!(decoded.as_deref(), Some(value.as_str()));
    }

    #[test]
    fn decoding_never_panics(value in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some(decoded) = decode_header_value(&value) {
            prop_assert!(value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')));
            prop_assert!(decoded.len() <= value.len());
        }
    }
}

const ANNOTATED: &str = r#"{"name":"sql","inputSchema":{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "limits":{"type":"object","properties":{"rows":{"type":"integer","x-mcp-header":"rows"}}},
    "dry":{"type":"boolean","x-mcp-header":"Dry-Run"},
    "plain":{"type":"string"},
    "list":{"type":"array","items":{"type":"string","x-mcp-header":"Item"}}}}}"#;

fn call_with(arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"s\u00e4ge","arguments":{arguments},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
    )
}

#[test]
fn messages_are_mirrored_with_their_annotated_arguments() {
    let params = mcp::header::param_headers(ANNOTATED);
    let mut names: Vec<_> = params.iter().map(|p| (p.name.as_str(), p.path.join("."))).collect();
    names.sort_unstable();
    let expected = [("Dry-Run", "dry"), ("Region", "region"), ("rows", "limits.rows")];
    assert_eq!(names, expected.map(|(name, path)| (name, path.to_owned())));
    let raw = call_with(r#"{"region":"Zürich ","limits":{"rows":42.0},"dry":true,"plain":"x"}"#);
    let message = parse_one(&raw).unwrap();
    let mut headers = mcp::header::mirrored_headers(&message, raw.as_bytes(), &params);
    headers.sort_unstable();
    let shown: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "=?base64?c8OkZ2U=?="),
            ("Mcp-Param-Dry-Run", "true"),
            ("Mcp-Param-Region", "=?base64?WsO8cmljaCA=?="),
            ("Mcp-Param-rows", "42"),
        ]
    );
    // What is written is accepted.
    let pairs = || shown.iter().map(|(name, value)| (*name, value.as_bytes()));
    check_modern_headers(pairs(), &message).unwrap();
    mcp::header::check_param_headers(pairs(), raw.as_bytes(), &params).unwrap();
    let empty = call_with(r#"{"region":null,"limits":3}"#);
    let message = parse_one(&empty).unwrap();
    let headers = mcp::header::mirrored_headers(&message, empty.as_bytes(), &params);
    assert_eq!(headers.len(), 3, "what is absent or null has no header");
}

#[test]
fn a_schema_that_breaks_a_rule_asks_for_nothing() {
    for property in [
        r#""a":{"type":"number","x-mcp-header":"A"}"#,
        r#""a":{"type":["string","null"],"x-mcp-header":"A"}"#,
        r#""a":{"x-mcp-header":"A"}"#,
        r#""a":{"type":"string","x-mcp-header":""}"#,
        r#""a":{"type":"string","x-mcp-header":"A B"}"#,
        r#""a":{"type":"string","x-mcp-header":7}"#,
        r#""a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}"#,
    ] {
        let ok = r#""ok":{"type":"string","x-mcp-header":"Ok"}"#;
        let tool = format!(r#"{{"inputSchema":{{"properties":{{{ok},{property}}}}}}}"#);
        assert_eq!(mcp::header::param_headers(&tool), [], "{property}");
    }
    assert_eq!(mcp::header::param_headers("{"), []);
}

#[test]
fn headers_of_arguments_must_not_contradict_them() {
    let params = mcp::header::param_headers(ANNOTATED);
    let raw = call_with(r#"{"region":"eu","limits":{"rows":7},"dry":false}"#);
    let check = |headers: &[(&'static str, &'static str)]| {
        let pairs = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        mcp::header::check_param_headers(pairs, raw.as_bytes(), &params)
    };
    let header = mcp::header::PARAM_PREFIX;
    check(&[("mcp-param-REGION", " eu "), ("Mcp-Param-Rows", "7.0"), ("Mcp-Param-Other", "x")])
        .unwrap();
    check(&[("Mcp-Param-Region", "=?base64?ZXU=?=")]).unwrap();
    check(&[]).unwrap();
    for (headers, expected) in [
        (vec![("Mcp-Param-Region", "us")], HeaderMismatch::Differs { header }),
        (vec![("Mcp-Param-Region", "EU")], HeaderMismatch::Differs { header }),
        (vec![("Mcp-Param-rows", "8")], HeaderMismatch::Differs { header }),
        (vec![("Mcp-Param-Region", "=?base64?Z?=")], HeaderMismatch::Invalid { header }),
        (
            vec![("Mcp-Param-Region", "eu"), ("mcp-param-region", "eu")],
            HeaderMismatch::Repeated { header },
        ),
    ] {
        assert_eq!(check(&headers), Err(expected));
    }
    let absent = call_with("{}");
    let pairs = [("Mcp-Param-Region", b"eu".as_slice())];
    mcp::header::check_param_headers(pairs, absent.as_bytes(), &params).unwrap_err();
}
