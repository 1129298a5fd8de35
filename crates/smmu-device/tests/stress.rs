//! Free-running threads: two ports translate while a third thread changes tables, invalidates and
//! synchronises. Nothing is asserted about counts or time, only that nothing stale is used.
//!
//! Every mapping bears a generation in its output address. Once a CMD_SYNC has told that a
//! generation is over, its page is given away, so that no transaction may use it: not one that
//! begins later, and not one that is still in flight.

mod common;

use common::broadcast::{begin_dsb, taking_part};
use common::spaces::cd_at;
use common::{Bench, Board, COMMANDS, Kind, Pages, Setup, Space, at, read};
use smmu_arch::{BroadcastTlbi, Granule, Pa, PortId, TlbiRange, TlbiVaa, Vmid};
use smmu_bus::{DirectCpu, Faulting, Memory, Mmio, Ram};
use smmu_device::{Port, Smmu};
use smmu_tables::{Geometry, Prot, Table};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const IOVA: u64 = 0x1000;
const ASID: u16 = 1;
/// Output of generation 0.
const OUTPUT: u64 = 0x10_0000_0000;
const ROUNDS: u64 = 4000;

/// What the threads share.
struct Shared<'a> {
    smmu: &'a Smmu,
    memory: &'a Faulting<Ram>,
    stream: u32,
    /// The last generation that is over.
    over: AtomicU64,
    done: AtomicBool,
}

impl Shared<'_> {
    /// Translates without end. Every so often this thread does the background work as well.
    fn translate(&self, mut port: Port) {
        let mut count = 0u32;
        while !self.done.load(Ordering::Relaxed) {
            let over = self.over.load(Ordering::SeqCst);
            let outcome = port.translate(self.memory, &read(self.stream, IOVA));
            if let Ok(granted) = outcome {
                let generation = (granted.output.0 - OUTPUT) >> 12;
                assert!(
                    generation > over,
                    "began after the CMD_SYNC, used generation {generation}"
                );
                let over = self.over.load(Ordering::SeqCst);
                assert!(generation > over, "in flight, but generation {generation} was given away");
            }
            port.end();
            count += 1;
            if count.is_multiple_of(64) {
                self.smmu.pump(self.memory, &mut (), &mut common::Pulses::default());
            }
        }
    }

    /// Issues commands and a CMD_SYNC, and returns when that is consumed.
    fn synchronise(&self, commands: &[[u64; 2]]) {
        let prod = self.smmu.mmio_read(at::CMDQ_PROD, 4);
        let all = commands.iter().chain(&[[0x46, 0]]);
        let mut next = prod;
        for words in all {
            let index = next & 63;
            self.memory.write_words(COMMANDS.offset(index * 16), words).expect("RAM");
            next = (next + 1) & 127;
        }
        self.smmu.mmio_write(at::CMDQ_PROD, 4, next);
        while self.smmu.mmio_read(at::CMDQ_CONS, 4) != next {
            self.smmu.pump(self.memory, &mut (), &mut common::Pulses::default());
            thread::yield_now();
        }
    }
}

/// What a PE does instead: a TLBI and a DSB.
fn broadcast(smmu: &Smmu, tlbi: &BroadcastTlbi) {
    smmu.broadcast(tlbi, &mut ());
    let (_, condition) = begin_dsb(smmu);
    while !smmu.holds(condition) {
        thread::yield_now();
    }
}

/// Runs the two ports against `change(round)`, which ends generation `round - 1`.
fn run(bench: Bench, stream: u32, change: impl FnOnce(&Shared<'_>, &mut Pages, Deadline)) {
    let Bench { smmu, memory, mut pages, .. } = bench;
    let shared = Shared {
        smmu: &smmu,
        memory: &memory,
        stream,
        over: AtomicU64::new(0),
        done: AtomicBool::new(false),
    };
    let ports = [0, 1].map(|id| Port::new(Arc::clone(&smmu), PortId(id), ()).expect("a port"));
    thread::scope(|scope| {
        for port in ports {
            scope.spawn(|| shared.translate(port));
        }
        change(&shared, &mut pages, Deadline(Instant::now() + Duration::from_millis(700)));
        shared.done.store(true, Ordering::Relaxed);
    });
}

/// The test ends here at the latest.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn rounds(self) -> impl Iterator<Item = u64> {
        (2..ROUNDS).take_while(move |_| Instant::now() < self.0)
    }
}

fn map(memory: &Faulting<Ram>, pages: &mut Pages, table: &Table, generation: u64) {
    let board = Board(memory);
    let output = OUTPUT + (generation << 12);
    let cpu = DirectCpu::new(&board);
    table.map(&cpu, pages, IOVA, output, 0x1000, Prot::READ_WRITE).expect("a mapping");
}

fn unmap(memory: &Faulting<Ram>, table: &Table) {
    let board = Board(memory);
    table.unmap(&DirectCpu::new(&board), IOVA, 0x1000, &mut |_| {}).expect("an unmapping");
}

const SPACE: Space = Space { kind: Kind::Stage1, vmid: 0, asid: ASID };

#[test]
fn after_unmap_tlbi_and_sync_no_transaction_uses_the_page() {
    let mut bench = Bench::with(Setup::default());
    let stream = bench.stream_of(SPACE);
    let table = bench.table_of(SPACE);
    map(&bench.memory, &mut bench.pages, &table, 1);
    run(bench, stream, |shared, pages, deadline| {
        for generation in deadline.rounds() {
            unmap(shared.memory, &table);
            shared.synchronise(&[[0x12 | u64::from(ASID) << 48, IOVA]]);
            shared.over.store(generation - 1, Ordering::SeqCst);
            map(shared.memory, pages, &table, generation);
        }
    });
}

/// The same by broadcasts.
#[test]
fn after_unmap_tlbi_and_dsb_of_a_pe_no_transaction_uses_the_page() {
    let mut bench = Bench::with(taking_part());
    let stream = bench.stream_of(SPACE);
    let table = bench.table_of(SPACE);
    map(&bench.memory, &mut bench.pages, &table, 1);
    let tlbi =
        BroadcastTlbi::Vaae1(TlbiVaa { vmid: Vmid(0), range: TlbiRange::single(IOVA, true) });
    run(bench, stream, |shared, pages, deadline| {
        for generation in deadline.rounds() {
            unmap(shared.memory, &table);
            broadcast(shared.smmu, &tlbi);
            shared.over.store(generation - 1, Ordering::SeqCst);
            map(shared.memory, pages, &table, generation);
        }
    });
}

/// The same with two tables, between which the CD is switched by one store.
#[test]
fn after_cfgi_cd_tlbi_and_sync_no_transaction_uses_the_old_table() {
    let mut bench = Bench::with(Setup::default());
    let stream = bench.stream_of(SPACE);
    let tables = [bench.table_of(SPACE), bench.new_table(Geometry::stage1(Granule::K4, 48, 48))];
    map(&bench.memory, &mut bench.pages, &tables[0], 1);
    run(bench, stream, |shared, pages, deadline| {
        for generation in deadline.rounds() {
            let [old, new] = [generation, generation + 1].map(|g| &tables[g as usize % 2]);
            map(shared.memory, pages, new, generation);
            let ttb0: Pa = cd_at(stream, 0).offset(8);
            shared.memory.write_word(ttb0, new.root().base).expect("RAM");
            let cfgi_cd = [0x05 | u64::from(stream) << 32, 1];
            shared.synchronise(&[cfgi_cd, [0x11 | u64::from(ASID) << 48, 0]]);
            shared.over.store(generation - 1, Ordering::SeqCst);
            unmap(shared.memory, old);
        }
    });
}
