//! The MCP server behind the gateway: it notes every call that reaches it and holds answers back, so
//! that a known number of calls is in flight at any moment. Knows nothing of the gateway.

use super::call;
use super::http;
use super::random::Random;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

/// A server on a port of its own.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    ledger: Mutex<Ledger>,
    /// How many calls came in since the round began.
    arrived: watch::Sender<usize>,
    connections: TaskTracker,
    held_max: usize,
}

struct Ledger {
    /// The numbers of the calls of this round.
    seen: BTreeSet<u32>,
    /// What should not have happened.
    complaints: Vec<String>,
    /// Calls whose answers wait; dropping one breaks its connection.
    held: Vec<oneshot::Sender<()>>,
    random: Random,
}

impl Upstream {
    /// Starts a server that holds back up to `held_max` answers: one more call releases one of them,
    /// chosen at random.
    pub(super) async fn start(held_max: usize, random: Random) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let ledger = Ledger { seen: BTreeSet::new(), complaints: vec![], held: vec![], random };
        let state = Arc::new(State {
            ledger: Mutex::new(ledger),
            arrived: watch::Sender::new(0),
            connections: TaskTracker::new(),
            held_max,
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                serving.connections.spawn(async move { state.connection(stream).await });
            }
        });
        Ok(Self { address, state })
    }

    /// How many calls came in since the round began.
    pub(super) fn arrived(&self) -> watch::Receiver<usize> {
        self.state.arrived.subscribe()
    }

    /// Ends a round, once nobody can call any more: reads what is still under way, and returns the
    /// numbers of all calls that came in.
    pub(super) async fn end_round(&self) -> anyhow::Result<BTreeSet<u32>> {
        self.state.connections.close();
        self.state.ledger().held.clear();
        self.state.connections.wait().await;
        self.state.connections.reopen();
        self.state.arrived.send_replace(0);
        let mut ledger = self.state.ledger();
        anyhow::ensure!(ledger.complaints.is_empty(), "{:?}", ledger.complaints);
        Ok(std::mem::take(&mut ledger.seen))
    }
}

impl State {
    /// Serves one connection to its end. How it ends does not matter: the gateway is killed.
    async fn connection(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Ok(Some(request)) = http::next(&mut stream).await {
            let released = self.take(&request.body);
            let answer = match call::number_of(&request.body) {
                Ok(number) => call::answer(number),
                Err(_) => return,
            };
            // While the round ends the sender is gone, and what still comes in is only noted.
            if released.await.is_ok() && stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    /// Notes a call, and makes room for its answer among those that wait.
    fn take(&self, body: &[u8]) -> oneshot::Receiver<()> {
        let (release, released) = oneshot::channel();
        let mut ledger = self.ledger();
        match call::number_of(body) {
            Ok(number) if ledger.seen.insert(number) => {}
            Ok(number) => ledger.complaints.push(format!("call {number} came in twice")),
            Err(error) => ledger.complaints.push(format!("not one of our calls: {error}")),
        }
        if !self.connections.is_closed() {
            ledger.held.push(release);
        }
        if ledger.held.len() > self.held_max {
            let waiting = ledger.held.len();
            let chosen = ledger.random.below(waiting);
            // A receiver that is gone belonged to a connection that broke.
            ledger.held.swap_remove(chosen).send(()).ok();
        }
        drop(ledger);
        self.arrived.send_modify(|count| *count += 1);
        released
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
