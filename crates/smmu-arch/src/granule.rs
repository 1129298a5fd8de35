//! Translation granules and the arithmetic of table levels.
//!
//! Architecture: VMSAv8-64 translation table format, "Translation granule sizes" (Arm ARM), as
//! used by the SMMUv3 specification (IHI 0070), "Translation tables and supported granules".

use std::fmt;

/// Size of the pages at level 3 and of a full translation table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Granule {
    /// 4 KiB.
    K4,
    /// 16 KiB.
    K16,
    /// 64 KiB.
    K64,
}

impl Granule {
    /// All three granules, smallest first.
    pub const ALL: [Self; 3] = [Self::K4, Self::K16, Self::K64];

    /// log2 of the page size in bytes.
    #[must_use]
    pub const fn shift(self) -> u32 {
        match self {
            Self::K4 => 12,
            Self::K16 => 14,
            Self::K64 => 16,
        }
    }

    /// Address bits that one level resolves.
    #[must_use]
    pub const fn stride(self) -> u32 {
        self.shift() - 3
    }

    /// log2 of the bytes that one descriptor of `level` maps. `level` is -1 to 3.
    #[must_use]
    pub const fn level_shift(self, level: i8) -> u32 {
        self.shift() + (3 - level) as u32 * self.stride()
    }

    /// Whether a block descriptor exists at `level`. Blocks of 512 GiB (4K), 64 GiB (16K) and
    /// 4 TiB (64K) need a format of 52-bit addresses.
    #[must_use]
    pub const fn has_block(self, level: i8, format: DescriptorFormat) -> bool {
        let wide = !matches!(format, DescriptorFormat::Bits48);
        match self {
            Self::K4 => matches!(level, 1 | 2) || (level == 0 && wide),
            Self::K16 | Self::K64 => level == 2 || (level == 1 && wide),
        }
    }

    /// log2 of the entries in a contiguous group at `level`; 0 where the hint has no meaning.
    #[must_use]
    pub const fn contiguous_log2(self, level: i8) -> u32 {
        match (self, level) {
            (Self::K4, 1..=3) => 4,
            (Self::K16, 2) => 5,
            (Self::K16, 3) => 7,
            (Self::K64, 2..=3) => 5,
            _ => 0,
        }
    }

    /// Start level of a stage 1 walk over `input_bits` (64 - TxSZ) bits.
    #[must_use]
    pub const fn stage1_start_level(self, input_bits: u32) -> i8 {
        let resolved = input_bits.saturating_sub(self.shift());
        4 - resolved.div_ceil(self.stride()) as i8
    }

    /// From CD.TG0 or STE.S2TG; `None` for the reserved encoding 3.
    #[must_use]
    pub const fn from_tg0(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::K4),
            1 => Some(Self::K64),
            2 => Some(Self::K16),
            _ => None,
        }
    }

    /// To CD.TG0 or STE.S2TG.
    #[must_use]
    pub const fn to_tg0(self) -> u8 {
        match self {
            Self::K4 => 0,
            Self::K64 => 1,
            Self::K16 => 2,
        }
    }

    /// From CD.TG1, which has an order of its own; `None` for the reserved encoding 0.
    #[must_use]
    pub const fn from_tg1(bits: u8) -> Option<Self> {
        match bits {
            1 => Some(Self::K16),
            2 => Some(Self::K4),
            3 => Some(Self::K64),
            _ => None,
        }
    }

    /// To CD.TG1.
    #[must_use]
    pub const fn to_tg1(self) -> u8 {
        match self {
            Self::K16 => 1,
            Self::K4 => 2,
            Self::K64 => 3,
        }
    }

    /// From the TG field of a TLBI command; `None` for 0, "no range".
    #[must_use]
    pub const fn from_command_tg(bits: u8) -> Option<Self> {
        match bits {
            1 => Some(Self::K4),
            2 => Some(Self::K16),
            3 => Some(Self::K64),
            _ => None,
        }
    }

    /// To the TG field of a TLBI command.
    #[must_use]
    pub const fn to_command_tg(self) -> u8 {
        match self {
            Self::K4 => 1,
            Self::K16 => 2,
            Self::K64 => 3,
        }
    }
}

impl fmt::Display for Granule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::K4 => "4K",
            Self::K16 => "16K",
            Self::K64 => "64K",
        })
    }
}

/// How descriptors hold output addresses. Architecture: DDI 0487, "VMSAv8-64 descriptor formats".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DescriptorFormat {
    /// Address bits 47:12 in their places.
    Bits48,
    /// 64K tables with 52-bit output: address bits 51:48 in bits 15:12.
    Wide64K,
    /// 4K and 16K tables with CD.DS or STE.S2DS: address bits 49:12 in their places, bits 51:50 in
    /// bits 9:8. Shareability is that of CD.SHx or STE.S2SH0.
    Ds,
}

impl DescriptorFormat {
    /// The format of tables of a granule. `ds` is CD.DS or STE.S2DS where IDR5.DS is 1; `output_52`
    /// whether IDR5.OAS is 52 bits.
    #[must_use]
    pub const fn of(granule: Granule, ds: bool, output_52: bool) -> Self {
        match granule {
            Granule::K64 if output_52 => Self::Wide64K,
            Granule::K4 | Granule::K16 if ds => Self::Ds,
            _ => Self::Bits48,
        }
    }

    /// Bits of the largest address that a descriptor holds: 48 or 52.
    #[must_use]
    pub const fn address_bits(self) -> u8 {
        match self {
            Self::Bits48 => 48,
            Self::Wide64K | Self::Ds => 52,
        }
    }
}

/// Where a concatenated stage 2 walk starts: (granule, {S2SL0_2, S2SL0}) to the level. `ds` is
/// whether S2DS counts; without it S2SL0_2 is not looked at.
///
/// `None` where the encoding is reserved. 4K with S2SL0 = 3 needs IDR3.STT, which `small_tables`
/// tells.
#[must_use]
pub const fn stage2_start_level(
    granule: Granule,
    sl0: u8,
    small_tables: bool,
    ds: bool,
) -> Option<i8> {
    // S2SL0_2 is of the 4K granule alone.
    let has_third_bit = ds && matches!(granule, Granule::K4);
    match (granule, if has_third_bit { sl0 } else { sl0 & 3 }) {
        (Granule::K4, 4) => Some(-1),
        (Granule::K16, 3) if ds => Some(0),
        (Granule::K4, 0) => Some(2),
        (Granule::K4, 1) => Some(1),
        (Granule::K4, 2) => Some(0),
        (Granule::K4, 3) if small_tables => Some(3),
        (Granule::K16 | Granule::K64, 0) => Some(3),
        (Granule::K16 | Granule::K64, 1) => Some(2),
        (Granule::K16 | Granule::K64, 2) => Some(1),
        _ => None,
    }
}

/// log2 of the number of concatenated tables of a stage 2 walk, or `None` when `input_bits` does
/// not fit the start level (fewer than one or more than sixteen tables).
#[must_use]
pub const fn stage2_concatenation_log2(
    granule: Granule,
    start_level: i8,
    input_bits: u32,
) -> Option<u32> {
    let shift = granule.level_shift(start_level);
    if input_bits <= shift || input_bits > shift + granule.stride() + 4 {
        return None;
    }
    Some(input_bits.saturating_sub(shift + granule.stride()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_shifts_of_every_granule() {
        let shifts = |g: Granule| [0, 1, 2, 3].map(|l| g.level_shift(l));
        assert_eq!(shifts(Granule::K4), [39, 30, 21, 12]);
        assert_eq!(shifts(Granule::K16), [47, 36, 25, 14]);
        assert_eq!(shifts(Granule::K64)[1..], [42, 29, 16]);
    }

    #[test]
    fn stage1_starts_at_the_level_that_the_input_size_needs() {
        let start = |g: Granule, n| g.stage1_start_level(n);
        assert_eq!([25, 30, 31, 39, 40, 48].map(|n| start(Granule::K4, n)), [2, 2, 1, 1, 0, 0]);
        assert_eq!([25, 26, 36, 37, 47, 48].map(|n| start(Granule::K16, n)), [3, 2, 2, 1, 1, 0]);
        assert_eq!([25, 29, 30, 42, 43, 48].map(|n| start(Granule::K64, n)), [3, 3, 2, 2, 1, 1]);
    }

    #[test]
    fn stage2_concatenates_up_to_sixteen_tables() {
        let tables = |n| stage2_concatenation_log2(Granule::K4, 1, n);
        assert_eq!(
            [30, 31, 39, 40, 43, 44].map(tables),
            [None, Some(0), Some(0), Some(1), Some(4), None]
        );
    }
}
