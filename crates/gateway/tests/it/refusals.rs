//! Messages that go nowhere: each is refused in the right words, on record, and unseen by the server.

use crate::client::{Ask, Reply};
use crate::messages::{META, call_body, code, legacy, modern_call, reason, result};
use crate::rig::{AUDIENCE, Plan, Rig};
use crate::trail;
use crate::upstream::{Upstream, json};
use event::{Basis, Effect};
use http::Method;
use identity::dev::TokenIssuer;
use serde_json::Value;

/// A gateway in front of a server that answers everything, though nothing should reach it.
async fn rig() -> (Upstream, Rig) {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    (upstream, rig)
}

/// What the client sees of a refusal: its status and its JSON-RPC error.
async fn refused(reply: Reply) -> (u16, Value) {
    let status = reply.status;
    assert_eq!(reply.headers["content-type"], "application/json");
    let message = reply.message().await;
    assert_eq!(message["jsonrpc"], "2.0");
    assert!(message.get("result").is_none());
    (status, message)
}

/// Codes of our own are outside what JSON-RPC and MCP reserve.
fn is_own(code: i64) -> bool {
    !(-32_768..=-32_000).contains(&code)
}

#[tokio::test]
async fn what_a_policy_forbids_is_refused_with_its_reason() {
    let (upstream, rig) = rig().await;
    let (status, message) = refused(rig.send(modern_call("\"a\\u0062\"", "wipe")).await).await;
    assert_eq!(status, 200);
    assert_eq!(code(&message), 40_300);
    assert_eq!(message["id"], "ab");
    assert_eq!(reason(&message), "policy.forbid");
    let trail = rig.stop().await;
    let event = trail.refusal();
    assert_eq!(message["error"]["data"]["callId"], event.call.unwrap().to_string());
    let decision = event.decision.as_ref().unwrap();
    assert_eq!((decision.effect, decision.basis), (Effect::Forbid, Basis::Forbid));
    assert_eq!(decision.determining, ["no-wipe"]);
    assert_eq!(event.actor.as_ref().unwrap().id, "alice");
    assert_eq!(event.resource.as_ref().unwrap().names, ["wipe"]);
    let refusal = event.refusal.as_ref().unwrap();
    assert_eq!((refusal.code, refusal.http_status), (40_300, Some(200)));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn what_no_policy_permits_is_refused() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let policy = "@id(\"nobody\") permit (principal == Actor::\"ci/nobody\", action, resource);";
    let rig = Plan { policy: policy.to_owned(), ..Plan::http(&upstream) }.start().await;
    let (status, message) = refused(rig.send(modern_call("1", "echo")).await).await;
    assert_eq!((status, code(&message)), (200, 40_300));
    let trail = rig.stop().await;
    let decision = trail.refusal().decision.as_ref().unwrap();
    assert_eq!(decision.basis, Basis::DefaultDeny);
    assert!(decision.determining.is_empty());
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn the_policy_of_the_decoded_name_applies() {
    let (upstream, rig) = rig().await;
    let ask = modern_call("1", "wipe");
    let body = String::from_utf8(ask.body.to_vec()).unwrap().replace("wipe", "wi\\u0070e");
    let (status, message) = refused(rig.send(Ask { body: body.into(), ..ask }).await).await;
    assert_eq!((status, code(&message)), (200, 40_300));
    let trail = rig.stop().await;
    assert_eq!(trail.refusal().resource.as_ref().unwrap().names, ["wipe"]);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn callers_without_a_good_token_are_refused() {
    let (upstream, rig) = rig().await;
    let now = rig.recorder.clock().now();
    let forger = TokenIssuer::generate(crate::rig::ISSUER, "key-1").unwrap();
    let stranger = TokenIssuer::generate("https://elsewhere.example", "key-1").unwrap();
    let expired = event::Time::from_unix_us(now.unix_us() - 3_600_000_000);
    let tokens = [
        None,
        Some("nonsense".to_owned()),
        Some(forger.token("alice", AUDIENCE, now, 600).unwrap()),
        Some(stranger.token("alice", AUDIENCE, now, 600).unwrap()),
        Some(rig.issuer.token("alice", "https://other.example", now, 600).unwrap()),
        Some(rig.issuer.token("alice", AUDIENCE, expired, 600).unwrap()),
    ];
    let count = tokens.len();
    for token in &tokens {
        let ask = modern_call("1", "echo");
        let ask = match token {
            Some(token) => ask.token(token),
            None => ask,
        };
        let reply = ask.send(rig.address).await;
        assert!(reply.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        let (status, message) = refused(reply).await;
        assert_eq!((status, code(&message)), (401, 40_100), "{token:?}");
        assert!(reason(&message).starts_with("identity."), "{message}");
    }
    let tokens: Vec<String> = tokens.into_iter().flatten().collect();
    let trail = rig
        .stop_with(|log| {
            for token in &tokens {
                assert!(!trail::mentions(log, token));
            }
        })
        .await;
    assert_eq!(trail.refusals().len(), count);
    for event in trail.refusals() {
        assert_eq!(event.actor.as_ref().unwrap().id, "anonymous");
        assert!(trail::reason(event).starts_with("identity."));
        assert_eq!(event.refusal.as_ref().unwrap().http_status, Some(401));
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn two_credentials_in_one_request_are_refused() {
    let (upstream, rig) = rig().await;
    let token = rig.token("alice");
    let ask = modern_call("1", "echo").token(&token).another("authorization", "Bearer other");
    let (status, message) = refused(ask.send(rig.address).await).await;
    assert_eq!((status, code(&message)), (401, 40_100));
    let trail = rig.stop().await;
    assert_eq!(trail.refusals().len(), 1);
    assert!(upstream.seen().is_empty());
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn nested(depth: usize) -> String {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"a":{open}{close}}}}}}}"#
    )
}

/// Bodies that are no message, with the reason that is recorded.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let call = call_body("1", "echo");
    let text = |text: &str| text.as_bytes().to_vec();
    let swap = |from: &str, to: &str| call.replace(from, to).into_bytes();
    vec![
        ("malformed.empty", text("")),
        ("malformed.not-json", text("{")),
        ("malformed.not-json", text("hello")),
        ("malformed.not-utf8", [b"\xef\xbb\xbf", call.as_bytes()].concat()),
        ("malformed.not-utf8", utf16(&call)),
        (
            "malformed.not-utf8",
            swap("echo", "ec\u{0}o").iter().map(|b| if *b == 0 { 0xff } else { *b }).collect(),
        ),
        ("malformed.trailing-bytes", format!("{call}{call}").into_bytes()),
        ("malformed.trailing-bytes", format!("{call} x").into_bytes()),
        ("malformed.duplicate-key", swap(r#""name":"echo""#, r#""name":"echo","name":"wipe""#)),
        ("malformed.duplicate-key", swap(r#""id":1"#, r#""id":1,"id":2"#)),
        ("malformed.duplicate-key", swap(r#""arguments":{}"#, r#""arguments":{"a":1,"\u0061":2}"#)),
        ("malformed.lookalike-key", swap(r#""name":"echo""#, r#""name":"echo","Name":"wipe""#)),
        ("malformed.lone-surrogate", swap("echo", "\\ud800")),
        ("malformed.too-deep", nested(500).into_bytes()),
        ("malformed.batch", format!("[{call}]").into_bytes()),
        ("malformed.batch", text("[]")),
        ("malformed.not-json-rpc", text("42")),
        ("malformed.not-json-rpc", swap("2.0", "1.0")),
        ("malformed.not-json-rpc", text(r#"{"jsonrpc":"2.0","id":1}"#)),
        ("malformed.wrong-type", swap(r#""id":1"#, r#""id":null"#)),
        ("malformed.wrong-type", swap(r#""id":1"#, r#""id":1.5"#)),
        ("malformed.wrong-type", swap(r#""echo""#, "7")),
        ("malformed.missing-field", swap(r#""name":"echo","#, "")),
        ("malformed.control-character", swap("echo", "ec\\u0000ho")),
        ("malformed.too-long", swap("echo", &"e".repeat(2_000))),
    ]
}

#[tokio::test]
async fn malformed_messages_are_refused_and_recorded() {
    let (upstream, rig) = rig().await;
    let table = malformed();
    for (expected, body) in &table {
        let (status, message) = refused(rig.send(Ask::post(body.clone())).await).await;
        assert_eq!(status, 400, "{expected}");
        assert!(is_own(code(&message)), "{message}");
        assert_eq!(reason(&message), *expected, "{}", String::from_utf8_lossy(body));
    }
    let trail = rig.stop().await;
    let refusals = trail.refusals();
    assert_eq!(refusals.len(), table.len());
    for (event, (expected, body)) in refusals.iter().zip(&table) {
        assert_eq!(trail::reason(event), *expected);
        assert_eq!(event.refusal.as_ref().unwrap().http_status, Some(400));
        assert_eq!(
            event.payload.unwrap().request_bytes,
            Some(u64::try_from(body.len()).unwrap()),
            "{expected}"
        );
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_malformed_message_is_answered_under_its_id_where_that_was_read() {
    let (_upstream, rig) = rig().await;
    let body = call_body("77", "echo").replace(r#""name":"echo""#, r#""name":8"#);
    let (_, message) = refused(rig.send(Ask::post(body)).await).await;
    assert_eq!(message["id"], 77);
    let (_, message) = refused(rig.send(Ask::post("{]")).await).await;
    assert!(message.get("id").is_none(), "{message}");
    rig.stop().await;
}

#[tokio::test]
async fn bodies_that_the_server_could_read_otherwise_are_refused() {
    let (upstream, rig) = rig().await;
    let call = || modern_call("1", "echo");
    let table = [
        (415, "malformed.content-encoding", call().header("content-encoding", "gzip")),
        (415, "malformed.content-encoding", call().header("content-encoding", "identity, br")),
        (415, "malformed.media-type", call().header("content-type", "text/plain")),
        (415, "malformed.media-type", call().without("content-type")),
        (
            415,
            "malformed.media-type",
            call().header("content-type", "application/json; charset=utf-16"),
        ),
        (415, "malformed.media-type", call().another("content-type", "text/plain")),
    ];
    let expected: Vec<_> = table.iter().map(|(_, reason, _)| *reason).collect();
    for (expected_status, expected, ask) in table {
        let (status, message) = refused(rig.send(ask).await).await;
        assert_eq!((status, reason(&message)), (expected_status, expected));
        assert!(is_own(code(&message)));
    }
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, expected);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let plan = Plan::http(&upstream).limits(|limits| limits.request_bytes_max = 1_000);
    let rig = plan.start().await;
    let padded = |bytes: usize| {
        let ask = modern_call("1", "echo");
        let mut body = ask.body.to_vec();
        body.resize(bytes, b' ');
        Ask { body: body.into(), ..ask }
    };
    assert_eq!(rig.send(padded(1_000)).await.status, 200);
    let (status, message) = refused(rig.send(padded(1_001)).await).await;
    assert_eq!((status, code(&message)), (413, 41_300));
    assert_eq!(reason(&message), "malformed.too-large");
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "malformed.too-large");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_to_nothing_is_refused() {
    let (upstream, mut _waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let answer = r#"{"jsonrpc":"2.0","id":5,"result":{}}"#;
    let (status, message) = refused(rig.send(legacy(&session, answer)).await).await;
    assert_eq!((status, code(&message)), (400, 40_002));
    assert_eq!(reason(&message), "malformed.out-of-place");
    let (status, message) = refused(rig.send(Ask::post(answer)).await).await;
    assert_eq!((status, code(&message)), (404, 40_400));
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["malformed.out-of-place", "session.unknown"]);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn more_calls_than_allowed_are_refused() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).limits(|limits| limits.calls_max = 1).start().await;
    let first = tokio::spawn(modern_call("1", "echo").token(&rig.token("alice")).send(rig.address));
    let held = waiting.next().await;
    let (status, message) = refused(rig.send(modern_call("2", "echo")).await).await;
    assert_eq!((status, code(&message)), (503, 50_301));
    held.answer(json(result("1")));
    assert_eq!(first.await.unwrap().status, 200);
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "gateway.overloaded");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn other_paths_and_methods_are_answered_without_the_server() {
    let (upstream, rig) = rig().await;
    let at = |method: Method, path: &str| Ask { path: path.to_owned(), ..Ask::new(method) };
    let reply = at(Method::GET, "/healthz").send(rig.address).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.bytes().await, "ok\n");
    for path in ["/", "/mcp/", "/MCP", "/healthz/x", "/mcp%20"] {
        let (status, message) = refused(at(Method::POST, path).send(rig.address).await).await;
        assert_eq!(
            (status, code(&message), reason(&message)),
            (404, 40_420, "http.path"),
            "{path}"
        );
        assert!(message["error"]["message"].as_str().unwrap().ends_with("endpoints here: /mcp"));
    }
    for method in [Method::PUT, Method::PATCH, Method::OPTIONS] {
        let reply = at(method.clone(), "/mcp").send(rig.address).await;
        assert_eq!(reply.headers["allow"], "GET, POST, DELETE");
        let (status, message) = refused(reply).await;
        assert_eq!((status, code(&message)), (405, 40_500), "{method}");
    }
    let trail = rig.stop().await;
    assert_eq!(trail.refusals().len(), 8);
    for event in trail.refusals() {
        assert!(event.resource.is_none(), "paths may hold anything: {event:#?}");
        assert_eq!(event.actor.as_ref().unwrap().id, "anonymous");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_token_in_the_query_is_refused_and_goes_nowhere() {
    let (upstream, rig) = rig().await;
    let token = rig.token("alice");
    let path = format!("/mcp?access_token={token}");
    let ask = Ask { path, ..modern_call("1", "echo") };
    assert_eq!(ask.clone().send(rig.address).await.status, 400);
    assert_eq!(ask.token(&token).send(rig.address).await.status, 400);
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, &token))).await;
    assert_eq!(trail.refusals().len(), 2);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_forbidden_notification_goes_nowhere() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let policy = "@id(\"calls\") permit (principal, action == Action::\"tools/call\", resource);";
    let rig = Plan { policy: policy.to_owned(), ..Plan::http(&upstream) }.start().await;
    let body = format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{{META}}}}}"#);
    let ask = Ask::post(body).header("mcp-protocol-version", "2026-07-28");
    let (status, message) = refused(rig.send(ask).await).await;
    assert_eq!((status, code(&message)), (200, 40_300));
    assert!(message.get("id").is_none());
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "policy.forbid");
    assert!(upstream.seen().is_empty());
}
