//! What `serve`, `wrap` and `demo` have in common: the log, the policies, and the tasks beside the call
//! path. All long-lived tasks stand here; the table is in ARCHITECTURE.md.

use crate::cadence::Cadence;
use crate::certificates::{Certificates, InUse};
use crate::config::{Config, InventoryConfig};
use crate::log_pages::LogPages;
use crate::publication::{Publication, Witnesses};
use crate::{digest, environment, opening, operator, outside, retention};
use anyhow::Context as _;
use audit::{Clock, Place, Recorder};
use event::Kind;
use gateway::Definitions;
use inventory::Store;
use policy::{Bundle, Engine, Problem, Reload};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tlog::{Log, Recovered};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Entries that may wait to be written beside the two of each call in progress.
const QUEUE_MARGIN: usize = 1_024;

/// How often approvals are looked for.
const APPROVALS_INTERVAL: Duration = Duration::from_secs(2);

/// The parts that run beside the call path.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) recorder: Recorder,
    pub(crate) policy: Arc<Engine>,
    pub(crate) definitions: Arc<Definitions>,
    log: Log,
    /// Set when the whole program shall stop.
    pub(crate) stop: CancellationToken,
    /// The published log over HTTP, when it is served.
    pages: Option<Arc<LogPages>>,
    /// Publishes; comes back for the last checkpoint.
    publishing: Option<JoinHandle<Publication>>,
    certificates: InUse,
    tasks: TaskTracker,
    tasks_stop: CancellationToken,
}

/// Looks after certificates until the end, also those that come later.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    tasks: TaskTracker,
    stop: CancellationToken,
    in_use: InUse,
}

impl Keeper {
    pub(crate) fn keep(&self, certificates: Certificates) {
        certificates.show_in(&self.in_use);
        self.tasks.spawn(certificates.keep(self.stop.clone()));
    }
}

impl Running {
    /// Opens log and policies, records what the last run left open, and starts the tasks.
    /// `command` is what the program was told to do.
    pub(crate) async fn start(config: &Config, command: &str) -> anyhow::Result<Self> {
        let program = tokio::task::spawn_blocking(program_sha256);
        let bundle = load_policies(&config.policy_directory)?;
        let clock = Clock::start();
        let queue_entries = config.limits.calls_max * 2 + QUEUE_MARGIN;
        let (log, recovered) = opening::open(&config.log, clock, queue_entries)?;
        // Only whoever writes the log writes the inventory beside it.
        let definitions = definitions(&config.inventory)?;
        let witnesses = config.log.witness.as_ref().map(Witnesses::new).transpose()?;
        if let Some(witnesses) = &witnesses {
            witnesses.check_start(&log).await?;
        }
        let place = Place { gateway: config.gateway_name.clone(), region: config.region.clone() };
        let recorder = Recorder::new(log.clone(), place, clock);
        let mut running = Self {
            recorder,
            policy: Arc::new(Engine::new(bundle)),
            definitions: Arc::new(definitions),
            log,
            stop: CancellationToken::new(),
            pages: None,
            publishing: None,
            certificates: InUse::default(),
            tasks: TaskTracker::new(),
            tasks_stop: CancellationToken::new(),
        };
        let mut details = BTreeMap::from([("command".to_owned(), command.to_owned())]);
        details.extend(program.await?.map(|sha256| ("binary_sha256".to_owned(), sha256)));
        running.record_start(config, details, &recovered).await?;
        running.start_tasks(config, witnesses).await?;
        Ok(running)
    }

    /// Entries in the log.
    pub(crate) fn log_size(&self) -> u64 {
        self.log.tip().size
    }

    /// The pages of the log, to be served beside the MCP endpoint.
    pub(crate) fn pages(&self) -> Option<Arc<LogPages>> {
        self.pages.clone()
    }

    /// Who looks after certificates until the end.
    pub(crate) fn keeper(&self) -> Keeper {
        let in_use = self.certificates.clone();
        Keeper { tasks: self.tasks.clone(), stop: self.tasks_stop.clone(), in_use }
    }

    /// When the certificates in use expire.
    pub(crate) fn certificates(&self) -> InUse {
        self.certificates.clone()
    }

    /// The log, for those who look at its state.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Starts one more task beside the call path; it ends after the gateway has stopped serving.
    pub(crate) fn spawn<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.tasks_stop.clone()));
    }

    /// Starts the tasks beside the call path.
    async fn start_tasks(
        &mut self,
        config: &Config,
        witnesses: Option<Witnesses>,
    ) -> anyhow::Result<()> {
        let (log, recorder) = (&self.log, &self.recorder);
        let stop = || self.tasks_stop.clone();
        self.tasks.spawn(heartbeat(recorder.clone(), config.log.heartbeat_interval, stop()));
        let publication = Publication::new(log.clone(), recorder.clone(), witnesses);
        let publishing = publication.run(config.log.publish_interval, stop(), self.stop.clone());
        self.publishing = Some(tokio::spawn(publishing));
        if let Some(interval) = config.policy_reload {
            self.tasks.spawn(watch_policies(
                Arc::clone(&self.policy),
                recorder.clone(),
                (config.policy_directory.clone(), interval),
                stop(),
            ));
        }
        self.tasks.spawn(take_up_approvals(
            Arc::clone(&self.definitions),
            recorder.clone(),
            stop(),
        ));
        if let Some(tsa) = &config.log.tsa {
            let stamper = outside::stamper(tsa, &config.log.directory, log, recorder)?;
            self.tasks.spawn(outside::stamp(stamper, tsa.interval, stop()));
        }
        if let Some(s3) = &config.log.s3 {
            let anchor = outside::anchor(s3, &config.log, recorder).await?;
            self.tasks.spawn(outside::copy(anchor, s3.interval, stop()));
        }
        if let Some(http) = &config.log.http {
            let key = opening::keys(&config.log)?.into_iter().next();
            let readers = http.readers.clone();
            let pages = LogPages::new(&config.log.directory, readers, key, recorder);
            self.tasks.spawn(Arc::clone(&pages).record_reads(stop()));
            self.pages = Some(pages);
        }
        if let Some(rules) = config.log.retention.as_ref().filter(|rules| rules.prune) {
            let parts = (config.log.directory.clone(), rules.clone());
            self.tasks.spawn(retention::keep_pruned(
                (log.clone(), recorder.clone()),
                parts,
                stop(),
            ));
        }
        self.tasks.close();
        Ok(())
    }

    /// Begins the run on record, and ends what the run before it left open.
    async fn record_start(
        &self,
        config: &Config,
        mut details: BTreeMap<String, String>,
        recovered: &Recovered,
    ) -> anyhow::Result<()> {
        details.extend(self.policy_details());
        details.extend(config.sha256.clone().map(|sha256| ("config_sha256".to_owned(), sha256)));
        let heartbeat_s = config.log.heartbeat_interval.as_secs();
        details.insert("epoch_key".to_owned(), operator::epoch_key(&self.log));
        details.insert("heartbeat_s".to_owned(), heartbeat_s.to_string());
        details.insert("server".to_owned(), config.server_names());
        details.insert("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        self.recorder.begin(details).await?;
        let in_doubt = self.recorder.recover(recovered).await?;
        if in_doubt > 0 {
            tracing::warn!(in_doubt, "the last run left calls without an end: they are in doubt");
        }
        Ok(())
    }

    fn policy_details(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("policy_set".to_owned(), self.policy.active().digest().to_owned()),
            ("policy_schema".to_owned(), self.policy.schema().to_owned()),
        ])
    }

    /// Ends in order: the tasks, the last record, the last checkpoint. Everything that records must have
    /// ended before.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.tasks_stop.cancel();
        self.tasks.wait().await;
        let recorded = self.recorder.end().await;
        if let Some(publishing) = self.publishing {
            // The last checkpoint is for the witnesses too: without a quorum it may have to wait.
            if let Err(error) = publishing.await?.round().await {
                tracing::error!("the last checkpoint could not be published: {error:#}");
            }
        }
        let log = self.log;
        let closed = tokio::task::spawn_blocking(move || log.close_unpublished()).await?;
        recorded.context("the end of this run is not on record")?;
        closed.context("the log did not close in order")
    }
}

/// Policies that can be used, or everything that is wrong with them.
fn load_policies(directory: &Path) -> anyhow::Result<Bundle> {
    Bundle::load(directory).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(|p| format!("\n  {p}")).collect();
        anyhow::anyhow!(
            "policies in `{}` cannot be used:{}",
            directory.display(),
            problems.concat()
        )
    })
}

/// What is known of what servers declare.
fn definitions(config: &InventoryConfig) -> anyhow::Result<Definitions> {
    let store = Store::new(config.directory.clone());
    if let Some(seed) = &config.seed {
        store.take_over(&Store::new(seed.clone())).context("what servers declared is not known")?;
    }
    Definitions::open(store, config.settings, config.hide_forbidden)
        .context("what servers declare cannot be kept")
}

/// SHA-256 of the program's own file; it is of use to an auditor, and nothing rests on it.
fn program_sha256() -> Option<String> {
    let read = environment::own_program_file().and_then(digest::of_all);
    read.inspect_err(|error| tracing::warn!(%error, "the program's own file cannot be read")).ok()
}

/// Says on record that the gateway is there, and how much it has recorded.
async fn heartbeat(recorder: Recorder, interval: Duration, stop: CancellationToken) {
    let mut cadence = Cadence::later(interval, stop);
    while cadence.next().await {
        if let Err(error) = recorder.heartbeat().await {
            tracing::error!(%error, "a heartbeat could not be put on record");
        }
    }
}

/// Takes up what `countersign tools approve` approves.
async fn take_up_approvals(
    definitions: Arc<Definitions>,
    recorder: Recorder,
    stop: CancellationToken,
) {
    let mut cadence = Cadence::new(APPROVALS_INTERVAL, stop);
    while cadence.next().await {
        if let Err(error) = definitions.take_up(&recorder).await {
            tracing::error!(%error, "approvals could not be put on record: they wait");
        }
    }
}

/// Looks for changed policies, makes them active when they are good, and records either way.
async fn watch_policies(
    engine: Arc<Engine>,
    recorder: Recorder,
    (directory, interval): (PathBuf, Duration),
    stop: CancellationToken,
) {
    let mut seen = policy::fingerprint(&directory).ok();
    let mut cadence = Cadence::new(interval, stop);
    while cadence.next().await {
        let found = policy::fingerprint(&directory).ok();
        if found == seen {
            continue;
        }
        seen = found;
        let (engine, directory) = (Arc::clone(&engine), directory.clone());
        let reloaded = tokio::task::spawn_blocking(move || engine.reload(&directory)).await;
        let Ok(reloaded) = reloaded else {
            tracing::error!("policies could not be reloaded: the reload failed unexpectedly");
            continue;
        };
        record_reload(&recorder, reloaded).await;
    }
}

async fn record_reload(recorder: &Recorder, reloaded: Result<Reload, Vec<Problem>>) {
    let (kind, details) = match reloaded {
        Ok(Reload::Unchanged) => return,
        Ok(Reload::Changed(change)) => {
            tracing::info!(policy_set = %change.to, "other policies are active");
            let details = BTreeMap::from([
                ("added".to_owned(), change.added.join(" ")),
                ("changed".to_owned(), change.changed.join(" ")),
                ("from".to_owned(), change.from),
                ("policy_set".to_owned(), change.to),
                ("removed".to_owned(), change.removed.join(" ")),
            ]);
            (Kind::PolicyChanged, details)
        }
        Err(problems) => {
            for problem in &problems {
                tracing::error!("changed policies are not used: {problem}");
            }
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            let details = BTreeMap::from([
                ("first_problem".to_owned(), event::bounded(&first, 1_000)),
                ("problems".to_owned(), problems.len().to_string()),
            ]);
            (Kind::PolicyRejected, details)
        }
    };
    if let Err(error) = recorder.notice(kind, details).await {
        tracing::error!(%error, "a change of policies could not be put on record");
    }
}

/// How the operator or the system asks the program to stop. Heard from the moment this is made, so
/// that a program which says it is ready never dies of the question.
#[derive(Debug)]
pub(crate) struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Begins to listen.
    #[cfg(unix)]
    pub(crate) fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate()).context("cannot receive signals")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot receive signals")?;
        Ok(Self { terminate, interrupt })
    }

    /// Begins to listen.
    #[cfg(not(unix))]
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// Ends when the program is asked to stop.
    #[cfg(unix)]
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Ends when the program is asked to stop.
    #[cfg(not(unix))]
    pub(crate) async fn asked(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "signals cannot be received");
        }
    }
}
