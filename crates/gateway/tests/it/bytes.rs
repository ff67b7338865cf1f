//! What goes through: the same bytes in both directions, no credentials, and nothing of it in the log.

use crate::messages::{META, legacy_call, modern_call, result};
use crate::rig::Plan;
use crate::trail::{Trail, mentions};
use crate::upstream::{Upstream, json};
use event::{ActorKind, Direction, Kind, Level, Status};
use std::sync::{Arc, Mutex};
use tlog::storage::{Memory, Survival};

/// Spacing, escapes, numbers and members that a program which reads and writes again would change.
fn odd_request() -> String {
    format!(
        "  {{ \"params\" :{{\"arguments\": {{\"n\": 12345678901234567890123, \"f\":1.0, \"e\":1E+2,\
         \"s\":\"\\u0063\\/\u{e9}\\u00e9\", \"z\":[ ]}},\t\"name\":\"ec\\u0068o\", \"unknown\":null, {META} }},\r\n\
         \"x-vendor\":{{\"b\":1,\"a\":2}}, \"method\" : \"tools/call\" , \"id\": 7 , \"jsonrpc\":\"2.0\" }}\n "
    )
}

const ODD_ANSWER: &str = "\n{ \"result\": {\"content\":[{\"text\":\"\\u0041\\/\", \"type\":\"text\",\
    \"vendor\":1.10}], \"n\":98765432109876543210 , \"content2\":null},\"id\" : 7, \"jsonrpc\":\"2.0\",\"zz\":[1 ,2]}  ";

#[tokio::test]
async fn bytes_pass_unchanged_both_ways() {
    let upstream = Upstream::start(|_| async { Some(json(ODD_ANSWER)) }).await;
    let rig = Plan::http(&upstream).start().await;
    let ask = modern_call("7", "echo");
    let ask = crate::client::Ask { body: odd_request().into(), ..ask };
    let reply = rig.send(ask).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.bytes().await, ODD_ANSWER);
    assert_eq!(upstream.seen()[0].body, odd_request());
    let trail = rig.stop().await;
    let call = trail.call("tools/call");
    assert_eq!(call.status(), Status::Ok);
    assert_eq!(call.asked.resource.as_ref().unwrap().names, ["echo"]);
    let bytes = |text: &str| u64::try_from(text.len()).unwrap();
    assert_eq!(call.asked.payload.unwrap().request_bytes, Some(bytes(&odd_request())));
    assert_eq!(call.end.unwrap().payload.unwrap().response_bytes, Some(bytes(ODD_ANSWER)));
}

#[tokio::test]
async fn the_record_says_who_did_what_by_which_rule() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    rig.send(modern_call("1", "echo")).await.message().await;
    let trail = rig.stop().await;
    let call = trail.call("tools/call");
    let actor = call.asked.actor.as_ref().unwrap();
    assert_eq!((actor.provider.as_str(), actor.id.as_str()), ("ci", "alice"));
    assert_eq!((actor.kind, actor.level), (ActorKind::Workload, Level::VerifiedBearer));
    assert_eq!(call.asked.decision.as_ref().unwrap().determining, ["everything"]);
    assert_eq!(call.asked.direction, Some(Direction::ToServer));
    assert_eq!(call.asked.protocol.as_deref(), Some("2026-07-28"));
    assert!(call.asked.environment.peer.as_deref().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(call.outcome().http_status, Some(200));
    let asked = trail.rows.iter().find(|row| row.event.kind == Kind::CallAsked).unwrap();
    assert_eq!(call.end.unwrap().asked, Some(asked.index));
}

#[tokio::test]
async fn credentials_end_here_and_other_headers_go_on() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    let ask = modern_call("1", "echo")
        .header("cookie", "canary-cookie")
        .header("dpop", "canary-proof")
        .header("proxy-authorization", "Basic canary")
        .header("txn-token", "canary-txn")
        .header("accept-encoding", "gzip")
        .header("mcp-param-region", "us-west1")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("x-tenant", "blue");
    let token = rig.token("alice");
    let reply = ask.token(&token).send(rig.address).await;
    assert_eq!(reply.status, 200);
    reply.bytes().await;
    let seen = upstream.seen().remove(0);
    for (name, value) in &seen.headers {
        let value = value.to_str().unwrap();
        assert!(!value.contains("canary") && !value.contains(&token), "{name}: {value}");
    }
    for name in ["authorization", "cookie", "dpop", "proxy-authorization", "txn-token"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert_eq!(seen.headers["accept-encoding"], "identity");
    assert_eq!(seen.headers["mcp-param-region"], "us-west1");
    assert_eq!(seen.headers["mcp-method"], "tools/call");
    assert_eq!(seen.headers["mcp-name"], "echo");
    assert_eq!(seen.headers["mcp-protocol-version"], "2026-07-28");
    assert_eq!(seen.headers["x-tenant"], "blue");
    assert!(seen.headers.contains_key("traceparent"));
    assert_eq!(seen.headers["host"], upstream.address.to_string().as_str());
    let trail = rig
        .stop_with(|log| {
            assert!(!mentions(log, "canary"));
            assert!(!mentions(log, &token));
            assert!(mentions(log, "alice"), "the search itself works");
        })
        .await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}

#[tokio::test]
async fn nothing_of_what_was_said_is_in_the_log() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let body = r#"{"jsonrpc":"2.0","id":"canary-id","method":"tools/call","params":{"name":"echo","arguments":{"secret":"canary-argument"},"_meta":{"progressToken":"canary-token","x":"canary-meta"}}}"#;
    let ask = crate::messages::legacy(&session, body).header("x-secret", "canary-header");
    let token = rig.token("alice");
    let sent = tokio::spawn(ask.token(&token).send(rig.address));
    let stream = waiting.next().await.stream();
    stream.message(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"canary-notice"}}"#).await;
    stream.message(r#"{"jsonrpc":"2.0","id":"canary-id","result":{"content":[{"type":"text","text":"canary-result"}],"isError":true}}"#).await;
    drop(stream);
    sent.await.unwrap().bytes().await;
    let error = tokio::spawn(legacy_call(&session, "2", "echo").token(&token).send(rig.address));
    waiting.next().await.answer(json(
        r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32000,"message":"canary-error","data":"canary-data"}}"#,
    ));
    error.await.unwrap().bytes().await;
    let refused = crate::messages::legacy(&session, "{\"canary-malformed\":").token(&token);
    assert_eq!(refused.send(rig.address).await.status, 400);
    let trail = rig
        .stop_with(|log| {
            assert!(!mentions(log, "canary"));
            assert!(!mentions(log, &session));
            assert!(!mentions(log, &token));
        })
        .await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::ToolError, Status::ProtocolError]);
    assert_eq!(trail.calls("tools/call")[1].outcome().code, Some(-32_000));
}

#[tokio::test]
async fn the_record_is_on_the_disk_before_the_server_sees_the_call() {
    let memory = Memory::default();
    let found = Arc::new(Mutex::new(Vec::new()));
    let (disk, notes) = (memory.clone(), Arc::clone(&found));
    let upstream = Upstream::start(move |seen| {
        // What a power cut would leave at the moment the call arrives.
        let survivor = disk.copy(Survival::Nothing);
        let notes = Arc::clone(&notes);
        async move {
            let directory = tempfile::tempdir().unwrap();
            survivor.copy_to(directory.path()).unwrap();
            let trail = Trail::read(directory.path());
            let method = seen.rpc_method()?;
            let asked = trail.calls(&method).iter().filter(|call| call.end.is_none()).count();
            notes.lock().unwrap().push(asked);
            Some(json(result("1")))
        }
    })
    .await;
    let rig = Plan { memory: Some(memory), ..Plan::http(&upstream) }.start().await;
    for _ in 0..3 {
        rig.send(modern_call("1", "echo")).await.message().await;
    }
    assert_eq!(*found.lock().unwrap(), [1, 1, 1]);
    let trail = rig.stop().await;
    assert_eq!(trail.calls("tools/call").len(), 3);
}

#[tokio::test]
async fn the_answer_is_on_the_disk_before_the_client_sees_it() {
    let memory = Memory::default();
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan { memory: Some(memory.clone()), ..Plan::http(&upstream) }.start().await;
    let reply = rig.send(modern_call("1", "echo")).await;
    let directory = tempfile::tempdir().unwrap();
    memory.copy(Survival::Nothing).copy_to(directory.path()).unwrap();
    assert_eq!(Trail::read(directory.path()).call("tools/call").status(), Status::Ok);
    reply.message().await;
    rig.stop().await;
}

#[tokio::test]
async fn an_error_page_of_the_server_passes_as_it_is() {
    let upstream = Upstream::start(|_| async {
        Some(crate::upstream::typed(400, "text/plain", "Bad Request: no valid session"))
    })
    .await;
    let rig = Plan::http(&upstream).start().await;
    let reply = rig.send(modern_call("1", "echo")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.headers["content-type"], "text/plain");
    assert_eq!(reply.bytes().await, "Bad Request: no valid session");
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::HttpError);
    assert_eq!(trail.call("tools/call").outcome().http_status, Some(400));
}

#[tokio::test]
async fn a_notification_is_accepted_and_on_record() {
    let upstream = Upstream::start(|_| async { Some(crate::upstream::empty(202)) }).await;
    let rig = Plan::http(&upstream).start().await;
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let reply = rig.send(crate::client::Ask::post(body)).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.bytes().await, "");
    let trail = rig.stop().await;
    assert_eq!(trail.call("notifications/initialized").status(), Status::Accepted);
}
