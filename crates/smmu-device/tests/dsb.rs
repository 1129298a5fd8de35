//! DSB after broadcast TLBIs: what it waits for. It is the rule of CMD_SYNC, for PEs.

mod common;

use common::broadcast::{begin_dsb, mapped};
use common::{Board, Kind, Log, Space, output, read};
use smmu_arch::{
    BroadcastTlbi, Epoch, Maintenance, Observation, Pa, PeContext, TlbiInstruction, Vmid,
};
use smmu_bus::{
    Actor, Answer, Cpu, DirectCpu, Faulting, Platform, Ram, Request, Step, serve_memory,
};
use smmu_device::{Progress, Smmu};
use std::cell::RefCell;

const ALL: BroadcastTlbi = BroadcastTlbi::Alle1;

#[test]
fn it_waits_for_a_walk_in_flight() {
    let (mut bench, stream) = mapped();
    let _walk = bench.ports[0].start(&read(stream, 0x1000));
    bench.tlbi(ALL);
    let (_, condition) = begin_dsb(&bench.smmu);
    assert!(!bench.smmu.holds(condition));
    bench.ports[0].end();
    assert!(bench.smmu.holds(condition));
}

#[test]
fn it_waits_for_a_hit_whose_access_was_not_made_yet() {
    let (mut bench, stream) = mapped();
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0x8000));
    let hit = bench.ports[0].translate(&bench.memory, &read(stream, 0x1000));
    assert_eq!(output(hit), Pa(0x8000));
    bench.tlbi(ALL);
    let (_, condition) = begin_dsb(&bench.smmu);
    assert!(!bench.smmu.holds(condition));
    bench.ports[0].end();
    assert!(bench.smmu.holds(condition));
}

#[test]
fn it_does_not_wait_for_what_began_after_the_broadcast() {
    let (mut bench, stream) = mapped();
    bench.tlbi(ALL);
    let _after = bench.ports[0].start(&read(stream, 0x1000));
    bench.dsb();
}

/// CMD_SYNC waits for it; a PE has sent no CMD_ATC_INV.
#[test]
fn it_does_not_wait_for_endpoints() {
    let (mut bench, _) = mapped();
    bench.smmu.atc_invalidation_begun();
    bench.tlbi(ALL);
    bench.dsb();
    bench.issue([0x46, 0]);
    assert!(matches!(bench.pump(), Progress::Pending(_)));
}

#[test]
fn a_walk_that_a_broadcast_overtook_fills_nothing() {
    let (mut bench, stream) = mapped();
    let transaction = read(stream, 0x1000);
    let mut walk = bench.ports[0].start(&transaction);
    let mut answer = Answer::Start;
    let mut outcome = loop {
        match walk.step(answer) {
            Step::Need(request) => {
                if matches!(request, Request::Fill { .. }) {
                    bench.tlbi(ALL);
                }
                let here = bench.ports[0].answer(&request);
                answer = here.or_else(|| serve_memory(&bench.memory, &request)).expect("an answer");
            }
            Step::Wait(condition) => panic!("waits for {condition:?}"),
            Step::Done(outcome) => break outcome,
        }
    };
    bench.ports[0].finish(&walk, &mut outcome);
    bench.ports[0].end();
    assert_eq!(output(outcome), Pa(0x8000));
    assert_eq!(bench.smmu.tlb_entries(), []);
}

#[test]
fn what_it_did_is_told() {
    let (mut bench, stream) = mapped();
    let _ = bench.dma(&read(stream, 0x1000));
    bench.tlbi(ALL);
    let (sync, _) = begin_dsb(&bench.smmu);
    bench.tlbi(ALL);
    bench.smmu.broadcast_synchronised(&sync, &mut bench.background);
    let told = bench.background.0.iter().map(|(origin, observation)| match *observation {
        Observation::Invalidated { dropped, by: Maintenance::Broadcast, .. } => {
            (origin.begin, Some(dropped))
        }
        Observation::BroadcastSynchronised => (origin.begin, None),
        other => panic!("{other:?}"),
    });
    let expected = [(Epoch(1), Some(1)), (Epoch(2), Some(0)), (Epoch(1), None)];
    assert_eq!(told.collect::<Vec<_>>(), expected, "the DSB began before the second broadcast");
}

/// A PE and an SMMU on one interconnect, without anything between them.
struct Interconnect<'a> {
    board: Board<'a>,
    smmu: &'a Smmu,
    background: RefCell<Log>,
}

impl Platform for Interconnect<'_> {
    type Memory = Faulting<Ram>;

    fn memory(&self) -> &Self::Memory {
        self.board.memory()
    }

    fn mmio_read(&self, _: Pa, _: u8) -> u64 {
        0
    }

    fn mmio_write(&self, _: Pa, _: u8, _: u64) {}

    fn tlbi(&self, tlbi: &BroadcastTlbi) {
        self.smmu.broadcast(tlbi, &mut *self.background.borrow_mut());
    }

    fn broadcast_sync(&self) {
        let (sync, condition) = begin_dsb(self.smmu);
        assert!(self.smmu.holds(condition), "nothing is in flight");
        self.smmu.broadcast_synchronised(&sync, &mut *self.background.borrow_mut());
    }

    fn now_ns(&self) -> u64 {
        0
    }

    fn advance_to(&self, _: u64) {}

    fn promise(&self, _: smmu_arch::Promise) {}
}

/// What the kernel of a PE does when a process gives a page back: store, TLBI VALE1IS, DSB.
#[test]
fn a_page_that_a_process_gives_back_is_gone_after_tlbi_and_dsb() {
    let (mut bench, stream) = mapped();
    common::spaces::edit_cd(&bench, stream, |cd| cd.aset = false);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0x8000));
    bench.unmap(Space { kind: Kind::Stage1, vmid: 0, asid: 1 }, 0x1000, 0x1000);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0x8000), "stale, and legal");

    let board = Board(&bench.memory);
    let background = RefCell::default();
    let platform = Interconnect { board, smmu: &bench.smmu, background };
    let cpu = DirectCpu::new(&platform);
    let pe = PeContext { vmid: Vmid(0), host: false };
    let tlbi = BroadcastTlbi::of(TlbiInstruction::Vale1Is, 1 << 48 | 1, &pe);
    cpu.tlbi(tlbi.expect("an address"));
    cpu.dsb();

    assert_eq!(bench.refusal(&read(stream, 0x1000)).0, "F_TRANSLATION");
}
