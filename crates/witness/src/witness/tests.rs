//! The witness against every order of faults: of logs, of the disk, of time and of its own key.

#[path = "../../tests/it/fake_log.rs"]
mod fake_log;

use super::{Inconsistency, Refusal, Witness};
use crate::logs::{LOGS, add};
use crate::request::BadRequest;
use crate::state::{self, Held, StateError};
use crate::storage::Storage;
use crate::storage::memory::{Failing, Memory};
use fake_log::{FakeLog, body};
use note::{Algorithm, Hash, KeyError, Note, Sign, Signer, Verifier, cosigned};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::Duration;

const ORIGIN: &str = "log.example/1";
const NOW_S: u64 = 1_700_000_000;

fn keys() -> Vec<Arc<dyn Sign>> {
    let algorithms = [Algorithm::Ed25519Cosignature, Algorithm::MlDsa44Cosignature];
    let key = |algorithm| Signer::from_seed("witness.example", algorithm, &[9; 32]).unwrap();
    algorithms.into_iter().map(|algorithm| Arc::new(key(algorithm)) as Arc<dyn Sign>).collect()
}

fn verifiers() -> Vec<Verifier> {
    keys().iter().map(|key| key.verifier().clone()).collect()
}

/// A directory that serves this log, of which nothing was cosigned.
fn served(log: &FakeLog) -> Arc<Memory> {
    let storage = Arc::new(Memory::default());
    storage.alter(LOGS, |_| Some(Vec::new()));
    state::begin(storage.as_ref(), ORIGIN).unwrap();
    add(storage.as_ref(), &log.key()).unwrap();
    storage
}

fn open(storage: &Arc<Memory>) -> Witness {
    Witness::new(Arc::clone(storage) as Arc<dyn Storage>, keys(), None).unwrap()
}

fn log() -> FakeLog {
    FakeLog::new(ORIGIN, 1)
}

/// What stands in for an HTTP status.
fn status(answer: &Result<String, Refusal>) -> u16 {
    match answer {
        Ok(_) => 200,
        Err(Refusal::BadRequest(_)) => 400,
        Err(Refusal::Unsigned(_)) => 403,
        Err(Refusal::UnknownLog(_)) => 404,
        Err(Refusal::Stale { .. }) => 409,
        Err(Refusal::Inconsistent(_)) => 422,
        Err(_) => 500,
    }
}

#[test]
fn a_growing_log_is_cosigned_with_both_keys() {
    let log = log();
    let storage = served(&log);
    let witness = open(&storage);
    for (old, new) in [(0, 0), (0, 1), (1, 1), (1, 7), (7, 8), (8, 40), (40, 40)] {
        let lines = witness.add_checkpoint(&log.body(old, new), NOW_S).unwrap();
        let note = format!("{}{lines}", log.note(new));
        let parsed = Note::parse(note.as_bytes()).unwrap();
        for key in witness.keys() {
            assert_eq!(cosigned(&parsed, key), Ok(Some(NOW_S)), "{old} to {new}");
        }
        assert_eq!(lines.lines().count(), 2);
        let shown = witness.checkpoint(&Hash::of(ORIGIN.as_bytes()).to_string()).unwrap();
        assert_eq!(shown, Some(note));
    }
    assert_eq!(witness.logs()[0].size.as_ref().unwrap(), &40);
}

#[test]
fn the_first_check_that_fails_is_the_answer() {
    let log = log();
    let fork = log.forked_at(5);
    let stranger = FakeLog::new("stranger.example", 1);
    let thief = FakeLog::new(ORIGIN, 2);
    let storage = served(&log);
    let witness = open(&storage);
    witness.add_checkpoint(&log.body(0, 8), NOW_S).unwrap();
    let wrong_proof = log.proof(7, 12);
    let line = |note: String| format!("{}\n", note.lines().last().unwrap());
    // The log's own line, but under another checkpoint.
    let forged = format!("{}\n{}", log.checkpoint(9).to_text(), line(log.note(10)));
    let both = format!("{}{}", log.note(9), line(thief.note(9)));
    let other_root = log.checkpoint(8).root.to_base64();
    let empty_root = log.note(0).replace(&Hash::EMPTY_ROOT.to_base64(), &other_root);
    for (name, request, wanted) in [
        ("nothing", Vec::new(), 400),
        ("no note", b"old 8\n\n".to_vec(), 400),
        ("unknown and beyond", body(41, &[], &stranger.note(3)), 404),
        ("a strange key", thief.body(8, 9), 403),
        ("a strange key and beyond", body(41, &[], &thief.note(9)), 403),
        ("a bad line of the log", body(8, &log.proof(8, 9), &forged), 403),
        ("a root nobody signed", body(8, &[], &empty_root), 403),
        ("beyond", body(41, &[], &log.note(9)), 400),
        ("beyond, not stale", body(10, &[], &log.note(9)), 400),
        ("stale", log.body(7, 12), 409),
        ("stale fork", fork.body(7, 12), 409),
        ("back", log.body(3, 5), 409),
        ("from nothing", log.body(0, 12), 409),
        ("a fork of the same size", fork.body(8, 8), 422),
        ("a fork of the same size, with a proof", body(8, &wrong_proof, &fork.note(8)), 422),
        ("a fork further on", fork.body(8, 12), 422),
        ("a wrong proof", body(8, &wrong_proof, &log.note(12)), 422),
        ("no proof", body(8, &[], &log.note(12)), 422),
        ("a proof too many", body(8, &wrong_proof, &log.note(8)), 422),
        ("a further line by nobody known", body(8, &log.proof(8, 9), &both), 200),
    ] {
        let answer = witness.add_checkpoint(&request, NOW_S);
        assert_eq!(status(&answer), wanted, "{name}: {answer:?}");
        if wanted == 409 {
            assert!(matches!(answer, Err(Refusal::Stale { size: 8 })), "{name}");
        }
    }
    let beyond = witness.add_checkpoint(&body(10, &[], &log.note(9)), NOW_S).unwrap_err();
    let wanted = BadRequest::OldBeyondNew { old: 10, size: 9 };
    assert!(matches!(beyond, Refusal::BadRequest(found) if found == wanted));
}

#[test]
fn a_log_begins_with_nothing_to_prove() {
    let log = log();
    let storage = served(&log);
    let witness = open(&storage);
    assert_eq!(witness.checkpoint(&Hash::of(ORIGIN.as_bytes()).to_string()).unwrap(), None);
    let needless = body(0, &log.proof(3, 5), &log.note(5));
    let refused = witness.add_checkpoint(&needless, NOW_S).unwrap_err();
    assert!(matches!(refused, Refusal::Inconsistent(Inconsistency::NeedlessProof)));
    let stale = witness.add_checkpoint(&log.body(3, 5), NOW_S).unwrap_err();
    assert!(matches!(stale, Refusal::Stale { size: 0 }));
    let mut empty = log.checkpoint(0);
    empty.root = log.checkpoint(3).root;
    let note = empty.sign(&log.signer()).unwrap();
    let refused = witness.add_checkpoint(&body(0, &[], &note), NOW_S).unwrap_err();
    assert!(matches!(refused, Refusal::Inconsistent(Inconsistency::EmptyRoot)));
    assert_eq!(evidence(&storage).len(), 1, "what the log signed there is impossible");
}

fn evidence(storage: &Memory) -> Vec<String> {
    storage.paths().into_iter().filter(|path| path.starts_with("evidence/")).collect()
}

#[test]
fn a_contradiction_is_kept_with_both_notes() {
    let log = log();
    let fork = log.forked_at(5);
    let storage = served(&log);
    let witness = open(&storage);
    witness.add_checkpoint(&log.body(0, 8), NOW_S).unwrap();
    let held = witness.checkpoint(&Hash::of(ORIGIN.as_bytes()).to_string()).unwrap().unwrap();
    // A fork is proof by itself, also where the submission is refused for another reason first.
    for (old, new, kind) in [(8, 8, "fork"), (0, 8, "fork"), (8, 12, "unproven")] {
        let before = evidence(&storage);
        let line = "\u{2014} stranger.example AAAAAAAAAAAA\n";
        let submitted = body(old, &fork.proof(old, new), &format!("{}{line}", fork.note(new)));
        assert_ne!(status(&witness.add_checkpoint(&submitted, NOW_S)), 200);
        let after = evidence(&storage);
        let news: Vec<_> = after.iter().filter(|path| !before.contains(path)).collect();
        if old == 0 {
            assert_eq!(news.len(), 0, "the same pair is kept once");
            continue;
        }
        assert_eq!(news.len(), 2);
        assert!(news.iter().all(|path| path.contains(kind)), "{news:?}");
        let read = |end: &str| {
            let path = news.iter().find(|path| path.ends_with(end)).unwrap();
            String::from_utf8(storage.read(path, 100_000).unwrap().unwrap()).unwrap()
        };
        assert_eq!(read("-cosigned.note"), held);
        assert_eq!(read("-submitted.note"), fork.note(new), "lines of strangers are left out");
    }
    // What needs no key of the log is no evidence against it.
    let before = evidence(&storage);
    let thief = FakeLog::new(ORIGIN, 2).forked_at(5);
    assert_eq!(status(&witness.add_checkpoint(&thief.body(8, 8), NOW_S)), 403);
    assert_eq!(status(&witness.add_checkpoint(&log.body(3, 12), NOW_S)), 409);
    assert_eq!(evidence(&storage), before);
}

#[test]
fn a_lost_or_damaged_state_refuses_its_log_and_no_other() {
    let (log, other) = (log(), FakeLog::new("log.example/2", 3));
    let storage = served(&log);
    state::begin(storage.as_ref(), "log.example/2").unwrap();
    add(storage.as_ref(), &other.key()).unwrap();
    let witness = open(&storage);
    witness.add_checkpoint(&log.body(0, 8), NOW_S).unwrap();
    let path = state::path(ORIGIN);
    let good = storage.read(&path, 100_000).unwrap();
    for (name, bytes) in [
        ("missing", None),
        ("empty", Some(Vec::new())),
        ("zeros", Some(vec![0; 300])),
        ("cut", good.clone().map(|bytes| bytes[..bytes.len() / 2].to_vec())),
        ("bare", Some(log.note(8).into_bytes())),
    ] {
        storage.alter(&path, |_| bytes);
        for witness in [&witness, &open(&storage)] {
            for request in [log.body(8, 9), log.body(0, 8), log.body(0, 3)] {
                let refused = witness.add_checkpoint(&request, NOW_S).unwrap_err();
                match &refused {
                    Refusal::State(StateError::Missing { .. }) => assert_eq!(name, "missing"),
                    Refusal::State(StateError::Damaged { .. }) => assert_ne!(name, "missing"),
                    other => panic!("{name}: {other}"),
                }
                assert!(refused.to_string().contains("forget-log"), "{refused}");
            }
            assert!(witness.logs().iter().any(|log| log.size.is_err()));
        }
        let before = other_size(&witness);
        witness.add_checkpoint(&other.body(before, before + 1), NOW_S).unwrap();
    }
    storage.alter(&path, |_| good);
    witness.add_checkpoint(&log.body(8, 9), NOW_S).unwrap();
}

fn other_size(witness: &Witness) -> usize {
    let logs = witness.logs();
    let other = logs.iter().find(|log| log.origin != ORIGIN).unwrap();
    usize::try_from(*other.size.as_ref().unwrap()).unwrap()
}

#[test]
fn a_clock_that_goes_back_takes_no_cosignature_with_it() {
    let log = log();
    let storage = served(&log);
    let witness = open(&storage);
    let time = |answer: Result<String, Refusal>, size| {
        let note = format!("{}{}", log.note(size), answer.unwrap());
        cosigned(&Note::parse(note.as_bytes()).unwrap(), &verifiers()[0]).unwrap().unwrap()
    };
    assert_eq!(time(witness.add_checkpoint(&log.body(0, 3), 1_000), 3), 1_000);
    assert_eq!(time(witness.add_checkpoint(&log.body(3, 5), 900), 5), 1_000);
    assert_eq!(time(witness.add_checkpoint(&log.body(5, 9), 1_100), 9), 1_100);
    let never = open(&served(&log)).add_checkpoint(&log.body(0, 3), 0);
    assert!(matches!(never, Err(Refusal::Cosign(_))), "a cosignature must have a time");
}

/// A key that signs something else.
#[derive(Debug)]
struct Broken(Signer);

impl Sign for Broken {
    fn verifier(&self) -> &Verifier {
        self.0.verifier()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = self.0.sign(message)?;
        signature[5] ^= 1;
        Ok(signature)
    }
}

#[test]
fn a_key_that_signs_wrongly_changes_nothing() {
    let log = log();
    let storage = served(&log);
    let key =
        Signer::from_seed("witness.example", Algorithm::Ed25519Cosignature, &[9; 32]).unwrap();
    let broken: Vec<Arc<dyn Sign>> = vec![Arc::new(Broken(key))];
    let witness = Witness::new(Arc::clone(&storage) as Arc<dyn Storage>, broken, None).unwrap();
    let before = storage.changes();
    let refused = witness.add_checkpoint(&log.body(0, 3), NOW_S).unwrap_err();
    assert!(matches!(refused, Refusal::Cosign(_)), "{refused}");
    assert_eq!(storage.changes(), before);
}

#[test]
fn a_further_key_of_the_log_counts_and_a_removed_one_does_not() {
    let (one, two) = (log(), FakeLog::new(ORIGIN, 2));
    let storage = served(&one);
    let witness = open(&storage);
    witness.add_checkpoint(&one.body(0, 3), NOW_S).unwrap();
    assert_eq!(status(&witness.add_checkpoint(&two.body(3, 5), NOW_S)), 403);
    add(storage.as_ref(), &two.key()).unwrap();
    // A good line beside a bad one of the same log is no good note.
    let line = |note: String| format!("{}\n", note.lines().last().unwrap());
    let half = format!("{}{}", two.note(5), line(one.note(6)));
    let proof = two.proof(3, 5);
    assert_eq!(status(&witness.add_checkpoint(&body(3, &proof, &half), NOW_S)), 403);
    let whole = format!("{}{}", two.note(5), line(one.note(5)));
    witness.add_checkpoint(&body(3, &proof, &whole), NOW_S).unwrap();
    let shown = witness.checkpoint(&Hash::of(ORIGIN.as_bytes()).to_string()).unwrap().unwrap();
    assert!(shown.starts_with(&whole), "both lines of the log are kept");
    storage.alter(LOGS, |_| Some(two.key().to_text().into_bytes()));
    assert_eq!(status(&witness.add_checkpoint(&one.body(5, 6), NOW_S)), 403);
    witness.add_checkpoint(&two.body(5, 6), NOW_S).unwrap();
}

/// What a client does that is refused or told another size: it asks again, as long as that helps.
fn insist(witness: &Witness, log: &FakeLog, new: usize, left: &mut Vec<(u64, Hash)>) {
    let mut old = 0;
    for _ in 0..3 {
        match witness.add_checkpoint(&log.body(old, new), NOW_S) {
            Ok(_) => {
                let checkpoint = log.checkpoint(new);
                left.push((checkpoint.size, checkpoint.root));
                return;
            }
            Err(Refusal::Stale { size }) if size <= u64::try_from(new).unwrap() => {
                old = usize::try_from(size).unwrap();
            }
            Err(_) => {}
        }
    }
}

fn held(storage: &Memory) -> Held {
    state::load(storage, ORIGIN, &verifiers()).unwrap()
}

/// Every change to the disk fails once or twice in a row, before, within or after its work, with a
/// power cut at the end that loses or keeps what was not made durable. No cosignature ever leaves for
/// what is not on the disk, and none is ever contradicted.
#[test]
fn no_cosignature_leaves_before_its_checkpoint_is_durable() {
    let log = log();
    let fork = log.forked_at(2);
    let sizes = [3, 3, 5, 9, 17];
    let whole = served(&log);
    let first = whole.changes();
    for new in sizes {
        insist(&open(&whole), &log, new, &mut Vec::new());
    }
    let last = whole.changes();
    assert!(3 * 5 <= last - first, "the scenario writes");
    for at in first..last {
        for failures in [at..at + 1, at..at + 2] {
            for failing in [Failing::Before, Failing::Halfway, Failing::After] {
                let storage = served(&log);
                storage.fail(failures.clone(), failing);
                let witness = open(&storage);
                let mut left = Vec::new();
                for new in sizes {
                    let before = left.len();
                    insist(&witness, &log, new, &mut left);
                    if before < left.len() {
                        let durable = held(&storage.after_power_cut(false));
                        assert_eq!(left.last(), Some(&(durable.size(), durable.root())), "{at}");
                    }
                }
                for everything in [false, true] {
                    check_after_power_cut(&storage.after_power_cut(everything), &fork, &left);
                }
            }
        }
    }
}

fn check_after_power_cut(storage: &Memory, fork: &FakeLog, left: &[(u64, Hash)]) {
    let known = held(storage);
    for (size, root) in left {
        assert!(*size <= known.size(), "{size} was cosigned and {} is known", known.size());
        assert!(*size < known.size() || *root == known.root());
    }
    let storage = Arc::new(storage.after_power_cut(true));
    let witness = open(&storage);
    for new in [3, 5, 9, 17, 20] {
        let mut further = Vec::new();
        insist(&witness, fork, new, &mut further);
        // A fork is cosigned only where nothing of the log was.
        assert!(further.is_empty() || left.is_empty(), "{left:?} and then {further:?}");
        if left.is_empty() {
            return;
        }
    }
}

#[test]
fn after_a_doubtful_write_nothing_is_cosigned_until_the_next_start() {
    let log = log();
    let storage = served(&log);
    // Begin, then: write, rename, sync of the directory. The last one fails.
    let changes = storage.changes();
    storage.fail(changes + 2..changes + 3, Failing::After);
    let witness = open(&storage);
    assert!(matches!(witness.add_checkpoint(&log.body(0, 3), NOW_S), Err(Refusal::Storage(_))));
    for request in [log.body(0, 3), log.body(3, 5)] {
        assert!(matches!(witness.add_checkpoint(&request, NOW_S), Err(Refusal::Stopped)));
    }
    open(&storage).add_checkpoint(&log.body(3, 5), NOW_S).unwrap();
}

#[test]
fn a_full_disk_is_no_reason_to_stop() {
    let log = log();
    let storage = served(&log);
    let changes = storage.changes();
    storage.fail(changes..changes + 1, Failing::Halfway);
    let witness = open(&storage);
    let refused = witness.add_checkpoint(&log.body(0, 3), NOW_S);
    assert!(matches!(refused, Err(Refusal::Storage(_))));
    witness.add_checkpoint(&log.body(0, 3), NOW_S).unwrap();
}

/// A disk on which whoever reads a state waits for a second reader. There is one only if nothing
/// keeps two requests apart.
#[derive(Debug)]
struct MeetingPoint {
    disk: Arc<Memory>,
    readers: Mutex<usize>,
    arrived: Condvar,
}

impl Storage for MeetingPoint {
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let read = self.disk.read(path, bytes_max);
        if path == state::path(ORIGIN) {
            let mut readers = self.readers.lock().unwrap();
            *readers += 1;
            self.arrived.notify_all();
            let patience = Duration::from_millis(200);
            let alone = |readers: &mut usize| *readers < 2;
            drop(self.arrived.wait_timeout_while(readers, patience, alone).unwrap());
        }
        read
    }

    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_new(path, bytes)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.names(dir)
    }
}

#[test]
fn of_two_requests_from_one_size_one_wins() {
    let log = log();
    let fork = log.forked_at(1);
    for others in [log.body(0, 5), fork.body(0, 3)] {
        let (readers, arrived) = (Mutex::new(0), Condvar::new());
        let storage = Arc::new(MeetingPoint { disk: served(&log), readers, arrived });
        let witness = Witness::new(Arc::clone(&storage) as Arc<dyn Storage>, keys(), None).unwrap();
        let bodies = [log.body(0, 3), others];
        let answers: Vec<u16> = std::thread::scope(|scope| {
            let witness = &witness;
            let threads = bodies
                .each_ref()
                .map(|body| scope.spawn(move || status(&witness.add_checkpoint(body, NOW_S))));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut sorted = answers.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [200, 409], "{answers:?}");
    }
}

#[test]
fn what_many_threads_had_cosigned_is_one_chain() {
    let log = log();
    let storage = served(&log);
    let witness = open(&storage);
    let start = Barrier::new(4);
    let steps: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let run = |number: usize| {
            let (witness, log, start) = (&witness, &log, &start);
            move || {
                start.wait();
                let mut won = Vec::new();
                let mut old = 0;
                for round in 0..20 {
                    let new = (old + 1 + (number + round) % 3).min(fake_log::ENTRIES);
                    match witness.add_checkpoint(&log.body(old, new), NOW_S) {
                        Ok(_) => won.push((old, new)),
                        Err(Refusal::Stale { size }) => old = usize::try_from(size).unwrap(),
                        Err(other) => panic!("{other}"),
                    }
                }
                won
            }
        };
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(run(number))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let grown = steps.iter().filter(|(old, new)| old != new);
    let chain: BTreeMap<usize, usize> = grown.clone().copied().collect();
    assert_eq!(chain.len(), grown.count(), "two went on from one size");
    let mut at = 0;
    while let Some(next) = chain.get(&at) {
        at = *next;
    }
    assert_eq!(u64::try_from(at).unwrap(), held(&storage).size());
}

#[test]
fn a_policy_takes_the_lines_and_counts_two_keys_as_one_witness() {
    let witness = open(&served(&log()));
    let lines = witness.policy_lines("https://w.example/");
    let policy = format!("{lines}quorum witness.example\n");
    let policy = note::Policy::parse(policy.as_bytes()).unwrap();
    assert_eq!(policy.witnesses().len(), 2);
    assert!(policy.witnesses().iter().all(|one| one.url.as_deref() == Some("https://w.example/")));
    for one in ["witness.example/ed25519", "witness.example/ml-dsa-44"] {
        assert!(policy.satisfied_by(&[one].into()));
    }
    assert!(!policy.satisfied_by(&[].into()));
    let single = super::policy_lines(&verifiers()[..1], "http://127.0.0.1:8710");
    assert_eq!(
        single,
        format!("witness witness.example {} http://127.0.0.1:8710\n", verifiers()[0].to_text())
    );
}
