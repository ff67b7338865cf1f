//! Header values: what is encoded is decoded to itself, no value has a third spelling, and a header
//! passes only if it says what the body says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp::header::{
    METHOD, NAME, PROTOCOL_VERSION, check_modern_headers, decode_header_value, encode_header_value,
    mcp_name,
};
use mcp::{Frame, Limits, parse};
use serde_json::json;

/// The input is a header value; up to its first line feed it is also a name in a body, and what
/// follows the header that goes with it.
pub fn mcp_header(data: &[u8]) {
    check_decoding(data);
    if let Ok(value) = str::from_utf8(data) {
        check_encoding(value);
    }
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let name = parts.next().and_then(|name| str::from_utf8(name).ok());
    if let (Some(name), Some(header)) = (name, parts.next()) {
        check_encoding(name);
        check_decoding(header);
        check_mirror(name, header);
        check_mirror(name, encode_header_value(name).as_bytes());
    }
}

fn is_safe(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

fn check_encoding(value: &str) {
    let encoded = encode_header_value(value);
    assert!(encoded.as_bytes().iter().all(is_safe), "a byte that no header may hold");
    for sent in [encoded.clone(), format!(" \t{encoded}\t ")] {
        let decoded = decode_header_value(sent.as_bytes());
        assert_eq!(decoded.as_deref(), Some(value));
    }
}

/// A value is spelt as it is, if it can be, or in Base64 between sentinels: there is no third way.
fn check_decoding(sent: &[u8]) {
    let Some(value) = decode_header_value(sent) else { return };
    assert!(sent.iter().all(is_safe), "a byte that no header may hold was taken");
    check_encoding(&value);
    let sent = str::from_utf8(sent).expect("ASCII is UTF-8").trim_matches([' ', '\t']);
    let in_base64 = format!("=?base64?{}?=", STANDARD.encode(value.as_bytes()));
    assert!(sent == encode_header_value(&value) || sent == in_base64, "a third spelling");
}

fn check_mirror(name: &str, header: &[u8]) {
    let body = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": name,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": VERSION,
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    })
    .to_string();
    let frame = match parse(body.as_bytes(), &Limits::default()) {
        Ok(frame) => frame,
        Err(malformed) => {
            let may_be_refused = name.is_empty() || 1_024 < name.len();
            assert!(may_be_refused || name.chars().any(char::is_control), "{malformed}");
            return;
        }
    };
    let Frame::Single(message) = frame else { panic!("one message is one message") };
    assert_eq!(mcp_name(&message), Some(name));
    let fitting = [
        (PROTOCOL_VERSION, VERSION.as_bytes()),
        (METHOD, b"tools/call".as_slice()),
        ("mcp-name", header),
    ];
    let says_the_same = decode_header_value(header).as_deref() == Some(name);
    assert_eq!(check_modern_headers(fitting, &message).is_ok(), says_the_same);
    // The same value where it does not belong, or twice, or nowhere.
    let [version, method, own] = fitting;
    assert!(check_modern_headers([version, method], &message).is_err());
    assert!(check_modern_headers([version, method, own, (NAME, header)], &message).is_err());
    let trimmed = header.trim_ascii();
    for (field, rest) in [(PROTOCOL_VERSION, [method, own]), (METHOD, [version, own])] {
        let passes = check_modern_headers([(field, header), rest[0], rest[1]], &message).is_ok();
        assert!(!passes || trimmed == VERSION.as_bytes() || trimmed == b"tools/call");
    }
}

const VERSION: &str = "2026-07-28";
