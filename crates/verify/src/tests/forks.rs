//! Two histories under one key, and copies of one.

use super::fixture::{Files, Plan, judge_dir, options, pinned, usual_events, write};
use super::published::{Memory, large};
use crate::directory::Directory;
use crate::failure::{Failure, Verdict};
use crate::log::verify;
use crate::options::Options;
use crate::report::Report;

fn compared(one: &Files, other: &Files) -> Result<Report, Failure> {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(here.path(), one);
    write(there.path(), other);
    let source = Directory::new(there.path());
    judge_dir(here.path(), &Options { compare: Some(&source), ..pinned() }, None)
}

/// The large log, with another last event and some more.
fn fork() -> Plan {
    let mut entries = large().entries;
    let last = entries.len() - 3;
    let text = String::from_utf8(entries[last].clone()).unwrap();
    entries[last] = text.replacen("call.answered", "call.answereD", 1).into_bytes();
    entries.extend(usual_events().entries);
    Plan { batch: 50, ..Plan::new(entries) }
}

#[test]
fn a_split_view_is_found_from_either_side_and_both_notes_are_kept() {
    let (one, other) = (large(), fork());
    let same = |left: &Plan, right: &Plan| left.log.verifier() == right.log.verifier();
    assert!(same(&one, &other));
    // Each alone is as it should be, by its bytes.
    let failure = compared(&one.files(), &other.published_files()).unwrap_err();
    assert_eq!(failure.verdict, Verdict::Forked, "{failure}");
    let kept: Vec<&[u8]> = failure.evidence.iter().map(|kept| kept.bytes.as_slice()).collect();
    let notes =
        [other.published_files(), one.published_files()].map(|files| files["checkpoint"].clone());
    assert_eq!(kept, notes.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let opaque = Options { entries: crate::options::Entries::Opaque, ..pinned() };
    let source = Memory(one.published_files());
    let failure = verify(
        &Memory(other.published_files()),
        &Options { compare: Some(&source), ..opaque },
        &mut (),
    );
    assert_eq!(failure.unwrap_err().verdict, Verdict::Forked);
}

#[test]
fn a_copy_that_is_shorter_or_longer_agrees() {
    let plan = large();
    for size in [1, 255, 256, 300, 402] {
        let earlier = Plan { published: Some(size), ..large() }.published_files();
        compared(&plan.files(), &earlier).unwrap();
        let report = compared(&earlier, &plan.files()).unwrap();
        assert_eq!(report.entries, u64::try_from(size).unwrap());
        assert!(report.compared.is_some());
    }
}

#[test]
fn an_altered_entry_is_no_fork() {
    // The given checkpoint does not match, but neither does the log's own.
    let plan = Plan::usual();
    let mut files = plan.published_files();
    let bundle = files.get_mut("tile/entries/000.p/20").unwrap();
    bundle[10] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &files);
    let kept = Options { checkpoints: vec![plan.note(6)], ..options() };
    let failure = judge_dir(dir.path(), &kept, None).unwrap_err();
    assert_eq!(failure.verdict, Verdict::Altered, "{failure}");
    assert_eq!(failure.path, "tile/entries/000.p/20");
}
