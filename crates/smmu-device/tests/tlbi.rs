//! Each TLBI drops exactly what it names. Section "Commands", TLB invalidation.
//!
//! That entries outside of the scope stay is a choice of this model; that those inside go is the
//! architecture's.

mod common;

use common::{Setup, check, check_with};
use smmu_arch::IdRegisters;
use smmu_testpoint::testpoint;

#[test]
fn tlbi_nh_asid_removes_only_the_named_asid() {
    check(
        "map vmid=1 asid=7 0x1000 -> 0x8000
         map vmid=1 asid=8 0x1000 -> 0x9000
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma vmid=1 asid=8 0x1000 => 0x9000 walk
         cmd TLBI_NH_ASID vmid=1 asid=7; CMD_SYNC
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma vmid=1 asid=8 0x1000 => 0x9000 hit",
    );
}

#[test]
fn a_stale_entry_is_used_until_it_is_invalidated() {
    check(
        "map asid=7 0x1000 -> 0x8000
         dma asid=7 0x1000 => 0x8000 walk
         unmap asid=7 0x1000
         dma asid=7 0x1000 => 0x8000 hit
         cmd TLBI_NH_VA asid=7 0x1000; CMD_SYNC
         dma asid=7 0x1000 => F_TRANSLATION",
    );
    testpoint!(51, 211, 227);
}

#[test]
fn a_fault_is_not_cached() {
    check(
        "map asid=7 0x2000 -> 0x9000
         dma asid=7 0x1000 => F_TRANSLATION
         map asid=7 0x1000 -> 0x8000
         dma asid=7 0x1000 => 0x8000 walk",
    );
    testpoint!(162);
}

#[test]
fn tlbi_nh_all_removes_stage_1_of_the_vmid_and_spares_stage_2() {
    check(
        "map vmid=1 asid=7 0x1000 -> 0x8000
         map vmid=1 asid=7 0x2000 -> 0x9000 global
         map vmid=2 asid=7 0x1000 -> 0xa000
         map s2 vmid=1 0x1000 -> 0xb000
         map nested vmid=1 asid=3 0x5000 -> 0x1000
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma vmid=1 asid=7 0x2000 => 0x9000 walk
         dma vmid=2 asid=7 0x1000 => 0xa000 walk
         dma s2 vmid=1 0x1000 => 0xb000 walk
         dma nested vmid=1 asid=3 0x5000 => 0xb000 walk
         cmd TLBI_NH_ALL vmid=1; CMD_SYNC
         dma vmid=2 asid=7 0x1000 => 0xa000 hit
         dma s2 vmid=1 0x1000 => 0xb000 hit
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma vmid=1 asid=7 0x2000 => 0x9000 walk
         dma nested vmid=1 asid=3 0x5000 => 0xb000 walk",
    );
}

#[test]
fn a_global_entry_serves_every_asid_and_survives_tlbi_nh_asid() {
    check(
        "map asid=7 0x1000 -> 0x8000 global
         map asid=8 0x1000 -> 0x8000 global
         dma asid=7 0x1000 => 0x8000 walk
         dma asid=8 0x1000 => 0x8000 hit
         cmd TLBI_NH_ASID asid=7; TLBI_NH_ASID asid=8; CMD_SYNC
         dma asid=7 0x1000 => 0x8000 hit
         cmd TLBI_NH_VA asid=99 0x1000; CMD_SYNC
         dma asid=7 0x1000 => 0x8000 walk",
    );
    testpoint!(213, 214);
}

#[test]
fn tlbi_nh_va_removes_one_page_of_one_asid_and_vaa_of_all() {
    check(
        "map asid=7 0x1000 -> 0x8000 size=0x2000
         map asid=8 0x1000 -> 0xa000 size=0x2000
         dma asid=7 0x1000 => 0x8000 walk
         dma asid=7 0x2000 => 0x9000 walk
         dma asid=8 0x1000 => 0xa000 walk
         cmd TLBI_NH_VA asid=7 0x1000; CMD_SYNC
         dma asid=7 0x2000 => 0x9000 hit
         dma asid=8 0x1000 => 0xa000 hit
         dma asid=7 0x1000 => 0x8000 walk
         cmd TLBI_NH_VAA 0x1000; CMD_SYNC
         dma asid=7 0x2000 => 0x9000 hit
         dma asid=7 0x1000 => 0x8000 walk
         dma asid=8 0x1000 => 0xa000 walk",
    );
    testpoint!(212, 215);
}

#[test]
fn tlbi_with_any_address_of_a_block_removes_it() {
    check(
        "map asid=7 0x200000 -> 0x40000000 size=0x200000
         dma asid=7 0x212345 => 0x40012345 walk
         dma asid=7 0x3ffff8 => 0x401ffff8 hit
         cmd TLBI_NH_VA asid=7 0x3ff000; CMD_SYNC
         dma asid=7 0x200000 => 0x40000000 walk",
    );
}

/// The entry is a page, because stage 2 maps pages; the block of stage 1 is what TLBI names.
#[test]
fn a_block_that_the_other_stage_cut_is_removed_by_any_of_its_addresses() {
    check(
        "map s2 vmid=1 0x40000000 -> 0xc0000000 size=0x1000
         map s2 vmid=1 0x40001000 -> 0xd0000000 size=0x1000
         map nested vmid=1 asid=7 0x200000 -> 0x40000000 size=0x200000
         dma nested vmid=1 asid=7 0x200000 => 0xc0000000 walk
         dma nested vmid=1 asid=7 0x201000 => 0xd0000000 walk
         cmd TLBI_NH_VA vmid=1 asid=7 0x3ff000; CMD_SYNC
         dma nested vmid=1 asid=7 0x200000 => 0xc0000000 walk
         dma nested vmid=1 asid=7 0x201000 => 0xd0000000 walk",
    );
}

#[test]
fn a_contiguous_group_is_one_leaf() {
    check(
        "map asid=7 0x10000 -> 0x80000 size=0x10000
         dma asid=7 0x10000 => 0x80000 walk
         dma asid=7 0x1f008 => 0x8f008 hit
         cmd TLBI_NH_VA asid=7 0x1f000; CMD_SYNC
         dma asid=7 0x10000 => 0x80000 walk",
    );
}

#[test]
fn tlbi_s2_ipa_removes_stage_2_entries_of_the_ipa_and_spares_combined_ones() {
    check(
        "map s2 vmid=1 0x1000 -> 0xb000 size=0x2000
         map nested vmid=1 asid=3 0x5000 -> 0x1000
         dma s2 vmid=1 0x1000 => 0xb000 walk
         dma s2 vmid=1 0x2000 => 0xc000 walk
         dma nested vmid=1 asid=3 0x5000 => 0xb000 walk
         cmd TLBI_S2_IPA vmid=1 0x1000; CMD_SYNC
         dma s2 vmid=1 0x2000 => 0xc000 hit
         dma nested vmid=1 asid=3 0x5000 => 0xb000 hit
         dma s2 vmid=1 0x1000 => 0xb000 walk",
    );
    testpoint!(217);
}

#[test]
fn tlbi_s12_vmall_removes_both_stages_of_the_vmid() {
    check(
        "map s2 vmid=1 0x1000 -> 0xb000
         map s2 vmid=2 0x1000 -> 0xc000
         map nested vmid=1 asid=3 0x5000 -> 0x1000 global
         dma s2 vmid=1 0x1000 => 0xb000 walk
         dma s2 vmid=2 0x1000 => 0xc000 walk
         dma nested vmid=1 asid=3 0x5000 => 0xb000 walk
         cmd TLBI_S12_VMALL vmid=1; CMD_SYNC
         dma s2 vmid=2 0x1000 => 0xc000 hit
         dma s2 vmid=1 0x1000 => 0xb000 walk
         dma nested vmid=1 asid=3 0x5000 => 0xb000 walk",
    );
    testpoint!(216);
}

#[test]
fn tlbi_nsnh_all_removes_everything_but_el2_and_el2_all_only_that() {
    check(
        "map vmid=1 asid=7 0x1000 -> 0x8000
         map s2 vmid=2 0x1000 -> 0x9000
         map el2 0x1000 -> 0xa000
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma s2 vmid=2 0x1000 => 0x9000 walk
         dma el2 0x1000 => 0xa000 walk
         cmd TLBI_NSNH_ALL; CMD_SYNC
         dma el2 0x1000 => 0xa000 hit
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma s2 vmid=2 0x1000 => 0x9000 walk
         cmd TLBI_EL2_ALL; CMD_SYNC
         dma vmid=1 asid=7 0x1000 => 0x8000 hit
         dma s2 vmid=2 0x1000 => 0x9000 hit
         dma el2 0x1000 => 0xa000 walk",
    );
    testpoint!(219, 220);
}

#[test]
fn el2_has_no_asid() {
    check(
        "map el2 0x1000 -> 0x8000 size=0x2000
         dma el2 0x1000 => 0x8000 walk
         dma el2 0x2000 => 0x9000 walk
         cmd TLBI_NH_ALL; TLBI_EL2_ASID asid=0; CMD_SYNC
         dma el2 0x1000 => 0x8000 hit
         cmd TLBI_EL2_VA asid=77 0x1000; CMD_SYNC
         dma el2 0x2000 => 0x9000 hit
         dma el2 0x1000 => 0x8000 walk
         cmd TLBI_EL2_VAA 0x2000; CMD_SYNC
         dma el2 0x1000 => 0x8000 hit
         dma el2 0x2000 => 0x9000 walk",
    );
}

#[test]
fn el2_e2h_has_asids() {
    let e2h = Setup { cr2: 1, ..Setup::default() };
    check_with(
        e2h,
        "map el2 asid=1 0x1000 -> 0x8000
         map el2 asid=2 0x1000 -> 0x9000
         dma el2 asid=1 0x1000 => 0x8000 walk
         dma el2 asid=2 0x1000 => 0x9000 walk
         cmd TLBI_EL2_ASID asid=1; CMD_SYNC
         dma el2 asid=2 0x1000 => 0x9000 hit
         dma el2 asid=1 0x1000 => 0x8000 walk
         cmd TLBI_EL2_VA asid=2 0x1000; CMD_SYNC
         dma el2 asid=1 0x1000 => 0x8000 hit
         dma el2 asid=2 0x1000 => 0x9000 walk
         cmd TLBI_EL2_VAA 0x1000; CMD_SYNC
         dma el2 asid=1 0x1000 => 0x8000 walk
         dma el2 asid=2 0x1000 => 0x9000 walk",
    );
}

#[test]
fn cr0_vmw_ignores_low_vmid_bits_of_invalidations_alone() {
    let mut setup = Setup { cr0: 1 << 6, ..Setup::default() }; // VMW = 1: one bit
    setup.ids.idr0 |= 1 << 17; // IDR0.VMW
    check_with(
        setup,
        "map vmid=4 asid=7 0x1000 -> 0x8000
         map vmid=5 asid=7 0x1000 -> 0x9000
         map vmid=6 asid=7 0x1000 -> 0xa000
         dma vmid=4 asid=7 0x1000 => 0x8000 walk
         dma vmid=5 asid=7 0x1000 => 0x9000 walk
         dma vmid=6 asid=7 0x1000 => 0xa000 walk
         cmd TLBI_NH_ASID vmid=4 asid=7; CMD_SYNC
         dma vmid=6 asid=7 0x1000 => 0xa000 hit
         dma vmid=4 asid=7 0x1000 => 0x8000 walk
         dma vmid=5 asid=7 0x1000 => 0x9000 walk",
    );
    testpoint!(223, 224);
}

#[test]
fn a_range_covers_num_plus_1_times_2_to_the_scale_granules() {
    check(
        "map asid=7 0x1000 -> 0x8000 size=0x5000
         dma asid=7 0x1000 => 0x8000 walk
         dma asid=7 0x2000 => 0x9000 walk
         dma asid=7 0x5000 => 0xc000 walk
         cmd TLBI_NH_VA asid=7 0x2000 tg=4 num=1 scale=1; CMD_SYNC
         dma asid=7 0x1000 => 0x8000 hit
         dma asid=7 0x2000 => 0x9000 walk
         dma asid=7 0x5000 => 0xc000 walk",
    );
    testpoint!(221);
}

#[test]
fn a_level_hint_names_the_level_of_the_leaf() {
    check(
        "map asid=7 0x200000 -> 0x40000000 size=0x200000
         dma asid=7 0x200000 => 0x40000000 walk
         cmd TLBI_NH_VA asid=7 0x200000 tg=4 ttl=3; CMD_SYNC
         dma asid=7 0x200000 => 0x40000000 hit
         cmd TLBI_NH_VA asid=7 0x200000 tg=4 ttl=2; CMD_SYNC
         dma asid=7 0x200000 => 0x40000000 walk",
    );
}

#[test]
fn without_stage_2_a_vmid_is_no_tag() {
    let mut setup = Setup { ids: IdRegisters::QEMU_STAGE1, ..Setup::default() };
    setup.ids.idr5 = IdRegisters::REFERENCE.idr5;
    check_with(
        setup,
        "map vmid=1 asid=7 0x1000 -> 0x8000
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         cmd TLBI_NH_ASID vmid=9 asid=7; CMD_SYNC
         dma vmid=1 asid=7 0x1000 => 0x8000 walk",
    );
}

#[test]
fn a_refusing_hit_is_walked_again() {
    check(
        "map asid=7 0x1000 -> 0x8000 ro
         dma asid=7 0x1000 => 0x8000 walk
         dma asid=7 write 0x1000 => F_PERMISSION
         dma asid=7 0x1000 => 0x8000 hit",
    );
}
