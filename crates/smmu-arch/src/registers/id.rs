//! Identification registers. Section "SMMU_IDR0" and following.

use super::macros::register;
use modular_bitfield::prelude::*;

register! {
    /// `SMMU_IDR0`: the main features.
    Idr0 "IDR0" Page0 0x0 ReadOnly None, u32 32 {
        /// Stage 2 implemented.
        S2P s2p: bool;
        /// Stage 1 implemented.
        S1P s1p: bool;
        /// Table formats: bit 0 VMSAv8-32 LPAE, bit 1 VMSAv8-64.
        TTF ttf: B2;
        /// Accesses of the SMMU are I/O-coherent.
        COHACC cohacc: bool;
        /// Broadcast TLB maintenance is received.
        BTM btm: bool;
        /// Hardware table update: 0 none, 1 Access flag, 2 and dirty state, 3 and table descriptors.
        HTTU httu: B2;
        /// STATUSR.DORMANT has a meaning.
        DORMHINT dormhint: bool;
        /// EL2 StreamWorlds.
        HYP hyp: bool;
        /// PCIe ATS.
        ATS ats: bool;
        /// Split-stage ATS is *not* supported.
        NS1ATS ns1ats: bool;
        /// 16-bit ASIDs.
        ASID16 asid16: bool;
        /// Message-signalled interrupts.
        MSI msi: bool;
        /// WFE wake-up events.
        SEV sev: bool;
        /// Address translation operations.
        ATOS atos: bool;
        /// Page Request Interface.
        PRI pri: bool;
        /// VMID wildcard matching.
        VMW vmw: bool;
        /// 16-bit VMIDs.
        VMID16 vmid16: bool;
        /// 2-level CD tables.
        CD2L cd2l: bool;
        /// VATOS page present.
        VATOS vatos: bool;
        /// Table endianness: 0 mixed, 2 little, 3 big.
        TTENDIAN ttendian: B2;
        /// CR2.REC_CFG_ATS implemented.
        ATSRECERR atsrecerr: bool;
        /// 0 stall and terminate, 1 terminate only, 2 stall forced.
        STALL_MODEL stall_model: B2;
        /// Terminated transactions: 0 abort or RAZ/WI, 1 abort only.
        TERM_MODEL term_model: bool;
        /// Stream table formats: 0 linear, 1 linear and 2-level.
        ST_LEVEL st_level: B2 [B1];
        /// Realm Management Extension.
        RME_IMPL rme_impl: bool [B1];
    }
}
register! {
    /// `SMMU_IDR1`: sizes.
    Idr1 "IDR1" Page0 0x4 ReadOnly None, u32 32 {
        /// StreamID bits, 0 to 32.
        SIDSIZE sidsize: B6;
        /// SubstreamID bits, 0 to 20.
        SSIDSIZE ssidsize: B5;
        /// Maximum log2 entries of the PRI queue.
        PRIQS priqs: B5;
        /// Maximum log2 entries of the Event queue.
        EVENTQS eventqs: B5;
        /// Maximum log2 entries of the Command queue.
        CMDQS cmdqs: B5;
        /// Incoming permission attributes can be overridden.
        ATTR_PERMS_OVR attr_perms_ovr: bool;
        /// Incoming memory types can be overridden.
        ATTR_TYPES_OVR attr_types_ovr: bool;
        /// Preset bases are relative to the SMMU's own base.
        REL rel: bool;
        /// Queue bases are fixed.
        QUEUES_PRESET queues_preset: bool;
        /// The stream table base is fixed.
        TABLES_PRESET tables_preset: bool;
        /// Enhanced Command queues.
        ECMDQ ecmdq: bool;
    }
}
register! {
    /// `SMMU_IDR2`: place of the VATOS page.
    Idr2 "IDR2" Page0 0x8 ReadOnly None, u32 32 {
        /// VATOS page number after the two standard pages.
        BA_VATOS ba_vatos: B10 [B22];
    }
}
register! {
    /// `SMMU_IDR3`: features added by minor revisions.
    Idr3 "IDR3" Page0 0xC ReadOnly None, u32 32 {
        [B2];
        /// Hierarchical attribute disable.
        HAD had: bool;
        /// Page-based hardware attributes.
        PBHA pbha: bool;
        /// Execute control for EL0 and EL1 at stage 2.
        XNX xnx: bool;
        /// PASID always used on PRI auto-responses.
        PPS pps: bool [B1];
        /// MPAM.
        MPAM mpam: bool;
        /// Stage 2 forced write-back.
        FWB fwb: bool;
        /// Small translation tables.
        STT stt: bool;
        /// Range invalidation and level hint.
        RIL ril: bool;
        /// Break-before-make level, 0 to 2.
        BBML bbml: B2;
        /// E0PD bits in the CD.
        E0PD e0pd: bool;
        /// Walks to Device memory count as Normal Non-cacheable with S2PTW = 0.
        PTWNNC ptwnnc: bool;
        /// Device permission table.
        DPT dpt: bool;
        /// PASID on Translated transactions.
        PASIDTT pasidtt: bool;
        /// Enhanced PAN.
        EPAN epan: bool;
        /// Stage 1 permission indirection.
        S1PI s1pi: bool;
        /// Stage 2 permission indirection.
        S2PI s2pi: bool;
        /// Stage 2 permission overlay.
        S2PO s2po: bool;
        /// Translation hardening.
        THE the: bool;
        /// NoTagAccess attribute at stage 2.
        MTEPERM mteperm: bool;
        /// Attribute index extension.
        AIE aie: bool [B8];
    }
}
register! {
    /// `SMMU_IDR4`: IMPLEMENTATION DEFINED.
    Idr4 "IDR4" Page0 0x10 ReadOnly None, u32 32 {
        /// IMPLEMENTATION DEFINED.
        IMPDEF impdef: B32;
    }
}
register! {
    /// `SMMU_IDR5`: address sizes and granules.
    Idr5 "IDR5" Page0 0x14 ReadOnly None, u32 32 {
        /// Output address size code.
        OAS oas: B3 [B1];
        /// 4K granule.
        GRAN4K gran4k: bool;
        /// 16K granule.
        GRAN16K gran16k: bool;
        /// 64K granule.
        GRAN64K gran64k: bool;
        /// 52-bit addresses with 4K and 16K granules.
        DS ds: bool;
        /// 128-bit descriptors.
        D128 d128: bool [B1];
        /// Virtual address extension: 0 48 bits, 1 52 bits, 2 56 bits.
        VAX vax: B2 [B4];
        /// Maximum outstanding stalled transactions.
        STALL_MAX stall_max: B16;
    }
}
register! {
    /// `SMMU_IIDR`: who made the implementation.
    Iidr "IIDR" Page0 0x18 ReadOnly None, u32 32 {
        /// JEP106 code.
        Implementer implementer: B12;
        /// Minor revision.
        Revision revision: B4;
        /// Major revision.
        Variant variant: B4;
        /// Part.
        ProductID product_id: B12;
    }
}
register! {
    /// `SMMU_AIDR`: revision of the architecture.
    Aidr "AIDR" Page0 0x1C ReadOnly None, u32 32 {
        /// 0 to 4: SMMUv3.0 to v3.4.
        ArchMinorRev arch_minor_rev: B4;
        /// 0: SMMUv3.
        ArchMajorRev arch_major_rev: B4 [B24];
    }
}
register! {
    /// `SMMU_IDR6`: enhanced Command queues.
    Idr6 "IDR6" Page0 0x190 ReadOnly None, u32 32 {
        [B16];
        /// log2 of the queues of a control page.
        CMDQ_CONTROL_PAGE_LOG2NUMQ log2numq: B4 [B4];
        /// log2 of the control pages.
        CMDQ_CONTROL_PAGE_LOG2NUMP log2nump: B4 [B4];
    }
}
register! {
    /// `SMMU_PIDR4`: designer, continuation.
    Pidr4 "PIDR4" Page0 0xFD0 ReadOnly None, u32 32 {
        /// JEP106 continuation code.
        DES_2 des_2: B4 [B28];
    }
}
register! {
    /// `SMMU_PIDR0`: part number, low.
    Pidr0 "PIDR0" Page0 0xFE0 ReadOnly None, u32 32 {
        /// Part number bits 7:0.
        PART_0 part_0: B8 [B24];
    }
}
register! {
    /// `SMMU_PIDR1`: part number, high; designer, low.
    Pidr1 "PIDR1" Page0 0xFE4 ReadOnly None, u32 32 {
        /// Part number bits 11:8.
        PART_1 part_1: B4;
        /// JEP106 code bits 3:0.
        DES_0 des_0: B4 [B24];
    }
}
register! {
    /// `SMMU_PIDR2`: designer, high; revision.
    Pidr2 "PIDR2" Page0 0xFE8 ReadOnly None, u32 32 {
        /// JEP106 code bits 6:4.
        DES_1 des_1: B3;
        /// The designer has a JEP106 code.
        JEDEC jedec: bool;
        /// Revision of the part.
        REVISION revision: B4 [B24];
    }
}
register! {
    /// `SMMU_PIDR3`: modifications.
    Pidr3 "PIDR3" Page0 0xFEC ReadOnly None, u32 32 {
        /// Customer modified.
        CMOD cmod: B4;
        /// Manufacturer revision.
        REVAND revand: B4 [B24];
    }
}
register! {
    /// `SMMU_CIDR0`: preamble.
    Cidr0 "CIDR0" Page0 0xFF0 ReadOnly None, u32 32 {
        /// Reads 0x0D.
        PRMBL_0 prmbl_0: B8 [B24];
    }
}
register! {
    /// `SMMU_CIDR1`: preamble and component class.
    Cidr1 "CIDR1" Page0 0xFF4 ReadOnly None, u32 32 {
        /// Reads 0xF0.
        PRMBL_1 prmbl_1: B8 [B24];
    }
}
register! {
    /// `SMMU_CIDR2`: preamble.
    Cidr2 "CIDR2" Page0 0xFF8 ReadOnly None, u32 32 {
        /// Reads 0x05.
        PRMBL_2 prmbl_2: B8 [B24];
    }
}
register! {
    /// `SMMU_CIDR3`: preamble.
    Cidr3 "CIDR3" Page0 0xFFC ReadOnly None, u32 32 {
        /// Reads 0xB1.
        PRMBL_3 prmbl_3: B8 [B24];
    }
}
