//! Reports in words and as JSON.

use crate::failure::Failure;
use crate::receipt::Proven;
use crate::report::{LooksAt, Report};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A report for a human, several lines.
#[must_use]
pub fn report_text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string does not fail.
        writeln!(text, "  {name:<12} {value}").ok();
    };
    line("log", format!("{} (first key {})", report.origin, report.key_id));
    line("looked at", looks_at(report));
    line("root", report.root.to_string());
    if let (Some(first), Some(last)) = (report.first_time_ms, report.last_time_ms) {
        line("written", format!("{} to {}", time(first), time(last)));
    }
    let signers = report.checkpoint_signers.join(", ");
    line("checkpoint", format!("covers {} entries, signed by {signers}", report.checkpoint_size));
    for seen in &report.witnesses {
        let when = time(seen.time_s.saturating_mul(1000));
        line("witness", format!("{} cosigned it at {when}", seen.witness));
    }
    for size in &report.given_sizes {
        line("given", format!("your checkpoint of {size} entries is part of this log"));
    }
    if let Some(other) = &report.compared {
        line("compared", format!("{other} does not contradict it"));
    }
    for key in &report.keys {
        let last = key.last.map_or("on".to_owned(), |last| format!("to {last}"));
        let revoked = if key.revoked { ", revoked" } else { "" };
        let trusted = if key.trusted { "" } else { ", not trusted" };
        line("key", format!("{} from {} {last}{revoked}{trusted}", key.key, key.first));
    }
    if let Some(counts) = report.counts {
        line(
            "calls",
            format!(
                "{} passed on, {} answered, {} in doubt, {} refused, {} without an end yet",
                counts.asked, counts.answered, counts.in_doubt, counts.refused, counts.open
            ),
        );
        line("runs", format!("{}, no event is missing", counts.runs));
    }
    for stamp in &report.stamps {
        let when = stamp.time_ms.map_or("not judged".to_owned(), time);
        let who = stamp.authority.as_deref().map(|who| format!(", by {who}")).unwrap_or_default();
        line("timestamp", format!("over {} entries: {when}{who}", stamp.size));
    }
    line("end", end(report).to_owned());
    if report.live {
        line("live", "a writer has it open; this speaks of its last complete batch".to_owned());
    }
    for what in report.not_looked_at() {
        line("not seen", what.to_owned());
    }
    for remark in &report.remarks {
        line("remark", remark.clone());
    }
    format!("{}: {} entries verified\n{text}", report.verdict, report.entries)
}

/// A report as JSON; the names of its fields are stable.
#[must_use]
pub fn report_json(report: &Report) -> Value {
    let keys: Vec<Value> = report
        .keys
        .iter()
        .map(|key| {
            json!({
                "key": key.key, "first": key.first, "last": key.last,
                "revoked": key.revoked, "trusted": key.trusted,
            })
        })
        .collect();
    let witnesses: Vec<Value> = report
        .witnesses
        .iter()
        .map(|seen| json!({ "witness": seen.witness, "time_s": seen.time_s }))
        .collect();
    let stamps: Vec<Value> = report
        .stamps
        .iter()
        .map(|stamp| {
            json!({ "size": stamp.size, "time_ms": stamp.time_ms, "authority": stamp.authority })
        })
        .collect();
    let events = report.counts.map(|counts| {
        json!({
            "asked": counts.asked, "answered": counts.answered, "in_doubt": counts.in_doubt,
            "refused": counts.refused, "open": counts.open, "other": counts.other,
            "runs": counts.runs, "open_sessions": counts.open_sessions,
        })
    });
    let (looked_at, sampled, seed) = match report.looks_at {
        LooksAt::Segments => ("segments", None, None),
        LooksAt::Published => ("published", None, None),
        LooksAt::SampledTiles { entries, seed } => ("sample-and-tiles", Some(entries), Some(seed)),
        LooksAt::SampledProofs { entries, seed } => ("sample", Some(entries), Some(seed)),
    };
    json!({
        "verified": true,
        "verdict": report.verdict.as_str(),
        "exit_status": report.verdict.exit_code(),
        "source": report.source,
        "origin": report.origin,
        "key_id": report.key_id,
        "keys": keys,
        "looked_at": looked_at,
        "sampled_entries": sampled,
        "sample_seed": seed,
        "not_looked_at": report.not_looked_at(),
        "entries": report.entries,
        "minimum_index": report.minimum,
        "root": report.root.to_string(),
        "batches": report.batches,
        "first_time_ms": report.first_time_ms,
        "last_time_ms": report.last_time_ms,
        "checkpoint_entries": report.checkpoint_size,
        "checkpoint_signers": report.checkpoint_signers,
        "checkpoint_other_lines": report.other_lines,
        "witnesses": witnesses,
        "given_checkpoint_entries": report.given_sizes,
        "compared_with": report.compared,
        "events": events,
        "timestamps": stamps,
        "live": report.live,
        "remarks": report.remarks,
    })
}

/// A failure as JSON; the names of its fields are stable.
#[must_use]
pub fn failure_json(failure: &Failure) -> Value {
    json!({
        "verified": false,
        "verdict": failure.verdict.as_str(),
        "exit_status": failure.verdict.exit_code(),
        "check": failure.check.map(crate::Check::as_str),
        "what": failure.what,
        "file": failure.path,
        "offset": failure.offset,
        "entry": failure.entry,
    })
}

/// What a receipt proves, for a human.
#[must_use]
pub fn proven_text(proven: &Proven) -> String {
    let Proven { verdict, kind, origin, index, size, root, .. } = proven;
    let mut text = format!(
        "{verdict}: entry {index} of {origin} is in its tree of {size} entries\n  {:<12} {root}\n",
        "root"
    );
    let mut line = |name: &str, value: &str| {
        writeln!(text, "  {name:<12} {value}").ok();
    };
    line("receipt", kind.as_str());
    line("leaf", &proven.leaf.to_string());
    if let Some(ms) = proven.time_ms {
        line("committed", &time(ms));
    }
    for seen in &proven.witnesses {
        let when = time(seen.time_s.saturating_mul(1000));
        line("witness", &format!("{} cosigned it at {when}", seen.witness));
    }
    if !proven.entry_shown {
        line("not seen", "the entry: the receipt is of whatever has this leaf hash");
    }
    text
}

/// What a receipt proves, as JSON; the names of its fields are stable.
#[must_use]
pub fn proven_json(proven: &Proven) -> Value {
    let witnesses: Vec<Value> = proven
        .witnesses
        .iter()
        .map(|seen| json!({ "witness": seen.witness, "time_s": seen.time_s }))
        .collect();
    json!({
        "verified": true,
        "verdict": proven.verdict.as_str(),
        "exit_status": proven.verdict.exit_code(),
        "receipt": proven.kind.as_str(),
        "origin": proven.origin,
        "index": proven.index,
        "size": proven.size,
        "root": proven.root.to_string(),
        "leaf_hash": proven.leaf.to_string(),
        "entry_shown": proven.entry_shown,
        "time_ms": proven.time_ms,
        "witnesses": witnesses,
    })
}

fn looks_at(report: &Report) -> String {
    match report.looks_at {
        LooksAt::Segments => format!("every byte of {}", report.source),
        LooksAt::Published => {
            format!("every published entry of {}; there are no segments", report.source)
        }
        LooksAt::SampledTiles { entries, seed } => {
            format!("{entries} entries and all hash tiles of {} (seed {seed})", report.source)
        }
        LooksAt::SampledProofs { entries, seed } => {
            format!("{entries} entries of {} by their proofs (seed {seed})", report.source)
        }
    }
}

/// What shows that the log does not end too early.
fn end(report: &Report) -> &'static str {
    if !report.witnesses.is_empty() {
        "the witnesses saw the log up to its checkpoint"
    } else if !report.given_sizes.is_empty() {
        "shown up to the given checkpoint; later entries could be missing"
    } else {
        "not shown: without a checkpoint kept elsewhere, an older copy looks the same"
    }
}

/// A time in milliseconds since 1970-01-01 UTC as `2026-11-22T12:00:00Z`.
#[must_use]
pub fn time(ms: u64) -> String {
    let (days, second) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Days to a date of the Gregorian calendar, counted from 1 March of year 0.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_dates_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_795_350_896, "2026-11-22T12:34:56Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(time(seconds * 1000), text);
        }
    }
}
