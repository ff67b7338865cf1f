//! A witness with its directory and its listener, and a client that sends bytes as they are.

use note::{Policy, Verifier};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use witness::{Client, Limits, Server, Settings, Witness};

/// A running witness.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) root: PathBuf,
    pub(crate) address: String,
    pub(crate) keys: Vec<Verifier>,
    clock: Arc<AtomicU64>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    directory: Arc<TempDir>,
}

impl Rig {
    /// A new witness that serves these logs.
    pub(crate) async fn new(name: &str, logs: &[Verifier]) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let root = directory.path().join("witness");
        witness::init(&root, name).unwrap();
        for log in logs {
            witness::add_log(&root, log).unwrap();
        }
        Self::start(directory, root, Limits::default(), "127.0.0.1:0").await
    }

    /// A witness on a directory that is there.
    pub(crate) async fn on(root: &Path, limits: Limits) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::start(directory, root.to_owned(), limits, "127.0.0.1:0").await
    }

    async fn start(directory: Arc<TempDir>, root: PathBuf, limits: Limits, address: &str) -> Self {
        let witness = Arc::new(Witness::open(&root).unwrap());
        let keys = witness.keys().to_vec();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let clock = Arc::new(AtomicU64::new(NOW_S));
        let told = Arc::clone(&clock);
        let told = Arc::new(move || told.load(Ordering::SeqCst));
        let server = Server::new(witness, told, limits, &format!("http://{address}"));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(async move { server.serve(listener, stopped).await });
        Self { root, address, keys, clock, stop, serving, directory }
    }

    /// Its directory, which is removed when nobody keeps it.
    pub(crate) fn directory(&self) -> Arc<TempDir> {
        Arc::clone(&self.directory)
    }

    /// Ends it, and starts it again with other limits.
    pub(crate) async fn restart_with(self, limits: Limits) -> Self {
        let (directory, root) = (self.directory(), self.root.clone());
        self.end().await;
        Self::start(directory, root, limits, "127.0.0.1:0").await
    }

    /// Ends it, and starts it again at the same address after `meanwhile`.
    pub(crate) async fn restart(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let (directory, root) = (self.directory(), self.root.clone());
        let address = self.address.clone();
        self.end().await;
        meanwhile(&root);
        Self::start(directory, root, Limits::default(), &address).await
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }

    pub(crate) fn set_clock(&self, now_s: u64) {
        self.clock.store(now_s, Ordering::SeqCst);
    }

    /// The lines of a policy, under this name for the witness as a whole.
    pub(crate) fn lines(&self, name: &str) -> String {
        let url = format!("http://{}/", self.address);
        let [one, two] = [0, 1].map(|at| self.keys[at].to_text());
        format!(
            "witness {name}1 {one} {url}\nwitness {name}2 {two} {url}\ngroup {name} any {name}1 {name}2\n"
        )
    }

    pub(crate) async fn post(&self, body: &[u8]) -> Answered {
        send(&self.address, &posted(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        let request = format!("GET {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n");
        send(&self.address, request.as_bytes()).await
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answered {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).unwrap_or_default().parse().unwrap();
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn kind(&self) -> &str {
        self.head.split("content-type: ").nth(1).unwrap().split("\r\n").next().unwrap()
    }
}

/// A request to `add-checkpoint`.
pub(crate) fn posted(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Sends these bytes, and reads until the other side closes.
pub(crate) async fn send(address: &str, request: &[u8]) -> Answered {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    Answered::read(&answer)
}

/// A client of the witnesses in this policy.
pub(crate) fn client(policy: &str) -> Client {
    client_within(policy, Duration::from_secs(20), Duration::from_secs(20))
}

pub(crate) fn client_within(policy: &str, timeout: Duration, extra: Duration) -> Client {
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    Client::new(policy, Settings { timeout, extra, ..Settings::default() }).unwrap()
}

/// What the clock of a witness says.
pub(crate) const NOW_S: u64 = 1_700_000_000;
