//! Headers against the body (2026-07-28), and who may talk to this address at all.

use crate::client::Ask;
use crate::messages::{META, code, modern, modern_call, reason, result};
use crate::rig::Plan;
use crate::trail;
use crate::upstream::{Upstream, json};

/// A call in which headers and body disagree, with the error that must follow.
fn mismatches() -> Vec<(&'static str, i64, Ask)> {
    let call = || modern_call("1", "echo");
    let without_meta = |member: &str| {
        let ask = call();
        let body = String::from_utf8(ask.body.to_vec()).unwrap().replace(META, member);
        Ask { body: body.into(), ..ask }
    };
    vec![
        ("no method", -32_020, call().without("mcp-method")),
        ("other method", -32_020, call().header("mcp-method", "tools/list")),
        ("method in capitals", -32_020, call().header("mcp-method", "Tools/Call")),
        ("method twice", -32_020, call().another("mcp-method", "tools/call")),
        ("no name", -32_020, call().without("mcp-name")),
        ("other name", -32_020, call().header("mcp-name", "wipe")),
        ("name twice", -32_020, call().another("mcp-name", "echo")),
        ("bad base64", -32_020, call().header("mcp-name", "=?base64?!?=")),
        ("no version", -32_020, call().without("mcp-protocol-version")),
        ("older version", -32_020, call().header("mcp-protocol-version", "2025-11-25")),
        ("no meta", -32_602, without_meta(r#""_meta":{}"#)),
        (
            "no capabilities",
            -32_602,
            without_meta(r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#),
        ),
    ]
}

#[tokio::test]
async fn headers_must_say_what_the_body_says() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    for (what, expected, ask) in mismatches() {
        let reply = rig.send(ask).await;
        assert_eq!(reply.status, 400, "{what}");
        let message = reply.message().await;
        assert_eq!(code(&message), expected, "{what}");
        assert_eq!(message["id"], 1, "{what}");
        let words =
            if expected == -32_020 { "malformed.header-mismatch" } else { "malformed.meta" };
        assert_eq!(reason(&message), words, "{what}");
    }
    let trail = rig.stop().await;
    let recorded: Vec<_> =
        trail.refusals().iter().map(|e| e.refusal.as_ref().unwrap().code).collect();
    assert_eq!(recorded, mismatches().iter().map(|(_, code, _)| *code).collect::<Vec<_>>());
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn headers_that_agree_in_another_form_pass() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    let encoded = modern_call("1", "echo").header("mcp-name", "=?base64?ZWNobw==?=");
    assert_eq!(rig.send(encoded).await.status, 200);
    let padded = modern_call("1", "echo").header("mcp-method", "  tools/call\t");
    assert_eq!(rig.send(padded).await.status, 200);
    let uri =
        modern("1", "resources/read", Some("=?base64?ZmlsZTovLy/DqQ==?="), r#""uri":"file:///é""#);
    assert_eq!(rig.send(uri).await.status, 200);
    let trail = rig.stop().await;
    assert_eq!(trail.calls("tools/call").len(), 2);
    let read = trail.call("resources/read");
    assert_eq!(read.asked.resource.as_ref().unwrap().names, ["file:///é"]);
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn only_known_hosts_and_origins_are_served() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let origins = vec!["https://app.example".to_owned()];
    let rig = Plan { origins, ..Plan::http(&upstream) }.start().await;
    let address = rig.address.to_string();
    let call = || modern_call("1", "echo");
    let refused = [
        ("http.host", 40_310, call().header("host", "evil.example.com")),
        ("http.host", 40_310, call().header("host", &address).another("host", "evil.example.com")),
        ("http.origin", 40_311, call().header("origin", "http://evil.example.com")),
        ("http.origin", 40_311, call().header("origin", "null")),
    ];
    for (expected, expected_code, ask) in refused.clone() {
        let reply = rig.send(ask).await;
        assert_eq!(reply.status, 403, "{expected}");
        let message = reply.message().await;
        assert_eq!((reason(&message), code(&message)), (expected, expected_code));
    }
    assert_eq!(rig.send(call().header("origin", "https://app.example")).await.status, 200);
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, refused.iter().map(|(reason, _, _)| *reason).collect::<Vec<_>>());
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn headers_of_arguments_must_not_contradict_them_once_the_schema_is_known() {
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[{"name":"echo","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}}"#;
    let upstream = Upstream::start(move |seen| async move {
        let is_list = seen.rpc_method().as_deref() == Some("tools/list");
        Some(json(if is_list { list.to_owned() } else { result("1") }))
    })
    .await;
    let rig = Plan::http(&upstream).start().await;
    let call = |region: &str| {
        modern("1", "tools/call", Some("echo"), r#""name":"echo","arguments":{"region":"eu"}"#)
            .header("mcp-param-region", region)
    };
    assert_eq!(rig.send(call("us")).await.status, 200, "nothing is known of the tool yet");
    assert_eq!(rig.send(modern("1", "tools/list", None, "")).await.status, 200);
    let refused = rig.send(call("us")).await;
    assert_eq!((refused.status, code(&refused.message().await)), (400, -32_020));
    assert_eq!(rig.send(call("eu")).await.status, 200);
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "malformed.header-mismatch");
}
