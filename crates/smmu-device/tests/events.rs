//! The Event queue: order, overflow, errors, interrupts. Section "Event queue".

mod common;

use common::{Bench, CMDQEN, EVENTQEN, EVENTS, MSI, SMMUEN, Setup, at, read};
use smmu_arch::{Event, Observation};
use smmu_bus::{Actor, Answer, InterruptLine, Step, serve_memory};
use smmu_device::WorkOutcome;
use smmu_testpoint::testpoint;

/// Leaves one record: C_BAD_STE of a stream.
fn fault(bench: &mut Bench, stream: u32) {
    let _ = bench.dma(&read(stream, 0));
    bench.pump();
}

fn streams_in_order(bench: &mut Bench) -> Vec<u32> {
    std::iter::from_fn(|| bench.event()).map(|event: Event| event.stream.0).collect()
}

fn small() -> Bench {
    Bench::with(Setup { eventq_log2: 1, ..Setup::default() })
}

#[test]
fn records_come_in_order_and_the_queue_wraps() {
    let mut bench = small();
    for round in 0..5 {
        fault(&mut bench, 2 * round);
        fault(&mut bench, 2 * round + 1);
        assert_eq!(streams_in_order(&mut bench), [2 * round, 2 * round + 1]);
    }
}

#[test]
fn a_queue_of_one_entry_works() {
    let mut bench = Bench::with(Setup { eventq_log2: 0, ..Setup::default() });
    for stream in 0..4 {
        fault(&mut bench, stream);
        assert_eq!(streams_in_order(&mut bench), [stream]);
    }
}

#[test]
fn a_record_is_in_memory_before_prod_moves_and_prod_before_the_interrupt() {
    let mut bench = Bench::new();
    bench.write64(at::EVENTQ_IRQ_CFG0, MSI.0);
    bench.write(at::EVENTQ_IRQ_CFG1, 5);
    bench.write(at::IRQ_CTRL, 0b100);
    let _ = bench.dma(&read(9, 0));
    let mut steps = Vec::new();
    while let Some(mut work) = bench.smmu.work(&mut ()) {
        let mut answer = Answer::Start;
        let outcome: WorkOutcome = loop {
            match work.step(answer) {
                Step::Need(request) => {
                    let served = serve_memory(&bench.memory, &request);
                    answer = served.unwrap_or(Answer::Done);
                    let record = bench.load(EVENTS) != 0;
                    steps.push((record, bench.read(at::EVENTQ_PROD), bench.load(MSI)));
                }
                Step::Done(outcome) => break outcome,
                Step::Wait(_) => unreachable!(),
            }
        };
        bench.smmu.complete(&outcome, &mut ());
    }
    // The record, then the MSI, then the wire.
    assert_eq!(steps, [(true, 0, 0), (true, 1, 5), (true, 1, 5)]);
    testpoint!(55);
}

#[test]
fn the_interrupt_is_for_empty_to_non_empty() {
    let mut bench = Bench::new();
    bench.write(at::IRQ_CTRL, 0b100);
    fault(&mut bench, 1);
    fault(&mut bench, 2);
    assert_eq!(bench.pulses.lines, [InterruptLine::EventQueue]);
    streams_in_order(&mut bench);
    fault(&mut bench, 3);
    assert_eq!(bench.pulses.lines.len(), 2);
    assert_eq!(bench.read(at::GERROR), 0, "EVENTQ_IRQ_CFG0.ADDR = 0: no MSI went out");
    testpoint!(56, 57);
}

#[test]
fn no_interrupt_without_its_enable_and_none_for_a_queue_that_is_not_empty_when_it_is_set() {
    let mut bench = Bench::new();
    fault(&mut bench, 1);
    bench.write(at::IRQ_CTRL, 0b100);
    fault(&mut bench, 2);
    assert!(bench.pulses.lines.is_empty());
}

#[test]
fn an_aborted_msi_is_a_global_error_and_the_record_stays() {
    let mut bench = Bench::new();
    bench.write64(at::EVENTQ_IRQ_CFG0, 0x1000); // no memory there
    bench.write(at::IRQ_CTRL, 0b100);
    fault(&mut bench, 1);
    assert_eq!(bench.read(at::GERROR), 1 << 5);
    assert_eq!(streams_in_order(&mut bench), [1]);
    testpoint!(58);
}

/// The example of the specification's section on queue arithmetic.
#[test]
fn an_overflow_is_flagged_once_until_it_is_acknowledged() {
    let mut bench = small();
    (1..=5).for_each(|stream| fault(&mut bench, stream));
    assert_eq!(bench.read(at::EVENTQ_PROD), 1 << 31 | 2, "OVFLG, full");
    // Space, even without an acknowledge, lets records in again.
    bench.write(at::EVENTQ_CONS, 1);
    fault(&mut bench, 6);
    assert_eq!(bench.read(at::EVENTQ_PROD), 1 << 31 | 3);
    // Not acknowledged: no second toggle.
    fault(&mut bench, 7);
    assert_eq!(bench.read(at::EVENTQ_PROD), 1 << 31 | 3);
    bench.write(at::EVENTQ_CONS, 1 << 31 | 1);
    fault(&mut bench, 8);
    assert_eq!(bench.read(at::EVENTQ_PROD), 3, "OVFLG toggles back");
    testpoint!(194, 195, 196);
}

#[test]
fn records_of_a_disabled_queue_are_lost_without_overflow() {
    let mut bench = Bench::new();
    bench.write(at::CR0, SMMUEN | CMDQEN);
    fault(&mut bench, 1);
    assert_eq!(bench.read(at::EVENTQ_PROD), 0);
    assert!(matches!(bench.background.0[..], [(_, Observation::EventLost(_))]));
    bench.write(at::CR0, SMMUEN | EVENTQEN);
    fault(&mut bench, 2);
    assert_eq!(streams_in_order(&mut bench), [2]);
    testpoint!(69);
}

#[test]
fn an_abort_of_the_write_stops_the_queue_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    bench.memory.fail(EVENTS, 32);
    fault(&mut bench, 1);
    assert_eq!((bench.read(at::GERROR), bench.read(at::EVENTQ_PROD)), (1 << 2, 0));
    bench.memory.repair_all();
    fault(&mut bench, 2);
    assert_eq!(bench.read(at::EVENTQ_PROD), 0, "EVENTQ_ABT_ERR is active");
    bench.write(at::GERRORN, 1 << 2);
    fault(&mut bench, 3);
    assert_eq!(streams_in_order(&mut bench), [3]);
    let lost = bench.background.0.iter().filter(|(_, o)| matches!(o, Observation::EventLost(_)));
    assert_eq!(lost.count(), 2);
    testpoint!(197);
}

#[test]
fn inconsistent_indexes_count_as_full() {
    let mut bench = small();
    bench.write(at::EVENTQ_CONS, 1); // ahead of PROD
    fault(&mut bench, 1);
    assert_eq!(bench.read(at::EVENTQ_PROD), 1 << 31);
}
