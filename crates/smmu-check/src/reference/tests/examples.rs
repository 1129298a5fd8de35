//! The worked examples of the table of descriptor facts, and whole walks.

use super::super::table::Table;
use super::*;
use smmu_arch::{EntryKind, Granule, Leaf, Why};

/// (log2 of the granule, input bits, address, start level, index at each level from there on).
type Example = (u32, u32, u64, i32, &'static [u64]);

const STAGE1: &[Example] = &[
    (12, 48, 0x7f12_3456_789a, 0, &[254, 72, 418, 359]),
    (12, 39, 0x12_3456_789a, 1, &[72, 418, 359]),
    (12, 32, 0xDEAD_B000, 1, &[3, 245, 219]),
    (14, 48, 0x8765_4321_0ABC, 0, &[1, 118, 673, 1156]),
    (14, 47, 0x1234_5678_9abc, 1, &[291, 555, 482]),
    (16, 48, 0xFEDC_BA98_7654, 1, &[63, 5861, 6808]),
    (16, 42, 0x2AB_CDEF_0123, 2, &[5470, 3567]),
    (12, 25, 0x12A_BCDE, 2, &[9, 171]),
];

const STAGE2: &[Example] = &[
    (12, 40, 0xFF_1234_5678, 1, &[1020, 145, 325]),
    (12, 44, 0xFED_CBA9_8765, 0, &[31, 439, 93, 152]),
    (12, 43, 0x7FF_FFFF_F000, 1, &[8191, 511, 511]),
    (14, 40, 0xAB_CDEF_1234, 2, &[21990, 1980]),
    (14, 48, 0xFEED_F00D_BEEF, 1, &[4078, 1784, 54]),
    (16, 40, 0x12_3456_789A, 2, &[145, 5206]),
    (16, 33, 0x1_FFFF_0042, 3, &[131_071]),
];

#[test]
fn an_address_picks_the_descriptors_of_the_worked_examples() {
    for &(granule, input_bits, address, start, indexes) in STAGE1.iter().chain(STAGE2) {
        let table = Table { base: 0, input_bits, granule, start, output_52: false, ds: false };
        let picked: Vec<u64> =
            (start..=3).map(|level| table.descriptor(0, level, address) / 8).collect();
        assert_eq!(picked, indexes, "granule 2^{granule}, {input_bits} bits, {address:#x}");
    }
}

#[test]
fn stage1_starts_at_the_lowest_level_that_resolves_the_input() {
    for &(granule, input_bits, address, start, indexes) in STAGE1 {
        let base = 0x4080_0000;
        let tg = match granule {
            12 => 0,
            14 => 2,
            _ => 1,
        };
        let mut cd = cd();
        cd[0] = cd[0] & !0xff | u64::from(64 - input_bits) | tg << 6;
        cd[1] = base;
        let bench = Bench::new(ste(5), cd);
        let first = Pa(base + indexes[0] * 8);
        bench.ram.write_word(first, base | TABLE).unwrap();
        let descriptor = bench.rule(&read(address)).made_from[16]; // behind STE and CD
        assert_eq!(descriptor.pa, first);
        let level = start as i8;
        assert_eq!(descriptor.why, Why::Descriptor { stage: Stage::Stage1, level });
    }
}

#[test]
fn a_page_of_stage1() {
    let bench = Bench::new(ste(5), cd());
    bench.stage1_tables().write(S1[3] + 0x123 * 8, 0x8000_5000 | S1_PAGE);
    let found = bench.translation(0x0012_3456);
    assert_eq!(found.output, Pa(0x8000_5456));
    assert_eq!((found.space.vmid.0, found.space.asid.0), (7, 9));
    assert_eq!(found.space.kind, EntryKind::Stage1);
    assert!(!found.global);
    let leaf = Leaf { base: 0x12_3000, span_log2: 12, level: 3, granule: Granule::K4 };
    assert_eq!((found.stage1, found.stage2), (Some(leaf), None));
    let words = bench.rule(&read(0x0012_3456)).made_from;
    assert_eq!(words.len(), 8 + 8 + 4); // STE, CD, four levels
    assert_eq!(words[19].word, 0x8000_5000 | S1_PAGE);
}

#[test]
fn a_block_of_stage2_alone() {
    let bench = Bench::new(ste(6), [0; 8]);
    bench.write(S2[0], S2[1] | TABLE).write(S2[1] + 8, 0x8020_0000 | (S2_PAGE & !2));
    let found = bench.translation(0x0034_5678);
    assert_eq!(found.output, Pa(0x8034_5678));
    assert_eq!((found.space.kind, found.space.vmid.0), (EntryKind::Stage2, 7));
    assert_eq!(found.stage2.unwrap().span_log2, 21);
    assert_eq!(found.entry().output, Pa(0x8020_0000));
}

#[test]
fn stage1_over_stage2() {
    let bench = Bench::new(ste(7), cd());
    bench.stage1_tables().stage2_tables();
    bench.write(S1[3] + 8, 0x3000 | S1_PAGE).write(S2[2] + 3 * 8, 0x9000_7000 | S2_PAGE);
    let found = bench.translation(0x1abc);
    assert_eq!((found.output, found.ipa), (Pa(0x9000_7abc), Some(Ipa(0x3abc))));
    assert_eq!(found.space.kind, EntryKind::Combined);
    let of_ipa = found.ipa_entry().unwrap();
    assert_eq!((of_ipa.space.kind, of_ipa.input), (EntryKind::Stage2, 0x3000));
}

#[test]
fn the_contiguous_bit_makes_the_leaf_a_group() {
    let bench = Bench::new(ste(5), cd());
    bench.stage1_tables().write(S1[3] + 0x13 * 8, 0x8001_3000 | 1 << 52 | S1_PAGE);
    let leaf = bench.translation(0x1_3000).stage1.unwrap();
    assert_eq!((leaf.base, leaf.span_log2), (0x1_0000, 16));
}

#[test]
fn big_endian_tables_are_read_the_other_way_round() {
    let mut cd = cd();
    cd[0] |= 1 << 15;
    let bench = Bench::new(ste(5), cd);
    for level in 0..3 {
        bench.write(S1[level], (S1[level + 1] | TABLE).swap_bytes());
    }
    bench.write(S1[3], (0x8000_0000 | S1_PAGE).swap_bytes());
    assert_eq!(bench.translation(0).output, Pa(0x8000_0000));
}

#[test]
fn the_upper_half_uses_ttb1() {
    let mut cd = cd();
    cd[0] = cd[0] & !(1 << 30) | 25 << 16 | 2 << 22 | 1 << 14; // T1SZ, TG1 = 4K, EPD0
    cd[2] = S1[1];
    let bench = Bench::new(ste(5), cd);
    bench.write(S1[1], S1[2] | TABLE).write(S1[2], S1[3] | TABLE);
    bench.write(S1[3], 0x8000_0000 | S1_PAGE);
    assert_eq!(bench.translation(0xffff_ff80_0000_0123).output, Pa(0x8000_0123));
    let translation = StageFaultKind::Translation;
    assert_eq!(bench.read(0x123), stage1(translation)); // EPD0
    assert_eq!(bench.read(0xffff_ff00_0000_0123), stage1(translation)); // outside 39 bits
    assert_eq!(bench.read(0x12ff_ff80_0000_0123), stage1(translation)); // TBI1 = 0
}

#[test]
fn a_64k_page_of_52_bits() {
    let mut cd = cd();
    cd[0] = cd[0] & !(0xff | 7 << 32) | 35 | 1 << 6 | 6 << 32; // 29 bits, 64K, IPS 52 bits
    cd[1] = S1[3] & !0xffff;
    let mut bench = Bench::new(ste(5), cd);
    bench.reference.features.oas_bits = 52;
    bench.write(S1[3] & !0xffff, 0x8001_0000 | 0xa << 12 | S1_PAGE);
    assert_eq!(bench.translation(0x1234).output, Pa(0xa_0000_8001_1234));
}
