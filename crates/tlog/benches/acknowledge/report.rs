//! Rounds in, tables and the verdict on two targets out.

use crate::Target;
use crate::load::Round;
use std::fmt::Write as _;
use std::time::Duration;

/// One target with so many writers.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) target: Target,
    pub(crate) writers: usize,
    pub(crate) rounds: Vec<Round>,
}

/// All figures, then what the log's are of the floor's and of SQLite's.
pub(crate) fn tables(rows: &[Row]) -> String {
    let mut text = String::from(
        "| target | writers | entries/s | p50 µs | p99 µs | p99.9 µs | entries/commit | CPU µs/entry |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        // Writing to a string cannot fail.
        writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} |",
            row.target.name(),
            row.writers,
            row.median(entries_per_s),
            row.median(p50),
            row.median(p99),
            row.median(p999),
            row.median(|round| entries(round) / count(round.commits)),
            row.median(|round| round.cpu.as_secs_f64() * 1e6 / entries(round)),
        )
        .ok();
    }
    text.push_str(
        "\nThe log as a multiple of the other; in brackets the least and the most of the single rounds.\n\n\
         | of | writers | entries/s | p50 | p99 | p99.9 |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (ours, other) in compared(rows) {
        let ratio = |of: fn(&Round) -> f64| ours.multiple(other, of);
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            other.target.name(),
            other.writers,
            ratio(entries_per_s),
            ratio(p50),
            ratio(p99),
            ratio(p999),
        )
        .ok();
    }
    for (ours, other) in compared(rows).filter(|(ours, _)| ours.writers == JUDGED_WRITERS) {
        text.push_str(&verdict(ours, other));
    }
    text
}

/// Each row of the log beside the row of another target with as many writers.
fn compared(rows: &[Row]) -> impl Iterator<Item = (&Row, &Row)> {
    rows.iter().filter(|ours| ours.target == Target::Log).flat_map(|ours| {
        let others = rows.iter().filter(|row| row.writers == ours.writers);
        let others = others.filter(|row| matches!(row.target, Target::Floor | Target::Sqlite));
        others.map(move |other| (ours, other))
    })
}

/// Whether the targets are met.
fn verdict(ours: &Row, other: &Row) -> String {
    let of = |of: fn(&Round) -> f64| ours.median(of) / other.median(of);
    let (wanted, met) = match other.target {
        Target::Floor => (
            "p50 at most 1.6 and p99 at most 2 times the floor's",
            of(p50) <= 1.6 && of(p99) <= 2.0,
        ),
        _ => (
            "more entries/s than SQLite, p99 at most half of its",
            of(entries_per_s) > 1.0 && of(p99) <= 0.5,
        ),
    };
    let met = if met { "met" } else { "missed" };
    format!("\nTarget at {JUDGED_WRITERS} writers, {wanted}: {met}.\n")
}

impl Row {
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The medians' ratio, and the least and the most of the ratios of rounds of one turn.
    fn multiple(&self, other: &Self, of: fn(&Round) -> f64) -> String {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let single: Vec<f64> = pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect();
        let least = single.iter().copied().fold(f64::INFINITY, f64::min);
        let most = single.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{:.2} ({least:.2}–{most:.2})", self.median(of) / other.median(of))
    }
}

fn entries_per_s(round: &Round) -> f64 {
    entries(round) / round.time.as_secs_f64()
}

fn p50(round: &Round) -> f64 {
    quantile_us(round, 500)
}

fn p99(round: &Round) -> f64 {
    quantile_us(round, 990)
}

fn p999(round: &Round) -> f64 {
    quantile_us(round, 999)
}

fn quantile_us(round: &Round, permille: usize) -> f64 {
    let at = round.latencies_ns.len() * permille / 1_000;
    let ns = round.latencies_ns.get(at).copied().unwrap_or_default();
    Duration::from_nanos(ns).as_secs_f64() * 1e6
}

fn entries(round: &Round) -> f64 {
    count(round.latencies_ns.len())
}

fn count(number: usize) -> f64 {
    // At most some millions, which a float holds exactly.
    u32::try_from(number).map_or(f64::NAN, f64::from)
}

/// Where the targets are set.
const JUDGED_WRITERS: usize = 64;
