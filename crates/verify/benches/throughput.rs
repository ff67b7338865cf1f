//! How fast logs are verified, and with how much memory: `cargo bench -p verify --bench throughput`.
//!
//! Writes logs of two sizes with entries of about 700 bytes, verifies each in a process of its own, and
//! prints entries and bytes a second, entries for each second that a processor was busy, and the peak of
//! memory.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use note::Signer;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use std::{fs, thread};
use tlog::{Config, Log};
use verify::{Directory, Entries, Options, verify};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["measure", dir, threads] => measure(Path::new(dir), threads.parse()?),
        _ => all(&arguments),
    }
}

/// Makes each log and measures it in another process, so that its memory is its own.
fn all(arguments: &[&str]) -> Outcome<()> {
    let sizes: Vec<u64> = arguments.iter().filter_map(|text| text.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100_000, 2_000_000] } else { sizes };
    println!("machine: {}, commit {}", machine(), commit());
    for size in sizes {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        write(&log, size)?;
        let threads = thread::available_parallelism()?.get();
        for threads in [1, threads] {
            let program = std::env::current_exe()?;
            let measured = Command::new(program)
                .args(["measure", &log.display().to_string(), &threads.to_string()])
                .status()?;
            if !measured.success() {
                return Err("a log that was just written does not verify".into());
            }
        }
    }
    Ok(())
}

fn measure(dir: &Path, threads: NonZeroUsize) -> Outcome<()> {
    let key = fs::read_to_string(dir.join("origin.vkey"))?;
    let bytes = bytes_below(dir)?;
    let options = Options {
        keys: vec![note::Verifier::from_text(key.trim_end())?],
        entries: Entries::Events,
        threads: Some(threads),
        ..Options::default()
    };
    let started = Instant::now();
    let report = verify(&Directory::new(dir), &options, &mut ())?;
    let seconds = started.elapsed().as_secs_f64();
    let (entries, megabytes) = (rate(report.entries, seconds), rate(bytes, seconds) / 1_000_000);
    let busy = rate(report.entries, cpu_seconds()?);
    println!(
        "{} entries, {threads} threads: {entries} entries/s, {megabytes} MB/s, {busy} entries/s of a \
         processor, peak of memory {} MiB, {seconds:.2} s",
        report.entries,
        peak_kib()? / 1024,
    );
    Ok(())
}

/// A log of events in many sequences, as gateways write them.
fn write(dir: &Path, entries: u64) -> Outcome<()> {
    let (key, _) = Signer::generate("example.com/bench")?;
    let mut config = Config::new(Arc::new(|| 1_700_000_000_000));
    config.free_bytes_min = 0;
    let log = Log::create(dir, key, config)?;
    let mut events = Events::default();
    let mut waiting = Vec::new();
    for n in 0..entries {
        waiting.push(log.submit(events.next(n).into_bytes())?);
        if waiting.len() == 4096 {
            for pending in waiting.drain(..) {
                pending.wait()?;
            }
        }
        if n % 65_536 == 65_535 {
            log.publish()?;
        }
    }
    for pending in waiting {
        pending.wait()?;
    }
    log.publish()?;
    log.close()?;
    Ok(())
}

/// Calls, each asked and answered, in the run's own sequence.
#[derive(Default)]
struct Events {
    previous: Option<note::Hash>,
}

impl Events {
    fn next(&mut self, n: u64) -> String {
        let uuid = |number: u64| format!("00000000-0000-7000-8000-{number:012x}");
        let previous =
            self.previous.map_or(String::new(), |hash| format!(r#""previous":"{hash}","#));
        let environment = r#""environment":{"gateway":"bench","monotonic_us":1,"region":"eu-1","time":"2026-11-22T08:37:00.123456Z","transport":"http"}"#;
        let (id, run) = (uuid(n), uuid(0));
        let place = format!(r#""sequence":{{"n":{n},{previous}"run":"{run}"}},"v":1"#);
        let call = uuid(0x10_0000_0000 + n.saturating_sub(1) / 2);
        let event = match n {
            0 => format!(r#"{{{environment},"id":"{id}","kind":"gateway.started",{place}}}"#),
            _ if n % 2 == 1 => format!(
                r#"{{"actor":{{"chain":[],"id":"agent-7","kind":"workload","level":"verified-bearer","provider":"ci"}},"call":"{call}","decision":{{"basis":"permit","determining":["policy0"],"effect":"permit","engine":"cedar 4.14","policy_set":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}},"direction":"to-server",{environment},"id":"{id}","kind":"call.asked","payload":{{"request_bytes":335}},"resource":{{"class":"write","kind":"tool","method":"tools/call","names":["create_ticket"],"server":"crm"}},{place}}}"#
            ),
            _ => format!(
                r#"{{"asked":{},"call":"{call}",{environment},"id":"{id}","kind":"call.answered","outcome":{{"class":"success","http_status":200,"latency_us":1234,"status":"ok"}},"payload":{{"request_bytes":335,"response_bytes":{},"response_messages":1}},{place}}}"#,
                n - 1,
                1000 + n % 100,
            ),
        };
        self.previous = Some(note::leaf_hash(event.as_bytes()));
        event
    }
}

fn rate(count: u64, seconds: f64) -> u64 {
    let micros = (seconds * 1e6).max(1.0);
    // Rounded to whole microseconds, which is exact enough here.
    let micros = std::time::Duration::from_secs_f64(micros / 1e6).as_micros();
    u64::try_from(u128::from(count) * 1_000_000 / micros.max(1)).unwrap_or(0)
}

fn bytes_below(dir: &Path) -> Outcome<u64> {
    let (mut bytes, mut dirs) = (0, vec![PathBuf::from(dir)]);
    while let Some(below) = dirs.pop() {
        for entry in fs::read_dir(below)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            } else {
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok(bytes)
}

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmHWM in /proc/self/status")?.parse()?)
}

/// How long this process kept processors busy, in seconds.
fn cpu_seconds() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the program may hold anything but ends with the last bracket.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / TICKS_A_SECOND)
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
    let count = thread::available_parallelism().map_or(0, NonZeroUsize::get);
    format!("{model}, {count} processors")
}

fn commit() -> String {
    let shown = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    shown.map_or_else(
        |_| "unknown".to_owned(),
        |out| String::from_utf8_lossy(&out.stdout).trim().to_owned(),
    )
}

/// The unit of times in /proc on every Linux of today.
const TICKS_A_SECOND: f64 = 100.0;
