//! Every row by criterion: medians and their spread, Smmulator and its peer side by side.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smmulator_benches::{Measured, rows, rows::Build};
use std::time::Duration;

fn bench_rows(criterion: &mut Criterion) {
    for row in rows() {
        let mut group = criterion.benchmark_group(&row.name);
        group
            .throughput(Throughput::Elements(1))
            .sample_size(20)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(800));
        let peer = row.peer.iter().map(|peer| ("crate smmu", peer));
        for (who, build) in std::iter::once(("smmulator", &row.ours)).chain(peer) {
            group.bench_function(who, |bencher| bench(bencher, build));
        }
        group.finish();
    }
}

fn bench(bencher: &mut criterion::Bencher<'_>, build: &Build) {
    let mut workload = build();
    bencher.iter_custom(|operations| {
        let Measured { time, operations: done, .. } = workload.run(operations);
        // Threads and batches may do a few more.
        time.mul_f64(operations as f64 / done as f64)
    });
}

criterion_group!(benches, bench_rows);
criterion_main!(benches);
