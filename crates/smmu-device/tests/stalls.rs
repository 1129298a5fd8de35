//! The stall model: sections "Stall model", "Stall fault recording", commands CMD_RESUME and
//! CMD_STALL_TERM. The number of each test point is in its comment.

mod common;

use common::spaces::{edit_cd, edit_ste, ste_at};
use common::{Bench, CMDQEN, EVENTQEN, Kind, Setup, Space, at, output, read, write};
use smmu_arch::{
    Command, Event, Pa, Resume, ResumeAction, Stage, StallTerm, StallTicket, Ste, StreamId,
};
use smmu_device::{Progress, Release, Response};
use smmu_tables::Prot;
use smmu_testpoint::testpoint;

const STAGE1: Space = Space { kind: Kind::Stage1, vmid: 1, asid: 7 };
const OTHER: Space = Space { kind: Kind::Stage1, vmid: 1, asid: 8 };
const NESTED: Space = Space { kind: Kind::Nested, vmid: 2, asid: 7 };

/// STALL_MODEL = 0, STALL_MAX = 2, TERM_MODEL as given.
fn setup(term_model: u32) -> Setup {
    let mut setup = Setup::default();
    setup.ids.idr0 = setup.ids.idr0 & !(7 << 24) | term_model << 26;
    setup.ids.idr5 |= 2 << 16;
    setup
}

/// A stream with CD.S = 1 and CD.R = 0, which maps nothing.
fn stalling() -> (Bench, u32) {
    let mut bench = Bench::with(setup(0));
    let stream = stall_stage1(&mut bench, STAGE1);
    (bench, stream)
}

fn stall_stage1(bench: &mut Bench, space: Space) -> u32 {
    let stream = bench.stream_of(space);
    edit_cd(bench, stream, |cd| (cd.s, cd.r) = (true, false));
    stream
}

/// A read that stalls.
#[track_caller]
fn stall(bench: &mut Bench, stream: u32, iova: u64) -> StallTicket {
    let refused = bench.dma(&read(stream, iova)).expect_err("not mapped");
    let Response::Held(ticket) = refused.response else { panic!("{refused:?}") };
    ticket
}

/// The next record, which tells of a stall.
#[track_caller]
fn stall_record(bench: &mut Bench) -> (Event, u16) {
    let event = bench.event().expect("a record");
    assert!(event.is_stall(), "{event}");
    (event, event.kind.stage_event().expect("one that can stall").stag)
}

fn resume(bench: &mut Bench, stream: u32, stag: u16, action: ResumeAction) {
    let resume = Resume { stream: StreamId(stream), stag, action };
    bench.command(Command::Resume(resume).encode());
}

fn stall_term(bench: &mut Bench, stream: u32) {
    bench.command(Command::StallTerm(StallTerm { stream: StreamId(stream) }).encode());
}

fn overflow_flag(bench: &Bench) -> bool {
    bench.read(at::EVENTQ_PROD) >> 31 != 0
}

/// Point 183.
#[test]
fn a_fault_with_s_1_is_recorded_as_a_stall_and_the_transaction_is_held() {
    let (mut bench, stream) = stalling();
    let ticket = stall(&mut bench, stream, 0x1000);
    let (event, _) = stall_record(&mut bench);
    assert_eq!(event.name(), "F_TRANSLATION");
    assert_eq!(bench.smmu.released(ticket), None, "nobody has decided");
    testpoint!(183);
}

/// Point 184.
#[test]
fn a_retry_after_the_mapping_was_made_goes_through_without_a_second_record() {
    let (mut bench, stream) = stalling();
    let ticket = stall(&mut bench, stream, 0x1000);
    let (_, stag) = stall_record(&mut bench);
    bench.map(STAGE1, 0x1000, 0xb000, 0x1000, Prot::READ_WRITE);
    resume(&mut bench, stream, stag, ResumeAction::Retry);
    assert_eq!(bench.smmu.released(ticket), Some(Release::Retry));
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0xb000));
    assert_eq!(bench.event(), None);
    testpoint!(184);
}

/// Point 185.
#[test]
fn a_retry_without_a_mapping_stalls_anew() {
    let (mut bench, stream) = stalling();
    let ticket = stall(&mut bench, stream, 0x1000);
    let (first, stag) = stall_record(&mut bench);
    resume(&mut bench, stream, stag, ResumeAction::Retry);
    assert_eq!(bench.smmu.released(ticket), Some(Release::Retry));
    let again = stall(&mut bench, stream, 0x1000);
    let (second, _) = stall_record(&mut bench);
    assert_ne!(ticket, again);
    assert_eq!(first.stalled(0), second.stalled(0));
    testpoint!(185);
}

/// Point 186. (TERM_MODEL, action, what becomes of the transaction)
#[test]
fn a_terminated_stall_aborts_or_reads_zero() {
    for (term_model, action, expected) in [
        (0, ResumeAction::Abort, Release::Abort),
        (0, ResumeAction::Discard, Release::ReadZeroWriteIgnored),
        (1, ResumeAction::Abort, Release::Abort),
        (1, ResumeAction::Discard, Release::Abort),
    ] {
        let mut bench = Bench::with(setup(term_model));
        let stream = stall_stage1(&mut bench, STAGE1);
        let ticket = stall(&mut bench, stream, 0x1000);
        let (_, stag) = stall_record(&mut bench);
        resume(&mut bench, stream, stag, action);
        assert_eq!(bench.smmu.released(ticket), Some(expected), "{term_model} {action}");
    }
    testpoint!(186);
}

/// Point 187.
#[test]
fn a_resume_of_another_stream_or_stag_has_no_effect() {
    let (mut bench, stream) = stalling();
    let ticket = stall(&mut bench, stream, 0x1000);
    let (_, stag) = stall_record(&mut bench);
    resume(&mut bench, stream + 1, stag, ResumeAction::Abort);
    resume(&mut bench, stream, stag ^ 1, ResumeAction::Abort);
    assert_eq!(bench.smmu.released(ticket), None);
    assert_eq!(bench.command_error(), None);
    resume(&mut bench, stream, stag, ResumeAction::Abort);
    assert_eq!(bench.smmu.released(ticket), Some(Release::Abort));
    testpoint!(187);
}

/// Points 188 and 193.
#[test]
fn stags_are_distinct_and_no_more_than_stall_max_are_outstanding() {
    let (mut bench, stream) = stalling();
    let tickets: Vec<_> = (1..=4).map(|page| stall(&mut bench, stream, page * 0x1000)).collect();
    let (first, one) = stall_record(&mut bench);
    let (_, two) = stall_record(&mut bench);
    assert_ne!(one, two);
    assert_eq!(first.kind.stage_event().map(|event| event.input.0), Some(0x1000));
    assert_eq!(bench.event(), None, "STALL_MAX is 2");
    // Without a CMD_SYNC: the transactions without a record would be tried again.
    let action = ResumeAction::Abort;
    bench.issue(Command::Resume(Resume { stream: StreamId(stream), stag: one, action }).encode());
    bench.pump();
    assert_eq!(bench.smmu.released(tickets[0]), Some(Release::Abort));
    let (third, again) = stall_record(&mut bench);
    assert_eq!(third.kind.stage_event().map(|event| event.input.0), Some(0x3000));
    assert_eq!(again, one, "the STAG is free again");
    assert_eq!(bench.event(), None);
    testpoint!(188, 193);
}

/// Point 189: the STE first terminates new traffic.
#[test]
fn stall_term_aborts_the_stalls_of_one_stream() {
    let (mut bench, stream) = stalling();
    let other = stall_stage1(&mut bench, OTHER);
    let tickets = [stall(&mut bench, stream, 0x1000), stall(&mut bench, stream, 0x2000)];
    let spared = stall(&mut bench, other, 0x1000);
    bench.pump();
    bench.store(ste_at(stream), &Ste { valid: true, ..Ste::default() }.encode());
    bench.command([0x03 | u64::from(stream) << 32, 1]);
    stall_term(&mut bench, stream);
    assert_eq!(tickets.map(|ticket| bench.smmu.released(ticket)), [Some(Release::Abort); 2]);
    let refused = bench.dma(&read(stream, 0x1000)).expect_err("terminated");
    assert_eq!((refused.fault, refused.response), (None, Response::Abort));
    // It found no STAG, so that the CMD_SYNC has it tried again: it is not aborted.
    assert_eq!(bench.smmu.released(spared), Some(Release::Retry));
    testpoint!(189);
}

/// Point 190.
#[test]
fn a_stage_2_fault_stalls_by_s2s() {
    let mut bench = Bench::with(setup(0));
    let stream = bench.stream_of(NESTED);
    edit_ste(&bench, stream, |ste| (ste.s2_s, ste.s2_r) = (true, false));
    bench.map(NESTED, 0x2000, 0x5000_0000, 0x1000, Prot::READ);
    stall(&mut bench, stream, 0x2000);
    let (event, _) = stall_record(&mut bench);
    assert_eq!(event.kind.stage_event().map(|event| event.stage), Some(Stage::Stage2));
    // A stage 1 fault of the same stream follows the CD.
    let refused = bench.dma(&read(stream, 0x3000)).expect_err("not mapped");
    assert_eq!(refused.response, Response::Abort);
    assert!(!bench.event().expect("a record").is_stall());
    testpoint!(190);
}

/// Point 192.
#[test]
fn the_record_of_a_stall_waits_for_room() {
    let mut bench = Bench::with(Setup { eventq_log2: 0, ..setup(0) });
    let stream = stall_stage1(&mut bench, STAGE1);
    stall(&mut bench, stream, 0x1000);
    stall(&mut bench, stream, 0x2000);
    bench.pump();
    let (first, _) = stall_record(&mut bench);
    let (second, _) = stall_record(&mut bench);
    let inputs = [first, second].map(|event| event.kind.stage_event().map(|event| event.input.0));
    assert_eq!(inputs, [Some(0x1000), Some(0x2000)]);
    assert!(!overflow_flag(&bench), "nothing was lost");
    testpoint!(192);
}

/// Records of terminated transactions are lost beside those of stalls that wait.
#[test]
fn other_records_are_lost_while_those_of_stalls_wait() {
    let mut bench = Bench::with(Setup { eventq_log2: 0, ..setup(0) });
    let stream = stall_stage1(&mut bench, STAGE1);
    stall(&mut bench, stream, 0x1000);
    bench.pump();
    stall(&mut bench, stream, 0x2000);
    let _ = bench.dma(&read(99, 0)); // C_BAD_STE
    bench.pump();
    assert!(overflow_flag(&bench));
    let names = [bench.event(), bench.event(), bench.event()].map(|event| event.map(|e| e.name()));
    assert_eq!(names, [Some("F_TRANSLATION"), Some("F_TRANSLATION"), None]);
}

#[test]
fn the_record_of_a_stall_waits_for_eventqen() {
    let (mut bench, stream) = stalling();
    bench.write(at::CR0, common::SMMUEN | CMDQEN);
    stall(&mut bench, stream, 0x1000);
    assert_eq!(bench.event(), None);
    bench.write(at::CR0, common::SMMUEN | CMDQEN | EVENTQEN);
    stall_record(&mut bench);
}

/// The record was not written when a CMD_SYNC completed: only a fresh outcome is recorded.
#[test]
fn an_unrecorded_stall_is_tried_again_after_a_sync() {
    let mut bench = Bench::with(Setup { eventq_log2: 0, ..setup(0) });
    let stream = stall_stage1(&mut bench, STAGE1);
    stall(&mut bench, stream, 0x1000);
    bench.pump();
    let waits = stall(&mut bench, stream, 0x2000);
    bench.map(STAGE1, 0x2000, 0xb000, 0x1000, Prot::READ_WRITE);
    bench.command([0x11 | 7 << 48 | 1 << 32, 0]); // TLBI_NH_ASID
    assert_eq!(bench.smmu.released(waits), Some(Release::Retry));
    assert_eq!(output(bench.dma(&read(stream, 0x2000))), Pa(0xb000));
    stall_record(&mut bench);
    assert_eq!(bench.event(), None, "the old outcome is not recorded");
}

/// A stalled transaction has used nothing yet: it does not hold back a CMD_SYNC, and no TLBI lets
/// it go.
#[test]
fn stalls_and_invalidations_do_not_wait_for_each_other() {
    let (mut bench, stream) = stalling();
    let ticket = stall(&mut bench, stream, 0x1000);
    stall_record(&mut bench);
    bench.issue([0x30, 0]); // TLBI_NSNH_ALL
    bench.issue([0x46, 0]);
    assert_eq!(bench.pump(), Progress::Idle);
    assert_eq!(bench.smmu.released(ticket), None);
}

/// Point 68.
#[test]
fn clearing_smmuen_aborts_all_and_frees_the_stags() {
    let (mut bench, stream) = stalling();
    let tickets: Vec<_> = (1..=3).map(|page| stall(&mut bench, stream, page * 0x1000)).collect();
    bench.write(at::CR0, EVENTQEN | CMDQEN);
    for ticket in tickets {
        assert_eq!(bench.smmu.released(ticket), Some(Release::Abort));
    }
    assert_eq!(bench.event(), None, "records that were not written are dropped");
    bench.write(at::CR0, common::SMMUEN | EVENTQEN | CMDQEN);
    stall(&mut bench, stream, 0x1000);
    stall(&mut bench, stream, 0x2000);
    assert_ne!(stall_record(&mut bench).1, stall_record(&mut bench).1, "both STAGs are free");
    testpoint!(68);
}

/// External aborts and errors of the configuration never stall.
#[test]
fn what_the_stall_model_does_not_govern_aborts() {
    let (mut bench, stream) = stalling();
    let root = bench.table_of(STAGE1).root().base;
    bench.memory.fail(Pa(root), 4096);
    let refused = bench.dma(&write(stream, 0x1000)).expect_err("an abort");
    assert_eq!(refused.response, Response::Abort);
    assert!(!bench.event().expect("F_WALK_EABT").is_stall());
}

/// A caller that never asks for decisions does not fill the host's memory.
#[test]
fn a_great_many_stalls_end_in_aborts() {
    let (mut bench, stream) = stalling();
    let held = |bench: &mut Bench| {
        let refused = bench.dma(&read(stream, 0x1000)).expect_err("not mapped");
        matches!(refused.response, Response::Held(_))
    };
    assert!((0..4096).all(|_| held(&mut bench)));
    assert!(!held(&mut bench));
    stall_term(&mut bench, stream);
    assert!(held(&mut bench), "decisions that nobody asked for are forgotten");
}
