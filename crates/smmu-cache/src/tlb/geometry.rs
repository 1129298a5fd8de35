//! The shape of a TLB, as a machine file gives it.

use super::placement::Placement;
use crate::policy::{AnyPolicy, NoTree, PolicyKind, Shape};
use thiserror::Error;

/// What kind of structure a TLB is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TlbShape {
    /// Sets of ways, as in hardware.
    SetAssociative(TlbGeometry),
    /// Forgets nothing by itself: an entry stays until a scope covers it.
    Unbounded,
    /// The same, but a global entry is used in the ASID only that it was made in, and goes with it.
    /// The architecture lets global entries be shared and demands it nowhere; where software gives
    /// one VMID to address spaces with different global pages, this TLB still tells them apart.
    /// What names an address finds the global entries of every ASID, as it must.
    UnboundedByAsid,
}

impl From<TlbGeometry> for TlbShape {
    fn from(geometry: TlbGeometry) -> Self {
        Self::SetAssociative(geometry)
    }
}

/// Size and policies of a set-associative TLB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbGeometry {
    /// Entries of all sets, 1 to 2^20.
    pub entries: u32,
    /// Entries of a set; 0 for one set that holds all. They divide the entries. Look-ups are fastest
    /// with 4 ways and a power of two of sets; 1, 2, 8 and 16 come next.
    pub ways: u32,
    /// How the set is found.
    pub index: IndexFunction,
    /// Which way goes when no way of the set is free.
    pub replacement: PolicyKind,
    /// Parts that the structure is divided into, 1 for none: an entry goes into the part VMID modulo
    /// parts.
    pub partitions: u32,
    /// What the parts are made of.
    pub partition_by: Division,
    /// log2 of the bytes of input addresses that go into one set together. Entries that are larger,
    /// and all of them where it is 12 or less, go by units of their own size.
    pub region_log2: u8,
    /// Sets of their own for larger entries, beside `entries`; the smaller first.
    pub split: [Option<Split>; 2],
}

/// What partitions divide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Division {
    /// The ways of each set. Look-ups ask all of them.
    Ways,
    /// The sets.
    Sets,
}

/// Sets of their own for large entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Split {
    /// log2 of the bytes of the smallest entry that goes there.
    pub from_log2: u8,
    /// Entries of these sets; the ways divide them.
    pub entries: u32,
}

impl Default for TlbGeometry {
    /// 2048 entries of 4 ways, indexed by page, round-robin.
    fn default() -> Self {
        Self {
            entries: 2048,
            ways: 4,
            index: IndexFunction::Page,
            replacement: PolicyKind::RoundRobin,
            partitions: 1,
            partition_by: Division::Ways,
            region_log2: 0,
            split: [None; 2],
        }
    }
}

/// How the set of an entry is found. The page is counted in units of the entry's size, or of the
/// region's where that is larger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IndexFunction {
    /// Low bits of the page number.
    Page,
    /// Low bits of the page number XOR ASID XOR VMID (rotated left by 5), so that address spaces
    /// with equal layouts spread. A global entry is indexed without the ASID.
    PageXorTags,
    /// A multiplicative hash of the same (Knuth, "Sorting and Searching", section 6.4), so that
    /// strides spread as well.
    Hash,
}

/// The hash of a page number with which tags were mixed; its low bits are the set.
#[inline]
pub(super) const fn hashed(mixed: u64) -> u64 {
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

/// A geometry that cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum GeometryError {
    /// No entries, or more than 2^20.
    #[error("a TLB has 1 to 1048576 entries, not {0}")]
    Entries(u32),
    /// The ways do not divide the entries into sets.
    #[error("{entries} entries cannot be divided into sets of {ways} ways")]
    Sets {
        /// Entries asked for.
        entries: u32,
        /// Ways asked for.
        ways: u32,
    },
    /// The partitions do not divide the ways.
    #[error("{ways} ways cannot be divided into {partitions} partitions")]
    Partitions {
        /// Ways of a set.
        ways: usize,
        /// Partitions asked for.
        partitions: u32,
    },
    /// The partitions do not divide the sets.
    #[error("{sets} sets cannot be divided into {partitions} partitions")]
    SetPartitions {
        /// Sets, or those of some entry sizes.
        sets: usize,
        /// Partitions asked for.
        partitions: u32,
    },
    /// The parts for larger entries are not in the order of their sizes.
    #[error("entries from 2^{0} bytes on are split off, but so are smaller ones")]
    Split(u8),
    /// The policy cannot have so many ways.
    #[error(transparent)]
    Policy(#[from] NoTree),
}

impl TlbGeometry {
    /// Sets and ways, those of all entry sizes.
    ///
    /// # Errors
    /// No entries, too many, ways that do not divide them, or splits in disorder.
    pub fn shape(&self) -> Result<Shape, GeometryError> {
        let sets = self.bands()?.iter().map(|(_, sets)| sets).sum();
        Ok(Shape { sets, ways: self.ways_of_a_set() as usize })
    }

    const fn ways_of_a_set(&self) -> u32 {
        if self.ways == 0 { self.entries } else { self.ways }
    }

    /// Smallest entry, log2 of bytes, and sets of each group of entry sizes.
    pub(super) fn bands(&self) -> Result<Vec<(u32, usize)>, GeometryError> {
        let ways = self.ways_of_a_set();
        let mut bands = Vec::with_capacity(3);
        let splits = self.split.iter().flatten().map(|split| (split.from_log2, split.entries));
        for (from_log2, entries) in std::iter::once((0, self.entries)).chain(splits) {
            let from = u32::from(from_log2);
            if entries == 0 || entries > 1 << 20 {
                return Err(GeometryError::Entries(entries));
            }
            if !entries.is_multiple_of(ways) {
                return Err(GeometryError::Sets { entries, ways });
            }
            if bands.last().is_some_and(|&(before, _)| before >= from) {
                return Err(GeometryError::Split(from_log2));
            }
            bands.push((from, (entries / ways) as usize));
        }
        Ok(bands)
    }

    /// Sets and ways as the policy sees them, to which each partition of a set is a set.
    ///
    /// # Errors
    /// Those of [`Self::shape`], and partitions that do not divide the ways.
    pub fn partition_shape(&self) -> Result<Shape, GeometryError> {
        let (Shape { sets, ways }, partitions) = (self.shape()?, self.way_partitions());
        let parts = partitions as usize;
        if parts == 0 || !ways.is_multiple_of(parts) {
            return Err(GeometryError::Partitions { ways, partitions });
        }
        Ok(Shape { sets: sets * parts, ways: ways / parts })
    }

    /// Parts that the ways of each set are divided into.
    pub(super) const fn way_partitions(&self) -> u32 {
        match self.partition_by {
            Division::Ways => self.partitions,
            Division::Sets => 1,
        }
    }

    /// Whether such a structure can be built.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), GeometryError> {
        Placement::new(self)?;
        self.policy().map(drop)
    }

    /// The replacement policy.
    ///
    /// # Errors
    /// Those of [`Self::partition_shape`], and a tree over ways that are no power of two.
    pub fn policy(&self) -> Result<AnyPolicy, GeometryError> {
        Ok(self.replacement.policy(self.partition_shape()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_divide_the_entries() {
        let check = |entries, ways| TlbGeometry { entries, ways, ..TlbGeometry::default() }.shape();
        assert_eq!(check(2048, 4), Ok(Shape { sets: 512, ways: 4 }));
        assert_eq!(check(48, 0), Ok(Shape { sets: 1, ways: 48 }));
        assert_eq!(check(48, 12), Ok(Shape { sets: 4, ways: 12 }));
        assert_eq!(check(0, 0), Err(GeometryError::Entries(0)));
        assert_eq!(check(348, 4), Ok(Shape { sets: 87, ways: 4 }));
        assert_eq!(check(48, 5), Err(GeometryError::Sets { entries: 48, ways: 5 }));
        assert_eq!(check(4, 8), Err(GeometryError::Sets { entries: 4, ways: 8 }));
    }

    #[test]
    fn partitions_divide_the_ways() {
        let geometry = |partitions, replacement| TlbGeometry {
            entries: 96,
            ways: 12,
            partitions,
            replacement,
            ..TlbGeometry::default()
        };
        let shape = |partitions| geometry(partitions, PolicyKind::Lru).partition_shape();
        assert_eq!(shape(3), Ok(Shape { sets: 24, ways: 4 }));
        assert_eq!(shape(5), Err(GeometryError::Partitions { ways: 12, partitions: 5 }));
        assert_eq!(shape(0), Err(GeometryError::Partitions { ways: 12, partitions: 0 }));
        assert!(geometry(3, PolicyKind::TreePlru).policy().is_ok());
        let no_tree = geometry(1, PolicyKind::TreePlru).policy().err();
        assert_eq!(no_tree, Some(GeometryError::Policy(NoTree(12))));
    }
}
