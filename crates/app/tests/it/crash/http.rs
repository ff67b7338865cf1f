//! As much of HTTP/1.1 as both ends of this test need: messages with a `Content-Length`, one after
//! another on a connection. Knows nothing of MCP.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

/// Longest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// One message.
pub(super) struct Message {
    /// The request line or the status line.
    pub(super) first_line: String,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// The status of an answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.first_line.split(' ').nth(1)?.parse().ok()
    }
}

/// The next message on a connection, or `None` when the other end closed it between two.
pub(super) async fn next(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Message>> {
    let mut first_line = String::new();
    if stream.read_line(&mut first_line).await? == 0 {
        return Ok(None);
    }
    let mut length = 0_usize;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            bail!("the connection ended within a head");
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("a length that is no number")?;
        }
    }
    if length > BODY_BYTES_MAX {
        bail!("a body of {length} bytes is longer than this test reads");
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Message { first_line: first_line.trim_end().to_owned(), body }))
}
