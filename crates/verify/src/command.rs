//! The command: reads arguments and files, and prints what the library says. For `countersign-verify`
//! and for the commands of others.
//!
//! Knows nothing of what is right.

mod arguments;

pub use arguments::Arguments;

use crate::receipt::{self, Trust};
use crate::{Entries, Failure, Observer, Options, Progress, Sample, Source};
use arguments::{Command, LogArguments, ReceiptArguments, TrustArguments};
use note::{Policy, Verifier};
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// What cannot be read or written, in words.
type Problem = String;

/// Opens what the argument SOURCE names, where it is more than a directory or an address: `None` when
/// it is not.
pub type Open<'a> = &'a dyn Fn(&str) -> Option<Result<Box<dyn Source>, String>>;

/// Does what the arguments say. Returns the exit status; results go to standard output.
///
/// # Errors
/// What cannot be read or written, in words.
pub fn run(arguments: &Arguments, other: Open<'_>) -> Result<u8, String> {
    match &arguments.command {
        Some(Command::Receipt(arguments)) => judge_receipts(arguments, other),
        None => judge_log(arguments, other),
    }
}

fn judge_log(arguments: &Arguments, other: Open<'_>) -> Result<u8, Problem> {
    let text = arguments.source.as_deref().unwrap_or(".");
    let token = arguments.log.token_file.as_deref().map(token).transpose()?;
    let token = token.as_deref();
    let source = open(text, token, other)?;
    // The other copy may be a stranger's, who must not see the token.
    let compare =
        arguments.log.compare.as_deref().map(|text| open(text, None, other)).transpose()?;
    let options = options(&arguments.trust, &arguments.log, compare.as_deref())?;
    let mut meter = Meter::new(!arguments.json && io::stderr().is_terminal());
    let verified = crate::verify(source.as_ref(), &options, &mut meter);
    meter.end();
    match verified {
        Ok(report) => {
            if arguments.json {
                print(&format!("{}\n", crate::report_json(&report)))?;
            } else {
                print(&crate::report_text(&report))?;
            }
            Ok(report.verdict.exit_code())
        }
        Err(failure) => {
            if let Some(dir) = &arguments.log.evidence {
                keep(dir, &failure)?;
            }
            print_failure("log", &failure, arguments.json)?;
            Ok(failure.verdict.exit_code())
        }
    }
}

fn judge_receipts(arguments: &ReceiptArguments, other: Open<'_>) -> Result<u8, Problem> {
    let log = arguments.log.as_deref().map(|text| open(text, None, other)).transpose()?;
    let trust = Trust {
        keys: keys(&arguments.trust)?,
        policy: policy(&arguments.trust)?,
        log: log.as_deref(),
        entry: arguments.entry.as_deref().map(read).transpose()?,
    };
    let mut worst = 0;
    for path in &arguments.receipts {
        match receipt::verify(&read(path)?, &trust) {
            Ok(proven) if arguments.json => {
                print(&format!("{}\n", crate::proven_json(&proven)))?;
            }
            Ok(proven) => print(&crate::proven_text(&proven))?,
            Err(failure) => {
                print_failure(&format!("receipt `{}`", path.display()), &failure, arguments.json)?;
                worst = worst.max(failure.verdict.exit_code());
            }
        }
    }
    Ok(worst)
}

fn options<'a>(
    trust: &TrustArguments,
    log: &LogArguments,
    compare: Option<&'a dyn Source>,
) -> Result<Options<'a>, Problem> {
    let checkpoints: Result<Vec<_>, _> = log.checkpoint.iter().map(|path| read(path)).collect();
    Ok(Options {
        keys: keys(trust)?,
        policy: policy(trust)?,
        checkpoints: checkpoints?,
        compare,
        tsa_roots: log.tsa_roots.as_deref().map(read).transpose()?,
        sample: log.sample.as_deref().map(|text| sample(text, log.seed)).transpose()?,
        entries: if log.opaque { Entries::Opaque } else { Entries::Events },
        threads: log.threads,
    })
}

fn keys(trust: &TrustArguments) -> Result<Vec<Verifier>, Problem> {
    trust.key.iter().map(|text| key(text)).collect()
}

fn key(text: &str) -> Result<Verifier, Problem> {
    if let Ok(key) = Verifier::from_text(text) {
        return Ok(key);
    }
    let line = String::from_utf8(read(Path::new(text))?).unwrap_or_default();
    let parsed = Verifier::from_text(line.trim_end());
    parsed.map_err(|error| format!("`{text}` is no key: {error}"))
}

fn policy(trust: &TrustArguments) -> Result<Option<Policy>, Problem> {
    let Some(path) = &trust.policy else { return Ok(None) };
    let parsed = Policy::parse(&read(path)?);
    parsed.map(Some).map_err(|error| format!("`{}`: {error}", path.display()))
}

fn sample(text: &str, seed: Option<u64>) -> Result<Sample, Problem> {
    // The only randomness at hand; which entries are looked at is no secret.
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(text));
    let wrong = || format!("`{text}` is no sample: expected a number, or 1% to 100%");
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.parse().map_err(|_| wrong())?;
            if !(1..=100).contains(&percent) {
                return Err(wrong());
            }
            Ok(Sample::Percent { percent, seed })
        }
        None => Ok(Sample::Entries { count: text.parse().map_err(|_| wrong())?, seed }),
    }
}

fn open(text: &str, token: Option<&str>, other: Open<'_>) -> Result<Box<dyn Source>, Problem> {
    if let Some(opened) = other(text) {
        return opened.map_err(|error| format!("`{text}`: {error}"));
    }
    crate::open(text, token).map_err(|error| format!("`{text}`: {error}"))
}

fn token(path: &Path) -> Result<String, Problem> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    let token = text.trim().to_owned();
    if token.is_empty() || token.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(format!("`{}` holds no bearer token", path.display()));
    }
    Ok(token)
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

/// Writes the notes that prove a fork.
fn keep(dir: &Path, failure: &Failure) -> Result<(), Problem> {
    for evidence in &failure.evidence {
        let path = dir.join(&evidence.name);
        let written = fs::create_dir_all(dir).and_then(|()| fs::write(&path, &evidence.bytes));
        written.map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    }
    Ok(())
}

fn print_failure(what: &str, failure: &Failure, json: bool) -> Result<(), Problem> {
    if json {
        return print(&format!("{}\n", crate::failure_json(failure)));
    }
    let check = failure.check.map(|check| format!(" [{check}]")).unwrap_or_default();
    print(&format!("{}: the {what} does NOT verify: {failure}{check}\n", failure.verdict))
}

fn print(text: &str) -> Result<(), Problem> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| format!("cannot write to standard output: {error}"))
}

/// Shows on a terminal how far a verification has come.
struct Meter {
    shown: bool,
    started: Instant,
    last: Option<Instant>,
}

impl Meter {
    fn new(shown: bool) -> Self {
        Self { shown, started: Instant::now(), last: None }
    }

    fn end(&self) {
        if self.last.is_some() {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
    }
}

impl Observer for Meter {
    fn progress(&mut self, progress: Progress) {
        let due = self.last.is_none_or(|last| METER_INTERVAL <= last.elapsed());
        if !self.shown || !due {
            return;
        }
        self.last = Some(Instant::now());
        let share = match (progress.bytes_total, progress.entries_total) {
            (Some(total), _) if 0 < total => progress.bytes.saturating_mul(100) / total,
            (_, Some(total)) if 0 < total => progress.entries.saturating_mul(100) / total,
            _ => 0,
        };
        let seconds = self.started.elapsed().as_secs().max(1);
        let speed = progress.entries / seconds;
        let entries = progress.entries;
        // A meter that cannot be shown is not missed.
        write!(io::stderr(), "\r\x1b[K{share:>3}%  {entries} entries, {speed} a second").ok();
    }
}

const METER_INTERVAL: Duration = Duration::from_millis(200);
