//! The load: connections that each send one call after another, and how long each answer took.

use crate::upstream::{head_of, is_whole};
use anyhow::{Context as _, ensure};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// In which form a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As of the 2025-11-25 revision, to a server that keeps no sessions.
    Of2025,
    /// As of the 2025-11-25 revision, in a session that the connection opened.
    InSession,
    /// As of the 2026-07-28 revision.
    Of2026,
}

impl Form {
    fn call(self) -> String {
        match self {
            Self::Of2025 | Self::InSession => format!("{{{CALL},\"params\":{{{TOOL}}}}}"),
            Self::Of2026 => format!("{{{CALL},\"params\":{{{META},{TOOL}}}}}"),
        }
    }

    fn headers(self) -> &'static str {
        match self {
            Self::Of2025 | Self::InSession => "MCP-Protocol-Version: 2025-11-25\r\n",
            Self::Of2026 => {
                "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: query\r\n"
            }
        }
    }

    /// Length of the body of a call.
    pub(crate) fn body_bytes(self) -> usize {
        self.call().len()
    }
}

/// How to call, and whom.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    address: String,
    path: String,
    form: Form,
    credential: Option<String>,
    tool: Option<String>,
}

impl Request {
    pub(crate) fn new(address: &str, path: &str, form: Form, credential: Option<&str>) -> Self {
        let (address, path) = (address.to_owned(), path.to_owned());
        Self { address, path, form, credential: credential.map(str::to_owned), tool: None }
    }

    /// The same for a tool that goes by another name.
    pub(crate) fn calling(self, name: Option<&str>) -> Self {
        Self { tool: name.map(str::to_owned), ..self }
    }

    fn call(&self) -> String {
        let call = self.form.call();
        match &self.tool {
            Some(name) => call.replacen("\"query\"", &format!("\"{name}\""), 1),
            None => call,
        }
    }

    fn bytes(&self, session: Option<&str>, body: &str) -> Vec<u8> {
        let Self { address, path, form, credential, .. } = self;
        let credential = credential.as_ref().map(|c| format!("Authorization: Bearer {c}\r\n"));
        let session = session.map(|session| format!("Mcp-Session-Id: {session}\r\n"));
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{}{}{}Content-Length: {}\r\n\r\n{body}",
            form.headers(),
            credential.unwrap_or_default(),
            session.unwrap_or_default(),
            body.len()
        );
        text.into_bytes()
    }
}

/// What one round measured.
#[derive(Debug)]
pub(crate) struct Round {
    /// How long it took.
    pub(crate) time: Duration,
    /// How long each call took, in nanoseconds, the shortest first.
    pub(crate) latencies_ns: Vec<u64>,
    /// Processor time of the process that was called.
    pub(crate) cpu: Duration,
    /// Its resident memory at the end.
    pub(crate) resident_mib: u64,
}

/// Calls for some time with so many calls in flight.
pub(crate) async fn round(
    request: &Request,
    concurrency: usize,
    time: Duration,
) -> anyhow::Result<Round> {
    let mut opening = JoinSet::new();
    for _ in 0..concurrency {
        opening.spawn(Connection::open(request.clone()));
    }
    let mut connections = Vec::new();
    while let Some(connection) = opening.join_next().await {
        connections.push(connection??);
    }
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for connection in connections {
        clients.spawn(connection.calls(started + time));
    }
    let mut latencies_ns = Vec::new();
    while let Some(client) = clients.join_next().await {
        latencies_ns.extend(client??);
    }
    let time = started.elapsed();
    latencies_ns.sort_unstable();
    Ok(Round { time, latencies_ns, cpu: Duration::ZERO, resident_mib: 0 })
}

/// A connection that is ready for calls.
struct Connection {
    stream: TcpStream,
    call: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(request: Request) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&request.address).await?;
        stream.set_nodelay(true)?;
        let mut own = Self { stream, call: Vec::new(), buffer: Vec::with_capacity(4_096) };
        let session = match request.form {
            Form::InSession => own.initialize(&request).await?,
            Form::Of2025 | Form::Of2026 => None,
        };
        own.call = request.bytes(session.as_deref(), &request.call());
        Ok(own)
    }

    /// Opens a session, as a client of the session revisions does before anything else.
    async fn initialize(&mut self, request: &Request) -> anyhow::Result<Option<String>> {
        self.exchange(&request.bytes(None, INITIALIZE)).await?;
        ensure!(self.buffer.starts_with(b"HTTP/1.1 200 "), "not initialized: {}", self.shown());
        let session = head_of(&self.buffer).and_then(|head| {
            head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
            })
        });
        self.exchange(&request.bytes(session.as_deref(), INITIALIZED)).await?;
        ensure!(self.buffer.starts_with(b"HTTP/1.1 202 "), "not initialized: {}", self.shown());
        Ok(session)
    }

    async fn calls(mut self, end: Instant) -> anyhow::Result<Vec<u64>> {
        let mut latencies_ns = Vec::new();
        let call = std::mem::take(&mut self.call);
        loop {
            let sent = Instant::now();
            if sent >= end {
                return Ok(latencies_ns);
            }
            self.exchange(&call).await?;
            latencies_ns.push(u64::try_from(sent.elapsed().as_nanos())?);
            let answered = self.buffer.starts_with(b"HTTP/1.1 200 ")
                && self.buffer.windows(ANSWER.len()).any(|window| window == ANSWER);
            ensure!(answered, "not the answer: {}", self.shown());
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        while !is_whole(&self.buffer) {
            let read = self.stream.read_buf(&mut self.buffer).await.context("no answer")?;
            ensure!(read > 0, "the connection ended after: {}", self.shown());
        }
        Ok(())
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.buffer).chars().take(400).collect()
    }
}

const ANSWER: &[u8] = b"3 rows";
const CALL: &str = r#""jsonrpc":"2.0","id":1,"method":"tools/call""#;
const TOOL: &str = r#""name":"query","arguments":{"sql":"SELECT id, subject, opened_at FROM tickets WHERE open = 1 AND owner = 'support' LIMIT 3"}"#;
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
