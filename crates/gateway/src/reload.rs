//! What may change while the gateway serves, and how: a new table takes the place of the old one, and
//! calls in progress go on with what they began with. Knows no file and no signal.

use crate::backend::{Backend, Stops};
use crate::config::{AnswerDurability, Limits, NamedServer, Quota, Server};
use crate::definitions::Definitions;
use crate::event_stream::Streams;
use crate::gateway::Gateway;
use crate::handles::Handles;
use crate::lending::Lending;
use crate::observer::Observer;
use crate::pipeline::Pipeline;
use crate::quota::{Actors, Meter, Quotas};
use crate::reach::Reach;
use crate::schemas::Schemas;
use crate::session::Sessions;
use crate::table::Table;
use crate::upstream::Upstream;
use crate::upstream::bridge::Bridge;
use crate::upstream::http::{BadUpstream, HttpUpstream};
use crate::upstream::sse::SseUpstream;
use crate::withheld::Strays;
use audit::Recorder;
use broker::Broker;
use identity::Verifier;
use policy::Engine;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

/// How often a server that was taken out is looked at: whether its last call has ended.
const RETIRE_INTERVAL: Duration = Duration::from_millis(100);

/// What may change while the gateway serves.
#[derive(Debug, Clone)]
pub struct Changeable {
    /// Who calls.
    pub identity: Arc<Verifier>,
    /// Issuers of the authorization servers that clients may get their tokens from; clients are told of them
    /// when the gateway knows its public URL.
    pub authorization_servers: Vec<String>,
    /// The servers: at least one, each name once.
    pub servers: Vec<NamedServer>,
    /// Bounds. Those on connections, calls and programs of the whole gateway, and on answers of running
    /// programs, stay what they were at the start.
    pub limits: Limits,
    /// As in [`Listener`](crate::config::Listener).
    pub allowed_hosts: Vec<String>,
    /// As in [`Listener`](crate::config::Listener).
    pub allowed_origins: Vec<String>,
    /// What the gateway shows to the servers. What was issued before is forgotten.
    pub credentials: Broker,
}

/// What a reload did with the servers, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Not there before.
    pub added: Vec<String>,
    /// Not there any more: their calls in progress end, then their sessions.
    pub removed: Vec<String>,
    /// Another server by the same name: as removed and added.
    pub changed: Vec<String>,
}

/// What is checked at the door, before a server is known.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) identity: Arc<Verifier>,
    pub(crate) authorization_servers: Vec<String>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) request_bytes_max: usize,
    pub(crate) body_timeout: Duration,
}

impl Door {
    pub(crate) fn new(changeable: &Changeable) -> Self {
        Self {
            identity: Arc::clone(&changeable.identity),
            authorization_servers: changeable.authorization_servers.clone(),
            allowed_hosts: changeable.allowed_hosts.clone(),
            allowed_origins: changeable.allowed_origins.clone(),
            request_bytes_max: changeable.limits.request_bytes_max,
            body_timeout: changeable.limits.body_timeout,
        }
    }
}

/// What every backend is made with.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) recorder: Recorder,
    pub(crate) policy: Arc<Engine>,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) answers: AnswerDurability,
    pub(crate) receipts: bool,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) stops: Stops,
    pub(crate) exchanges: TaskTracker,
}

impl Maker {
    /// All backends of a configuration. A server that was there before keeps its sessions, its programs
    /// and what is counted of it.
    pub(crate) fn backends(
        &self,
        before: &[Arc<Backend>],
        changeable: &Changeable,
    ) -> Result<Vec<Arc<Backend>>, BadUpstream> {
        let limits = &changeable.limits;
        let counted = before.first().map(|backend| Arc::clone(&backend.actors));
        let actors = counted
            .filter(|actors| *actors.quota() == limits.actor)
            .unwrap_or_else(|| Arc::new(Actors::new(limits.actor.clone(), limits.actors_max)));
        let of = |server: &NamedServer| {
            let same = before
                .iter()
                .find(|b| b.name() == server.name && b.definition.server == server.server);
            self.backend(server, same.map(Arc::as_ref), changeable, &actors).map(Arc::new)
        };
        changeable.servers.iter().map(of).collect()
    }

    fn backend(
        &self,
        server: &NamedServer,
        before: Option<&Backend>,
        changeable: &Changeable,
        actors: &Arc<Actors>,
    ) -> Result<Backend, BadUpstream> {
        let limits = limits_of(&changeable.limits, &server.quota);
        let lender = changeable.credentials.lender(&server.name);
        let lending = lender.map(|lender| Lending::new(lender, &self.recorder));
        let upstream = self.upstream(server, before, (&limits, lending.is_some()))?;
        let kept = before.map(|backend| &backend.pipeline);
        let meter = before
            .filter(|backend| backend.definition.quota == server.quota)
            .map(|backend| Arc::clone(&backend.meter))
            .unwrap_or_else(|| Arc::new(Meter::new(&server.quota, Instant::now())));
        let sessions =
            || Sessions::new(limits.sessions_max, limits.session_calls_max, limits.session_idle);
        let handles = || Handles::new(limits.handles_max, limits.handle_age);
        Ok(Backend {
            pipeline: Pipeline {
                recorder: self.recorder.clone(),
                policy: Arc::clone(&self.policy),
                definitions: Arc::clone(&self.definitions),
                sessions: kept
                    .map_or_else(|| Arc::new(sessions()), |kept| Arc::clone(&kept.sessions)),
                schemas: kept
                    .map_or_else(|| Arc::new(Schemas::default()), |kept| Arc::clone(&kept.schemas)),
                handles: kept.map_or_else(|| Arc::new(handles()), |kept| Arc::clone(&kept.handles)),
                server: server.name.clone(),
                limits: limits.clone(),
                answers: self.answers,
                receipts: self.receipts,
                quotas: Quotas::new(Arc::clone(actors), Arc::clone(&meter)),
                observer: kept.map_or_else(
                    || self.observer.server(&server.name),
                    |kept| Arc::clone(&kept.observer),
                ),
                reach: kept.map_or_else(|| Arc::new(Reach::default()), |k| Arc::clone(&k.reach)),
            },
            upstream,
            lending,
            stops: before.map_or_else(|| self.stops.child(), |before| before.stops.clone()),
            streams: before
                .map_or_else(|| Arc::new(Streams::default()), |before| Arc::clone(&before.streams)),
            exchanges: self.exchanges.clone(),
            definition: server.clone(),
            actors: Arc::clone(actors),
            meter,
        })
    }

    /// The way to a server. Programs that run go on running, and so do the streams of HTTP+SSE, which
    /// belong to sessions; connections to an HTTP server are made anew, since nothing depends on them.
    fn upstream(
        &self,
        server: &NamedServer,
        before: Option<&Backend>,
        (limits, needs_credential): (&Limits, bool),
    ) -> Result<Arc<Upstream>, BadUpstream> {
        let is_same = |before: &Backend| {
            before.pipeline.limits == *limits && before.lending.is_some() == needs_credential
        };
        Ok(match (&server.server, before) {
            (_, Some(before)) if is_same(before) => Arc::clone(&before.upstream),
            (Server::Http { url, tls }, _) => {
                let http = HttpUpstream::new(url, tls, limits)?;
                Arc::new(Upstream::Http(http.needing_credential(needs_credential)))
            }
            (Server::Sse { url, tls }, _) => {
                let strays = Strays::new(&self.recorder, &server.name, None);
                let sse = SseUpstream::new(url, tls, limits, strays)?;
                let sse = sse.needing_credential(needs_credential);
                Arc::new(Upstream::Sse(Box::new(sse)))
            }
            (Server::Stdio(_), Some(before)) => Arc::clone(&before.upstream),
            (Server::Stdio(command), None) => Arc::new(Upstream::Stdio(Bridge::new(
                command.clone(),
                limits.reply_bytes_max,
                limits.processes_max,
                Strays::new(&self.recorder, &server.name, None),
            ))),
        })
    }
}

impl Gateway {
    /// Takes over another configuration for everything that begins from now on. Calls in progress end
    /// as they began. Servers that stay keep their sessions and programs; those that go, or are others
    /// now, end them when their last call has ended.
    ///
    /// # Errors
    /// When a server's address cannot be used; then nothing changes.
    pub fn reload(&self, changeable: &Changeable) -> Result<Reloaded, BadUpstream> {
        let before = self.table.load_full();
        let backends = self.maker.backends(&before.backends, changeable)?;
        let mut reloaded = Reloaded::default();
        for backend in &backends {
            let old = before.backends.iter().find(|old| old.name() == backend.name());
            match old {
                None => reloaded.added.push(backend.name().to_owned()),
                Some(old) if old.definition.server != backend.definition.server => {
                    reloaded.changed.push(backend.name().to_owned());
                }
                Some(_) => {}
            }
        }
        let stays = |old: &Backend| {
            backends
                .iter()
                .any(|b| b.name() == old.name() && b.definition.server == old.definition.server)
        };
        let retired: Vec<Arc<Backend>> =
            before.backends.iter().filter(|old| !stays(old)).map(Arc::clone).collect();
        let is_there = |name: &str| backends.iter().any(|b| b.name() == name);
        let gone = retired.iter().map(|old| old.name().to_owned()).filter(|n| !is_there(n));
        reloaded.removed.extend(gone);
        let limits = &changeable.limits;
        for Backend { pipeline, .. } in backends.iter().map(Arc::as_ref) {
            pipeline.sessions.rebound(limits.sessions_max, limits.session_idle);
            pipeline.handles.rebound(limits.handles_max, limits.handle_age);
        }
        let door = self.door.swap(Arc::new(Door::new(changeable)));
        if !Arc::ptr_eq(&door.identity, &changeable.identity) {
            before.end_event_streams();
        }
        let path = self.listener.path.clone();
        let table = Arc::new(Table::new(backends, path, &self.maker.observer, Some(&before)));
        table.heed(changeable.identity.revocations());
        self.table.store(Arc::clone(&table));
        if let Some(old) = before.federation.as_ref()
            && !table.federation.as_ref().is_some_and(|new| new.holds_as(old))
        {
            // What it holds with its members nobody else knows of. Its streams would hold the members.
            old.stops().soft.cancel();
            let old = Arc::clone(old);
            self.exchanges.spawn(async move { old.end().await });
        }
        drop(before);
        for backend in retired {
            self.exchanges.spawn(retire(backend));
        }
        Ok(reloaded)
    }
}

/// Ends what a server leaves behind, when nobody can use it any more: whoever has a call in progress, or
/// is about to begin one, holds it, or what it was before an earlier reload, which has the same sessions.
async fn retire(backend: Arc<Backend>) {
    backend.stops.soft.cancel();
    let sessions = &backend.pipeline.sessions;
    while Arc::strong_count(&backend) > 1 || Arc::strong_count(sessions) > 1 {
        tokio::time::sleep(RETIRE_INTERVAL).await;
    }
    backend.end(Instant::now()).await;
    tracing::info!(server = backend.name(), "a server that was taken out has no calls any more");
}

/// The limits of one server: the times of the quotas are the same for all its calls.
fn limits_of(limits: &Limits, quota: &Quota) -> Limits {
    let times = [quota.reply_timeout, limits.actor.reply_timeout];
    let shortest = times.into_iter().flatten().fold(limits.reply_timeout, Duration::min);
    Limits { reply_timeout: shortest, ..limits.clone() }
}
