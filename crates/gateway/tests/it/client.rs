//! A client that says exactly what it is told, one connection for each request, and goes away when
//! it is dropped.

use crate::within;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// A request to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer, as far as it has come. The connection closes when it is dropped.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    buffer: BytesMut,
    _connection: Option<AbortOnDropHandle<()>>,
}

/// How a body ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As the sender wanted.
    Orderly,
    /// In the middle.
    Broken,
}

impl Ask {
    pub(crate) fn new(method: Method) -> Self {
        Self { method, path: "/mcp".to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A POST with the headers that every MCP client sends.
    pub(crate) fn post(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::new(Method::POST) }
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
    }

    /// With this header, instead of one of the same name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(named(name), HeaderValue::from_str(value).unwrap());
        self
    }

    /// With this header, beside one of the same name.
    pub(crate) fn another(mut self, name: &str, value: &str) -> Self {
        self.headers.append(named(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn session(self, id: &str) -> Self {
        self.header("mcp-session-id", id)
    }

    /// Sends it and waits for the head of the answer.
    pub(crate) async fn send(self, address: SocketAddr) -> Reply {
        within("an answer begins", self.try_send(address)).await.unwrap()
    }

    /// As [`Ask::send`]; `None` when the connection broke before an answer began.
    pub(crate) async fn try_send(self, address: SocketAddr) -> Option<Reply> {
        let stream = TcpStream::connect(address).await.unwrap();
        self.over_http1(stream, address).await
    }

    /// Sends it as HTTP/1.1 over a connection of its own.
    pub(crate) async fn over_http1<I>(self, io: I, address: SocketAddr) -> Option<Reply>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // How a connection ends is seen in the body.
            connection.await.ok();
        }));
        let mut request = self.request();
        if !request.headers().contains_key("host") {
            let host = HeaderValue::from_str(&address.to_string()).unwrap();
            request.headers_mut().insert("host", host);
        }
        let response = sender.send_request(request).await.ok()?;
        Some(Reply::new(response, Some(connection)))
    }

    fn request(self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers;
        request
    }
}

/// A connection of HTTP/2, for any number of requests.
#[derive(Debug)]
pub(crate) struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    connection: AbortOnDropHandle<()>,
}

impl Http2 {
    pub(crate) async fn over<I>(io: I) -> Self
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // How a connection ends is seen in the answers.
            connection.await.ok();
        }));
        Self { sender, connection }
    }

    /// Sends a request to this authority.
    pub(crate) async fn send(&self, ask: Ask, authority: &str) -> Option<Reply> {
        let path = format!("http://{authority}{}", ask.path);
        let request = Ask { path, ..ask }.request();
        let response = within("an answer begins", self.sender.clone().send_request(request)).await;
        Some(Reply::new(response.ok()?, None))
    }

    /// Waits until the other side closes the connection.
    pub(crate) async fn closed(self) {
        within("the connection closes", self.connection).await.unwrap();
    }
}

impl Reply {
    fn new(response: Response<Incoming>, connection: Option<AbortOnDropHandle<()>>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            buffer: BytesMut::new(),
            _connection: connection,
        }
    }

    /// The rest of the body, which ends in order.
    pub(crate) async fn bytes(mut self) -> Bytes {
        assert_eq!(self.rest().await, End::Orderly);
        self.buffer.freeze()
    }

    /// The body as one JSON message.
    pub(crate) async fn message(self) -> Value {
        let bytes = self.bytes().await;
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)))
    }

    /// The next piece of an event stream, up to its blank line.
    pub(crate) async fn event(&mut self) -> String {
        within("an event comes", async {
            loop {
                let end = self.buffer.windows(2).position(|pair| pair == b"\n\n");
                if let Some(end) = end {
                    return String::from_utf8(self.buffer.split_to(end + 2).to_vec()).unwrap();
                }
                assert_eq!(self.more().await, None, "{:?}", self.buffer);
            }
        })
        .await
    }

    /// Reads to the end, and says how it ended.
    pub(crate) async fn rest(&mut self) -> End {
        within("the body ends", async {
            loop {
                if let Some(end) = self.more().await {
                    return end;
                }
            }
        })
        .await
    }

    /// What was read and not yet taken.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.buffer).unwrap()
    }

    pub(crate) fn session(&self) -> String {
        self.headers["mcp-session-id"].to_str().unwrap().to_owned()
    }

    async fn more(&mut self) -> Option<End> {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
                None
            }
            Some(Err(_)) => Some(End::Broken),
            None => Some(End::Orderly),
        }
    }
}

/// When the next byte of somebody goes who sends as slowly as can be.
pub(crate) fn drops() -> tokio::time::Interval {
    let mut drops = tokio::time::interval(std::time::Duration::from_millis(5));
    drops.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    drops
}

fn named(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).unwrap()
}
