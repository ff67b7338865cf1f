//! Bounds of one actor and of one server: refused in the right words, on record, unseen by the server.

use crate::client::Ask;
use crate::messages::{call_body, code, modern_call, result};
use crate::rig::Plan;
use crate::trail;
use crate::upstream::{Upstream, json};
use gateway::config::Quota;
use std::time::Duration;

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_again() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let quota = Quota { calls_per_second: Some(1), calls_burst: Some(2), ..Quota::default() };
    // So slow a rate that no machine waits it out between two calls.
    let rig = Plan::http(&upstream).limits(|limits| limits.actor = quota).start().await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let reply = rig.send(modern_call("1", "echo")).await;
        statuses.push(reply.status);
        if reply.status == 429 {
            assert_eq!(reply.headers["retry-after"], "1");
            let message = reply.message().await;
            assert_eq!((code(&message), message["id"].as_i64()), (42_900, Some(1)));
            assert_eq!(message["error"]["data"]["reason"], "limit.rate");
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert!(statuses.len() > 2, "the burst passes: {statuses:?}");
    assert_eq!(rig.send_as("bob", modern_call("1", "echo")).await.status, 200);
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "limit.rate");
    assert_eq!(trail.refusal().actor.as_ref().unwrap().id, "alice");
    assert_eq!(upstream.seen().len(), statuses.len());
}

#[tokio::test]
async fn places_of_a_server_are_free_again_after_each_call() {
    let (upstream, mut waiting) = Upstream::held().await;
    let one = Quota { calls_max: Some(1), ..Quota::default() };
    let rig = Plan::http(&upstream).quota(one).start().await;
    let first = modern_call("1", "echo").token(&rig.token("alice"));
    let first = tokio::spawn(first.send(rig.address));
    let held = waiting.next().await;
    let refused = rig.send_as("bob", modern_call("2", "echo")).await;
    assert_eq!((refused.status, refused.headers["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(code(&refused.message().await), 42_903);
    // What takes something back is never refused for that.
    let cancel = Ask::post(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
    );
    let cancelled = tokio::spawn(cancel.token(&rig.token("alice")).send(rig.address));
    let notice = waiting.next().await;
    assert_eq!(notice.seen.rpc_method().as_deref(), Some("notifications/cancelled"));
    notice.answer(crate::upstream::empty(202));
    assert_eq!(cancelled.await.unwrap().status, 202);
    held.answer(json(result("1")));
    assert_eq!(first.await.unwrap().status, 200);
    let second = modern_call("2", "echo").token(&rig.token("bob"));
    let second = tokio::spawn(second.send(rig.address));
    waiting.next().await.answer(json(result("2")));
    assert_eq!(second.await.unwrap().status, 200);
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "limit.server-concurrency");
}

#[tokio::test]
async fn a_server_may_have_smaller_requests_and_shorter_times() {
    let (upstream, mut waiting) = Upstream::held().await;
    let quota = Quota {
        request_bytes_max: Some(500),
        reply_timeout: Some(Duration::from_millis(20)),
        ..Quota::default()
    };
    let rig = Plan::http(&upstream).quota(quota).start().await;
    let large = rig.send(modern_call("1", &"x".repeat(600))).await;
    assert_eq!((large.status, code(&large.message().await)), (413, 41_301));
    let slow = tokio::spawn(modern_call("2", "echo").token(&rig.token("alice")).send(rig.address));
    let held = waiting.next().await;
    assert_eq!(slow.await.unwrap().status, 504);
    drop(held);
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "limit.request-bytes");
}

#[tokio::test]
async fn a_stranger_has_little_room() {
    let (upstream, _waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let large = || Ask::post(call_body("1", &"x".repeat(100_000)));
    assert_eq!(large().token("nonsense").send(rig.address).await.status, 401);
    let known = large().token(&rig.token("alice")).send(rig.address).await;
    assert_eq!(known.status, 400, "read, and its name is too long");
    let trail = rig.stop().await;
    let [stranger, known] = trail.refusals()[..] else { panic!("{:#?}", trail.refusals()) };
    assert!(trail::reason(stranger).starts_with("identity."), "{}", trail::reason(stranger));
    assert!(trail::reason(known).starts_with("malformed."), "{}", trail::reason(known));
}
