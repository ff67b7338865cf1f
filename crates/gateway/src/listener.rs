//! The HTTP listener: connections in, exchanges out. Every exchange runs in a task of its own, so that
//! a client that goes away is an event and never a lost record.

use crate::asked::Origin;
use crate::backend::{Backend, stopping};
use crate::body::ReplyBody;
use crate::client::ClientEnd;
use crate::gateway::Gateway;
use crate::headers;
use crate::inbound::Inbound;
use crate::pipeline::{Caller, known};
use crate::refusal::{Cause, Refusal};
use crate::table::Route;
use bytes::Bytes;
use event::{Chain, Transport};
use http::{HeaderMap, Method, Request, Response, StatusCode};
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
    let slots = Arc::new(Semaphore::new(gateway.limits.connections_max));
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
    gateway.stops.soft.cancel();
    connections.close();
    let grace = gateway.limits.shutdown_grace;
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        gateway.stops.hard.cancel();
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
    let hard_stop = gateway.stops.hard.clone();
    let head_timeout = gateway.limits.head_timeout;
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

/// Leads a request to where its path says.
async fn answer(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    origin: Origin,
) -> Response<ReplyBody> {
    let Route::Backend(backend) = gateway.table.load().route(request.uri().path()) else {
        return elsewhere(&gateway, request).await;
    };
    let (head, answer) = oneshot::channel();
    let client = ClientEnd::new(head);
    let exchanges = gateway.exchanges.clone();
    exchanges.spawn(async move { gateway.exchange(&backend, request, origin, client).await });
    answer.await.unwrap_or_else(|_| stopping())
}

/// Everything beside the MCP endpoints: what others serve here, and a health check for load balancers.
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
        _ => {
            let endpoints = gateway.table.load().endpoints().join(" ");
            (StatusCode::NOT_FOUND, format!("MCP endpoints here: {endpoints}\n"))
        }
    };
    let mut response = Response::new(ReplyBody::whole(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

impl Gateway {
    /// One exchange over HTTP: what concerns the connection is checked here, what concerns the message by
    /// the backend.
    async fn exchange(
        &self,
        backend: &Arc<Backend>,
        request: Request<Incoming>,
        origin: Origin,
        client: ClientEnd,
    ) {
        let (parts, body) = request.into_parts();
        let method = parts.method;
        let mut inbound = Inbound {
            method: method.clone(),
            headers: parts.headers,
            body: Bytes::new(),
            caller: Caller::Verify(Arc::clone(&self.identity)),
            origin,
            chain: Chain::default(),
        };
        let Ok(slot) = self.calls.try_acquire() else {
            let cause = Cause::Overloaded("as many calls are in progress as are allowed");
            return self.refuse(cause, inbound, client).await;
        };
        let read = match self.check_head(&inbound.headers) {
            Ok(()) => self.read_body(&method, &inbound.headers, body).await,
            Err(cause) => Err(cause),
        };
        match read {
            Ok(body) => inbound.body = body,
            Err(cause) => return self.refuse(cause, inbound, client).await,
        }
        backend.serve(inbound, client).await;
        drop(slot);
    }

    /// The record of a refusal first, then the answer.
    async fn refuse(&self, cause: Cause, inbound: Inbound, client: ClientEnd) {
        let (_, received) = inbound.into_received(self.recorder.call_id());
        let refusal = Refusal::new(cause, known(&received, None, None));
        crate::pipeline::refuse(&self.recorder, &refusal, &received.origin).await;
        client.answer(refusal.response());
    }

    fn check_head(&self, map: &HeaderMap) -> Result<(), Cause> {
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
        map: &HeaderMap,
        body: Incoming,
    ) -> Result<Bytes, Cause> {
        if method != Method::POST {
            return Ok(Bytes::new());
        }
        if headers::is_encoded(map) {
            return Err(Cause::Encoded);
        }
        if !headers::media_type_is(map, "application/json") {
            return Err(Cause::MediaType);
        }
        let limits = &self.limits;
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
