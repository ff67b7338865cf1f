//! Takes over a changed configuration file while the gateway runs: all of it or nothing. A file that
//! cannot be used never takes the place of a good one; either way it is on record.

use crate::cadence::Cadence;
use crate::certificates::{Certificates, ServersTls};
use crate::changes::Changes;
use crate::config::{Config, TlsFiles};
use crate::digest;
use crate::log_pages::LogPages;
use crate::remembered::{self, Handles};
use crate::running::Keeper;
use anyhow::Context as _;
use audit::Recorder;
use event::Kind;
use gateway::config::NamedServer;
use gateway::{Changeable, Gateway, Reloaded};
use identity::Verifier;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tlog::Log;
use tokio_util::sync::CancellationToken;

/// The configuration that is active, and all that can be told of another one.
#[derive(Debug)]
pub(crate) struct Reloading {
    pub(crate) path: PathBuf,
    pub(crate) active: Config,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) servers_tls: ServersTls,
    /// Looks after certificates that come with it.
    pub(crate) keeper: Keeper,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) recorder: Recorder,
    /// The published log, when it is served.
    pub(crate) pages: Option<Arc<LogPages>>,
    pub(crate) log: Log,
}

/// Keys differ that are read at the start only.
#[derive(Debug, thiserror::Error)]
#[error("needs a restart, and nothing is taken over: {0}")]
struct NeedsRestart(String);

/// What was taken over.
#[derive(Debug)]
struct Taken {
    changes: Changes,
    servers: Reloaded,
}

impl Reloading {
    /// Looks for another configuration at intervals, and whenever it is told to, until `stop`.
    pub(crate) async fn run(
        mut self,
        interval: Option<Duration>,
        mut hangups: Hangups,
        stop: CancellationToken,
    ) {
        let mut seen = self.active.sha256.clone();
        let mut last = seen.clone();
        let mut cadence = Cadence::later(interval.unwrap_or(NEVER), stop.clone());
        loop {
            let told = tokio::select! {
                next = cadence.next() => if next { false } else { return },
                () = hangups.next() => true,
                () = stop.cancelled() => return,
            };
            // A file that is not there for a moment is being replaced, and one that changes from one
            // look to the next is being written: the look after that finds it.
            let found = std::fs::read(&self.path).ok().map(|bytes| digest::of(&bytes));
            let settled = found.is_some() && found == last;
            last.clone_from(&found);
            if !told && (!settled || found == seen) {
                continue;
            }
            seen.clone_from(&found);
            let taken = self.take().await;
            self.record(taken, found).await;
        }
    }

    /// Takes over what the file says now.
    async fn take(&mut self) -> anyhow::Result<Option<Taken>> {
        let config = Config::load(&self.path)?;
        let changes = Changes::between(&self.active.written, &config.written);
        if changes == Changes::default() {
            self.active = config;
            return Ok(None);
        }
        let keys = changes.need_restart();
        if !keys.is_empty() {
            return Err(NeedsRestart(keys.join(", ")).into());
        }
        let tls = TlsFiles { listener: None, ..config.tls.clone() };
        let certificates = Certificates::load_beside(&tls, &self.servers_tls)?;
        let servers = certificates.for_servers(config.servers()?);
        let credentials = config.broker()?;
        let verifier = if changes.touch("identity") {
            self.new_verifier(&config).await?
        } else {
            Arc::clone(&self.verifier)
        };
        // Read before they are served, so that no call that goes on with another comes too early.
        let handles = self.handles_of_new(&config).await;
        let servers = self.gateway.reload(&Changeable {
            identity: Arc::clone(&verifier),
            authorization_servers: config.identity.authorization_servers(),
            servers,
            limits: config.limits.clone(),
            allowed_hosts: config.listener.allowed_hosts.clone(),
            allowed_origins: config.listener.allowed_origins.clone(),
            credentials,
        })?;
        let is_new = |name: &str| servers.added.iter().chain(&servers.changed).any(|n| n == name);
        remembered::restore(&self.gateway, handles, is_new);
        if let (Some(pages), Some(http)) = (&self.pages, &config.log.http) {
            pages.replace_readers(http.readers.clone());
        }
        self.servers_tls = certificates.servers();
        self.keeper.keep(certificates);
        self.verifier = verifier;
        self.active = config;
        Ok(Some(Taken { changes, servers }))
    }

    /// What servers that were not there before gave out at some time; nothing is read when there are none.
    async fn handles_of_new(&self, config: &Config) -> Handles {
        let tls = |config: &Config, name: &str| config.tls.servers.get(name).cloned();
        let is_new = |server: &NamedServer| {
            let same = |old: &NamedServer| old.name == server.name && old.server == server.server;
            let name = &server.name;
            !self.active.servers.iter().any(same) || tls(config, name) != tls(&self.active, name)
        };
        if !config.servers.iter().any(is_new) {
            return Handles::new();
        }
        let (now, age) = (self.recorder.clock().now(), config.limits.handle_age);
        remembered::read(&self.active.log.directory, self.log.tip().size, now, age).await
    }

    /// The keys of its providers are there before anybody is judged by it.
    async fn new_verifier(&self, config: &Config) -> anyhow::Result<Arc<Verifier>> {
        let verifier = Verifier::new(&config.identity)?.remembering(&self.verifier);
        let verifier = verifier.with_revocations(Arc::clone(self.verifier.revocations()));
        for (provider, loaded) in verifier.warm_up(self.recorder.clock().now()).await {
            if let Err(error) = loaded {
                tracing::warn!(provider, %error, "keys of a trust provider are not there yet");
            }
        }
        Ok(Arc::new(verifier))
    }

    async fn record(&self, taken: anyhow::Result<Option<Taken>>, sha256: Option<String>) {
        let mut details = BTreeMap::new();
        details.extend(sha256.map(|sha256| ("config_sha256".to_owned(), sha256)));
        let kind = match taken {
            Ok(None) => {
                tracing::info!("the configuration says the same as before");
                return;
            }
            Ok(Some(taken)) => {
                let tables = taken.changes.tables();
                tracing::info!(changed = tables, "another configuration is active");
                details.insert("changed".to_owned(), event::bounded(&tables, DETAIL_BYTES_MAX));
                let Reloaded { added, removed, changed } = taken.servers;
                for (what, names) in [
                    ("servers_added", added),
                    ("servers_changed", changed),
                    ("servers_removed", removed),
                ] {
                    if !names.is_empty() {
                        let names = event::bounded(&names.join(" "), DETAIL_BYTES_MAX);
                        details.insert(what.to_owned(), names);
                    }
                }
                Kind::ConfigChanged
            }
            Err(error) => {
                tracing::error!("the changed configuration is not used: {error:#}");
                // Several mistakes stand on a line each, below what they have in common.
                let text = format!("{error:#}");
                let problems = text.lines().skip(1).count().max(1);
                let first = text.lines().nth(1).unwrap_or(&text).trim();
                let first = event::bounded(first, DETAIL_BYTES_MAX);
                details.insert("first_problem".to_owned(), first);
                details.insert("problems".to_owned(), problems.to_string());
                if let Some(NeedsRestart(keys)) = error.downcast_ref() {
                    let keys = event::bounded(keys, DETAIL_BYTES_MAX);
                    details.insert("needs_restart".to_owned(), keys);
                }
                Kind::ConfigRejected
            }
        };
        if let Err(error) = self.recorder.notice(kind, details).await {
            tracing::error!(%error, "a change of the configuration could not be put on record");
        }
    }
}

/// The operator's wish that the configuration be read again (SIGHUP).
#[derive(Debug)]
pub(crate) struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Begins to listen.
    pub(crate) fn new() -> anyhow::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { signal: signal(SignalKind::hangup()).context("cannot receive signals")? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Ends when it is wished.
    async fn next(&mut self) {
        #[cfg(unix)]
        self.signal.recv().await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }
}

/// Bytes of one detail of an event.
const DETAIL_BYTES_MAX: usize = 1_000;

/// Between two looks when nobody wants any.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);
