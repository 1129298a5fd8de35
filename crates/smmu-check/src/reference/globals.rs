//! How the control registers stand, as plain facts.

use smmu_arch::Pa;

/// What the control registers say, as acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Globals {
    /// CR0.SMMUEN.
    pub smmuen: bool,
    /// GBPA.ABORT.
    pub gbpa_abort: bool,
    /// STRTAB_BASE.ADDR.
    pub strtab_base: Pa,
    /// STRTAB_BASE_CFG.LOG2SIZE.
    pub strtab_log2size: u8,
    /// STRTAB_BASE_CFG.SPLIT: 6, 8 or 10. Used with two levels only.
    pub split: u8,
    /// STRTAB_BASE_CFG.FMT: two levels.
    pub two_level: bool,
    /// CR2.E2H.
    pub e2h: bool,
    /// CR2.RECINVSID: C_BAD_STREAMID is recorded. Changes nothing that is allowed.
    pub recinvsid: bool,
}
