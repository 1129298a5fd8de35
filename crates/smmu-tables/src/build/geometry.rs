//! The shape of a table.

use super::BuildError;
use smmu_arch::{DescriptorFormat, Granule, Stage, TableRoot, stage2_concatenation_log2};

/// The shape of a table: what TCR or VTCR would say of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Stage whose descriptors are written.
    pub stage: Stage,
    /// Granule.
    pub granule: Granule,
    /// Input bits, 64 - TxSZ: 16 to 52.
    pub input_bits: u8,
    /// Level of the start table, -1 to 3.
    pub start_level: i8,
    /// Output bits: 32 to 52. 4K and 16K tables with more than 48 bits on either side have the
    /// descriptors of IDR5.DS.
    pub output_bits: u8,
    /// Mark groups of leaves with the Contiguous hint.
    pub contiguous: bool,
    /// Descriptors are big-endian (CD.ENDI, STE.S2ENDI).
    pub big_endian: bool,
}

/// Most concatenated start tables of stage 2, as a power of two.
const CONCATENATED_LOG2_MAX: u32 = 4;

impl Geometry {
    /// A stage 1 table, little-endian, with the Contiguous hint.
    #[must_use]
    pub const fn stage1(granule: Granule, input_bits: u8, output_bits: u8) -> Self {
        Self {
            stage: Stage::Stage1,
            granule,
            input_bits,
            start_level: granule.stage1_start_level(input_bits as u32),
            output_bits,
            contiguous: true,
            big_endian: false,
        }
    }

    /// A stage 2 table, little-endian, with the Contiguous hint, that starts a level lower where
    /// up to sixteen concatenated tables spare the level. A 4K table starts at level 2 at the
    /// lowest: level 3 needs small translation tables.
    #[must_use]
    pub const fn stage2(granule: Granule, input_bits: u8, output_bits: u8) -> Self {
        let lowest = if matches!(granule, Granule::K4) { 2 } else { 3 };
        let stage1 = Self::stage1(granule, input_bits, output_bits);
        let next = stage1.start_level + 1;
        let spare =
            next <= lowest && stage2_concatenation_log2(granule, next, input_bits as u32).is_some();
        let start_level = if spare { next } else { stage1.start_level };
        Self { stage: Stage::Stage2, start_level, ..stage1 }
    }

    /// Bytes of the start table and its alignment: at least one granule, more where tables are
    /// concatenated.
    #[must_use]
    pub const fn start_table_bytes(&self) -> u64 {
        let entries_log2 = self.input_bits as u32 - self.granule.level_shift(self.start_level);
        let bytes_log2 = entries_log2 + 3;
        let least = self.granule.shift();
        1 << (if bytes_log2 > least { bytes_log2 } else { least })
    }

    /// Sizes that one descriptor or one contiguous group maps, as a set of bits: bit n for 2^n
    /// bytes.
    #[must_use]
    pub fn page_sizes(&self) -> u64 {
        let mut sizes = 0;
        for level in self.start_level..=3 {
            if self.has_leaf(level) {
                let shift = self.granule.level_shift(level);
                sizes |= 1 << shift;
                if self.contiguous {
                    sizes |= 1 << (shift + self.granule.contiguous_log2(level));
                }
            }
        }
        sizes & (u64::MAX >> (63 - self.input_bits))
    }

    /// The start table as a regime names it, once it lies at `base`.
    #[must_use]
    pub const fn root_at(&self, base: u64) -> TableRoot {
        TableRoot {
            base,
            input_bits: self.input_bits,
            granule: self.granule,
            start_level: self.start_level,
            format: self.format(),
        }
    }

    /// Whether a page or block descriptor exists at `level`.
    pub(super) const fn has_leaf(&self, level: i8) -> bool {
        level == 3 || self.granule.has_block(level, self.format())
    }

    /// How descriptors hold addresses.
    #[must_use]
    pub const fn format(&self) -> DescriptorFormat {
        let ds = self.input_bits > 48 || self.output_bits > 48;
        DescriptorFormat::of(self.granule, ds, self.output_bits >= 52)
    }

    /// The highest level at which stage 2 starts: what S2SL0 and S2SL0_2 can say.
    const fn highest_stage2_level(&self) -> i8 {
        match (self.granule, self.format()) {
            (Granule::K4, DescriptorFormat::Ds) => -1,
            (Granule::K4, _) | (Granule::K16, DescriptorFormat::Ds) => 0,
            _ => 1,
        }
    }

    /// Checks that such a table exists.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        let (granule, bits) = (self.granule, u32::from(self.input_bits));
        let sizes =
            (granule.shift() + 1..=52).contains(&bits) && (32..=52).contains(&self.output_bits);
        let fits = sizes
            && match self.stage {
                Stage::Stage1 => self.start_level == granule.stage1_start_level(bits),
                Stage::Stage2 => {
                    (self.highest_stage2_level()..=3).contains(&self.start_level) && {
                        let tables = stage2_concatenation_log2(granule, self.start_level, bits);
                        tables.is_some_and(|log2| log2 <= CONCATENATED_LOG2_MAX)
                    }
                }
            };
        if fits { Ok(()) } else { Err(BuildError::Geometry) }
    }
}
