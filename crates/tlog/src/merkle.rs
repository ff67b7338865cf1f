//! Trees over leaf hashes (RFC 6962 section 2.1): the root of a whole tree, and
//! the compact range a writer keeps.
//!
//! Knows nothing of files, tiles or signatures.

use note::{Hash, node_hash};

/// The root over `hashes`, taken as the leaves (or equal-height subtrees) of
/// one tree; [`Hash::EMPTY_ROOT`] for none.
#[must_use]
pub(crate) fn root_of<'a>(hashes: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let mut range = CompactRange::default();
    hashes.into_iter().for_each(|hash| range.push(*hash));
    range.root()
}

/// The right edge of a growing tree: one hash for each complete subtree, the
/// largest first. At most 64 hashes, whatever the size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

impl CompactRange {
    /// The tree whose complete subtrees have these roots, the largest first:
    /// as many as `size` has one bits.
    pub(crate) fn from_peaks(size: u64, peaks: Vec<Hash>) -> Self {
        Self { size, peaks }
    }

    /// The root of the complete subtree of two to the power of `level` leaves
    /// at the right edge; `None` when the tree has none.
    pub(crate) fn peak(&self, level: u32) -> Option<Hash> {
        let larger = self.size.checked_shr(level)?;
        if larger & 1 == 0 {
            return None;
        }
        let before = usize::try_from((larger >> 1).count_ones()).ok()?;
        self.peaks.get(before).copied()
    }

    /// Adds one leaf at the right.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Every one bit at the low end of the size is a complete subtree that
        // the new leaf completes to twice its width.
        let mut bits = self.size;
        while bits & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
            bits >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree so far.
    pub(crate) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Hash::EMPTY_ROOT };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// The number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::CompactRange;
    use crate::simulation::naive_root;
    use note::{Hash, leaf_hash};
    use proptest::prelude::{any, proptest};

    /// The eight leaves and roots of the reference tests of Certificate
    /// Transparency.
    pub(crate) fn reference() -> (Vec<Vec<u8>>, Vec<&'static str>) {
        let leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
            .into_iter()
            .chain(["606162636465666768696a6b6c6d6e6f"])
            .map(|hex| {
                let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
                digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
            })
            .collect();
        let roots = vec![
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        (leaves, roots)
    }

    #[test]
    fn empty_tree_is_the_hash_of_nothing() {
        assert_eq!(Hash::EMPTY_ROOT, Hash::of(b""));
        assert_eq!(CompactRange::default().root(), Hash::EMPTY_ROOT);
    }

    #[test]
    fn reference_vectors() {
        let (leaves, roots) = reference();
        let mut range = CompactRange::default();
        for (leaf, root) in leaves.iter().zip(roots) {
            range.push(leaf_hash(leaf));
            assert_eq!(range.root().to_string(), root);
        }
        assert_eq!(range.size(), 8);
    }

    #[test]
    fn base64_is_strict() {
        let hash = leaf_hash(b"a");
        assert_eq!(Hash::from_base64(&hash.to_base64()), Some(hash));
        assert_eq!(Hash::from_base64("AAAA"), None);
        let text = hash.to_base64();
        assert_eq!(Hash::from_base64(text.trim_end_matches('=')), None);
    }

    proptest! {
        #[test]
        fn compact_range_equals_the_recursive_definition(entries: Vec<[u8; 3]>, extra in any::<u8>()) {
            let mut leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
            leaves.push(leaf_hash(&[extra]));
            let mut range = CompactRange::default();
            for leaf in &leaves {
                range.push(*leaf);
            }
            assert_eq!(range.root(), naive_root(&leaves));
        }
    }
}
