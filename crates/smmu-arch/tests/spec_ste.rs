//! The STE and the level-1 descriptor against `spec/ste.toml`.

mod spec_tables;

use proptest::prelude::*;
use serde::Deserialize;
use smmu_arch::{
    CdFormat, DefaultSubstream, Eats, Features, Granule, HardwareUpdate, IdRegisters, IllegalSte,
    InstructionOverride, L1Std, L1StdWord, PrivilegeOverride, Shareability, StallModel, Ste,
    SteWords, StreamConfig, StreamWorld, Vmid,
};
use smmu_testpoint::testpoint;
use spec_tables::{
    Field, Rule, assert_each_field_alone, assert_rules_covered, assert_same_fields, load, only,
};

#[derive(Deserialize)]
struct Table {
    field: Vec<Field>,
    illegal: Vec<Rule>,
    l1std_field: Vec<Field>,
    l1std_illegal: Vec<Rule>,
}

fn table() -> Table {
    load("ste.toml")
}

fn features() -> Features {
    Features::decode(&IdRegisters::REFERENCE)
}

// ------------------------------------------------------------------ layout

#[test]
fn every_field_lies_where_the_table_says() {
    assert_same_fields("STE", &table().field, SteWords::FIELDS);
    assert_same_fields("L1STD", &table().l1std_field, L1StdWord::FIELDS);
}

#[test]
fn each_accessor_reads_its_own_bits_only() {
    assert_each_field_alone(SteWords::FIELDS, |words| SteWords::from_words(words).values());
    assert_each_field_alone(L1StdWord::FIELDS, |words| L1StdWord::from(words[0]).values());
}

type Getter = fn(&Ste) -> u64;

/// The fields that [`Ste`] holds, as the bits of the field.
#[rustfmt::skip]
const HELD: &[(&str, Getter)] = &[
    ("V", |s| s.valid.into()),
    ("Config", |s| s.config.to_bits().into()),
    ("S1Fmt", |s| s.s1_fmt.to_bits().into()),
    ("S1ContextPtr", |s| s.s1_context_ptr >> 6),
    ("S1CDMax", |s| s.s1_cd_max.into()),
    ("S1DSS", |s| s.s1_dss.to_bits().into()),
    ("S1CIR", |s| s.s1_cir.into()),
    ("S1COR", |s| s.s1_cor.into()),
    ("S1CSH", |s| s.s1_csh.into()),
    ("S1STALLD", |s| s.s1_stalld.into()),
    ("STRW", |s| s.strw.into()),
    ("EATS", |s| s.eats.to_bits().into()),
    ("MEV", |s| s.mev.into()),
    ("PPAR", |s| s.ppar.into()),
    ("CONT", |s| s.cont.into()),
    ("DRE", |s| s.dre.into()),
    ("DCP", |s| s.dcp.into()),
    ("MTCFG", |s| s.mtcfg.into()),
    ("MemAttr", |s| s.mem_attr.into()),
    ("ALLOCCFG", |s| s.alloc_cfg.into()),
    ("SHCFG", |s| match s.sh_cfg { Some(Shareability::Non) => 0, None => 1, Some(Shareability::Outer) => 2, Some(Shareability::Inner) => 3 }),
    ("PRIVCFG", |s| s.priv_cfg.to_bits().into()),
    ("INSTCFG", |s| s.inst_cfg.to_bits().into()),
    ("S2VMID", |s| s.vmid.0.into()),
    ("S2T0SZ", |s| s.s2_t0sz.into()),
    ("S2SL0", |s| (s.s2_sl0 & 3).into()),
    ("S2SL0_2", |s| (s.s2_sl0 >> 2).into()),
    ("S2DS", |s| s.s2_ds.into()),
    ("S2TG", |s| s.s2_tg.map_or(3, Granule::to_tg0).into()),
    ("S2PS", |s| s.s2_ps.into()),
    ("S2IR0", |s| s.s2_ir0.into()),
    ("S2OR0", |s| s.s2_or0.into()),
    ("S2SH0", |s| s.s2_sh0.into()),
    ("S2AA64", |s| s.s2_aa64.into()),
    ("S2ENDI", |s| s.s2_endi.into()),
    ("S2AFFD", |s| s.s2_affd.into()),
    ("S2PTW", |s| s.s2_ptw.into()),
    ("S2HA", |s| s.s2_ha.into()),
    ("S2HD", |s| s.s2_hd.into()),
    ("S2S", |s| s.s2_s.into()),
    ("S2R", |s| s.s2_r.into()),
    ("S2FWB", |s| s.s2_fwb.into()),
    ("S2TTB", |s| s.s2_ttb >> 4),
];

/// What remains of a field of all ones: reserved encodings count as 0, address bits 55:52 are RES0.
fn of_all_ones(name: &str, ones: u64) -> u64 {
    match name {
        "S1Fmt" | "S1DSS" => 0,
        "S1ContextPtr" | "S2TTB" => ones >> 4,
        _ => ones,
    }
}

#[test]
fn each_field_of_the_words_reaches_its_own_field_of_the_ste_only() {
    for field in SteWords::FIELDS {
        let ste = Ste::decode(&only(*field));
        let ones = field.extract(&only(*field));
        for (name, get) in HELD {
            let expected = if *name == field.name { of_all_ones(name, ones) } else { 0 };
            assert_eq!(get(&ste), expected, "{} into {name}", field.name);
        }
        let held = HELD.iter().any(|(name, _)| *name == field.name);
        assert!(held || ste == Ste::default(), "{} is not held", field.name);
    }
    testpoint!(122);
}

/// Composed by hand from the bit numbers: a nested stream with substreams.
const NESTED_WORDS: [u64; 8] = [
    0x8000_0008_1234_502f,
    0x0003_1000_0208_00d6,
    0x046d_3558_0000_0105,
    0x0000_0009_8765_4000,
    0,
    0,
    0,
    0,
];

fn nested() -> Ste {
    Ste {
        valid: true,
        config: StreamConfig::Nested,
        s1_fmt: CdFormat::Leaf64K,
        s1_context_ptr: 0x8_1234_5000,
        s1_cd_max: 16,
        s1_dss: DefaultSubstream::Substream0,
        s1_cir: 1,
        s1_cor: 1,
        s1_csh: 3,
        mev: true,
        sh_cfg: None,
        priv_cfg: PrivilegeOverride::Privileged,
        vmid: Vmid(0x105),
        s2_t0sz: 24,
        s2_sl0: 1,
        s2_tg: Some(Granule::K4),
        s2_ps: 5,
        s2_ir0: 1,
        s2_or0: 1,
        s2_sh0: 3,
        s2_aa64: true,
        s2_affd: true,
        s2_ptw: true,
        s2_r: true,
        s2_fwb: true,
        s2_ttb: 0x9_8765_4000,
        ..Ste::default()
    }
}

#[test]
fn a_pinned_ste() {
    assert_eq!(Ste::decode(&NESTED_WORDS), nested());
    assert_eq!(nested().encode(), NESTED_WORDS);
}

#[test]
fn the_default_is_all_zeros() {
    assert_eq!(Ste::default().encode(), [0; 8]);
    assert_eq!(Ste::default().config, StreamConfig::Abort);
    assert_eq!(Ste::default().inst_cfg, InstructionOverride::Incoming);
}

proptest! {
    #[test]
    fn an_ste_survives_encoding(words in any::<[u64; 8]>()) {
        let ste = Ste::decode(&words);
        prop_assert_eq!(Ste::decode(&ste.encode()), ste);
    }

    #[test]
    fn nothing_that_a_guest_writes_panics(words in any::<[u64; 8]>(), idr in any::<[u32; 6]>()) {
        let [idr0, idr1, idr3, idr5, aidr, _] = idr;
        let ids = IdRegisters { idr0, idr1, idr3, idr5, aidr, ..IdRegisters::default() };
        let features = Features::decode(&ids);
        let mut words = words;
        words[0] |= 9; // valid, not abort
        let ste = Ste::decode(&words);
        prop_assert_eq!(ste.check(&features).err(), ste.violations(&features).next());
        prop_assert!(ste.start_level(&features).is_none_or(|level| (-1..=3).contains(&level)));
        let effective = ste.effective(&features);
        prop_assert_eq!(effective.effective(&features), effective);
    }

    #[test]
    fn an_l1_descriptor_survives_encoding(word in any::<u64>(), index in any::<u32>()) {
        let l1std = L1Std::decode(word);
        prop_assert_eq!(L1Std::decode(l1std.encode()), l1std);
        if let Some(address) = l1std.entry_address(index, 31) {
            prop_assert_eq!(address % 64, 0);
        }
    }
}

// ------------------------------------------------------------------ legality

const LEFT_OUT: &[(&str, &str)] = &[
    ("STE-S-S2", "Secure streams are not modelled"),
    ("STE-S-S2WALK", "Secure streams are not modelled"),
    ("STE-EATS-DPT", "the device permission table is not modelled"),
    ("STE-S2HAFT", "Access flags of table descriptors came with SMMUv3.4"),
    ("STE-VMSPTR", "MPAM is not modelled: no VMS is fetched"),
    ("STE-S2PIE", "permission indirection came with SMMUv3.4"),
];

type Edit = fn(&mut Ste, &mut Features);

/// For each rule one edit of a legal nested STE, or of its SMMU, that breaks this rule alone.
#[rustfmt::skip]
const CASES: &[(IllegalSte, Edit)] = &[
    (IllegalSte::Invalid, |s, _| s.valid = false),
    (IllegalSte::S1p, |_, f| f.s1p = false),
    (IllegalSte::S2p, |_, f| f.s2p = false),
    (IllegalSte::Strw, |s, _| (s.config, s.strw) = (StreamConfig::Stage1, 3)),
    (IllegalSte::EatsSplit, |s, f| (s.eats, f.ats, f.ns1ats) = (Eats::Split, true, true)),
    (IllegalSte::EatsFullS2s, |s, f| { stalls(f); (s.eats, s.s2_s, f.ats) = (Eats::Full, true, true) }),
    (IllegalSte::S1Stalld, |s, _| s.s1_stalld = true),
    (IllegalSte::S1CdMax, |s, _| s.s1_cd_max = 17),
    (IllegalSte::S1Fmt, |_, f| f.two_level_cd = false),
    (IllegalSte::S1ContextPtr, |s, _| (s.config, s.s1_context_ptr) = (StreamConfig::Stage1, 1 << 48)),
    (IllegalSte::S2Fwb, |s, f| { lpae(s, f); s.s2_fwb = true }),
    (IllegalSte::S2sNoStall, |s, _| s.s2_s = true),
    (IllegalSte::S2sForced, |_, f| f.stall_model = StallModel::StallForced),
    (IllegalSte::S2Aa64, |s, f| { lpae(s, f); f.lpae_tables = false }),
    (IllegalSte::S2HttuLpae, |s, f| { lpae(s, f); (s.s2_ha, f.httu) = (true, HardwareUpdate::AccessFlag) }),
    (IllegalSte::S2Httu0, |s, _| s.s2_ha = true),
    (IllegalSte::S2Httu1, |s, f| (s.s2_hd, f.httu) = (true, HardwareUpdate::AccessFlag)),
    (IllegalSte::S2Tg, |s, _| s.s2_tg = None),
    (IllegalSte::S2TtbRange, |s, _| s.s2_ttb = 1 << 48),
    (IllegalSte::S2T0szMax, |s, f| (s.s2_t0sz, s.s2_sl0, f.stt) = (40, 0, false)),
    (IllegalSte::S2T0szMin, |s, _| (s.s2_t0sz, s.s2_sl0) = (15, 2)),
    (IllegalSte::S2Start, |s, _| s.s2_sl0 = 0),
    (IllegalSte::S2Endi, |s, _| s.s2_endi = true),
    (IllegalSte::Vmid8, |_, f| f.vmid16 = false),
];

fn stalls(f: &mut Features) {
    f.stall_model = StallModel::StallAndTerminate;
}

fn lpae(s: &mut Ste, f: &mut Features) {
    (s.s2_aa64, s.s2_fwb, f.lpae_tables) = (false, false, true);
}

fn violations(edit: Edit) -> Vec<IllegalSte> {
    let (mut ste, mut features) = (nested(), features());
    edit(&mut ste, &mut features);
    ste.violations(&features).collect()
}

#[test]
fn every_legality_row_is_a_rule_or_left_out_with_a_reason() {
    let ids: Vec<_> = IllegalSte::ALL.iter().map(|rule| rule.id()).collect();
    assert_rules_covered(&table().illegal, &ids, LEFT_OUT);
}

#[test]
fn every_rule_is_broken_alone_by_its_own_case() {
    assert!(CASES.iter().map(|(rule, _)| rule).eq(IllegalSte::ALL));
    assert_eq!(violations(|_, _| ()), []);
    for (rule, edit) in CASES {
        assert_eq!(violations(*edit), [*rule]);
    }
    testpoint!(90, 91, 94, 95, 96, 97, 98, 99, 100, 106, 107, 108, 111);
}

#[test]
fn an_error_tells_its_row() {
    assert_eq!(IllegalSte::S2T0szMax.to_string(), "STE-S2T0SZ-MAX: S2T0SZ is too large");
}

#[test]
fn an_abort_ste_has_no_other_rule_than_to_be_valid() {
    for config in 0..4 {
        let mut words = [!0; 8];
        words[0] = !0xe | config << 1;
        assert_eq!(Ste::decode(&words).check(&features()), Ok(()), "Config {config}");
    }
    testpoint!(86);
}

#[test]
fn fields_of_a_stage_that_is_not_configured_are_ignored() {
    let mut words = [!0; 8];
    words[0] = !0xe | 4 << 1;
    assert_eq!(Ste::decode(&words).check(&features()), Ok(()));
    let stage2_only = Ste { config: StreamConfig::Stage2, s1_cd_max: 31, strw: 3, ..nested() };
    assert_eq!(stage2_only.check(&features()), Ok(()));
    let stage1_only =
        Ste { config: StreamConfig::Stage1, s2_s: true, s2_tg: None, s2_endi: true, ..nested() };
    assert_eq!(stage1_only.check(&features()), Ok(()));
    testpoint!(92, 93, 108, 112);
}

/// S1CDMax means nothing where there are no substreams at all.
#[test]
fn s1cdmax_is_ignored_without_substreams() {
    assert_eq!(violations(|s, f| (s.s1_cd_max, f.ssid_bits) = (31, 0)), []);
    testpoint!(94);
}

#[test]
fn the_vmid_of_a_stage1_only_stream_counts_in_el1_worlds_only() {
    let world = |strw| {
        let ste = Ste { config: StreamConfig::Stage1, strw, ..nested() };
        ste.check(&Features { vmid16: false, ..features() })
    };
    assert_eq!(world(0), Err(IllegalSte::Vmid8));
    assert_eq!(world(2), Ok(()));
    testpoint!(109);
}

#[test]
fn s1contextptr_beyond_the_oas_is_a_configuration_error_from_v3_1() {
    let edit: Edit = |s, f| {
        (s.config, s.s1_context_ptr, f.minor_revision) = (StreamConfig::Stage1, 1 << 48, 0);
    };
    assert_eq!(violations(edit), []);
}

#[test]
fn stage_2_starts_where_s2tg_s2sl0_and_s2t0sz_fit_together() {
    let (range, start) = (Err(IllegalSte::S2T0szMax), Err(IllegalSte::S2Start));
    // S2TG, S2SL0, input bits, IDR3.STT.
    let rows = [
        (Granule::K4, 0, 24, false, range),
        (Granule::K4, 0, 25, false, Ok(())),
        (Granule::K4, 0, 40, true, start),
        (Granule::K4, 1, 40, true, Ok(())),
        (Granule::K4, 1, 43, true, Ok(())),
        (Granule::K4, 1, 44, true, start),
        (Granule::K4, 1, 30, true, start),
        (Granule::K4, 1, 31, true, Ok(())),
        (Granule::K4, 3, 25, true, Ok(())),
        (Granule::K4, 3, 25, false, start),
        (Granule::K16, 3, 48, true, start),
        (Granule::K64, 3, 48, true, start),
    ];
    for (granule, s2_sl0, bits, stt, expected) in rows {
        let ste = Ste { s2_tg: Some(granule), s2_sl0, s2_t0sz: 64 - bits, ..nested() };
        let found = ste.check(&Features { stt, ..features() });
        assert_eq!(found, expected, "{granule} S2SL0={s2_sl0}, {bits} bits, STT={stt}");
    }
    testpoint!(101, 102, 103, 104, 105);
}

#[test]
fn split_ats_needs_a_nested_stream() {
    for (config, expected) in [
        (StreamConfig::Bypass, Ok(())),
        (StreamConfig::Stage1, Err(IllegalSte::EatsSplit)),
        (StreamConfig::Stage2, Err(IllegalSte::EatsSplit)),
        (StreamConfig::Nested, Ok(())),
    ] {
        let ste = Ste { config, eats: Eats::Split, ..nested() };
        assert_eq!(ste.check(&Features { ats: true, ..features() }), expected, "{config:?}");
        assert_eq!(ste.check(&features()), Ok(()), "without ATS, {config:?}");
    }
    testpoint!(110);
}

#[test]
fn limits_of_s2t0sz() {
    let check = |granule, t0sz, sl0, stt, oas_bits| {
        let ste = Ste { s2_tg: Some(granule), s2_t0sz: t0sz, s2_sl0: sl0, ..nested() };
        ste.check(&Features { stt, oas_bits, ..features() })
    };
    assert_eq!(check(Granule::K4, 39, 0, false, 48), Ok(()));
    assert_eq!(check(Granule::K4, 48, 3, true, 48), Ok(()));
    assert_eq!(check(Granule::K4, 49, 3, true, 48), Err(IllegalSte::S2T0szMax));
    assert_eq!(check(Granule::K64, 47, 0, true, 48), Ok(()));
    assert_eq!(check(Granule::K64, 48, 0, true, 48), Err(IllegalSte::S2T0szMax));
    assert_eq!(check(Granule::K4, 16, 2, false, 52), Ok(()));
    assert_eq!(check(Granule::K4, 15, 2, false, 52), Err(IllegalSte::S2T0szMin));
    assert_eq!(check(Granule::K64, 12, 2, false, 52), Ok(()));
    assert_eq!(check(Granule::K64, 11, 2, false, 52), Err(IllegalSte::S2T0szMin));
    assert_eq!(check(Granule::K64, 20, 2, false, 44), Ok(()));
    assert_eq!(check(Granule::K64, 19, 2, false, 44), Err(IllegalSte::S2T0szMin));
}

#[test]
fn s2ttb_is_held_against_the_smaller_of_s2ps_and_oas() {
    let check = |s2_ttb, s2_ps, granule, oas_bits| {
        let ste = Ste { s2_ttb, s2_ps, s2_tg: Some(granule), ..nested() };
        ste.check(&Features { oas_bits, ..features() })
    };
    let beyond = Err(IllegalSte::S2TtbRange);
    assert_eq!(check(1 << 39, 2, Granule::K4, 48), Ok(()));
    assert_eq!(check(1 << 40, 2, Granule::K4, 48), beyond);
    assert_eq!(check(1 << 44, 5, Granule::K4, 44), beyond);
    assert_eq!(check(1 << 48, 6, Granule::K4, 52), beyond);
    assert_eq!(check(1 << 48, 6, Granule::K64, 52), Ok(()));
    assert_eq!(check(1 << 47, 7, Granule::K4, 48), Ok(()));
}

// ------------------------------------------------------------------ derived facts

#[test]
fn streamworlds() {
    let world = |config, strw, hyp, e2h| {
        let ste = Ste { config, strw, ..nested() };
        ste.stream_world(&Features { hyp, ..features() }, e2h)
    };
    assert_eq!(world(StreamConfig::Stage1, 0, true, true), StreamWorld::NsEl1);
    assert_eq!(world(StreamConfig::Stage1, 2, true, false), StreamWorld::El2);
    assert_eq!(world(StreamConfig::Stage1, 2, true, true), StreamWorld::El2E2h);
    assert_eq!(world(StreamConfig::Stage1, 2, false, true), StreamWorld::NsEl1);
    assert_eq!(world(StreamConfig::Stage2, 2, true, true), StreamWorld::NsEl1);
    assert_eq!(world(StreamConfig::Nested, 2, true, true), StreamWorld::NsEl1);
}

#[test]
fn start_levels() {
    let level = |granule, s2_sl0, input_bits: u8| {
        let ste = Ste { s2_tg: Some(granule), s2_sl0, s2_t0sz: 64 - input_bits, ..nested() };
        ste.start_level(&features())
    };
    assert_eq!(level(Granule::K4, 2, 48), Some(0));
    assert_eq!(level(Granule::K4, 1, 43), Some(1));
    assert_eq!(level(Granule::K4, 1, 44), None);
    assert_eq!(level(Granule::K4, 3, 25), Some(3));
    assert_eq!(level(Granule::K16, 1, 40), Some(2));
    assert_eq!(level(Granule::K16, 3, 48), None);
    assert_eq!(level(Granule::K64, 2, 48), Some(1));
}

#[test]
fn fields_without_effect_in_the_smmu_read_zero_in_the_effective_ste() {
    let effective = |edit: Edit| {
        let (mut ste, mut features) = (nested(), features());
        edit(&mut ste, &mut features);
        ste.effective(&features)
    };
    assert_eq!(effective(|_, _| ()), nested());
    assert!(!effective(|_, f| f.fwb = false).s2_fwb);
    assert_eq!(effective(|_, f| f.ssid_bits = 0).s1_cd_max, 0);
    assert_eq!(effective(|s, _| s.config = StreamConfig::Stage2).s1_cd_max, 0);
    assert!(!effective(|s, _| s.config = StreamConfig::Stage2).s2_ptw);
    assert!(!effective(|s, _| s.s2_hd = true).s2_hd);
    assert!(effective(|s, _| (s.s2_ha, s.s2_hd) = (true, true)).s2_hd);
    assert_eq!(effective(|s, _| s.eats = Eats::Full).eats, Eats::Disabled);
    assert_eq!(effective(|s, f| (s.eats, f.ats) = (Eats::Full, true)).eats, Eats::Full);
    assert_eq!(effective(|s, f| (s.eats, f.ats) = (Eats::Dpt, true)).eats, Eats::Disabled);
    let incoming = PrivilegeOverride::Incoming;
    assert_eq!(effective(|_, f| f.attr_perms_ovr = false).priv_cfg, incoming);
    let types: Edit = |s, f| (s.mtcfg, s.sh_cfg, f.attr_types_ovr) = (true, None, false);
    assert_eq!((effective(types).mtcfg, effective(types).sh_cfg), (false, None));
}

/// Rows L1STD-1 to L1STD-4; L1STD-5 concerns the access itself and not the descriptor.
#[test]
fn a_level1_descriptor_that_covers_no_ste() {
    let ids: Vec<_> = table().l1std_illegal.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["L1STD-1", "L1STD-2", "L1STD-3", "L1STD-4", "L1STD-5"]);
    let entry = |span, index| L1Std { span, l2ptr: 0x8000_0000 }.entry_address(index, 8);
    assert_eq!(entry(0, 0), None);
    assert_eq!(entry(12, 0), None);
    assert_eq!(entry(10, 0), None);
    assert_eq!(entry(9, 255), Some(0x8000_3fc0));
    assert_eq!(entry(4, 7), Some(0x8000_01c0));
    assert_eq!(entry(4, 8), None);
    testpoint!(74, 75, 76, 77, 79);
}

#[test]
fn a_pinned_level1_descriptor() {
    let l1std = L1Std { span: 9, l2ptr: 0x8_1234_4000 };
    assert_eq!(l1std.encode(), 0x0000_0008_1234_4009);
    let misaligned = L1Std { span: 9, l2ptr: 0x8_1234_5040 };
    assert_eq!(misaligned.entry_address(1, 8), Some(0x8_1234_4040));
}
