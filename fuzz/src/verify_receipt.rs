//! Receipts of every kind: whatever was changed in one, it proves what the log signed or nothing.

use crate::script::{Script, patch};
use crate::tlog_sample::signer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coset::cbor::value::Value as Cbor;
use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _};
use note::{
    Algorithm, Batch, Checkpoint, Epoch, LogProof, Sign as _, Signer, leaf_hash, node_hash,
};
use serde_json::json;
use std::sync::LazyLock;
use verify::receipt::{Kind, Proven, Trust, verify};

/// The first byte chooses what the rest is: a receipt, or changes to a good one of some kind.
pub fn verify_receipt(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = usize::from(script.byte()) % 4;
    let receipt = match GOOD.get(choice) {
        Some(good) => {
            let mut changed = good.clone();
            patch(&mut changed, &mut script);
            changed
        }
        None => script.rest().to_vec(),
    };
    check(&receipt);
}

fn check(receipt: &[u8]) {
    let trust = |entry: &[u8]| Trust {
        keys: vec![signer().verifier().clone()],
        entry: Some(entry.to_vec()),
        ..Trust::default()
    };
    match verify(receipt, &trust(ENTRY)) {
        Ok(proven) => {
            let wanted = WANTED.iter().find(|wanted| wanted.kind == proven.kind);
            // The witnesses of a log proof, and who says which log it is, are not signed by the log.
            assert_eq!(wanted, Some(&proven), "what nobody signed is proven");
            let nobody = Trust { entry: Some(ENTRY.to_vec()), ..Trust::default() };
            verify(receipt, &nobody).expect_err("a receipt brings no trust along");
        }
        Err(failure) => assert!(failure.to_string().len() < 4_000, "it repeats the receipt"),
    }
    verify(receipt, &trust(b"another")).expect_err("another entry is proven");
}

static GOOD: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| [log_proof(), batch(), cose()]);

/// What the good ones prove.
static WANTED: LazyLock<Vec<Proven>> = LazyLock::new(|| {
    let keys = || vec![signer().verifier().clone()];
    let trust = || Trust { keys: keys(), entry: Some(ENTRY.to_vec()), ..Trust::default() };
    let proven: Vec<Proven> =
        GOOD.iter().map(|good| verify(good, &trust()).expect("it is good")).collect();
    assert!(proven.iter().map(|proven| proven.kind).eq([Kind::LogProof, Kind::Batch, Kind::Cose]));
    proven
});

fn origin() -> String {
    signer().verifier().name().to_owned()
}

fn log_proof() -> Vec<u8> {
    let (left, right) = (leaf_hash(b"left"), leaf_hash(ENTRY));
    let checkpoint = Checkpoint { origin: origin(), size: 2, root: node_hash(&left, &right) };
    let checkpoint = checkpoint.sign(&signer()).expect("a key in memory signs");
    LogProof { extra: None, index: 1, hashes: vec![left], checkpoint }.to_text().into_bytes()
}

fn batch() -> Vec<u8> {
    let (left, right) = (leaf_hash(b"left"), leaf_hash(ENTRY));
    let key = Signer::from_seed(&Epoch::key_name(&origin()), Algorithm::Ed25519, &[7; 32])
        .expect("a seed makes a key");
    let mut batch = Batch {
        first: 0,
        count: 2,
        size: 2,
        root: node_hash(&left, &right),
        previous: leaf_hash(b"x"),
        time_ms: 1_700_000_000_000,
        signature: [0; 64],
    };
    let signature = key.sign(batch.text(&origin()).as_bytes()).expect("a key in memory signs");
    batch.signature = signature.try_into().expect("64 bytes");
    let epoch = Epoch { origin: origin(), key: key.verifier().clone(), size: 0, time_ms: 1 };
    let receipt = json!({
        "origin": origin(), "index": 1, "leaf_hash": right.to_base64(),
        "size": 2, "root": batch.root.to_base64(), "first": 0,
        "count": 2, "previous": batch.previous.to_base64(), "time_ms": batch.time_ms,
        "signature": STANDARD.encode(batch.signature),
        "epoch": epoch.sign(&signer()).expect("a key in memory signs"),
        "proof": [left.to_base64()],
    });
    receipt.to_string().into_bytes()
}

fn cose() -> Vec<u8> {
    let (log, left) = (signer(), leaf_hash(b"left"));
    let root = node_hash(&left, &leaf_hash(ENTRY));
    let path = Cbor::Array(vec![Cbor::Bytes(left.as_bytes().to_vec())]);
    let proof = Cbor::Array(vec![2.into(), 1.into(), path]).to_vec().expect("it is encoded");
    let proofs = Cbor::Map(vec![((-1).into(), Cbor::Array(vec![Cbor::Bytes(proof)]))]);
    let protected = HeaderBuilder::new()
        .algorithm(coset::iana::Algorithm::EdDSA)
        .key_id(log.verifier().id().to_vec())
        .value(15, Cbor::Map(vec![(1.into(), origin().into())]))
        .value(395, 1.into());
    CoseSign1Builder::new()
        .protected(protected.build())
        .unprotected(HeaderBuilder::new().value(396, proofs).build())
        .create_detached_signature(root.as_bytes(), &[], |message| {
            log.sign(message).expect("a key in memory signs")
        })
        .build()
        .to_tagged_vec()
        .expect("it is encoded")
}

const ENTRY: &[u8] = b"right";
