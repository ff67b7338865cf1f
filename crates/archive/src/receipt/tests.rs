//! Receipts of a real log, checked as their receiver does.

use super::{Depth, Entry, Of, ReceiptError, Receipts, Wanted};
use crate::sample::{SampleLog, entry, signer};
use coset::cbor::value::Value;
use coset::{CborSerializable as _, CoseSign1, TaggedCborSerializable as _};
use event::CallId;
use note::{
    Algorithm, Hash, LogProof, Note, Policy, Pruned, Signer, Verifier, leaf_hash,
    root_from_inclusion,
};
use std::fmt::Write as _;
use uuid::{NoContext, Timestamp, Uuid};

/// What a receiver of a COSE receipt does (RFC 9942 section 5.2): the root from the entry, then the
/// signature over it. Returns index and size.
fn verify_cose(receipt: &[u8], leaf: Hash, key: &Verifier) -> Option<(u64, u64)> {
    let parsed = CoseSign1::from_tagged_slice(receipt).ok()?;
    let headers = &parsed.protected.header;
    let vds = headers.rest.iter().find(|(label, _)| *label == coset::Label::Int(395))?;
    let again = parsed.clone().to_tagged_vec().ok()?;
    if vds.1 != Value::from(1) || parsed.payload.is_some() || again != receipt {
        return None;
    }
    let vdp = parsed.unprotected.rest.iter().find(|(label, _)| *label == coset::Label::Int(396))?;
    let proofs = vdp.1.as_map()?.iter().find(|(label, _)| *label == Value::from(-1))?;
    let proof = Value::from_slice(proofs.1.as_array()?.first()?.as_bytes()?).ok()?;
    let [size, index, path] = proof.as_array()?.as_slice() else { return None };
    let size = u64::try_from(size.as_integer()?).ok()?;
    let index = u64::try_from(index.as_integer()?).ok()?;
    let hash =
        |value: &Value| Some(Hash::from_bytes(value.as_bytes()?.as_slice().try_into().ok()?));
    let path: Option<Vec<Hash>> = path.as_array()?.iter().map(hash).collect();
    let root = root_from_inclusion(leaf, index, size, &path?).ok()?;
    let verify = |signature: &[u8], message: &[u8]| key.verify(message, signature);
    parsed.verify_detached_signature(root.as_bytes(), &[], verify).ok()?;
    Some((index, size))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

#[test]
fn golden() {
    let log = SampleLog::with(300);
    let receipts = Receipts::new(log.path());
    let text = receipts.tlog_proof(42, Entry::With).unwrap();
    assert_eq!(text, include_str!("../../tests/golden/receipt.tlog-proof"));
    let json = receipts.json(42, Entry::With).unwrap();
    assert_eq!(json, include_str!("../../tests/golden/receipt.json"));
    let cose = hexadecimal(&receipts.cose(42, &signer()).unwrap());
    assert_eq!(cose, include_str!("../../tests/golden/receipt.cose.hex"));
}

#[test]
fn every_entry_of_a_log_has_receipts_that_prove_it() {
    let policy = format!("log {}\nquorum none\n", signer().verifier().to_text());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    for size in [1, 2, 255, 256, 257, 700] {
        let log = SampleLog::with(size);
        let receipts = Receipts::new(log.path());
        for index in [0, 1, 254, 255, 256, 511, 512, 699].into_iter().filter(|at| *at < size) {
            let leaf = leaf_hash(&entry(index));
            let text = receipts.tlog_proof(index, Entry::Without).unwrap();
            LogProof::parse(text.as_bytes()).unwrap().verify(leaf, &policy).unwrap();
            let cose = receipts.cose(index, &signer()).unwrap();
            assert_eq!(verify_cose(&cose, leaf, signer().verifier()), Some((index, size)));
            assert_eq!(verify_cose(&cose, leaf_hash(b"x"), signer().verifier()), None);
        }
    }
}

/// The root is signed and the size is not: a size at which the same hashes lead to the same root passes.
#[test]
fn every_byte_of_a_cose_receipt_matters_but_for_the_size() {
    let log = SampleLog::with(300);
    let cose = Receipts::new(log.path()).cose(42, &signer()).unwrap();
    let leaf = leaf_hash(&entry(42));
    let size = cose.windows(3).position(|bytes| bytes == [0x19, 0x01, 0x2c]).unwrap();
    for at in 0..cose.len() {
        let mut altered = cose.clone();
        altered[at] ^= 1;
        let verified = verify_cose(&altered, leaf, signer().verifier());
        if (size + 1..size + 3).contains(&at) {
            assert!(verified.is_none_or(|(index, _)| index == 42), "byte {at}");
        } else {
            assert_eq!(verified, None, "byte {at}");
        }
    }
}

#[test]
fn what_is_not_published_is_said_so() {
    let log = SampleLog::with(10);
    log.append([b"later".to_vec()]);
    let receipts = Receipts::new(log.path());
    let error = receipts.tlog_proof(10, Entry::Without).unwrap_err();
    assert!(matches!(error, ReceiptError::NotPublished { index: 10, size: 10 }), "{error}");
    log.publish();
    receipts.tlog_proof(10, Entry::Without).unwrap();
    assert!(receipts.tlog_proof(11, Entry::Without).is_err());
    let empty = Receipts::new(SampleLog::with(0).path()).tlog_proof(0, Entry::Without);
    assert!(empty.is_err());
}

#[test]
fn a_key_signs_no_root_that_it_has_not_signed_before() {
    let log = SampleLog::with(10);
    let receipts = Receipts::new(log.path());
    let other = Signer::from_seed("example.com/audit", Algorithm::Ed25519, &[8; 32]).unwrap();
    let named = Signer::from_seed("example.com/other", Algorithm::Ed25519, &[7; 32]).unwrap();
    for key in [&other, &named] {
        let error = receipts.cose(3, key).unwrap_err();
        assert!(matches!(error, ReceiptError::OtherKey(_)), "{error}");
    }
    // A checkpoint that somebody else put there, with a root of their own: another log's tiles.
    let forged = SampleLog::of((0..10).map(|index| entry(index + 1)));
    let note = String::from_utf8(forged.read("checkpoint")).unwrap();
    let unsigned = note.split("\n\n").next().unwrap().to_owned() + "\n";
    let resigned = Note::sign(&unsigned, &other).unwrap();
    for path in ["tile/0/000.p/10", "tile/entries/000.p/10"] {
        log.write(path, &forged.read(path));
    }
    log.write("checkpoint", resigned.as_bytes());
    assert!(receipts.cose(3, &signer()).is_err());
}

#[test]
fn altered_files_give_no_receipt() {
    let log = SampleLog::with(300);
    let receipts = Receipts::new(log.path());
    // The sibling of the entry, the entry's own hash, a hash of the other tile, the entry itself.
    let entries = log.read("tile/entries/000");
    let entry_at = entries.windows(8).position(|window| window == b"entry 42").unwrap();
    for (path, at) in [
        ("tile/0/000", 43 * 32),
        ("tile/0/000", 42 * 32),
        ("tile/0/001.p/44", 7),
        ("tile/entries/000", entry_at),
    ] {
        let bytes = log.read(path);
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        log.write(path, &altered);
        let made = receipts.tlog_proof(42, Entry::With);
        assert!(matches!(made, Err(ReceiptError::Altered(_))), "{path}: {made:?}");
        log.write(path, &bytes);
    }
    receipts.tlog_proof(42, Entry::With).unwrap();
    std::fs::remove_file(log.path().join("tile/0/000")).unwrap();
    assert!(receipts.tlog_proof(42, Entry::Without).is_err());
}

#[test]
fn a_pruned_entry_keeps_its_proof() {
    let log = SampleLog::with(600);
    let pruned = Pruned { origin: "example.com/audit".to_owned(), minimum: 256, time_ms: 1 };
    log.write("pruned", Note::sign(&pruned.to_text(), &signer()).unwrap().as_bytes());
    std::fs::remove_file(log.path().join("tile/entries/000")).unwrap();
    let receipts = Receipts::new(log.path());
    let text = receipts.tlog_proof(5, Entry::Without).unwrap();
    assert_eq!(LogProof::parse(text.as_bytes()).unwrap().index, 5);
    let error = receipts.tlog_proof(5, Entry::With).unwrap_err();
    assert!(matches!(error, ReceiptError::Pruned { index: 5, minimum: 256 }), "{error}");
    log.write("pruned", b"x");
    assert!(receipts.tlog_proof(5, Entry::With).is_err());
}

/// A call that is made at this second.
fn call(second: u64, number: u8) -> CallId {
    let time = Timestamp::from_unix(NoContext, 1_795_336_620 + second, 0);
    let (seconds, _) = time.to_unix();
    CallId(uuid::Builder::from_unix_timestamp_millis(seconds * 1_000, &[number; 10]).into_uuid())
}

/// An event of a call, as an entry: what a search looks at.
fn of_call(kind: &str, call: CallId, second: u64) -> Vec<u8> {
    let time =
        event::Time::from_unix_us(i64::try_from(1_795_336_620 + second).unwrap() * 1_000_000);
    let asked = if kind == "call.answered" { "\"asked\":0," } else { "" };
    let id = Uuid::now_v7();
    format!(
        "{{{asked}\"call\":\"{call}\",\"environment\":{{\"gateway\":\"g\",\"monotonic_us\":1,\
         \"time\":\"{time}\"}},\"id\":\"{id}\",\"kind\":\"{kind}\",\"v\":1}}"
    )
    .into_bytes()
}

/// A call every ten seconds, answered 35 seconds later; one is refused, one not answered.
fn calls() -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    for second in (0..5_000).step_by(5) {
        let number = u8::try_from(second % 251).unwrap();
        if second % 10 == 0 {
            let kind = if second == 1_000 { "call.refused" } else { "call.asked" };
            entries.push(of_call(kind, call(second, number), second));
        } else if let Some(asked) = second.checked_sub(35).filter(|at| ![1_000, 2_000].contains(at))
        {
            let number = u8::try_from(asked % 251).unwrap();
            entries.push(of_call("call.answered", call(asked, number), second));
        } else {
            entries.push(b"no event".to_vec());
        }
    }
    entries
}

#[test]
fn calls_are_found_by_their_time() {
    let log = SampleLog::of(calls());
    let receipts = Receipts::new(log.path());
    let find = |second: u64, of: Of, depth: Depth| {
        let wanted = Wanted::Call(call(second, u8::try_from(second % 251).unwrap()));
        receipts.find(wanted, of, depth)
    };
    for depth in [Depth::Near, Depth::Whole] {
        for second in [0, 10, 1_000, 2_000, 4_990] {
            assert_eq!(find(second, Of::Asked, depth).unwrap(), second / 5);
        }
        assert_eq!(find(3_000, Of::Answered, depth).unwrap(), 3_035 / 5);
        for unanswered in [1_000, 2_000, 4_990] {
            let error = find(unanswered, Of::Answered, depth).unwrap_err();
            assert!(matches!(error, ReceiptError::NoSuchRecord { .. }), "{error}");
        }
    }
    let error = find(7, Of::Asked, Depth::Whole).unwrap_err();
    assert!(matches!(error, ReceiptError::NoSuchCall { .. }), "{error}");
    let error = find(7, Of::Answered, Depth::Near).unwrap_err();
    assert!(matches!(error, ReceiptError::NotFoundNear { .. }), "{error}");
    assert_eq!(receipts.find(Wanted::Index(3), Of::Asked, Depth::Near).unwrap(), 3);
    // Not published yet, and found all the same.
    log.append([of_call("call.asked", call(6_000, 1), 6_000)]);
    let wanted = Wanted::Call(call(6_000, 1));
    assert_eq!(receipts.find(wanted, Of::Asked, Depth::Near).unwrap(), 1_000);
}

#[test]
fn a_call_that_is_not_where_its_time_says_is_found_by_searching_all() {
    let late = call(4_000, 9);
    let mut entries = vec![of_call("call.asked", late, 10)];
    entries.extend((1..600).map(|second| of_call("call.asked", call(second * 10, 1), second * 10)));
    let log = SampleLog::of(entries);
    let receipts = Receipts::new(log.path());
    let near = receipts.find(Wanted::Call(late), Of::Asked, Depth::Near).unwrap_err();
    assert!(matches!(near, ReceiptError::NotFoundNear { .. }), "{near}");
    assert_eq!(receipts.find(Wanted::Call(late), Of::Asked, Depth::Whole).unwrap(), 0);
}
