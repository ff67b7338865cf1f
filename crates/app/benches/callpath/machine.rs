//! What the figures were measured on.

use anyhow::Context as _;
use std::fmt::Write as _;
use std::process::Command;

/// Processor, memory, kernel, commit and build, as a list.
pub(crate) fn describe() -> anyhow::Result<String> {
    let mut text = String::new();
    let cores = std::thread::available_parallelism()?;
    writeln!(text, "- machine: {}, {cores} cores", field("/proc/cpuinfo", "model name")?)?;
    writeln!(text, "- memory: {}", field("/proc/meminfo", "MemTotal")?)?;
    writeln!(text, "- kernel: {}", read("/proc/sys/kernel/osrelease")?.trim())?;
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    writeln!(text, "- commit: {}", commit.as_deref().map_or("unknown", str::trim))?;
    let build = if cfg!(debug_assertions) { "debug: figures mean nothing" } else { "release" };
    writeln!(text, "- build: {build}")?;
    writeln!(text, "- load average before: {}", load_average()?)?;
    Ok(text)
}

/// Over one, five and fifteen minutes.
pub(crate) fn load_average() -> anyhow::Result<String> {
    Ok(read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// The value of the first `name: value` line of a file.
pub(crate) fn field(path: &str, name: &str) -> anyhow::Result<String> {
    let text = read(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
    Ok(line.with_context(|| format!("no `{name}` in {path}"))?.trim().to_owned())
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.to_owned())
}
