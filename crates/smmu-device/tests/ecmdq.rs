//! Enhanced Command queues. Section "Enhanced Command queue interfaces".

mod common;

use common::{Bench, MSI, Setup, Space, at, check_with, read};
use smmu_arch::{CommandQueueId, Observation, Pa};
use smmu_bus::InterruptLine;
use smmu_device::Progress;
use smmu_tables::Prot;

const NSNH_ALL: [u64; 2] = [0x30, 0];
const SYNC: [u64; 2] = [0x46, 0];
const EN: u32 = 1 << 31;
const ERR: u32 = 1 << 23;

/// Two pages of four queues, with MSIs and coherent accesses as IDR1.ECMDQ requires.
fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.ids.idr0 |= 1 << 4 | 1 << 13;
    setup.ids.idr1 |= 1 << 31;
    setup.ids.idr6 = 1 << 24 | 2 << 16;
    setup
}

/// The registers of a queue, and its ring of 16 entries.
const fn registers(queue: u64) -> u64 {
    0x3_0000 + queue * 0x4000
}

const fn ring(queue: u64) -> Pa {
    Pa(0x8005_0000 + queue * 0x1000)
}

fn enable(bench: &Bench, queue: u64) {
    bench.write64(registers(queue), ring(queue).0 | 4);
    bench.write(registers(queue) + 8, EN);
}

fn issue(bench: &Bench, queue: u64, words: [u64; 2]) {
    let prod = bench.read(registers(queue) + 8);
    bench.store(ring(queue).offset(u64::from(prod & 0xf) * 16), &words);
    bench.write(registers(queue) + 8, prod & !0xf_ffff | ((prod & 0xf_ffff) + 1) & 0x1f);
}

fn cons(bench: &Bench, queue: u64) -> u32 {
    bench.read(registers(queue) + 0xc)
}

#[test]
fn page_0_says_where_the_control_pages_are() {
    let bench = Bench::with(setup());
    assert_eq!(bench.read64(0x4000), 0x3_0003);
    assert_eq!(bench.read64(0x4020), 0x4_0003);
    assert_eq!(bench.read(0x4024), 0, "the upper half");
    assert_eq!((bench.read(0x4008), bench.read(0x400c)), (1, 1));
    assert_eq!(bench.read64(0x4040), 0, "there are two pages");
    bench.write64(0x4000, u64::MAX);
    assert_eq!(bench.read64(0x4000), 0x3_0003);
}

#[test]
fn without_the_feature_nothing_stands_there() {
    let bench = Bench::new();
    enable(&bench, 0);
    assert_eq!((bench.read64(0x4000), bench.read(registers(0) + 8)), (0, 0));
}

#[test]
fn a_queue_runs_by_its_own_enable() {
    let mut bench = Bench::with(setup());
    bench.write(at::CR0, 1); // neither CMDQEN nor EVENTQEN
    enable(&bench, 5);
    assert_eq!(cons(&bench, 5), EN, "ENACK");
    issue(&bench, 5, NSNH_ALL);
    issue(&bench, 5, SYNC);
    assert_eq!(bench.pump(), Progress::Idle);
    assert_eq!(cons(&bench, 5), EN | 2);
    let sync = Observation::Synchronised(CommandQueueId::Enhanced(5));
    assert!(bench.background.0.iter().any(|(_, observation)| *observation == sync));
    // Disabled, it rests.
    bench.write(registers(5) + 8, 3);
    assert_eq!(cons(&bench, 5), 2);
    bench.pump();
    assert_eq!(cons(&bench, 5), 2);
}

#[test]
fn base_and_consumer_index_are_guarded_by_the_enable() {
    let bench = Bench::with(setup());
    enable(&bench, 0);
    bench.write64(registers(0), 0x1234_5678_0000);
    bench.write(registers(0) + 0xc, 7);
    assert_eq!(bench.read64(registers(0)), ring(0).0 | 4);
    assert_eq!(cons(&bench, 0), EN);
    bench.write(registers(0) + 8, 0);
    bench.write(registers(0), 0x9000_0005);
    bench.write(registers(0) + 0xc, 7);
    assert_eq!(bench.read64(registers(0)), 0x9000_0005, "half a base");
    assert_eq!(cons(&bench, 0), 7);
    // Two registers are not one of 64 bits.
    assert_eq!(bench.read64(registers(0) + 8), 0);
}

#[test]
fn an_error_stops_its_queue_only_and_is_acknowledged_by_errack() {
    let mut bench = Bench::with(setup());
    bench.write(at::IRQ_CTRL, 1);
    (0..2).for_each(|queue| enable(&bench, queue));
    [NSNH_ALL, [0xff, 0], SYNC].into_iter().for_each(|words| issue(&bench, 0, words));
    [NSNH_ALL, SYNC].into_iter().for_each(|words| issue(&bench, 1, words));
    bench.pump();
    assert_eq!(cons(&bench, 0), EN | 1 << 24 | ERR | 1, "CERROR_ILL, CONS at the command");
    assert_eq!(cons(&bench, 1), EN | 2);
    assert_eq!(bench.read(at::GERROR), 1 << 9, "CMDQP_ERR");
    assert_eq!(bench.command_error(), None, "the main queue has none");
    assert_eq!(bench.pulses.lines, [InterruptLine::GlobalError]);
    // The command is repaired; the acknowledge restarts the queue.
    bench.store(ring(0).offset(16), &NSNH_ALL);
    bench.pump();
    assert_eq!(cons(&bench, 0) & 0xf_ffff, 1);
    bench.write(registers(0) + 8, EN | ERR | 3);
    bench.write(at::GERRORN, 1 << 9);
    bench.pump();
    assert_eq!(cons(&bench, 0) & 0xf_ffff, 3);
    // The next error toggles back.
    issue(&bench, 0, [0xff, 0]);
    bench.pump();
    assert_eq!(cons(&bench, 0) & ERR, 0);
    assert_eq!(bench.read(at::GERROR), 0, "toggled: active again");
}

#[test]
fn a_sync_that_waits_holds_up_its_own_queue_only() {
    let mut bench = Bench::with(setup());
    let space = Space { kind: common::Kind::Stage1, vmid: 1, asid: 7 };
    bench.map(space, 0x1000, 0x8000, 0x1000, Prot::READ);
    let stream = bench.stream_of(space);
    (0..2).for_each(|queue| enable(&bench, queue));
    let memory = &bench.memory;
    bench.ports[0].translate(memory, &read(stream, 0x1000)).expect("mapped"); // and stays in flight
    [NSNH_ALL, SYNC, NSNH_ALL].into_iter().for_each(|words| issue(&bench, 0, words));
    [NSNH_ALL, NSNH_ALL].into_iter().for_each(|words| issue(&bench, 1, words));
    assert!(matches!(bench.pump(), Progress::Pending(_)));
    assert_eq!((cons(&bench, 0), cons(&bench, 1)), (EN | 1, EN | 2));
    issue(&bench, 1, SYNC);
    bench.issue(SYNC);
    assert!(matches!(bench.pump(), Progress::Pending(_)), "three of them wait by now");
    bench.ports[0].end();
    assert_eq!(bench.pump(), Progress::Idle);
    assert_eq!((cons(&bench, 0), cons(&bench, 1)), (EN | 3, EN | 3));
    assert_eq!(bench.read(at::CMDQ_CONS), 1);
}

#[test]
fn a_queue_that_is_disabled_at_work_acknowledges_when_the_command_is_consumed() {
    let mut bench = Bench::with(setup());
    enable(&bench, 0);
    let stream = 3; // no valid STE: a record is left, and the transaction stays in flight
    let _ = bench.ports[0].translate(&bench.memory, &read(stream, 0x1000));
    [NSNH_ALL, SYNC].into_iter().for_each(|words| issue(&bench, 0, words));
    assert!(matches!(bench.pump(), Progress::Pending(_)));
    bench.write(registers(0) + 8, 2);
    assert_eq!(cons(&bench, 0), EN | 1, "ENACK stays");
    bench.ports[0].end();
    bench.pump();
    assert_eq!(cons(&bench, 0), 2);
}

#[test]
fn a_sync_can_send_an_msi() {
    let mut bench = Bench::with(setup());
    enable(&bench, 3);
    issue(&bench, 3, [0x46 | 1 << 12 | 0xbeef << 32, MSI.0]);
    bench.pump();
    assert_eq!(bench.load(MSI), 0xbeef);
}

#[test]
fn the_main_queue_works_beside_them() {
    check_with(
        setup(),
        "map asid=7 0x1000 -> 0x8000
         dma asid=7 0x1000 => 0x8000 walk
         cmd TLBI_NH_ASID asid=7; CMD_SYNC
         dma asid=7 0x1000 => 0x8000 walk",
    );
}
