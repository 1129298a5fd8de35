//! Nothing that a guest writes makes the SMMU panic: no register write, no contents of queues,
//! configuration or tables.

mod common;

use common::spaces::{cd_at, ste_at};
use common::{Bench, CDS, COMMANDS, EVENTS, Kind, RAM, RAM_BYTES, STREAM_TABLE, Setup, Space};
use common::{at, read, with_substream};
use proptest::collection::vec;
use proptest::prelude::*;
use smmu_arch::{Access, Direction, IdRegisters, Pa, Transaction};
use smmu_bus::Mmio;
use smmu_tables::Prot;

#[derive(Clone, Debug)]
enum Act {
    Mmio { offset: u64, bytes: u8, value: u64 },
    Word { at: Pa, value: u64 },
    Flip { at: Pa, bit: u32 },
    Dma { stream: u32, substream: Option<u32>, iova: u64, write: bool },
    Enable,
}

/// Every register that is there, and places around them.
fn offset() -> impl Strategy<Value = u64> {
    let registers: Vec<u64> = smmu_arch::registers::REGISTERS
        .iter()
        .flat_map(|register| [0, 4].map(|half| u64::from(register.frame_offset()) + half))
        .collect();
    prop_oneof![8 => prop::sample::select(registers), 1 => 0u64..0x2_1000, 1 => any::<u64>()]
}

/// Words that point into RAM, have few bits, or are anything.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0..RAM_BYTES / 4096, 0u64..4096).prop_map(|(page, low)| RAM.0 + (page << 12) + low),
        2 => (0u32..64, 0u32..64).prop_map(|(a, b)| 1 << a | 1 << b),
        2 => 0u64..64,
        2 => any::<u64>(),
    ]
}

/// Where configuration, queues and the first tables lie.
fn place() -> impl Strategy<Value = Pa> {
    let bases = [STREAM_TABLE, COMMANDS, EVENTS, ste_at(16), cd_at(16, 0), ste_at(17), CDS];
    let tables = (0u64..16, 0u64..16)
        .prop_map(|(page, word)| Pa(RAM.0 + 0x100_0000).offset((page << 12) + word * 8));
    let structures = (prop::sample::select(bases.to_vec()), 0u64..16)
        .prop_map(|(base, word)| base.offset(word * 8));
    prop_oneof![2 => structures, 1 => tables]
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = prop_oneof![8 => Just(4u8), 4 => Just(8), 1 => any::<u8>()];
    let iova = prop_oneof![4 => 0u64..0x4000, 2 => word(), 1 => any::<u64>()];
    let stream = prop_oneof![6 => 14u32..20, 1 => any::<u32>()];
    let dma = (stream, prop::option::weighted(0.2, 0u32..1 << 20), iova, any::<bool>());
    prop_oneof![
        4 => (offset(), bytes, word())
            .prop_map(|(offset, bytes, value)| Act::Mmio { offset, bytes, value }),
        4 => (place(), word()).prop_map(|(at, value)| Act::Word { at, value }),
        4 => (place(), 0u32..64).prop_map(|(at, bit)| Act::Flip { at, bit }),
        6 => dma.prop_map(|(stream, substream, iova, write)| {
            Act::Dma { stream, substream, iova, write }
        }),
        2 => Just(Act::Enable),
    ]
}

fn ids() -> impl Strategy<Value = IdRegisters> {
    let reference = IdRegisters::REFERENCE;
    // OAS of 52 bits and VAX.
    let wide = IdRegisters { idr5: reference.idr5 & !7 | 6 | 1 << 10, ..reference };
    let known = [
        reference,
        wide,
        IdRegisters::QEMU_STAGE1,
        IdRegisters::QEMU_STAGE2,
        IdRegisters::QEMU_NESTED,
    ];
    prop::sample::select(known.to_vec())
}

fn apply(bench: &mut Bench, act: &Act) {
    match *act {
        Act::Mmio { offset, bytes, value } => {
            // Few commands at a time: a queue may hold 2^19.
            let index = [at::CMDQ_PROD, at::CMDQ_CONS].contains(&offset);
            let value = if index { value & 0x1f } else { value };
            bench.smmu.mmio_write(offset, bytes, value);
            let _ = bench.smmu.mmio_read(offset, bytes);
            bench.pump();
        }
        Act::Word { at, value } => bench.store(at, &[value]),
        Act::Flip { at, bit } => bench.store(at, &[bench.load(at) ^ 1 << bit]),
        Act::Dma { stream, substream, iova, write } => {
            let direction = if write { Direction::Write } else { Direction::Read };
            let plain = Transaction { access: Access::data(direction), ..read(stream, iova) };
            let transaction = substream.map_or(plain, |id| with_substream(plain, id));
            let _ = bench.dma(&transaction);
        }
        Act::Enable => {
            bench.write(at::CR0, 0);
            bench.enable();
            bench.issue([0x04, 31]);
            bench.issue([0x30, 0]);
            bench.pump();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_that_a_guest_writes_panics(
        ids in ids(),
        stepwise in any::<bool>(),
        acts in vec(act(), 1..60),
    ) {
        let mut bench = Bench::with(Setup { ids, stepwise, ..Setup::default() });
        let spaces = [
            Space { kind: Kind::Nested, vmid: 1, asid: 1 },
            Space { kind: Kind::Stage1, vmid: 1, asid: 2 },
            Space { kind: Kind::Stage2, vmid: 2, asid: 0 },
        ];
        for space in spaces {
            bench.map(space, 0x1000, 0x1000, 0x2000, Prot::READ_WRITE);
        }
        for act in &acts {
            apply(&mut bench, act);
        }
    }
}
