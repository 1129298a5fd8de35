//! Control registers and global bypass. Section "SMMU_CR0" and following.

use super::macros::register;
use crate::ste::shareability_override;
use crate::{FieldInfo, Shareability};
use modular_bitfield::prelude::*;

register! {
    /// `SMMU_CR0`: enables. Each bit is acknowledged in [`Cr0Ack`].
    Cr0 "CR0" Page0 0x20 ReadWrite None, u32 32 {
        /// Translation enable; 0 is global bypass or abort by GBPA.
        SMMUEN smmuen: bool;
        /// PRI queue writes enabled.
        PRIQEN priqen: bool;
        /// Event queue writes enabled.
        EVENTQEN eventqen: bool;
        /// Command queue processing enabled.
        CMDQEN cmdqen: bool;
        /// Translated transactions are checked against the STE.
        ATSCHK atschk: bool [B1];
        /// VMID wildcard: how many low VMID bits an invalidation ignores.
        VMW vmw: B3 [B1];
        /// DPT checks walk memory.
        DPT_WALK_EN dpt_walk_en: bool [B21];
    }
}
register! {
    /// `SMMU_CR0ACK`: acknowledge of CR0.
    Cr0Ack "CR0ACK" Page0 0x24 ReadOnly None, u32 32 {
        /// Acknowledge.
        SMMUEN smmuen: bool;
        /// Acknowledge.
        PRIQEN priqen: bool;
        /// Acknowledge.
        EVENTQEN eventqen: bool;
        /// Acknowledge.
        CMDQEN cmdqen: bool;
        /// Acknowledge.
        ATSCHK atschk: bool [B1];
        /// Acknowledge.
        VMW vmw: B3 [B1];
        /// Acknowledge.
        DPT_WALK_EN dpt_walk_en: bool [B21];
    }
}
register! {
    /// `SMMU_CR1`: attributes of the accesses to queues and the stream table.
    Cr1 "CR1" Page0 0x28 ReadWrite TableAndAnyQueue, u32 32 {
        /// Queue inner cacheability: 0 Non-cacheable, 1 Write-Back, 2 Write-Through.
        QUEUE_IC queue_ic: B2;
        /// Queue outer cacheability.
        QUEUE_OC queue_oc: B2;
        /// Queue shareability.
        QUEUE_SH queue_sh: B2;
        /// Stream table inner cacheability.
        TABLE_IC table_ic: B2;
        /// Stream table outer cacheability.
        TABLE_OC table_oc: B2;
        /// Stream table shareability.
        TABLE_SH table_sh: B2 [B20];
    }
}

impl Cr1 {
    /// The `QUEUE_*` fields: guarded while any queue is enabled.
    pub const QUEUE_MASK: u32 = mask(Self::FIELDS, 0, 3);
    /// The `TABLE_*` fields: guarded while SMMUEN is enabled.
    pub const TABLE_MASK: u32 = mask(Self::FIELDS, 3, 6);
}

const fn mask(fields: &[FieldInfo], first: usize, end: usize) -> u32 {
    let (mut bits, mut index) = (0, first);
    while index < end {
        bits |= fields[index].mask();
        index += 1;
    }
    bits as u32
}

register! {
    /// `SMMU_CR2`: worlds and recording.
    Cr2 "CR2" Page0 0x2C ReadWrite Smmuen, u32 32 {
        /// STRW = 2 selects EL2-E2H instead of EL2.
        E2H e2h: bool;
        /// C_BAD_STREAMID is recorded.
        RECINVSID recinvsid: bool;
        /// Broadcast TLB maintenance is ignored.
        PTM ptm: bool;
        /// Configuration errors met by ATS traffic are recorded.
        REC_CFG_ATS rec_cfg_ats: bool [B28];
    }
}
register! {
    /// `SMMU_STATUSR`: hints.
    Statusr "STATUSR" Page0 0x40 ReadOnly None, u32 32 {
        /// Nothing cached and no walk in flight.
        DORMANT dormant: bool [B31];
    }
}
register! {
    /// `SMMU_GBPA`: what happens to transactions while SMMUEN = 0.
    Gbpa "GBPA" Page0 0x44 ReadWrite Update, u32 32 {
        /// Memory type used when MTCFG = 1.
        MemAttr mem_attr: B4;
        /// Replace the incoming memory type.
        MTCFG mtcfg: bool [B3];
        /// Allocation hints.
        ALLOCCFG alloccfg: B4;
        /// Shareability: 0 Non, 1 incoming, 2 Outer, 3 Inner.
        SHCFG shcfg: B2 [B2];
        /// Privilege: 0 incoming, 2 unprivileged, 3 privileged.
        PRIVCFG privcfg: B2;
        /// Instruction or data: 0 incoming, 2 data, 3 instruction.
        INSTCFG instcfg: B2;
        /// Abort every transaction silently.
        ABORT abort: bool [B10];
        /// Starts an update; reads 1 until it is done.
        Update update: bool;
    }
}
impl Gbpa {
    /// SHCFG; `None` keeps the incoming shareability.
    #[must_use]
    pub fn sh_override(self) -> Option<Shareability> {
        shareability_override(self.shcfg())
    }
}

register! {
    /// `SMMU_AGBPA`: IMPLEMENTATION DEFINED bypass attributes.
    Agbpa "AGBPA" Page0 0x48 ReadWrite None, u32 32 {
        /// IMPLEMENTATION DEFINED.
        IMPDEF impdef: B32;
    }
}
