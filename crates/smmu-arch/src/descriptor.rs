//! Translation table descriptors.
//!
//! Architecture: VMSAv8-64 translation table format descriptors (DDI 0487). Decoded once into
//! plain values. The layouts are those of 48-bit addresses: with IDR5.DS the bits of SH and GP belong
//! to the address ([`DescriptorFormat::Ds`]).

use crate::{DescriptorFormat, Granule};
use modular_bitfield::prelude::*;

/// A leaf (block or page) descriptor of stage 1.
#[bitfield(bits = 64)]
#[repr(u64)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage1LeafWord {
    /// Bits 1:0: 1 for a block, 3 for a page.
    pub kind: B2,
    /// AttrIndx: index into MAIR.
    pub attr_index: B3,
    /// NS, for Secure streams.
    pub ns: bool,
    /// `AP[1]`: unprivileged access.
    pub ap_unprivileged: bool,
    /// `AP[2]`: read-only.
    pub ap_read_only: bool,
    /// SH: shareability.
    pub sh: B2,
    /// AF: Access flag.
    pub af: bool,
    /// nG: not global.
    pub ng: bool,
    /// Output address bits 47:12; with 64K granules bits 51:48 are in the low four.
    pub address: B36,
    #[skip]
    __: B2,
    /// GP: guarded page, ignored.
    pub gp: bool,
    /// DBM: dirty bit modifier.
    pub dbm: bool,
    /// Contiguous hint.
    pub contiguous: bool,
    /// PXN: privileged execute never.
    pub pxn: bool,
    /// UXN (XN where there is one privilege level).
    pub uxn: bool,
    /// For software.
    pub software: B4,
    /// PBHA.
    pub pbha: B4,
    #[skip]
    __: B1,
}

/// A leaf descriptor of stage 2.
#[bitfield(bits = 64)]
#[repr(u64)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2LeafWord {
    /// Bits 1:0: 1 for a block, 3 for a page.
    pub kind: B2,
    /// MemAttr.
    pub mem_attr: B4,
    /// `S2AP[0]`: read.
    pub read: bool,
    /// `S2AP[1]`: write.
    pub write: bool,
    /// SH: shareability.
    pub sh: B2,
    /// AF: Access flag.
    pub af: bool,
    #[skip]
    __: B1,
    /// Output address bits 47:12; with 64K granules bits 51:48 are in the low four.
    pub address: B36,
    #[skip]
    __: B3,
    /// DBM: dirty bit modifier.
    pub dbm: bool,
    /// Contiguous hint.
    pub contiguous: bool,
    /// `XN[1:0]`; only bit 1 counts without IDR3.XNX.
    pub xn: B2,
    /// For software.
    pub software: B4,
    /// PBHA.
    pub pbha: B4,
    #[skip]
    __: B1,
}

/// A table descriptor of either stage; stage 2 ignores the hierarchical attributes.
#[bitfield(bits = 64)]
#[repr(u64)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableWord {
    /// Bits 1:0: 3.
    pub kind: B2,
    #[skip]
    __: B10,
    /// Next-level table address bits 47:12; with 64K granules bits 51:48 are in the low four.
    pub address: B36,
    #[skip]
    __: B11,
    /// PXNTable.
    pub pxn_table: bool,
    /// UXNTable.
    pub uxn_table: bool,
    /// `APTable[0]`: no unprivileged access below.
    pub ap_table_no_unprivileged: bool,
    /// `APTable[1]`: no write below.
    pub ap_table_read_only: bool,
    /// NSTable, for Secure streams.
    pub ns_table: bool,
}

/// What a descriptor is, by its low two bits and its level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DescriptorKind {
    /// Bit 0 clear, or an encoding that is reserved at this level: a translation fault.
    Invalid,
    /// Points to the next-level table.
    Table,
    /// Block or page.
    Leaf,
}

/// Tells the kind of a descriptor.
#[must_use]
pub const fn descriptor_kind(
    word: u64,
    granule: Granule,
    level: i8,
    format: DescriptorFormat,
) -> DescriptorKind {
    match (word & 3, level) {
        (3, 3) => DescriptorKind::Leaf,
        (3, _) => DescriptorKind::Table,
        (1, _) if granule.has_block(level, format) => DescriptorKind::Leaf,
        _ => DescriptorKind::Invalid,
    }
}

/// Output address of a table descriptor, or of a leaf that maps 2^`shift` bytes.
///
/// Bits below `shift` are RES0 and ignored.
#[must_use]
pub const fn descriptor_address(word: u64, shift: u32, format: DescriptorFormat) -> u64 {
    let (in_place, high) = match format {
        DescriptorFormat::Bits48 => (IN_PLACE_48, 0),
        DescriptorFormat::Wide64K => (IN_PLACE_48, (word >> 12 & 0xf) << 48),
        DescriptorFormat::Ds => (IN_PLACE_50, (word >> 8 & 3) << 50),
    };
    (word & in_place) >> shift << shift | high
}

/// The bits of a descriptor that hold an output address.
#[must_use]
pub const fn descriptor_address_bits(address: u64, format: DescriptorFormat) -> u64 {
    match format {
        DescriptorFormat::Bits48 => address & IN_PLACE_48,
        DescriptorFormat::Wide64K => address & IN_PLACE_48 | (address >> 48 & 0xf) << 12,
        DescriptorFormat::Ds => address & IN_PLACE_50 | (address >> 50 & 3) << 8,
    }
}

/// Address bits 47:12.
const IN_PLACE_48: u64 = 0x0000_ffff_ffff_f000;
/// Address bits 49:12.
const IN_PLACE_50: u64 = 0x0003_ffff_ffff_f000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage1_leaf_fields_are_where_the_format_puts_them() {
        // UXN | AF | SH inner | AP[1] | AttrIndx 2 | page, at 0x8_1234_5000.
        let word = 1 << 54 | 0x8_1234_5000 | 1 << 10 | 3 << 8 | 1 << 6 | 2 << 2 | 3;
        let leaf = Stage1LeafWord::from(word);
        assert!(leaf.uxn() && leaf.af() && leaf.ap_unprivileged());
        assert!(!leaf.pxn() && !leaf.ng() && !leaf.ap_read_only() && !leaf.contiguous());
        assert_eq!((leaf.sh(), leaf.attr_index(), leaf.address()), (3, 2, 0x81_2345));
        assert_eq!(u64::from(leaf), word);
    }

    #[test]
    fn stage2_leaf_fields_are_where_the_format_puts_them() {
        let word = 2 << 53 | 1 << 52 | 0x9000_0000 | 1 << 10 | 3 << 8 | 1 << 6 | 0xf << 2 | 1;
        let leaf = Stage2LeafWord::from(word);
        assert_eq!((leaf.xn(), leaf.mem_attr(), leaf.kind()), (2, 15, 1));
        assert!(leaf.contiguous() && leaf.af() && leaf.read() && !leaf.write());
        assert_eq!(u64::from(leaf), word);
    }

    #[test]
    fn table_limits_are_the_top_bits() {
        let table = TableWord::from(1 << 63 | 1 << 62 | 1 << 60 | 0x4000_1000 | 3);
        assert!(table.ns_table() && table.ap_table_read_only() && table.uxn_table());
        assert!(!table.pxn_table() && !table.ap_table_no_unprivileged());
    }

    #[test]
    fn blocks_exist_only_where_the_granule_has_them() {
        let kind = |granule, level| descriptor_kind(1, granule, level, DescriptorFormat::Bits48);
        assert_eq!(
            [0, 1, 2, 3].map(|l| kind(Granule::K4, l)),
            [
                DescriptorKind::Invalid,
                DescriptorKind::Leaf,
                DescriptorKind::Leaf,
                DescriptorKind::Invalid
            ]
        );
        assert_eq!(kind(Granule::K64, 1), DescriptorKind::Invalid);
        let wide = DescriptorFormat::Wide64K;
        assert_eq!(descriptor_kind(1, Granule::K64, 1, wide), DescriptorKind::Leaf);
        for (granule, level) in [(Granule::K4, 0), (Granule::K16, 1)] {
            assert_eq!(kind(granule, level), DescriptorKind::Invalid);
            let ds = descriptor_kind(1, granule, level, DescriptorFormat::Ds);
            assert_eq!(ds, DescriptorKind::Leaf, "{granule}");
            let above = descriptor_kind(1, granule, level - 1, DescriptorFormat::Ds);
            assert_eq!(above, DescriptorKind::Invalid, "{granule}");
        }
    }

    #[test]
    fn high_bits_of_64k_descriptors() {
        let address = 0x000a_1234_5678_0000;
        let word = descriptor_address_bits(address, DescriptorFormat::Wide64K) | 3;
        assert_eq!(descriptor_address(word, 16, DescriptorFormat::Wide64K), address);
        assert_eq!(descriptor_address(word, 16, DescriptorFormat::Bits48), 0x1234_5678_0000);
    }

    #[test]
    fn high_bits_of_ds_descriptors() {
        let word = 3 << 8 | 1 << 49 | 0x1234_5678_9000 | 3;
        let address = 0x000e_1234_5678_9000;
        assert_eq!(descriptor_address(word, 12, DescriptorFormat::Ds), address);
        assert_eq!(descriptor_address_bits(address, DescriptorFormat::Ds) | 3, word);
        assert_eq!(descriptor_address(word, 14, DescriptorFormat::Ds), address & !0x3fff);
        assert_eq!(descriptor_address(word, 12, DescriptorFormat::Bits48), 0x1234_5678_9000);
    }
}
