//! CD tables. Architecture: sections "Substreams" and "Context descriptor table lookup".

use super::bits::{address, bits};
use super::stage2::Stage2;
use super::{Result, Walk};
use smmu_arch::{Access, Direction, Fault, FaultClass, Features, Pa, SubstreamId, Why};

/// The CD table of a stream, as its STE describes it.
pub(super) struct Contexts {
    stage1: bool,
    /// log2 of the CDs; 0 = one, and no substreams.
    cds_log2: u8,
    /// S1Fmt, where there is more than one CD.
    format: u64,
    /// S1DSS.
    default_substream: u64,
    pointer: u64,
}

impl Contexts {
    pub(super) fn of(features: &Features, ste: &[u64; 8]) -> Self {
        let stage1 = bits(ste, 3, 1) & 1 == 1;
        let substreams = stage1 && features.ssid_bits != 0;
        Self {
            stage1,
            cds_log2: if substreams { bits(ste, 63, 59) as u8 } else { 0 },
            format: bits(ste, 5, 4),
            default_substream: bits(ste, 65, 64),
            pointer: address(ste, 0, 6),
        }
    }

    /// Which CD a transaction uses; `None` where stage 1 is bypassed.
    pub(super) fn index(
        &self,
        substream: Option<SubstreamId>,
    ) -> std::result::Result<Option<u32>, Fault> {
        let dss = self.default_substream;
        match substream {
            Some(_) if !self.stage1 || self.cds_log2 == 0 => Err(Fault::BadSubstreamId),
            Some(ssid) if ssid.0 >> self.cds_log2 != 0 => Err(Fault::BadSubstreamId),
            Some(SubstreamId(0)) if dss == 2 => Err(Fault::StreamDisabled),
            Some(ssid) => Ok(Some(ssid.0)),
            None if !self.stage1 => Ok(None),
            None if self.cds_log2 == 0 || dss == 2 => Ok(Some(0)),
            None if dss == 1 => Ok(None),
            None => Err(Fault::StreamDisabled), // 0, and 3 as 0
        }
    }

    /// SubstreamID bits that a leaf table of the two-level formats resolves; `None` is linear.
    const fn leaf_bits(&self) -> Option<u32> {
        match self.format {
            _ if self.cds_log2 == 0 => None,
            1 => Some(6),
            2 => Some(10),
            _ => None,
        }
    }
}

impl Walk<'_> {
    /// The CD with an index, valid or not.
    pub(super) fn context_descriptor(
        &mut self,
        contexts: &Contexts,
        index: u32,
        stage2: Option<&Stage2>,
    ) -> Result<[u64; 8]> {
        let table = match contexts.leaf_bits() {
            None => contexts.pointer & !((64 << contexts.cds_log2) - 1),
            Some(leaf_bits) => self.leaf_table(contexts, leaf_bits, index, stage2)?,
        };
        let within = contexts.leaf_bits().map_or(index, |bits| index & ((1 << bits) - 1));
        let pa = self.context_address(table + u64::from(within) * 64, stage2)?;
        self.read_structure(pa, Why::Cd).ok_or(Some(Fault::CdFetch(Pa(pa))))
    }

    /// The leaf table that a level 1 context descriptor leads to.
    fn leaf_table(
        &mut self,
        contexts: &Contexts,
        leaf_bits: u32,
        index: u32,
        stage2: Option<&Stage2>,
    ) -> Result<u64> {
        let entries_log2 = u32::from(contexts.cds_log2).saturating_sub(leaf_bits);
        let base = contexts.pointer & !((8u64 << entries_log2).max(64) - 1);
        let pa = self.context_address(base + u64::from(index >> leaf_bits) * 8, stage2)?;
        let word = self.read(pa, Why::L1Cd).ok_or(Some(Fault::CdFetch(Pa(pa))))?;
        let low = if leaf_bits == 10 { 16 } else { 12 };
        let leaf = word & 0x000f_ffff_ffff_ffff & !0 << low;
        let beyond = stage2.is_none() && leaf >> self.on.features.oas_bits != 0;
        if word & 1 == 0 || beyond { Err(Some(Fault::BadSubstreamId)) } else { Ok(leaf) }
    }

    /// With stage 2 a CD lies at an IPA, and is read as data of no privilege.
    fn context_address(&mut self, at: u64, stage2: Option<&Stage2>) -> Result<u64> {
        let Some(stage2) = stage2 else { return Ok(at) };
        Ok(self.stage2(stage2, at, Access::data(Direction::Read), FaultClass::Cd)?.output)
    }
}
