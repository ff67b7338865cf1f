//! A gateway between one kind of client and one kind of server, on which outcomes are played one after the
//! other.

use super::servers::{Running, Server};
use crate::client::{Ask, Reply};
use crate::messages::{INITIALIZE, INITIALIZED, legacy, modern};
use crate::rig::{POLICY, Plan, Rig, close, engine, log_config, place};
use crate::trail::{self, Trail};
use crate::within;
use audit::{Clock, Recorder};
use event::{Actor, ActorKind, Event, Kind, Level, Status};
use gateway::config::{self, AnswerDurability, Limits};
use gateway::{Definitions, WrapParts, WrapUrlParts, wrap, wrap_url};
use http::{HeaderMap, Method};
use inventory::{Inventory, Settings};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tlog::storage::Files;
use tlog::{Log, Signer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Legacy,
    Modern,
    HttpSse,
    Wrap,
}

/// A client, a gateway and a server.
pub(super) struct Stage {
    side: Side,
    log: Log,
    directory: PathBuf,
    /// Ids of requests so far.
    ids: u32,
    _server: Running,
}

/// The client, and the gateway that it talks to.
enum Side {
    Legacy { rig: Rig, session: String },
    Modern { rig: Rig },
    HttpSse { rig: Rig, stream: Option<Reply>, endpoint: String },
    Wrap(Piped),
}

/// A gateway on standard input and output.
struct Piped {
    input: Option<DuplexStream>,
    output: BufReader<DuplexStream>,
    running: JoinHandle<()>,
    recorder: Recorder,
    directory: TempDir,
}

/// The methods of the calls that are played.
const PLAYED: [&str; 3] = ["tools/call", "tools/list", "tasks/get"];

impl Client {
    pub(super) const ALL: [Self; 4] = [Self::Legacy, Self::Modern, Self::HttpSse, Self::Wrap];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
            Self::HttpSse => "sse",
            Self::Wrap => "wrap",
        }
    }

    /// Whether calls can come about between these two.
    pub(super) fn can_meet(self, server: Server) -> bool {
        server != Server::HttpSse || matches!(self, Self::Legacy | Self::HttpSse)
    }
}

fn limits(outcome: &str) -> Limits {
    let mut limits = Limits::default();
    if outcome == "timed-out" {
        limits.reply_timeout = Duration::from_secs(1);
        limits.stream_idle_timeout = Some(Duration::from_secs(1));
    }
    if outcome == "client-gone" {
        limits.shutdown_grace = crate::rig::SOON;
    }
    limits
}

fn hiding() -> Arc<Definitions> {
    Arc::new(Definitions::in_memory(Inventory::new(Settings::default()), true))
}

impl Stage {
    /// For everything, or for one outcome alone.
    pub(super) async fn open(client: Client, server: Server, outcome: &str) -> Self {
        let running = server.start().await;
        let limits = limits(outcome);
        if client == Client::Wrap {
            let (piped, log) = Piped::start(&running.config, limits).await;
            let directory = piped.directory.path().join("log");
            return Self { side: Side::Wrap(piped), log, directory, ids: 0, _server: running };
        }
        let plan =
            Plan { limits, definitions: hiding(), ..Plan::in_front_of(running.config.clone()) };
        let rig = plan.start().await;
        let (log, directory) = (rig.log.clone(), rig.log_directory());
        let side = match client {
            Client::Legacy => Side::Legacy { session: rig.session().await, rig },
            Client::Modern | Client::Wrap => Side::Modern { rig },
            Client::HttpSse => Side::open_stream(rig).await,
        };
        Self { side, log, directory, ids: 0, _server: running }
    }

    /// Plays one outcome; what is on record of it.
    pub(super) async fn play(&mut self, outcome: &str) -> String {
        self.ids += 1;
        let id = self.ids.to_string();
        let before = Trail::read(&self.directory).rows.len();
        let (method, params) = match outcome {
            "list-filtered" => ("tools/list", String::new()),
            "forbidden" => ("tools/call", r#""name":"wipe","arguments":{}"#.to_owned()),
            state if state.starts_with("state-") => ("tasks/get", format!(r#""taskId":"{state}""#)),
            // A key twice.
            "malformed" => ("tools/call", r#""name":"ok","name":"ok""#.to_owned()),
            name => ("tools/call", format!(r#""name":"{name}","arguments":{{}}"#)),
        };
        let sent = self.side.send(&id, (method, &params), outcome).await;
        match outcome {
            "cancelled" => {
                self.until(before, |events| asked(events).is_some()).await;
                let params = format!(r#""requestId":{id}"#);
                self.side.tell("notifications/cancelled", &params).await;
            }
            "client-gone" => {
                self.until(before, |events| asked(events).is_some()).await;
                sent.iter().for_each(JoinHandle::abort);
                self.side.leave();
            }
            _ => {}
        }
        let events = self.until(before, |events| value(events).is_some()).await;
        if let Some(sent) = sent {
            sent.await.ok();
        }
        value(&events).unwrap()
    }

    async fn until(&self, before: usize, wanted: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let mut committed = self.log.committed();
        within("the log holds what is expected", async {
            loop {
                committed.mark_unchanged();
                let rows = Trail::read(&self.directory).rows;
                let events: Vec<Event> = rows.into_iter().skip(before).map(|r| r.event).collect();
                if wanted(&events) {
                    return events;
                }
                committed.changed().await.unwrap();
            }
        })
        .await
    }

    /// Ends everything; the log verifies.
    pub(super) async fn end(self) {
        match self.side {
            Side::Legacy { rig, .. } | Side::Modern { rig } => drop(rig.stop().await),
            Side::HttpSse { rig, stream, .. } => {
                drop(stream);
                rig.stop().await;
            }
            Side::Wrap(piped) => piped.end(self.log).await,
        }
    }
}

fn asked(events: &[Event]) -> Option<&Event> {
    let asked = events.iter().filter(|event| event.kind == Kind::CallAsked);
    let mut played = asked.filter(|event| {
        event.resource.as_ref().is_some_and(|on| PLAYED.contains(&on.method.as_str()))
    });
    played.next()
}

/// What is on record of the one call among these events, in the words of the table.
fn value(events: &[Event]) -> Option<String> {
    let Some(asked) = asked(events) else {
        let refused = events.iter().find(|event| event.kind == Kind::CallRefused)?;
        return Some(trail::reason(refused).to_owned());
    };
    let end = |e: &&Event| e.kind == Kind::CallAnswered && e.call == asked.call;
    let outcome = events.iter().find(end)?.outcome.as_ref()?;
    let mut words = vec![outcome.status.as_str().to_owned()];
    words.extend(outcome.code.map(|code| code.to_string()));
    words.extend(outcome.filtered.map(|filtered| filtered.to_string()));
    words.extend(outcome.task.map(|task| task.as_str().to_owned()));
    let http_status = outcome.http_status.filter(|_| outcome.status == Status::HttpError);
    words.extend(http_status.map(|status| status.to_string()));
    Some(words.join(" "))
}

impl Side {
    async fn open_stream(rig: Rig) -> Self {
        let get = Ask { path: "/sse".to_owned(), ..Ask::new(Method::GET) };
        let mut stream = rig.send(get).await;
        let first = stream.event().await;
        let endpoint = first.strip_prefix("event: endpoint\ndata: ").unwrap().trim().to_owned();
        for body in [INITIALIZE, INITIALIZED] {
            let path = endpoint.clone();
            let reply = rig.send(Ask { path, ..Ask::post(body) }).await;
            assert_eq!(reply.status, 202);
            if body == INITIALIZE {
                assert!(stream.event().await.contains("protocolVersion"));
            }
        }
        Self::HttpSse { rig, stream: Some(stream), endpoint }
    }

    /// Sends a request in the way of this client; its answer is taken in a task of its own.
    async fn send(
        &mut self,
        id: &str,
        (method, params): (&str, &str),
        outcome: &str,
    ) -> Option<JoinHandle<()>> {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#);
        let (rig, ask) = match self {
            Self::Wrap(piped) => {
                piped.say(&body).await;
                return None;
            }
            Self::Legacy { rig, session } => (rig, legacy(session, body)),
            Self::HttpSse { rig, endpoint, .. } => {
                (rig, Ask { path: endpoint.clone(), ..Ask::post(body) })
            }
            Self::Modern { rig } => {
                let name = match method {
                    "tools/list" => None,
                    "tasks/get" => Some(outcome),
                    _ if outcome == "forbidden" => Some("wipe"),
                    _ if outcome == "malformed" => Some("ok"),
                    _ => Some(outcome),
                };
                (rig, modern(id, method, name, params))
            }
        };
        let ask = match outcome {
            "unauthenticated" => ask,
            _ => ask.token(&rig.token("alice")),
        };
        let address = rig.address;
        Some(tokio::spawn(async move {
            if let Some(mut reply) = ask.try_send(address).await {
                reply.rest().await;
            }
        }))
    }

    /// Sends a notification.
    async fn tell(&mut self, method: &str, params: &str) {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{params}}}}}"#);
        let (rig, ask) = match self {
            Self::Wrap(piped) => return piped.say(&body).await,
            Self::Legacy { rig, session } => (rig, legacy(session, body)),
            Self::HttpSse { rig, endpoint, .. } => {
                (rig, Ask { path: endpoint.clone(), ..Ask::post(body) })
            }
            Self::Modern { rig } => (rig, Ask::post(body)),
        };
        assert_eq!(rig.send(ask).await.status, 202);
    }

    /// The client is gone.
    fn leave(&mut self) {
        match self {
            Self::Legacy { .. } | Self::Modern { .. } => {}
            Self::HttpSse { stream, .. } => *stream = None,
            Self::Wrap(piped) => piped.input = None,
        }
    }
}

impl Piped {
    async fn start(server: &config::Server, limits: Limits) -> (Self, Log) {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let (signer, _) = Signer::generate("example.com/log").unwrap();
        let storage = Arc::new(Files::new(&directory.path().join("log")));
        let log = Log::create_on(storage, signer, log_config(clock, 0)).unwrap();
        let recorder = Recorder::new(log.clone(), place(), clock);
        recorder.begin(BTreeMap::new()).await.unwrap();
        let (input, reader) = tokio::io::duplex(1 << 16);
        let (writer, output) = tokio::io::duplex(1 << 16);
        let reader = BufReader::new(reader);
        let (stop, server_name) = (CancellationToken::new(), "srv".to_owned());
        let (answers, policy) = (AnswerDurability::BeforeRelease, engine(POLICY));
        let (definitions, actor) = (hiding(), local());
        let to_recorder = recorder.clone();
        let running = match server.clone() {
            config::Server::Stdio(command) => {
                let recorder = to_recorder;
                let parts = WrapParts {
                    recorder,
                    policy,
                    definitions,
                    server_name,
                    command,
                    actor,
                    limits,
                    answers,
                };
                tokio::spawn(async move {
                    wrap(parts, reader, writer, stop).await.unwrap();
                })
            }
            config::Server::Http { url, .. } | config::Server::Sse { url, .. } => {
                let (recorder, headers) = (to_recorder, HeaderMap::new());
                let parts = WrapUrlParts {
                    recorder,
                    policy,
                    server_name,
                    url,
                    headers,
                    actor,
                    limits,
                    answers,
                    definitions,
                };
                tokio::spawn(async move {
                    wrap_url(parts, reader, writer, stop).await.unwrap();
                })
            }
        };
        let output = BufReader::new(output);
        let mut piped = Self { input: Some(input), output, running, recorder, directory };
        piped.say(INITIALIZE).await;
        let mut line = String::new();
        within("a line comes", piped.output.read_line(&mut line)).await.unwrap();
        piped.say(INITIALIZED).await;
        (piped, log)
    }

    async fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn end(mut self, log: Log) {
        self.input = None;
        within("the wrap ends", self.running).await.unwrap();
        self.recorder.end().await.unwrap();
        close(log).await.unwrap();
        let directory = self.directory.path().join("log");
        assert_eq!(trail::verify(&directory).open, 0);
        assert!(Trail::read(&directory).sessions_ended());
    }
}

fn local() -> Actor {
    Actor {
        id: "uid:1000".to_owned(),
        kind: ActorKind::Local,
        level: Level::Observed,
        provider: "local".to_owned(),
        ..Actor::anonymous()
    }
}
