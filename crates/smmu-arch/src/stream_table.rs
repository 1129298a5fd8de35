//! Level-1 descriptors of the stream table and of CD tables, 64 bits each.
//!
//! Architecture: sections "Level 1 Stream Table Descriptor" and "Level 1 Context Descriptor".

use crate::address_size::PA_MASK;
use crate::layout::layout;
use modular_bitfield::prelude::*;

layout! {
    /// Bits of a Level-1 Stream Table Descriptor.
    #[repr(u64)]
    pub L1StdWord(64) {
        /// log2 of the entries, plus 1.
        Span span: B5 [B1];
        /// Table address bits 55:6.
        L2Ptr l2ptr: B50 [B8];
    }
}

/// Level-1 Stream Table Descriptor: where the STEs of a group of StreamIDs lie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct L1Std {
    /// 0: no table; 1 to 11: the table has 2^(span-1) STEs; 12 to 31: reserved, as 0.
    pub span: u8,
    /// Address of the level-2 table, bits 51:6.
    pub l2ptr: u64,
}

impl L1Std {
    /// Decodes one descriptor.
    #[must_use]
    pub fn decode(word: u64) -> Self {
        let word = L1StdWord::from(word);
        Self { span: word.span(), l2ptr: word.l2ptr() << 6 & PA_MASK }
    }

    /// Encodes the descriptor; bits that do not fit are dropped.
    #[must_use]
    pub fn encode(self) -> u64 {
        let word = L1StdWord::new().with_span(self.span & 0x1f);
        word.with_l2ptr((self.l2ptr & PA_MASK) >> 6).into()
    }

    /// log2 of the STEs of the table, or `None` where the descriptor is invalid: Span is 0,
    /// reserved, or larger than `split` StreamID bits allow. Each gives C_BAD_STREAMID.
    #[must_use]
    pub const fn log2_entries(self, split: u8) -> Option<u8> {
        match self.span {
            1..=11 if self.span - 1 <= split => Some(self.span - 1),
            _ => None,
        }
    }

    /// Address of the STE at `index` of the table, or `None` for C_BAD_STREAMID. Pointer bits below
    /// the size of the table count as 0.
    #[must_use]
    pub fn entry_address(self, index: u32, split: u8) -> Option<u64> {
        let log2_entries = self.log2_entries(split)?;
        let bytes_mask = (64u64 << log2_entries) - 1;
        (u64::from(index) >> log2_entries == 0)
            .then_some((self.l2ptr & !bytes_mask) + u64::from(index) * 64)
    }
}

layout! {
    /// Bits of a Level-1 Context Descriptor.
    #[repr(u64)]
    pub L1CdWord(64) {
        /// Valid.
        V v: bool [B11];
        /// Table address bits 55:12.
        L2Ptr l2ptr: B44 [B8];
    }
}

/// Level-1 Context Descriptor: where the CDs of a group of SubstreamIDs lie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct L1Cd {
    /// V; 0 gives C_BAD_SUBSTREAMID.
    pub valid: bool,
    /// Address of the leaf table, bits 51:12: a PA, or an IPA where stage 2 is enabled.
    pub l2ptr: u64,
}

impl L1Cd {
    /// Decodes one descriptor.
    #[must_use]
    pub fn decode(word: u64) -> Self {
        let word = L1CdWord::from(word);
        Self { valid: word.v(), l2ptr: word.l2ptr() << 12 & PA_MASK }
    }

    /// Encodes the descriptor; bits that do not fit are dropped.
    #[must_use]
    pub fn encode(self) -> u64 {
        let word = L1CdWord::new().with_v(self.valid);
        word.with_l2ptr((self.l2ptr & PA_MASK) >> 12).into()
    }
}
