//! What tables of both stages have in common: how an address picks a descriptor, and which kind a
//! descriptor is. Architecture: "VMSAv8-64 translation table format".

use smmu_arch::{Features, Granule, Leaf};

/// A translation table and how it is indexed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// Address of the start table.
    pub base: u64,
    /// Input bits that it resolves.
    pub input_bits: u32,
    /// log2 of the granule: 12, 14 or 16.
    pub granule: u32,
    /// Level of the start table.
    pub start: i32,
    /// Output addresses have 52 bits (for the 64K granule).
    pub output_52: bool,
    /// CD.DS or STE.S2DS counts (for the 4K and 16K granules).
    pub ds: bool,
}

/// Whether IDR5 has the granule of 2^`shift` bytes.
pub(super) const fn has_granule(features: &Features, shift: u32) -> bool {
    match shift {
        12 => features.gran4k,
        14 => features.gran16k,
        16 => features.gran64k,
        _ => false,
    }
}

/// What a descriptor is.
pub(super) enum Kind {
    /// Invalid or reserved: F_TRANSLATION.
    Invalid,
    /// Leads to a table at this address.
    Table(u64),
    /// Maps to this address: a page or a block.
    Leaf(u64),
}

impl Table {
    /// log2 of the bytes that one descriptor of `level` maps.
    pub(super) fn shift(&self, level: i32) -> u32 {
        self.granule + (3 - level) as u32 * (self.granule - 3)
    }

    /// Address of the descriptor for `input` in the table at `table` of `level`. The start table
    /// is indexed by all remaining bits: it may be short, or several tables side by side.
    pub(super) fn descriptor(&self, table: u64, level: i32, input: u64) -> u64 {
        let resolved = self.granule - 3;
        let bits = if level == self.start { self.input_bits - self.shift(level) } else { resolved };
        table + (input >> self.shift(level) & ((1 << bits) - 1)) * 8
    }

    /// Decodes a descriptor of `level`.
    pub(super) fn kind(&self, word: u64, level: i32) -> Kind {
        let block_level = match self.granule {
            12 => level == 1 || level == 2 || (level == 0 && self.ds),
            14 => level == 2 || (level == 1 && self.ds),
            _ => level == 2 || (level == 1 && self.output_52),
        };
        match (word & 3, level) {
            (3, 3) => Kind::Leaf(self.output(word, self.granule)),
            (3, _) => Kind::Table(self.output(word, self.granule)),
            (1, _) if block_level => Kind::Leaf(self.output(word, self.shift(level))),
            _ => Kind::Invalid,
        }
    }

    /// The address field from bit `low` up. With 52-bit output bits 15:12 are address bits 51:48;
    /// with DS the field goes up to bit 49, and bits 9:8 are address bits 51:50.
    fn output(&self, word: u64, low: u32) -> u64 {
        if self.ds && self.granule != 16 {
            return word & 0x0003_ffff_ffff_ffff & !0 << low | (word >> 8 & 3) << 50;
        }
        let field = word & 0x0000_ffff_ffff_ffff & !0 << low;
        let high = if self.output_52 && self.granule == 16 { (word >> 12 & 0xf) << 48 } else { 0 };
        field | high
    }

    /// The leaf that a descriptor of `level` is for `input`: with the Contiguous bit its group.
    pub(super) fn leaf(&self, word: u64, level: i32, input: u64) -> Leaf {
        let group_log2 = match (self.granule, level) {
            (12, 1..=3) => 4,
            (14, 2) => 5,
            (14, 3) => 7,
            (16, 2 | 3) => 5,
            _ => 0,
        };
        let contiguous = word >> 52 & 1 == 1;
        let span = self.shift(level) + if contiguous { group_log2 } else { 0 };
        Leaf {
            base: input >> span << span,
            span_log2: span as u8,
            level: level as i8,
            granule: match self.granule {
                12 => Granule::K4,
                14 => Granule::K16,
                _ => Granule::K64,
            },
        }
    }
}
