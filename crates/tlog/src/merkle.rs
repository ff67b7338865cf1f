//! The Merkle tree of RFC 6962 section 2.1: hashes of leaves, of nodes and of
//! whole trees, and the compact range a writer keeps.
//!
//! Knows nothing of files, tiles or signatures.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A SHA-256 value: a leaf, an inner node or the root of a tree.
///
/// Displays as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The root of the tree without leaves: SHA-256 of the empty string.
    pub const EMPTY_ROOT: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// All zero bytes: "no trailer before this one".
    pub const ZERO: Self = Self([0; 32]);

    /// Wraps the 32 bytes of a hash computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Standard base64 with padding, as checkpoints write it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] writes; `None` for anything else.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// SHA-256 of `bytes`, without any domain prefix.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(&digest::digest(&digest::SHA256, bytes))
    }

    fn from_digest(digest: &digest::Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash of a leaf: SHA-256(0x00 || entry), RFC 6962 section 2.1.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[0]);
    context.update(entry);
    Hash::from_digest(&context.finish())
}

/// The hash of an inner node: SHA-256(0x01 || left || right), RFC 6962
/// section 2.1.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    let (_, pair) = bytes.split_at_mut(1);
    let (first, second) = pair.split_at_mut(32);
    first.copy_from_slice(&left.0);
    second.copy_from_slice(&right.0);
    Hash::of(&bytes)
}

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
#[derive(Debug, Clone, Default)]
pub(crate) struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

impl CompactRange {
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
    use super::{CompactRange, Hash, leaf_hash, node_hash};
    use proptest::prelude::{any, proptest};

    /// MTH of RFC 6962 section 2.1, word for word.
    pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::EMPTY_ROOT,
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(split);
                node_hash(&naive_root(left), &naive_root(right))
            }
        }
    }

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
