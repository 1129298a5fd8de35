//! What policies remember: words that several threads may touch.

use std::sync::atomic::{AtomicU64, Ordering};

/// Words in which nothing depends on the order of two accesses.
#[derive(Debug)]
pub(super) struct Words(Box<[AtomicU64]>);

impl Words {
    pub(super) fn new(count: usize, value: u64) -> Self {
        Self((0..count).map(|_| AtomicU64::new(value)).collect())
    }

    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn put(&self, index: usize, value: u64) {
        self.0[index].store(value, Ordering::Relaxed);
    }

    /// `count` words from `first` on.
    #[inline(always)]
    pub(super) fn values(&self, first: usize, count: usize) -> impl Iterator<Item = u64> {
        self.0[first..][..count].iter().map(|word| word.load(Ordering::Relaxed))
    }
}

impl Clone for Words {
    fn clone(&self) -> Self {
        Self(self.values(0, self.0.len()).map(AtomicU64::new).collect())
    }
}
