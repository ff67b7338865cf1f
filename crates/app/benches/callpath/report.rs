//! Rounds in, a table out.

use crate::load::Round;
use std::fmt::Write as _;

/// One target at one concurrency.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    concurrency: usize,
    calls_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_call: f64,
}

impl Row {
    /// The medians over its rounds.
    pub(crate) fn new(name: &'static str, concurrency: usize, rounds: &[Round]) -> Self {
        let median = |of: fn(&Round) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Self {
            name,
            concurrency,
            calls_per_s: median(|round| calls(round) / round.time.as_secs_f64()),
            p50_ms: median(|round| quantile_ms(round, 50)),
            p99_ms: median(|round| quantile_ms(round, 99)),
            cpu_us_per_call: median(|round| round.cpu.as_secs_f64() * 1e6 / calls(round)),
        }
    }
}

/// All rows, with throughput relative to the first and to the second target.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| target | in flight | calls/s | p50 ms | p99 ms | CPU µs/call | of direct | of floor |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut same: [f64; 2] = [0.0; 2];
    for (i, row) in rows.iter().enumerate() {
        if rows.get(i.wrapping_sub(1)).is_none_or(|above| above.concurrency != row.concurrency) {
            let next = rows.get(i + 1).map_or(0.0, |floor| floor.calls_per_s);
            same = [row.calls_per_s, next];
        }
        let [direct, floor] = same.map(|calls| 100.0 * row.calls_per_s / calls);
        let Row { name, concurrency, calls_per_s, p50_ms, p99_ms, cpu_us_per_call } = row;
        // Writing to a string cannot fail.
        writeln!(
            text,
            "| {name} | {concurrency} | {calls_per_s:.0} | {p50_ms:.2} | {p99_ms:.2} | \
             {cpu_us_per_call:.0} | {direct:.0} % | {floor:.0} % |"
        )
        .ok();
    }
    text
}

fn calls(round: &Round) -> f64 {
    // At most some millions, which a float holds exactly.
    u32::try_from(round.latencies_ns.len()).map_or(f64::NAN, f64::from)
}

fn quantile_ms(round: &Round, percent: usize) -> f64 {
    let at = round.latencies_ns.len() * percent / 100;
    let ns = round.latencies_ns.get(at).copied().unwrap_or_default();
    std::time::Duration::from_nanos(ns).as_secs_f64() * 1e3
}
