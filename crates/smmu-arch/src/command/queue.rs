//! Commands that speak to an endpoint, to stalled transactions or to the queue itself.
//!
//! Architecture: sections "ATS and PRI", "Fault response and synchronization".

use std::fmt;

use modular_bitfield::specifiers::*;

use super::{IllegalCommand, Payload, Stream, refuse_ssec};
use crate::field_types::{
    Address55To2, Address63To12, Number2, Number4, Number6, Number9, StreamIdField,
    SubstreamIdField,
};
use crate::layout::layout;
use crate::{Iova, Pa, Shareability, StreamId, SubstreamId};

layout! {
    AtcInvWords(128) as [u64; 2] {
        [B9];
        Global global: bool;
        /// The current text reserves the bit in this command, so it is ignored.
        #[skip(getters)]
        SSec ssec: bool;
        SSV ssv: bool;
        SubstreamID substream: SubstreamIdField;
        StreamID stream: StreamIdField;
        Size size: Number6 [B6];
        Address address: Address63To12;
    }

    PriRespWords(128) as [u64; 2] {
        [B10];
        /// Ignored as in CMD_ATC_INV.
        #[skip(getters)]
        SSec ssec: bool;
        SSV ssv: bool;
        SubstreamID substream: SubstreamIdField;
        StreamID stream: StreamIdField;
        PRGIndex group: Number9 [B3];
        Resp response: Number2 [B50];
    }

    ResumeWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool [B1];
        Ac retry: bool;
        Ab abort: bool [B18];
        StreamID stream: StreamIdField;
        STAG stag: B16 [B48];
    }

    StallTermWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool [B21];
        StreamID stream: StreamIdField [B64];
    }

    SyncWords(128) as [u64; 2] {
        [B12];
        CS signal: Number2 [B8];
        MSH shareability: Number2;
        MSIAttr memory_attributes: Number4 [B4];
        /// MSI_NS, the lower of the two bits above it, belongs to the Realm queue alone.
        MSIData data: B32 [B2];
        MSIAddress address: Address55To2 [B8];
    }
}

/// CMD_ATC_INV: an ATS Invalidation Request to an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AtcInv {
    /// Endpoint.
    pub stream: StreamId,
    /// PASID of the request, if SSV = 1.
    pub substream: Option<SubstreamId>,
    /// Every PASID; means something only with a substream.
    pub global: bool,
    /// log2 of the pages of 4 KiB, 0 to 52. 52 is the whole address space.
    pub size_log2: u8,
    /// Any address of the region, bits 63:12.
    pub address: Iova,
}

impl AtcInv {
    /// Size above 52 is refused: an implementation may, and no driver means it.
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = AtcInvWords::from_words(words);
        if words.size() > 52 {
            return Err(IllegalCommand::AtcSize(words.size()));
        }
        Ok(Self {
            stream: words.stream(),
            substream: words.ssv().then(|| words.substream()),
            global: words.global(),
            size_log2: words.size(),
            address: Iova(words.address()),
        })
    }

    /// First address of the region: the address rounded down to the size.
    #[must_use]
    pub fn first(&self) -> Iova {
        self.address.align_down(u32::from(self.size_log2) + 12)
    }

    /// Last address of the region.
    #[must_use]
    pub fn last(&self) -> Iova {
        let below = 1u64.checked_shl(u32::from(self.size_log2) + 12).map_or(u64::MAX, |s| s - 1);
        Iova(self.first().0 | below)
    }
}

impl Payload for AtcInv {
    fn encode(&self) -> [u64; 2] {
        AtcInvWords::new()
            .with_global(self.global)
            .with_ssv(self.substream.is_some())
            .with_substream(self.substream.unwrap_or_default())
            .with_stream(self.stream)
            .with_size(self.size_log2)
            .with_address(self.address.0)
            .into_words()
    }
}

impl fmt::Display for AtcInv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = Stream(self.stream, self.substream);
        write!(f, "{stream} address={} size={}", self.address, self.size_log2)?;
        f.write_str(if self.global { " global" } else { "" })
    }
}

/// Answer to a page request group, with the encoding of CMD_PRI_RESP.Resp.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PriResponse {
    /// The endpoint shall not send further requests.
    ResponseFailure = 0,
    /// At least one page cannot be had.
    InvalidRequest = 1,
    /// The pages are there, or worth another try.
    Success = 2,
}

impl PriResponse {
    /// The response code that the endpoint sees in the PRG Response message.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::ResponseFailure => 0xf,
            Self::InvalidRequest => 1,
            Self::Success => 0,
        }
    }
}

impl fmt::Display for PriResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResponseFailure => "failure",
            Self::InvalidRequest => "invalid",
            Self::Success => "success",
        })
    }
}

/// CMD_PRI_RESP: a PRG Response to an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PriResp {
    /// Endpoint.
    pub stream: StreamId,
    /// PASID, if SSV = 1.
    pub substream: Option<SubstreamId>,
    /// Page request group, 9 bits.
    pub group: u16,
    /// Answer.
    pub response: PriResponse,
}

impl PriResp {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = PriRespWords::from_words(words);
        let response = match words.response() {
            0 => PriResponse::ResponseFailure,
            1 => PriResponse::InvalidRequest,
            2 => PriResponse::Success,
            _ => return Err(IllegalCommand::PriResponse),
        };
        let substream = words.ssv().then(|| words.substream());
        Ok(Self { stream: words.stream(), substream, group: words.group(), response })
    }
}

impl Payload for PriResp {
    fn encode(&self) -> [u64; 2] {
        PriRespWords::new()
            .with_ssv(self.substream.is_some())
            .with_substream(self.substream.unwrap_or_default())
            .with_stream(self.stream)
            .with_group(self.group)
            .with_response(self.response as u8)
            .into_words()
    }
}

impl fmt::Display for PriResp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = Stream(self.stream, self.substream);
        write!(f, "{stream} group={:#x} response={}", self.group, self.response)
    }
}

/// What becomes of a stalled transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ResumeAction {
    /// Ac = 1: it is looked up again as if it were new. Ab is ignored.
    Retry,
    /// Ac = 0, Ab = 1: it is aborted.
    Abort,
    /// Ac = 0, Ab = 0: it reads zero or writes nothing, and succeeds; an abort where
    /// IDR0.TERM_MODEL = 1.
    Discard,
}

impl fmt::Display for ResumeAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "retry",
            Self::Abort => "abort",
            Self::Discard => "discard",
        })
    }
}

/// CMD_RESUME: decides about one stalled transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Resume {
    /// Stream.
    pub stream: StreamId,
    /// STAG of its event record.
    pub stag: u16,
    /// What becomes of it.
    pub action: ResumeAction,
}

impl Resume {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = ResumeWords::from_words(words);
        refuse_ssec(words.ssec())?;
        let action = match (words.retry(), words.abort()) {
            (true, _) => ResumeAction::Retry,
            (false, true) => ResumeAction::Abort,
            (false, false) => ResumeAction::Discard,
        };
        Ok(Self { stream: words.stream(), stag: words.stag(), action })
    }
}

impl Payload for Resume {
    fn encode(&self) -> [u64; 2] {
        ResumeWords::new()
            .with_retry(self.action == ResumeAction::Retry)
            .with_abort(self.action == ResumeAction::Abort)
            .with_stream(self.stream)
            .with_stag(self.stag)
            .into_words()
    }
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream={} stag={:#x} {}", self.stream, self.stag, self.action)
    }
}

/// CMD_STALL_TERM: aborts every stalled transaction of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StallTerm {
    /// Stream.
    pub stream: StreamId,
}

impl StallTerm {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = StallTermWords::from_words(words);
        refuse_ssec(words.ssec())?;
        Ok(Self { stream: words.stream() })
    }
}

impl Payload for StallTerm {
    fn encode(&self) -> [u64; 2] {
        StallTermWords::new().with_stream(self.stream).into_words()
    }
}

impl fmt::Display for StallTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream={}", self.stream)
    }
}

/// How the completion of a CMD_SYNC is told (CS).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SyncSignal {
    /// By CMDQ_CONS alone.
    None = 0,
    /// By an interrupt: the MSI of the command, the wired one, or both.
    Irq = 1,
    /// By a WFE wake-up event; as `None` where IDR0.SEV = 0.
    Sev = 2,
}

impl fmt::Display for SyncSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Irq => "irq",
            Self::Sev => "sev",
        })
    }
}

/// CMD_SYNC: waits for all earlier commands of the queue. (`Sync` alone is a trait of Rust.)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CmdSync {
    /// How completion is told.
    pub signal: SyncSignal,
    /// MSH: shareability of the MSI write.
    pub shareability: Shareability,
    /// MSIAttr: memory type of the MSI write, encoded as STE.MemAttr. 4 bits.
    pub memory_attributes: u8,
    /// MSIData: what the MSI writes.
    pub data: u32,
    /// MSIAddress, bits 55:2; 0 = no MSI.
    pub address: Pa,
}

impl CmdSync {
    /// A CMD_SYNC that is polled.
    pub const POLLED: Self = Self {
        signal: SyncSignal::None,
        shareability: Shareability::Non,
        memory_attributes: 0,
        data: 0,
        address: Pa(0),
    };

    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = SyncWords::from_words(words);
        let signal = match words.signal() {
            0 => SyncSignal::None,
            1 => SyncSignal::Irq,
            2 => SyncSignal::Sev,
            _ => return Err(IllegalCommand::SyncSignal),
        };
        Ok(Self {
            signal,
            shareability: Shareability::from_sh(words.shareability()),
            memory_attributes: words.memory_attributes(),
            data: words.data(),
            address: Pa(words.address()),
        })
    }

    /// The MSI that completion writes where IDR0.MSI = 1: address and data.
    #[must_use]
    pub fn msi(&self) -> Option<(Pa, u32)> {
        let wanted = self.signal == SyncSignal::Irq && self.address != Pa(0);
        wanted.then_some((self.address, self.data))
    }
}

impl Payload for CmdSync {
    fn encode(&self) -> [u64; 2] {
        SyncWords::new()
            .with_signal(self.signal as u8)
            .with_shareability(self.shareability.to_sh())
            .with_memory_attributes(self.memory_attributes)
            .with_data(self.data)
            .with_address(self.address.0)
            .into_words()
    }
}

impl fmt::Display for CmdSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cs={}", self.signal)?;
        match self.msi() {
            Some((address, data)) => write!(f, " msi={address} data={data:#x}"),
            None => Ok(()),
        }
    }
}
