//! The HTTP listener: connections in, exchanges out. Every exchange runs in a task of its own, so that
//! a client that goes away is an event and never a lost record.

use crate::asked::Origin;
use crate::body::ReplyBody;
use crate::call::Call;
use crate::client::ClientEnd;
use crate::gateway::Gateway;
use crate::headers;
use crate::pipeline::{Admitted, Credentials, Received, known};
use crate::refusal::{Cause, Refusal, json_response};
use bytes::Bytes;
use event::Transport;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// Bytes of the head of one request.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Accepts connections until `stop`; returns when the last one is closed.
pub(crate) async fn accept(
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    stop: &CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(gateway.pipeline.limits.connections_max));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = next_connection(&listener, &slots) => accepted,
        };
        match accepted {
            Some((stream, peer, slot)) => {
                let gateway = Arc::clone(gateway);
                let stop = stop.clone();
                connections.spawn(async move {
                    serve_connection(gateway, stream, peer, stop).await;
                    drop(slot);
                });
            }
            None => break,
        }
    }
    drop(listener);
    gateway.soft_stop.cancel();
    connections.close();
    let grace = gateway.pipeline.limits.shutdown_grace;
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        gateway.hard_stop.cancel();
        connections.wait().await;
    }
}

async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, slot)),
            Err(error) => {
                // Out of descriptors, or the peer was gone at once: the next one may do better.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_connection(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection keeps small packets back");
    }
    let origin = Origin {
        peer: Some(peer.to_string().into()),
        address: Some(peer.ip()),
        transport: Transport::Http,
    };
    let hard_stop = gateway.hard_stop.clone();
    let head_timeout = gateway.pipeline.limits.head_timeout;
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&gateway);
        let origin = origin.clone();
        async move { Ok::<_, Infallible>(answer(gateway, request, origin).await) }
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
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = hard_stop.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Starts the exchange and waits for the head of its answer. When the client goes away, this future is
/// dropped and the exchange learns it from its closed channel.
async fn answer(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    origin: Origin,
) -> Response<ReplyBody> {
    if request.uri().path() != gateway.listener.path {
        return elsewhere(&gateway, request).await;
    }
    let (head, answer) = oneshot::channel();
    let client = ClientEnd::new(head);
    let exchanges = gateway.exchanges.clone();
    exchanges.spawn(async move { gateway.exchange(request, origin, client).await });
    answer.await.unwrap_or_else(|_| stopping())
}

/// The answer of an exchange that was ended before it had one.
fn stopping() -> Response<ReplyBody> {
    let message = mcp::build::error_response(None, 50_302, "the gateway is stopping", None);
    json_response(StatusCode::SERVICE_UNAVAILABLE, Bytes::from(message))
}

/// Everything beside the MCP endpoint: what others serve here, and a health check for load balancers.
async fn elsewhere(gateway: &Gateway, request: Request<Incoming>) -> Response<ReplyBody> {
    let (request, _) = request.into_parts();
    if let Some(answer) = gateway.beside.as_ref().and_then(|beside| beside.answer(&request)) {
        return answer.await.map(ReplyBody::whole);
    }
    let (status, text) = match request.uri.path() {
        "/healthz" => match gateway.health() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        },
        _ => (StatusCode::NOT_FOUND, format!("the MCP endpoint is {}\n", gateway.listener.path)),
    };
    let mut response = Response::new(ReplyBody::whole(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

impl Gateway {
    /// One exchange, from the head of the request to the end of the answer.
    async fn exchange(&self, request: Request<Incoming>, origin: Origin, client: ClientEnd) {
        let (parts, body) = request.into_parts();
        let mut received = Received {
            call: self.pipeline.recorder.call_id(),
            session_id: parts.headers.get(headers::SESSION_ID).map(|id| id.as_bytes().to_vec()),
            credentials: Credentials::Headers(parts.headers, Arc::clone(&self.identity)),
            origin,
            raw: Bytes::new(),
        };
        let Ok(slot) = self.calls.try_acquire() else {
            let cause = Cause::Overloaded("as many calls are in progress as are allowed");
            return self
                .refuse(Refusal::new(cause, known(&received, None, None)), &received, client)
                .await;
        };
        let read = match self.check_head(&received) {
            Ok(()) => self.read_body(&parts.method, &received, body).await,
            Err(cause) => Err(cause),
        };
        match read {
            Ok(raw) => received.raw = raw,
            Err(cause) => {
                let refusal = Refusal::new(cause, known(&received, None, None));
                return self.refuse(refusal, &received, client).await;
            }
        }
        match parts.method {
            Method::POST => self.post(received, client).await,
            Method::GET => self.operation("http/get", Method::GET, received, client).await,
            Method::DELETE => self.operation("http/delete", Method::DELETE, received, client).await,
            _ => client.answer(method_not_allowed()),
        }
        drop(slot);
    }

    /// A message from the client.
    async fn post(&self, received: Received, client: ClientEnd) {
        match self.pipeline.admit(&received).await {
            Ok(Admitted::Call { call, asked, session }) => {
                self.carry((*call, asked, session), Method::POST, received, client).await;
            }
            Ok(Admitted::Answer { asked, session }) => {
                self.carry_answer(asked, &session, received, client).await;
            }
            Err(refusal) => self.refuse(refusal, &received, client).await,
        }
    }

    /// A session operation of the transport: the stream of the server's own messages, or the end.
    async fn operation(
        &self,
        name: &'static str,
        method: Method,
        received: Received,
        client: ClientEnd,
    ) {
        let call = Call::http(name, &self.pipeline.server).or_revision(received.header_revision());
        match self.pipeline.admit_http(&received, &call).await {
            Ok((asked, session)) => {
                self.carry((call, asked, session), method, received, client).await;
            }
            Err(refusal) => self.refuse(refusal, &received, client).await,
        }
    }

    /// The record of a refusal first, then the answer.
    async fn refuse(&self, refusal: Refusal, received: &Received, client: ClientEnd) {
        self.pipeline.refuse(&refusal, &received.origin).await;
        client.answer(refusal.response());
    }

    fn check_head(&self, received: &Received) -> Result<(), Cause> {
        let Credentials::Headers(map, _) = &received.credentials else { return Ok(()) };
        let shown = |name| {
            let value = map.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
            event::bounded(&value.unwrap_or_default(), 100)
        };
        if !headers::host_allowed(map, &self.listener.allowed_hosts) {
            return Err(Cause::Host(shown(http::header::HOST)));
        }
        if !headers::origin_allowed(map, &self.listener.allowed_origins) {
            return Err(Cause::Origin(shown(http::header::ORIGIN)));
        }
        if map.get_all(headers::SESSION_ID).iter().nth(1).is_some() {
            return Err(Cause::OutOfPlace("second session id in one"));
        }
        Ok(())
    }

    /// Reads a body of bounded size in bounded time. Only POST has one.
    async fn read_body(
        &self,
        method: &Method,
        received: &Received,
        body: Incoming,
    ) -> Result<Bytes, Cause> {
        let Credentials::Headers(map, _) = &received.credentials else { return Ok(Bytes::new()) };
        if method != Method::POST {
            return Ok(Bytes::new());
        }
        if headers::is_encoded(map) {
            return Err(Cause::Encoded);
        }
        if !headers::media_type_is(map, "application/json") {
            return Err(Cause::MediaType);
        }
        let limits = &self.pipeline.limits;
        let limited = Limited::new(body, limits.request_bytes_max).collect();
        match tokio::time::timeout(limits.body_timeout, limited).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(Cause::TooLarge(limits.request_bytes_max))
            }
            Ok(Err(_)) | Err(_) => Err(Cause::Incomplete),
        }
    }
}

fn method_not_allowed() -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
        .headers_mut()
        .insert(http::header::ALLOW, http::HeaderValue::from_static("GET, POST, DELETE"));
    response
}
