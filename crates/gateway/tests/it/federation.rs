//! Several servers behind one endpoint: names, lists, calls, sessions, and servers that fail.

use crate::client::{Ask, Reply};
use crate::messages::{
    INITIALIZE, INITIALIZED, call_body, code, initialize, legacy, legacy_call, modern, modern_call,
    reason,
};
use crate::rig::{Plan, Rig};
use crate::trail;
use crate::upstream::{Answer, Seen, Upstream, empty, events, json, opened_of, typed, with};
use event::{Event, Status, Transport};
use gateway::{AdmittedCall, AnsweredCall, Observer, RefusedCall, ServerObserver, Span};
use http::Method;
use serde_json::{Value, json as value};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A server that knows both eras and answers at once; its items carry its name.
async fn fake(name: &'static str) -> Upstream {
    Upstream::start(move |seen| async move { Some(answer(name, &seen)) }).await
}

fn answer(name: &str, seen: &Seen) -> Answer {
    let message = seen.message().unwrap_or_default();
    let result = match seen.rpc_method().as_deref() {
        Some("initialize") => {
            return opened_as(name, &message);
        }
        Some("notifications/initialized" | "notifications/cancelled") => return empty(202),
        Some("server/discover") => value!({"resultType": "complete",
            "supportedVersions": ["2026-07-28"], "ttlMs": 1000, "cacheScope": "public",
            "capabilities": {"tools": {}, name: {}}, "instructions": format!("I am {name}")}),
        Some("tools/list") => return tools(name, &message),
        Some("tools/call") => value!({"content": [{"type": "resource_link",
            "uri": format!("{name}://made"), "name": message["params"]["name"]}]}),
        Some("resources/list") => value!({"resources": [{"uri": "file:///a", "name": name}]}),
        Some("resources/read") => value!({"contents": [{"uri": message["params"]["uri"]}]}),
        Some("ping" | "logging/setLevel") => value!({}),
        _ if seen.method == Method::DELETE => return empty(204),
        _ if seen.method == Method::GET => return empty(405),
        _ => {
            let error = value!({"jsonrpc": "2.0", "id": message["id"],
                "error": {"code": -32601, "message": "no such method"}});
            return json(error.to_string());
        }
    };
    json(value!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
}

fn opened_as(name: &str, message: &Value) -> Answer {
    let capabilities = value!({"tools": {}, "resources": {"subscribe": name == "one"}});
    let result = value!({"protocolVersion": message["params"]["protocolVersion"],
        "capabilities": capabilities, "serverInfo": {"name": name, "version": "1"},
        "instructions": format!("I am {name}")});
    let body = value!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    with(json(body.to_string()), "mcp-session-id", &format!("session-of-{name}"))
}

/// Two pages, one tool each; numbers keep their form.
fn tools(name: &str, message: &Value) -> Answer {
    let id = &message["id"];
    let cursor = message["params"]["cursor"].as_str();
    let (tool, next) = match cursor {
        None => ("first", r#","nextCursor":"p2""#),
        Some("p2") => ("second", ""),
        Some(other) => panic!("a cursor that nobody gave: {other}"),
    };
    json(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"ttlMs":{},"cacheScope":"public","tools":[{{ "inputSchema":{{"n":1.00}},"name":"{tool}","title":"{name}"}}]{next}}}}}"#,
        if name == "one" { 500 } else { 2000 },
    ))
}

/// A listener that is gone: nobody answers there.
fn dead() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
}

async fn two() -> (Upstream, Upstream, Rig) {
    let (one, two) = (fake("one").await, fake("two").await);
    let rig = Plan::http(&one).and("two", two.address).start().await;
    (one, two, rig)
}

async fn ask(rig: &Rig, ask: Ask) -> Value {
    let reply = rig.send(ask).await;
    assert_eq!(reply.status, 200);
    reply.message().await
}

/// What a server was asked for, but for how it was found out which era it speaks.
fn asked(server: &Upstream) -> Vec<Seen> {
    let probes = |seen: &Seen| seen.rpc_method().as_deref() == Some("server/discover");
    server.seen().into_iter().filter(|seen| !probes(seen)).collect()
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let items = list["result"][key].as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// All of them have the same root, which is the call of nobody else.
fn one_root<'e>(events: impl IntoIterator<Item = &'e Event>) {
    let roots: Vec<_> = events.into_iter().map(|event| event.root.unwrap()).collect();
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "{roots:?}");
}

/// How a server answers the gateway's own `server/discover`.
const STATELESS: &str = r#"{"jsonrpc":"2.0","id":"era","result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}}"#;

/// Long enough for a server that answers, on a machine that has much to do.
const GIVEN_UP: Duration = Duration::from_secs(4);

#[tokio::test]
async fn lists_come_together_page_by_page_and_item_by_item() {
    let (_one, _two, rig) = two().await;
    let reply = rig.send(modern("1", "tools/list", None, "")).await;
    let text = String::from_utf8(reply.bytes().await.to_vec()).unwrap();
    assert!(
        text.contains(r#"{ "inputSchema":{"n":1.00},"name":"srv__first","title":"one"}"#),
        "{text}"
    );
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(names(&list, "tools"), ["srv__first", "two__first"]);
    let result = &list["result"];
    assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&value!(500), &value!("public")));
    assert_eq!(result["resultType"], "complete");
    let cursor = format!(r#""cursor":{}"#, result["nextCursor"]);
    let rest = ask(&rig, modern("2", "tools/list", None, &cursor)).await;
    assert_eq!(names(&rest, "tools"), ["srv__second", "two__second"]);
    assert_eq!(rest["result"].get("nextCursor"), None);
    // A cursor of another list, a changed one, one of another type.
    for (method, cursor) in [
        ("prompts/list", cursor.as_str()),
        ("tools/list", r#""cursor":"p2""#),
        ("tools/list", r#""cursor":7"#),
    ] {
        let refused = ask(&rig, modern("3", method, None, cursor)).await;
        assert_eq!((code(&refused), reason(&refused)), (-32602, "federation.bad-cursor"));
    }
    let trail = rig.stop().await;
    let calls = trail.calls("tools/list");
    assert_eq!(calls.len(), 4);
    one_root(calls[..2].iter().map(|call| call.asked));
    assert_ne!(calls[0].asked.root, calls[2].asked.root);
    assert_eq!(trail.refusals().len(), 3);
}

#[tokio::test]
async fn a_call_goes_to_the_server_of_its_prefix_under_its_own_name() {
    let (one, two, rig) = two().await;
    let called = ask(&rig, modern_call("1", "two__echo")).await;
    assert_eq!(called["result"]["content"][0]["uri"], "two+two://made");
    assert_eq!(called["result"]["content"][0]["name"], "echo");
    let seen = asked(&two);
    assert_eq!((one.seen().len(), seen.len()), (0, 1));
    assert_eq!(seen[0].headers["mcp-name"], "echo");
    let sent = String::from_utf8(seen[0].body.to_vec()).unwrap();
    assert!(sent.contains(r#""params":{"name":"echo","arguments":{}"#), "{sent}");
    let uri = r#""uri":"srv+file:///a""#;
    let read = ask(&rig, modern("2", "resources/read", Some("srv+file:///a"), uri)).await;
    assert_eq!(read["result"]["contents"][0]["uri"], "srv+file:///a");
    assert_eq!(asked(&one)[0].headers["mcp-name"], "file:///a");
    let trail = rig.stop().await;
    let call = trail.call("tools/call");
    let resource = call.asked.resource.as_ref().unwrap();
    assert_eq!((resource.server.as_str(), resource.names[0].as_str()), ("two", "echo"));
    assert!(call.asked.root.is_some());
    assert_eq!(call.status(), Status::Ok);
}

#[tokio::test]
async fn policies_see_the_server_and_its_own_name_for_the_tool() {
    let (one, _two, rig) = two().await;
    let refused = ask(&rig, modern_call("1", "srv__wipe")).await;
    assert_eq!(reason(&refused), "policy.forbid");
    assert!(asked(&one).is_empty());
    let other = ask(&rig, modern_call("2", "two__wipe")).await;
    assert!(other["result"].is_object());
    let trail = rig.stop().await;
    let refusal = trail.refusal();
    assert_eq!(refusal.resource.as_ref().unwrap().names, ["wipe"]);
    assert!(refusal.root.is_some());
}

#[tokio::test]
async fn names_of_nobody_are_refused_and_on_record() {
    let (one, two, rig) = two().await;
    for tool in ["echo", "three__echo", "Two__echo", "two_echo"] {
        let refused = ask(&rig, modern_call("1", tool)).await;
        assert_eq!((code(&refused), reason(&refused)), (-32602, "federation.unknown-name"));
    }
    let reply = rig.send(modern("2", "vendor/thing", None, "")).await;
    assert_eq!(reply.status, 404);
    assert_eq!(code(&reply.message().await), -32601);
    // Headers must say what the body says, here too.
    let differs = rig.send(modern_call("3", "two__echo").header("mcp-name", "echo")).await;
    assert_eq!(differs.status, 400);
    let nobody = modern_call("4", "two__echo").send(rig.address).await;
    assert_eq!(nobody.status, 401);
    assert!(one.seen().is_empty() && two.seen().is_empty());
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons.iter().filter(|r| **r == "federation.unknown-name").count(), 4);
    assert_eq!(
        reasons[4..],
        ["federation.unknown-method", "malformed.header-mismatch", "identity.missing"]
    );
    assert_eq!(trail.refusals()[0].actor.as_ref().unwrap().id, "alice");
}

#[tokio::test]
async fn a_dead_and_a_slow_server_degrade_themselves_only() {
    let (one, slow) = (fake("one").await, Upstream::held().await);
    let rig = Plan::http(&one)
        .and("dead", dead())
        .and("slow", slow.0.address)
        .limits(|limits| limits.member_timeout = GIVEN_UP)
        .start()
        .await;
    let list = ask(&rig, modern("1", "tools/list", None, "")).await;
    assert_eq!(names(&list, "tools"), ["srv__first"]);
    assert_eq!(list["result"]["_meta"]["dev.countersign/unavailable"], value!(["dead", "slow"]));
    assert_eq!(list["result"]["cacheScope"], "private");
    let failed = rig.send(modern_call("2", "dead__echo")).await;
    assert_eq!((failed.status, reason(&failed.message().await)), (502, "upstream.unreachable"));
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail
        .calls("tools/list")
        .iter()
        .map(|call| (call.asked.resource.as_ref().unwrap().server.clone(), call.status()))
        .collect();
    assert_eq!(statuses.len(), 2);
    assert!(statuses.contains(&("srv".to_owned(), Status::Ok)));
    assert!(statuses.contains(&("dead".to_owned(), Status::Unreachable)));
    // This one did not even say which era it speaks.
    let probes = trail.calls("server/discover");
    let slow = |event: &Event| event.resource.as_ref().unwrap().server == "slow";
    let probe = probes.iter().find(|call| slow(call.asked)).unwrap();
    assert_eq!(probe.status(), Status::Cancelled);
    one_root(trail.calls("tools/list").iter().map(|call| call.asked));
}

#[tokio::test]
async fn when_nobody_answers_the_client_learns_why() {
    let rig = Plan::at(dead()).and("two", dead()).start().await;
    for ask in [modern("1", "tools/list", None, ""), modern("2", "server/discover", None, "")] {
        let reply = rig.send(ask).await;
        assert_eq!((reply.status, reason(&reply.message().await)), (502, "upstream.unreachable"));
    }
    let reply = rig.send(initialize()).await;
    assert_eq!((reply.status, reply.headers.get("mcp-session-id")), (502, None));
    rig.stop().await;
}

#[tokio::test]
async fn discovery_says_what_all_of_them_say() {
    let (_one, _two, rig) = two().await;
    let found = ask(&rig, modern("1", "server/discover", None, "")).await;
    let result = &found["result"];
    assert_eq!(result["supportedVersions"], value!(["2026-07-28"]));
    assert_eq!(result["capabilities"], value!({"tools": {}, "one": {}, "two": {}}));
    assert_eq!(result["instructions"], "srv:\nI am one\n\ntwo:\nI am two");
    assert_eq!((&result["ttlMs"], &result["resultType"]), (&value!(1000), &value!("complete")));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "gw");
    rig.stop().await;
}

#[tokio::test]
async fn a_session_has_one_at_each_server_behind_it() {
    let (one, two, rig) = two().await;
    let reply = rig.send(initialize()).await;
    let session = reply.session();
    let result = reply.message().await["result"].take();
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert_eq!(result["serverInfo"]["name"], "gw");
    assert_eq!(result["capabilities"]["resources"]["subscribe"], true);
    assert_eq!(result["instructions"], "srv:\nI am one\n\ntwo:\nI am two");
    assert_eq!(one.seen()[0].body, INITIALIZE);
    assert_eq!(rig.send(legacy(&session, INITIALIZED)).await.status, 202);
    let called = ask(&rig, legacy_call(&session, "1", "two__echo")).await;
    assert_eq!(called["result"]["content"][0]["name"], "echo");
    assert_eq!(two.seen()[2].headers["mcp-session-id"], "session-of-two");
    let list = legacy(&session, r#"{"jsonrpc":"2.0","id":2,"method":"resources/list"}"#);
    let list = ask(&rig, list).await;
    let uris: Vec<_> =
        list["result"]["resources"].as_array().unwrap().iter().map(|r| &r["uri"]).collect();
    assert_eq!(uris, ["srv+file:///a", "two+file:///a"]);
    // Nobody offers prompts, so nobody is asked for them.
    let before = one.seen().len();
    let none = legacy(&session, r#"{"jsonrpc":"2.0","id":3,"method":"prompts/list"}"#);
    assert_eq!(ask(&rig, none).await["result"]["prompts"], value!([]));
    assert_eq!(one.seen().len(), before);
    let ping = legacy(&session, r#"{"jsonrpc":"2.0","id":4,"method":"ping"}"#);
    assert_eq!(ask(&rig, ping).await["result"], value!({}));
    let stranger = rig.send_as("mallory", legacy_call(&session, "5", "two__echo")).await;
    assert_eq!((stranger.status, reason(&stranger.message().await)), (404, "session.unknown"));
    let sessionless = rig.send(Ask::post(call_body("6", "two__echo"))).await;
    assert_eq!(sessionless.status, 404);
    assert_eq!(rig.send(Ask::new(Method::DELETE).session(&session)).await.status, 200);
    assert_eq!(one.seen().last().unwrap().method, Method::DELETE);
    assert_eq!(rig.send(legacy_call(&session, "7", "two__echo")).await.status, 404);
    let trail = rig.stop().await;
    assert_eq!(trail.calls("http/delete").len(), 2);
    one_root(trail.calls("initialize").iter().map(|call| call.asked));
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["session.of-another", "session.unknown", "session.unknown"]);
}

#[tokio::test]
async fn members_that_chose_a_later_revision_are_asked_for_the_earlier() {
    let old = Upstream::start(|seen| async move {
        let body = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"old","version":"1"}}}"#;
        match seen.rpc_method().as_deref() {
            Some("initialize") => Some(with(json(body), "mcp-session-id", "s-old")),
            _ => Some(empty(202)),
        }
    })
    .await;
    let one = fake("one").await;
    let rig = Plan::http(&one).and("old", old.address).start().await;
    let reply = rig.send(initialize()).await;
    let result = reply.message().await["result"].take();
    assert_eq!(result["protocolVersion"], "2025-06-18");
    let asked: Vec<_> = one.seen().iter().map(|seen| seen.message()).collect();
    assert_eq!(asked.len(), 3, "opened, ended, opened again");
    let version = |at: usize| asked[at].as_ref().unwrap()["params"]["protocolVersion"].clone();
    assert_eq!((version(0), version(2)), (value!("2025-11-25"), value!("2025-06-18")));
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_lost_its_session_gets_another_one() {
    let lives = Arc::new(Mutex::new(0_u32));
    let count = Arc::clone(&lives);
    let restarted = Upstream::start(move |seen| {
        let count = Arc::clone(&count);
        async move {
            let life = *count.lock().unwrap();
            let id = seen.headers.get("mcp-session-id").cloned();
            match (seen.rpc_method().as_deref(), id) {
                (Some("initialize"), _) => Some(opened_of(&format!("life-{life}"), "2025-11-25")),
                (_, Some(id)) if id == format!("life-{life}") => Some(answer("one", &seen)),
                _ => Some(typed(404, "application/json", "{}")),
            }
        }
    })
    .await;
    let two = fake("two").await;
    let rig = Plan::http(&restarted).and("two", two.address).start().await;
    let session = rig.session().await;
    assert!(ask(&rig, legacy_call(&session, "1", "srv__echo")).await["result"].is_object());
    *lives.lock().unwrap() = 1;
    assert!(ask(&rig, legacy_call(&session, "2", "srv__echo")).await["result"].is_object());
    let methods: Vec<_> = restarted.seen().iter().filter_map(Seen::rpc_method).collect();
    let ends = ["tools/call", "initialize", "notifications/initialized", "tools/call"];
    assert_eq!(methods[methods.len() - 4..], ends);
    rig.stop().await;
}

#[tokio::test]
async fn answers_stream_through_and_questions_find_their_way_back() {
    let (one, mut waiting) = Upstream::with_sessions().await;
    let two = fake("two").await;
    let rig = Plan::http(&one).and("two", two.address).start().await;
    let session = rig.session().await;
    let token = rig.token("alice");
    let address = rig.address;
    let call = legacy_call(&session, "7", "srv__echo").token(&token);
    let sent = tokio::spawn(call.send(address));
    let stream = waiting.next().await.stream();
    let question = r#"{"jsonrpc":"2.0","id":3,"method":"roots/list"}"#;
    stream.send(&format!("id: e1\nevent: message\ndata: {question}\n\n")).await;
    let mut reply: Reply = sent.await.unwrap();
    let shown = reply.event().await;
    assert!(shown.starts_with("id: srv:e1\nevent: message\ndata: "), "{shown}");
    assert!(shown.contains(r#""id":"srv:3""#), "{shown}");
    let answer = legacy(&session, r#"{"jsonrpc":"2.0","id":"srv:3","result":{"roots":[]}}"#);
    let answered = tokio::spawn(answer.token(&token).send(address));
    let held = waiting.next().await;
    assert_eq!(held.seen.body, r#"{"jsonrpc":"2.0","id":3,"result":{"roots":[]}}"#);
    held.answer(empty(202));
    assert_eq!(answered.await.unwrap().status, 202);
    // So does one with the longest id that there can be, which is longer as the client knows it.
    let long = format!(r#""{}""#, "\\u0041".repeat(256));
    stream.message(&question.replace('3', &long)).await;
    let seen = reply.event().await;
    let seen: Value =
        serde_json::from_str(seen.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"roots":[]}}}}"#, seen["id"]);
    let answered = tokio::spawn(legacy(&session, answer).token(&token).send(address));
    let held = waiting.next().await;
    assert_eq!(
        held.seen.body,
        format!(r#"{{"jsonrpc":"2.0","id":{long},"result":{{"roots":[]}}}}"#)
    );
    held.answer(empty(202));
    assert_eq!(answered.await.unwrap().status, 202);
    // What is cancelled is told to the server that has it, and to no other.
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    let cancelled = tokio::spawn(legacy(&session, cancel).token(&token).send(address));
    let held = waiting.next().await;
    assert_eq!(held.seen.rpc_method().as_deref(), Some("notifications/cancelled"));
    held.answer(empty(202));
    assert_eq!(cancelled.await.unwrap().status, 202);
    stream.abandoned().await;
    assert!(
        !two.seen().iter().any(|s| s.rpc_method().as_deref() == Some("notifications/cancelled"))
    );
    let forged = legacy(&session, r#"{"jsonrpc":"2.0","id":"two:3","result":{}}"#);
    assert_eq!(rig.send(forged).await.status, 400);
    let close =
        tokio::spawn(Ask::new(Method::DELETE).session(&session).token(&token).send(address));
    waiting.next().await.answer(empty(204));
    assert_eq!(close.await.unwrap().status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_what_was_asked_for_it() {
    let (one, mut waiting) = Upstream::held().await;
    let two = fake("two").await;
    let rig = Plan::http(&one).and("two", two.address).start().await;
    let token = rig.token("alice");
    let gone = tokio::spawn(modern_call("1", "srv__echo").token(&token).send(rig.address));
    waiting.next().await.answer(json(STATELESS));
    let held = waiting.next().await;
    gone.abort();
    held.abandoned().await;
    let trail = rig.until(|trail| trail.is_settled()).await;
    assert_eq!(trail.call("tools/call").status(), Status::Cancelled);
    rig.stop().await;
}

#[tokio::test]
async fn the_streams_of_a_session_are_one() {
    let (one, mut first) = Upstream::with_sessions().await;
    let (two, mut second) = Upstream::with_sessions().await;
    let rig = Plan::http(&one).and("two", two.address).and("dead", dead()).start().await;
    let session = rig.session().await;
    let token = rig.token("alice");
    let listen = |last: Option<&str>| {
        let ask = Ask::new(Method::GET).session(&session).token(&token);
        last.map_or(ask.clone(), |last| ask.header("last-event-id", last)).send(rig.address)
    };
    let listening = tokio::spawn(listen(None));
    let (a, b) = (first.next().await.stream(), second.next().await.stream());
    let mut reply = listening.await.unwrap();
    let updated =
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}"#;
    b.send(&format!("id: e9\ndata: {updated}\n\n")).await;
    let shown = reply.event().await;
    assert!(shown.starts_with("id: two+e9\n") && shown.contains(r#""uri":"two+x:1""#), "{shown}");
    let changed = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}";
    a.message(changed).await;
    assert_eq!(reply.event().await, crate::messages::event(changed));
    // One of them breaks off; the other goes on.
    a.break_off().await;
    b.message(changed).await;
    assert_eq!(reply.event().await, crate::messages::event(changed));
    drop(reply);
    b.abandoned().await;
    // The rest of an answer is had from its server alone.
    let resumed = tokio::spawn(listen(Some("two:e4")));
    let held = second.next().await;
    assert_eq!(held.seen.headers["last-event-id"], "e4");
    let rest = held.stream();
    let mut reply = resumed.await.unwrap();
    rest.message(changed).await;
    reply.event().await;
    drop(rest);
    drop(reply);
    rig.stop().await;
}

#[tokio::test]
async fn a_subscription_is_split_and_its_streams_are_one() {
    let (one, mut first) = Upstream::held().await;
    let (two, mut second) = Upstream::held().await;
    let rig = Plan::http(&one).and("two", two.address).start().await;
    let params = r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["two+x:1"]}"#;
    let token = rig.token("alice");
    let ask = modern("9", "subscriptions/listen", None, params).token(&token);
    let listening = tokio::spawn(ask.send(rig.address));
    first.next().await.answer(json(STATELESS));
    second.next().await.answer(json(STATELESS));
    let (held_one, held_two) = (first.next().await, second.next().await);
    let wanted = |held: &crate::upstream::Held| {
        held.seen.message().unwrap()["params"]["notifications"].take()
    };
    assert_eq!(wanted(&held_one), value!({"toolsListChanged": true, "resourceSubscriptions": []}));
    assert_eq!(wanted(&held_two)["resourceSubscriptions"], value!(["x:1"]));
    let acknowledged = |subscriptions: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":9}},"notifications":{subscriptions}}}}}"#
        )
    };
    let (a, b) = (held_one.stream(), held_two.stream());
    a.message(&acknowledged(r#"{"toolsListChanged":true}"#)).await;
    b.message(&acknowledged(r#"{"resourceSubscriptions":["x:1"]}"#)).await;
    let mut reply = listening.await.unwrap();
    let shown = reply.event().await;
    let data: Value = serde_json::from_str(shown.split_once("data: ").unwrap().1).unwrap();
    assert_eq!(
        data["params"]["notifications"],
        value!({"toolsListChanged": true, "resourceSubscriptions": ["two+x:1"]})
    );
    assert_eq!(data["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 9);
    b.message(
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}"#,
    )
    .await;
    assert!(reply.event().await.contains(r#""uri":"two+x:1""#));
    // The end of one is not the end of all.
    let end = r#"{"jsonrpc":"2.0","id":9,"result":{"resultType":"complete"}}"#;
    a.message(end).await;
    drop(a);
    b.message(end).await;
    drop(b);
    let last = reply.event().await;
    assert!(last.contains(r#""id":9"#) && last.contains("subscriptionId"), "{last}");
    let trail = rig.stop().await;
    let calls = trail.calls("subscriptions/listen");
    one_root(calls.iter().map(|call| call.asked));
    assert!(calls.iter().any(|call| call.asked.resource.as_ref().unwrap().names == ["x:1"]));
}

#[tokio::test]
async fn every_server_keeps_an_endpoint_of_its_own() {
    let (one, _two, rig) = two().await;
    let ask = Ask { path: "/s/srv/mcp".to_owned(), ..modern_call("1", "echo") };
    let reply = rig.send(ask).await;
    assert_eq!(reply.message().await["result"]["content"][0]["uri"], "one://made");
    assert_eq!(one.seen().len(), 1);
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").asked.root, None);
}

#[tokio::test]
async fn lists_may_come_as_streams() {
    let streaming = Upstream::start(|seen| async move {
        let id = seen.message()?["id"].clone();
        let (stream, answer) = events();
        tokio::spawn(async move {
            stream.send("id: 0\ndata:\n\n").await;
            let list =
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{{"name":"t"}}]}}}}"#);
            stream.message(&list).await;
        });
        Some(answer)
    })
    .await;
    let one = fake("one").await;
    let rig = Plan::http(&one).and("two", streaming.address).start().await;
    let list = ask(&rig, modern("1", "tools/list", None, "")).await;
    assert_eq!(names(&list, "tools"), ["srv__first", "two__t"]);
    assert_eq!(list["result"]["ttlMs"], 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_batch_goes_to_all_that_its_messages_name() {
    let (_one, _two, rig) = two().await;
    let older = INITIALIZE.replace("2025-11-25", "2025-03-26");
    let session = rig.send(Ask::post(older)).await.session();
    let within = |body: String| Ask::post(body).session(&session);
    let notice = INITIALIZED.to_owned();
    let calls = [call_body("1", "srv__echo"), call_body("2", "two__echo"), call_body("3", "x__y")];
    let list = r#"{"jsonrpc":"2.0","id":4,"method":"resources/list"}"#;
    let batch = format!("[{notice},{},{list}]", calls.join(","));
    let answers = ask(&rig, within(batch)).await;
    let by_id = |id: u64| answers.as_array().unwrap().iter().find(|a| a["id"] == id).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 4);
    assert_eq!(by_id(1)["result"]["content"][0]["uri"], "srv+one://made");
    assert_eq!(by_id(2)["result"]["content"][0]["uri"], "two+two://made");
    assert_eq!(reason(by_id(3)), "federation.unknown-name");
    assert_eq!(by_id(4)["result"]["resources"].as_array().unwrap().len(), 2);
    // Not outside of a session that has them, and not to begin one.
    let newer = rig.session().await;
    for ask in [
        legacy(&newer, format!("[{}]", calls[0])),
        Ask::post(format!("[{}]", calls[0])),
        within(format!("[{INITIALIZE}]")),
    ] {
        let reply = rig.send(ask).await;
        assert_eq!((reply.status, reason(&reply.message().await)), (400, "malformed.batch"));
    }
    let trail = rig.stop().await;
    let root = trail.calls("tools/call")[0].asked.root;
    assert!(root.is_some());
    one_root(trail.calls("tools/call").iter().map(|call| call.asked));
    assert_eq!(trail.calls("resources/list")[0].asked.root, root);
    assert_eq!(trail.refusals()[0].root, root);
}

#[tokio::test]
async fn clients_of_http_sse_have_all_servers_too() {
    let (one, two, rig) = two().await;
    let at = |method, path: &str, body: &str| Ask {
        path: path.to_owned(),
        method,
        ..Ask::post(body.to_owned())
    };
    let mut stream = rig.send(at(Method::GET, "/sse", "")).await;
    let first = stream.event().await;
    let endpoint = first.strip_prefix("event: endpoint\ndata: ").unwrap().trim().to_owned();
    assert!(endpoint.starts_with("/message?sessionId="), "{endpoint}");
    for (body, answered) in [
        (INITIALIZE.to_owned(), true),
        (INITIALIZED.to_owned(), false),
        (call_body("1", "two__echo"), true),
    ] {
        assert_eq!(rig.send(at(Method::POST, &endpoint, &body)).await.status, 202);
        if answered {
            let event = stream.event().await;
            assert!(event.contains("\"result\""), "{event}");
        }
    }
    let stranger = rig.send_as("mallory", at(Method::POST, &endpoint, INITIALIZED)).await;
    assert_eq!(stranger.status, 404);
    drop(stream);
    let ended = |trail: &trail::Trail| trail.calls("http/delete").len() == 2 && trail.is_settled();
    let trail = rig.until(ended).await;
    assert_eq!(trail.call("tools/call").asked.environment.transport, Some(Transport::HttpSse));
    assert!([&one, &two].iter().all(|s| s.seen().iter().any(|seen| seen.method == Method::DELETE)));
    rig.stop().await;
}

#[tokio::test]
async fn a_list_that_policy_forbids_is_named() {
    let (one, two) = (fake("one").await, fake("two").await);
    let plan = Plan::http(&one).and("two", two.address);
    let forbids =
        r#"forbid (principal, action == Action::"tools/list", resource == Server::"srv");"#;
    let rig = Plan { policy: format!("{}\n@id(\"no-list\")\n{forbids}", plan.policy), ..plan };
    let rig = rig.start().await;
    let list = ask(&rig, modern("1", "tools/list", None, "")).await["result"].take();
    assert_eq!(list["tools"].as_array().unwrap().len(), 1);
    assert_eq!(list["_meta"]["dev.countersign/forbidden"], value!(["srv"]));
    assert_eq!(list["cacheScope"], "private");
    let trail = rig.stop().await;
    assert_eq!(trail::reason(trail.refusal()), "policy.forbid");
    assert_eq!(trail.refusal().resource.as_ref().unwrap().server, "srv");
}

/// Remembers what was refused where.
#[derive(Debug, Default, Clone)]
struct Refused(Arc<Mutex<Vec<(String, String)>>>);

#[derive(Debug)]
struct RefusedAt(String, Refused);

impl Observer for Refused {
    fn server(&self, name: &str) -> Arc<dyn ServerObserver> {
        Arc::new(RefusedAt(name.to_owned(), self.clone()))
    }
}

impl ServerObserver for RefusedAt {
    fn admitted(&self, _call: &AdmittedCall<'_>) -> Option<Box<dyn Span>> {
        None
    }

    fn refused(&self, call: &RefusedCall<'_>) {
        self.1.0.lock().unwrap().push((self.0.clone(), call.reason.to_owned()));
    }

    fn answered(&self, _call: &AnsweredCall) {}

    fn recorded(&self, _waited: Duration) {}
}

#[tokio::test]
async fn refusals_that_concern_no_server_are_observed() {
    let (one, two) = (fake("one").await, fake("two").await);
    let observer = Refused::default();
    let plan = Plan::http(&one).and("two", two.address);
    let rig = Plan { observer: Arc::new(observer.clone()), ..plan }.start().await;
    assert_eq!(code(&ask(&rig, modern_call("1", "x__y")).await), -32602);
    let encoded = modern_call("2", "srv__echo").header("content-encoding", "gzip");
    assert_eq!(rig.send(encoded).await.status, 415);
    assert_eq!(reason(&ask(&rig, modern_call("3", "srv__wipe")).await), "policy.forbid");
    let wanted = [
        ("*", "federation.unknown-name"),
        ("*", "malformed.content-encoding"),
        ("srv", "policy.forbid"),
    ];
    let seen = observer.0.lock().unwrap().clone();
    let wanted: Vec<_> = wanted.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(seen, wanted);
    rig.stop().await;
}
