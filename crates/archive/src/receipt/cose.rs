//! COSE receipts (RFC 9942): a `COSE_Sign1` object over the root of the tree, which is left out and computed
//! from the entry by whoever checks it.
//!
//! Knows no file. What is signed begins with bytes that no note begins with (RFC 9052 section 4.4: an
//! array), so that a key of notes signs no note here.

use super::ReceiptError;
use coset::cbor::value::Value;
use coset::{
    CborSerializable as _, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana,
};
use note::{Algorithm, Checkpoint, Hash, KeyError, Sign};

/// Signs the receipt of inclusion of the entry `index` in the tree of the checkpoint.
///
/// The algorithm is written as `EdDSA` (-8), which verifiers know; the newer number of Ed25519 (-19, RFC
/// 9864) says the same and is not widely read yet. `kid` is the key id of signed notes; the CWT claim
/// `iss` (RFC 9597) the origin of the log.
pub(crate) fn sign(
    checkpoint: &Checkpoint,
    index: u64,
    hashes: &[Hash],
    key: &dyn Sign,
) -> Result<Vec<u8>, ReceiptError> {
    if key.verifier().algorithm() != Algorithm::Ed25519 {
        return Err(KeyError::Algorithm(key.verifier().name().to_owned()).into());
    }
    let claims = Value::Map(vec![(CWT_ISSUER.into(), checkpoint.origin.as_str().into())]);
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::EdDSA)
        .key_id(key.verifier().id().to_vec())
        .value(CWT_CLAIMS, claims)
        .value(VDS, RFC9162_SHA256.into())
        .build();
    let proofs = Value::Array(vec![Value::Bytes(proof(checkpoint.size, index, hashes)?)]);
    let unprotected = HeaderBuilder::new()
        .value(VDP, Value::Map(vec![(INCLUSION_PROOFS.into(), proofs)]))
        .build();
    let sign = |message: &[u8]| key.sign(message);
    CoseSign1Builder::new()
        .protected(protected)
        .unprotected(unprotected)
        .try_create_detached_signature(checkpoint.root.as_bytes(), &[], sign)?
        .build()
        .to_tagged_vec()
        .map_err(|error| ReceiptError::Encoding(error.to_string()))
}

/// An inclusion proof in CBOR: size, index, and the hashes from the leaf to the root.
fn proof(size: u64, index: u64, hashes: &[Hash]) -> Result<Vec<u8>, ReceiptError> {
    let path = hashes.iter().map(|hash| Value::Bytes(hash.as_bytes().to_vec())).collect();
    let value = Value::Array(vec![size.into(), index.into(), Value::Array(path)]);
    value.to_vec().map_err(|error| ReceiptError::Encoding(error.to_string()))
}

/// Header parameter of CWT claims, RFC 9597.
const CWT_CLAIMS: i64 = 15;
/// The claim `iss`, RFC 8392 section 3.1.1.
const CWT_ISSUER: i64 = 1;
/// Header parameter of the verifiable data structure, RFC 9942 section 2.
const VDS: i64 = 395;
/// The tree of RFC 9162 with SHA-256, RFC 9942 section 5.1.
const RFC9162_SHA256: i64 = 1;
/// Header parameter of the proofs, RFC 9942 section 2.
const VDP: i64 = 396;
/// Proofs of inclusion, RFC 9942 section 5.2.
const INCLUSION_PROOFS: i64 = -1;
