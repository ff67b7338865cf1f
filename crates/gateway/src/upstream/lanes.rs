//! Connections to one HTTP server: HTTP/1.1, or HTTP/2 where ALPN agrees on it, never on plain `http`.
//! A connection of HTTP/2 carries only so many answers at once as its server likes, and streams that
//! stay open for hours would use them up: so requests are spread over lanes, each with a pool of its own
//! that holds one such connection. Knows no message.

use crate::tls::ServerTls;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::Error;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// All connections to one server.
#[derive(Debug)]
pub(crate) struct Lanes {
    connector: HttpsConnector<HttpConnector>,
    /// In the order in which they are tried, so that the last ones fall idle first.
    lanes: Mutex<Vec<Lane>>,
}

#[derive(Debug, Clone)]
struct Lane {
    client: HttpClient,
    free: Arc<Semaphore>,
}

/// The body of a server's answer; its place in the lane is taken until it is dropped.
#[derive(Debug)]
pub(crate) struct ServerBody {
    body: Incoming,
    _place: OwnedSemaphorePermit,
}

impl Lanes {
    /// Connects when first used.
    pub(crate) fn new(tls: &ServerTls, connect_timeout: Duration) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.config()?)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        Ok(Self { connector, lanes: Mutex::new(Vec::new()) })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<ServerBody>, Error> {
        let (client, place) = self.place();
        let response = client.request(request).await?;
        Ok(response.map(|body| ServerBody { body, _place: place }))
    }

    /// A free place, in a new lane when there is no other. The number of lanes is bounded by that of
    /// calls in progress.
    fn place(&self) -> (HttpClient, OwnedSemaphorePermit) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            for lane in lanes.iter() {
                if let Ok(place) = Arc::clone(&lane.free).try_acquire_owned() {
                    return (lane.client.clone(), place);
                }
            }
            lanes.push(self.lane());
        }
    }

    fn lane(&self) -> Lane {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http2_max_header_list_size(HEAD_BYTES_MAX)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(self.connector.clone());
        Lane { client, free: Arc::new(Semaphore::new(PLACES)) }
    }
}

impl Body for ServerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Requests at once in one lane: fewer than the 100 streams that a server should at least allow
/// (RFC 9113 section 6.5.2).
const PLACES: usize = 64;

/// For so long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// Bytes of the head of an answer.
const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// Bytes that a server may send on one stream before we read them: one that a slow client does not
/// drain must not hold up the others, which share the window of the connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * 64;

/// How often a server with an open stream is asked whether it is there, and for how long.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
