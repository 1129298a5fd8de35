//! `step.command`: a command of the SMMU, beside what the driver sends.

use schemars::JsonSchema;
use serde::Deserialize;
use smmu_arch::{
    Asid, CfgiCd, CfgiCdAll, CfgiSte, Command, Granule, StreamId, SubstreamId, TlbiIpa, TlbiRange,
    TlbiVa, TlbiVaa, TlbiVmid, TlbiVmidAsid, Vmid,
};

use super::Tag;

/// A command and its operands; each command has its own, which are all to be given unless a
/// default is named.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandStep {
    /// The SMMU. Default: the only one.
    pub smmu: Option<String>,
    /// The command.
    pub op: Operation,
    /// VMID; a device's name stands for its domain's.
    pub vmid: Option<Tag>,
    /// ASID; a device's name stands for its domain's.
    pub asid: Option<Tag>,
    /// StreamID; a device's name stands for its first one.
    pub stream: Option<Tag>,
    /// SubstreamID. Default: 0.
    pub substream: Option<u32>,
    /// First address, a VA or an IPA, aligned to 4 KiB.
    pub address: Option<u64>,
    /// Pages of 4 KiB from `address` on: 1 to 32, times a power of two. More than 1 needs range
    /// invalidation (IDR3.RIL). Default: 1.
    pub pages: Option<u64>,
    /// Leaf: only the last level. Default: false.
    pub leaf: Option<bool>,
    /// A CMD_SYNC follows and is waited for. Default: true.
    #[serde(default = "yes")]
    pub sync: bool,
}

fn yes() -> bool {
    true
}

/// What a command does, with the operands that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// CMD_CFGI_STE: `stream`, `leaf`.
    CfgiSte,
    /// CMD_CFGI_CD: `stream`, `substream`, `leaf`.
    CfgiCd,
    /// CMD_CFGI_CD_ALL: `stream`.
    CfgiCdAll,
    /// CMD_CFGI_ALL.
    CfgiAll,
    /// CMD_TLBI_NH_ALL, stage 1 of a VMID: `vmid`.
    TlbiNhAll,
    /// CMD_TLBI_NH_ASID, an ASID of a VMID: `vmid`, `asid`.
    TlbiNhAsid,
    /// CMD_TLBI_NH_VA, addresses in an ASID of a VMID: `vmid`, `asid`, `address`, `pages`, `leaf`.
    TlbiNhVa,
    /// CMD_TLBI_NH_VAA, addresses in all ASIDs of a VMID: `vmid`, `address`, `pages`, `leaf`.
    TlbiNhVaa,
    /// CMD_TLBI_S12_VMALL, both stages of a VMID: `vmid`.
    TlbiS12Vmall,
    /// CMD_TLBI_S2_IPA, IPAs of a VMID: `vmid`, `address`, `pages`, `leaf`.
    TlbiS2Ipa,
    /// CMD_TLBI_NSNH_ALL: everything but EL2.
    TlbiNsnhAll,
    /// CMD_TLBI_EL2_ALL: everything of EL2.
    TlbiEl2All,
}

/// An operand of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operand {
    /// VMID.
    Vmid,
    /// ASID.
    Asid,
    /// StreamID.
    Stream,
    /// SubstreamID.
    Substream,
    /// Address.
    Address,
    /// Pages.
    Pages,
    /// Leaf.
    Leaf,
}

impl Operand {
    /// The key of the scenario file.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Vmid => "vmid",
            Self::Asid => "asid",
            Self::Stream => "stream",
            Self::Substream => "substream",
            Self::Address => "address",
            Self::Pages => "pages",
            Self::Leaf => "leaf",
        }
    }

    /// Has a default.
    pub(super) const fn is_optional(self) -> bool {
        matches!(self, Self::Substream | Self::Pages | Self::Leaf)
    }
}

impl Operation {
    /// The operands that it has.
    pub(super) const fn operands(self) -> &'static [Operand] {
        use Operand::{Address, Asid, Leaf, Pages, Stream, Substream, Vmid};
        match self {
            Self::CfgiSte => &[Stream, Leaf],
            Self::CfgiCd => &[Stream, Substream, Leaf],
            Self::CfgiCdAll => &[Stream],
            Self::CfgiAll | Self::TlbiNsnhAll | Self::TlbiEl2All => &[],
            Self::TlbiNhAll | Self::TlbiS12Vmall => &[Vmid],
            Self::TlbiNhAsid => &[Vmid, Asid],
            Self::TlbiNhVa => &[Vmid, Asid, Address, Pages, Leaf],
            Self::TlbiNhVaa | Self::TlbiS2Ipa => &[Vmid, Address, Pages, Leaf],
        }
    }
}

impl CommandStep {
    /// The command. `number` gives the VMID, ASID or StreamID that a device has; an operand that
    /// is missing counts as 0, numbers are cut to the width of their field (a scenario that was
    /// loaded has neither).
    #[must_use]
    pub fn command(&self, mut number: impl FnMut(Operand, &str) -> u32) -> Command {
        let mut resolve = |operand, tag: &Option<Tag>| match tag {
            None => 0,
            Some(Tag::Number(number)) => *number,
            Some(Tag::Device(device)) => number(operand, device),
        };
        let vmid = Vmid(resolve(Operand::Vmid, &self.vmid) as u16);
        let asid = Asid(resolve(Operand::Asid, &self.asid) as u16);
        let stream = StreamId(resolve(Operand::Stream, &self.stream));
        let leaf = self.leaf.unwrap_or(false);
        let range = self.range(leaf);
        match self.op {
            Operation::CfgiSte => Command::CfgiSte(CfgiSte { stream, leaf }),
            Operation::CfgiCd => {
                let substream = SubstreamId(self.substream.unwrap_or(0));
                Command::CfgiCd(CfgiCd { stream, substream, leaf })
            }
            Operation::CfgiCdAll => Command::CfgiCdAll(CfgiCdAll { stream }),
            Operation::CfgiAll => Command::CfgiAll,
            Operation::TlbiNhAll => Command::TlbiNhAll(TlbiVmid { vmid }),
            Operation::TlbiNhAsid => Command::TlbiNhAsid(TlbiVmidAsid { vmid, asid }),
            Operation::TlbiNhVa => Command::TlbiNhVa(TlbiVa { vmid, asid, range }),
            Operation::TlbiNhVaa => Command::TlbiNhVaa(TlbiVaa { vmid, range }),
            Operation::TlbiS12Vmall => Command::TlbiS12Vmall(TlbiVmid { vmid }),
            Operation::TlbiS2Ipa => Command::TlbiS2Ipa(TlbiIpa { vmid, range }),
            Operation::TlbiNsnhAll => Command::TlbiNsnhAll,
            Operation::TlbiEl2All => Command::TlbiEl2All,
        }
    }

    fn range(&self, leaf: bool) -> TlbiRange {
        let address = self.address.unwrap_or(0);
        match self.pages.and_then(num_and_scale) {
            Some((0, 0)) | None => TlbiRange::single(address, leaf),
            Some((num, scale)) => TlbiRange::granules(address, Granule::K4, num, scale, leaf),
        }
    }

    /// Whether an operand is given.
    pub(super) const fn has(&self, operand: Operand) -> bool {
        match operand {
            Operand::Vmid => self.vmid.is_some(),
            Operand::Asid => self.asid.is_some(),
            Operand::Stream => self.stream.is_some(),
            Operand::Substream => self.substream.is_some(),
            Operand::Address => self.address.is_some(),
            Operand::Pages => self.pages.is_some(),
            Operand::Leaf => self.leaf.is_some(),
        }
    }
}

/// NUM and SCALE for a number of granules, if one command can name it:
/// pages = (NUM + 1) * 2^SCALE, NUM of 5 bits, SCALE of 5.
pub(super) fn num_and_scale(pages: u64) -> Option<(u8, u8)> {
    let scale = pages.checked_ilog2()?.min(pages.trailing_zeros());
    let (mut units, mut scale) = (pages >> scale, scale);
    while units * 2 <= 32 && scale > 0 {
        (units, scale) = (units * 2, scale - 1);
    }
    (units <= 32 && scale < 32).then(|| (units as u8 - 1, scale as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_pages_is_named_exactly_or_not_at_all() {
        assert_eq!(num_and_scale(1), Some((0, 0)));
        assert_eq!(num_and_scale(32), Some((31, 0)));
        assert_eq!(num_and_scale(512), Some((31, 4)));
        assert_eq!(num_and_scale(33), None);
        assert_eq!(num_and_scale(0), None);
        assert_eq!(num_and_scale(66), None);
        assert_eq!(num_and_scale(62), Some((30, 1)));
    }

    #[test]
    fn devices_stand_for_their_numbers() {
        let step = CommandStep {
            smmu: None,
            op: Operation::TlbiNhAsid,
            vmid: Some(Tag::Number(0)),
            asid: Some(Tag::Device("nic0".to_owned())),
            stream: None,
            substream: None,
            address: None,
            pages: None,
            leaf: None,
            sync: true,
        };
        let command = step.command(|operand, device| {
            assert_eq!((operand, device), (Operand::Asid, "nic0"));
            7
        });
        assert_eq!(command, Command::TlbiNhAsid(TlbiVmidAsid { vmid: Vmid(0), asid: Asid(7) }));
    }
}
