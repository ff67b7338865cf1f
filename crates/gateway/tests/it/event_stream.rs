//! Clients of HTTP+SSE (2024-11-05) in front of servers that know nothing of it.

use crate::client::{Ask, End, Reply};
use crate::messages::{
    INITIALIZE, INITIALIZED, call_body, code, event, initialize, modern_call, reason, result,
};
use crate::rig::{POLICY, Plan, Rig};
use crate::trail;
use crate::upstream::{Upstream, Waiting, empty, json, typed};
use event::{Kind, Status, Transport};
use gateway::config::Quota;
use http::Method;
use std::time::Duration;

/// A client of HTTP+SSE.
pub(crate) struct Client {
    pub(crate) stream: Reply,
    pub(crate) endpoint: String,
}

impl Client {
    pub(crate) async fn connect(rig: &Rig, path: &str) -> Self {
        let mut stream = rig.send(at(Method::GET, path, "")).await;
        assert_eq!(
            (stream.status, &stream.headers["content-type"] == "text/event-stream"),
            (200, true)
        );
        let first = stream.event().await;
        let endpoint = first.strip_prefix("event: endpoint\ndata: ").unwrap().trim().to_owned();
        Self { stream, endpoint }
    }

    /// Sends a message as alice; the status.
    async fn say(&self, rig: &Rig, body: &str) -> u16 {
        rig.send(at(Method::POST, &self.endpoint, body)).await.status
    }

    pub(crate) async fn hear(&mut self) -> String {
        let event = self.stream.event().await;
        event.strip_prefix("event: message\ndata: ").unwrap().trim_end().to_owned()
    }

    /// Opens the session at the server.
    pub(crate) async fn open(&mut self, rig: &Rig) {
        assert_eq!(self.say(rig, INITIALIZE).await, 202);
        assert!(self.hear().await.contains("\"protocolVersion\""));
        assert_eq!(self.say(rig, INITIALIZED).await, 202);
    }
}

pub(crate) fn at(method: Method, path: &str, body: &str) -> Ask {
    let ask = if method == Method::POST { Ask::post(body.to_owned()) } else { Ask::new(method) };
    Ask { path: path.to_owned(), ..ask }
}

async fn rig() -> (Upstream, Waiting, Rig) {
    let (upstream, waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    (upstream, waiting, rig)
}

#[tokio::test]
async fn an_older_client_meets_a_newer_server() {
    let (upstream, mut waiting, rig) = rig().await;
    let mut client = Client::connect(&rig, "/sse").await;
    let session = client.endpoint.strip_prefix("/message?sessionId=").unwrap();
    assert!(session.len() >= 32 && !session.contains('&'), "{session}");
    client.open(&rig).await;
    // The server's own messages come as soon as it has been told.
    let listening = waiting.next().await;
    assert_eq!(listening.seen.method, Method::GET);
    let listening = listening.stream();
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","n":1.0}"#;
    listening.message(notice).await;
    assert_eq!(client.hear().await, notice);
    // Two calls at once, answered in the other order, one of them as a stream.
    for id in ["1", "2"] {
        assert_eq!(client.say(&rig, &call_body(id, "echo")).await, 202);
    }
    let (one, two) = (waiting.next().await, waiting.next().await);
    assert_eq!(one.seen.headers["mcp-session-id"], "session-1");
    assert_eq!(one.seen.headers["mcp-protocol-version"], "2025-11-25");
    assert!(!one.seen.headers.contains_key("authorization"));
    let ids = [&one, &two].map(|held| held.seen.message().unwrap()["id"].to_string());
    two.answer(json(result(&ids[1])));
    assert_eq!(client.hear().await, result(&ids[1]));
    let stream = one.stream();
    stream.message(notice).await;
    stream.message(&result(&ids[0])).await;
    drop(stream);
    assert_eq!(client.hear().await, notice);
    assert_eq!(client.hear().await, result(&ids[0]));
    // The end of the stream is the end of the session.
    drop(client);
    listening.abandoned().await;
    let closing = waiting.next().await;
    assert_eq!(closing.seen.method, Method::DELETE);
    closing.answer(empty(405));
    let trail =
        rig.until(|trail| trail.rows.iter().any(|r| r.event.kind == Kind::SessionEnded)).await;
    for row in trail.rows.iter().filter(|row| row.event.kind == Kind::CallAsked) {
        assert_eq!(row.event.environment.transport, Some(Transport::HttpSse), "{:#?}", row.event);
        assert_eq!(row.event.actor.as_ref().unwrap().id, "alice");
    }
    let trail = rig.stop().await;
    assert_eq!(trail.call("http/delete").status(), Status::HttpError);
    assert!(trail.calls("tools/call").iter().all(|call| call.status() == Status::Ok));
    assert!(upstream.seen().iter().all(|seen| !seen.headers.contains_key("last-event-id")));
}

#[tokio::test]
async fn a_stream_stays_open_while_the_configuration_changes() {
    let (_upstream, mut waiting, rig) = rig().await;
    let mut client = Client::connect(&rig, "/sse").await;
    client.open(&rig).await;
    waiting.next().await.answer(empty(405));
    for seconds in [100, 200] {
        let mut next = rig.changeable.clone();
        next.limits.reply_timeout = Duration::from_secs(seconds);
        rig.gateway.reload(&next).unwrap();
        let id = seconds.to_string();
        assert_eq!(client.say(&rig, &call_body(&id, "echo")).await, 202);
        waiting.next().await.answer(json(result(&id)));
        assert_eq!(client.hear().await, result(&id));
    }
    rig.stop().await;
}

/// What an actor showed when it opened its stream counts as long as it would anywhere else.
#[tokio::test]
async fn a_stream_lasts_no_longer_than_what_it_rests_on() {
    let (_upstream, _waiting, rig) = rig().await;
    let now = rig.recorder.clock().now();
    let brief = rig.issuer.token("alice", crate::rig::AUDIENCE, now, 1).unwrap();
    let mut stream = at(Method::GET, "/sse", "").token(&brief).send(rig.address).await;
    assert_eq!((stream.status, stream.rest().await), (200, End::Orderly));
    let mut client = Client::connect(&rig, "/sse").await;
    let mut next = rig.changeable.clone();
    next.identity = rig.another_verifier();
    rig.gateway.reload(&next).unwrap();
    assert_eq!(client.stream.rest().await, End::Orderly);
    let trail = rig.stop().await;
    assert!(trail.calls("http/get").iter().all(|call| call.status() == Status::Ok));
    assert_eq!(trail.calls("http/get").len(), 2);
}

/// Opening a stream is a call like any other: decided, on record, within what its actor may have.
#[tokio::test]
async fn a_stream_is_opened_by_leave() {
    let (upstream, _waiting) = Upstream::with_sessions().await;
    let quota = Quota { calls_max: Some(1), ..Quota::default() };
    let policy = format!(
        "{POLICY}\n@id(\"no-bob\")\nforbid (principal == Actor::\"ci/bob\", action == Action::\"http/get\", resource);"
    );
    let plan = Plan { policy, ..Plan::http(&upstream).limits(|limits| limits.actor = quota) };
    let rig = plan.start().await;
    let client = Client::connect(&rig, "/sse").await;
    let again = rig.send(at(Method::GET, "/sse", "")).await;
    assert_eq!((again.status, reason(&again.message().await)), (429, "limit.concurrency"));
    let bob = rig.send_as("bob", at(Method::GET, "/sse", "")).await;
    assert_eq!(reason(&bob.message().await), "policy.forbid");
    drop(client);
    let trail = rig.stop().await;
    let opened = trail.call("http/get");
    assert_eq!(opened.status(), Status::Ok);
    assert_eq!(opened.asked.environment.transport, Some(Transport::HttpSse));
}

#[tokio::test]
async fn refusals_come_where_answers_come() {
    let (_upstream, mut waiting, rig) = rig().await;
    let mut client = Client::connect(&rig, "/s/srv/sse").await;
    assert!(client.endpoint.starts_with("/s/srv/message?sessionId="), "{}", client.endpoint);
    client.open(&rig).await;
    waiting.next().await.answer(empty(405));
    assert_eq!(client.say(&rig, &call_body("7", "wipe")).await, 202);
    let refused: serde_json::Value = serde_json::from_str(&client.hear().await).unwrap();
    assert_eq!((code(&refused), &refused["id"]), (40_300, &7.into()));
    // What is no message is refused at once, and so is what has no place here.
    assert_eq!(client.say(&rig, "{").await, 400);
    assert_eq!(client.say(&rig, r#"{"jsonrpc":"2.0","id":9,"result":{}}"#).await, 400);
    // A request of the newer era needs its headers here as everywhere.
    let modern = modern_call("8", "echo");
    assert_eq!(client.say(&rig, std::str::from_utf8(&modern.body).unwrap()).await, 202);
    let mismatch: serde_json::Value = serde_json::from_str(&client.hear().await).unwrap();
    assert_eq!(code(&mismatch), -32_020);
    let closed = tokio::spawn(async move { waiting.next().await.answer(empty(200)) });
    drop(client);
    closed.await.unwrap();
    let trail = rig.stop().await;
    assert_eq!(trail.refusals().len(), 4);
}

#[tokio::test]
async fn a_stream_serves_nobody_but_its_owner() {
    let (upstream, _waiting, rig) = rig().await;
    let client = Client::connect(&rig, "/sse").await;
    let stranger = rig.send_as("mallory", at(Method::POST, &client.endpoint, INITIALIZE)).await;
    assert_eq!((stranger.status, reason(&stranger.message().await)), (404, "session.unknown"));
    for (path, status) in [("/message?sessionId=guess", 404), ("/message", 404)] {
        let reply = rig.send(at(Method::POST, path, INITIALIZE)).await;
        assert_eq!((reply.status, reason(&reply.message().await)), (status, "session.unknown"));
    }
    let twice = format!("{0}&{1}", client.endpoint, client.endpoint.split_once('?').unwrap().1);
    assert_eq!(rig.send(at(Method::POST, &twice, INITIALIZE)).await.status, 404);
    let anonymous = at(Method::GET, "/sse", "").send(rig.address).await;
    assert_eq!(anonymous.status, 401);
    let evil = rig.send(at(Method::GET, "/sse", "").header("origin", "http://evil.example")).await;
    assert_eq!(evil.status, 403);
    assert_eq!(rig.send(at(Method::POST, "/sse", INITIALIZE)).await.status, 405);
    assert_eq!(rig.send(at(Method::GET, &client.endpoint, "")).await.status, 405);
    // A session of the other transport is none here, nor the other way round.
    let id = client.endpoint.split_once('=').unwrap().1.to_owned();
    assert_eq!(rig.send(initialize().session(&id)).await.status, 404);
    assert!(upstream.seen().is_empty());
    drop(client);
    let trail = rig.stop().await;
    let reasons: Vec<_> = trail.refusals().into_iter().map(trail::reason).collect();
    assert_eq!(
        reasons,
        [
            "session.of-another",
            "session.unknown",
            "session.unknown",
            "session.unknown",
            "identity.missing",
            "http.origin",
            "http.method",
            "http.method",
            "session.unknown"
        ]
    );
}

/// Opens a session; asks the client when it is called, and answers with what it heard.
const PROGRAM: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"method":"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05"}}\n' "$id" ;;
    *'"method":"notifications/'*) printf '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n' ;;
    *'"id":"q"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"heard":%s}}\n' "$asker" "$line" ;;
    *) asker=$id; printf '{"jsonrpc":"2.0","id":"q","method":"roots/list"}\n' ;;
  esac
done
"#;

#[tokio::test]
async fn both_sides_of_the_oldest_revision_understand_each_other() {
    let rig = Plan::sh(PROGRAM).start().await;
    let mut client = Client::connect(&rig, "/sse").await;
    client.open(&rig).await;
    assert!(client.hear().await.contains("tools/list_changed"));
    assert_eq!(client.say(&rig, &call_body("1", "echo")).await, 202);
    assert_eq!(client.hear().await, r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#);
    let answer = r#"{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}"#;
    assert_eq!(client.say(&rig, answer).await, 202);
    assert!(client.hear().await.contains("\"roots\":[]"));
    // Both sides of this revision have batches.
    let batch = format!("[{},{}]", call_body("2", "wipe"), call_body("3", "wipe"));
    assert_eq!(client.say(&rig, &batch).await, 202);
    let answers: serde_json::Value = serde_json::from_str(&client.hear().await).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 2);
    rig.ask_to_stop();
    assert_eq!(client.stream.rest().await, End::Orderly);
    let trail = rig.stop().await;
    assert_eq!(trail.call("roots/list").status(), Status::Ok);
    assert_eq!(trail.call("http/delete").status(), Status::Accepted);
    assert_eq!(trail.refusals().len(), 2);
}

#[tokio::test]
async fn a_failure_answers_nothing_but_what_was_asked() {
    let (_upstream, mut waiting, rig) = rig().await;
    let mut client = Client::connect(&rig, "/sse").await;
    client.open(&rig).await;
    waiting.next().await.answer(empty(405));
    for (body, expected) in [
        (result("7"), 50_201),
        (r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage"}"#.to_owned(), 50_201),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}"#.to_owned(),
            -32_000,
        ),
    ] {
        assert_eq!(client.say(&rig, &call_body("1", "echo")).await, 202);
        waiting.next().await.answer(typed(400, "application/json", body));
        let told: serde_json::Value = serde_json::from_str(&client.hear().await).unwrap();
        assert_eq!((code(&told), &told["id"]), (expected, &1.into()));
    }
    drop(client);
    waiting.next().await.answer(empty(200));
    rig.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_fetched_for_the_client() {
    let (_upstream, mut waiting, rig) = rig().await;
    let mut client = Client::connect(&rig, "/sse").await;
    client.open(&rig).await;
    waiting.next().await.answer(empty(405));
    assert_eq!(client.say(&rig, &call_body("1", "echo")).await, 202);
    let stream = waiting.next().await.stream();
    stream.send("retry: 1\nid: e-7\ndata:\n\n").await;
    drop(stream);
    let resumed = waiting.next().await;
    assert_eq!(resumed.seen.method, Method::GET);
    assert_eq!(resumed.seen.headers["last-event-id"], "e-7");
    let stream = resumed.stream();
    stream.message(&result("1")).await;
    assert_eq!(client.hear().await, result("1"));
    // One that cannot be fetched is an error.
    assert_eq!(client.say(&rig, &call_body("2", "echo")).await, 202);
    let broken = waiting.next().await.stream();
    broken.send(&event(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#)).await;
    assert!(client.hear().await.contains("notifications/message"));
    broken.break_off().await;
    let failed: serde_json::Value = serde_json::from_str(&client.hear().await).unwrap();
    assert_eq!((code(&failed), &failed["id"]), (50_201, &2.into()));
    drop(client);
    waiting.next().await.answer(empty(200));
    let trail = rig.stop().await;
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Ok, Status::TransportFailure]);
}

/// Line breaks in a message of the server begin no event of their own.
#[tokio::test]
async fn one_message_is_one_event() {
    let (_upstream, mut waiting, rig) = rig().await;
    let mut client = Client::connect(&rig, "/sse").await;
    client.open(&rig).await;
    waiting.next().await.answer(empty(405));
    assert_eq!(client.say(&rig, &call_body("1", "echo")).await, 202);
    let evil = r#"{"jsonrpc":"2.0","method":"canary"}"#;
    let answer = format!(
        "{{\"jsonrpc\":\"2.0\",\r\n\r\n\r\"id\":1,\n\n\"result\":{{\"a\":\"\\n\\ndata: {}\"}}}}",
        evil.replace('"', "\\\"")
    );
    let expected: serde_json::Value = serde_json::from_str(&answer).unwrap();
    waiting.next().await.answer(json(answer));
    let event = client.stream.event().await;
    let lines: Vec<&str> = event.trim_end().lines().collect();
    assert_eq!(lines[0], "event: message");
    let data: Vec<&str> =
        lines[1..].iter().map(|line| line.strip_prefix("data: ").unwrap()).collect();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data.join("\n")).unwrap(), expected);
    // Nothing else comes before the next answer.
    assert_eq!(client.say(&rig, &call_body("2", "echo")).await, 202);
    waiting.next().await.answer(json(result("2")));
    assert_eq!(client.hear().await, result("2"));
    drop(client);
    waiting.next().await.answer(empty(405));
    rig.stop().await;
}
