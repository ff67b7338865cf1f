//! Judges one receipt: that an entry is in a log, without the log.

use crate::check::{Check, Checks};
use crate::cose;
use crate::failure::{Failure, Verdict};
use crate::keys::Ring;
use crate::log::parse_checkpoint;
use crate::source::Source;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use note::{
    Batch, Epoch, Hash, LogProof, Policy, Seen, Verifier, cosigned, leaf_hash, root_from_inclusion,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a receipt is held against.
#[derive(Default)]
pub struct Trust<'a> {
    /// Keys of the log, known from elsewhere; one of them is enough.
    pub keys: Vec<Verifier>,
    /// Which logs and witnesses are trusted. Its logs count as keys.
    pub policy: Option<Policy>,
    /// The log, for keys that came later: its statements are followed from the
    /// keys that are known.
    pub log: Option<&'a dyn Source>,
    /// The bytes of the entry, when the receipt does not carry them.
    pub entry: Option<Vec<u8>>,
}

impl std::fmt::Debug for Trust<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// The kinds of receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text `c2sp.org/tlog-proof@v1`, with a checkpoint.
    LogProof,
    /// JSON, as a caller gets it with a result: with a signed batch.
    Batch,
    /// A COSE receipt (RFC 9942).
    Cose,
}

impl Kind {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogProof => "tlog-proof",
            Self::Batch => "batch",
            Self::Cose => "cose",
        }
    }
}

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// What it comes to: one of the first three.
    pub verdict: Verdict,
    /// What it is.
    pub kind: Kind,
    /// The name of the log; of a COSE receipt that does not say it, of the key.
    pub origin: String,
    /// The index of the entry.
    pub index: u64,
    /// The size of the tree that it is proven to be in.
    pub size: u64,
    /// The root of this tree.
    pub root: Hash,
    /// The leaf hash of the entry.
    pub leaf: Hash,
    /// Whether the bytes of the entry were there, and have this leaf hash.
    /// Without them the receipt is of whatever has it.
    pub entry_shown: bool,
    /// When the batch was committed, in milliseconds since 1970-01-01 UTC by
    /// the writer's clock; of batches only.
    pub time_ms: Option<u64>,
    /// The witnesses of the policy that cosigned.
    pub witnesses: Vec<Seen>,
}

/// Judges a receipt of any kind.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(receipt: &[u8], trust: &Trust<'_>) -> Result<Proven, Failure> {
    verify_with(receipt, trust, Checks::default())
}

pub(crate) fn verify_with(
    receipt: &[u8],
    trust: &Trust<'_>,
    checks: Checks,
) -> Result<Proven, Failure> {
    let judge = Judge { trust, checks };
    let text = receipt.trim_ascii_start();
    let proven = if receipt.starts_with(b"c2sp.org/tlog-proof@") {
        judge.log_proof(receipt)?
    } else if text.starts_with(b"{") {
        judge.batch(receipt)?
    } else {
        judge.cose(receipt)?
    };
    judge.quorum(&proven)?;
    Ok(proven)
}

struct Judge<'a> {
    trust: &'a Trust<'a>,
    checks: Checks,
}

impl Judge<'_> {
    fn log_proof(&self, receipt: &[u8]) -> Result<Proven, Failure> {
        let proof = LogProof::parse(receipt).map_err(|error| malformed(&error.to_string()))?;
        let (note, checkpoint) = parse_checkpoint(proof.checkpoint.as_bytes())
            .ok_or_else(|| malformed("its checkpoint is not one in its one form"))?;
        let ring = self.ring(&checkpoint.origin)?;
        let signed = ring.signatures(&note, checkpoint.size);
        self.signer(signed.trusted && signed.wrong.is_none(), "its checkpoint")?;
        let entry = self.trust.entry.as_ref().or(proof.extra.as_ref());
        let leaf = entry.map(|entry| leaf_hash(entry)).ok_or_else(no_entry)?;
        let root = root_from_inclusion(leaf, proof.index, checkpoint.size, &proof.hashes).ok();
        self.proof(root == Some(checkpoint.root))?;
        let mut witnesses = Vec::new();
        for witness in self.trust.policy.iter().flat_map(Policy::witnesses) {
            match cosigned(&note, &witness.key) {
                Ok(Some(time_s)) => witnesses.push(Seen { witness: witness.name.clone(), time_s }),
                Ok(None) => {}
                Err(_) => {
                    let what = format!("the cosignature of `{}` is wrong", witness.name);
                    self.checks.fail(Failure::new(Check::Cosignature, RECEIPT, what))?;
                }
            }
        }
        Ok(Proven {
            verdict: self.verdict(),
            kind: Kind::LogProof,
            origin: checkpoint.origin,
            index: proof.index,
            size: checkpoint.size,
            root: checkpoint.root,
            leaf,
            entry_shown: true,
            time_ms: None,
            witnesses,
        })
    }

    fn batch(&self, receipt: &[u8]) -> Result<Proven, Failure> {
        let value: Value = serde_json::from_slice(receipt)
            .map_err(|error| malformed(&format!("it is not JSON: {error}")))?;
        let fields = Fields(find(&value).ok_or_else(|| malformed("it holds no receipt"))?);
        let origin = fields.text("origin")?.to_owned();
        let (index, size) = (fields.number("index")?, fields.number("size")?);
        let leaf = fields.hash("leaf_hash")?;
        let count = u32::try_from(fields.number("count")?);
        let batch = Batch {
            first: fields.number("first")?,
            count: count.map_err(|_| malformed("its `count` is too large"))?,
            size,
            root: fields.hash("root")?,
            previous: fields.hash("previous")?,
            time_ms: fields.number("time_ms")?,
            signature: fields.signature()?,
        };
        let ring = self.ring(&origin)?;
        let entry_shown = self.entry(leaf)?;
        let numbered = batch.first.checked_add(u64::from(batch.count)) == Some(size)
            && (batch.first..size).contains(&index);
        self.checks.require(Check::ReceiptNumbers, numbered, || {
            let what = "its numbers do not fit together";
            Failure::new(Check::ReceiptNumbers, RECEIPT, what)
        })?;
        let certificate = fields.text("epoch")?;
        let parsed = Epoch::parse(certificate.as_bytes())
            .map_err(|error| malformed(&format!("its `epoch`: {error}")));
        let (epoch, note) = parsed?;
        let covers = epoch.origin == origin && epoch.size <= batch.first;
        self.checks.require(Check::ReceiptEpoch, covers, || {
            let what = "its certificate is of another log, or of later entries";
            Failure::new(Check::ReceiptEpoch, RECEIPT, what)
        })?;
        let signed = ring.signatures(&note, epoch.size);
        self.signer(signed.trusted && signed.wrong.is_none(), "its certificate")?;
        self.signer(batch.verify(&origin, &epoch.key).is_ok(), "its batch")?;
        let root = root_from_inclusion(leaf, index, size, &fields.hashes("proof")?).ok();
        self.proof(root == Some(batch.root))?;
        Ok(Proven {
            verdict: self.verdict(),
            kind: Kind::Batch,
            origin,
            index,
            size,
            root: batch.root,
            leaf,
            entry_shown,
            time_ms: Some(batch.time_ms),
            witnesses: Vec::new(),
        })
    }

    fn cose(&self, receipt: &[u8]) -> Result<Proven, Failure> {
        let receipt = cose::Receipt::parse(receipt).map_err(malformed)?;
        let entry = self.trust.entry.as_ref().ok_or_else(no_entry)?;
        let leaf = leaf_hash(entry);
        let root = root_from_inclusion(leaf, receipt.index, receipt.size, &receipt.hashes);
        let root = match root {
            Ok(root) => root,
            Err(error) => {
                let failure = Failure::new(Check::ReceiptProof, RECEIPT, error.to_string());
                self.checks.fail(failure)?;
                Hash::ZERO
            }
        };
        let keys = self.keys();
        let origin = receipt.origin.clone().unwrap_or_else(|| first_name(&keys).to_owned());
        let ring = self.ring(&origin)?;
        let held = ring.held().iter().filter(|held| held.trusted && held.is_valid(receipt.size));
        let named = |key: &Verifier| receipt.key_id.as_ref().is_none_or(|id| *id == key.id());
        let signed = held
            .filter(|held| named(&held.key))
            .any(|held| held.key.verify(&receipt.message(&root), &receipt.signature).is_ok());
        // The root is not in the receipt: a wrong one and a wrong signature
        // cannot be told apart.
        self.signer(signed, "the root that it leads to")?;
        Ok(Proven {
            verdict: self.verdict(),
            kind: Kind::Cose,
            origin,
            index: receipt.index,
            size: receipt.size,
            root,
            leaf,
            entry_shown: true,
            time_ms: None,
            witnesses: Vec::new(),
        })
    }

    /// The keys of the log that the receipt is of.
    fn ring(&self, origin: &str) -> Result<Ring, Failure> {
        let keys = self.keys();
        let known = keys.iter().any(|key| key.name() == origin);
        self.checks.require(Check::ReceiptOrigin, known, || {
            let what = format!(
                "it is of the log `{origin}`, and no key of this log is given: give one with --key \
                 or --policy"
            );
            Failure::new(Check::ReceiptOrigin, RECEIPT, what)
        })?;
        let Some(log) = self.trust.log else {
            return Ok(Ring::of_keys(if known { origin } else { first_name(&keys) }, &keys));
        };
        let mut ring = Ring::read(log, self.checks)?;
        let same: Vec<Verifier> = keys.into_iter().filter(|key| key.name() == origin).collect();
        ring.trust(&same, self.checks)?;
        Ok(ring)
    }

    fn keys(&self) -> Vec<Verifier> {
        let logs = self.trust.policy.iter().flat_map(|policy| policy.logs());
        self.trust.keys.iter().cloned().chain(logs.map(|(key, _)| key.clone())).collect()
    }

    fn signer(&self, holds: bool, what: &str) -> Result<(), Failure> {
        self.checks.require(Check::ReceiptSigner, holds, || {
            let what = format!("{what} is not signed by a trusted key");
            Failure::new(Check::ReceiptSigner, RECEIPT, what)
        })
    }

    fn proof(&self, holds: bool) -> Result<(), Failure> {
        self.checks.require(Check::ReceiptProof, holds, || {
            let what = "its hashes do not lead from the entry to its root";
            Failure::new(Check::ReceiptProof, RECEIPT, what)
        })
    }

    /// Whether the entry is there; when it is, it must have the leaf hash.
    fn entry(&self, leaf: Hash) -> Result<bool, Failure> {
        let Some(entry) = &self.trust.entry else { return Ok(false) };
        self.checks.require(Check::ReceiptLeaf, leaf_hash(entry) == leaf, || {
            Failure::new(Check::ReceiptLeaf, RECEIPT, "it is not of the entry that is shown")
        })?;
        Ok(true)
    }

    fn quorum(&self, proven: &Proven) -> Result<(), Failure> {
        let Some(policy) = &self.trust.policy else { return Ok(()) };
        let names: BTreeSet<&str> =
            proven.witnesses.iter().map(|seen| seen.witness.as_str()).collect();
        self.checks.require(Check::Quorum, policy.satisfied_by(&names), || {
            let count = names.len();
            let what = format!("{count} witnesses of the policy cosigned, which is not enough");
            Failure::new(Check::Quorum, RECEIPT, what)
        })
    }

    fn verdict(&self) -> Verdict {
        let witnessed = self.trust.policy.as_ref().is_some_and(Policy::needs_witnesses);
        if witnessed { Verdict::Witnessed } else { Verdict::Valid }
    }
}

/// The fields of a receipt in JSON.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn text(&self, name: &str) -> Result<&'a str, Failure> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.ok_or_else(|| malformed(&format!("it has no text `{name}`")))
    }

    fn number(&self, name: &str) -> Result<u64, Failure> {
        let number = self.0.get(name).and_then(Value::as_u64);
        number.ok_or_else(|| malformed(&format!("it has no number `{name}`")))
    }

    fn hash(&self, name: &str) -> Result<Hash, Failure> {
        let hash = Hash::from_base64(self.text(name)?);
        hash.ok_or_else(|| malformed(&format!("its `{name}` is no hash in base64")))
    }

    fn hashes(&self, name: &str) -> Result<Vec<Hash>, Failure> {
        let list = self.0.get(name).and_then(Value::as_array);
        let hashes = list.filter(|list| list.len() <= 64).and_then(|list| {
            list.iter().map(|hash| hash.as_str().and_then(Hash::from_base64)).collect()
        });
        hashes.ok_or_else(|| malformed(&format!("its `{name}` is no list of hashes")))
    }

    fn signature(&self) -> Result<[u8; 64], Failure> {
        let decoded = STANDARD.decode(self.text("signature")?).ok();
        let signature = decoded.and_then(|bytes| bytes.try_into().ok());
        signature.ok_or_else(|| malformed("its `signature` is no signature in base64"))
    }
}

/// The receipt in a JSON value: itself, or under its key in the `_meta` of a
/// result.
fn find(value: &Value) -> Option<&Value> {
    if value.get("leaf_hash").is_some() {
        return Some(value);
    }
    if let Some(found) = value.get(META_KEY) {
        return Some(found);
    }
    ["_meta", "result"].iter().find_map(|key| find(value.get(key)?))
}

fn first_name(keys: &[Verifier]) -> &str {
    keys.first().map_or("", Verifier::name)
}

fn malformed(what: &str) -> Failure {
    Failure::needed(Verdict::Altered, RECEIPT, format!("this is no receipt: {what}"))
}

fn no_entry() -> Failure {
    let what = "it does not hold the entry: give its bytes with --entry";
    Failure::needed(Verdict::Unreadable, RECEIPT, what)
}

/// The key of the receipt in the `_meta` of a result.
const META_KEY: &str = "dev.countersign/receipt";
/// How a failure names the receipt.
const RECEIPT: &str = "the receipt";
