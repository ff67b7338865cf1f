//! What the steps of an append cost in processor time, one by one: what the caller's task does for its
//! entry, and what the committer does for each entry and each batch. The disk is in `acknowledge`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tlog::{Batch, Hash, Sign as _, Signer, leaf_hash, node_hash};

fn entry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("for each entry");
    for bytes in [256_usize, 1_024, 16_384] {
        let entry = vec![7; bytes];
        group.throughput(Throughput::Bytes(u64::try_from(bytes).unwrap()));
        group.bench_function(format!("leaf hash, {bytes} bytes"), |bencher| {
            bencher.iter(|| leaf_hash(black_box(&entry)));
        });
        group.bench_function(format!("checksum, {bytes} bytes"), |bencher| {
            bencher.iter(|| crc32c::crc32c(black_box(&entry)));
        });
    }
    group.finish();
    let leaf = leaf_hash(&[7]);
    criterion.bench_function("for each entry/node hash", |bencher| {
        bencher.iter(|| node_hash(black_box(&leaf), black_box(&leaf)));
    });
}

fn batch(criterion: &mut Criterion) {
    let (signer, _) = Signer::generate("example.com/bench/batch").unwrap();
    let batch = Batch {
        first: 1_000_000,
        count: 33,
        size: 1_000_033,
        root: leaf_hash(&[1]),
        previous: Hash::ZERO,
        time_ms: 1_800_000_000_000,
        signature: [0; 64],
    };
    criterion.bench_function("for each batch/signature", |bencher| {
        bencher.iter(|| signer.sign(black_box(&batch).text("example.com/bench").as_bytes()));
    });
}

criterion_group!(benches, entry, batch);
criterion_main!(benches);
