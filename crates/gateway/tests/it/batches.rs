//! Several messages in one body, in the revisions that have that: each is a call of its own.

use crate::client::{Ask, End, Reply};
use crate::messages::{call_body, code, event, initialize, legacy, reason, result};
use crate::rig::{Plan, Rig};
use crate::trail;
use crate::upstream::{Upstream, Waiting, empty, json, typed};
use event::Status;
use serde_json::Value;

const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
const ROOTS_CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
const NOTICE: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1.0}}"#;

/// A server that agrees on 2025-03-26, a gateway, and a session.
async fn rig() -> (Upstream, Waiting, Rig, String) {
    let (upstream, waiting) = Upstream::with_sessions_of("2025-03-26").await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    (upstream, waiting, rig, session)
}

fn batch(session: &str, messages: &[&str]) -> Ask {
    legacy(session, format!(" [{}]\n", messages.join(" , "))).without("mcp-protocol-version")
}

fn sent(rig: &Rig, ask: Ask) -> tokio::task::JoinHandle<Reply> {
    tokio::spawn(ask.token(&rig.token("alice")).send(rig.address))
}

fn ids(array: &Value) -> Vec<String> {
    let mut ids: Vec<_> =
        array.as_array().unwrap().iter().map(|message| message["id"].to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn each_message_of_a_batch_is_a_call_of_its_own() {
    let (upstream, mut waiting, rig, session) = rig().await;
    let calls = [call_body("1", "echo"), call_body("2", "wipe")];
    let sent = sent(&rig, batch(&session, &[ROOTS_CHANGED, &calls[0], &calls[1], PING]));
    let first = waiting.next().await;
    assert_eq!(first.seen.body, ROOTS_CHANGED, "what is owed no answer is carried in its place");
    first.answer(empty(202));
    for _ in 0..2 {
        let held = waiting.next().await;
        assert_eq!(held.seen.headers["mcp-session-id"], session.as_str());
        let id = held.seen.message().unwrap()["id"].to_string();
        held.answer(json(result(&id)));
    }
    let reply = sent.await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/json");
    let answers = reply.message().await;
    assert_eq!(ids(&answers), ["\"p\"", "1", "2"]);
    let refused = answers.as_array().unwrap().iter().find(|answer| answer["id"] == 2).unwrap();
    assert_eq!((code(refused), reason(refused)), (40_300, "policy.forbid"));
    let bodies: Vec<_> = upstream.seen().into_iter().map(|seen| seen.body).collect();
    assert!(bodies.iter().any(|body| body == &calls[0]) && bodies.iter().all(|b| b != &calls[1]));
    let trail = rig.stop().await;
    let root = trail.call("ping").asked.root;
    assert!(root.is_some());
    for call in [
        trail.call("tools/call"),
        trail.call("ping"),
        trail.call("notifications/roots/list_changed"),
    ] {
        assert_eq!(call.asked.root, root);
        assert_ne!(call.asked.call, root);
    }
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    assert_eq!(trail.refusal().root, root);
}

#[tokio::test]
async fn one_streamed_answer_makes_a_stream_of_all() {
    let (_upstream, mut waiting, rig, session) = rig().await;
    let calls = [call_body("1", "echo"), call_body("2", "echo")];
    let sent = sent(&rig, batch(&session, &[&calls[0], &calls[1]]));
    let one = waiting.next().await;
    let stream = waiting.next().await;
    let streamed_id = stream.seen.message().unwrap()["id"].to_string();
    let stream = stream.stream();
    stream.message(NOTICE).await;
    let mut reply = sent.await.unwrap();
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    assert_eq!(reply.event().await, event(NOTICE));
    let id = one.seen.message().unwrap()["id"].to_string();
    one.answer(json(result(&id)));
    assert_eq!(reply.event().await, event(&result(&id)));
    // The second half of an event comes late; nothing comes between its halves.
    let last = event(&result(&streamed_id));
    let (head, tail) = last.split_at(9);
    stream.send(head).await;
    stream.send(tail).await;
    assert_eq!(reply.event().await, last);
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop().await;
    assert!(trail.calls("tools/call").iter().all(|call| call.status() == Status::Ok));
}

#[tokio::test]
async fn a_batch_that_is_owed_no_answer_gets_none() {
    let (_upstream, mut waiting, rig, session) = rig().await;
    let sent_both = sent(&rig, batch(&session, &[ROOTS_CHANGED, ROOTS_CHANGED]));
    for _ in 0..2 {
        waiting.next().await.answer(empty(202));
    }
    let reply = sent_both.await.unwrap();
    assert_eq!((reply.status, reply.bytes().await.len()), (202, 0));
    // The session is gone: the client must learn that, whatever it sent.
    let gone = sent(&rig, batch(&session, &[&call_body("1", "echo")]));
    waiting.next().await.answer(typed(404, "text/plain", "gone"));
    let reply = gone.await.unwrap();
    assert_eq!(reply.status, 404);
    let answer = reply.message().await;
    assert_eq!((code(&answer[0]), &answer[0]["id"]), (50_201, &Value::from(1)));
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_all_of_its_batch() {
    let (_upstream, mut waiting, rig, session) = rig().await;
    let calls = [call_body("1", "echo"), call_body("2", "echo")];
    let sent = sent(&rig, batch(&session, &[&calls[0], &calls[1]]));
    let (one, two) = (waiting.next().await, waiting.next().await);
    sent.abort();
    one.abandoned().await;
    two.abandoned().await;
    let trail = rig.stop().await;
    assert!(trail.calls("tools/call").iter().all(|call| call.status() == Status::ClientGone));
}

#[tokio::test]
async fn batches_have_their_place() {
    let (upstream, mut waiting, rig, session) = rig().await;
    let before = upstream.seen().len();
    let initialize = initialize();
    let initialize = std::str::from_utf8(&initialize.body).unwrap();
    for (ask, expected) in [
        (batch(&session, &[initialize, PING]), "malformed.batch"),
        (batch(&session, &[PING, "[]"]), "malformed.batch"),
        (batch(&session, &[]), "malformed.batch"),
        (batch(&session, &[PING, "{}"]), "malformed.not-json-rpc"),
        (batch("no-such-session", &[PING]), "session.unknown"),
        (batch(&session, &[PING]).without("mcp-session-id"), "malformed.batch"),
    ] {
        let message = rig.send(ask).await.message().await;
        assert_eq!(reason(&message), expected);
    }
    let of_another = rig.send_as("mallory", batch(&session, &[PING])).await;
    assert_eq!(of_another.status, 404);
    assert_eq!(upstream.seen().len(), before);
    // The session goes on.
    let alone = sent(&rig, batch(&session, &[PING]));
    waiting.next().await.answer(json(r#"{"jsonrpc":"2.0","id":"p","result":{}}"#));
    assert_eq!(ids(&alone.await.unwrap().message().await), ["\"p\""]);
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons.len(), 7);
    assert_eq!(reasons[6], "session.of-another");
}

#[tokio::test]
async fn later_revisions_have_no_batches_from_either_side() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let refused = rig.send(batch(&session, &[PING])).await;
    assert_eq!((refused.status, reason(&refused.message().await)), (400, "malformed.batch"));
    let answered = sent(&rig, legacy(&session, PING));
    waiting.next().await.answer(json(format!("[{}]", result("\"p\""))));
    let reply = answered.await.unwrap();
    assert_eq!((reply.status, code(&reply.message().await)), (502, 50_203));
    let streamed = sent(&rig, legacy(&session, PING));
    let stream = waiting.next().await.stream();
    stream.message(&format!("[{NOTICE}]")).await;
    stream.message(&result("\"p\"")).await;
    drop(stream);
    assert_eq!(streamed.await.unwrap().bytes().await, event(&result("\"p\"")));
    rig.stop().await;
}

#[tokio::test]
async fn a_batch_of_the_server_is_judged_message_by_message() {
    let (_upstream, mut waiting, rig, session) = rig().await;
    let ping = legacy(&session, PING).without("mcp-protocol-version");
    let answer = result("\"p\"");
    let whole = format!("[ {NOTICE} ,{answer}]");
    let in_part = format!("[{answer},{}]", result("\"of another\""));
    for (body, expected) in [(&whole, &whole), (&in_part, &format!("[{answer}]"))] {
        let sent_json = sent(&rig, ping.clone());
        waiting.next().await.answer(json(body.clone()));
        assert_eq!(sent_json.await.unwrap().bytes().await, *expected);
        let streamed = sent(&rig, ping.clone());
        let stream = waiting.next().await.stream();
        stream.send(&format!("id: 7\n{}", event(body))).await;
        drop(stream);
        let events = streamed.await.unwrap().bytes().await;
        assert_eq!(events, format!("id: 7\n{}", event(expected)));
    }
    // Nothing of it may go on, so nothing does.
    let streamed = sent(&rig, ping.clone());
    let stream = waiting.next().await.stream();
    stream.message(&format!("[{}]", result("8"))).await;
    stream.message(&answer).await;
    drop(stream);
    assert_eq!(streamed.await.unwrap().bytes().await, event(&answer));
    let unanswered = sent(&rig, ping);
    waiting.next().await.answer(json(format!("[{NOTICE}]")));
    assert_eq!(code(&unanswered.await.unwrap().message().await), 50_203);
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("ping").iter().map(|call| call.status()).collect();
    assert_eq!(statuses[..5], [Status::Ok; 5]);
    assert_eq!(statuses[5], Status::MalformedReply);
}

#[tokio::test]
async fn answers_that_are_too_large_for_one_piece_come_as_a_stream() {
    let (_upstream, mut waiting, rig, session) = rig().await;
    let calls = ["1", "2", "3"].map(|id| call_body(id, "echo"));
    let sent = sent(&rig, batch(&session, &[&calls[0], &calls[1], &calls[2]]));
    let large = format!(r#"["{}"]"#, "x".repeat(7 << 20));
    let mut wanted = Vec::new();
    for _ in 0..3 {
        let held = waiting.next().await;
        let id = held.seen.message().unwrap()["id"].to_string();
        let answer = result(&id).replace("[]", &large);
        wanted.push(event(&answer));
        held.answer(json(answer));
    }
    let mut reply = sent.await.unwrap();
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let mut came = Vec::new();
    for _ in 0..3 {
        came.push(reply.event().await);
    }
    came.sort();
    wanted.sort();
    assert!(came == wanted, "every answer, once");
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop().await;
    assert!(trail.calls("tools/call").iter().all(|call| call.status() == Status::Ok));
}
