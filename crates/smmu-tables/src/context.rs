//! Where a CD lies.
//!
//! Architecture: IHI 0070, sections "Context Descriptor table" and "Level 1 Context Descriptor".
//! Whether a transaction may use the SubstreamID at all is the STE's say, and is checked before.

use smmu_arch::{CdFormat, Fault, Features, L1Cd, Ste, SubstreamId};

/// The CD table of a stream.
///
/// Addresses are PAs, or IPAs where stage 2 is enabled: then each goes through stage 2 before it
/// is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContextTable {
    /// STE.S1ContextPtr.
    pub base: u64,
    /// log2 of the CDs: STE.S1CDMax, or 0 where IDR1.SSIDSIZE is 0.
    pub log2size: u8,
    /// STE.S1Fmt.
    pub format: CdFormat,
    /// Address bits that a leaf table may have: the OAS, or 64 where stage 2 finds its own fault.
    pub address_bits: u8,
}

/// What is to be read next for a CD.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CdLocation {
    /// The CD itself, 64 bytes.
    Cd(u64),
    /// The level 1 descriptor that leads to it, 8 bytes.
    L1Cd(u64),
}

/// log2 of the bytes of a CD, and the least alignment of its table.
const CD_LOG2: u32 = 6;
/// log2 of the bytes of a level 1 descriptor.
const L1CD_LOG2: u32 = 3;

impl ContextTable {
    /// The CD table of a legal STE with stage 1.
    #[must_use]
    pub fn new(ste: &Ste, features: &Features) -> Self {
        Self {
            base: ste.s1_context_ptr,
            log2size: if features.ssid_bits == 0 { 0 } else { ste.s1_cd_max },
            format: ste.s1_fmt,
            address_bits: if ste.config.has_stage2() { 64 } else { features.oas_bits },
        }
    }

    /// What to read first for the CD at `index`: the SubstreamID, or 0 for transactions without
    /// one. It lies below 2^`log2size`.
    #[must_use]
    pub fn locate(&self, index: SubstreamId) -> CdLocation {
        let at = u64::from(index.0);
        match self.leaf_log2() {
            None => {
                let base = align_down(self.base, u32::from(self.log2size) + CD_LOG2);
                CdLocation::Cd(base + (at << CD_LOG2))
            }
            Some(leaf_log2) => {
                let entries_log2 = u32::from(self.log2size).saturating_sub(leaf_log2);
                let base = align_down(self.base, (entries_log2 + L1CD_LOG2).max(CD_LOG2));
                CdLocation::L1Cd(base + (at >> leaf_log2 << L1CD_LOG2))
            }
        }
    }

    /// The address of the CD at `index`, from the level 1 descriptor that
    /// [`ContextTable::locate`] named.
    ///
    /// # Errors
    /// C_BAD_SUBSTREAMID: the descriptor is not valid or its pointer is beyond the address size.
    pub fn from_l1(&self, l1cd: L1Cd, index: SubstreamId) -> Result<u64, Fault> {
        let leaf_log2 = self.leaf_log2().unwrap_or(0);
        let beyond = self.address_bits < 64 && l1cd.l2ptr >> self.address_bits != 0;
        if !l1cd.valid || beyond {
            return Err(Fault::BadSubstreamId);
        }
        let place = u64::from(index.0) & ((1 << leaf_log2) - 1);
        Ok(align_down(l1cd.l2ptr, leaf_log2 + CD_LOG2) + (place << CD_LOG2))
    }

    /// log2 of the CDs in a leaf table. One CD alone is always a linear table.
    const fn leaf_log2(&self) -> Option<u32> {
        match self.format {
            _ if self.log2size == 0 => None,
            CdFormat::Linear => None,
            CdFormat::Leaf4K => Some(6),
            CdFormat::Leaf64K => Some(10),
        }
    }
}

const fn align_down(address: u64, log2: u32) -> u64 {
    address >> log2 << log2
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_testpoint::testpoint;

    fn table(format: CdFormat, log2size: u8) -> ContextTable {
        ContextTable { base: 0x8000_0000, log2size, format, address_bits: 44 }
    }

    #[test]
    fn a_linear_table_is_an_array_of_64_bytes() {
        let linear = table(CdFormat::Linear, 8);
        assert_eq!(linear.locate(SubstreamId(3)), CdLocation::Cd(0x8000_00c0));
    }

    #[test]
    fn leaves_of_4k_hold_64_and_leaves_of_64k_hold_1024() {
        let pointer = L1Cd { valid: true, l2ptr: 0x9001_3000 };
        let (small, large) = (table(CdFormat::Leaf4K, 12), table(CdFormat::Leaf64K, 12));
        assert_eq!(small.locate(SubstreamId(0x7ff)), CdLocation::L1Cd(0x8000_00f8));
        assert_eq!(large.locate(SubstreamId(0x7ff)), CdLocation::L1Cd(0x8000_0008));
        assert_eq!(small.from_l1(pointer, SubstreamId(0x7ff)), Ok(0x9001_3fc0));
        // Bits 15:12 of the pointer are RES0 for a leaf of 64K.
        assert_eq!(large.from_l1(pointer, SubstreamId(0x7ff)), Ok(0x9001_ffc0));
        testpoint!(123, 124, 125);
    }

    #[test]
    fn one_cd_is_linear_whatever_the_format_says() {
        assert_eq!(table(CdFormat::Leaf4K, 0).locate(SubstreamId(0)), CdLocation::Cd(0x8000_0000));
    }

    #[test]
    fn a_small_two_level_table_has_one_level_1_descriptor() {
        let small = table(CdFormat::Leaf4K, 4);
        assert_eq!(small.locate(SubstreamId(15)), CdLocation::L1Cd(0x8000_0000));
    }

    #[test]
    fn an_invalid_or_too_far_level_1_descriptor_is_bad_substreamid() {
        let found = |valid, l2ptr| {
            table(CdFormat::Leaf4K, 12).from_l1(L1Cd { valid, l2ptr }, SubstreamId(0))
        };
        assert_eq!(found(false, 0x9000_0000), Err(Fault::BadSubstreamId));
        assert_eq!(found(true, 1 << 44), Err(Fault::BadSubstreamId));
        assert_eq!(found(true, 0x9000_0000), Ok(0x9000_0000));
    }
}
