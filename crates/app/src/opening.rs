//! Opens the log that a configuration names: keys, bounds, the high-water mark.

use crate::config::LogConfig;
use anyhow::{Context as _, bail};
use audit::Clock;
use keys::Source;
use note::{Sign, Verifier};
use std::path::Path;
use std::sync::Arc;
use tlog::{HighWaterFile, Keys, Log, Recovered};

/// Opens the log for writing.
pub(crate) fn open(
    config: &LogConfig,
    clock: Clock,
    queue_entries: usize,
) -> anyhow::Result<(Log, Recovered)> {
    open_with(config, clock, (queue_entries, keys(config)?))
}

/// As [`open`], with these keys.
pub(crate) fn open_with(
    config: &LogConfig,
    clock: Clock,
    (queue_entries, keys): (usize, Vec<Arc<dyn Sign>>),
) -> anyhow::Result<(Log, Recovered)> {
    let directory = &config.directory;
    if !directory.exists() {
        bail!(
            "there is no log in `{}`: `countersign init` makes one; a log is never made silently",
            directory.display()
        );
    }
    let log = settings(config, clock, queue_entries);
    tracing::info!(directory = %directory.display(), "reading the log");
    Log::open(directory, Keys { log: keys }, log)
        .with_context(|| format!("cannot open the log in `{}`", directory.display()))
}

/// How a log is written.
pub(crate) fn settings(config: &LogConfig, clock: Clock, queue_entries: usize) -> tlog::Config {
    let mut log = tlog::Config::new(Arc::new(move || clock.now().unix_ms()));
    log.monotonic = Arc::new(move || clock.monotonic_us() / 1_000);
    log.segment_bytes = config.segment_bytes;
    log.free_bytes_min = config.free_bytes_min;
    log.queue_entries = queue_entries;
    log.sync_stall_max_ms = config.sync_stall_max_ms;
    log.clock_back_max_ms = config.clock_back_max_ms;
    log.high_water = config.high_water.as_ref().map(|path| Arc::new(HighWaterFile::new(path)) as _);
    log
}

/// The keys that sign the log, the first one first.
pub(crate) fn keys(config: &LogConfig) -> anyhow::Result<Vec<Arc<dyn Sign>>> {
    let sources = std::iter::once(&config.key).chain(&config.also_keys);
    sources.map(|source| key(source, &config.directory)).collect()
}

/// One key. A key in a token takes the name of the log.
pub(crate) fn key(source: &Source, log: &Path) -> anyhow::Result<Arc<dyn Sign>> {
    let origin = match source {
        Source::File(_) => None,
        Source::Token(_) => Some(genesis(log)?.name().to_owned()),
    };
    Ok(keys::load(source, origin.as_deref())?)
}

/// The first key of the log in a directory.
pub(crate) fn genesis(log: &Path) -> anyhow::Result<Verifier> {
    let path = log.join("origin.vkey");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read `{}`: is there a log?", path.display()))?;
    Verifier::from_text(&text).with_context(|| format!("`{}`", path.display()))
}
