//! A client on standard input and output in front of a scripted HTTP server.

use crate::messages::{INITIALIZE, INITIALIZED, META, call_body, code, modern_call, result};
use crate::rig::{POLICY, close, engine, log_config, place};
use crate::trail::{self, Trail};
use crate::upstream::{Seen, Upstream, Waiting, empty, json};
use crate::within;
use audit::{Clock, Recorder};
use event::{Actor, ActorKind, Level, Status, Transport};
use gateway::config::{AnswerDurability, Limits};
use gateway::{WrapUrlParts, wrap_url};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use tlog::storage::Files;
use tlog::{Log, Signer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A client's end of the pipes, and the gateway that holds the other.
pub(crate) struct Remote {
    input: DuplexStream,
    output: BufReader<DuplexStream>,
    running: JoinHandle<()>,
    log: Log,
    recorder: Recorder,
    directory: TempDir,
}

impl Remote {
    pub(crate) fn start(upstream: &Upstream) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let (signer, _) = Signer::generate("example.com/log").unwrap();
        let storage = Arc::new(Files::new(&directory.path().join("log")));
        let log = Log::create_on(storage, signer, log_config(clock, 0)).unwrap();
        let recorder = Recorder::new(log.clone(), place(), clock);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer canary"));
        let parts = WrapUrlParts {
            recorder: recorder.clone(),
            policy: engine(POLICY),
            server_name: "srv".to_owned(),
            url: format!("http://{}/mcp", upstream.address).parse().unwrap(),
            headers,
            actor: Actor {
                id: "uid:1000".to_owned(),
                kind: ActorKind::Local,
                level: Level::Observed,
                provider: "local".to_owned(),
                ..Actor::anonymous()
            },
            limits: Limits::default(),
            answers: AnswerDurability::BeforeRelease,
            definitions: crate::rig::definitions(),
        };
        let (input, reader) = tokio::io::duplex(1 << 16);
        let (writer, output) = tokio::io::duplex(1 << 16);
        let begins = recorder.clone();
        let running = tokio::spawn(async move {
            begins.begin(BTreeMap::new()).await.unwrap();
            let reader = BufReader::new(reader);
            wrap_url(parts, reader, writer, CancellationToken::new()).await.unwrap();
        });
        Self { input, output: BufReader::new(output), running, log, recorder, directory }
    }

    pub(crate) async fn say(&mut self, message: &str) {
        self.write(&format!("{message}\n")).await;
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> String {
        self.line().await.trim_end().to_owned()
    }

    /// A line, to its very end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        within("a line comes", self.output.read_line(&mut line)).await.unwrap();
        line
    }

    async fn hear_message(&mut self) -> Value {
        let line = self.hear().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Opens a session at the server, which has no stream of its own messages.
    async fn open(&mut self, waiting: &mut Waiting) {
        self.say(INITIALIZE).await;
        self.say(INITIALIZED).await;
        assert_eq!(self.hear_message().await["id"], 0);
        let listening = waiting.next().await;
        assert_eq!(listening.seen.method, Method::GET);
        listening.answer(empty(405));
    }

    /// The client closes its side.
    pub(crate) async fn close(self) -> Trail {
        drop(self.input);
        within("the wrap ends", self.running).await.unwrap();
        self.recorder.end().await.unwrap();
        close(self.log).await.unwrap();
        let log = self.directory.path().join("log");
        assert_eq!(trail::verify(&log).open, 0);
        assert!(!trail::mentions(&log, "canary"));
        let trail = Trail::read(&log);
        assert!(trail.sessions_ended(), "{:#?}", trail.rows);
        trail
    }
}

/// The body of a request of 2026-07-28.
fn modern(id: &str, method: &str, params: &str) -> String {
    let comma = if params.is_empty() { "" } else { "," };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{comma}{META}}}}}"#
    )
}

fn header<'s>(seen: &'s Seen, name: &str) -> &'s str {
    seen.headers[name].to_str().unwrap()
}

#[tokio::test]
async fn lines_become_a_session_over_http() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let mut remote = Remote::start(&upstream);
    remote.say(INITIALIZE).await;
    remote.say(INITIALIZED).await;
    assert_eq!(remote.hear_message().await["id"], 0);
    let listening = waiting.next().await;
    assert_eq!(header(&listening.seen, "mcp-session-id"), "session-1");
    let listening = listening.stream();
    listening.send("id: n-1\nretry: 1\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":\"q\",\"method\":\"roots/list\"}\n\n").await;
    assert_eq!(remote.hear().await, r#"{"jsonrpc":"2.0", "id":"q","method":"roots/list"}"#);
    remote.say(r#"{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}"#).await;
    let answered = waiting.next().await;
    assert!(answered.seen.message().unwrap()["result"]["roots"].is_array());
    answered.answer(empty(202));
    // The server closes its stream, and the client comes back where it left off.
    drop(listening);
    let again = waiting.next().await;
    assert_eq!((&again.seen.method, header(&again.seen, "last-event-id")), (&Method::GET, "n-1"));
    let listening = again.stream();
    remote.say(&format!(" {} ", call_body("1", "echo"))).await;
    let called = waiting.next().await;
    assert_eq!(called.seen.body, call_body("1", "echo"));
    assert_eq!(header(&called.seen, "mcp-protocol-version"), "2025-11-25");
    assert_eq!(header(&called.seen, "authorization"), "Bearer canary");
    assert!(!called.seen.headers.contains_key("mcp-method"));
    called.answer(json(result("1")));
    assert_eq!(remote.hear().await, result("1"));
    remote.say(&call_body("2", "wipe")).await;
    assert_eq!(code(&remote.hear_message().await), 40_300);
    remote.say("{").await;
    assert_eq!(code(&remote.hear_message().await), 40_000);
    let ending = tokio::spawn(remote.close());
    listening.abandoned().await;
    let closing = waiting.next().await;
    assert_eq!(closing.seen.method, Method::DELETE);
    closing.answer(empty(200));
    let trail = ending.await.unwrap();
    let call = trail.call("tools/call");
    assert_eq!(call.status(), Status::Ok);
    assert_eq!(call.asked.environment.transport, Some(Transport::Stdio));
    assert_eq!(call.asked.actor.as_ref().unwrap().id, "uid:1000");
    assert!(call.asked.session.is_some());
    assert_eq!(trail.call("roots/list").status(), Status::Ok);
    assert_eq!(trail.refusals().len(), 2);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_fetched() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let mut remote = Remote::start(&upstream);
    remote.open(&mut waiting).await;
    remote.say(&call_body("1", "echo")).await;
    let stream = waiting.next().await.stream();
    stream.send("id: a-1\nretry: 1\ndata:\n\n").await;
    drop(stream);
    for id in ["a-1", "a-2"] {
        let resumed = waiting.next().await;
        assert_eq!(header(&resumed.seen, "last-event-id"), id);
        let stream = resumed.stream();
        if id == "a-1" {
            stream.send("id: a-2\ndata:\n\n").await;
        } else {
            stream.message(&result("1")).await;
        }
    }
    assert_eq!(remote.hear().await, result("1"));
    // A call that its client cancels is owed nothing more.
    remote.say(&call_body("2", "echo")).await;
    let held = waiting.next().await;
    remote
        .say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#)
        .await;
    let notice = waiting.next().await;
    assert_eq!(notice.seen.message().unwrap()["params"]["requestId"], 2);
    notice.answer(empty(202));
    held.abandoned().await;
    remote.say(&call_body("3", "echo")).await;
    waiting.next().await.answer(json(result("3")));
    assert_eq!(remote.hear().await, result("3"));
    let ending = tokio::spawn(remote.close());
    waiting.next().await.answer(empty(405));
    let trail = ending.await.unwrap();
    let statuses: Vec<_> = trail.calls("tools/call").iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Status::Ok, Status::Cancelled, Status::Ok]);
}

#[tokio::test]
async fn stateless_requests_get_their_headers() {
    let (upstream, mut waiting) = Upstream::held().await;
    let mut remote = Remote::start(&upstream);
    remote.say(&modern("\"d\"", "server/discover", "")).await;
    let discover = waiting.next().await;
    assert_eq!(header(&discover.seen, "mcp-protocol-version"), "2026-07-28");
    assert_eq!(header(&discover.seen, "mcp-method"), "server/discover");
    assert!(!discover.seen.headers.contains_key("mcp-name"));
    discover.answer(json(result("\"d\"")));
    assert_eq!(remote.hear().await, result("\"d\""));
    // What the server wants mirrored is known once it has said so.
    let call = modern("2", "tools/call", r#""name":"f\u00fcr","arguments":{"region":"eu","n":7}"#);
    remote.say(&call).await;
    let before = waiting.next().await;
    assert_eq!(header(&before.seen, "mcp-name"), "=?base64?ZsO8cg==?=");
    assert!(!before.seen.headers.contains_key("mcp-param-region"));
    before.answer(json(result("2")));
    remote.hear().await;
    remote.say(&modern("3", "tools/list", "")).await;
    let list = r#"{"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","tools":[{"name":"für","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}}"#;
    waiting.next().await.answer(json(list));
    assert_eq!(remote.hear().await, list);
    remote.say(&call).await;
    let after = waiting.next().await;
    assert_eq!(header(&after.seen, "mcp-param-region"), "eu");
    after.answer(json(result("2")));
    remote.hear().await;
    assert!(remote.close().await.refusals().is_empty());
}

#[tokio::test]
async fn a_cancelled_stateless_request_is_a_closed_stream() {
    let (upstream, mut waiting) = Upstream::held().await;
    let mut remote = Remote::start(&upstream);
    let call = modern_call("1", "echo");
    remote.say(std::str::from_utf8(&call.body).unwrap()).await;
    let stream = waiting.next().await.stream();
    let listen =
        modern("2", "subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#);
    remote.say(&listen).await;
    let listening = waiting.next().await.stream();
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}"#;
    listening.message(notice).await;
    assert_eq!(remote.hear().await, notice);
    for (id, stream) in [(1, stream), (2, listening)] {
        let params = format!(r#""params":{{"requestId":{id}}}"#);
        remote
            .say(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled",{params}}}"#))
            .await;
        stream.abandoned().await;
    }
    assert_eq!(upstream.seen().len(), 2, "the notice itself is none of HTTP");
    let trail = remote.close().await;
    assert_eq!(trail.call("tools/call").status(), Status::Cancelled);
    assert_eq!(trail.call("subscriptions/listen").status(), Status::Ok);
}

#[tokio::test]
async fn calls_in_progress_may_end_when_the_client_says_no_more() {
    let (upstream, mut waiting) = Upstream::held().await;
    let mut remote = Remote::start(&upstream);
    let call = modern_call("1", "echo");
    remote.say(std::str::from_utf8(&call.body).unwrap()).await;
    let held = waiting.next().await;
    let ending = tokio::spawn(remote.close());
    held.answer(json(result("1")));
    let trail = ending.await.unwrap();
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
}
