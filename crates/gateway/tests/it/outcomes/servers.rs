//! The same server four times, one for each transport: what it does depends on the name of the tool.

use crate::messages::result;
use crate::rig::sh;
use crate::upstream::{Answer, Seen, Stream, Upstream, empty, events, json, opened_of, typed};
use gateway::config;
use gateway::tls::ServerTls;
use http::Method;
use std::sync::{Arc, Mutex};

/// How a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Json,
    Sse,
    Stdio,
    HttpSse,
}

/// A server, and what keeps it alive.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) config: config::Server,
    _upstream: Option<Upstream>,
}

/// What it answers to a tool of this name, or about a task of this id, beside version and id.
const ANSWERS: [(&str, &str); 13] = [
    ("ok", r#""result":{"content":[]}"#),
    ("tool-error", r#""result":{"isError":true,"content":[]}"#),
    ("protocol-error", r#""error":{"code":-32602,"message":"no"}"#),
    ("input-required", r#""result":{"resultType":"input_required","requestState":"s"}"#),
    ("task", r#""result":{"resultType":"task","taskId":"t","status":"working"}"#),
    ("task-2025", r#""result":{"task":{"taskId":"u","status":"working"}}"#),
    ("state-working", r#""result":{"taskId":"state-working","status":"working"}"#),
    ("state-input", r#""result":{"taskId":"state-input","status":"input_required"}"#),
    (
        "state-completed",
        r#""result":{"taskId":"state-completed","status":"completed","result":{"content":[]}}"#,
    ),
    ("state-cancelled", r#""result":{"taskId":"state-cancelled","status":"cancelled"}"#),
    (
        "state-failed",
        r#""result":{"taskId":"state-failed","status":"failed","error":{"code":-32001,"message":"x"}}"#,
    ),
    (
        "tools/list",
        r#""result":{"tools":[{"name":"ok","inputSchema":{"type":"object"}},{"name":"wipe","inputSchema":{"type":"object"}}]}"#,
    ),
    (
        "initialize",
        r#""result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#,
    ),
];

const NOTICE: &str = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;

impl Server {
    pub(super) const ALL: [Self; 4] = [Self::Json, Self::Sse, Self::Stdio, Self::HttpSse];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Sse => "sse",
            Self::Stdio => "stdio",
            Self::HttpSse => "http+sse",
        }
    }

    pub(super) async fn start(self) -> Running {
        match self {
            Self::Json | Self::Sse => {
                let streams = self == Self::Sse;
                let upstream = Upstream::start(move |seen| over_http(seen, streams)).await;
                let url = format!("http://{}/mcp", upstream.address).parse().unwrap();
                let config = config::Server::Http { url, tls: ServerTls::default() };
                Running { config, _upstream: Some(upstream) }
            }
            Self::Stdio => {
                Running { config: config::Server::Stdio(sh(&script())), _upstream: None }
            }
            Self::HttpSse => {
                let stream = Arc::default();
                let upstream =
                    Upstream::start(move |seen| over_http_sse(seen, Arc::clone(&stream))).await;
                let url = format!("http://{}/events", upstream.address).parse().unwrap();
                let config = config::Server::Sse { url, tls: ServerTls::default() };
                Running { config, _upstream: Some(upstream) }
            }
        }
    }
}

/// What a request names, and its id.
fn named(seen: &Seen) -> (String, String) {
    let message = seen.message().unwrap();
    let params = &message["params"];
    let name = [&params["name"], &params["taskId"], &message["method"]];
    let name = name.into_iter().find_map(|name| name.as_str()).unwrap();
    (name.to_owned(), message["id"].to_string())
}

fn answer_to(name: &str, id: &str) -> Option<String> {
    let (_, body) = ANSWERS.iter().find(|(known, _)| *known == name)?;
    Some(format!(r#"{{"jsonrpc":"2.0","id":{id},{body}}}"#))
}

async fn over_http(seen: Seen, streams: bool) -> Option<Answer> {
    match (&seen.method, seen.rpc_method().as_deref()) {
        (&Method::GET, _) => return Some(empty(405)),
        (&Method::DELETE, _) => return Some(empty(200)),
        (_, Some("initialize")) => return Some(opened_of("session-1", "2025-11-25")),
        (_, Some(method)) if method.starts_with("notifications/") => return Some(empty(202)),
        _ => {}
    }
    let (name, id) = named(&seen);
    let answer = match name.as_str() {
        "http-error" => return Some(typed(503, "text/html", "<p>later</p>")),
        "malformed-reply" => Some(result("77777")),
        name => answer_to(name, &id),
    };
    if !streams {
        return match (answer, name.as_str()) {
            (Some(answer), _) => Some(json(answer)),
            (None, "transport-failure") => None,
            (None, _) => std::future::pending().await,
        };
    }
    let (stream, head) = events();
    tokio::spawn(async move {
        stream.message(NOTICE).await;
        match (answer, name.as_str()) {
            (Some(answer), _) => stream.message(&answer).await,
            (None, "transport-failure") => stream.break_off().await,
            (None, _) => stream.abandoned().await,
        }
    });
    Some(head)
}

type Spoken = Arc<Mutex<Option<Arc<Stream>>>>;

async fn over_http_sse(seen: Seen, spoken: Spoken) -> Option<Answer> {
    if seen.method == Method::GET {
        let (stream, head) = events();
        let stream = Arc::new(stream);
        *spoken.lock().unwrap() = Some(Arc::clone(&stream));
        tokio::spawn(async move { stream.send("event: endpoint\ndata: /in\n\n").await });
        return Some(head);
    }
    let (name, id) = named(&seen);
    if name == "http-error" {
        return Some(typed(503, "text/html", "<p>later</p>"));
    }
    let stream = spoken.lock().unwrap().clone();
    if name == "transport-failure" {
        spoken.lock().unwrap().take();
    } else if let (Some(stream), Some(answer)) = (stream, answer_to(&name, &id)) {
        tokio::spawn(async move { stream.message(&answer).await });
    }
    Some(empty(202))
}

/// The same in the language of `/bin/sh`.
fn script() -> String {
    let mut script = "while IFS= read -r line; do\nid=${line#*\\\"id\\\":}; id=${id%%[,\\}]*}\ncase $line in\n*'\"method\":\"notifications/'*) ;;\n*'\"name\":\"transport-failure\"'*) exit 3 ;;\n".to_owned();
    for (name, body) in ANSWERS {
        let key = match name {
            "tools/list" | "initialize" => "method",
            name if name.starts_with("state-") => "taskId",
            _ => "name",
        };
        script.push_str(&format!(
            "*'\"{key}\":\"{name}\"'*) printf '{{\"jsonrpc\":\"2.0\",\"id\":%s,%s}}\\n' \"$id\" '{body}' ;;\n"
        ));
    }
    script.push_str("esac\ndone\n");
    script
}
