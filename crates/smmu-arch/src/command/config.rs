//! Commands about configuration: prefetch, CFGI and DPTI.
//!
//! Architecture: sections "Prefetch" and "Configuration structure invalidation".

use std::fmt;

use modular_bitfield::specifiers::*;

use super::{IllegalCommand, Leafed, Payload, Stream, refuse_ssec};
use crate::field_types::{
    Address55To12, Address63To12, Number4, Number5, StreamIdField, SubstreamIdField, VmidField,
};
use crate::layout::layout;
use crate::{Iova, Pa, StreamId, SubstreamId, Vmid};

layout! {
    PrefetchConfigWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool;
        SSV ssv: bool;
        SubstreamID substream: SubstreamIdField;
        StreamID stream: StreamIdField [B64];
    }

    PrefetchAddrWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool;
        SSV ssv: bool;
        SubstreamID substream: SubstreamIdField;
        StreamID stream: StreamIdField;
        Size size: Number5;
        Stride stride: Number5 [B2];
        Address address: Address63To12;
    }

    CfgiSteWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool [B21];
        StreamID stream: StreamIdField;
        Leaf leaf: bool [B63];
    }

    CfgiSteRangeWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool [B21];
        StreamID stream: StreamIdField;
        Range range: Number5 [B59];
    }

    CfgiCdWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool [B1];
        SubstreamID substream: SubstreamIdField;
        StreamID stream: StreamIdField;
        Leaf leaf: bool [B63];
    }

    CfgiCdAllWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool [B21];
        StreamID stream: StreamIdField [B64];
    }

    CfgiVmsPidmWords(128) as [u64; 2] {
        [B10];
        SSec ssec: bool [B21];
        VMID vmid: VmidField [B80];
    }

    DptiPaWords(128) as [u64; 2] {
        [B64];
        Leaf leaf: bool [B7];
        SIZE size: Number4;
        Address address: Address55To12 [B8];
    }
}

/// CMD_PREFETCH_CONFIG: a hint that the configuration of a stream will be used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PrefetchConfig {
    /// Stream.
    pub stream: StreamId,
    /// Substream, if SSV = 1.
    pub substream: Option<SubstreamId>,
}

impl PrefetchConfig {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = PrefetchConfigWords::from_words(words);
        refuse_ssec(words.ssec())?;
        let substream = words.ssv().then(|| words.substream());
        Ok(Self { stream: words.stream(), substream })
    }
}

impl Payload for PrefetchConfig {
    fn encode(&self) -> [u64; 2] {
        PrefetchConfigWords::new()
            .with_ssv(self.substream.is_some())
            .with_substream(self.substream.unwrap_or_default())
            .with_stream(self.stream)
            .into_words()
    }
}

impl fmt::Display for PrefetchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Stream(self.stream, self.substream).fmt(f)
    }
}

/// CMD_PREFETCH_ADDR: a hint that 2^`size_log2` translations will be used, 2^`stride_log2` pages
/// of 4 KiB apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PrefetchAddr {
    /// Stream.
    pub stream: StreamId,
    /// Substream, if SSV = 1.
    pub substream: Option<SubstreamId>,
    /// log2 of the translations.
    pub size_log2: u8,
    /// log2 of the spacing in pages of 4 KiB.
    pub stride_log2: u8,
    /// First address, bits 63:12.
    pub address: Iova,
}

impl PrefetchAddr {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = PrefetchAddrWords::from_words(words);
        refuse_ssec(words.ssec())?;
        Ok(Self {
            stream: words.stream(),
            substream: words.ssv().then(|| words.substream()),
            size_log2: words.size(),
            stride_log2: words.stride(),
            address: Iova(words.address()),
        })
    }
}

impl Payload for PrefetchAddr {
    fn encode(&self) -> [u64; 2] {
        PrefetchAddrWords::new()
            .with_ssv(self.substream.is_some())
            .with_substream(self.substream.unwrap_or_default())
            .with_stream(self.stream)
            .with_size(self.size_log2)
            .with_stride(self.stride_log2)
            .with_address(self.address.0)
            .into_words()
    }
}

impl fmt::Display for PrefetchAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = Stream(self.stream, self.substream);
        let (size, stride) = (self.size_log2, self.stride_log2);
        write!(f, "{stream} address={} size={size} stride={stride}", self.address)
    }
}

/// CMD_CFGI_STE: the STE of a stream and every CD cached through it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CfgiSte {
    /// Stream.
    pub stream: StreamId,
    /// The level 1 descriptor may stay.
    pub leaf: bool,
}

impl CfgiSte {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = CfgiSteWords::from_words(words);
        refuse_ssec(words.ssec())?;
        Ok(Self { stream: words.stream(), leaf: words.leaf() })
    }
}

impl Payload for CfgiSte {
    fn encode(&self) -> [u64; 2] {
        CfgiSteWords::new().with_stream(self.stream).with_leaf(self.leaf).into_words()
    }
}

impl fmt::Display for CfgiSte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream={}{}", self.stream, Leafed(self.leaf))
    }
}

/// CMD_CFGI_STE_RANGE: the configuration of an aligned block of 2^(`range` + 1) streams.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CfgiSteRange {
    /// Any stream of the block.
    pub stream: StreamId,
    /// Range, 0 to 30. 31 is [`Command::CfgiAll`](super::Command::CfgiAll).
    pub range: u8,
}

impl CfgiSteRange {
    /// The encoding of CMD_CFGI_ALL.
    pub(super) const ALL: Self = Self { stream: StreamId(0), range: 31 };

    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = CfgiSteRangeWords::from_words(words);
        refuse_ssec(words.ssec())?;
        Ok(Self { stream: words.stream(), range: words.range() })
    }

    /// log2 of the streams in the block, 1 to 31.
    #[must_use]
    pub const fn log2(self) -> u8 {
        self.range.saturating_add(1)
    }

    /// First stream of the block.
    #[must_use]
    pub fn first(self) -> StreamId {
        let offset = u32::MAX.checked_shl(u32::from(self.log2())).unwrap_or(0);
        StreamId(self.stream.0 & offset)
    }
}

impl Payload for CfgiSteRange {
    fn encode(&self) -> [u64; 2] {
        CfgiSteRangeWords::new().with_stream(self.stream).with_range(self.range).into_words()
    }
}

impl fmt::Display for CfgiSteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream={} range={}", self.stream, self.range)
    }
}

/// CMD_CFGI_CD: one CD reached through a stream. SSV is not used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CfgiCd {
    /// Stream.
    pub stream: StreamId,
    /// Index in the CD table; 0 for the only CD.
    pub substream: SubstreamId,
    /// The level 1 descriptor may stay.
    pub leaf: bool,
}

impl CfgiCd {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = CfgiCdWords::from_words(words);
        refuse_ssec(words.ssec())?;
        Ok(Self { stream: words.stream(), substream: words.substream(), leaf: words.leaf() })
    }
}

impl Payload for CfgiCd {
    fn encode(&self) -> [u64; 2] {
        CfgiCdWords::new()
            .with_stream(self.stream)
            .with_substream(self.substream)
            .with_leaf(self.leaf)
            .into_words()
    }
}

impl fmt::Display for CfgiCd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Stream(self.stream, Some(self.substream)), Leafed(self.leaf))
    }
}

/// CMD_CFGI_CD_ALL: all CDs reached through a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CfgiCdAll {
    /// Stream.
    pub stream: StreamId,
}

impl CfgiCdAll {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = CfgiCdAllWords::from_words(words);
        refuse_ssec(words.ssec())?;
        Ok(Self { stream: words.stream() })
    }
}

impl Payload for CfgiCdAll {
    fn encode(&self) -> [u64; 2] {
        CfgiCdAllWords::new().with_stream(self.stream).into_words()
    }
}

impl fmt::Display for CfgiCdAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream={}", self.stream)
    }
}

/// CMD_CFGI_VMS_PIDM: the MPAM PARTID map of a VM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CfgiVmsPidm {
    /// VMID.
    pub vmid: Vmid,
}

impl CfgiVmsPidm {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = CfgiVmsPidmWords::from_words(words);
        refuse_ssec(words.ssec())?;
        Ok(Self { vmid: words.vmid() })
    }
}

impl Payload for CfgiVmsPidm {
    fn encode(&self) -> [u64; 2] {
        CfgiVmsPidmWords::new().with_vmid(self.vmid).into_words()
    }
}

impl fmt::Display for CfgiVmsPidm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vmid={}", self.vmid)
    }
}

/// CMD_DPTI_PA: Device Permission Table information of a region of physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DptiPa {
    /// Only last-level information need be removed.
    pub leaf: bool,
    /// SIZE code of the region, 0 (4 KiB) to 9 (512 GiB); with others nothing need be removed.
    pub size: u8,
    /// Address bits 55:12.
    pub address: Pa,
}

impl DptiPa {
    pub(super) fn decode(words: &[u64; 2]) -> Result<Self, IllegalCommand> {
        let words = DptiPaWords::from_words(words);
        Ok(Self { leaf: words.leaf(), size: words.size(), address: Pa(words.address()) })
    }
}

impl Payload for DptiPa {
    fn encode(&self) -> [u64; 2] {
        DptiPaWords::new()
            .with_leaf(self.leaf)
            .with_size(self.size)
            .with_address(self.address.0)
            .into_words()
    }
}

impl fmt::Display for DptiPa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pa={} size={}{}", self.address, self.size, Leafed(self.leaf))
    }
}
