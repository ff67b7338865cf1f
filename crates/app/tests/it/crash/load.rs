//! Clients that call without a pause, each on a connection of its own, until the gateway is gone.

use super::call;
use super::http;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Clients that connect at the same time.
const CONNECTING_MAX: usize = 64;

/// Whom to call, and as whom.
#[derive(Clone)]
pub(super) struct Target {
    /// Address and port of the gateway.
    pub(super) host: String,
    pub(super) key: String,
}

/// A number of clients at work.
pub(super) struct Load {
    clients: JoinSet<anyhow::Result<Vec<u32>>>,
    /// How many calls were sent.
    sent: Arc<watch::Sender<usize>>,
}

impl Load {
    /// Connects all clients, then lets them call. Calls are numbered by `numbers`.
    pub(super) async fn start(
        clients: usize,
        target: &Target,
        numbers: &Arc<AtomicU32>,
    ) -> anyhow::Result<Self> {
        let connecting = Arc::new(Semaphore::new(CONNECTING_MAX));
        let mut connected = JoinSet::new();
        for _ in 0..clients {
            let (connecting, host) = (Arc::clone(&connecting), target.host.clone());
            connected.spawn(async move {
                let _turn = connecting.acquire().await?;
                connect(&host).await
            });
        }
        let mut streams = Vec::with_capacity(clients);
        while let Some(stream) = connected.join_next().await {
            streams.push(stream??);
        }
        let sent = Arc::new(watch::Sender::new(0));
        let mut running = JoinSet::new();
        for stream in streams {
            let (numbers, sent) = (Arc::clone(numbers), Arc::clone(&sent));
            running.spawn(Client { target: target.clone(), numbers, sent }.run(stream));
        }
        Ok(Self { clients: running, sent })
    }

    /// How many calls were sent.
    pub(super) fn sent(&self) -> watch::Receiver<usize> {
        self.sent.subscribe()
    }

    /// Waits until every client has lost its connection; the numbers of the calls whose answers came.
    pub(super) async fn end(mut self) -> anyhow::Result<BTreeSet<u32>> {
        let mut answered = BTreeSet::new();
        while let Some(client) = self.clients.join_next().await {
            answered.extend(client??);
        }
        Ok(answered)
    }
}

struct Client {
    target: Target,
    numbers: Arc<AtomicU32>,
    sent: Arc<watch::Sender<usize>>,
}

impl Client {
    /// Calls until the connection breaks. An answer that is not the right one is an error.
    async fn run(self, mut stream: BufReader<TcpStream>) -> anyhow::Result<Vec<u32>> {
        let mut answered = Vec::new();
        loop {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let request = call::request(number, &self.target.host, &self.target.key);
            if stream.write_all(&request).await.is_err() {
                return Ok(answered);
            }
            self.sent.send_modify(|count| *count += 1);
            let Ok(Some(answer)) = http::next(&mut stream).await else { return Ok(answered) };
            anyhow::ensure!(
                answer.status() == Some(200) && call::is_answer_to(number, &answer.body),
                "call {number} got `{}` and `{}`",
                answer.first_line,
                String::from_utf8_lossy(&answer.body)
            );
            answered.push(number);
        }
    }
}

/// A connection that the gateway has accepted, which its answer to a health check shows.
pub(super) async fn connect(host: &str) -> anyhow::Result<BufReader<TcpStream>> {
    let mut stream = BufReader::new(TcpStream::connect(host).await?);
    stream.get_ref().set_nodelay(true)?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let answer = http::next(&mut stream).await?;
    anyhow::ensure!(
        answer.as_ref().and_then(http::Message::status) == Some(200),
        "the gateway is not healthy"
    );
    Ok(stream)
}
