//! The HTTP listener: connections in, exchanges out. Every exchange runs in a task of its own, so that
//! a client that goes away is an event and never a lost record.

use crate::asked::Origin;
use crate::backend::stopping;
use crate::beside::RequestHead;
use crate::body::ReplyBody;
use crate::client::ClientEnd;
use crate::connection::{self, Protocol};
use crate::entrance::TurnedAway;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::noise;
use crate::pipeline::{Caller, known};
use crate::refusal::{self, Cause, Refusal};
use crate::table::Route;
use crate::tls::{self, ListenerTls};
use bytes::Bytes;
use event::{Chain, Transport};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use identity::{Reason, Rejection};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Accepts connections until `stop`; returns when the last one is closed.
pub(crate) async fn accept(
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    stop: &CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(gateway.limits.connections_max));
    let handshakes = Arc::new(Semaphore::new(gateway.limits.handshakes_max));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = next_connection(&listener, &slots) => accepted,
        };
        match accepted {
            Some((stream, peer, slot)) => {
                let gateway = Arc::clone(gateway);
                let (handshakes, stop) = (Arc::clone(&handshakes), stop.clone());
                connections.spawn(async move {
                    serve_connection(gateway, (stream, peer), &handshakes, stop).await;
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
    (stream, peer): (TcpStream, SocketAddr),
    handshakes: &Semaphore,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection keeps small packets back");
    }
    let mut origin = Origin {
        peer: Some(peer.to_string().into()),
        address: Some(peer.ip()),
        transport: Transport::Http,
        certificates: None,
        metadata: None,
    };
    let Some(tls) = &gateway.listener.tls else {
        return connection::serve(gateway, (stream, Protocol::AsItBegins), origin, stop).await;
    };
    let shaken = tokio::select! {
        () = stop.cancelled() => return,
        shaken = tokio::time::timeout(
            gateway.limits.handshake_timeout,
            shake_hands(tls, stream, handshakes),
        ) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => {
            origin.certificates = tls::presented(&stream);
            let http2 = tls::chose_http2(&stream);
            let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
            connection::serve(Arc::clone(&gateway), (stream, protocol), origin, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake did not end in time"),
    }
}

/// A handshake waits for its turn, so that a crowd of them leaves room for calls.
async fn shake_hands(
    tls: &ListenerTls,
    stream: TcpStream,
    handshakes: &Semaphore,
) -> std::io::Result<TlsStream<TcpStream>> {
    let _turn = handshakes.acquire().await.map_err(std::io::Error::other)?;
    tls.accept(stream).await
}

/// Leads a request to where its path says.
/// `slot` is the connection's, and held until the exchange ends; `stalled` tells whether it was closed because
/// nobody reads from it.
pub(crate) async fn answer(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    origin: Origin,
    (slot, stalled): (OwnedSemaphorePermit, Arc<AtomicBool>),
) -> Response<ReplyBody> {
    let route = gateway.table.load().route(request.uri().path());
    let (parts, mut body) = request.into_parts();
    if matches!(route, Route::Nowhere)
        && let Some(answer) = elsewhere(&gateway, &parts, &mut body).await
    {
        return answer;
    }
    let request = Request::from_parts(parts, body);
    let (head, answer) = oneshot::channel();
    let client = ClientEnd::new(head).on(stalled);
    let exchanges = gateway.exchanges.clone();
    exchanges.spawn(async move {
        Box::pin(gateway.exchange(route, request, origin, client)).await;
        drop(slot);
    });
    answer.await.unwrap_or_else(|_| stopping())
}

/// What is there beside the MCP endpoints: what others serve, metadata of the endpoints, and a health check for
/// load balancers.
async fn elsewhere(
    gateway: &Gateway,
    request: &RequestHead,
    body: &mut Incoming,
) -> Option<Response<ReplyBody>> {
    if let Some(beside) = &gateway.beside {
        let read = match beside.body_bytes_max(request) {
            Some(bytes_max) => gateway.read_beside(body, bytes_max).await,
            None => Ok(Bytes::new()),
        };
        let read = match read {
            Ok(read) => read,
            Err(status) => {
                let mut response = Response::new(ReplyBody::whole(Bytes::new()));
                *response.status_mut() = status;
                return Some(response);
            }
        };
        if let Some(answer) = beside.answer(request, read) {
            return Some(answer.await.map(ReplyBody::whole));
        }
    }
    if let Some(metadata) = gateway.metadata(request) {
        return Some(metadata);
    }
    if request.uri.path() != "/healthz" {
        return None;
    }
    let (status, text) = match gateway.health() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    };
    let mut response = Response::new(ReplyBody::whole(Bytes::from(text)));
    *response.status_mut() = status;
    Some(response)
}

/// The session that a message of HTTP+SSE names: `sessionId` in the query, once.
fn stream_session(uri: &Uri) -> Option<Vec<u8>> {
    let query = url::form_urlencoded::parse(uri.query()?.as_bytes());
    let mut ids = query.filter(|(name, _)| name == "sessionId");
    match (ids.next(), ids.next()) {
        (Some((_, id)), None) => Some(id.into_owned().into_bytes()),
        _ => None,
    }
}

impl Gateway {
    /// One exchange over HTTP: what concerns the connection is checked here, what concerns the message by
    /// the backend.
    async fn exchange(
        &self,
        route: Route,
        request: Request<Incoming>,
        origin: Origin,
        client: ClientEnd,
    ) {
        let (parts, body) = request.into_parts();
        let uri = parts.uri;
        let door = self.door.load_full();
        let origin = Origin { metadata: self.metadata_url(&uri), ..origin };
        let mut inbound = Inbound {
            method: parts.method,
            headers: parts.headers,
            body: Bytes::new(),
            // Nobody, until its credential is verified.
            caller: Caller::Stranger(Rejection {
                reason: Reason::Missing,
                details: Box::default(),
            }),
            origin,
            chain: Chain::default(),
        };
        let place = match self.enter(&door, (&route, &uri), &mut inbound, body).await {
            Ok(place) => place,
            Err(TurnedAway::Noise(cause)) => {
                return self.refuse_noise(&route, cause, inbound, client).await;
            }
            Err(TurnedAway::Message(cause)) => {
                return self.refuse(&route, cause, inbound, client).await;
            }
        };
        match route {
            Route::Backend(backend) => backend.serve(inbound, client).await,
            Route::Stream(endpoint, path) => endpoint.serve_stream(inbound, &path, client).await,
            Route::Messages(endpoint) => {
                endpoint.take_message(inbound, stream_session(&uri), client).await;
            }
            Route::Federation(federation) => federation.serve(inbound, client).await,
            Route::Nowhere => {}
        }
        drop(place);
    }

    /// The record of a refusal first, then the answer.
    async fn refuse(&self, route: &Route, cause: Cause, inbound: Inbound, client: ClientEnd) {
        let (refusal, origin) = self.refusal(route, cause, inbound);
        refusal::record(&self.recorder, &refusal, &origin).await;
        client.answer(refusal.response());
    }

    /// As [`Gateway::refuse`], for what anybody can send without a message: recorded up to a bound.
    async fn refuse_noise(&self, route: &Route, cause: Cause, inbound: Inbound, client: ClientEnd) {
        let (by_itself, counted) = self.noise.hear(Instant::now());
        noise::record(&self.recorder, counted);
        if by_itself {
            return self.refuse(route, cause, inbound, client).await;
        }
        client.answer(self.refusal(route, cause, inbound).0.response());
    }

    fn refusal(&self, route: &Route, cause: Cause, inbound: Inbound) -> (Refusal, Origin) {
        let (_, received) = inbound.into_received(self.recorder.call_id());
        let refusal = Refusal::new(cause, known(&received, None, None));
        if let Some(endpoint) = route.endpoint() {
            endpoint.tell_refusal(&refusal);
        }
        (refusal, received.origin)
    }
}
