//! Notes, proofs, policies, statements and the names of tiles: what is read is written back the same,
//! and of a signed text only the one that was signed is taken.

use crate::script::{Script, patch};
use crate::tlog_sample::signer;
use note::{
    Algorithm, Checkpoint, Epoch, LogProof, Note, Policy, Pruned, Signer, Statement, Tile, cosign,
    cosigned, leaf_hash, node_hash,
};

/// The first byte chooses the format; the rest is a text of it, or changes to a good one.
pub fn note_formats(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 8 {
        0 => check_note(script.rest()),
        1 => check_proof(script.rest()),
        2 => check_policy(script.rest()),
        3 => check_statements(script.rest()),
        4 => check_tile(script.rest()),
        5 => patched_cosignature(&mut script),
        6 => patched_proof(&mut script),
        _ => {
            let mut policy = sample_policy().into_bytes();
            patch(&mut policy, &mut script);
            check_policy(&policy);
        }
    }
}

fn check_note(bytes: &[u8]) {
    let Ok(note) = Note::parse(bytes) else { return };
    let lines: String = note.signatures().iter().map(|signature| signature.line).collect();
    let again = format!("{}\n{lines}", note.text());
    assert_eq!(again.as_bytes(), bytes, "a note has one spelling");
    if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
        assert_eq!(checkpoint.to_text(), note.text(), "a checkpoint has one spelling");
    }
}

fn check_proof(bytes: &[u8]) {
    let Ok(proof) = LogProof::parse(bytes) else { return };
    assert_eq!(proof.to_text().as_bytes(), bytes, "a proof has one spelling");
    proof.verify(leaf_hash(b"never logged"), &policy_of_the_log()).unwrap_err();
}

fn check_policy(bytes: &[u8]) {
    let Ok(policy) = Policy::parse(bytes) else { return };
    let all = policy.witnesses().iter().map(|witness| witness.name.as_str()).collect();
    assert!(policy.satisfied_by(&all), "all witnesses together are enough");
    let none = policy.satisfied_by(&std::collections::BTreeSet::new());
    assert_eq!(none, !policy.needs_witnesses(), "none are enough only where none is asked for");
}

fn check_statements(bytes: &[u8]) {
    if let Ok((statement, note)) = Statement::parse(bytes) {
        assert_eq!(statement.to_text(), note.text());
    }
    if let Ok((pruned, note)) = Pruned::parse(bytes) {
        assert_eq!(pruned.to_text(), note.text());
    }
    if let Ok((epoch, note)) = Epoch::parse(bytes) {
        assert_eq!(epoch.to_text(), note.text());
    }
}

fn check_tile(bytes: &[u8]) {
    let Ok(path) = str::from_utf8(bytes) else { return };
    if let Some(tile) = Tile::parse(path) {
        assert_eq!(tile.path(), path, "a tile has one name");
        assert!(!path.contains("..") && !path.starts_with('/'), "a name stays below the log");
    }
    if let Some(ordinal) = Statement::parse_path(path) {
        assert_eq!(Statement::path(ordinal), path);
    }
}

/// A cosigned checkpoint with changes: the cosignature holds only when nothing of it changed.
fn patched_cosignature(script: &mut Script<'_>) {
    let (log, witness) = (signer(), witness());
    let origin = log.verifier().name().to_owned();
    let checkpoint = Checkpoint { origin, size: 3, root: leaf_hash(b"x") };
    let note = checkpoint.sign(&log).expect("a key in memory signs");
    let line = cosign(&checkpoint.to_text(), &witness, 5).expect("a checkpoint");
    let mut bytes = format!("{note}{line}").into_bytes();
    patch(&mut bytes, script);
    let Ok(parsed) = Note::parse(&bytes) else { return };
    if let Ok(Some(time)) = cosigned(&parsed, witness.verifier()) {
        assert_eq!((time, parsed.text()), (5, checkpoint.to_text().as_str()));
        assert_eq!(parsed.by(witness.verifier()).map(|line| line.line), Some(line.as_str()));
    }
}

/// A proof with changes: it holds only when no byte of it changed.
fn patched_proof(script: &mut Script<'_>) {
    let log = signer();
    let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
    let origin = log.verifier().name().to_owned();
    let checkpoint = Checkpoint { origin, size: 2, root: node_hash(&left, &right) };
    let checkpoint = checkpoint.sign(&log).expect("a key in memory signs");
    let good = LogProof { extra: None, index: 1, hashes: vec![left], checkpoint }.to_text();
    let mut bytes = good.clone().into_bytes();
    patch(&mut bytes, script);
    check_proof(&bytes);
    let Ok(proof) = LogProof::parse(&bytes) else { return };
    if proof.verify(right, &policy_of_the_log()).is_ok() {
        let own = |proof: &LogProof| (proof.index, proof.hashes.clone());
        let whole = LogProof::parse(good.as_bytes()).expect("it is good");
        assert_eq!(own(&proof), own(&whole));
        assert_eq!(proof.parse_checkpoint(), whole.parse_checkpoint());
    }
}

fn policy_of_the_log() -> Policy {
    Policy::of_logs(&[signer().verifier().clone()])
}

fn witness() -> Signer {
    Signer::from_seed("witness.example/w", Algorithm::Ed25519Cosignature, &[9; 32])
        .expect("a seed makes a key")
}

fn sample_policy() -> String {
    let log = signer().verifier().to_text();
    let witness = witness().verifier().to_text();
    format!(
        "# a policy\nlog {log} https://log.example/\n\nwitness w {witness}\n\
         group g any w\nquorum g\n"
    )
}
