//! CMD_SYNC: what it waits for and how it is told. Section "CMD_SYNC".

mod common;

use common::spaces::ste_at;
use common::{Bench, Kind, MSI, Setup, Space, at, output, read};
use smmu_arch::{Observation, Pa};
use smmu_bus::{Actor, Answer, InterruptLine, Memory, Step, serve_memory};
use smmu_device::Progress;
use smmu_tables::Prot;
use smmu_testpoint::testpoint;

const NSNH_ALL: [u64; 2] = [0x30, 0];
const SYNC: [u64; 2] = [0x46, 0];

/// CMD_SYNC with CS, MSIData and MSIAddress.
const fn sync(cs: u64, data: u32, address: u64) -> [u64; 2] {
    [0x46 | cs << 12 | (data as u64) << 32, address]
}

/// A bench with one mapped stream.
fn mapped() -> (Bench, u32) {
    let mut bench = Bench::new();
    let space = Space { kind: Kind::Stage1, vmid: 0, asid: 1 };
    bench.map(space, 0x1000, 0x8000, 0x1000, Prot::READ_WRITE);
    let stream = bench.stream_of(space);
    (bench, stream)
}

fn is_pending(progress: Progress) -> bool {
    matches!(progress, Progress::Pending(_))
}

#[test]
fn it_waits_for_a_walk_in_flight() {
    let (mut bench, stream) = mapped();
    let _walk = bench.ports[0].start(&read(stream, 0x1000));
    bench.issue(NSNH_ALL);
    bench.issue(SYNC);
    assert!(is_pending(bench.pump()));
    assert_eq!(bench.read(at::CMDQ_CONS), 1, "the TLBI is consumed, the CMD_SYNC is not");
    bench.ports[0].end();
    assert_eq!(bench.pump(), Progress::Idle);
    assert_eq!(bench.read(at::CMDQ_CONS), 2);
}

#[test]
fn it_waits_for_a_hit_whose_access_was_not_made_yet() {
    let (mut bench, stream) = mapped();
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0x8000));
    let hit = bench.ports[0].translate(&bench.memory, &read(stream, 0x1000));
    assert_eq!(output(hit), Pa(0x8000));
    bench.issue(NSNH_ALL);
    bench.issue(SYNC);
    assert!(is_pending(bench.pump()));
    bench.ports[0].end();
    assert_eq!(bench.pump(), Progress::Idle);
}

#[test]
fn it_does_not_wait_for_what_began_after_the_commands_ahead_took_effect() {
    let (mut bench, stream) = mapped();
    let _before = bench.ports[0].start(&read(stream, 0x1000));
    bench.issue(NSNH_ALL);
    bench.issue(SYNC);
    assert!(is_pending(bench.pump()));
    let _after = bench.ports[1].start(&read(stream, 0x1000));
    assert!(is_pending(bench.pump()));
    bench.ports[0].end();
    assert_eq!(bench.pump(), Progress::Idle, "the one in flight began later");
}

#[test]
fn a_later_sync_waits_for_what_an_earlier_one_did_not() {
    let (mut bench, stream) = mapped();
    bench.command(NSNH_ALL);
    let _between = bench.ports[0].start(&read(stream, 0x1000));
    bench.issue(NSNH_ALL);
    bench.issue(SYNC);
    assert!(is_pending(bench.pump()));
    bench.ports[0].end();
    assert_eq!(bench.pump(), Progress::Idle);
}

#[test]
fn later_commands_do_not_start_before_it_completes() {
    let (mut bench, stream) = mapped();
    let _walk = bench.ports[0].start(&read(stream, 0x1000));
    [NSNH_ALL, SYNC, NSNH_ALL].into_iter().for_each(|words| bench.issue(words));
    assert!(is_pending(bench.pump()));
    assert!(is_pending(bench.pump()), "however often it is asked");
    assert_eq!(bench.read(at::CMDQ_CONS), 1);
    bench.ports[0].end();
    assert_eq!(bench.pump(), Progress::Idle);
    assert_eq!(bench.read(at::CMDQ_CONS), 3);
}

/// A record of a transaction that was terminated before is in the queue when the CMD_SYNC is done.
#[test]
fn records_are_in_the_queue_before_it_completes() {
    let (mut bench, _) = mapped();
    let _ = bench.dma(&read(1, 0));
    bench.issue(SYNC);
    bench.pump();
    let order: Vec<&Observation> = bench.background.0.iter().map(|(_, o)| o).collect();
    assert!(matches!(order[..], [Observation::EventRecorded(_), Observation::Synchronised(_)]));
    testpoint!(53);
}

/// Regression: the record was discarded, which was all that was waited for, and nobody looked again.
#[test]
fn a_discarded_record_does_not_leave_it_waiting() {
    let (mut bench, _) = mapped();
    bench.write(at::CR0, common::SMMUEN | common::CMDQEN); // EVENTQEN = 0
    let _ = bench.ports[0].translate(&bench.memory, &read(1, 0));
    bench.issue(NSNH_ALL);
    bench.issue(SYNC);
    // The record of another port's transaction is still to be discarded when the last one ends.
    assert!(is_pending(bench.pump()));
    let _ = bench.dma_at(1, &read(1, 0));
    bench.ports[0].end();
    assert_eq!(bench.pump(), Progress::Idle);
}

#[test]
fn it_waits_for_a_record_under_way() {
    let (mut bench, _) = mapped();
    let _ = bench.dma(&read(1, 0));
    bench.issue(SYNC);
    let _record = bench.smmu.work(&mut ()).expect("the record");
    let mut command = bench.smmu.work(&mut ()).expect("the CMD_SYNC");
    let mut answer = Answer::Start;
    let condition = loop {
        match command.step(answer) {
            Step::Need(request) => {
                answer = serve_memory(&bench.memory, &request).expect("memory");
            }
            Step::Wait(condition) => break condition,
            Step::Done(outcome) => panic!("{outcome:?}"),
        }
    };
    assert!(!bench.smmu.holds(condition));
    testpoint!(53);
}

#[test]
fn sig_irq_writes_the_msi_and_pulses_the_wire() {
    let (mut bench, _) = mapped();
    bench.issue(sync(1, 0xcafe_f00d, MSI.0));
    bench.pump();
    assert_eq!(bench.load(MSI), 0xcafe_f00d);
    assert_eq!(bench.pulses.lines, [InterruptLine::CommandSync]);
    testpoint!(44, 46);
}

#[test]
fn an_msi_writes_four_bytes() {
    let (mut bench, _) = mapped();
    bench.store(MSI, &[u64::MAX]);
    bench.issue(sync(1, 7, MSI.0 + 4));
    bench.pump();
    assert_eq!(bench.load(MSI), 0x0000_0007_ffff_ffff);
    testpoint!(46);
}

#[test]
fn sig_irq_without_an_address_is_the_wire_alone() {
    let (mut bench, _) = mapped();
    bench.issue(sync(1, 7, 0));
    bench.pump();
    assert_eq!(bench.pulses.lines, [InterruptLine::CommandSync]);
    testpoint!(47);
}

#[test]
fn the_signal_comes_after_the_consumption() {
    let (bench, _) = mapped();
    bench.issue(sync(1, 7, MSI.0));
    while let Some(mut work) = bench.smmu.work(&mut ()) {
        let mut answer = Answer::Start;
        loop {
            match work.step(answer) {
                Step::Need(request) => {
                    let served = serve_memory(&bench.memory, &request);
                    answer = served.unwrap_or(Answer::Done);
                    if bench.memory.read_word(MSI) == Ok(7) {
                        assert_eq!(bench.read(at::CMDQ_CONS), 1);
                    }
                }
                Step::Wait(condition) => {
                    assert!(bench.smmu.holds(condition));
                    answer = Answer::Resumed;
                }
                Step::Done(outcome) => break bench.smmu.complete(&outcome, &mut ()),
            }
        }
    }
    assert_eq!(bench.load(MSI), 7);
    testpoint!(46);
}

#[test]
fn sig_sev_wakes() {
    let (mut bench, _) = mapped();
    bench.issue(sync(2, 0, 0));
    bench.pump();
    assert_eq!((bench.pulses.events, bench.pulses.lines.len()), (1, 0));
    testpoint!(49);
}

#[test]
fn sig_sev_without_idr0_sev_is_sig_none() {
    let mut setup = Setup::default();
    setup.ids.idr0 &= !(1 << 14);
    let mut bench = Bench::with(setup);
    bench.command(sync(2, 0, 0));
    assert_eq!(bench.pulses.events, 0);
    testpoint!(49);
}

#[test]
fn an_aborted_msi_is_a_global_error_and_the_sync_is_consumed() {
    let (mut bench, _) = mapped();
    bench.issue(sync(1, 7, 0x1000)); // no memory there
    bench.issue(SYNC);
    bench.pump();
    assert_eq!(bench.read(at::GERROR), 1 << 4);
    assert_eq!(bench.read(at::CMDQ_CONS), 2);
    testpoint!(50);
}

/// The MSIs of earlier CMD_SYNCs are out when a later one completes.
#[test]
fn the_msi_of_an_earlier_sync_is_written_before_a_later_one_completes() {
    let (mut bench, _) = mapped();
    bench.issue(sync(1, 1, MSI.0));
    bench.issue(sync(1, 2, MSI.0 + 8));
    bench.memory.fail(MSI, 8);
    bench.pump();
    assert_eq!((bench.load(MSI.offset(8)), bench.read(at::GERROR)), (2, 1 << 4));
    testpoint!(54);
}

/// Section "TLB invalidation": a fill is dropped if a scope that took effect since covers it.
#[test]
fn an_overtaken_fill_is_dropped_if_the_scope_covers_it() {
    // (command, the entry stays)
    let rows = [
        ([0x11 | 1 << 48, 0], false),      // TLBI_NH_ASID asid=1
        ([0x11 | 2 << 48, 0], true),       // asid=2
        ([0x12 | 1 << 48, 0x1000], false), // TLBI_NH_VA 0x1000
        ([0x12 | 1 << 48, 0x2000], true),  // 0x2000
        ([0x28, 0], false),                // TLBI_S12_VMALL vmid=0
        ([0x20, 0], true),                 // TLBI_EL2_ALL
        ([0x04, 31], true),                // CFGI_ALL
    ];
    for (words, stays) in rows {
        let (mut bench, stream) = mapped();
        let transaction = read(stream, 0x1000);
        let mut walk = bench.ports[0].start(&transaction);
        let mut answer = Answer::Start;
        // Up to the last descriptor, which is read before the invalidation.
        let mut outcome = loop {
            match walk.step(answer) {
                Step::Done(outcome) => break outcome,
                Step::Need(request) => {
                    let is_fill = matches!(request, smmu_bus::Request::Fill { .. });
                    if is_fill {
                        bench.issue(words);
                        bench.issue(SYNC);
                        assert!(is_pending(bench.pump()), "{words:x?}: it is in flight");
                    }
                    let here = bench.ports[0].answer(&request);
                    answer = here.or_else(|| serve_memory(&bench.memory, &request)).expect("one");
                }
                Step::Wait(_) => unreachable!(),
            }
        };
        bench.ports[0].finish(&walk, &mut outcome);
        assert_eq!(output(outcome), Pa(0x8000), "its own access is made all the same");
        assert!(is_pending(bench.pump()));
        bench.ports[0].end();
        assert_eq!(bench.pump(), Progress::Idle);
        assert_eq!(bench.smmu.tlb_entries().len(), usize::from(stays), "{words:x?}");
    }
}

/// An STE that CFGI_STE overtook is kept neither in the cache nor at the port.
#[test]
fn an_overtaken_ste_is_used_once_and_kept_nowhere() {
    let mut bench = Bench::new();
    bench.store(ste_at(1), &[1 | 4 << 1]); // bypass
    let transaction = read(1, 0x40);
    let mut actor = bench.ports[0].start(&transaction);
    let Step::Need(look_up) = actor.step(Answer::Start) else { panic!("a look-up") };
    let miss = bench.ports[0].answer(&look_up).expect("the cache");
    let Step::Need(fetch) = actor.step(miss) else { panic!("a fetch") };
    let old = serve_memory(&bench.memory, &fetch).expect("RAM");
    bench.store(ste_at(1), &[1]); // abort
    bench.issue([0x03 | 1 << 32, 1]);
    bench.pump();
    let Step::Need(fill) = actor.step(old) else { panic!("a fill") };
    let dropped = bench.ports[0].answer(&fill).expect("the cache");
    assert_eq!(dropped, Answer::Filled(None));
    let Step::Done(mut outcome) = actor.step(dropped) else { panic!("a bypass") };
    bench.ports[0].finish(&actor, &mut outcome);
    bench.ports[0].end();
    assert!(outcome.is_ok());
    assert_eq!(bench.refusal(&transaction).0, "silent");
}
