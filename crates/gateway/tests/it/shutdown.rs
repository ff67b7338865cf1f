//! The end of a gateway: calls in progress finish, what hangs is ended, and all of it is on record.

use crate::client::{Ask, End};
use crate::messages::{event, legacy, legacy_call, modern, modern_call, result};
use crate::rig::{Plan, SOON};
use crate::upstream::{Upstream, json};
use crate::within;
use event::Status;
use http::Method;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_call_in_progress_finishes() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let sent = tokio::spawn(modern_call("1", "echo").token(&rig.token("alice")).send(rig.address));
    let held = waiting.next().await;
    rig.ask_to_stop();
    let address = rig.address;
    within("no more connections are taken", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    held.answer(json(result("1")));
    let reply = sent.await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.bytes().await, result("1"));
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}

#[tokio::test]
async fn a_stream_in_progress_finishes() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let sent = tokio::spawn(modern_call("1", "echo").token(&rig.token("alice")).send(rig.address));
    let stream = waiting.next().await.stream();
    let mut reply = sent.await.unwrap();
    rig.ask_to_stop();
    stream.message(&result("1")).await;
    assert_eq!(reply.event().await, event(&result("1")));
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}

/// The last event of a subscription.
fn last_event(id: &str) -> String {
    let meta = format!(r#"{{"io.modelcontextprotocol/subscriptionId":{id}}}"#);
    event(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"_meta":{meta},"resultType":"complete"}}}}"#
    ))
}

fn listen(id: &str) -> Ask {
    let params = r#""notifications":{"toolsListChanged":true}"#;
    modern(id, "subscriptions/listen", None, params)
}

/// The end of a subscription is its answer (2026-07-28, subscriptions), whatever its id.
#[tokio::test]
async fn a_subscription_ends_with_its_answer() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let mut open = Vec::new();
    for id in ["7", "\"a\\u0062\""] {
        let sent = tokio::spawn(listen(id).token(&rig.token("alice")).send(rig.address));
        let stream = waiting.next().await.stream();
        stream.send(": here\n\n").await;
        let mut reply = sent.await.unwrap();
        reply.event().await;
        open.push((reply, stream));
    }
    rig.ask_to_stop();
    for ((mut reply, stream), id) in open.into_iter().zip(["7", "\"ab\""]) {
        assert_eq!(reply.event().await, last_event(id));
        assert_eq!(reply.rest().await, End::Orderly);
        stream.abandoned().await;
    }
    let trail = rig.stop().await;
    let statuses: Vec<_> =
        trail.calls("subscriptions/listen").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Ok, Status::Ok]);
}

#[tokio::test]
async fn a_subscription_at_a_program_ends_with_its_answer_too() {
    let script = r#"
IFS= read -r a
echo '{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7},"notifications":{}}}'
while IFS= read -r x; do :; done
"#;
    let rig = Plan::sh(script).start().await;
    let mut reply = rig.send(listen("7")).await;
    assert!(reply.event().await.contains("acknowledged"));
    rig.ask_to_stop();
    assert_eq!(reply.event().await, last_event("7"));
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop().await;
    assert_eq!(trail.call("subscriptions/listen").status(), Status::Ok);
}

#[tokio::test]
async fn what_hangs_is_ended_after_the_grace_and_its_outcome_is_unknown() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).limits(|limits| limits.shutdown_grace = SOON).start().await;
    let session = rig.session().await;
    let token = rig.token("alice");
    let ask = modern_call("1", "echo").token(&token);
    let whole = tokio::spawn(ask.clone().try_send(rig.address));
    let held = waiting.next().await;
    let streamed = tokio::spawn(ask.send(rig.address));
    let stream = waiting.next().await.stream();
    let mut streamed = streamed.await.unwrap();
    let news = Ask::new(Method::GET).session(&session).token(&token);
    let news = tokio::spawn(news.send(rig.address));
    let news_stream = waiting.next().await.stream();
    let mut news = news.await.unwrap();
    rig.ask_to_stop();
    held.abandoned().await;
    stream.abandoned().await;
    news_stream.abandoned().await;
    assert!(whole.await.unwrap().is_none_or(|reply| reply.status == 503));
    assert_eq!(streamed.rest().await, End::Broken);
    assert_eq!(news.rest().await, End::Orderly);
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Unknown, Status::Unknown]);
    assert_eq!(trail.call("http/get").status(), Status::Ok);
}

#[tokio::test]
async fn a_server_that_does_not_take_an_answer_does_not_hold_up_the_end() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).limits(|limits| limits.shutdown_grace = SOON).start().await;
    let session = rig.session().await;
    let token = rig.token("alice");
    let call = legacy_call(&session, "1", "echo").token(&token);
    let call = tokio::spawn(call.send(rig.address));
    let stream = waiting.next().await.stream();
    let mut reply = call.await.unwrap();
    stream.message(r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#).await;
    reply.event().await;
    let answer = legacy(&session, r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#);
    let answer = tokio::spawn(answer.token(&token).try_send(rig.address));
    let held_answer = waiting.next().await;
    // A forbidden question: the gateway itself answers, and is not heard either.
    stream
        .message(r#"{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}"#)
        .await;
    let held_refusal = waiting.next().await;
    let trail = rig.stop().await;
    assert!(answer.await.unwrap().is_none_or(|reply| reply.status == 503));
    held_answer.abandoned().await;
    held_refusal.abandoned().await;
    assert_eq!(trail.call("tools/call").status(), Status::Unknown);
    assert_eq!(trail.call("roots/list").status(), Status::Ok);
}

#[tokio::test]
async fn calls_that_wait_in_a_session_end_with_it() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let call = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let call = tokio::spawn(call.send(rig.address));
    let stream = waiting.next().await.stream();
    stream.send("id: 1\ndata:\n\n").await;
    drop(stream);
    call.await.unwrap().bytes().await;
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Unknown);
}
