//! The walk held against `spec/descriptors.toml`: granules, start levels and worked examples.

mod common;

use common::*;
use serde::Deserialize;
use smmu_arch::*;
use smmu_tables::{Geometry, Walk, WalkAnswer, WalkStep, run};
use smmu_testpoint::testpoint;

#[derive(Deserialize)]
struct Sheet {
    granule: Vec<GranuleRow>,
    s1_start: Vec<StartRow>,
    s2_start: Vec<StartRow>,
    example: Vec<Example>,
    s2_memattr: MemAttr,
}

#[derive(Deserialize)]
struct MemAttr {
    fwb: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct GranuleRow {
    name: String,
    shift: u32,
    stride: u32,
    levels: Vec<LevelRow>,
}

#[derive(Deserialize)]
struct LevelRow {
    level: i8,
    shift: u32,
    block: String,
    contiguous_entries: Option<u64>,
}

#[derive(Deserialize)]
struct StartRow {
    granule: String,
    s2sl0: Option<u8>,
    s2sl0_2: Option<u8>,
    n_min: u8,
    n_max: u8,
    level: i8,
    start_shift: u32,
    start_entries: Option<u64>,
    requires: String,
}

#[derive(Deserialize)]
struct Example {
    stage: String,
    granule: String,
    n: u8,
    address: u64,
    start_level: i8,
    concatenated: u64,
    indexes: Vec<Index>,
    page_offset: u64,
}

#[derive(Deserialize)]
struct Index {
    level: i8,
    index: u64,
}

fn sheet() -> Sheet {
    toml::from_str(include_str!("../../../spec/descriptors.toml")).expect("the sheet is TOML")
}

fn granule(name: &str) -> Granule {
    Granule::ALL.into_iter().find(|g| g.to_string() == name).expect("a granule")
}

#[test]
fn granules_have_the_shifts_blocks_and_contiguous_groups_of_the_sheet() {
    for row in sheet().granule {
        let granule = granule(&row.name);
        assert_eq!((granule.shift(), granule.stride()), (row.shift, row.stride));
        for level in row.levels {
            assert_eq!(granule.level_shift(level.level), level.shift);
            assert_eq!(
                1 << granule.contiguous_log2(level.level),
                level.contiguous_entries.unwrap_or(1)
            );
            let never = ["none", "only with"].iter().any(|text| level.block.contains(text));
            let leaf = level.level == 3 || granule.has_block(level.level, DescriptorFormat::Bits48);
            assert_eq!(leaf, !never && !level.block.contains("only when"), "{}", level.block);
            let wide = DescriptorFormat::of(granule, true, true);
            let leaf = level.level == 3 || granule.has_block(level.level, wide);
            assert_eq!(leaf, !level.block.contains("none"), "{}", level.block);
        }
    }
}

/// What the first step of a walk reads.
fn first_read(regime: &Regime, input: u64) -> (u64, i8) {
    match Walk::new(regime, input, READ).step(regime, WalkAnswer::Start) {
        WalkStep::Read { pa, why: Why::Descriptor { level, .. } } => (pa.0, level),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_stage_1_input_size_starts_at_its_level() {
    for row in &sheet().s1_start {
        for n in row.n_min..=row.n_max {
            let geometry = Geometry::stage1(granule(&row.granule), n, 48);
            let regime = regime(Some(stage1(geometry.root_at(0x1000_0000))), None);
            let entries = 1u64 << (u32::from(n) - row.start_shift);
            assert_eq!(first_read(&regime, 0), (0x1000_0000, row.level));
            let last = 0x1000_0000 + (entries - 1) * 8;
            assert_eq!(first_read(&regime, (1 << n) - 1), (last, row.level), "{} {n}", row.granule);
            if n == row.n_max {
                assert_eq!(Some(entries), row.start_entries);
            }
        }
    }
}

#[test]
fn every_stage_2_start_level_concatenates_its_tables() {
    for row in &sheet().s2_start {
        let granule = granule(&row.granule);
        let code = row.s2sl0.expect("S2SL0") | row.s2sl0_2.expect("S2SL0_2") << 2;
        let ds = row.requires.contains("DS");
        assert_eq!(stage2_start_level(granule, code, true, ds), Some(row.level));
        let without = stage2_start_level(granule, code, true, false);
        assert_eq!(without != Some(row.level), ds, "{} {code}", row.granule);
        for n in row.n_min..=row.n_max.min(52) {
            let tables = 1u64 << (u32::from(n)).saturating_sub(row.start_shift + granule.stride());
            let log2 = stage2_concatenation_log2(granule, row.level, u32::from(n));
            assert_eq!(log2.map(|log2| 1 << log2), Some(tables));
            let regime = regime(None, Some(stage2(root(0x1000_0000, n, granule, row.level))));
            let last = 0x1000_0000 + ((1u64 << (u32::from(n) - row.start_shift)) - 1) * 8;
            assert_eq!(first_read(&regime, (1 << n) - 1), (last, row.level));
        }
    }
    testpoint!(101, 102, 103, 104, 105, 177);
}

#[test]
fn worked_examples_read_the_entries_that_the_sheet_names() {
    for example in sheet().example {
        let granule = granule(&example.granule);
        let root = root(0x1000_0000, example.n, granule, example.start_level);
        let (regime, leaf) = match example.stage.as_str() {
            "s1" => (regime(Some(stage1(root)), None), PAGE | AF | UNPRIVILEGED),
            _ => (regime(None, Some(stage2(root))), PAGE | AF | S2_READ | S2_NORMAL),
        };
        // Tables 16 MiB apart, the page behind them.
        let table = |step: usize| 0x1000_0000 + 0x100_0000 * step as u64;
        let last = example.indexes.len() - 1;
        let memory = Words::default();
        let mut expected = Vec::new();
        for (step, Index { level, index }) in example.indexes.iter().enumerate() {
            assert_eq!(*level, example.start_level + step as i8);
            let at = table(step) + index * 8;
            memory.set(at, table(step + 1) | if step == last { leaf } else { TABLE });
            expected.push(at);
        }
        let walked = run(Walk::new(&regime, example.address, READ), &regime, &memory)
            .unwrap_or_else(|fault| panic!("{:#x}: {fault:?}", example.address));
        assert_eq!(*memory.reads.borrow(), expected);
        assert_eq!(walked.output.0, table(last + 1) | example.page_offset);
        assert_eq!(usize::from(walked.fetches), example.indexes.len());
        if example.stage == "s2" {
            let log2 =
                stage2_concatenation_log2(granule, example.start_level, u32::from(example.n));
            assert_eq!(log2.map(|log2| 1 << log2), Some(example.concatenated));
        }
    }
    testpoint!(147);
}

/// What a row says of the type that comes out over Write-Back and over Device-nGnRE of stage 1.
fn forced(row: &str) -> [MemoryType; 2] {
    let (write_back, device) = (MemoryType::NORMAL_WB, MemoryType(0x04));
    match row {
        "force Device-nGnRnE" | "reserved" => [MemoryType::DEVICE_NGNRNE; 2],
        "force Device-nGnRE" => [MemoryType(0x04); 2],
        "force Device-nGRE" => [MemoryType(0x08); 2],
        "force Device-GRE" => [MemoryType(0x0c); 2],
        "Normal-NC unless stage 1 is Device" => [MemoryType::NORMAL_NC, device],
        "force Normal write-back" => [write_back; 2],
        "take the stage 1 type" => [write_back, device],
        _ => panic!("nothing holds the row '{row}'"),
    }
}

#[test]
fn every_memattr_with_s2fwb_is_the_type_of_its_row() {
    let rows = sheet().s2_memattr.fwb;
    for (code, row) in &rows {
        let code: u64 = code.parse().expect("a number");
        for (mair, expected) in [0xff, 0x04].into_iter().zip(forced(row)) {
            let first = Stage1Regime { mair, ..stage1(root(0x1000, 25, Granule::K64, 3)) };
            let second = Stage2Regime {
                forced_write_back: true,
                ..stage2(root(0x2000, 30, Granule::K64, 2))
            };
            // The table of stage 1 and its page: both in the first block of stage 2.
            let block = 1 | AF | S2_READ | code << 2;
            let memory = Words::new(&[(0x1000, PAGE | AF | UNPRIVILEGED), (0x2000, block)]);
            let regime = regime(Some(first), Some(second));
            let walked = run(Walk::new(&regime, 0, READ), &regime, &memory).expect("a page");
            assert_eq!(walked.entry.attributes.memory, expected, "{code}: {row}");
        }
    }
    assert_eq!(rows.len(), 8);
}
