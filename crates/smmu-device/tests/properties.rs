//! Properties over random sequences of DMA, register writes, commands and changes of tables.

mod common;

use common::spaces::{cd_at, ste_at};
use common::{Bench, Board, Kind, Log, RAM, Setup, Space, at, read, with_substream};
use proptest::collection::vec;
use proptest::prelude::*;
use smmu_arch::{
    Access, AddressSpace, Asid, Attributes, Direction, EntryKind, EntrySizes, FaultPolicy, Pa,
    Regime, Stage1Half, Stage1Regime, Stage2Regime, StreamWorld, Transaction, Vmid,
};
use smmu_bus::DirectCpu;
use smmu_cache::policy::PolicyKind;
use smmu_cache::{IndexFunction, TlbGeometry, TlbShape};
use smmu_device::{HierarchySizes, MainTlb, Progress, StructureSizes, TranslationOutcome};
use smmu_tables::{Prot, STAGE1_MAIR, Walk, run};

/// A small hot set of address spaces.
const SPACES: [Space; 6] = [
    Space { kind: Kind::Stage1, vmid: 1, asid: 1 },
    Space { kind: Kind::Stage1, vmid: 1, asid: 2 },
    Space { kind: Kind::Stage1, vmid: 2, asid: 1 },
    Space { kind: Kind::Stage2, vmid: 1, asid: 0 },
    Space { kind: Kind::Nested, vmid: 1, asid: 1 },
    Space { kind: Kind::El2, vmid: 0, asid: 0 },
];

/// Pages of 4K that a sequence maps: some of one contiguous group, some of a 2M block.
const PAGES: [u64; 8] =
    [0x1000, 0x2000, 0x1_0000, 0x1_1000, 0x20_0000, 0x20_1000, 0x3f_f000, 0x40_0000];

#[derive(Clone, Debug)]
enum Act {
    Dma { port: usize, space: usize, page: usize, access: Access, substream: Option<u32> },
    Map { space: usize, page: usize, output: u64, bytes_log2: u32, prot: Prot },
    Unmap { space: usize, page: usize, bytes_log2: u32 },
    Command([u64; 2]),
    FlipSte { space: usize, bit: u32 },
    FlipCd { space: usize, bit: u32 },
    Register { offset: u64, value: u32 },
}

fn access() -> impl Strategy<Value = Access> {
    let fetch = prop::bool::weighted(0.1);
    (any::<bool>(), any::<bool>(), fetch).prop_map(|(write, privileged, instruction)| {
        let direction = if write { Direction::Write } else { Direction::Read };
        Access { direction, privileged, instruction }
    })
}

fn prot() -> impl Strategy<Value = Prot> {
    vec(any::<bool>(), 4).prop_map(|bits| Prot {
        write: bits[0],
        execute: bits[1],
        privileged: bits[2],
        global: bits[3],
        ..Prot::READ
    })
}

fn space() -> std::ops::Range<usize> {
    0..SPACES.len()
}

fn page() -> std::ops::Range<usize> {
    0..PAGES.len()
}

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(12u32), 1 => Just(16), 1 => Just(21)]
}

/// Outputs, some of which are IPAs that stage 2 maps.
fn target() -> impl Strategy<Value = u64> {
    prop_oneof![
        page().prop_map(|page| PAGES[page]),
        (0u64..64).prop_map(|page| RAM.0 + 0x200_0000 + (page << 12)),
        (0u64..64).prop_map(|page| 0x1000_0000 + (page << 12)),
        (0u64..4).prop_map(|block| 0x4000_0000 + (block << 21)),
    ]
}

fn command() -> impl Strategy<Value = [u64; 2]> {
    let opcode = prop::sample::select(vec![
        0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x30,
        0x46,
    ]);
    (opcode, 0u64..4, 0u64..4, page(), any::<bool>(), 0u64..3, 0u64..4, any::<bool>()).prop_map(
        |(opcode, vmid, asid, page, ranged, num, ttl, leaf)| {
            let tail = PAGES[page] | u64::from(leaf) | if ranged { 1 << 10 | ttl << 8 } else { 0 };
            match opcode {
                // Streams of the address spaces begin at 16.
                0x03 | 0x05 | 0x06 => [opcode | (16 + vmid + asid) << 32, 1],
                0x04 => [opcode | 16 << 32, if ranged { num } else { 31 }],
                0x46 => [opcode, 0],
                _ => [opcode | (num + 1) << 12 | vmid << 32 | asid << 48, tail],
            }
        },
    )
}

fn dma() -> impl Strategy<Value = Act> {
    let substream = prop_oneof![9 => Just(None), 1 => (0u32..3).prop_map(Some)];
    (0usize..2, space(), page(), access(), substream).prop_map(
        |(port, space, page, access, substream)| Act::Dma { port, space, page, access, substream },
    )
}

fn map() -> impl Strategy<Value = Act> {
    (space(), page(), target(), size(), prot()).prop_map(
        |(space, page, output, bytes_log2, prot)| Act::Map {
            space,
            page,
            output,
            bytes_log2,
            prot,
        },
    )
}

fn unmap() -> impl Strategy<Value = Act> {
    (space(), page(), size()).prop_map(|(space, page, bytes_log2)| Act::Unmap {
        space,
        page,
        bytes_log2,
    })
}

fn register() -> impl Strategy<Value = Act> {
    let offsets = [at::CR0, at::CR2, at::GBPA, at::IRQ_CTRL, at::GERRORN, at::EVENTQ_CONS];
    let enabled = Just(Act::Register { offset: at::CR0, value: 0xd });
    let random = (prop::sample::select(offsets.to_vec()), 0u32..32, any::<bool>())
        .prop_map(|(offset, value, update)| (offset, value | u32::from(update) << 31))
        .prop_map(|(offset, value)| Act::Register { offset, value });
    prop_oneof![2 => enabled, 1 => random]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => dma(),
        4 => map(),
        2 => unmap(),
        3 => command().prop_map(Act::Command),
        1 => (space(), 0u32..256).prop_map(|(space, bit)| Act::FlipSte { space, bit }),
        1 => (space(), 0u32..256).prop_map(|(space, bit)| Act::FlipCd { space, bit }),
        1 => register(),
    ]
}

/// Structures without bounds, small ones, and none.
fn structures() -> impl Strategy<Value = StructureSizes> {
    let small = TlbGeometry {
        entries: 8,
        ways: 2,
        index: IndexFunction::PageXorTags,
        ..TlbGeometry::default()
    };
    let watched = TlbGeometry { replacement: PolicyKind::Lru, ways: 0, ..small };
    let sizes = |tlb: TlbShape, entries, hierarchy| StructureSizes {
        tlb,
        ste_cache: entries,
        cd_cache: entries,
        hierarchy,
    };
    let around = |shape: TlbShape| HierarchySizes {
        micro_tlb: Some(watched.into()),
        ipa_tlb: Some(shape),
        stage1: [Some(shape); 4],
        stage2: [None, Some(shape), Some(shape), None],
        stage1_nested: true,
        ..HierarchySizes::default()
    };
    let none = HierarchySizes::default();
    let ahead = HierarchySizes { prefetch: true, main: MainTlb::PerPort, ..none };
    let absent = HierarchySizes {
        main: MainTlb::Absent,
        micro_sizes: EntrySizes(1 | 1 << 9),
        prefetch: true,
        ..around(small.into())
    };
    prop_oneof![
        Just(sizes(small.into(), None, ahead)),
        Just(sizes(small.into(), Some(2), absent)),
        Just(sizes(TlbShape::Unbounded, None, none)),
        Just(sizes(small.into(), Some(2), none)),
        Just(sizes(watched.into(), Some(0), none)),
        Just(sizes(small.into(), Some(2), around(small.into()))),
        Just(sizes(TlbShape::Unbounded, None, around(TlbShape::Unbounded))),
    ]
}

fn apply(bench: &mut Bench, act: &Act, outcomes: &mut Vec<TranslationOutcome>) {
    match *act {
        Act::Dma { port, space, page, access, substream } => {
            let stream = bench.stream_of(SPACES[space]);
            let plain = Transaction { access, ..read(stream, PAGES[page] + 0x18) };
            let transaction = substream.map_or(plain, |id| with_substream(plain, id));
            outcomes.push(bench.dma_at(port, &transaction));
        }
        Act::Map { space, page, output, bytes_log2, prot } => {
            let _ = try_map(bench, SPACES[space], PAGES[page], output, bytes_log2, prot);
        }
        Act::Unmap { space, page, bytes_log2 } => {
            try_unmap(bench, SPACES[space], PAGES[page], bytes_log2);
        }
        Act::Command(words) => {
            bench.issue(words);
            bench.pump();
        }
        Act::FlipSte { space, bit } => {
            let at = ste_at(bench.stream_of(SPACES[space]));
            flip(bench, at, bit);
        }
        Act::FlipCd { space, bit } => {
            let at = cd_at(bench.stream_of(SPACES[space]), 0);
            flip(bench, at, bit);
        }
        Act::Register { offset, value } => {
            bench.write(offset, value);
            bench.pump();
        }
    }
}

fn flip(bench: &Bench, at: Pa, bit: u32) {
    let word = at.offset(u64::from(bit / 64) * 8);
    bench.store(word, &[bench.load(word) ^ 1 << (bit % 64)]);
}

fn try_map(
    bench: &mut Bench,
    space: Space,
    page: u64,
    output: u64,
    bytes_log2: u32,
    prot: Prot,
) -> bool {
    let table = bench.table_of(space);
    let mask = !((1 << bytes_log2) - 1);
    let board = Board(&bench.memory);
    let cpu = DirectCpu::new(&board);
    let (input, output) = (page & mask, output & mask);
    table.map(&cpu, &mut bench.pages, input, output, 1 << bytes_log2, prot).is_ok()
}

fn try_unmap(bench: &mut Bench, space: Space, page: u64, bytes_log2: u32) -> u64 {
    let table = bench.table_of(space);
    let board = Board(&bench.memory);
    let input = page >> bytes_log2 << bytes_log2;
    let removed = table.unmap(&DirectCpu::new(&board), input, 1 << bytes_log2, &mut |_| {});
    removed.map_or(0, |removed| removed.bytes)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The fast path and the actor lead to the same outcomes, observations and entries.
    #[test]
    fn translating_at_once_and_step_by_step_are_the_same(
        structures in structures(),
        acts in vec(act(), 1..60),
    ) {
        let [mut fast, mut stepped] = [false, true].map(|stepwise| {
            Bench::with(Setup { structures, stepwise, ..Setup::default() })
        });
        let (mut outcomes, mut stepped_outcomes) = (Vec::new(), Vec::new());
        for act in &acts {
            apply(&mut fast, act, &mut outcomes);
            apply(&mut stepped, act, &mut stepped_outcomes);
        }
        prop_assert_eq!(outcomes, stepped_outcomes);
        let observed = |bench: &mut Bench, port: usize| std::mem::take(&mut bench.ports[port].observer().0);
        for port in 0..2 {
            prop_assert_eq!(observed(&mut fast, port), observed(&mut stepped, port));
        }
        let Log(background) = &fast.background;
        prop_assert_eq!(background, &stepped.background.0);
        prop_assert_eq!(fast.smmu.tlb_entries(), stepped.smmu.tlb_entries());
        prop_assert_eq!(fast.smmu.resident(), stepped.smmu.resident());
    }

    /// A driver that invalidates what it must never meets a translation that its tables do not
    /// give.
    #[test]
    fn a_careful_driver_gets_what_a_plain_walk_of_its_tables_gives(
        structures in structures(),
        acts in vec(prop_oneof![6 => dma(), 2 => map(), 2 => unmap()], 1..160),
        hot in (space(), space()),
        wide in any::<bool>(),
    ) {
        let mut bench = Bench::with(Setup { structures, ..Setup::default() });
        // Two address spaces a case, so that accesses, mappings and unmappings meet.
        let hot = |space: usize| SPACES[if space.is_multiple_of(2) { hot.0 } else { hot.1 }];
        for act in &acts {
            match *act {
                Act::Dma { port, space, page, access, .. } => {
                    let regime = regime(&mut bench, hot(space));
                    let input = PAGES[page] + 0x18;
                    let stream = bench.stream_of(hot(space));
                    let walked = run(Walk::new(&regime, input, access), &regime, &bench.memory);
                    let got = bench.dma_at(port, &Transaction { access, ..read(stream, input) });
                    let plain = walked.map(|walked| (walked.output, walked.entry.attributes));
                    let got = got.map(|granted| (granted.output, granted.attributes));
                    prop_assert_eq!(got.map_err(|refused| refused.fault), plain.map_err(Some));
                }
                Act::Unmap { space, page, bytes_log2 } => {
                    let bytes = try_unmap(&mut bench, hot(space), PAGES[page], bytes_log2);
                    if bytes > 0 {
                        invalidate(&mut bench, hot(space), PAGES[page], bytes_log2, wide);
                    }
                }
                // Tables of one VMID differ, so that nothing in them is global.
                Act::Map { space, page, output, bytes_log2, prot } => {
                    let prot = Prot { global: false, ..prot };
                    try_map(&mut bench, hot(space), PAGES[page], output, bytes_log2, prot);
                }
                _ => unreachable!("the property draws no other act"),
            }
        }
    }

    /// A translation that an invalidation overtakes leaves an entry if the scope does not cover
    /// it; and no CMD_SYNC completes before its end.
    #[test]
    fn an_overtaken_fill_is_dropped_iff_it_is_covered(
        space in space(),
        page in page(),
        cut in 0usize..12,
        words in command(),
    ) {
        use smmu_arch::{Command, CommandFeatures, Invalidation};
        use smmu_bus::{Actor, Answer, Request, Step, serve_memory};
        let features = CommandFeatures { ds: false, ..CommandFeatures::ALL };
        let command = Command::decode(&words).expect("an opcode that exists");
        let scope = command.scope(&features, false, 0);
        prop_assume!(command.check_supported(&features).is_ok() && scope.is_some());
        let mut bench = Bench::new();
        let space = SPACES[space];
        try_map(&mut bench, space, PAGES[page], RAM.0, 12, Prot::READ_WRITE);
        let stream = bench.stream_of(space);
        let mut walk = bench.ports[0].start(&read(stream, PAGES[page]));
        let (mut answer, mut filled) = (Answer::Start, None);
        for step in 0.. {
            if step == cut {
                bench.issue(words);
                bench.issue([0x46, 0]);
                prop_assert!(matches!(bench.pump(), Progress::Pending(_)));
            }
            match walk.step(answer) {
                Step::Need(request) => {
                    if let Request::Fill { entry, .. } = request {
                        filled = Some(entry);
                    }
                    let here = bench.ports[0].answer(&request);
                    answer = here.or_else(|| serve_memory(&bench.memory, &request)).expect("one");
                }
                Step::Done(mut outcome) => {
                    prop_assert!(outcome.is_ok());
                    bench.ports[0].finish(&walk, &mut outcome);
                    prop_assume!(step >= cut);
                    break;
                }
                Step::Wait(_) => prop_assert!(false, "it waits for nothing"),
            }
        }
        prop_assert!(matches!(bench.pump(), Progress::Pending(_)));
        bench.ports[0].end();
        prop_assert_eq!(bench.pump(), Progress::Idle);
        let entry = filled.expect("a walk fills");
        let covered = scope.is_some_and(|scope: Invalidation| scope.covers_translation(&entry));
        prop_assert_eq!(bench.smmu.tlb_entries().is_empty(), covered);
    }
}

/// What must follow an unmapping: by address or, `wide`, by address space.
fn invalidate(bench: &mut Bench, space: Space, page: u64, bytes_log2: u32, wide: bool) {
    let (vmid, asid) = (u64::from(space.vmid) << 32, u64::from(space.asid) << 48);
    let first = page >> bytes_log2 << bytes_log2;
    // TG = 4K, NUM = 0, SCALE = log2 of the pages; TTL = 3 makes one page legal, and 0 the rest.
    let scale = u64::from(bytes_log2 - 12);
    let range = |opcode: u64| match scale {
        0 => [opcode | vmid | asid, first],
        _ => [opcode | vmid | asid | scale << 20, first | 1 << 10],
    };
    let commands = match (space.kind, wide) {
        (Kind::Stage2, false) => vec![range(0x2a), [0x10 | vmid, 0]],
        (Kind::Stage2, true) => vec![[0x28 | vmid, 0]],
        (Kind::El2, false) => vec![range(0x22)],
        (Kind::El2, true) => vec![[0x20, 0]],
        (_, false) => vec![range(0x12)],
        (_, true) => vec![[0x10 | vmid, 0]],
    };
    commands.into_iter().for_each(|words| bench.command(words));
}

/// The regime of an address space, composed by hand.
fn regime(bench: &mut Bench, space: Space) -> Regime {
    let stage1 = (space.kind != Kind::Stage2).then(|| bench.table_of(space).root());
    let stage2 = matches!(space.kind, Kind::Stage2 | Kind::Nested)
        .then(|| bench.stage2_table(space.vmid).root());
    let el2 = space.kind == Kind::El2;
    let half = |root| Stage1Half {
        root,
        top_byte_ignored: false,
        hierarchy_disabled: false,
        unprivileged_disabled: false,
        sh: 0,
    };
    Regime {
        space: AddressSpace {
            world: if el2 { StreamWorld::El2 } else { StreamWorld::NsEl1 },
            kind: EntryKind::Combined,
            vmid: Vmid(space.vmid),
            asid: Asid(space.asid),
            aset: true,
        },
        stage1: stage1.map(|root| Stage1Regime {
            low: half(Some(root)),
            high: (!el2).then(|| half(None)),
            output_bits: 48,
            mair: STAGE1_MAIR,
            access_flag_fault_disabled: false,
            hardware_access: false,
            hardware_dirty: false,
            write_execute_never: false,
            privileged_access_never: false,
            big_endian: false,
            two_privileges: !el2,
            has_asid: !el2,
        }),
        stage2: stage2.map(|root| Stage2Regime {
            root,
            output_bits: 48,
            access_flag_fault_disabled: false,
            hardware_access: false,
            hardware_dirty: false,
            protected_table_walk: false,
            forced_write_back: false,
            execute_by_privilege: true,
            big_endian: false,
            sh: 0,
        }),
        input_attributes: Attributes::DEFAULT,
        policy: FaultPolicy::default(),
        privilege_override: None,
        instruction_override: None,
    }
}
