//! The verifier's own Merkle tree (RFC 6962 section 2.1), grown leaf by leaf,
//! and roots over stored nodes.

use note::{Hash, node_hash};

/// A tree as the list of its complete subtrees: leaves in each, and hash.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tree {
    subtrees: Vec<(u64, Hash)>,
    size: u64,
}

impl Tree {
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.size += 1;
        self.subtrees.push((1, leaf));
        while let [.., (left, left_hash), (right, right_hash)] = self.subtrees.as_slice() {
            if left != right {
                return;
            }
            let joined = (left + right, node_hash(left_hash, right_hash));
            self.subtrees.truncate(self.subtrees.len() - 2);
            self.subtrees.push(joined);
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn root(&self) -> Hash {
        let joined = self.subtrees.iter().map(|(_, hash)| *hash).rev();
        joined.reduce(|right, left| node_hash(&left, &right)).unwrap_or(Hash::EMPTY_ROOT)
    }
}

/// The root over a power of two of hashes, level by level.
pub(crate) fn fold_level(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while 1 < level.len() {
        let pairs = level.chunks(2);
        level = pairs
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                [single] => Some(*single),
                _ => None,
            })
            .collect();
    }
    level.first().copied().unwrap_or(Hash::EMPTY_ROOT)
}

/// Where a walk over stored nodes ended up: the root now, and the root that
/// the same nodes had over the first `old` leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roots {
    pub(crate) new: Hash,
    pub(crate) old: Option<Hash>,
}

/// The root over `size` leaves from stored nodes, and from the same nodes that
/// over the first `old`: if the first is right, so is the second, whoever
/// stored them. `node(level, index)` gives the root of 2^level leaves.
pub(crate) fn roots<E>(
    size: u64,
    old: u64,
    node: &mut dyn FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Roots, E> {
    if size == 0 {
        return Ok(Roots { new: Hash::EMPTY_ROOT, old: Some(Hash::EMPTY_ROOT) });
    }
    let mut roots = subtree((0, size), old.min(size), node)?;
    if old == 0 {
        roots.old = Some(Hash::EMPTY_ROOT);
    }
    Ok(roots)
}

/// The root over `size` leaves, one of them given, from the stored nodes beside
/// its way up.
pub(crate) fn root_with<E>(
    size: u64,
    (index, leaf): (u64, Hash),
    node: &mut dyn FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let (mut start, mut count) = (0, size);
    let mut beside = Vec::new();
    while 1 < count {
        let half = count.next_power_of_two() / 2;
        if index - start < half {
            let (right, rest) = (start + half, count - half);
            beside.push((false, subtree((right, rest), 0, node)?.new));
            count = half;
        } else {
            beside.push((true, subtree((start, half), 0, node)?.new));
            start += half;
            count -= half;
        }
    }
    let joined = beside.into_iter().rev();
    Ok(joined.fold(
        leaf,
        |hash, (is_left, other)| {
            if is_left { node_hash(&other, &hash) } else { node_hash(&hash, &other) }
        },
    ))
}

/// The subtree over `[start, start + count)`, where `start` is a multiple of
/// the next power of two.
fn subtree<E>(
    (start, count): (u64, u64),
    old: u64,
    node: &mut dyn FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Roots, E> {
    let cut_inside = start < old && old < start + count;
    if count.is_power_of_two() && !cut_inside {
        let level = u8::try_from(count.trailing_zeros()).unwrap_or(0);
        let hash = node(level, start >> level)?;
        return Ok(Roots { new: hash, old: (start < old).then_some(hash) });
    }
    let half = count.next_power_of_two() / 2;
    let left = subtree((start, half), old, node)?;
    let right = subtree((start + half, count - half), old, node)?;
    let old = match (left.old, right.old) {
        (Some(left), Some(right)) => Some(node_hash(&left, &right)),
        (left, _) => left,
    };
    Ok(Roots { new: node_hash(&left.new, &right.new), old })
}

#[cfg(test)]
mod tests {
    use super::{Tree, fold_level, root_with, roots};
    use note::{Hash, leaf_hash, node_hash};

    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::EMPTY_ROOT,
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&naive(left), &naive(right))
            }
        }
    }

    #[test]
    fn equals_the_recursive_definition() {
        let mut tree = Tree::default();
        let mut leaves = Vec::new();
        assert_eq!(tree.root(), naive(&[]));
        for index in 0..300_u16 {
            leaves.push(leaf_hash(&index.to_be_bytes()));
            tree.push(leaf_hash(&index.to_be_bytes()));
            assert_eq!(tree.root(), naive(&leaves));
            assert_eq!(tree.size(), u64::from(index) + 1);
        }
        assert_eq!(fold_level(&leaves[..256]), naive(&leaves[..256]));
    }

    #[test]
    fn both_roots_come_from_the_same_nodes() {
        let leaves: Vec<Hash> = (0..70_u8).map(|n| leaf_hash(&[n])).collect();
        for size in 0..=70 {
            for old in 0..=size {
                let mut node = |level: u8, index: u64| {
                    let width = 1_usize << level;
                    let start = usize::try_from(index).unwrap() * width;
                    Ok::<_, ()>(naive(&leaves[start..start + width]))
                };
                let found =
                    roots(size.try_into().unwrap(), old.try_into().unwrap(), &mut node).unwrap();
                assert_eq!(found.new, naive(&leaves[..size]), "{old} of {size}");
                assert_eq!(found.old, Some(naive(&leaves[..old])), "{old} of {size}");
                if old < size {
                    let (at, size) = (old.try_into().unwrap(), size.try_into().unwrap());
                    let with = |leaf, node: &mut dyn FnMut(u8, u64) -> Result<Hash, ()>| {
                        root_with(size, (at, leaf), node).unwrap()
                    };
                    assert_eq!(with(leaves[old], &mut node), found.new);
                    assert_ne!(with(Hash::ZERO, &mut node), found.new);
                }
            }
        }
    }
}
