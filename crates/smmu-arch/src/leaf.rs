//! The leaf descriptor that an entry was made from: what a TLBI by address compares.

use crate::Granule;

/// A leaf of one stage: page, block or contiguous group.
///
/// A TLBI with any address inside the leaf drops every entry made from it, also entries that the
/// other stage cut to a smaller size (section "TLB invalidation", rules for entries made from
/// blocks). TTL and TG are compared with this level and granule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Leaf {
    /// First input address of the stage that the leaf maps.
    pub base: u64,
    /// log2 of the bytes that the leaf maps: the whole group where the Contiguous bit is set.
    pub span_log2: u8,
    /// Level of the descriptor, -1 to 3.
    pub level: i8,
    /// Granule of the stage's tables.
    pub granule: Granule,
}

impl Leaf {
    /// Last input address that the leaf maps.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.base | (1u64 << self.span_log2).wrapping_sub(1)
    }

    /// Whether any byte of `first..=last` lies inside the leaf.
    #[must_use]
    pub const fn overlaps(&self, first: u64, last: u64) -> bool {
        self.base <= last && first <= self.last()
    }
}
