//! Where the STE of a stream lies.
//!
//! Architecture: IHI 0070, sections "Stream table" and "Level 1 Stream Table Descriptor".

use smmu_arch::registers::{StrtabBase, StrtabBaseCfg};
use smmu_arch::{Fault, Features, L1Std, Pa, StreamId};

/// The stream table, as the registers describe it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamTable {
    /// Address, aligned to the table (of level 1, where there are two).
    pub base: Pa,
    /// log2 of the StreamIDs that have a place.
    pub log2size: u8,
    /// StreamID bits that level 2 resolves, where there are two levels.
    pub split: Option<u8>,
    /// Implemented address bits.
    pub oas_bits: u8,
}

/// What is to be read next for an STE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SteLocation {
    /// The STE itself, 64 bytes.
    Ste(Pa),
    /// The level 1 descriptor that leads to it, 8 bytes.
    L1Std(Pa),
}

/// log2 of the bytes of an STE.
const STE_LOG2: u32 = 6;
/// log2 of the bytes of a level 1 descriptor.
const L1STD_LOG2: u32 = 3;

impl StreamTable {
    /// Decodes the registers. The table is aligned to the size that LOG2SIZE says, but no more
    /// StreamIDs than are implemented have a place in it.
    #[must_use]
    pub fn new(base: StrtabBase, config: StrtabBaseCfg, features: &Features) -> Self {
        let log2size = config.log2size();
        let split = config.is_two_level().then(|| config.effective_split());
        let table_log2 = match split {
            None => u32::from(log2size) + STE_LOG2,
            Some(split) => (u32::from(log2size.saturating_sub(split)) + L1STD_LOG2).max(STE_LOG2),
        };
        let implemented = base.address() & ((1 << features.oas_bits) - 1);
        Self {
            base: Pa(implemented).align_down(table_log2),
            log2size: log2size.min(features.sid_bits),
            split,
            oas_bits: features.oas_bits,
        }
    }

    /// What to read first for `stream`.
    ///
    /// # Errors
    /// C_BAD_STREAMID: the StreamID has no place in the table.
    pub fn locate(&self, stream: StreamId) -> Result<SteLocation, Fault> {
        let id = u64::from(stream.0);
        if id >> self.log2size != 0 {
            return Err(Fault::BadStreamId);
        }
        Ok(match self.split {
            None => SteLocation::Ste(self.base.offset(id << STE_LOG2)),
            Some(split) => SteLocation::L1Std(self.base.offset(id >> split << L1STD_LOG2)),
        })
    }

    /// The address of the STE of `stream`, from the level 1 descriptor that
    /// [`StreamTable::locate`] named.
    ///
    /// # Errors
    /// C_BAD_STREAMID: the descriptor has no STE for it. F_STE_FETCH: the address is beyond the
    /// implemented ones.
    pub fn from_l1(&self, l1std: L1Std, stream: StreamId) -> Result<Pa, Fault> {
        let split = self.split.unwrap_or(0);
        let index = stream.0 & ((1 << split) - 1);
        let address = l1std.entry_address(index, split).ok_or(Fault::BadStreamId)?;
        if address >> self.oas_bits != 0 {
            return Err(Fault::SteFetch(Pa(address)));
        }
        Ok(Pa(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_testpoint::testpoint;

    fn table(split: Option<u8>) -> StreamTable {
        StreamTable { base: Pa(0x8000_0000), log2size: 16, split, oas_bits: 44 }
    }

    fn l1(span: u8) -> L1Std {
        L1Std { span, l2ptr: 0x9000_0000 }
    }

    #[test]
    fn a_linear_table_is_an_array_of_64_bytes() {
        let at = |id| table(None).locate(StreamId(id));
        assert_eq!(at(0), Ok(SteLocation::Ste(Pa(0x8000_0000))));
        assert_eq!(at(0xffff), Ok(SteLocation::Ste(Pa(0x803f_ffc0))));
        assert_eq!(at(0x1_0000), Err(Fault::BadStreamId));
        testpoint!(73);
    }

    #[test]
    fn the_split_divides_the_stream_id() {
        let two = table(Some(8));
        assert_eq!(two.locate(StreamId(0x1234)), Ok(SteLocation::L1Std(Pa(0x8000_0090))));
        assert_eq!(two.from_l1(l1(9), StreamId(0x1234)), Ok(Pa(0x9000_0d00)));
        testpoint!(77);
    }

    #[test]
    fn every_illegal_level_1_descriptor_is_bad_streamid() {
        let ste = |span, id| table(Some(8)).from_l1(l1(span), StreamId(id));
        for span in [0, 10, 12, 31] {
            assert_eq!(ste(span, 0), Err(Fault::BadStreamId), "Span {span}");
        }
        assert_eq!(ste(3, 3), Ok(Pa(0x9000_00c0)));
        assert_eq!(ste(3, 4), Err(Fault::BadStreamId));
        testpoint!(74, 75, 76, 79);
    }

    #[test]
    fn a_level_2_table_beyond_the_oas_is_a_fetch_fault() {
        let far = L1Std { span: 1, l2ptr: 1 << 44 };
        let found = table(Some(6)).from_l1(far, StreamId(0));
        assert_eq!(found, Err(Fault::SteFetch(Pa(1 << 44))));
    }

    #[test]
    fn with_a_log2size_below_the_split_there_is_one_level_1_descriptor() {
        let small = StreamTable { log2size: 4, ..table(Some(8)) };
        assert_eq!(small.locate(StreamId(15)), Ok(SteLocation::L1Std(Pa(0x8000_0000))));
        assert_eq!(small.locate(StreamId(16)), Err(Fault::BadStreamId));
    }
}
