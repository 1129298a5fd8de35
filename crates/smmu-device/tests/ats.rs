//! ATS: Translation Requests and Translated transactions. Chapter "ATS and PRI". The number of each
//! test point is in its comment.

mod common;

use common::spaces::{edit_cd, edit_ste};
use common::{Bench, CMDQEN, EVENTQEN, Kind, SMMUEN, STREAM_TABLE, Setup, Space, at, output, read};
use smmu_arch::{
    AtsTranslation, DefaultSubstream, Eats, EventKind, InstructionOverride, Iova, Pa,
    PrivilegeOverride, Stage, StreamConfig, SubstreamId, TranslationCompletion, TranslationRequest,
};
use smmu_device::{Response, TranslationOutcome};
use smmu_tables::Prot;
use smmu_testpoint::testpoint;

const STAGE1: Space = Space { kind: Kind::Stage1, vmid: 1, asid: 7 };
const NESTED: Space = Space { kind: Kind::Nested, vmid: 2, asid: 7 };
const STAGE2: Space = Space { kind: Kind::Stage2, vmid: 2, asid: 0 };
const ATSCHK: u32 = 1 << 4;
const REC_CFG_ATS: u32 = 1 << 3;
const IPA: u64 = 0x9000_0000;
const PA: u64 = 0x40_0000;
const VA: u64 = 0x20_0000;

/// IDR0: ATS, ATSRECERR, HTTU = 2, STALL_MODEL = 0.
fn setup(cr0: u32, cr2: u32) -> Setup {
    let mut setup = Setup { cr0, cr2: 2 | cr2, ..Setup::default() };
    setup.ids.idr0 = setup.ids.idr0 & !(3 << 24) | 1 << 10 | 1 << 23 | 2 << 6;
    setup.ids.idr5 |= 4 << 16;
    setup
}

/// A stream with full ATS that maps VA to PA.
fn stage1(bench: &mut Bench, prot: Prot) -> u32 {
    let stream = bench.stream_of(STAGE1);
    bench.map(STAGE1, VA, PA, 0x1000, prot);
    edit_ste(bench, stream, |ste| ste.eats = Eats::Full);
    stream
}

/// A nested stream that maps VA to IPA to PA.
fn nested(bench: &mut Bench, eats: Eats) -> u32 {
    let stream = bench.stream_of(NESTED);
    bench.map(NESTED, VA, IPA, 0x1000, Prot::READ_WRITE);
    bench.map(STAGE2, IPA, PA, 0x1000, Prot::READ_WRITE);
    edit_ste(bench, stream, |ste| ste.eats = eats);
    stream
}

fn request(stream: u32, iova: u64) -> TranslationRequest {
    TranslationRequest {
        stream: smmu_arch::StreamId(stream),
        substream: None,
        iova: Iova(iova),
        no_write: false,
        execute: false,
        privileged: false,
    }
}

fn ask(bench: &mut Bench, request: &TranslationRequest) -> TranslationCompletion {
    bench.ports[0].request_translation(&bench.memory, request)
}

#[track_caller]
fn granted(completion: TranslationCompletion) -> AtsTranslation {
    let TranslationCompletion::Success(translation) = completion else { panic!("{completion:?}") };
    translation
}

/// R, W and Exe.
fn rights(translation: AtsTranslation) -> (bool, bool, bool) {
    (translation.read, translation.write, translation.execute)
}

fn translated(bench: &mut Bench, stream: u32, address: u64) -> TranslationOutcome {
    let outcome = bench.ports[0].translated(&bench.memory, &read(stream, address));
    bench.ports[0].end();
    outcome
}

/// The outcome and the name of the record.
fn refused(bench: &mut Bench, outcome: TranslationOutcome) -> Option<&'static str> {
    assert_eq!(outcome.expect_err("refused").response, Response::Abort);
    bench.event().map(|event| event.name())
}

fn ask_and_event(
    bench: &mut Bench,
    request: &TranslationRequest,
) -> (TranslationCompletion, Option<&'static str>) {
    let completion = ask(bench, request);
    (completion, bench.event().map(|event| event.name()))
}

/// Point 66.
#[test]
fn a_request_while_the_smmu_is_disabled_is_unsupported() {
    let mut bench = Bench::with(setup(0, 0));
    bench.write(at::CR0, EVENTQEN | CMDQEN);
    let wanted = TranslationRequest { no_write: true, ..request(3, 0x1234_5000) };
    assert_eq!(ask(&mut bench, &wanted), TranslationCompletion::UnsupportedRequest);
    let event = bench.event().expect("F_BAD_ATS_TREQ");
    let EventKind::BadAtsRequest(told) = event.kind else { panic!("{event}") };
    assert_eq!((told.read, told.write, told.execute, told.privileged), (true, false, false, false));
    assert_eq!((told.span, told.input), (1, Iova(0x1234_5000)));
    testpoint!(66);
}

/// Point 67.
#[test]
fn a_translated_transaction_while_the_smmu_is_disabled_is_forbidden() {
    let mut bench = Bench::with(setup(0, 0));
    bench.write(at::CR0, EVENTQEN | CMDQEN);
    let outcome = translated(&mut bench, 3, PA);
    assert_eq!(refused(&mut bench, outcome), Some("F_TRANSL_FORBIDDEN"));
    testpoint!(67);
}

/// Point 240.
#[test]
fn a_mapped_page_is_granted() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = stage1(&mut bench, Prot::READ_WRITE);
    let translation = granted(ask(&mut bench, &request(stream, VA + 0x123)));
    assert_eq!((translation.address, translation.size_log2), (PA, 12));
    assert_eq!(rights(translation), (true, true, false));
    testpoint!(240);
}

/// A block is granted whole.
#[test]
fn the_size_is_that_of_the_leaf() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = stage1(&mut bench, Prot::READ);
    bench.map(STAGE1, 0x4020_0000, 0x4060_0000, 2 << 20, Prot::READ_WRITE);
    let translation = granted(ask(&mut bench, &request(stream, 0x4021_2340)));
    assert_eq!((translation.address, translation.size_log2), (0x4060_0000, 21));
}

/// Point 241.
#[test]
fn an_unmapped_page_grants_nothing_in_silence() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = stage1(&mut bench, Prot::READ_WRITE);
    edit_cd(&bench, stream, |cd| cd.s = true);
    let (completion, event) = ask_and_event(&mut bench, &request(stream, 0x70_0000));
    assert_eq!(rights(granted(completion)), (false, false, false));
    assert_eq!((granted(completion).size_log2, event), (12, None));
    testpoint!(241);
}

/// A page without write permission is granted for what it permits.
#[test]
fn a_read_only_page_is_granted_for_reads() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = stage1(&mut bench, Prot::READ);
    let translation = granted(ask(&mut bench, &request(stream, VA)));
    assert_eq!((translation.address, rights(translation)), (PA, (true, false, false)));
}

const DBM: u64 = 1 << 51;
const READ_ONLY: u64 = 1 << 7;

/// Where the leaf of VA lies.
fn leaf_of(bench: &mut Bench) -> Pa {
    let mut table = bench.table_of(STAGE1).root().base;
    for shift in [39, 30, 21] {
        table = bench.load(Pa(table + (VA >> shift & 511) * 8)) & 0xffff_ffff_f000;
    }
    Pa(table + (VA >> 12 & 511) * 8)
}

/// A stream whose page is writable-clean, and the place of its leaf.
fn writable_clean(bench: &mut Bench) -> (u32, Pa) {
    let stream = stage1(bench, Prot::READ);
    edit_cd(bench, stream, |cd| (cd.ha, cd.hd) = (true, true));
    let leaf = leaf_of(bench);
    bench.store(leaf, &[bench.load(leaf) | DBM]);
    (stream, leaf)
}

/// Point 242.
#[test]
fn a_request_with_nw_leaves_a_clean_page_clean() {
    let mut bench = Bench::with(setup(0, 0));
    let (stream, leaf) = writable_clean(&mut bench);
    let wanted = TranslationRequest { no_write: true, ..request(stream, VA) };
    assert_eq!(rights(granted(ask(&mut bench, &wanted))), (true, false, false));
    assert_eq!(bench.load(leaf) & READ_ONLY, READ_ONLY);
    testpoint!(242);
}

/// Point 243.
#[test]
fn a_request_without_nw_makes_a_clean_page_dirty() {
    let mut bench = Bench::with(setup(0, 0));
    let (stream, leaf) = writable_clean(&mut bench);
    assert_eq!(rights(granted(ask(&mut bench, &request(stream, VA)))), (true, true, false));
    assert_eq!(bench.load(leaf) & READ_ONLY, 0);
    testpoint!(243);
}

/// Point 244, and Config = 4, for which EATS counts as 0.
#[test]
fn a_request_without_eats_is_unsupported() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = stage1(&mut bench, Prot::READ_WRITE);
    edit_ste(&bench, stream, |ste| ste.eats = Eats::Disabled);
    let bypass = stream + 1;
    edit_ste(&bench, bypass, |ste| {
        (ste.valid, ste.config, ste.eats) = (true, StreamConfig::Bypass, Eats::Full);
    });
    let expected = (TranslationCompletion::UnsupportedRequest, Some("F_BAD_ATS_TREQ"));
    assert_eq!(ask_and_event(&mut bench, &request(stream, VA)), expected);
    assert_eq!(ask_and_event(&mut bench, &request(bypass, VA)), expected);
    testpoint!(244);
}

/// Point 245.
#[test]
fn a_request_of_a_stream_that_aborts_is_unsupported_in_silence() {
    let mut bench = Bench::with(setup(0, 0));
    edit_ste(&bench, 3, |ste| (ste.valid, ste.config) = (true, StreamConfig::Abort));
    let expected = (TranslationCompletion::UnsupportedRequest, None);
    assert_eq!(ask_and_event(&mut bench, &request(3, VA)), expected);
    testpoint!(245);
}

/// Points 246 and 247. (REC_CFG_ATS, record)
#[test]
fn a_bad_ste_is_a_completer_abort() {
    for (cr2, event) in [(0, None), (REC_CFG_ATS, Some("C_BAD_STE"))] {
        let mut bench = Bench::with(setup(0, cr2));
        let expected = (TranslationCompletion::CompleterAbort, event);
        assert_eq!(ask_and_event(&mut bench, &request(3, VA)), expected);
    }
    testpoint!(246, 247);
}

/// The other errors of the configuration, and an external abort of the walk.
#[test]
fn errors_are_completer_aborts_and_recorded_by_rec_cfg_ats() {
    for (cr2, records) in [(0, false), (REC_CFG_ATS, true)] {
        let mut bench = Bench::with(setup(0, cr2));
        let stream = stage1(&mut bench, Prot::READ_WRITE);
        let check = |bench: &mut Bench, wanted: &TranslationRequest, name| {
            let expected = (TranslationCompletion::CompleterAbort, Some(name).filter(|_| records));
            assert_eq!(ask_and_event(bench, wanted), expected);
        };
        check(&mut bench, &request(0x10_0000, VA), "C_BAD_STREAMID");
        let substream = Some(SubstreamId(1));
        let with_pasid = TranslationRequest { substream, ..request(stream, VA) };
        check(&mut bench, &with_pasid, "C_BAD_SUBSTREAMID");
        let root = bench.table_of(STAGE1).root().base;
        bench.memory.fail(Pa(root), 4096);
        check(&mut bench, &request(stream, VA), "F_WALK_EABT");
        edit_cd(&bench, stream, |cd| cd.valid = false);
        bench.command([0x05 | u64::from(stream) << 32, 1]);
        check(&mut bench, &request(stream, VA), "C_BAD_CD");
        bench.memory.fail(STREAM_TABLE.offset(64 * 5), 64);
        check(&mut bench, &request(5, VA), "F_STE_FETCH");
    }
}

/// Point 248.
#[test]
fn without_atschk_a_translated_transaction_passes_unchecked() {
    let mut bench = Bench::with(setup(0, 0));
    assert_eq!(output(translated(&mut bench, 3, PA + 8)), Pa(PA + 8));
    assert_eq!(bench.event(), None);
    assert_eq!(refused_silently(&mut bench, 3, 1 << 50), None, "beyond the OAS");
    testpoint!(248);
}

fn refused_silently(bench: &mut Bench, stream: u32, address: u64) -> Option<&'static str> {
    let outcome = translated(bench, stream, address);
    refused(bench, outcome)
}

/// Points 249 and 250, and the errors of the configuration.
#[test]
fn with_atschk_a_translated_transaction_needs_eats() {
    let mut bench = Bench::with(setup(ATSCHK, 0));
    let stream = stage1(&mut bench, Prot::READ_WRITE);
    assert_eq!(output(translated(&mut bench, stream, PA)), Pa(PA), "EATS = 1");
    edit_ste(&bench, stream, |ste| ste.eats = Eats::Disabled);
    bench.command([0x03 | u64::from(stream) << 32, 1]);
    assert_eq!(refused_silently(&mut bench, stream, PA), Some("F_TRANSL_FORBIDDEN"));
    edit_ste(&bench, 3, |ste| (ste.valid, ste.config) = (true, StreamConfig::Abort));
    assert_eq!(refused_silently(&mut bench, 3, PA), None, "Config = 0");
    assert_eq!(refused_silently(&mut bench, 4, PA), None, "C_BAD_STE");
    bench.write(at::CR0, EVENTQEN | CMDQEN | ATSCHK);
    bench.write(at::CR2, REC_CFG_ATS); // RECINVSID = 0 does not count
    bench.write(at::CR0, SMMUEN | EVENTQEN | CMDQEN | ATSCHK);
    assert_eq!(refused_silently(&mut bench, 5, PA), Some("C_BAD_STE"));
    assert_eq!(refused_silently(&mut bench, 0x10_0000, PA), Some("C_BAD_STREAMID"));
    testpoint!(249, 250);
}

/// Point 251, and 272.
#[test]
fn split_stage_ats_gives_the_ipa_and_translates_it_later() {
    let mut bench = Bench::with(setup(ATSCHK, 0));
    let stream = nested(&mut bench, Eats::Split);
    let translation = granted(ask(&mut bench, &request(stream, VA + 0x18)));
    assert_eq!((translation.address, rights(translation)), (IPA, (true, true, false)));
    assert_eq!(output(translated(&mut bench, stream, IPA + 0x18)), Pa(PA + 0x18));
    let outcome = translated(&mut bench, stream, 0x5000_0000);
    assert_eq!(outcome.expect_err("not mapped").response, Response::Abort);
    let event = bench.event().expect("a record");
    let fault = *event.kind.stage_event().expect("F_TRANSLATION");
    assert_eq!((event.name(), fault.stage, fault.class as u8), ("F_TRANSLATION", Stage::Stage2, 2));
    testpoint!(251);
}

/// Point 272: full ATS gives the PA.
#[test]
fn full_ats_gives_the_pa() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = nested(&mut bench, Eats::Full);
    assert_eq!(granted(ask(&mut bench, &request(stream, VA))).address, PA);
    testpoint!(272);
}

/// Point 252.
#[test]
fn split_stage_ats_rests_on_atschk() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = nested(&mut bench, Eats::Split);
    let expected = (TranslationCompletion::UnsupportedRequest, Some("F_BAD_ATS_TREQ"));
    assert_eq!(ask_and_event(&mut bench, &request(stream, VA)), expected);
    testpoint!(252);
}

/// A stage 2 fault of the CD or of a table is no error either.
#[test]
fn stage_2_faults_of_what_stage_1_reads_grant_nothing() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = nested(&mut bench, Eats::Full);
    edit_ste(&bench, stream, |ste| ste.s1_context_ptr = 0x5000_0000);
    let (completion, event) = ask_and_event(&mut bench, &request(stream, VA));
    assert_eq!((rights(granted(completion)), event), ((false, false, false), None));
}

/// Point 261.
#[test]
fn a_bypassed_stage_1_is_identity() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = stage1(&mut bench, Prot::READ_WRITE);
    edit_ste(&bench, stream, |ste| (ste.s1_cd_max, ste.s1_dss) = (1, DefaultSubstream::Bypass));
    let translation = granted(ask(&mut bench, &request(stream, 0x1234_5678)));
    assert_eq!((translation.address, rights(translation)), (0x1234_5000, (true, true, false)));
    let (completion, event) = ask_and_event(&mut bench, &request(stream, 1 << 60));
    assert_eq!((rights(granted(completion)), event), ((false, false, false), None));
    testpoint!(261);
}

/// A stream with PASIDs.
fn with_substreams(bench: &mut Bench, prot: Prot) -> TranslationRequest {
    let stream = stage1(bench, prot);
    edit_ste(bench, stream, |ste| ste.s1_cd_max = 1);
    TranslationRequest { substream: Some(SubstreamId(0)), ..request(stream, VA) }
}

/// Point 269: only privileged access is mapped.
#[test]
fn privilege_is_that_of_the_request_or_of_the_ste() {
    let mut bench = Bench::with(setup(0, 0));
    let with_pasid = with_substreams(&mut bench, Prot { privileged: true, ..Prot::READ_WRITE });
    let stream = with_pasid.stream.0;
    let plain = granted(ask(&mut bench, &with_pasid));
    assert_eq!((rights(plain), plain.privileged), ((false, false, false), false));
    let asking = TranslationRequest { privileged: true, ..with_pasid };
    let asked = granted(ask(&mut bench, &asking));
    assert_eq!((rights(asked), asked.privileged), ((true, true, false), true));
    // Without a PASID the request is unprivileged, unless the STE makes it privileged.
    edit_ste(&bench, stream, |ste| {
        (ste.s1_cd_max, ste.priv_cfg) = (0, PrivilegeOverride::Privileged);
    });
    bench.command([0x03 | u64::from(stream) << 32, 1]);
    let overridden = granted(ask(&mut bench, &request(stream, VA)));
    assert_eq!((rights(overridden), overridden.privileged), ((true, true, false), false));
    testpoint!(269);
}

/// Point 271.
#[test]
fn an_execute_only_page_grants_nothing() {
    let mut bench = Bench::with(setup(0, 0));
    let with_pasid = with_substreams(&mut bench, Prot { execute: true, ..Prot::READ });
    let leaf = leaf_of(&mut bench);
    bench.store(leaf, &[bench.load(leaf) & !(1 << 6)]); // AP[1]: no unprivileged data access
    let wanted = TranslationRequest { execute: true, ..with_pasid };
    assert_eq!(rights(granted(ask(&mut bench, &wanted))), (false, false, false));
    testpoint!(271);
}

/// What STE.INSTCFG makes of R and Exe.
#[test]
fn execute_is_granted_by_instcfg() {
    use InstructionOverride::{Data, Incoming, Instruction};
    let executable = Prot { execute: true, ..Prot::READ };
    for (prot, inst_cfg, expected) in [
        (executable, Incoming, (true, false, true)),
        (executable, Data, (true, false, true)),
        (executable, Instruction, (true, false, true)),
        (Prot::READ, Incoming, (true, false, false)),
        (Prot::READ, Data, (true, false, true)),
        (Prot::READ, Instruction, (false, false, false)),
    ] {
        let mut bench = Bench::with(setup(0, 0));
        let with_pasid = with_substreams(&mut bench, prot);
        edit_ste(&bench, with_pasid.stream.0, |ste| ste.inst_cfg = inst_cfg);
        let wanted = TranslationRequest { execute: true, ..with_pasid };
        let got = rights(granted(ask(&mut bench, &wanted)));
        assert_eq!(got, expected, "{prot:?} {inst_cfg:?}");
        let (read, write, _) = expected;
        let unasked = rights(granted(ask(&mut bench, &with_pasid)));
        assert_eq!(unasked, (read, write, false), "Exe was not asked for");
    }
}

/// Point 274: IDR3.PASIDTT = 0.
#[test]
fn the_pasid_of_a_translated_transaction_is_ignored() {
    let mut bench = Bench::with(setup(ATSCHK, 0));
    let stream = stage1(&mut bench, Prot::READ_WRITE);
    let transaction = common::with_substream(read(stream, PA), 5);
    assert_eq!(output(bench.ports[0].translated(&bench.memory, &transaction)), Pa(PA));
    testpoint!(274);
}

/// What a request fills is an ordinary entry.
#[test]
fn a_request_fills_the_tlb() {
    let mut bench = Bench::with(setup(0, 0));
    let stream = stage1(&mut bench, Prot::READ_WRITE);
    ask(&mut bench, &request(stream, VA));
    let hit = bench.dma(&read(stream, VA)).expect("mapped");
    assert!(matches!(hit.path, smmu_arch::Path::Hit(_)));
}
