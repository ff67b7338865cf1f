//! The HTTP of asking a witness: one request, one answer of a bounded size, no redirects.
//!
//! Knows no signature.

use crate::client::Reason;
use crate::server::{SIZE_TYPE, read_size};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::time::Duration;
use url::Url;

/// Connections to witnesses, shared by all.
pub(super) type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Why the address of a witness cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address `{url}` of a witness cannot be used: {reason}")]
pub struct BadUrl {
    url: String,
    reason: String,
}

/// One witness's address.
#[derive(Debug)]
pub(super) struct Wire {
    connections: Connections,
    url: String,
    add_checkpoint: Uri,
}

/// What a witness says to a submission.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200, with cosignature lines.
    Cosigned(Bytes),
    /// 409, with the size to start from.
    Stale(u64),
}

/// Makes the connections.
pub(super) fn connections(connect_timeout: Duration) -> Result<Connections, BadUrl> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(connect_timeout));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(provider)
        .map_err(|error| BadUrl { url: String::new(), reason: error.to_string() })?
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector))
}

impl Wire {
    /// An address, the submission prefix of tlog-witness.
    pub(super) fn new(connections: Connections, url: &str) -> Result<Self, BadUrl> {
        let bad = |reason: String| BadUrl { url: url.to_owned(), reason };
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad("it is neither `http:` nor `https:`".to_owned()));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty()
        {
            return Err(bad("it has more than host, port and path".to_owned()));
        }
        let url = parsed.as_str().trim_end_matches('/').to_owned();
        let uri = format!("{url}/add-checkpoint").parse();
        let add_checkpoint = uri.map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
        Ok(Self { connections, url, add_checkpoint })
    }

    /// Submits a checkpoint.
    pub(super) async fn submit(&self, body: Vec<u8>) -> Result<Answer, Reason> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.add_checkpoint.clone();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        request.headers_mut().insert(CONTENT_TYPE, plain);
        let (response, body) = self.exchange(request).await?;
        match response.status() {
            StatusCode::OK => Ok(Answer::Cosigned(body)),
            StatusCode::CONFLICT => {
                let is_size = response.headers().get(CONTENT_TYPE).is_some_and(is_size_type);
                let bad = Reason::BadAnswer("a 409 must hold a size as `text/x.tlog.size`");
                read_size(&body).filter(|_| is_size).map(Answer::Stale).ok_or(bad)
            }
            status => Err(Reason::Refused { status: status.as_u16(), message: shown(&body) }),
        }
    }

    /// What is at a path below the address; `None` unless the answer is 200.
    pub(super) async fn show(&self, path: &str) -> Option<Bytes> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = format!("{}/{path}", self.url).parse().ok()?;
        let (response, body) = self.exchange(request).await.ok()?;
        (response.status() == StatusCode::OK).then_some(body)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<()>, Bytes), Reason> {
        let unreachable = |error: &dyn Error| Reason::Unreachable(root(error));
        let response = self.connections.request(request).await;
        let response: Response<Incoming> = response.map_err(|error| unreachable(&error))?;
        let (parts, body) = response.into_parts();
        match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(collected) => Ok((Response::from_parts(parts, ()), collected.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Reason::BadAnswer("it is too long"))
            }
            Err(error) => Err(unreachable(error.as_ref())),
        }
    }
}

/// Parameters may follow the type.
fn is_size_type(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(SIZE_TYPE))
}

/// The beginning of what a stranger said, fit for a log line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim().chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect()
}

/// The innermost cause, which names what went wrong ("connection refused").
fn root(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The longest answer that is read, in bytes: 16 post-quantum signature lines, or a checkpoint with
/// these.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How much of a refusal is shown, in characters.
const SHOWN_CHARS_MAX: usize = 200;
/// How long a connection is kept for the next question.
const IDLE: Duration = Duration::from_secs(50);

#[cfg(test)]
mod tests {
    use super::{Wire, connections, shown};
    use std::time::Duration;

    #[test]
    fn addresses_are_prefixes() {
        let connections = connections(Duration::from_secs(1)).unwrap();
        for (url, wanted) in [
            ("http://w.example", Some("http://w.example/add-checkpoint")),
            ("https://w.example/", Some("https://w.example/add-checkpoint")),
            ("https://w.example:8710/a/b/", Some("https://w.example:8710/a/b/add-checkpoint")),
            ("w.example", None),
            ("ftp://w.example", None),
            ("https://w.example/?a=b", None),
            ("https://me@w.example/", None),
        ] {
            let wire = Wire::new(connections.clone(), url);
            let found = wire.ok().map(|wire| wire.add_checkpoint.to_string());
            assert_eq!(found.as_deref(), wanted, "{url}");
        }
    }

    #[test]
    fn what_strangers_say_is_cut_and_escaped() {
        assert_eq!(shown(b" no\x1b[31m such log\n\xff\n"), "no\\u{1b}[31m such log\\n\u{fffd}");
        assert_eq!(shown(&[b'x'; 1_000]).len(), 200);
    }
}
