//! Permissions and memory attributes through the whole device: what a walk finds, a hit must find
//! as well, and no hit grants what the tables refuse. Sections "Permissions" and "Memory
//! attributes and types".

mod common;

use common::spaces::{cd_at, ste_at};
use common::{Bench, Kind, RAM, Setup, Space, attributes, output, read};
use smmu_arch::{
    Access, Attributes, Cd, Direction, Features, IdRegisters, MemoryType, Pa, Path, Shareability,
    Ste, Transaction,
};
use smmu_tables::Prot;
use smmu_testpoint::testpoint;

const FLAT: Space = Space { kind: Kind::Stage1, vmid: 1, asid: 7 };
const NESTED: Space = Space { kind: Kind::Nested, vmid: 1, asid: 7 };
const STAGE2: Space = Space { kind: Kind::Stage2, vmid: 1, asid: 0 };

/// Mapped in `FLAT` to 0xb000.
const PAGE: u64 = 0x1000;

/// A stream of `space`, its STE and CD edited before anything is cached, and `PAGE` mapped.
fn bench(setup: Setup, edit: impl FnOnce(&mut Ste, &mut Cd), prot: Prot) -> (Bench, u32) {
    let mut bench = Bench::with(setup);
    let stream = bench.stream_of(FLAT);
    let words = |at: Pa| std::array::from_fn(|word| bench.load(at.offset(word as u64 * 8)));
    let (mut ste, mut cd) =
        (Ste::decode(&words(ste_at(stream))), Cd::decode(&words(cd_at(stream, 0))));
    edit(&mut ste, &mut cd);
    bench.store(ste_at(stream), &ste.encode());
    bench.store(cd_at(stream, 0), &cd.encode());
    bench.map(FLAT, PAGE, 0xb000, 0x1000, prot);
    (bench, stream)
}

fn access(text: &str) -> Access {
    let direction = if text.contains("write") { Direction::Write } else { Direction::Read };
    Access {
        privileged: text.contains("privileged"),
        instruction: text.contains("fetch"),
        ..Access::data(direction)
    }
}

/// What each access comes to: `walk`, `hit`, or the name of its fault.
#[track_caller]
fn check(bench: &mut Bench, stream: u32, rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        let transaction = Transaction { access: access(text), ..read(stream, PAGE) };
        let found = match bench.dma(&transaction) {
            Ok(granted) if matches!(granted.path, Path::Hit(_)) => "hit",
            Ok(_) => "walk",
            Err(refused) => refused.fault.expect("a fault").name(),
        };
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn pan_refuses_privileged_data_accesses_where_an_unprivileged_one_left_an_entry() {
    let (mut bench, stream) =
        bench(Setup::default(), |_, cd| cd.pan = true, Prot { execute: true, ..Prot::READ });
    check(
        &mut bench,
        stream,
        &[
            ("read", "walk"),
            ("privileged read", "F_PERMISSION"),
            ("privileged fetch", "hit"),
            ("read", "hit"),
        ],
    );
    testpoint!(158);
}

#[test]
fn wxn_takes_execution_from_writable_pages() {
    for (wxn, fetch) in [(false, "hit"), (true, "F_PERMISSION")] {
        let prot = Prot { execute: true, ..Prot::READ_WRITE };
        let (mut bench, stream) = bench(Setup::default(), |_, cd| cd.wxn = wxn, prot);
        check(
            &mut bench,
            stream,
            &[
                ("write", "walk"),
                ("fetch", fetch),
                // What unprivileged code can write, privileged code never executes.
                ("privileged fetch", "F_PERMISSION"),
            ],
        );
    }
    testpoint!(155, 159);
}

#[test]
fn a_refused_fetch_has_ind_in_its_record() {
    let (mut bench, stream) = bench(Setup::default(), |_, _| (), Prot::READ);
    let fetch = Transaction { access: access("fetch"), ..read(stream, PAGE) };
    let (name, event) = bench.refusal(&fetch);
    assert_eq!(name, "F_PERMISSION");
    let event = *event.expect("a record").kind.stage_event().expect("a stage fault");
    assert!(event.access.instruction && !event.access.is_write());
    testpoint!(154);
}

/// APTable = 2 in the start table: no write below it, unless HAD0 = 1 and IDR3.HAD = 1.
#[test]
fn had_frees_a_page_from_the_limits_of_its_tables() {
    for (idr3_had, had0, write) in
        [(true, false, "F_PERMISSION"), (true, true, "hit"), (false, true, "F_PERMISSION")]
    {
        let mut setup = Setup::default();
        setup.ids.idr3 &= !(u32::from(!idr3_had) << 2);
        let edit = |_: &mut Ste, cd: &mut Cd| cd.tables[0].had = had0;
        let (mut bench, stream) = bench(setup, edit, Prot::READ_WRITE);
        let root = Pa(bench.table_of(FLAT).root().base);
        bench.store(root, &[bench.load(root) | 1 << 62]);
        check(&mut bench, stream, &[("read", "walk"), ("write", write)]);
    }
    testpoint!(156);
}

/// The page descriptor with output 0xb000: the only one.
fn leaf(bench: &Bench) -> Pa {
    let tables = (RAM.0 + 0x100_0000..RAM.0 + 0x110_0000).step_by(8).map(Pa);
    tables.clone().find(|&pa| bench.load(pa) & 0xf_ffff_f003 == 0xb003).expect("a leaf")
}

/// A Write-Back page of stage 1 over a page of stage 2 with the given MemAttr.
fn nested_page(setup: Setup, fwb: bool, mem_attr: u64, mair: u64) -> (Bench, u32) {
    let mut bench = Bench::with(setup);
    let stream = bench.stream_of(NESTED);
    let at = ste_at(stream);
    let words = std::array::from_fn(|word| bench.load(at.offset(word as u64 * 8)));
    bench.store(at, &Ste { s2_fwb: fwb, ..Ste::decode(&words) }.encode());
    bench.store(cd_at(stream, 0).offset(24), &[mair]);
    bench.map(NESTED, PAGE, 0x1_0000, 0x1000, Prot::READ);
    bench.map(STAGE2, 0x1_0000, 0xb000, 0x1000, Prot::READ);
    let leaf = leaf(&bench);
    bench.store(leaf, &[bench.load(leaf) & !(0xf << 2) | mem_attr << 2]);
    (bench, stream)
}

const WRITE_BACK: u64 = 0xffff_ffff_ffff_ffff;
const DEVICE: u64 = 0;

/// Section "Stage 2 memory attributes", S2FWB: 5 Non-cacheable, 6 Write-Back, 7 as stage 1.
#[test]
fn s2fwb_forces_the_memory_type_in_the_walk_and_in_the_entry() {
    let rows = [
        (true, 6, DEVICE, MemoryType::NORMAL_WB),
        (true, 7, WRITE_BACK, MemoryType::NORMAL_WB),
        (true, 7, DEVICE, MemoryType::DEVICE_NGNRNE),
        (true, 5, WRITE_BACK, MemoryType::NORMAL_NC),
        (true, 5, DEVICE, MemoryType::DEVICE_NGNRNE),
        (true, 1, WRITE_BACK, MemoryType(0x04)),
        // Without S2FWB: 6 and 7 are Non-cacheable outside, Write-Through or Write-Back inside.
        (false, 6, DEVICE, MemoryType::DEVICE_NGNRNE),
        (false, 6, WRITE_BACK, MemoryType(0x4b)),
        (false, 7, WRITE_BACK, MemoryType(0x4f)),
    ];
    for (fwb, mem_attr, mair, memory) in rows {
        let (mut bench, stream) = nested_page(Setup::default(), fwb, mem_attr, mair);
        let walked = attributes(bench.dma(&read(stream, PAGE)));
        assert_eq!(walked.memory, memory, "S2FWB={fwb} MemAttr={mem_attr}");
        assert_eq!(attributes(bench.dma(&read(stream, PAGE))), walked, "the hit");
    }
}

/// IDR3.FWB = 0: STE.S2FWB is ignored.
#[test]
fn s2fwb_means_nothing_without_idr3_fwb() {
    let mut setup = Setup::default();
    setup.ids.idr3 &= !(1 << 8);
    assert!(!Features::decode(&setup.ids).fwb && Features::decode(&IdRegisters::REFERENCE).fwb);
    let (mut bench, stream) = nested_page(setup, true, 6, WRITE_BACK);
    assert_eq!(attributes(bench.dma(&read(stream, PAGE))).memory, MemoryType(0x4b));
}

/// Stage 1 says Inner Shareable, stage 2 too; Device and Non-cacheable memory is Outer Shareable.
#[test]
fn shareability_is_the_wider_one_and_outer_for_what_is_not_cached() {
    for (mem_attr, expected) in [
        (15, Attributes { memory: MemoryType(0xff), shareability: Shareability::Inner }),
        (5, Attributes { memory: MemoryType::NORMAL_NC, shareability: Shareability::Outer }),
    ] {
        let (mut bench, stream) = nested_page(Setup::default(), false, mem_attr, WRITE_BACK);
        assert_eq!(attributes(bench.dma(&read(stream, PAGE))), expected);
        assert_eq!(attributes(bench.dma(&read(stream, PAGE))), expected, "the hit");
    }
}

/// STE.S2PTW: a CD or a table of stage 1 that stage 2 maps as Device memory is refused.
#[test]
fn s2ptw_refuses_a_cd_in_device_memory() {
    for (s2_ptw, refused) in [(false, false), (true, true)] {
        let mut bench = Bench::new();
        let stream = bench.stream_of(NESTED);
        bench.map(NESTED, PAGE, 0x1_0000, 0x1000, Prot::READ);
        bench.map(STAGE2, 0x1_0000, 0xb000, 0x1000, Prot::READ);
        let cd = cd_at(stream, 0).0;
        let device = Prot { memory: smmu_tables::MemoryKind::Device, ..Prot::READ };
        bench.map(STAGE2, 0x2_0000, cd, 0x1000, device);
        let at = ste_at(stream);
        let words = std::array::from_fn(|word| bench.load(at.offset(word as u64 * 8)));
        let ste = Ste { s2_ptw, s1_context_ptr: 0x2_0000, ..Ste::decode(&words) };
        bench.store(at, &ste.encode());
        if refused {
            let (name, event) = bench.refusal(&read(stream, PAGE));
            assert_eq!(name, "F_PERMISSION");
            let event = *event.expect("a record").kind.stage_event().expect("a stage fault");
            assert_eq!((event.class.to_string().as_str(), event.ipa.0), ("CD", 0x2_0000));
        } else {
            assert_eq!(output(bench.dma(&read(stream, PAGE))), Pa(0xb000));
        }
    }
    testpoint!(172);
}

/// Stage 2 grants execution by privilege (XN = 1: unprivileged alone), also to hits.
#[test]
fn execution_by_privilege_at_stage_2_holds_for_hits() {
    let mut bench = Bench::new();
    let stream = bench.stream_of(STAGE2);
    bench.map(STAGE2, PAGE, 0xb000, 0x1000, Prot { execute: true, ..Prot::READ });
    let leaf = leaf(&bench);
    bench.store(leaf, &[bench.load(leaf) | 1 << 53]);
    check(
        &mut bench,
        stream,
        &[
            ("fetch", "walk"),
            ("privileged fetch", "F_PERMISSION"),
            ("privileged read", "hit"),
            ("write", "F_PERMISSION"),
        ],
    );
    testpoint!(173);
}
