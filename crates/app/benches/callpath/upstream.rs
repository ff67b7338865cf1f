//! The smallest server that is one: it opens sessions, lists its one tool, and answers each call of it with
//! the same words.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Serves until the process is ended.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        for session in 0_u64.. {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A connection that breaks is one that nobody needs any more.
            tokio::spawn(async move { serve(stream, session).await.ok() });
        }
        Ok(())
    })
}

/// As much of a message as it needs.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
}

async fn serve(mut stream: TcpStream, connection: u64) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(4_096);
    let mut sessions = 0_u64;
    loop {
        buffer.clear();
        while !is_whole(&buffer) {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let answer = answer(&buffer, || {
            sessions += 1;
            format!("{connection}-{sessions}")
        });
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn answer(request: &[u8], session: impl FnOnce() -> String) -> String {
    let body = head_of(request).and_then(|head| request.get(head.len() + 4..)).unwrap_or_default();
    if !request.starts_with(b"POST ") {
        return "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n".to_owned();
    }
    let Ok(Message { id, method }) = serde_json::from_slice(body) else {
        return "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_owned();
    };
    let Some(id) = id else {
        return "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned();
    };
    let (headers, result) = match &*method {
        "tools/call" => (String::new(), CALLED),
        "initialize" => (format!("Mcp-Session-Id: {}\r\n", session()), INITIALIZED),
        "tools/list" => (String::new(), LISTED),
        _ => (String::new(), "{}"),
    };
    let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The head of a message, when it is there, without the empty line after it.
pub(crate) fn head_of(buffer: &[u8]) -> Option<&str> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    std::str::from_utf8(buffer.get(..end)?).ok()
}

/// Whether a buffer holds a message with all of its body.
pub(crate) fn is_whole(buffer: &[u8]) -> bool {
    let Some(head) = head_of(buffer) else { return false };
    let body = buffer.get(head.len() + 4..).unwrap_or_default();
    let field = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    match field("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None if field("transfer-encoding").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => true,
    }
}

const CALLED: &str = r#"{"content":[{"type":"text","text":"3 rows"}]}"#;
const INITIALIZED: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}"#;
const LISTED: &str = r#"{"tools":[{"name":"query","description":"Asks the database.","inputSchema":{"type":"object","properties":{"sql":{"type":"string"}},"required":["sql"]}}]}"#;
