//! PRI and ATC invalidation: chapter "ATS and PRI", section "PRI queue", commands CMD_ATC_INV and
//! CMD_PRI_RESP. The number of each test point is in its comment.

mod common;

use common::spaces::edit_ste;
use common::{
    Bench, CMDQEN, EVENTQEN, MSI, PAGE_REQUESTS, PRIQEN, SMMUEN, STREAM_TABLE, Setup, at,
};
use smmu_arch::{
    AtcInv, CmdSync, Command, Iova, Observation, PageRequest, PriResp, PriResponse, StreamConfig,
    StreamId, SubstreamId, SyncSignal,
};
use smmu_bus::InterruptLine;
use smmu_device::{AtcOutcome, Progress};
use smmu_testpoint::testpoint;

const ENDPOINT: u32 = 3;
const OVERFLOW: u32 = 1 << 31;
const PPS: u32 = 1 << 5;

/// IDR0.ATS and PRI, IDR1.PRIQS = 8, IDR3.PPS as given; a PRI queue of two entries.
fn bench(idr3: u32) -> Bench {
    let mut setup = Setup { cr0: PRIQEN, ..Setup::default() };
    setup.ids.idr0 |= 1 << 10 | 1 << 16;
    setup.ids.idr1 = setup.ids.idr1 & !(0x1f << 11) | 8 << 11;
    setup.ids.idr3 |= idr3;
    let mut bench = Bench::after_reset(setup);
    bench.write64(at::PRIQ_BASE, PAGE_REQUESTS.0 | 1);
    bench.enable();
    bench
}

/// A read of a page, by a group of one.
fn request(group: u16) -> PageRequest {
    PageRequest {
        stream: StreamId(ENDPOINT),
        substream: None,
        privileged: false,
        execute: false,
        read: true,
        write: false,
        last: true,
        group,
        address: Iova(0x1234_5000),
    }
}

fn ask(bench: &mut Bench, request: &PageRequest) {
    bench.smmu.request_page(request);
    bench.pump();
}

/// The record at an index of the queue.
fn record(bench: &Bench, index: u64) -> PageRequest {
    let at = PAGE_REQUESTS.offset(index * 16);
    PageRequest::decode(&[bench.load(at), bench.load(at.offset(8))])
}

fn response(substream: Option<u32>, group: u16, response: PriResponse) -> PriResp {
    let substream = substream.map(SubstreamId);
    PriResp { stream: StreamId(ENDPOINT), substream, group, response }
}

/// Fills the queue.
fn fill(bench: &mut Bench) {
    ask(bench, &request(1));
    ask(bench, &request(2));
    assert_eq!(bench.read(at::PRIQ_PROD), 2, "full");
}

/// Point 256.
#[test]
fn a_page_request_is_recorded_and_not_answered() {
    let mut bench = bench(0);
    let asked = PageRequest {
        substream: Some(SubstreamId(5)),
        privileged: true,
        execute: true,
        write: true,
        ..request(0x155)
    };
    ask(&mut bench, &asked);
    assert_eq!(bench.read(at::PRIQ_PROD), 1);
    assert_eq!(record(&bench, 0), asked);
    assert_eq!(bench.pulses.responses, []);
    let told = bench.background.0.iter().any(|(_, o)| *o == Observation::PageRequested(asked));
    assert!(told);
    testpoint!(256);
}

/// Point 257, for a request without PASID.
#[test]
fn a_full_queue_answers_success_to_the_last_request_of_a_group() {
    let mut bench = bench(0);
    fill(&mut bench);
    ask(&mut bench, &PageRequest { last: false, ..request(3) });
    assert_eq!(bench.pulses.responses, [], "not the last");
    assert_eq!(bench.read(at::PRIQ_PROD), 2 | OVERFLOW);
    ask(&mut bench, &request(4));
    assert_eq!(bench.pulses.responses, [response(None, 4, PriResponse::Success)]);
    assert_eq!(bench.read(at::PRIQ_PROD), 2 | OVERFLOW, "OVFLG toggles once");
    testpoint!(257);
}

/// Point 257, for requests with PASID: IDR3.PPS, STE.PPAR, and an STE that cannot be read.
#[test]
fn the_pasid_of_an_automatic_response_follows_pps_and_ppar() {
    let asked = PageRequest { substream: Some(SubstreamId(5)), ..request(4) };
    let answer = |pps, prepare: fn(&Bench)| {
        let mut bench = bench(pps);
        prepare(&bench);
        fill(&mut bench);
        ask(&mut bench, &asked);
        bench.pulses.responses
    };
    let with_ppar = |bench: &Bench| {
        edit_ste(bench, ENDPOINT, |ste| {
            (ste.valid, ste.config, ste.ppar) = (true, StreamConfig::Bypass, true);
        });
    };
    let without_ppar = |bench: &Bench| {
        edit_ste(bench, ENDPOINT, |ste| (ste.valid, ste.config) = (true, StreamConfig::Abort));
    };
    let success = |substream| vec![response(substream, 4, PriResponse::Success)];
    let failure = vec![response(None, 4, PriResponse::ResponseFailure)];
    assert_eq!(answer(PPS, |_| {}), success(Some(5)), "the STE does not matter");
    assert_eq!(answer(0, with_ppar), success(Some(5)));
    assert_eq!(answer(0, without_ppar), success(None));
    assert_eq!(answer(0, |_| {}), failure, "the STE is invalid");
    let unreadable = |bench: &Bench| bench.memory.fail(STREAM_TABLE.offset(64 * 3), 64);
    assert_eq!(answer(0, unreadable), failure);
    testpoint!(257);
}

/// Point 258.
#[test]
fn an_overflow_holds_back_records_until_it_is_acknowledged() {
    let mut bench = bench(0);
    fill(&mut bench);
    ask(&mut bench, &request(3));
    bench.write(at::PRIQ_CONS, 2); // both are taken, the overflow is not acknowledged
    ask(&mut bench, &request(4));
    assert_eq!(bench.read(at::PRIQ_PROD), 2 | OVERFLOW);
    assert_eq!(bench.pulses.responses.last(), Some(&response(None, 4, PriResponse::Success)));
    bench.write(at::PRIQ_CONS, 2 | OVERFLOW);
    ask(&mut bench, &request(5));
    assert_eq!(bench.read(at::PRIQ_PROD), 3 | OVERFLOW);
    assert_eq!(record(&bench, 0).group, 5);
    testpoint!(258);
}

/// Point 259. SMMUEN = 0 counts as PRIQEN = 0.
#[test]
fn a_disabled_queue_answers_response_failure() {
    for cr0 in [SMMUEN | EVENTQEN | CMDQEN, PRIQEN | EVENTQEN | CMDQEN] {
        let mut bench = bench(0);
        bench.write(at::CR0, cr0);
        ask(&mut bench, &PageRequest { substream: Some(SubstreamId(5)), ..request(4) });
        assert_eq!(bench.read(at::PRIQ_PROD), 0);
        let expected = [response(None, 4, PriResponse::ResponseFailure)];
        assert_eq!(bench.pulses.responses, expected);
    }
    testpoint!(259);
}

/// A Stop Marker is queued where there is room, and never answered.
#[test]
fn a_stop_marker_is_never_answered() {
    let marker = PageRequest { read: false, substream: Some(SubstreamId(5)), ..request(1) };
    assert!(marker.is_stop_marker());
    let mut bench = bench(0);
    ask(&mut bench, &marker);
    assert_eq!(record(&bench, 0), marker);
    ask(&mut bench, &request(2));
    ask(&mut bench, &marker); // full
    bench.write(at::CR0, SMMUEN | EVENTQEN | CMDQEN);
    ask(&mut bench, &marker); // disabled
    assert_eq!(bench.pulses.responses, []);
}

/// GERROR.PRIQ_ABT_ERR: the request is answered, and so is every one until the acknowledge.
#[test]
fn an_aborted_record_is_a_global_error() {
    const PRIQ_ABT_ERR: u32 = 1 << 3;
    let mut bench = bench(0);
    bench.memory.fail(PAGE_REQUESTS, 32);
    ask(&mut bench, &request(1));
    assert_eq!(bench.read(at::GERROR), PRIQ_ABT_ERR);
    bench.memory.repair_all();
    ask(&mut bench, &request(2));
    let failures = [1, 2].map(|group| response(None, group, PriResponse::ResponseFailure));
    assert_eq!(bench.pulses.responses, failures);
    bench.write(at::GERRORN, PRIQ_ABT_ERR);
    ask(&mut bench, &request(3));
    assert_eq!((bench.read(at::PRIQ_PROD), record(&bench, 0).group), (1, 3));
}

/// PRIQ_IRQ_CFG2.LO: on empty to non-empty, or on the last request of a group.
#[test]
fn the_interrupt_follows_lo() {
    for (lo, last, expected) in
        [(0, false, 1), (0, true, 1), (1 << 31, false, 0), (1 << 31, true, 2)]
    {
        let mut bench = bench(0);
        bench.write64(at::PRIQ_IRQ_CFG0, MSI.0);
        bench.write(at::PRIQ_IRQ_CFG1, 0x77);
        bench.write(at::PRIQ_IRQ_CFG2, lo);
        bench.write(at::IRQ_CTRL, 2);
        ask(&mut bench, &PageRequest { last, ..request(1) });
        ask(&mut bench, &PageRequest { last, ..request(2) });
        let lines = vec![InterruptLine::PriQueue; expected];
        assert_eq!(bench.pulses.lines, lines, "LO={lo:#x} Last={last}");
        assert_eq!(bench.load(MSI), if expected == 0 { 0 } else { 0x77 });
    }
}

/// PRIQ_BASE and PRIQ_PROD are guarded by PRIQEN.
#[test]
fn the_registers_of_an_enabled_queue_are_guarded() {
    let bench = bench(0);
    bench.write64(at::PRIQ_BASE, 0x8888_0000);
    bench.write(at::PRIQ_PROD, 1);
    assert_eq!((bench.read64(at::PRIQ_BASE), bench.read(at::PRIQ_PROD)), (PAGE_REQUESTS.0 | 1, 0));
    bench.write(at::CR0, SMMUEN);
    assert_eq!(bench.read(at::CR0ACK), SMMUEN);
    bench.write(at::PRIQ_PROD, 1);
    assert_eq!(bench.read(at::PRIQ_PROD), 1);
}

/// Point 260.
#[test]
fn a_pri_resp_goes_to_the_endpoint() {
    let mut bench = bench(0);
    let sent = response(None, 0x101, PriResponse::Success);
    bench.command(Command::PriResp(sent).encode());
    assert_eq!(bench.pulses.responses, [sent]);
    testpoint!(260);
}

fn atc_inv() -> AtcInv {
    let (stream, address) = (StreamId(ENDPOINT), Iova(0x1234_0000));
    AtcInv { stream, substream: None, global: false, size_log2: 4, address }
}

/// An ATC_INV and a CMD_SYNC that signals by MSI; the endpoint answers later.
fn invalidate(bench: &mut Bench) -> Progress {
    bench.pulses.later = true;
    bench.issue(Command::AtcInv(atc_inv()).encode());
    let sync = CmdSync { signal: SyncSignal::Irq, address: MSI, data: 0x55, ..CmdSync::POLLED };
    bench.issue(Command::Sync(sync).encode());
    bench.pump()
}

/// Point 253.
#[test]
fn a_sync_waits_for_the_endpoint() {
    let mut bench = bench(0);
    assert!(matches!(invalidate(&mut bench), Progress::Pending(_)));
    assert_eq!(bench.pulses.invalidations, [atc_inv()]);
    assert_eq!((bench.read(at::CMDQ_CONS), bench.load(MSI)), (1, 0), "the CMD_SYNC is next");
    bench.smmu.atc_invalidation_ended(AtcOutcome::Completed);
    assert_eq!(bench.pump(), Progress::Idle);
    assert_eq!((bench.read(at::CMDQ_CONS), bench.load(MSI)), (2, 0x55));
    testpoint!(253);
}

/// Point 254: an endpoint that answers Unsupported Request has nothing cached.
#[test]
fn an_unsupported_invalidation_completes() {
    let mut bench = bench(0);
    bench.command(Command::AtcInv(atc_inv()).encode());
    assert_eq!(bench.pulses.invalidations, [atc_inv()]);
    testpoint!(254);
}

/// Point 255, and what follows the acknowledge: the same CMD_SYNC runs again and completes.
#[test]
fn a_timeout_fails_the_sync_that_waits() {
    let mut bench = bench(0);
    invalidate(&mut bench);
    bench.smmu.atc_invalidation_ended(AtcOutcome::TimedOut);
    bench.pump();
    assert_eq!(bench.command_error(), Some(3), "CERROR_ATC_INV_SYNC");
    assert_eq!((bench.read(at::CMDQ_CONS) & 0xf_ffff, bench.load(MSI)), (1, 0));
    bench.write(at::GERRORN, bench.read(at::GERROR));
    assert_eq!(bench.pump(), Progress::Idle);
    assert_eq!(bench.pulses.invalidations.len(), 1, "it is not repeated");
    assert_eq!((bench.read(at::CMDQ_CONS) & 0xf_ffff, bench.load(MSI)), (2, 0x55));
    testpoint!(255);
}

/// Nothing goes out while SMMUEN is 0.
#[test]
fn an_invalidation_of_a_disabled_smmu_is_ignored() {
    let mut bench = bench(0);
    bench.write(at::CR0, EVENTQEN | CMDQEN);
    bench.command(Command::AtcInv(atc_inv()).encode());
    assert_eq!(bench.pulses.invalidations, []);
}
