//! Which message belongs to which: ids in use, answers on other streams, cancellations, and what
//! belongs to nothing.

use crate::client::{Ask, End, Reply};
use crate::messages::{code, event, legacy, legacy_call, reason, result};
use crate::rig::{Plan, Rig};
use crate::trail;
use crate::upstream::{Stream, Upstream, Waiting, empty, json};
use event::Status;
use http::Method;

async fn in_session() -> (Upstream, Waiting, Rig, String) {
    let (upstream, waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    (upstream, waiting, rig, session)
}

fn spawned(rig: &Rig, ask: Ask) -> tokio::task::JoinHandle<Reply> {
    tokio::spawn(ask.token(&rig.token("alice")).send(rig.address))
}

async fn streamed(rig: &Rig, waiting: &mut Waiting, ask: Ask) -> (Stream, Reply) {
    let sent = spawned(rig, ask);
    let stream = waiting.next().await.stream();
    (stream, sent.await.unwrap())
}

fn cancel(session: &str, id: &str) -> Ask {
    let params = format!(r#"{{"requestId":{id}}}"#);
    let method = "notifications/cancelled";
    legacy(session, format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#))
}

#[tokio::test]
async fn an_id_in_use_is_refused_until_its_call_has_ended() {
    let (upstream, mut waiting, rig, session) = in_session().await;
    let (stream, mut reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "4", "echo")).await;
    let refused = rig.send(legacy_call(&session, "4", "echo")).await;
    assert_eq!(refused.status, 400);
    let message = refused.message().await;
    assert_eq!((code(&message), reason(&message)), (40_004, "malformed.id-in-use"));
    assert_eq!(message["id"], 4);
    // The text `4` is another id than the number, and another session has ids of its own.
    let other = rig.session().await;
    for ask in [legacy_call(&session, "\"4\"", "echo"), legacy_call(&other, "4", "echo")] {
        let sent = spawned(&rig, ask);
        let held = waiting.next().await;
        let id = held.seen.message().unwrap()["id"].to_string();
        held.answer(json(result(&id)));
        assert_eq!(sent.await.unwrap().status, 200);
    }
    stream.message(&result("4")).await;
    assert_eq!(reply.event().await, event(&result("4")));
    // The id is free as soon as its answer is there, though the stream goes on.
    let sent = spawned(&rig, legacy_call(&session, "4", "echo"));
    waiting.next().await.answer(json(result("4")));
    assert_eq!(sent.await.unwrap().status, 200);
    drop(stream);
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "malformed.id-in-use");
    assert_eq!(trail.calls("tools/call").len(), 4);
    assert_eq!(upstream.seen().len(), 8);
}

#[tokio::test]
async fn an_answer_may_come_on_another_stream_while_its_own_is_open() {
    let (_upstream, mut waiting, rig, session) = in_session().await;
    let (own, mut own_reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "4", "echo")).await;
    let get = Ask::new(Method::GET).session(&session);
    let (news, mut news_reply) = streamed(&rig, &mut waiting, get).await;
    news.message(&result("4")).await;
    assert_eq!(news_reply.event().await, event(&result("4")));
    // Twice is once too often, wherever it comes.
    own.message(&result("4")).await;
    news.message(&result("4")).await;
    drop((own, news));
    assert_eq!(own_reply.rest().await, End::Orderly);
    assert_eq!(news_reply.rest().await, End::Orderly);
    assert_eq!((own_reply.text(), news_reply.text()), ("", ""));
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["server.unsolicited-answer"; 2]);
    assert!(trail.refusals().iter().all(|refused| refused.session.is_some()));
}

#[tokio::test]
async fn a_cancellation_ends_the_exchange_that_it_names() {
    let (_upstream, mut waiting, rig, session) = in_session().await;
    // One that streams, and one that has not answered yet.
    let (stream, mut reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "4", "echo")).await;
    let silent = spawned(&rig, legacy_call(&session, "5", "echo"));
    let unanswered = waiting.next().await;
    for id in ["4", "5", "6"] {
        let sent = spawned(&rig, cancel(&session, id));
        let told = waiting.next().await;
        assert_eq!(told.seen.body, cancel(&session, id).body);
        told.answer(empty(202));
        assert_eq!(sent.await.unwrap().status, 202);
    }
    assert_eq!(reply.rest().await, End::Orderly);
    stream.abandoned().await;
    unanswered.abandoned().await;
    let silent = silent.await.unwrap();
    assert_eq!((silent.status, silent.bytes().await.len()), (200, 0));
    // What comes too late is withheld, and called so.
    let (news, mut reply) =
        streamed(&rig, &mut waiting, Ask::new(Method::GET).session(&session)).await;
    news.message(&result("4")).await;
    news.message(&result("6")).await;
    drop(news);
    assert_eq!(reply.rest().await, End::Orderly);
    assert_eq!(reply.text(), "");
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Cancelled, Status::Cancelled]);
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["server.late-answer", "server.unsolicited-answer"]);
}

#[tokio::test]
async fn a_server_that_floods_an_exchange_does_not_flood_the_record() {
    let (_upstream, mut waiting, rig, session) = in_session().await;
    let (stream, mut reply) =
        streamed(&rig, &mut waiting, legacy_call(&session, "4", "echo")).await;
    for _ in 0..100 {
        stream.message("canary").await;
    }
    stream.message(&result("4")).await;
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    assert_eq!(reply.text(), event(&result("4")));
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, "canary"))).await;
    let refusals = trail.refusals();
    assert_eq!(refusals.len(), 9);
    assert!(refusals[..8].iter().all(|event| trail::reason(event) == "server.malformed"));
    assert_eq!(trail::reason(refusals[8]), "server.more-withheld");
    assert_eq!(refusals[8].details["withheld"], "92");
    assert_eq!(refusals[8].payload.unwrap().request_bytes, Some(92 * 6));
}

#[tokio::test]
async fn messages_in_answer_to_what_is_owed_none_are_withheld() {
    let (_upstream, mut waiting, rig, session) = in_session().await;
    let slipped = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#;
    let news = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    for (ask, body) in [
        (legacy(&session, news), slipped),
        (legacy(&session, news), news),
        (Ask::new(Method::DELETE).session(&session), slipped),
    ] {
        let sent = spawned(&rig, ask);
        waiting.next().await.answer(json(body));
        assert_eq!(sent.await.unwrap().bytes().await.len(), 0);
    }
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["server.out-of-place"; 3]);
}
