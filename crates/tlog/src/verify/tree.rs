//! The verifier's own Merkle tree (RFC 6962 section 2.1): hashes it computes
//! itself, over bytes it read itself.

use aws_lc_rs::digest::{Context, SHA256};
use note::Hash;

/// A tree as the list of its complete subtrees: leaves in each, and hash.
#[derive(Debug, Default)]
pub(super) struct Tree {
    subtrees: Vec<(u64, Hash)>,
}

impl Tree {
    pub(super) fn push(&mut self, leaf: Hash) {
        self.subtrees.push((1, leaf));
        while let [.., (left, left_hash), (right, right_hash)] = self.subtrees.as_slice() {
            if left != right {
                return;
            }
            let joined = (left + right, node(left_hash, right_hash));
            self.subtrees.truncate(self.subtrees.len() - 2);
            self.subtrees.push(joined);
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.subtrees.iter().map(|(leaves, _)| leaves).sum()
    }

    pub(super) fn root(&self) -> Hash {
        let joined = self.subtrees.iter().map(|(_, hash)| *hash).rev();
        joined.reduce(|right, left| node(&left, &right)).unwrap_or_else(|| sha256(&[]))
    }
}

/// The root over a power of two of hashes, level by level.
pub(super) fn fold_level(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while 1 < level.len() {
        let pairs = level.chunks(2);
        level = pairs
            .filter_map(|pair| match pair {
                [left, right] => Some(node(left, right)),
                [single] => Some(*single),
                _ => None,
            })
            .collect();
    }
    level.first().copied().unwrap_or_else(|| sha256(&[]))
}

pub(super) fn leaf(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left.as_bytes(), right.as_bytes()])
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Hash::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Tree, fold_level, leaf};
    use crate::merkle::tests::reference;
    use crate::simulation::naive_root;

    #[test]
    fn reference_vectors() {
        let (leaves, roots) = reference();
        let mut tree = Tree::default();
        assert_eq!(tree.root(), naive_root(&[]));
        for (entry, root) in leaves.iter().zip(roots) {
            tree.push(leaf(entry));
            assert_eq!(tree.root().to_string(), root);
        }
        assert_eq!(tree.size(), 8);
        let hashes: Vec<_> = leaves.iter().map(|entry| leaf(entry)).collect();
        assert_eq!(fold_level(&hashes), tree.root());
    }

    #[test]
    fn equals_the_recursive_definition() {
        let mut tree = Tree::default();
        let mut leaves = Vec::new();
        for index in 0..300_u16 {
            leaves.push(leaf(&index.to_be_bytes()));
            tree.push(leaf(&index.to_be_bytes()));
            assert_eq!(tree.root(), naive_root(&leaves));
        }
    }
}
