//! Which set an entry belongs to.
//!
//! The sets of a structure are divided into bands, one for each group of entry sizes, and each band
//! into as many parts as there are partitions. The index function then chooses among the sets of a
//! part.

use smmu_arch::{Asid, Vmid};

use super::geometry::{Division, GeometryError, IndexFunction, TlbGeometry, hashed};

/// What the tags of an address space put into the index.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Salt {
    /// XORed into the page number.
    pub(super) mix: u64,
    vmid: u16,
}

/// How a geometry finds sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    index: IndexFunction,
    region_log2: u32,
    parts: usize,
    bands: [Band; 3],
}

/// Sets of their own for entries of 2^`from_log2` bytes and more.
#[derive(Clone, Copy, Default, Debug)]
struct Band {
    from_log2: u32,
    first: usize,
    /// Sets of each part; 0 where there is no such band.
    sets: usize,
}

impl Placement {
    pub(crate) fn new(geometry: &TlbGeometry) -> Result<Self, GeometryError> {
        let parts = match geometry.partition_by {
            Division::Ways => 1,
            Division::Sets => geometry.partitions as usize,
        };
        let mut bands = [Band::default(); 3];
        let mut first = 0;
        for (band, (from_log2, sets)) in bands.iter_mut().zip(geometry.bands()?) {
            if parts == 0 || !sets.is_multiple_of(parts) {
                return Err(GeometryError::SetPartitions { sets, partitions: geometry.partitions });
            }
            *band = Band { from_log2, first, sets: sets / parts };
            first += sets;
        }
        let region_log2 = u32::from(geometry.region_log2);
        Ok(Self { index: geometry.index, region_log2, parts, bands })
    }

    /// What an address space puts in.
    pub(crate) fn salt(&self, asid: Asid, vmid: Vmid) -> Salt {
        Salt { mix: self.index.salt(asid, vmid), vmid: vmid.0 }
    }

    /// The set of an entry of 2^`size` bytes at `input`.
    #[inline]
    pub(crate) fn set_of(&self, salt: &Salt, input: u64, size: u32) -> usize {
        let band = self.band(size);
        let part = usize::from(salt.vmid) % self.parts;
        let page = input >> size.max(self.region_log2);
        band.first + part * band.sets + self.index.set_of(page, salt.mix, band.sets)
    }

    #[inline]
    fn band(&self, size: u32) -> &Band {
        let holds = |band: &&Band| band.sets > 0 && band.from_log2 <= size;
        self.bands.iter().rev().find(holds).unwrap_or(&self.bands[0])
    }

    /// The set is nothing but the low bits of the page number, tags mixed in.
    pub(super) fn is_plain(&self) -> bool {
        self.index != IndexFunction::Hash
            && self.region_log2 <= super::words::SIZE_MIN
            && self.parts == 1
            && self.bands[1].sets == 0
            && self.bands[0].sets.is_power_of_two()
    }
}

impl IndexFunction {
    /// The set of a page number for entries with tags that put in `salt`, among this many sets.
    #[inline]
    #[must_use]
    pub const fn set_of(self, page: u64, salt: u64, sets: usize) -> usize {
        let mixed = page ^ salt;
        let index = if matches!(self, Self::Hash) { hashed(mixed) } else { mixed };
        // A division is many times the cost of a mask.
        if sets.is_power_of_two() {
            index as usize & (sets - 1)
        } else {
            (index % sets as u64) as usize
        }
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

#[cfg(test)]
mod tests {
    use super::super::geometry::Split;
    use super::*;

    fn sets<const N: usize>(geometry: &TlbGeometry, entries: [(u16, u64, u32); N]) -> [usize; N] {
        let placement = Placement::new(geometry).unwrap();
        entries.map(|(vmid, input, size)| {
            placement.set_of(&placement.salt(Asid(0), Vmid(vmid)), input, size)
        })
    }

    #[test]
    fn pages_count_in_units_of_their_size_or_of_the_region() {
        let own = TlbGeometry { entries: 32, ways: 4, ..TlbGeometry::default() };
        assert_eq!(sets(&own, [(0, 0x5000, 12), (0, 0x60_0000, 21), (0, 0xd_0000, 16)]), [5, 3, 5]);
        let region = TlbGeometry { region_log2: 21, ..own };
        assert_eq!(
            sets(
                &region,
                [(0, 0x5000, 12), (0, 0x60_5000, 12), (0, 0x60_0000, 21), (0, 5 << 30, 30)]
            ),
            [0, 3, 3, 5]
        );
    }

    #[test]
    fn any_number_of_sets_is_gone_round() {
        let geometry = TlbGeometry { entries: 348, ways: 4, ..TlbGeometry::default() };
        assert_eq!(sets(&geometry, [(0, 86 << 12, 12), (0, 87 << 12, 12)]), [86, 0]);
    }

    #[test]
    fn larger_entries_may_have_sets_of_their_own() {
        let split =
            [Some(Split { from_log2: 21, entries: 8 }), Some(Split { from_log2: 30, entries: 4 })];
        let geometry = TlbGeometry { entries: 16, ways: 4, split, ..TlbGeometry::default() };
        assert_eq!(
            sets(
                &geometry,
                [(0, 0x3000, 12), (0, 0x4_0000, 16), (0, 3 << 21, 21), (0, 3 << 30, 30)]
            ),
            [3, 0, 5, 6]
        );
    }

    #[test]
    fn a_partition_by_sets_belongs_to_its_vmids() {
        let geometry = TlbGeometry {
            entries: 32,
            ways: 4,
            partitions: 4,
            partition_by: Division::Sets,
            ..TlbGeometry::default()
        };
        assert_eq!(sets(&geometry, [(0, 0x3000, 12), (5, 0x2000, 12), (7, 0x3000, 12)]), [1, 2, 7]);
        let wrong = Placement::new(&TlbGeometry { partitions: 3, ..geometry }).err();
        assert_eq!(wrong, Some(GeometryError::SetPartitions { sets: 8, partitions: 3 }));
    }
}
