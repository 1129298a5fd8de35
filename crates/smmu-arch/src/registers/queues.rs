//! Queue bases and indexes. Section "Queues", "SMMU_CMDQ_BASE" and following.
//!
//! An index register holds the index in bits `LOG2SIZE-1:0` and the wrap flag in bit `LOG2SIZE`.

use super::macros::register;
use modular_bitfield::prelude::*;

register! {
    /// `SMMU_CMDQ_BASE`: the Command queue, 16 bytes an entry.
    CmdqBase "CMDQ_BASE" Page0 0x90 ReadWrite Cmdqen, u64 64 {
        /// log2 of the entries, capped by IDR1.CMDQS.
        LOG2SIZE log2size: B5;
        /// Base address bits 55:5.
        ADDR addr: B51 [B6];
        /// Read-allocate hint.
        RA ra: bool [B1];
    }
}
register! {
    /// `SMMU_CMDQ_PROD`: software's index of the Command queue.
    CmdqProd "CMDQ_PROD" Page0 0x98 ReadWrite None, u32 32 {
        /// Index and wrap.
        WR wr: B20 [B12];
    }
}
register! {
    /// `SMMU_CMDQ_CONS`: the SMMU's index of the Command queue, and its error.
    CmdqCons "CMDQ_CONS" Page0 0x9C ReadWrite Cmdqen, u32 32 {
        /// Index and wrap.
        RD rd: B20 [B4];
        /// CERROR code; has a meaning while GERROR.CMDQ_ERR is active.
        ERR err: B7 [B1];
    }
}
register! {
    /// `SMMU_EVENTQ_BASE`: the Event queue, 32 bytes an entry.
    EventqBase "EVENTQ_BASE" Page0 0xA0 ReadWrite Eventqen, u64 64 {
        /// log2 of the entries, capped by IDR1.EVENTQS.
        LOG2SIZE log2size: B5;
        /// Base address bits 55:5.
        ADDR addr: B51 [B6];
        /// Write-allocate hint.
        WA wa: bool [B1];
    }
}
register! {
    /// `SMMU_PRIQ_BASE`: the PRI queue, 16 bytes an entry.
    PriqBase "PRIQ_BASE" Page0 0xC0 ReadWrite Priqen, u64 64 {
        /// log2 of the entries, capped by IDR1.PRIQS.
        LOG2SIZE log2size: B5;
        /// Base address bits 55:5.
        ADDR addr: B51 [B6];
        /// Write-allocate hint.
        WA wa: bool [B1];
    }
}
register! {
    /// `SMMU_EVENTQ_PROD`: the SMMU's index of the Event queue.
    EventqProd "EVENTQ_PROD" Page1 0xA8 ReadWrite Eventqen, u32 32 {
        /// Index and wrap.
        WR wr: B20 [B11];
        /// Toggled on overflow.
        OVFLG ovflg: bool;
    }
}
register! {
    /// `SMMU_EVENTQ_CONS`: software's index of the Event queue.
    EventqCons "EVENTQ_CONS" Page1 0xAC ReadWrite None, u32 32 {
        /// Index and wrap.
        RD rd: B20 [B11];
        /// Acknowledges an overflow.
        OVACKFLG ovackflg: bool;
    }
}
register! {
    /// `SMMU_PRIQ_PROD`: the SMMU's index of the PRI queue.
    PriqProd "PRIQ_PROD" Page1 0xC8 ReadWrite Priqen, u32 32 {
        /// Index and wrap.
        WR wr: B20 [B11];
        /// Toggled on overflow.
        OVFLG ovflg: bool;
    }
}
register! {
    /// `SMMU_PRIQ_CONS`: software's index of the PRI queue.
    PriqCons "PRIQ_CONS" Page1 0xCC ReadWrite None, u32 32 {
        /// Index and wrap.
        RD rd: B20 [B11];
        /// Acknowledges an overflow; no record is written while it differs from OVFLG.
        OVACKFLG ovackflg: bool;
    }
}

macro_rules! base_address {
    ($($name:ident)*) => {$(
        impl $name {
            /// The base as a byte address. The SMMU ignores address bits below
            /// max(32 bytes, size of the queue).
            #[must_use]
            pub fn address(self) -> u64 {
                self.addr() << 5
            }

            /// With the base at a byte address; bits that the field does not have are dropped.
            #[must_use]
            pub fn with_address(self, address: u64) -> Self {
                self.with_addr(address >> 5 & ((1 << 51) - 1))
            }
        }
    )*};
}
base_address! { CmdqBase EventqBase PriqBase }
