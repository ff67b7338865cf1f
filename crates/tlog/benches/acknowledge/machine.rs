//! What the figures were measured on.

use crate::Outcome;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Processor, kernel, file system, commit, build and how this process is scheduled, as a list.
pub(crate) fn describe(dir: &Path) -> Outcome<String> {
    let mut text = String::new();
    let cores = std::thread::available_parallelism()?;
    let cpuinfo = read("/proc/cpuinfo")?;
    let mut lines = cpuinfo.lines();
    let model = lines.find_map(|line| line.strip_prefix("model name")?.trim().strip_prefix(':'));
    writeln!(text, "- machine: {}, {cores} cores", model.unwrap_or("unknown").trim())?;
    writeln!(text, "- kernel: {}", read("/proc/sys/kernel/osrelease")?.trim())?;
    writeln!(text, "- file system: {}", file_system(dir)?)?;
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.ok().filter(|output| output.status.success());
    let commit = commit.and_then(|output| String::from_utf8(output.stdout).ok());
    writeln!(text, "- commit: {}", commit.as_deref().map_or("unknown", str::trim))?;
    let build = if cfg!(debug_assertions) { "debug: figures mean nothing" } else { "release" };
    writeln!(text, "- build: {build}")?;
    writeln!(text, "- scheduling: {}", scheduling()?)?;
    writeln!(text, "- load average before: {}", load_average()?)?;
    Ok(text)
}

/// Over one, five and fifteen minutes.
pub(crate) fn load_average() -> Outcome<String> {
    Ok(read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// The processor time of this process so far, in user and system mode.
pub(crate) fn cpu() -> Outcome<Duration> {
    let stat = stat()?;
    let ticks = stat.split_whitespace().skip(UTIME - 3).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * TICK_MS))
}

/// The policy that this process was started with.
fn scheduling() -> Outcome<String> {
    let stat = stat()?;
    let mut fields = stat.split_whitespace().skip(RT_PRIORITY - 3);
    let (priority, policy) = (fields.next(), fields.next());
    Ok(match policy {
        Some("0") => "ordinary".to_owned(),
        Some("1") => format!("SCHED_FIFO, priority {}", priority.unwrap_or("unknown")),
        other => format!("policy {}", other.unwrap_or("unknown")),
    })
}

/// The fields of proc(5) after the name of the process, from the third.
fn stat() -> Outcome<String> {
    let stat = read("/proc/self/stat")?;
    Ok(stat.rsplit_once(')').ok_or("no name in `/proc/self/stat`")?.1.to_owned())
}

/// The type, device and options of what `dir` is on, from proc(5)'s `mountinfo`.
fn file_system(dir: &Path) -> Outcome<String> {
    let dir = dir.canonicalize()?;
    let mounts = read("/proc/self/mountinfo")?;
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let (mount, rest) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(4);
            let (at, options) = (mount.next()?, mount.next()?);
            dir.starts_with(at).then_some((at.len(), rest, options))
        })
        .max_by_key(|(length, ..)| *length);
    let Some((_, rest, options)) = mount else { return Ok("unknown".to_owned()) };
    Ok(format!("{}, {options}", rest.split(' ').take(2).collect::<Vec<_>>().join(" on ")))
}

fn read(path: &str) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}").into())
}

/// What the kernel counts processor time in: `USER_HZ` is 100 wherever this will run.
const TICK_MS: u64 = 10;
/// The numbers of fields in `/proc/<pid>/stat`.
const UTIME: usize = 14;
const RT_PRIORITY: usize = 40;
