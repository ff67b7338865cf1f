//! `countersign log prune|hold|release`: which entries are kept, for how long, and what keeps them
//! longer. Entries go from the oldest on, in whole bundles; hash tiles and proofs stay.

use crate::cadence::Cadence;
use crate::cli::{Hold, Prune, Release};
use crate::config::{Config, RetentionConfig};
use crate::operator::{self, Run};
use crate::{opening, output};
use anyhow::{Context as _, bail};
use audit::{Follower, Recorder};
use event::{Event, Kind, Time};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tlog::Log;
use tokio_util::sync::CancellationToken;

/// What was found of a log: how far it may be pruned, and which holds stand.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The index of the first entry that is still to be kept by the rules.
    pub(crate) expired_before: u64,
    /// The holds that were placed and not lifted: by name, the first index they keep.
    pub(crate) holds: BTreeMap<String, u64>,
}

impl Survey {
    /// Reads the log from its first kept entry on.
    pub(crate) fn read(log: &Path, rules: &RetentionConfig, now: Time) -> anyhow::Result<Self> {
        let minimum = tlog::Reader::open(log)?.minimum()?;
        let mut survey = Self { expired_before: minimum, holds: BTreeMap::new() };
        let mut follower = Follower::open(log, minimum)?;
        let mut expired = true;
        while let Some(row) = follower.next_row()? {
            expired &= has_expired(&row.event, rules, now);
            if expired {
                survey.expired_before = row.index + 1;
            }
            survey.note_hold(&row.event);
        }
        Ok(survey)
    }

    /// The minimum index that the rules and the holds allow, in whole bundles below what is published.
    pub(crate) fn minimum(&self, published: u64) -> u64 {
        let held = self.holds.values().copied().min().unwrap_or(u64::MAX);
        let limit = self.expired_before.min(held).min(published);
        limit - limit % u64::from(note::TILE_WIDTH)
    }

    fn note_hold(&mut self, event: &Event) {
        let Some(name) = event.details.get("hold") else { return };
        match event.kind {
            Kind::HoldPlaced => {
                let from = event.details.get("from").and_then(|from| from.parse().ok());
                self.holds.insert(name.clone(), from.unwrap_or_default());
            }
            Kind::HoldLifted => {
                self.holds.remove(name);
            }
            _ => {}
        }
    }
}

/// Whether the class of an event is kept no longer.
fn has_expired(event: &Event, rules: &RetentionConfig, now: Time) -> bool {
    let keep = match event.kind {
        Kind::CallAsked | Kind::CallAnswered | Kind::CallInDoubt => rules.calls,
        Kind::CallRefused => rules.refusals,
        _ => rules.gateway,
    };
    let age_us = now.unix_us().saturating_sub(event.environment.time.unix_us());
    let age = Duration::from_micros(u64::try_from(age_us).unwrap_or_default());
    keep.is_some_and(|keep| keep < age)
}

/// Prunes an open log as far as its rules allow. `None` when there is nothing to prune.
pub(crate) async fn prune(
    log: &Log,
    recorder: &Recorder,
    (directory, rules): (&Path, &RetentionConfig),
) -> anyhow::Result<Option<u64>> {
    let now = recorder.clock().now();
    let (directory, rules) = (directory.to_owned(), rules.clone());
    let survey =
        tokio::task::spawn_blocking(move || Survey::read(&directory, &rules, now)).await??;
    let (from, published) = (log.minimum(), log.checkpoint().size);
    let minimum = survey.minimum(published);
    if minimum <= from {
        return Ok(None);
    }
    // On record before anything is gone.
    let details = BTreeMap::from([
        ("from".to_owned(), from.to_string()),
        ("minimum_index".to_owned(), minimum.to_string()),
    ]);
    recorder.notice(Kind::LogPruned, details).await?;
    let pruned = log.clone();
    tokio::task::spawn_blocking(move || pruned.prune(minimum)).await??;
    Ok(Some(minimum))
}

/// Prunes a log that is served, now and then.
pub(crate) async fn keep_pruned(
    (log, recorder): (Log, Recorder),
    (directory, rules): (PathBuf, RetentionConfig),
    stop: CancellationToken,
) {
    let mut cadence = Cadence::new(PRUNE_INTERVAL, stop);
    while cadence.next().await {
        match prune(&log, &recorder, (&directory, &rules)).await {
            Ok(Some(minimum)) => tracing::info!(minimum, "older entries were pruned"),
            Ok(None) => {}
            Err(error) => tracing::error!("the log could not be pruned: {error:#}"),
        }
    }
}

/// `countersign log prune`.
pub(crate) fn run_prune(arguments: &Prune) -> anyhow::Result<ExitCode> {
    let config = Config::load(&arguments.config)?;
    let rules = config.log.retention.clone();
    let rules =
        rules.context("the configuration has no table `[log.retention]`: nothing may be pruned")?;
    if arguments.dry_run {
        let reader = tlog::Reader::open(&config.log.directory)?;
        let now = audit::Clock::start().now();
        let survey = Survey::read(&config.log.directory, &rules, now)?;
        let (from, to) = (reader.minimum()?, survey.minimum(reader.checkpoint()?.size));
        output::line(format_args!("would remove the entries from {from} up to {to}"))?;
        for (name, from) in survey.holds {
            output::line(format_args!("hold `{name}` keeps the entries from {from} on"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let pruned = operator::block_on(async {
        let keys = opening::keys(&config.log)?;
        let run = Run::begin(&config.log, (&config.gateway_name, "log prune"), keys).await?;
        run.publish().await?;
        let pruned = prune(&run.log, &run.recorder, (&config.log.directory, &rules)).await;
        run.end().await?;
        pruned
    })?;
    match pruned {
        Some(minimum) => {
            output::line(format_args!("entries below {minimum} are gone; proofs stay"))?;
        }
        None => output::line("nothing to prune")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `countersign log hold`.
pub(crate) fn run_hold(arguments: &Hold) -> anyhow::Result<ExitCode> {
    let details = BTreeMap::from([
        ("from".to_owned(), arguments.from.to_string()),
        ("hold".to_owned(), arguments.name.clone()),
        ("reason".to_owned(), event::bounded(&arguments.reason, 1_000)),
    ]);
    let config = Config::load(&arguments.config)?;
    on_record(&config, ("log hold", Kind::HoldPlaced), details, |holds| {
        if holds.contains_key(&arguments.name) {
            bail!("there is a hold `{}` already: take another name", arguments.name);
        }
        Ok(())
    })?;
    output::line(format_args!(
        "hold `{}` keeps the entries from {} on",
        arguments.name, arguments.from
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// `countersign log release`.
pub(crate) fn run_release(arguments: &Release) -> anyhow::Result<ExitCode> {
    let details = BTreeMap::from([
        ("hold".to_owned(), arguments.name.clone()),
        ("reason".to_owned(), event::bounded(&arguments.reason, 1_000)),
    ]);
    let config = Config::load(&arguments.config)?;
    on_record(&config, ("log release", Kind::HoldLifted), details, |holds| {
        if !holds.contains_key(&arguments.name) {
            bail!(
                "there is no hold `{}`: `countersign log prune --dry-run` lists them",
                arguments.name
            );
        }
        Ok(())
    })?;
    output::line(format_args!("hold `{}` is lifted", arguments.name))?;
    Ok(ExitCode::SUCCESS)
}

/// Records one notice in a run of its own, when `allowed` by the holds that stand.
fn on_record(
    config: &Config,
    (command, kind): (&str, Kind),
    details: BTreeMap<String, String>,
    allowed: impl FnOnce(&BTreeMap<String, u64>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let rules = config.log.retention.clone().unwrap_or_default();
    let now = audit::Clock::start().now();
    allowed(&Survey::read(&config.log.directory, &rules, now)?.holds)?;
    operator::block_on(async {
        let keys = opening::keys(&config.log)?;
        let run = Run::begin(&config.log, (&config.gateway_name, command), keys).await?;
        let noticed = run.recorder.notice(kind, details).await;
        run.end().await?;
        noticed?;
        Ok(())
    })
}

/// Between two looks at what has expired.
const PRUNE_INTERVAL: Duration = Duration::from_hours(6);
