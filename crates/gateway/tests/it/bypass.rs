//! Tricks by which a call could get past the gateway as something else than it was judged as. Each is
//! refused and on record, and the server sees nothing of it.

use crate::client::Ask;
use crate::messages::{META, call_body, initialize, modern, modern_call, result};
use crate::rig::{Plan, Rig};
use crate::trail;
use crate::upstream::{Upstream, json};
use crate::within;
use http::Method;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn rig() -> (Upstream, Rig) {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    (upstream, rig)
}

fn older(body: impl Into<String>) -> Ask {
    Ask::post(body.into()).header("mcp-protocol-version", "2025-11-25")
}

fn with_body(ask: Ask, from: &str, to: &str) -> Ask {
    let body = std::str::from_utf8(&ask.body).unwrap().replace(from, to);
    Ask { body: body.into(), ..ask }
}

const MISMATCH: &str = "malformed.header-mismatch";

/// Headers that say something else than the body, in every revision.
fn mismatches() -> Vec<Ask> {
    let version = "mcp-protocol-version";
    let modern = || modern_call("1", "echo");
    let legacy = || older(call_body("1", "echo"));
    vec![
        modern().header("mcp-name", "other"),
        modern().header("mcp-name", "ECHO"),
        modern().header("mcp-name", "=?base64?b3RoZXI=?="),
        modern().header("mcp-name", "=?base64?!?="),
        modern().header("mcp-method", "tools/list"),
        modern().header("mcp-method", "Tools/Call"),
        modern().without("mcp-name"),
        modern().without("mcp-method"),
        modern().without(version),
        modern().another("mcp-name", "echo"),
        modern().another("mcp-method", "tools/call"),
        modern().another(version, "2026-07-28"),
        modern().another(version, "2025-11-25"),
        // The revision of the body and that of the header are not the same.
        modern().header(version, "2025-11-25"),
        modern().header(version, "2099-01-01"),
        with_body(modern(), "2026-07-28", "2025-11-25"),
        with_body(modern(), "2026-07-28", "2099-01-01"),
        legacy().another(version, "2026-07-28"),
        legacy().header(version, "2025-11-25, 2026-07-28"),
        legacy().header(version, ""),
        // An older revision does not know these; what they say must be true nevertheless.
        legacy().header("mcp-name", "other"),
        legacy().header("mcp-method", "tools/list"),
        legacy().header("mcp-name", "echo").another("mcp-name", "echo"),
        Ask::post(call_body("1", "echo")).header("mcp-name", "other"),
        initialize().header("mcp-method", "tools/call"),
    ]
}

#[tokio::test]
async fn headers_never_say_anything_else_than_the_body() {
    let (upstream, rig) = rig().await;
    let asks = mismatches();
    let count = asks.len();
    for (at, ask) in asks.into_iter().enumerate() {
        let reply = rig.send(ask).await;
        assert_eq!(reply.status, 400, "number {at}");
        assert_eq!(reply.message().await["error"]["code"], -32_020, "number {at}");
    }
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, vec![MISMATCH; count]);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_revision_cannot_be_played_down() {
    let (upstream, rig) = rig().await;
    let bare =
        |version: &str| Ask::post(call_body("1", "echo")).header("mcp-protocol-version", version);
    let no_capabilities = with_body(
        modern("1", "tools/list", None, ""),
        r#","io.modelcontextprotocol/clientCapabilities":{}"#,
        "",
    );
    let table = [
        ("malformed.meta", bare("2026-07-28").header("mcp-method", "tools/call")),
        ("malformed.meta", bare("2099-01-01").header("mcp-method", "tools/call")),
        ("malformed.meta", no_capabilities),
        (
            "malformed.duplicate-key",
            with_body(modern_call("1", "echo"), META, &format!("{META},{META}")),
        ),
        (
            "malformed.duplicate-key",
            with_body(
                modern_call("1", "echo"),
                r#""io.modelcontextprotocol/clientCapabilities":{}"#,
                r#""io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/protocolVersion":"2025-11-25""#,
            ),
        ),
        (
            "malformed.lookalike-key",
            with_body(modern_call("1", "echo"), META, &format!(r#"{META},"_Meta":{{}}"#)),
        ),
        (
            "malformed.lookalike-key",
            with_body(older(call_body("1", "echo")), "\"id\":1", "\"id\":1,\"ID\":2"),
        ),
        (
            "malformed.lookalike-key",
            with_body(older(call_body("1", "echo")), "\"arguments\"", "\"Arguments\""),
        ),
        ("malformed.batch", older(format!("[{}]", call_body("1", "echo")))),
        ("malformed.batch", with_body(modern_call("1", "echo"), "{\"jsonrpc\"", "[{\"jsonrpc\"")),
    ];
    let count = table.len();
    let mut expected = Vec::new();
    for (reason, ask) in table {
        // The last one is no JSON any more; it is a batch by its first byte, or no message.
        let reply = rig.send(ask).await;
        assert_eq!(reply.status, 400, "{reason}");
        expected.push(reason);
        reply.bytes().await;
    }
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons.len(), count);
    assert_eq!(reasons[..count - 1], expected[..count - 1]);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_request_is_not_taken_for_another_one() {
    let (upstream, rig) = rig().await;
    let headers = [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "PUT"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
    ];
    for (name, value) in headers {
        let reply = rig.send(modern_call("1", "echo").header(name, value)).await;
        assert_eq!(reply.status, 400, "{name}");
        assert_eq!(reply.message().await["error"]["data"]["reason"], "http.override");
    }
    for (name, value) in
        [("host", "evil.example"), ("origin", "http://evil.example"), ("origin", "null")]
    {
        let reply = rig.send(modern_call("1", "echo").header(name, value)).await;
        assert_eq!(reply.status, 403, "{name} {value}");
    }
    // A browser asks first; it is never told that a foreign page may go on.
    let preflight = Ask::new(Method::OPTIONS)
        .header("origin", "http://evil.example")
        .header("access-control-request-method", "POST");
    let reply = rig.send(preflight).await;
    assert_eq!(reply.status, 403);
    assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons[..5], ["http.override"; 5]);
    assert_eq!(reasons[5..], ["http.host", "http.origin", "http.origin", "http.origin"]);
    assert!(upstream.seen().is_empty());
}

/// Says these bytes, and what comes back until the other side closes.
async fn raw(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within("the connection closes", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn other_ways_to_write_a_request_lead_nowhere_else() {
    let (upstream, rig) = rig().await;
    let (address, token) = (rig.address, rig.token("alice"));
    let body = call_body("1", "echo");
    let request = |line: &str, more: &str| {
        format!(
            "{line} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nconnection: close\r\n{more}"
        )
    };
    let length = format!("content-length: {}\r\n", body.len());
    let whole = format!("{length}\r\n{body}");
    for (line, status) in [
        ("POST /s/a/../srv/mcp", "404"),
        ("POST /s/%73rv/mcp", "404"),
        ("POST /s/srv%2Fmcp", "404"),
        ("POST //mcp", "404"),
        ("POST /mcp/", "404"),
        ("POST /%6dcp", "404"),
        ("POST /./mcp", "404"),
        ("HEAD /mcp", "405"),
        ("TRACE /mcp", "405"),
        ("OPTIONS /mcp", "405"),
        ("PUT /mcp", "405"),
    ] {
        let answer = raw(address, &request(line, &whole)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
    }
    // Two ways to say where the body ends: one of them is not believed, or the request is not read.
    let twice = format!("content-length: 5\r\n{whole}");
    assert!(raw(address, &request("POST /mcp", &twice)).await.starts_with("HTTP/1.1 400"));
    let obsolete = format!("x-note: a\r\n b\r\n{whole}");
    let answer = raw(address, &request("POST /mcp", &obsolete)).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(upstream.seen().is_empty());
    // The target of the request names another host than its header.
    let answer = raw(address, &request("POST http://evil.example/mcp", &whole)).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(upstream.seen().is_empty());
    // What does get through gets through as what it was judged as.
    let answer = raw(address, &request("POST /mcp?x=/s/other/mcp", &whole)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = raw(address, &request("GET /mcp", &whole)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, body);
    assert!(seen[1].body.is_empty() && !seen[1].headers.contains_key("content-length"));
    let trail = rig.stop().await;
    let reasons: Vec<&str> = trail.refusals().into_iter().map(trail::reason).collect();
    // The server answers a GET with a message, which belongs to nothing.
    assert_eq!(reasons, ["http.host", "server.out-of-place"]);
}
