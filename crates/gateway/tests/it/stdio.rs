//! HTTP clients in front of a local program: who talks to which process, and whose answer is whose.

use crate::client::{Ask, End};
use crate::messages::{META, code, initialize, legacy, legacy_call, modern, modern_call, reason};
use crate::rig::{Plan, Rig, SOON, sh};
use crate::trail;
use crate::within;
use event::{Direction, Status};
use gateway::config::{Command, Server};
use http::Method;
use serde_json::{Value, json};
use std::path::Path;

/// A server in the language of `/bin/sh`: finds the id of a request in its text, opens sessions, and
/// answers calls with its process id. `$1` names a directory in which it leaves a file when it ends.
const SERVER: &str = r#"
say() { printf '%s\n' "$1"; }
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"method":"initialize"'*)
      say '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"sh","version":"1"}}}' ;;
    *'"method":"notifications/'*) ;;
    *'"name":"die"'*) exit 3 ;;
    *'"name":"silent"'*) ;;
    *'"name":"fail"'*) say '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32601,"message":"no"}}' ;;
    *'"name":"nonsense"'*) say 'this is not JSON'; say '{"jsonrpc":"2.0","id":'"$id"',"result":{"pid":'$$'}}' ;;
    *'"name":"ask"'*) asker=$id; say '{"jsonrpc":"2.0","id":"q","method":"roots/list"}' ;;
    *'"name":"sample"'*) asker=$id; say '{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}' ;;
    *'"id":"q"'*) say '{"jsonrpc":"2.0","id":'"$asker"',"result":{"heard":'"$line"'}}' ;;
    *) say '{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[],"pid":'$$'}}' ;;
  esac
done
echo ended > "$1/ended-$$"
"#;

fn command(directory: &Path) -> Command {
    let mut command = sh(SERVER);
    command.arguments.extend(["sh".to_owned(), directory.to_str().unwrap().to_owned()]);
    command
}

fn plan(directory: &Path) -> Plan {
    Plan::in_front_of(Server::Stdio(command(directory)))
}

async fn called(rig: &Rig, ask: Ask) -> (u16, Value) {
    let reply = rig.send(ask).await;
    let status = reply.status;
    (status, reply.message().await)
}

/// Whether the process ended because its input did.
fn has_ended(directory: &Path, pid: &Value) -> bool {
    directory.join(format!("ended-{pid}")).exists()
}

#[tokio::test]
async fn each_session_has_a_process_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let rig = plan(directory.path()).start().await;
    let (one, two) = (rig.session().await, rig.session().await);
    assert_ne!(one, two);
    assert!(one.len() >= 32, "{one}");
    let mut pids = Vec::new();
    for session in [&one, &two, &one] {
        let (status, message) = called(&rig, legacy_call(session, "1", "echo")).await;
        assert_eq!(status, 200, "{message}");
        pids.push(message["result"]["pid"].clone());
    }
    assert_ne!(pids[0], pids[1]);
    assert_eq!(pids[0], pids[2]);
    let mallory = rig.send_as("mallory", legacy_call(&one, "1", "echo")).await;
    assert_eq!(mallory.status, 404);
    // The answer to DELETE comes when the process has ended.
    let closed = rig.send(Ask::new(Method::DELETE).session(&one)).await;
    assert_eq!(closed.status, 200);
    assert!(has_ended(directory.path(), &pids[0]) && !has_ended(directory.path(), &pids[1]));
    assert_eq!(rig.send(legacy_call(&one, "2", "echo")).await.status, 404);
    assert_eq!(rig.send(legacy_call(&two, "2", "echo")).await.status, 200);
    let trail = rig.stop().await;
    assert!(has_ended(directory.path(), &pids[1]), "the end of the gateway ends the rest");
    let calls = trail.calls("tools/call");
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call.status() == Status::Ok));
    assert_eq!(calls[0].asked.session, calls[2].asked.session);
    assert_ne!(calls[0].asked.session, calls[1].asked.session);
    assert_eq!(trail.call("http/delete").status(), Status::Accepted);
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["session.of-another", "session.unknown"]);
}

#[tokio::test]
async fn callers_without_sessions_share_a_process_with_themselves_only() {
    let directory = tempfile::tempdir().unwrap();
    let rig = plan(directory.path()).start().await;
    let mut pids = Vec::new();
    for subject in ["alice", "alice", "bob"] {
        let reply = rig.send_as(subject, modern_call("1", "echo")).await;
        assert_eq!(reply.status, 200);
        pids.push(reply.message().await["result"]["pid"].clone());
    }
    assert_eq!(pids[0], pids[1]);
    assert_ne!(pids[0], pids[2]);
    rig.stop().await;
    assert!(has_ended(directory.path(), &pids[0]) && has_ended(directory.path(), &pids[2]));
}

/// Takes two calls, then answers the later one first, progress and all.
const TWO_AT_ONCE: &str = r#"
read_call() {
  IFS= read -r line || exit 1
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  token=${line#*\"progressToken\":}; token=${token%%[,\}]*}
  who=${line#*\"who\":}; who=${who%%[,\}]*}
}
read_call; id1=$id token1=$token who1=$who
read_call; id2=$id token2=$token who2=$who
for n in 2 1; do
  eval "id=\$id$n token=\$token$n who=\$who$n"
  printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1,"who":%s}}\n' "$token" "$who"
done
for n in 2 1; do
  eval "id=\$id$n token=\$token$n who=\$who$n"
  printf '{"jsonrpc":"2.0","id":%s,"result":{"who":%s}}\n' "$id" "$who"
done
while IFS= read -r line; do :; done
"#;

#[tokio::test]
async fn two_calls_with_the_same_id_and_token_get_their_own_answers() {
    let rig = Plan::sh(TWO_AT_ONCE).start().await;
    let ask = |who: &str| {
        let meta = META.replace(r#""_meta":{"#, r#""_meta":{"progressToken":"t/\u0031","#);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":"same\u002d1","method":"tools/call","params":{{"name":"echo","arguments":{{"who":"{who}"}},{meta}}}}}"#
        );
        Ask { body: body.into(), ..modern_call("1", "echo") }.token(&rig.token("alice"))
    };
    let sent: Vec<_> =
        ["one", "two"].map(|who| tokio::spawn(ask(who).send(rig.address))).into_iter().collect();
    for (sent, who) in sent.into_iter().zip(["one", "two"]) {
        let mut reply = sent.await.unwrap();
        assert_eq!(reply.headers["content-type"], "text/event-stream");
        let progress = reply.event().await;
        let expected = format!(
            "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":\
             {{\"progressToken\":\"t/\\u0031\",\"progress\":1,\"who\":\"{who}\"}}}}\n\n"
        );
        assert_eq!(progress, expected);
        let answer = reply.event().await;
        let expected = format!(
            "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":\"same\\u002d1\",\"result\":{{\"who\":\"{who}\"}}}}\n\n"
        );
        assert_eq!(answer, expected);
        assert_eq!(reply.rest().await, End::Orderly);
    }
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Ok, Status::Ok]);
}

#[tokio::test]
async fn lines_reach_the_program_as_they_were_sent() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("got");
    let script = format!(
        "IFS= read -r line; printf '%s\\n' \"$line\" > {}; printf '{{\"jsonrpc\":\"2.0\", \"id\" : 7,\"result\":{{\"n\":1.00, \"s\":\"\\\\u0041\"}} }}\\n'; while read -r x; do :; done",
        file.display()
    );
    let rig = Plan::sh(&script).start().await;
    let body = format!(
        "{{ \"params\":{{\"name\":\"ec\\u0068o\",\r\n \"arguments\":{{\"n\":100000000000000000000, \"e\":1E2}}, {META}}},\n\"id\" : 7,\"method\":\"tools/call\", \"jsonrpc\":\"2.0\" }}\n"
    );
    let ask = Ask { body: body.clone().into(), ..modern_call("7", "echo") };
    let reply = rig.send(ask).await;
    assert_eq!(
        reply.bytes().await,
        "{\"jsonrpc\":\"2.0\", \"id\" : 7,\"result\":{\"n\":1.00, \"s\":\"\\u0041\"} }"
    );
    let got = std::fs::read_to_string(&file).unwrap();
    // One message is one line; the line breaks between its tokens become spaces.
    let expected = body.trim_end().replace(['\r', '\n'], " ");
    assert_eq!(got, format!("{expected}\n"));
    rig.stop().await;
}

#[tokio::test]
async fn a_burst_reaches_a_client_that_takes_it() {
    const LINES: usize = 600;
    let script = r#"read -r l
        yes '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}' | head -n 600
        echo '{"jsonrpc":"2.0","id":5,"result":{"content":[]}}'
        read -r x"#;
    let rig = Plan::in_front_of(Server::Stdio(sh(script))).start().await;
    let meta = META.replace(r#""_meta":{"#, r#""_meta":{"progressToken":"t","#);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{{"name":"echo","arguments":{{}},{meta}}}}}"#
    );
    let ask = Ask { body: body.into(), ..modern_call("5", "echo") };
    let mut reply = rig.send(ask).await;
    for _ in 0..LINES {
        assert!(reply.event().await.contains("notifications/progress"));
    }
    assert!(reply.event().await.contains("result"));
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}

#[tokio::test]
async fn a_program_that_dies_fails_its_calls_and_ends_its_session() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path()).limits(|limits| limits.processes_max = 1);
    let rig = plan.start().await;
    let session = rig.session().await;
    let (status, message) = called(&rig, initialize()).await;
    assert_eq!((status, code(&message)), (503, 50_301), "one process is allowed, and runs");
    let (status, message) = called(&rig, legacy_call(&session, "1", "die")).await;
    assert_eq!((status, reason(&message)), (502, "upstream.broke"));
    assert_eq!(message["id"], 1);
    let (status, message) = called(&rig, legacy_call(&session, "2", "echo")).await;
    assert_eq!((status, reason(&message)), (404, "session.unknown"));
    // The client starts anew, as soon as the process is gone.
    let again = within("a new session opens", async {
        loop {
            let reply = rig.send(initialize()).await;
            if reply.status == 200 {
                return reply.session();
            }
            assert_eq!(reply.status, 503);
        }
    })
    .await;
    let (status, _) = called(&rig, legacy_call(&again, "1", "echo")).await;
    assert_eq!(status, 200);
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::TransportFailure, Status::Ok]);
}

#[tokio::test]
async fn a_shared_program_that_dies_is_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let rig = plan(directory.path()).start().await;
    let (status, _) = called(&rig, modern_call("1", "die")).await;
    assert_eq!(status, 502);
    let (status, message) = called(&rig, modern_call("1", "echo")).await;
    assert_eq!(status, 200, "{message}");
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::TransportFailure, Status::Ok]);
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_unreachable() {
    let missing = Command { program: "/no/such/program".to_owned(), ..sh("") };
    let rig = Plan::in_front_of(Server::Stdio(missing)).start().await;
    for ask in [initialize(), modern_call("1", "echo")] {
        let (status, message) = called(&rig, ask).await;
        assert_eq!((status, code(&message)), (502, 50_200));
        assert_eq!(reason(&message), "upstream.unreachable");
    }
    let trail = rig.stop().await;
    assert_eq!(trail.call("initialize").status(), Status::Unreachable);
    assert_eq!(trail.call("tools/call").status(), Status::Unreachable);
}

#[tokio::test]
async fn the_older_era_needs_a_session() {
    let directory = tempfile::tempdir().unwrap();
    let rig = plan(directory.path()).start().await;
    let (status, message) = called(&rig, Ask::post(crate::messages::call_body("1", "echo"))).await;
    assert_eq!((status, code(&message)), (502, 50_200));
    let get = rig.send(Ask::new(Method::GET)).await;
    assert_eq!(get.status, 405);
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Unreachable);
    assert_eq!(trail.call("http/get").status(), Status::HttpError);
}

#[tokio::test]
async fn a_refused_initialize_leaves_no_process() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "IFS= read -r l; echo '{{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{{\"code\":-32602,\"message\":\"no\"}}}}'; while read -r x; do :; done; echo > {}/ended",
        directory.path().display()
    );
    let rig = Plan::sh(&script).start().await;
    let reply = rig.send(initialize()).await;
    assert!(!reply.headers.contains_key("mcp-session-id"));
    assert_eq!(code(&reply.message().await), -32_602);
    assert!(directory.path().join("ended").exists());
    let trail = rig.stop().await;
    assert_eq!(trail.call("initialize").status(), Status::ProtocolError);
}

#[tokio::test]
async fn errors_of_a_program_get_the_status_of_their_era() {
    let directory = tempfile::tempdir().unwrap();
    let rig = plan(directory.path()).start().await;
    let session = rig.session().await;
    let (status, message) = called(&rig, legacy_call(&session, "1", "fail")).await;
    assert_eq!((status, code(&message)), (200, -32_601));
    let (status, message) = called(&rig, modern_call("1", "fail")).await;
    assert_eq!((status, code(&message)), (404, -32_601));
    // How a client of both eras learns that this server is of the older one.
    let rig_of_old = Plan::sh(
        r#"read -r l; echo '{"jsonrpc":"2.0","id":5,"error":{"code":-32601,"message":"no"}}'; read -r x"#,
    );
    let rig_of_old = rig_of_old.start().await;
    let reply = rig_of_old.send(modern("5", "server/discover", None, "")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(code(&reply.message().await), -32_601);
    rig_of_old.stop().await;
    rig.stop().await;
}

#[tokio::test]
async fn lines_that_are_no_messages_reach_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let rig = plan(directory.path()).start().await;
    let (status, message) = called(&rig, modern_call("1", "nonsense")).await;
    assert_eq!(status, 200);
    assert!(message["result"]["pid"].is_number());
    rig.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_answer_is_given_up_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let heard = directory.path().join("heard");
    let script = format!(
        "IFS= read -r a; IFS= read -r b; printf '%s' \"$b\" > {}; while read -r x; do :; done",
        heard.display()
    );
    let rig = Plan::sh(&script).limits(|limits| limits.reply_timeout = SOON).start().await;
    let (status, message) = called(&rig, modern_call("\"x\"", "echo")).await;
    assert_eq!((status, reason(&message)), (504, "upstream.timed-out"));
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::TimedOut);
    let heard: Value = serde_json::from_slice(&std::fs::read(heard).unwrap()).unwrap();
    assert_eq!(heard["method"], "notifications/cancelled");
    assert_eq!(heard["params"]["requestId"], "x");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call_at_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let (started, heard) = (directory.path().join("started"), directory.path().join("heard"));
    let script = format!(
        "IFS= read -r a; echo '{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{}}}}'; echo > {}; IFS= read -r b; printf '%s' \"$b\" > {}; while read -r x; do :; done",
        started.display(),
        heard.display()
    );
    let rig = Plan::sh(&script).start().await;
    let mut reply = rig.send(modern_call("9", "echo")).await;
    reply.event().await;
    drop(reply);
    rig.until(|trail| trail.is_settled()).await;
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Cancelled);
    let heard: Value = serde_json::from_slice(&std::fs::read(heard).unwrap()).unwrap();
    assert_eq!(heard["method"], "notifications/cancelled");
    assert_eq!(heard["params"]["requestId"], 9);
}

#[tokio::test]
async fn a_program_may_ask_its_client() {
    let directory = tempfile::tempdir().unwrap();
    let rig = plan(directory.path()).start().await;
    let session = rig.session().await;
    let mut reply = rig.send(legacy_call(&session, "1", "ask")).await;
    assert!(reply.event().await.contains("roots/list"));
    let answer = r#"{"jsonrpc":"2.0","id":"q","result":{"roots":[{"uri":"file:///r"}]}}"#;
    let mallory = rig.send_as("mallory", legacy(&session, answer)).await;
    assert_eq!(mallory.status, 404);
    assert_eq!(rig.send(legacy(&session, answer)).await.status, 202);
    let end = reply.event().await;
    assert!(end.contains(&format!(r#""heard":{answer}"#)), "{end}");
    assert_eq!(reply.rest().await, End::Orderly);
    // A forbidden question is answered by the gateway; the client sees only the end.
    let (status, message) = {
        let mut reply = rig.send(legacy_call(&session, "2", "sample")).await;
        let event = reply.event().await;
        assert_eq!(reply.rest().await, End::Orderly);
        let data = event.split_once("data: ").unwrap().1;
        (reply.status, serde_json::from_str::<Value>(data).unwrap())
    };
    assert_eq!(status, 200);
    assert_eq!(message["result"]["heard"]["error"]["code"], json!(40_300));
    let trail = rig.stop().await;
    let question = trail.call("roots/list");
    assert_eq!(question.asked.direction, Some(Direction::ToClient));
    assert_eq!(question.status(), Status::Ok);
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(reasons, ["session.of-another", "policy.forbid"]);
}

#[tokio::test]
async fn news_of_a_program_go_to_whoever_listens() {
    let script = r#"
IFS= read -r a; echo '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}'
IFS= read -r b; echo '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
while read -r x; do :; done
"#;
    let rig = Plan::sh(script).start().await;
    // Said before anybody listens, and kept.
    let session = rig.session().await;
    let mut reply = rig.send(Ask::new(Method::GET).session(&session)).await;
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    assert!(reply.event().await.contains("tools/list_changed"));
    let closed = rig.send(Ask::new(Method::DELETE).session(&session)).await;
    assert_eq!(closed.status, 200);
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop().await;
    assert_eq!(trail.call("http/get").status(), Status::Ok);
}

#[tokio::test]
async fn a_cancelled_call_of_a_session_ends() {
    let directory = tempfile::tempdir().unwrap();
    let rig = plan(directory.path()).start().await;
    let session = rig.session().await;
    let ask = legacy_call(&session, "5", "silent").token(&rig.token("alice"));
    let waiting = tokio::spawn(ask.try_send(rig.address));
    rig.until(|trail| trail.calls("tools/call").len() == 1).await;
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}"#;
    assert_eq!(rig.send(legacy(&session, body)).await.status, 202);
    // The client closes what it no longer waits for.
    waiting.abort();
    rig.until(|trail| trail.is_settled()).await;
    let trail = rig.stop().await;
    assert_eq!(trail.call("notifications/cancelled").status(), Status::Accepted);
    assert_eq!(trail.call("tools/call").status(), Status::Cancelled);
}
