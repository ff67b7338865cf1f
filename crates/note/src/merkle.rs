//! Verifies inclusion and consistency proofs (RFC 9162 sections 2.1.3.2 and
//! 2.1.4.2).
//!
//! Knows nothing of how proofs are made.

use crate::hash::{Hash, leaf_hash, node_hash};

/// Why a proof does not prove what it is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the tree size, or the old size exceeds the new.
    #[error("the proof is for {index} in a tree of {size} entries, which does not have it")]
    OutOfRange {
        /// The entry index or the old size.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The proof has too many or too few hashes for these sizes.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
    /// The hashes lead to a different root.
    #[error("the proof leads to a different root")]
    WrongRoot,
}

/// Checks that `entry` is the entry at `index` of the tree with `size`
/// entries and this `root`.
///
/// # Errors
/// [`ProofError`] when the proof does not show it.
pub fn verify_inclusion(
    entry: &[u8],
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let computed = root_from_inclusion(leaf_hash(entry), index, size, proof)?;
    if computed == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// The root that an inclusion proof leads to, starting from a leaf hash
/// (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`ProofError`] when index, size and number of hashes do not fit together.
pub fn root_from_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let mut node = index;
    let mut last = size - 1;
    let mut hash = leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(ProofError::WrongLength) }
}

/// Checks that the tree of `new_size` entries only added to the tree of
/// `old_size` entries (RFC 9162 section 2.1.4.2).
///
/// # Errors
/// [`ProofError`] when the proof does not show it.
pub fn verify_consistency(
    old: (u64, &Hash),
    new: (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return Err(ProofError::OutOfRange { index: old_size, size: new_size });
    }
    if old_size == new_size || old_size == 0 {
        return trivial_consistency(old, new, proof);
    }
    let mut node = old_size - 1;
    let mut last = new_size - 1;
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, rest) = if old_size.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::WrongLength)?;
        (*first, rest)
    };
    let mut new_hash = old_hash;
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    let proven = old_hash == *old_root && new_hash == *new_root;
    if proven { Ok(()) } else { Err(ProofError::WrongRoot) }
}

fn trivial_consistency(
    (old_size, old_root): (u64, &Hash),
    (new_size, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if !proof.is_empty() {
        return Err(ProofError::WrongLength);
    }
    let same = old_size == new_size && old_root == new_root;
    let grown = old_size == 0 && new_size != 0 && *old_root == Hash::EMPTY_ROOT;
    if same || grown { Ok(()) } else { Err(ProofError::WrongRoot) }
}
