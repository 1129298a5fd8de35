//! The builder: what it writes, what it refuses, and that the walk reads it back.

mod common;

use common::*;
use proptest::prelude::*;
use smmu_arch::*;
use smmu_tables::{
    BuildError, Geometry, MemoryKind, Prot, STAGE1_MAIR, Table, Unmapped, Walk, run,
};

const MIB: u64 = 1 << 20;

struct Bench {
    memory: Words,
    pages: Pages,
    table: Table,
}

impl Bench {
    fn new(geometry: Geometry) -> Self {
        let memory = Words::default();
        let mut pages = Pages::from(0x4000_0000);
        let table = Table::new(&memory, geometry, &mut pages).expect("a table");
        Self { memory, pages, table }
    }

    fn map(&mut self, input: u64, output: u64, bytes: u64) -> Result<(), BuildError> {
        self.table.map(&self.memory, &mut self.pages, input, output, bytes, Prot::READ_WRITE)
    }

    fn unmap(&mut self, input: u64, bytes: u64) -> Result<(u64, Vec<Unmapped>), BuildError> {
        let mut gathered = Vec::new();
        let removed = self
            .table
            .unmap(&self.memory, input, bytes, &mut |unmapped| gathered.push(unmapped))?;
        for retired in removed.retired {
            smmu_tables::PageAllocator::free(&mut self.pages, retired.pa, retired.bytes);
        }
        Ok((removed.bytes, gathered))
    }

    fn regime(&self) -> Regime {
        match self.table.geometry().stage {
            Stage::Stage1 => regime(Some(stage1(self.table.root())), None),
            Stage::Stage2 => regime(None, Some(stage2(self.table.root()))),
        }
    }

    fn walk(&self, input: u64) -> Result<smmu_tables::Walked, Fault> {
        let regime = self.regime();
        run(Walk::new(&regime, input, WRITE), &regime, &self.memory)
    }
}

fn k4() -> Bench {
    Bench::new(Geometry::stage1(Granule::K4, 39, 48))
}

#[test]
fn a_page_is_one_literal_word_under_its_tables() {
    let mut bench = k4();
    bench.map(0x123_4000, 0x9_1234_5000, 0x1000).unwrap();
    // UXN, PXN | nG | AF | Inner | AP[1] | AttrIndx 1 | page.
    assert_eq!(bench.memory.get(0x4000_0000), 0x4000_2003);
    assert_eq!(bench.memory.get(0x4000_2000 + 9 * 8), 0x4000_1003);
    assert_eq!(bench.memory.get(0x4000_1000 + 0x34 * 8), 0x0060_0009_1234_5f47);
    assert_eq!(STAGE1_MAIR >> 8 & 0xff, 0xff);
}

#[test]
fn stage_2_leaves_are_literal_words() {
    let word = |prot| {
        let memory = Words::default();
        let mut pages = Pages::from(0x4000_0000);
        let geometry = Geometry::stage2(Granule::K64, 29, 48);
        let table = Table::new(&memory, geometry, &mut pages).unwrap();
        table.map(&memory, &mut pages, 0, 0x5_0000, 0x1_0000, prot).unwrap();
        memory.get(table.root().base)
    };
    // XN 2 | AF | Inner | S2AP | MemAttr | page.
    assert_eq!(word(Prot::READ_WRITE), 0x0040_0000_0005_07ff);
    assert_eq!(word(Prot::READ), 0x0040_0000_0005_077f);
    let device = Prot { memory: MemoryKind::Device, execute: true, ..Prot::READ };
    assert_eq!(word(device), 0x0000_0000_0005_0647);
}

#[test]
fn a_table_is_complete_before_it_is_linked() {
    let mut bench = k4();
    bench.memory.stores.borrow_mut().clear();
    bench.map(0, 0x8000_0000, 0x2000).unwrap();
    let stores: Vec<u64> = bench.memory.stores.borrow().iter().map(|store| store.0).collect();
    // The leaves, then the level 2 entry that links them, then the level 1 entry.
    assert_eq!(stores, [0x4000_1000, 0x4000_1008, 0x4000_2000, 0x4000_0000]);
}

#[test]
fn pages_of_unknown_contents_are_cleared() {
    let memory = Words::new(&[(0x4000_0ff8, 7), (0x4000_1010, 7)]);
    let mut pages = Pages { zeroed: false, ..Pages::from(0x4000_0000) };
    let table = Table::new(&memory, Geometry::stage1(Granule::K4, 30, 48), &mut pages).unwrap();
    table.map(&memory, &mut pages, 0, 0, 0x1000, Prot::READ).unwrap();
    assert_eq!((memory.get(0x4000_0ff8), memory.get(0x4000_1010)), (0, 0));
}

#[test]
fn the_largest_blocks_that_fit_are_used() {
    let mut bench = k4();
    // A page, 511 pages to the next 2 MiB, two blocks, and a page.
    let start = 2 * MIB - 0x1000;
    bench.map(start, 0x8000_0000 + start, 4 * MIB + 0x2000).unwrap();
    let size = |input| bench.walk(input).map(|walked| walked.entry.size_log2);
    assert_eq!([start, 2 * MIB, 4 * MIB, 6 * MIB].map(|i| size(i).unwrap()), [12, 21, 21, 12]);
    assert!(size(6 * MIB + 0x1000).is_err());
    // Output out of step with the input: pages only.
    bench.map(64 * MIB, 0x1000, 2 * MIB).unwrap();
    assert_eq!(bench.walk(64 * MIB).unwrap().entry.size_log2, 12);
}

#[test]
fn whole_groups_bear_the_contiguous_hint_and_are_unmapped_whole() {
    let mut bench = k4();
    bench.map(0xf000, 0xf000, 0x1_2000).unwrap();
    let size = |bench: &Bench, input| bench.walk(input).map(|walked| walked.entry.size_log2);
    assert_eq!(size(&bench, 0xf000), Ok(12));
    assert_eq!(size(&bench, 0x1_8000), Ok(16));
    assert_eq!(size(&bench, 0x2_0000), Ok(12));
    let part = BuildError::PartOfLeaf { input: 0x1_0000, bytes: 0x1_0000 };
    assert_eq!(bench.unmap(0x1_0000, 0x1000), Err(part));
    assert_eq!(bench.unmap(0xf000, 0x2000), Err(part));
    assert_eq!(bench.unmap(0xf000, 0x1_1000).map(|r| r.0), Ok(0x1_1000));
    assert_eq!(size(&bench, 0x2_0000), Ok(12));
}

#[test]
fn what_is_mapped_is_not_mapped_again_and_nothing_changes() {
    let mut bench = k4();
    bench.map(0x20_3000, 0x9000, 0x1000).unwrap();
    let before = bench.memory.words.borrow().clone();
    assert_eq!(bench.map(0, 0, 4 * MIB), Err(BuildError::AlreadyMapped(0x20_3000)));
    assert_eq!(*bench.memory.words.borrow(), before);
    bench.pages.left = 1;
    assert_eq!(bench.map(1 << 30, 0, 0x1000), Err(BuildError::OutOfMemory));
    assert_eq!(*bench.memory.words.borrow(), before);
    assert_eq!(bench.pages.out.len(), 3);
}

#[test]
fn bad_requests_are_refused() {
    let mut bench = k4();
    assert_eq!(bench.map(0x800, 0, 0x1000), Err(BuildError::Misaligned));
    assert_eq!(bench.map(0, 0x800, 0x1000), Err(BuildError::Misaligned));
    assert_eq!(bench.map(0, 0, 0), Err(BuildError::Misaligned));
    assert_eq!(bench.map((1 << 39) - 0x1000, 0, 0x2000), Err(BuildError::OutOfRange));
    assert_eq!(bench.map(0, (1 << 48) - 0x1000, 0x2000), Err(BuildError::OutOfRange));
    assert_eq!(bench.map(!0xfff, 0, 0x1000), Err(BuildError::OutOfRange));
    assert_eq!(bench.unmap(0, 0x10).map(|_| ()), Err(BuildError::Misaligned));
    let none = Prot { read: false, ..Prot::READ };
    let found = bench.table.map(&bench.memory, &mut bench.pages, 0, 0, 0x1000, none);
    assert_eq!(found, Err(BuildError::NoAccess));
    for geometry in [
        Geometry { start_level: 2, ..Geometry::stage1(Granule::K4, 39, 48) },
        Geometry { start_level: 2, ..Geometry::stage2(Granule::K4, 40, 48) },
        Geometry { start_level: 0, ..Geometry::stage2(Granule::K16, 48, 48) },
        Geometry { output_bits: 53, ..Geometry::stage1(Granule::K4, 39, 48) },
        Geometry { input_bits: 60, ..Geometry::stage1(Granule::K64, 48, 48) },
    ] {
        let found = Table::new(&bench.memory, geometry, &mut bench.pages);
        assert_eq!(found, Err(BuildError::Geometry));
    }
}

#[test]
fn a_whole_table_is_taken_out_by_one_store_and_handed_back() {
    let mut bench = k4();
    bench.map(2 * MIB, 0x1000, 2 * MIB).unwrap(); // a table of 512 pages
    bench.memory.stores.borrow_mut().clear();
    let (bytes, gathered) = bench.unmap(0, 1 << 30).unwrap();
    assert_eq!(bytes, 2 * MIB);
    assert_eq!(*bench.memory.stores.borrow(), [(0x4000_0000, 0)]);
    let table = Unmapped { input: 0, bytes: 1 << 30, level: 1, granule: Granule::K4, leaf: false };
    assert_eq!(gathered, [table]);
    assert_eq!(bench.pages.out.len(), 1);
}

#[test]
fn holes_are_skipped_and_each_leaf_is_told() {
    let mut bench = k4();
    bench.map(0x1000, 0x1000, 0x1000).unwrap();
    bench.map(0x3000, 0x3000, 0x1000).unwrap();
    let (bytes, gathered) = bench.unmap(0, 0x8000).unwrap();
    let page = |input| Unmapped { input, bytes: 4096, level: 3, granule: Granule::K4, leaf: true };
    assert_eq!((bytes, gathered), (0x2000, vec![page(0x1000), page(0x3000)]));
}

#[test]
fn a_nested_walk_of_four_levels_each_makes_24_fetches() {
    let memory = Words::default();
    let mut pages = Pages::from(0x4000_0000);
    let two = Geometry { start_level: 0, ..Geometry::stage2(Granule::K4, 48, 48) };
    let two = Table::new(&memory, two, &mut pages).unwrap();
    let one = Table::new(&memory, Geometry::stage1(Granule::K4, 48, 48), &mut pages).unwrap();
    one.map(&memory, &mut pages, 0x5000, 0x7000, 0x1000, Prot::READ).unwrap();
    // Stage 1 tables are where they are; the page is somewhere else.
    let used: Vec<u64> = pages.out.keys().copied().collect();
    for pa in used {
        two.map(&memory, &mut pages, pa, pa, 0x1000, Prot::READ).unwrap();
    }
    two.map(&memory, &mut pages, 0x7000, 0x9000, 0x1000, Prot::READ).unwrap();
    let regime = regime(Some(stage1(one.root())), Some(stage2(two.root())));
    let walked = run(Walk::new(&regime, 0x5123, READ), &regime, &memory).unwrap();
    assert_eq!((walked.output, walked.fetches), (Pa(0x9123), 24));
}

fn geometries() -> impl Strategy<Value = Geometry> {
    let shape = prop_oneof![
        Just((Granule::K4, 25..=48u8)),
        Just((Granule::K16, 25..=48u8)),
        Just((Granule::K64, 29..=48u8))
    ];
    let sized = shape.prop_flat_map(|(granule, bits)| (Just(granule), bits));
    (sized, any::<[bool; 3]>()).prop_map(|((granule, bits), [two, contiguous, big_endian])| {
        let geometry = if two {
            Geometry::stage2(granule, bits, 48)
        } else {
            Geometry::stage1(granule, bits, 48)
        };
        Geometry { contiguous, big_endian, ..geometry }
    })
}

/// Pieces of address space: granules from the start, length, output granule.
type Range = (u64, u64, u64);

fn ranges() -> impl Strategy<Value = Vec<Range>> {
    // Near the start, and at block boundaries, so that ranges meet.
    let place = prop_oneof![0..600u64, (0..6u64).prop_map(|n| n * 512), Just(8192), Just(2048)];
    let length = prop_oneof![1..40u64, (1..5u64).prop_map(|n| n * 16), Just(512), Just(1024)];
    let output = prop_oneof![0..2000u64, (0..9u64).prop_map(|n| n * 512)];
    prop::collection::vec((place, length, output), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The walk, the software look-up and a plain list of pages agree after every change.
    #[test]
    fn the_walk_reads_what_was_built(
        geometry in geometries(),
        maps in ranges(),
        unmaps in ranges(),
    ) {
        let mut bench = Bench::new(geometry);
        let granule = 1u64 << geometry.granule.shift();
        let limit = 1u64 << (u32::from(geometry.input_bits) - geometry.granule.shift());
        let mut model = std::collections::BTreeMap::new();
        for (place, length, output) in maps {
            let wanted = bench.map(place * granule, output * granule, length * granule);
            let taken = (place..place + length).find(|page| model.contains_key(page));
            match taken {
                _ if place + length > limit => prop_assert_eq!(wanted, Err(BuildError::OutOfRange)),
                Some(page) => prop_assert_eq!(wanted, Err(BuildError::AlreadyMapped(page * granule))),
                None => {
                    prop_assert_eq!(wanted, Ok(()));
                    model.extend((0..length).map(|at| (place + at, output + at)));
                }
            }
        }
        for (place, length, _) in unmaps {
            let Ok((bytes, gathered)) = bench.unmap(place * granule, length * granule) else { continue };
            let before = model.len();
            model.retain(|page, _| !(place..place + length).contains(page));
            prop_assert_eq!(bytes, (before - model.len()) as u64 * granule);
            let told: u64 = gathered.iter().filter(|u| u.leaf).map(|u| u.bytes).sum();
            prop_assert!(told <= bytes);
        }
        let mut regime = bench.regime();
        if let Some(stage1) = &mut regime.stage1 { stage1.big_endian = geometry.big_endian }
        if let Some(stage2) = &mut regime.stage2 { stage2.big_endian = geometry.big_endian }
        for page in (0..3700).step_by(7).chain(8190..8200).chain(model.keys().copied()).filter(|page| *page < limit) {
            let input = page * granule + 0x28;
            let expected = model.get(&page).map(|output| output * granule + 0x28);
            let walked = run(Walk::new(&regime, input, WRITE), &regime, &bench.memory);
            prop_assert_eq!(walked.map(|w| w.output.0).ok(), expected);
            prop_assert_eq!(bench.table.translate(&bench.memory, input), expected);
            // The entry says the same of every page that it covers.
            if let Ok(walked) = walked {
                let entry = walked.entry;
                for other in [entry.input, entry.last_input()] {
                    let expected = model.get(&(other / granule)).map(|o| o * granule + other % granule);
                    prop_assert_eq!(Some(entry.translate(other).0), expected);
                }
            }
        }
        // Nothing leaks.
        let Bench { memory, mut pages, table } = bench;
        table.free(&memory, &mut pages).unwrap();
        prop_assert!(pages.out.is_empty());
    }

    /// Both stages composed give what each gives by itself.
    #[test]
    fn a_nested_walk_is_stage_2_after_stage_1(
        granules in (0usize..3, 0usize..3),
        places in prop::collection::vec((0u64..1 << 20, 0u64..1 << 12), 1..6),
    ) {
        let (one, two) = (Granule::ALL[granules.0], Granule::ALL[granules.1]);
        let memory = Words::default();
        let mut pages = Pages::from(0x4000_0000);
        let inner = Table::new(&memory, Geometry::stage1(one, 39, 40), &mut pages).unwrap();
        let outer = Table::new(&memory, Geometry::stage2(two, 40, 48), &mut pages).unwrap();
        let size = 1u64 << one.shift();
        for (page, output) in &places {
            // Places may repeat: the first stays.
            let _ = inner.map(&memory, &mut pages, page * size, output * size, size, Prot::READ_WRITE);
        }
        // Tables and pages below 4 GiB are mapped to themselves by stage 2, but with a hole at 0.
        outer.map(&memory, &mut pages, 1 << 29, 1 << 29, 7 << 29, Prot::READ_WRITE).unwrap();
        let low = 1u64 << 26;
        outer.map(&memory, &mut pages, low, 0x9_0000_0000, (1 << 29) - low, Prot::READ).unwrap();
        let regime = regime(Some(stage1(inner.root())), Some(stage2(outer.root())));
        for (page, _) in places {
            let input = page * size + 0x18;
            let ipa = inner.translate(&memory, input).expect("mapped");
            let pa = outer.translate(&memory, ipa);
            let walked = run(Walk::new(&regime, input, READ), &regime, &memory);
            prop_assert_eq!(walked.map(|w| w.output.0).ok(), pa);
        }
    }
}
