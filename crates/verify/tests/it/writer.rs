//! The verifier agrees with the writer about what a log is.

use note::{Action, Note, Sign, Signer, Statement, Verifier, signature_line};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tlog::{Committed, Config, Keys, Log};
use verify::{Directory, Entries, Failure, LooksAt, Options, Report, Sample, Verdict, verify};

const ORIGIN: &str = "example.com/log";

fn signer() -> Arc<dyn Sign> {
    Arc::new(Signer::generate(ORIGIN).unwrap().0)
}

fn keys(log: &[&Arc<dyn Sign>]) -> Keys {
    Keys { log: log.iter().map(|key| Arc::clone(key)).collect() }
}

fn config() -> Config {
    let mut config = Config::new(Arc::new(|| 1_700_000_000_000));
    config.segment_bytes = 16 << 10;
    config.batch_entries = 8;
    config.free_bytes_min = 0;
    config
}

fn append(log: &Log, range: std::ops::Range<usize>) -> Vec<Committed> {
    let entry =
        |index: usize| format!("entry {index}: {}", "x".repeat(index % 7 * 20)).into_bytes();
    let pending: Vec<_> = range.map(|index| log.submit(entry(index)).unwrap()).collect();
    pending.into_iter().map(|one| one.wait().unwrap()).collect()
}

fn judge(dir: &Path, pins: &[&Verifier], checkpoints: &[Vec<u8>]) -> Result<Report, Failure> {
    let options = Options {
        keys: pins.iter().map(|key| (*key).clone()).collect(),
        checkpoints: checkpoints.to_vec(),
        entries: Entries::Opaque,
        ..Options::default()
    };
    verify(&Directory::new(dir), &options, &mut ())
}

fn statement(log: &Log, action: Action, by: &[&Arc<dyn Sign>]) {
    let ordinal = log.next_statement();
    let statement = Statement { origin: ORIGIN.to_owned(), ordinal, action, time_ms: 1 };
    let text = statement.to_text();
    let mut note = Note::sign(&text, by[0].as_ref()).unwrap();
    for key in &by[1..] {
        note += &signature_line(&text, key.as_ref()).unwrap();
    }
    log.add_statement(note.as_bytes()).unwrap();
}

#[test]
fn an_empty_log_and_one_that_grew_over_several_openings_verify() {
    let (dir, key) = (tempfile::tempdir().unwrap(), signer());
    let dir = dir.path().join("log");
    Log::create(&dir, keys(&[&key]), config()).unwrap().close().unwrap();
    assert_eq!(judge(&dir, &[key.verifier()], &[]).unwrap().entries, 0);
    let mut kept = Vec::new();
    for step in 0..5 {
        let (log, _) = Log::open(&dir, keys(&[&key]), config()).unwrap();
        append(&log, step * 130..(step + 1) * 130);
        log.publish().unwrap();
        kept.push(fs::read(dir.join("checkpoint")).unwrap());
        log.close().unwrap();
        let report = judge(&dir, &[key.verifier()], &kept).unwrap();
        assert_eq!(report.entries, u64::try_from((step + 1) * 130).unwrap());
        assert_eq!((report.verdict, report.looks_at), (Verdict::Valid, LooksAt::Segments));
    }
    // A log of another key is told from it.
    assert_eq!(judge(&dir, &[signer().verifier()], &[]).unwrap_err().verdict, Verdict::WrongKey);
}

#[test]
fn a_log_that_is_open_verifies_while_it_grows() {
    let (dir, key) = (tempfile::tempdir().unwrap(), signer());
    let dir = dir.path().join("log");
    let log = Log::create(&dir, keys(&[&key]), config()).unwrap();
    for step in 0..20 {
        append(&log, step * 30..(step + 1) * 30);
        if step % 3 == 0 {
            log.publish().unwrap();
        }
        let report = judge(&dir, &[key.verifier()], &[]).unwrap();
        assert!(report.live);
        assert_eq!(report.entries, u64::try_from((step + 1) * 30).unwrap());
    }
    log.close().unwrap();
    assert!(!judge(&dir, &[key.verifier()], &[]).unwrap().live);
}

#[test]
fn rotation_retirement_and_revocation_of_the_writer_are_understood() {
    let (dir, first, second, third) = (tempfile::tempdir().unwrap(), signer(), signer(), signer());
    let dir = dir.path().join("log");
    let log = Log::create(&dir, keys(&[&first]), config()).unwrap();
    append(&log, 0..50);
    log.publish().unwrap();
    let rotate = Action::Rotate { key: second.verifier().clone(), size: 50 };
    statement(&log, rotate, &[&first, &second]);
    log.close().unwrap();
    let (log, _) = Log::open(&dir, keys(&[&second, &first]), config()).unwrap();
    append(&log, 50..100);
    log.publish().unwrap();
    let good = log.checkpoint();
    let rotate = Action::Rotate { key: third.verifier().clone(), size: 100 };
    statement(&log, rotate, &[&second, &third]);
    log.close().unwrap();
    let (log, _) = Log::open(&dir, keys(&[&third, &second]), config()).unwrap();
    append(&log, 100..150);
    log.publish().unwrap();
    // What the first key signed after entry 100 counts for nothing any more.
    let (key, size, root) = (first.verifier().clone(), good.size, good.root);
    statement(&log, Action::Revoke { key, size, root }, &[&second]);
    log.close().unwrap();
    for pin in [&first, &second, &third] {
        let report = judge(&dir, &[pin.verifier()], &[]).unwrap();
        assert_eq!((report.entries, report.keys.len()), (150, 3));
        assert_eq!((report.keys[0].last, report.keys[0].revoked), (Some(100), true));
    }
}

#[test]
fn a_log_that_was_pruned_verifies() {
    let (dir, key) = (tempfile::tempdir().unwrap(), signer());
    let dir = dir.path().join("log");
    let log = Log::create(&dir, keys(&[&key]), config()).unwrap();
    append(&log, 0..1000);
    log.publish().unwrap();
    let root = judge(&dir, &[key.verifier()], &[]).unwrap().root;
    for minimum in [256, 768] {
        log.prune(minimum).unwrap();
        let report = judge(&dir, &[key.verifier()], &[]).unwrap();
        assert_eq!((report.minimum, report.root), (minimum, root));
    }
    log.close().unwrap();
    judge(&dir, &[key.verifier()], &[]).unwrap();
    fs::remove_file(dir.join("pruned")).unwrap();
    assert_eq!(judge(&dir, &[key.verifier()], &[]).unwrap_err().verdict, Verdict::Missing);
}

#[test]
fn a_copy_of_the_published_files_verifies_whole_and_by_sample() {
    let (dir, key) = (tempfile::tempdir().unwrap(), signer());
    let dir = dir.path().join("log");
    let log = Log::create(&dir, keys(&[&key]), config()).unwrap();
    append(&log, 0..700);
    log.publish().unwrap();
    log.close().unwrap();
    let whole = judge(&dir, &[key.verifier()], &[]).unwrap();
    fs::remove_dir_all(dir.join("segments")).unwrap();
    fs::remove_file(dir.join("lock")).unwrap();
    let published = judge(&dir, &[key.verifier()], &[]).unwrap();
    assert_eq!((published.looks_at, published.root), (LooksAt::Published, whole.root));
    let options = Options {
        entries: Entries::Opaque,
        sample: Some(Sample::Percent { percent: 5, seed: 1 }),
        ..Options::default()
    };
    let sampled = verify(&Directory::new(&dir), &options, &mut ()).unwrap();
    assert_eq!(sampled.looks_at, LooksAt::SampledTiles { entries: 35, seed: 1 });
}
