//! How long it takes to open a log after a crash: `cargo bench -p tlog --bench
//! recover -- --entries N --unpublished M` makes a log of N entries of 1 KiB,
//! publishes it, appends M more, stops without closing it, and opens it.
#![expect(clippy::print_stdout, reason = "the figures are for whoever asked")]

use std::sync::Arc;
use std::time::Instant;
use tlog::{Config, Error, Log, Signer};

fn main() -> Result<(), Error> {
    let entries = argument("--entries").unwrap_or(100_000);
    let unpublished = argument("--unpublished").unwrap_or(5_000);
    let dir = tempfile::tempdir().map_err(|_| Error::Config("no temporary directory"))?;
    let path = dir.path().join("log");
    let (signer, secret) = Signer::generate("example.com/bench")?;
    let log = Log::create(&path, signer, config())?;
    for step in 0..entries.div_ceil(STEP) {
        append(&log, STEP.min(entries - step * STEP))?;
        log.publish()?;
    }
    append(&log, unpublished)?;
    // Dropped and not closed: nothing more is published.
    drop(log);
    for round in 0..ROUNDS {
        let begin = Instant::now();
        let (log, recovered) = open(&path, &secret)?;
        let took = begin.elapsed();
        let seconds = took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
        let per_million = seconds * 1e6 / recovered.entries as f64;
        println!(
            "round {round}: {} entries, {} of them after the checkpoint: opened in {:.1} ms \
             ({per_million:.3} s for each million entries)",
            recovered.entries,
            recovered.entries - log.checkpoint().size,
            seconds * 1e3,
        );
    }
    Ok(())
}

/// The writer before lets go of the log a moment after it was dropped.
fn open(path: &std::path::Path, secret: &str) -> Result<(Log, tlog::Recovered), Error> {
    loop {
        match Log::open(path, Signer::from_text(secret)?, config()) {
            Err(Error::Locked) => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

fn append(log: &Log, count: u64) -> Result<(), Error> {
    let pending: Result<Vec<_>, Error> = (0..count).map(|_| log.submit(vec![7; 1024])).collect();
    pending?.into_iter().try_for_each(|one| one.wait().map(drop))
}

fn config() -> Config {
    let mut config = Config::new(Arc::new(|| 0));
    config.queue_entries = 1 << 20;
    config.free_bytes_min = 0;
    config
}

/// The number after a flag.
fn argument(name: &str) -> Option<u64> {
    std::env::args().skip_while(|argument| argument != name).nth(1)?.parse().ok()
}

const ROUNDS: u32 = 3;
const STEP: u64 = 20_000;
