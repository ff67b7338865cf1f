//! COSE receipts (RFC 9942 sections 4 and 5): a `COSE_Sign1` over the root of
//! a tree of RFC 9162, with the proof of inclusion beside it.
//!
//! Takes only receipts in which the root is left out, so that it has to be
//! computed, and knows nothing of keys.

use coset::cbor::value::Value;
use coset::{CborSerializable as _, CoseSign1, Label, TaggedCborSerializable as _, iana};
use note::Hash;

/// A receipt of inclusion; nothing in it was verified.
#[derive(Debug)]
pub(crate) struct Receipt {
    sign1: CoseSign1,
    /// The origin of the log, when the receipt says it (claim `iss`).
    pub(crate) origin: Option<String>,
    /// The key id of signed notes, when the receipt says it.
    pub(crate) key_id: Option<[u8; 4]>,
    pub(crate) size: u64,
    pub(crate) index: u64,
    pub(crate) hashes: Vec<Hash>,
    pub(crate) signature: Vec<u8>,
}

impl Receipt {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if RECEIPT_BYTES_MAX < bytes.len() {
            return Err("it is too long");
        }
        let sign1 = CoseSign1::from_tagged_slice(bytes).or_else(|_| CoseSign1::from_slice(bytes));
        let sign1 = sign1.map_err(|_| "it is neither a text, nor JSON, nor a COSE_Sign1")?;
        // One encoding only: what is not signed must not hide anything.
        let encodings = [sign1.clone().to_tagged_vec(), sign1.clone().to_vec()];
        if !encodings.iter().flatten().any(|encoded| encoded == bytes) {
            return Err("it is not in the one encoding of its content");
        }
        if sign1.payload.is_some() {
            return Err("its root is not left out");
        }
        let protected = &sign1.protected.header;
        let eddsa = coset::RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA);
        if protected.alg != Some(eddsa) {
            return Err("its algorithm is not EdDSA");
        }
        if !protected.crit.is_empty() {
            return Err("it demands what this program does not know");
        }
        let find = |list: &[(Label, Value)], label| {
            list.iter().find(|(name, _)| *name == Label::Int(label)).map(|(_, value)| value.clone())
        };
        if find(&protected.rest, VDS) != Some(Value::from(RFC9162_SHA256)) {
            return Err("it is not of a tree of RFC 9162 with SHA-256");
        }
        let origin = find(&protected.rest, CWT_CLAIMS).and_then(|claims| {
            let issuer = entry(&claims, CWT_ISSUER)?;
            issuer.as_text().map(str::to_owned)
        });
        let key_id = match protected.key_id.as_slice() {
            [] => None,
            id => Some(id.try_into().map_err(|_| "its key id is not one of signed notes")?),
        };
        let proofs = find(&sign1.unprotected.rest, VDP);
        let proof = proofs.as_ref().and_then(|proofs| entry(proofs, INCLUSION_PROOFS));
        let proof = proof.and_then(Value::as_array).map(Vec::as_slice);
        let Some([Value::Bytes(proof)]) = proof else {
            return Err("it does not hold one proof of inclusion");
        };
        let (size, index, hashes) = inclusion(proof).ok_or("its proof is out of form")?;
        let signature = sign1.signature.clone();
        Ok(Self { sign1, origin, key_id, size, index, hashes, signature })
    }

    /// What is signed, when the tree has this root.
    pub(crate) fn message(&self, root: &Hash) -> Vec<u8> {
        self.sign1.tbs_detached_data(root.as_bytes(), &[])
    }
}

/// The value of an integer key in a map.
fn entry(map: &Value, key: i64) -> Option<&Value> {
    let entries = map.as_map()?;
    entries.iter().find(|(name, _)| *name == Value::from(key)).map(|(_, value)| value)
}

/// `[tree size, leaf index, [hashes]]`, RFC 9942 section 5.2.
fn inclusion(bytes: &[u8]) -> Option<(u64, u64, Vec<Hash>)> {
    let value = Value::from_slice(bytes).ok()?;
    let [size, index, hashes] = value.as_array()?.as_slice() else { return None };
    let number = |value: &Value| u64::try_from(value.as_integer()?).ok();
    let hashes = hashes.as_array()?.iter().map(|hash| {
        let bytes: [u8; 32] = hash.as_bytes()?.as_slice().try_into().ok()?;
        Some(Hash::from_bytes(bytes))
    });
    let hashes: Option<Vec<Hash>> = hashes.collect();
    Some((number(size)?, number(index)?, hashes.filter(|hashes| hashes.len() <= 64)?))
}

/// Header parameter of CWT claims, RFC 9597.
const CWT_CLAIMS: i64 = 15;
/// The claim `iss`.
const CWT_ISSUER: i64 = 1;
/// Header parameter of the kind of tree, RFC 9942 section 4.
const VDS: i64 = 395;
/// A tree of RFC 9162 with SHA-256.
const RFC9162_SHA256: i64 = 1;
/// Header parameter of the proofs.
const VDP: i64 = 396;
/// Proofs of inclusion.
const INCLUSION_PROOFS: i64 = -1;
const RECEIPT_BYTES_MAX: usize = 1 << 20;
