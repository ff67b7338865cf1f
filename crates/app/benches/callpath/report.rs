//! Rounds in, a table out, and whether the goals are met.

use crate::cast::{AUDITED, BARE, DIRECT, GATEWAY, RELAXED, STRICT};
use crate::disk::median;
use crate::load::Round;
use std::fmt::Write as _;
use std::time::Duration;

/// The rounds of one target at one concurrency.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    rounds: Vec<Round>,
    /// Why there are no more of them.
    pub(crate) failure: Option<String>,
}

impl Cell {
    /// Keeps a round, or why there is none.
    pub(crate) fn take(&mut self, round: anyhow::Result<Round>) {
        let round = round.map(|round| self.rounds.push(round));
        self.note(round);
    }

    /// Keeps the reason of a failure.
    pub(crate) fn note(&mut self, done: anyhow::Result<()>) {
        self.failure = self.failure.take().or(done.err().map(|error| format!("{error:#}")));
    }
}

/// One target at one concurrency.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    concurrency: usize,
    failure: Option<String>,
    calls_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_call: f64,
    resident_mib: u64,
}

impl Row {
    /// The medians over its rounds.
    pub(crate) fn new(name: &str, concurrency: usize, cell: Cell) -> Self {
        let Cell { rounds, failure } = cell;
        let median = |of: fn(&Round) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            median(&mut values)
        };
        Self {
            name: name.to_owned(),
            concurrency,
            failure,
            calls_per_s: median(|round| calls(round) / round.time.as_secs_f64()),
            p50_ms: median(|round| quantile_ms(round, 50)),
            p99_ms: median(|round| quantile_ms(round, 99)),
            cpu_us_per_call: median(|round| round.cpu.as_secs_f64() * 1e6 / calls(round)),
            resident_mib: rounds.iter().map(|round| round.resident_mib).max().unwrap_or_default(),
        }
    }
}

/// All rows, with throughput relative to those that do less.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| target | in flight | calls/s | p50 ms | p99 ms | CPU µs/call | RSS MiB | of direct | of floor \
         | of audited floor |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let Row { name, concurrency, calls_per_s, p50_ms, p99_ms, .. } = row;
        if let Some(failure) = &row.failure {
            // Writing to a string cannot fail, here and below.
            writeln!(text, "| {name} | {concurrency} | failed: {failure} |||||||").ok();
            continue;
        }
        let of = |other: &str| {
            let other = find(rows, other, *concurrency).map(|other| other.calls_per_s);
            other.map_or_else(
                || "–".to_owned(),
                |other| format!("{:.0} %", 100.0 * calls_per_s / other),
            )
        };
        writeln!(
            text,
            "| {name} | {concurrency} | {calls_per_s:.0} | {p50_ms:.2} | {p99_ms:.2} | {:.0} | {} | {} | {} \
             | {} |",
            row.cpu_us_per_call,
            row.resident_mib,
            of(DIRECT),
            of(BARE),
            of(AUDITED),
        )
        .ok();
    }
    text
}

/// What was aimed at, and what came of it, as far as it was measured.
pub(crate) fn goals(rows: &[Row], sync_us: f64) -> String {
    let mut text = String::from("\n");
    for (gateway, floor) in [(GATEWAY, RELAXED), (GATEWAY, AUDITED), (STRICT, AUDITED)] {
        let row = |name| find(rows, name, 64);
        if let Some((own, floor_row)) = row(gateway).zip(row(floor)) {
            let percent = 100.0 * own.calls_per_s / floor_row.calls_per_s;
            writeln!(
                text,
                "- 64 in flight: `{gateway}` reaches {percent:.0} % of `{floor}` (goal: 60 %)"
            )
            .ok();
        }
    }
    for gateway in [GATEWAY, STRICT] {
        if let Some((own, direct)) = find(rows, gateway, 1).zip(find(rows, DIRECT, 1)) {
            let added = (own.p50_ms - direct.p50_ms) * 1e3;
            let beyond = added - sync_us;
            writeln!(
                text,
                "- 1 in flight: `{gateway}` adds {added:.0} µs at p50, {beyond:.0} µs beyond one sync of \
                 {sync_us:.0} µs (goal: 150 µs)"
            )
            .ok();
        }
    }
    let most = rows.iter().filter(|row| row.name.starts_with(GATEWAY) && row.concurrency == 256);
    if let Some(most) = most.map(|row| row.resident_mib).max() {
        writeln!(text, "- 256 in flight: {most} MiB resident (goal: under 64 MB)").ok();
    }
    text
}

fn find<'r>(rows: &'r [Row], name: &str, concurrency: usize) -> Option<&'r Row> {
    let mut rows = rows.iter().filter(|row| row.failure.is_none());
    rows.find(|row| row.name == name && row.concurrency == concurrency)
}

fn calls(round: &Round) -> f64 {
    // At most some millions, which a float holds exactly.
    u32::try_from(round.latencies_ns.len()).map_or(f64::NAN, f64::from)
}

fn quantile_ms(round: &Round, percent: usize) -> f64 {
    let at = round.latencies_ns.len() * percent / 100;
    let ns = round.latencies_ns.get(at).copied().unwrap_or_default();
    Duration::from_nanos(ns).as_secs_f64() * 1e3
}
