//! Commands of the Non-secure Command queue.
//!
//! Architecture: section "Commands". A command is two 64-bit words. [`Command::decode`] turns them
//! into a plain value once; [`Command::check_supported`] says whether it is legal where it was
//! issued, and [`Command::scope`] what it invalidates. Reserved bits are ignored, which the
//! architecture leaves to the implementation.

#[allow(unreachable_pub, reason = "constructors that modular-bitfield generates")]
mod config;
mod error;
mod features;
#[allow(unreachable_pub, reason = "constructors that modular-bitfield generates")]
mod queue;
mod scope;
#[allow(unreachable_pub, reason = "constructors that modular-bitfield generates")]
mod tlbi;

use std::fmt;

pub use config::{
    CfgiCd, CfgiCdAll, CfgiSte, CfgiSteRange, CfgiVmsPidm, DptiPa, PrefetchAddr, PrefetchConfig,
};
pub use error::{CommandError, IllegalCommand};
pub use features::CommandFeatures;
pub use queue::{
    AtcInv, CmdSync, PriResp, PriResponse, Resume, ResumeAction, StallTerm, SyncSignal,
};
pub use tlbi::{
    TlbiAsid, TlbiEl2Va, TlbiEl2Vaa, TlbiIpa, TlbiRange, TlbiVa, TlbiVaa, TlbiVmid, TlbiVmidAsid,
};

use crate::layout;
use crate::{FieldInfo, StreamId, SubstreamId};

/// A command of the Non-secure Command queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Command {
    /// CMD_PREFETCH_CONFIG.
    PrefetchConfig(PrefetchConfig),
    /// CMD_PREFETCH_ADDR.
    PrefetchAddr(PrefetchAddr),
    /// CMD_CFGI_STE.
    CfgiSte(CfgiSte),
    /// CMD_CFGI_STE_RANGE with Range below 31.
    CfgiSteRange(CfgiSteRange),
    /// CMD_CFGI_ALL: CMD_CFGI_STE_RANGE with Range = 31.
    CfgiAll,
    /// CMD_CFGI_CD.
    CfgiCd(CfgiCd),
    /// CMD_CFGI_CD_ALL.
    CfgiCdAll(CfgiCdAll),
    /// CMD_CFGI_VMS_PIDM.
    CfgiVmsPidm(CfgiVmsPidm),
    /// CMD_TLBI_NH_ALL: stage 1 of a VMID.
    TlbiNhAll(TlbiVmid),
    /// CMD_TLBI_NH_ASID.
    TlbiNhAsid(TlbiVmidAsid),
    /// CMD_TLBI_NH_VA.
    TlbiNhVa(TlbiVa),
    /// CMD_TLBI_NH_VAA.
    TlbiNhVaa(TlbiVaa),
    /// CMD_TLBI_EL2_ALL.
    TlbiEl2All,
    /// CMD_TLBI_EL2_ASID.
    TlbiEl2Asid(TlbiAsid),
    /// CMD_TLBI_EL2_VA.
    TlbiEl2Va(TlbiEl2Va),
    /// CMD_TLBI_EL2_VAA.
    TlbiEl2Vaa(TlbiEl2Vaa),
    /// CMD_TLBI_S12_VMALL: both stages of a VMID.
    TlbiS12Vmall(TlbiVmid),
    /// CMD_TLBI_S2_IPA.
    TlbiS2Ipa(TlbiIpa),
    /// CMD_TLBI_NSNH_ALL: everything but EL2.
    TlbiNsnhAll,
    /// CMD_ATC_INV.
    AtcInv(AtcInv),
    /// CMD_PRI_RESP.
    PriResp(PriResp),
    /// CMD_RESUME.
    Resume(Resume),
    /// CMD_STALL_TERM.
    StallTerm(StallTerm),
    /// CMD_SYNC.
    Sync(CmdSync),
    /// CMD_DPTI_ALL.
    DptiAll,
    /// CMD_DPTI_PA.
    DptiPa(DptiPa),
}

/// Commands that exist on the Secure Command queue only.
const SECURE_ONLY: [(u8, &str); 9] = [
    (0x18, "CMD_TLBI_EL3_ALL"),
    (0x1a, "CMD_TLBI_EL3_VA"),
    (0x50, "CMD_TLBI_S_EL2_ALL"),
    (0x51, "CMD_TLBI_S_EL2_ASID"),
    (0x52, "CMD_TLBI_S_EL2_VA"),
    (0x53, "CMD_TLBI_S_EL2_VAA"),
    (0x58, "CMD_TLBI_S_S12_VMALL"),
    (0x5a, "CMD_TLBI_S_S2_IPA"),
    (0x60, "CMD_TLBI_SNH_ALL"),
];

impl Command {
    /// Decodes the two words of a queue entry, bit 0 of the entry in bit 0 of the first.
    ///
    /// # Errors
    ///
    /// [`CommandError::Illegal`] for what is illegal on every Non-secure Command queue;
    /// [`Command::check_supported`] knows the rest.
    pub fn decode(words: &[u64; 2]) -> Result<Self, CommandError> {
        Ok(Self::decode_opcode(words[0] as u8, words)?)
    }

    fn decode_opcode(opcode: u8, words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        Ok(match opcode {
            0x01 => Self::PrefetchConfig(PrefetchConfig::decode(words)?),
            0x02 => Self::PrefetchAddr(PrefetchAddr::decode(words)?),
            0x03 => Self::CfgiSte(CfgiSte::decode(words)?),
            0x04 => match CfgiSteRange::decode(words)? {
                range if range.range == CfgiSteRange::ALL.range => Self::CfgiAll,
                range => Self::CfgiSteRange(range),
            },
            0x05 => Self::CfgiCd(CfgiCd::decode(words)?),
            0x06 => Self::CfgiCdAll(CfgiCdAll::decode(words)?),
            0x07 => Self::CfgiVmsPidm(CfgiVmsPidm::decode(words)?),
            0x10 => Self::TlbiNhAll(TlbiVmid::decode(words)),
            0x11 => Self::TlbiNhAsid(TlbiVmidAsid::decode(words)),
            0x12 => Self::TlbiNhVa(TlbiVa::decode(words)),
            0x13 => Self::TlbiNhVaa(TlbiVaa::decode(words)),
            0x20 => Self::TlbiEl2All,
            0x21 => Self::TlbiEl2Asid(TlbiAsid::decode(words)),
            0x22 => Self::TlbiEl2Va(TlbiEl2Va::decode(words)),
            0x23 => Self::TlbiEl2Vaa(TlbiEl2Vaa::decode(words)),
            0x28 => Self::TlbiS12Vmall(TlbiVmid::decode(words)),
            0x2a => Self::TlbiS2Ipa(TlbiIpa::decode(words)),
            0x30 => Self::TlbiNsnhAll,
            0x40 => Self::AtcInv(AtcInv::decode(words)?),
            0x41 => Self::PriResp(PriResp::decode(words)?),
            0x44 => Self::Resume(Resume::decode(words)?),
            0x45 => Self::StallTerm(StallTerm::decode(words)?),
            0x46 => Self::Sync(CmdSync::decode(words)?),
            0x70 => Self::DptiAll,
            0x73 => Self::DptiPa(DptiPa::decode(words)?),
            _ => return Err(refused_opcode(opcode)),
        })
    }

    /// The words of a queue entry; reserved bits are 0.
    #[must_use]
    pub fn encode(&self) -> [u64; 2] {
        let [low, high] = match self {
            Self::CfgiAll => CfgiSteRange::ALL.encode(),
            _ => self.payload().map_or([0; 2], Payload::encode),
        };
        [low | u64::from(self.opcode()), high]
    }

    /// Bits 7:0 of the entry.
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        self.identity().0
    }

    /// Name in the architecture, for example `CMD_TLBI_NH_VA`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.identity().1
    }

    /// The named fields of this command and their bits, lowest bit first.
    #[must_use]
    pub fn fields(&self) -> Vec<(FieldInfo, u64)> {
        Self::fields_of(&self.encode())
    }

    /// The named fields of an entry and their bits as it stands, illegal or not. Empty where its opcode has
    /// none or is not of the Non-secure Command queue.
    #[must_use]
    pub fn fields_of(words: &[u64; 2]) -> Vec<(FieldInfo, u64)> {
        let (layout, reserved) = layout_of(words[0] as u8);
        let mut fields = layout::read(layout, words);
        fields.retain(|(field, _)| !reserved.contains(&field.name));
        fields
    }

    const fn identity(&self) -> (u8, &'static str) {
        match self {
            Self::PrefetchConfig(_) => (0x01, "CMD_PREFETCH_CONFIG"),
            Self::PrefetchAddr(_) => (0x02, "CMD_PREFETCH_ADDR"),
            Self::CfgiSte(_) => (0x03, "CMD_CFGI_STE"),
            Self::CfgiSteRange(_) => (0x04, "CMD_CFGI_STE_RANGE"),
            Self::CfgiAll => (0x04, "CMD_CFGI_ALL"),
            Self::CfgiCd(_) => (0x05, "CMD_CFGI_CD"),
            Self::CfgiCdAll(_) => (0x06, "CMD_CFGI_CD_ALL"),
            Self::CfgiVmsPidm(_) => (0x07, "CMD_CFGI_VMS_PIDM"),
            Self::TlbiNhAll(_) => (0x10, "CMD_TLBI_NH_ALL"),
            Self::TlbiNhAsid(_) => (0x11, "CMD_TLBI_NH_ASID"),
            Self::TlbiNhVa(_) => (0x12, "CMD_TLBI_NH_VA"),
            Self::TlbiNhVaa(_) => (0x13, "CMD_TLBI_NH_VAA"),
            Self::TlbiEl2All => (0x20, "CMD_TLBI_EL2_ALL"),
            Self::TlbiEl2Asid(_) => (0x21, "CMD_TLBI_EL2_ASID"),
            Self::TlbiEl2Va(_) => (0x22, "CMD_TLBI_EL2_VA"),
            Self::TlbiEl2Vaa(_) => (0x23, "CMD_TLBI_EL2_VAA"),
            Self::TlbiS12Vmall(_) => (0x28, "CMD_TLBI_S12_VMALL"),
            Self::TlbiS2Ipa(_) => (0x2a, "CMD_TLBI_S2_IPA"),
            Self::TlbiNsnhAll => (0x30, "CMD_TLBI_NSNH_ALL"),
            Self::AtcInv(_) => (0x40, "CMD_ATC_INV"),
            Self::PriResp(_) => (0x41, "CMD_PRI_RESP"),
            Self::Resume(_) => (0x44, "CMD_RESUME"),
            Self::StallTerm(_) => (0x45, "CMD_STALL_TERM"),
            Self::Sync(_) => (0x46, "CMD_SYNC"),
            Self::DptiAll => (0x70, "CMD_DPTI_ALL"),
            Self::DptiPa(_) => (0x73, "CMD_DPTI_PA"),
        }
    }

    fn payload(&self) -> Option<&dyn Payload> {
        Some(match self {
            Self::CfgiAll | Self::TlbiEl2All | Self::TlbiNsnhAll | Self::DptiAll => return None,
            Self::PrefetchConfig(c) => c,
            Self::PrefetchAddr(c) => c,
            Self::CfgiSte(c) => c,
            Self::CfgiSteRange(c) => c,
            Self::CfgiCd(c) => c,
            Self::CfgiCdAll(c) => c,
            Self::CfgiVmsPidm(c) => c,
            Self::TlbiNhAll(c) | Self::TlbiS12Vmall(c) => c,
            Self::TlbiNhAsid(c) => c,
            Self::TlbiNhVa(c) => c,
            Self::TlbiNhVaa(c) => c,
            Self::TlbiEl2Asid(c) => c,
            Self::TlbiEl2Va(c) => c,
            Self::TlbiEl2Vaa(c) => c,
            Self::TlbiS2Ipa(c) => c,
            Self::AtcInv(c) => c,
            Self::PriResp(c) => c,
            Self::Resume(c) => c,
            Self::StallTerm(c) => c,
            Self::Sync(c) => c,
            Self::DptiPa(c) => c,
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.payload().map_or(Ok(()), |payload| write!(f, " {payload}"))
    }
}

/// What stands in a command besides its opcode. Its text is its arguments.
trait Payload: fmt::Display {
    /// The words, without opcode.
    fn encode(&self) -> [u64; 2];
}

/// The layout of an opcode, and which of its names the command has no use for.
fn layout_of(opcode: u8) -> (&'static [FieldInfo], &'static [&'static str]) {
    match opcode {
        0x01 => (config::PrefetchConfigWords::FIELDS, &[]),
        0x02 => (config::PrefetchAddrWords::FIELDS, &[]),
        0x03 => (config::CfgiSteWords::FIELDS, &[]),
        0x04 => (config::CfgiSteRangeWords::FIELDS, &[]),
        0x05 => (config::CfgiCdWords::FIELDS, &[]),
        0x06 => (config::CfgiCdAllWords::FIELDS, &[]),
        0x07 => (config::CfgiVmsPidmWords::FIELDS, &[]),
        0x10 | 0x28 => (tlbi::TlbiTagWords::FIELDS, &["ASID"]),
        0x11 => (tlbi::TlbiTagWords::FIELDS, &[]),
        0x12 => (tlbi::TlbiVaWords::FIELDS, &[]),
        0x13 => (tlbi::TlbiVaWords::FIELDS, &["ASID"]),
        0x21 => (tlbi::TlbiTagWords::FIELDS, &["VMID"]),
        0x22 => (tlbi::TlbiVaWords::FIELDS, &["VMID"]),
        0x23 => (tlbi::TlbiVaWords::FIELDS, &["VMID", "ASID"]),
        0x2a => (tlbi::TlbiIpaWords::FIELDS, &[]),
        0x40 => (queue::AtcInvWords::FIELDS, &[]),
        0x41 => (queue::PriRespWords::FIELDS, &[]),
        0x44 => (queue::ResumeWords::FIELDS, &[]),
        0x45 => (queue::StallTermWords::FIELDS, &[]),
        0x46 => (queue::SyncWords::FIELDS, &[]),
        0x73 => (config::DptiPaWords::FIELDS, &[]),
        _ => (&[], &[]),
    }
}

fn refused_opcode(opcode: u8) -> IllegalCommand {
    SECURE_ONLY
        .iter()
        .find(|(secure, _)| *secure == opcode)
        .map_or(IllegalCommand::UnknownOpcode(opcode), |&(_, name)| {
            IllegalCommand::SecureOnly(name)
        })
}

fn refuse_ssec(ssec: bool) -> Result<(), IllegalCommand> {
    if ssec { Err(IllegalCommand::Ssec) } else { Ok(()) }
}

/// Shows a stream and, if there is one, its substream.
struct Stream(StreamId, Option<SubstreamId>);

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream={}", self.0)?;
        self.1.map_or(Ok(()), |substream| write!(f, " substream={substream}"))
    }
}

/// Shows Leaf = 1 as a word.
struct Leafed(bool);

impl fmt::Display for Leafed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { " leaf" } else { "" })
    }
}
