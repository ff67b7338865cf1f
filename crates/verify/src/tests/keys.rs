//! Keys that come and go, and what each of them may sign.

use super::fixture::{Files, ORIGIN, Plan, judge, options, pinned, signer, statement};
use crate::check::Check;
use crate::failure::{Failure, Verdict};
use crate::options::Options;
use crate::report::Report;
use note::{Action, Hash, Signer, Statement};

fn key(seed: u8) -> Signer {
    signer(ORIGIN, seed)
}

fn rotate(seed: u8, size: u64) -> Action {
    Action::Rotate { key: key(seed).verifier().clone(), size }
}

fn retire(seed: u8, size: u64) -> Action {
    Action::Retire { key: key(seed).verifier().clone(), size }
}

fn revoke(seed: u8, size: usize) -> Action {
    let checkpoint = Plan::usual().checkpoint(size);
    Action::Revoke {
        key: key(seed).verifier().clone(),
        size: checkpoint.size,
        root: checkpoint.root,
    }
}

/// The usual log with these statements, the checkpoint signed by these keys.
fn log(statements: Vec<(Action, &[u8])>, signers: &[u8]) -> Files {
    let mut plan = Plan::usual();
    let recovery = signer(&Statement::recovery_name(ORIGIN), 5);
    for ((action, by), ordinal) in statements.into_iter().zip(1..) {
        let keys: Vec<Signer> = by.iter().copied().map(key).collect();
        let mut keys: Vec<&Signer> = keys.iter().collect();
        if by.is_empty() {
            keys.push(&recovery);
        }
        plan.files.extend([statement(ordinal, action, &keys)]);
    }
    let keys: Vec<Signer> = signers.iter().copied().map(key).collect();
    let text = plan.checkpoint(20).to_text();
    let keys: Vec<&Signer> = keys.iter().collect();
    plan.files.insert("checkpoint".to_owned(), super::fixture::sign_text(&text, &keys));
    plan.files()
}

fn with_key(files: &Files, seed: u8) -> Result<Report, Failure> {
    judge(files, &Options { keys: vec![key(seed).verifier().clone()], ..options() })
}

#[test]
fn any_key_of_the_chain_leads_to_those_that_followed() {
    // 1, then 3 beside it, then 1 retires, then 4 beside 3.
    let files =
        log(vec![(rotate(3, 5), &[1, 3]), (retire(1, 9), &[3]), (rotate(4, 12), &[3, 4])], &[3, 4]);
    for seed in [1, 3, 4] {
        let report = with_key(&files, seed).unwrap();
        assert_eq!(report.keys.len(), 3);
        assert_eq!(report.keys[0].last, Some(9));
        let trusted: Vec<bool> = report.keys.iter().map(|key| key.trusted).collect();
        assert_eq!(trusted, [seed == 1, seed != 4, true], "{seed}");
    }
    assert_eq!(with_key(&files, 9).unwrap_err().check, Some(Check::PinnedKey));
    // The last key does not vouch for one that it did not bring in.
    let files = log(vec![(rotate(3, 5), &[1, 3]), (rotate(4, 12), &[1, 4])], &[4]);
    assert_eq!(with_key(&files, 3).unwrap_err().check, Some(Check::CheckpointKey));
    with_key(&files, 1).unwrap();
}

#[test]
fn a_statement_of_another_chain_does_not_bring_in_its_keys() {
    // The statement by which 3 came in says nothing of 9, who signs it as well
    // and puts itself first.
    let mut plan = Plan { log: key(9), ..Plan::usual() };
    plan.files.extend([statement(1, rotate(3, 0), &[&key(1), &key(3), &key(9)])]);
    let failure = with_key(&plan.files(), 3).unwrap_err();
    assert_eq!(failure.check, Some(Check::CheckpointKey), "{failure}");
    let kept = Options {
        checkpoints: vec![{
            let checkpoint = plan.checkpoint(6);
            checkpoint.sign(&key(3)).unwrap().into_bytes()
        }],
        ..options()
    };
    let failure = judge(&plan.files(), &kept).unwrap_err();
    assert_eq!(failure.check, Some(Check::CheckpointKey), "{failure}");
}

#[test]
fn a_retired_key_signs_no_larger_checkpoint_and_a_new_one_no_smaller() {
    let retired = vec![(rotate(3, 5), [1, 3].as_slice()), (retire(1, 9), &[3])];
    let failure = with_key(&log(retired, &[1]), 1).unwrap_err();
    assert_eq!(failure.check, Some(Check::CheckpointKey), "{failure}");
    let failure = with_key(&log(vec![(rotate(3, 50), &[1, 3])], &[3]), 1).unwrap_err();
    assert_eq!(failure.check, Some(Check::CheckpointKey), "{failure}");
    // A key that could have signed and did not is told.
    let report = with_key(&log(vec![(rotate(3, 5), &[1, 3])], &[3]), 1).unwrap();
    assert_eq!(report.remarks.iter().filter(|text| text.contains("did not sign")).count(), 1);
}

#[test]
fn what_a_revoked_key_signed_beyond_its_last_good_size_counts_for_nothing() {
    // The recovery key revokes the first key at 9; what 1 brought in at 12 is
    // gone with it, and so is what that brought in.
    let recovery = signer(&Statement::recovery_name(ORIGIN), 5).verifier().clone();
    let statements = |by: &'static [u8]| {
        vec![
            (Action::Recovery { key: recovery.clone(), size: 0 }, [1].as_slice()),
            (rotate(3, 5), &[1, 3]),
            (rotate(4, 12), &[1, 4]),
            (rotate(6, 15), &[4, 6]),
            (revoke(1, 9), by),
        ]
    };
    for by in [[].as_slice(), &[3]] {
        let report = with_key(&log(statements(by), &[3]), 3).unwrap();
        assert_eq!(report.keys.len(), 4, "{:?}", report.keys);
        assert!(report.keys[0].revoked);
        assert_eq!(report.remarks.iter().filter(|text| text.contains("for nothing")).count(), 2);
        for signed in [[1], [4], [6]] {
            let failure = with_key(&log(statements(by), &signed), 3).unwrap_err();
            assert_eq!(failure.check, Some(Check::CheckpointKey), "{signed:?}: {failure}");
        }
    }
    // A thief's revocation of the key that came after is void with the thief.
    let mut stolen = statements(&[]);
    stolen.insert(4, (revoke(3, 12), [1].as_slice()));
    let report = with_key(&log(stolen, &[3]), 3).unwrap();
    assert_eq!((report.keys[1].last, report.keys[1].revoked), (None, false));
    // Nobody revokes with a key that is revoked, nor itself.
    for by in [[1].as_slice(), &[9]] {
        let failure = with_key(&log(statements(by), &[3]), 3).unwrap_err();
        assert_eq!(failure.check, Some(Check::StatementSigner), "{failure}");
    }
}

#[test]
fn only_the_first_statement_names_a_recovery_key_and_only_the_first_key_signs_it() {
    let recovery = signer(&Statement::recovery_name(ORIGIN), 5).verifier().clone();
    let recovery = || Action::Recovery { key: recovery.clone(), size: 0 };
    with_key(&log(vec![(recovery(), &[1])], &[1]), 1).unwrap();
    let failure = with_key(&log(vec![(recovery(), &[3])], &[1]), 1).unwrap_err();
    assert_eq!(failure.check, Some(Check::StatementSigner));
    let late = log(vec![(rotate(3, 5), &[1, 3]), (recovery(), &[1])], &[1]);
    assert_eq!(with_key(&late, 1).unwrap_err().check, Some(Check::StatementFits));
    // It revokes, and signs nothing else.
    let retired = log(vec![(recovery(), &[1]), (rotate(3, 5), &[1, 3]), (retire(1, 9), &[])], &[3]);
    assert_eq!(with_key(&retired, 1).unwrap_err().check, Some(Check::StatementSigner));
}

#[test]
fn a_revocation_fixes_the_root_at_its_size() {
    let fork = Action::Revoke { key: key(3).verifier().clone(), size: 9, root: Hash::ZERO };
    let files = log(vec![(rotate(3, 5), &[1, 3]), (fork, &[1])], &[1]);
    assert_eq!(judge(&files, &pinned()).unwrap_err().verdict, Verdict::Forked);
    let files = log(vec![(rotate(3, 5), &[1, 3]), (revoke(3, 9), &[1])], &[1]);
    judge(&files, &pinned()).unwrap();
}
