//! `[limits.actor]`, `[limits.server]` and `[[server]].limits`: from what is written to what is meant. A
//! zero is written to say that there is no bound.

use super::file;
use gateway::config::Quota;
use std::time::Duration;

/// What is written in one table, on top of another.
pub(super) fn merged(own: &file::Quota, under: &file::Quota) -> file::Quota {
    file::Quota {
        calls_per_second: own.calls_per_second.or(under.calls_per_second),
        calls_burst: own.calls_burst.or(under.calls_burst),
        calls_max: own.calls_max.or(under.calls_max),
        request_bytes_max: own.request_bytes_max.or(under.request_bytes_max),
        reply_timeout_ms: own.reply_timeout_ms.or(under.reply_timeout_ms),
    }
}

/// What is meant.
pub(super) fn meant(written: &file::Quota) -> Quota {
    Quota {
        calls_per_second: written.calls_per_second.filter(|n| *n > 0),
        calls_burst: written.calls_burst.filter(|n| *n > 0),
        calls_max: written.calls_max.filter(|n| *n > 0),
        request_bytes_max: written.request_bytes_max.filter(|n| *n > 0),
        reply_timeout: written.reply_timeout_ms.filter(|n| *n > 0).map(Duration::from_millis),
    }
}

/// What is wrong with it, and where below its table.
pub(super) fn mistakes(written: &file::Quota) -> Vec<(&'static str, String)> {
    let mut mistakes = Vec::new();
    if written.calls_per_second.is_some_and(|n| n > PER_SECOND_MAX) {
        mistakes.push(("calls_per_second", format!("must be from 0 to {PER_SECOND_MAX}")));
    }
    if written.calls_burst.is_some_and(|n| n > PER_SECOND_MAX) {
        mistakes.push(("calls_burst", format!("must be from 0 to {PER_SECOND_MAX}")));
    }
    if written.calls_burst.is_some_and(|n| n > 0) && written.calls_per_second.is_none_or(|n| n == 0)
    {
        mistakes.push(("calls_burst", "needs `calls_per_second`".to_owned()));
    }
    if written.calls_max.is_some_and(|n| n > super::COUNT_MAX) {
        mistakes.push(("calls_max", format!("must be from 0 to {}", super::COUNT_MAX)));
    }
    mistakes
}

/// More calls in a second than one gateway can carry, with a wide margin.
const PER_SECOND_MAX: u32 = 1_000_000;
