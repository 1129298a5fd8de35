//! What a command invalidates: exactly what the architecture requires and no more.

use super::{Command, CommandFeatures, TlbiRange};
use crate::{
    Asid, AsidMatch, ConfigScope, Invalidation, Stages, TlbScope, Vmid, VmidMatch, Worlds,
};

impl Command {
    /// The scope of a CFGI or TLBI command; `None` for commands that invalidate nothing that is
    /// modelled as cached (also DPTI and CFGI_VMS_PIDM: no structure holds DPT or VMS entries).
    ///
    /// `e2h` is CR2.E2H. `vmw_ignore` has the low VMID bits set that CR0.VMW takes out of the
    /// comparison (0, 1, 3, 7 or 15).
    #[must_use]
    pub fn scope(
        &self,
        features: &CommandFeatures,
        e2h: bool,
        vmw_ignore: u16,
    ) -> Option<Invalidation> {
        let of = Scoper { features, e2h, vmw_ignore };
        let scope = match *self {
            Self::CfgiSte(c) => {
                return configuration(ConfigScope::Ste { stream: c.stream, leaf: c.leaf });
            }
            Self::CfgiSteRange(c) => {
                return configuration(ConfigScope::SteRange { first: c.first(), log2: c.log2() });
            }
            Self::CfgiAll => return configuration(ConfigScope::All),
            Self::CfgiCd(c) => {
                let (stream, substream) = (c.stream, c.substream);
                return configuration(ConfigScope::Cd { stream, substream, leaf: c.leaf });
            }
            Self::CfgiCdAll(c) => return configuration(ConfigScope::CdAll { stream: c.stream }),
            Self::TlbiNhAll(c) => of.el1(Stages::Stage1, c.vmid),
            Self::TlbiNhAsid(c) => {
                let asid = AsidMatch::NonGlobal(of.asid(c.asid));
                TlbScope { asid, ..of.el1(Stages::Stage1, c.vmid) }
            }
            Self::TlbiNhVa(c) => {
                let asid = AsidMatch::OrGlobal(of.asid(c.asid));
                of.range(TlbScope { asid, ..of.el1(Stages::Stage1, c.vmid) }, &c.range)
            }
            Self::TlbiNhVaa(c) => of.range(of.el1(Stages::Stage1, c.vmid), &c.range),
            Self::TlbiEl2All => TlbScope { worlds: Worlds::AnyEl2, ..of.el2() },
            // Without E2H there is no ASID and nothing needs to match; no entry of EL2-E2H exists.
            Self::TlbiEl2Asid(c) => TlbScope {
                worlds: Worlds::El2E2h,
                asid: AsidMatch::NonGlobal(of.asid(c.asid)),
                ..of.el2()
            },
            Self::TlbiEl2Va(c) => {
                let asid = if e2h { AsidMatch::OrGlobal(of.asid(c.asid)) } else { AsidMatch::Any };
                of.range(TlbScope { asid, ..of.el2() }, &c.range)
            }
            Self::TlbiEl2Vaa(c) => of.range(of.el2(), &c.range),
            Self::TlbiS12Vmall(c) => of.el1(Stages::Both, c.vmid),
            Self::TlbiS2Ipa(c) => of.range(of.el1(Stages::Stage2, c.vmid), &c.range),
            Self::TlbiNsnhAll => TlbScope::NSNH_ALL,
            Self::PrefetchConfig(_)
            | Self::PrefetchAddr(_)
            | Self::CfgiVmsPidm(_)
            | Self::AtcInv(_)
            | Self::PriResp(_)
            | Self::Resume(_)
            | Self::StallTerm(_)
            | Self::Sync(_)
            | Self::DptiAll
            | Self::DptiPa(_) => return None,
        };
        Some(Invalidation::Translations(scope))
    }
}

fn configuration(scope: ConfigScope) -> Option<Invalidation> {
    Some(Invalidation::Configuration(scope))
}

/// What every TLBI is read with.
struct Scoper<'a> {
    features: &'a CommandFeatures,
    e2h: bool,
    vmw_ignore: u16,
}

impl Scoper<'_> {
    /// A VMID of Non-secure EL1, every ASID, every address.
    fn el1(&self, stages: Stages, vmid: Vmid) -> TlbScope {
        TlbScope { stages, vmid: self.vmid(vmid), ..TlbScope::NSNH_ALL }
    }

    /// The EL2 world that CR2.E2H selects, every ASID, every address.
    fn el2(&self) -> TlbScope {
        let worlds = if self.e2h { Worlds::El2E2h } else { Worlds::El2 };
        TlbScope { worlds, stages: Stages::Stage1, ..TlbScope::NSNH_ALL }
    }

    fn range(&self, scope: TlbScope, range: &TlbiRange) -> TlbScope {
        TlbScope { address: Some(range.scope(self.features)), ..scope }
    }

    fn vmid(&self, vmid: Vmid) -> VmidMatch {
        if !self.features.stage2 {
            return VmidMatch::Any;
        }
        let vmid = if self.features.vmid16 { vmid } else { Vmid(vmid.0 & 0xff) };
        VmidMatch::Like { vmid, ignore: self.vmw_ignore }
    }

    fn asid(&self, asid: Asid) -> Asid {
        if self.features.asid16 { asid } else { Asid(asid.0 & 0xff) }
    }
}
