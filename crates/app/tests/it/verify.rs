//! Every exit status of `verify` that its help promises, each by damage of its kind.

use crate::program::{Said, run, text};
use audit::Recorder;
use event::Kind;
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

    /// A run that records this many events, two of which are its beginning and its end.
    fn add(&self, events: usize) {
        if events == 0 {
            return;
        }
        let (log, recovered) = self.reopen();
        block_on(async {
            let recorder = recorder(&log);
            recorder.begin(BTreeMap::new()).await.unwrap();
            recorder.recover(&recovered).await.unwrap();
            for _ in 2..events {
                recorder.notice(Kind::LogRead, BTreeMap::new()).await.unwrap();
            }
            recorder.end().await.unwrap();
        });
        log.close().unwrap();
    }

    fn reopen(&self) -> (Log, tlog::Recovered) {
        Log::open(&self.log(), Signer::from_text(&self.key).unwrap(), config()).unwrap()
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

fn recorder(log: &Log) -> Recorder {
    let place = audit::Place { gateway: "gw".to_owned(), region: None };
    Recorder::new(log.clone(), place, audit::Clock::start())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
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
        let report: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(
            (&report["verified"], &report["exit_status"]),
            (&(status == 10).into(), &status.into())
        );
        assert!(out.starts_with(report["verdict"].as_str().unwrap()), "{out}");
    }
    (status, format!("{out}{err}"))
}

/// The same against the log's own key, which the auditor was given.
fn trusted(site: &Site, log: &Path, more: &[&str]) -> (i32, String) {
    let own = fs::read_to_string(site.log().join("origin.vkey")).unwrap();
    status(log, &[&["--key", own.trim_end()], more].concat())
}

#[test]
fn a_whole_log_is_0_with_its_key_and_10_without() {
    for events in [0, 5] {
        let site = Site::new(events);
        let (found, out) = trusted(&site, &site.log(), &[]);
        assert_eq!(found, 0, "{out}");
        assert!(out.starts_with(&format!("valid: {events} entries verified\n")), "{out}");
        let (found, out) = status(&site.log(), &[]);
        assert_eq!(found, 10, "{out}");
        assert!(out.starts_with("unproven: "), "{out}");
    }
}

#[test]
fn a_log_that_is_being_written_is_verified_up_to_its_last_batch() {
    let site = Site::new(2);
    let (log, recovered) = site.reopen();
    block_on(async {
        let recorder = recorder(&log);
        recorder.begin(BTreeMap::new()).await.unwrap();
        recorder.recover(&recovered).await.unwrap();
    });
    let (found, out) = trusted(&site, &site.log(), &[]);
    assert_eq!(found, 0, "{out}");
    assert!(out.contains("3 entries") && out.contains("a writer has it open"), "{out}");
    log.close().unwrap();
}

#[test]
fn a_check_that_cannot_be_made_is_1() {
    let site = Site::new(2);
    let missing = site.directory.path().join("missing");
    let garbage = site.file("garbage", "not a key\n");
    for (arguments, words) in [
        (["--key", text(&missing)], "cannot read"),
        (["--key", text(&garbage)], "is no key"),
        (["--checkpoint", text(&missing)], "cannot read"),
        (["--policy", text(&garbage)], "line 1 of the policy"),
    ] {
        let (found, out) = status(&site.log(), &arguments);
        assert_eq!(found, 1, "{out}");
        assert!(out.contains(words), "{out}");
    }
    for path in [site.directory.path().to_owned(), missing] {
        let (found, out) = status(&path, &[]);
        assert_eq!(found, 1, "{out}");
    }
}

#[test]
fn anything_altered_is_11() {
    let site = Site::new(20);
    let bytes = fs::read(site.log().join(SEGMENT)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in [used / 4, used / 2, used] {
        let copy = site.copy(&format!("at-{at}"));
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        fs::write(copy.join(SEGMENT), altered).unwrap();
        let (found, out) = trusted(&site, &copy, &[]);
        assert_eq!(found, 11, "byte {at}: {out}");
        assert!(out.contains(SEGMENT), "{out}");
    }
}

#[test]
fn an_older_log_than_the_checkpoint_is_12() {
    let site = Site::new(5);
    let older = site.copy("older");
    site.add(3);
    let checkpoint = site.log().join("checkpoint");
    let given = ["--checkpoint", text(&checkpoint)];
    assert_eq!(status(&site.log(), &given).0, 0);
    let (found, out) = status(&older, &given);
    assert_eq!(found, 12, "{out}");
}

#[test]
fn a_log_cut_at_its_end_is_12() {
    let site = Site::new(5);
    let before = fs::read(site.log().join(SEGMENT)).unwrap();
    site.add(2);
    // The last batches are gone, and zeros stand in their place, as at the start.
    fs::write(site.log().join(SEGMENT), before).unwrap();
    let (found, out) = trusted(&site, &site.log(), &[]);
    assert_eq!(found, 12, "{out}");
}

#[test]
fn two_signed_histories_are_13_and_both_notes_are_kept() {
    let site = Site::new(4);
    let fork = site.copy("fork");
    site.add(3);
    let other = Site { directory: tempfile::tempdir().unwrap(), key: site.key.clone() };
    copy_all(&fork, &other.log());
    other.add(3);
    let note = other.log().join("checkpoint");
    let evidence = site.directory.path().join("evidence");
    let given = ["--checkpoint", text(&note), "--evidence", text(&evidence)];
    let (found, out) = trusted(&site, &site.log(), &given);
    assert_eq!(found, 13, "{out}");
    let kept: Vec<Vec<u8>> = fs::read_dir(&evidence)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(kept.contains(&fs::read(&note).unwrap()), "{kept:?}");
    assert!(kept.contains(&fs::read(site.log().join("checkpoint")).unwrap()), "{kept:?}");
}

#[test]
fn another_key_is_14() {
    let (site, other) = (Site::new(5), Site::new(5));
    let key = fs::read_to_string(other.log().join("origin.vkey")).unwrap();
    let key = site.file("other.pub", &key);
    let (found, out) = status(&site.log(), &["--key", text(&key)]);
    assert_eq!(found, 14, "{out}");
    let checkpoint = other.log().join("checkpoint");
    let (found, out) = status(&site.log(), &["--checkpoint", text(&checkpoint)]);
    assert_eq!(found, 14, "{out}");
}

#[test]
fn a_missing_file_is_15() {
    let site = Site::new(5);
    for (n, file) in
        [SEGMENT, "checkpoint", "tile/entries/000.p/5", "tile/0/000.p/5"].iter().enumerate()
    {
        let copy = site.copy(&format!("without-{n}"));
        fs::remove_file(copy.join(file)).unwrap();
        let (found, out) = trusted(&site, &copy, &[]);
        assert_eq!(found, 15, "{file}: {out}");
        assert!(out.contains(file.rsplit_once('.').map_or(*file, |(name, _)| name)), "{out}");
    }
}

#[test]
fn intact_entries_that_are_no_events_are_16() {
    let site = Site::new(2);
    let log = site.reopen().0;
    log.submit(b"{\"kind\":\"something\"}".to_vec()).unwrap().wait().unwrap();
    log.close().unwrap();
    let (found, out) = trusted(&site, &site.log(), &[]);
    assert_eq!(found, 16, "{out}");
    assert!(out.contains("entry 2"), "{out}");
    assert_eq!(trusted(&site, &site.log(), &["--opaque"]).0, 0);
}

#[test]
fn too_few_witnesses_are_17() {
    let site = Site::new(2);
    let own = fs::read_to_string(site.log().join("origin.vkey")).unwrap();
    let (witness, _) =
        Signer::generate_for("w.example", note::Algorithm::Ed25519Cosignature).unwrap();
    let policy =
        format!("log {}\nwitness w {}\nquorum w\n", own.trim_end(), witness.verifier().to_text());
    let policy = site.file("policy", &policy);
    let (found, out) = status(&site.log(), &["--policy", text(&policy)]);
    assert_eq!(found, 17, "{out}");
    let path = site.log().join("checkpoint");
    let signed = fs::read_to_string(&path).unwrap();
    let (body, _) = signed.split_once("\n\n").unwrap();
    let line = note::cosign(&format!("{body}\n"), &witness, 1_700_000_000).unwrap();
    fs::write(&path, format!("{signed}{line}")).unwrap();
    let (found, out) = status(&site.log(), &["--policy", text(&policy)]);
    assert_eq!(found, 0, "{out}");
    assert!(out.starts_with("witnessed: "), "{out}");
}

#[test]
fn an_unfinished_write_is_18_until_the_log_is_opened() {
    let site = Site::new(5);
    let copy = site.copy("unfinished");
    let before = fs::read(copy.join(SEGMENT)).unwrap();
    site.add(2);
    let after = fs::read(site.log().join(SEGMENT)).unwrap();
    let start = first_difference(&before, &after);
    let mut torn = before;
    let middle = start + 100;
    torn[start..middle].copy_from_slice(&after[start..middle]);
    fs::write(copy.join(SEGMENT), torn).unwrap();
    let (found, out) = trusted(&site, &copy, &[]);
    assert_eq!(found, 18, "{out}");
    let signer = Signer::from_text(&site.key).unwrap();
    Log::open(&copy, signer, config()).unwrap().0.close().unwrap();
    assert_eq!(trusted(&site, &copy, &[]).0, 0);
}
