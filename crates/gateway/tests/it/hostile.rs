//! Servers whose bytes are not what HTTP allows, or more than a client should see: written by hand.

use crate::client::{Ask, End};
use crate::messages::{event, initialize, modern_call, result};
use crate::rig::{Plan, Rig};
use crate::upstream::{Upstream, with};
use event::Status;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Answers the requests of each connection with these bytes, one after the other, and then closes it.
async fn by_hand(answers: Vec<Vec<u8>>) -> (Rig, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let rig = Plan::at(listener.local_addr().unwrap()).start().await;
    let answers = Arc::new(answers);
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                for answer in answers.iter() {
                    read_request(&mut stream).await;
                    // The gateway may have had enough.
                    stream.write_all(answer).await.ok();
                }
            });
        }
    });
    (rig, AbortOnDropHandle::new(serving))
}

/// A message ends its request, and has no braces in strings.
async fn read_request(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let count = stream.read(&mut piece).await.unwrap_or(0);
        bytes.extend_from_slice(&piece[..count]);
        let count_of = |brace| bytes.iter().filter(|b| **b == brace).count();
        if count == 0 || (0 < count_of(b'{') && count_of(b'{') == count_of(b'}')) {
            return;
        }
    }
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}\r\n{body}").into_bytes()
}

fn sized(head: &str) -> Vec<u8> {
    let body = result("1");
    answer(&format!("content-length: {}\r\n{head}", body.len()), &body)
}

fn after(first: &str) -> Vec<u8> {
    [first.as_bytes(), &sized("")].concat()
}

fn chunked(more: &str) -> Vec<u8> {
    let body = result("1");
    let body = format!("{:x}\r\n{body}\r\n0\r\n{more}\r\n", body.len());
    answer("transfer-encoding: chunked\r\n", &body)
}

#[tokio::test]
async fn answers_that_are_no_http_break_the_call() {
    let length = result("1").len();
    let mut not_the_protocol = sized("");
    not_the_protocol[..8].copy_from_slice(b"HTTP/9.9");
    let many: String = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect();
    let table: Vec<(&str, Vec<u8>)> = vec![
        (
            "two lengths",
            answer(&format!("content-length: {length}\r\ncontent-length: 1\r\n"), &result("1")),
        ),
        ("two lengths in one", answer(&format!("content-length: {length}, 1\r\n"), &result("1"))),
        ("no number", answer("content-length: +3\r\n", &result("1"))),
        ("no chunk", answer("transfer-encoding: chunked\r\n", &result("1"))),
        ("a chunk too short", answer("transfer-encoding: chunked\r\n", "ffff\r\n{}\r\n0\r\n\r\n")),
        ("too short", answer("content-length: 9999\r\n", &result("1"))),
        ("a NUL", sized("x-a: a\0b\r\n")),
        ("a space before the colon", sized("x-a : b\r\n")),
        ("no colon", sized("nonsense\r\n")),
        ("a folded line", sized("x-a: b\r\n c\r\n")),
        ("a carriage return in a header", sized("x-a: b\rx-evil: 1\r\n")),
        ("a carriage return in the status", {
            let mut bytes = sized("");
            bytes.splice(15..15, *b"\rx-evil: 1");
            bytes
        }),
        ("too many headers", sized(&many)),
        ("a header too long", sized(&format!("x-a: {}\r\n", "a".repeat(1 << 20)))),
        ("another protocol", not_the_protocol),
        ("HTTP/0.9", result("1").into_bytes()),
        ("nothing", Vec::new()),
        (
            "a switch that nobody asked for",
            after(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            ),
        ),
    ];
    for (what, bytes) in table {
        let (rig, _serving) = by_hand(vec![bytes]).await;
        let reply = rig.send(modern_call("1", "echo")).await;
        assert_eq!(reply.status, 502, "{what}");
        assert!(reply.message().await["error"].is_object(), "{what}");
        let trail = rig.stop().await;
        assert_eq!(trail.call("tools/call").status(), Status::TransportFailure, "{what}");
    }
}

#[tokio::test]
async fn answers_that_are_odd_http_come_out_plain() {
    let both = answer("content-length: 3\r\ntransfer-encoding: chunked\r\n", "");
    let both =
        [both, format!("{:x}\r\n{}\r\n0\r\n\r\n", result("1").len(), result("1")).into_bytes()]
            .concat();
    for (what, bytes) in [
        ("hints first", after("HTTP/1.1 103 Early Hints\r\nlink: </evil>\r\n\r\n")),
        ("go on first", after("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")),
        ("trailers", chunked("x-evil: 1\r\n")),
        ("chunks and a length", both),
        ("the same length twice", {
            let length = result("1").len();
            answer(
                &format!("content-length: {length}\r\ncontent-length: {length}\r\n"),
                &result("1"),
            )
        }),
        ("to the end", answer("", &result("1"))),
        ("a coding that says no length", answer("transfer-encoding: gzip\r\n", &result("1"))),
    ] {
        let (rig, _serving) = by_hand(vec![bytes]).await;
        let reply = rig.send(modern_call("1", "echo")).await;
        assert_eq!(reply.status, 200, "{what}");
        assert_eq!(reply.headers["content-length"], result("1").len().to_string().as_str());
        assert!(!reply.headers.contains_key("transfer-encoding"), "{what}");
        for evil in ["link", "x-evil"] {
            assert!(!reply.headers.contains_key(evil), "{what}");
        }
        assert_eq!(reply.bytes().await, result("1"), "{what}");
        let trail = rig.stop().await;
        assert_eq!(trail.call("tools/call").status(), Status::Ok, "{what}");
    }
}

/// What a server sends before it is asked must not be taken for the answer to the next caller.
#[tokio::test]
async fn an_answer_too_many_is_nobodys() {
    let split = [sized(""), sized("x-evil: 1\r\n")].concat();
    let (rig, _serving) = by_hand(vec![split, sized("")]).await;
    for _ in 0..3 {
        let reply = rig.send(modern_call("1", "echo")).await;
        assert_eq!(reply.status, 200);
        assert!(!reply.headers.contains_key("x-evil"));
        assert_eq!(reply.bytes().await, result("1"));
    }
    rig.stop().await;
}

#[tokio::test]
async fn what_concerns_the_connection_or_the_host_ends_here() {
    let head = "connection: x-hop, close\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: close\r\n\
                proxy-authenticate: Basic\r\nupgrade: h2c\r\ntrailer: x-a\r\nalt-svc: h2=\":1\"\r\n\
                set-cookie: a=b\r\nstrict-transport-security: max-age=1\r\nclear-site-data: \"*\"\r\n\
                x-kept: 1\r\nx-kept: 2\r\nwww-authenticate: Bearer\r\n";
    let (rig, _serving) = by_hand(vec![sized(head)]).await;
    let reply = rig.send(modern_call("1", "echo")).await;
    let mut names: Vec<&str> = reply.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "content-type", "date", "x-kept"]);
    assert_eq!(reply.headers.get_all("x-kept").iter().count(), 2);
    rig.stop().await;
}

#[tokio::test]
async fn a_redirect_does_not_lead_past_the_gateway() {
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let bytes = format!(
            "HTTP/1.1 {status}\r\nlocation: http://evil.example/mcp\r\ncontent-length: 0\r\n\r\n"
        );
        let (rig, _serving) = by_hand(vec![bytes.into_bytes()]).await;
        let reply = rig.send(modern_call("1", "echo")).await;
        assert_eq!(reply.status, 502, "{status}");
        assert!(!reply.headers.contains_key("location"));
        let message = reply.message().await.to_string();
        assert!(message.contains("redirect") && !message.contains("evil.example"), "{message}");
        let trail = rig.stop().await;
        assert_eq!(trail.call("tools/call").status(), Status::MalformedReply);
    }
}

#[tokio::test]
async fn session_ids_are_visible_ascii() {
    let long = "a".repeat(1_025);
    for id in ["", "a b", "a\tb", "a\u{e9}", &long] {
        let opened = initialized(&format!("mcp-session-id: {id}\r\n"));
        let (rig, _serving) = by_hand(vec![opened]).await;
        let reply = rig.send(initialize()).await;
        assert_eq!(reply.status, 502, "{id:?}");
        assert!(!reply.headers.contains_key("mcp-session-id"));
        let trail = rig.stop().await;
        assert_eq!(trail.call("initialize").status(), Status::MalformedReply, "{id:?}");
    }
    let two = initialized("mcp-session-id: a\r\nmcp-session-id: b\r\n");
    let (rig, _serving) = by_hand(vec![two]).await;
    assert_eq!(rig.send(initialize()).await.status, 502);
    rig.stop().await;
}

fn initialized(head: &str) -> Vec<u8> {
    let body = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#;
    answer(&format!("content-length: {}\r\n{head}", body.len()), body)
}

/// A byte order mark counts only at the start of a stream: what comes first must not be taken away from
/// before one that the gateway has read as nothing.
#[tokio::test]
async fn withholding_the_beginning_does_not_move_it() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let ask: Ask = modern_call("1", "echo").token(&rig.token("alice"));
    let sent = tokio::spawn(ask.send(rig.address));
    let stream = waiting.next().await.stream();
    let mut reply = sent.await.unwrap();
    let evil = r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}"#;
    stream.message("nonsense").await;
    stream.send(&format!("\u{feff}{}", event(evil).trim_start_matches("event: message\n"))).await;
    stream.message(&result("1")).await;
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    assert!(!reply.text().starts_with('\u{feff}'), "{:?}", reply.text());
    assert_eq!(messages(reply.text()), [result("1")]);
    rig.stop().await;
}

/// What a client takes for messages: the values of `data`, as the standard has it.
fn messages(stream: &str) -> Vec<String> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    stream
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .split("\n\n")
        .map(|event| {
            let data: Vec<&str> =
                event.split('\n').filter_map(|line| line.strip_prefix("data:")).collect();
            data.join("\n").trim_start().to_owned()
        })
        .filter(|data| !data.is_empty())
        .collect()
}

#[tokio::test]
async fn events_are_read_as_clients_read_them() {
    let question = r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}"#;
    let (before, behind) = question.split_at(17);
    // Each is a request of the server in some spelling; sampling is forbidden, so none may arrive.
    let spellings = [
        format!("data: {question}\r\r"),
        format!("data: {question}\r\n\r"),
        format!("data: {question}\n\r\n"),
        format!("data:{question}\n\n"),
        format!("\u{feff}data:{question}\n\n"),
        format!(": comment\rdata: {before}\n:\ndata: {behind}\r\r"),
        format!("id: a\0b\ndata: {question}\nretry: x\n\n"),
        format!("data\ndata: {question}\ndata\n\n"),
        format!("event: message\nevent: other\ndata: {question}\n\n"),
        format!("Data: x\ndata : y\n data: z\ndata: {question}\n\n"),
        // Fields into which another one is slipped.
        format!("id: a\rdata: {question}\n\n"),
        format!("event: message\rdata: {question}\r\r"),
        format!("retry: 1\ndata: {question}\nid: \u{85}\n\n"),
    ];
    for spelling in spellings {
        let (upstream, mut waiting) = Upstream::held().await;
        let rig = Plan::http(&upstream).start().await;
        let sent =
            tokio::spawn(modern_call("1", "echo").token(&rig.token("alice")).send(rig.address));
        let stream = waiting.next().await.stream();
        let mut reply = sent.await.unwrap();
        stream.send(&spelling).await;
        stream.send(&format!("data: {}\r\r", result("1"))).await;
        drop(stream);
        assert_eq!(reply.rest().await, End::Orderly);
        assert_eq!(messages(reply.text()), [result("1")], "{spelling:?}");
        let trail = rig.stop().await;
        let reasons: Vec<&str> = trail.refusals().into_iter().map(crate::trail::reason).collect();
        assert_eq!(reasons, ["server.outside-session"], "{spelling:?}");
    }
}

/// A client must not see anything between the status and the headers that a server made up.
#[tokio::test]
async fn what_a_server_says_beside_its_status_goes_nowhere() {
    let mut bytes = sized("");
    bytes.splice(13..15, *b"Evil x-evil: 1");
    let (rig, _serving) = by_hand(vec![bytes]).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let ask = modern_call("1", "echo").token(&rig.token("alice"));
    let mut text = format!("POST /mcp HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", rig.address);
    for (name, value) in &ask.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", ask.body.len()));
    stream.write_all(&[text.as_bytes(), &ask.body].concat()).await.unwrap();
    let mut answer = String::new();
    crate::within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    rig.stop().await;
}

#[tokio::test]
async fn an_answer_in_another_encoding_is_not_passed_on() {
    for (name, value) in
        [("content-encoding", "gzip"), ("content-type", "application/json; charset=utf-16")]
    {
        let upstream = Upstream::start(move |_| async move {
            Some(with(crate::upstream::json(utf16(&result("1"))), name, value))
        })
        .await;
        let rig = Plan::http(&upstream).start().await;
        let reply = rig.send(modern_call("1", "echo")).await;
        assert_eq!(reply.status, 502, "{value}");
        let trail = rig.stop().await;
        assert_eq!(trail.call("tools/call").status(), Status::MalformedReply, "{value}");
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
