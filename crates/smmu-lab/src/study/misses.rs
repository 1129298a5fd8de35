//! Why an access missed.

use lru::LruCache;
use rustc_hash::{FxBuildHasher, FxHashSet};

/// Why an access missed, after Hill's three kinds and the one that invalidations make.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Miss {
    /// The page was never used before.
    Compulsory,
    /// An invalidation had taken it away, and nothing else.
    Invalidation,
    /// A fully associative TLB of as many entries, with LRU, would have missed as well.
    Capacity,
    /// Such a TLB would have hit.
    Conflict,
}

/// Tells misses apart. It remembers every page that was ever used.
#[derive(Debug)]
pub(crate) struct Misses {
    seen: FxHashSet<u64>,
    /// Taken away by an invalidation and not used since.
    forgotten: FxHashSet<u64>,
    shadow: LruCache<u64, (), FxBuildHasher>,
    entries: usize,
}

impl Misses {
    /// For a TLB of so many entries.
    pub(crate) fn new(entries: usize) -> Self {
        Self {
            seen: FxHashSet::default(),
            forgotten: FxHashSet::default(),
            shadow: LruCache::unbounded_with_hasher(FxBuildHasher),
            entries,
        }
    }

    /// An access, which hit or not; why it missed.
    pub(crate) fn refer(&mut self, tag: u64, hit: bool) -> Option<Miss> {
        let resident = self.shadow.put(tag, ()).is_some();
        if self.shadow.len() > self.entries {
            self.shadow.pop_lru();
        }
        if hit {
            return None;
        }
        let is_new = self.seen.insert(tag);
        let was_forgotten = self.forgotten.remove(&tag);
        Some(match (is_new, was_forgotten, resident) {
            (true, ..) => Miss::Compulsory,
            (_, true, _) => Miss::Invalidation,
            (.., true) => Miss::Conflict,
            _ => Miss::Capacity,
        })
    }

    /// An invalidation took this out of the TLB.
    pub(crate) fn dropped(&mut self, tag: u64) {
        self.forgotten.insert(tag);
    }

    /// An invalidation took effect.
    pub(crate) fn forget(&mut self, covers: impl Fn(u64) -> bool) {
        let gone: Vec<u64> =
            self.shadow.iter().map(|(&tag, ())| tag).filter(|&tag| covers(tag)).collect();
        for tag in gone {
            self.shadow.pop(&tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_miss() {
        let mut misses = Misses::new(2);
        assert_eq!(misses.refer(1, false), Some(Miss::Compulsory));
        assert_eq!(misses.refer(1, true), None);
        assert_eq!(misses.refer(2, false), Some(Miss::Compulsory));
        assert_eq!(misses.refer(1, false), Some(Miss::Conflict), "two entries would hold both");
        assert_eq!(misses.refer(3, false), Some(Miss::Compulsory));
        assert_eq!(misses.refer(2, false), Some(Miss::Capacity));
        misses.dropped(2);
        misses.forget(|tag| tag == 2);
        assert_eq!(misses.refer(2, false), Some(Miss::Invalidation));
        assert_eq!(misses.refer(2, false), Some(Miss::Conflict));
    }
}
