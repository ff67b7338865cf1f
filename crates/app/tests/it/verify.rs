//! Every exit status of `verify` that its help promises, each by damage of its kind.

use crate::program::{Said, run, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tlog::{Log, Signer};

/// A log and the key that signs it.
struct Site {
    directory: TempDir,
    key: String,
}

impl Site {
    /// A closed log of this many events.
    fn new(events: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (signer, key) = Signer::generate("example.com/log").unwrap();
        let site = Self { directory, key: key.to_string() };
        Log::create(&site.log(), signer, config()).unwrap().close().unwrap();
        site.add(events);
        site
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn open(&self) -> Log {
        Log::open(&self.log(), Signer::from_text(&self.key).unwrap(), config()).unwrap().0
    }

    fn add(&self, events: usize) {
        let log = self.open();
        for _ in 0..events {
            log.submit(event(&log)).unwrap().wait().unwrap();
        }
        log.close().unwrap();
    }

    /// A copy of the log as it is now.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.directory.path().join(name);
        copy_all(&self.log(), &copy);
        copy
    }

    /// Another file beside the log.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn config() -> tlog::Config {
    let mut config = tlog::Config::new(Arc::new(|| 1_700_000_000_000));
    config.segment_bytes = 1 << 17;
    config.free_bytes_min = 0;
    config
}

fn event(log: &Log) -> Vec<u8> {
    let place = audit::Place { gateway: "gw".to_owned(), region: None };
    let recorder = audit::Recorder::new(log.clone(), place, audit::Clock::start());
    let stamp = recorder.stamp(None, None);
    event::Event::notice(stamp, event::Kind::GatewayStarted, BTreeMap::new()).encode().unwrap()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_all(&path, &copy);
        } else {
            fs::copy(&path, &copy).unwrap();
        }
    }
}

const SEGMENT: &str = "segments/00000000000000000000.seg";

/// Where two files first differ.
fn first_difference(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).position(|(a, b)| a != b).unwrap()
}

/// Runs `verify` on a log, in both forms, which agree on the status.
fn status(log: &Path, more: &[&str]) -> (i32, String) {
    let arguments = [&["verify", text(log)][..], more].concat();
    let Said { status, out, err } = run(&arguments);
    let json = run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(json.status, status, "{out}{err}");
    let status = status.unwrap();
    if status >= 10 {
        assert!(out.starts_with("log does NOT verify: "), "{out}{err}");
        let report: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((&report["verified"], &report["exit_status"]), (&false.into(), &status.into()));
        assert!(out.contains(report["what"].as_str().unwrap()), "{out}");
    }
    (status, format!("{out}{err}"))
}

#[test]
fn a_whole_log_is_0() {
    let site = Site::new(5);
    let (status, out) = status(&site.log(), &[]);
    assert_eq!(status, 0, "{out}");
    assert!(out.starts_with("log verified: 5 entries\n"), "{out}");
    let empty = Site::new(0);
    assert_eq!(self::status(&empty.log(), &[]).0, 0);
}

#[test]
fn a_log_that_is_being_written_is_0() {
    let site = Site::new(2);
    let log = site.open();
    log.submit(event(&log)).unwrap().wait().unwrap();
    let (status, out) = status(&site.log(), &[]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("3 entries") && out.contains("is being written"), "{out}");
    log.close().unwrap();
}

#[test]
fn a_check_that_cannot_be_made_is_1() {
    let site = Site::new(1);
    let missing = site.directory.path().join("missing");
    let garbage = site.file("garbage", "not a key\n");
    for (arguments, words) in [
        (["--key", text(&missing)], "cannot read verifier key"),
        (["--key", text(&garbage)], "is not a verifier key"),
        (["--checkpoint", text(&missing)], "cannot read checkpoint"),
    ] {
        let (status, out) = status(&site.log(), &arguments);
        assert_eq!(status, 1, "{out}");
        assert!(out.contains(words), "{out}");
    }
}

#[test]
fn anything_altered_is_10() {
    let site = Site::new(20);
    let bytes = fs::read(site.log().join(SEGMENT)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in [used / 4, used / 2, used] {
        let copy = site.copy(&format!("at-{at}"));
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        fs::write(copy.join(SEGMENT), altered).unwrap();
        let (status, out) = status(&copy, &[]);
        assert!(status == 10 || status == 12, "byte {at}: {out}");
        assert!(at == used || status == 10, "byte {at}: {out}");
        assert!(out.contains(SEGMENT), "{out}");
    }
}

#[test]
fn an_older_log_than_the_checkpoint_is_11() {
    let site = Site::new(5);
    let older = site.copy("older");
    site.add(3);
    let checkpoint = site.log().join("checkpoint");
    let given = ["--checkpoint", text(&checkpoint)];
    assert_eq!(status(&site.log(), &given).0, 0);
    let (status, out) = status(&older, &given);
    assert_eq!(status, 11, "{out}");
}

#[test]
fn a_log_cut_at_its_end_is_11() {
    let site = Site::new(5);
    let before = fs::read(site.log().join(SEGMENT)).unwrap();
    site.add(1);
    // The last batch is gone, and zeros stand in its place, as at the start.
    fs::write(site.log().join(SEGMENT), before).unwrap();
    let (status, out) = status(&site.log(), &[]);
    assert_eq!(status, 11, "{out}");
}

#[test]
fn another_key_or_signature_is_12() {
    let (site, other) = (Site::new(5), Site::new(5));
    let key = fs::read_to_string(other.log().join("origin.vkey")).unwrap();
    let key = site.file("other.pub", &key);
    let (found, out) = status(&site.log(), &["--key", text(&key)]);
    assert_eq!(found, 12, "{out}");
    let checkpoint = other.log().join("checkpoint");
    let (found, out) = status(&site.log(), &["--checkpoint", text(&checkpoint)]);
    assert_eq!(found, 12, "{out}");
    let own = fs::read_to_string(site.log().join("origin.vkey")).unwrap();
    let own = site.file("own.pub", &own);
    assert_eq!(status(&site.log(), &["--key", text(&own)]).0, 0);
}

#[test]
fn an_unfinished_write_is_13_until_the_log_is_opened() {
    let site = Site::new(5);
    let copy = site.copy("unfinished");
    let before = fs::read(copy.join(SEGMENT)).unwrap();
    site.add(1);
    let after = fs::read(site.log().join(SEGMENT)).unwrap();
    let start = first_difference(&before, &after);
    let end = after.iter().rposition(|byte| *byte != 0).unwrap();
    let mut torn = before;
    let middle = start + (end - start) / 2;
    torn[start..middle].copy_from_slice(&after[start..middle]);
    fs::write(copy.join(SEGMENT), torn).unwrap();
    let (found, out) = status(&copy, &[]);
    assert_eq!(found, 13, "{out}");
    let signer = Signer::from_text(&site.key).unwrap();
    Log::open(&copy, signer, config()).unwrap().0.close().unwrap();
    assert_eq!(status(&copy, &[]).0, 0);
}

#[test]
fn a_missing_file_is_14() {
    let site = Site::new(5);
    for (n, file) in
        [SEGMENT, "checkpoint", "tile/entries/000.p/5", "tile/0/000.p/5"].iter().enumerate()
    {
        let copy = site.copy(&format!("without-{n}"));
        fs::remove_file(copy.join(file)).unwrap();
        let (status, out) = status(&copy, &[]);
        assert_eq!(status, 14, "{file}: {out}");
        assert!(out.contains(file.rsplit_once('.').map_or(*file, |(name, _)| name)), "{out}");
    }
}

#[test]
fn what_is_no_log_is_15() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("missing")] {
        let (status, out) = status(&path, &[]);
        assert_eq!(status, 15, "{out}");
    }
}

#[test]
fn intact_entries_that_are_no_events_are_16() {
    let site = Site::new(2);
    let log = site.open();
    log.submit(b"{\"kind\":\"something\"}".to_vec()).unwrap().wait().unwrap();
    log.close().unwrap();
    let (status, out) = status(&site.log(), &[]);
    assert_eq!(status, 16, "{out}");
    assert!(out.contains("entry 2"), "{out}");
    let report = run(&["verify", text(&site.log()), "--json"]);
    let report: Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(report["entry"], 2);
}
