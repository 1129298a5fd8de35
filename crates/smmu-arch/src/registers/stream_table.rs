//! The base of the stream table. Section "SMMU_STRTAB_BASE".

use super::macros::register;
use modular_bitfield::prelude::*;

register! {
    /// `SMMU_STRTAB_BASE`: where the stream table lies.
    StrtabBase "STRTAB_BASE" Page0 0x80 ReadWrite Smmuen, u64 64 {
        [B6];
        /// Base address bits 55:6. Low bits below the size of the table are ignored.
        ADDR addr: B50 [B6];
        /// Read-allocate hint.
        RA ra: bool [B1];
    }
}

impl StrtabBase {
    /// The base as a byte address, before alignment to the table's size.
    #[must_use]
    pub fn address(self) -> u64 {
        self.addr() << 6
    }

    /// With the base at a byte address; bits that the field does not have are dropped.
    #[must_use]
    pub fn with_address(self, address: u64) -> Self {
        self.with_addr(address >> 6 & ((1 << 50) - 1))
    }
}

register! {
    /// `SMMU_STRTAB_BASE_CFG`: size, split and format of the stream table.
    StrtabBaseCfg "STRTAB_BASE_CFG" Page0 0x88 ReadWrite Smmuen, u32 32 {
        /// log2 of the StreamIDs covered; capped by IDR1.SIDSIZE for look-up.
        LOG2SIZE log2size: B6;
        /// StreamID bits that level 2 resolves: 6, 8 or 10; see [`Self::effective_split`].
        SPLIT split: B5 [B5];
        /// 0 linear, 1 2-level; others as 0.
        FMT fmt: B2 [B14];
    }
}

impl StrtabBaseCfg {
    /// SPLIT with reserved values counted as 6.
    #[must_use]
    pub fn effective_split(self) -> u8 {
        match self.split() {
            split @ (6 | 8 | 10) => split,
            _ => 6,
        }
    }

    /// Whether the table has two levels; reserved formats are linear.
    #[must_use]
    pub fn is_two_level(self) -> bool {
        self.fmt() == 1
    }
}
