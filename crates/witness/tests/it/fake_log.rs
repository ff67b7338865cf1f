//! A log in memory with a naive tree: it proves what it likes, and forks when asked to.
//!
//! Shares no code with the verifiers it is held against.

use note::{Algorithm, Checkpoint, Hash, Signer, Verifier, leaf_hash, node_hash};

/// A log of a fixed number of entries.
#[derive(Debug)]
pub(crate) struct FakeLog {
    origin: String,
    seed: u8,
    leaves: Vec<Hash>,
}

impl FakeLog {
    /// A log whose key is made of `seed`.
    pub(crate) fn new(origin: &str, seed: u8) -> Self {
        let leaves = (0..ENTRIES).map(|at| leaf_hash(format!("{origin} {at}").as_bytes()));
        Self { origin: origin.to_owned(), seed, leaves: leaves.collect() }
    }

    /// The same log with other entries from `index` on.
    pub(crate) fn forked_at(&self, index: usize) -> Self {
        let leaf = |(at, leaf): (usize, &Hash)| {
            if at < index { *leaf } else { leaf_hash(format!("other {at}").as_bytes()) }
        };
        let leaves = self.leaves.iter().enumerate().map(leaf).collect();
        Self { origin: self.origin.clone(), seed: self.seed, leaves }
    }

    pub(crate) fn signer(&self) -> Signer {
        Signer::from_seed(&self.origin, Algorithm::Ed25519, &[self.seed; 32]).unwrap()
    }

    pub(crate) fn key(&self) -> Verifier {
        self.signer().verifier().clone()
    }

    pub(crate) fn checkpoint(&self, size: usize) -> Checkpoint {
        let root = root(&self.leaves[..size]);
        let size = u64::try_from(size).unwrap();
        Checkpoint { origin: self.origin.clone(), size, root }
    }

    /// The signed checkpoint.
    pub(crate) fn note(&self, size: usize) -> String {
        self.checkpoint(size).sign(&self.signer()).unwrap()
    }

    /// The consistency proof of RFC 6962 section 2.1.2.
    pub(crate) fn proof(&self, old: usize, new: usize) -> Vec<Hash> {
        if old == 0 || old == new {
            return Vec::new();
        }
        subproof(old, &self.leaves[..new], true)
    }

    /// The body of `add-checkpoint`.
    pub(crate) fn body(&self, old: usize, new: usize) -> Vec<u8> {
        body(old, &self.proof(old, new), &self.note(new))
    }
}

/// The body of `add-checkpoint`, whether or not it makes sense.
pub(crate) fn body(old: usize, proof: &[Hash], note: &str) -> Vec<u8> {
    let lines: String = proof.iter().map(|hash| format!("{}\n", hash.to_base64())).collect();
    format!("old {old}\n{lines}\n{note}").into_bytes()
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_ROOT,
        [leaf] => *leaf,
        leaves => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

fn subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, last) = if old <= left.len() {
        (subproof(old, left, whole), root(right))
    } else {
        (subproof(old - left.len(), right, false), root(left))
    };
    proof.push(last);
    proof
}

/// The largest power of two below the number of leaves.
fn split(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

/// How many entries there are.
pub(crate) const ENTRIES: usize = 40;
