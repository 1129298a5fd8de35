//! µTLB, IPA TLB and walk caches: what each saves, and what makes each forget.

mod common;

use common::spaces::edit_ste;
use common::{Bench, Kind, RAM, Setup, Space, output, read, write};
use smmu_arch::{EntrySizes, Granule, Observation, Pa, Path, Stage, Structure, Why};
use smmu_cache::{TlbGeometry, TlbShape};
use smmu_device::{HierarchySizes, MainTlb, StructureSizes};
use smmu_tables::{Geometry, Prot};

const STAGE1: Space = Space { kind: Kind::Stage1, vmid: 1, asid: 1 };
const NESTED: Space = Space { kind: Kind::Nested, vmid: 1, asid: 1 };

const ALL: Option<TlbShape> = Some(TlbShape::Unbounded);
const TABLES: [Option<TlbShape>; 4] = [ALL; 4];

/// Pages of RAM that the tests map.
const DATA: u64 = RAM.0 + 0x80_0000;

/// What stage 2 maps to itself: the data, CDs, and where the tables of stage 1 come to lie.
fn ipas() -> impl Iterator<Item = u64> {
    let from = |first: u64, pages: u64| (0..pages).map(move |page| first + (page << 12));
    from(DATA, 0x10).chain(from(RAM.0 + 0x11_0000, 0x10)).chain(from(RAM.0 + 0x100_0000, 0x40))
}

fn bench(hierarchy: HierarchySizes) -> Bench {
    let structures = StructureSizes { hierarchy, ..Setup::default().structures };
    Bench::with(Setup { structures, ..Setup::default() })
}

/// Nested, both stages from level 0, stage 2 all in pages of 4K: a walk that knows nothing makes
/// 24 accesses.
fn nested(hierarchy: HierarchySizes) -> Bench {
    let mut bench = bench(hierarchy);
    let stream = bench.stream_of(NESTED);
    let stage2 = bench.new_table(Geometry::stage2(Granule::K4, 48, 48));
    ipas().for_each(|at| bench.map_in(&stage2, at, at, 0x1000, Prot::READ_WRITE));
    let root = stage2.root();
    assert_eq!(root.start_level, 0);
    edit_ste(&bench, stream, |ste| {
        (ste.s2_t0sz, ste.s2_sl0, ste.s2_ttb) = (64 - root.input_bits, 2, root.base);
    });
    bench
}

/// Accesses to translation tables that a DMA leads to once its CD is known, of both stages together.
fn accesses(bench: &mut Bench, space: Space, input: u64) -> usize {
    let stream = bench.stream_of(space);
    bench.ports[0].observer().0.clear();
    output(bench.dma(&read(stream, input)));
    let seen = bench.ports[0].observer().0.iter().rev().map(|(_, observation)| *observation);
    let walk = seen.take_while(|o| !matches!(o, Observation::ConfigFilled { .. }));
    walk.filter(|o| matches!(o, Observation::Fetched { why: Why::Descriptor { .. }, .. })).count()
}

fn map_pages(bench: &mut Bench, space: Space) {
    for page in 0..8 {
        bench.map(space, page << 12, DATA + (page << 12), 0x1000, Prot::READ_WRITE);
    }
}

/// Walk accesses of a first page, and of its neighbour with the same tables above it.
fn cold_and_next(hierarchy: HierarchySizes, space: Space) -> (usize, usize) {
    let mut bench = if space == NESTED { nested(hierarchy) } else { bench(hierarchy) };
    map_pages(&mut bench, space);
    (accesses(&mut bench, space, 0), accesses(&mut bench, space, 0x1000))
}

/// f(a + 1) + b for f fetches of stage 1, each behind a accesses of stage 2, and b for the output:
/// the closed form of a nested walk.
#[test]
fn a_walk_makes_the_accesses_that_its_caches_leave() {
    let none = HierarchySizes::default();
    let stage1 = HierarchySizes { stage1: TABLES, ..none };
    let nested1 = HierarchySizes { stage1_nested: true, ..stage1 };
    let stage2 = HierarchySizes { stage2: TABLES, ..none };
    let upper2 = HierarchySizes { stage2: [None, ALL, ALL, None], ..none };
    let ipa = HierarchySizes { ipa_tlb: ALL, ..none };
    let everything = HierarchySizes { ipa_tlb: ALL, stage2: TABLES, ..nested1 };
    for (hierarchy, space, expected) in [
        (none, STAGE1, (4, 4)),
        (stage1, STAGE1, (4, 1)),
        (HierarchySizes { stage1: [None, ALL, None, None], ..none }, STAGE1, (4, 3)),
        (none, NESTED, (24, 24)),
        // Unused under stage 2: (f, a, b) = (4, 4, 4) all the same.
        (stage1, NESTED, (24, 24)),
        (nested1, NESTED, (24, 4 + 1 + 4)),
        // (4, 1, 1): the tables of stage 1 lie in one region of 2 MiB, the output in another of the
        // same GiB.
        (stage2, NESTED, (4 + (4 + 1 + 1 + 1) + 2, 4 * 2 + 1)),
        // (4, 2, 2), as published for a Kunpeng: 14 accesses a miss.
        (upper2, NESTED, (24 - 4 * 2, 4 * 3 + 2)),
        // The output's own IPA is all that is new: (4, 0, 4).
        (ipa, NESTED, (24, 4 + 4)),
        (everything, NESTED, (4 + (4 + 1 + 1 + 1) + 2, 1 + 1)),
    ] {
        assert_eq!(cold_and_next(hierarchy, space), expected, "{hierarchy:?} {space:?}");
    }
}

/// CMD_TLBI_NH_VA of VMID 1 and ASID 1, by one page.
fn tlbi_va(bench: &mut Bench, input: u64, leaf: bool) {
    bench.command([0x12 | 1 << 32 | 1 << 48, input | u64::from(leaf)]);
}

#[test]
fn leaf_spares_table_descriptors_and_without_it_they_go() {
    let mut bench = bench(HierarchySizes { stage1: TABLES, ..HierarchySizes::default() });
    map_pages(&mut bench, STAGE1);
    assert_eq!(accesses(&mut bench, STAGE1, 0), 4);
    tlbi_va(&mut bench, 0, true);
    assert_eq!(accesses(&mut bench, STAGE1, 0), 1);
    tlbi_va(&mut bench, 0x20_0000, false); // below other tables of level 2, and the same of 0 and 1
    assert_eq!(accesses(&mut bench, STAGE1, 0x1000), 1);
    tlbi_va(&mut bench, 0x20_0000, false);
    tlbi_va(&mut bench, 0x1000, false);
    assert_eq!(accesses(&mut bench, STAGE1, 0), 0, "only the page named was dropped");
    assert_eq!(accesses(&mut bench, STAGE1, 0x2000), 4);
}

/// A table that software replaces without telling is used on; that is what Leaf = 0 is there for.
#[test]
fn a_replaced_table_is_walked_until_its_descriptor_is_invalidated() {
    let mut bench = bench(HierarchySizes { stage1: TABLES, ..HierarchySizes::default() });
    map_pages(&mut bench, STAGE1);
    let stream = bench.stream_of(STAGE1);
    assert_eq!(output(bench.dma(&read(stream, 0))), Pa(DATA));
    // The whole table of level 3 goes, and another one comes.
    bench.unmap(STAGE1, 0, 0x20_0000);
    bench.map(STAGE1, 0x1000, DATA + 0x7000, 0x1000, Prot::READ_WRITE);
    tlbi_va(&mut bench, 0x1000, true);
    let stale = bench.dma(&read(stream, 0x1000)).map(|granted| granted.output);
    assert_ne!(stale.ok(), Some(Pa(DATA + 0x7000)));
    tlbi_va(&mut bench, 0x1000, false);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(DATA + 0x7000));
}

/// CMD_TLBI_S2_IPA of VMID 1, by one page.
fn tlbi_ipa(bench: &mut Bench, ipa: u64) {
    bench.command([0x2a | 1 << 32, ipa]);
}

#[test]
fn an_ipa_is_forgotten_by_its_own_command_and_by_those_of_the_vmid() {
    let sizes = HierarchySizes { ipa_tlb: ALL, ..HierarchySizes::default() };
    let mut bench = nested(sizes);
    map_pages(&mut bench, NESTED);
    let all_of_stage1 = [0x10u64 | 1 << 32, 0];
    assert_eq!(accesses(&mut bench, NESTED, 0), 24);
    bench.command(all_of_stage1);
    assert_eq!(accesses(&mut bench, NESTED, 0), 4, "stage 1 alone was forgotten");
    bench.command(all_of_stage1);
    tlbi_ipa(&mut bench, DATA);
    assert_eq!(accesses(&mut bench, NESTED, 0), 4 + 4);
    bench.command([0x28 | 1 << 32, 0]);
    assert_eq!(accesses(&mut bench, NESTED, 0), 24);
    bench.command([0x28 | 2 << 32, 0]);
    bench.command(all_of_stage1);
    assert_eq!(accesses(&mut bench, NESTED, 0), 4, "another VMID was named");
}

/// What is kept of a contiguous group serves every page of it, and any of them makes it go.
#[test]
fn a_contiguous_group_is_one_entry_of_the_ipa_tlb() {
    let mut bench = nested(HierarchySizes { ipa_tlb: ALL, ..HierarchySizes::default() });
    let stage2 = bench.new_table(Geometry::stage2(Granule::K4, 48, 48));
    for at in ipas().step_by(16) {
        bench.map_in(&stage2, at, at, 0x1_0000, Prot::READ_WRITE);
    }
    let stream = bench.stream_of(NESTED);
    edit_ste(&bench, stream, |ste| ste.s2_ttb = stage2.root().base);
    map_pages(&mut bench, NESTED);
    accesses(&mut bench, NESTED, 0);
    assert_eq!(accesses(&mut bench, NESTED, 0x3000), 4, "the group of page 0 serves page 3");
    assert_eq!(output(bench.dma(&read(stream, 0x5018))), Pa(DATA + 0x5018));
    tlbi_ipa(&mut bench, DATA + 0xf000);
    assert_eq!(accesses(&mut bench, NESTED, 0x6000), 4 + 4);
}

/// A right that was added is found although an older descriptor is kept.
#[test]
fn a_kept_descriptor_never_refuses_by_itself() {
    let mut bench = nested(HierarchySizes { ipa_tlb: ALL, ..HierarchySizes::default() });
    map_pages(&mut bench, NESTED);
    let stream = bench.stream_of(NESTED);
    let stage2 = bench.new_table(Geometry::stage2(Granule::K4, 48, 48));
    edit_ste(&bench, stream, |ste| ste.s2_ttb = stage2.root().base);
    let map = |bench: &mut Bench, at: u64, prot| bench.map_in(&stage2, at, at, 0x1000, prot);
    ipas().skip(1).for_each(|at| map(&mut bench, at, Prot::READ_WRITE));
    map(&mut bench, DATA, Prot::READ);
    output(bench.dma(&read(stream, 0)));
    assert!(bench.dma(&write(stream, 0)).is_err());
    let board = common::Board(&bench.memory);
    let cpu = smmu_bus::DirectCpu::new(&board);
    stage2.unmap(&cpu, DATA, 0x1000, &mut |_| {}).expect("it was mapped");
    map(&mut bench, DATA, Prot::READ_WRITE);
    assert_eq!(output(bench.dma(&write(stream, 0))), Pa(DATA));
}

fn micro(entries: u32) -> HierarchySizes {
    let geometry = TlbGeometry { entries, ways: 0, ..TlbGeometry::default() };
    HierarchySizes { micro_tlb: Some(geometry.into()), ..HierarchySizes::default() }
}

/// The structures that a DMA is looked up in, and whether it was there.
fn looked_up(bench: &mut Bench, port: usize, input: u64) -> Vec<(Structure, Option<u64>)> {
    let stream = bench.stream_of(STAGE1);
    bench.ports[port].observer().0.clear();
    let granted = bench.dma_at(port, &read(stream, input)).expect("it is mapped");
    let seen = &bench.ports[port].observer().0;
    let looked = seen.iter().filter_map(|(_, observation)| match observation {
        Observation::LookedUp { structure, hit, .. } => Some((*structure, *hit)),
        _ => None,
    });
    let looked: Vec<_> = looked.collect();
    let hit = looked.last().and_then(|(_, hit)| *hit);
    assert_eq!(granted.path, hit.map_or(Path::Walk, Path::Hit));
    looked
}

#[test]
fn a_port_is_looked_up_first_and_gets_a_copy_of_what_the_main_tlb_holds() {
    use Structure::{MainTlb, MicroTlb};
    let mut bench = bench(micro(2));
    map_pages(&mut bench, STAGE1);
    assert_eq!(looked_up(&mut bench, 0, 0), [(MicroTlb, None), (MainTlb, None)]);
    assert_eq!(looked_up(&mut bench, 0, 0), [(MicroTlb, Some(1))]);
    assert_eq!(looked_up(&mut bench, 1, 0), [(MicroTlb, None), (MainTlb, Some(1))]);
    assert_eq!(looked_up(&mut bench, 1, 0), [(MicroTlb, Some(1))], "a copy bears its number");
    looked_up(&mut bench, 0, 0x1000);
    looked_up(&mut bench, 0, 0x2000);
    assert_eq!(looked_up(&mut bench, 0, 0), [(MicroTlb, None), (MainTlb, Some(1))]);
}

#[test]
fn a_command_drops_the_copies_of_every_port() {
    use Structure::{MainTlb, MicroTlb};
    let mut bench = bench(micro(4));
    map_pages(&mut bench, STAGE1);
    (0..2).for_each(|port| drop(looked_up(&mut bench, port, 0)));
    bench.background.0.clear();
    tlbi_va(&mut bench, 0, true);
    let dropped = bench.background.0.iter().find_map(|(_, observation)| match observation {
        Observation::Invalidated { dropped, .. } => Some(*dropped),
        _ => None,
    });
    assert_eq!(dropped, Some(3), "the entry and two copies of it");
    for port in 0..2 {
        assert_eq!(looked_up(&mut bench, port, 0)[0], (MicroTlb, None));
    }
    assert_eq!(looked_up(&mut bench, 0, 0x1000), [(MicroTlb, None), (MainTlb, None)]);
}

#[test]
fn each_port_may_have_a_main_tlb_of_its_own() {
    let mut bench = bench(HierarchySizes { main: MainTlb::PerPort, ..HierarchySizes::default() });
    map_pages(&mut bench, STAGE1);
    let hits = |bench: &mut Bench, port| looked_up(bench, port, 0)[0].1;
    assert_eq!([hits(&mut bench, 0), hits(&mut bench, 1)], [None; 2]);
    let numbers = [hits(&mut bench, 0), hits(&mut bench, 1)];
    assert!(numbers[0].is_some() && numbers[1].is_some() && numbers[0] != numbers[1]);
    assert_eq!(bench.smmu.tlb_entries().len(), 2);
    tlbi_va(&mut bench, 0, true);
    assert_eq!([hits(&mut bench, 0), hits(&mut bench, 1)], [None; 2]);
}

#[test]
fn without_a_main_tlb_a_port_keeps_what_its_walks_find() {
    let mut bench = bench(HierarchySizes { main: MainTlb::Absent, ..micro(4) });
    map_pages(&mut bench, STAGE1);
    assert_eq!(looked_up(&mut bench, 0, 0), [(Structure::MicroTlb, None)]);
    assert!(looked_up(&mut bench, 0, 0)[0].1.is_some());
    assert_eq!(looked_up(&mut bench, 1, 0), [(Structure::MicroTlb, None)]);
    tlbi_va(&mut bench, 0, true);
    assert_eq!(looked_up(&mut bench, 0, 0), [(Structure::MicroTlb, None)]);
}

#[test]
fn a_block_is_held_in_the_pieces_that_a_tlb_has_room_for() {
    let main_sizes = EntrySizes(1 | 1 << 4);
    let mut bench = bench(HierarchySizes { main_sizes, ..HierarchySizes::default() });
    let block = DATA & !0x1f_ffff;
    bench.map(STAGE1, 0, block, 0x20_0000, Prot::READ_WRITE);
    let stream = bench.stream_of(STAGE1);
    assert_eq!(output(bench.dma(&read(stream, 0x1_2345))), Pa(block + 0x1_2345));
    let held = bench.smmu.tlb_entries();
    assert_eq!([(held[0].input, held[0].size_log2)], [(0x1_0000, 16)]);
    assert!(looked_up(&mut bench, 0, 0x1_f000)[0].1.is_some());
    assert_eq!(looked_up(&mut bench, 0, 0x2_0000)[0].1, None);
    // Any address of the block drops every piece of it.
    tlbi_va(&mut bench, 0x1f_f000, true);
    assert_eq!(bench.smmu.tlb_entries(), []);
}

#[test]
fn a_walk_brings_the_page_behind_as_well() {
    let mut bench = bench(HierarchySizes { prefetch: true, ..HierarchySizes::default() });
    map_pages(&mut bench, STAGE1);
    let hit = |bench: &mut Bench, page: u64| looked_up(bench, 0, page << 12)[0].1.is_some();
    let hits: Vec<bool> = (0..8).map(|page| hit(&mut bench, page)).collect();
    assert_eq!(hits, [false, true, false, true, false, true, false, true]);
    assert_eq!(bench.event(), None, "behind the last page there is none, and nobody asked");
    // It is overtaken like any other fill, and dropped like any other entry.
    tlbi_va(&mut bench, 0x7000, true);
    assert!(!hit(&mut bench, 7));
}

/// A descriptor that was read before a TLBI of its region took effect is not kept after it.
#[test]
fn a_descriptor_on_the_way_is_overtaken() {
    use smmu_bus::{Actor, Answer, Request, Step, serve_memory};
    let mut bench = bench(HierarchySizes { stage1: TABLES, ..HierarchySizes::default() });
    map_pages(&mut bench, STAGE1);
    let stream = bench.stream_of(STAGE1);
    let mut walk = bench.ports[0].start(&read(stream, 0));
    let (mut answer, mut kept) = (Answer::Start, Vec::new());
    loop {
        match walk.step(answer) {
            Step::Need(request) => {
                if matches!(request, Request::FillWalk { entry, .. } if entry.reach.level == 1) {
                    bench.issue([0x12 | 1 << 32 | 1 << 48, 0x20_0000]);
                    bench.pump();
                }
                let here = bench.ports[0].answer(&request);
                answer = here.or_else(|| serve_memory(&bench.memory, &request)).expect("one");
                if let Request::FillWalk { entry, .. } = request {
                    assert_eq!(entry.stage, Stage::Stage1);
                    kept.push((entry.reach.level, answer != Answer::Filled(None)));
                }
            }
            Step::Done(mut outcome) => {
                bench.ports[0].finish(&walk, &mut outcome);
                break;
            }
            Step::Wait(_) => unreachable!("a translation waits for nothing"),
        }
    }
    bench.ports[0].end();
    // The address named lies in the region of levels 0 and 1; level 2 has another table for it.
    assert_eq!(kept, [(0, true), (1, false), (2, true)]);
    assert_eq!(accesses(&mut bench, STAGE1, 0x1000), 1);
}
