//! Memory that tells or breaks: wrappers around any [`Memory`].

use crate::{Aborted, Memory};
use parking_lot::RwLock;
use smmu_arch::Pa;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who is told of stores.
pub trait StoreListener {
    /// The word at `pa`, an address aligned to 8 bytes, was `old` and is `new`. Both may be equal.
    fn stored(&self, pa: Pa, old: u64, new: u64);
}

impl<L: StoreListener + ?Sized> StoreListener for &L {
    fn stored(&self, pa: Pa, old: u64, new: u64) {
        (**self).stored(pa, old, new);
    }
}

impl<L: StoreListener + ?Sized> StoreListener for Rc<L> {
    fn stored(&self, pa: Pa, old: u64, new: u64) {
        (**self).stored(pa, old, new);
    }
}

impl<L: StoreListener + ?Sized> StoreListener for Arc<L> {
    fn stored(&self, pa: Pa, old: u64, new: u64) {
        (**self).stored(pa, old, new);
    }
}

/// Memory that tells a listener of every word that was stored, after it was.
///
/// Each store is told with exactly the value that it replaced, whatever other threads do; stores of
/// several threads may be told in another order than they were made.
#[derive(Clone, Debug)]
pub struct Recording<M, L> {
    memory: M,
    listener: L,
}

impl<M: Memory, L: StoreListener> Recording<M, L> {
    /// Tells `listener` of the stores to `memory`.
    pub const fn new(memory: M, listener: L) -> Self {
        Self { memory, listener }
    }

    /// The memory behind: stores made there are not told.
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// The listener.
    pub const fn listener(&self) -> &L {
        &self.listener
    }
}

impl<M: Memory, L: StoreListener> Memory for Recording<M, L> {
    #[inline]
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        self.memory.read_word(pa)
    }

    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        // A plain store would not say what it replaced.
        let mut old = self.memory.read_word(pa)?;
        loop {
            let found = self.compare_and_swap(pa, old, value)?;
            if found == old {
                return Ok(());
            }
            old = found;
        }
    }

    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        let found = self.memory.compare_and_swap(pa, old, new)?;
        if found == old {
            self.listener.stored(pa.align_down(3), old, new);
        }
        Ok(found)
    }

    #[inline]
    fn read_words<const N: usize>(&self, pa: Pa) -> Result<[u64; N], Aborted> {
        self.memory.read_words(pa)
    }

    fn read_bytes(&self, pa: Pa, bytes: &mut [u8]) -> Result<(), Aborted> {
        self.memory.read_bytes(pa, bytes)
    }
}

/// Memory in which chosen ranges abort. They are chosen while it is in use, from any thread.
#[derive(Debug, Default)]
pub struct Faulting<M> {
    memory: M,
    /// Whether there is any range: spares the lock where nothing is broken.
    armed: AtomicBool,
    /// First and last byte of each range.
    ranges: RwLock<Vec<(u64, u64)>>,
}

impl<M: Memory> Faulting<M> {
    /// Memory in which nothing aborts yet but what does in `memory`.
    pub const fn new(memory: M) -> Self {
        Self { memory, armed: AtomicBool::new(false), ranges: RwLock::new(Vec::new()) }
    }

    /// The memory behind, in which nothing is broken.
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// From now on an access to any word of these bytes aborts. A range past the last address ends
    /// there.
    pub fn fail(&self, first: Pa, bytes: u64) {
        self.change(|ranges| ranges.extend(range(first, bytes)));
    }

    /// From now on these bytes answer again, as far as whole words go.
    pub fn repair(&self, first: Pa, bytes: u64) {
        let Some((first, last)) = range(first, bytes) else { return };
        self.change(|ranges| {
            let outside = |&(from, to): &(u64, u64)| {
                let below = first.checked_sub(1).map(|end| (from, to.min(end)));
                let above = last.checked_add(1).map(|start| (from.max(start), to));
                [below, above].into_iter().flatten().filter(|(from, to)| from <= to)
            };
            *ranges = ranges.iter().flat_map(outside).collect();
        });
    }

    /// From now on nothing aborts but what does in the memory behind.
    pub fn repair_all(&self) {
        self.change(Vec::clear);
    }

    fn change(&self, edit: impl FnOnce(&mut Vec<(u64, u64)>)) {
        let mut ranges = self.ranges.write();
        edit(&mut ranges);
        self.armed.store(!ranges.is_empty(), Ordering::Release);
    }

    #[inline]
    fn check(&self, pa: Pa) -> Result<(), Aborted> {
        if self.armed.load(Ordering::Acquire) && self.is_broken(pa) {
            return Err(Aborted(pa));
        }
        Ok(())
    }

    fn is_broken(&self, pa: Pa) -> bool {
        let (first, last) = (pa.0 & !7, pa.0 | 7);
        self.ranges.read().iter().any(|&(from, to)| from <= last && first <= to)
    }
}

impl<M: Memory> Memory for Faulting<M> {
    #[inline]
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        self.check(pa)?;
        self.memory.read_word(pa)
    }

    #[inline]
    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.check(pa)?;
        self.memory.write_word(pa, value)
    }

    #[inline]
    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        self.check(pa)?;
        self.memory.compare_and_swap(pa, old, new)
    }
}

/// First and last byte, if there is any.
fn range(first: Pa, bytes: u64) -> Option<(u64, u64)> {
    bytes.checked_sub(1).map(|more| (first.0, first.0.saturating_add(more)))
}
