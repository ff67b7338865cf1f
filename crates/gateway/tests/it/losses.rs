//! What programs lose or change that read messages into the types of an SDK and write them again (members
//! they do not know, the form of numbers, the order of keys): the gateway passes every byte of it.

use crate::client::{Ask, Reply};
use crate::messages::{event, legacy, legacy_call, modern};
use crate::rig::{Plan, Rig};
use crate::upstream::{Upstream, json};
use tokio::task::JoinHandle;

const TASK_CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"n":9007199254740993},"task":{"ttl":60000},"vendor":[1.0]},"x-trace":"t"}"#;
const TASK_ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"t-1","status":"working","createdAt":"2026-01-01T00:00:00Z","ttl":60000,"pollInterval":5.0,"vendor":null}},"x":1e2}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}"#;
const LISTED: &str = r#"{"result":{"tools":[{"vendor":{"b":1,"a":2},"inputSchema":{"type":"object","x-mcp-header":"R"},"execution":{"taskSupport":"optional"},"name":"echo"}]},"id":2,"jsonrpc":"2.0"}"#;
const READ: &str =
    r#"{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"a:b","extra":{}}}"#;
const READ_ERROR: &str = r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32002,"message":"no","data":{"uri":"a:b"},"vendor":1.50}}"#;
const UNKNOWN: &str =
    r#"{"params":{"big":123456789012345678901234567890},"jsonrpc":"2.0","id":4,"method":"x/y"}"#;
const UNKNOWN_ANSWER: &str = r#"{"jsonrpc":"2.0","id":4,"result":{"content":[{"type":"x","deep":{"n":-0.0}}],"resultType":"vendor"}}"#;

const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1,"total":1}}"#;
const FORM: &str = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"string","x-order":1}},"$comment":"c","additionalProperties":false}}}"#;

fn sent(rig: &Rig, ask: Ask) -> JoinHandle<Reply> {
    tokio::spawn(ask.token(&rig.token("alice")).send(rig.address))
}

#[tokio::test]
async fn what_types_of_an_sdk_would_lose_passes_in_a_session() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let exchanges =
        [(TASK_CALL, TASK_ANSWER), (LIST, LISTED), (READ, READ_ERROR), (UNKNOWN, UNKNOWN_ANSWER)];
    for (request, answer) in exchanges {
        let reply = sent(&rig, legacy(&session, request));
        let held = waiting.next().await;
        assert_eq!(held.seen.body, request);
        held.answer(json(answer));
        assert_eq!(reply.await.unwrap().bytes().await, answer);
    }
    rig.stop().await;
}

#[tokio::test]
async fn what_types_of_an_sdk_would_lose_passes_in_a_stream() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let call = legacy_call(&session, "1", "echo");
    let body = std::str::from_utf8(&call.body).unwrap();
    let asks = body.replace("\"name\"", r#""_meta":{"progressToken":"p"},"name""#);
    let reply = sent(&rig, legacy(&session, asks));
    let stream = waiting.next().await.stream();
    for message in [PROGRESS, FORM, TASK_ANSWER] {
        stream.message(message).await;
    }
    drop(stream);
    let expected = [PROGRESS, FORM, TASK_ANSWER].map(event).concat();
    assert_eq!(reply.await.unwrap().bytes().await, expected);
    rig.stop().await;
}

#[tokio::test]
async fn what_types_of_an_sdk_would_lose_passes_in_a_handshake() {
    const OPENING: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"clientInfo":{"name":"c","version":"1","icons":[]},"protocolVersion":"2025-11-25","capabilities":{"tasks":{"list":{},"requests":{}},"vendor/x":{"n":1.0}}}}"#;
    const OPENED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tasks":{"cancel":{}},"vendor/y":[1.0]},"serverInfo":{"name":"s","version":"1","x":null}}}"#;
    let upstream = Upstream::start(|_| async { Some(json(OPENED)) }).await;
    let rig = Plan::http(&upstream).start().await;
    let reply = rig.send(Ask::post(OPENING)).await;
    assert_eq!((reply.status, reply.bytes().await), (200, OPENED.into()));
    assert_eq!(upstream.seen()[0].body, OPENING);
    rig.stop().await;
}

#[tokio::test]
async fn what_types_of_an_sdk_would_lose_passes_without_sessions() {
    const ROUND: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s","inputRequests":{"k":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{},"x":1.0}},"vendor":1}}}}"#;
    let upstream = Upstream::start(|_| async { Some(json(ROUND)) }).await;
    let rig = Plan::http(&upstream).start().await;
    let params = r#""name":"echo","arguments":{"f":1.0,"i":12345678901234567890},"vendor":{}"#;
    let ask = modern("1", "tools/call", Some("echo"), params);
    let body = ask.body.clone();
    let reply = rig.send(ask).await;
    assert_eq!((reply.status, reply.bytes().await), (200, ROUND.into()));
    assert_eq!(upstream.seen()[0].body, body);
    rig.stop().await;
}
