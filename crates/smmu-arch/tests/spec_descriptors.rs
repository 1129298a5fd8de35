//! The descriptors against `spec/descriptors.toml`: fields of leaves and tables, kinds by level,
//! memory types of stage 2. Granules, start levels and worked examples are held by `smmu-tables`.

mod spec_tables;

use serde::Deserialize;
use smmu_arch::{
    Attributes, DescriptorFormat, DescriptorKind, Granule, MemoryType, Stage1LeafWord,
    Stage2LeafWord, TableWord, descriptor_address, descriptor_address_bits, descriptor_kind,
};
use spec_tables::{Field, load};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Table {
    r#type: Vec<Kind>,
    s1_leaf: Vec<Field>,
    s1_table: Vec<Field>,
    s2_leaf: Vec<Field>,
    s2_memattr: MemAttr,
}

#[derive(Deserialize)]
struct Kind {
    levels: String,
    bits: String,
    meaning: String,
}

#[derive(Deserialize)]
struct MemAttr {
    normal: BTreeMap<String, String>,
}

fn table() -> Table {
    load("descriptors.toml")
}

/// A field by its name, and its bits in a descriptor.
type Getter = (&'static str, fn(u64) -> u64);

#[rustfmt::skip]
const S1_LEAF: &[Getter] = &[
    ("AttrIndx", |w| Stage1LeafWord::from(w).attr_index().into()),
    ("NS", |w| Stage1LeafWord::from(w).ns().into()),
    ("AP", |w| u64::from(Stage1LeafWord::from(w).ap_unprivileged()) | u64::from(Stage1LeafWord::from(w).ap_read_only()) << 1),
    ("SH", |w| Stage1LeafWord::from(w).sh().into()),
    ("AF", |w| Stage1LeafWord::from(w).af().into()),
    ("nG", |w| Stage1LeafWord::from(w).ng().into()),
    ("GP", |w| Stage1LeafWord::from(w).gp().into()),
    ("DBM", |w| Stage1LeafWord::from(w).dbm().into()),
    ("Contiguous", |w| Stage1LeafWord::from(w).contiguous().into()),
    ("PXN", |w| Stage1LeafWord::from(w).pxn().into()),
    ("UXN", |w| Stage1LeafWord::from(w).uxn().into()),
    ("PBHA", |w| Stage1LeafWord::from(w).pbha().into()),
];

#[rustfmt::skip]
const S2_LEAF: &[Getter] = &[
    ("MemAttr", |w| Stage2LeafWord::from(w).mem_attr().into()),
    ("S2AP", |w| u64::from(Stage2LeafWord::from(w).read()) | u64::from(Stage2LeafWord::from(w).write()) << 1),
    ("SH", |w| Stage2LeafWord::from(w).sh().into()),
    ("AF", |w| Stage2LeafWord::from(w).af().into()),
    ("DBM", |w| Stage2LeafWord::from(w).dbm().into()),
    ("Contiguous", |w| Stage2LeafWord::from(w).contiguous().into()),
    ("XN", |w| Stage2LeafWord::from(w).xn().into()),
    ("PBHA", |w| Stage2LeafWord::from(w).pbha().into()),
];

#[rustfmt::skip]
const S1_TABLE: &[Getter] = &[
    ("PXNTable", |w| TableWord::from(w).pxn_table().into()),
    ("UXNTable", |w| TableWord::from(w).uxn_table().into()),
    ("APTable", |w| u64::from(TableWord::from(w).ap_table_no_unprivileged()) | u64::from(TableWord::from(w).ap_table_read_only()) << 1),
    ("NSTable", |w| TableWord::from(w).ns_table().into()),
];

/// Rows without an accessor, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("s1_leaf nT", "the sizes of a translation change by break-before-make alone"),
    ("s1_table AF", "Access flags of table descriptors came with SMMUv3.4"),
];

/// Every row is a field of the word, each bit in its place, and touches no other field.
fn check(section: &str, rows: &[Field], getters: &[Getter]) {
    for row in rows {
        let key = format!("{section} {}", row.name);
        let left_out = LEFT_OUT.iter().any(|(name, reason)| *name == key && !reason.is_empty());
        let held = getters.iter().any(|(name, _)| *name == row.name);
        assert!(held != left_out, "{key}: either a field or left out");
        for bit in row.lsb..=row.msb {
            for (name, get) in getters {
                let expected = if *name == row.name { 1 << (bit - row.lsb) } else { 0 };
                assert_eq!(get(1 << bit), expected, "bit {bit} of {key} in {name}");
            }
        }
    }
    for (name, _) in getters {
        assert!(rows.iter().any(|row| row.name == *name), "{section} {name} is not in the table");
    }
}

#[test]
fn every_field_lies_where_the_table_says() {
    let table = table();
    check("s1_leaf", &table.s1_leaf, S1_LEAF);
    check("s2_leaf", &table.s2_leaf, S2_LEAF);
    check("s1_table", &table.s1_table, S1_TABLE);
    for (key, _) in LEFT_OUT {
        let (section, name) = key.split_once(' ').expect("a section and a name");
        let rows = if section == "s1_leaf" { &table.s1_leaf } else { &table.s1_table };
        assert!(rows.iter().any(|row| row.name == name), "{key} is not in the table");
    }
}

/// What a row of kinds says of a level: the low two bits, and what they make.
#[test]
fn every_kind_is_that_of_its_row() {
    for row in table().r#type {
        for granule in Granule::ALL {
            let wide = DescriptorFormat::of(granule, true, true);
            let kind = |low, granule, level| descriptor_kind(low, granule, level, wide);
            let has_block = |level| granule.has_block(level, wide);
            match (row.levels.as_str(), row.bits.as_str()) {
                ("any", "bit 0 = 0") => {
                    for (low, level) in [(0, 0), (2, 0), (0, 3), (2, 3), (!1, 2)] {
                        assert_eq!(kind(low, granule, level), DescriptorKind::Invalid);
                    }
                }
                ("-1..2", "[1:0] = 3") => {
                    for level in -1..=2 {
                        assert_eq!(kind(3, granule, level), DescriptorKind::Table);
                    }
                }
                (levels, "[1:0] = 1") if levels.starts_with("1, 2") => {
                    for level in -1..=2 {
                        let leaf = kind(1, granule, level) == DescriptorKind::Leaf;
                        assert_eq!(leaf, has_block(level), "{granule} level {level}");
                        assert!(leaf || kind(1, granule, level) == DescriptorKind::Invalid);
                    }
                }
                ("3", "[1:0] = 3") => assert_eq!(kind(3, granule, 3), DescriptorKind::Leaf),
                ("3", "[1:0] = 1") => assert_eq!(kind(1, granule, 3), DescriptorKind::Invalid),
                _ => panic!("nothing holds the row '{} {}'", row.levels, row.meaning),
            }
        }
    }
}

/// The MAIR byte of a name such as `Device-nGnRE` or `oWB-iNC`; reserved ones count as the
/// strongest.
fn memory_type(name: &str) -> MemoryType {
    let half = |text: &str| match text {
        "NC" => 0x4,
        "WT" => 0xb,
        "WB" => 0xf,
        _ => panic!("cacheability {text}"),
    };
    match name {
        "Device-nGnRnE" => MemoryType(0x00),
        "Device-nGnRE" => MemoryType(0x04),
        "Device-nGRE" => MemoryType(0x08),
        "Device-GRE" => MemoryType(0x0c),
        _ if name.starts_with("reserved") || name.starts_with("as 4") => MemoryType::DEVICE_NGNRNE,
        _ => MemoryType(half(&name[1..3]) << 4 | half(&name[5..7])),
    }
}

#[test]
fn every_memattr_of_stage_2_is_the_type_of_its_row() {
    let rows = table().s2_memattr.normal;
    assert_eq!(rows.len(), 16);
    for (code, name) in rows {
        let code: u8 = code.parse().expect("a number");
        assert_eq!(Attributes::from_stage2(code, 0).memory, memory_type(&name), "{code}: {name}");
    }
}

/// The address field with DS, as the sheet's section "address fields" has it.
#[test]
fn every_address_bit_with_ds_lies_where_the_table_says() {
    let said = "with DS: OA[49:12] (or [49:14]) in place, OA[51:50] in bits [9:8]";
    assert!(load::<Addresses>("descriptors.toml").address.ds.starts_with(said));
    for bit in 12..52 {
        let place = if bit >= 50 { bit - 42 } else { bit };
        let format = DescriptorFormat::Ds;
        assert_eq!(descriptor_address_bits(1 << bit, format), 1 << place);
        assert_eq!(descriptor_address(1 << place, 12, format), 1 << bit);
    }
}

#[derive(Deserialize)]
struct Addresses {
    address: AddressFields,
}

#[derive(Deserialize)]
struct AddressFields {
    ds: String,
}
