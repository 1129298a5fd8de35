//! What a command needs of an implementation.

use super::{Command, IllegalCommand};

/// The part of the ID registers that decides whether a command is legal and what it covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CommandFeatures {
    /// IDR0.S1P: stage 1.
    pub stage1: bool,
    /// IDR0.S2P: stage 2. Without it VMIDs are not compared.
    pub stage2: bool,
    /// IDR0.HYP: EL2 and EL2-E2H.
    pub hyp: bool,
    /// IDR0.ATS.
    pub ats: bool,
    /// IDR0.PRI.
    pub pri: bool,
    /// IDR0.STALL_MODEL is not 1 and S_CR0.NSSTALLD is 0: transactions may stall.
    pub stall: bool,
    /// IDR0.VMID16: without it VMIDs have eight bits.
    pub vmid16: bool,
    /// IDR0.ASID16: without it ASIDs have eight bits.
    pub asid16: bool,
    /// IDR3.RIL: range fields and level hints.
    pub ril: bool,
    /// IDR3.MPAM.
    pub mpam: bool,
    /// IDR3.DPT: Device Permission Table.
    pub dpt: bool,
    /// IDR5.DS: 52-bit addresses with 4K and 16K granules.
    pub ds: bool,
}

impl CommandFeatures {
    /// Everything is implemented.
    pub const ALL: Self = Self {
        stage1: true,
        stage2: true,
        hyp: true,
        ats: true,
        pri: true,
        stall: true,
        vmid16: true,
        asid16: true,
        ril: true,
        mpam: true,
        dpt: true,
        ds: true,
    };
}

impl Command {
    /// Whether the command is legal on the Non-secure Command queue of an implementation.
    ///
    /// # Errors
    ///
    /// The reason for CERROR_ILL. It beats any reason to ignore the command.
    pub fn check_supported(&self, features: &CommandFeatures) -> Result<(), IllegalCommand> {
        if let Some((implemented, field)) = self.needs(features)
            && !implemented
        {
            return Err(IllegalCommand::Feature(field));
        }
        match self {
            Self::TlbiNhVa(c) => c.range.check(features),
            Self::TlbiNhVaa(c) => c.range.check(features),
            Self::TlbiEl2Va(c) => c.range.check(features),
            Self::TlbiEl2Vaa(c) => c.range.check(features),
            Self::TlbiS2Ipa(c) => c.range.check(features),
            _ => Ok(()), // no other command has range fields
        }
    }

    /// The feature that the command needs: whether it is there, and which field says so.
    fn needs(&self, features: &CommandFeatures) -> Option<(bool, &'static str)> {
        match self {
            Self::PrefetchConfig(_)
            | Self::PrefetchAddr(_)
            | Self::CfgiSte(_)
            | Self::CfgiSteRange(_)
            | Self::CfgiAll
            | Self::TlbiNsnhAll
            | Self::Sync(_) => None,
            Self::CfgiCd(_)
            | Self::CfgiCdAll(_)
            | Self::TlbiNhAll(_)
            | Self::TlbiNhAsid(_)
            | Self::TlbiNhVa(_)
            | Self::TlbiNhVaa(_) => Some((features.stage1, "IDR0.S1P")),
            Self::TlbiS12Vmall(_) | Self::TlbiS2Ipa(_) => Some((features.stage2, "IDR0.S2P")),
            Self::TlbiEl2All | Self::TlbiEl2Asid(_) | Self::TlbiEl2Va(_) | Self::TlbiEl2Vaa(_) => {
                Some((features.hyp, "IDR0.HYP"))
            }
            Self::CfgiVmsPidm(_) => Some((features.mpam, "IDR3.MPAM")),
            Self::AtcInv(_) => Some((features.ats, "IDR0.ATS")),
            Self::PriResp(_) => Some((features.pri, "IDR0.PRI")),
            Self::Resume(_) | Self::StallTerm(_) => Some((features.stall, "IDR0.STALL_MODEL")),
            Self::DptiAll | Self::DptiPa(_) => Some((features.dpt, "IDR3.DPT")),
        }
    }
}
