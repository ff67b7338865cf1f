//! How long a writer waits until its entry is durable, and how many entries a second that makes,
//! beside a bare append-and-sync loop and SQLite, in rounds that take turns, on one file system.
//!
//! ```text
//! cargo bench -p tlog --bench acknowledge                      everything, four to six minutes
//! cargo bench -p tlog --bench acknowledge -- --writers 64 --rounds 9 --round-ms 500
//! ```
//!
//! A closed loop: each writer is a task that submits one entry, waits until it is durable, and submits
//! the next. It judges two targets and fails on none: the figures go to `docs/performance.md`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod floor;
mod group;
mod load;
mod machine;
mod ours;
mod report;
mod sqlite;

use load::{Load, Round};
use report::Row;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// What a step of the benchmark may fail with.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Anything else that builds all targets starts this one without the word.
    if arguments.iter().any(|word| word == "--bench") {
        return measure(&Settings::of(&arguments)?);
    }
    println!("not measured: run it with `cargo bench -p tlog --bench acknowledge`");
    Ok(())
}

struct Settings {
    rounds: usize,
    round: Duration,
    writers: Vec<usize>,
}

impl Settings {
    fn of(arguments: &[String]) -> Outcome<Self> {
        let number = |name: &str| {
            let word = arguments.iter().skip_while(|word| *word != name).nth(1);
            word.map(|word| word.parse().map_err(|error| format!("{name} `{word}`: {error}")))
        };
        let writers = number("--writers").transpose()?.map_or(WRITERS.to_vec(), |one| vec![one]);
        let round_ms = number("--round-ms").transpose()?.unwrap_or(1_000);
        Ok(Self {
            rounds: number("--rounds").transpose()?.unwrap_or(5),
            round: Duration::from_millis(u64::try_from(round_ms)?),
            writers,
        })
    }
}

/// One thing that makes entries durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The log, while it neither publishes nor changes segments.
    Log,
    /// The log with the settings it ships with, publishing every second.
    Shipped,
    /// Append and sync, with the same batching and nothing else.
    Floor,
    /// SQLite, one transaction for each batch.
    Sqlite,
}

impl Target {
    const ALL: [Self; 4] = [Self::Log, Self::Shipped, Self::Floor, Self::Sqlite];

    /// What the tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Shipped => "log, 64 MiB segments, publishing",
            Self::Floor => "append + fdatasync (floor)",
            Self::Sqlite => "SQLite, WAL, FULL",
        }
    }

    fn round(self, dir: &Path, load: &Load) -> Outcome<Round> {
        match self {
            Self::Log => ours::round(dir, load),
            Self::Shipped => ours::shipped_round(dir, load),
            Self::Floor => floor::round(dir, load),
            Self::Sqlite => sqlite::round(dir, load),
        }
    }
}

fn measure(settings: &Settings) -> Outcome<()> {
    let scratch = tempfile::tempdir_in(SCRATCH)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    print!("{}", machine::describe(scratch.path())?);
    println!(
        "- settings: {} rounds of {} ms (and {} ms before that count for nothing) per cell, in turns, each on new files; \
         medians over rounds; entries of {ENTRY_BYTES} bytes; writers are tasks on {} threads",
        settings.rounds,
        settings.round.as_millis(),
        WARM_UP.as_millis(),
        runtime.metrics().num_workers(),
    );
    let mut rows = Vec::new();
    for writers in settings.writers.iter().copied() {
        let load = Load { writers, time: settings.round, runtime: runtime.handle().clone() };
        let mut cells = Target::ALL.map(|target| (target, Vec::new()));
        for turn in 0..settings.rounds {
            // Each goes first, and each after each other, about as often.
            cells.rotate_left(turn % Target::ALL.len());
            for (target, rounds) in &mut cells {
                let dir = scratch.path().join("round");
                std::fs::create_dir(&dir)?;
                // What the round before left to be written is not this one's.
                rustix::fs::sync();
                let round = target.round(&dir, &load);
                std::fs::remove_dir_all(&dir)?;
                rounds.push(round.map_err(|error| format!("{}: {error}", target.name()))?);
            }
            cells.sort_by_key(|(target, _)| Target::ALL.iter().position(|one| one == target));
        }
        rows.extend(cells.into_iter().map(|(target, rounds)| Row { target, writers, rounds }));
    }
    println!("- load average after: {}\n", machine::load_average()?);
    print!("{}", report::tables(&rows));
    Ok(())
}

/// Writers in a closed loop.
const WRITERS: [usize; 4] = [1, 16, 64, 256];
/// The length of an entry.
pub(crate) const ENTRY_BYTES: usize = 1_024;
/// Threads, caches and the first pages of the file; nothing of it counts.
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);
/// Where the files are: beside the build, so on a real disk.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
