//! What `serve`, `wrap` and `demo` have in common: the log, the policies, and the tasks beside the call
//! path. All long-lived tasks stand here; the table is in ARCHITECTURE.md.

use crate::config::{Config, LogConfig};
use anyhow::{Context as _, bail};
use audit::{Clock, Place, Recorder};
use event::Kind;
use policy::{Bundle, Engine, Problem, Reload};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tlog::{Log, Recovered, Signer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Entries that may wait to be written beside the two of each call in progress.
const QUEUE_MARGIN: usize = 1_024;

/// The parts that run beside the call path.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) recorder: Recorder,
    pub(crate) policy: Arc<Engine>,
    log: Log,
    /// Set when the whole program shall stop.
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
    tasks_stop: CancellationToken,
}

impl Running {
    /// Opens log and policies, records what the last run left open, and starts the tasks.
    pub(crate) async fn start(config: &Config) -> anyhow::Result<Self> {
        let bundle = load_policies(&config.policy_directory)?;
        let clock = Clock::start();
        let queue_entries = config.limits.calls_max * 2 + QUEUE_MARGIN;
        let (log, recovered) = open_log(&config.log, clock, queue_entries)?;
        let place = Place { gateway: config.gateway_name.clone(), region: config.region.clone() };
        let recorder = Recorder::new(log.clone(), place, clock);
        let running = Self {
            recorder,
            policy: Arc::new(Engine::new(bundle)),
            log,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            tasks_stop: CancellationToken::new(),
        };
        running.record_start(config, &recovered).await?;
        running.tasks.spawn(publish(
            running.log.clone(),
            config.log.publish_interval,
            running.tasks_stop.clone(),
            running.stop.clone(),
        ));
        if let Some(interval) = config.policy_reload {
            running.tasks.spawn(watch_policies(
                Arc::clone(&running.policy),
                running.recorder.clone(),
                (config.policy_directory.clone(), interval),
                running.tasks_stop.clone(),
            ));
        }
        running.tasks.close();
        Ok(running)
    }

    async fn record_start(&self, config: &Config, recovered: &Recovered) -> anyhow::Result<()> {
        let in_doubt = self.recorder.recover(recovered).await?;
        if in_doubt > 0 {
            tracing::warn!(in_doubt, "the last run did not end in order: calls are in doubt");
        }
        let mut details = self.policy_details();
        details.insert("server".to_owned(), config.server_name.clone());
        details.insert("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        self.recorder.notice(Kind::GatewayStarted, details).await?;
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
        let recorded = self.recorder.notice(Kind::GatewayStopped, BTreeMap::new()).await;
        let log = self.log;
        let closed = tokio::task::spawn_blocking(move || log.close()).await?;
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

fn open_log(
    config: &LogConfig,
    clock: Clock,
    queue_entries: usize,
) -> anyhow::Result<(Log, Recovered)> {
    let directory = &config.directory;
    if !directory.exists() {
        bail!(
            "there is no log in `{}`: `countersign init` makes one; a log is never made silently",
            directory.display()
        );
    }
    let key = read_key(&config.key)?;
    let mut log = tlog::Config::new(Arc::new(move || clock.now().unix_ms()));
    log.segment_bytes = config.segment_bytes;
    log.free_bytes_min = config.free_bytes_min;
    log.queue_entries = queue_entries;
    tracing::info!(directory = %directory.display(), "reading the log");
    Log::open(directory, key, log)
        .with_context(|| format!("cannot open the log in `{}`", directory.display()))
}

fn read_key(path: &Path) -> anyhow::Result<Signer> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the log's private key `{}`", path.display()))?;
    Signer::from_text(text.trim_end())
        .with_context(|| format!("`{}` is not a private key of a log", path.display()))
}

/// Publishes checkpoints on a cadence and looks after the log while nothing is written. A log that
/// stopped stops the program: nothing could be recorded any more.
async fn publish(
    log: Log,
    interval: Duration,
    stop: CancellationToken,
    program: CancellationToken,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let publisher = log.clone();
        let published = tokio::task::spawn_blocking(move || {
            publisher.health().and_then(|()| publisher.publish())
        });
        match published.await {
            Ok(Ok(Some(checkpoint))) => {
                tracing::debug!(size = checkpoint.size, "checkpoint published");
            }
            Ok(Ok(None)) => {}
            Ok(Err(error @ tlog::Error::Poisoned { .. })) => {
                tracing::error!(%error, "the audit log has stopped; no more calls are served");
                program.cancel();
                return;
            }
            Ok(Err(error)) => tracing::error!(%error, "no checkpoint could be published"),
            Err(error) => {
                tracing::error!(%error, "the checkpoint publisher failed");
                program.cancel();
                return;
            }
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
    let mut ticks = tokio::time::interval(interval);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
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
