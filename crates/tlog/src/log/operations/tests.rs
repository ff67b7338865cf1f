//! Publishing in two steps, statements, pruning and the shelf, on a disk in
//! memory.

use crate::error::Error;
use crate::keys::Keys;
use crate::log::Log;
use crate::log::tests::{config, entry, fill, signer};
use crate::simulation::check_files;
use crate::statements::KeyRole;
use crate::storage::{Memory, Storage as _};
use note::{Action, Algorithm, Checkpoint, Hash, Lines, Sign, Signer, Statement, cosign};
use note::{verify_consistency, verify_inclusion};
use std::sync::Arc;

const ORIGIN: &str = "example.com/log";

fn first() -> Arc<dyn Sign> {
    Arc::new(signer())
}

fn second() -> Arc<dyn Sign> {
    Arc::new(Signer::from_seed(ORIGIN, Algorithm::Ed25519, &[8; 32]).unwrap())
}

fn recovery() -> Arc<dyn Sign> {
    let name = Statement::recovery_name(ORIGIN);
    Arc::new(Signer::from_seed(&name, Algorithm::Ed25519, &[9; 32]).unwrap())
}

fn log_of(entries: u64) -> (Memory, Log) {
    let storage = Memory::default();
    let mut config = config();
    config.segment_bytes = 16 << 10;
    let log = Log::create_on(Arc::new(storage.clone()), signer(), config).unwrap();
    fill(&log, 0..entries);
    (storage, log)
}

fn open(storage: &Memory, keys: &[&Arc<dyn Sign>]) -> Result<Log, Error> {
    let keys: Vec<_> = keys.iter().map(|key| Arc::clone(key)).collect();
    Log::open_on(Arc::new(storage.clone()), keys, config()).map(|(log, _)| log)
}

fn statement(ordinal: u64, action: Action, signers: &[&Arc<dyn Sign>]) -> Vec<u8> {
    let statement = Statement { origin: ORIGIN.to_owned(), ordinal, action, time_ms: 1 };
    let signers: Vec<_> = signers.iter().map(|key| Arc::clone(key)).collect();
    Keys::sign_note(&statement.to_text(), &signers).unwrap().into_bytes()
}

fn rotate(size: u64) -> Vec<u8> {
    let action = Action::Rotate { key: second().verifier().clone(), size };
    statement(1, action, &[&first(), &second()])
}

fn expected(entries: u64) -> Vec<Vec<u8>> {
    (0..entries).map(entry).collect()
}

fn refused(outcome: Result<impl std::fmt::Debug, Error>, why: &str) {
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains(why), "{why}: {error}");
}

#[test]
fn witnesses_cosign_between_preparing_and_publishing() {
    let (storage, log) = log_of(5);
    let candidate = log.prepare().unwrap().unwrap();
    assert_eq!((candidate.checkpoint.size, log.checkpoint().size), (5, 0));
    let read = Checkpoint::verify(candidate.note.as_bytes(), log.verifier(), Lines::LogOnly);
    assert_eq!(read.unwrap(), candidate.checkpoint);
    let proof = log.reader().consistency_proof(0, 5).unwrap();
    let root = candidate.checkpoint.root;
    verify_consistency((0, &Hash::EMPTY_ROOT), (5, &root), &proof).unwrap();
    let mut note = candidate.note.clone();
    for algorithm in [Algorithm::Ed25519Cosignature, Algorithm::MlDsa44Cosignature] {
        let (witness, _) = Signer::generate_for("witness.example/w", algorithm).unwrap();
        note.push_str(&cosign(&candidate.checkpoint.to_text(), &witness, 1_700_000_000).unwrap());
    }
    // Meanwhile the log goes on.
    fill(&log, 5..9);
    assert_eq!(log.publish_note(&candidate, note.as_bytes()).unwrap(), candidate.checkpoint);
    assert_eq!(storage.read("checkpoint").unwrap(), note.as_bytes());
    assert_eq!(log.reader().checkpoint().unwrap(), candidate.checkpoint);
    let tip = log.tip();
    let proof = log.reader().consistency_proof(5, 9).unwrap();
    verify_consistency((5, &root), (9, &tip.root), &proof).unwrap();
    drop(log);
    let storage = storage.crash(crate::storage::Survival::Nothing);
    let log = open(&storage, &[&first()]).unwrap();
    assert_eq!((log.checkpoint().size, log.tip().size), (5, 9));
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(9)), Ok(9));
}

#[test]
fn only_the_candidate_itself_is_published() {
    let (storage, log) = log_of(3);
    let before = storage.read("checkpoint").unwrap();
    let candidate = log.prepare().unwrap().unwrap();
    let (text, line) = candidate.note.split_once("\n\n").unwrap();
    let (stranger, _) = Signer::generate(ORIGIN).unwrap();
    let other = Checkpoint { size: 2, ..candidate.checkpoint.clone() };
    let other = other.sign(&signer()).unwrap();
    let foreign = candidate.checkpoint.sign(&stranger).unwrap();
    let foreign_line = foreign.split_once("\n\n").unwrap().1;
    for (note, why) in [
        (String::new(), "no signed note"),
        (text.to_owned(), "no signed note"),
        (other, "not the candidate"),
        (foreign.clone(), "did not sign"),
        (format!("{text}\n\n{line}{foreign_line}"), "not the log's"),
        (format!("{text}\n\n{line}{line}"), "no signed note"),
    ] {
        refused(log.publish_note(&candidate, note.as_bytes()), why);
    }
    assert_eq!(storage.read("checkpoint").unwrap(), before);
    log.publish_note(&candidate, candidate.note.as_bytes()).unwrap();
    refused(log.publish_note(&candidate, candidate.note.as_bytes()), "published already");
    // An older candidate after a newer one.
    fill(&log, 3..4);
    let older = log.prepare().unwrap().unwrap();
    fill(&log, 4..300);
    log.publish().unwrap().unwrap();
    refused(log.publish_note(&older, older.note.as_bytes()), "published already");
    // A newer one that was prepared does not hinder an older one.
    fill(&log, 300..301);
    let older = log.prepare().unwrap().unwrap();
    fill(&log, 301..700);
    let newer = log.prepare().unwrap().unwrap();
    log.publish_note(&older, older.note.as_bytes()).unwrap();
    assert_eq!(check_files(&storage, &expected(700)), Ok(301));
    log.publish_note(&newer, newer.note.as_bytes()).unwrap();
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(700)), Ok(700));
}

#[test]
fn a_key_is_rotated_and_the_old_one_retired() {
    let (storage, log) = log_of(3);
    log.publish().unwrap();
    fill(&log, 3..5);
    refused(log.add_statement(&rotate(6)), "more entries than the log has");
    refused(log.add_statement(&rotate(2)), "published already");
    assert!(matches!(open(&Memory::default(), &[&first()]), Err(Error::NotALog(_))));
    log.add_statement(&rotate(5)).unwrap();
    refused(log.add_statement(&rotate(5)), "ordinal");
    assert_eq!(log.next_statement(), 2);
    log.close().unwrap();
    let third: Arc<dyn Sign> = Arc::new(Signer::generate(ORIGIN).unwrap().0);
    assert!(matches!(open(&storage, &[&first(), &third]), Err(Error::WrongKey { .. })));
    refused(open(&storage, &[&second(), &second()]), "twice");

    // Both sign.
    let log = open(&storage, &[&second(), &first()]).unwrap();
    fill(&log, 5..6);
    log.publish().unwrap();
    let note = storage.read("checkpoint").unwrap();
    for key in [first(), second()] {
        Checkpoint::verify(&note, key.verifier(), Lines::WithWitnesses).unwrap();
    }
    let held: Vec<_> = log.state_keys().iter().map(|key| (key.from, key.until, key.held)).collect();
    assert_eq!(held, [(0, None, true), (5, None, true)]);
    let retire = Action::Retire { key: first().verifier().clone(), size: 6 };
    log.add_statement(&statement(2, retire, &[&second()])).unwrap();
    fill(&log, 6..7);
    log.close().unwrap();
    let note = storage.read("checkpoint").unwrap();
    Checkpoint::verify(&note, second().verifier(), Lines::LogOnly).unwrap();

    let refused_key = open(&storage, &[&first()]).unwrap_err();
    assert!(matches!(refused_key, Error::KeyNotValid { size: 8, .. }), "{refused_key}");
    let log = open(&storage, &[&second()]).unwrap();
    assert_eq!(log.verifier(), first().verifier(), "the first key names the log for ever");
    assert_eq!(log.reader().checkpoint().unwrap().size, 7);
    fill(&log, 7..8);
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(8)), Ok(8));
}

#[test]
fn a_log_keeps_a_key_that_signs() {
    let (_, log) = log_of(3);
    log.publish().unwrap();
    log.add_statement(&rotate(3)).unwrap();
    let retire = Action::Retire { key: first().verifier().clone(), size: 3 };
    let retire = statement(2, retire, &[&second()]);
    refused(log.add_statement(&retire), "no key that the log is open with");
    fill(&log, 3..4);
    log.publish().unwrap();
    assert_eq!(log.checkpoint().size, 4);
}

#[test]
fn a_revoked_key_is_replaced_step_by_step() {
    let (storage, log) = log_of(300);
    let named = Action::Recovery { key: recovery().verifier().clone(), size: 0 };
    log.add_statement(&statement(1, named, &[&first()])).unwrap();
    let rotate = Action::Rotate { key: second().verifier().clone(), size: 300 };
    log.add_statement(&statement(2, rotate, &[&first(), &second()])).unwrap();
    log.publish().unwrap();
    log.prune(256).unwrap();
    fill(&log, 300..310);
    log.publish().unwrap();
    log.close().unwrap();
    let root = |log: &Log, size| log.reader().root(size).unwrap();
    let revoke = |log: &Log, size| {
        let (key, root) = (first().verifier().clone(), root(log, size));
        statement(3, Action::Revoke { key, size, root }, &[&recovery()])
    };

    let log = open(&storage, &[&first(), &second()]).unwrap();
    refused(log.add_statement(&revoke(&log, 305)), "last checkpoint would count for nothing");
    fill(&log, 310..311);
    log.publish().unwrap();
    refused(log.add_statement(&revoke(&log, 305)), "open the log with another one");
    log.close().unwrap();

    let log = open(&storage, &[&second(), &first()]).unwrap();
    refused(log.add_statement(&revoke(&log, 200)), "no key that the log is open with");
    let wrong = Action::Revoke { key: first().verifier().clone(), size: 305, root: Hash::ZERO };
    refused(log.add_statement(&statement(3, wrong, &[&recovery()])), "does not have that root");
    fill(&log, 311..312);
    log.add_statement(&revoke(&log, 305)).unwrap();
    let states = log.state_keys();
    assert_eq!(states[0].until, Some(305));
    assert_eq!(states.last().map(|key| key.role), Some(KeyRole::Recovery));
    fill(&log, 312..313);
    log.close().unwrap();
    assert!(matches!(open(&storage, &[&first()]), Err(Error::KeyNotValid { .. })));
    let log = open(&storage, &[&second()]).unwrap();
    assert_eq!((log.tip().size, log.checkpoint().size, log.minimum()), (313, 313, 256));
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(313)), Ok(313));
}

#[test]
fn pruning_takes_entries_and_leaves_proofs() {
    let (storage, log) = log_of(600);
    for (minimum, why) in [(256, "published"), (100, "multiple")] {
        refused(log.prune(minimum), why);
    }
    log.publish().unwrap();
    refused(log.prune(768), "published");
    let segments = storage.list("segments").unwrap().len();
    let mut reader = log.reader();
    assert_eq!(reader.entry(10).unwrap(), entry(10));
    log.prune(256).unwrap();
    log.prune(256).unwrap();
    refused(log.prune(0), "already");
    assert_eq!((log.minimum(), reader.minimum().unwrap()), (256, 256));
    let left = storage.list("segments").unwrap().len();
    assert!(left < segments, "{left} of {segments}");
    assert!(storage.read("tile/entries/000").is_err() && storage.read("tile/0/000").is_ok());
    for index in [0, 10, 255] {
        let gone = reader.entry(index);
        assert!(matches!(gone, Err(Error::Pruned { minimum: 256, .. })));
        assert!(matches!(log.reader().entries(index), Err(Error::Pruned { .. })));
        let proof = reader.inclusion_proof(index, 600).unwrap();
        verify_inclusion(&entry(index), index, 600, &log.tip().root, &proof).unwrap();
    }
    assert_eq!(kept_from(&log, 256), (256..600).collect::<Vec<_>>());
}

fn kept_from(log: &Log, minimum: u64) -> Vec<u64> {
    log.reader().entries(minimum).unwrap().map(|one| one.unwrap().0).collect()
}

#[test]
fn a_follower_that_is_left_behind_by_pruning_is_told() {
    let (_, log) = log_of(600);
    log.publish().unwrap();
    let mut behind = log.reader().entries(0).unwrap();
    behind.next_entry().unwrap().unwrap();
    log.prune(512).unwrap();
    // What it has open it still reads.
    let end = behind.find_map(Result::err);
    assert!(matches!(end, Some(Error::Pruned { index: 1..512, minimum: 512 })), "{end:?}");
}

#[test]
fn a_pruned_log_goes_on_and_is_pruned_further() {
    let (storage, log) = log_of(600);
    log.publish().unwrap();
    log.prune(256).unwrap();
    fill(&log, 600..700);
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(700)), Ok(700));
    let log = open(&storage, &[&first()]).unwrap();
    assert_eq!((log.minimum(), log.tip().size), (256, 700));
    log.prune(512).unwrap();
    assert_eq!(log.reader().entry(699).unwrap(), entry(699));
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(700)), Ok(700));
}

#[test]
fn a_log_is_pruned_up_to_its_very_end() {
    let (storage, log) = log_of(512);
    log.publish().unwrap();
    log.prune(512).unwrap();
    fill(&log, 512..520);
    log.publish().unwrap();
    log.close().unwrap();
    let log = open(&storage, &[&first()]).unwrap();
    assert_eq!((log.tip().size, log.minimum()), (520, 512));
    assert_eq!(kept_from(&log, 512), (512..520).collect::<Vec<_>>());
    log.close().unwrap();
    assert_eq!(check_files(&storage, &expected(520)), Ok(520));
}

#[test]
fn what_was_pruned_is_believed_only_when_signed() {
    let (storage, log) = log_of(300);
    log.publish().unwrap();
    log.close().unwrap();
    let (stranger, _) = Signer::generate(ORIGIN).unwrap();
    for (minimum, key) in [(256, &stranger as &dyn Sign), (512, first().as_ref())] {
        let copy = storage.copy(crate::storage::Survival::Everything);
        let pruned = note::Pruned { origin: ORIGIN.to_owned(), minimum, time_ms: 1 };
        let note = note::Note::sign(&pruned.to_text(), key).unwrap();
        copy.put("pruned", note.as_bytes()).unwrap();
        let opened = open(&copy, &[&first()]);
        assert!(matches!(opened, Err(Error::Corrupt(found)) if found.path == "pruned"));
        assert!(copy.read("tile/entries/000").is_ok(), "nothing was removed");
    }
}

#[test]
fn the_shelf_takes_timestamps_and_nothing_else() {
    let (storage, log) = log_of(5);
    log.publish().unwrap();
    for path in [
        "timestamps/5",
        "timestamps/05.note",
        "timestamps/5.txt",
        "timestamps/../checkpoint",
        "timestamps/x.note",
        "timestamps/5.note.note",
        "timestamps/-5.tsr",
        "checkpoint",
        "5.note",
        "",
    ] {
        refused(log.put_beside(path, b"x"), "no path of a timestamp");
    }
    refused(log.put_beside("timestamps/6.note", b"x"), "no checkpoint of that size");
    refused(log.put_beside("timestamps/5.note", b""), "empty");
    refused(log.put_beside("timestamps/5.note", &vec![0; 600 << 10]), "longer");
    log.put_beside("timestamps/5.note", b"note").unwrap();
    log.put_beside("timestamps/5.tsr", b"stamp").unwrap();
    log.put_beside("timestamps/5.tsr", b"stamp").unwrap();
    refused(log.put_beside("timestamps/5.tsr", b"other"), "other content");
    let storage = storage.crash(crate::storage::Survival::Nothing);
    assert_eq!(storage.read("timestamps/5.note").unwrap(), b"note");
    assert_eq!(storage.read("timestamps/5.tsr").unwrap(), b"stamp");
}
