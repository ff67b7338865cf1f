//! Ends that nobody wanted: clients that leave, servers that die, hang or are not there.

use crate::client::{Ask, End};
use crate::messages::{code, event, legacy_call, modern_call, reason, result};
use crate::rig::{Plan, Rig, SOON};
use crate::upstream::{Upstream, events, json, with};
use event::Status;
use serde_json::Value;
use tokio::net::TcpListener;

/// Sends as alice, in a task of its own.
fn spawned(rig: &Rig, ask: Ask) -> tokio::task::JoinHandle<crate::client::Reply> {
    tokio::spawn(ask.token(&rig.token("alice")).send(rig.address))
}

fn failed(message: &Value, expected_code: i64, expected_reason: &str) {
    assert_eq!((code(message), reason(message)), (expected_code, expected_reason), "{message}");
    assert_eq!(message["id"], 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_call() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    for ask in [modern_call("1", "echo"), legacy_call(&session, "1", "echo")] {
        let sent = spawned(&rig, ask);
        let held = waiting.next().await;
        sent.abort();
        held.abandoned().await;
        rig.until(|trail| trail.is_settled()).await;
    }
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Cancelled, Status::ClientGone]);
}

/// The client is back before the gateway has seen it go.
#[tokio::test]
async fn an_id_can_be_used_again_when_its_client_has_vanished() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    for _ in 0..5 {
        let sent = spawned(&rig, legacy_call(&session, "1", "echo"));
        let _held = waiting.next().await;
        sent.abort();
        let again = spawned(&rig, legacy_call(&session, "1", "echo"));
        waiting.next().await.answer(json(result("1")));
        assert_eq!(again.await.unwrap().bytes().await, result("1"));
    }
    let trail = rig.stop().await;
    assert!(trail.refusals().is_empty());
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::ClientGone, Status::Ok].repeat(5));
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_the_call() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    for ask in [modern_call("1", "echo"), legacy_call(&session, "1", "echo")] {
        let sent = spawned(&rig, ask);
        let stream = waiting.next().await.stream();
        stream.send(": here\n\n").await;
        let mut reply = sent.await.unwrap();
        reply.event().await;
        drop(reply);
        stream.abandoned().await;
        rig.until(|trail| trail.is_settled()).await;
    }
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Cancelled, Status::ClientGone]);
}

#[tokio::test]
async fn a_server_that_dies_before_its_answer_is_a_transport_failure() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let sent = spawned(&rig, modern_call("1", "echo"));
    drop(waiting.next().await);
    let reply = sent.await.unwrap();
    assert_eq!(reply.status, 502);
    failed(&reply.message().await, 50_201, "upstream.broke");
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::TransportFailure);
    assert_eq!(upstream.seen().len(), 1, "a call is never sent twice");
}

#[tokio::test]
async fn a_server_that_dies_in_its_answer_is_a_transport_failure() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let sent = spawned(&rig, modern_call("1", "echo"));
    let (stream, answer) = events();
    waiting.next().await.answer(with(answer, "content-type", "application/json"));
    stream.send(&result("1")).await;
    stream.break_off().await;
    let reply = sent.await.unwrap();
    assert_eq!(reply.status, 502);
    failed(&reply.message().await, 50_201, "upstream.broke");
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::TransportFailure);
}

#[tokio::test]
async fn a_stream_that_breaks_off_never_looks_complete() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let sent = spawned(&rig, modern_call("1", "echo"));
    let stream = waiting.next().await.stream();
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    stream.message(progress).await;
    let mut reply = sent.await.unwrap();
    assert_eq!(reply.event().await, event(progress));
    stream.break_off().await;
    assert_eq!(reply.rest().await, End::Broken);
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::TransportFailure);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let rig = Plan::at(nobody.local_addr().unwrap());
    drop(nobody);
    let rig = rig.start().await;
    let reply = rig.send(modern_call("1", "echo")).await;
    assert_eq!(reply.status, 502);
    failed(&reply.message().await, 50_200, "upstream.unreachable");
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Unreachable);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).limits(|limits| limits.reply_timeout = SOON).start().await;
    let sent = spawned(&rig, modern_call("1", "echo"));
    waiting.next().await.abandoned().await;
    let reply = sent.await.unwrap();
    assert_eq!(reply.status, 504);
    failed(&reply.message().await, 50_400, "upstream.timed-out");
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::TimedOut);
}

#[tokio::test]
async fn a_server_that_hangs_in_its_answer_is_given_up() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).limits(|limits| limits.reply_timeout = SOON).start().await;
    let sent = spawned(&rig, modern_call("1", "echo"));
    let (stream, answer) = events();
    waiting.next().await.answer(with(answer, "content-type", "application/json"));
    stream.send("{").await;
    stream.abandoned().await;
    let reply = sent.await.unwrap();
    assert_eq!(reply.status, 504);
    failed(&reply.message().await, 50_400, "upstream.timed-out");
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::TimedOut);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_given_up() {
    let upstream =
        Upstream::start(|_| async { Some(json(format!("{}{}", " ".repeat(1_000), result("1")))) })
            .await;
    let plan = Plan::http(&upstream).limits(|limits| limits.reply_bytes_max = 1_000);
    let rig = plan.start().await;
    let reply = rig.send(modern_call("1", "echo")).await;
    assert_eq!(reply.status, 502);
    failed(&reply.message().await, 50_202, "upstream.reply-too-large");
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::ReplyTooLarge);
}

#[tokio::test]
async fn a_client_that_never_sends_its_body_is_given_up() {
    let (upstream, _waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).limits(|limits| limits.body_timeout = SOON).start().await;
    let token = rig.token("alice");
    let ask = modern_call("1", "echo").token(&token).header("content-length", "100000");
    // The promised length is never reached.
    let reply = crate::within("an answer", send_half(rig.address, &ask)).await;
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    assert!(reply.contains("40003"), "{reply}");
    let trail = rig.stop().await;
    assert_eq!(crate::trail::reason(trail.refusal()), "malformed.incomplete");
    assert!(upstream.seen().is_empty());
}

/// Sends head and body as they are, and reads to the end.
async fn send_half(address: std::net::SocketAddr, ask: &Ask) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut text = format!("POST /mcp HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in &ask.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.write_all(&ask.body).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

#[tokio::test]
async fn a_stream_that_stalls_is_timed_out() {
    let (upstream, mut waiting) = Upstream::held().await;
    let plan = Plan::http(&upstream).limits(|limits| limits.stream_idle_timeout = Some(SOON));
    let rig = plan.start().await;
    let sent = spawned(&rig, modern_call("1", "echo"));
    let stream = waiting.next().await.stream();
    let mut reply = sent.await.unwrap();
    assert_eq!(reply.rest().await, End::Broken);
    stream.abandoned().await;
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::TimedOut);
}
