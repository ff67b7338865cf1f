//! The log itself, alone and with what happens beside it in a running gateway.

use crate::Outcome;
use crate::load::{Append, Load, Round};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tlog::{Config, Log, Signer};

/// The log with room for the whole round, so that nothing but commits happens.
pub(crate) fn round(dir: &Path, load: &Load) -> Outcome<Round> {
    let mut config = config();
    config.segment_bytes = load.file_bytes();
    let log = create(dir, config)?;
    load.run(&Arc::new(Open(log)))
}

/// The log as it ships: it changes segments, and publishes every second.
pub(crate) fn shipped_round(dir: &Path, load: &Load) -> Outcome<Round> {
    let log = create(dir, config())?;
    let (stop, stopped) = sync_channel::<()>(0);
    let publishing = log.clone();
    let publisher = thread::Builder::new().name("tlog-publish".to_owned()).spawn(move || {
        while stopped.recv_timeout(PUBLISH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            publishing.publish()?;
        }
        Ok::<_, tlog::Error>(())
    })?;
    let round = load.run(&Arc::new(Open(log)));
    drop(stop);
    publisher.join().map_err(|_| "the publisher failed unexpectedly")??;
    round
}

struct Open(Log);

impl Append for Open {
    async fn append(&self, entry: Vec<u8>) -> Outcome<bool> {
        let committed = self.0.submit(entry)?.await?;
        Ok(committed.index == committed.batch.first)
    }

    fn appended(&self) -> Outcome<u64> {
        Ok(self.0.tip().size)
    }
}

fn create(dir: &Path, config: Config) -> Outcome<Log> {
    let (signer, _) = Signer::generate("example.com/bench")?;
    Ok(Log::create(&dir.join("log"), signer, config)?)
}

/// The defaults, with a clock that is read as any clock is, but begins at 0.
fn config() -> Config {
    let started = Instant::now();
    Config::new(Arc::new(move || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)))
}

const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);
