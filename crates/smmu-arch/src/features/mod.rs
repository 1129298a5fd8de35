//! What an SMMU can do: the ID registers, decoded once.
//!
//! Architecture: sections "SMMU_IDR0" to "SMMU_AIDR" (IHI 0070).

mod consistency;
mod id_registers;

pub use consistency::InconsistentId;
pub use id_registers::IdRegisters;

use crate::registers::{Aidr, EcmdqLayout, Idr0, Idr1, Idr3, Idr5, Idr6, Page};
use crate::{Granule, address_size_bits};

/// How faults of the governed kinds end (IDR0.STALL_MODEL).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StallModel {
    /// Stall or terminate, by CD.S and STE.S2S.
    StallAndTerminate,
    /// Terminate; CD.S and STE.S2S must be 0. Also stands for the reserved encoding.
    TerminateOnly,
    /// Stall; CD.S and STE.S2S must be 1.
    StallForced,
}

/// How a terminated transaction ends (IDR0.TERM_MODEL).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TermModel {
    /// Abort or RAZ/WI, by CD.A.
    AbortOrRazWi,
    /// Abort; CD.A must be 1.
    AbortOnly,
}

/// Byte orders of translation tables (IDR0.TTENDIAN).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endianness {
    /// CD.ENDI and STE.S2ENDI choose. Also stands for the reserved encoding.
    Mixed,
    /// Little-endian only.
    Little,
    /// Big-endian only.
    Big,
}

impl Endianness {
    /// Whether tables of the byte order can be read.
    #[must_use]
    pub const fn supports(self, big: bool) -> bool {
        match self {
            Self::Mixed => true,
            Self::Little => !big,
            Self::Big => big,
        }
    }
}

/// Hardware update of the translation tables (IDR0.HTTU).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HardwareUpdate {
    /// None.
    None,
    /// Access flag.
    AccessFlag,
    /// Access flag and dirty state. Also stands for encoding 3, whose table-descriptor updates
    /// (SMMUv3.4) are not modelled.
    AccessFlagAndDirty,
}

/// The features of an SMMU as plain values. [`Features::decode`] makes them from any ID registers;
/// whether those make sense is the question of [`IdRegisters::check`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// Minor revision: 3 is SMMUv3.3.
    pub minor_revision: u8,
    /// Stage 1 (IDR0.S1P).
    pub s1p: bool,
    /// Stage 2 (IDR0.S2P).
    pub s2p: bool,
    /// VMSAv8-32 LPAE tables (`IDR0.TTF[0]`).
    pub lpae_tables: bool,
    /// VMSAv8-64 tables (`IDR0.TTF[1]`).
    pub aarch64_tables: bool,
    /// Coherent accesses (IDR0.COHACC).
    pub cohacc: bool,
    /// Broadcast TLB maintenance (IDR0.BTM).
    pub btm: bool,
    /// Hardware update of tables (IDR0.HTTU).
    pub httu: HardwareUpdate,
    /// EL2 StreamWorlds (IDR0.HYP).
    pub hyp: bool,
    /// PCIe ATS (IDR0.ATS).
    pub ats: bool,
    /// Split-stage ATS is not supported (IDR0.NS1ATS).
    pub ns1ats: bool,
    /// 16-bit ASIDs (IDR0.ASID16).
    pub asid16: bool,
    /// 16-bit VMIDs (IDR0.VMID16).
    pub vmid16: bool,
    /// Message-signalled interrupts (IDR0.MSI).
    pub msi: bool,
    /// WFE wake-up events (IDR0.SEV).
    pub sev: bool,
    /// Address translation operations (IDR0.ATOS).
    pub atos: bool,
    /// VATOS page (IDR0.VATOS).
    pub vatos: bool,
    /// Page Request Interface (IDR0.PRI).
    pub pri: bool,
    /// VMID wildcards (IDR0.VMW).
    pub vmw: bool,
    /// 2-level CD tables (IDR0.CD2L).
    pub two_level_cd: bool,
    /// 2-level stream table (IDR0.ST_LEVEL).
    pub two_level_stream_table: bool,
    /// Byte orders of tables (IDR0.TTENDIAN).
    pub endianness: Endianness,
    /// CR2.REC_CFG_ATS exists (IDR0.ATSRECERR).
    pub atsrecerr: bool,
    /// Fault model (IDR0.STALL_MODEL).
    pub stall_model: StallModel,
    /// Termination model (IDR0.TERM_MODEL).
    pub term_model: TermModel,
    /// StreamID bits, 0 to 32 (IDR1.SIDSIZE).
    pub sid_bits: u8,
    /// SubstreamID bits, 0 to 20; 0 is none (IDR1.SSIDSIZE).
    pub ssid_bits: u8,
    /// log2 of the most entries of the Command queue, 0 to 19 (IDR1.CMDQS).
    pub cmdq_log2_max: u8,
    /// log2 of the most entries of the Event queue, 0 to 19 (IDR1.EVENTQS).
    pub eventq_log2_max: u8,
    /// log2 of the most entries of the PRI queue, 0 to 19 (IDR1.PRIQS).
    pub priq_log2_max: u8,
    /// STE and GBPA can override memory types (IDR1.ATTR_TYPES_OVR).
    pub attr_types_ovr: bool,
    /// STE and GBPA can override permissions (IDR1.ATTR_PERMS_OVR).
    pub attr_perms_ovr: bool,
    /// Queue bases are fixed (IDR1.QUEUES_PRESET).
    pub queues_preset: bool,
    /// The stream table base is fixed (IDR1.TABLES_PRESET).
    pub tables_preset: bool,
    /// Enhanced Command queues (IDR1.ECMDQ, IDR6).
    pub ecmdq: Option<EcmdqLayout>,
    /// Hierarchical attribute disable (IDR3.HAD).
    pub had: bool,
    /// Page-based hardware attributes (IDR3.PBHA).
    pub pbha: bool,
    /// EL0 and EL1 execute control at stage 2 (IDR3.XNX).
    pub xnx: bool,
    /// PASID always used on PRI auto-responses (IDR3.PPS).
    pub pps: bool,
    /// Stage 2 forced write-back (IDR3.FWB).
    pub fwb: bool,
    /// Small translation tables (IDR3.STT).
    pub stt: bool,
    /// Range invalidation and level hint (IDR3.RIL).
    pub ril: bool,
    /// Break-before-make level, 0 to 2 (IDR3.BBML).
    pub bbml: u8,
    /// E0PD bits (IDR3.E0PD).
    pub e0pd: bool,
    /// Device walks count as Normal Non-cacheable (IDR3.PTWNNC).
    pub ptwnnc: bool,
    /// Enhanced PAN (IDR3.EPAN).
    pub epan: bool,
    /// Output address size in bits, 32 to 52 (IDR5.OAS).
    pub oas_bits: u8,
    /// 4K granule.
    pub gran4k: bool,
    /// 16K granule.
    pub gran16k: bool,
    /// 64K granule.
    pub gran64k: bool,
    /// 52-bit virtual addresses with the 64K granule, and with the others where DS counts (IDR5.VAX
    /// of 1 or more).
    pub vax: bool,
    /// 52-bit addresses with 4K and 16K tables (IDR5.DS).
    pub ds: bool,
    /// Most outstanding stalled transactions; 0 without the stall model (IDR5.STALL_MAX).
    pub stall_max: u16,
}

impl Features {
    /// Decodes the ID registers. Reserved and unmodelled encodings count as the nearest one that
    /// this model has; [`IdRegisters::check`] tells of them.
    #[must_use]
    pub fn decode(ids: &IdRegisters) -> Self {
        let (idr0, idr1) = (Idr0::from(ids.idr0), Idr1::from(ids.idr1));
        let (idr3, idr5) = (Idr3::from(ids.idr3), Idr5::from(ids.idr5));
        Self {
            minor_revision: Aidr::from(ids.aidr).arch_minor_rev(),
            s1p: idr0.s1p(),
            s2p: idr0.s2p(),
            lpae_tables: idr0.ttf() & 1 != 0,
            aarch64_tables: idr0.ttf() & 2 != 0,
            cohacc: idr0.cohacc(),
            btm: idr0.btm(),
            httu: hardware_update(idr0.httu()),
            hyp: idr0.hyp(),
            ats: idr0.ats(),
            ns1ats: idr0.ns1ats(),
            asid16: idr0.asid16(),
            vmid16: idr0.vmid16(),
            msi: idr0.msi(),
            sev: idr0.sev(),
            atos: idr0.atos(),
            vatos: idr0.vatos(),
            pri: idr0.pri(),
            vmw: idr0.vmw(),
            two_level_cd: idr0.cd2l(),
            two_level_stream_table: idr0.st_level() == 1,
            endianness: endianness(idr0.ttendian()),
            atsrecerr: idr0.atsrecerr(),
            stall_model: stall_model(idr0.stall_model()),
            term_model: if idr0.term_model() {
                TermModel::AbortOnly
            } else {
                TermModel::AbortOrRazWi
            },
            sid_bits: idr1.sidsize().min(32),
            ssid_bits: idr1.ssidsize().min(20),
            cmdq_log2_max: idr1.cmdqs().min(19),
            eventq_log2_max: idr1.eventqs().min(19),
            priq_log2_max: idr1.priqs().min(19),
            attr_types_ovr: idr1.attr_types_ovr(),
            attr_perms_ovr: idr1.attr_perms_ovr(),
            queues_preset: idr1.queues_preset(),
            tables_preset: idr1.tables_preset(),
            ecmdq: idr1.ecmdq().then(|| enhanced_queues(ids)),
            had: idr3.had(),
            pbha: idr3.pbha(),
            xnx: idr3.xnx(),
            pps: idr3.pps(),
            fwb: idr3.fwb(),
            stt: idr3.stt(),
            ril: idr3.ril(),
            bbml: idr3.bbml().min(2),
            e0pd: idr3.e0pd(),
            ptwnnc: idr3.ptwnnc(),
            epan: idr3.epan(),
            oas_bits: address_size_bits(idr5.oas()).min(crate::PA_BITS_MAX),
            gran4k: idr5.gran4k(),
            gran16k: idr5.gran16k(),
            gran64k: idr5.gran64k(),
            vax: idr5.vax() != 0,
            ds: idr5.ds(),
            stall_max: idr5.stall_max(),
        }
    }

    /// Whether tables of the granule can be used (IDR5.GRAN4K, GRAN16K, GRAN64K).
    #[must_use]
    pub const fn supports(&self, granule: Granule) -> bool {
        match granule {
            Granule::K4 => self.gran4k,
            Granule::K16 => self.gran16k,
            Granule::K64 => self.gran64k,
        }
    }

    /// Intermediate address size in bits: the larger of 40 with LPAE tables and the OAS with
    /// VMSAv8-64 tables. Section "Input address size and output address size".
    #[must_use]
    pub const fn ias_bits(&self) -> u8 {
        if self.lpae_tables && (!self.aarch64_tables || self.oas_bits < 40) {
            40
        } else {
            self.oas_bits
        }
    }

    /// A physical address of a register, without the bits that the OAS does not have.
    #[must_use]
    pub const fn truncated(&self, address: u64) -> u64 {
        address & ((1 << self.oas_bits) - 1)
    }

    /// Bytes of the register frame: page 0 and page 1, the VATOS page behind them, and behind
    /// that the control pages of enhanced Command queues.
    #[must_use]
    pub const fn register_bytes(&self) -> u64 {
        let page = Page::SIZE as u64;
        match (self.ecmdq, self.vatos) {
            (Some(layout), _) => EcmdqLayout::FIRST_PAGE + layout.bytes(),
            (None, true) => 3 * page,
            (None, false) => 2 * page,
        }
    }

    /// Bits of a VMID: 8 or 16.
    #[must_use]
    pub const fn vmid_bits(&self) -> u8 {
        if self.vmid16 { 16 } else { 8 }
    }

    /// Bits of an ASID: 8 or 16.
    #[must_use]
    pub const fn asid_bits(&self) -> u8 {
        if self.asid16 { 16 } else { 8 }
    }

    /// Whether both stages are implemented, so that streams can be nested.
    #[must_use]
    pub const fn nested(&self) -> bool {
        self.s1p && self.s2p
    }
}

impl Features {
    /// log2 of the smallest granule: the smallest translation unit that ATS may be set to.
    #[must_use]
    pub const fn smallest_granule_log2(&self) -> u8 {
        match (self.gran4k, self.gran16k) {
            (true, _) => 12,
            (false, true) => 14,
            (false, false) => 16,
        }
    }
}

/// IDR6 counts up to 2^8 pages of up to 2^8 queues.
fn enhanced_queues(ids: &IdRegisters) -> EcmdqLayout {
    let idr6 = Idr6::from(ids.idr6);
    EcmdqLayout { log2_pages: idr6.log2nump().min(8), log2_queues: idr6.log2numq().min(8) }
}

const fn hardware_update(httu: u8) -> HardwareUpdate {
    match httu {
        0 => HardwareUpdate::None,
        1 => HardwareUpdate::AccessFlag,
        _ => HardwareUpdate::AccessFlagAndDirty,
    }
}

const fn endianness(ttendian: u8) -> Endianness {
    match ttendian {
        2 => Endianness::Little,
        3 => Endianness::Big,
        _ => Endianness::Mixed,
    }
}

const fn stall_model(bits: u8) -> StallModel {
    match bits {
        0 => StallModel::StallAndTerminate,
        2 => StallModel::StallForced,
        _ => StallModel::TerminateOnly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_set_decodes_to_what_it_says() {
        let f = Features::decode(&IdRegisters::REFERENCE);
        assert!(f.nested() && f.hyp && f.aarch64_tables && !f.lpae_tables);
        assert_eq!((f.sid_bits, f.ssid_bits, f.oas_bits, f.ias_bits()), (16, 16, 48, 48));
        assert_eq!((f.vmid_bits(), f.asid_bits(), f.bbml, f.minor_revision), (16, 16, 2, 2));
        assert_eq!(f.stall_model, StallModel::TerminateOnly);
        assert_eq!(f.endianness, Endianness::Little);
        assert!(Granule::ALL.into_iter().all(|granule| f.supports(granule)));
    }

    #[test]
    fn the_intermediate_size_is_at_least_40_bits_with_lpae_tables() {
        let ias = |lpae_tables, aarch64_tables, oas_bits| {
            let reference = Features::decode(&IdRegisters::REFERENCE);
            Features { lpae_tables, aarch64_tables, oas_bits, ..reference }.ias_bits()
        };
        assert_eq!(ias(true, true, 36), 40);
        assert_eq!(ias(true, true, 48), 48);
        assert_eq!(ias(true, false, 48), 40);
        assert_eq!(ias(false, true, 36), 36);
    }
}
