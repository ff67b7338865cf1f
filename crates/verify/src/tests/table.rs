//! One altered log for every check, which fails by this check and no longer fails by it when it is left out:
//! who takes a check out of the verifier makes this test fail.

use super::fixture::{
    Files, ORIGIN, Plan, Teller, frame, judge_dir, naive_root, options, pinned, sign_text, signer,
    statement, usual_events, uuid, vkey_line, witness, write,
};
use super::published::Memory;
use super::receipts;
use crate::check::{Check, Checks};
use crate::directory::Directory;
use crate::failure::Failure;
use crate::log::verify_with;
use crate::options::{Options, Sample};
use crate::report::Report;
use note::{Action, Checkpoint, Epoch, Hash, Policy, Pruned};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;

/// An altered log.
struct Case {
    check: Check,
    files: Files,
    options: Options<'static>,
    /// The other copy to compare with.
    other: Option<Files>,
    /// Read through a source that is no directory.
    remote: bool,
}

impl Case {
    fn new(check: Check, files: Files) -> Self {
        Self { check, files, options: pinned(), other: None, remote: false }
    }

    fn judge(&self, skipped: Option<Check>) -> Result<Report, Failure> {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = Directory::new(other.path());
        let mut options = options();
        options.keys.clone_from(&self.options.keys);
        options.policy.clone_from(&self.options.policy);
        options.checkpoints.clone_from(&self.options.checkpoints);
        options.tsa_roots.clone_from(&self.options.tsa_roots);
        options.sample = self.options.sample;
        if let Some(files) = &self.other {
            write(other.path(), files);
            options.compare = Some(&source);
        }
        if self.remote {
            return verify_with(&Memory(self.files.clone()), &options, &mut (), Checks { skipped });
        }
        write(dir.path(), &self.files);
        judge_dir(dir.path(), &options, skipped)
    }
}

/// The usual log with one file set.
fn with(path: &str, bytes: &[u8]) -> Files {
    let mut files = Plan::usual().files();
    files.insert(path.to_owned(), bytes.to_vec());
    files
}

fn without(path: &str) -> Files {
    let mut files = Plan::usual().files();
    files.remove(path).unwrap();
    files
}

/// The usual log with one file changed.
fn changed(path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
    let mut files = Plan::usual().files();
    change(files.get_mut(path).unwrap());
    files
}

/// The usual log made otherwise.
fn made(change: impl FnOnce(&mut Plan)) -> Files {
    let mut plan = Plan::usual();
    change(&mut plan);
    plan.files()
}

fn told(tell: impl FnOnce(&mut Teller)) -> Files {
    let mut teller = Teller::default();
    tell(&mut teller);
    Plan::new(teller.entries).files()
}

/// The usual events with one changed, and what follows left as it was.
fn event(index: usize, from: &str, to: &str) -> Files {
    let mut entries = usual_events().entries;
    let text = String::from_utf8(entries[index].clone()).unwrap();
    let altered = text.replacen(from, to, 1);
    assert_ne!(altered, text);
    entries[index] = altered.into_bytes();
    Plan::new(entries).files()
}

fn checkpoint(size: u64, root: Hash) -> Vec<u8> {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
    checkpoint.sign(&signer(ORIGIN, 1)).unwrap().into_bytes()
}

fn foreign_note() -> Vec<u8> {
    Plan::usual().checkpoint(6).sign(&signer(ORIGIN, 9)).unwrap().into_bytes()
}

fn rotate(size: u64) -> Action {
    Action::Rotate { key: signer(ORIGIN, 3).verifier().clone(), size }
}

const FIRST: &str = "segments/00000000000000000000.seg";
const SECOND: &str = "segments/00000000000000000009.seg";
const LAST: &str = "segments/00000000000000000018.seg";

fn key_cases() -> Vec<Case> {
    let (genesis, second) = (signer(ORIGIN, 1), signer(ORIGIN, 3));
    let both = [&genesis, &second];
    let stated = |statements: Vec<(String, Vec<u8>)>| {
        let mut files = Plan::usual().files();
        files.extend(statements);
        files
    };
    let revoke = |size, root| Action::Revoke { key: second.verifier().clone(), size, root };
    let mut cases = vec![
        Case::new(Check::KeyFile, changed("origin.vkey", |line| line.truncate(line.len() - 1))),
        Case::new(Check::StatementForm, with("keys/1.note", b"x")),
        Case::new(Check::StatementGap, stated(vec![statement(2, rotate(3), &both)])),
        Case::new(
            Check::StatementFits,
            stated(vec![statement(1, rotate(3), &both), statement(2, rotate(4), &both)]),
        ),
        Case::new(Check::StatementSigner, stated(vec![statement(1, rotate(3), &[&second])])),
        Case::new(Check::StatementNewKey, stated(vec![statement(1, rotate(3), &[&genesis])])),
        Case::new(
            Check::RevokedRoot,
            stated(vec![
                statement(1, rotate(3), &both),
                statement(2, revoke(6, Hash::ZERO), &[&genesis]),
            ]),
        ),
        Case::new(
            Check::RevokedSize,
            stated(vec![
                statement(1, rotate(3), &both),
                statement(2, revoke(1000, Hash::ZERO), &[&genesis]),
            ]),
        ),
    ];
    let mut other = Case::new(Check::PinnedKey, Plan::usual().files());
    other.options.keys = vec![signer(ORIGIN, 9).verifier().clone()];
    cases.push(other);
    cases
}

fn checkpoint_cases() -> Vec<Case> {
    let usual = Plan::usual();
    let other_origin = Checkpoint { origin: "other".to_owned(), ..usual.checkpoint(20) };
    let other_origin = other_origin.sign(&usual.log).unwrap().into_bytes();
    let other_key = usual.checkpoint(20).sign(&signer(ORIGIN, 9)).unwrap().into_bytes();
    let second_wrong = made(|plan| {
        plan.cosigners = vec![signer(ORIGIN, 3)];
        let both = [&signer(ORIGIN, 1), &signer(ORIGIN, 3)];
        plan.files.extend([statement(1, rotate(3), &both)]);
        let mut note = plan.files().remove("checkpoint").unwrap();
        let at = note.len() - 10;
        note[at] = if note[at] == b'A' { b'B' } else { b'A' };
        plan.files.insert("checkpoint".to_owned(), note);
    });
    let mut cases = vec![
        Case::new(Check::CheckpointOrigin, with("checkpoint", &other_origin)),
        Case::new(Check::CheckpointSignature, second_wrong),
        Case::new(Check::CheckpointKey, with("checkpoint", &other_key)),
        Case::new(Check::CheckpointRoot, with("checkpoint", &checkpoint(20, Hash::ZERO))),
        Case::new(Check::CheckpointSize, with("checkpoint", &checkpoint(21, Hash::ZERO))),
    ];
    for (check, note) in [
        (Check::GivenSigner, foreign_note()),
        (Check::GivenRoot, checkpoint(6, Hash::ZERO)),
        (Check::GivenSize, checkpoint(1000, Hash::ZERO)),
    ] {
        let mut case = Case::new(check, Plan::usual().files());
        case.options.checkpoints = vec![note];
        cases.push(case);
    }
    let policy = |quorum: &str| {
        let (log, witness) = (signer(ORIGIN, 1), witness(7));
        let (log, witness) = (log.verifier().to_text(), witness.verifier().to_text());
        let text = format!("log {log}\nwitness w {witness}\nquorum {quorum}\n");
        Some(Policy::parse(text.as_bytes()).unwrap())
    };
    let mut quorum = Case::new(Check::Quorum, Plan::usual().files());
    quorum.options.policy = policy("w");
    let mut wrong = Case::new(
        Check::Cosignature,
        made(|plan| {
            plan.cosigners = vec![witness(7)];
            let mut note = plan.files().remove("checkpoint").unwrap();
            let at = note.len() - 10;
            note[at] = if note[at] == b'A' { b'B' } else { b'A' };
            plan.files.insert("checkpoint".to_owned(), note);
        }),
    );
    wrong.options.policy = policy("none");
    cases.extend([quorum, wrong]);
    cases
}

fn compare_cases() -> Vec<Case> {
    let foreign = made(|plan| plan.log = signer(ORIGIN, 9));
    let fork = event(4, "\"1\"", "\"2\"");
    let mut longer = usual_events();
    longer.tell("policy.changed", "", json!({}));
    let mut longer = Plan::new(longer.entries).published_files();
    longer.get_mut("tile/0/000.p/21").unwrap()[20 * 32] ^= 1;
    [(Check::ComparedSigner, foreign), (Check::ComparedRoot, fork), (Check::ComparedTiles, longer)]
        .into_iter()
        .map(|(check, other)| Case {
            other: Some(other),
            ..Case::new(check, Plan::usual().files())
        })
        .collect()
}

fn file_cases() -> Vec<Case> {
    let pruned = |minimum, key| {
        let pruned = Pruned { origin: ORIGIN.to_owned(), minimum, time_ms: 1 };
        with("pruned", &sign_text(&pruned.to_text(), &[&signer(ORIGIN, key)]))
    };
    let bundle = "tile/entries/000.p/20";
    let mut longer_bundle = Plan::usual().published_files();
    longer_bundle.get_mut(bundle).unwrap().push(0);
    let mut other_entry = Plan::usual().published_files();
    other_entry.get_mut(bundle).unwrap()[40] ^= 1;
    let mut sample = Case { remote: true, ..Case::new(Check::SampleProof, other_entry) };
    sample.options.sample = Some(Sample::Percent { percent: 100, seed: 1 });
    let mut cases = vec![
        Case::new(Check::LockEmpty, with("lock", b"1")),
        Case::new(Check::UnknownFile, with("notes.txt", b"")),
        Case::new(Check::PrunedForm, with("pruned", b"x")),
        Case::new(Check::PrunedSigner, pruned(0, 9)),
        Case::new(Check::PrunedSize, pruned(256, 1)),
        Case::new(Check::BundleForm, longer_bundle),
        Case::new(Check::TileContent, changed("tile/0/000.p/20", |tile| tile[5] ^= 1)),
        Case::new(Check::TileContent, changed(bundle, |bundle| bundle[5] ^= 1)),
        Case::new(Check::TileMissing, without("tile/0/000.p/20")),
        Case::new(Check::TileMissing, without(bundle)),
        Case::new(Check::TileExcess, with("tile/0/000.p/21", &[0; 21 * 32])),
        sample,
    ];
    let stamped = |size: u64, note: &[u8]| {
        let mut files = with(&format!("timestamps/{size}.note"), note);
        files.insert(format!("timestamps/{size}.tsr"), b"x".to_vec());
        files
    };
    let good = Plan::usual().note(6);
    let mut token = Case::new(Check::StampToken, stamped(6, &good));
    token.options.tsa_roots = Some(fs::read("tests/golden/tsa-root.pem").unwrap());
    cases.extend([
        Case::new(Check::StampPair, with("timestamps/6.tsr", b"x")),
        Case::new(Check::StampSigner, stamped(6, &foreign_note())),
        Case::new(Check::StampSigner, stamped(7, &good)),
        Case::new(Check::StampRoot, stamped(6, &checkpoint(6, Hash::ZERO))),
        Case::new(Check::StampSize, stamped(1000, &checkpoint(1000, Hash::ZERO))),
        token,
    ]);
    cases
}

fn segment_cases() -> Vec<Case> {
    let second =
        |change: fn(usize, &mut super::fixture::Segment)| made(|plan| plan.segments = change);
    let stray = changed(FIRST, |bytes| *bytes.last_mut().unwrap() = 1);
    let unfinished = changed(LAST, |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        bytes[end..end + 12].copy_from_slice(&frame(1, b"an entry")[..12]);
    });
    let empty = second(|ordinal, segment| {
        if ordinal == 2 {
            segment.frames.clear();
        }
    });
    vec![
        Case::new(Check::SegmentForm, second(|at, segment| segment.magic[0] ^= u8::from(at == 1))),
        Case::new(
            Check::SegmentVersion,
            second(|at, segment| segment.version -= u32::from(at == 1)),
        ),
        Case::new(Check::SegmentChecksum, changed(SECOND, |bytes| bytes[101] ^= 1)),
        Case::new(
            Check::SegmentOrdinal,
            second(|at, segment| segment.ordinal += u64::from(at == 1)),
        ),
        Case::new(Check::SegmentFirst, second(|at, segment| segment.first += u64::from(at == 1))),
        Case::new(
            Check::SegmentChain,
            second(|at, segment| {
                if at == 1 {
                    segment.previous = Hash::ZERO;
                }
            }),
        ),
        Case::new(
            Check::SegmentLog,
            second(|at, segment| {
                if at == 1 {
                    segment.log = Hash::ZERO;
                }
            }),
        ),
        Case::new(Check::SegmentLength, changed(LAST, |bytes| bytes.push(0))),
        Case::new(Check::SegmentGap, without(FIRST)),
        Case::new(Check::SegmentGap, without(SECOND)),
        Case::new(Check::SegmentEmpty, empty),
        Case::new(Check::SegmentZeros, stray),
        Case::new(Check::SpareZeros, with("segments/spare.seg", &[0, 0, 1])),
        Case::new(Check::UnfinishedTail, unfinished),
        Case::new(Check::UnfinishedTail, with("publish.tmp", b"half")),
    ]
}

fn frame_cases() -> Vec<Case> {
    let second = |change: fn(&mut Vec<(u8, Vec<u8>)>)| {
        let mut plan = Plan::usual();
        plan.segments = |_, _| {};
        let mut files = plan.files();
        let bytes = files.get_mut(SECOND).unwrap();
        let mut frames = parse_frames(bytes);
        change(&mut frames);
        let mut altered = bytes[..104].to_vec();
        frames.iter().for_each(|(kind, body)| altered.extend(frame(*kind, body)));
        altered.resize(bytes.len().max(altered.len()), 0);
        *bytes = altered;
        files
    };
    let batches = |change: fn(usize, &mut note::Batch)| made(|plan| plan.batches = change);
    vec![
        Case::new(Check::FrameForm, second(|frames| frames[1].0 = 9)),
        Case::new(Check::FrameChecksum, changed(SECOND, |bytes| bytes[108] ^= 1)),
        Case::new(Check::TrailerForm, second(|frames| *frames[4].1.last_mut().unwrap() = 1)),
        Case::new(
            Check::BatchEmpty,
            made(|plan| {
                plan.segments = |at, segment| {
                    if at == 1 {
                        let again = segment.frames[4].clone();
                        segment.frames.insert(5, again);
                        segment.length += 256;
                    }
                };
            }),
        ),
        Case::new(Check::BatchNumbers, batches(|at, batch| batch.first += u64::from(at == 4))),
        Case::new(Check::BatchNumbers, batches(|at, batch| batch.size += u64::from(at == 4))),
        Case::new(Check::BatchCount, batches(|at, batch| batch.count += u32::from(at == 4))),
        Case::new(
            Check::BatchChain,
            batches(|at, batch| {
                if at == 4 {
                    batch.previous = Hash::ZERO;
                }
            }),
        ),
        Case::new(
            Check::BatchRoot,
            batches(|at, batch| {
                if at == 4 {
                    batch.root = naive_root(&[]);
                }
            }),
        ),
        Case::new(
            Check::BatchSignature,
            made(|plan| {
                plan.segments = |at, segment| {
                    if at == 2 {
                        segment.frames.last_mut().unwrap().1[92] ^= 1;
                    }
                };
            }),
        ),
    ]
}

fn epoch_cases() -> Vec<Case> {
    let certified = |key: u8| {
        let epoch = Epoch {
            origin: ORIGIN.to_owned(),
            key: signer(&format!("{ORIGIN}/batch"), 2).verifier().clone(),
            size: 0,
            time_ms: 1,
        };
        epoch.sign(&signer(ORIGIN, key)).unwrap().into_bytes()
    };
    assert_ne!(certified(1), certified(9));
    let mut trust = Case::new(
        Check::EpochTrust,
        made(|plan| {
            plan.published = Some(15);
            plan.cosigners = vec![signer(ORIGIN, 3)];
            let both = [&signer(ORIGIN, 1), &signer(ORIGIN, 3)];
            plan.files.extend([statement(1, rotate(3), &both)]);
        }),
    );
    trust.options.keys = vec![signer(ORIGIN, 3).verifier().clone()];
    let segments =
        |change: fn(usize, &mut super::fixture::Segment)| made(|plan| plan.segments = change);
    vec![
        Case::new(
            Check::EpochMissing,
            segments(|at, segment| {
                if at == 1 {
                    segment.frames.remove(0);
                }
            }),
        ),
        Case::new(
            Check::EpochForm,
            segments(|at, segment| {
                if at == 1 {
                    segment.frames[0].1 = b"x".to_vec();
                }
            }),
        ),
        Case::new(
            Check::EpochPlace,
            segments(|at, segment| {
                if at == 1 {
                    let certificate = segment.frames[0].clone();
                    segment.frames.insert(2, certificate);
                }
            }),
        ),
        Case::new(Check::EpochSize, made(|plan| plan.epochs = |epoch| epoch.size = 1)),
        Case::new(
            Check::EpochSigner,
            segments(|_, segment| {
                let note = String::from_utf8(segment.frames[0].1.clone()).unwrap();
                let (text, _) = note.split_once("\n\n").unwrap();
                segment.frames[0].1 = sign_text(&format!("{text}\n"), &[&signer(ORIGIN, 9)]);
            }),
        ),
        trust,
    ]
}

fn event_cases() -> Vec<Case> {
    let mut no_sequence = usual_events().entries;
    no_sequence
        .push(json!({ "id": uuid(9), "kind": "policy.changed", "v": 1 }).to_string().into_bytes());
    let mut spaced = usual_events().entries;
    spaced.push(b"{ }".to_vec());
    vec![
        Case::new(Check::EventForm, Plan::new(spaced).files()),
        Case::new(Check::EventSequence, Plan::new(no_sequence).files()),
        Case::new(Check::SequenceNumber, event(19, "\"n\":4", "\"n\":5")),
        Case::new(Check::SequenceLink, event(19, "\"previous\":\"", "\"previoux\":\"")),
        Case::new(
            Check::RunBegin,
            told(|teller| {
                teller.tell("policy.changed", "", json!({}));
            }),
        ),
        Case::new(
            Check::RunBegin,
            told(|teller| {
                teller.start();
                teller.tell("gateway.started", "", json!({}));
            }),
        ),
        Case::new(
            Check::RunEnd,
            told(|teller| {
                teller.start();
                teller.stop();
                teller.tell("policy.changed", "", json!({}));
            }),
        ),
        Case::new(
            Check::RunRecovered,
            told(|teller| {
                teller.start();
                teller.start();
                teller.tell("policy.changed", "", json!({}));
            }),
        ),
        Case::new(
            Check::RunRecovered,
            told(|teller| {
                teller.start();
                teller.tell("policy.changed", "", json!({}));
                teller.tell("log.recovered", "", json!({}));
            }),
        ),
        Case::new(
            Check::RunRecovered,
            told(|teller| {
                teller.start();
                teller.stop();
                teller.start();
                teller.tell("log.recovered", "", json!({}));
            }),
        ),
    ]
}

fn count_cases() -> Vec<Case> {
    let beat = |details: serde_json::Value| {
        told(|teller| {
            teller.start();
            teller.asked(1, "");
            teller.tell("log.heartbeat", "", json!({ "details": details }));
        })
    };
    vec![
        Case::new(
            Check::Pairing,
            told(|teller| {
                teller.start();
                teller.answered(1, 0, "");
            }),
        ),
        Case::new(
            Check::Recorded,
            beat(json!({
                "oldest_open": "1", "open_calls": "1", "recorded": "3", "sequences": "0",
            })),
        ),
        Case::new(
            Check::OpenCounts,
            beat(json!({
                "oldest_open": "1", "open_calls": "2", "recorded": "2", "sequences": "0",
            })),
        ),
        Case::new(
            Check::StampEvents,
            told(|teller| {
                teller.start();
                let details = json!({ "sha256": "00", "size": "1" });
                teller.tell("log.timestamped", "", json!({ "details": details }));
            }),
        ),
        Case::new(
            Check::KeyEvents,
            told(|teller| {
                teller.start();
                let details = json!({ "sha256": "00", "statement": "1" });
                teller.tell("key.rotated", "", json!({ "details": details }));
            }),
        ),
    ]
}

fn parse_frames(segment: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut frames, mut at) = (Vec::new(), 104);
    while segment[at + 8] != 0 {
        let length = u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
        let end = at + 9 + usize::try_from(length).unwrap();
        frames.push((segment[at + 8], segment[at + 9..end].to_vec()));
        at = end;
    }
    frames
}

#[test]
fn every_check_is_needed() {
    let mut seen = BTreeSet::new();
    let all = [
        key_cases(),
        checkpoint_cases(),
        compare_cases(),
        file_cases(),
        segment_cases(),
        frame_cases(),
        epoch_cases(),
        event_cases(),
        count_cases(),
    ];
    for case in all.iter().flatten() {
        let check = case.check;
        let failure = case.judge(None).expect_err(check.as_str());
        assert_eq!(failure.check, Some(check), "{check}: {failure}");
        assert_eq!(failure.verdict, check.verdict(), "{check}: {failure}");
        if let Err(later) = case.judge(Some(check)) {
            assert_ne!(later.check, Some(check), "{check}: {later}");
        }
        seen.insert(check);
    }
    seen.extend(receipts::every_check_is_needed());
    let unseen: Vec<_> = Check::ALL.iter().filter(|check| !seen.contains(check)).collect();
    assert!(unseen.is_empty(), "no altered log fails by {unseen:?}");
}

#[test]
fn the_words_of_checks_are_all_different() {
    let words: BTreeSet<&str> = Check::ALL.iter().map(|check| check.as_str()).collect();
    assert_eq!(words.len(), Check::ALL.len());
}

#[test]
fn the_unaltered_log_is_valid() {
    let report = Case::new(Check::KeyFile, Plan::usual().files()).judge(None).unwrap();
    assert_eq!((report.entries, report.batches), (20, 7));
    assert_eq!(vkey_line(&signer(ORIGIN, 1)), Plan::usual().files()["origin.vkey"]);
    let counts = report.counts.unwrap();
    assert_eq!((counts.asked, counts.answered, counts.in_doubt, counts.refused), (4, 3, 1, 2));
    assert_eq!((counts.open, counts.runs), (0, 3));
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
}
