//! When an STE is ILLEGAL. Section "STE", "Validity of STE".

use super::{Eats, Ste};
use crate::address_size::exceeds;
use crate::rules::rules;
use crate::{Features, Granule, HardwareUpdate, StallModel, StreamConfig, StreamWorld};

rules! {
    /// Why an STE is ILLEGAL. A transaction that uses it gets C_BAD_STE.
    IllegalSte(s: &Ste, f: &Features) {
        Invalid "STE-V", "V is 0" => !s.valid;
        S1p "STE-S1P", "stage 1 is configured but not implemented" => s.config.has_stage1() && !f.s1p;
        S2p "STE-S2P", "stage 2 is configured but not implemented" => s.config.has_stage2() && !f.s2p;
        Strw "STE-STRW", "STRW is 1 or 3 in a Non-secure stage-1-only stream" => s.config == StreamConfig::Stage1 && f.s1p && f.hyp && s.strw & 1 != 0;
        EatsSplit "STE-EATS-SPLIT", "split-stage ATS without nesting, with S2S, or where NS1ATS excludes it" => split_ats_is_illegal(s, f);
        EatsFullS2s "STE-EATS-FULL-S2S", "full ATS with stage 2 faults that stall" => f.ats && s.eats == Eats::Full && s.config.has_stage2() && s.s2_s;
        S1Stalld "STE-S1STALLD", "S1STALLD is 1 although the stall model is not optional" => s.config.has_stage1() && s.s1_stalld && f.stall_model != StallModel::StallAndTerminate;
        S1CdMax "STE-S1CDMAX", "S1CDMax is larger than SSIDSIZE" => has_substreams(s, f) && s.s1_cd_max > f.ssid_bits;
        S1Fmt "STE-S1FMT", "a 2-level CD table is not implemented" => has_substreams(s, f) && s.s1_fmt != super::CdFormat::Linear && !f.two_level_cd;
        S1ContextPtr "STE-S1CTXPTR", "S1ContextPtr is beyond the OAS" => f.minor_revision >= 1 && s.config == StreamConfig::Stage1 && exceeds(s.s1_context_ptr, f.oas_bits);
        S2Fwb "STE-S2FWB", "S2FWB is 1 with LPAE tables" => lpae(s) && f.fwb && s.s2_fwb;
        S2sNoStall "STE-S2S-NOSTALL", "S2S is 1 although nothing may stall" => s.config.has_stage2() && s.s2_s && f.stall_model == StallModel::TerminateOnly;
        S2sForced "STE-S2S-FORCED", "S2S is 0 although stalls are forced" => s.config.has_stage2() && !s.s2_s && f.stall_model == StallModel::StallForced;
        S2Aa64 "STE-S2AA64", "S2AA64 selects a table format that is not implemented" => s.config.has_stage2() && !(if s.s2_aa64 { f.aarch64_tables } else { f.lpae_tables });
        S2HttuLpae "STE-S2HTTU-LPAE", "S2HA or S2HD is 1 with LPAE tables" => lpae(s) && (s.s2_ha || s.s2_hd);
        S2Httu0 "STE-S2HTTU-0", "S2HA or S2HD is 1 although HTTU is 0" => s.config.has_stage2() && f.httu == HardwareUpdate::None && (s.s2_ha || s.s2_hd);
        S2Httu1 "STE-S2HTTU-1", "S2HD is 1 although HTTU is 1" => s.config.has_stage2() && f.httu == HardwareUpdate::AccessFlag && s.s2_hd;
        S2Tg "STE-S2TG", "S2TG is reserved or names a granule that is not implemented" => aa64(s) && !s.s2_tg.is_some_and(|granule| f.supports(granule));
        S2TtbRange "STE-S2TTB-RANGE", "S2TTB is beyond the effective stage 2 output size" => s.config.has_stage2() && exceeds(s.s2_ttb, s.s2_output_bits(f));
        S2T0szMax "STE-S2T0SZ-MAX", "S2T0SZ is too large" => aa64(s) && s.s2_t0sz > t0sz_max(s.s2_tg, f);
        S2T0szMin "STE-S2T0SZ-MIN", "S2T0SZ is too small" => aa64(s) && s.s2_t0sz < s2_t0sz_min(s, f);
        S2Start "STE-S2-START", "S2TG, S2SL0 and S2T0SZ give no start level" => aa64(s) && s.s2_tg.is_some() && s.start_level(f).is_none();
        S2Endi "STE-S2ENDI", "S2ENDI selects a byte order that is not implemented" => s.config.has_stage2() && !f.endianness.supports(s.s2_endi);
        Vmid8 "STE-VMID8", "S2VMID has more than 8 bits although VMID16 is 0" => uses_vmid(s, f) && !f.vmid16 && s.vmid.0 > 0xff;
    }
}

impl Ste {
    /// Whether a transaction may use the STE. An STE whose Config is abort has no other rule than
    /// to be valid.
    ///
    /// # Errors
    ///
    /// The first rule that is broken: the transaction gets C_BAD_STE.
    pub fn check(&self, features: &Features) -> Result<(), IllegalSte> {
        self.violations(features).next().map_or(Ok(()), Err)
    }

    /// Every rule that is broken, for messages and tests.
    pub fn violations(&self, features: &Features) -> impl Iterator<Item = IllegalSte> {
        let visible = match (self.valid, self.config) {
            (false, _) => &IllegalSte::ALL[..1],
            (true, StreamConfig::Abort) => &[],
            (true, _) => &IllegalSte::ALL[1..],
        };
        visible.iter().copied().filter(|rule| rule.is_broken(self, features))
    }
}

fn aa64(s: &Ste) -> bool {
    s.config.has_stage2() && s.s2_aa64
}

fn lpae(s: &Ste) -> bool {
    s.config.has_stage2() && !s.s2_aa64
}

fn has_substreams(s: &Ste, f: &Features) -> bool {
    s.config.has_stage1() && f.ssid_bits != 0 && s.s1_cd_max != 0
}

fn uses_vmid(s: &Ste, f: &Features) -> bool {
    f.s2p && s.config != StreamConfig::Bypass && s.stream_world(f, false) == StreamWorld::NsEl1
}

fn split_ats_is_illegal(s: &Ste, f: &Features) -> bool {
    let legal = s.config == StreamConfig::Nested && !s.s2_s && !f.ns1ats;
    f.ats && s.eats == Eats::Split && s.config != StreamConfig::Bypass && !legal
}

/// Largest TxSZ of a stage: 39, or with small tables 48, with 64K pages 47.
pub(crate) fn t0sz_max(granule: Option<Granule>, f: &Features) -> u8 {
    match (f.stt, granule) {
        (false, _) => 39,
        (true, Some(Granule::K64)) => 47,
        (true, _) => 48,
    }
}

/// Smallest S2T0SZ: inputs of 48 bits, with 64K pages or S2DS 52, and never more than the IAS.
fn s2_t0sz_min(s: &Ste, f: &Features) -> u8 {
    let wide = s.s2_tg == Some(Granule::K64) || s.s2_ds && f.ds;
    let widest = if wide { 52 } else { 48 };
    64 - f.ias_bits().min(widest)
}
