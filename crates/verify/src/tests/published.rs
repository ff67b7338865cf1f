//! Logs without segments: copies of the published files, and addresses.

use super::fixture::{Files, Plan, Teller, judge, options, pinned, signer, vkey_line};
use crate::check::Check;
use crate::failure::{Failure, Verdict};
use crate::http::Http;
use crate::log::verify;
use crate::options::{Entries, Options, Sample};
use crate::report::{LooksAt, Report};
use crate::source::{Source, SourceError};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Published files that cannot be listed, as behind an address.
pub(super) struct Memory(pub(super) Files);

impl Source for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.0.get(path).cloned().ok_or(SourceError::NotFound)
    }
}

fn judge_memory(files: &Files, options: &Options<'_>) -> Result<Report, Failure> {
    verify(&Memory(files.clone()), options, &mut ())
}

fn sampled(count: u64, seed: u64) -> Options<'static> {
    Options { sample: Some(Sample::Entries { count, seed }), ..pinned() }
}

/// A log of three hundred events, so that tiles are full.
pub(super) fn large() -> Plan {
    let mut teller = Teller::default();
    teller.start();
    for call in 0..200 {
        let session = ["", "s1", "s2"][usize::try_from(call % 3).unwrap()];
        let asked = teller.asked(1000 + call, session);
        teller.answered(1000 + call, asked, session);
    }
    teller.heartbeat(0, None, 2);
    teller.stop();
    Plan { batch: 50, ..Plan::new(teller.entries) }
}

#[test]
fn published_files_are_enough() {
    for plan in [Plan::usual(), large()] {
        let files = plan.published_files();
        let whole = judge(&plan.files(), &pinned()).unwrap();
        for report in [judge(&files, &pinned()), judge_memory(&files, &pinned())] {
            let report = report.unwrap();
            assert_eq!(report.looks_at, LooksAt::Published);
            assert_eq!((report.entries, report.root), (whole.entries, whole.root));
            assert_eq!(report.counts, whole.counts);
            assert_eq!(report.not_looked_at().len(), 1);
        }
        assert_eq!(whole.looks_at, LooksAt::Segments);
        assert!(whole.not_looked_at().is_empty());
    }
}

#[test]
fn an_altered_full_bundle_is_altered_and_not_incomplete() {
    let files = large().published_files();
    let path = "tile/entries/000";
    for at in [2, 3, 100, files[path].len() / 2] {
        let mut altered = files.clone();
        altered.get_mut(path).unwrap()[at] ^= 1;
        let failure = judge(&altered, &pinned()).unwrap_err();
        assert_eq!((failure.verdict, failure.path.as_str()), (Verdict::Altered, path), "{failure}");
    }
}

#[test]
fn a_full_tile_stands_for_a_partial_one() {
    let plan = Plan { published: Some(300), ..large() };
    let mut files = plan.published_files();
    let whole = Plan { published: None, ..large() };
    // The log went on since the checkpoint was read.
    files.retain(|path, _| !path.contains(".p/"));
    let later = {
        let mut entries = large().entries;
        let more = entries.clone();
        entries.extend(more);
        Plan { batch: 50, ..Plan::new(entries) }.published_files()
    };
    files.extend(later.into_iter().filter(|(path, _)| path.starts_with("tile/")));
    let opaque = Options { entries: Entries::Opaque, ..pinned() };
    // One item of level 1 is in no full tile, whatever comes later.
    let partial = plan.published_files().remove("tile/1/000.p/1").unwrap();
    files.insert("tile/1/000.p/1".to_owned(), partial);
    judge_memory(&files, &opaque).unwrap();
    judge_memory(&files, &Options { entries: Entries::Opaque, ..sampled(50, 3) }).unwrap();
    drop(whole);
}

#[test]
fn every_altered_entry_is_found_when_all_are_sampled_and_some_are_otherwise() {
    let plan = large();
    let files = plan.published_files();
    let report = judge_memory(&files, &sampled(20, 1)).unwrap();
    assert_eq!(report.looks_at, LooksAt::SampledProofs { entries: 20, seed: 1 });
    assert!(3 <= report.not_looked_at().len());
    assert_eq!(report.counts, None);
    let report = judge(&plan.files(), &sampled(20, 1)).unwrap();
    assert_eq!(report.looks_at, LooksAt::SampledTiles { entries: 20, seed: 1 });
    let mut altered = files;
    let bundle = altered.get_mut("tile/entries/000").unwrap();
    // A letter of the kind of the third event.
    let at = bundle.windows(5).enumerate().filter(|(_, window)| window == b"asked").nth(1).unwrap();
    let at = at.0;
    bundle[at] ^= 1;
    let failure = judge_memory(&altered, &sampled(10_000, 1)).unwrap_err();
    assert_eq!(failure.check, Some(Check::SampleProof), "{failure}");
    let found = (0..200).filter(|seed| judge_memory(&altered, &sampled(100, *seed)).is_err());
    let found = found.count();
    assert!((20..100).contains(&found), "a quarter of the entries: {found} of 200");
}

#[test]
fn the_hash_tiles_are_verified_whole_with_a_sample_of_a_directory() {
    let mut files = large().published_files();
    for path in ["tile/0/000", "tile/0/001.p/147", "tile/1/000.p/1"] {
        let mut altered = files.clone();
        altered.get_mut(path).unwrap()[7] ^= 1;
        let failure = judge(&altered, &sampled(1, 1)).unwrap_err();
        assert_eq!(failure.verdict, Verdict::Altered, "{path}: {failure}");
        altered.remove(path);
        let failure = judge(&altered, &sampled(1, 1)).unwrap_err();
        assert_eq!(failure.verdict, Verdict::Missing, "{path}: {failure}");
    }
    let keep = large().note(100);
    let options = Options { checkpoints: vec![keep.clone()], ..sampled(3, 9) };
    assert_eq!(judge(&files, &options).unwrap().given_sizes, [100]);
    assert_eq!(judge_memory(&files, &options).unwrap().given_sizes, [100]);
    // Another history of the same length.
    let mut entries = large().entries;
    entries[50] = json!({}).to_string().into_bytes();
    files = Plan::new(entries).published_files();
    for failure in [judge(&files, &options), judge_memory(&files, &options)] {
        let failure = failure.unwrap_err();
        assert_eq!((failure.verdict, failure.evidence.len()), (Verdict::Forked, 2));
        assert_eq!(failure.evidence[0].bytes, keep);
    }
}

/// Serves files to one client after the other until the listener is closed.
fn serve(listener: TcpListener, files: &Files) {
    let listener = listener;
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches("/log/");
        if path == "/stop" {
            return;
        }
        let mut rest = String::new();
        while reader.read_line(&mut rest).is_ok_and(|read| read > 2) {
            rest.clear();
        }
        answer(stream, files.get(path));
    }
}

fn answer(mut stream: TcpStream, found: Option<&Vec<u8>>) {
    let (status, body) = match found {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", b"".as_slice()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok();
}

#[test]
fn a_log_behind_an_address_is_verified() {
    let files = large().published_files();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let files = &files;
        scope.spawn(move || serve(listener, files));
        let source = Http::new(&format!("http://{address}/log/")).unwrap();
        let options = Options { threads: None, ..pinned() };
        let report = verify(&source, &options, &mut ()).unwrap();
        assert_eq!((report.looks_at, report.entries), (LooksAt::Published, 403));
        verify(&source, &sampled(5, 1), &mut ()).unwrap();
        assert_eq!(source.read("missing"), Err(SourceError::NotFound));
        TcpStream::connect(address).unwrap().write_all(b"GET /stop HTTP/1.1\r\n\r\n").unwrap();
    });
    let gone = Http::new(&format!("http://{address}/log")).unwrap();
    let failure = verify(&gone, &pinned(), &mut ()).unwrap_err();
    assert_eq!(failure.verdict, Verdict::Unreadable);
}

#[test]
fn a_log_alone_is_valid_and_proves_nothing() {
    let files = Plan::usual().published_files();
    assert_eq!(judge(&files, &options()).unwrap().verdict, Verdict::Unproven);
    assert_eq!(judge(&files, &pinned()).unwrap().verdict, Verdict::Valid);
    let kept = Options { checkpoints: vec![Plan::usual().note(9)], ..options() };
    assert_eq!(judge(&files, &kept).unwrap().verdict, Verdict::Valid);
    // A log of one's own making passes only for itself.
    let forged = Plan { log: signer(super::fixture::ORIGIN, 9), ..Plan::usual() };
    let forged = forged.published_files();
    assert_ne!(forged["origin.vkey"], vkey_line(&signer(super::fixture::ORIGIN, 1)));
    assert_eq!(judge(&forged, &options()).unwrap().verdict, Verdict::Unproven);
    assert_eq!(judge(&forged, &pinned()).unwrap_err().verdict, Verdict::WrongKey);
    assert_eq!(judge(&forged, &kept).unwrap_err().verdict, Verdict::WrongKey);
}

#[test]
fn timestamps_are_found_by_name_and_by_the_events_that_tell_of_them() {
    let mut teller = Teller::default();
    teller.start();
    teller.tell("policy.changed", "", json!({}));
    let note = Plan::new(teller.entries.clone()).note(2);
    let sha256 = note::Hash::of(&note).to_string();
    let details = json!({ "sha256": sha256, "size": "2" });
    teller.tell("log.timestamped", "", json!({ "details": details }));
    let mut plan = Plan::new(teller.entries);
    plan.files.insert("timestamps/2.note".to_owned(), note);
    plan.files.insert("timestamps/2.tsr".to_owned(), b"x".to_vec());
    let mut files = plan.published_files();
    for report in [judge(&files, &pinned()), judge_memory(&files, &pinned())] {
        let stamps = report.unwrap().stamps;
        assert_eq!((stamps.len(), stamps[0].size, stamps[0].time_ms), (1, 2, None));
    }
    let roots = std::fs::read("tests/golden/tsa-root.pem").unwrap();
    let options = Options { tsa_roots: Some(roots), ..pinned() };
    assert_eq!(judge_memory(&files, &options).unwrap_err().check, Some(Check::StampToken));
    // A writer that was stopped before the answer came leaves the note alone.
    let mut alone = Plan::usual();
    alone.files.insert("timestamps/6.note".to_owned(), alone.note(6));
    assert_eq!(judge(&alone.files(), &pinned()).unwrap().remarks.len(), 1);
    files.remove("timestamps/2.tsr");
    assert_eq!(judge_memory(&files, &pinned()).unwrap_err().check, Some(Check::StampEvents));
}
