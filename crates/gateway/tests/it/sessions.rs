//! Sessions of the older revisions: they belong to whoever opened them, and end when they are closed.

use crate::client::Ask;
use crate::messages::{
    INITIALIZE, code, initialize, legacy, legacy_call, modern_call, reason, result,
};
use crate::rig::{Plan, Rig};
use crate::trail;
use crate::upstream::{Upstream, Waiting, empty, json};
use event::{Kind, Status};
use http::Method;

async fn rig() -> (Upstream, Waiting, Rig) {
    let (upstream, waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    (upstream, waiting, rig)
}

fn close(session: &str) -> Ask {
    Ask::new(Method::DELETE).session(session)
}

/// Calls a tool; the server answers.
async fn call(rig: &Rig, waiting: &mut Waiting, ask: Ask) -> u16 {
    let sent = tokio::spawn(ask.token(&rig.token("alice")).send(rig.address));
    waiting.next().await.answer(json(result("1")));
    let reply = sent.await.unwrap();
    let status = reply.status;
    reply.bytes().await;
    status
}

#[tokio::test]
async fn a_session_is_on_record_from_its_opening_on() {
    let (upstream, mut waiting, rig) = rig().await;
    let session = rig.session().await;
    assert_eq!(call(&rig, &mut waiting, legacy_call(&session, "1", "echo")).await, 200);
    assert_eq!(upstream.seen()[2].headers["mcp-session-id"], session.as_str());
    let trail = rig.stop().await;
    let opened = trail.call("initialize");
    assert_eq!(opened.asked.session, None);
    let client = opened.asked.client.as_ref().unwrap();
    assert_eq!((client.name.as_str(), client.version.as_deref()), ("tester", Some("7")));
    let digest = opened.end.unwrap().session.as_ref().unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 39, "{digest}");
    let called = trail.call("tools/call");
    assert_eq!(called.asked.session.as_ref(), Some(digest));
    assert_eq!(called.asked.protocol.as_deref(), Some("2025-11-25"));
    assert_eq!(called.status(), Status::Ok);
}

#[tokio::test]
async fn nobody_else_can_use_a_session() {
    let (upstream, mut waiting, rig) = rig().await;
    let session = rig.session().await;
    let before = upstream.seen().len();
    let attempts = [
        legacy_call(&session, "1", "echo"),
        Ask::new(Method::GET).session(&session),
        close(&session),
        legacy(&session, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        initialize().session(&session),
    ];
    let count = attempts.len();
    let unknown = rig.send(legacy_call("no-such-session", "1", "echo")).await;
    let unknown_status = unknown.status;
    let mut unknown = unknown.message().await;
    for ask in attempts {
        let reply = rig.send_as("mallory", ask).await;
        assert_eq!(reply.status, 404);
        let mut message = reply.message().await;
        assert_eq!((code(&message), reason(&message)), (40_400, "session.unknown"));
        // Probing shows nothing: the words are those for a session that does not exist.
        assert_eq!(reply_text(&mut message), reply_text(&mut unknown));
    }
    assert_eq!(unknown_status, 404);
    assert_eq!(upstream.seen().len(), before);
    assert_eq!(call(&rig, &mut waiting, legacy_call(&session, "1", "echo")).await, 200);
    let trail = rig.stop().await;
    let of_another =
        trail.refusals().into_iter().filter(|e| trail::reason(e) == "session.of-another");
    let of_another: Vec<_> = of_another.collect();
    assert_eq!(of_another.len(), count);
    for event in of_another {
        assert_eq!(event.actor.as_ref().unwrap().id, "mallory");
        assert!(event.session.is_some());
    }
    assert_eq!(trail.refusals().len(), count + 1);
}

fn reply_text(message: &mut serde_json::Value) -> String {
    message["error"]["message"].to_string()
}

#[tokio::test]
async fn a_closed_session_is_gone() {
    let (upstream, mut waiting, rig) = rig().await;
    let session = rig.session().await;
    let token = rig.token("alice");
    let refused = tokio::spawn(close(&session).token(&token).send(rig.address));
    waiting.next().await.answer(empty(405));
    assert_eq!(refused.await.unwrap().status, 405);
    assert_eq!(call(&rig, &mut waiting, legacy_call(&session, "1", "echo")).await, 200);
    let closed = tokio::spawn(close(&session).token(&token).send(rig.address));
    let held = waiting.next().await;
    assert_eq!(held.seen.method, Method::DELETE);
    assert_eq!(held.seen.headers["mcp-session-id"], session.as_str());
    held.answer(empty(204));
    assert_eq!(closed.await.unwrap().status, 204);
    let before = upstream.seen().len();
    assert_eq!(rig.send(legacy_call(&session, "1", "echo")).await.status, 404);
    assert_eq!(rig.send(close(&session)).await.status, 404);
    assert_eq!(upstream.seen().len(), before);
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("http/delete").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::HttpError, Status::Accepted]);
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["session.unknown", "session.unknown"]);
    // The session ends on record with the answer that closed it, not with the gateway.
    let kinds: Vec<_> = trail.rows.iter().map(|row| row.event.kind).collect();
    let ended = kinds.iter().position(|kind| *kind == Kind::SessionEnded).unwrap();
    assert_eq!(
        kinds[ended - 1..ended + 2],
        [Kind::CallAnswered, Kind::SessionEnded, Kind::CallRefused]
    );
    assert_eq!(trail.rows[ended].event.session, trail.calls("tools/call")[0].asked.session);
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::SessionEnded).count(), 1);
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_forgotten_here() {
    let (upstream, mut waiting, rig) = rig().await;
    let session = rig.session().await;
    let ask = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let sent = tokio::spawn(ask.send(rig.address));
    waiting.next().await.answer(empty(404));
    assert_eq!(sent.await.unwrap().status, 404);
    let before = upstream.seen().len();
    assert_eq!(rig.send(legacy_call(&session, "2", "echo")).await.status, 404);
    assert_eq!(upstream.seen().len(), before);
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::HttpError);
    assert_eq!(trail::reason(trail.refusal()), "session.unknown");
}

#[tokio::test]
async fn a_session_has_no_meaning_for_stateless_requests() {
    let (upstream, mut waiting, rig) = rig().await;
    let session = rig.session().await;
    let ask = modern_call("1", "echo").session(&session);
    let sent = tokio::spawn(ask.token(&rig.token("mallory")).send(rig.address));
    let held = waiting.next().await;
    assert!(!held.seen.headers.contains_key("mcp-session-id"));
    held.answer(json(result("1")));
    assert_eq!(sent.await.unwrap().status, 200);
    let trail = rig.stop().await;
    let call = trail.call("tools/call");
    assert_eq!(call.asked.actor.as_ref().unwrap().id, "mallory");
    assert!(trail.refusals().is_empty());
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn two_session_ids_in_one_request_are_refused() {
    let (upstream, _waiting, rig) = rig().await;
    let session = rig.session().await;
    let ask = legacy_call(&session, "1", "echo").another("mcp-session-id", "other");
    let reply = rig.send(ask).await;
    assert_eq!(reply.status, 400);
    assert_eq!(code(&reply.message().await), 40_002);
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "malformed.out-of-place");
    assert_eq!(upstream.seen().len(), 2);
}

/// A session that is opened from within another leaves nothing behind in that one.
#[tokio::test]
async fn an_opening_takes_no_id_of_the_session_it_came_in() {
    let (_upstream, mut waiting, rig) = rig().await;
    let session = rig.session().await;
    let opened = rig.send(legacy(&session, INITIALIZE)).await;
    assert_eq!((opened.status, opened.session().as_str()), (200, "session-2"));
    let same = legacy_call(&session, "0", "echo").token(&rig.token("alice"));
    let sent = tokio::spawn(same.send(rig.address));
    waiting.next().await.answer(json(result("0")));
    assert_eq!(sent.await.unwrap().status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn no_more_sessions_are_opened_than_can_be_kept() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).limits(|limits| limits.sessions_max = 1).start().await;
    let session = rig.session().await;
    let reply = rig.send(initialize()).await;
    assert_eq!(reply.status, 503);
    assert!(!reply.headers.contains_key("mcp-session-id"));
    assert_eq!(code(&reply.message().await), 50_301);
    assert_eq!(call(&rig, &mut waiting, legacy_call(&session, "1", "echo")).await, 200);
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("initialize").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Ok, Status::Unknown]);
}

#[tokio::test]
async fn an_idle_session_ends() {
    let (upstream, _waiting) = Upstream::with_sessions().await;
    let idle = std::time::Duration::ZERO;
    let rig = Plan::http(&upstream).limits(|limits| limits.session_idle = idle).start().await;
    let session = rig.send(initialize()).await.session();
    assert_eq!(rig.send(legacy_call(&session, "1", "echo")).await.status, 404);
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "session.unknown");
    assert_eq!(trail.rows.iter().filter(|r| r.event.kind == Kind::CallAsked).count(), 1);
}
