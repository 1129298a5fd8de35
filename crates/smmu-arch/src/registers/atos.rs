//! Address translation operations. Section "Address translation operations".

use super::macros::register;
use crate::layout::layout;
use modular_bitfield::prelude::*;

/// Declares the registers of one group: GATOS and VATOS differ in their names and places alone.
macro_rules! lookup_registers {
    ($page:ident $running:ident;
        $ctrl:ident $ctrl_name:literal $ctrl_at:literal;
        $sid:ident $sid_name:literal $sid_at:literal;
        $addr:ident $addr_name:literal $addr_at:literal;
        $par:ident $par_name:literal $par_at:literal;
    ) => {
        register! {
            /// `SMMU_GATOS_CTRL` or `SMMU_VATOS_CTRL`: starts an operation.
            $ctrl $ctrl_name $page $ctrl_at ReadWrite None, u32 32 {
                /// Start; reads 1 while busy.
                RUN run: bool [B31];
            }
        }
        register! {
            /// `SMMU_GATOS_SID` or `SMMU_VATOS_SID`: which context is looked up.
            $sid $sid_name $page $sid_at ReadWrite $running, u64 64 {
                /// StreamID.
                STREAMID streamid: B32;
                /// SubstreamID.
                SUBSTREAMID substreamid: B20;
                /// The SubstreamID is valid.
                SSID_VALID ssid_valid: bool [B11];
            }
        }
        register! {
            /// `SMMU_GATOS_ADDR` or `SMMU_VATOS_ADDR`: which address is looked up.
            $addr $addr_name $page $addr_at ReadWrite $running, u64 64 {
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
            /// `SMMU_GATOS_PAR` or `SMMU_VATOS_PAR`: the result of an operation that succeeded.
            /// [`GatosParFault`] is the layout while FAULT = 1.
            $par $par_name $page $par_at ReadOnly None, u64 64 {
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
    };
}

lookup_registers! { Page0 GatosRun;
    GatosCtrl "GATOS_CTRL" 0x100;
    GatosSid "GATOS_SID" 0x108;
    GatosAddr "GATOS_ADDR" 0x110;
    GatosPar "GATOS_PAR" 0x118;
}
lookup_registers! { Vatos VatosRun;
    VatosCtrl "VATOS_CTRL" 0xA00;
    VatosSid "VATOS_SID" 0xA08;
    VatosAddr "VATOS_ADDR" 0xA10;
    VatosPar "VATOS_PAR" 0xA18;
}

layout! {
    /// `SMMU_GATOS_PAR` or `SMMU_VATOS_PAR` while FAULT = 1.
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
