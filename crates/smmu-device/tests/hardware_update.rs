//! Hardware update of the Access flag and of dirty state: section "HTTU behaviour". The number of
//! each test point is in its comment.

mod common;

use common::spaces::{cd_at, edit_cd, edit_ste};
use common::{Bench, Kind, RAM, Setup, Space, output, read, write};
use smmu_arch::{FaultClass, Granule, Pa, Path, Stage};
use smmu_bus::Memory;
use smmu_tables::{Prot, Table};
use smmu_testpoint::testpoint;

const STAGE1: Space = Space { kind: Kind::Stage1, vmid: 1, asid: 7 };
const NESTED: Space = Space { kind: Kind::Nested, vmid: 2, asid: 7 };
const STAGE2: Space = Space { kind: Kind::Stage2, vmid: 2, asid: 0 };

const AF: u64 = 1 << 10;
const DBM: u64 = 1 << 51;
/// AP[2] of stage 1: read-only.
const READ_ONLY: u64 = 1 << 7;
/// S2AP[1]: writable.
const S2_WRITE: u64 = 1 << 7;

/// A bench with IDR0.HTTU = 2, in both ways of running transactions.
fn benches() -> [Bench; 2] {
    [false, true].map(|stepwise| {
        let mut setup = Setup { stepwise, ..Setup::default() };
        setup.ids.idr0 |= 2 << 6;
        Bench::with(setup)
    })
}

/// Where the leaf that maps `input` lies.
fn leaf_at(bench: &Bench, table: &Table, input: u64) -> Pa {
    let root = table.root();
    let (mut base, mut level) = (root.base, root.start_level);
    loop {
        let shift = Granule::K4.level_shift(level);
        let bits = if level == root.start_level { u32::from(root.input_bits) - shift } else { 9 };
        let at = Pa(base + ((input >> shift & ((1 << bits) - 1)) << 3));
        let word = bench.load(at);
        if word & 3 == 1 || level == 3 {
            return at;
        }
        (base, level) = (word & 0x0000_ffff_ffff_f000, level + 1);
    }
}

/// Clears and sets bits of a descriptor.
fn edit(bench: &Bench, at: Pa, clear: u64, set: u64) {
    bench.store(at, &[bench.load(at) & !clear | set]);
}

/// A stream with HA = HD = 1 that maps 0x20_0000 to 0x40_0000, and the place of the leaf.
fn stage1(bench: &mut Bench, bytes: u64, prot: Prot) -> (u32, Pa) {
    let stream = bench.stream_of(STAGE1);
    bench.map(STAGE1, 0x20_0000, 0x40_0000, bytes, prot);
    edit_cd(bench, stream, |cd| (cd.ha, cd.hd) = (true, true));
    let table = bench.table_of(STAGE1);
    (stream, leaf_at(bench, &table, 0x20_0000))
}

/// A nested stream that maps VA 0x20_0000 to IPA 0x9000_0000 to 0x40_0000, with HA and HD of both
/// stages as given. The places of both leaves, and of the stage 2 leaf that maps the page of the
/// stage 1 leaf.
fn nested(bench: &mut Bench, stage1: bool, stage2: bool) -> (u32, Pa, Pa, Pa) {
    let stream = bench.stream_of(NESTED);
    bench.map(NESTED, 0x20_0000, 0x9000_0000, 0x1000, Prot::READ_WRITE);
    bench.map(STAGE2, 0x9000_0000, 0x40_0000, 0x1000, Prot::READ_WRITE);
    edit_cd(bench, stream, |cd| (cd.ha, cd.hd) = (stage1, stage1));
    edit_ste(bench, stream, |ste| (ste.s2_ha, ste.s2_hd) = (stage2, stage2));
    let (first, second) = (bench.table_of(NESTED), bench.stage2_table(2));
    let leaf1 = leaf_at(bench, &first, 0x20_0000);
    let leaf2 = leaf_at(bench, &second, 0x9000_0000);
    (stream, leaf1, leaf2, leaf_at(bench, &second, leaf1.0))
}

/// Point 201.
#[test]
fn a_read_sets_the_access_flag() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 0x1000, Prot::READ_WRITE);
        edit(&bench, leaf, AF, 0);
        assert_eq!(output(bench.dma(&read(stream, 0x20_0000))), Pa(0x40_0000));
        assert_eq!(bench.load(leaf) & AF, AF);
    }
    testpoint!(201);
}

/// Point 202. DBM stays, and the Access flag is set by the same update.
#[test]
fn a_write_makes_a_writable_clean_page_dirty() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 0x1000, Prot::READ);
        edit(&bench, leaf, AF, DBM);
        let before = bench.load(leaf);
        assert_eq!(output(bench.dma(&write(stream, 0x20_0000))), Pa(0x40_0000));
        assert_eq!(bench.load(leaf), before & !READ_ONLY | AF);
    }
    testpoint!(202);
}

/// Point 203.
#[test]
fn a_read_leaves_a_writable_clean_page_clean() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 0x1000, Prot::READ);
        edit(&bench, leaf, 0, DBM);
        let before = bench.load(leaf);
        output(bench.dma(&read(stream, 0x20_0000)));
        assert_eq!(bench.load(leaf), before);
    }
    testpoint!(203);
}

/// Point 204. Not even the Access flag changes on the way to a fault.
#[test]
fn a_write_to_a_read_only_page_faults_and_changes_nothing() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 0x1000, Prot::READ);
        edit(&bench, leaf, AF, 0);
        let before = bench.load(leaf);
        assert_eq!(bench.refusal(&write(stream, 0x20_0000)).0, "F_PERMISSION");
        assert_eq!(bench.load(leaf), before);
    }
    testpoint!(204);
}

/// A page made read-only by APTable is not writable by a dirty update.
#[test]
fn hierarchical_permissions_stand_above_dirty_state() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 0x1000, Prot::READ);
        edit(&bench, leaf, 0, DBM);
        let root = Pa(bench.table_of(STAGE1).root().base);
        edit(&bench, root, 0, 1 << 62); // APTable[1]
        assert_eq!(bench.refusal(&write(stream, 0x20_0000)).0, "F_PERMISSION");
        assert_eq!(bench.load(leaf) & READ_ONLY, READ_ONLY);
    }
}

/// HA = 1 with HD = 0: DBM has no meaning.
#[test]
fn without_hd_a_dirty_bit_modifier_means_nothing() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 0x1000, Prot::READ);
        edit_cd(&bench, stream, |cd| cd.hd = false);
        edit(&bench, leaf, 0, DBM);
        assert_eq!(bench.refusal(&write(stream, 0x20_0000)).0, "F_PERMISSION");
    }
}

/// Point 205.
#[test]
fn a_write_makes_a_stage_2_page_dirty() {
    for mut bench in benches() {
        let stream = bench.stream_of(STAGE2);
        bench.map(STAGE2, 0x9000_0000, 0x40_0000, 0x1000, Prot::READ);
        edit_ste(&bench, stream, |ste| (ste.s2_ha, ste.s2_hd) = (true, true));
        let table = bench.stage2_table(2);
        let leaf = leaf_at(&bench, &table, 0x9000_0000);
        edit(&bench, leaf, AF | S2_WRITE, DBM);
        let before = bench.load(leaf);
        output(bench.dma(&read(stream, 0x9000_0000)));
        assert_eq!(bench.load(leaf), before | AF, "a read");
        output(bench.dma(&write(stream, 0x9000_0000)));
        assert_eq!(bench.load(leaf), before | AF | S2_WRITE, "a write");
    }
    testpoint!(205);
}

/// Point 206.
#[test]
fn an_update_of_stage_1_needs_the_write_permission_of_stage_2() {
    for mut bench in benches() {
        let (stream, leaf1, _, table_page) = nested(&mut bench, true, false);
        edit(&bench, leaf1, AF, 0);
        edit(&bench, table_page, S2_WRITE, 0);
        let (name, event) = bench.refusal(&read(stream, 0x20_0000));
        let event = event.expect("a record");
        let fault = *event.kind.stage_event().expect("F_PERMISSION");
        assert_eq!(name, "F_PERMISSION");
        assert_eq!((fault.stage, fault.class), (Stage::Stage2, FaultClass::Tt));
        assert!(fault.descriptor_write, "TTRnW = 0");
        assert_eq!(fault.ipa.0, leaf1.0 & !0xfff);
        assert_eq!(bench.load(leaf1) & AF, 0, "the Access flag did not change");
        // Where nothing is to be updated, reading is enough.
        edit(&bench, leaf1, 0, AF);
        output(bench.dma(&read(stream, 0x20_0000)));
    }
    testpoint!(206);
}

/// Point 207. It is dirtied before the descriptor in it is written.
#[test]
fn a_writable_clean_table_page_is_made_dirty() {
    for mut bench in benches() {
        let (stream, leaf1, _, table_page) = nested(&mut bench, true, true);
        edit(&bench, leaf1, AF, 0);
        edit(&bench, table_page, S2_WRITE, DBM);
        output(bench.dma(&read(stream, 0x20_0000)));
        assert_eq!(bench.load(table_page) & S2_WRITE, S2_WRITE);
        assert_eq!(bench.load(leaf1) & AF, AF);
    }
    testpoint!(207);
}

/// Both stages, and the Access flags of all that is read on the way.
#[test]
fn a_nested_write_updates_both_stages() {
    for mut bench in benches() {
        let (stream, leaf1, leaf2, table_page) = nested(&mut bench, true, true);
        edit(&bench, leaf1, AF, DBM | READ_ONLY);
        edit(&bench, leaf2, AF | S2_WRITE, DBM);
        edit(&bench, table_page, AF | S2_WRITE, DBM);
        assert_eq!(output(bench.dma(&write(stream, 0x20_0000))), Pa(0x40_0000));
        assert_eq!(bench.load(leaf1) & (AF | READ_ONLY), AF);
        assert_eq!(bench.load(leaf2) & (AF | S2_WRITE), AF | S2_WRITE);
        assert_eq!(bench.load(table_page) & (AF | S2_WRITE), AF | S2_WRITE);
    }
}

/// What stage 1 is only read from has its Access flag set, and stays clean.
#[test]
fn a_table_page_that_is_only_read_stays_clean() {
    for mut bench in benches() {
        let (stream, _, _, table_page) = nested(&mut bench, true, true);
        edit(&bench, table_page, AF | S2_WRITE, DBM);
        output(bench.dma(&write(stream, 0x20_0000)));
        assert_eq!(bench.load(table_page) & (AF | S2_WRITE), AF);
    }
}

/// Dirty state is never set on the way to a fault of the other stage.
#[test]
fn a_stage_2_fault_of_the_output_leaves_stage_1_clean() {
    for mut bench in benches() {
        let (stream, leaf1, leaf2, _) = nested(&mut bench, true, false);
        edit(&bench, leaf1, 0, DBM | READ_ONLY);
        edit(&bench, leaf2, S2_WRITE, 0);
        let before = bench.load(leaf1);
        assert_eq!(bench.refusal(&write(stream, 0x20_0000)).0, "F_PERMISSION");
        assert_eq!(bench.load(leaf1), before);
    }
}

/// Point 208.
#[test]
fn the_access_flag_of_a_block_is_in_its_descriptor() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 2 << 20, Prot::READ_WRITE);
        assert_eq!(bench.load(leaf) & 3, 1, "a block");
        edit(&bench, leaf, AF, 0);
        output(bench.dma(&read(stream, 0x21_2340)));
        assert_eq!(bench.load(leaf) & AF, AF);
    }
    testpoint!(208);
}

/// Point 209.
#[test]
fn a_write_after_a_read_makes_dirty_although_the_tlb_is_warm() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 0x1000, Prot::READ);
        edit(&bench, leaf, 0, DBM);
        output(bench.dma(&read(stream, 0x20_0000)));
        let hit = bench.dma(&read(stream, 0x20_0000)).expect("mapped");
        assert!(matches!(hit.path, Path::Hit(_)));
        output(bench.dma(&write(stream, 0x20_0000)));
        assert_eq!(bench.load(leaf) & READ_ONLY, 0);
        let hit = bench.dma(&write(stream, 0x20_0000)).expect("mapped");
        assert!(matches!(hit.path, Path::Hit(_)), "the entry is of a dirty page now");
    }
    testpoint!(209);
}

/// Point 210.
#[test]
fn updates_are_in_memory_after_a_sync() {
    for mut bench in benches() {
        let (stream, leaf) = stage1(&mut bench, 0x1000, Prot::READ);
        edit(&bench, leaf, AF, DBM);
        output(bench.dma(&write(stream, 0x20_0000)));
        bench.command([0x11 | 7 << 48 | 1 << 32, 0]); // TLBI_NH_ASID, CMD_SYNC
        assert_eq!(bench.load(leaf) & (AF | READ_ONLY), AF);
    }
    testpoint!(210);
}

/// Point 273.
#[test]
fn fetching_a_cd_makes_no_page_dirty() {
    for mut bench in benches() {
        let (stream, ..) = nested(&mut bench, true, true);
        let table = bench.stage2_table(2);
        let page = leaf_at(&bench, &table, cd_at(stream, 0).0);
        edit(&bench, page, AF | S2_WRITE, DBM);
        output(bench.dma(&write(stream, 0x20_0000)));
        assert_eq!(bench.load(page) & (AF | S2_WRITE), AF);
    }
    testpoint!(273);
}

/// Tables that lie in each other: the leaf of stage 1 is its own stage 2 leaf. What dirties one
/// stage cleans the other, for ever; the walk ends all the same.
#[test]
fn tables_that_undo_each_other_end() {
    for mut bench in benches() {
        let (stream, leaf1, ..) = nested(&mut bench, true, true);
        edit_ste(&bench, stream, |ste| ste.s2_ttb = RAM.0 + 0x300_0000);
        // A start table of stage 2 whose entries are all one block, at IPA 0 and everywhere.
        let block = (RAM.0 + 0x200_0000) | DBM | 0x3c | 1 << 6 | 1;
        bench.memory.write_words(Pa(RAM.0 + 0x300_0000), &[block; 512]).expect("RAM");
        edit(&bench, leaf1, AF, DBM | READ_ONLY);
        let _ = bench.dma(&write(stream, 0x20_0000));
    }
}
