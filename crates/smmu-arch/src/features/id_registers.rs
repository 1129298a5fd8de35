//! The words of the ID registers.

use crate::layout::compose;
use crate::registers::{Aidr, Idr0, Idr1, Idr3, Idr5};

/// The ID registers as software reads them: plain words, constant after reset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct IdRegisters {
    /// `SMMU_IDR0`.
    pub idr0: u32,
    /// `SMMU_IDR1`.
    pub idr1: u32,
    /// `SMMU_IDR2`.
    pub idr2: u32,
    /// `SMMU_IDR3`.
    pub idr3: u32,
    /// `SMMU_IDR4`.
    pub idr4: u32,
    /// `SMMU_IDR5`.
    pub idr5: u32,
    /// `SMMU_IDR6`.
    pub idr6: u32,
    /// `SMMU_IIDR`.
    pub iidr: u32,
    /// `SMMU_AIDR`.
    pub aidr: u32,
}

impl IdRegisters {
    /// A consistent SMMUv3.2: both stages, nesting and EL2, little-endian VMSAv8-64 tables in every
    /// granule, 48-bit addresses, terminate only, no ATS, PRI, ATOS, broadcast or table update.
    /// SSIDSIZE is 16: a PASID space as large as the ASID space, which needs 2-level CD tables.
    pub const REFERENCE: Self = Self {
        idr0: compose(Idr0::FIELDS, REFERENCE_IDR0) as u32,
        idr1: compose(Idr1::FIELDS, REFERENCE_IDR1) as u32,
        idr2: 0,
        idr3: compose(Idr3::FIELDS, REFERENCE_IDR3) as u32,
        idr4: 0,
        idr5: compose(Idr5::FIELDS, REFERENCE_IDR5) as u32,
        idr6: 0,
        iidr: 0,
        aidr: compose(Aidr::FIELDS, &[("ArchMinorRev", 2)]) as u32,
    };

    /// QEMU's machine with stage 1 only. The QEMU sets are taken as they are, also where the
    /// architecture would have them otherwise (VMID16 without stage 2).
    pub const QEMU_STAGE1: Self = Self::qemu(0x0d44_101a, 0x1404);

    /// QEMU's machine with stage 2 only.
    pub const QEMU_STAGE2: Self = Self::qemu(0x0d44_1019, 0x1414);

    /// QEMU's machine with both stages.
    pub const QEMU_NESTED: Self = Self::qemu(0x0d44_101b, 0x1414);

    const fn qemu(idr0: u32, idr3: u32) -> Self {
        let (idr1, idr5) = (0x0273_0010, 0x74);
        Self { idr0, idr1, idr2: 0, idr3, idr4: 0, idr5, idr6: 0, iidr: 0, aidr: 1 }
    }

    /// The word of the ID register at `offset` of page 0; `None` where there is none.
    #[must_use]
    pub const fn word_at(&self, offset: u32) -> Option<u32> {
        match offset {
            0x00 => Some(self.idr0),
            0x04 => Some(self.idr1),
            0x08 => Some(self.idr2),
            0x0c => Some(self.idr3),
            0x10 => Some(self.idr4),
            0x14 => Some(self.idr5),
            0x18 => Some(self.iidr),
            0x1c => Some(self.aidr),
            0x190 => Some(self.idr6),
            _ => None,
        }
    }
}

const REFERENCE_IDR0: &[(&str, u64)] = &[
    ("S2P", 1),
    ("S1P", 1),
    ("TTF", 2),
    ("COHACC", 1),
    ("HYP", 1),
    ("ASID16", 1),
    ("MSI", 1),
    ("SEV", 1),
    ("VMID16", 1),
    ("CD2L", 1),
    ("TTENDIAN", 2),
    ("STALL_MODEL", 1),
    ("ST_LEVEL", 1),
];

const REFERENCE_IDR1: &[(&str, u64)] = &[
    ("SIDSIZE", 16),
    ("SSIDSIZE", 16),
    ("EVENTQS", 19),
    ("CMDQS", 19),
    ("ATTR_PERMS_OVR", 1),
    ("ATTR_TYPES_OVR", 1),
];

const REFERENCE_IDR3: &[(&str, u64)] =
    &[("HAD", 1), ("XNX", 1), ("FWB", 1), ("STT", 1), ("RIL", 1), ("BBML", 2)];

const REFERENCE_IDR5: &[(&str, u64)] = &[("OAS", 5), ("GRAN4K", 1), ("GRAN16K", 1), ("GRAN64K", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    /// Composed by hand from the bit numbers of the specification.
    #[test]
    fn the_reference_words_are_pinned() {
        let ids = IdRegisters::REFERENCE;
        assert_eq!(ids.idr0, 0x094c_721b);
        assert_eq!(ids.idr1, 0x0e73_0410);
        assert_eq!(ids.idr3, 0x0000_1714);
        assert_eq!(ids.idr5, 0x0000_0075);
        assert_eq!(ids.aidr, 2);
    }
}
