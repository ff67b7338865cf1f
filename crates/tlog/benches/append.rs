//! How long an append takes until it is durable, and what it costs in CPU.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;
use tlog::{Config, Log, Signer, leaf_hash, node_hash};

fn open_log(dir: &tempfile::TempDir) -> Log {
    let (signer, _) = Signer::generate("example.com/bench").unwrap();
    Log::create(&dir.path().join("log"), signer, Config::new(Arc::new(|| 0))).unwrap()
}

/// One writer waits for each entry; sixty-four gather in batches.
fn durable(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append, durable, 1 KiB");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    for writers in [1_u64, 64] {
        let dir = tempfile::tempdir().unwrap();
        let log = open_log(&dir);
        group.throughput(Throughput::Elements(writers));
        group.bench_function(format!("{writers} at once"), |bencher| {
            bencher.iter(|| {
                let pending: Vec<_> =
                    (0..writers).map(|_| log.submit(vec![7; 1024]).unwrap()).collect();
                pending.into_iter().map(|one| one.wait().unwrap().index).max()
            });
        });
        log.close().unwrap();
    }
    group.finish();
}

/// What the caller's task does, and what the committer does for each entry.
fn hashing(criterion: &mut Criterion) {
    let entry = vec![7; 1024];
    criterion.bench_function("leaf hash, 1 KiB", |bencher| bencher.iter(|| leaf_hash(&entry)));
    let leaf = leaf_hash(&entry);
    criterion.bench_function("node hash", |bencher| {
        bencher.iter_batched(|| leaf, |leaf| node_hash(&leaf, &leaf), BatchSize::SmallInput);
    });
}

criterion_group!(benches, durable, hashing);
criterion_main!(benches);
