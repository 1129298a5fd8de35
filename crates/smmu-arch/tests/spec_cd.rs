//! The CD and the level-1 descriptor against `spec/cd.toml`.

mod spec_tables;

use proptest::prelude::*;
use serde::Deserialize;
use smmu_arch::{
    Asid, Cd, CdTable, CdWords, Features, Granule, HardwareUpdate, IdRegisters, IllegalCd, L1Cd,
    L1CdWord, MemoryType, StallModel, Ste, StreamConfig, StreamWorld, TermModel,
};
use smmu_testpoint::testpoint;
use spec_tables::{
    Field, Rule, assert_each_field_alone, assert_rules_covered, assert_same_fields, load, only,
};

#[derive(Deserialize)]
struct Table {
    field: Vec<Field>,
    illegal: Vec<Rule>,
    l1cd_field: Vec<Field>,
    l1cd_illegal: Vec<Rule>,
}

fn table() -> Table {
    load("cd.toml")
}

fn features() -> Features {
    Features::decode(&IdRegisters::REFERENCE)
}

fn stage1_ste() -> Ste {
    Ste { valid: true, config: StreamConfig::Stage1, ..Ste::default() }
}

// ------------------------------------------------------------------ layout

#[test]
fn every_field_lies_where_the_table_says() {
    assert_same_fields("CD", &table().field, CdWords::FIELDS);
    assert_same_fields("L1CD", &table().l1cd_field, L1CdWord::FIELDS);
}

#[test]
fn each_accessor_reads_its_own_bits_only() {
    assert_each_field_alone(CdWords::FIELDS, |words| CdWords::from_words(words).values());
    assert_each_field_alone(L1CdWord::FIELDS, |words| L1CdWord::from(words[0]).values());
}

type Getter = fn(&Cd) -> u64;

/// The fields that [`Cd`] holds, as the bits of the field.
#[rustfmt::skip]
const HELD: &[(&str, Getter)] = &[
    ("T0SZ", |c| c.tables[0].tsz.into()),
    ("TG0", |c| c.tables[0].tg.map_or(3, Granule::to_tg0).into()),
    ("IR0", |c| c.tables[0].ir.into()),
    ("OR0", |c| c.tables[0].or.into()),
    ("SH0", |c| c.tables[0].sh.into()),
    ("EPD0", |c| c.tables[0].epd.into()),
    ("TBI0", |c| c.tables[0].tbi.into()),
    ("HAD0", |c| c.tables[0].had.into()),
    ("E0PD0", |c| c.tables[0].e0pd.into()),
    ("TTB0", |c| c.tables[0].ttb >> 4),
    ("T1SZ", |c| c.tables[1].tsz.into()),
    ("TG1", |c| c.tables[1].tg.map_or(0, Granule::to_tg1).into()),
    ("IR1", |c| c.tables[1].ir.into()),
    ("OR1", |c| c.tables[1].or.into()),
    ("SH1", |c| c.tables[1].sh.into()),
    ("EPD1", |c| c.tables[1].epd.into()),
    ("TBI1", |c| c.tables[1].tbi.into()),
    ("HAD1", |c| c.tables[1].had.into()),
    ("E0PD1", |c| c.tables[1].e0pd.into()),
    ("TTB1", |c| c.tables[1].ttb >> 4),
    ("V", |c| c.valid.into()),
    ("ENDI", |c| c.endi.into()),
    ("IPS", |c| c.ips.into()),
    ("AFFD", |c| c.affd.into()),
    ("WXN", |c| c.wxn.into()),
    ("PAN", |c| c.pan.into()),
    ("EPAN", |c| c.epan.into()),
    ("AA64", |c| c.aa64.into()),
    ("DS", |c| c.ds.into()),
    ("HA", |c| c.ha.into()),
    ("HD", |c| c.hd.into()),
    ("S", |c| c.s.into()),
    ("R", |c| c.r.into()),
    ("A", |c| c.a.into()),
    ("ASET", |c| c.aset.into()),
    ("ASID", |c| c.asid.0.into()),
    ("MAIR0", |c| c.mair & 0xffff_ffff),
    ("MAIR1", |c| c.mair >> 32),
];

#[test]
fn each_field_of_the_words_reaches_its_own_field_of_the_cd_only() {
    for field in CdWords::FIELDS {
        let cd = Cd::decode(&only(*field));
        let ones = field.extract(&only(*field));
        // Address bits 55:52 are RES0.
        let kept = if field.name.starts_with("TTB") { ones >> 4 } else { ones };
        for (name, get) in HELD {
            let expected = if *name == field.name { kept } else { 0 };
            assert_eq!(get(&cd), expected, "{} into {name}", field.name);
        }
        let held = HELD.iter().any(|(name, _)| *name == field.name);
        assert!(held || cd == Cd::default(), "{} is not held", field.name);
    }
}

/// Composed by hand from the bit numbers: TTB0 only, 48 bits, 4K pages.
const WORDS: [u64; 8] =
    [0x0042_e34d_c000_3510, 0x0000_0004_5678_9002, 0, 0x0000_0000_0044_04ff, 0, 0, 0, 0];

fn cd() -> Cd {
    let zero = Cd::default();
    let table0 = CdTable {
        tsz: 16,
        tg: Some(Granule::K4),
        ttb: 0x4_5678_9000,
        had: true,
        tbi: true,
        ir: 1,
        or: 1,
        sh: 3,
        ..zero.tables[0]
    };
    Cd {
        valid: true,
        tables: [table0, CdTable { epd: true, ..zero.tables[1] }],
        ips: 5,
        affd: true,
        pan: true,
        aa64: true,
        r: true,
        a: true,
        aset: true,
        asid: Asid(0x42),
        mair: 0x4404ff,
        ..zero
    }
}

#[test]
fn a_pinned_cd() {
    assert_eq!(Cd::decode(&WORDS), cd());
    assert_eq!(cd().encode(), WORDS);
}

#[test]
fn the_default_is_all_zeros() {
    assert_eq!(Cd::default().encode(), [0; 8]);
}

proptest! {
    #[test]
    fn a_cd_survives_encoding(words in any::<[u64; 8]>()) {
        let cd = Cd::decode(&words);
        prop_assert_eq!(Cd::decode(&cd.encode()), cd);
    }

    #[test]
    fn nothing_that_a_guest_writes_panics(words in any::<[u64; 8]>(), idr in any::<[u32; 4]>()) {
        let [idr0, idr1, idr3, idr5] = idr;
        let ids = IdRegisters { idr0, idr1, idr3, idr5, ..IdRegisters::default() };
        let (features, mut words) = (Features::decode(&ids), words);
        words[0] |= 1 << 31; // valid
        let (cd, ste) = (Cd::decode(&words), Ste::decode(&words));
        for world in [StreamWorld::NsEl1, StreamWorld::El2, StreamWorld::El2E2h] {
            let first = cd.violations(&ste, &features, world).next();
            prop_assert_eq!(cd.check(&ste, &features, world).err(), first);
            let effective = cd.effective(&features, world);
            prop_assert_eq!(effective.effective(&features, world), effective);
        }
    }

    #[test]
    fn an_l1_descriptor_survives_encoding(word in any::<u64>()) {
        let l1cd = L1Cd::decode(word);
        prop_assert_eq!(L1Cd::decode(l1cd.encode()), l1cd);
    }
}

// ------------------------------------------------------------------ legality

const LEFT_OUT: &[(&str, &str)] = &[
    ("CD-HAFT", "Access flags of table descriptors came with SMMUv3.4"),
    ("CD-D128-PIE", "128-bit descriptors and permission indirection came with SMMUv3.4"),
];

type Edit = fn(&mut Cd, &mut Ste, &mut Features);

/// For each rule one edit of a legal CD, its STE or its SMMU that breaks this rule alone.
#[rustfmt::skip]
const CASES: &[(IllegalCd, Edit)] = &[
    (IllegalCd::Invalid, |c, _, _| c.valid = false),
    (IllegalCd::Stalld, |c, s, f| (c.s, s.s1_stalld, f.stall_model) = (true, true, StallModel::StallAndTerminate)),
    (IllegalCd::Term, |c, _, f| (c.a, f.term_model) = (false, TermModel::AbortOnly)),
    (IllegalCd::NoStall, |c, _, _| c.s = true),
    (IllegalCd::Forced, |_, _, f| f.stall_model = StallModel::StallForced),
    (IllegalCd::Endi, |c, _, _| c.endi = true),
    (IllegalCd::Lpae, |c, _, _| c.aa64 = false),
    (IllegalCd::Aa64, |_, s, _| (s.config, s.s2_aa64) = (StreamConfig::Nested, false)),
    (IllegalCd::Httu0, |c, _, _| c.ha = true),
    (IllegalCd::Httu1, |c, _, f| (c.hd, f.httu) = (true, HardwareUpdate::AccessFlag)),
    (IllegalCd::Asid8, |c, _, f| (c.asid, f.asid16) = (Asid(0x100), false)),
    (IllegalCd::TxszMax, |c, _, f| (c.tables[0].tsz, f.stt) = (40, false)),
    (IllegalCd::TxszMin, |c, _, _| c.tables[0].tsz = 15),
    (IllegalCd::Tg, |_, _, f| f.gran4k = false),
    (IllegalCd::TtbRange, |c, _, _| c.tables[0].ttb = 1 << 48),
];

fn violations(edit: Edit, world: StreamWorld) -> Vec<IllegalCd> {
    let (mut cd, mut ste, mut features) = (cd(), stage1_ste(), features());
    edit(&mut cd, &mut ste, &mut features);
    cd.violations(&ste, &features, world).collect()
}

#[test]
fn every_legality_row_is_a_rule_or_left_out_with_a_reason() {
    let ids: Vec<_> = IllegalCd::ALL.iter().map(|rule| rule.id()).collect();
    assert_rules_covered(&table().illegal, &ids, LEFT_OUT);
}

#[test]
fn every_rule_is_broken_alone_by_its_own_case() {
    assert!(CASES.iter().map(|(rule, _)| rule).eq(IllegalCd::ALL));
    assert_eq!(violations(|_, _, _| (), StreamWorld::NsEl1), []);
    for (rule, edit) in CASES {
        assert_eq!(violations(*edit, StreamWorld::NsEl1), [*rule]);
    }
    testpoint!(127, 129, 130, 134, 135);
}

#[test]
fn an_error_tells_its_row() {
    let text = "CD-TERM: A is 0 although TERM_MODEL is 1";
    assert_eq!(IllegalCd::Term.to_string(), text);
}

#[test]
fn fields_of_a_disabled_half_are_ignored() {
    let garbage = CdTable { tsz: 63, tg: None, ttb: !0, ..cd().tables[1] };
    let check = |table1, world| {
        Cd { tables: [cd().tables[0], table1], ..cd() }.check(&stage1_ste(), &features(), world)
    };
    assert_eq!(check(CdTable { epd: true, ..garbage }, StreamWorld::NsEl1), Ok(()));
    let enabled = CdTable { epd: false, ..garbage };
    assert_eq!(check(enabled, StreamWorld::NsEl1), Err(IllegalCd::TxszMax));
    assert_eq!(check(enabled, StreamWorld::El2E2h), Err(IllegalCd::TxszMax));
    assert_eq!(check(enabled, StreamWorld::El2), Ok(()));
    testpoint!(131);
}

#[test]
fn epd0_counts_as_0_in_the_el2_world() {
    let edit: Edit = |c, _, _| (c.tables[0].epd, c.tables[0].tg) = (true, None);
    assert_eq!(violations(edit, StreamWorld::NsEl1), []);
    assert_eq!(violations(edit, StreamWorld::El2), [IllegalCd::Tg]);
    testpoint!(131);
}

#[test]
fn endi_does_not_matter_where_both_halves_are_disabled() {
    let edit: Edit = |c, _, _| (c.endi, c.tables[0].epd) = (true, true);
    assert_eq!(violations(edit, StreamWorld::NsEl1), []);
    assert_eq!(violations(edit, StreamWorld::El2), [IllegalCd::Endi]);
    testpoint!(137);
}

#[test]
fn worlds_without_asids_take_any_asid() {
    let edit: Edit = |c, _, f| (c.asid, f.asid16) = (Asid(0x100), false);
    assert_eq!(violations(edit, StreamWorld::El2), []);
    assert_eq!(violations(edit, StreamWorld::El2E2h), [IllegalCd::Asid8]);
    testpoint!(134);
}

#[test]
fn lpae_tables_are_for_worlds_without_e2h() {
    let edit: Edit = |c, _, f| (c.aa64, f.lpae_tables) = (false, true);
    assert_eq!(violations(edit, StreamWorld::NsEl1), []);
    assert_eq!(violations(edit, StreamWorld::El2E2h), [IllegalCd::Lpae]);
}

#[test]
fn limits_of_txsz() {
    let check = |granule, tsz, stt, vax| {
        let table0 = CdTable { tg: Some(granule), tsz, ..cd().tables[0] };
        let cd = Cd { tables: [table0, cd().tables[1]], ..cd() };
        cd.check(&stage1_ste(), &Features { stt, vax, ..features() }, StreamWorld::NsEl1)
    };
    assert_eq!(check(Granule::K4, 39, false, false), Ok(()));
    assert_eq!(check(Granule::K4, 48, true, false), Ok(()));
    assert_eq!(check(Granule::K4, 49, true, false), Err(IllegalCd::TxszMax));
    assert_eq!(check(Granule::K64, 47, true, false), Ok(()));
    assert_eq!(check(Granule::K64, 48, true, false), Err(IllegalCd::TxszMax));
    assert_eq!(check(Granule::K64, 16, true, false), Ok(()));
    assert_eq!(check(Granule::K64, 15, true, false), Err(IllegalCd::TxszMin));
    assert_eq!(check(Granule::K64, 12, true, true), Ok(()));
    assert_eq!(check(Granule::K64, 11, true, true), Err(IllegalCd::TxszMin));
    assert_eq!(check(Granule::K16, 15, true, true), Err(IllegalCd::TxszMin));
    testpoint!(132);
}

#[test]
fn a_table_base_is_held_against_the_smaller_of_ips_and_oas() {
    let check = |ttb, ips, granule, oas_bits| {
        let table0 = CdTable { ttb, tg: Some(granule), ..cd().tables[0] };
        let cd = Cd { ips, tables: [table0, cd().tables[1]], ..cd() };
        cd.check(&stage1_ste(), &Features { oas_bits, ..features() }, StreamWorld::NsEl1)
    };
    let beyond = Err(IllegalCd::TtbRange);
    assert_eq!(check(1 << 39, 2, Granule::K4, 48), Ok(()));
    assert_eq!(check(1 << 40, 2, Granule::K4, 48), beyond);
    assert_eq!(check(1 << 44, 5, Granule::K4, 44), beyond);
    assert_eq!(check(1 << 48, 6, Granule::K16, 52), beyond);
    assert_eq!(check(1 << 48, 6, Granule::K64, 52), Ok(()));
    testpoint!(133);
}

// ------------------------------------------------------------------ derived facts

#[test]
fn memory_types_come_from_mair() {
    let types = [0, 1, 2, 3].map(|index| cd().memory_type(index));
    let expected = [0xff, 0x04, 0x44, 0x00].map(MemoryType);
    assert_eq!(types, expected);
    assert_eq!(Cd { mair: 0xbb << 56, ..cd() }.memory_type(7), MemoryType(0xbb));
}

#[test]
fn fields_without_effect_read_zero_in_the_effective_cd() {
    let effective = |edit: Edit, world| {
        let (mut cd, mut features) = (cd(), features());
        edit(&mut cd, &mut stage1_ste(), &mut features);
        cd.effective(&features, world)
    };
    let el1 = StreamWorld::NsEl1;
    assert_eq!(effective(|_, _, _| (), el1), cd());
    assert!(!effective(|_, _, f| f.had = false, el1).tables[0].had);
    let e0pd: Edit = |c, _, f| (c.tables[0].e0pd, f.e0pd) = (true, true);
    assert!(effective(e0pd, el1).tables[0].e0pd);
    assert!(!effective(e0pd, StreamWorld::El2).tables[0].e0pd);
    assert!(!effective(|c, _, _| c.tables[0].e0pd = true, el1).tables[0].e0pd);
    assert!(!effective(|_, _, _| (), StreamWorld::El2).pan);
    assert!(effective(|_, _, _| (), StreamWorld::El2E2h).pan);
    assert!(!effective(|c, _, _| c.epan = true, el1).epan);
    assert!(!effective(|c, _, _| c.hd = true, el1).hd);
    assert!(effective(|c, _, _| (c.ha, c.hd) = (true, true), el1).hd);
    assert!(!effective(|c, _, _| (c.ha, c.aa64) = (true, false), el1).ha);
    testpoint!(136);
}

/// Row L1CD-1 is the valid bit; L1CD-2 concerns the fetch, which knows the address space.
#[test]
fn a_pinned_level1_descriptor() {
    let ids: Vec<_> = table().l1cd_illegal.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["L1CD-1", "L1CD-2"]);
    let l1cd = L1Cd { valid: true, l2ptr: 0x8_1234_5000 };
    assert_eq!(l1cd.encode(), 0x0000_0008_1234_5001);
    assert!(!L1Cd::decode(0x8_1234_5000).valid);
}
