//! The gateway as a whole: what it is made of, how it starts and how it stops.

use crate::beside::Beside;
use crate::config::{AnswerDurability, Limits, Listener, Server};
use crate::pipeline::Pipeline;
use crate::session::Sessions;
use crate::upstream::Upstream;
use crate::upstream::bridge::Bridge;
use crate::upstream::http::{BadUpstream, HttpUpstream};
use audit::Recorder;
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
    /// Name of the server behind the gateway, as events and policies call it.
    pub server_name: String,
    /// The server behind the gateway.
    pub server: Server,
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
}

/// A gateway in front of one MCP server.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) pipeline: Pipeline,
    pub(crate) identity: Arc<Verifier>,
    pub(crate) upstream: Upstream,
    pub(crate) listener: Listener,
    pub(crate) beside: Option<Arc<dyn Beside>>,
    pub(crate) calls: Arc<Semaphore>,
    pub(crate) exchanges: TaskTracker,
    /// Set when the gateway begins to stop: streams that would stay open for ever end now.
    pub(crate) soft_stop: CancellationToken,
    /// Set when exchanges must end, whatever they are doing.
    pub(crate) hard_stop: CancellationToken,
}

impl Gateway {
    /// Puts the parts together; nothing is listened on or connected to yet.
    ///
    /// # Errors
    /// When the upstream URL cannot be used.
    pub fn new(parts: Parts) -> Result<Self, BadUpstream> {
        let Parts {
            recorder,
            identity,
            policy,
            server_name,
            server,
            listener,
            limits,
            answers,
            receipts,
            beside,
        } = parts;
        let upstream = match server {
            Server::Http { url } => Upstream::Http(HttpUpstream::new(&url, &limits)?),
            Server::Stdio(command) => {
                Upstream::Stdio(Bridge::new(command, limits.reply_bytes_max, limits.processes_max))
            }
        };
        let sessions =
            Sessions::new(limits.sessions_max, limits.session_calls_max, limits.session_idle);
        Ok(Self {
            identity,
            upstream,
            listener,
            beside,
            calls: Arc::new(Semaphore::new(limits.calls_max)),
            exchanges: TaskTracker::new(),
            soft_stop: CancellationToken::new(),
            hard_stop: CancellationToken::new(),
            pipeline: Pipeline {
                recorder,
                policy,
                sessions,
                server: server_name,
                limits,
                answers,
                receipts,
            },
        })
    }

    /// Serves until `stop`, then lets calls in progress end within the configured grace, ends what is
    /// left, and returns when everything that was asked is answered on record.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let sweeper = tokio::spawn(Arc::clone(&self).sweep(stop.clone()));
        crate::listener::accept(&self, listener, &stop).await;
        self.exchanges.close();
        let grace = self.pipeline.limits.shutdown_grace;
        if tokio::time::timeout(grace, self.exchanges.wait()).await.is_err() {
            let left = self.exchanges.len();
            tracing::warn!(left, "calls still in progress after the grace period are ended");
        }
        self.hard_stop.cancel();
        self.exchanges.wait().await;
        for session in self.pipeline.sessions.close_all() {
            self.pipeline.end_session(&session).await;
        }
        self.end_idle_programs(Duration::ZERO).await;
        if let Err(error) = sweeper.await {
            tracing::error!(%error, "the sweeper of idle sessions failed");
        }
    }

    /// Whether calls can be served: the log takes records.
    ///
    /// # Errors
    /// Why not.
    pub fn health(&self) -> Result<(), audit::Unavailable> {
        self.pipeline.recorder.health()
    }

    async fn sweep(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            for session in self.pipeline.sessions.expire(Instant::now()) {
                self.pipeline.end_session(&session).await;
            }
            self.end_idle_programs(self.pipeline.limits.session_idle).await;
        }
    }

    async fn end_idle_programs(&self, idle: Duration) {
        if let Upstream::Stdio(bridge) = &self.upstream {
            for program in bridge.take_idle(idle, Instant::now()) {
                program.end().await;
            }
        }
    }
}
