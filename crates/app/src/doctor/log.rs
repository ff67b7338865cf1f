//! The log: its keys, its directory, its disk, and whether a gateway writes to it now.

use super::finding::Finding;
use crate::config::{Config, LogConfig};
use crate::opening;
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};
use tlog::{KeyRole, Reader};

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let log = &config.log;
    if !log.directory.join("origin.vkey").exists() {
        return vec![
            Finding::error("log", format!("there is no log in `{}`", log.directory.display()))
                .because("the gateway does not start; it never makes a log by itself")
                .so("`countersign init` makes one; a log that was there must be restored whole"),
        ];
    }
    let mut findings = vec![writable(&log.directory), keys(log), space(log)];
    findings.push(match sync_time(&log.directory) {
        Ok(taken) => sync(taken),
        Err(error) => Finding::error("disk-speed", format!("nothing can be written: {error}"))
            .because("every call waits for a write to this disk")
            .so("look at the disk and at who owns the directory"),
    });
    findings
}

/// Whether a gateway, or another writer, has the log open.
pub(super) fn is_running(directory: &Path) -> bool {
    let lock = File::options().read(true).write(true).open(directory.join("lock"));
    // The lock that was gained goes with the file, at the end of this line.
    lock.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn writable(directory: &Path) -> Finding {
    let shown = directory.display();
    // A file without a name: nobody ever sees it.
    match tempfile::tempfile_in(directory) {
        Ok(_) => Finding::ok("log", format!("`{shown}` can be written")),
        Err(error) => Finding::error("log", format!("`{shown}` cannot be written: {error}"))
            .because("no record, no call")
            .so("give the directory to the user that the gateway runs as"),
    }
}

/// Whether every configured key can be read, and signs this log by the log's own statements.
fn keys(log: &LogConfig) -> Finding {
    let held = match opening::keys(log) {
        Ok(held) => held,
        Err(error) => {
            return Finding::error("keys", format!("{error:#}"))
                .because("the gateway cannot sign the log")
                .so("restore the key, or give it mode 0600");
        }
    };
    let stated = Reader::open(&log.directory).and_then(|reader| reader.keys());
    let stated = match stated {
        Ok(stated) => stated,
        Err(error) => {
            return Finding::error("keys", format!("the log does not say its keys: {error}"))
                .because("the gateway does not start with a log that was altered")
                .so("`countersign verify` says what is wrong with it");
        }
    };
    for key in &held {
        let verifier = key.verifier();
        let state = stated.iter().find(|state| state.key == *verifier);
        match state {
            Some(state) if state.role == KeyRole::Log && state.until.is_none() => {}
            Some(_) => {
                return Finding::error("keys", "a configured key signs this log no more")
                    .because("what it signs counts for nothing")
                    .so("take it out of the configuration; `countersign keys list` shows which");
            }
            None => {
                return Finding::error("keys", "a configured key is none of this log's")
                    .because("the gateway does not start with the key of another log")
                    .so("compare `[log] key` with `countersign keys list`");
            }
        }
    }
    Finding::ok("keys", format!("{} keys are readable and sign this log", held.len()))
}

fn space(log: &LogConfig) -> Finding {
    let free = match rustix::fs::statvfs(&log.directory) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            return Finding::warning("disk-space", format!("it cannot be found out: {error}"))
                .because("a full disk refuses every call")
                .so("look at the disk yourself");
        }
    };
    space_left(free, log.free_bytes_min, log.segment_bytes)
}

fn space_left(free: u64, min: u64, segment: u64) -> Finding {
    let shown = format!("{} MiB are free", free >> 20);
    if free < min.saturating_add(segment) {
        return Finding::error("disk-space", shown)
            .because(
                "below `free_bytes_min` every call is refused, and the next segment needs room",
            )
            .so("make room, or move the log to a larger disk");
    }
    if free < min.saturating_add(segment.saturating_mul(8)) {
        return Finding::warning("disk-space", shown)
            .because("there is room for a few segments only, then every call is refused")
            .so("make room, or prune what may go (`[log.retention]`)");
    }
    Finding::ok("disk-space", shown)
}

/// The median time of a durable write to this disk.
fn sync_time(directory: &Path) -> io::Result<Duration> {
    let mut file = tempfile::tempfile_in(directory)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
}

fn sync(taken: Duration) -> Finding {
    let shown = format!("a durable write takes {:.1} ms", taken.as_secs_f64() * 1_000.0);
    if taken > SYNC_BAD {
        return Finding::error("disk-speed", shown)
            .because("every call waits for at least one such write")
            .so("put the log on a local disk; network file systems are no place for it");
    }
    if taken > SYNC_SLOW {
        return Finding::warning("disk-speed", shown)
            .because("every call waits for at least one such write")
            .so("put the log on a local SSD");
    }
    Finding::ok("disk-speed", shown)
}

const SYNCS: usize = 15;
const SYNC_SLOW: Duration = Duration::from_millis(20);
const SYNC_BAD: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::{check, is_running, keys, space_left, sync, sync_time, writable};
    use crate::config::{Config, LogConfig};
    use crate::setup;
    use std::path::Path;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    fn made(directory: &Path) -> LogConfig {
        let plan = setup::Plan {
            gateway: "gw",
            server: "crm",
            listen: "127.0.0.1:0",
            upstream: "url = \"http://127.0.0.1:1/mcp\"\n".to_owned(),
            identity: "[identity]\nallow_anonymous = true\n".to_owned(),
            policy: policy::STARTER_POLICY,
            segment_bytes: MIB,
        };
        setup::make(directory, &plan).unwrap();
        Config::load(&directory.join("countersign.toml")).unwrap().log
    }

    #[test]
    fn room_is_judged_by_what_the_log_needs() {
        assert_eq!(space_left(100 * MIB, 128 * MIB, 64 * MIB).level, Level::Error);
        assert_eq!(space_left(300 * MIB, 128 * MIB, 64 * MIB).level, Level::Warning);
        assert_eq!(space_left(9_000 * MIB, 128 * MIB, 64 * MIB).level, Level::Ok);
    }

    #[test]
    fn a_slow_disk_is_found() {
        assert_eq!(sync(Duration::from_millis(1)).level, Level::Ok);
        assert_eq!(sync(Duration::from_millis(21)).level, Level::Warning);
        assert_eq!(sync(Duration::from_millis(501)).level, Level::Error);
        let directory = tempfile::tempdir().unwrap();
        assert!(sync_time(directory.path()).unwrap() > Duration::ZERO);
        assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_log_that_is_not_there_is_found() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(writable(&directory.path().join("none")).level, Level::Error);
        let log = made(&directory.path().join("gw"));
        assert!(!is_running(&log.directory));
        let lock = std::fs::File::open(log.directory.join("lock")).unwrap();
        lock.try_lock().unwrap();
        assert!(is_running(&log.directory));
        std::fs::remove_file(log.directory.join("origin.vkey")).unwrap();
        let config = Config::load(&directory.path().join("gw/countersign.toml")).unwrap();
        let found = check(&config);
        assert_eq!((found.len(), found[0].level), (1, Level::Error));
    }

    #[test]
    fn a_key_must_be_readable_and_the_logs_own() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = made(&directory.path().join("gw"));
        assert_eq!(keys(&log).level, Level::Ok, "{}", keys(&log));
        let other = directory.path().join("other.key");
        setup::make_key("countersign.local/gw", &other).unwrap();
        log.key = keys::Source::File(other.clone());
        assert!(keys(&log).what.contains("none of this log's"), "{}", keys(&log));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let open = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(&other, open).unwrap();
            assert_eq!(keys(&log).level, Level::Error);
        }
        log.key = keys::Source::File(directory.path().join("gone.key"));
        assert_eq!(keys(&log).level, Level::Error);
    }
}
