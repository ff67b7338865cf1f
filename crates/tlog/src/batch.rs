//! What the writer tells of its commits.
//!
//! Knows nothing of the files they are in.

use crate::merkle::CompactRange;
use crate::proof::inclusion;
use note::{Batch, Hash, node_hash};
use std::convert::Infallible;
use std::sync::Arc;

/// The answer to an entry: it is on stable storage, and this is its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The index of the entry in the log.
    pub index: u64,
    /// The leaf hash of the entry.
    pub leaf_hash: Hash,
    /// The batch it was committed in, shared with the other entries of it.
    pub batch: Arc<Batch>,
    /// The certificate of the key that signed the batch: a signed note, see
    /// [`note::Epoch`].
    pub epoch: Arc<str>,
    commit: Arc<Commit>,
}

impl Committed {
    /// The entry at this position of a commit.
    pub(crate) fn new(commit: Arc<Commit>, position: usize) -> Self {
        let index = u64::try_from(position).unwrap_or(u64::MAX);
        Self {
            index: commit.batch.first.saturating_add(index),
            leaf_hash: commit.leaves.get(position).copied().unwrap_or(Hash::ZERO),
            batch: Arc::clone(&commit.batch),
            epoch: Arc::clone(&commit.epoch),
            commit,
        }
    }

    /// The number of entries of the log after the batch.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        self.batch.size
    }

    /// The root of the tree over [`Committed::tree_size`] entries.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.batch.root
    }

    /// The proof that the entry is in the tree of the batch, see
    /// [`crate::verify_inclusion`]: with the batch, its signature and the
    /// certificate it shows to anybody what the log promised. Computed here
    /// and now, from what the entries of the batch share; some microseconds,
    /// no input or output.
    #[must_use]
    pub fn proof(&self) -> Vec<Hash> {
        let node = |level, index| Ok::<_, Infallible>(self.commit.node(level, index));
        match inclusion(self.index, self.batch.size, &mut { node }) {
            Ok(proof) => proof,
            Err(never) => match never {},
        }
    }
}

/// What all entries of a batch share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) batch: Arc<Batch>,
    pub(crate) epoch: Arc<str>,
    /// The tree before the batch.
    pub(crate) before: CompactRange,
    /// The leaf hashes of the batch.
    pub(crate) leaves: Vec<Hash>,
}

impl Commit {
    /// The root of the complete subtree over entries
    /// `index << level .. (index + 1) << level`, as far as proofs of the
    /// batch's own entries ask for it: such a subtree ends before the batch
    /// and is a peak of the tree there, or it has leaves of the batch in it.
    fn node(&self, level: u32, index: u64) -> Hash {
        let (start, first) = (index << level, self.batch.first);
        if start + (1 << level) <= first {
            // A hash that is not there leads to another root, so that the
            // proof fails.
            return self.before.peak(level).unwrap_or(Hash::ZERO);
        }
        if level == 0 {
            let at = usize::try_from(start - first).ok();
            return at.and_then(|at| self.leaves.get(at)).copied().unwrap_or(Hash::ZERO);
        }
        node_hash(&self.node(level - 1, index * 2), &self.node(level - 1, index * 2 + 1))
    }
}

/// How far the log has come: everything up to here is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The number of committed entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// When the last batch was committed, in milliseconds since 1970-01-01
    /// UTC; 0 when there is none.
    pub time_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::{Commit, Committed};
    use crate::merkle::CompactRange;
    use note::{Batch, Hash, leaf_hash, root_from_inclusion};
    use std::sync::Arc;

    /// A commit of `count` entries after `first`, which are their indices.
    fn commit(first: u64, count: u64) -> Arc<Commit> {
        let leaf = |index: u64| leaf_hash(&index.to_be_bytes());
        let mut tree = CompactRange::default();
        (0..first).for_each(|index| tree.push(leaf(index)));
        let before = tree.clone();
        let leaves: Vec<Hash> = (first..first + count).map(leaf).collect();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        let batch = Arc::new(Batch {
            first,
            count: u32::try_from(count).unwrap(),
            size: first + count,
            root: tree.root(),
            previous: Hash::ZERO,
            time_ms: 0,
            signature: [0; 64],
        });
        Arc::new(Commit { batch, epoch: "certificate".into(), before, leaves })
    }

    #[test]
    fn every_proof_of_every_small_batch_leads_to_its_root() {
        for first in 0..40 {
            for count in 1..40 {
                let commit = commit(first, count);
                for position in 0..usize::try_from(count).unwrap() {
                    let one = Committed::new(Arc::clone(&commit), position);
                    let proof = one.proof();
                    let root =
                        root_from_inclusion(one.leaf_hash, one.index, one.tree_size(), &proof);
                    assert_eq!(root, Ok(one.root()), "{first} + {count}, {position}");
                }
            }
        }
    }

    #[test]
    fn a_batch_far_into_a_log_has_short_proofs() {
        let commit = commit(70_000, 300);
        for position in [0, 1, 99, 255, 256, 299] {
            let one = Committed::new(Arc::clone(&commit), position);
            let proof = one.proof();
            assert!(proof.len() <= 17, "{}", proof.len());
            let root = root_from_inclusion(one.leaf_hash, one.index, 70_300, &proof);
            assert_eq!(root, Ok(one.root()));
        }
    }
}
