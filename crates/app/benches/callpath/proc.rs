//! What the kernel says of a process and of those that it started (proc(5)).

use anyhow::Context as _;
use std::time::Duration;

/// What the kernel counts processor time in: `USER_HZ` is 100 wherever this will run.
const TICK_MS: u64 = 10;

/// A process and everything below it.
pub(crate) fn family(root: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that is gone by now is nobody's child.
        if let Ok(fields) = stat(process) {
            parents.push((process, fields.get(1).and_then(|parent| parent.parse::<u32>().ok())));
        }
    }
    let mut family = vec![root];
    let mut looked_at = 0;
    while let Some(parent) = family.get(looked_at).copied() {
        looked_at += 1;
        let children = parents.iter().filter(|(_, found)| *found == Some(parent));
        family.extend(children.map(|(process, _)| process));
    }
    Ok(family)
}

/// The processor time that a process has used so far, in user and system mode.
pub(crate) fn cpu(process: u32) -> anyhow::Result<Duration> {
    // utime and stime are fields 14 and 15.
    let ticks = stat(process)?.into_iter().skip(11).take(2).map(|ticks| ticks.parse::<u64>());
    let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * TICK_MS))
}

/// Resident memory of a process.
pub(crate) fn resident_kib(process: u32) -> anyhow::Result<u64> {
    let value = crate::machine::field(&format!("/proc/{process}/status"), "VmRSS")?;
    Ok(value.split(' ').next().unwrap_or_default().parse()?)
}

/// The fields after the name, which is in parentheses and may hold anything: state, parent, …
fn stat(process: u32) -> anyhow::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("no name in its state")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}
