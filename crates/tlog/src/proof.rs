//! Makes inclusion and consistency proofs from any source of node hashes
//! (RFC 6962 sections 2.1.1 and 2.1.2).
//!
//! Knows nothing of where node hashes are stored.

use note::{Hash, node_hash};

/// The hashes that prove `index` in a tree of `size` entries: PATH of
/// RFC 6962 section 2.1.1. `node(level, index)` yields the root of the
/// complete subtree over entries `index << level .. (index + 1) << level`.
pub(crate) fn inclusion<E>(
    index: u64,
    size: u64,
    node: &mut (impl FnMut(u32, u64) -> Result<Hash, E> + ?Sized),
) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    let (mut start, mut count) = (0, size);
    while count > 1 {
        let split = split(count);
        if index < start + split {
            proof.push(subtree(start + split, count - split, node)?);
            count = split;
        } else {
            proof.push(subtree(start, split, node)?);
            start += split;
            count -= split;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The hashes that prove that the tree of `new` entries continues the tree of
/// `old` entries: PROOF of RFC 6962 section 2.1.2.
pub(crate) fn consistency<E>(
    old: u64,
    new: u64,
    node: &mut (impl FnMut(u32, u64) -> Result<Hash, E> + ?Sized),
) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut start, mut count, mut whole) = (0, new, true);
    while start + count != old {
        let split = split(count);
        if old <= start + split {
            proof.push(subtree(start + split, count - split, node)?);
            count = split;
        } else {
            proof.push(subtree(start, split, node)?);
            start += split;
            count -= split;
            whole = false;
        }
    }
    if !whole {
        proof.push(subtree(start, count, node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root over `count` entries from `start`, where `start` is a multiple of
/// the power of two at or above `count`.
pub(crate) fn subtree<E>(
    start: u64,
    count: u64,
    node: &mut (impl FnMut(u32, u64) -> Result<Hash, E> + ?Sized),
) -> Result<Hash, E> {
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return node(level, start >> level);
    }
    let split = split(count);
    let left = subtree(start, split, node)?;
    let right = subtree(start + split, count - split, node)?;
    Ok(node_hash(&left, &right))
}

/// The largest power of two below `count`, for `count` of two or more.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::{consistency, inclusion};
    use crate::simulation::naive_root;
    use note::{
        Hash, ProofError, leaf_hash, root_from_inclusion, verify_consistency, verify_inclusion,
    };
    use proptest::prelude::{any, proptest};
    use std::convert::Infallible;

    fn entries(count: u64) -> Vec<Vec<u8>> {
        (0..count).map(|index| index.to_be_bytes().to_vec()).collect()
    }

    fn leaves(count: u64) -> Vec<Hash> {
        entries(count).iter().map(|entry| leaf_hash(entry)).collect()
    }

    fn node(leaves: &[Hash], level: u32, index: u64) -> Result<Hash, Infallible> {
        let from = usize::try_from(index << level).unwrap();
        let to = usize::try_from((index + 1) << level).unwrap();
        Ok(naive_root(&leaves[from..to]))
    }

    fn upto(leaves: &[Hash], count: u64) -> Hash {
        naive_root(&leaves[..usize::try_from(count).unwrap()])
    }

    #[test]
    fn every_small_inclusion_proof_verifies_and_tampered_ones_do_not() {
        let leaves = leaves(20);
        for size in 1..=20 {
            let root = upto(&leaves, size);
            for index in 0..size {
                let entry = index.to_be_bytes();
                let proof = inclusion(index, size, &mut |l, i| node(&leaves, l, i)).unwrap();
                verify_inclusion(&entry, index, size, &root, &proof).unwrap();
                assert!(verify_inclusion(&entry, index ^ 1, size, &root, &proof).is_err());
                assert!(verify_inclusion(b"other", index, size, &root, &proof).is_err());
                let mut longer = proof.clone();
                longer.push(Hash::ZERO);
                assert!(verify_inclusion(&entry, index, size, &root, &longer).is_err());
                for at in 0..proof.len() {
                    let mut altered = proof.clone();
                    altered[at] = Hash::ZERO;
                    let error = verify_inclusion(&entry, index, size, &root, &altered).unwrap_err();
                    assert_eq!(error, ProofError::WrongRoot);
                    altered.remove(at);
                    assert!(verify_inclusion(&entry, index, size, &root, &altered).is_err());
                }
            }
        }
    }

    #[test]
    fn every_small_consistency_proof_verifies_and_tampered_ones_do_not() {
        let leaves = leaves(20);
        for new in 0..=20 {
            let new_root = upto(&leaves, new);
            for old in 0..=new {
                let old_root = upto(&leaves, old);
                let proof = consistency(old, new, &mut |l, i| node(&leaves, l, i)).unwrap();
                let check =
                    |proof: &[Hash]| verify_consistency((old, &old_root), (new, &new_root), proof);
                check(&proof).unwrap();
                let mut longer = proof.clone();
                longer.push(Hash::ZERO);
                assert_eq!(check(&longer), Err(ProofError::WrongLength));
                for at in 0..proof.len() {
                    let mut altered = proof.clone();
                    altered[at] = Hash::ZERO;
                    assert_eq!(check(&altered), Err(ProofError::WrongRoot));
                }
                if 0 < old {
                    let forked = (old, &Hash::ZERO);
                    assert!(verify_consistency(forked, (new, &new_root), &proof).is_err());
                }
            }
        }
        let backwards = verify_consistency((2, &Hash::ZERO), (1, &Hash::ZERO), &[]);
        assert_eq!(backwards, Err(ProofError::OutOfRange { index: 2, size: 1 }));
    }

    #[test]
    fn an_index_past_the_end_has_no_proof() {
        let error = root_from_inclusion(Hash::ZERO, 4, 4, &[]).unwrap_err();
        assert_eq!(error, ProofError::OutOfRange { index: 4, size: 4 });
    }

    proptest! {
        #[test]
        fn proofs_of_larger_trees_verify(size in 1_u64..600, picks in any::<(u64, u64)>()) {
            let leaves = leaves(size);
            let root = upto(&leaves, size);
            let index = picks.0 % size;
            let proof = inclusion(index, size, &mut |l, i| node(&leaves, l, i)).unwrap();
            verify_inclusion(&index.to_be_bytes(), index, size, &root, &proof).unwrap();
            let old = picks.1 % size + 1;
            let proof = consistency(old, size, &mut |l, i| node(&leaves, l, i)).unwrap();
            verify_consistency((old, &upto(&leaves, old)), (size, &root), &proof).unwrap();
        }
    }
}
