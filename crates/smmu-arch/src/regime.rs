//! A translation regime: all that the tables' walk needs to know, decoded once from STE and CD.

use crate::{AddressSpace, Attributes, DescriptorFormat, Granule};

/// How the transactions of one (StreamID, SubstreamID) are translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Regime {
    /// Tags of every entry made under it.
    pub space: AddressSpace,
    /// Stage 1, where it translates.
    pub stage1: Option<Stage1Regime>,
    /// Stage 2, where it translates.
    pub stage2: Option<Stage2Regime>,
    /// Attributes of the stage 1 result where stage 1 is bypassed.
    pub input_attributes: Attributes,
    /// What happens to faults.
    pub policy: FaultPolicy,
    /// STE.PRIVCFG: forces privileged or unprivileged.
    pub privilege_override: Option<bool>,
    /// STE.INSTCFG: forces reads to be instruction fetches or data.
    pub instruction_override: Option<bool>,
}

impl Regime {
    /// Whether a walk may have to update descriptors: CD.HA or STE.S2HA.
    #[inline(always)]
    #[must_use]
    pub const fn updates_by_hardware(&self) -> bool {
        let first = matches!(&self.stage1, Some(Stage1Regime { hardware_access: true, .. }));
        let second = matches!(&self.stage2, Some(Stage2Regime { hardware_access: true, .. }));
        first || second
    }
}

/// What the four recoverable faults lead to (section "Fault configuration (A, R, S bits)").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultPolicy {
    /// CD.A: terminated stage 1 faults abort; otherwise reads give zero, writes are dropped.
    pub stage1_abort: bool,
    /// CD.R: terminated stage 1 faults are recorded.
    pub stage1_record: bool,
    /// CD.S: stage 1 faults stall.
    pub stage1_stall: bool,
    /// STE.S2R: terminated stage 2 faults are recorded.
    pub stage2_record: bool,
    /// STE.S2S: stage 2 faults stall.
    pub stage2_stall: bool,
}

/// A translation table: its start and how it is indexed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableRoot {
    /// Address of the start table, aligned to its size.
    pub base: u64,
    /// Input bits that it resolves, 64 - TxSZ.
    pub input_bits: u8,
    /// Granule.
    pub granule: Granule,
    /// Level of the start table, -1 to 3.
    pub start_level: i8,
    /// How descriptors hold addresses.
    pub format: DescriptorFormat,
}

/// One half of the stage 1 input range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage1Half {
    /// Table; `None` where EPD disables the half.
    pub root: Option<TableRoot>,
    /// TBI: bits 63:56 of an address are not checked.
    pub top_byte_ignored: bool,
    /// HAD: hierarchical attributes of tables are ignored.
    pub hierarchy_disabled: bool,
    /// E0PD: unprivileged accesses fault.
    pub unprivileged_disabled: bool,
    /// CD.SHx: shareability code of leaves whose format has none (DS).
    pub sh: u8,
}

/// Stage 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage1Regime {
    /// TTB0: addresses with bit 55 clear, or all where the world has one table.
    pub low: Stage1Half,
    /// TTB1: addresses with bit 55 set; `None` in worlds with one table.
    pub high: Option<Stage1Half>,
    /// Effective output size in bits: min(IPS, OAS).
    pub output_bits: u8,
    /// MAIR0 and MAIR1, one byte an attribute.
    pub mair: u64,
    /// CD.AFFD: no Access flag faults.
    pub access_flag_fault_disabled: bool,
    /// CD.HA: the SMMU sets the Access flag.
    pub hardware_access: bool,
    /// CD.HD: the SMMU makes writable-clean leaves dirty. Only with `hardware_access`.
    pub hardware_dirty: bool,
    /// CD.WXN: writable is never executable.
    pub write_execute_never: bool,
    /// CD.PAN: privileged data accesses to unprivileged pages fault.
    pub privileged_access_never: bool,
    /// CD.ENDI: tables are big-endian.
    pub big_endian: bool,
    /// The StreamWorld tells privileged from unprivileged.
    pub two_privileges: bool,
    /// The StreamWorld has ASIDs, so nG means something.
    pub has_asid: bool,
}

/// Stage 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2Regime {
    /// Table; concatenated tables are indexed as one.
    pub root: TableRoot,
    /// Effective output size in bits: min(S2PS, OAS).
    pub output_bits: u8,
    /// STE.S2AFFD: no Access flag faults.
    pub access_flag_fault_disabled: bool,
    /// STE.S2HA: the SMMU sets the Access flag.
    pub hardware_access: bool,
    /// STE.S2HD: the SMMU makes writable-clean leaves dirty. Only with `hardware_access`.
    pub hardware_dirty: bool,
    /// STE.S2PTW: stage 1 tables and CDs in Device memory fault.
    pub protected_table_walk: bool,
    /// STE.S2FWB: MemAttr uses the forced write-back encoding.
    pub forced_write_back: bool,
    /// IDR3.XNX: XN tells privileged from unprivileged.
    pub execute_by_privilege: bool,
    /// STE.S2ENDI: tables are big-endian.
    pub big_endian: bool,
    /// STE.S2SH0: shareability code of leaves whose format has none (S2DS).
    pub sh: u8,
}
