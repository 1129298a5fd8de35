//! Commands as values: one entry of every layout written out by hand from the field tables, the
//! text that a person reads, and the edges of ranges.

use smmu_arch::{
    AddressScope, Asid, AsidMatch, AtcInv, CfgiCd, CfgiCdAll, CfgiSte, CfgiSteRange, CfgiVmsPidm,
    CmdSync, Command, CommandFeatures, ConfigScope, DptiPa, Granule, Invalidation, Iova, Pa,
    PrefetchAddr, PrefetchConfig, PriResp, PriResponse, Resume, ResumeAction, Shareability,
    StallTerm, StreamId, SubstreamId, SyncSignal, TlbScope, TlbiAsid, TlbiEl2Va, TlbiEl2Vaa,
    TlbiIpa, TlbiRange, TlbiVa, TlbiVaa, TlbiVmid, TlbiVmidAsid, Vmid, VmidMatch,
};

/// Words, value and text say the same.
fn check(words: [u64; 2], command: Command, text: &str) {
    assert_eq!(Command::decode(&words), Ok(command), "{text}");
    assert_eq!(command.encode(), words, "{text}");
    assert_eq!(command.to_string(), text);
}

const STREAM: StreamId = StreamId(0x89ab_cdef);
const SUBSTREAM: SubstreamId = SubstreamId(0x1_2345);

#[test]
fn prefetch() {
    check(
        [0x89ab_cdef_1234_5801, 0],
        Command::PrefetchConfig(PrefetchConfig { stream: STREAM, substream: Some(SUBSTREAM) }),
        "CMD_PREFETCH_CONFIG stream=0x89abcdef substream=0x12345",
    );
    check(
        [0x89ab_cdef_0000_0002, 0xffff_8000_1234_5043],
        Command::PrefetchAddr(PrefetchAddr {
            stream: STREAM,
            substream: None,
            size_log2: 3,
            stride_log2: 2,
            address: Iova(0xffff_8000_1234_5000),
        }),
        "CMD_PREFETCH_ADDR stream=0x89abcdef address=0xffff800012345000 size=3 stride=2",
    );
}

#[test]
fn configuration() {
    check(
        [0x89ab_cdef_0000_0003, 1],
        Command::CfgiSte(CfgiSte { stream: STREAM, leaf: true }),
        "CMD_CFGI_STE stream=0x89abcdef leaf",
    );
    check(
        [0x89ab_cdef_0000_0004, 7],
        Command::CfgiSteRange(CfgiSteRange { stream: STREAM, range: 7 }),
        "CMD_CFGI_STE_RANGE stream=0x89abcdef range=7",
    );
    check([0x04, 31], Command::CfgiAll, "CMD_CFGI_ALL");
    check(
        [0x89ab_cdef_1234_5005, 0],
        Command::CfgiCd(CfgiCd { stream: STREAM, substream: SUBSTREAM, leaf: false }),
        "CMD_CFGI_CD stream=0x89abcdef substream=0x12345",
    );
    check(
        [0x89ab_cdef_0000_0006, 0],
        Command::CfgiCdAll(CfgiCdAll { stream: STREAM }),
        "CMD_CFGI_CD_ALL stream=0x89abcdef",
    );
    check(
        [0x0000_1234_0000_0007, 0],
        Command::CfgiVmsPidm(CfgiVmsPidm { vmid: Vmid(0x1234) }),
        "CMD_CFGI_VMS_PIDM vmid=0x1234",
    );
}

#[test]
fn tlbi_by_tag() {
    let vmid = Vmid(0x1234);
    let asid = Asid(0x5678);
    check(
        [0x0000_1234_0000_0010, 0],
        Command::TlbiNhAll(TlbiVmid { vmid }),
        "CMD_TLBI_NH_ALL vmid=0x1234",
    );
    check(
        [0x5678_1234_0000_0011, 0],
        Command::TlbiNhAsid(TlbiVmidAsid { vmid, asid }),
        "CMD_TLBI_NH_ASID vmid=0x1234 asid=0x5678",
    );
    check([0x20, 0], Command::TlbiEl2All, "CMD_TLBI_EL2_ALL");
    check(
        [0x5678_0000_0000_0021, 0],
        Command::TlbiEl2Asid(TlbiAsid { asid }),
        "CMD_TLBI_EL2_ASID asid=0x5678",
    );
    check(
        [0x0000_1234_0000_0028, 0],
        Command::TlbiS12Vmall(TlbiVmid { vmid }),
        "CMD_TLBI_S12_VMALL vmid=0x1234",
    );
    check([0x30, 0], Command::TlbiNsnhAll, "CMD_TLBI_NSNH_ALL");
}

#[test]
fn tlbi_by_address() {
    let vmid = Vmid(1);
    let asid = Asid(2);
    check(
        [0x0002_0001_0000_0012, 0x1001],
        Command::TlbiNhVa(TlbiVa { vmid, asid, range: TlbiRange::single(0x1000, true) }),
        "CMD_TLBI_NH_VA vmid=0x1 asid=0x2 va=0x1000 leaf",
    );
    // NUM = 4, SCALE = 2, TTL = 3, TG = 1, Leaf = 0.
    let range = TlbiRange::granules(0x4000_0000, Granule::K4, 4, 2, false).with_level(3);
    check(
        [0x0002_0001_0020_4012, 0x4000_0700],
        Command::TlbiNhVa(TlbiVa { vmid, asid, range }),
        "CMD_TLBI_NH_VA vmid=0x1 asid=0x2 va=0x40000000 tg=4K num=4 scale=2 ttl=3",
    );
    // SCALE = 33, TTL128 = 1, TG = 3.
    let wide = TlbiRange {
        level_128: true,
        ..TlbiRange::granules(0xffff_0000_0000_0000, Granule::K64, 0, 33, true)
    };
    check(
        [0x0000_0001_0210_0013, 0xffff_0000_0000_0c81],
        Command::TlbiNhVaa(TlbiVaa { vmid, range: wide }),
        "CMD_TLBI_NH_VAA vmid=0x1 va=0xffff000000000000 tg=64K num=0 scale=33 ttl=0 leaf",
    );
    let single = TlbiRange::single(0x1000, false);
    check(
        [0x0002_0000_0000_0022, 0x1000],
        Command::TlbiEl2Va(TlbiEl2Va { asid, range: single }),
        "CMD_TLBI_EL2_VA asid=0x2 va=0x1000",
    );
    check(
        [0x23, 0x1000],
        Command::TlbiEl2Vaa(TlbiEl2Vaa { range: single }),
        "CMD_TLBI_EL2_VAA va=0x1000",
    );
    // An IPA has bits [55:12].
    check(
        [0x0000_0001_0001_f02a, 0x00ff_0000_0000_1900],
        Command::TlbiS2Ipa(TlbiIpa {
            vmid,
            range: TlbiRange::granules(0x00ff_0000_0000_1000, Granule::K16, 31, 0, false)
                .with_level(1),
        }),
        "CMD_TLBI_S2_IPA vmid=0x1 ipa=0xff000000001000 tg=16K num=31 scale=0 ttl=1",
    );
}

#[test]
fn endpoints() {
    check(
        [0x89ab_cdef_1234_5a40, 0x1_2345_6009],
        Command::AtcInv(AtcInv {
            stream: STREAM,
            substream: Some(SUBSTREAM),
            global: true,
            size_log2: 9,
            address: Iova(0x1_2345_6000),
        }),
        "CMD_ATC_INV stream=0x89abcdef substream=0x12345 address=0x123456000 size=9 global",
    );
    check(
        [0x89ab_cdef_1234_5841, 0x2123],
        Command::PriResp(PriResp {
            stream: STREAM,
            substream: Some(SUBSTREAM),
            group: 0x123,
            response: PriResponse::Success,
        }),
        "CMD_PRI_RESP stream=0x89abcdef substream=0x12345 group=0x123 response=success",
    );
}

#[test]
fn stalls_and_sync() {
    let resume = |action| Command::Resume(Resume { stream: STREAM, stag: 0xbeef, action });
    let text = "CMD_RESUME stream=0x89abcdef stag=0xbeef";
    let retry = resume(ResumeAction::Retry);
    check([0x89ab_cdef_0000_1044, 0xbeef], retry, &format!("{text} retry"));
    let abort = resume(ResumeAction::Abort);
    check([0x89ab_cdef_0000_2044, 0xbeef], abort, &format!("{text} abort"));
    let discard = resume(ResumeAction::Discard);
    check([0x89ab_cdef_0000_0044, 0xbeef], discard, &format!("{text} discard"));
    check(
        [0x89ab_cdef_0000_0045, 0],
        Command::StallTerm(StallTerm { stream: STREAM }),
        "CMD_STALL_TERM stream=0x89abcdef",
    );
    // CS = 1, MSH = 3, MSIAttr = 0xf, MSIAddress = 0x0812_3456_789c.
    let sync = CmdSync {
        signal: SyncSignal::Irq,
        shareability: Shareability::Inner,
        memory_attributes: 0xf,
        data: 0xdead_beef,
        address: Pa(0x0812_3456_789c),
    };
    check(
        [0xdead_beef_0fc0_1046, 0x0812_3456_789c],
        Command::Sync(sync),
        "CMD_SYNC cs=irq msi=0x8123456789c data=0xdeadbeef",
    );
    check([0x46, 0], Command::Sync(CmdSync::POLLED), "CMD_SYNC cs=none");
}

#[test]
fn device_permission_table() {
    check([0x70, 0], Command::DptiAll, "CMD_DPTI_ALL");
    check(
        [0x73, 0x4020_0301],
        Command::DptiPa(DptiPa { leaf: true, size: 3, address: Pa(0x4020_0000) }),
        "CMD_DPTI_PA pa=0x40200000 size=3 leaf",
    );
}

#[test]
fn cfgi_ste_range_is_the_aligned_block_around_the_stream() {
    let range = |range| CfgiSteRange { stream: StreamId(0x1237), range };
    let scope = Command::CfgiSteRange(range(3)).scope(&CommandFeatures::ALL, false, 0);
    let block = ConfigScope::SteRange { first: StreamId(0x1230), log2: 4 };
    assert_eq!(scope, Some(Invalidation::Configuration(block)));
    assert_eq!(range(0).first(), StreamId(0x1236));
    assert_eq!((range(30).first(), range(30).log2()), (StreamId(0), 31));
}

#[test]
fn an_atc_invalidation_covers_its_aligned_region() {
    let region = |size_log2| {
        let address = Iova(0x1234_5000);
        let c = AtcInv { stream: STREAM, substream: None, global: false, size_log2, address };
        (c.first().0, c.last().0)
    };
    assert_eq!(region(0), (0x1234_5000, 0x1234_5fff));
    assert_eq!(region(4), (0x1234_0000, 0x1234_ffff));
    assert_eq!(region(52), (0, u64::MAX));
}

fn addresses(range: TlbiRange, features: CommandFeatures) -> (u64, u64) {
    let AddressScope { first, last, .. } = range.scope(&features);
    (first, last)
}

#[test]
fn a_range_is_num_plus_one_times_two_to_the_scale_granules() {
    let all = CommandFeatures::ALL;
    let range = |granule, num, scale| TlbiRange::granules(0x10_0000, granule, num, scale, false);
    assert_eq!(addresses(range(Granule::K4, 1, 0), all), (0x10_0000, 0x10_1fff));
    assert_eq!(addresses(range(Granule::K16, 2, 1), all), (0x10_0000, 0x11_7fff));
    assert_eq!(addresses(range(Granule::K64, 0, 4), all), (0x10_0000, 0x1f_ffff));
}

#[test]
fn a_range_ends_at_the_end_of_the_address_space() {
    let no_ds = CommandFeatures { ds: false, ..CommandFeatures::ALL };
    let top = TlbiRange::granules(0xffff_ffff_ffff_f000, Granule::K4, 31, 31, false);
    assert_eq!(addresses(top, no_ds), (0xffff_ffff_ffff_f000, u64::MAX));
    let widest = TlbiRange::granules(0, Granule::K64, 31, 63, false);
    assert_eq!(addresses(widest, CommandFeatures::ALL), (0, (1 << 60) - 1));
}

#[test]
fn scale_has_five_bits_without_ds_and_stops_at_39_with_it() {
    let no_ds = CommandFeatures { ds: false, ..CommandFeatures::ALL };
    let range = |scale| TlbiRange::granules(0, Granule::K4, 0, scale, false);
    assert_eq!(addresses(range(33), no_ds), (0, 0x1fff));
    assert_eq!(addresses(range(39), CommandFeatures::ALL), (0, (1 << 51) - 1));
    assert_eq!(addresses(range(63), CommandFeatures::ALL), (0, (1 << 51) - 1));
}

#[test]
fn without_ril_a_range_is_its_first_address() {
    let no_ril = CommandFeatures { ril: false, ..CommandFeatures::ALL };
    let range = TlbiRange::granules(0x1000, Granule::K4, 3, 3, true).with_level(2);
    let scope = range.scope(&no_ril);
    let single = AddressScope { first: 0x1000, last: 0x1000, leaf: true, level: 0, granule: None };
    assert_eq!(scope, single);
}

#[test]
fn a_level_1_hint_of_the_16k_granule_counts_only_with_ds() {
    let range = TlbiRange::granules(0, Granule::K16, 1, 0, false).with_level(1);
    assert_eq!(range.scope(&CommandFeatures::ALL).level, 1);
    let no_ds = CommandFeatures { ds: false, ..CommandFeatures::ALL };
    assert_eq!(range.scope(&no_ds).level, 0);
}

fn translations(command: Command, features: CommandFeatures, vmw_ignore: u16) -> TlbScope {
    match command.scope(&features, false, vmw_ignore) {
        Some(Invalidation::Translations(scope)) => scope,
        other => panic!("{command}: {other:?}"),
    }
}

#[test]
fn the_vmid_is_compared_as_the_implementation_has_it() {
    let command = Command::TlbiNhAll(TlbiVmid { vmid: Vmid(0x1234) });
    let all = CommandFeatures::ALL;
    let vmid = |features, ignore| translations(command, features, ignore).vmid;
    assert_eq!(vmid(all, 7), VmidMatch::Like { vmid: Vmid(0x1234), ignore: 7 });
    let small = CommandFeatures { vmid16: false, ..all };
    assert_eq!(vmid(small, 0), VmidMatch::Like { vmid: Vmid(0x34), ignore: 0 });
    assert_eq!(vmid(CommandFeatures { stage2: false, ..all }, 7), VmidMatch::Any);
}

#[test]
fn the_asid_has_eight_bits_without_asid16() {
    let command = Command::TlbiNhAsid(TlbiVmidAsid { vmid: Vmid(1), asid: Asid(0x5678) });
    let small = CommandFeatures { asid16: false, ..CommandFeatures::ALL };
    assert_eq!(translations(command, small, 0).asid, AsidMatch::NonGlobal(Asid(0x78)));
}

#[test]
fn values_too_wide_for_their_field_are_cut_not_refused() {
    let stream = StreamId(u32::MAX);
    let wide = Command::AtcInv(AtcInv {
        stream,
        substream: Some(SubstreamId(u32::MAX)),
        global: false,
        size_log2: 0xff,
        address: Iova(u64::MAX),
    });
    assert_eq!(wide.encode(), [0xffff_ffff_ffff_f840, 0xffff_ffff_ffff_f03f]);
}
