//! One connection of a client, HTTP/1.1 or HTTP/2, and the bounds on what it may hold open. It knows
//! requests by their heads only; what they ask is for the listener.

use crate::asked::Origin;
use crate::body::{Cut, ReplyBody};
use crate::gateway::Gateway;
use crate::listener;
use crate::stall::Watchful;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/2 when it begins with the preface of HTTP/2 ("prior knowledge", RFC 9113 section 3.3).
    AsItBegins,
    /// As agreed by ALPN.
    Http1,
    /// As agreed by ALPN.
    Http2,
}

/// Serves one connection until its client closes it, nothing happens on it any more, or `stop`.
pub(crate) async fn serve<I>(
    gateway: Arc<Gateway>,
    (io, protocol): (I, Protocol),
    origin: Origin,
    stop: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let hard_stop = gateway.stops.hard.clone();
    let limits = gateway.limits.clone();
    let stalled = Arc::new(AtomicBool::new(false));
    let io = Watchful::new(io, limits.write_timeout, Arc::clone(&stalled));
    let open = Arc::new(Open::new(limits.streams_max, stalled));
    let served = Arc::clone(&open);
    let service = service_fn(move |request| {
        let (gateway, origin, open) = (Arc::clone(&gateway), origin.clone(), Arc::clone(&served));
        async move { Ok::<_, Infallible>(open.answer(gateway, request, origin).await) }
    });
    let builder = builder(&limits, protocol);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = open.idle(limits.head_timeout, limits.idle_timeout) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = hard_stop.cancelled() => return,
                () = open.idle(limits.head_timeout, limits.head_timeout) => {
                    tracing::debug!("a silent connection is closed");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

fn builder(limits: &crate::config::Limits, protocol: Protocol) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(limits.streams_max).unwrap_or(u32::MAX))
        .max_header_list_size(HEAD_BYTES_MAX_H2)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(EARLY_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    match protocol {
        Protocol::AsItBegins => builder,
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    }
}

/// What a connection has open.
#[derive(Debug)]
struct Open {
    /// Requests from their heads to the ends of their answers.
    requests: TaskTracker,
    /// Requests since the connection began.
    count: AtomicU64,
    /// Exchanges in progress, which outlive a request that its client resets: without this bound, one
    /// connection could start any number by opening and resetting streams (CVE-2023-44487).
    exchanges: Arc<Semaphore>,
    /// Whether it was closed because nobody reads from it.
    stalled: Arc<AtomicBool>,
}

impl Open {
    fn new(streams_max: usize, stalled: Arc<AtomicBool>) -> Self {
        let requests = TaskTracker::new();
        // Only a closed tracker says when it is empty; it takes new tokens all the same.
        requests.close();
        let exchanges = Arc::new(Semaphore::new(streams_max));
        Self { requests, count: AtomicU64::new(0), exchanges, stalled }
    }

    async fn answer(
        &self,
        gateway: Arc<Gateway>,
        request: Request<Incoming>,
        origin: Origin,
    ) -> Response<Answer> {
        let open = self.requests.token();
        self.count.fetch_add(1, Ordering::Relaxed);
        let response = match self.slot().await {
            _ if HEADERS_MAX < request.headers().len() => too_many_headers(),
            Some(slot) => {
                let stalled = Arc::clone(&self.stalled);
                listener::answer(gateway, request, origin, (slot, stalled)).await
            }
            None => crate::backend::stopping(),
        };
        response.map(|body| Answer { body, _open: open })
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.exchanges).acquire_owned().await.ok()
    }

    /// Returns when nothing was open for `later`, or for `first` before the first request.
    async fn idle(&self, first: Duration, later: Duration) {
        loop {
            self.requests.wait().await;
            let before = self.count.load(Ordering::Relaxed);
            tokio::time::sleep(if before == 0 { first } else { later }).await;
            if self.requests.is_empty() && self.count.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// The body of an answer; the request counts as open until it ends.
#[derive(Debug)]
struct Answer {
    body: ReplyBody,
    _open: TaskTrackerToken,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// HTTP/1.1 has hyper say the same.
fn too_many_headers() -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}

/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// Bytes of the head of one request, as it is written (HTTP/1.1).
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the head of one request, names, values and 32 for each field (RFC 9113 section 10.5.1).
const HEAD_BYTES_MAX_H2: u32 = 64 * 1024;

/// Bytes that a client may send on one stream before we read them.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The same for all streams of a connection: what it can make us hold unread.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of one stream that wait to be written.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Streams that were reset before we saw them; with more the connection is closed (CVE-2023-44487).
const EARLY_RESETS_MAX: usize = 20;

/// Streams that we had to reset for mistakes of the client; with more the connection is closed
/// (CVE-2025-8671).
const ERROR_RESETS_MAX: usize = 100;

/// How often a client with an open stream is asked whether it is there, and for how long.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
