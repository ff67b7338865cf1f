//! Tricks by which a call could get past the gateway as something else than it was judged as. Each is
//! refused and on record, and the server sees nothing of it.

use crate::client::{Ask, Http2, drops};
use crate::messages::{META, call_body, initialize, legacy_call, modern, modern_call, result};
use crate::rig::{Plan, Rig, SOON};
use crate::trail::{self, Trail};
use crate::upstream::{Upstream, json, opened_of};
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
        // Headers that would end here, after they were checked.
        ("connection", "Mcp-Method, mcp-name"),
        ("connection", "keep-alive,mcp-session-id"),
        ("connection", "content-type"),
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
    assert_eq!(reasons[..8], ["http.override"; 8]);
    assert_eq!(reasons[8..], ["http.host", "http.origin", "http.origin", "http.origin"]);
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
    let trail = Trail::read(&rig.log_directory());
    let refused = trail.refusals().len();
    assert_eq!(refused, 12, "each is on record, but those that are no HTTP");
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
    assert_eq!(reasons[..7], ["http.path"; 7]);
    assert_eq!(reasons[7..11], ["http.method"; 4]);
    assert_eq!(reasons[11..], ["http.host", "server.out-of-place"]);
}

/// Reason on record, HTTP status, and the request.
type Trick = (&'static str, u16, Ask);

/// Revisions played down, keys twice, batches, encodings, sizes.
fn bodies() -> Vec<Trick> {
    let call = || modern_call("1", "echo");
    let bare =
        |version: &str| older(call_body("1", "echo")).header("mcp-protocol-version", version);
    let body = |body: &str| older(body.to_owned());
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let deep = call_body("1", "echo").replace("{}", &format!(r#"{{"a":{deep}}}"#));
    let utf16: Vec<u8> = call_body("1", "echo").encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("malformed.meta", 400, bare("2026-07-28").header("mcp-method", "tools/call")),
        ("malformed.duplicate-key", 400, with_body(call(), META, &format!("{META},{META}"))),
        (
            "malformed.duplicate-key",
            400,
            body(&call_body("1", "echo").replace("\"id\":1", "\"id\":1,\"id\":2")),
        ),
        (
            "malformed.lookalike-key",
            400,
            body(&call_body("1", "echo").replace("\"id\":1", "\"id\":1,\"ID\":2")),
        ),
        ("malformed.batch", 400, body(&format!("[{}]", call_body("1", "echo")))),
        ("malformed.batch", 400, body("[]")),
        ("malformed.trailing-bytes", 400, body(&format!("{0}{0}", call_body("1", "echo")))),
        ("malformed.too-deep", 400, body(&deep)),
        ("malformed.not-utf8", 400, Ask { body: utf16.into(), ..older("") }),
        ("malformed.too-large", 413, body(&" ".repeat(5_000))),
        ("malformed.media-type", 415, call().header("content-type", "text/plain")),
        (
            "malformed.media-type",
            415,
            call().header("content-type", "application/json; charset=utf-16"),
        ),
        ("malformed.content-encoding", 415, call().header("content-encoding", "gzip")),
    ]
}

/// Headers twice or of other requests, hosts, paths, methods, other people's sessions.
fn heads(session: &str) -> Vec<Trick> {
    let call = || modern_call("1", "echo");
    let at = |method: Method, path: &str| Ask { method, path: path.to_owned(), ..call() };
    let mut tricks = vec![
        ("malformed.media-type", 415, call().another("content-type", "text/plain")),
        ("malformed.media-type", 415, call().another("content-type", "application/json")),
        (
            "malformed.content-encoding",
            415,
            call().header("content-encoding", "identity").another("content-encoding", "br"),
        ),
        (
            "malformed.out-of-place",
            400,
            legacy_call(session, "1", "echo").another("mcp-session-id", session),
        ),
        (
            "malformed.out-of-place",
            400,
            legacy_call(session, "1", "echo").another("mcp-session-id", "other"),
        ),
        ("session.unknown", 404, legacy_call("made-up", "1", "echo")),
        ("http.origin", 403, call().header("origin", "http://evil.example")),
        ("http.origin", 403, call().header("origin", "null")),
        ("http.host", 403, call().header("host", "evil.example")),
        ("http.host", 403, call().header("host", "evil.example").another("host", "evil.example")),
    ];
    for name in [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    ] {
        tricks.push(("http.override", 400, call().header(name, "DELETE")));
    }
    for path in ["/", "//mcp", "/mcp/", "/MCP", "/%6dcp", "/./mcp", "/s/a/../srv/mcp", "/mcp%00"] {
        tricks.push(("http.path", 404, at(Method::POST, path)));
    }
    for method in [Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::PATCH] {
        tricks.push(("http.method", 405, at(method, "/mcp")));
    }
    tricks.push(("http.method", 405, at(Method::POST, "/sse")));
    tricks.push(("http.method", 405, at(Method::GET, "/message?sessionId=1")));
    tricks
}

#[tokio::test]
async fn each_trick_is_one_refusal_in_both_versions_of_http() {
    let upstream = Upstream::start(|_| async { Some(opened_of("session-1", "2025-11-25")) }).await;
    let rig = Plan::http(&upstream).limits(|limits| limits.request_bytes_max = 4_000).start().await;
    assert_eq!(rig.send(initialize()).await.status, 200);
    let (host, token) = (rig.address.to_string(), rig.token("alice"));
    let http2 = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    let mismatches = mismatches().into_iter().map(|ask| (MISMATCH, 400, ask));
    let mut tricks: Vec<Trick> = mismatches.chain(bodies()).chain(heads("session-1")).collect();
    // Who they are said to be is a trick too.
    let mut sent: Vec<Trick> =
        tricks.drain(..).map(|(why, status, ask)| (why, status, ask.token(&token))).collect();
    let call = || modern_call("1", "echo");
    sent.push(("identity.missing", 401, call()));
    sent.push((
        "identity.malformed-header",
        401,
        call().token(&token).another("authorization", "Bearer x"),
    ));
    sent.push((
        "session.of-another",
        404,
        legacy_call("session-1", "1", "echo").token(&rig.token("mallory")),
    ));
    let mut count = 0;
    for (reason, status, ask) in sent {
        for is_http2 in [false, true] {
            let what = format!("{reason}, HTTP/2: {is_http2}, {ask:?}");
            let reply = if is_http2 {
                http2.send(ask.clone(), &host).await.unwrap()
            } else {
                ask.clone().send(rig.address).await
            };
            assert_eq!(reply.status, status, "{what}");
            let trail = Trail::read(&rig.log_directory());
            let reasons: Vec<&str> = trail.refusals().into_iter().map(trail::reason).collect();
            count += 1;
            assert_eq!((reasons.len(), reasons.last()), (count, Some(&reason)), "{what}");
        }
    }
    assert_eq!(upstream.seen().len(), 1, "nothing of it reached the server");
    rig.stop().await;
}

#[tokio::test]
async fn what_anybody_can_send_is_counted_beyond_a_bound() {
    let (_upstream, rig) = rig().await;
    let http2 = Http2::over(TcpStream::connect(rig.address).await.unwrap()).await;
    let host = rig.address.to_string();
    for at in 0..100 {
        let method = if at % 2 == 0 { Method::GET } else { Method::PUT };
        let path = if at % 2 == 0 { "/wp-login.php" } else { "/mcp" };
        let ask = Ask { path: path.to_owned(), ..Ask::new(method) };
        assert!(matches!(http2.send(ask, &host).await.unwrap().status, 404 | 405));
    }
    let trail = rig.stop().await;
    let refusals = trail.refusals();
    assert_eq!(refusals.len(), 61);
    let (more, single) = refusals.split_last().unwrap();
    assert!(single.iter().all(|event| trail::reason(event).starts_with("http.")));
    assert_eq!(
        (trail::reason(more), more.details["refused"].as_str()),
        ("http.more-refused", "40")
    );
}

/// What is no HTTP, or can be read in two ways, is no request: there is nothing to be recorded.
#[tokio::test]
async fn what_cannot_be_read_as_one_request_goes_nowhere() {
    let (upstream, rig) = rig().await;
    let (address, token, body) = (rig.address, rig.token("alice"), call_body("1", "echo"));
    let length = format!("content-length: {}\r\n", body.len());
    let table = [
        ("two lengths", format!("content-length: 5\r\n{length}\r\n{body}")),
        ("two lengths in one", format!("content-length: 5, {}\r\n\r\n{body}", body.len())),
        ("a length that is none", format!("content-length: +{}\r\n\r\n{body}", body.len())),
        ("another coding", format!("transfer-encoding: gzip\r\n\r\n{body}")),
        ("chunked before another", format!("transfer-encoding: chunked, gzip\r\n\r\n{body}")),
        ("a folded line", format!("x-note: a\r\n b\r\n{length}\r\n{body}")),
        ("a space before the colon", format!("x-note : a\r\n{length}\r\n{body}")),
        ("a carriage return", format!("x-note: a\rx-evil: b\r\n{length}\r\n{body}")),
        ("a NUL", format!("x-note: a\0\r\n{length}\r\n{body}")),
        ("no name", format!(": a\r\n{length}\r\n{body}")),
    ];
    for (what, rest) in table {
        let request = format!(
            "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nconnection: close\r\n{rest}"
        );
        let answer = raw(address, &request).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
    }
    assert!(upstream.seen().is_empty());
    assert!(rig.stop().await.refusals().is_empty());
}

/// Sends the first bytes at once and the rest one by one, until the other side has had enough; what it says.
async fn dripped(address: SocketAddr, text: String, at_once: usize) -> String {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let dripping = tokio::spawn(async move {
        let (first, rest) = text.as_bytes().split_at(at_once);
        writer.write_all(first).await.unwrap();
        let mut drops = drops();
        for byte in rest {
            drops.tick().await;
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    // It may be reset under what is still being written.
    within("the connection closes", reader.read_to_end(&mut answer)).await.ok();
    dripping.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Each byte comes in time, and all of them never do.
#[tokio::test]
async fn who_sends_slowly_is_cut_off() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let plan = Plan::http(&upstream).limits(|limits| {
        limits.head_timeout = SOON;
        limits.body_timeout = SOON;
    });
    let rig = plan.start().await;
    let (address, token, body) = (rig.address, rig.token("alice"), call_body("1", "echo"));
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len() + 1_000
    );
    let whole = format!("{head}{body}{}", " ".repeat(1_000));
    let answer = dripped(address, whole.clone(), head.len()).await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("malformed.incomplete"),
        "{answer}"
    );
    for at_once in [1, 30, head.len() - 3] {
        let padded =
            whole.replacen("\r\n\r\n", &format!("\r\nx-a: {}\r\n\r\n", "a".repeat(1_000)), 1);
        let answer = dripped(address, padded, at_once).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    assert!(upstream.seen().is_empty());
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "malformed.incomplete");
}
