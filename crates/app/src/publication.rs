//! Publishes checkpoints on a cadence, has them cosigned by witnesses, and looks after the log while
//! nothing is written.

use crate::cadence::Cadence;
use crate::config::WitnessConfig;
use anyhow::{Context as _, bail};
use audit::Recorder;
use note::{Hash, Policy};
use std::time::{Duration, Instant};
use tlog::{Candidate, Log};
use tokio_util::sync::CancellationToken;
use witness::{Client, Settings, State, Watch};

/// The witnesses of a log, and how it stands with them.
#[derive(Debug)]
pub(crate) struct Witnesses {
    client: Client,
    watch: Watch,
    /// Whether a quorum is missed, so that it is said once and not every second.
    missed: bool,
}

impl Witnesses {
    /// Reads the policy file.
    pub(crate) fn new(config: &WitnessConfig) -> anyhow::Result<Self> {
        let path = config.policy.display();
        let bytes = std::fs::read(&config.policy)
            .with_context(|| format!("cannot read the witness policy `{path}`"))?;
        let policy = Policy::parse(&bytes).with_context(|| format!("witness policy `{path}`"))?;
        if policy.needs_witnesses() && policy.witnesses().iter().all(|w| w.url.is_none()) {
            bail!("witness policy `{path}`: no witness has an address to ask: add their URLs");
        }
        let settings = Settings { timeout: config.timeout, ..Settings::default() };
        let client =
            Client::new(policy, settings).with_context(|| format!("witness policy `{path}`"))?;
        Ok(Self { client, watch: Watch::new(config.without_quorum), missed: false })
    }

    /// Asks what the witnesses last saw of the log. A log that has less was rolled back.
    pub(crate) async fn check_start(&self, log: &Log) -> anyhow::Result<()> {
        let note = String::from_utf8(log.reader().checkpoint_note()?)?;
        let size = log.tip().size;
        for known in self.client.ask_sizes(&note).await? {
            let name = &known.witness;
            match known.size {
                Ok(seen) if size < seen => bail!(
                    "the witness `{name}` has seen {seen} entries of this log, which has only {size}: it \
                     was rolled back. Restore the newest copy; if there is none, begin a new log that \
                     says so: `countersign log continue` (docs/operations.md, \"A log that went back\")"
                ),
                Ok(_) => {}
                Err(reason) => {
                    tracing::warn!(witness = name, %reason, "a witness could not be asked");
                }
            }
        }
        Ok(())
    }
}

/// Publishes one log.
#[derive(Debug)]
pub(crate) struct Publication {
    log: Log,
    recorder: Recorder,
    witnesses: Option<Witnesses>,
}

impl Publication {
    pub(crate) fn new(log: Log, recorder: Recorder, witnesses: Option<Witnesses>) -> Self {
        Self { log, recorder, witnesses }
    }

    /// Publishes every interval until `stop`; what came after is for the caller. A log that stopped stops the program:
    /// nothing could be recorded any more.
    pub(crate) async fn run(
        mut self,
        interval: Duration,
        stop: CancellationToken,
        program: CancellationToken,
    ) -> Self {
        let mut cadence = Cadence::new(interval, stop);
        while cadence.next().await {
            if let Err(error) = self.round().await {
                let poisoned = error.downcast_ref::<tlog::Error>();
                if matches!(poisoned, Some(tlog::Error::Poisoned { .. })) {
                    tracing::error!(
                        "{error:#}; the audit log has stopped, no more calls are served"
                    );
                    program.cancel();
                    return self;
                }
                tracing::error!("no checkpoint could be published: {error:#}");
            }
        }
        self
    }

    /// Looks after the log and publishes what is new.
    pub(crate) async fn round(&mut self) -> anyhow::Result<()> {
        let log = self.log.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            log.health().or_else(|error| if is_temporary(&error) { Ok(()) } else { Err(error) })?;
            log.prepare()
        });
        let Some(candidate) = prepared.await.context("the publisher failed")?? else {
            self.observe(None);
            return Ok(());
        };
        let Some(note) = self.cosigned(&candidate).await? else { return Ok(()) };
        let log = self.log.clone();
        let published =
            tokio::task::spawn_blocking(move || log.publish_note(&candidate, note.as_bytes()));
        let checkpoint = published.await.context("the publisher failed")??;
        tracing::debug!(size = checkpoint.size, "checkpoint published");
        Ok(())
    }

    /// The checkpoint with the lines of the witnesses; `None` when it must wait for more of them.
    async fn cosigned(&mut self, candidate: &Candidate) -> anyhow::Result<Option<String>> {
        let Some(witnesses) = &self.witnesses else { return Ok(Some(candidate.note.clone())) };
        let (log, size) = (self.log.clone(), candidate.checkpoint.size);
        let prove = move |old: u64| {
            let log = log.clone();
            async move {
                let proven = tokio::task::spawn_blocking(move || {
                    let proof: Result<Vec<Hash>, tlog::Error> =
                        log.reader().consistency_proof(old, size);
                    proof.map_err(|error| error.to_string())
                });
                proven.await.unwrap_or_else(|error| Err(error.to_string()))
            }
        };
        let cosigned = witnesses.client.cosign(&candidate.note, prove).await?;
        for failure in &cosigned.failures {
            let (witness, reason) = (&failure.witness, &failure.reason);
            tracing::warn!(witness, %reason, "a witness did not cosign");
        }
        self.observe(Some(cosigned.quorum));
        let publish = self.witnesses.as_ref().is_none_or(|w| w.watch.may_publish(cosigned.quorum));
        Ok(publish.then_some(cosigned.note))
    }

    /// Notes whether there is a quorum, and lets calls wait or go on.
    fn observe(&mut self, quorum: Option<bool>) {
        let Some(witnesses) = &mut self.witnesses else { return };
        let now = Instant::now();
        let state = match quorum {
            Some(quorum) => witnesses.watch.observe(now, quorum),
            None => witnesses.watch.state(now),
        };
        match state {
            State::Fine => {
                if std::mem::take(&mut witnesses.missed) {
                    tracing::info!("enough witnesses cosign again");
                }
                self.recorder.resume();
            }
            State::Degraded { .. } => {
                if !std::mem::replace(&mut witnesses.missed, true) {
                    tracing::error!("too few witnesses cosigned the last checkpoint");
                }
            }
            State::Closed { since } => {
                let seconds = now.saturating_duration_since(since).as_secs();
                tracing::error!("no quorum of witnesses for {seconds} s: calls are refused");
                self.recorder.suspend("too few witnesses have cosigned the log for too long");
            }
        }
    }
}

/// What passes without anybody opening the log again: calls are refused meanwhile.
fn is_temporary(error: &tlog::Error) -> bool {
    matches!(error, tlog::Error::DiskFull { .. } | tlog::Error::ClockWentBack { .. })
}
