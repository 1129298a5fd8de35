//! What is different about the look-ups of GATOS and VATOS, and of the STE of a page request.
//!
//! Architecture: section "Address translation operations".

use super::{Next, Purpose, Refused, Translation, Treatment, access_of, translating};
use crate::atos::{Lookup, Stages};
use crate::regime::regime;
use smmu_arch::{Fault, InstructionOverride, PrivilegeOverride, Ste, StreamConfig};
use smmu_tables::Walk;

impl Translation {
    /// What a legal STE decides, one that aborts included. `None` goes on.
    #[cold]
    pub(super) fn judge_ste(&mut self, ste: &Ste) -> Option<Next> {
        let effective = ste.effective(&self.globals.features);
        match &mut self.purpose {
            Purpose::PageResponse { ppar } => {
                *ppar = Some(effective.ppar);
                Some(Err(Refused::silent()))
            }
            Purpose::Lookup(lookup) => {
                if lookup.vmid.is_some_and(|vmid| !serves(&effective, vmid)) {
                    return Some(Err(self.configuration(Fault::BadSte)));
                }
                lookup.wrong_stage = !has_stages(ste.config, lookup.stages);
                lookup.wrong_stage.then(|| Err(Refused::silent()))
            }
            _ => None,
        }
    }

    /// The STE as a look-up acts on it: overrides do not apply.
    pub(super) fn without_overrides(&self, ste: Ste) -> Ste {
        if !matches!(self.purpose, Purpose::Lookup(_)) {
            return ste;
        }
        Ste {
            priv_cfg: PrivilegeOverride::Incoming,
            inst_cfg: InstructionOverride::Incoming,
            mtcfg: false,
            sh_cfg: None,
            ..ste
        }
    }

    /// A look-up of stage 2 alone needs no CD.
    #[cold]
    pub(super) fn enter_stage2(&mut self, ste: &Ste) -> Option<Next> {
        let Purpose::Lookup(lookup) = &self.purpose else { return None };
        let second = lookup.stages == Stages::Second;
        second.then(|| self.treat(Treatment::Translate(regime(ste, None, &self.globals))))
    }

    pub(super) fn lookup_walk(&self, lookup: &Lookup) -> Walk {
        let regime = translating(&self.treatment);
        let access = access_of(&self.transaction, regime);
        let walk = Walk::new(regime, self.transaction.iova.0, access);
        if lookup.stages == Stages::First { walk.up_to_stage1() } else { walk }
    }
}

/// VATOS serves streams of one VMID that translate.
fn serves(ste: &Ste, vmid: smmu_arch::Vmid) -> bool {
    let translates = ste.config.has_stage1() || ste.config.has_stage2();
    translates && ste.strw == 0 && ste.vmid == vmid
}

const fn has_stages(config: StreamConfig, stages: Stages) -> bool {
    match stages {
        Stages::First => config.has_stage1(),
        Stages::Second => config.has_stage2(),
        Stages::Both => config.has_stage1() && config.has_stage2(),
    }
}
