//! Registers of a Performance Monitor Counter Group: a page of its own.
//!
//! Architecture: chapter "Performance Monitors Extension" (IHI 0070).

use crate::field_types::{Address55To2, Number2, Number4, Number6};
use crate::layout::layout;
use modular_bitfield::prelude::*;

layout! {
    /// `SMMU_PMCG_EVTYPERn`: what a counter counts.
    #[repr(u32)]
    pub PmcgEvtyper(32) {
        /// Number of the event.
        EVENT event: B16 [B13];
        /// The StreamID is matched as a span: `SMMU_PMCG_SMRn` names its size as well.
        FILTER_SID_SPAN filter_sid_span: bool;
        /// Secure streams are counted.
        FILTER_SEC_SID filter_sec_sid: bool;
        /// An overflow captures the counters.
        OVFCAP ovfcap: bool;
    }
}
layout! {
    /// `SMMU_PMCG_CFGR`: what the group has.
    #[repr(u32)]
    pub PmcgCfgr(32) {
        /// Counters minus 1.
        NCTR nctr: Number6 [B2];
        /// Bits of a counter minus 1.
        SIZE size: Number6 [B6];
        /// The counters stand on page 1.
        RELOC_CTRS reloc_ctrs: bool;
        /// MSIs.
        MSI msi: bool;
        /// Capture.
        CAPTURE capture: bool;
        /// One filter serves all counters.
        SID_FILTER_TYPE sid_filter_type: bool;
        /// MSIs carry MPAM.
        MPAM mpam: bool;
        /// A filter by PARTID and PMG.
        FILTER_PARTID_PMG filter_partid_pmg: bool [B6];
    }
}
layout! {
    /// `SMMU_PMCG_CR`: the switch of the group.
    #[repr(u32)]
    pub PmcgCr(32) {
        /// Enabled counters count.
        E e: bool [B31];
    }
}
layout! {
    /// `SMMU_PMCG_IRQ_CTRL` and its acknowledge.
    #[repr(u32)]
    pub PmcgIrqCtrl(32) {
        /// The overflow interrupt is enabled; guards IRQ_CFG0, 1 and 2.
        IRQEN irqen: bool [B31];
    }
}
layout! {
    /// `SMMU_PMCG_IRQ_CFG0`: address of the MSI; 0 for a wired interrupt.
    #[repr(u64)]
    pub PmcgIrqCfg0(64) {
        [B2];
        /// Address.
        ADDR addr: Address55To2 [B8];
    }
}
layout! {
    /// `SMMU_PMCG_IRQ_CFG2`: attributes of the MSI.
    #[repr(u32)]
    pub PmcgIrqCfg2(32) {
        /// Memory type.
        MemAttr memattr: Number4;
        /// Shareability.
        SH sh: Number2 [B26];
    }
}

/// A register of the page, or one of a row of equal registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "each is the register of its name")]
pub enum PmcgRegister {
    /// `SMMU_PMCG_EVCNTRn`: the counter.
    Counter(u8),
    /// `SMMU_PMCG_EVTYPERn`: what it counts.
    EventType(u8),
    /// `SMMU_PMCG_SVRn`: the counter as it was captured.
    Shadow(u8),
    /// `SMMU_PMCG_SMRn`: whose events it counts.
    StreamMatch(u8),
    CounterEnableSet,
    CounterEnableClear,
    InterruptEnableSet,
    InterruptEnableClear,
    OverflowClear,
    OverflowSet,
    Capture,
    SecurityControl,
    Configuration,
    Control,
    Identification,
    /// `SMMU_PMCG_CEID0` and 1: the events that can be counted.
    Events(u8),
    InterruptControl,
    InterruptControlAck,
    InterruptAddress,
    InterruptData,
    InterruptAttributes,
}

/// Most counters of a group.
pub const PMCG_COUNTERS_MAX: u8 = 64;

type Single = (&'static str, u64, u8, PmcgRegister);

/// Name, offset, bytes.
#[rustfmt::skip]
pub const PMCG_SINGLE: &[Single] = &[
    ("PMCG_CNTENSET0", 0xC00, 8, PmcgRegister::CounterEnableSet),
    ("PMCG_CNTENCLR0", 0xC20, 8, PmcgRegister::CounterEnableClear),
    ("PMCG_INTENSET0", 0xC40, 8, PmcgRegister::InterruptEnableSet),
    ("PMCG_INTENCLR0", 0xC60, 8, PmcgRegister::InterruptEnableClear),
    ("PMCG_OVSCLR0", 0xC80, 8, PmcgRegister::OverflowClear),
    ("PMCG_OVSSET0", 0xCC0, 8, PmcgRegister::OverflowSet),
    ("PMCG_CAPR", 0xD88, 4, PmcgRegister::Capture),
    ("PMCG_SCR", 0xDF8, 4, PmcgRegister::SecurityControl),
    ("PMCG_CFGR", 0xE00, 4, PmcgRegister::Configuration),
    ("PMCG_CR", 0xE04, 4, PmcgRegister::Control),
    ("PMCG_IIDR", 0xE08, 4, PmcgRegister::Identification),
    ("PMCG_CEID0", 0xE20, 8, PmcgRegister::Events(0)),
    ("PMCG_CEID1", 0xE28, 8, PmcgRegister::Events(1)),
    ("PMCG_IRQ_CTRL", 0xE50, 4, PmcgRegister::InterruptControl),
    ("PMCG_IRQ_CTRLACK", 0xE54, 4, PmcgRegister::InterruptControlAck),
    ("PMCG_IRQ_CFG0", 0xE58, 8, PmcgRegister::InterruptAddress),
    ("PMCG_IRQ_CFG1", 0xE60, 4, PmcgRegister::InterruptData),
    ("PMCG_IRQ_CFG2", 0xE64, 4, PmcgRegister::InterruptAttributes),
];

type Row = (&'static str, u64, bool, fn(u8) -> PmcgRegister);

/// Name, offset of the first, and whether it has the width of a counter.
#[rustfmt::skip]
pub const PMCG_ROWS: &[Row] = &[
    ("PMCG_EVCNTRn", 0x000, true, PmcgRegister::Counter),
    ("PMCG_EVTYPERn", 0x400, false, PmcgRegister::EventType),
    ("PMCG_SVRn", 0x600, true, PmcgRegister::Shadow),
    ("PMCG_SMRn", 0xA00, false, PmcgRegister::StreamMatch),
];

impl PmcgRegister {
    /// The register that holds the byte at `offset`, its own offset and its bytes. `wide` counters
    /// have more than 32 bits, and stand 8 bytes apart.
    #[must_use]
    pub fn at(offset: u64, wide: bool) -> Option<(Self, u64, u8)> {
        for &(_, first, counter, register) in PMCG_ROWS {
            let bytes = if counter && wide { 8 } else { 4 };
            let index = offset.checked_sub(first).map(|from| from / u64::from(bytes));
            if let Some(index) = index.filter(|&index| index < PMCG_COUNTERS_MAX.into()) {
                return Some((register(index as u8), first + index * u64::from(bytes), bytes));
            }
        }
        let single = PMCG_SINGLE
            .iter()
            .find(|(_, at, bytes, _)| (*at..*at + u64::from(*bytes)).contains(&offset));
        single.map(|&(_, at, bytes, register)| (register, at, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_as_far_apart_as_they_are_wide() {
        let at = PmcgRegister::at;
        assert_eq!(at(0x08, false), Some((PmcgRegister::Counter(2), 0x08, 4)));
        assert_eq!(at(0x0c, true), Some((PmcgRegister::Counter(1), 0x08, 8)));
        assert_eq!(at(0x404, true), Some((PmcgRegister::EventType(1), 0x404, 4)));
        assert_eq!(at(0xe2c, false), Some((PmcgRegister::Events(1), 0xe28, 8)));
        assert_eq!(at(0xd00, false), None);
    }
}
