//! A storage that gives the scripted answers in turn, whatever it is asked, and remembers the questions.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The storage; it ends with the test's runtime.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _serving: JoinHandle<()>,
}

/// What the storage does when it is asked the next time.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    /// Takes the whole question and answers.
    Answer { status: u16, headers: Vec<(String, String)>, body: Bytes },
    /// Answers every PUT with this status before it has taken the body, and closes the connection;
    /// ends with the first other question, which is answered by the next turn.
    Early { status: u16 },
    /// Announces more than it sends, and closes the connection.
    Cut,
    /// Closes the connection without an answer.
    Break,
    /// Never answers.
    Silence,
}

/// A question as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
struct Shared {
    turns: VecDeque<Turn>,
    asked: Vec<Asked>,
}

impl Shared {
    fn next(&mut self, method: &Method) -> Turn {
        if let Some(Turn::Early { .. }) = self.turns.front() {
            if method == Method::PUT {
                return self.turns[0].clone();
            }
            self.turns.pop_front();
        }
        self.turns.pop_front().unwrap_or_else(|| Turn::status(418))
    }
}

impl Turn {
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// An error as S3 words it, with everything in it that must not be repeated.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::status(status).body(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>it is AKIDEXAMPLE</Message><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId>\
             <RequestId>1</RequestId></Error>"
        ))
    }

    /// Sets a header; an empty value takes it out.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.retain(|(one, _)| one != name);
            if !value.is_empty() {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        self
    }

    pub(crate) fn body(mut self, text: impl Into<Bytes>) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = text.into();
        }
        self
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Storage {
    pub(crate) async fn start(turns: impl IntoIterator<Item = Turn>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let turns = turns.into_iter().collect();
        let shared = Arc::new(Mutex::new(Shared { turns, asked: Vec::new() }));
        let one = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&one)));
            }
        });
        Self { address, shared, _serving: serving }
    }

    /// Everything that was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.lock().unwrap().asked.clone()
    }

    /// Methods and targets of everything that was asked, once every scripted turn is used up.
    pub(crate) fn trail(&self) -> Vec<String> {
        let shared = self.shared.lock().unwrap();
        assert!(shared.turns.is_empty(), "not asked for: {:?}", shared.turns);
        shared.asked.iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect()
    }
}

async fn serve(stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let stream = stream.into_std().unwrap();
    let mut raw = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
    let stream = TcpStream::from_std(stream).unwrap();
    let (cut, mut cuts) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let service = service_fn(move |request| answer(request, Arc::clone(&shared), cut.clone()));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // The other side may go away at any time.
        end = serving => end.unwrap_or_default(),
        Some(bytes) = cuts.recv() => raw.write_all(&bytes).await.unwrap(),
    }
}

/// The answer in turn; what breaks the rules of HTTP goes through `cut` to the bare connection.
async fn answer(
    request: Request<Incoming>,
    shared: Arc<Mutex<Shared>>,
    cut: tokio::sync::mpsc::Sender<Vec<u8>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let turn = shared.lock().unwrap().next(request.method());
    let (head, body) = request.into_parts();
    let mut asked = Asked {
        method: head.method,
        target: head.uri.to_string(),
        headers: head.headers,
        body: Bytes::new(),
    };
    if !matches!(turn, Turn::Early { .. }) {
        asked.body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    }
    shared.lock().unwrap().asked.push(asked);
    let raw = match turn {
        Turn::Answer { status, headers, body } => {
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                let name = http::HeaderName::try_from(name).unwrap();
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            return Ok(response);
        }
        Turn::Silence => std::future::pending().await,
        Turn::Break => String::new(),
        Turn::Cut => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel".to_owned(),
        Turn::Early { status } => format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n"),
    };
    cut.send(raw.into_bytes()).await.unwrap();
    std::future::pending().await
}
