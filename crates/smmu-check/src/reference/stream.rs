//! The stream table. Architecture: section "Stream table lookup".

use super::bits::bits;
use super::{Reference, Result, Walk};
use smmu_arch::{Fault, Pa, StreamId, StreamWorld, Why};

impl Walk<'_> {
    /// The STE of a stream, valid or not.
    pub(super) fn stream_table_entry(&mut self, stream: StreamId) -> Result<[u64; 8]> {
        let globals = self.on.globals;
        let sid = u64::from(stream.0);
        let log2size = globals.strtab_log2size.min(self.on.features.sid_bits);
        if sid >> log2size != 0 {
            return Err(Some(Fault::BadStreamId));
        }
        let base = globals.strtab_base.0;
        let address = if globals.two_level {
            self.second_level(base, sid, globals.split)?
        } else {
            aligned(base, globals.strtab_log2size.saturating_add(6)) + sid * 64
        };
        self.read_structure(address, Why::Ste).ok_or(Some(Fault::SteFetch(Pa(address))))
    }

    /// Where the STE lies that a level 1 descriptor leads to.
    fn second_level(&mut self, base: u64, sid: u64, split: u8) -> Result<u64> {
        let entries_log2 = self.on.globals.strtab_log2size.saturating_sub(split);
        let l1 = aligned(base, (entries_log2 + 3).max(6)) + (sid >> split) * 8;
        let word = self.read(l1, Why::L1Std).ok_or(Some(Fault::SteFetch(Pa(l1))))?;
        let span = word & 0x1f;
        let index = sid & ((1 << split) - 1);
        let in_span = (1..=11).contains(&span) && span <= u64::from(split) + 1;
        if !in_span || index >> (span - 1) != 0 {
            return Err(Some(Fault::BadStreamId));
        }
        let l2ptr = word & 0x000f_ffff_ffff_ffc0;
        Ok(aligned(l2ptr, span as u8 + 5) + index * 64)
    }
}

/// Address bits below the size of a table, 2^`log2` bytes, count as 0. For the table that the
/// registers name it is the size that LOG2SIZE says, also where fewer StreamIDs are implemented.
const fn aligned(base: u64, log2: u8) -> u64 {
    if log2 < 64 { base >> log2 << log2 } else { 0 }
}

impl Reference {
    /// Section "StreamWorld": Config 6 and 7, and everything without IDR0.HYP, is EL1.
    pub(super) fn stream_world(&self, ste: &[u64; 8]) -> StreamWorld {
        let stage1_only = bits(ste, 3, 1) == 5;
        let el2 = stage1_only && self.features.hyp && bits(ste, 95, 94) == 2;
        match (el2, self.globals.e2h) {
            (false, _) => StreamWorld::NsEl1,
            (true, false) => StreamWorld::El2,
            (true, true) => StreamWorld::El2E2h,
        }
    }
}
