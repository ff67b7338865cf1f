//! Servers of HTTP+SSE (2024-11-05) behind clients of Streamable HTTP.

use crate::client::{Ask, Reply};
use crate::messages::{
    INITIALIZE, code, event, initialize, legacy, legacy_call, modern_call, reason, result,
};
use crate::rig::{Plan, Rig};
use crate::stalls::silent;
use crate::upstream::{Stream, Upstream, Waiting, empty, typed};
use event::Status;
use gateway::Reloaded;
use gateway::config::Server;
use gateway::tls::ServerTls;
use http::Method;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The answer to `initialize` that agrees on the revision of this transport.
pub(crate) const ANSWER: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"old","version":"1"}}}"#;

pub(crate) async fn rig() -> (Upstream, Waiting, Rig) {
    let (upstream, waiting) = Upstream::held().await;
    let url = format!("http://{}/events?k=v", upstream.address).parse().unwrap();
    let rig = Plan::in_front_of(Server::Sse { url, tls: ServerTls::default() }).start().await;
    (upstream, waiting, rig)
}

fn sent(rig: &Rig, ask: Ask) -> JoinHandle<Reply> {
    tokio::spawn(ask.token(&rig.token("alice")).send(rig.address))
}

/// The gateway connects; the server names this address.
async fn connected(waiting: &mut Waiting, endpoint: &str) -> Stream {
    let held = waiting.next().await;
    assert_eq!((&held.seen.method, held.seen.path.as_str()), (&Method::GET, "/events?k=v"));
    assert_eq!(held.seen.headers["accept"], "text/event-stream");
    assert!(!held.seen.headers.contains_key("authorization"));
    let stream = held.stream();
    stream.send(&format!(": hi\n\nevent: endpoint\ndata: {endpoint}\n\n")).await;
    stream
}

/// A message for the server comes, and is taken.
pub(crate) async fn taken(waiting: &mut Waiting) -> String {
    let held = waiting.next().await;
    assert_eq!((&held.seen.method, held.seen.path.as_str()), (&Method::POST, "/in?s=9"));
    assert_eq!(held.seen.headers["content-type"], "application/json");
    assert!(!held.seen.headers.contains_key("authorization"));
    let body = String::from_utf8(held.seen.body.to_vec()).unwrap();
    held.answer(typed(202, "text/plain", "Accepted"));
    body
}

/// Opens a session as alice.
pub(crate) async fn opened(rig: &Rig, waiting: &mut Waiting) -> (Stream, String) {
    let opening = sent(rig, initialize());
    let stream = connected(waiting, "/in?s=9").await;
    assert_eq!(taken(waiting).await, INITIALIZE);
    stream.message(ANSWER).await;
    let reply = opening.await.unwrap();
    let session = reply.session();
    assert_eq!(reply.bytes().await, ANSWER);
    (stream, session)
}

#[tokio::test]
async fn a_session_is_a_connection() {
    let (_upstream, mut waiting, rig) = rig().await;
    let (stream, session) = opened(&rig, &mut waiting).await;
    // Two calls at once; the later one is answered first, and unchanged.
    let asks = ["1", "2"].map(|id| legacy_call(&session, id, "echo"));
    let mut replies = Vec::new();
    for ask in asks {
        let body = ask.body.clone();
        replies.push(sent(&rig, ask));
        assert_eq!(taken(&mut waiting).await, body);
    }
    let answer = r#"{"id" :2, "result":{"n":1.0},"jsonrpc":"2.0"}"#;
    stream.message(answer).await;
    assert_eq!(replies.pop().unwrap().await.unwrap().bytes().await, answer);
    // The server asks in between; the client answers.
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#;
    stream.message(question).await;
    let mut reply = replies.pop().unwrap().await.unwrap();
    assert_eq!(reply.event().await, event(question));
    let heard = r#"{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}"#;
    let answering = sent(&rig, legacy(&session, heard));
    assert_eq!(taken(&mut waiting).await, heard);
    assert_eq!(answering.await.unwrap().status, 202);
    stream.message(&result("1")).await;
    assert_eq!(reply.event().await, event(&result("1")));
    // What belongs to no call comes on the client's own stream.
    let mut listening = rig.send(Ask::new(Method::GET).session(&session)).await;
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    stream.message(notice).await;
    assert_eq!(listening.event().await, event(notice));
    assert_eq!(rig.send(Ask::new(Method::DELETE).session(&session)).await.status, 200);
    stream.abandoned().await;
    let trail = rig.stop().await;
    assert!(trail.calls("tools/call").iter().all(|call| call.status() == Status::Ok));
    assert_eq!(trail.call("roots/list").status(), Status::Ok);
    assert!(trail.refusals().is_empty());
}

#[tokio::test]
async fn a_session_goes_on_while_the_configuration_changes() {
    let (_upstream, mut waiting, rig) = rig().await;
    let (stream, session) = opened(&rig, &mut waiting).await;
    let mut next = rig.changeable.clone();
    next.limits.reply_timeout = Duration::from_secs(100);
    assert_eq!(rig.gateway.reload(&next).unwrap(), Reloaded::default());
    let calling = sent(&rig, legacy_call(&session, "1", "echo"));
    taken(&mut waiting).await;
    stream.message(&result("1")).await;
    assert_eq!(calling.await.unwrap().bytes().await, result("1"));
    rig.stop().await;
}

#[tokio::test]
async fn a_connection_that_breaks_ends_its_session() {
    let (_upstream, mut waiting, rig) = rig().await;
    let (stream, session) = opened(&rig, &mut waiting).await;
    let calling = sent(&rig, legacy_call(&session, "1", "echo"));
    taken(&mut waiting).await;
    stream.break_off().await;
    let reply = calling.await.unwrap();
    assert_eq!((reply.status, code(&reply.message().await)), (502, 50_201));
    assert_eq!(rig.send(legacy_call(&session, "2", "echo")).await.status, 404);
    // A client begins anew, on a connection of its own.
    let (_stream, again) = opened(&rig, &mut waiting).await;
    assert_ne!(again, session);
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::TransportFailure);
}

#[tokio::test]
async fn a_message_that_the_server_does_not_take_is_an_error() {
    let (_upstream, mut waiting, rig) = rig().await;
    let (stream, session) = opened(&rig, &mut waiting).await;
    let calling = sent(&rig, legacy_call(&session, "1", "echo"));
    waiting.next().await.answer(typed(400, "text/plain", "no"));
    assert_eq!(code(&calling.await.unwrap().message().await), 50_201);
    // The id is free again, and the session goes on.
    let calling = sent(&rig, legacy_call(&session, "1", "echo"));
    taken(&mut waiting).await;
    stream.message(&result("1")).await;
    assert_eq!(calling.await.unwrap().bytes().await, result("1"));
    rig.stop().await;
}

#[tokio::test]
async fn messages_are_not_led_elsewhere() {
    let (upstream, mut waiting, rig) = rig().await;
    let other = Upstream::start(|_| async { Some(empty(202)) }).await;
    let elsewhere = format!("http://{}/in", other.address);
    for endpoint in [elsewhere.as_str(), "file:///tmp/in"] {
        let opening = sent(&rig, initialize());
        let stream = connected(&mut waiting, endpoint).await;
        let reply = opening.await.unwrap();
        assert_eq!((reply.status, code(&reply.message().await)), (502, 50_200));
        stream.abandoned().await;
    }
    let opening = sent(&rig, initialize());
    waiting.next().await.answer(empty(404));
    assert_eq!(code(&opening.await.unwrap().message().await), 50_200);
    assert!(other.seen().is_empty());
    assert!(upstream.seen().iter().all(|seen| seen.method == Method::GET));
    let trail = rig.stop().await;
    assert!(trail.calls("initialize").iter().all(|call| call.status() == Status::Unreachable));
}

#[tokio::test]
async fn a_client_of_the_newer_era_is_told_to_begin_a_session() {
    let (upstream, _waiting, rig) = rig().await;
    let reply = rig.send(modern_call("1", "echo")).await;
    assert_eq!(reply.status, 400);
    let message = reply.message().await;
    assert_eq!((code(&message), reason(&message)), (-32_601, "upstream.legacy"));
    assert!(upstream.seen().is_empty());
    let trail = rig.stop().await;
    let call = trail.call("tools/call");
    assert_eq!((call.status(), call.outcome().code), (Status::ProtocolError, Some(-32_601)));
}

/// A call that wants to hear of its progress, under its own id.
fn with_progress(session: &str, id: &str) -> Ask {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","_meta":{{"progressToken":{id}}}}}}}"#
    );
    legacy(session, body)
}

/// Progress of a mebibyte.
pub(crate) fn progress(token: &str, n: usize) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{n},"message":"{}"}}}}"#,
        "x".repeat(1 << 20)
    )
}

#[tokio::test]
async fn a_call_that_is_behind_ends_and_the_others_go_on() {
    let (_upstream, mut waiting, rig) = rig().await;
    let (stream, session) = opened(&rig, &mut waiting).await;
    let slow = silent(&rig, with_progress(&session, "1")).await;
    taken(&mut waiting).await;
    let other = sent(&rig, with_progress(&session, "2"));
    taken(&mut waiting).await;
    // Nobody reads the first answer; the second one comes all the same. The server is never held up.
    for n in 0..64 {
        stream.message(&progress("1", n)).await;
    }
    let ended = |id: &'static str| {
        format!(r#""method":"notifications/cancelled","params":{{"requestId":{id}"#)
    };
    assert!(taken(&mut waiting).await.contains(&ended("1")), "the server is told");
    stream.message(&progress("2", 0)).await;
    stream.message(&result("2")).await;
    let mut other = other.await.unwrap();
    assert_eq!(other.event().await, event(&progress("2", 0)));
    assert_eq!(other.event().await, event(&result("2")));
    // What the server still says of the call that has ended reaches nobody else.
    stream.message(&result("1")).await;
    let again = sent(&rig, legacy_call(&session, "1", "echo"));
    taken(&mut waiting).await;
    stream.message(&result("1")).await;
    assert_eq!(again.await.unwrap().bytes().await, result("1"));
    drop(slow);
    let trail = rig.stop().await;
    let calls = trail.calls("tools/call");
    let statuses: Vec<_> = calls.iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::ReplyTooLarge, Status::Ok, Status::Ok]);
    let behind = BTreeMap::from([("client".to_owned(), "behind".to_owned())]);
    assert_eq!(calls[0].end.unwrap().details, behind);
}

#[tokio::test]
async fn what_waits_for_a_stream_that_nobody_opens_is_bounded() {
    let (_upstream, mut waiting, rig) = rig().await;
    let (stream, session) = opened(&rig, &mut waiting).await;
    let notice = |n: usize| progress("1", n).replace("s/progress", "s/message");
    for n in 0..7 {
        stream.message(&notice(n)).await;
    }
    let trail = rig.until(|trail| trail.refusals().len() == 4).await;
    for refusal in trail.refusals() {
        assert_eq!(crate::trail::reason(refusal), "server.unheard");
    }
    // The latest are there, in order.
    let mut listening = rig.send(Ask::new(Method::GET).session(&session)).await;
    for n in 4..7 {
        assert_eq!(listening.event().await, event(&notice(n)));
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_to_its_answer_gets_everything() {
    let (_upstream, mut waiting, rig) = rig().await;
    let (stream, session) = opened(&rig, &mut waiting).await;
    let calling = sent(&rig, with_progress(&session, "1"));
    taken(&mut waiting).await;
    for n in 0..3 {
        stream.message(&progress("1", n)).await;
    }
    let large = result("1").replace("[]", &format!(r#"["{}"]"#, "x".repeat(12 << 20)));
    let mut reply = calling.await.unwrap();
    for n in 0..3 {
        assert_eq!(reply.event().await, event(&progress("1", n)));
    }
    stream.message(&large).await;
    assert_eq!(reply.event().await, event(&large));
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}
