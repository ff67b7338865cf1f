//! The upstream as a Streamable HTTP server. It sends bytes as they came and knows no message.

use crate::config::Limits;
use crate::proof::{Proof, Unproven};
use crate::tls::ServerTls;
use crate::upstream::lanes::{Lanes, ServerBody};
use broker::Lent;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// The connections to one Streamable HTTP endpoint.
#[derive(Debug, Clone)]
pub(crate) struct HttpUpstream {
    lanes: Arc<Lanes>,
    uri: Uri,
    /// Of every request, such as the gateway's own credential.
    headers: HeaderMap,
    /// Whether nothing may go there without a credential of the gateway.
    needs_credential: bool,
    reply_timeout: Duration,
}

/// What goes upstream.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) method: Method,
    /// Headers, already cleaned by `headers::upstream_request`.
    pub(crate) headers: HeaderMap,
    /// Body, exactly as received.
    pub(crate) body: Bytes,
}

/// Why nothing, or no answer, came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The proofs are not of this call; nothing was sent.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// The server wants a credential of the gateway, and there is none; nothing was sent.
    #[error("the gateway has no credential for this server")]
    NoCredential,
    /// No connection could be made, or no process started; nothing was sent.
    #[error("upstream server is not reachable: {0}")]
    Unreachable(String),
    /// The connection broke after the call was sent.
    #[error("connection to the upstream server broke: {0}")]
    Broken(String),
    /// The server answered a message that it had to take with an error of HTTP.
    #[error("upstream server took a message with HTTP status {}", .0.as_u16())]
    NotTaken(StatusCode),
    /// No answer began within the configured time.
    #[error("upstream server did not begin to answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Too many calls or processes at once; nothing was sent.
    #[error("{0}")]
    Full(String),
}

/// Why an upstream URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("upstream url `{url}` cannot be used: {reason}")]
pub struct BadUpstream {
    url: String,
    reason: String,
}

impl HttpUpstream {
    /// An upstream at `url`; connects when first used.
    pub(crate) fn new(url: &Url, tls: &ServerTls, limits: &Limits) -> Result<Self, BadUpstream> {
        let bad = |reason: String| BadUpstream { url: url.to_string(), reason };
        let uri: Uri = url.as_str().parse().map_err(|e| bad(format!("{e}")))?;
        let lanes = Lanes::new(tls, limits.connect_timeout).map_err(|e| bad(format!("{e}")))?;
        let lanes = Arc::new(lanes);
        let headers = HeaderMap::new();
        let reply_timeout = limits.reply_timeout;
        Ok(Self { lanes, uri, headers, needs_credential: false, reply_timeout })
    }

    /// The same server; whether nothing goes there without a credential.
    pub(crate) fn needing_credential(self, needs_credential: bool) -> Self {
        Self { needs_credential, ..self }
    }

    /// The same server, with these headers in every request instead of others of the same name.
    pub(crate) fn with_headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// The same server at another address of its origin.
    pub(super) fn at(&self, uri: Uri) -> Self {
        Self { uri, ..self.clone() }
    }

    /// Sends one request. Demands the proofs that it was permitted and is durably on record.
    pub(crate) async fn send(
        &self,
        proof: Proof<'_>,
        outbound: Outbound,
    ) -> Result<Response<ServerBody>, SendError> {
        proof.check()?;
        self.exchange(outbound, proof.lent()).await
    }

    /// Sends a message that the gateway itself wrote in answer to the server.
    pub(crate) async fn send_own(
        &self,
        lent: Option<&Lent>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), SendError> {
        let outbound = Outbound { method: Method::POST, headers, body };
        self.exchange(outbound, lent).await.map(|_| ())
    }

    async fn exchange(
        &self,
        outbound: Outbound,
        lent: Option<&Lent>,
    ) -> Result<Response<ServerBody>, SendError> {
        if self.needs_credential && lent.is_none() {
            return Err(SendError::NoCredential);
        }
        let mut request = Request::new(Full::new(outbound.body));
        *request.method_mut() = outbound.method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = outbound.headers;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        if let Some(lent) = lent {
            lent.dress(request.headers_mut());
        }
        match tokio::time::timeout(self.reply_timeout, self.lanes.request(request)).await {
            Err(_) => Err(SendError::TimedOut(self.reply_timeout)),
            Ok(Ok(response)) if response.status().is_informational() => {
                Err(SendError::Broken("it switched protocols, which nobody asked for".to_owned()))
            }
            Ok(Ok(response)) => {
                if let Some(lent) = lent.filter(|_| response.status() == StatusCode::UNAUTHORIZED) {
                    // Nothing is sent again: the next call gets another credential.
                    lent.reject(Instant::now());
                }
                Ok(response)
            }
            Ok(Err(error)) if error.is_connect() => Err(SendError::Unreachable(root(&error))),
            Ok(Err(error)) => Err(SendError::Broken(root(&error))),
        }
    }
}

/// A session has nobody at its other end.
pub(crate) fn no_program() -> SendError {
    SendError::Unreachable("the session has no program".to_owned())
}

/// The innermost cause, which names what went wrong ("connection refused").
pub(crate) fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
