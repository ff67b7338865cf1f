//! The clock of this machine, held against the log's checkpoint and against those who say the time.

use super::finding::Finding;
use super::http;
use crate::config::Config;
use event::Time;
use identity::Config as Identity;
use std::path::Path;
use std::time::UNIX_EPOCH;
use url::Url;

pub(super) async fn check(config: &Config, now: Time) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(written_ms) = checkpoint_written_ms(&config.log.directory) {
        findings.push(against_log(written_ms, now.unix_ms(), config.log.clock_back_max_ms));
    }
    // One who answers with a date is enough, and none of them is an MCP server.
    for url in known(&config.identity, config) {
        let Ok(answer) = http::ask(&url).await else { continue };
        let Some(theirs) = answer.date.as_deref().and_then(unix_s) else { continue };
        findings.push(against(&url, theirs, now.unix_s()));
        break;
    }
    findings
}

/// When the checkpoint of the log was written, by the clock of that time.
fn checkpoint_written_ms(directory: &Path) -> Option<u64> {
    let modified = std::fs::metadata(directory.join("checkpoint")).ok()?.modified().ok()?;
    u64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// Those who may be asked for the time.
fn known(identity: &Identity, config: &Config) -> Vec<Url> {
    let providers = identity.provider.iter().filter_map(|provider| provider.jwks_url.clone());
    let providers = providers.filter_map(|url| url.parse().ok());
    let authorities = config.log.tsa.iter().flat_map(|tsa| tsa.urls.clone());
    providers.chain(authorities).collect()
}

fn against_log(last_ms: u64, now_ms: u64, back_max_ms: u64) -> Finding {
    let ahead = last_ms.saturating_sub(now_ms);
    if ahead > back_max_ms {
        return Finding::error("clock", format!("the checkpoint of the log is {ahead} ms ahead"))
            .because("the clock went back: calls are refused until it has caught up")
            .so("set the clock by NTP; if it was ahead before, wait");
    }
    Finding::ok("clock", "it is not behind the checkpoint of the log")
}

fn against(url: &Url, theirs_s: i64, ours_s: i64) -> Finding {
    let host = url.host_str().unwrap_or_default();
    let skew = ours_s.saturating_sub(theirs_s);
    let shown = format!("it differs from that of {host} by {skew} s");
    if skew.abs() > SKEW_BAD_S {
        return Finding::error("clock", shown)
            .because("tokens seem expired or not yet valid, and times on record are wrong")
            .so("set the clock by NTP");
    }
    if skew.abs() > SKEW_S {
        return Finding::warning("clock", shown)
            .because("times on record are that much off")
            .so("set the clock by NTP");
    }
    Finding::ok("clock", shown)
}

/// A date of HTTP (RFC 9110, section 5.6.7) in seconds since 1970.
fn unix_s(date: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(date).ok().map(|zoned| zoned.timestamp().as_second())
}

/// HTTP dates have whole seconds, and the answer took its time.
const SKEW_S: i64 = 3;
/// Half of what token verifiers usually allow.
const SKEW_BAD_S: i64 = 30;

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::{against, against_log, unix_s};

    #[test]
    fn a_clock_behind_the_log_is_found() {
        assert_eq!(against_log(10_000, 20_000, 5_000).level, Level::Ok);
        assert_eq!(against_log(24_000, 20_000, 5_000).level, Level::Ok);
        assert_eq!(against_log(26_000, 20_000, 5_000).level, Level::Error);
    }

    #[test]
    fn a_clock_that_differs_from_others_is_found() {
        let url = "https://issuer.example/jwks.json".parse().unwrap();
        for (theirs, level) in
            [(100, Level::Ok), (103, Level::Ok), (110, Level::Warning), (10, Level::Error)]
        {
            assert_eq!(against(&url, theirs, 100).level, level, "{theirs}");
        }
    }

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(unix_s("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(unix_s("yesterday"), None);
    }
}
