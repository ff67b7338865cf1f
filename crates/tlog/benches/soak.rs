//! Lives logs at random, seed after seed, until the time is over or something
//! is wrong: `cargo bench -p tlog --features testing --bench soak -- --seconds
//! N`, and `--seed S` to begin with a certain one.
#![expect(clippy::print_stdout, reason = "what it found is for whoever started it")]

use std::process::ExitCode;
use std::time::{Duration, Instant};
use tlog::simulation::run;

fn main() -> ExitCode {
    let seconds = argument("--seconds").unwrap_or(10);
    let first = argument("--seed").unwrap_or(1_000_000);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut seed, mut entries, mut crashes) = (first, 0, 0);
    while Instant::now() < end {
        match run(seed, STEPS) {
            Ok(tally) => {
                entries += tally.entries;
                crashes += tally.crashes;
            }
            Err(what) => {
                println!("{what}");
                return ExitCode::FAILURE;
            }
        }
        seed += 1;
    }
    println!("{} seeds from {first}: {entries} entries, {crashes} crashes, no loss", seed - first);
    ExitCode::SUCCESS
}

/// The number after a flag.
fn argument(name: &str) -> Option<u64> {
    std::env::args().skip_while(|argument| argument != name).nth(1)?.parse().ok()
}

const STEPS: u32 = 120;
