//! Registers, stream table, STE, CD table and CD.

use super::*;

fn with_ste(change: impl Fn(&mut [u64; 8])) -> Allowed {
    let mut words = ste(7);
    change(&mut words);
    Bench::new(words, cd()).read(0)
}

fn with_cd(change: impl Fn(&mut [u64; 8])) -> Allowed {
    let mut words = cd();
    change(&mut words);
    Bench::new(ste(5), words).read(0)
}

#[test]
fn a_disabled_smmu_passes_or_aborts_in_silence() {
    let mut bench = Bench::new([0; 8], [0; 8]);
    bench.reference.globals.smmuen = false;
    assert_eq!(bench.read(0x1234), Allowed::Bypass(Pa(0x1234)));
    assert_eq!(bench.read(1 << 44), Allowed::Refuses(None));
    bench.reference.globals.gbpa_abort = true;
    assert_eq!(bench.read(0x1234), Allowed::Refuses(None));
}

#[test]
fn config_0xx_aborts_in_silence_and_invalid_is_c_bad_ste() {
    assert_eq!(with_ste(|ste| ste[0] = 1), Allowed::Refuses(None));
    assert_eq!(with_ste(|ste| ste[0] &= !1), refuses(Fault::BadSte));
}

#[test]
fn bypass_passes_up_to_the_oas() {
    let bench = Bench::new(ste(4), [0; 8]);
    assert_eq!(bench.read((1 << 44) - 1), Allowed::Bypass(Pa((1 << 44) - 1)));
    assert_eq!(bench.read(1 << 44), stage1(StageFaultKind::AddressSize));
}

#[test]
fn a_stream_outside_the_table_is_c_bad_streamid() {
    let mut bench = Bench::new(ste(4), [0; 8]);
    bench.reference.globals.strtab_log2size = 2;
    assert_eq!(bench.read(0), refuses(Fault::BadStreamId));
}

#[test]
fn an_ste_that_cannot_be_read_is_f_ste_fetch() {
    let mut bench = Bench::new(ste(4), [0; 8]);
    bench.reference.globals.strtab_base = Pa(0x100_0000);
    assert_eq!(bench.read(0), refuses(Fault::SteFetch(Pa(0x100_0000 + 5 * 64))));
}

/// The field as written, and not the StreamIDs that are implemented, aligns the base.
#[test]
fn a_stream_table_is_aligned_to_the_size_that_log2size_says() {
    let mut bench = Bench::new(ste(4), [0; 8]);
    for log2size in [40, 63] {
        bench.reference.globals.strtab_log2size = log2size;
        assert_eq!(bench.read(0), refuses(Fault::SteFetch(Pa(5 * 64))), "{log2size}");
    }
}

#[test]
fn two_levels_of_stream_table() {
    let mut bench = Bench::new([0; 8], [0; 8]);
    bench.reference.globals = Globals {
        two_level: true,
        split: 6,
        strtab_base: Pa(STRTAB + 0x8000),
        ..bench.reference.globals
    };
    bench.write(STRTAB + 0x1_8000 + 5 * 64, ste(4)[0]);
    let level1 = |word| {
        bench.write(STRTAB + 0x8000, word);
        bench.read(0x77)
    };
    let l2ptr = STRTAB + 0x1_8000;
    assert_eq!(level1(l2ptr | 7), Allowed::Bypass(Pa(0x77))); // 64 STEs
    assert_eq!(level1(l2ptr | 4), Allowed::Bypass(Pa(0x77))); // 8 STEs
    for bad in [l2ptr, l2ptr | 3, l2ptr | 8, l2ptr | 12] {
        assert_eq!(level1(bad), refuses(Fault::BadStreamId), "{bad:#x}"); // span 0, short, long
    }
}

#[test]
fn illegal_stes() {
    type Change = fn(&mut [u64; 8]);
    let changes: [(&str, Change); 8] = [
        ("S1STALLD is legal with both fault models, S2TG = 3 is not", |s| s[2] |= 3 << 46),
        ("S2AA64 = 0", |s| s[2] &= !(1 << 51)),
        ("S2HA without HTTU", |s| s[2] |= 1 << 56),
        ("S2T0SZ = 40 without STT", |s| s[2] = s[2] & !(0x3f << 32) | 40 << 32),
        ("S2T0SZ = 19 is more than IAS", |s| s[2] = s[2] & !(0x3f << 32) | 19 << 32),
        ("level 0 for 39 bits", |s| s[2] = s[2] & !(3 << 38) | 2 << 38),
        ("S2TTB beyond S2PS", |s| s[3] |= 1 << 45),
        ("S1CDMax above SSIDSIZE", |s| s[0] |= 17 << 59),
    ];
    for (what, change) in changes {
        assert_eq!(with_ste(change), refuses(Fault::BadSte), "{what}");
    }
}

#[test]
fn illegal_cds() {
    type Change = fn(&mut [u64; 8]);
    let changes: [(&str, Change); 7] = [
        ("V = 0", |c| c[0] &= !(1 << 31)),
        ("AA64 = 0", |c| c[0] &= !(1 << 41)),
        ("HA without HTTU", |c| c[0] |= 1 << 43),
        ("T0SZ = 40 without STT", |c| c[0] = c[0] & !0x3f | 40),
        ("T0SZ = 15", |c| c[0] = c[0] & !0x3f | 15),
        ("TG0 = 3", |c| c[0] |= 3 << 6),
        ("TTB0 beyond IPS", |c| c[1] |= 1 << 44),
    ];
    for (what, change) in changes {
        assert_eq!(with_cd(change), refuses(Fault::BadCd), "{what}");
    }
    // TG1 and T1SZ are not looked at: EPD1 = 1.
    assert_eq!(with_cd(|c| c[0] |= 63 << 16), stage1(StageFaultKind::Translation));
}

#[test]
fn substreams_choose_the_cd() {
    let substream = |dss: u64, ssid: Option<u32>| {
        let mut ste = ste(5);
        ste[0] |= 2 << 59; // four CDs
        ste[1] = dss;
        let bench = Bench::new(ste, cd());
        bench.ram.write_words(Pa(CD + 3 * 64), &cd()).unwrap();
        bench.stage1_tables().write(S1[3], 0x8000_0000 | S1_PAGE);
        let transaction = Transaction { substream: ssid.map(SubstreamId), ..read(0) };
        bench.rule(&transaction).allowed
    };
    assert_eq!(substream(0, None), refuses(Fault::StreamDisabled));
    assert_eq!(substream(3, None), refuses(Fault::StreamDisabled));
    assert_eq!(substream(1, None), Allowed::Bypass(Pa(0)));
    assert_eq!(substream(2, None).output(), Some(Pa(0x8000_0000)));
    assert_eq!(substream(2, Some(0)), refuses(Fault::StreamDisabled));
    assert_eq!(substream(0, Some(0)).output(), Some(Pa(0x8000_0000)));
    assert_eq!(substream(0, Some(3)).output(), Some(Pa(0x8000_0000)));
    assert_eq!(substream(0, Some(2)), refuses(Fault::BadCd));
    assert_eq!(substream(0, Some(4)), refuses(Fault::BadSubstreamId));
}

#[test]
fn a_substream_needs_a_cd_table() {
    for config in [4, 5, 6] {
        let transaction = Transaction { substream: Some(SubstreamId(0)), ..read(0) };
        let allowed = Bench::new(ste(config), cd()).rule(&transaction).allowed;
        assert_eq!(allowed, refuses(Fault::BadSubstreamId), "Config = {config}");
    }
}

#[test]
fn two_levels_of_cd_table() {
    let mut ste = ste(5);
    ste[0] |= 8 << 59 | 1 << 4; // 256 CDs in leaves of 64
    let bench = Bench::new(ste, [0; 8]);
    let leaf = 0x4005_0000;
    bench.ram.write_words(Pa(leaf + 64), &cd()).unwrap();
    bench.stage1_tables().write(S1[3], 0x8000_0000 | S1_PAGE);
    let transaction = Transaction { substream: Some(SubstreamId(65)), ..read(0) };
    assert_eq!(bench.rule(&transaction).allowed, refuses(Fault::BadSubstreamId));
    bench.write(CD + 8, leaf | 1);
    assert_eq!(bench.rule(&transaction).allowed.output(), Some(Pa(0x8000_0000)));
}

#[test]
fn el2_has_one_table_and_no_tags() {
    let mut words = ste(5);
    words[1] = 2 << 30; // STRW = EL2
    let mut bench = Bench::new(words, cd());
    bench.reference.features.hyp = true;
    bench.stage1_tables().write(S1[3], 0x8000_0000 | S1_PAGE);
    let found = bench.translation(0);
    assert_eq!((found.space.vmid.0, found.space.asid.0, found.global), (0, 0, true));
    bench.reference.globals.e2h = true;
    let found = bench.translation(0);
    assert_eq!((found.space.vmid.0, found.space.asid.0, found.global), (0, 9, false));
}
