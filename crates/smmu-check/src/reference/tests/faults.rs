//! The reporting examples of the translation procedure: Config 7, which stage faults, on what.

use super::*;
use FaultClass::{Cd as ForCd, In, Tt};
use StageFaultKind::{AccessFlag, AddressSize, Permission, Translation};

const VA: u64 = 0x1000;
const IPA: u64 = 0x3000;

/// Everything is mapped for a write to `VA`.
fn nested() -> Bench {
    let bench = Bench::new(ste(7), cd());
    bench.stage1_tables().stage2_tables();
    bench.write(S1[3] + 8, IPA | S1_PAGE).write(S2[2] + 3 * 8, 0x9000_7000 | S2_PAGE);
    bench
}

#[test]
fn the_nested_bench_translates() {
    assert_eq!(nested().write_to(VA).output(), Some(Pa(0x9000_7000)));
}

#[test]
fn stage2_has_no_mapping_for_the_cd() {
    let bench = nested();
    bench.write(S2[0] + 8, 0);
    assert_eq!(bench.write_to(VA), stage2(Translation, ForCd, CD));
}

#[test]
fn stage2_refuses_the_read_of_a_stage1_table() {
    let bench = nested();
    let elsewhere = 0x5000; // an IPA whose stage 2 page is write-only
    bench.write(S1[2], elsewhere | TABLE);
    bench.write(S2[2] + 5 * 8, 0x4013_0000 | (S2_PAGE & !(1 << 6)));
    assert_eq!(bench.write_to(VA), stage2(Permission, Tt, elsewhere + 8));
}

#[test]
fn an_invalid_leaf_of_stage1() {
    let bench = nested();
    bench.write(S1[3] + 8, 0);
    assert_eq!(bench.write_to(VA), stage1(Translation));
    bench.write(S1[3] + 8, IPA | (S1_PAGE & !2)); // reserved at level 3
    assert_eq!(bench.write_to(VA), stage1(Translation));
}

#[test]
fn an_external_abort_on_a_stage1_descriptor() {
    let bench = nested();
    let hole = 0x1_0000_0000;
    bench.write(S2[0] + 3 * 8, hole | (S2_PAGE & !2)); // 1 GiB of IPAs where nothing answers
    bench.write(S1[2], 0xc000_0000 | TABLE);
    let abort = Fault::WalkExternalAbort { stage: Stage::Stage1, class: Tt, address: Pa(hole + 8) };
    assert_eq!(bench.write_to(VA), refuses(abort));
}

#[test]
fn an_external_abort_on_a_stage2_descriptor() {
    let bench = nested();
    bench.write(S2[1], 0x1_0000_0000 | TABLE);
    let address = Pa(0x1_0000_0000 + 3 * 8);
    let abort = Fault::WalkExternalAbort { stage: Stage::Stage2, class: In, address };
    assert_eq!(bench.write_to(VA), refuses(abort));
}

#[test]
fn the_final_ipa_is_read_only() {
    let bench = nested();
    bench.write(S2[2] + 3 * 8, 0x9000_7000 | (S2_PAGE & !(1 << 7)));
    assert_eq!(bench.write_to(VA), stage2(Permission, In, IPA));
    assert_eq!(bench.read(VA).output(), Some(Pa(0x9000_7000)));
}

#[test]
fn the_access_flag_comes_before_permission() {
    let bench = nested();
    let read_only_no_af = IPA | (S1_PAGE & !(1 << 10)) | 1 << 7;
    bench.write(S1[3] + 8, read_only_no_af);
    assert_eq!(bench.write_to(VA), stage1(AccessFlag));
    bench.write(S1[3] + 8, read_only_no_af | 1 << 10);
    assert_eq!(bench.write_to(VA), stage1(Permission));
}

#[test]
fn the_access_flag_of_stage2() {
    let bench = nested();
    bench.write(S2[2] + 3 * 8, 0x9000_7000 | (S2_PAGE & !(1 << 10)));
    assert_eq!(bench.write_to(VA), stage2(AccessFlag, In, IPA));
}

#[test]
fn output_beyond_the_size_of_the_stage() {
    let bench = nested();
    bench.write(S1[1], 1 << 44 | TABLE);
    assert_eq!(bench.write_to(VA), stage1(AddressSize));
    let bench = nested();
    bench.write(S2[2] + 3 * 8, 1 << 45 | S2_PAGE);
    assert_eq!(bench.write_to(VA), stage2(AddressSize, In, IPA));
}

#[test]
fn an_ipa_outside_the_input_of_stage2() {
    let bench = nested();
    bench.write(S1[3] + 8, 1 << 39 | S1_PAGE);
    assert_eq!(bench.write_to(VA), stage2(Translation, In, 1 << 39));
}

#[test]
fn protected_walks_refuse_tables_in_device_memory() {
    let mut words = ste(7);
    words[2] |= 1 << 54; // S2PTW
    let bench = Bench::new(words, cd());
    bench.stage1_tables().stage2_tables();
    for device in [0, 1, 2, 3, 4, 8, 12] {
        let normal = S2_PAGE & !(2 | 0xf << 2);
        bench.write(S2[0] + 0x8000, STRTAB | normal | device << 2);
        assert_eq!(bench.write_to(VA), stage2(Permission, ForCd, CD), "MemAttr = {device}");
    }
}
