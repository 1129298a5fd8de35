//! Address translation operations. Section "Address translation operations".

use super::macros::register;
use crate::layout::layout;
use modular_bitfield::prelude::*;

register! {
    /// `SMMU_GATOS_CTRL`: starts an operation.
    GatosCtrl "GATOS_CTRL" Page0 0x100 ReadWrite None, u32 32 {
        /// Start; reads 1 while busy.
        RUN run: bool [B31];
    }
}
register! {
    /// `SMMU_GATOS_SID`: which context is looked up.
    GatosSid "GATOS_SID" Page0 0x108 ReadWrite GatosRun, u64 64 {
        /// StreamID.
        STREAMID streamid: B32;
        /// SubstreamID.
        SUBSTREAMID substreamid: B20;
        /// The SubstreamID is valid.
        SSID_VALID ssid_valid: bool [B11];
    }
}
register! {
    /// `SMMU_GATOS_ADDR`: which address is looked up.
    GatosAddr "GATOS_ADDR" Page0 0x110 ReadWrite GatosRun, u64 64 {
        [B6];
        /// No hardware table update is made.
        HTTUI httui: bool;
        /// Instruction.
        InD ind: bool;
        /// Read.
        RnW rnw: bool;
        /// Privileged.
        PnU pnu: bool;
        /// 1 stage 1, 2 stage 2, 3 both.
        TYPE lookup: B2;
        /// Input address bits 63:12.
        ADDR addr: B52;
    }
}
register! {
    /// `SMMU_GATOS_PAR`: the result of an operation that succeeded. [`GatosParFault`] is the layout
    /// while FAULT = 1.
    GatosPar "GATOS_PAR" Page0 0x118 ReadOnly None, u64 64 {
        /// The operation failed.
        FAULT fault: bool [B7];
        /// Shareability.
        SH sh: B2 [B1];
        /// The page is larger than the minimum; the lowest set address bit codes the size.
        Size size: bool;
        /// Output address bits 55:12.
        ADDR addr: B44;
        /// Memory type, MAIR encoding.
        ATTR attr: B8;
    }
}
layout! {
    /// `SMMU_GATOS_PAR` while FAULT = 1.
    #[repr(u64)]
    pub GatosParFault(64) {
        /// Reads 1.
        FAULT fault: bool;
        /// Class of a stage 2 fault: 1 CD fetch, 2 stage 1 walk, 3 input.
        REASON reason: B2 [B1];
        /// Event number or ATOS code.
        FAULTCODE faultcode: B8;
        /// IPA bits 55:12 of a stage 2 fault.
        FADDR faddr: B44 [B4];
        /// IMPLEMENTATION DEFINED.
        IMPDEF impdef: B4;
    }
}
register! {
    /// `SMMU_VATOS_SEL`: which VMID the VATOS page serves.
    VatosSel "VATOS_SEL" Page0 0x180 ReadWrite None, u32 32 {
        /// Only STEs with this S2VMID can be used through VATOS.
        VMID vmid: B16 [B16];
    }
}
register! {
    /// `SMMU_VATOS_CTRL`: starts an operation.
    VatosCtrl "VATOS_CTRL" Vatos 0xA00 ReadWrite None, u32 32 {
        /// Start; reads 1 while busy.
        RUN run: bool [B31];
    }
}
register! {
    /// `SMMU_VATOS_SID`: which context is looked up.
    VatosSid "VATOS_SID" Vatos 0xA08 ReadWrite VatosRun, u64 64 {
        /// StreamID.
        STREAMID streamid: B32;
        /// SubstreamID.
        SUBSTREAMID substreamid: B20;
        /// The SubstreamID is valid.
        SSID_VALID ssid_valid: bool [B11];
    }
}
register! {
    /// `SMMU_VATOS_ADDR`: which address is looked up.
    VatosAddr "VATOS_ADDR" Vatos 0xA10 ReadWrite VatosRun, u64 64 {
        [B6];
        /// No hardware table update is made.
        HTTUI httui: bool;
        /// Instruction.
        InD ind: bool;
        /// Read.
        RnW rnw: bool;
        /// Privileged.
        PnU pnu: bool;
        /// 1 stage 1, 2 stage 2, 3 both.
        TYPE lookup: B2;
        /// Input address bits 63:12.
        ADDR addr: B52;
    }
}
register! {
    /// `SMMU_VATOS_PAR`: the result of an operation that succeeded. [`GatosParFault`] is the layout
    /// while FAULT = 1.
    VatosPar "VATOS_PAR" Vatos 0xA18 ReadOnly None, u64 64 {
        /// The operation failed.
        FAULT fault: bool [B7];
        /// Shareability.
        SH sh: B2 [B1];
        /// The page is larger than the minimum; the lowest set address bit codes the size.
        Size size: bool;
        /// Output address bits 55:12.
        ADDR addr: B44;
        /// Memory type, MAIR encoding.
        ATTR attr: B8;
    }
}
