//! Streamed answers: event by event, byte by byte, and judged before they are passed on.

use crate::client::{Ask, End, Reply};
use crate::messages::{code, event, legacy_call, modern, modern_call, result};
use crate::rig::{Plan, Rig};
use crate::upstream::{Held, Stream, Upstream, Waiting};
use event::{ActorKind, Direction, Status};
use http::Method;

const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;

/// Sends as alice; the server sees it and begins to stream.
async fn streamed(rig: &Rig, waiting: &mut Waiting, ask: Ask) -> (Stream, Reply) {
    let (stream, reply, _) = streamed_and_seen(rig, waiting, ask).await;
    (stream, reply)
}

async fn streamed_and_seen(
    rig: &Rig,
    waiting: &mut Waiting,
    ask: Ask,
) -> (Stream, Reply, crate::upstream::Seen) {
    let sent = tokio::spawn(ask.token(&rig.token("alice")).send(rig.address));
    let held: Held = waiting.next().await;
    let seen = held.seen.clone();
    let stream = held.stream();
    let reply = sent.await.unwrap();
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    (stream, reply, seen)
}

#[tokio::test]
async fn each_event_goes_on_at_once() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let (stream, mut reply) = streamed(&rig, &mut waiting, modern_call("1", "echo")).await;
    // The next event is sent only when the client has the one before.
    for text in [event(PROGRESS), ": keep-alive\n\n".to_owned(), event(PROGRESS)] {
        stream.send(&text).await;
        let got = reply.event().await;
        // A comment may come as one piece with its blank line or as two.
        assert_eq!(got, text);
    }
    assert!(
        rig.until(|trail| trail.calls("tools/call").len() == 1).await.calls("tools/call")[0]
            .end
            .is_none()
    );
    stream.message(&result("1")).await;
    assert_eq!(reply.event().await, event(&result("1")));
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop().await;
    let call = trail.call("tools/call");
    assert_eq!(call.status(), Status::Ok);
    assert_eq!(call.end.unwrap().payload.unwrap().response_messages, Some(3));
}

#[tokio::test]
async fn streams_pass_unchanged_whatever_their_form() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let (stream, mut reply) = streamed(&rig, &mut waiting, modern_call("1", "echo")).await;
    let chunks = [
        ": hello\r\n\r\nretry: 250\r\nid: \r\ndata:\r\n\r\n",
        "event:message\ndata:{ \"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifi",
        "cations/message\", \"x\":1.0 }\nunknown: field\n",
        "\n\n\n:",
        "ping\n\nda",
        "ta: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"n\":10000000000000000000000}}\r\r",
        ": left over, without its end",
    ];
    for chunk in chunks {
        stream.send(chunk).await;
    }
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    // What comes after the last blank line is no event.
    assert_eq!(reply.text(), chunks[..6].concat());
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}

#[tokio::test]
async fn what_is_no_answer_to_this_call_is_withheld() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let (stream, mut reply) = streamed(&rig, &mut waiting, modern_call("1", "echo")).await;
    stream.message(&result("2")).await;
    stream.message(&result("\"1\"")).await;
    stream.message("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":").await;
    stream.message("nonsense").await;
    stream.message(&format!("[{}]", result("1"))).await;
    stream.message(r#"{"jsonrpc":"2.0","id":9,"method":"roots/list"}"#).await;
    stream.message(PROGRESS).await;
    assert_eq!(reply.event().await, event(PROGRESS));
    stream.message(&result("1")).await;
    stream.message(&result("1")).await;
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    assert_eq!(reply.text(), event(&result("1")));
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    let reasons: Vec<_> = trail.refusals().into_iter().map(crate::trail::reason).collect();
    let expected = [
        "server.unsolicited-answer",
        "server.unsolicited-answer",
        "server.malformed",
        "server.malformed",
        "server.batch",
        "server.outside-session",
        "server.unsolicited-answer",
    ];
    assert_eq!(reasons, expected);
    let call = trail.call("tools/call").asked.call;
    for event in trail.refusals() {
        assert_eq!(event.direction, Some(Direction::ToClient));
        assert_eq!(event.actor.as_ref().unwrap().kind, ActorKind::Server);
        assert_eq!((event.follows, event.root), (call, call));
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_an_answer_is_an_anomaly() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let (stream, mut reply) = streamed(&rig, &mut waiting, modern_call("1", "echo")).await;
    stream.message(PROGRESS).await;
    drop(stream);
    reply.rest().await;
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::MalformedReply);
}

#[tokio::test]
async fn an_event_over_the_limit_breaks_the_stream() {
    let (upstream, mut waiting) = Upstream::held().await;
    let plan = Plan::http(&upstream).limits(|limits| limits.reply_bytes_max = 1_000);
    let rig = plan.start().await;
    let (stream, mut reply) = streamed(&rig, &mut waiting, modern_call("1", "echo")).await;
    stream.message(PROGRESS).await;
    stream.message(&format!("{}{}", " ".repeat(1_000), result("1"))).await;
    assert_eq!(reply.rest().await, End::Broken);
    assert_eq!(reply.text(), event(PROGRESS));
    stream.abandoned().await;
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::ReplyTooLarge);
}

#[tokio::test]
async fn a_stream_for_news_stays_open_until_the_client_leaves() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let news = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let get = Ask::new(Method::GET).session(&session).header("accept", "text/event-stream");
    let listen = modern(
        "\"l\"",
        "subscriptions/listen",
        None,
        r#""notifications":{"toolsListChanged":true}"#,
    );
    for (method, ask) in [("http/get", get), ("subscriptions/listen", listen)] {
        let (stream, mut reply) = streamed(&rig, &mut waiting, ask).await;
        stream.message(news).await;
        assert_eq!(reply.event().await, event(news));
        drop(reply);
        stream.abandoned().await;
        rig.until(|trail| trail.is_settled()).await;
        assert_eq!(rig.until(|_| true).await.call(method).status(), Status::Ok);
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_answer_may_come_on_a_later_stream() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let ask = legacy_call(&session, "7", "echo");
    let (stream, mut reply) = streamed(&rig, &mut waiting, ask).await;
    stream.send("id: e-1\nretry: 10\ndata:\n\n").await;
    assert_eq!(reply.event().await, "id: e-1\nretry: 10\ndata:\n\n");
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    let resume = Ask::new(Method::GET).session(&session).header("last-event-id", "e-1");
    let (stream, mut reply, seen) = streamed_and_seen(&rig, &mut waiting, resume).await;
    assert_eq!(seen.headers["last-event-id"], "e-1");
    assert!(rig.until(|_| true).await.call("tools/call").end.is_none());
    let answer = format!("id: e-2\n{}", event(&result("7")));
    stream.send(&answer).await;
    assert_eq!(reply.event().await, answer);
    assert_eq!(rig.until(|_| true).await.call("tools/call").status(), Status::Ok);
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    assert_eq!(trail.call("http/get").status(), Status::Ok);
}

#[tokio::test]
async fn an_answer_that_never_came_is_unknown_when_the_session_ends() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let (stream, mut reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "7", "echo")).await;
    stream.send("id: e-1\ndata:\n\n").await;
    reply.event().await;
    // This time the client leaves.
    drop(reply);
    stream.abandoned().await;
    let close = Ask::new(Method::DELETE).session(&session).token(&rig.token("alice"));
    let closed = tokio::spawn(close.send(rig.address));
    waiting.next().await.answer(crate::upstream::empty(200));
    assert_eq!(closed.await.unwrap().status, 200);
    rig.until(|trail| trail.is_settled()).await;
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Unknown);
}

#[tokio::test]
async fn a_session_may_open_on_a_stream() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let sent =
        tokio::spawn(crate::messages::initialize().token(&rig.token("alice")).send(rig.address));
    let (stream, answer) = crate::upstream::events();
    waiting.next().await.answer(crate::upstream::with(answer, "mcp-session-id", "s-9"));
    let reply = sent.await.unwrap();
    assert_eq!(reply.session(), "s-9");
    stream.message(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#).await;
    drop(stream);
    reply.bytes().await;
    let mallory = rig.send_as("mallory", legacy_call("s-9", "1", "echo")).await;
    assert_eq!(mallory.status, 404);
    assert_eq!(code(&mallory.message().await), 40_400);
    let call = legacy_call("s-9", "1", "echo").token(&rig.token("alice"));
    let sent = tokio::spawn(call.send(rig.address));
    waiting.next().await.answer(crate::upstream::json(result("1")));
    assert_eq!(sent.await.unwrap().status, 200);
    let trail = rig.stop().await;
    assert!(trail.call("initialize").end.unwrap().session.is_some());
    assert_eq!(trail.call("initialize").status(), Status::Ok);
}

/// A stream lasts no longer than what its client showed of itself; the client comes again.
#[tokio::test]
async fn a_stream_that_stays_open_ends_with_what_it_rests_on() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let now = rig.recorder.clock().now();
    // It has expired, and is taken for as long as clocks may differ.
    let issued = event::Time::from_unix_us(now.unix_us() - 600_000_000);
    let brief = rig.issuer.token("alice", crate::rig::AUDIENCE, issued, 600).unwrap();
    let listen = || {
        let wanted = r#""notifications":{"toolsListChanged":true}"#;
        modern("1", "subscriptions/listen", None, wanted)
    };
    let get = || Ask::new(Method::GET).session(&session);
    let last = r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"resultType":"complete"}}"#;
    for (ask, last) in [(get(), String::new()), (listen(), event(last))] {
        let sent = tokio::spawn(ask.token(&brief).send(rig.address));
        let stream = waiting.next().await.stream();
        let mut reply = sent.await.unwrap();
        assert_eq!((reply.status, reply.rest().await), (200, End::Orderly));
        assert_eq!(reply.text(), last);
        stream.abandoned().await;
    }
    // With one that counts still; and when nothing that was shown before does.
    let mut open = Vec::new();
    for ask in [get(), listen()] {
        open.push(streamed(&rig, &mut waiting, ask).await);
    }
    for (stream, reply) in &mut open {
        stream.send(": here\n\n").await;
        assert_eq!(reply.event().await, ": here\n\n");
    }
    let mut next = rig.changeable.clone();
    next.identity = rig.another_verifier();
    rig.gateway.reload(&next).unwrap();
    for (stream, mut reply) in open {
        assert_eq!(reply.rest().await, End::Orderly);
        stream.abandoned().await;
    }
    let trail = rig.stop().await;
    for method in ["http/get", "subscriptions/listen"] {
        let statuses: Vec<_> = trail.calls(method).iter().map(|call| call.status()).collect();
        assert_eq!(statuses, [Status::Ok; 2]);
    }
}
