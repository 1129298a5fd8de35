//! A device whose transaction stalls, and software that decides about it.

use smmu_arch::{
    Cd, CdTable, Command, Direction, Event, Granule, IdRegisters, Iova, Pa, Resume, ResumeAction,
    Ste, StreamConfig, StreamId,
};
use smmu_bus::Cpu;
use smmu_machine::{
    Blueprint, Board, CacheBlueprint, DeviceBlueprint, HierarchyBlueprint, Machine, MemoryRegion,
    Order, SmmuBlueprint, TlbBlueprint,
};
use smmu_master::{Dma, DmaSummary};

const REGISTERS: u64 = 0x0900_0000;
const RAM: u64 = 0x4000_0000;
const STREAMS: u64 = RAM;
const CD: u64 = RAM + 0x1000;
const TABLE: u64 = RAM + 0x2000;
const COMMANDS: u64 = RAM + 0x3000;
const EVENTS: u64 = RAM + 0x4000;
const TARGET: u64 = RAM + 0x20_0000;
const STREAM: u32 = 1;

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
            streams: vec![STREAM],
            group: 0,
            ats: None,
            entry: 0,
        }],
    };
    let board = Board::build(&blueprint, 0, |_| ()).expect("a board");
    Machine::new(board, order)
}

fn store(cpu: &dyn Cpu, pa: u64, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        cpu.store(Pa(pa + index as u64 * 8), *word).expect("RAM");
    }
}

fn write(cpu: &dyn Cpu, offset: u64, bytes: u8, value: u64) {
    cpu.mmio_write(Pa(REGISTERS + offset), bytes, value);
}

/// A stream whose stage 1 faults stall, with an empty table of 2 MiB blocks.
fn set_up(cpu: &dyn Cpu) {
    let ste =
        Ste { valid: true, config: StreamConfig::Stage1, s1_context_ptr: CD, ..Ste::default() };
    let unused = Cd::default().tables[0];
    let low = CdTable { tsz: 34, tg: Some(Granule::K4), ttb: TABLE, ..unused };
    let high = CdTable { epd: true, ..unused };
    let cd = Cd {
        valid: true,
        tables: [low, high],
        ips: 5,
        aa64: true,
        s: true,
        r: true,
        a: true,
        mair: 0xff,
        ..Cd::default()
    };
    store(cpu, STREAMS + u64::from(STREAM) * 64, &ste.encode());
    store(cpu, CD, &cd.encode());
    write(cpu, 0x80, 8, STREAMS);
    write(cpu, 0x88, 4, 4); // STRTAB_BASE_CFG: 16 streams
    write(cpu, 0x90, 8, COMMANDS | 4);
    write(cpu, 0xa0, 8, EVENTS | 4);
    write(cpu, 0x20, 4, 0b1101); // CR0: CMDQEN, EVENTQEN, SMMUEN
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
        // A valid 2 MiB block: Access flag, both may read and write.
        store(cpu, TABLE, &[TARGET | 1 << 10 | 1 << 6 | 1]);
    }
    let action = if maps { ResumeAction::Retry } else { ResumeAction::Abort };
    let resume = Command::Resume(Resume { stream: event.stream, stag, action });
    store(cpu, COMMANDS, &resume.encode());
    write(cpu, 0x98, 4, 1);
}

fn run(order: Order, maps: bool) -> DmaSummary {
    let mut machine = machine(order);
    machine.run(set_up).expect("set up");
    let dma = Dma {
        stream: StreamId(STREAM),
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
    machine.run(set_up).expect("set up");
    let dma = Dma {
        stream: StreamId(STREAM),
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
