//! Whoever issues credentials, on a loopback port: it answers each request as the test says, and remembers
//! them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method and target.
    pub(crate) line: String,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Asked {
    /// The fields of a form; each must be there once.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        assert_eq!(self.headers["content-type"], "application/x-www-form-urlencoded");
        let mut fields = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(self.body.as_bytes()) {
            let before = fields.insert(name.clone().into_owned(), value.into_owned());
            assert!(before.is_none(), "RFC 6749, section 3.2: `{name}` must not be repeated");
        }
        fields
    }
}

/// What it does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status and body.
    Json(u16, String),
    /// These bytes.
    Raw(Vec<u8>),
    /// Never answers.
    Silence,
}

type Judge = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The issuer; it ends with the test's runtime.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) origin: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinHandle<()>,
}

impl Issuer {
    pub(crate) async fn start(judge: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, judge): (_, Arc<Judge>) = (Arc::clone(&asked), Arc::new(judge));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&noted), Arc::clone(&judge)));
            }
        });
        Self { origin, asked, _serving: serving }
    }

    /// One that gives every request the same answer.
    pub(crate) async fn saying(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, noted: Arc<Mutex<Vec<Asked>>>, judge: Arc<Judge>) {
    while let Some(asked) = read(&mut stream).await {
        let reply = judge(&asked);
        noted.lock().unwrap().push(asked);
        let bytes = match reply {
            Reply::Silence => return std::future::pending().await,
            Reply::Raw(bytes) => bytes,
            Reply::Json(status, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n");
                format!("{head}content-type: application/json\r\n\r\n{body}").into_bytes()
            }
        };
        // The reader may hang up early; that is its right.
        if stream.write_all(&bytes).await.is_err() || bytes.is_empty() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked { line, headers, body: String::from_utf8(body).unwrap() })
}
