//! What a client of all servers listens to, when streams break, servers restart and the configuration
//! changes.

use crate::client::{Ask, End};
use crate::messages::{initialize, legacy};
use crate::rig::{Plan, Rig, SOON};
use crate::upstream::{Held, Stream, Upstream, Waiting, empty, json, opened_of, typed};
use http::Method;
use serde_json::{Value, json as value};
use std::time::Duration;

const UPDATED: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}"#;

/// As the client knows it.
const SEEN: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"srv+x:1"}}"#;

/// A gateway in front of this server, which is `srv`, and of one that says nothing by itself.
async fn rig(server: &Upstream) -> (Upstream, Rig) {
    let quiet = Upstream::start(|seen| async move {
        Some(match seen.rpc_method().as_deref() {
            Some("initialize") => opened_of("quiet", "2025-11-25"),
            Some(_) => empty(202),
            None => empty(405),
        })
    })
    .await;
    let plan = Plan::http(server).and("quiet", quiet.address);
    let rig = plan.limits(|limits| limits.member_retry = SOON).start().await;
    (quiet, rig)
}

/// Sends as alice; the server may want to be asked first.
fn sent(rig: &Rig, ask: Ask) -> tokio::task::JoinHandle<crate::client::Reply> {
    tokio::spawn(ask.token(&rig.token("alice")).send(rig.address))
}

fn subscription(method: &str, uri: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":5,"method":"resources/{method}","params":{{"uri":"{uri}"}}}}"#
    )
}

/// Another configuration with the same servers.
fn reload(rig: &Rig) {
    let mut next = rig.changeable.clone();
    next.limits.reply_timeout = Duration::from_secs(100);
    rig.gateway.reload(&next).unwrap();
}

/// The next request is a subscription to this; it is taken.
async fn taken(waiting: &mut Waiting, wanted: &Value) -> Stream {
    let held = waiting.next().await;
    let message = held.seen.message().unwrap();
    assert_eq!(message["method"], "subscriptions/listen");
    assert_eq!(&message["params"]["notifications"], wanted);
    let stream = held.stream();
    let acknowledged = value!({"jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": wanted}});
    stream.message(&acknowledged.to_string()).await;
    stream
}

#[tokio::test]
async fn subscriptions_of_a_session_outlive_streams_of_a_stateless_server() {
    let (server, mut waiting) = Upstream::held().await;
    let (_quiet, rig) = rig(&server).await;
    let opening = sent(&rig, initialize());
    waiting.next().await.answer(typed(404, "text/plain", "no"));
    let found = r#"{"jsonrpc":"2.0","id":"era","result":{"supportedVersions":["2026-07-28"],"capabilities":{"resources":{"subscribe":true},"tools":{"listChanged":true}}}}"#;
    waiting.next().await.answer(json(found));
    let session = opening.await.unwrap().session();
    let (of_lists, of_one) =
        (value!({"toolsListChanged": true}), value!({"resourceSubscriptions": ["x:1"]}));
    let listening = sent(&rig, Ask::new(Method::GET).session(&session));
    let lists = taken(&mut waiting, &of_lists).await;
    let mut heard = listening.await.unwrap();
    let subscribing = sent(&rig, legacy(&session, subscription("subscribe", "srv+x:1")));
    let one = taken(&mut waiting, &of_one).await;
    assert_eq!(subscribing.await.unwrap().message().await["result"], value!({}));
    // What breaks off after a change of the configuration is joined again in the new one.
    reload(&rig);
    one.break_off().await;
    let again = taken(&mut waiting, &of_one).await;
    assert!(heard.event().await.contains(SEEN), "it may have changed meanwhile");
    again.message(UPDATED).await;
    assert!(heard.event().await.contains(SEEN));
    lists.break_off().await;
    let lists = taken(&mut waiting, &of_lists).await;
    assert!(heard.event().await.contains("notifications/tools/list_changed"));
    // While nobody listens, nothing is asked in the client's name.
    drop(heard);
    lists.abandoned().await;
    again.break_off().await;
    let listening = sent(&rig, Ask::new(Method::GET).session(&session));
    let lists = taken(&mut waiting, &of_lists).await;
    let mut heard = listening.await.unwrap();
    let again = taken(&mut waiting, &of_one).await;
    assert!(heard.event().await.contains(SEEN));
    // A server that stops ends its streams in order, and is away for a while.
    drop(again);
    waiting.next().await.answer(typed(503, "text/plain", "stopping"));
    let last = taken(&mut waiting, &of_one).await;
    assert!(heard.event().await.contains(SEEN));
    // Until the client does not want it any more.
    let ending = sent(&rig, legacy(&session, subscription("unsubscribe", "srv+x:1")));
    assert_eq!(ending.await.unwrap().message().await["result"], value!({}));
    last.abandoned().await;
    let closing = sent(&rig, Ask::new(Method::DELETE).session(&session));
    assert_eq!(closing.await.unwrap().status, 200);
    lists.abandoned().await;
    rig.stop().await;
}

#[tokio::test]
async fn nothing_is_joined_again_for_who_does_not_count_any_more() {
    let (server, mut waiting) = Upstream::held().await;
    let (_quiet, rig) = rig(&server).await;
    let opening = sent(&rig, initialize());
    waiting.next().await.answer(typed(404, "text/plain", "no"));
    let found = r#"{"jsonrpc":"2.0","id":"era","result":{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}}}}"#;
    waiting.next().await.answer(json(found));
    let session = opening.await.unwrap().session();
    let listening = sent(&rig, Ask::new(Method::GET).session(&session));
    let lists = taken(&mut waiting, &value!({"toolsListChanged": true})).await;
    let mut heard = listening.await.unwrap();
    let mut next = rig.changeable.clone();
    next.identity = rig.another_verifier();
    rig.gateway.reload(&next).unwrap();
    // The client learns of it and comes again.
    assert_eq!(heard.rest().await, End::Orderly);
    drop(lists);
    assert_eq!(rig.stop().await.calls("subscriptions/listen").len(), 1);
}

#[tokio::test]
async fn a_subscription_that_is_refused_the_next_time_is_over() {
    let (server, mut waiting) = Upstream::held().await;
    let (_quiet, rig) = rig(&server).await;
    let opening = sent(&rig, initialize());
    waiting.next().await.answer(typed(404, "text/plain", "no"));
    let found = r#"{"jsonrpc":"2.0","id":"era","result":{"supportedVersions":["2026-07-28"],"capabilities":{"resources":{"subscribe":true}}}}"#;
    waiting.next().await.answer(json(found));
    let session = opening.await.unwrap().session();
    let heard = sent(&rig, Ask::new(Method::GET).session(&session)).await.unwrap();
    assert_eq!(heard.status, 200);
    let subscribe = || sent(&rig, legacy(&session, subscription("subscribe", "srv+x:1")));
    let wanted = value!({"resourceSubscriptions": ["x:1"]});
    for _ in 0..2 {
        let subscribing = subscribe();
        // The one that the client asks for: there is no other.
        let stream = taken(&mut waiting, &wanted).await;
        assert_eq!(subscribing.await.unwrap().message().await["result"], value!({}));
        stream.break_off().await;
        let refused = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"gone"}}"#;
        waiting.next().await.answer(typed(400, "application/json", refused));
    }
    rig.stop().await;
}

/// A request in this session of the server; its answer is a result.
fn done(held: Held, session: &str, (method, uri): (&str, &str)) {
    let message = held.seen.message().unwrap();
    assert_eq!(held.seen.headers["mcp-session-id"], session);
    assert_eq!(
        (&message["method"], &message["params"]["uri"]),
        (&value!(format!("resources/{method}")), &value!(uri))
    );
    let result = value!({"jsonrpc": "2.0", "id": message["id"], "result": {}});
    held.answer(json(result.to_string()));
}

#[tokio::test]
async fn what_a_server_forgot_with_its_session_is_subscribed_to_again() {
    let (server, mut waiting) = Upstream::with_sessions().await;
    let (_quiet, rig) = rig(&server).await;
    let session = rig.session().await;
    let listening = sent(&rig, Ask::new(Method::GET).session(&session));
    let stream = waiting.next().await.stream();
    let mut heard = listening.await.unwrap();
    for (method, uri) in
        [("subscribe", "x:1"), ("subscribe", "x:2"), ("unsubscribe", "x:2"), ("subscribe", "x:3")]
    {
        let asking = sent(&rig, legacy(&session, subscription(method, &format!("srv+{uri}"))));
        let held = waiting.next().await;
        if uri == "x:3" {
            let error = r#"{"jsonrpc":"2.0","id":5,"error":{"code":-32002,"message":"none"}}"#;
            held.answer(json(error));
        } else {
            done(held, "session-1", (method, uri));
        }
        assert_eq!(asking.await.unwrap().status, 200);
    }
    reload(&rig);
    stream.break_off().await;
    let lost = waiting.next().await;
    assert_eq!(lost.seen.headers["mcp-session-id"], "session-1");
    lost.answer(typed(404, "application/json", "{}"));
    // In the new session: its stream, and what was subscribed to.
    let mut stream = None;
    for _ in 0..2 {
        let held = waiting.next().await;
        if held.seen.method == Method::GET {
            assert_eq!(held.seen.headers["mcp-session-id"], "session-2");
            stream = Some(held.stream());
        } else {
            done(held, "session-2", ("subscribe", "x:1"));
        }
    }
    let stream = stream.unwrap();
    assert!(heard.event().await.contains(SEEN), "it may have changed meanwhile");
    stream.message(UPDATED).await;
    assert!(heard.event().await.contains(SEEN));
    drop((heard, stream));
    rig.stop().await;
}
