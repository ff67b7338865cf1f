//! The upstream as a server of HTTP+SSE, the transport of the revision 2024-11-05: a stream of events
//! that begins with the address to send to. One connection is one session; it knows no message.

use super::http::{BadUpstream, HttpUpstream, Outbound, SendError};
use super::lanes::ServerBody;
use crate::config::Limits;
use crate::headers;
use crate::proof::Proof;
use crate::tls::ServerTls;
use crate::withheld::Strays;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use http_body_util::BodyExt;
use mcp::sse::{SseContent, SseEvent, SseParser};
use std::time::Duration;
use url::Url;

/// A server to connect to.
#[derive(Debug)]
pub(crate) struct SseUpstream {
    http: HttpUpstream,
    url: Url,
    endpoint_timeout: Duration,
    pub(super) event_bytes_max: usize,
    /// What it says that concerns nobody; another for each connection.
    pub(super) strays: Strays,
}

/// What a server says on its stream.
#[derive(Debug)]
pub(super) struct Spoken {
    body: ServerBody,
    parser: SseParser,
}

impl SseUpstream {
    /// A server whose stream is at `url`; connects once for each session.
    pub(crate) fn new(
        url: &Url,
        tls: &ServerTls,
        limits: &Limits,
        strays: Strays,
    ) -> Result<Self, BadUpstream> {
        Ok(Self {
            http: HttpUpstream::new(url, tls, limits)?,
            url: url.clone(),
            endpoint_timeout: limits.reply_timeout,
            event_bytes_max: limits.reply_bytes_max,
            strays,
        })
    }

    /// The same server; whether nothing goes there without a credential.
    pub(crate) fn needing_credential(self, needs_credential: bool) -> Self {
        Self { http: self.http.needing_credential(needs_credential), ..self }
    }

    /// Opens the stream on behalf of a call and waits for the address; what comes after that is there
    /// to be read.
    pub(super) async fn open(&self, proof: Proof<'_>) -> Result<(HttpUpstream, Spoken), SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let outbound = Outbound { method: Method::GET, headers, body: Bytes::new() };
        let (head, body) = self.http.send(proof, outbound).await?.into_parts();
        let is_stream = head.status.is_success()
            && headers::media_type_is(&head.headers, "text/event-stream")
            && !headers::is_encoded(&head.headers);
        if !is_stream {
            let status = head.status.as_u16();
            let text = format!("it opened no stream of events (HTTP status {status})");
            return Err(SendError::Unreachable(text));
        }
        let mut spoken = Spoken { body, parser: SseParser::new(self.event_bytes_max) };
        let endpoint = tokio::time::timeout(self.endpoint_timeout, spoken.endpoint())
            .await
            .map_err(|_| SendError::TimedOut(self.endpoint_timeout))?
            .ok_or_else(|| SendError::Broken("the stream ended before its address".to_owned()))?;
        let endpoint = endpoint_at(&self.url, &endpoint).ok_or_else(|| {
            SendError::Unreachable("it named an address for messages elsewhere".to_owned())
        })?;
        Ok((self.http.at(endpoint), spoken))
    }
}

impl Spoken {
    /// The next message; `None` at the end of the stream, however it comes.
    pub(super) async fn message(&mut self) -> Option<Bytes> {
        loop {
            let event = self.event().await?;
            let is_message = event.event.as_deref().is_none_or(|name| name == "message");
            if let Some(data) = event.data.filter(|data| is_message && !data.is_empty()) {
                return Some(Bytes::from(data));
            }
        }
    }

    async fn endpoint(&mut self) -> Option<String> {
        loop {
            let event = self.event().await?;
            if event.event.as_deref() == Some("endpoint") {
                return event.data;
            }
        }
    }

    async fn event(&mut self) -> Option<SseEvent> {
        loop {
            while let Some(frame) = self.parser.next_frame() {
                if let SseContent::Event(event) = frame.content {
                    return Some(event);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Some(chunk) = frame.data_ref()
                && let Err(error) = self.parser.push(chunk)
            {
                tracing::warn!(%error, "stream of the server is given up");
                return None;
            }
        }
    }
}

/// The address for messages, which must be of the same origin as the stream: what a server says must
/// not lead a client elsewhere.
pub(crate) fn endpoint_at(stream: &Url, endpoint: &str) -> Option<Uri> {
    let mut url = stream.join(endpoint.trim()).ok()?;
    if url.origin() != stream.origin() {
        return None;
    }
    url.set_fragment(None);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::endpoint_at;

    #[test]
    fn messages_go_to_the_origin_of_the_stream_only() {
        let stream = "https://srv.example:8443/a/sse?x=1".parse().unwrap();
        let at = |endpoint| endpoint_at(&stream, endpoint).map(|uri| uri.to_string());
        let whole = "https://srv.example:8443/message?sessionId=1";
        for endpoint in ["/message?sessionId=1", whole, " /message?sessionId=1#top\n"] {
            assert_eq!(at(endpoint).as_deref(), Some(whole));
        }
        assert_eq!(at("message").as_deref(), Some("https://srv.example:8443/a/message"));
        for endpoint in [
            "https://srv.example/message",
            "http://srv.example:8443/message",
            "//evil.example/message",
            "https://evil.example:8443/",
            "file:///etc/passwd",
            "https://[",
        ] {
            assert_eq!(at(endpoint), None, "{endpoint}");
        }
    }
}
