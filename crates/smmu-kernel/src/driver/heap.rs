//! The driver's memory: contiguous, aligned to itself, and zero when it is given.

use super::Env;
use crate::Errno;
use crate::guarded::{Guarded, LockNumbers};
use smmu_arch::Pa;
use smmu_tables::PageAllocator;
use std::collections::BTreeMap;

/// Memory that the machine sets aside for the kernel.
#[derive(Debug)]
pub(crate) struct Heap(Guarded<State>);

#[derive(Debug)]
struct State {
    /// Free ranges: first byte to length. Neighbours are merged.
    free: BTreeMap<u64, u64>,
    /// From here on memory was never given out: it still is zero, as after reset.
    fresh: u64,
}

impl Heap {
    pub(crate) fn new(locks: &LockNumbers, (first, bytes): (Pa, u64)) -> Self {
        let free = BTreeMap::from([(first.0, bytes)]);
        Self(Guarded::new(locks, State { free, fresh: first.0 }))
    }

    /// Gives `bytes` bytes, rounded up to a power of two of at least 64 and aligned to that, which
    /// read as zero.
    ///
    /// # Errors
    /// ENOMEM; EIO where the memory does not answer.
    pub(crate) fn allocate(&self, env: Env<'_>, bytes: u64) -> Result<Pa, Errno> {
        let bytes = rounded(bytes);
        let (first, used_end) =
            self.0.with(env.cpu, |state| state.take(bytes)).ok_or(Errno::ENOMEM)?;
        for at in (first..used_end).step_by(8) {
            env.cpu.store(Pa(at), 0)?;
        }
        Ok(Pa(first))
    }

    /// Takes back what [`Heap::allocate`] gave for the same number of bytes.
    pub(crate) fn free(&self, env: Env<'_>, pa: Pa, bytes: u64) {
        self.0.with(env.cpu, |state| state.give_back(pa.0, rounded(bytes)));
    }

    /// Bytes that are free, for whoever looks for leaks.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.0.peek(|state| state.free.values().sum())
    }
}

/// The heap as the table builder knows it.
pub(crate) struct TablePages<'a>(pub(crate) Env<'a>);

impl PageAllocator for TablePages<'_> {
    fn allocate(&mut self, bytes: u64) -> Option<Pa> {
        self.0.driver.heap.allocate(self.0, bytes).ok()
    }

    fn free(&mut self, pa: Pa, bytes: u64) {
        self.0.driver.heap.free(self.0, pa, bytes);
    }

    fn gives_zeroed(&self) -> bool {
        true
    }
}

fn rounded(bytes: u64) -> u64 {
    bytes.max(64).next_power_of_two()
}

impl State {
    /// The first place that fits, and the end of the part of it that was used before.
    fn take(&mut self, bytes: u64) -> Option<(u64, u64)> {
        let (first, start, length) = self.free.iter().find_map(|(&start, &length)| {
            let first = start.checked_next_multiple_of(bytes)?;
            let end = first.checked_add(bytes)?;
            (end <= start + length).then_some((first, start, length))
        })?;
        self.free.remove(&start);
        if first > start {
            self.free.insert(start, first - start);
        }
        let (end, old_end) = (first + bytes, start + length);
        if old_end > end {
            self.free.insert(end, old_end - end);
        }
        let used_end = self.fresh.clamp(first, end);
        self.fresh = self.fresh.max(end);
        Some((first, used_end))
    }

    fn give_back(&mut self, first: u64, bytes: u64) {
        let (mut first, mut bytes) = (first, bytes);
        if let Some((&below, &length)) = self.free.range(..first).next_back()
            && below + length == first
        {
            self.free.remove(&below);
            (first, bytes) = (below, bytes + length);
        }
        if let Some(length) = self.free.remove(&(first + bytes)) {
            bytes += length;
        }
        self.free.insert(first, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> State {
        State { free: BTreeMap::from([(0x1000, 0x10_0000)]), fresh: 0x1000 }
    }

    #[test]
    fn only_memory_that_was_used_before_is_cleared() {
        let mut state = state();
        assert_eq!(state.take(0x1000), Some((0x1000, 0x1000)));
        assert_eq!(state.take(0x4000), Some((0x4000, 0x4000)));
        state.give_back(0x1000, 0x1000);
        assert_eq!(state.take(0x1000), Some((0x1000, 0x2000)));
    }

    proptest! {
        #[test]
        fn what_is_given_is_aligned_and_never_given_twice(
            sizes in prop::collection::vec((6u32..16, any::<bool>()), 1..60),
        ) {
            let mut state = state();
            let mut held: Vec<(u64, u64)> = Vec::new();
            for (log2, give_back) in sizes {
                if give_back && !held.is_empty() {
                    let (first, bytes) = held.remove(held.len() / 2);
                    state.give_back(first, bytes);
                    continue;
                }
                let bytes = 1 << log2;
                let Some((first, _)) = state.take(bytes) else { continue };
                prop_assert!(first % bytes == 0);
                prop_assert!(held.iter().all(|&(a, n)| first + bytes <= a || a + n <= first));
                held.push((first, bytes));
            }
            held.into_iter().for_each(|(first, bytes)| state.give_back(first, bytes));
            prop_assert_eq!(state.free, BTreeMap::from([(0x1000, 0x10_0000)]));
        }
    }
}
