//! An MCP server over HTTP that does what the test tells it, request by request.

use crate::messages::event;
use crate::within;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) version: Version,
    /// The name in the certificate that the gateway showed.
    pub(crate) shown: Option<Vec<u8>>,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Broken>>;

/// The answer breaks off here.
#[derive(Debug, thiserror::Error)]
#[error("broken on purpose")]
pub(crate) struct Broken;

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: AbortOnDropHandle<()>,
}

/// Requests that wait for the test to answer them.
#[derive(Debug)]
pub(crate) struct Waiting(mpsc::Receiver<Held>);

/// A request that waits for its answer. Dropping it breaks the connection.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) seen: Seen,
    answer: oneshot::Sender<Answer>,
}

/// The sending side of a streamed answer. Dropping it ends the stream in order.
#[derive(Debug)]
pub(crate) struct Stream(mpsc::Sender<Result<Bytes, Broken>>);

impl Upstream {
    /// A server that answers by a function.
    pub(crate) async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Seen) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Option<Answer>> + Send + 'static,
    {
        Self::serving(None, answer).await
    }

    /// The same over TLS, when there is any; HTTP/2 or HTTP/1.1 as agreed or as it begins.
    pub(crate) async fn serving<F, A>(tls: Option<TlsAcceptor>, answer: F) -> Self
    where
        F: Fn(Seen) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Option<Answer>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, record, tls) = (answer.clone(), Arc::clone(&record), tls.clone());
                connections.spawn(async move {
                    let Some(tls) = tls else { return serve(stream, None, answer, record).await };
                    // A client that does not trust us goes away.
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates();
                    let shown = shown.and_then(|chain| Some(chain.first()?.to_vec()));
                    serve(stream, shown, answer, record).await;
                });
            }
        });
        Self { address, seen, _serving: AbortOnDropHandle::new(serving) }
    }

    /// A server that hands every request to the test.
    pub(crate) async fn held() -> (Self, Waiting) {
        Self::held_behind(None).await
    }

    /// The same over TLS.
    pub(crate) async fn held_behind(tls: Option<TlsAcceptor>) -> (Self, Waiting) {
        let (requests, waiting) = mpsc::channel(16);
        let upstream = Self::serving(tls, move |seen| {
            let requests = requests.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                requests.send(Held { seen, answer }).await.ok()?;
                answered.await.ok()
            }
        })
        .await;
        (upstream, Waiting(waiting))
    }

    /// A server of the older era: opens sessions itself and hands everything else to the test.
    pub(crate) async fn with_sessions() -> (Self, Waiting) {
        Self::with_sessions_of("2025-11-25").await
    }

    /// As [`Upstream::with_sessions`], agreeing on this revision.
    pub(crate) async fn with_sessions_of(revision: &'static str) -> (Self, Waiting) {
        let (requests, waiting) = mpsc::channel(16);
        let count = Arc::new(Mutex::new(0_u32));
        let upstream = Self::start(move |seen| {
            let (requests, count) = (requests.clone(), Arc::clone(&count));
            async move {
                match seen.rpc_method().as_deref() {
                    Some("initialize") => {
                        let mut count = count.lock().unwrap();
                        *count += 1;
                        Some(opened_of(&format!("session-{count}"), revision))
                    }
                    Some("notifications/initialized") => Some(empty(202)),
                    _ => {
                        let (answer, answered) = oneshot::channel();
                        requests.send(Held { seen, answer }).await.ok()?;
                        answered.await.ok()
                    }
                }
            }
        })
        .await;
        (upstream, Waiting(waiting))
    }

    /// Everything that came, in its order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve<I, F, A>(io: I, shown: Option<Vec<u8>>, answer: F, record: Arc<Mutex<Vec<Seen>>>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Seen) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Option<Answer>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let (answer, record, shown) = (answer.clone(), Arc::clone(&record), shown.clone());
        async move {
            let seen = Seen::read(request, shown).await;
            record.lock().unwrap().push(seen.clone());
            answer(seen).await.ok_or(Broken)
        }
    });
    // The other side may go away at any time.
    let builder = auto::Builder::new(TokioExecutor::new());
    builder.serve_connection(TokioIo::new(io), service).await.ok();
}

impl Seen {
    async fn read(request: Request<Incoming>, shown: Option<Vec<u8>>) -> Self {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
        let path = parts.uri.to_string();
        let (method, headers, version) = (parts.method, parts.headers, parts.version);
        Self { version, shown, method, path, headers, body }
    }

    /// The method of the message, when there is one.
    pub(crate) fn rpc_method(&self) -> Option<String> {
        Some(self.message()?["method"].as_str()?.to_owned())
    }

    pub(crate) fn message(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Waiting {
    pub(crate) async fn next(&mut self) -> Held {
        within("a request comes", self.0.recv()).await.unwrap()
    }
}

impl Held {
    pub(crate) fn answer(self, answer: Answer) {
        // The gateway may be gone by now; the test sees that elsewhere.
        self.answer.send(answer).ok();
    }

    /// Answers with a stream of events.
    pub(crate) fn stream(self) -> Stream {
        let (stream, answer) = events();
        self.answer(answer);
        stream
    }

    /// Waits until the connection is closed by the other side.
    pub(crate) async fn abandoned(mut self) {
        within("the connection closes", self.answer.closed()).await;
    }
}

impl Stream {
    pub(crate) async fn send(&self, text: &str) {
        let chunk = Bytes::copy_from_slice(text.as_bytes());
        within("a chunk is taken", self.0.send(Ok(chunk))).await.unwrap();
    }

    pub(crate) async fn message(&self, message: &str) {
        self.send(&event(message)).await;
    }

    /// As [`Stream::send`], for as long as anybody takes it; false when nobody does any more.
    pub(crate) async fn offer(&self, text: &str) -> bool {
        let chunk = Bytes::copy_from_slice(text.as_bytes());
        within("a chunk is taken or refused", self.0.send(Ok(chunk))).await.is_ok()
    }

    /// Breaks the connection in the middle of the answer.
    pub(crate) async fn break_off(self) {
        self.0.send(Err(Broken)).await.unwrap();
    }

    /// Waits until the connection is closed by the other side.
    pub(crate) async fn abandoned(&self) {
        within("the connection closes", self.0.closed()).await;
    }
}

/// A whole answer in JSON.
pub(crate) fn json(body: impl Into<Bytes>) -> Answer {
    typed(200, "application/json", body)
}

pub(crate) fn typed(status: u16, media_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = empty(status);
    *answer.body_mut() = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    with(answer, "content-type", media_type)
}

pub(crate) fn empty(status: u16) -> Answer {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

pub(crate) fn with(mut answer: Answer, header: &'static str, value: &str) -> Answer {
    answer.headers_mut().insert(header, HeaderValue::from_str(value).unwrap());
    answer
}

/// The answer to `initialize` that opens a session and agrees on this revision.
pub(crate) fn opened_of(session: &str, revision: &str) -> Answer {
    with(json(INITIALIZED.replace("2025-11-25", revision)), "mcp-session-id", session)
}

/// A streamed answer.
pub(crate) fn events() -> (Stream, Answer) {
    let (chunks, queue) = mpsc::channel(16);
    let mut answer = empty(200);
    *answer.body_mut() = Chunks(queue).boxed_unsync();
    (Stream(chunks), with(answer, "content-type", "text/event-stream"))
}

struct Chunks(mpsc::Receiver<Result<Bytes, Broken>>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.0.poll_recv(cx).map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }
}

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"scripted","version":"1"}}}"#;
