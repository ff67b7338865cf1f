//! Events that are missing, too many or in the wrong place.

use super::fixture::{
    Files, ORIGIN, Plan, Teller, judge, pinned, sign_text, signer, usual_events, uuid,
};
use super::published::Memory;
use crate::check::Check;
use crate::failure::{Failure, Verdict};
use crate::log::verify;
use crate::options::{Entries, Options};
use crate::report::Report;
use note::Pruned;
use serde_json::json;

fn told(tell: impl FnOnce(&mut Teller)) -> Result<Report, Failure> {
    let mut teller = Teller::default();
    teller.start();
    tell(&mut teller);
    judge(&Plan::new(teller.entries).published_files(), &pinned())
}

fn check(tell: impl FnOnce(&mut Teller)) -> Option<Check> {
    told(tell).unwrap_err().check
}

#[test]
fn no_event_but_the_last_ones_can_be_left_out() {
    let whole = usual_events().entries;
    // After the last event of a sequence nothing tells that it was there; what comes later in the
    // run's own sequence does for all but the end of the log.
    for left_out in 0..whole.len() - 1 {
        let mut entries = whole.clone();
        entries.remove(left_out);
        let failure = judge(&Plan::new(entries).published_files(), &pinned()).unwrap_err();
        assert_eq!(failure.verdict, Verdict::Incomplete, "{left_out}: {failure}");
    }
}

#[test]
fn no_two_neighbours_can_change_places_and_none_be_there_twice() {
    let whole = usual_events().entries;
    for at in 0..whole.len() - 1 {
        let mut entries = whole.clone();
        entries.swap(at, at + 1);
        let judged = judge(&Plan::new(entries).published_files(), &pinned());
        // Two events of different sequences that speak of no index may.
        if let Err(failure) = judged {
            assert_eq!(failure.verdict, Verdict::Incomplete, "{at}: {failure}");
        }
        let mut entries = whole.clone();
        entries.insert(at, whole[at].clone());
        let failure = judge(&Plan::new(entries).published_files(), &pinned()).unwrap_err();
        assert_eq!(failure.verdict, Verdict::Incomplete, "{at}: {failure}");
    }
}

#[test]
fn calls_have_one_question_and_one_answer() {
    let again = |t: &mut Teller| {
        t.asked(1, "");
        t.asked(1, "");
    };
    assert_eq!(check(again), Some(Check::Pairing));
    let twice = |t: &mut Teller| {
        let asked = t.asked(1, "");
        t.answered(1, asked, "");
        t.answered(1, asked, "");
    };
    assert_eq!(check(twice), Some(Check::Pairing));
    let elsewhere = |t: &mut Teller| {
        t.asked(1, "");
        t.answered(1, 0, "");
    };
    assert_eq!(check(elsewhere), Some(Check::Pairing));
    let nameless = |t: &mut Teller| {
        t.tell("call.refused", "", json!({}));
    };
    assert_eq!(check(nameless), Some(Check::Pairing));
    // An answer of an earlier run is in doubt, never answered.
    let earlier = |t: &mut Teller| {
        let asked = t.asked(1, "");
        t.start();
        t.tell("log.recovered", "", json!({}));
        t.answered(1, asked, "");
    };
    assert_eq!(check(earlier), Some(Check::Pairing));
    // A question without an answer is told, not failed.
    let report = told(|t| {
        t.asked(1, "");
    })
    .unwrap();
    assert_eq!(report.counts.unwrap().open, 1);
}

#[test]
fn events_belong_to_the_sequence_of_the_rule() {
    // An answer belongs where its question does.
    let strayed = |t: &mut Teller| {
        let asked = t.asked(1, "s");
        t.answered(1, asked, "");
    };
    assert_eq!(check(strayed), Some(Check::SequenceLink));
    // A refusal begins no sequence.
    let began = |t: &mut Teller| {
        t.tell("call.refused", "s", json!({ "call": uuid(1), "session": "s" }));
    };
    assert_eq!(check(began), Some(Check::SequenceNumber));
    // What follows the end of a session does not go on with its numbers.
    let after = |t: &mut Teller| {
        t.asked(1, "s");
        t.tell("session.ended", "s", json!({ "session": "s" }));
        t.asked(2, "s");
    };
    assert_eq!(check(after), Some(Check::SequenceNumber));
    // The same session may begin anew, and an answer of before is the run's.
    told(|t| {
        let asked = t.asked(1, "s");
        t.end_session("s");
        t.asked(2, "s");
        t.answered(1, asked, "");
    })
    .unwrap();
}

#[test]
fn long_silence_is_told() {
    let silent = |seconds| {
        told(|t| {
            t.clock += seconds;
            t.heartbeat(0, None, 0);
        })
        .unwrap()
        .remarks
        .len()
    };
    assert_eq!((silent(60), silent(100)), (0, 1));
}

#[test]
fn calls_that_nobody_closed_are_told() {
    let report = told(|t| {
        t.asked(1, "");
        t.start();
        t.tell("log.recovered", "", json!({}));
    })
    .unwrap();
    assert_eq!(report.remarks.len(), 1, "{:?}", report.remarks);
    assert_eq!(report.counts.unwrap().open, 1);
}

/// Many calls in three sessions and none, in two runs, with heartbeats.
fn long() -> Plan {
    let mut teller = Teller::default();
    for run in 0..2 {
        teller.start();
        for call in 0..150 {
            let session = ["", "s1", "s2", "s3"][usize::try_from(call % 4).unwrap()];
            let asked = teller.asked(run * 1000 + call, session);
            if call % 10 == 5 {
                let open = u64::try_from(teller.entries.len()).unwrap() - 1;
                assert_eq!(open, asked);
                teller.heartbeat(1, Some(asked), 3);
            }
            let refused = json!({ "call": uuid(90_000 + run * 1000 + call), "session": "s7" });
            teller.tell("call.refused", "", refused);
            teller.answered(run * 1000 + call, asked, session);
        }
        for session in ["s1", "s2", "s3"] {
            teller.end_session(session);
        }
        teller.stop();
    }
    Plan { batch: 64, segment: 2, ..Plan::new(teller.entries) }
}

fn prune(files: &mut Files, minimum: u64) {
    let pruned = Pruned { origin: ORIGIN.to_owned(), minimum, time_ms: 1 };
    files.insert("pruned".to_owned(), sign_text(&pruned.to_text(), &[&signer(ORIGIN, 1)]));
    files.retain(|path, _| {
        let segment = crate::walk::parse_segment_path(path);
        let tile = note::Tile::parse(path).filter(|tile| tile.kind == note::TileKind::Entries);
        !(segment.is_some_and(|first| first + 128 <= minimum)
            || tile.is_some_and(|tile| (tile.index + 1) * 256 <= minimum))
    });
}

#[test]
fn a_pruned_log_verifies_from_what_is_left() {
    let plan = long();
    for minimum in [256, 512, 768] {
        let mut files = plan.files();
        prune(&mut files, minimum);
        let report = judge(&files, &pinned()).unwrap();
        assert_eq!(
            (report.minimum, report.root),
            (minimum, plan.checkpoint(plan.entries.len()).root)
        );
        // A bundle that could be gone and is not must be the one it was.
        let whole = plan.files().remove("tile/entries/000").unwrap();
        let mut more = files.clone();
        more.insert("tile/entries/000".to_owned(), whole.clone());
        judge(&more, &pinned()).unwrap();
        let mut altered = whole;
        altered[9] ^= 1;
        more.insert("tile/entries/000".to_owned(), altered);
        assert_eq!(judge(&more, &pinned()).unwrap_err().check, Some(Check::TileContent));
        // The hashes of what is gone are still those of the root.
        let mut altered = files.clone();
        altered.get_mut("tile/0/000").unwrap()[9] ^= 1;
        assert_eq!(judge(&altered, &pinned()).unwrap_err().verdict, Verdict::Altered);
        // No more may be missing than the log says.
        let mut missing = files.clone();
        missing.remove("pruned");
        assert_eq!(judge(&missing, &pinned()).unwrap_err().verdict, Verdict::Missing);
        files.retain(|path, _| !path.starts_with("segments/") && path != "lock");
        judge(&files, &pinned()).unwrap();
        verify(&Memory(files.clone()), &pinned(), &mut ()).unwrap();
        missing.retain(|path, _| !path.starts_with("segments/") && path != "lock");
        assert_eq!(judge(&missing, &pinned()).unwrap_err().verdict, Verdict::Missing);
    }
}

#[test]
fn events_are_judged_from_the_first_that_is_left() {
    let plan = long();
    let mut entries = plan.entries;
    entries.remove(700);
    let mut files = Plan { batch: 64, segment: 2, ..Plan::new(entries) }.files();
    prune(&mut files, 512);
    assert_eq!(judge(&files, &pinned()).unwrap_err().verdict, Verdict::Incomplete);
}

#[test]
fn entries_that_are_no_events_are_taken_when_told_so() {
    let entries = (0..30_u8).map(|n| vec![n; 20]).collect();
    let files = Plan::new(entries).files();
    assert_eq!(judge(&files, &pinned()).unwrap_err().check, Some(Check::EventForm));
    let opaque = Options { entries: Entries::Opaque, ..pinned() };
    assert_eq!(judge(&files, &opaque).unwrap().counts, None);
}
