//! What an SMMU implements and how its control registers stand, as plain facts.

use smmu_arch::Pa;

/// What the ID registers say, as far as it changes what is allowed.
///
/// VMSAv8-32 LPAE tables count as not implemented: an STE or CD that chooses them is illegal here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Implemented {
    /// IDR0.S1P.
    pub stage1: bool,
    /// IDR0.S2P.
    pub stage2: bool,
    /// IDR0.HYP.
    pub hyp: bool,
    /// IDR0.HTTU, 0 to 3.
    pub httu: u8,
    /// IDR0.ASID16.
    pub asid16: bool,
    /// IDR0.VMID16.
    pub vmid16: bool,
    /// IDR0.CD2L.
    pub two_level_cd: bool,
    /// IDR0.STALL_MODEL, 0 to 2.
    pub stall_model: u8,
    /// IDR0.TERM_MODEL.
    pub abort_only: bool,
    /// IDR0.TTENDIAN, 0 to 3.
    pub table_endianness: u8,
    /// IDR0.ATS.
    pub ats: bool,
    /// IDR0.NS1ATS.
    pub no_split_ats: bool,
    /// IDR1.SIDSIZE, bits.
    pub stream_bits: u8,
    /// IDR1.SSIDSIZE, bits.
    pub substream_bits: u8,
    /// IDR1.ATTR_PERMS_OVR.
    pub permission_overrides: bool,
    /// IDR3.XNX.
    pub execute_by_privilege: bool,
    /// IDR3.HAD.
    pub hierarchy_disable: bool,
    /// IDR3.E0PD.
    pub unprivileged_disable: bool,
    /// IDR3.FWB.
    pub forced_write_back: bool,
    /// IDR3.STT.
    pub small_tables: bool,
    /// IDR5.OAS, in bits: 32 to 52.
    pub oas_bits: u8,
    /// IDR5.GRAN4K.
    pub granule_4k: bool,
    /// IDR5.GRAN16K.
    pub granule_16k: bool,
    /// IDR5.GRAN64K.
    pub granule_64k: bool,
    /// IDR5.VAX is at least 1: 52-bit input addresses.
    pub va_52: bool,
}

impl Implemented {
    /// IAS in bits, of an SMMU with VMSAv8-64 tables alone.
    pub(super) const fn ias_bits(&self) -> u8 {
        self.oas_bits
    }

    /// Whether the granule of 2^`shift` bytes is implemented.
    pub(super) const fn has_granule(&self, shift: u32) -> bool {
        match shift {
            12 => self.granule_4k,
            14 => self.granule_16k,
            16 => self.granule_64k,
            _ => false,
        }
    }
}

impl Default for Implemented {
    /// Both stages, all granules, 16-bit tags, 44-bit output, 16-bit StreamIDs and SubstreamIDs,
    /// both fault models, nothing else.
    fn default() -> Self {
        Self {
            stage1: true,
            stage2: true,
            hyp: false,
            httu: 0,
            asid16: true,
            vmid16: true,
            two_level_cd: true,
            stall_model: 0,
            abort_only: false,
            table_endianness: 0,
            ats: false,
            no_split_ats: false,
            stream_bits: 16,
            substream_bits: 16,
            permission_overrides: true,
            execute_by_privilege: true,
            hierarchy_disable: true,
            unprivileged_disable: true,
            forced_write_back: true,
            small_tables: false,
            oas_bits: 44,
            granule_4k: true,
            granule_16k: true,
            granule_64k: true,
            va_52: false,
        }
    }
}

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
