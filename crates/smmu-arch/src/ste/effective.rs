//! The STE as an SMMU with given features acts on it.

use super::{Eats, InstructionOverride, PrivilegeOverride, Ste};
use crate::{Features, StreamConfig};

impl Ste {
    /// The STE with every field that has no effect set to what "no effect" means, so that nobody
    /// asks for the feature again: overrides that are not implemented, S1CDMax without substreams,
    /// EATS without ATS, S2FWB without FWB, S2HD without S2HA, S2PTW outside nesting. The check is
    /// made on the STE as written.
    #[must_use]
    pub fn effective(&self, features: &Features) -> Self {
        let has_substreams = self.config.has_stage1() && features.ssid_bits != 0;
        let nested = self.config == StreamConfig::Nested;
        Self {
            s1_cd_max: if has_substreams { self.s1_cd_max } else { 0 },
            eats: self.effective_eats(features),
            ppar: self.ppar && features.pri && !features.pps,
            s2_fwb: self.s2_fwb && features.fwb,
            s2_ds: self.s2_ds && features.ds,
            s2_hd: self.s2_hd && self.s2_ha,
            s2_ptw: self.s2_ptw && nested,
            ..self.effective_overrides(features)
        }
    }

    /// EATS = 2 counts only while CR0.ATSCHK is 1, which is not known here.
    fn effective_eats(&self, features: &Features) -> Eats {
        let ignored = !features.ats
            || self.eats == Eats::Dpt
            || matches!(self.config, StreamConfig::Abort | StreamConfig::Bypass);
        if ignored { Eats::Disabled } else { self.eats }
    }

    fn effective_overrides(&self, features: &Features) -> Self {
        let mut ste = *self;
        if !features.attr_types_ovr {
            (ste.mtcfg, ste.alloc_cfg, ste.sh_cfg) = (false, 0, None);
        }
        if !features.attr_perms_ovr {
            ste.priv_cfg = PrivilegeOverride::Incoming;
            ste.inst_cfg = InstructionOverride::Incoming;
        }
        ste
    }
}
