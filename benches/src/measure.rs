//! How a workload is run and timed.

use crate::draw::Hash;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// A piece of work that can be repeated.
pub trait Workload {
    /// Does at least `operations` operations, divided evenly among its threads, always from the
    /// same seed.
    fn run(&mut self, operations: u64) -> Measured;

    /// The hash that [`Workload::run`] must come to, from the mappings alone.
    fn expected(&self, operations: u64) -> u64;
}

/// One run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// From the start of the first thread to the end of the last; preparations do not count.
    pub time: Duration,
    /// Operations done.
    pub operations: u64,
    /// Hash of all results.
    pub hash: u64,
}

impl Measured {
    /// Nanoseconds an operation.
    #[must_use]
    pub fn ns(&self) -> f64 {
        self.time.as_nanos() as f64 / self.operations as f64
    }
}

/// Times `work` on this thread.
pub fn timed(operations: u64, work: impl FnOnce(u64) -> Hash) -> Measured {
    let start = Instant::now();
    let hash = work(operations);
    Measured { time: start.elapsed(), operations, hash: hash.0 }
}

/// Times `work` on one pinned thread for each of `states`; it is told its thread's number and
/// share of the operations.
pub fn timed_on_threads<S: Send>(
    states: &mut [S],
    operations: u64,
    work: impl Fn(&mut S, usize, u64) -> Hash + Sync,
) -> Measured {
    let share = operations.div_ceil(states.len() as u64);
    if let [state] = states {
        return timed(share, |share| work(state, 0, share));
    }
    let barrier = Barrier::new(states.len());
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let spans: Vec<(Instant, Instant, Hash)> = std::thread::scope(|scope| {
        let threads: Vec<_> = states
            .iter_mut()
            .enumerate()
            .map(|(thread, state)| {
                let (barrier, work, core) = (&barrier, &work, cores.get(thread).copied());
                scope.spawn(move || {
                    core.map(core_affinity::set_for_current);
                    barrier.wait();
                    let start = Instant::now();
                    let hash = work(state, thread, share);
                    (start, Instant::now(), hash)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let start = spans.iter().map(|span| span.0).min().expect("a thread");
    let end = spans.iter().map(|span| span.1).max().expect("a thread");
    let hash = joined(spans.iter().map(|span| span.2));
    Measured { time: end - start, operations: share * spans.len() as u64, hash }
}

/// The hash of several threads, in their order.
pub fn joined(hashes: impl IntoIterator<Item = Hash>) -> u64 {
    let mut all = hashes.into_iter();
    let mut hash = all.next().unwrap_or_default();
    all.for_each(|other| hash.add(other.0));
    hash.0
}
