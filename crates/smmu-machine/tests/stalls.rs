//! A device whose transaction stalls, and software that decides about it.

mod common;

use common::{
    BLOCK, COMMANDS, EVENTS, RAM, REGISTERS, STREAM, TABLE, TARGET, set_up, store, write,
};
use smmu_arch::{Cd, Command, Direction, Event, IdRegisters, Iova, Pa, Resume, ResumeAction, Ste};
use smmu_bus::Cpu;
use smmu_machine::{
    Blueprint, Board, CacheBlueprint, DeviceBlueprint, HierarchyBlueprint, Machine, MemoryRegion,
    Order, SmmuBlueprint, TlbBlueprint,
};
use smmu_master::{Dma, DmaSummary};

/// An SMMU with STALL_MODEL = 0 and STALL_MAX = 1, one device, and 4 MiB of memory.
fn machine(order: Order) -> Machine<()> {
    let mut ids = IdRegisters::REFERENCE;
    ids.idr0 &= !(3 << 24);
    ids.idr5 |= 1 << 16;
    let blueprint = Blueprint {
        memory: vec![MemoryRegion { base: RAM, bytes: 4 << 20 }],
        smmus: vec![SmmuBlueprint {
            cmdqv: None,
            pmcg: None,
            name: "smmu".to_owned(),
            registers: REGISTERS,
            preset: "ideal",
            ids,
            tlb: TlbBlueprint::Unbounded,
            hierarchy: HierarchyBlueprint::default(),
            ste_cache: CacheBlueprint::Unbounded,
            cd_cache: CacheBlueprint::Unbounded,
        }],
        devices: vec![DeviceBlueprint {
            name: "nic".to_owned(),
            smmu: 0,
            streams: vec![STREAM.0],
            group: 0,
            ats: None,
            entry: 0,
        }],
    };
    let board = Board::build(&blueprint, 0, |_| ()).expect("a board");
    Machine::new(board, order)
}

/// A stream whose stage 1 faults stall, with an empty table.
fn boot(cpu: &dyn Cpu) {
    set_up(cpu, Ste::default(), Cd { s: true, ..Cd::default() });
}

/// Waits for a record of a stall, and answers it with a mapping and a retry, or with an abort.
fn serve_one_stall(cpu: &dyn Cpu, maps: bool) {
    let producer = || cpu.mmio_read(Pa(REGISTERS + 0x1_00a8), 4);
    let mut ns = 0;
    while producer() == 0 {
        ns += 100;
        cpu.wait_until(ns);
    }
    let words = [0, 8, 16, 24].map(|offset| cpu.load(Pa(EVENTS + offset)).expect("RAM"));
    let event = Event::decode(&words).expect("a record");
    let stag = event.kind.stage_event().filter(|event| event.stall).expect("a stall").stag;
    if maps {
        store(cpu, TABLE, &[BLOCK]);
    }
    let action = if maps { ResumeAction::Retry } else { ResumeAction::Abort };
    let resume = Command::Resume(Resume { stream: event.stream, stag, action });
    store(cpu, COMMANDS, &resume.encode());
    write(cpu, 0x98, 4, 1);
}

fn run(order: Order, maps: bool) -> DmaSummary {
    let mut machine = machine(order);
    machine.run(boot).expect("set up");
    let dma = Dma {
        stream: STREAM,
        substream: None,
        iova: Iova(0x1000),
        bytes: 64,
        direction: Direction::Write,
        privileged: false,
    };
    let id = machine.start_dma(0, std::iter::once(dma));
    machine.run(move |cpu| serve_one_stall(cpu, maps)).expect("a stall");
    let summary = machine.wait(id).expect("an end");
    let word = machine.run(|cpu| cpu.load(Pa(TARGET + 0x1000)).expect("RAM")).expect("a word");
    assert_eq!(word, if maps { 0x1000 } else { 0 }, "{order:?}");
    summary
}

fn orders() -> impl Iterator<Item = Order> {
    std::iter::once(Order::Direct).chain((0..50).map(Order::Seeded))
}

#[test]
fn a_retried_transaction_moves_its_data() {
    for order in orders() {
        let summary = run(order, true);
        assert_eq!((summary.transactions, summary.moved), (1, 1), "{order:?}");
    }
}

#[test]
fn a_terminated_transaction_is_refused() {
    for order in orders() {
        let summary = run(order, false);
        assert_eq!((summary.transactions, summary.refused), (1, 1), "{order:?}");
    }
}

#[test]
fn a_stall_that_nobody_answers_is_told() {
    let mut machine = machine(Order::Direct);
    machine.run(boot).expect("set up");
    let dma = Dma {
        stream: STREAM,
        substream: None,
        iova: Iova(0x1000),
        bytes: 8,
        direction: Direction::Read,
        privileged: false,
    };
    let id = machine.start_dma(0, std::iter::once(dma));
    let stuck = machine.wait(id).expect_err("nobody answers").to_string();
    assert!(stuck.contains("a stalled transaction waits for CMD_RESUME"), "{stuck}");
}
