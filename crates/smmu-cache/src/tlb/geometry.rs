//! The shape of a TLB, as a machine file gives it.

use crate::policy::{AnyPolicy, NoTree, PolicyKind, Shape};
use smmu_arch::{Asid, Vmid};
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
    /// Entries of a set; 0 for one set that holds all. `entries / ways` is a power of two.
    /// Look-ups are fastest with 1, 2, 4, 8 or 16 ways.
    pub ways: u32,
    /// How the set is found.
    pub index: IndexFunction,
    /// Which way goes when no way of the set is free.
    pub replacement: PolicyKind,
    /// Parts that the ways of a set are divided into, 1 for none: an entry goes into the part
    /// VMID modulo parts. Look-ups ask all ways.
    pub partitions: u32,
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
        }
    }
}

/// How the set of an entry is found. The page is counted in units of the entry's size.
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

impl IndexFunction {
    /// The set of a page number, in units of the entry's size, for entries with these tags;
    /// `sets` is a power of two.
    #[inline]
    #[must_use]
    pub const fn set_of(self, page: u64, salt: u64, sets: usize) -> usize {
        let mixed = page ^ salt;
        let index = if matches!(self, Self::Hash) { hashed(mixed) } else { mixed };
        index as usize & (sets - 1)
    }

    /// What is XORed into the page number of entries of an address space.
    #[must_use]
    pub const fn salt(self, asid: Asid, vmid: Vmid) -> u64 {
        match self {
            Self::Page => 0,
            Self::PageXorTags | Self::Hash => (asid.0 ^ vmid.0.rotate_left(5)) as u64,
        }
    }
}

/// A geometry that cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum GeometryError {
    /// No entries, or more than 2^20.
    #[error("a TLB has 1 to 1048576 entries, not {0}")]
    Entries(u32),
    /// The ways do not divide the entries into a power of two of sets.
    #[error("{entries} entries in {ways} ways do not make a power of two of sets")]
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
    /// The policy cannot have so many ways.
    #[error(transparent)]
    Policy(#[from] NoTree),
}

impl TlbGeometry {
    /// Sets and ways.
    ///
    /// # Errors
    /// No entries, too many, or no power of two of sets.
    pub fn shape(&self) -> Result<Shape, GeometryError> {
        let entries = self.entries;
        if entries == 0 || entries > 1 << 20 {
            return Err(GeometryError::Entries(entries));
        }
        let ways = if self.ways == 0 { entries } else { self.ways };
        let sets = entries / ways;
        if !entries.is_multiple_of(ways) || !sets.is_power_of_two() {
            return Err(GeometryError::Sets { entries, ways });
        }
        Ok(Shape { sets: sets as usize, ways: ways as usize })
    }

    /// Sets and ways as the policy sees them, to which each partition of a set is a set.
    ///
    /// # Errors
    /// Those of [`Self::shape`], and partitions that do not divide the ways.
    pub fn partition_shape(&self) -> Result<Shape, GeometryError> {
        let (Shape { sets, ways }, partitions) = (self.shape()?, self.partitions);
        let parts = partitions as usize;
        if parts == 0 || !ways.is_multiple_of(parts) {
            return Err(GeometryError::Partitions { ways, partitions });
        }
        Ok(Shape { sets: sets * parts, ways: ways / parts })
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
    fn sets_are_a_power_of_two() {
        let check = |entries, ways| TlbGeometry { entries, ways, ..TlbGeometry::default() }.shape();
        assert_eq!(check(2048, 4), Ok(Shape { sets: 512, ways: 4 }));
        assert_eq!(check(48, 0), Ok(Shape { sets: 1, ways: 48 }));
        assert_eq!(check(48, 12), Ok(Shape { sets: 4, ways: 12 }));
        assert_eq!(check(0, 0), Err(GeometryError::Entries(0)));
        assert_eq!(check(48, 4), Err(GeometryError::Sets { entries: 48, ways: 4 }));
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
