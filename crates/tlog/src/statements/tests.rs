//! Who may say what about the keys of a log.

use super::{KeyChain, KeyRole};
use crate::keys::Keys;
use note::{Action, Algorithm, Checkpoint, Epoch, Hash, Pruned, Sign, Signer, Statement, Verifier};
use std::sync::Arc;

const ORIGIN: &str = "example.com/log";

fn key(seed: u8) -> Arc<dyn Sign> {
    Arc::new(Signer::from_seed(ORIGIN, Algorithm::Ed25519, &[seed; 32]).unwrap())
}

fn recovery() -> Arc<dyn Sign> {
    let name = "example.com/log/recovery";
    Arc::new(Signer::from_seed(name, Algorithm::Ed25519, &[99; 32]).unwrap())
}

fn public(key: &Arc<dyn Sign>) -> Verifier {
    key.verifier().clone()
}

fn chain() -> KeyChain {
    KeyChain::new(public(&key(1)))
}

fn note(ordinal: u64, action: Action, signers: &[&Arc<dyn Sign>]) -> Vec<u8> {
    let statement = Statement { origin: ORIGIN.to_owned(), ordinal, action, time_ms: 1 };
    let signers: Vec<_> = signers.iter().map(|key| Arc::clone(key)).collect();
    Keys::sign_note(&statement.to_text(), &signers).unwrap().into_bytes()
}

fn rotate(of: &Arc<dyn Sign>, size: u64) -> Action {
    Action::Rotate { key: public(of), size }
}

fn retire(of: &Arc<dyn Sign>, size: u64) -> Action {
    Action::Retire { key: public(of), size }
}

fn revoke(of: &Arc<dyn Sign>, size: u64) -> Action {
    Action::Revoke { key: public(of), size, root: Hash::ZERO }
}

fn checkpoint(size: u64, signers: &[&Arc<dyn Sign>]) -> Vec<u8> {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: Hash::ZERO };
    let signers: Vec<_> = signers.iter().map(|key| Arc::clone(key)).collect();
    Keys::sign_note(&checkpoint.to_text(), &signers).unwrap().into_bytes()
}

#[test]
fn a_key_takes_over_from_another() {
    let (old, new) = (key(1), key(2));
    let mut chain = chain();
    assert!(!chain.is_known(new.verifier()));
    chain.add(&note(1, rotate(&new, 10), &[&old, &new])).unwrap();
    for (size, old_signs, new_signs) in [(9, true, false), (10, true, true), (1000, true, true)] {
        assert_eq!(chain.is_valid(old.verifier(), size), old_signs, "{size}");
        assert_eq!(chain.is_valid(new.verifier(), size), new_signs, "{size}");
    }
    chain.add(&note(2, retire(&old, 20), &[&new])).unwrap();
    assert!(chain.is_valid(old.verifier(), 20) && !chain.is_valid(old.verifier(), 21));
    for (size, signer, taken) in
        [(5, &old, true), (5, &new, false), (20, &old, true), (21, &old, false), (21, &new, true)]
    {
        let verified = chain.verify_checkpoint(&checkpoint(size, &[signer]));
        assert_eq!(verified.is_ok(), taken, "{size}");
    }
    // One that counts is enough, and the other must still be good.
    let both = checkpoint(30, &[&old, &new]);
    chain.verify_checkpoint(&both).unwrap();
    let text = String::from_utf8(both).unwrap();
    let (text, lines) = text.split_once("\n\n").unwrap();
    let (first, second) = lines.split_once('\n').unwrap();
    let old_line = String::from_utf8(checkpoint(29, &[&old])).unwrap();
    let forged = old_line.lines().last().unwrap();
    assert!(chain.verify_checkpoint(format!("{text}\n\n{forged}\n{second}").as_bytes()).is_err());
    chain.verify_checkpoint(format!("{text}\n\n{first}\n{second}").as_bytes()).unwrap();
    let states = chain.states(|held| held == new.verifier());
    let ranges: Vec<_> = states.iter().map(|state| (state.from, state.until, state.held)).collect();
    assert_eq!(ranges, [(0, Some(20), false), (10, None, true)]);
}

#[test]
fn statements_that_are_not_taken() {
    let (old, new, other) = (key(1), key(2), key(3));
    let cases: [(&str, Vec<u8>); 11] = [
        ("ordinal", note(2, rotate(&new, 5), &[&old, &new])),
        ("new key did not sign", note(1, rotate(&new, 5), &[&old])),
        ("no key that is valid", note(1, rotate(&new, 5), &[&new])),
        ("no key that is valid", note(1, rotate(&new, 5), &[&other, &new])),
        ("already", note(1, rotate(&old, 5), &[&old])),
        ("no other key", note(1, retire(&old, 5), &[&old])),
        ("does not have", note(1, retire(&new, 5), &[&old])),
        ("no other key", note(1, revoke(&old, 5), &[&old])),
        ("no other key", note(1, revoke(&old, 5), &[&recovery()])),
        ("first key", note(1, Action::Recovery { key: public(&recovery()), size: 0 }, &[&new])),
        ("no statement", b"garbage".to_vec()),
    ];
    for (why, bytes) in cases {
        let mut chain = chain();
        let error = chain.add(&bytes).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
        assert_eq!(chain.next_ordinal(), 1, "nothing changed");
        chain.add(&note(1, rotate(&new, 5), &[&old, &new])).unwrap();
        let error = chain.add(&note(2, rotate(&other, 4), &[&old, &other])).unwrap_err();
        assert!(error.contains("smaller"), "{error}");
        let late = Action::Recovery { key: public(&recovery()), size: 9 };
        let error = chain.add(&note(2, late, &[&old])).unwrap_err();
        assert!(error.contains("first statement only"), "{error}");
    }
    let foreign = Statement {
        origin: "example.org".to_owned(),
        ordinal: 1,
        action: Action::Rotate {
            key: Signer::generate("example.org").unwrap().0.verifier().clone(),
            size: 1,
        },
        time_ms: 1,
    };
    let foreign = Keys::sign_note(&foreign.to_text(), &[old]).unwrap();
    assert!(chain().add(foreign.as_bytes()).unwrap_err().contains("another log"));
}

#[test]
fn what_a_revoked_key_signed_later_counts_for_nothing() {
    let (genesis, thief, honest) = (key(1), key(2), key(3));
    let mut chain = chain();
    let named = Action::Recovery { key: public(&recovery()), size: 0 };
    chain.add(&note(1, named, &[&genesis])).unwrap();
    chain.add(&note(2, rotate(&honest, 10), &[&genesis, &honest])).unwrap();
    // With the first key a thief brings in a key of his own and ends the other.
    chain.add(&note(3, rotate(&thief, 50), &[&genesis, &thief])).unwrap();
    chain.add(&note(4, revoke(&honest, 60), &[&thief])).unwrap();
    assert!(!chain.is_valid(honest.verifier(), 61));
    let by_recovery = note(5, revoke(&genesis, 40), &[&recovery()]);
    chain.add(&by_recovery).unwrap();
    assert!(!chain.is_valid(genesis.verifier(), 41) && chain.is_valid(genesis.verifier(), 40));
    assert!(!chain.is_valid(thief.verifier(), 50), "nobody vouches for it");
    assert!(chain.is_valid(honest.verifier(), 61), "its end counts for nothing");
    let states = chain.states(|_| false);
    let until: Vec<_> = states.iter().map(|state| (state.role, state.until)).collect();
    let (log, recovery) = (KeyRole::Log, KeyRole::Recovery);
    assert_eq!(until, [(log, Some(40)), (log, None), (log, Some(49)), (recovery, None)]);
}

#[test]
fn keys_that_end_each_other_at_one_size_do_not_end_the_judgement() {
    let (one, two) = (key(1), key(2));
    let mut chain = chain();
    chain.add(&note(1, rotate(&two, 1), &[&one, &two])).unwrap();
    chain.add(&note(2, revoke(&one, 5), &[&two])).unwrap();
    chain.add(&note(3, revoke(&two, 5), &[&one])).unwrap();
    for key in [&one, &two] {
        assert!(chain.is_valid(key.verifier(), 5) && !chain.is_valid(key.verifier(), 6));
    }
}

#[test]
fn certificates_and_pruning_are_signed_by_keys_of_the_log() {
    let (old, new, other) = (key(1), key(2), key(3));
    let mut chain = chain();
    chain.add(&note(1, rotate(&new, 512), &[&old, &new])).unwrap();
    chain.add(&note(2, retire(&old, 1024), &[&new])).unwrap();
    let (batch, _) = Signer::generate(&Epoch::key_name(ORIGIN)).unwrap();
    for (size, signer, counts) in [
        (0, &old, Ok(true)),
        (0, &new, Ok(false)),
        (600, &new, Ok(true)),
        (2000, &old, Ok(false)),
        (600, &other, Err(())),
    ] {
        let key = batch.verifier().clone();
        let epoch = Epoch { origin: ORIGIN.to_owned(), key, size, time_ms: 1 };
        let certificate = epoch.sign(signer.as_ref()).unwrap();
        let verified = chain.verify_certificate(certificate.as_bytes());
        assert_eq!(verified.map(|(_, counts)| counts).map_err(|_| ()), counts, "{size}");
    }
    for (minimum, signer, taken) in [
        (256, &old, true),
        (256, &new, true),
        (1024, &old, true),
        (1280, &old, false),
        (1280, &new, true),
        (1280, &other, false),
        (2304, &new, false),
    ] {
        let text = Pruned { origin: ORIGIN.to_owned(), minimum, time_ms: 1 }.to_text();
        let note = Keys::sign_note(&text, &[Arc::clone(signer)]).unwrap();
        let verified = chain.verify_pruned(note.as_bytes(), 2100);
        assert_eq!(verified.is_ok(), taken, "{minimum}");
    }
}
