//! Servers of the older revisions for clients of the stateless one, on the endpoint of all servers.

use crate::client::Ask;
use crate::messages::{
    INITIALIZE, INITIALIZED, code, initialize, legacy, legacy_call, modern, modern_call, reason,
};
use crate::rig::{Plan, Rig, SOON};
use crate::trail;
use crate::upstream::{Answer, Held, Seen, Upstream, Waiting, empty, events, json, typed, with};
use event::Status;
use http::Method;
use serde_json::{Value, json as value};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server that knows sessions only, of the revision 2025-11-25.
async fn older() -> Upstream {
    let opened = Arc::new(Mutex::new(0_u32));
    Upstream::start(move |seen| {
        let named = seen.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let session = named.unwrap_or_else(|| {
            let mut opened = opened.lock().unwrap();
            *opened += u32::from(seen.rpc_method().as_deref() == Some("initialize"));
            format!("s-{opened}")
        });
        async move { Some(answer(&seen, &session)) }
    })
    .await
}

/// Everything but the handshake belongs to this session.
fn answer(seen: &Seen, session: &str) -> Answer {
    let message = seen.message().unwrap_or_default();
    let id = &message["id"];
    let result = match seen.rpc_method().as_deref() {
        Some("initialize") => return opened(session),
        _ if seen.headers.get("mcp-session-id").is_none() => return sessionless(),
        _ if seen.headers["mcp-session-id"] != session => {
            return typed(404, "application/json", "{}");
        }
        _ if seen.method == Method::DELETE => return empty(204),
        None => return empty(405),
        Some(notice) if notice.starts_with("notifications/") => return empty(202),
        Some("tools/list") => {
            value!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]})
        }
        Some("tools/call") => value!({"content": [], "of": message["params"]}),
        Some("logging/setLevel") => value!({}),
        Some("resources/read") => {
            let error = value!({"code": -32002, "message": "no such resource"});
            return json(value!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
        }
        _ => {
            let error = value!({"code": -32601, "message": "no such method"});
            return json(value!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
        }
    };
    json(value!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

fn opened(session: &str) -> Answer {
    let result = value!({"protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}, "logging": {}, "resources": {"subscribe": true}, "tasks": {}},
        "serverInfo": {"name": "older", "version": "1"}, "instructions": "I am older"});
    let body = value!({"jsonrpc": "2.0", "id": 0, "result": result});
    with(json(body.to_string()), "mcp-session-id", session)
}

fn sessionless() -> Answer {
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Server not initialized"}}"#;
    typed(400, "application/json", error)
}

/// A server that speaks 2026-07-28 only.
async fn newer() -> Upstream {
    Upstream::start(|seen| async move {
        let message = seen.message()?;
        let meta = &message["params"]["_meta"];
        let id = &message["id"];
        let error = |status, code| {
            let error = value!({"code": code, "message": "refused"});
            let body = value!({"jsonrpc": "2.0", "id": id, "error": error});
            Some(typed(status, "application/json", body.to_string()))
        };
        let result = match seen.rpc_method().as_deref() {
            _ if meta["io.modelcontextprotocol/protocolVersion"].is_null() => {
                return error(400, -32602);
            }
            Some("server/discover") => value!({"supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}}, "instructions": "I am newer",
                "ttlMs": 10, "cacheScope": "public"}),
            Some("tools/list") => value!({"tools": [{"name": "now"}], "ttlMs": 10,
                "cacheScope": "public"}),
            Some("tools/call") => value!({"content": [], "of": message["params"]}),
            _ => return error(404, -32601),
        };
        let mut body = value!({"jsonrpc": "2.0", "id": id, "result": result});
        body["result"]["resultType"] = value!("complete");
        Some(json(body.to_string()))
    })
    .await
}

async fn mixed() -> (Upstream, Upstream, Rig) {
    let (older, newer) = (older().await, newer().await);
    let rig = Plan::http(&older).and("new", newer.address).start().await;
    (older, newer, rig)
}

async fn ask(rig: &Rig, ask: Ask) -> Value {
    let reply = rig.send(ask).await;
    assert_eq!(reply.status, 200);
    reply.message().await
}

fn methods(server: &Upstream) -> Vec<String> {
    server.seen().iter().filter_map(Seen::rpc_method).collect()
}

/// The next request of a server that hands everything but the handshake to the test; notices beside
/// the one that is wanted are taken.
async fn next_of(waiting: &mut Waiting, method: &str) -> Held {
    loop {
        let held = waiting.next().await;
        if held.seen.rpc_method().as_deref() == Some(method) {
            return held;
        }
        assert!(held.seen.rpc_method().as_deref() == Some("server/discover"), "{:?}", held.seen);
        held.answer(sessionless());
    }
}

#[tokio::test]
async fn stateless_clients_have_servers_of_both_eras() {
    let (older, newer, rig) = mixed().await;
    let found = ask(&rig, modern("1", "server/discover", None, "")).await["result"].take();
    assert_eq!(found["supportedVersions"], value!(["2026-07-28"]));
    let all = value!({"tools": {}, "logging": {}, "resources": {"subscribe": true}});
    assert_eq!((&found["capabilities"], &found["ttlMs"]), (&all, &value!(0)));
    assert_eq!(found["instructions"], "srv:\nI am older\n\nnew:\nI am newer");
    let list = ask(&rig, modern("2", "tools/list", None, "")).await["result"].take();
    let names: Vec<_> = list["tools"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    assert_eq!(names, ["srv__echo", "new__now"]);
    assert_eq!((&list["ttlMs"], &list["cacheScope"]), (&value!(0), &value!("private")));
    let params = r#""name":"srv__echo","arguments":{"n":1.0},"_meta":{"x/y":1}"#;
    let params = params.replace(r#""_meta":{"#, &format!(r#""_meta":{{{MODERN},"#));
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{{{params}}}}}"#);
    let call = Ask { body: body.into(), ..modern_call("1", "srv__echo") };
    let called = ask(&rig, call).await;
    assert_eq!(
        (&called["id"], &called["result"]["resultType"]),
        (&value!("a"), &value!("complete"))
    );
    let of = value!({"name": "echo", "arguments": {"n": 1.0}, "_meta": {"x/y": 1}});
    assert_eq!(called["result"]["of"], of);
    let called = ask(&rig, modern_call("4", "new__now")).await;
    assert_eq!(called["result"]["of"]["name"], "now");
    let wanted =
        ["server/discover", "initialize", "notifications/initialized", "tools/list", "tools/call"];
    assert_eq!(methods(&older), wanted);
    let call = older.seen().pop().unwrap();
    assert_eq!(call.headers["mcp-session-id"], "s-1");
    assert_eq!(call.headers["mcp-protocol-version"], "2025-11-25");
    assert!(!call.headers.contains_key("mcp-method") && !call.headers.contains_key("mcp-name"));
    assert!(!methods(&newer).contains(&"initialize".to_owned()));
    // Somebody else has a session of their own.
    let bob = rig.send_as("bob", modern_call("5", "srv__echo")).await;
    assert_eq!(bob.status, 200);
    assert_eq!(methods(&older).iter().filter(|m| *m == "initialize").count(), 2);
    let trail = rig.stop().await;
    let deletes = older.seen().iter().filter(|seen| seen.method == Method::DELETE).count();
    assert_eq!(deletes, 2, "sessions end at shutdown");
    let calls = trail.calls("tools/call");
    assert!(calls.iter().all(|call| call.asked.root.is_some() && call.status() == Status::Ok));
    assert_eq!(calls[0].asked.protocol.as_deref(), Some("2025-11-25"));
    let opening = trail.calls("initialize");
    assert_eq!(opening[0].asked.actor.as_ref().unwrap().id, "alice");
    assert_eq!(opening[1].asked.actor.as_ref().unwrap().id, "bob");
}

#[tokio::test]
async fn what_the_older_era_has_not_is_refused_and_its_errors_are_those_of_the_newer() {
    let (older, _newer, rig) = mixed().await;
    for (method, name, params) in [
        ("tasks/get", "srv:7", r#""taskId":"srv:7""#),
        ("tools/call", "srv__echo", r#""name":"srv__echo","requestState":"x""#),
    ] {
        let refused = ask(&rig, modern("1", method, Some(name), params)).await;
        assert_eq!((code(&refused), reason(&refused)), (50_101, "federation.other-era"));
    }
    let missing = modern("2", "resources/read", Some("srv+x:1"), r#""uri":"srv+x:1""#);
    assert_eq!(code(&ask(&rig, missing).await), -32602);
    let unknown = modern("3", "prompts/get", Some("srv__p"), r#""name":"srv__p""#);
    let reply = rig.send(unknown).await;
    assert_eq!((reply.status, code(&reply.message().await)), (404, -32601));
    let forbidden = ask(&rig, modern_call("4", "srv__wipe")).await;
    assert_eq!((&forbidden["id"], reason(&forbidden)), (&value!(4), "policy.forbid"));
    assert!(!methods(&older).contains(&"tools/call".to_owned()));
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["federation.other-era", "federation.other-era", "policy.forbid"]);
}

#[tokio::test]
async fn a_session_that_the_member_lost_is_opened_again() {
    let lives = Arc::new(Mutex::new("s-1"));
    let life = Arc::clone(&lives);
    let restarted = Upstream::start(move |seen| {
        let session = *life.lock().unwrap();
        async move { Some(answer(&seen, session)) }
    })
    .await;
    let newer = newer().await;
    let rig = Plan::http(&restarted).and("new", newer.address).start().await;
    assert!(ask(&rig, modern_call("1", "srv__echo")).await["result"].is_object());
    *lives.lock().unwrap() = "s-2";
    assert!(ask(&rig, modern_call("2", "srv__echo")).await["result"].is_object());
    *lives.lock().unwrap() = "s-3";
    let list = ask(&rig, modern("3", "tools/list", None, "")).await;
    assert_eq!(list["result"]["tools"][0]["name"], "srv__echo");
    assert_eq!(methods(&restarted).iter().filter(|m| *m == "initialize").count(), 3);
    rig.stop().await;
}

#[tokio::test]
async fn a_held_session_that_nobody_needs_ends_at_its_member() {
    let (older, _newer, rig) = mixed().await;
    for subject in ["alice", "bob"] {
        assert_eq!(rig.send_as(subject, modern_call("1", "srv__echo")).await.status, 200);
    }
    let ends = || {
        let seen = older.seen().into_iter().filter(|seen| seen.method == Method::DELETE);
        let mut ids: Vec<_> = seen.map(|seen| seen.headers["mcp-session-id"].clone()).collect();
        ids.sort();
        ids
    };
    // The bound of the configuration that is in force now.
    let mut next = rig.changeable.clone();
    next.limits.session_idle = Duration::from_secs(600);
    rig.gateway.reload(&next).unwrap();
    rig.gateway.end_idle(Instant::now() + Duration::from_secs(300)).await;
    assert!(ends().is_empty());
    rig.gateway.end_idle(Instant::now() + Duration::from_secs(601)).await;
    let ended = |trail: &trail::Trail| trail.calls("http/delete").len() == 2 && trail.is_settled();
    let trail = rig.until(ended).await;
    assert_eq!(ends(), ["s-1", "s-2"]);
    let mut actors: Vec<_> = trail
        .calls("http/delete")
        .iter()
        .map(|call| call.asked.actor.as_ref().unwrap().id.clone())
        .collect();
    actors.sort();
    assert_eq!(actors, ["alice", "bob"]);
    // Who comes back has another one, and it is the only one to end.
    assert!(ask(&rig, modern_call("2", "srv__echo")).await["result"].is_object());
    let trail = rig.stop().await;
    assert_eq!(ends(), ["s-1", "s-2", "s-3"]);
    assert!(trail.refusals().is_empty(), "{:#?}", trail.refusals());
}

#[tokio::test]
async fn held_sessions_are_as_many_as_the_configuration_in_force_says() {
    let (older, _newer, rig) = mixed().await;
    assert!(ask(&rig, modern_call("1", "srv__echo")).await["result"].is_object());
    let mut next = rig.changeable.clone();
    next.limits.sessions_max = 1;
    rig.gateway.reload(&next).unwrap();
    let bob = rig.send_as("bob", modern_call("2", "srv__echo")).await;
    assert_eq!((bob.status, reason(&bob.message().await)), (503, "gateway.overloaded"));
    assert!(ask(&rig, modern_call("3", "srv__echo")).await["result"].is_object());
    assert_eq!(methods(&older).iter().filter(|m| *m == "initialize").count(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_said_before_the_answer_is_for_the_client_of_this_request() {
    let (older, mut waiting) = Upstream::with_sessions().await;
    let newer = newer().await;
    let rig = Plan::http(&older).and("new", newer.address).start().await;
    let token = rig.token("alice");
    let params = format!(
        r#""name":"srv__echo","arguments":{{}},"_meta":{{{MODERN},"progressToken":"mine","io.modelcontextprotocol/logLevel":"error"}}"#
    );
    let body = format!(r#"{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{{params}}}}}"#);
    let call = Ask { body: body.into(), ..modern_call("9", "srv__echo") };
    let sent = tokio::spawn(call.token(&token).send(rig.address));
    let held = next_of(&mut waiting, "tools/call").await;
    let own = held.seen.message().unwrap();
    assert_eq!(own["params"]["_meta"], value!({"progressToken": own["id"]}));
    let stream = held.stream();
    let mut reply = sent.await.unwrap();
    for (id, said) in [
        (1, value!({"method": "notifications/message", "params": {"level": "info", "data": 1}})),
        (2, value!({"method": "notifications/tools/list_changed"})),
        (
            3,
            value!({"method": "notifications/progress",
            "params": {"progressToken": own["id"], "progress": 1}}),
        ),
    ] {
        let mut said = said;
        said["jsonrpc"] = value!("2.0");
        stream.send(&format!("id: {id}\ndata: {said}\n\n")).await;
    }
    let shown = reply.event().await;
    assert!(shown.contains(r#""progressToken":"mine""#) && !shown.contains("id: "), "{shown}");
    // What it asks is answered by the gateway.
    for (asked, wanted) in [("ping", "result"), ("roots/list", "error")] {
        stream.message(&format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{asked}"}}"#)).await;
        let held = waiting.next().await;
        let reply = held.seen.message().unwrap();
        assert!(reply["id"] == "q" && reply[wanted].is_object(), "{reply}");
        held.answer(empty(202));
    }
    // The stream breaks off, and goes on where it was.
    stream.send("id: 4\nretry: 1\ndata:\n\n").await;
    drop(stream);
    let held = waiting.next().await;
    assert_eq!(
        (&held.seen.method, &held.seen.headers["last-event-id"]),
        (&Method::GET, &"4".parse().unwrap())
    );
    let stream = held.stream();
    let answer = value!({"jsonrpc": "2.0", "id": own["id"], "result": {"content": []}});
    stream.message(&answer.to_string()).await;
    let last = reply.event().await;
    assert!(last.contains(r#""id":9"#) && last.contains(r#""resultType":"complete""#), "{last}");
    drop(stream);
    let stop = tokio::spawn(rig.stop());
    let held = waiting.next().await;
    assert_eq!(held.seen.method, Method::DELETE);
    held.answer(empty(204));
    let trail = stop.await.unwrap();
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    assert!(trail.calls("roots/list").iter().all(|call| call.end.is_some()));
}

/// Asks for a level when it is called with one; answers are streams that begin with log messages.
async fn logging(members: Arc<Mutex<Vec<String>>>) -> Upstream {
    Upstream::start(move |seen| {
        let members = Arc::clone(&members);
        async move {
            let message = seen.message().unwrap_or_default();
            match seen.rpc_method().as_deref() {
                Some("logging/setLevel") => {
                    let level = message["params"]["level"].as_str().unwrap().to_owned();
                    members.lock().unwrap().push(level);
                }
                Some("tools/call") => {
                    let log = |level: &str| {
                        let params = format!(r#""params":{{"level":"{level}","n":1.00}}"#);
                        let method = r#""method":"notifications/message""#;
                        crate::messages::event(&format!(r#"{{"jsonrpc":"2.0",{method},{params}}}"#))
                    };
                    let said: String =
                        ["debug", "info", "warning", "odd", "emergency"].map(log).concat();
                    let last = value!({"jsonrpc": "2.0", "id": message["id"], "result": {}});
                    let stream = said + &crate::messages::event(&last.to_string());
                    return Some(typed(200, "text/event-stream", stream));
                }
                _ => {}
            }
            Some(answer(&seen, "s-1"))
        }
    })
    .await
}

/// A call of 2026-07-28 that wants to hear what is logged from this level on.
fn call_at(level: Option<&str>) -> Ask {
    let level = level.map(|level| format!(r#","io.modelcontextprotocol/logLevel":"{level}""#));
    let meta = format!("{MODERN}{}", level.unwrap_or_default());
    let params = format!(r#""name":"srv__echo","arguments":{{}},"_meta":{{{meta}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{{params}}}}}"#);
    Ask { body: body.into(), ..modern_call("9", "srv__echo") }
}

#[tokio::test]
async fn a_client_hears_what_is_logged_from_the_level_on_that_it_asked_for() {
    let asked_for = Arc::new(Mutex::new(Vec::new()));
    let (older, newer) = (logging(Arc::clone(&asked_for)).await, newer().await);
    let rig = Plan::http(&older).and("new", newer.address).start().await;
    for (level, heard) in [
        (None, &[][..]),
        (Some("warning"), &["warning", "emergency"]),
        (Some("emergency"), &["emergency"]),
        (Some("debug"), &["debug", "info", "warning", "emergency"]),
        (Some("odd"), &[]),
        (None, &[]),
    ] {
        let reply = rig.send(call_at(level)).await;
        let text = String::from_utf8(reply.bytes().await.to_vec()).unwrap();
        let events: Vec<&str> = text.split_inclusive("\n\n").collect();
        let (last, told) = events.split_last().unwrap();
        assert!(last.contains(r#""id":9,"#), "{text}");
        let log = |level: &&str| {
            let params = format!(r#""params":{{"level":"{level}","n":1.00}}"#);
            let method = r#""method":"notifications/message""#;
            crate::messages::event(&format!(r#"{{"jsonrpc":"2.0",{method},{params}}}"#))
        };
        assert_eq!(told, heard.iter().map(log).collect::<Vec<_>>(), "{level:?}");
    }
    // Only where it says more than before.
    assert_eq!(*asked_for.lock().unwrap(), ["warning", "debug"]);
    rig.stop().await;
}

/// A program logs to its one output: what it says belongs to the call that is in progress.
#[tokio::test]
async fn what_a_program_logs_is_heard_by_the_client_whose_call_it_is_at() {
    let script = r#"
say() { printf '%s\n' "$1"; }
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *server/discover*) say '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32601,"message":"no"}}' ;;
    *'"initialize"'*) say '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{"logging":{}},"serverInfo":{"name":"sh","version":"1"}}}' ;;
    *tools/call*)
      say '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}'
      say '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":2}}'
      say '{"jsonrpc":"2.0","id":'"$id"',"result":{}}' ;;
    *'"notifications/'*) ;;
    *) say '{"jsonrpc":"2.0","id":'"$id"',"result":{}}' ;;
  esac
done
"#;
    let newer = newer().await;
    let rig = Plan::sh(script).and("new", newer.address).start().await;
    for (level, heard) in [(None, &[][..]), (Some("info"), &[1, 2]), (Some("error"), &[2])] {
        let reply = rig.send(call_at(level)).await;
        let text = String::from_utf8(reply.bytes().await.to_vec()).unwrap();
        let data: Vec<_> =
            [1, 2].into_iter().filter(|n| text.contains(&format!(r#""data":{n}"#))).collect();
        assert_eq!(data, heard, "{text}");
        assert!(text.contains(r#""resultType":"complete""#), "{text}");
    }
    let trail = rig.stop().await;
    assert_eq!(trail.calls("logging/setLevel").len(), 1);
}

#[tokio::test]
async fn a_session_that_is_opened_again_is_told_the_level_again() {
    let life = Arc::new(Mutex::new("s-1"));
    let lives = Arc::clone(&life);
    let restarted = Upstream::start(move |seen| {
        let session = *lives.lock().unwrap();
        async move { Some(answer(&seen, session)) }
    })
    .await;
    let newer = newer().await;
    let rig = Plan::http(&restarted).and("new", newer.address).start().await;
    assert!(ask(&rig, call_at(Some("info"))).await["result"].is_object());
    *life.lock().unwrap() = "s-2";
    assert!(ask(&rig, call_at(Some("info"))).await["result"].is_object());
    let all = methods(&restarted);
    let again =
        ["tools/call", "initialize", "notifications/initialized", "logging/setLevel", "tools/call"];
    assert_eq!(all[all.len() - 5..], again);
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_at_the_member() {
    let (older, mut waiting) = Upstream::with_sessions().await;
    let newer = newer().await;
    let rig = Plan::http(&older).and("new", newer.address).start().await;
    let token = rig.token("alice");
    let gone = tokio::spawn(modern_call("1", "srv__echo").token(&token).send(rig.address));
    let held = next_of(&mut waiting, "tools/call").await;
    let own = held.seen.message().unwrap()["id"].take();
    gone.abort();
    let cancel = waiting.next().await;
    let message = cancel.seen.message().unwrap();
    assert_eq!(
        (&message["method"], &message["params"]["requestId"]),
        (&value!("notifications/cancelled"), &own)
    );
    cancel.answer(empty(202));
    held.abandoned().await;
    let trail = rig.until(|trail| trail.is_settled()).await;
    assert_eq!(trail.call("tools/call").status(), Status::Cancelled);
    let stop = tokio::spawn(rig.stop());
    waiting.next().await.answer(empty(204));
    stop.await.unwrap();
}

#[tokio::test]
async fn a_member_that_was_of_one_era_may_be_of_the_other() {
    let is_older = Arc::new(Mutex::new(false));
    let now = Arc::clone(&is_older);
    let changing = Upstream::start(move |seen| {
        let older = *now.lock().unwrap();
        async move {
            let message = seen.message().unwrap_or_default();
            let result = match seen.rpc_method().as_deref() {
                _ if older => return Some(answer(&seen, "s-1")),
                Some("server/discover") => value!({"supportedVersions": ["2026-07-28"]}),
                Some("tools/call") => value!({"content": []}),
                _ => return Some(typed(405, "text/plain", "no")),
            };
            let body = value!({"jsonrpc": "2.0", "id": message["id"], "result": result});
            Some(json(body.to_string()))
        }
    })
    .await;
    let newer = newer().await;
    let rig = Plan::http(&changing).and("new", newer.address).start().await;
    for older in [false, true] {
        *is_older.lock().unwrap() = older;
        assert!(ask(&rig, modern_call("1", "srv__echo")).await["result"].is_object());
    }
    rig.stop().await;
}

#[tokio::test]
async fn clients_with_sessions_have_stateless_servers() {
    let (older, newer, rig) = mixed().await;
    let reply = rig.send(initialize()).await;
    let session = reply.session();
    let result = reply.message().await["result"].take();
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert_eq!(result["instructions"], "srv:\nI am older\n\nnew:\nI am newer");
    assert_eq!(result.get("_meta"), None);
    assert_eq!(rig.send(legacy(&session, INITIALIZED)).await.status, 202);
    let list = legacy(&session, r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    let list = ask(&rig, list).await["result"].take();
    let names: Vec<_> = list["tools"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    assert_eq!(names, ["srv__echo", "new__now"]);
    let level =
        r#"{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"error"}}"#;
    assert_eq!(ask(&rig, legacy(&session, level)).await["result"], value!({}));
    let called = ask(&rig, legacy_call(&session, "\"a\"", "new__now")).await;
    assert_eq!(called["id"], "a");
    let of = &called["result"]["of"];
    assert_eq!((&of["name"], &of["arguments"]), (&value!("now"), &value!({})));
    let meta = &of["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(
        meta["io.modelcontextprotocol/clientInfo"],
        value!({"name": "tester", "version": "7"})
    );
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], value!({}));
    assert_eq!(meta["io.modelcontextprotocol/logLevel"], "error");
    let call = newer.seen().pop().unwrap();
    assert_eq!(call.headers["mcp-method"], "tools/call");
    assert_eq!(call.headers["mcp-name"], "now");
    assert_eq!(call.headers["mcp-protocol-version"], "2026-07-28");
    assert!(!call.headers.contains_key("mcp-session-id"));
    let task = r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"new__now","task":{"ttl":1}}}"#;
    let refused = ask(&rig, legacy(&session, task)).await;
    assert_eq!((code(&refused), reason(&refused)), (50_101, "federation.other-era"));
    assert_eq!(methods(&older).iter().filter(|m| *m == "initialize").count(), 1);
    assert_eq!(rig.send(Ask::new(Method::DELETE).session(&session)).await.status, 200);
    let trail = rig.stop().await;
    let call = trail.call("tools/call");
    assert_eq!((call.status(), call.asked.protocol.as_deref()), (Status::Ok, Some("2026-07-28")));
    assert_eq!(call.asked.session, None);
}

#[tokio::test]
async fn stateless_servers_alone_make_a_session_too() {
    let (one, two) = (newer().await, newer().await);
    let rig = Plan::http(&one).and("two", two.address).start().await;
    let reply = rig.send(initialize()).await;
    let session = reply.session();
    assert_eq!(reply.message().await["result"]["protocolVersion"], "2025-11-25");
    let ping = legacy(&session, r#"{"jsonrpc":"2.0","id":4,"method":"ping"}"#);
    assert_eq!(ask(&rig, ping).await["result"], value!({}));
    assert!(ask(&rig, legacy_call(&session, "1", "two__now")).await["result"].is_object());
    rig.stop().await;
}

/// Opens a session whose client can be asked for its roots and for samples.
async fn session_with_roots(rig: &Rig) -> String {
    let able =
        INITIALIZE.replace(r#""capabilities":{}"#, r#""capabilities":{"roots":{},"sampling":{}}"#);
    let session = rig.send(Ask::post(able)).await.session();
    assert_eq!(rig.send(legacy(&session, INITIALIZED)).await.status, 202);
    session
}

/// A stateless server that wants `method` answered before it goes on.
async fn wanting(method: &'static str) -> Upstream {
    Upstream::start(move |seen| async move {
        let message = seen.message()?;
        let (params, id) = (&message["params"], &message["id"]);
        let result = match seen.rpc_method().as_deref() {
            Some("initialize") => return Some(typed(404, "text/plain", "no")),
            Some("server/discover") => {
                value!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
            }
            _ if params["inputResponses"].is_object() => value!({"resultType": "complete",
                "content": [], "got": params["inputResponses"], "state": params["requestState"]}),
            _ => value!({"resultType": "input_required", "requestState": "st",
                "inputRequests": {"k": {"method": method, "params": {"n": 1.5}}}}),
        };
        Some(json(value!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()))
    })
    .await
}

#[tokio::test]
async fn what_a_stateless_server_wants_is_asked_of_the_client_of_a_session() {
    let (wanting, newer) = (wanting("roots/list").await, newer().await);
    let rig = Plan::http(&wanting).and("new", newer.address).start().await;
    let session = session_with_roots(&rig).await;
    let mut reply = rig.send(legacy_call(&session, "7", "srv__echo")).await;
    let shown = reply.event().await;
    let asked: Value = serde_json::from_str(shown.split_once("data: ").unwrap().1).unwrap();
    assert_eq!((&asked["method"], &asked["params"]), (&value!("roots/list"), &value!({"n": 1.5})));
    let answer = value!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": []}});
    // Nobody else can answer it.
    let other = rig.session().await;
    assert_eq!(rig.send(legacy(&other, answer.to_string())).await.status, 400);
    assert_eq!(rig.send(legacy(&session, answer.to_string())).await.status, 202);
    let last = reply.event().await;
    let last: Value = serde_json::from_str(last.split_once("data: ").unwrap().1).unwrap();
    assert_eq!((&last["id"], &last["result"]["state"]), (&value!(7), &value!("st")));
    assert_eq!(last["result"]["got"], value!({"k": {"roots": []}}));
    let capabilities = &wanting.seen().pop().unwrap().message().unwrap()["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(capabilities, &value!({"roots": {}, "sampling": {}}));
    let trail = rig.stop().await;
    let calls = trail.calls("tools/call");
    let statuses: Vec<_> = calls.iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::InputRequired, Status::Ok]);
    assert_eq!(calls[1].asked.follows, Some(calls[0].asked.call.unwrap()));
    assert_eq!(trail.call("roots/list").status(), Status::Ok);
}

#[tokio::test]
async fn what_a_policy_forbids_a_stateless_server_to_ask_is_not_asked() {
    let (wanting, newer) = (wanting("sampling/createMessage").await, newer().await);
    let rig = Plan::http(&wanting).and("new", newer.address).start().await;
    let session = session_with_roots(&rig).await;
    let refused = ask(&rig, legacy_call(&session, "7", "srv__echo")).await;
    assert_eq!((&refused["id"], reason(&refused)), (&value!(7), "federation.other-era"));
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["policy.forbid", "federation.other-era"]);
}

#[tokio::test]
async fn a_cancelled_request_ends_at_a_stateless_server() {
    let (held, mut waiting) = Upstream::held().await;
    let older = older().await;
    let rig = Plan::http(&held).and("old", older.address).start().await;
    let token = rig.token("alice");
    let opening = tokio::spawn(initialize().token(&token).send(rig.address));
    waiting.next().await.answer(typed(404, "text/plain", "no"));
    let found = r#"{"jsonrpc":"2.0","id":"era","result":{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}}"#;
    waiting.next().await.answer(json(found));
    let session = opening.await.unwrap().session();
    let call =
        tokio::spawn(legacy_call(&session, "7", "srv__echo").token(&token).send(rig.address));
    let asked = waiting.next().await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    assert_eq!(rig.send(legacy(&session, cancel)).await.status, 202);
    asked.abandoned().await;
    let reply = call.await.unwrap();
    assert_eq!((reply.status, reply.bytes().await.len()), (200, 0));
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Cancelled);
}

#[tokio::test]
async fn resources_of_stateless_servers_can_be_subscribed_to_in_a_session() {
    let (held, mut waiting) = Upstream::held().await;
    let older = older().await;
    let rig = Plan::http(&held).and("old", older.address).start().await;
    let token = rig.token("alice");
    let opening = tokio::spawn(initialize().token(&token).send(rig.address));
    waiting.next().await.answer(typed(404, "text/plain", "no"));
    let found = r#"{"jsonrpc":"2.0","id":"era","result":{"supportedVersions":["2026-07-28"],"capabilities":{"resources":{"subscribe":true},"tools":{"listChanged":true}}}}"#;
    waiting.next().await.answer(json(found));
    let session = opening.await.unwrap().session();
    // Changes of lists come on the stream of the session.
    let listening =
        tokio::spawn(Ask::new(Method::GET).session(&session).token(&token).send(rig.address));
    let lists = waiting.next().await;
    let wanted = lists.seen.message().unwrap()["params"]["notifications"].take();
    assert_eq!(wanted, value!({"toolsListChanged": true}));
    let lists = lists.stream();
    lists.message(&acknowledged(&wanted)).await;
    let mut heard = listening.await.unwrap();
    let subscribe =
        r#"{"jsonrpc":"2.0","id":5,"method":"resources/subscribe","params":{"uri":"srv+x:1"}}"#;
    let subscribing = tokio::spawn(legacy(&session, subscribe).token(&token).send(rig.address));
    let one = waiting.next().await;
    let wanted = one.seen.message().unwrap()["params"]["notifications"].take();
    assert_eq!(wanted, value!({"resourceSubscriptions": ["x:1"]}));
    let one = one.stream();
    one.message(&acknowledged(&wanted)).await;
    assert_eq!(subscribing.await.unwrap().message().await["result"], value!({}));
    let updated =
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}"#;
    one.message(updated).await;
    assert!(heard.event().await.contains(r#""uri":"srv+x:1""#));
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    lists.message(changed).await;
    assert!(heard.event().await.contains("tools/list_changed"));
    let end = subscribe.replace("/subscribe", "/unsubscribe");
    assert_eq!(ask(&rig, legacy(&session, end)).await["result"], value!({}));
    one.abandoned().await;
    assert_eq!(rig.send(Ask::new(Method::DELETE).session(&session)).await.status, 200);
    lists.abandoned().await;
    rig.stop().await;
}

fn acknowledged(notifications: &Value) -> String {
    value!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": notifications}})
    .to_string()
}

#[tokio::test]
async fn a_stateless_client_listens_to_a_server_of_the_older_revisions() {
    let (held, mut waiting) = Upstream::held().await;
    let newer = newer().await;
    let rig = Plan::http(&held).and("new", newer.address).start().await;
    let params = r#""notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["srv+x:1"]}"#;
    let token = rig.token("alice");
    let sent = modern("9", "subscriptions/listen", None, params).token(&token).send(rig.address);
    let listening = tokio::spawn(sent);
    waiting.next().await.answer(sessionless());
    let result = value!({"protocolVersion": "2025-11-25", "serverInfo": {"name": "o", "version": "1"},
        "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}}});
    let body = value!({"jsonrpc": "2.0", "id": 0, "result": result}).to_string();
    waiting.next().await.answer(with(json(body), "mcp-session-id", "s-9"));
    let initialized = waiting.next().await;
    assert_eq!(initialized.seen.rpc_method().as_deref(), Some("notifications/initialized"));
    initialized.answer(empty(202));
    let stream = waiting.next().await;
    assert_eq!(
        (&stream.seen.method, &stream.seen.headers["mcp-session-id"]),
        (&Method::GET, &"s-9".parse().unwrap())
    );
    let stream = stream.stream();
    let subscribe = waiting.next().await;
    let message = subscribe.seen.message().unwrap();
    assert_eq!(
        (&message["method"], &message["params"]["uri"]),
        (&value!("resources/subscribe"), &value!("x:1"))
    );
    subscribe
        .answer(json(value!({"jsonrpc": "2.0", "id": message["id"], "result": {}}).to_string()));
    let mut heard = listening.await.unwrap();
    let first = heard.event().await;
    let first: Value = serde_json::from_str(first.split_once("data: ").unwrap().1).unwrap();
    let honoured = value!({"toolsListChanged": true, "resourceSubscriptions": ["srv+x:1"]});
    assert_eq!(first["params"]["notifications"], honoured);
    for said in [
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":1}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}"#,
    ] {
        stream.message(said).await;
    }
    let told = heard.event().await;
    let told: Value = serde_json::from_str(told.split_once("data: ").unwrap().1).unwrap();
    assert_eq!(told["params"]["uri"], "srv+x:1");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 9);
    drop(heard);
    let end = waiting.next().await;
    assert_eq!(end.seen.method, Method::DELETE);
    end.answer(empty(204));
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_was_away_joins_the_stream_of_a_session() {
    let away = Arc::new(Mutex::new(true));
    let is_away = Arc::clone(&away);
    let (requests, mut waiting) = tokio::sync::mpsc::channel(4);
    let back = Upstream::start(move |seen| {
        let (away, requests) = (*is_away.lock().unwrap(), requests.clone());
        async move {
            if away {
                return None;
            }
            if seen.method == Method::GET {
                let (stream, answer) = events();
                requests.send(stream).await.ok();
                return Some(answer);
            }
            let body = opened("s-1");
            match seen.rpc_method().as_deref() {
                Some("initialize") => Some(body),
                _ => Some(empty(202)),
            }
        }
    })
    .await;
    let (one, mut first) = Upstream::with_sessions().await;
    let rig = Plan::http(&one)
        .and("back", back.address)
        .limits(|limits| limits.member_retry = SOON)
        .start()
        .await;
    let session = rig.session().await;
    let token = rig.token("alice");
    let listening =
        tokio::spawn(Ask::new(Method::GET).session(&session).token(&token).send(rig.address));
    let kept = first.next().await.stream();
    let mut heard = listening.await.unwrap();
    *away.lock().unwrap() = false;
    let stream = crate::within("the server is heard again", waiting.recv()).await.unwrap();
    let updated =
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}"#;
    stream.message(updated).await;
    loop {
        let event = heard.event().await;
        if event.contains(r#""uri":"back+x:1""#) {
            break;
        }
        assert!(event.contains("list_changed"), "{event}");
    }
    // It breaks off, and comes back again.
    stream.break_off().await;
    let again = crate::within("it comes back", waiting.recv()).await.unwrap();
    again.message(updated).await;
    loop {
        if heard.event().await.contains(r#""uri":"back+x:1""#) {
            break;
        }
    }
    drop((heard, kept, again));
    rig.stop().await;
}

/// `_meta` of the stateless revision, without its braces.
const MODERN: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;
