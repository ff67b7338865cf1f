//! What an operator does to a log while no gateway writes it: a run of its own on record, like that of a
//! gateway.

use crate::config::LogConfig;
use crate::opening;
use anyhow::Context as _;
use audit::{Clock, Place, Recorder};
use note::Sign;
use std::collections::BTreeMap;
use std::sync::Arc;
use tlog::{Log, Recovered};
use tokio::runtime::Runtime;

/// An open log and the run that is recorded in it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) log: Log,
    pub(crate) recorder: Recorder,
}

impl Run {
    /// Opens the log and begins a run; `command` is what the operator asked for.
    pub(crate) async fn begin(
        config: &LogConfig,
        (gateway, command): (&str, &str),
        keys: Vec<Arc<dyn Sign>>,
    ) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let opened = opening::open_with(config, clock, (QUEUE_ENTRIES, keys))?;
        Self::begin_in(opened, (gateway, command), clock).await
    }

    /// Begins a run in a log that was just opened or made.
    pub(crate) async fn begin_in(
        (log, recovered): (Log, Recovered),
        (gateway, command): (&str, &str),
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let place = Place { gateway: gateway.to_owned(), region: None };
        let recorder = Recorder::new(log.clone(), place, clock);
        let details = BTreeMap::from([
            ("command".to_owned(), command.to_owned()),
            ("epoch_key".to_owned(), epoch_key(&log)),
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        recorder.begin(details).await?;
        recorder.recover(&recovered).await?;
        Ok(Self { log, recorder })
    }

    /// Publishes what is on record so far.
    pub(crate) async fn publish(&self) -> anyhow::Result<()> {
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || log.publish()).await??;
        Ok(())
    }

    /// Ends the run, publishes and lets go of the log.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.recorder.end().await.context("the end of this run is not on record")?;
        let log = self.log;
        let closed = tokio::task::spawn_blocking(move || log.close()).await?;
        closed.context("the log did not close in order")
    }
}

/// The verifier key line of the key that signs batches now.
pub(crate) fn epoch_key(log: &Log) -> String {
    log.epoch().lines().nth(1).unwrap_or_default().to_owned()
}

/// Runs an operator's command.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime()?.block_on(work)
}

/// A runtime for a command.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Entries that may wait to be written: an operator writes few.
const QUEUE_ENTRIES: usize = 1_024;
