//! A witness on the network: the HTTP side of C2SP tlog-witness. Bounds on everything a stranger
//! sends; whom to trust is for [`Witness`].
//!
//! Speaks plain HTTP/1.1: TLS is ended by the proxy in front, and without one it belongs on the
//! loopback interface.

use crate::request::{REQUEST_BYTES_MAX, decimal};
use crate::witness::{Refusal, Witness};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells the time in seconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Bounds on what a witness accepts and holds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections, each with up to [`REQUEST_BYTES_MAX`] in hand; more wait in the accept queue
    /// of the operating system.
    pub connections_max: usize,
    /// Requests in progress, each in a thread of its own while it waits for the disk; more are
    /// answered with 503.
    pub requests_max: usize,
    /// Time for a client to send the head of a request, and to leave a connection idle.
    pub head_timeout: Duration,
    /// Time for a client to send the body of a request.
    pub body_timeout: Duration,
    /// Time for requests in progress to end when the witness stops.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            requests_max: 64,
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// A witness, and how it is to be served.
#[derive(Clone)]
pub struct Server {
    witness: Arc<Witness>,
    clock: Clock,
    limits: Limits,
    /// Where others reach it, for the page that shows its keys.
    url: String,
    requests: Arc<Semaphore>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("witness", &self.witness).finish_non_exhaustive()
    }
}

impl Server {
    /// Serves this witness, which others reach at `url`.
    #[must_use]
    pub fn new(witness: Arc<Witness>, clock: Clock, limits: Limits, url: &str) -> Self {
        let requests = Arc::new(Semaphore::new(limits.requests_max));
        Self { witness, clock, limits, url: url.to_owned(), requests }
    }

    /// Accepts connections until `stop`; returns when the last one is closed or the grace is over.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = next_connection(&listener, &slots) => accepted,
            };
            let Some((stream, slot)) = accepted else { break };
            let (server, stop, cut) = (self.clone(), stop.clone(), cut.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = server.connection(stream, stop) => {}
                    () = cut.cancelled() => {}
                }
                drop(slot);
            });
        }
        drop(listener);
        connections.close();
        if tokio::time::timeout(self.limits.shutdown_grace, connections.wait()).await.is_err() {
            cut.cancel();
            connections.wait().await;
        }
    }

    async fn connection(self, stream: TcpStream, stop: CancellationToken) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection keeps small packets back");
        }
        let head_timeout = self.limits.head_timeout;
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path == "/add-checkpoint" {
            return match *request.method() {
                Method::POST => self.add_checkpoint(request.into_body()).await,
                _ => not_allowed("POST"),
            };
        }
        let hash = path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint"));
        match (hash, path) {
            _ if request.method() != Method::GET => not_allowed("GET"),
            (Some(hash), _) => self.checkpoint(hash.to_owned()).await,
            (None, "/") => text(StatusCode::OK, self.page()),
            (None, _) => text(StatusCode::NOT_FOUND, "there is nothing here\n".to_owned()),
        }
    }

    async fn add_checkpoint(&self, body: Incoming) -> Response<Full<Bytes>> {
        let limited = Limited::new(body, REQUEST_BYTES_MAX).collect();
        let body = match tokio::time::timeout(self.limits.body_timeout, limited).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = format!("a request has at most {REQUEST_BYTES_MAX} bytes\n");
                return text(StatusCode::PAYLOAD_TOO_LARGE, message);
            }
            Ok(Err(_)) => {
                return text(StatusCode::BAD_REQUEST, "the request broke off\n".to_owned());
            }
            Err(_) => {
                let message = "the request did not come in time\n".to_owned();
                return text(StatusCode::REQUEST_TIMEOUT, message);
            }
        };
        // Only now, so that who sends slowly takes no turn from others.
        let Ok(slot) = Arc::clone(&self.requests).try_acquire_owned() else { return busy() };
        let (witness, clock) = (Arc::clone(&self.witness), Arc::clone(&self.clock));
        // Once begun it goes on to its end, whether or not the client is still there.
        let answered = tokio::task::spawn_blocking(move || {
            let answered = witness.add_checkpoint(&body, clock());
            drop(slot);
            answered
        });
        match answered.await {
            Ok(Ok(lines)) => text(StatusCode::OK, lines),
            Ok(Err(refusal)) => refused(&refusal),
            Err(error) => {
                tracing::error!(%error, "a submission failed unexpectedly");
                unavailable()
            }
        }
    }

    async fn checkpoint(&self, hash: String) -> Response<Full<Bytes>> {
        let Ok(slot) = Arc::clone(&self.requests).try_acquire_owned() else { return busy() };
        let witness = Arc::clone(&self.witness);
        let found = tokio::task::spawn_blocking(move || {
            let found = witness.checkpoint(&hash);
            drop(slot);
            found
        });
        match found.await {
            Ok(Ok(Some(note))) => text(StatusCode::OK, note),
            Ok(Ok(None)) => {
                let message = "this witness cosigned no checkpoint of such a log\n".to_owned();
                text(StatusCode::NOT_FOUND, message)
            }
            Ok(Err(refusal)) => refused(&refusal),
            Err(error) => {
                tracing::error!(%error, "a request failed unexpectedly");
                unavailable()
            }
        }
    }

    /// What a person sees who wants to put this witness into a policy.
    fn page(&self) -> String {
        let name = self.witness.keys().first().map_or("", |key| key.name());
        let lines = self.witness.policy_lines(&self.url);
        format!(
            "# The witness {name} (C2SP tlog-witness).\n\
             # For the policy of a log that asks it; mind the address:\n{lines}"
        )
    }
}

async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, slot)),
            Err(error) => {
                // Out of descriptors, or the peer was gone at once: the next one may do better.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The one place that turns refusals into answers.
fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = match refusal {
        Refusal::BadRequest(_) => StatusCode::BAD_REQUEST,
        Refusal::UnknownLog(_) => StatusCode::NOT_FOUND,
        Refusal::Unsigned(_) => StatusCode::FORBIDDEN,
        Refusal::Stale { size } => {
            let mut response = text(StatusCode::CONFLICT, size_text(*size));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SIZE_TYPE));
            return response;
        }
        Refusal::Inconsistent(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::State(_) | Refusal::Storage(_) | Refusal::Stopped | Refusal::Cosign(_) => {
            tracing::error!(error = %refusal, "no answer can be given");
            return unavailable();
        }
    };
    tracing::warn!(status = status.as_u16(), reason = %refusal, "not cosigned");
    text(status, format!("{refusal}\n"))
}

/// The body of a 409.
pub(crate) fn size_text(size: u64) -> String {
    format!("{size}\n")
}

/// Reads what [`size_text`] writes.
pub(crate) fn read_size(body: &[u8]) -> Option<u64> {
    decimal(body.strip_suffix(b"\n")?)
}

fn unavailable() -> Response<Full<Bytes>> {
    let message = "this witness cannot answer for that log; its operator finds the reason in its \
                   log lines\n";
    text(StatusCode::INTERNAL_SERVER_ERROR, message.to_owned())
}

fn busy() -> Response<Full<Bytes>> {
    let message = "as many requests are in progress as are allowed\n".to_owned();
    text(StatusCode::SERVICE_UNAVAILABLE, message)
}

fn not_allowed(method: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {method}\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The type of the body of a 409.
pub(crate) const SIZE_TYPE: &str = "text/x.tlog.size";
/// Headers of one request.
const HEADERS_MAX: usize = 50;
/// Bytes of the head of one request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to wait when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
