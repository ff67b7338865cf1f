//! Receipts of every kind, and what is wrong with altered ones.

use super::fixture::{ORIGIN, Plan, naive_proof, naive_root, sign_batch, signer, witness};
use crate::check::{Check, Checks};
use crate::failure::{Failure, Verdict};
use crate::receipt::{Kind, Proven, Trust, verify, verify_with};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coset::cbor::value::Value as Cbor;
use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _};
use note::{Batch, Epoch, Hash, LogProof, Policy, Sign as _, leaf_hash};
use serde_json::{Value, json};

/// Of the entry with index 5, in a tree of 9.
const INDEX: usize = 5;
const SIZE: usize = 9;

fn entry() -> Vec<u8> {
    Plan::usual().entries[INDEX].clone()
}

fn trust<'a>() -> Trust<'a> {
    let keys = vec![signer(ORIGIN, 1).verifier().clone()];
    Trust { keys, entry: Some(entry()), ..Trust::default() }
}

fn log_proof(cosigned: bool) -> LogProof {
    let plan = Plan {
        published: Some(SIZE),
        cosigners: if cosigned { vec![witness(7)] } else { Vec::new() },
        ..Plan::usual()
    };
    let checkpoint = plan.published_files().remove("checkpoint").unwrap();
    LogProof {
        extra: None,
        index: INDEX.try_into().unwrap(),
        hashes: naive_proof(&plan.leaves()[..SIZE], INDEX),
        checkpoint: String::from_utf8(checkpoint).unwrap(),
    }
}

fn batch_receipt(batches: fn(&mut Batch), epochs: fn(&mut Epoch)) -> Value {
    let plan = Plan::usual();
    let leaves = &plan.leaves()[..SIZE];
    let mut batch = Batch {
        first: 4,
        count: 5,
        size: 9,
        root: naive_root(leaves),
        previous: leaf_hash(b"x"),
        time_ms: 1_700_000_000_000,
        signature: [0; 64],
    };
    batches(&mut batch);
    sign_batch(&mut batch, &plan.epoch);
    let key = plan.epoch.verifier().clone();
    let mut epoch = Epoch { origin: ORIGIN.to_owned(), key, size: 2, time_ms: 1 };
    epochs(&mut epoch);
    let proof: Vec<String> = naive_proof(leaves, INDEX).iter().map(Hash::to_base64).collect();
    json!({
        "origin": ORIGIN, "index": INDEX, "leaf_hash": leaves[INDEX].to_base64(),
        "size": batch.size, "root": batch.root.to_base64(), "first": batch.first,
        "count": batch.count, "previous": batch.previous.to_base64(), "time_ms": batch.time_ms,
        "signature": STANDARD.encode(batch.signature),
        "epoch": epoch.sign(&plan.log).unwrap(), "proof": proof,
    })
}

fn cose_receipt() -> Vec<u8> {
    let plan = Plan::usual();
    let leaves = &plan.leaves()[..SIZE];
    let path = naive_proof(leaves, INDEX);
    let path = path.iter().map(|hash| Cbor::Bytes(hash.as_bytes().to_vec())).collect();
    let numbers = [SIZE, INDEX].map(|number| Cbor::from(u64::try_from(number).unwrap()));
    let [size, index] = numbers;
    let proof = Cbor::Array(vec![size, index, Cbor::Array(path)]).to_vec().unwrap();
    let proofs = Cbor::Map(vec![((-1).into(), Cbor::Array(vec![Cbor::Bytes(proof)]))]);
    let issuer = Cbor::Map(vec![(1.into(), ORIGIN.into())]);
    let protected = HeaderBuilder::new()
        .algorithm(coset::iana::Algorithm::EdDSA)
        .key_id(plan.log.verifier().id().to_vec())
        .value(15, issuer)
        .value(395, 1.into());
    CoseSign1Builder::new()
        .protected(protected.build())
        .unprotected(HeaderBuilder::new().value(396, proofs).build())
        .create_detached_signature(naive_root(leaves).as_bytes(), &[], |message| {
            plan.log.sign(message).unwrap()
        })
        .build()
        .to_tagged_vec()
        .unwrap()
}

fn policy(quorum: &str) -> Option<Policy> {
    let (log, witness) = (signer(ORIGIN, 1), witness(7));
    let (log, witness) = (log.verifier().to_text(), witness.verifier().to_text());
    let text = format!("log {log}\nwitness w {witness}\nquorum {quorum}\n");
    Some(Policy::parse(text.as_bytes()).unwrap())
}

fn check_proven(proven: Result<Proven, Failure>, kind: Kind) {
    let proven = proven.unwrap();
    assert_eq!((proven.kind, proven.origin.as_str()), (kind, ORIGIN));
    assert_eq!((proven.index, proven.size), (5, 9));
    assert_eq!(proven.leaf, leaf_hash(&entry()));
    assert_eq!(proven.root, naive_root(&Plan::usual().leaves()[..SIZE]));
}

#[test]
fn good_receipts_of_every_kind_prove_their_entry() {
    let proof = log_proof(false).to_text().into_bytes();
    check_proven(verify(&proof, &trust()), Kind::LogProof);
    check_proven(verify(&cose_receipt(), &trust()), Kind::Cose);
    let batch = batch_receipt(|_| {}, |_| {});
    check_proven(verify(batch.to_string().as_bytes(), &trust()), Kind::Batch);
    // As it comes with a result, and without the entry.
    let result = json!({ "result": { "_meta": { "dev.countersign/receipt": batch } } });
    let proven = verify(result.to_string().as_bytes(), &Trust { entry: None, ..trust() }).unwrap();
    assert!(!proven.entry_shown);
    // The entry may be in the proof.
    let carried = LogProof { extra: Some(entry()), ..log_proof(false) }.to_text();
    check_proven(verify(carried.as_bytes(), &Trust { entry: None, ..trust() }), Kind::LogProof);
    let nothing = verify(&proof, &Trust { entry: None, ..trust() }).unwrap_err();
    assert_eq!(nothing.verdict, Verdict::Unreadable);
}

#[test]
fn witnesses_count_by_the_policy() {
    let trust = Trust { policy: policy("w"), ..trust() };
    let cosigned = log_proof(true).to_text();
    let proven = verify(cosigned.as_bytes(), &trust).unwrap();
    assert_eq!((proven.verdict, proven.witnesses.len()), (Verdict::Witnessed, 1));
    for receipt in [log_proof(false).to_text(), batch_receipt(|_| {}, |_| {}).to_string()] {
        assert_eq!(verify(receipt.as_bytes(), &trust).unwrap_err().verdict, Verdict::Unwitnessed);
    }
}

#[test]
fn every_byte_of_a_receipt_matters() {
    let text = log_proof(true).to_text().into_bytes();
    let trust = Trust { policy: policy("w"), ..trust() };
    for at in 0..text.len() {
        let mut altered = text.clone();
        altered[at] ^= 1;
        assert!(verify(&altered, &trust).is_err(), "{at}");
        assert!(verify(&text[..at], &trust).is_err(), "{at}");
    }
    let trust = Trust { policy: None, ..trust };
    let cose = cose_receipt();
    for at in 0..cose.len() {
        let mut altered = cose.clone();
        altered[at] ^= 1;
        assert!(verify(&altered, &trust).is_err(), "{at}");
        assert!(verify(&cose[..at], &trust).is_err(), "{at}");
    }
    let batch = batch_receipt(|_| {}, |_| {}).to_string().into_bytes();
    for at in 0..batch.len() {
        let mut altered = batch.clone();
        altered[at] ^= 1;
        assert!(verify(&altered, &trust).is_err(), "{at}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, at: usize, byte: u8) {
        verify(&bytes, &trust()).ok();
        for mut receipt in [cose_receipt(), log_proof(true).to_text().into_bytes()] {
            let at = at % receipt.len();
            receipt[at] = byte;
            verify(&receipt, &trust()).ok();
        }
    }
}

/// One altered receipt for each check of receipts; returns the checks.
pub(super) fn every_check_is_needed() -> Vec<Check> {
    let good = || batch_receipt(|_| {}, |_| {});
    let text = |value: &Value| value.to_string().into_bytes();
    let mut other_leaf = good();
    other_leaf["leaf_hash"] = Hash::ZERO.to_base64().into();
    let mut short_proof = good();
    short_proof["proof"].as_array_mut().unwrap().pop();
    let mut forged = log_proof(true);
    let at = forged.checkpoint.len() - 10;
    let letter = if forged.checkpoint.as_bytes()[at] == b'A' { "B" } else { "A" };
    forged.checkpoint.replace_range(at..=at, letter);
    let foreign = Trust { keys: vec![signer("other", 1).verifier().clone()], ..trust() };
    let wrong_key = Trust { keys: vec![signer(ORIGIN, 9).verifier().clone()], ..trust() };
    let cases = [
        (Check::ReceiptOrigin, text(&good()), foreign),
        (Check::ReceiptLeaf, text(&other_leaf), trust()),
        (Check::ReceiptProof, text(&short_proof), trust()),
        (Check::ReceiptSigner, text(&good()), wrong_key),
        (Check::ReceiptEpoch, text(&batch_receipt(|_| {}, |epoch| epoch.size = 5)), trust()),
        (Check::ReceiptNumbers, text(&batch_receipt(|batch| batch.count = 4, |_| {})), trust()),
        (
            Check::Cosignature,
            forged.to_text().into_bytes(),
            Trust { policy: policy("none"), ..trust() },
        ),
        (Check::Quorum, text(&good()), Trust { policy: policy("w"), ..trust() }),
    ];
    for (check, receipt, trust) in &cases {
        let failure = verify(receipt, trust).expect_err(check.as_str());
        assert_eq!(failure.check, Some(*check), "{check}: {failure}");
        let skipped = verify_with(receipt, trust, Checks { skipped: Some(*check) });
        if let Err(later) = skipped {
            assert_ne!(later.check, Some(*check), "{check}: {later}");
        }
    }
    cases.iter().map(|(check, ..)| *check).collect()
}
