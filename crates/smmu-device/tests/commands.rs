//! The Command queue: order, errors, indexes. Section "Command queue".

mod common;

use common::{Bench, CMDQEN, COMMANDS, EVENTQEN, MSI, SMMUEN, Setup, at};
use smmu_arch::{Command, CommandError, Observation};
use smmu_bus::InterruptLine;
use smmu_device::Progress;
use smmu_testpoint::testpoint;

const NSNH_ALL: [u64; 2] = [0x30, 0];
const SYNC: [u64; 2] = [0x46, 0];

/// Commands that the bench has consumed or refused, as observed.
fn seen(bench: &Bench) -> Vec<String> {
    let log = bench.background.0.iter();
    log.filter_map(|(_, observation)| match observation {
        Observation::CommandConsumed(command) => Some(command.name().to_owned()),
        Observation::Synchronised(_) => Some("CMD_SYNC".to_owned()),
        Observation::CommandFailed(error) => Some(format!("CERROR {}", error.code())),
        _ => None,
    })
    .collect()
}

/// One command after an NSNH_ALL and before a CMD_SYNC gives this CMDQ_CONS.ERR.
fn check_error(setup: Setup, words: [u64; 2], expected: Option<u32>) {
    let mut bench = Bench::with(setup);
    [NSNH_ALL, words, SYNC].into_iter().for_each(|words| bench.issue(words));
    assert_eq!(bench.pump(), Progress::Idle);
    assert_eq!(bench.command_error(), expected, "{words:x?}");
    let consumed = if expected.is_some() { 1 } else { 3 };
    assert_eq!(bench.read(at::CMDQ_CONS) & 0xf_ffff, consumed, "CONS stays at the command");
    assert_eq!(bench.read(at::GERROR), u32::from(expected.is_some()));
}

#[test]
fn illegal_commands_stop_the_queue() {
    let all = Setup::default();
    let ill = Some(1);
    for opcode in [0x00, 0x08, 0x14, 0x80, 0x8f, 0xff] {
        check_error(all, [opcode, 0], ill);
    }
    for secure_only in [0x18, 0x1a, 0x50, 0x51, 0x52, 0x53, 0x58, 0x5a, 0x60] {
        check_error(all, [secure_only, 0], ill);
    }
    for ssec in [0x01, 0x02, 0x03, 0x04, 0x05, 0x06] {
        check_error(all, [ssec | 1 << 10, 0], ill);
    }
    check_error(all, [0x46 | 3 << 12, 0], ill); // CS = 3
    check_error(all, [0x12, 1 << 10], ill); // TG without NUM, SCALE, TTL
    check_error(all, [0x12, 1 << 10 | 3 << 8], None); // with TTL
    // Not implemented by REFERENCE: MPAM, ATS, PRI, stalls, DPT.
    for absent in [0x07, 0x40, 0x41, 0x44, 0x45, 0x70, 0x73] {
        check_error(all, [absent, 0], ill);
    }
    testpoint!(21, 22, 23, 24, 25, 26, 27, 31, 32, 33, 35, 281);
}

#[test]
fn commands_of_a_stage_that_does_not_exist_are_illegal() {
    let without = |bit: u32| {
        let mut setup = Setup::default();
        setup.ids.idr0 &= !(1 << bit);
        setup
    };
    for stage1 in [0x05, 0x06, 0x10, 0x11, 0x12, 0x13] {
        check_error(without(1), [stage1, 0], Some(1));
    }
    for stage2 in [0x28, 0x2a] {
        check_error(without(0), [stage2, 0], Some(1));
    }
    for el2 in [0x20, 0x21, 0x22, 0x23] {
        check_error(without(9), [el2, 0], Some(1));
    }
    check_error(without(0), [0x30, 0], None);
    testpoint!(28, 29, 30);
}

#[test]
fn legal_commands_are_consumed_and_reserved_bits_are_ignored() {
    for opcode in [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x20, 0x28, 0x30] {
        check_error(Setup::default(), [opcode | 1 << 8, 1 << 6], None);
    }
    testpoint!(43);
}

#[test]
fn an_abort_of_the_fetch_is_cerror_abt() {
    let mut bench = Bench::new();
    bench.issue(NSNH_ALL);
    bench.issue(SYNC);
    bench.memory.fail(COMMANDS.offset(16), 16);
    bench.pump();
    assert_eq!(bench.command_error(), Some(2));
    bench.memory.repair_all();
    bench.write(at::GERRORN, bench.read(at::GERROR));
    bench.pump();
    assert_eq!(seen(&bench), ["CMD_TLBI_NSNH_ALL", "CERROR 2", "CMD_SYNC"]);
    testpoint!(39);
}

#[test]
fn the_queue_restarts_when_the_error_is_acknowledged() {
    let mut bench = Bench::new();
    [[0xff, 0], SYNC].into_iter().for_each(|words| bench.issue(words));
    bench.pump();
    // Newer commands have no effect, and more of them do not restart the queue.
    bench.issue(NSNH_ALL);
    bench.pump();
    assert_eq!(seen(&bench), ["CERROR 1"]);
    // Software repairs the command in place; no PROD write is needed.
    bench.store(COMMANDS, &NSNH_ALL);
    bench.write(at::GERRORN, 1);
    bench.pump();
    assert_eq!(seen(&bench)[1..], ["CMD_TLBI_NSNH_ALL", "CMD_SYNC", "CMD_TLBI_NSNH_ALL"]);
    assert_eq!(bench.command_error(), None);
    testpoint!(36);
}

#[test]
fn every_error_toggles_gerror_anew() {
    let mut bench = Bench::new();
    for round in [1, 0, 1] {
        bench.issue([0xff, 0]);
        bench.pump();
        assert_eq!(bench.read(at::GERROR) & 1, round);
        assert_eq!(bench.command_error(), Some(1));
        let at = bench.read(at::CMDQ_CONS) & 0x3f;
        bench.store(COMMANDS.offset(u64::from(at) * 16), &NSNH_ALL);
        bench.write(at::GERRORN, bench.read(at::GERROR));
        bench.pump();
    }
    testpoint!(37, 40);
}

#[test]
fn an_error_interrupts_after_gerror_and_err_are_there() {
    let mut bench = Bench::new();
    bench.write64(at::GERROR_IRQ_CFG0, MSI.0);
    bench.write(at::GERROR_IRQ_CFG1, 0x77);
    bench.write(at::IRQ_CTRL, 1);
    bench.issue([0xff, 0]);
    bench.pump();
    assert_eq!(bench.load(MSI), 0x77);
    assert_eq!(bench.pulses.lines, [InterruptLine::GlobalError]);
    testpoint!(59);
}

#[test]
fn an_aborted_gerror_msi_is_told_without_an_interrupt() {
    let mut bench = Bench::new();
    bench.write64(at::GERROR_IRQ_CFG0, 0x1000); // no memory there
    bench.write(at::IRQ_CTRL, 1);
    bench.issue([0xff, 0]);
    bench.pump();
    assert_eq!(bench.read(at::GERROR), 1 | 1 << 7);
    assert_eq!(bench.pulses.lines, [InterruptLine::GlobalError]);
    testpoint!(59);
}

#[test]
fn the_queue_wraps() {
    let mut bench = Bench::with(Setup { cmdq_log2: 2, ..Setup::default() });
    for _ in 0..21 {
        bench.command(NSNH_ALL);
    }
    assert_eq!(bench.read(at::CMDQ_CONS), 42 & 7);
    testpoint!(19, 20);
}

#[test]
fn a_queue_of_one_entry_has_its_wrap_in_bit_0() {
    let mut bench = Bench::with(Setup { cmdq_log2: 0, ..Setup::default() });
    for round in 1..6 {
        bench.issue(NSNH_ALL);
        bench.pump();
        assert_eq!(seen(&bench).len(), round);
        assert_eq!(bench.read(at::CMDQ_CONS), round as u32 & 1);
    }
    testpoint!(16);
}

#[test]
fn prod_bits_above_the_wrap_are_ignored() {
    let mut bench = Bench::with(Setup { cmdq_log2: 2, ..Setup::default() });
    bench.write(at::CMDQ_PROD, 0xf_fff8);
    bench.pump();
    assert!(seen(&bench).is_empty());
    testpoint!(18);
}

#[test]
fn cmdqen_0_stops_the_queue_and_1_goes_on() {
    let mut bench = Bench::new();
    bench.write(at::CR0, SMMUEN | EVENTQEN);
    bench.issue(NSNH_ALL);
    bench.pump();
    assert!(seen(&bench).is_empty());
    bench.write(at::CR0, CMDQEN);
    bench.pump();
    assert_eq!(seen(&bench), ["CMD_TLBI_NSNH_ALL"]);
    testpoint!(45);
}

/// With SMMUEN = 0 commands work.
#[test]
fn commands_work_while_translation_is_disabled() {
    let mut bench = Bench::new();
    bench.write(at::CR0, CMDQEN);
    bench.command(Command::CfgiAll.encode());
    testpoint!(65);
}

#[test]
fn a_full_queue_that_gets_room_wakes_who_waits() {
    let mut bench = Bench::with(Setup { cmdq_log2: 1, ..Setup::default() });
    bench.issue(NSNH_ALL);
    bench.pump();
    assert_eq!(bench.pulses.events, 0);
    bench.issue(NSNH_ALL);
    bench.issue(NSNH_ALL);
    bench.pump();
    assert_eq!(bench.pulses.events, 1);
}

#[test]
fn the_error_codes_are_the_specifications() {
    assert_eq!(CommandError::Abort.code(), 2);
    assert_eq!(CommandError::AtcInvSync.code(), 3);
}
