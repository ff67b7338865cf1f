//! The load: connections that each send one call after another, and how long each answer took.

use crate::upstream::is_whole;
use anyhow::ensure;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One call as bytes, and whom to send it to.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    address: String,
    bytes: Vec<u8>,
    /// Length of its body.
    pub(crate) body_bytes: usize,
}

impl Request {
    /// A call in the form of the 2025-11-25 revision, with a credential or without.
    pub(crate) fn of_2025(address: &str, credential: Option<&str>) -> Self {
        let body = format!("{{{HEAD},\"params\":{{{TOOL}}}}}");
        let authorization =
            credential.map(|c| format!("Authorization: Bearer {c}\r\n")).unwrap_or_default();
        let headers = format!("MCP-Protocol-Version: 2025-11-25\r\n{authorization}");
        Self::new(address, &headers, &body)
    }

    /// The same call in the form of the 2026-07-28 revision.
    pub(crate) fn of_2026(address: &str, credential: &str) -> Self {
        let body = format!("{{{HEAD},\"params\":{{{META},{TOOL}}}}}");
        let headers = format!(
            "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: query\r\n\
             Authorization: Bearer {credential}\r\n"
        );
        Self::new(address, &headers, &body)
    }

    fn new(address: &str, headers: &str, body: &str) -> Self {
        let text = format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { address: address.to_owned(), bytes: text.into_bytes(), body_bytes: body.len() }
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
}

/// Calls for some time with so many calls in flight.
pub(crate) async fn round(
    request: &Request,
    concurrency: usize,
    time: Duration,
) -> anyhow::Result<Round> {
    let mut streams = Vec::new();
    for _ in 0..concurrency {
        let stream = TcpStream::connect(&request.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for stream in streams {
        clients.spawn(calls(stream, request.bytes.clone(), started + time));
    }
    let mut latencies_ns = Vec::new();
    while let Some(client) = clients.join_next().await {
        latencies_ns.extend(client??);
    }
    let time = started.elapsed();
    latencies_ns.sort_unstable();
    Ok(Round { time, latencies_ns, cpu: Duration::ZERO })
}

async fn calls(mut stream: TcpStream, request: Vec<u8>, end: Instant) -> anyhow::Result<Vec<u64>> {
    let mut latencies_ns = Vec::new();
    let mut buffer = Vec::with_capacity(4_096);
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(latencies_ns);
        }
        stream.write_all(&request).await?;
        buffer.clear();
        while !is_whole(&buffer) {
            ensure!(stream.read_buf(&mut buffer).await? > 0, "the connection ended");
        }
        latencies_ns.push(u64::try_from(sent.elapsed().as_nanos())?);
        ensure!(
            buffer.starts_with(b"HTTP/1.1 200 ") && buffer.ends_with(b"\"3 rows\"}]}}"),
            "not the answer: {}",
            String::from_utf8_lossy(&buffer)
        );
    }
}

const HEAD: &str = r#""jsonrpc":"2.0","id":1,"method":"tools/call""#;
const TOOL: &str = r#""name":"query","arguments":{"sql":"SELECT id, subject, opened_at FROM tickets WHERE open = 1 AND owner = 'support' LIMIT 3"}"#;
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
