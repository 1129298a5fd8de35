//! Which event a transaction ends with: priority, fields of the record, policy. Sections
//! "Translation procedure", "Fault priority" and "Event records".

mod common;

use common::spaces::{cd_at, edit_cd, edit_ste, ste_at};
use common::{Bench, CDS, Kind, RAM, STREAM_TABLE, Setup, Space, at, output};
use common::{read, with_substream, write};
use smmu_arch::{
    Access, CdFormat, DefaultSubstream, Event, EventKind, Pa, PrivilegeOverride, Stage,
    StreamConfig, SubstreamId, Transaction,
};
use smmu_device::{Refused, Response};
use smmu_tables::Prot;
use smmu_testpoint::testpoint;

/// A bench with a stream that maps VA 0x1000 to 0xb000, in nested streams through IPA 0x9000_1000.
fn bench(kind: Kind) -> (Bench, u32) {
    bench_with(Setup::default(), kind)
}

fn bench_with(setup: Setup, kind: Kind) -> (Bench, u32) {
    let mut bench = Bench::with(setup);
    let space = Space { kind, vmid: 1, asid: if kind == Kind::Stage2 { 0 } else { 7 } };
    let stream = bench.stream_of(space);
    let ipa = match kind {
        Kind::Nested => {
            let stage2 = Space { kind: Kind::Stage2, vmid: 1, asid: 0 };
            bench.map(stage2, 0x9000_1000, 0xb000, 0x1000, Prot::READ_WRITE);
            0x9000_1000
        }
        _ => 0xb000,
    };
    bench.map(space, 0x1000, ipa, 0x1000, Prot::READ_WRITE);
    (bench, stream)
}

/// The fields of a record that tell one fault from another.
fn describe(event: &Event) -> String {
    let name = event.kind.name();
    let direction = |access: Access| u8::from(!access.is_write());
    match event.kind {
        EventKind::SteFetch(e) | EventKind::CdFetch(e) => {
            format!("{name} FetchAddr={:#x}", e.address.0)
        }
        EventKind::WalkExternalAbort(e) => {
            let s2 = u8::from(e.stage == Stage::Stage2);
            let (rnw, address) = (direction(e.access), e.address.0);
            format!("{name} S2={s2} CLASS={} RnW={rnw} FetchAddr={address:#x}", e.class)
        }
        _ => match event.kind.stage_event() {
            None => name.to_owned(),
            Some(e) => {
                let s2 = u8::from(e.stage == Stage::Stage2);
                let (rnw, ipa) = (direction(e.access), e.ipa.0);
                format!("{name} S2={s2} CLASS={} RnW={rnw} IPA={ipa:#x}", e.class)
            }
        },
    }
}

/// The transaction is refused and leaves this record.
#[track_caller]
fn check(bench: &mut Bench, transaction: &Transaction, expected: &str) {
    let (name, event) = bench.refusal(transaction);
    let event = event.expect("a record");
    assert_eq!(describe(&event), expected);
    assert_eq!(name, event.kind.name());
    assert_eq!(event.stream, transaction.stream);
}

#[test]
fn the_record_of_a_translation_fault_is_pinned() {
    let (mut bench, stream) = bench(Kind::Stage1);
    let transaction = with_substream(read(stream, 0xffff_1234_5678), 0);
    edit_ste(&bench, stream, |ste| (ste.s1_cd_max, ste.s1_dss) = (1, DefaultSubstream::Bypass));
    assert!(bench.dma(&transaction).is_err());
    // ID 0x10, SSV, StreamID 0x10; RnW; InputAddr; no IPA.
    let words = [0x10_0000_0810, 1 << 35 | 2 << 40, 0xffff_1234_5678, 0];
    assert_eq!(bench.event_words(), Some(words));
}

#[test]
fn c_bad_streamid_is_recorded_with_recinvsid_alone() {
    let mut bench = Bench::new();
    check(&mut bench, &read(256, 0), "C_BAD_STREAMID");
    let mut quiet = Bench::with(Setup { cr2: 0, ..Setup::default() });
    assert_eq!(quiet.refusal(&read(256, 0)), ("C_BAD_STREAMID".to_owned(), None));
    testpoint!(70, 71);
}

#[test]
fn an_abort_of_the_ste_fetch_is_f_ste_fetch() {
    let mut bench = Bench::new();
    bench.memory.fail(ste_at(3), 64);
    let at = ste_at(3).0;
    check(&mut bench, &read(3, 0), &format!("F_STE_FETCH FetchAddr={at:#x}"));
    testpoint!(81);
}

#[test]
fn an_invalid_or_illegal_ste_is_c_bad_ste() {
    let mut bench = Bench::new();
    check(&mut bench, &read(3, 0), "C_BAD_STE");
    // Stage 2 with a reserved granule.
    let (mut bench, stream) = self::bench(Kind::Stage2);
    edit_ste(&bench, stream, |ste| ste.s2_tg = None);
    check(&mut bench, &read(stream, 0), "C_BAD_STE");
    testpoint!(84);
}

#[test]
fn config_abort_aborts_in_silence_whatever_the_substream() {
    let mut bench = Bench::new();
    bench.store(ste_at(3), &[1]);
    let transaction = with_substream(read(3, 0), 5);
    assert_eq!(bench.refusal(&transaction), ("silent".to_owned(), None));
    testpoint!(85);
}

/// (S1CDMax, S1DSS, SubstreamID) gives.
#[test]
fn substreams_are_checked_before_any_cd_is_fetched() {
    use DefaultSubstream::{Bypass, Substream0, Terminate};
    let rows = [
        (0, Terminate, Some(0), "C_BAD_SUBSTREAMID"),
        (2, Terminate, Some(4), "C_BAD_SUBSTREAMID"),
        (2, Terminate, None, "F_STREAM_DISABLED"),
        (2, Substream0, Some(0), "F_STREAM_DISABLED"),
    ];
    for (s1_cd_max, s1_dss, substream, expected) in rows {
        let (mut bench, stream) = bench(Kind::Stage1);
        edit_ste(&bench, stream, |ste| (ste.s1_cd_max, ste.s1_dss) = (s1_cd_max, s1_dss));
        bench.memory.fail(cd_at(stream, 0), 0x1000);
        let substream = substream.map(SubstreamId);
        check(&mut bench, &Transaction { substream, ..read(stream, 0x1000) }, expected);
    }
    let (mut bench, stream) = bench(Kind::Stage1);
    edit_ste(&bench, stream, |ste| (ste.s1_cd_max, ste.s1_dss) = (2, Bypass));
    bench.memory.fail(cd_at(stream, 0), 0x1000);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0x1000), "stage 1 is bypassed");
    testpoint!(115, 116, 117, 118, 121);
}

#[test]
fn a_substream_where_stage_1_is_off_is_c_bad_substreamid() {
    for config in [StreamConfig::Bypass, StreamConfig::Stage2] {
        let (mut bench, stream) = bench(Kind::Stage2);
        edit_ste(&bench, stream, |ste| ste.config = config);
        check(&mut bench, &with_substream(read(stream, 0x1000), 1), "C_BAD_SUBSTREAMID");
    }
    testpoint!(88);
}

#[test]
fn s1dss_1_makes_nested_stage_2_alone() {
    let (mut bench, stream) = bench(Kind::Nested);
    edit_ste(&bench, stream, |ste| {
        (ste.s1_cd_max, ste.s1_dss) = (1, DefaultSubstream::Bypass);
    });
    assert_eq!(output(bench.dma(&read(stream, 0x9000_1234))), Pa(0xb234));
    assert_eq!(output(bench.dma(&with_substream(read(stream, 0x1234), 0))), Pa(0xb234));
    testpoint!(119);
}

#[test]
fn s1dss_2_uses_cd_0() {
    let (mut bench, stream) = bench(Kind::Stage1);
    edit_ste(&bench, stream, |ste| {
        (ste.s1_cd_max, ste.s1_dss) = (1, DefaultSubstream::Substream0);
    });
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0xb000));
    check(&mut bench, &with_substream(read(stream, 0x1000), 1), "C_BAD_CD");
    testpoint!(120);
}

#[test]
fn a_bypass_beyond_the_oas_is_f_addr_size() {
    let mut bench = Bench::new();
    bench.store(ste_at(3), &[1 | 4 << 1]);
    assert_eq!(output(bench.dma(&read(3, (1 << 48) - 8))), Pa((1 << 48) - 8));
    let expected = "F_ADDR_SIZE S2=0 CLASS=IN RnW=1 IPA=0x0";
    check(&mut bench, &read(3, 1 << 48), expected);
    testpoint!(89);
}

#[test]
fn an_input_beyond_the_ias_in_front_of_stage_2_is_f_addr_size_of_stage_1() {
    let (mut bench, stream) = bench(Kind::Stage2);
    edit_ste(&bench, stream, |ste| ste.s2_r = false);
    let expected = "F_ADDR_SIZE S2=0 CLASS=IN RnW=1 IPA=0x0";
    check(&mut bench, &read(stream, 1 << 48), expected);
    // Beyond S2T0SZ alone it is a translation fault, which S2R = 0 does not record.
    assert_eq!(bench.refusal(&read(stream, 1 << 40)), ("F_TRANSLATION".to_owned(), None));
    testpoint!(113);
}

#[test]
fn an_abort_of_the_cd_fetch_is_f_cd_fetch_and_comes_before_c_bad_cd() {
    let (mut bench, stream) = bench(Kind::Nested);
    let at = cd_at(stream, 0);
    bench.store(at, &[0]);
    bench.memory.fail(at, 64);
    check(&mut bench, &read(stream, 0x1000), &format!("F_CD_FETCH FetchAddr={:#x}", at.0));
    bench.memory.repair_all();
    check(&mut bench, &read(stream, 0x1000), "C_BAD_CD");
    testpoint!(128);
}

#[test]
fn stage_2_faults_of_the_cd_fetch_have_class_cd() {
    let (mut bench, stream) = bench(Kind::Nested);
    edit_ste(&bench, stream, |ste| ste.s1_context_ptr = 0x4000_0040);
    let expected = "F_TRANSLATION S2=1 CLASS=CD RnW=0 IPA=0x40000000";
    check(&mut bench, &write(stream, 0x1000), expected);
    // S2R governs them, not the CD.
    edit_ste(&bench, stream, |ste| ste.s2_r = false);
    bench.command([0x03 | u64::from(stream) << 32, 1]);
    let silent = bench.refusal(&write(stream, 0x1000));
    assert_eq!(silent, ("F_TRANSLATION".to_owned(), None));
    testpoint!(166);
}

#[test]
fn stage_2_refuses_the_read_of_a_stage_1_table_with_class_tt() {
    let (mut bench, stream) = bench(Kind::Nested);
    let stage2 = Space { kind: Kind::Stage2, vmid: 1, asid: 0 };
    let write_only = Prot { read: false, write: true, ..Prot::READ };
    bench.map(stage2, 0xa000_0000, RAM.0, 0x1000, write_only);
    edit_cd(&bench, stream, |cd| cd.tables[0].ttb = 0xa000_0000);
    let transaction = read(stream, 0x80_0000_1000); // the second descriptor
    let expected = "F_PERMISSION S2=1 CLASS=TT RnW=1 IPA=0xa0000000";
    let (_, event) = bench.refusal(&transaction);
    let event = event.expect("a record");
    assert_eq!(describe(&event), expected);
    assert!(!event.kind.stage_event().expect("a stage fault").descriptor_write, "TTRnW = 1");
    testpoint!(167, 169);
}

#[test]
fn an_invalid_leaf_of_stage_1_is_class_in_without_ipa() {
    let (mut bench, stream) = bench(Kind::Nested);
    check(&mut bench, &write(stream, 0x2345), "F_TRANSLATION S2=0 CLASS=IN RnW=0 IPA=0x0");
}

#[test]
fn an_abort_on_a_stage_1_descriptor_is_class_tt() {
    let (mut bench, stream) = bench(Kind::Nested);
    let table = bench.table_of(Space { kind: Kind::Nested, vmid: 1, asid: 7 });
    let at = table.root().base;
    bench.memory.fail(Pa(at), 8);
    let expected = format!("F_WALK_EABT S2=0 CLASS=TT RnW=0 FetchAddr={at:#x}");
    check(&mut bench, &write(stream, 0x1000), &expected);
    testpoint!(149);
}

#[test]
fn an_abort_on_a_stage_2_descriptor_of_the_final_ipa_is_class_in() {
    let (mut bench, stream) = bench(Kind::Nested);
    let nested = Space { kind: Kind::Nested, vmid: 1, asid: 7 };
    bench.map(nested, 0x3000, 0x1_0000_3000, 0x1000, Prot::READ_WRITE);
    // The next table of that gigabyte lies where no memory is.
    let root = bench.stage2_table(1).root().base;
    bench.store(Pa(root + 4 * 8), &[0x10_0003]);
    let expected = "F_WALK_EABT S2=1 CLASS=IN RnW=0 FetchAddr=0x100000";
    check(&mut bench, &write(stream, 0x3000), expected);
}

#[test]
fn a_read_only_stage_2_leaf_refuses_the_write_with_its_ipa() {
    let (mut bench, stream) = bench(Kind::Nested);
    let (nested, stage2) = (
        Space { kind: Kind::Nested, vmid: 1, asid: 7 },
        Space { kind: Kind::Stage2, vmid: 1, asid: 0 },
    );
    bench.map(nested, 0x2000, 0x9000_2000, 0x1000, Prot::READ_WRITE);
    bench.map(stage2, 0x9000_2000, 0xc000, 0x1000, Prot::READ);
    let expected = "F_PERMISSION S2=1 CLASS=IN RnW=0 IPA=0x90002000";
    check(&mut bench, &write(stream, 0x2345), expected);
    assert_eq!(output(bench.dma(&read(stream, 0x2345))), Pa(0xc345));
    testpoint!(170);
}

/// A stage 1 fault of the leaf comes before stage 2 looks at its output.
#[test]
fn stage_1_permission_comes_before_stage_2_translation() {
    let (mut bench, stream) = bench(Kind::Nested);
    let nested = Space { kind: Kind::Nested, vmid: 1, asid: 7 };
    bench.map(nested, 0x2000, 0x5000_0000, 0x1000, Prot::READ);
    let expected = "F_PERMISSION S2=0 CLASS=IN RnW=0 IPA=0x0";
    check(&mut bench, &write(stream, 0x2000), expected);
    let expected = "F_TRANSLATION S2=1 CLASS=IN RnW=1 IPA=0x50000000";
    check(&mut bench, &read(stream, 0x2000), expected);
    testpoint!(175);
}

/// Reads give zero and writes are dropped.
fn razwi(refused: &Refused) -> bool {
    refused.response == Response::ReadZeroWriteIgnored
}

/// (A, R, reads give zero, recorded)
#[test]
fn cd_a_and_r_govern_stage_1_faults() {
    for (a, r) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut bench, stream) = bench(Kind::Stage1);
        edit_cd(&bench, stream, |cd| (cd.a, cd.r) = (a, r));
        let refused = bench.dma(&read(stream, 0x2000)).expect_err("not mapped");
        assert_eq!((razwi(&refused), bench.event().is_some()), (!a, r), "A={a} R={r}");
    }
    testpoint!(180, 181, 182);
}

#[test]
fn ste_s2r_governs_stage_2_faults_and_they_abort() {
    for r in [false, true] {
        let (mut bench, stream) = bench(Kind::Nested);
        edit_cd(&bench, stream, |cd| (cd.a, cd.r) = (false, false));
        edit_ste(&bench, stream, |ste| ste.s2_r = r);
        let nested = Space { kind: Kind::Nested, vmid: 1, asid: 7 };
        bench.map(nested, 0x2000, 0x5000_0000, 0x1000, Prot::READ);
        let refused = bench.dma(&read(stream, 0x2000)).expect_err("not mapped by stage 2");
        assert_eq!((razwi(&refused), bench.event().is_some()), (false, r));
    }
    testpoint!(176, 179);
}

/// F_WALK_EABT is recorded and aborts, whatever A and R say.
#[test]
fn an_external_abort_is_always_recorded() {
    let (mut bench, stream) = bench(Kind::Stage1);
    edit_cd(&bench, stream, |cd| (cd.a, cd.r) = (false, false));
    let table = bench.table_of(Space { kind: Kind::Stage1, vmid: 1, asid: 7 });
    bench.memory.fail(Pa(table.root().base), 8);
    let refused = bench.dma(&read(stream, 0x1000)).expect_err("an abort");
    assert!(!razwi(&refused) && bench.event().is_some());
    testpoint!(149, 191);
}

#[test]
fn overrides_of_the_ste_count_for_permissions_and_records() {
    let (mut bench, stream) = bench(Kind::Stage1);
    let space = Space { kind: Kind::Stage1, vmid: 1, asid: 7 };
    let privileged = Prot { privileged: true, ..Prot::READ };
    bench.map(space, 0x2000, 0xc000, 0x1000, privileged);
    assert_eq!(bench.refusal(&read(stream, 0x2000)).0, "F_PERMISSION");
    edit_ste(&bench, stream, |ste| ste.priv_cfg = PrivilegeOverride::Privileged);
    bench.command([0x03 | u64::from(stream) << 32, 1]);
    assert_eq!(output(bench.dma(&read(stream, 0x2000))), Pa(0xc000));
    let (_, event) = bench.refusal(&read(stream, 0x3000));
    let event = event.expect("a record");
    assert!(event.kind.stage_event().expect("a stage fault").access.privileged, "PnU");
    testpoint!(160);
}

#[test]
fn a_two_level_stream_table_is_followed_and_checked() {
    // LOG2SIZE = 8, SPLIT = 6, FMT = 1.
    let setup = Setup { strtab_cfg: 8 | 6 << 6 | 1 << 16, ..Setup::default() };
    let mut bench = Bench::with(setup);
    let level2 = CDS;
    // Span = 3: four STEs. StreamIDs 64 to 67.
    bench.store(STREAM_TABLE.offset(8), &[level2.0 | 3]);
    bench.store(level2.offset(3 * 64), &[1 | 4 << 1]);
    assert_eq!(output(bench.dma(&read(67, 0x40))), Pa(0x40));
    check(&mut bench, &read(68, 0), "C_BAD_STREAMID");
    check(&mut bench, &read(0, 0), "C_BAD_STREAMID");
    bench.memory.fail(STREAM_TABLE, 8);
    let expected = format!("F_STE_FETCH FetchAddr={:#x}", STREAM_TABLE.0);
    check(&mut bench, &read(1, 0), &expected);
    testpoint!(78, 80);
}

#[test]
fn a_two_level_cd_table_is_followed_and_checked() {
    let (mut bench, stream) = bench(Kind::Stage1);
    let words: [u64; 8] =
        std::array::from_fn(|word| bench.load(cd_at(stream, 0).offset(word as u64 * 8)));
    let (level1, leaf) = (CDS.offset(0x10_0000), CDS.offset(0x11_0000));
    edit_ste(&bench, stream, |ste| {
        (ste.s1_cd_max, ste.s1_fmt) = (8, CdFormat::Leaf4K);
        ste.s1_context_ptr = level1.0;
    });
    bench.store(level1.offset(8), &[leaf.0 | 1]);
    bench.store(leaf.offset(2 * 64), &words);
    assert_eq!(output(bench.dma(&with_substream(read(stream, 0x1000), 66))), Pa(0xb000));
    let invalid = with_substream(read(stream, 0x1000), 3);
    check(&mut bench, &invalid, "C_BAD_SUBSTREAMID");
    bench.memory.fail(level1, 8);
    let expected = format!("F_CD_FETCH FetchAddr={:#x}", level1.0);
    check(&mut bench, &invalid, &expected);
    testpoint!(126);
}

/// EPD1 = 1: every address of the upper half faults.
#[test]
fn a_disabled_half_is_a_translation_fault() {
    let (mut bench, stream) = bench(Kind::Stage1);
    let expected = "F_TRANSLATION S2=0 CLASS=IN RnW=1 IPA=0x0";
    check(&mut bench, &read(stream, 0xffff_8000_0000_1000), expected);
    testpoint!(139);
}

#[test]
fn e0pd_refuses_unprivileged_accesses_also_where_an_entry_is_cached() {
    let mut setup = Setup::default();
    setup.ids.idr3 |= 1 << 13; // IDR3.E0PD
    let (mut bench, stream) = bench_with(setup, Kind::Stage1);
    edit_cd(&bench, stream, |cd| cd.tables[0].e0pd = true);
    let mut privileged = read(stream, 0x1000);
    privileged.access.privileged = true;
    assert_eq!(output(bench.dma(&privileged)), Pa(0xb000));
    assert_eq!(bench.refusal(&read(stream, 0x1000)).0, "F_TRANSLATION");
    testpoint!(164);
}

/// A refused transaction is in flight until its end, like any other.
#[test]
fn events_of_an_smmu_that_is_disabled_meanwhile_are_still_written() {
    let mut bench = Bench::new();
    let _ = bench.ports[0].translate(&bench.memory, &read(3, 0));
    bench.write(at::CR0, common::EVENTQEN);
    bench.ports[0].end();
    assert_eq!(describe(&bench.event().expect("a record")), "C_BAD_STE");
}
