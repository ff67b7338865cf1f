//! `countersign verify`.

use crate::cli::Verify;
use crate::output;
use crate::progress::Progress;
use anyhow::Context as _;
use audit::Verified;
use event::Time;
use std::process::ExitCode;
use tlog::Verifier;
use tlog::verify::{Expected, Failure, FailureKind};

pub(crate) fn run(arguments: &Verify) -> anyhow::Result<ExitCode> {
    let expected = expected(arguments)?;
    let mut progress = Progress::new("verifying");
    let verified = audit::verify(&arguments.log, &expected, &mut |p| {
        progress.show(p.entries, Some((p.bytes, p.bytes_total)));
    });
    progress.end();
    match verified {
        Ok(verified) => {
            if arguments.json {
                output::line(as_json(&verified))?;
            } else {
                print(&verified, &expected)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            if arguments.json {
                output::line(failure_json(&failure))?;
            } else {
                output::line(format_args!("log does NOT verify: {failure}"))?;
            }
            Ok(ExitCode::from(exit_code(failure.kind)))
        }
    }
}

fn expected(arguments: &Verify) -> anyhow::Result<Expected> {
    let mut expected = Expected::default();
    if let Some(path) = &arguments.key {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read verifier key `{}`", path.display()))?;
        let key = Verifier::from_text(text.trim_end())
            .with_context(|| format!("`{}` is not a verifier key", path.display()))?;
        expected.key = Some(key);
    }
    if let Some(path) = &arguments.checkpoint {
        let note = std::fs::read(path)
            .with_context(|| format!("cannot read checkpoint `{}`", path.display()))?;
        expected.checkpoint = Some(note);
    }
    Ok(expected)
}

/// The documented exit status of each kind of failure.
fn exit_code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Altered => 10,
        FailureKind::Truncated => 11,
        FailureKind::Signature | FailureKind::WrongKey => 12,
        FailureKind::UnfinishedTail => 13,
        FailureKind::Missing => 14,
        FailureKind::Unreadable => 15,
        FailureKind::Rejected => 16,
    }
}

fn print(verified: &Verified, expected: &Expected) -> anyhow::Result<()> {
    let Verified { report, counts } = verified;
    let time = |ms: Option<u64>| {
        let us = ms.and_then(|ms| i64::try_from(ms).ok()).map(|ms| ms.saturating_mul(1_000));
        us.map_or_else(|| "-".to_owned(), |us| Time::from_unix_us(us).to_string())
    };
    output::line(format_args!("log verified: {} entries", report.entries))?;
    output::line(format_args!("  origin      {} (key {})", report.origin, report.key_id))?;
    output::line(format_args!("  root        {}", report.root))?;
    output::line(format_args!(
        "  written     {} to {}",
        time(report.first_time_ms),
        time(report.last_time_ms)
    ))?;
    output::line(format_args!(
        "  calls       {} passed on, {} answered, {} in doubt, {} refused, {} without an end yet",
        counts.asked, counts.answered, counts.in_doubt, counts.refused, counts.open
    ))?;
    output::line(format_args!("  checkpoint  covers {} entries", report.checkpoint_size))?;
    if let Some(size) = report.expected_size {
        output::line(format_args!("  your checkpoint of {size} entries is part of this log"))?;
    }
    if report.live {
        output::line("  the log is being written; this speaks of its last complete batch")?;
    }
    if expected.key.is_none() {
        output::line(
            "  note: the key was taken from the log itself; give the one you were handed with --key",
        )?;
    }
    Ok(())
}

fn as_json(verified: &Verified) -> serde_json::Value {
    let Verified { report, counts } = verified;
    serde_json::json!({
        "verified": true,
        "origin": report.origin,
        "key_id": report.key_id,
        "entries": report.entries,
        "root": report.root.to_string(),
        "batches": report.batches,
        "first_time_ms": report.first_time_ms,
        "last_time_ms": report.last_time_ms,
        "checkpoint_entries": report.checkpoint_size,
        "given_checkpoint_entries": report.expected_size,
        "live": report.live,
        "calls": {
            "asked": counts.asked,
            "answered": counts.answered,
            "in_doubt": counts.in_doubt,
            "refused": counts.refused,
            "open": counts.open,
        },
        "other_events": counts.other,
    })
}

fn failure_json(failure: &Failure) -> serde_json::Value {
    serde_json::json!({
        "verified": false,
        "exit_status": exit_code(failure.kind),
        "what": failure.what,
        "file": failure.path,
        "offset": failure.offset,
        "entry": failure.entry,
    })
}
