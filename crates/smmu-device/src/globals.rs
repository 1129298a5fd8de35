//! The registers that a transaction depends on, decoded once.

use crate::hierarchy::Hierarchy;
use crate::registers::RegisterFile;
use smmu_arch::registers::{Cr2, Gbpa};
use smmu_arch::{
    Access, Attributes, Features, InstructionOverride, PrivilegeOverride, Shareability,
};
use smmu_tables::StreamTable;

/// A transaction takes a copy when it begins and reads no register afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Globals {
    pub(crate) features: Features,
    /// CR0.SMMUEN.
    pub(crate) enabled: bool,
    /// GBPA.ABORT.
    pub(crate) bypass_aborts: bool,
    /// Attributes of what passes while SMMUEN is 0: GBPA.MTCFG, MemAttr and SHCFG.
    pub(crate) bypass_attributes: Attributes,
    pub(crate) stream_table: StreamTable,
    /// CR2.E2H.
    pub(crate) e2h: bool,
    /// CR2.RECINVSID.
    pub(crate) record_bad_stream_id: bool,
    /// CR2.REC_CFG_ATS: errors of the configuration that ATS traffic meets are recorded.
    pub(crate) record_ats: bool,
    /// CR0.ATSCHK: Translated transactions are checked.
    pub(crate) check_ats: bool,
    /// IDR0.BTM, and CR2.PTM does not keep translations private: broadcast TLBIs count.
    pub(crate) hears_broadcasts: bool,
    /// Structures around the main TLB.
    pub(crate) hierarchy: Hierarchy,
    /// Low VMID bits that CR0.VMW takes out of the comparison of invalidations.
    pub(crate) vmid_ignore: u16,
}

impl Globals {
    pub(crate) fn of(registers: &RegisterFile, hierarchy: Hierarchy) -> Self {
        let (gbpa, cr2): (Gbpa, Cr2) = (registers.get(), registers.get());
        let features = *registers.features();
        Self {
            features,
            enabled: registers.cr0().smmuen(),
            bypass_aborts: gbpa.abort(),
            bypass_attributes: bypass_attributes(gbpa, &features),
            stream_table: StreamTable::new(registers.get(), registers.get(), &features),
            e2h: cr2.e2h(),
            record_bad_stream_id: cr2.recinvsid(),
            record_ats: cr2.rec_cfg_ats(),
            check_ats: registers.cr0().atschk(),
            hears_broadcasts: features.btm && !cr2.ptm(),
            hierarchy,
            vmid_ignore: wildcard_bits(registers.cr0().vmw()),
        }
    }

    /// Whether `address` fits the implemented output size.
    pub(crate) const fn is_physical(&self, address: u64) -> bool {
        address >> self.features.oas_bits == 0
    }
}

/// The overrides of GBPA, where IDR1.ATTR_TYPES_OVR lets them count. PRIVCFG and INSTCFG change
/// nothing that a bypass has.
fn bypass_attributes(gbpa: Gbpa, features: &Features) -> Attributes {
    if !features.attr_types_ovr {
        return Attributes::DEFAULT;
    }
    let memory = gbpa.mtcfg().then(|| gbpa.mem_attr());
    overridden_attributes(memory, gbpa.sh_override())
}

/// Incoming attributes, which this model takes as the architecture's default, with the overrides
/// of an STE or GBPA: a MemAttr and a shareability.
pub(crate) fn overridden_attributes(
    mem_attr: Option<u8>,
    shareability: Option<Shareability>,
) -> Attributes {
    let incoming = Attributes::DEFAULT;
    let memory = mem_attr.map_or(incoming.memory, |bits| Attributes::from_stage2(bits, 0).memory);
    Attributes::new(memory, shareability.unwrap_or(incoming.shareability))
}

/// CR0.VMW: 0 exact match, 1 to 4 the number of low bits that do not count; others as 0.
const fn wildcard_bits(vmw: u8) -> u16 {
    match vmw {
        1..=4 => (1 << vmw) - 1,
        _ => 0,
    }
}

/// The attributes that permissions are checked with: PRIVCFG and INSTCFG where
/// IDR1.ATTR_PERMS_OVR lets them count. INSTCFG concerns reads only.
#[inline(always)]
pub(crate) fn overridden(
    access: Access,
    privilege: Option<bool>,
    instruction: Option<bool>,
) -> Access {
    Access {
        privileged: privilege.unwrap_or(access.privileged),
        instruction: instruction.unwrap_or(access.instruction) && !access.is_write(),
        ..access
    }
}

pub(crate) const fn privilege_override(field: PrivilegeOverride) -> Option<bool> {
    match field {
        PrivilegeOverride::Incoming => None,
        PrivilegeOverride::Unprivileged => Some(false),
        PrivilegeOverride::Privileged => Some(true),
    }
}

pub(crate) const fn instruction_override(field: InstructionOverride) -> Option<bool> {
    match field {
        InstructionOverride::Incoming => None,
        InstructionOverride::Data => Some(false),
        InstructionOverride::Instruction => Some(true),
    }
}
