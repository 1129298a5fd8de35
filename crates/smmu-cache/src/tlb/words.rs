//! The two words of a way: what is compared, and what a hit gives back.
//!
//! | word | bits | |
//! |---|---|---|
//! | tag | 63:44 | number of the address space, never 0 |
//! | | 41:0 | page number (bits 52:12 of the input) and size: the bit just below the page number's lowest valid bit is set, the ones below it clear |
//! | data | 63:24 | output page number (bits 51:12) |
//! | | 23:12 | permissions |
//! | | 9:8, 7:0 | shareability, memory type |
//!
//! All bits above bit 52 of an input address equal it: an address in which they do not lies
//! outside of every translation regime and is held by no entry.

use smmu_arch::{Attributes, Hit, MemoryType, Pa, Permissions, Shareability, TlbEntry};

/// Numbers of address spaces: 1 to this, inclusive.
pub(super) const SPACE_ID_MAX: u32 = (1 << 20) - 1;

/// Smallest entry, log2 of bytes.
pub(super) const SIZE_MIN: u32 = 12;
/// Largest entry, log2 of bytes.
pub(super) const SIZE_MAX: u32 = 52;
/// How many different sizes there are.
pub(super) const SIZES: usize = (SIZE_MAX - SIZE_MIN + 1) as usize;

const SPACE_SHIFT: u32 = 44;
const PAGE_WIDTH: u32 = 42;

/// Whether some entry could translate `input`.
#[inline]
pub(super) const fn is_canonical(input: u64) -> bool {
    (((input << 11) as i64) >> 11) as u64 == input
}

/// Whether an entry can be held: sizes, alignment and widths as `TlbEntry` describes them.
pub(super) const fn fits(entry: &TlbEntry) -> bool {
    let size = entry.size_log2 as u32;
    size >= SIZE_MIN
        && size <= SIZE_MAX
        && is_canonical(entry.input)
        && (entry.input | entry.output.0) & ((1 << size) - 1) == 0
        && entry.output.0 >> 52 == 0
}

/// The page part of a tag: the page around `input` of the size that `bit` stands for, 1 << n for
/// 2^(12+n) bytes. The bit rather than its number, because look-ups have it at hand.
#[inline]
pub(super) const fn page_by_bit(input: u64, bit: u64) -> u64 {
    (input << (64 - PAGE_WIDTH - SIZE_MIN + 1) >> (64 - PAGE_WIDTH) | bit) & bit.wrapping_neg()
}

/// The page part of a tag: the page of 2^`size` bytes around `input`.
#[inline]
pub(super) const fn page(input: u64, size: u32) -> u64 {
    page_by_bit(input, 1 << (size - SIZE_MIN))
}

/// The tag of a page in the address space with number `space`.
#[inline]
pub(super) const fn tag(space: u32, page: u64) -> u64 {
    (space as u64) << SPACE_SHIFT | page
}

/// The address space that a tag names; 0 for an empty way.
#[inline]
pub(super) const fn space_of(tag: u64) -> u32 {
    (tag >> SPACE_SHIFT) as u32
}

/// What a hit on `entry` gives back, in one word.
pub(super) fn data(entry: &TlbEntry) -> u64 {
    let shareability = match entry.attributes.shareability {
        Shareability::Non => 0,
        Shareability::Inner => 1,
        Shareability::Outer => 2,
    };
    (entry.output.0 >> 12) << 24
        | u64::from(entry.permissions.bits()) << 12
        | shareability << 8
        | u64::from(entry.attributes.memory.0)
}

/// By the bits of the data word; 3 is none.
const SHAREABILITIES: [Shareability; 4] =
    [Shareability::Non, Shareability::Inner, Shareability::Outer, Shareability::Outer];

/// What a look-up found. Two words, so that it travels in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Data word of the entry.
    pub(super) data: u64,
    /// Number of its fill; 0 for a miss.
    pub(super) number: u64,
}

impl Found {
    pub(super) const NOTHING: Self = Self { data: 0, number: 0 };

    #[inline]
    pub(super) const fn is_hit(self) -> bool {
        self.number != 0
    }

    /// With the output page of the one 4 KiB page around `input`, out of an entry of the size
    /// that `bit` stands for.
    #[inline]
    pub(super) const fn narrow(self, input: u64, bit: u64) -> Self {
        Self { data: self.data | (input >> SIZE_MIN & (bit - 1)) << 24, ..self }
    }

    /// As the architecture's values. The entry has been narrowed to the page of `input`.
    #[inline]
    pub(super) fn hit(self, input: u64) -> Option<Hit> {
        if !self.is_hit() {
            return None;
        }
        let shareability = SHAREABILITIES[(self.data >> 8 & 3) as usize];
        Some(Hit {
            output: Pa((self.data >> 24) << 12 | input & 0xfff),
            permissions: Permissions::from_bits((self.data >> 12) as u16),
            attributes: Attributes { memory: MemoryType(self.data as u8), shareability },
            fill: self.number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_set_bit_of_a_page_tells_its_size() {
        assert_eq!(page(0x1234, 12), 0x3);
        assert_eq!(page(0x0040_0000, 21), 0x800 | 0x200);
        assert_eq!(page(0xffff_ffff_ffff_f000, 12), (1 << PAGE_WIDTH) - 1);
        assert_eq!(page(0, 52), 1 << 40);
        assert_eq!(page(!0, 52), 1 << 41 | 1 << 40);
    }

    #[test]
    fn canonical_addresses_repeat_bit_52() {
        assert!(
            [0, 0x000f_ffff_ffff_ffff, 0xfff0_0000_0000_0000, !0].into_iter().all(is_canonical)
        );
        assert!(![1 << 52, 1 << 63, 0xffe0_0000_0000_0000].into_iter().any(is_canonical));
    }

    #[test]
    fn a_tag_names_its_space() {
        assert_eq!(tag(5, 3), 0x0000_5000_0000_0003);
        assert_eq!(space_of(tag(SPACE_ID_MAX, (1 << PAGE_WIDTH) - 1)), SPACE_ID_MAX);
    }
}
