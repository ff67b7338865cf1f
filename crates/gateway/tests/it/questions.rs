//! What servers ask of clients: on record, decided by policy, answered by whom it was asked.

use crate::client::{Ask, End, Reply};
use crate::messages::{code, event, legacy, legacy_call, result};
use crate::rig::{Plan, Rig};
use crate::trail;
use crate::upstream::{Stream, Upstream, Waiting, empty};
use event::{ActorKind, Direction, Kind, Status};
use http::Method;

const QUESTION: &str = r#"{"jsonrpc":"2.0","id":"q-1","method":"elicitation/create","params":{"message":"canary-question","requestedSchema":{}}}"#;
const ANSWER: &str =
    r#"{"jsonrpc":"2.0", "id":"q-1","result":{"action":"accept","content":{"a":1.0}}}"#;
const SAMPLING: &str = r#"{"jsonrpc":"2.0","id":"q-2","method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}"#;

async fn in_session() -> (Upstream, Waiting, Rig, String) {
    let (upstream, waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    (upstream, waiting, rig, session)
}

async fn streamed(rig: &Rig, waiting: &mut Waiting, ask: Ask) -> (Stream, Reply) {
    let sent = tokio::spawn(ask.token(&rig.token("alice")).send(rig.address));
    let stream = waiting.next().await.stream();
    (stream, sent.await.unwrap())
}

/// The client's answer arrives at the server, which takes it.
async fn answered(rig: &Rig, waiting: &mut Waiting, session: &str, answer: &str) {
    let ask = legacy(session, answer).token(&rig.token("alice"));
    let sent = tokio::spawn(ask.send(rig.address));
    let held = waiting.next().await;
    assert_eq!(held.seen.body, answer);
    assert_eq!(held.seen.headers["mcp-session-id"], session);
    assert!(!held.seen.headers.contains_key("authorization"));
    held.answer(empty(202));
    assert_eq!(sent.await.unwrap().status, 202);
}

#[tokio::test]
async fn a_question_and_its_answer_are_on_record() {
    let (_upstream, mut waiting, rig, session) = in_session().await;
    let (stream, mut reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "1", "echo")).await;
    stream.message(QUESTION).await;
    assert_eq!(reply.event().await, event(QUESTION));
    let open = rig.until(|_| true).await;
    assert!(open.call("elicitation/create").end.is_none(), "asked before the client sees it");
    answered(&rig, &mut waiting, &session, ANSWER).await;
    stream.message(&result("1")).await;
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, "canary"))).await;
    let question = trail.call("elicitation/create");
    assert_eq!(question.asked.direction, Some(Direction::ToClient));
    let actor = question.asked.actor.as_ref().unwrap();
    assert_eq!((actor.kind, actor.id.as_str()), (ActorKind::Server, "srv"));
    assert_eq!(question.asked.decision.as_ref().unwrap().determining, ["everything"]);
    assert_eq!(question.status(), Status::Ok);
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    assert_eq!(question.asked.session, trail.call("tools/call").asked.session);
}

#[tokio::test]
async fn an_answer_counts_once_and_from_the_right_side_only() {
    let (upstream, mut waiting, rig, session) = in_session().await;
    let (stream, mut reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "1", "echo")).await;
    stream.message(QUESTION).await;
    reply.event().await;
    let mallory = rig.send_as("mallory", legacy(&session, ANSWER)).await;
    assert_eq!(mallory.status, 404);
    let other_id = ANSWER.replace("q-1", "q-9");
    assert_eq!(rig.send(legacy(&session, other_id)).await.status, 400);
    let error = r#"{"jsonrpc":"2.0","id":"q-1","error":{"code":-1,"message":"no"}}"#;
    answered(&rig, &mut waiting, &session, error).await;
    let again = rig.send(legacy(&session, ANSWER)).await;
    assert_eq!(code(&again.message().await), 40_002);
    stream.message(&result("1")).await;
    drop(stream);
    reply.rest().await;
    let trail = rig.stop().await;
    let question = trail.call("elicitation/create");
    assert_eq!((question.status(), question.outcome().code), (Status::ProtocolError, Some(-1)));
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["session.of-another", "malformed.out-of-place", "malformed.out-of-place"]);
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn a_forbidden_question_is_answered_in_the_clients_stead() {
    let (_upstream, mut waiting, rig, session) = in_session().await;
    let get = Ask::new(Method::GET).session(&session).header("last-event-id", "e-1");
    for (id, ask) in [("1", legacy_call(&session, "1", "echo")), ("", get)] {
        let (stream, mut reply) = streamed(&rig, &mut waiting, ask).await;
        stream.message(SAMPLING).await;
        let told = waiting.next().await;
        let message = told.seen.message().unwrap();
        assert_eq!((code(&message), message["id"].as_str()), (40_300, Some("q-2")));
        assert_eq!(told.seen.method, Method::POST);
        let headers = &told.seen.headers;
        assert_eq!(headers["content-type"], "application/json");
        assert!(headers["accept"].to_str().unwrap().contains("application/json"));
        assert_eq!(headers["mcp-session-id"], session.as_str());
        assert!(!headers.contains_key("authorization") && !headers.contains_key("last-event-id"));
        told.answer(empty(202));
        let last = if id.is_empty() { QUESTION.replace("q-1", "q-3") } else { result(id) };
        stream.message(&last).await;
        assert_eq!(reply.event().await, event(&last), "the question itself never comes");
        drop(stream);
        assert_eq!(reply.rest().await, End::Orderly);
    }
    let trail = rig.stop().await;
    assert_eq!(trail.refusals().len(), 2);
    for event in trail.refusals() {
        assert_eq!(trail::reason(event), "policy.forbid");
        assert_eq!(event.direction, Some(Direction::ToClient));
        assert_eq!(event.actor.as_ref().unwrap().kind, ActorKind::Server);
        assert_eq!(event.decision.as_ref().unwrap().determining, ["no-sampling"]);
        assert_eq!(event.refusal.as_ref().unwrap().http_status, None);
    }
    assert!(trail.calls("sampling/createMessage").is_empty());
    // The one question that was passed on and never answered.
    assert_eq!(trail.call("elicitation/create").status(), Status::Unknown);
}

#[tokio::test]
async fn a_server_cannot_reuse_the_id_of_an_open_question() {
    let (_upstream, mut waiting, rig, session) = in_session().await;
    let (stream, mut reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "1", "echo")).await;
    stream.message(QUESTION).await;
    reply.event().await;
    stream.message(QUESTION).await;
    let told = waiting.next().await;
    assert_eq!(code(&told.seen.message().unwrap()), 40_004);
    told.answer(empty(202));
    answered(&rig, &mut waiting, &session, ANSWER).await;
    stream.message(&result("1")).await;
    assert_eq!(reply.event().await, event(&result("1")));
    drop(stream);
    let trail = rig.stop().await;
    assert_eq!(trail.call("elicitation/create").status(), Status::Ok);
    assert_eq!(trail::reason(trail.refusal()), "malformed.id-in-use");
}

#[tokio::test]
async fn a_session_ends_on_record_after_what_was_still_said_in_it() {
    let (_upstream, mut waiting, rig, session) = in_session().await;
    let (stream, mut reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "1", "echo")).await;
    let close = Ask::new(Method::DELETE).session(&session).token(&rig.token("alice"));
    let closed = tokio::spawn(close.send(rig.address));
    waiting.next().await.answer(empty(200));
    assert_eq!(closed.await.unwrap().status, 200);
    stream.message(QUESTION).await;
    let told = waiting.next().await;
    assert_eq!(code(&told.seen.message().unwrap()), 50_301);
    told.answer(empty(202));
    stream.message(&result("1")).await;
    assert_eq!(reply.event().await, event(&result("1")));
    drop(stream);
    let trail = rig.until(trail::Trail::sessions_ended).await;
    let last: Vec<_> = trail.rows.iter().rev().take(2).map(|row| row.event.kind).collect();
    assert_eq!(last, [Kind::SessionEnded, Kind::CallAnswered]);
    assert_eq!(rig.stop().await.call("elicitation/create").status(), Status::Cancelled);
}
