//! Registers: what reads, what writes change, guards, acknowledges. Chapter "Memory map and
//! registers".

mod common;

use common::{
    Bench, CMDQEN, COMMANDS, EVENTQEN, EVENTS, SMMUEN, STREAM_TABLE, Setup, at, attributes, output,
    read, write,
};
use smmu_arch::{Attributes, MemoryType, Pa, Shareability, Transaction};
use smmu_bus::Mmio;
use smmu_device::WorkOutcome;
use smmu_testpoint::testpoint;

fn after_reset() -> Bench {
    Bench::after_reset(Setup::default())
}

#[test]
fn id_registers_read_as_configured_and_ignore_writes() {
    let bench = after_reset();
    for (offset, value) in [(0x00, 0x094c_721b), (0x04, 0x0e73_0410), (0x14, 0x75), (0x1c, 2)] {
        assert_eq!(bench.read(offset), value);
        bench.write(offset, !value);
        assert_eq!(bench.read(offset), value);
    }
    assert_eq!([0xff0, 0xff4, 0xff8, 0xffc].map(|at| bench.read(at)), [0x0d, 0xf0, 0x05, 0xb1]);
    testpoint!(1);
}

#[test]
fn reset_leaves_everything_disabled() {
    let bench = after_reset();
    for offset in [at::CR0, at::CR0ACK, at::IRQ_CTRL, at::GERROR, at::GERRORN] {
        assert_eq!(bench.read(offset), 0);
    }
    testpoint!(3);
}

#[test]
fn what_is_no_register_reads_as_zero_and_ignores_writes() {
    let bench = after_reset();
    for offset in [0x4c, 0x1000, 0xfffc, 0x1_0000, 0x1_fff8, 0x2_0000, u64::MAX - 7] {
        for bytes in [4, 8] {
            bench.smmu.mmio_write(offset, bytes, u64::MAX);
            assert_eq!(bench.smmu.mmio_read(offset, bytes), 0, "{offset:#x}");
        }
    }
}

#[test]
fn accesses_of_a_wrong_size_or_place_are_ignored() {
    let bench = after_reset();
    bench.write64(at::CMDQ_BASE, COMMANDS.0 | 6);
    for (offset, bytes) in [(0x90, 1), (0x90, 2), (0x92, 4), (0x94, 8), (0x98, 8), (0x90, 16)] {
        bench.smmu.mmio_write(offset, bytes, u64::MAX);
        assert_eq!(bench.smmu.mmio_read(offset, bytes), 0, "{offset:#x}, {bytes} bytes");
    }
    assert_eq!(bench.read64(at::CMDQ_BASE), COMMANDS.0 | 6);
}

#[test]
fn a_64_bit_register_is_written_by_halves() {
    let bench = after_reset();
    bench.write(at::EVENTQ_BASE, 0x8000_0004);
    bench.write(at::EVENTQ_BASE + 4, 0x4000_0012);
    assert_eq!(bench.read64(at::EVENTQ_BASE), 0x4000_0012_8000_0004);
    assert_eq!(bench.read(at::EVENTQ_BASE + 4), 0x4000_0012);
    // Bits 63 and 61:48 do not exist at an OAS of 48 bits.
    bench.write(at::EVENTQ_BASE + 4, u32::MAX);
    assert_eq!(bench.read(at::EVENTQ_BASE + 4), 0x4000_ffff);
    testpoint!(12);
}

#[test]
fn registers_of_features_that_do_not_exist_are_res0() {
    let bench = after_reset();
    // PRIQ_BASE, PRIQ_IRQ_CFG0, GATOS_CTRL, PRIQ_CONS.
    for offset in [0xc0, 0xd0, 0x100, 0x1_00cc] {
        bench.write(offset, u32::MAX);
        assert_eq!(bench.read(offset), 0, "{offset:#x}");
    }
    bench.write(at::CR0, u32::MAX);
    assert_eq!(bench.read(at::CR0), SMMUEN | EVENTQEN | CMDQEN);
    testpoint!(2);
}

#[test]
fn the_indexes_of_the_event_queue_are_in_page_1_alone() {
    let bench = after_reset();
    bench.write(0xa8, 3);
    bench.write(at::EVENTQ_PROD, 5);
    assert_eq!((bench.read(0xa8), bench.read(at::EVENTQ_PROD)), (0, 5));
}

/// (register, an enable of CR0 that guards it)
#[test]
fn guarded_registers_ignore_writes_while_the_enable_is_set() {
    let guarded = [
        (at::STRTAB_BASE, SMMUEN, STREAM_TABLE.0 as u32),
        (at::STRTAB_BASE_CFG, SMMUEN, 8),
        (at::CR2, SMMUEN, 2),
        (at::CMDQ_BASE, CMDQEN, COMMANDS.0 as u32 | 6),
        (at::CMDQ_CONS, CMDQEN, 0),
        (at::EVENTQ_BASE, EVENTQEN, EVENTS.0 as u32 | 4),
        (at::EVENTQ_PROD, EVENTQEN, 0),
    ];
    for (offset, enable, value) in guarded {
        let bench = Bench::new();
        let other = value ^ if offset == at::STRTAB_BASE { 0x40 } else { 1 };
        bench.write(offset, other);
        assert_eq!(bench.read(offset), value, "{offset:#x}");
        bench.write(at::CR0, (SMMUEN | EVENTQEN | CMDQEN) & !enable);
        bench.write(offset, other);
        assert_eq!(bench.read(offset), other, "{offset:#x} without its enable");
    }
    testpoint!(5, 6, 7, 8, 9);
}

#[test]
fn cr1_is_guarded_field_by_field() {
    let bench = Bench::new();
    bench.write(at::CR1, u32::MAX);
    assert_eq!(bench.read(at::CR1), 0);
    bench.write(at::CR0, EVENTQEN);
    bench.write(at::CR1, u32::MAX);
    assert_eq!(bench.read(at::CR1), 0xfc0, "TABLE fields alone");
    bench.write(at::CR0, SMMUEN);
    bench.write(at::CR1, 0x03f);
    assert_eq!(bench.read(at::CR1), 0xfff, "QUEUE fields alone");
    testpoint!(9);
}

#[test]
fn irq_cfg_is_guarded_by_its_enable() {
    let bench = after_reset();
    bench.write(at::IRQ_CTRL, 0b001);
    assert_eq!(bench.read(at::IRQ_CTRLACK), 0b001);
    bench.write64(at::GERROR_IRQ_CFG0, 0x1000);
    bench.write64(at::EVENTQ_IRQ_CFG0, 0x2000);
    assert_eq!((bench.read(at::GERROR_IRQ_CFG0), bench.read(at::EVENTQ_IRQ_CFG0)), (0, 0x2000));
    bench.write(at::IRQ_CTRL, 0b100);
    bench.write64(at::GERROR_IRQ_CFG0, 0x1000);
    bench.write64(at::EVENTQ_IRQ_CFG0, 0x3000);
    let targets = (bench.read(at::GERROR_IRQ_CFG0), bench.read(at::EVENTQ_IRQ_CFG0));
    assert_eq!(targets, (0x1000, 0x2000));
    testpoint!(14);
}

#[test]
fn enables_are_acknowledged_at_once() {
    let bench = Bench::new();
    assert_eq!(bench.read(at::CR0ACK), SMMUEN | EVENTQEN | CMDQEN);
    testpoint!(2);
}

#[test]
fn smmuen_0_is_acknowledged_when_the_transactions_before_have_ended() {
    let mut bench = Bench::new();
    let _before = bench.ports[0].start(&read(1, 0));
    bench.write(at::CR0, 0);
    assert_eq!(bench.read(at::CR0ACK), SMMUEN);
    // One that begins later does not hold it back, and is a bypass already.
    let later = bench.ports[1].translate(&bench.memory, &read(1, 0x5000));
    assert_eq!(output(later), Pa(0x5000));
    bench.write(at::CR2, 1);
    assert_eq!(bench.read(at::CR2), 2, "still guarded");
    bench.ports[0].end();
    assert_eq!(bench.read(at::CR0ACK), 0);
    bench.write(at::CR2, 1);
    assert_eq!(bench.read(at::CR2), 1);
}

#[test]
fn cmdqen_0_is_acknowledged_when_the_command_under_way_is_consumed() {
    let mut bench = Bench::new();
    bench.issue([0x30, 0]);
    let mut work = bench.smmu.work(&mut ()).expect("a command");
    bench.write(at::CR0, 0);
    assert_eq!(bench.read(at::CR0ACK), CMDQEN);
    bench.write(at::CMDQ_CONS, 7);
    assert_eq!(bench.read(at::CMDQ_CONS), 0, "still guarded");
    finish(&mut bench, &mut work);
    assert_eq!((bench.read(at::CR0ACK), bench.read(at::CMDQ_CONS)), (0, 1));
}

#[test]
fn eventqen_0_is_acknowledged_when_the_record_under_way_is_written() {
    let mut bench = Bench::new();
    let _ = bench.dma(&read(1, 0));
    let mut work = bench.smmu.work(&mut ()).expect("a record");
    bench.write(at::CR0, 0);
    assert_eq!(bench.read(at::CR0ACK), EVENTQEN);
    finish(&mut bench, &mut work);
    assert_eq!((bench.read(at::CR0ACK), bench.read(at::EVENTQ_PROD)), (0, 1));
}

#[test]
fn eventq_irqen_0_is_acknowledged_when_the_interrupt_is_out() {
    let mut bench = Bench::new();
    bench.write(at::IRQ_CTRL, 0b100);
    let _ = bench.dma(&read(1, 0));
    let mut work = bench.smmu.work(&mut ()).expect("a record");
    finish(&mut bench, &mut work);
    bench.write(at::IRQ_CTRL, 0);
    assert_eq!(bench.read(at::IRQ_CTRLACK), 0b100);
    bench.pump();
    assert_eq!(bench.read(at::IRQ_CTRLACK), 0);
    testpoint!(60);
}

fn finish(bench: &mut Bench, work: &mut smmu_device::Work) {
    use smmu_bus::{Actor, Answer, Step, serve_memory};
    let mut answer = Answer::Start;
    let outcome: WorkOutcome = loop {
        match work.step(answer) {
            Step::Need(request) => {
                let origin = bench.smmu.background_origin();
                let here = bench.smmu.answer(&origin, &request, &mut ());
                answer = here.or_else(|| serve_memory(&bench.memory, &request)).expect("answered");
            }
            Step::Done(outcome) => break outcome,
            Step::Wait(_) => answer = Answer::Resumed,
        }
    };
    bench.smmu.complete(&outcome, &mut ());
}

#[test]
fn gbpa_changes_by_a_write_with_update_alone() {
    let bench = after_reset();
    bench.write(at::GBPA, 1 << 20);
    assert_eq!(bench.read(at::GBPA), 0);
    bench.write(at::GBPA, 1 << 31 | 1 << 20);
    assert_eq!(bench.read(at::GBPA), 1 << 20, "Update is done at once");
    testpoint!(4, 10, 11);
}

#[test]
fn gbpa_abort_aborts_in_silence() {
    let mut bench = after_reset();
    bench.write64(at::EVENTQ_BASE, EVENTS.0 | 4);
    bench.write(at::CR0, EVENTQEN);
    assert_eq!(output(bench.dma(&read(1, 0x1234))), Pa(0x1234));
    bench.write(at::GBPA, 1 << 31 | 1 << 20);
    assert_eq!(bench.refusal(&read(1, 0x1234)), ("silent".to_owned(), None));
    testpoint!(61, 62);
}

#[test]
fn a_bypass_beyond_the_oas_aborts_in_silence() {
    let mut bench = after_reset();
    bench.write64(at::EVENTQ_BASE, EVENTS.0 | 4);
    bench.write(at::CR0, EVENTQEN);
    assert_eq!(output(bench.dma(&read(1, (1 << 48) - 1))), Pa((1 << 48) - 1));
    assert_eq!(bench.refusal(&read(1, 1 << 48)), ("silent".to_owned(), None));
    testpoint!(63);
}

#[test]
fn gbpa_ignores_a_substream_id() {
    let mut bench = after_reset();
    let transaction = common::with_substream(read(1, 0x1234), 5);
    assert_eq!(output(bench.dma(&transaction)), Pa(0x1234));
    testpoint!(64);
}

/// (GBPA without Update, the attributes of what passes)
#[test]
fn gbpa_overrides_type_and_shareability() {
    let incoming = 1 << 12; // SHCFG = 1
    let rows = [
        (incoming, Attributes::DEFAULT),
        (0, Attributes::DEFAULT), // Non-shareable
        (3 << 12, Attributes { shareability: Shareability::Inner, ..Attributes::DEFAULT }),
        (incoming | 1 << 4 | 1, device(0x04)),
        (3 << 12 | 1 << 4 | 5, Attributes { memory: MemoryType::NORMAL_NC, ..device(0) }),
        (incoming | 1, Attributes::DEFAULT), // MTCFG = 0
        // PRIVCFG, INSTCFG: nothing.
        (incoming | 3 << 16 | 3 << 18, Attributes::DEFAULT),
    ];
    for (gbpa, expected) in rows {
        let mut bench = after_reset();
        bench.write(at::GBPA, 1 << 31 | gbpa);
        assert_eq!(attributes(bench.dma(&write(1, 0x1234))), expected, "{gbpa:#x}");
    }
}

#[test]
fn without_attr_types_ovr_gbpa_overrides_nothing() {
    let mut setup = Setup::default();
    setup.ids.idr1 &= !(1 << 27);
    let mut bench = Bench::after_reset(setup);
    bench.write(at::GBPA, 1 << 31 | 2 << 12 | 1 << 4);
    assert_eq!(attributes(bench.dma(&read(1, 0x1234))), Attributes::DEFAULT);
}

fn device(memory: u8) -> Attributes {
    Attributes { memory: MemoryType(memory), shareability: Shareability::Outer }
}

/// SMMUEN going to 1 drops nothing: software invalidates.
#[test]
fn caches_survive_smmuen() {
    let mut bench = Bench::new();
    bench.store(common::spaces::ste_at(1), &[1 | 4 << 1]);
    let stream: Transaction = read(1, 0x40);
    assert_eq!(output(bench.dma(&stream)), Pa(0x40));
    bench.write(at::CR0, 0);
    bench.store(common::spaces::ste_at(1), &[0]);
    bench.write(at::CR0, SMMUEN);
    assert_eq!(output(bench.dma(&stream)), Pa(0x40));
}
