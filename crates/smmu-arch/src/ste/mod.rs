//! Stream Table Entry: what is done with the transactions of one StreamID.
//!
//! Architecture: section "Stream Table Entry" (IHI 0070). Eight little-endian words are decoded
//! once into [`Ste`]; fields that this model does not use are in [`SteWords`] only.

mod effective;
mod layout;
mod legality;
mod values;

pub use layout::SteWords;
pub use legality::IllegalSte;
pub(crate) use legality::t0sz_max;
pub(crate) use values::shareability_override;
pub use values::{
    CdFormat, DefaultSubstream, Eats, InstructionOverride, PrivilegeOverride, StreamConfig,
};

use crate::address_size::{PA_MASK, stage_output_bits};
use crate::{DescriptorFormat, Features, Granule, Shareability, StreamWorld, Vmid};
use crate::{stage2_concatenation_log2, stage2_start_level};

/// A decoded STE. The names are the architecture's; `s1_` and `s2_` fields have no effect where
/// the configuration does not use the stage. Default is the STE of all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ste {
    /// V; an invalid STE gives C_BAD_STE.
    pub valid: bool,
    /// Config.
    pub config: StreamConfig,
    /// S1Fmt; has no effect where S1CDMax is 0.
    pub s1_fmt: CdFormat,
    /// S1ContextPtr bits 51:6: a PA, or an IPA where stage 2 is enabled.
    pub s1_context_ptr: u64,
    /// S1CDMax, 0 to 31: log2 of the CDs; 0 is one CD and no substreams.
    pub s1_cd_max: u8,
    /// S1DSS: transactions without a SubstreamID.
    pub s1_dss: DefaultSubstream,
    /// S1CIR, 0 to 3: inner cacheability of CD fetches.
    pub s1_cir: u8,
    /// S1COR, 0 to 3: outer cacheability of CD fetches.
    pub s1_cor: u8,
    /// S1CSH, 0 to 3: shareability of CD fetches.
    pub s1_csh: u8,
    /// S1STALLD: the CDs may not stall.
    pub s1_stalld: bool,
    /// STRW, 0 to 3, as written; [`Ste::stream_world`] tells what it means.
    pub strw: u8,
    /// EATS: what the stream may do with ATS.
    pub eats: Eats,
    /// MEV: similar events may be merged.
    pub mev: bool,
    /// PPAR: PRI auto-responses carry the PASID.
    pub ppar: bool,
    /// CONT, 0 to 15: log2 of identical neighbouring STEs, a hint.
    pub cont: u8,
    /// DRE: destructive reads enabled.
    pub dre: bool,
    /// DCP: directed cache prefetch permitted.
    pub dcp: bool,
    /// MTCFG: replace the incoming memory type by `mem_attr`.
    pub mtcfg: bool,
    /// MemAttr, 0 to 15.
    pub mem_attr: u8,
    /// ALLOCCFG, 0 to 15: 0 to 7 keep the incoming hints.
    pub alloc_cfg: u8,
    /// SHCFG; `None` keeps the incoming shareability.
    pub sh_cfg: Option<Shareability>,
    /// PRIVCFG.
    pub priv_cfg: PrivilegeOverride,
    /// INSTCFG; acts on reads only.
    pub inst_cfg: InstructionOverride,
    /// S2VMID; also tags translations of stage-1-only EL1 streams where stage 2 is implemented.
    pub vmid: Vmid,
    /// S2T0SZ, 0 to 63: 64 - input bits.
    pub s2_t0sz: u8,
    /// {S2SL0_2, S2SL0}, 0 to 7; bit 2 counts with S2DS alone.
    pub s2_sl0: u8,
    /// S2DS: 4K and 16K tables have 52-bit addresses; needs IDR5.DS.
    pub s2_ds: bool,
    /// S2TG; `None` is the reserved encoding.
    pub s2_tg: Option<Granule>,
    /// S2PS, 0 to 7: output size code.
    pub s2_ps: u8,
    /// S2IR0, 0 to 3: inner cacheability of walks.
    pub s2_ir0: u8,
    /// S2OR0, 0 to 3: outer cacheability of walks.
    pub s2_or0: u8,
    /// S2SH0, 0 to 3: shareability of walks.
    pub s2_sh0: u8,
    /// S2AA64: VMSAv8-64 tables.
    pub s2_aa64: bool,
    /// S2ENDI: tables are big-endian.
    pub s2_endi: bool,
    /// S2AFFD: no Access flag faults; has no effect with S2HA.
    pub s2_affd: bool,
    /// S2PTW: a CD fetch or stage 1 walk to Device memory faults.
    pub s2_ptw: bool,
    /// S2HA: hardware update of the Access flag.
    pub s2_ha: bool,
    /// S2HD: hardware update of dirty state; counts only together with S2HA.
    pub s2_hd: bool,
    /// S2S: stage 2 faults stall.
    pub s2_s: bool,
    /// S2R: stage 2 faults that terminate are recorded.
    pub s2_r: bool,
    /// S2FWB: forced write-back.
    pub s2_fwb: bool,
    /// S2TTB bits 51:4.
    pub s2_ttb: u64,
}

impl Default for Ste {
    fn default() -> Self {
        Self::decode(&[0; 8])
    }
}

impl Ste {
    /// Bytes of an STE in memory.
    pub const BYTES: u64 = 64;

    /// Decodes eight little-endian words. Never fails: reserved encodings count as the
    /// architecture says, or are kept for [`Ste::check`]. Address bits 55:52 are RES0.
    #[must_use]
    pub fn decode(words: &[u64; 8]) -> Self {
        let w = SteWords::from_words(words);
        Self {
            valid: w.v(),
            config: StreamConfig::from_bits(w.config()),
            s1_fmt: CdFormat::from_bits(w.s1fmt()),
            s1_context_ptr: w.s1_context_ptr() << 6 & PA_MASK,
            s1_cd_max: w.s1_cd_max(),
            s1_dss: DefaultSubstream::from_bits(w.s1dss()),
            s1_cir: w.s1cir(),
            s1_cor: w.s1cor(),
            s1_csh: w.s1csh(),
            s1_stalld: w.s1stalld(),
            strw: w.strw(),
            eats: Eats::from_bits(w.eats()),
            mev: w.mev(),
            ppar: w.ppar(),
            cont: w.cont(),
            dre: w.dre(),
            dcp: w.dcp(),
            mtcfg: w.mtcfg(),
            mem_attr: w.mem_attr(),
            alloc_cfg: w.alloccfg(),
            sh_cfg: shareability_override(w.shcfg()),
            priv_cfg: PrivilegeOverride::from_bits(w.privcfg()),
            inst_cfg: InstructionOverride::from_bits(w.instcfg()),
            vmid: Vmid(w.s2vmid()),
            s2_t0sz: w.s2t0sz(),
            s2_sl0: w.s2sl0() | u8::from(w.s2sl0_2()) << 2,
            s2_ds: w.s2ds(),
            s2_tg: Granule::from_tg0(w.s2tg()),
            s2_ps: w.s2ps(),
            s2_ir0: w.s2ir0(),
            s2_or0: w.s2or0(),
            s2_sh0: w.s2sh0(),
            s2_aa64: w.s2aa64(),
            s2_endi: w.s2endi(),
            s2_affd: w.s2affd(),
            s2_ptw: w.s2ptw(),
            s2_ha: w.s2ha(),
            s2_hd: w.s2hd(),
            s2_s: w.s2s(),
            s2_r: w.s2r(),
            s2_fwb: w.s2fwb(),
            s2_ttb: w.s2ttb() << 4 & PA_MASK,
        }
    }

    /// Encodes the STE into eight little-endian words. Fields that the struct does not hold are 0;
    /// bits that do not fit their field are dropped.
    #[must_use]
    pub fn encode(&self) -> [u64; 8] {
        let words = self.encode_stage2(self.encode_overrides(self.encode_stage1(SteWords::new())));
        words.into_words()
    }

    fn encode_stage1(&self, words: SteWords) -> SteWords {
        words
            .with_v(self.valid)
            .with_config(self.config.to_bits())
            .with_s1fmt(self.s1_fmt.to_bits())
            .with_s1_context_ptr((self.s1_context_ptr & PA_MASK) >> 6)
            .with_s1_cd_max(self.s1_cd_max & 31)
            .with_s1dss(self.s1_dss.to_bits())
            .with_s1cir(self.s1_cir & 3)
            .with_s1cor(self.s1_cor & 3)
            .with_s1csh(self.s1_csh & 3)
            .with_s1stalld(self.s1_stalld)
            .with_strw(self.strw & 3)
    }

    fn encode_overrides(&self, words: SteWords) -> SteWords {
        words
            .with_eats(self.eats.to_bits())
            .with_mev(self.mev)
            .with_ppar(self.ppar)
            .with_cont(self.cont & 15)
            .with_dre(self.dre)
            .with_dcp(self.dcp)
            .with_mtcfg(self.mtcfg)
            .with_mem_attr(self.mem_attr & 15)
            .with_alloccfg(self.alloc_cfg & 15)
            .with_shcfg(values::shareability_override_bits(self.sh_cfg))
            .with_privcfg(self.priv_cfg.to_bits())
            .with_instcfg(self.inst_cfg.to_bits())
    }

    fn encode_stage2(&self, words: SteWords) -> SteWords {
        words
            .with_s2vmid(self.vmid.0)
            .with_s2t0sz(self.s2_t0sz & 63)
            .with_s2sl0(self.s2_sl0 & 3)
            .with_s2sl0_2(self.s2_sl0 & 4 != 0)
            .with_s2ds(self.s2_ds)
            .with_s2tg(self.s2_tg.map_or(3, Granule::to_tg0))
            .with_s2ps(self.s2_ps & 7)
            .with_s2ir0(self.s2_ir0 & 3)
            .with_s2or0(self.s2_or0 & 3)
            .with_s2sh0(self.s2_sh0 & 3)
            .with_s2aa64(self.s2_aa64)
            .with_s2endi(self.s2_endi)
            .with_s2affd(self.s2_affd)
            .with_s2ptw(self.s2_ptw)
            .with_s2ha(self.s2_ha)
            .with_s2hd(self.s2_hd)
            .with_s2s(self.s2_s)
            .with_s2r(self.s2_r)
            .with_s2fwb(self.s2_fwb)
            .with_s2ttb((self.s2_ttb & PA_MASK) >> 4)
    }

    /// StreamWorld of the stream; `e2h` is CR2.E2H. STRW counts only for stage-1-only streams of
    /// an SMMU with IDR0.HYP; everything else is EL1. Section "StreamWorld".
    #[must_use]
    pub fn stream_world(&self, features: &Features, e2h: bool) -> StreamWorld {
        if self.config != StreamConfig::Stage1 || !features.hyp || self.strw != 2 {
            StreamWorld::NsEl1
        } else if e2h {
            StreamWorld::El2E2h
        } else {
            StreamWorld::El2
        }
    }

    /// Input bits of stage 2: 64 - S2T0SZ.
    #[must_use]
    pub const fn s2_input_bits(&self) -> u32 {
        64u32.saturating_sub(self.s2_t0sz as u32)
    }

    /// The format of the descriptors of stage 2.
    #[must_use]
    pub fn s2_descriptor_format(&self, features: &Features) -> DescriptorFormat {
        let granule = self.s2_tg.unwrap_or(Granule::K4);
        DescriptorFormat::of(granule, self.s2_ds && features.ds, features.oas_bits >= 52)
    }

    /// Effective output bits of stage 2: the smaller of S2PS and OAS, at most 48 with the 4K and
    /// 16K granules unless S2DS counts. LPAE tables have 40 bits.
    #[must_use]
    pub fn s2_output_bits(&self, features: &Features) -> u8 {
        let ds = self.s2_ds && features.ds;
        stage_output_bits(self.s2_aa64, self.s2_tg, ds, self.s2_ps, features)
    }

    /// Level at which a stage 2 walk starts, or `None` where S2TG, S2SL0 and S2T0SZ do not fit
    /// together. Section "Stage 2 start level".
    #[must_use]
    pub fn start_level(&self, features: &Features) -> Option<i8> {
        let granule = self.s2_tg?;
        let level =
            stage2_start_level(granule, self.s2_sl0, features.stt, self.s2_ds && features.ds)?;
        stage2_concatenation_log2(granule, level, self.s2_input_bits())?;
        Some(level)
    }
}
