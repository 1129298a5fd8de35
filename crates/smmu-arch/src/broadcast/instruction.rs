//! From an instruction of a PE to what is broadcast.

use super::{BroadcastTlbi, operand};
use crate::{
    Asid, TlbiAsid, TlbiEl2Va, TlbiEl2Vaa, TlbiIpa, TlbiRange, TlbiVa, TlbiVaa, TlbiVmid,
    TlbiVmidAsid, Vmid,
};

/// Declares the instructions with their mnemonics.
macro_rules! instructions {
    ($(#[$meta:meta])* $name:ident { $($variant:ident $mnemonic:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $( #[doc = concat!("TLBI ", $mnemonic, ".")] $variant, )*
        }

        impl $name {
            /// Every instruction.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The mnemonic, as it stands behind `TLBI`.
            #[must_use]
            pub const fn mnemonic(self) -> &'static str {
                match self { $(Self::$variant => $mnemonic),* }
            }
        }
    };
}

instructions! {
    /// A TLBI instruction that is broadcast in the Inner Shareable domain. Those of the Outer
    /// Shareable domain (OS) act alike. An L stands for the last level only, an R in front for a
    /// range.
    TlbiInstruction {
        Vmalle1Is "VMALLE1IS";
        Aside1Is "ASIDE1IS";
        Vae1Is "VAE1IS";
        Vale1Is "VALE1IS";
        Vaae1Is "VAAE1IS";
        Vaale1Is "VAALE1IS";
        Rvae1Is "RVAE1IS";
        Rvale1Is "RVALE1IS";
        Rvaae1Is "RVAAE1IS";
        Rvaale1Is "RVAALE1IS";
        Vmalls12e1Is "VMALLS12E1IS";
        Ipas2e1Is "IPAS2E1IS";
        Ipas2le1Is "IPAS2LE1IS";
        Ripas2e1Is "RIPAS2E1IS";
        Ripas2le1Is "RIPAS2LE1IS";
        Alle1Is "ALLE1IS";
        Alle2Is "ALLE2IS";
        Vae2Is "VAE2IS";
        Vale2Is "VALE2IS";
        Rvae2Is "RVAE2IS";
        Rvale2Is "RVALE2IS";
    }
}

/// What a TLBI instruction takes from the PE that executes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PeContext {
    /// The current VMID (VTTBR_EL2.VMID).
    pub vmid: Vmid,
    /// HCR_EL2.E2H and TGE are 1: stage 1 instructions of EL1 act on EL2&0.
    pub host: bool,
}

impl BroadcastTlbi {
    /// What a PE broadcasts for an instruction with the operand `xt`, which those without one
    /// ignore. `None` for a range of the reserved granule, which names nothing.
    #[must_use]
    pub fn of(instruction: TlbiInstruction, xt: u64, pe: &PeContext) -> Option<Self> {
        use TlbiInstruction as I;
        let regime = Regime { pe, asid: operand::asid(xt) };
        let ipa = |range| Self::Ipas2e1(TlbiIpa { vmid: pe.vmid, range });
        Some(match instruction {
            I::Vmalle1Is => regime.all(),
            I::Aside1Is => regime.of_asid(),
            I::Vae1Is => regime.va(operand::va(xt, false)),
            I::Vale1Is => regime.va(operand::va(xt, true)),
            I::Vaae1Is => regime.vaa(operand::va(xt, false)),
            I::Vaale1Is => regime.vaa(operand::va(xt, true)),
            I::Rvae1Is => regime.va(operand::va_range(xt, false)?),
            I::Rvale1Is => regime.va(operand::va_range(xt, true)?),
            I::Rvaae1Is => regime.vaa(operand::va_range(xt, false)?),
            I::Rvaale1Is => regime.vaa(operand::va_range(xt, true)?),
            I::Vmalls12e1Is => Self::Vmalls12e1(TlbiVmid { vmid: pe.vmid }),
            I::Ipas2e1Is => ipa(operand::ipa(xt, false)),
            I::Ipas2le1Is => ipa(operand::ipa(xt, true)),
            I::Ripas2e1Is => ipa(operand::ipa_range(xt, false)?),
            I::Ripas2le1Is => ipa(operand::ipa_range(xt, true)?),
            I::Alle1Is => Self::Alle1,
            I::Alle2Is => Self::Alle2,
            I::Vae2Is => regime.va2(operand::va(xt, false)),
            I::Vale2Is => regime.va2(operand::va(xt, true)),
            I::Rvae2Is => regime.va2(operand::va_range(xt, false)?),
            I::Rvale2Is => regime.va2(operand::va_range(xt, true)?),
        })
    }
}

/// Whom stage 1 instructions act on: EL1&0 of the current VMID, or EL2&0 for a host.
struct Regime<'a> {
    pe: &'a PeContext,
    asid: Asid,
}

impl Regime<'_> {
    const fn all(&self) -> BroadcastTlbi {
        match *self.pe {
            PeContext { host: true, .. } => BroadcastTlbi::Alle2,
            PeContext { vmid, .. } => BroadcastTlbi::Vmalle1(TlbiVmid { vmid }),
        }
    }

    const fn of_asid(&self) -> BroadcastTlbi {
        let asid = self.asid;
        match *self.pe {
            PeContext { host: true, .. } => BroadcastTlbi::Aside2(TlbiAsid { asid }),
            PeContext { vmid, .. } => BroadcastTlbi::Aside1(TlbiVmidAsid { vmid, asid }),
        }
    }

    const fn va(&self, range: TlbiRange) -> BroadcastTlbi {
        let asid = self.asid;
        match *self.pe {
            PeContext { host: true, .. } => self.va2(range),
            PeContext { vmid, .. } => BroadcastTlbi::Vae1(TlbiVa { vmid, asid, range }),
        }
    }

    const fn vaa(&self, range: TlbiRange) -> BroadcastTlbi {
        match *self.pe {
            PeContext { host: true, .. } => BroadcastTlbi::Vaae2(TlbiEl2Vaa { range }),
            PeContext { vmid, .. } => BroadcastTlbi::Vaae1(TlbiVaa { vmid, range }),
        }
    }

    const fn va2(&self, range: TlbiRange) -> BroadcastTlbi {
        BroadcastTlbi::Vae2(TlbiEl2Va { asid: self.asid, range })
    }
}
