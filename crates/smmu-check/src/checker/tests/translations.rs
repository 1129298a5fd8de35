//! Stale translations: when they are legal, and whose bug they are otherwise.

use super::script::World;
use super::{check, legal};

/// A domain of stage 2 with a page, and entry 1 of it.
const MAPPED: &str = "
    domain a s2 vmid=1
    attach 5 a
    cmd CFGI_STE stream=5
    sync
    map a 0x1000 0x80001000
    dma 5 0x1000 walk 1
";

fn mapped(script: &str) -> String {
    MAPPED.to_owned() + script
}

const STALE: &str = "StaleTranslation 0x5 0x1000";

#[test]
fn a_use_that_the_tables_allow_is_fine() {
    legal(&mapped("dma 5 0x1000 hit 1"), 0);
}

#[test]
fn a_stale_use_before_the_promise_is_legal() {
    legal(
        &mapped(
            "
        unmap a 0x1000
        dma 5 0x1000 hit 1
        cmd S2_IPA vmid=1 address=0x1000
        sync
        promise unmapped a 0x1000
        ",
        ),
        1,
    );
}

#[test]
fn a_transaction_in_flight_across_the_promise_is_legal() {
    legal(
        &mapped(
            "
        unmap a 0x1000
        t1: begin 5 0x1000
        promise unmapped a 0x1000
        t1: hit 1
        t1: end
        ",
        ),
        1,
    );
}

#[test]
fn a_transaction_in_flight_across_the_invalidation_is_legal() {
    legal(
        &mapped(
            "
        t1: begin 5 0x1000
        unmap a 0x1000
        cmd S2_IPA vmid=1 address=0x1000
        t1: hit 1
        t1: end
        sync
        ",
        ),
        1,
    );
}

#[test]
fn a_walk_that_a_store_overtook_is_legal() {
    legal(
        &mapped(
            "
        t1: begin 5 0x1000
        map a 0x1000 0x80002000
        t1: reaches 0x80001000 as a
        t1: end
        ",
        ),
        1,
    );
}

#[test]
fn an_unmap_without_any_tlbi() {
    check(
        &mapped(
            "
        unmap a 0x1000
        promise unmapped a 0x1000
        dma 5 0x1000 hit 1
        ",
        ),
        &[&format!("Driver {STALE}: CMD_TLBI_S2_IPA vmid=0x1 ipa=0x1000 leaf; CMD_SYNC")],
    );
}

#[test]
fn a_tlbi_without_cmd_sync() {
    check(
        &mapped(
            "
        unmap a 0x1000
        cmd S2_IPA vmid=1 address=0x1000
        promise unmapped a 0x1000
        dma 5 0x1000 hit 1
        ",
        ),
        &[&format!("Driver {STALE}: CMD_SYNC")],
    );
}

#[test]
fn a_sync_that_completes_after_the_promise_is_too_late() {
    check(
        &mapped(
            "
        unmap a 0x1000
        cmd S2_IPA vmid=1 address=0x1000
        promise unmapped a 0x1000
        t1: begin 5 0x1000
        sync
        t1: hit 1
        t1: end
        ",
        ),
        &[&format!("Driver {STALE}: CMD_SYNC")],
    );
}

#[test]
fn a_tlbi_of_another_vmid_tells_what_it_missed() {
    let world = World::run(&mapped(
        "
        unmap a 0x1000
        cmd S2_IPA vmid=2 address=0x1000
        sync
        promise unmapped a 0x1000
        dma 5 0x1000 hit 1
        ",
    ));
    let missing = "CMD_TLBI_S2_IPA vmid=0x1 ipa=0x1000 leaf; CMD_SYNC";
    assert_eq!(world.summaries(), [format!("Driver {STALE}: {missing}")]);
    let checker = world.checker.borrow();
    let text = checker.verdicts()[0].to_string();
    for line in [
        "driver bug: a translation was used that was over",
        "read of IOVA 0x1000 by stream 0x5, VMID 0x1, SMMU 0",
        "reached      PA 0x80001000 by a TLB hit",
        "for stream 0x5",
        "store to the stage 2 level 3 descriptor at 0x41006008: 0x800014ff -> 0x0",
        "unmap of stage 2 0x1000..=0x1fff returned (VMID 0x1)",
        "CMD_TLBI_S2_IPA vmid=0x2 address=0x1000 leaf: misses it (another VMID, 0x2)",
        "missing      CMD_TLBI_S2_IPA vmid=0x1 ipa=0x1000 leaf; CMD_SYNC",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_tlbi_before_the_store_does_not_count() {
    check(
        &mapped(
            "
        cmd S2_IPA vmid=1 address=0x1000
        sync
        dma 5 0x1000 walk 2
        unmap a 0x1000
        promise unmapped a 0x1000
        dma 5 0x1000 hit 2
        ",
        ),
        &[&format!("Driver {STALE}: CMD_TLBI_S2_IPA vmid=0x1 ipa=0x1000 leaf; CMD_SYNC")],
    );
}

#[test]
fn a_hit_after_tlbi_and_cmd_sync_is_the_hardware() {
    check(
        &mapped(
            "
        unmap a 0x1000
        cmd S2_IPA vmid=1 address=0x1000
        sync
        dma 5 0x1000 hit 1
        ",
        ),
        &[&format!("Hardware {STALE}")],
    );
}

#[test]
fn an_overtaken_fill_that_stayed_is_the_hardware() {
    check(
        &mapped(
            "
        t1: begin 5 0x1000
        unmap a 0x1000
        cmd S12_VMALL vmid=1
        t1: end
        sync
        dma 5 0x1000 hit 1
        ",
        ),
        &[&format!("Hardware {STALE}")],
    );
}

#[test]
fn a_walk_to_an_old_page_after_everything_is_the_hardware() {
    check(
        &mapped(
            "
        map a 0x1000 0x80002000
        cmd S2_IPA vmid=1 address=0x1000
        sync
        dma 5 0x1000 reaches 0x80001000 as a
        ",
        ),
        &[&format!("Hardware {STALE}")],
    );
}

#[test]
fn an_address_that_was_never_mapped_is_the_hardware() {
    check(&mapped("dma 5 0x1000 reaches 0x80007000 as a"), &["Hardware NeverAllowed 0x5 0x1000"]);
}

#[test]
fn a_page_that_went_back_to_its_owner() {
    check(
        &mapped(
            "
        promise lent 0x80001000
        unmap a 0x1000
        promise returned 0x80001000
        dma 5 0x1000 hit 1
        ",
        ),
        &[&format!("Driver {STALE}: CMD_TLBI_S2_IPA vmid=0x1 ipa=0x1000 leaf; CMD_SYNC")],
    );
}

#[test]
fn a_page_that_was_lent_again_breaks_no_promise() {
    legal(
        &mapped(
            "
        unmap a 0x1000
        promise returned 0x80001000
        promise lent 0x80001000
        dma 5 0x1000 hit 1
        ",
        ),
        1,
    );
}

#[test]
fn a_page_that_is_still_mapped_when_it_goes_back() {
    check(
        &mapped(
            "
        promise lent 0x80001000
        promise returned 0x80001000
        dma 5 0x1000 hit 1
        ",
        ),
        &["Driver StillMapped 0x5 0x1000"],
    );
}

#[test]
fn a_bypass_needs_no_loan() {
    legal("bypass 5\n promise returned 0x80001000\n dma 5 0x80001000 passes 0x80001000", 0);
}

#[test]
fn a_promise_about_another_page_breaks_nothing() {
    legal(
        &mapped(
            "
        unmap a 0x1000
        promise unmapped a 0x2000
        promise freed 2
        promise detached 6
        dma 5 0x1000 hit 1
        ",
        ),
        1,
    );
}

#[test]
fn uses_alike_are_one_verdict() {
    let world = World::run(&mapped(
        "
        unmap a 0x1000
        promise unmapped a 0x1000
        dma 5 0x1000 hit 1
        dma 5 0x1080 hit 1
        dma 5 0x1000 hit 1
        ",
    ));
    let checker = world.checker.borrow();
    assert_eq!(checker.verdicts().len(), 1);
    assert_eq!(checker.verdicts()[0].count, 3);
}

/// Stage 1 over stage 2: IOVA 0x1000, IPA 0x3000.
const NESTED: &str = "
    domain n nested vmid=1 asid=7
    attach 5 n
    cmd CFGI_STE stream=5
    sync
    map n 0x1000 0x3000
    map2 n 0x3000 0x80003000
    dma 5 0x1000 walk 1
";

#[test]
fn tlbi_by_ipa_spares_combined_entries() {
    let world = World::run(
        &(NESTED.to_owned()
            + "
        unmap2 n 0x3000
        cmd S2_IPA vmid=1 address=0x3000
        sync
        promise unmapped2 n 0x3000
        dma 5 0x1000 hit 1
        "),
    );
    let missing = "CMD_TLBI_S2_IPA vmid=0x1 ipa=0x3000 leaf; CMD_TLBI_NH_ALL vmid=0x1; CMD_SYNC";
    assert_eq!(world.summaries(), [format!("Driver {STALE}: {missing}")]);
    let text = world.checker.borrow().verdicts()[0].to_string();
    assert!(text.contains("misses it (not entries that combine stages)"), "{text}");
}

#[test]
fn tlbi_nh_all_alone_leaves_the_ipa_entry() {
    let nh_all = NESTED.to_owned()
        + "
        unmap2 n 0x3000
        cmd NH_ALL vmid=1
        sync
        dma 5 0x1000 reaches 0x80003000 as n
        ";
    legal(&nh_all, 1);
    check(
        &(nh_all
            + "
        promise unmapped2 n 0x3000
        dma 5 0x1000 reaches 0x80003000 as n
        "),
        &[&format!("Driver {STALE}: CMD_TLBI_S2_IPA vmid=0x1 ipa=0x3000 leaf; CMD_SYNC")],
    );
}

#[test]
fn a_stage1_unmap_without_tlbi() {
    check(
        &(NESTED.to_owned()
            + "
        unmap n 0x1000
        promise unmapped n 0x1000
        dma 5 0x1000 hit 1
        "),
        &[&format!("Driver {STALE}: CMD_TLBI_NH_VA vmid=0x1 asid=0x7 va=0x1000 leaf; CMD_SYNC")],
    );
}

#[test]
fn a_missing_vmid_field_misses() {
    let world = World::run(
        &(NESTED.to_owned()
            + "
        unmap n 0x1000
        cmd NH_VA asid=7 address=0x1000
        sync
        promise unmapped n 0x1000
        dma 5 0x1000 hit 1
        "),
    );
    let text = world.checker.borrow().verdicts()[0].to_string();
    assert!(text.contains("misses it (another VMID, 0x0)"), "{text}");
}

#[test]
fn a_fault_is_never_remembered() {
    check(
        &mapped(
            "
        map a 0x2000 0x80002000
        dma 5 0x2000 refused translation
        ",
        ),
        &["Hardware WrongRefusal 0x5 0x2000"],
    );
    legal(
        &mapped(
            "
        t1: begin 5 0x2000
        map a 0x2000 0x80002000
        t1: refused translation
        t1: end
        dma 5 0x3000 refused translation
        ",
        ),
        1,
    );
}

/// A read-only page of stage 1 that becomes writable.
const READ_ONLY: &str = "
    domain a s1 vmid=1 asid=7
    attach 5 a
    cmd CFGI_STE stream=5
    sync
    map a 0x1000 0x80001000
    readonly a 0x1000
    dma 5 0x1000 walk 1
    readonly a 0x1000
";

#[test]
fn a_permission_is_remembered_until_the_tlbi() {
    legal(&(READ_ONLY.to_owned() + "dma 5 0x1000 refused permission write"), 1);
    check(
        &(READ_ONLY.to_owned()
            + "
        cmd NH_VA vmid=1 asid=7 address=0x1000
        sync
        dma 5 0x1000 refused permission write
        "),
        &["Hardware WrongRefusal 0x5 0x1000"],
    );
}
