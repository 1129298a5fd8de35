//! Every fault of a walk, on tables written by hand.
//!
//! The tables: stage 1 in 4K pages over 39 bits (levels 1 to 3), stage 2 over 40 bits (two
//! concatenated tables of level 1, then 2 and 3). The walked address 0x1234567 has the indexes 0,
//! 9 and 0x34 (0x1234567 = 9 << 21 | 0x34 << 12 | 0x567).

mod common;

use common::*;
use smmu_arch::StageFaultKind::{AccessFlag, AddressSize, Permission, Translation};
use smmu_arch::*;
use smmu_tables::{Walk, WalkAnswer, WalkStep, Walked, run};
use smmu_testpoint::testpoint;

const VA: u64 = 0x123_4567;
const CD: u64 = 0x8000_0000;
/// IPAs of the stage 1 tables; the level 3 table is reached at 0xA000_0000 for its first entries.
const S1_L1: u64 = 0x8000_1000;
const S1_L2: u64 = 0x8000_2000;
const S1_L3: u64 = 0xa000_0000;
/// IPA that VA goes to.
const LEAF: u64 = 0x9000_1000;
/// PAs of the stage 2 tables.
const S2_L1: u64 = 0x10_0000;
const S2_L2: u64 = 0x11_0000;
const S2_L3: u64 = 0x12_0000;
/// IPAs go to this much above themselves.
const UP: u64 = 0x4000_0000;

const S2_RW: u64 = AF | S2_READ | S2_WRITE | S2_NORMAL;
const S1_RW: u64 = AF | UNPRIVILEGED | NOT_GLOBAL;

/// Where the stage 2 page descriptor of an IPA of 0x8000_0000 to 0xbfff_ffff is.
fn s2_page(ipa: u64) -> u64 {
    // Level 3 tables in a row: one for each 2 MiB.
    S2_L3 + (ipa >> 21 & 0x1ff) * 0x1000 + (ipa >> 12 & 0x1ff) * 8
}

/// PA of a stage 1 descriptor.
const fn s1_l3_entry() -> u64 {
    S1_L3 + 0x34 * 8
}

fn nested_regime() -> Regime {
    regime(
        Some(stage1(root(S1_L1, 39, Granule::K4, 1))),
        Some(stage2(root(S2_L1, 40, Granule::K4, 1))),
    )
}

fn nested_tables() -> Words {
    let memory = Words::new(&[
        (S2_L1 + 2 * 8, S2_L2 | TABLE),
        (S1_L1 + UP, S1_L2 | TABLE),
        (S1_L2 + UP + 9 * 8, S1_L3 | TABLE),
        (s1_l3_entry() + UP, LEAF | S1_RW | 1 << 2 | PAGE),
    ]);
    for ipa in [CD, S1_L1, S1_L2, S1_L3, LEAF] {
        let index = ipa >> 21 & 0x1ff;
        memory.set(S2_L2 + index * 8, (S2_L3 + index * 0x1000) | TABLE);
        memory.set(s2_page(ipa), (ipa + UP) | S2_RW | PAGE);
    }
    memory
}

fn walk(regime: &Regime, memory: &Words, access: Access) -> Result<Walked, Fault> {
    run(Walk::new(regime, VA, access), regime, memory)
}

/// The nested tables after a change, under a changed regime.
fn fault_of(access: Access, regime: &Regime, change: impl FnOnce(&Words)) -> Fault {
    let memory = nested_tables();
    change(&memory);
    walk(regime, &memory, access).expect_err("the change makes a fault")
}

fn nested_fault(change: impl FnOnce(&Words)) -> Fault {
    fault_of(WRITE, &nested_regime(), change)
}

fn s1(kind: StageFaultKind) -> Fault {
    stage_fault(kind, Stage::Stage1, FaultClass::In, 0)
}

fn s2(kind: StageFaultKind, class: FaultClass, ipa: u64) -> Fault {
    stage_fault(kind, Stage::Stage2, class, ipa)
}

#[test]
fn a_nested_walk_without_faults_reads_each_descriptor_through_stage_2() {
    let memory = nested_tables();
    let walked = walk(&nested_regime(), &memory, WRITE).expect("mapped");
    assert_eq!(walked.output, Pa(LEAF + UP + 0x567));
    assert_eq!(walked.fetches, 15); // (3 + 1) * 3 + 3
    assert_eq!(
        memory.reads.borrow()[..5],
        [S2_L1 + 16, S2_L2, s2_page(S1_L1), S1_L1 + UP, S2_L1 + 16]
    );
    let entry = walked.entry;
    assert_eq!((entry.input, entry.size_log2), (0x123_4000, 12));
    assert_eq!(entry.output, Pa(LEAF + UP));
    assert!(!entry.global);
    assert_eq!(entry.space, nested_regime().space);
    let leaf = |base| Leaf { base, span_log2: 12, level: 3, granule: Granule::K4 };
    assert_eq!(entry.stage1, Some(leaf(0x123_4000)));
    assert_eq!(entry.stage2, Some(leaf(LEAF)));
}

// The rows of "Reporting examples", in order.

#[test]
fn stage_2_has_no_mapping_for_the_cd() {
    let memory = nested_tables();
    memory.set(s2_page(CD), 0);
    let regime = nested_regime();
    let fetch = Walk::stage2_only(&regime, Ipa(CD), FaultClass::Cd, READ);
    let found = run(fetch, &regime, &memory);
    assert_eq!(found, Err(s2(Translation, FaultClass::Cd, CD)));
    testpoint!(168);
}

#[test]
fn stage_2_refuses_the_read_of_a_stage_1_table() {
    let found = nested_fault(|memory| {
        memory.set(s2_page(S1_L3), (S1_L3 + UP) | AF | S2_WRITE | S2_NORMAL | PAGE);
    });
    assert_eq!(found, s2(Permission, FaultClass::Tt, s1_l3_entry()));
    testpoint!(167);
}

#[test]
fn the_stage_1_leaf_is_invalid() {
    assert_eq!(nested_fault(|memory| memory.set(s1_l3_entry() + UP, 0)), s1(Translation));
}

#[test]
fn a_bus_abort_on_a_stage_1_descriptor_is_class_tt() {
    let found = nested_fault(|memory| {
        memory.holes.borrow_mut().insert(s1_l3_entry() + UP);
    });
    let address = Pa(s1_l3_entry() + UP);
    let (stage, class) = (Stage::Stage1, FaultClass::Tt);
    assert_eq!(found, Fault::WalkExternalAbort { stage, class, address });
}

#[test]
fn a_bus_abort_on_a_stage_2_descriptor_has_the_class_of_its_ipa() {
    let abort = |ipa| {
        nested_fault(|memory| {
            memory.holes.borrow_mut().insert(s2_page(ipa));
        })
    };
    let expected = |ipa, class| {
        let (stage, address) = (Stage::Stage2, Pa(s2_page(ipa)));
        Fault::WalkExternalAbort { stage, class, address }
    };
    assert_eq!(abort(LEAF), expected(LEAF, FaultClass::In));
    assert_eq!(abort(S1_L2), expected(S1_L2, FaultClass::Tt));
    let memory = nested_tables();
    memory.holes.borrow_mut().insert(s2_page(CD));
    let regime = nested_regime();
    let fetch = Walk::stage2_only(&regime, Ipa(CD), FaultClass::Cd, READ);
    assert_eq!(run(fetch, &regime, &memory), Err(expected(CD, FaultClass::Cd)));
    testpoint!(178);
}

#[test]
fn the_stage_2_leaf_of_the_output_is_read_only() {
    let change = |memory: &Words| {
        memory.set(s2_page(LEAF), (LEAF + UP) | AF | S2_READ | S2_NORMAL | PAGE);
    };
    assert_eq!(nested_fault(change), s2(Permission, FaultClass::In, LEAF + 0x567));
    let memory = nested_tables();
    change(&memory);
    assert!(walk(&nested_regime(), &memory, READ).is_ok());
}

// Order of the checks.

#[test]
fn access_flag_comes_before_permission() {
    let bare = LEAF | UNPRIVILEGED | READ_ONLY | PAGE;
    let change = |memory: &Words| memory.set(s1_l3_entry() + UP, bare);
    assert_eq!(nested_fault(change), s1(AccessFlag));
    let mut regime = nested_regime();
    regime.stage1.as_mut().unwrap().access_flag_fault_disabled = true;
    assert_eq!(fault_of(WRITE, &regime, change), s1(Permission));

    let change =
        |memory: &Words| memory.set(s2_page(LEAF), (LEAF + UP) | S2_READ | S2_NORMAL | PAGE);
    assert_eq!(nested_fault(change), s2(AccessFlag, FaultClass::In, LEAF + 0x567));
    regime.stage2.as_mut().unwrap().access_flag_fault_disabled = true;
    assert_eq!(fault_of(WRITE, &regime, change), s2(Permission, FaultClass::In, LEAF + 0x567));
    testpoint!(150, 151, 174);
}

#[test]
fn the_stage_1_leaf_is_judged_before_stage_2_sees_its_output() {
    let found = nested_fault(|memory| {
        memory.set(s1_l3_entry() + UP, LEAF | AF | UNPRIVILEGED | READ_ONLY | PAGE);
        memory.set(s2_page(LEAF), 0);
    });
    assert_eq!(found, s1(Permission));
}

#[test]
fn address_size_comes_before_the_access_flag() {
    let mut regime = nested_regime();
    regime.stage1.as_mut().unwrap().output_bits = 32;
    let found = fault_of(WRITE, &regime, |memory| {
        memory.set(s1_l3_entry() + UP, 1 << 32 | PAGE);
    });
    assert_eq!(found, s1(AddressSize));
}

// Ranges and sizes.

#[test]
fn an_output_of_stage_1_beyond_the_range_of_stage_2_is_a_translation_fault_of_stage_2() {
    let found = nested_fault(|memory| memory.set(s1_l3_entry() + UP, 1 << 40 | S1_RW | PAGE));
    assert_eq!(found, s2(Translation, FaultClass::In, 1 << 40 | 0x567));
    let found = nested_fault(|memory| memory.set(S1_L1 + UP, 1 << 40 | TABLE));
    assert_eq!(found, s2(Translation, FaultClass::Tt, (1 << 40) + 9 * 8));
    testpoint!(114);
}

#[test]
fn a_table_or_leaf_beyond_the_output_size_is_an_address_size_fault() {
    let mut regime = nested_regime();
    regime.stage1.as_mut().unwrap().output_bits = 36;
    let table = |memory: &Words| memory.set(S1_L1 + UP, 1 << 36 | TABLE);
    assert_eq!(fault_of(READ, &regime, table), s1(AddressSize));
    regime.stage2.as_mut().unwrap().output_bits = 40;
    let table = |memory: &Words| memory.set(S2_L1 + 16, 1 << 40 | TABLE);
    assert_eq!(fault_of(READ, &regime, table), s2(AddressSize, FaultClass::Tt, S1_L1));
    let leaf = |memory: &Words| memory.set(s2_page(LEAF), 1 << 40 | S2_RW | PAGE);
    assert_eq!(fault_of(READ, &regime, leaf), s2(AddressSize, FaultClass::In, LEAF + 0x567));
    testpoint!(148);
}

#[test]
fn high_address_bits_of_a_64k_page_count_only_with_52_bit_addresses() {
    let mut regime = regime(Some(stage1(root(0x10_0000, 29, Granule::K64, 3))), None);
    // Bits 15:12 are address bits 51:48.
    let memory = Words::new(&[(0x10_0000, 0x2000_0000 | 5 << 12 | S1_RW | PAGE)]);
    let at =
        |regime: &Regime| run(Walk::new(regime, 0x42, READ), regime, &memory).map(|w| w.output);
    assert_eq!(at(&regime), Ok(Pa(0x2000_0042)));
    let stage1 = regime.stage1.as_mut().unwrap();
    stage1.low.root.as_mut().unwrap().format = DescriptorFormat::Wide64K;
    assert_eq!(at(&regime), Err(s1(AddressSize))); // IPS is 48 bits still
    regime.stage1.as_mut().unwrap().output_bits = 52;
    assert_eq!(at(&regime), Ok(Pa(5 << 48 | 0x2000_0042)));
}

#[test]
fn reserved_encodings_are_translation_faults() {
    // A block at level 3, and at level 0 of 4K tables; bit 0 clear whatever else is set.
    let level3 = |memory: &Words| memory.set(s1_l3_entry() + UP, LEAF | S1_RW | BLOCK);
    assert_eq!(nested_fault(level3), s1(Translation));
    let invalid = |memory: &Words| memory.set(s1_l3_entry() + UP, !1);
    assert_eq!(nested_fault(invalid), s1(Translation));
    let regime = regime(Some(stage1(root(S1_L1, 48, Granule::K4, 0))), None);
    let memory = Words::new(&[(S1_L1, LEAF | S1_RW | BLOCK)]);
    assert_eq!(walk(&regime, &memory, READ), Err(s1(Translation)));
    testpoint!(144, 145);
}

// S2PTW.

#[test]
fn a_protected_table_walk_refuses_device_memory() {
    let device = |ipa: u64| {
        move |memory: &Words| {
            memory.set(s2_page(ipa), (ipa + UP) | (S2_RW & !S2_NORMAL) | 1 << 2 | PAGE)
        }
    };
    let memory = nested_tables();
    device(S1_L2)(&memory);
    assert!(walk(&nested_regime(), &memory, WRITE).is_ok());
    let mut regime = nested_regime();
    regime.stage2.as_mut().unwrap().protected_table_walk = true;
    assert_eq!(fault_of(WRITE, &regime, device(S1_L2)), s2(Permission, FaultClass::Tt, S1_L2 + 72));
    device(CD)(&memory);
    let fetch = Walk::stage2_only(&regime, Ipa(CD + 64), FaultClass::Cd, READ);
    let found = run(fetch, &regime, &memory);
    assert_eq!(found, Err(s2(Permission, FaultClass::Cd, CD + 64)));
    // The data itself may be Device.
    let memory = nested_tables();
    device(LEAF)(&memory);
    assert!(walk(&regime, &memory, WRITE).is_ok());
    testpoint!(172);
}

// Halves of the stage 1 range.

fn two_halves() -> Regime {
    let mut low = stage1(root(0x1000, 25, Granule::K16, 3));
    low.high = Some(Stage1Half { root: Some(root(0x8_0000, 25, Granule::K16, 3)), ..low.low });
    regime(Some(low), None)
}

fn half_pages() -> Words {
    Words::new(&[(0x1000, 0x4000 | S1_RW | PAGE), (0x8_0000 + 2047 * 8, 0x8000 | S1_RW | PAGE)])
}

fn at(regime: &Regime, input: u64) -> Result<u64, Fault> {
    run(Walk::new(regime, input, READ), regime, &half_pages()).map(|walked| walked.output.0)
}

#[test]
fn bit_55_chooses_the_table_and_the_bits_above_the_range_equal_it() {
    let regime = two_halves();
    assert_eq!(at(&regime, 0x12), Ok(0x4012));
    assert_eq!(at(&regime, 0xffff_ffff_ffff_fff0), Ok(0xbff0));
    for input in [1 << 25, 1 << 54, 1 << 55, 1 << 63, !(1 << 25), !(1 << 63), !(1 << 55)] {
        assert_eq!(at(&regime, input), Err(s1(Translation)), "{input:#x}");
    }
}

#[test]
fn tbi_takes_the_top_byte_out_of_the_check_of_its_half() {
    let mut regime = two_halves();
    regime.stage1.as_mut().unwrap().low.top_byte_ignored = true;
    assert_eq!(at(&regime, 0xab00_0000_0000_0012), Ok(0x4012));
    assert_eq!(at(&regime, 0xabff_ffff_ffff_fff0), Err(s1(Translation)));
    assert_eq!(smmu_tables::lookup_input(&regime, 0xab00_0000_0000_0012), 0x12);
    let high = 0xabff_ffff_ffff_fff0;
    assert_eq!(smmu_tables::lookup_input(&regime, high), high);
    regime.stage1.as_mut().unwrap().high.as_mut().unwrap().top_byte_ignored = true;
    assert_eq!(at(&regime, high), Ok(0xbff0));
    assert_eq!(smmu_tables::lookup_input(&regime, high), 0xffff_ffff_ffff_fff0);
}

#[test]
fn one_table_worlds_know_no_upper_half() {
    let mut regime = two_halves();
    regime.stage1.as_mut().unwrap().high = None;
    assert_eq!(at(&regime, 0xffff_ffff_ffff_fff0), Err(s1(Translation)));
    regime.stage1.as_mut().unwrap().low.top_byte_ignored = true;
    assert_eq!(at(&regime, 0xff00_0000_0000_0012), Ok(0x4012));
    assert_eq!(at(&regime, 0xff80_0000_0000_0012), Err(s1(Translation)));
}

#[test]
fn epd_disables_a_half_and_e0pd_its_unprivileged_accesses_before_any_read() {
    let memory = half_pages();
    let mut regime = two_halves();
    regime.stage1.as_mut().unwrap().low.unprivileged_disabled = true;
    assert_eq!(run(Walk::new(&regime, 0, READ), &regime, &memory), Err(s1(Translation)));
    let privileged = Access { privileged: true, ..READ };
    assert!(run(Walk::new(&regime, 0, privileged), &regime, &memory).is_ok());
    memory.reads.borrow_mut().clear();
    regime.stage1.as_mut().unwrap().low.root = None;
    assert_eq!(run(Walk::new(&regime, 0, privileged), &regime, &memory), Err(s1(Translation)));
    assert!(memory.reads.borrow().is_empty());
    testpoint!(139);
}

// What the entry says.

#[test]
fn a_contiguous_group_is_one_leaf_if_its_place_fits() {
    let group = |output: u64| {
        let regime = regime(Some(stage1(root(0x10_0000, 25, Granule::K16, 3))), None);
        let memory = Words::new(&[(0x10_0000 + 5 * 8, output | 1 << 52 | S1_RW | PAGE)]);
        let walked = run(Walk::new(&regime, 5 << 14, READ), &regime, &memory).expect("mapped");
        (walked.entry.input, walked.entry.size_log2, walked.entry.output.0, walked.output.0)
    };
    assert_eq!(group(0x4000_0000 + (5 << 14)), (0, 21, 0x4000_0000, 0x4000_0000 + (5 << 14)));
    // The hint promises what this output cannot keep.
    assert_eq!(group(0x4000_0000), (5 << 14, 14, 0x4000_0000, 0x4000_0000));
}

#[test]
fn a_contiguous_group_wider_than_the_input_range_is_no_group() {
    // Two entries of level 2 under 22 input bits; a group would have sixteen.
    let regime = regime(None, Some(stage2(root(0x10_0000, 22, Granule::K4, 2))));
    let memory = Words::new(&[(0x10_0008, 0x4020_0000 | 1 << 52 | S2_RW | BLOCK)]);
    let entry = run(Walk::new(&regime, 0x20_0000, READ), &regime, &memory).expect("mapped").entry;
    assert_eq!((entry.input, entry.size_log2), (0x20_0000, 21));
}

#[test]
fn the_smaller_leaf_of_both_stages_sizes_the_entry() {
    let memory = nested_tables();
    // A 2 MiB block of stage 1 over a page of stage 2.
    memory.set(S1_L2 + UP + 9 * 8, 0x9000_0000 | S1_RW | BLOCK);
    let ipa = 0x9000_0000 | (VA & 0x1f_f000);
    memory.set(s2_page(ipa), (ipa + UP) | S2_RW | PAGE);
    let entry = walk(&nested_regime(), &memory, WRITE).expect("mapped").entry;
    assert_eq!((entry.input, entry.size_log2, entry.output.0), (0x123_4000, 12, ipa + UP));
    assert_eq!(entry.stage1.map(|l| (l.base, l.span_log2, l.level)), Some((0x120_0000, 21, 2)));
    assert_eq!(entry.stage2.map(|l| (l.base, l.span_log2, l.level)), Some((ipa, 12, 3)));
}

#[test]
fn ng_tells_global_entries_and_stage_2_entries_are_none() {
    let global = |leaf: u64, has_asid| {
        let mut regime = regime(Some(stage1(root(0x1000, 25, Granule::K16, 3))), None);
        regime.stage1.as_mut().unwrap().has_asid = has_asid;
        let memory = Words::new(&[(0x1000, 0x4000 | leaf | PAGE)]);
        run(Walk::new(&regime, 0, READ), &regime, &memory).expect("mapped").entry.global
    };
    assert!(!global(S1_RW, true));
    assert!(global(S1_RW & !NOT_GLOBAL, true));
    assert!(global(S1_RW, false)); // no ASID could tell it apart
    let regime = nested_regime();
    let fetch = Walk::stage2_only(&regime, Ipa(CD), FaultClass::Cd, READ);
    let entry = run(fetch, &regime, &nested_tables()).expect("mapped").entry;
    assert!(!entry.global);
    assert_eq!((entry.space.kind, entry.space.asid), (EntryKind::Stage2, Asid(0)));
    assert_eq!(entry.space.vmid, regime.space.vmid);
}

#[test]
fn big_endian_tables_are_read_swapped() {
    let mut regime = nested_regime();
    regime.stage1.as_mut().unwrap().big_endian = true;
    regime.stage2.as_mut().unwrap().big_endian = true;
    let memory = nested_tables();
    memory.words.borrow_mut().values_mut().for_each(|word| *word = word.swap_bytes());
    let walked = walk(&regime, &memory, WRITE).expect("mapped");
    assert_eq!(walked.output, Pa(LEAF + UP + 0x567));
}

#[test]
fn attributes_of_both_stages_combine_and_stage_2_can_force_them() {
    let memory_type = |stage2_attr: u64, forced: bool, stage1_index: u64| {
        let mut regime = nested_regime();
        regime.stage2.as_mut().unwrap().forced_write_back = forced;
        let memory = nested_tables();
        if forced {
            // The encoding is another for tables too: forced Write-Back.
            for ipa in [S1_L1, S1_L2, S1_L3] {
                memory.set(s2_page(ipa), (ipa + UP) | (S2_RW & !S2_NORMAL) | 6 << 2 | PAGE);
            }
        }
        memory.set(s1_l3_entry() + UP, LEAF | S1_RW | stage1_index << 2 | PAGE);
        memory.set(s2_page(LEAF), (LEAF + UP) | (S2_RW & !S2_NORMAL) | stage2_attr << 2 | PAGE);
        walk(&regime, &memory, WRITE).expect("mapped").entry.attributes.memory
    };
    // MAIR: 0 Non-cacheable, 1 Write-Back, 2 Device-nGnRE.
    assert_eq!(memory_type(15, false, 1), MemoryType::NORMAL_WB);
    assert_eq!(memory_type(5, false, 1), MemoryType::NORMAL_NC);
    assert_eq!(memory_type(15, false, 2), MemoryType(0x04));
    assert_eq!(memory_type(0, false, 2), MemoryType::DEVICE_NGNRNE);
    assert_eq!(memory_type(6, true, 2), MemoryType::NORMAL_WB);
    assert_eq!(memory_type(7, true, 0), MemoryType::NORMAL_NC);
    assert_eq!(memory_type(5, true, 1), MemoryType::NORMAL_NC);
    assert_eq!(memory_type(5, true, 2), MemoryType(0x04));
    assert_eq!(memory_type(2, true, 1), MemoryType(0x08));
}

#[test]
fn a_walk_can_be_cloned_half_way_and_asks_again_when_started_again() {
    let (regime, memory) = (nested_regime(), nested_tables());
    let mut walk = Walk::new(&regime, VA, WRITE);
    let first = walk.step(&regime, WalkAnswer::Start);
    assert_eq!(walk.step(&regime, WalkAnswer::Start), first);
    let WalkStep::Read { pa, .. } = first else { panic!() };
    let mut answer = WalkAnswer::Word(memory.get(pa.0));
    let mut copy = walk.clone();
    loop {
        let (one, two) = (walk.step(&regime, answer), copy.clone().step(&regime, answer));
        copy.step(&regime, answer);
        assert_eq!(one, two);
        match one {
            WalkStep::Read { pa, .. } => answer = WalkAnswer::Word(memory.get(pa.0)),
            WalkStep::Done(result) => break assert!(result.is_ok()),
        }
    }
}
