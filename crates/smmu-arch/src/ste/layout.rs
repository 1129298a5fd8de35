//! Where the fields of an STE lie. Section "Stream Table Entry".

use crate::layout::layout;
use modular_bitfield::prelude::*;

layout! {
    /// Every field of a Stream Table Entry, also those that this model does not use.
    pub SteWords(512) as [u64; 8] {
        /// Valid.
        V v: bool;
        /// Stream configuration: 0 to 3 abort, 4 bypass, 5 stage 1, 6 stage 2, 7 both.
        Config config: B3;
        /// CD table format.
        S1Fmt s1fmt: B2;
        /// CD table address bits 55:6.
        S1ContextPtr s1_context_ptr: B50 [B3];
        /// log2 of the CDs.
        S1CDMax s1_cd_max: B5;
        /// Transactions without SubstreamID.
        S1DSS s1dss: B2;
        /// CD fetch inner cacheability.
        S1CIR s1cir: B2;
        /// CD fetch outer cacheability.
        S1COR s1cor: B2;
        /// CD fetch shareability.
        S1CSH s1csh: B2;
        /// PBHA bit 59 at stage 2.
        S2HWU59 s2hwu59: bool;
        /// PBHA bit 60 at stage 2.
        S2HWU60 s2hwu60: bool;
        /// PBHA bit 61 at stage 2.
        S2HWU61 s2hwu61: bool;
        /// PBHA bit 62 at stage 2.
        S2HWU62 s2hwu62: bool;
        /// Destructive reads enabled.
        DRE dre: bool;
        /// log2 of identical neighbours.
        CONT cont: B4;
        /// Directed cache prefetch permitted.
        DCP dcp: bool;
        /// PASID on PRI auto-responses.
        PPAR ppar: bool;
        /// Similar events may be merged.
        MEV mev: bool;
        /// For software.
        SW_RESERVED sw_reserved: B4;
        /// Stage 1 permission indirection.
        S1PIE s1pie: bool;
        /// Stage 2 forced write-back.
        S2FWB s2fwb: bool;
        /// CD.PARTID is used.
        S1MPAM s1mpam: bool;
        /// CDs may not stall.
        S1STALLD s1stalld: bool;
        /// ATS behaviour.
        EATS eats: B2;
        /// StreamWorld.
        STRW strw: B2;
        /// Memory type of the override.
        MemAttr mem_attr: B4;
        /// Replace the incoming memory type.
        MTCFG mtcfg: bool;
        /// Allocation hints.
        ALLOCCFG alloccfg: B4 [B3];
        /// Shareability override.
        SHCFG shcfg: B2;
        /// NS of Secure streams.
        NSCFG nscfg: B2;
        /// Privilege override.
        PRIVCFG privcfg: B2;
        /// Instruction or data override.
        INSTCFG instcfg: B2;
        /// IMPLEMENTATION DEFINED.
        IMPDEF1 impdef1: B12;
        /// VMID.
        S2VMID s2vmid: B16;
        /// IMPLEMENTATION DEFINED.
        IMPDEF2 impdef2: B16;
        /// 64 - input bits of stage 2.
        S2T0SZ s2t0sz: B6;
        /// Start level of stage 2.
        S2SL0 s2sl0: B2;
        /// Stage 2 walk inner cacheability.
        S2IR0 s2ir0: B2;
        /// Stage 2 walk outer cacheability.
        S2OR0 s2or0: B2;
        /// Stage 2 walk shareability.
        S2SH0 s2sh0: B2;
        /// Stage 2 granule.
        S2TG s2tg: B2;
        /// Stage 2 output size code.
        S2PS s2ps: B3;
        /// VMSAv8-64 tables at stage 2.
        S2AA64 s2aa64: bool;
        /// Stage 2 tables are big-endian.
        S2ENDI s2endi: bool;
        /// No Access flag faults at stage 2.
        S2AFFD s2affd: bool;
        /// Stage 1 walks to Device memory fault.
        S2PTW s2ptw: bool;
        /// Hardware dirty state at stage 2.
        S2HD s2hd: bool;
        /// Hardware Access flag at stage 2.
        S2HA s2ha: bool;
        /// Stage 2 faults stall.
        S2S s2s: bool;
        /// Stage 2 faults are recorded.
        S2R s2r: bool;
        /// Access flag of table descriptors.
        S2HAFT s2haft: bool;
        /// Stage 2 permission indirection.
        S2PIE s2pie: bool;
        /// Stage 2 permission overlay.
        S2POE s2poe: bool;
        /// DPT VMID matching.
        DPT_VMATCH dpt_vmatch: B2;
        /// Secure streams: space of the Non-secure-IPA walk.
        S2NSW s2nsw: bool;
        /// Secure streams: space of a Non-secure IPA's output.
        S2NSA s2nsa: bool;
        /// Third bit of the start level.
        S2SL0_2 s2sl0_2: bool;
        /// 52-bit descriptors at stage 2.
        S2DS s2ds: bool;
        /// Stage 2 table address bits 55:4.
        S2TTB s2ttb: B52 [B5];
        /// Skipped levels.
        S2SKL s2skl: B2 [B1];
        /// IMPLEMENTATION DEFINED.
        IMPDEF3 impdef3: B16;
        /// MPAM PARTID.
        PARTID partid: B16;
        /// Secure stage 2 input size.
        S_S2T0SZ s_s2t0sz: B6;
        /// Secure stage 2 start level.
        S_S2SL0 s_s2sl0: B2 [B6];
        /// Secure stage 2 granule.
        S_S2TG s_s2tg: B2;
        /// Realm MECID.
        MECID mecid: B16;
        /// MPAM PMG.
        PMG pmg: B8;
        /// MPAM space of Secure streams.
        MPAM_NS mpam_ns: bool;
        /// Assured-only check.
        AssuredOnly assured_only: bool;
        /// Top-level protection of TTB0.
        TL0 tl0: bool;
        /// Top-level protection of TTB1.
        TL1 tl1: bool;
        /// VMS address bits 55:12.
        VMSPtr vms_ptr: B44 [B8];
        /// Space of the Secure-IPA walk.
        S2SW s2sw: bool;
        /// Space of a Secure IPA's output.
        S2SA s2sa: bool;
        /// Third bit of the Secure start level.
        S_S2SL0_2 s_s2sl0_2: bool [B1];
        /// Secure stage 2 table address bits 55:4.
        S_S2TTB s_s2ttb: B52 [B5];
        /// Skipped levels, Secure.
        S_S2SKL s_s2skl: B2 [B1];
        /// Stage 2 overlay permissions.
        S2POI s2poi: B64;
    }
}
