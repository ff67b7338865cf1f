//! The end of a log that was being written when the power failed.

use super::fixture::{Plan, frame, judge, pinned};
use crate::failure::Verdict;
use crate::options::Options;
use crate::tail::is_torn;
use note::Hash;

const LAST: &str = "segments/00000000000000000018.seg";

/// A log whose last two entries no checkpoint covers, and where they begin in the last segment.
fn promised_but_the_last_batch() -> (Plan, usize) {
    let plan = Plan { published: Some(18), ..Plan::usual() };
    let files = plan.files();
    let certificate = u32::from_be_bytes(files[LAST][104..108].try_into().unwrap());
    (plan, 104 + 9 + usize::try_from(certificate).unwrap())
}

#[test]
fn every_prefix_of_the_last_write_is_an_unfinished_tail_and_nobody_was_promised_it() {
    let (plan, start) = promised_but_the_last_batch();
    let mut files = plan.files();
    judge(&files, &pinned()).unwrap();
    let whole = files[LAST].clone();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let promised = Options { checkpoints: vec![plan.note(20)], ..pinned() };
    for length in (0..end).step_by(5).chain([start, start + 1, end - 1]) {
        let mut torn = whole[..length].to_vec();
        torn.resize(whole.len(), 0);
        files.insert(LAST.to_owned(), torn);
        let failure = judge(&files, &pinned()).unwrap_err();
        assert_eq!(failure.verdict, Verdict::UnfinishedTail, "{length}: {failure}");
        let failure = judge(&files, &promised).unwrap_err();
        assert!(
            matches!(failure.verdict, Verdict::Altered | Verdict::Truncated),
            "{length}: {failure}"
        );
    }
}

#[test]
fn every_flipped_byte_of_a_whole_batch_is_damage() {
    let (plan, start) = promised_but_the_last_batch();
    let mut files = plan.files();
    let whole = files[LAST].clone();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in start..end {
        let mut altered = whole.clone();
        altered[at] ^= 0x11;
        files.insert(LAST.to_owned(), altered);
        let failure = judge(&files, &pinned()).unwrap_err();
        assert_eq!(failure.verdict, Verdict::Altered, "{at}: {failure}");
    }
}

#[test]
fn sectors_that_were_never_written_are_a_power_cut() {
    let mut bytes = Vec::new();
    for entry in 1..=12_u8 {
        bytes.extend(frame(1, &[entry; 100]));
    }
    bytes.extend(frame(2, &[[7; 156].as_slice(), &[0xee]].concat()));
    let sectors = bytes.len().div_ceil(512);
    for missing in 1..1 << sectors {
        let mut torn = bytes.clone();
        for (offset, byte) in torn.iter_mut().enumerate() {
            if missing >> (offset / 512) & 1 == 1 {
                *byte = 0;
            }
        }
        let end = torn.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        assert!(is_torn(&torn[..end], 0, &Hash::ZERO, 0), "{missing:b}");
    }
    assert!(!is_torn(&bytes, 0, &Hash::ZERO, 0));
}
