//! Interrupts and global errors. Sections "SMMU_IRQ_CTRL", "SMMU_GERROR" and following.

use super::macros::register;
use modular_bitfield::prelude::*;

register! {
    /// `SMMU_IRQ_CTRL`: interrupt enables.
    IrqCtrl "IRQ_CTRL" Page0 0x50 ReadWrite None, u32 32 {
        /// GERROR interrupts.
        GERROR_IRQEN gerror_irqen: bool;
        /// PRI queue interrupts.
        PRIQ_IRQEN priq_irqen: bool;
        /// Event queue interrupts.
        EVENTQ_IRQEN eventq_irqen: bool [B29];
    }
}
register! {
    /// `SMMU_IRQ_CTRLACK`: acknowledge of IRQ_CTRL.
    IrqCtrlAck "IRQ_CTRLACK" Page0 0x54 ReadOnly None, u32 32 {
        /// Acknowledge.
        GERROR_IRQEN gerror_irqen: bool;
        /// Acknowledge.
        PRIQ_IRQEN priq_irqen: bool;
        /// Acknowledge.
        EVENTQ_IRQEN eventq_irqen: bool [B29];
    }
}
register! {
    /// `SMMU_GERROR`: global errors. An error is active while its bit differs from GERRORN.
    Gerror "GERROR" Page0 0x60 ReadOnly None, u32 32 {
        /// Command error; the code is in CMDQ_CONS.ERR.
        CMDQ_ERR cmdq_err: bool [B1];
        /// A write to the Event queue aborted.
        EVENTQ_ABT_ERR eventq_abt_err: bool;
        /// A write to the PRI queue aborted.
        PRIQ_ABT_ERR priq_abt_err: bool;
        /// The MSI of a CMD_SYNC aborted.
        MSI_CMDQ_ABT_ERR msi_cmdq_abt_err: bool;
        /// An Event queue MSI aborted.
        MSI_EVENTQ_ABT_ERR msi_eventq_abt_err: bool;
        /// A PRI queue MSI aborted.
        MSI_PRIQ_ABT_ERR msi_priq_abt_err: bool;
        /// A GERROR MSI aborted.
        MSI_GERROR_ABT_ERR msi_gerror_abt_err: bool;
        /// Service failure mode.
        SFM_ERR sfm_err: bool;
        /// An enhanced Command queue has an error.
        CMDQP_ERR cmdqp_err: bool;
        /// DPT look-up error.
        DPT_ERR dpt_err: bool [B21];
    }
}
register! {
    /// `SMMU_GERRORN`: acknowledge of GERROR.
    Gerrorn "GERRORN" Page0 0x64 ReadWrite None, u32 32 {
        /// Acknowledge.
        CMDQ_ERR cmdq_err: bool [B1];
        /// Acknowledge.
        EVENTQ_ABT_ERR eventq_abt_err: bool;
        /// Acknowledge.
        PRIQ_ABT_ERR priq_abt_err: bool;
        /// Acknowledge.
        MSI_CMDQ_ABT_ERR msi_cmdq_abt_err: bool;
        /// Acknowledge.
        MSI_EVENTQ_ABT_ERR msi_eventq_abt_err: bool;
        /// Acknowledge.
        MSI_PRIQ_ABT_ERR msi_priq_abt_err: bool;
        /// Acknowledge.
        MSI_GERROR_ABT_ERR msi_gerror_abt_err: bool;
        /// Acknowledge.
        SFM_ERR sfm_err: bool;
        /// Acknowledge.
        CMDQP_ERR cmdqp_err: bool;
        /// Acknowledge.
        DPT_ERR dpt_err: bool [B21];
    }
}
register! {
    /// `SMMU_GERROR_IRQ_CFG0`: target of the GERROR MSI.
    GerrorIrqCfg0 "GERROR_IRQ_CFG0" Page0 0x68 ReadWrite GerrorIrqen, u64 64 {
        [B2];
        /// Target address bits 55:2; 0 sends no MSI.
        ADDR addr: B54 [B8];
    }
}
register! {
    /// `SMMU_GERROR_IRQ_CFG1`: payload of the GERROR MSI.
    GerrorIrqCfg1 "GERROR_IRQ_CFG1" Page0 0x70 ReadWrite GerrorIrqen, u32 32 {
        /// Payload.
        DATA data: B32;
    }
}
register! {
    /// `SMMU_GERROR_IRQ_CFG2`: attributes of the GERROR MSI.
    GerrorIrqCfg2 "GERROR_IRQ_CFG2" Page0 0x74 ReadWrite GerrorIrqen, u32 32 {
        /// Memory type, as STE.MemAttr.
        MemAttr mem_attr: B4;
        /// Shareability.
        SH sh: B2 [B26];
    }
}
register! {
    /// `SMMU_EVENTQ_IRQ_CFG0`: target of the Event queue MSI.
    EventqIrqCfg0 "EVENTQ_IRQ_CFG0" Page0 0xB0 ReadWrite EventqIrqen, u64 64 {
        [B2];
        /// Target address bits 55:2; 0 sends no MSI.
        ADDR addr: B54 [B8];
    }
}
register! {
    /// `SMMU_EVENTQ_IRQ_CFG1`: payload of the Event queue MSI.
    EventqIrqCfg1 "EVENTQ_IRQ_CFG1" Page0 0xB8 ReadWrite EventqIrqen, u32 32 {
        /// Payload.
        DATA data: B32;
    }
}
register! {
    /// `SMMU_EVENTQ_IRQ_CFG2`: attributes of the Event queue MSI.
    EventqIrqCfg2 "EVENTQ_IRQ_CFG2" Page0 0xBC ReadWrite EventqIrqen, u32 32 {
        /// Memory type, as STE.MemAttr.
        MemAttr mem_attr: B4;
        /// Shareability.
        SH sh: B2 [B26];
    }
}
register! {
    /// `SMMU_PRIQ_IRQ_CFG0`: target of the PRI queue MSI.
    PriqIrqCfg0 "PRIQ_IRQ_CFG0" Page0 0xD0 ReadWrite PriqIrqen, u64 64 {
        [B2];
        /// Target address bits 55:2; 0 sends no MSI.
        ADDR addr: B54 [B8];
    }
}
register! {
    /// `SMMU_PRIQ_IRQ_CFG1`: payload of the PRI queue MSI.
    PriqIrqCfg1 "PRIQ_IRQ_CFG1" Page0 0xD8 ReadWrite PriqIrqen, u32 32 {
        /// Payload.
        DATA data: B32;
    }
}
register! {
    /// `SMMU_PRIQ_IRQ_CFG2`: attributes of the PRI queue MSI, and when it is sent.
    PriqIrqCfg2 "PRIQ_IRQ_CFG2" Page0 0xDC ReadWrite PriqIrqen, u32 32 {
        /// Memory type, as STE.MemAttr.
        MemAttr mem_attr: B4;
        /// Shareability.
        SH sh: B2 [B25];
        /// Interrupt on a record with Last = 1 instead of on empty to non-empty.
        LO lo: bool;
    }
}

macro_rules! msi_address {
    ($($name:ident)*) => {$(
        impl $name {
            /// The target as a byte address; 0 sends no MSI.
            #[must_use]
            pub fn address(self) -> u64 {
                self.addr() << 2
            }
        }
    )*};
}
msi_address! { GerrorIrqCfg0 EventqIrqCfg0 PriqIrqCfg0 }
