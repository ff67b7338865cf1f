//! Roots and proofs against those of another implementation, ct-merkle.

use crate::{Key, config};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use sha2::Sha256;
use tlog::{Committed, Hash, Log};

fn tree(entries: &[Vec<u8>]) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    entries.iter().for_each(|entry| tree.push(entry.clone()));
    tree
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(Hash::as_bytes).copied().collect()
}

fn root(tree: &MemoryBackedTree<Sha256, Vec<u8>>) -> Vec<u8> {
    tree.root().as_bytes().to_vec()
}

/// Appends some at a time, publishing after each.
fn append(log: &Log, entries: &[Vec<u8>], step: usize) -> Vec<Committed> {
    let mut all = Vec::new();
    for entries in entries.chunks(step) {
        let pending: Vec<_> = entries.iter().map(|one| log.submit(one.clone()).unwrap()).collect();
        all.extend(pending.into_iter().map(|one| one.wait().unwrap()));
        if all.len() * 4 < 3 * entries.len() {
            log.publish().unwrap();
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn another_implementation_makes_the_same_roots_and_proofs(
        entries in vec(vec(any::<u8>(), 1..40), 1..600),
        step in 1_usize..200,
        picks in vec(any::<(u64, u64)>(), 8),
        published: bool,
    ) {
        let key = Key::generate();
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(&dir.path().join("log"), key.signer(), config()).unwrap();
        let receipts = append(&log, &entries, step);
        if published {
            log.publish().unwrap();
        }
        let whole = tree(&entries);
        assert_eq!(log.tip().root.as_bytes().as_slice(), root(&whole));
        let mut reader = log.reader();
        for (index, size) in picks {
            let size = size % whole.len() + 1;
            let index = index % size;
            let prefix = tree(&entries[..usize::try_from(size).unwrap()]);
            assert_eq!(reader.root(size).unwrap().as_bytes().as_slice(), root(&prefix));
            let proof = reader.inclusion_proof(index, size).unwrap();
            let at = usize::try_from(index).unwrap();
            assert_eq!(bytes(&proof), prefix.prove_inclusion(at).as_bytes());
            let proof = reader.consistency_proof(size, whole.len()).unwrap();
            let added = usize::try_from(whole.len() - size).unwrap();
            assert_eq!(bytes(&proof), whole.prove_consistency(added).as_bytes());
            let receipt = &receipts[at];
            let then = tree(&entries[..usize::try_from(receipt.tree_size()).unwrap()]);
            assert_eq!(receipt.root().as_bytes().as_slice(), root(&then));
            assert_eq!(bytes(&receipt.proof()), then.prove_inclusion(at).as_bytes());
        }
        log.close().unwrap();
    }
}
