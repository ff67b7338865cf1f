//! The gateway as a whole: what it is made of, how it starts and how it stops.

use crate::backend::Stops;
use crate::beside::Beside;
use crate::config::{AnswerDurability, Limits, Listener, NamedServer};
use crate::definitions::Definitions;
use crate::entrance::STRANGERS_MAX;
use crate::handles::Remembered;
use crate::noise;
use crate::observer::Observer;
use crate::reload::{Changeable, Door, Maker};
use crate::table::Table;
use crate::tally::Tally;
use crate::upstream::http::BadUpstream;
use arc_swap::ArcSwap;
use audit::Recorder;
use broker::Broker;
use identity::Verifier;
use policy::Engine;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often idle sessions and programs are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The parts that make up a gateway.
#[derive(Debug)]
pub struct Parts {
    /// The way into the log.
    pub recorder: Recorder,
    /// Who calls.
    pub identity: Arc<Verifier>,
    /// May they.
    pub policy: Arc<Engine>,
    /// What the servers declare.
    pub definitions: Arc<Definitions>,
    /// As in [`Changeable`].
    pub authorization_servers: Vec<String>,
    /// The servers behind the gateway: at least one, each name once.
    pub servers: Vec<NamedServer>,
    /// What the gateway shows to the servers.
    pub credentials: Broker,
    /// Where to listen.
    pub listener: Listener,
    /// Bounds.
    pub limits: Limits,
    /// When the record of an answer must be durable.
    pub answers: AnswerDurability,
    /// Whether results carry the receipt of their call in `_meta`; off where answers must not change by
    /// a byte.
    pub receipts: bool,
    /// What else is served on this address.
    pub beside: Option<Arc<dyn Beside>>,
    /// Who is told of what happens on the call path.
    pub observer: Arc<dyn Observer>,
}

/// A gateway in front of MCP servers.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) recorder: Recorder,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) door: ArcSwap<Door>,
    pub(crate) maker: Maker,
    pub(crate) listener: Listener,
    pub(crate) limits: Limits,
    pub(crate) beside: Option<Arc<dyn Beside>>,
    pub(crate) calls: Arc<Semaphore>,
    /// Places of callers who are not known yet.
    pub(crate) strangers: Semaphore,
    pub(crate) exchanges: TaskTracker,
    pub(crate) stops: Stops,
    /// Requests that are no calls.
    pub(crate) noise: Tally,
}

impl Gateway {
    /// Puts the parts together; nothing is listened on or connected to yet.
    ///
    /// # Errors
    /// When the URL of a server cannot be used.
    pub fn new(parts: Parts) -> Result<Self, BadUpstream> {
        let stops = Stops { soft: CancellationToken::new(), hard: CancellationToken::new() };
        let exchanges = TaskTracker::new();
        let changeable = Changeable {
            identity: parts.identity,
            authorization_servers: parts.authorization_servers,
            servers: parts.servers,
            limits: parts.limits,
            allowed_hosts: parts.listener.allowed_hosts.clone(),
            allowed_origins: parts.listener.allowed_origins.clone(),
            credentials: parts.credentials,
        };
        let maker = Maker {
            recorder: parts.recorder.clone(),
            policy: parts.policy,
            definitions: parts.definitions,
            answers: parts.answers,
            receipts: parts.receipts,
            observer: parts.observer,
            stops: stops.clone(),
            exchanges: exchanges.clone(),
        };
        let backends = maker.backends(&[], &changeable)?;
        let path = parts.listener.path.clone();
        let table = Table::new(backends, path, &maker.observer, None);
        table.heed(changeable.identity.revocations());
        Ok(Self {
            recorder: parts.recorder,
            table: ArcSwap::from_pointee(table),
            door: ArcSwap::from_pointee(Door::new(&changeable)),
            maker,
            listener: parts.listener,
            beside: parts.beside,
            calls: Arc::new(Semaphore::new(changeable.limits.calls_max)),
            strangers: Semaphore::new(STRANGERS_MAX),
            limits: changeable.limits,
            exchanges,
            stops,
            noise: Tally::new(noise::SINGLE_MAX),
        })
    }

    /// Serves until `stop`, then lets calls in progress end within the configured grace, ends what is
    /// left, and returns when everything that was asked is answered on record.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let sweeper = tokio::spawn(Arc::clone(&self).sweep(stop.clone()));
        crate::listener::accept(&self, listener, &stop).await;
        self.exchanges.close();
        let grace = self.limits.shutdown_grace;
        if tokio::time::timeout(grace, self.exchanges.wait()).await.is_err() {
            let left = self.exchanges.len();
            tracing::warn!(left, "calls still in progress after the grace period are ended");
        }
        if let Some(federation) = &self.table.load_full().federation {
            // Members that do not answer now are not waited for.
            tokio::time::timeout(self.limits.member_timeout, federation.end()).await.ok();
        }
        self.stops.hard.cancel();
        self.exchanges.wait().await;
        for backend in &self.table.load().backends {
            backend.end(Instant::now()).await;
        }
        noise::record(&self.recorder, self.noise.end());
        if let Err(error) = sweeper.await {
            tracing::error!(%error, "the sweeper of idle sessions failed");
        }
    }

    /// Takes in the handles that earlier runs gave out for the server of this name, the oldest first.
    pub fn remember(&self, server: &str, handles: Vec<Remembered>) {
        let table = self.table.load();
        let Some(backend) = table.backends.iter().find(|b| b.name() == server) else { return };
        for handle in handles {
            backend.pipeline.handles.remember(handle, Instant::now());
        }
    }

    /// Ends sessions and programs that were idle for too long at `now`. [`Self::serve`] does so from time
    /// to time.
    pub async fn end_idle(&self, now: Instant) {
        noise::record(&self.recorder, self.noise.settle(now));
        let table = self.table.load_full();
        // Those that the gateway holds go first: it ends them at the servers, where they are as idle.
        if let Some(federation) = &table.federation {
            federation.sweep(now);
        }
        for backend in &table.backends {
            backend.sweep(now).await;
            backend.actors.forget_idle(now);
        }
    }

    /// The paths of the MCP endpoints.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.table.load().endpoints()
    }

    /// Whether calls can be served: the log takes records.
    ///
    /// # Errors
    /// Why not.
    pub fn health(&self) -> Result<(), audit::Unavailable> {
        self.recorder.health()
    }

    async fn sweep(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.end_idle(Instant::now()).await;
        }
    }
}
