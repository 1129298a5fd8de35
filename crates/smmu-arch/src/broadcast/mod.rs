//! Broadcast TLB maintenance: TLBI instructions of PEs, as they reach an SMMU.
//!
//! Architecture: section "TLB tagging, VMIDs, ASIDs and participation in broadcast TLB
//! maintenance" with IDR0.BTM, CR2.PTM and CD.ASET; for the instructions DDI 0487, "TLB
//! maintenance instructions". A broadcast touches neither configuration structures nor the caches
//! of endpoints.

mod instruction;
#[allow(unreachable_pub, reason = "constructors that modular-bitfield generates")]
mod operand;

use std::fmt;

pub use instruction::{PeContext, TlbiInstruction};

use crate::{
    AsidMatch, Command, CommandFeatures, Invalidation, TlbScope, TlbiAsid, TlbiEl2Va, TlbiEl2Vaa,
    TlbiIpa, TlbiVa, TlbiVaa, TlbiVmid, TlbiVmidAsid,
};

/// A TLBI instruction on its way to all that take part in TLB maintenance: translation regime,
/// tags and addresses, whatever the mnemonic. [`BroadcastTlbi::of`] makes one as a PE does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BroadcastTlbi {
    /// VMALLE1IS: stage 1 of a VMID.
    Vmalle1(TlbiVmid),
    /// ASIDE1IS: an ASID of a VMID.
    Aside1(TlbiVmidAsid),
    /// VAE1IS, VALE1IS and their ranges: addresses in an ASID of a VMID.
    Vae1(TlbiVa),
    /// VAAE1IS, VAALE1IS and their ranges: addresses in every ASID of a VMID.
    Vaae1(TlbiVaa),
    /// VMALLS12E1IS: both stages of a VMID.
    Vmalls12e1(TlbiVmid),
    /// IPAS2E1IS, IPAS2LE1IS and their ranges: stage 2 of a VMID.
    Ipas2e1(TlbiIpa),
    /// ALLE1IS: everything of EL1.
    Alle1,
    /// ALLE2IS: everything of EL2. Also VMALLE1IS of a host.
    Alle2,
    /// ASIDE1IS of a host: an ASID of EL2&0.
    Aside2(TlbiAsid),
    /// VAE2IS, VALE2IS and their ranges: addresses of EL2, or in an ASID of EL2&0.
    Vae2(TlbiEl2Va),
    /// VAAE1IS of a host, and its like: addresses in every ASID of EL2&0.
    Vaae2(TlbiEl2Vaa),
}

impl BroadcastTlbi {
    /// What an SMMU forgets that takes part. `e2h` is CR2.E2H and `vmw_ignore` the low VMID bits
    /// that CR0.VMW takes out of the comparison, as for [`Command::scope`].
    ///
    /// The scope is that of a command, but for three things. Where an ASID is compared, entries of
    /// contexts with CD.ASET = 1 are spared. VMIDs are compared without stage 2 as well: there all
    /// entries have VMID 0. And IDR3.RIL, which is about commands, does not count: a PE that has
    /// no ranges sends none (a choice).
    #[must_use]
    pub fn scope(&self, features: &CommandFeatures, e2h: bool, vmw_ignore: u16) -> Invalidation {
        let features = CommandFeatures { stage2: true, ril: true, ..*features };
        match self.like().scope(&features, e2h, vmw_ignore) {
            Some(Invalidation::Translations(scope)) => Invalidation::Translations(TlbScope {
                shared_only: scope.asid != AsidMatch::Any,
                ..scope
            }),
            other => unreachable!("a TLBI command acts on translations, not {other:?}"),
        }
    }

    /// The command of the Command queue that names the same.
    const fn like(&self) -> Command {
        match *self {
            Self::Vmalle1(t) => Command::TlbiNhAll(t),
            Self::Aside1(t) => Command::TlbiNhAsid(t),
            Self::Vae1(t) => Command::TlbiNhVa(t),
            Self::Vaae1(t) => Command::TlbiNhVaa(t),
            Self::Vmalls12e1(t) => Command::TlbiS12Vmall(t),
            Self::Ipas2e1(t) => Command::TlbiS2Ipa(t),
            Self::Alle1 => Command::TlbiNsnhAll,
            Self::Alle2 => Command::TlbiEl2All,
            Self::Aside2(t) => Command::TlbiEl2Asid(t),
            Self::Vae2(t) => Command::TlbiEl2Va(t),
            Self::Vaae2(t) => Command::TlbiEl2Vaa(t),
        }
    }
}

impl fmt::Display for BroadcastTlbi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vmalle1(t) => write!(f, "TLBI VMALLE1IS {t}"),
            Self::Aside1(t) => write!(f, "TLBI ASIDE1IS {t}"),
            Self::Vae1(t) => write!(f, "TLBI VAE1IS {t}"),
            Self::Vaae1(t) => write!(f, "TLBI VAAE1IS {t}"),
            Self::Vmalls12e1(t) => write!(f, "TLBI VMALLS12E1IS {t}"),
            Self::Ipas2e1(t) => write!(f, "TLBI IPAS2E1IS {t}"),
            Self::Alle1 => f.write_str("TLBI ALLE1IS"),
            Self::Alle2 => f.write_str("TLBI ALLE2IS"),
            Self::Aside2(t) => write!(f, "TLBI ASIDE1IS (EL2&0) {t}"),
            Self::Vae2(t) => write!(f, "TLBI VAE2IS {t}"),
            Self::Vaae2(t) => write!(f, "TLBI VAAE1IS (EL2&0) {t}"),
        }
    }
}
