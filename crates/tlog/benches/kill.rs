//! Kills a writer at random moments under load, again and again, on one log: what was acknowledged is
//! there, and nothing is there that nobody submitted.
//!
//! `cargo bench -p tlog --bench kill -- --rounds 1000 --writers 64`. The seed of a run is printed;
//! `--seed N` repeats its moments, as far as a machine repeats anything.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "the figures are for whoever asked, who also has a clock"
)]

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tlog::{Config, Log, Signer};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [word, dir, key, writers] = arguments.as_slice()
        && word == "child"
    {
        return write_until_killed(Path::new(dir), key, writers.parse()?);
    }
    let number = |name: &str, default: u64| -> Outcome<u64> {
        let at = arguments.iter().position(|word| word == name);
        let value = at.and_then(|at| arguments.get(at + 1));
        Ok(value.map_or(Ok(default), |value| value.parse())?)
    };
    let seed = number("--seed", unix_ms())?;
    let (rounds, writers) = (number("--rounds", 1_000)?, number("--writers", 64)?);
    println!("seed {seed}, {rounds} kills, {writers} writers of {ENTRY_BYTES} bytes");
    let directory = tempfile::tempdir()?;
    let dir = directory.path().join("log");
    let (signer, key) = Signer::generate("example.com/kill")?;
    Log::create(&dir, signer, config())?.close()?;
    let mut random = seed;
    let mut found = Found::default();
    for round in 0..rounds {
        let after = next(&mut random) % ACKNOWLEDGED_MAX;
        let acknowledged = run_and_kill(&dir, &key, writers, after)?;
        found
            .check(&dir, &key, &acknowledged)
            .map_err(|error| format!("round {round}: {error}"))?;
    }
    found.recoveries.sort_unstable();
    let middle = found.recoveries.get(found.recoveries.len() / 2).copied().unwrap_or_default();
    let longest = found.recoveries.last().copied().unwrap_or_default();
    println!(
        "{} entries acknowledged, {} in the log, {} of them unacknowledged when killed; all there, none \
         invented",
        found.acknowledged,
        found.entries,
        found.entries - found.acknowledged
    );
    println!("opening took {middle:?} at the median, {longest:?} at most");
    Ok(())
}

/// What was found over all rounds.
#[derive(Default)]
struct Found {
    entries: u64,
    acknowledged: u64,
    recoveries: Vec<Duration>,
    /// The next number of each writer in this round.
    rounds: u64,
}

impl Found {
    /// Opens the log and holds the new entries against what was acknowledged.
    fn check(
        &mut self,
        dir: &Path,
        key: &str,
        acknowledged: &BTreeMap<u64, String>,
    ) -> Outcome<()> {
        let started = Instant::now();
        let (log, _) = Log::open(dir, Signer::from_text(key)?, config())?;
        self.recoveries.push(started.elapsed());
        let mut entries = log.reader().entries(self.entries)?;
        let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
        let mut seen = 0;
        while let Some((index, entry)) = entries.next_entry()? {
            let text = str::from_utf8(entry)?.trim_end().to_owned();
            let (writer, number) = text.split_once(' ').ok_or("an entry nobody wrote")?;
            let expected = numbers.entry(writer.to_owned()).or_default();
            if *expected != number.parse::<u64>()? {
                return Err(format!("writer {writer}: entry {number} instead of {expected}").into());
            }
            *expected += 1;
            if let Some(told) = acknowledged.get(&index) {
                if *told != text {
                    return Err(
                        format!("entry {index} is `{text}`, `{told}` was acknowledged").into()
                    );
                }
                seen += 1;
            }
            self.entries = index + 1;
        }
        let told = u64::try_from(acknowledged.len())?;
        if seen != told {
            return Err(
                format!("{told} entries were acknowledged, {seen} of them are there").into()
            );
        }
        self.acknowledged += told;
        self.rounds += 1;
        if self.rounds.is_multiple_of(PUBLISH_EVERY) {
            log.publish()?;
        }
        // Let go without publishing, so that most rounds recover from an older checkpoint.
        drop(log);
        wait_until_free(dir)
    }
}

/// The last handle tells the committer to end; nobody waits for it there.
fn wait_until_free(dir: &Path) -> Outcome<()> {
    let lock = std::fs::File::open(dir.join("lock"))?;
    lock.lock()?;
    Ok(())
}

/// Starts a writer, kills it once it said so many entries were acknowledged, and returns all that it
/// said until it was gone.
fn run_and_kill(dir: &Path, key: &str, writers: u64, after: u64) -> Outcome<BTreeMap<u64, String>> {
    let mut child = Command::new(env::current_exe()?)
        .args(["child", &dir.to_string_lossy(), key, &writers.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().ok_or("the child has no output")?;
    let mut lines = BufReader::new(out);
    let mut first = String::new();
    lines.read_line(&mut first)?;
    let mut acknowledged = BTreeMap::new();
    let mut lines = lines.lines().map_while(Result::ok);
    let mut read = |count: u64| {
        for line in lines.by_ref().take(usize::try_from(count).unwrap_or(usize::MAX)) {
            if let Some((index, text)) = line.split_once(' ')
                && let Some(text) = text.strip_suffix('.')
                && let Ok(index) = index.parse()
            {
                acknowledged.insert(index, text.to_owned());
            }
        }
    };
    read(after);
    child.kill()?;
    read(u64::MAX);
    child.wait()?;
    Ok(acknowledged)
}

/// The child: says each acknowledged entry in one line, which a pipe takes whole.
fn write_until_killed(dir: &Path, key: &str, writers: u64) -> Outcome<()> {
    let (log, _) = Log::open(dir, Signer::from_text(key)?, config())?;
    println!("ready");
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let log = log.clone();
            thread::spawn(move || -> Outcome<()> {
                for number in 0_u64.. {
                    let text = format!("{writer} {number}");
                    let entry = format!("{text:<ENTRY_BYTES$}").into_bytes();
                    let committed = log.submit(entry)?.wait()?;
                    let line = format!("{} {text}.\n", committed.index);
                    io::stdout().write_all(line.as_bytes())?;
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a writer failed")??;
    }
    Ok(())
}

fn config() -> Config {
    let mut config = Config::new(Arc::new(unix_ms));
    config.segment_bytes = 4 << 20;
    config.free_bytes_min = 0;
    config
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// The `SplitMix64` generator (Steele, Lea, Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const ENTRY_BYTES: usize = 1_024;
const ACKNOWLEDGED_MAX: u64 = 3_000;
const PUBLISH_EVERY: u64 = 7;
