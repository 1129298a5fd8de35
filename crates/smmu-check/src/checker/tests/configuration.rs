//! Stale STEs and CDs.

use super::{check, legal};

const ATTACHED: &str = "
    domain a s2 vmid=1
    domain b s2 vmid=2
    map a 0x1000 0x80001000
    map b 0x1000 0x80009000
    attach 5 a
    cmd CFGI_STE stream=5
    sync
    dma 5 0x1000 walk 1
";

fn attached(script: &str) -> String {
    ATTACHED.to_owned() + script
}

const CFGI: &str = "CMD_CFGI_STE stream=0x5 leaf; CMD_SYNC";

#[test]
fn an_old_ste_is_legal_until_the_promise() {
    legal(
        &attached(
            "
        attach 5 b
        dma 5 0x1000 hit 1
        dma 5 0x1000 reaches 0x80001000 as a
        ",
        ),
        2,
    );
}

#[test]
fn a_detach_without_cfgi() {
    let script = attached(
        "
        detach 5
        promise detached 5
        dma 5 0x1000 hit 1
        ",
    );
    check(&script, &[&format!("Driver StaleConfiguration 0x5 0x1000: {CFGI}")]);
}

#[test]
fn tlbi_is_no_cfgi() {
    let script = attached(
        "
        detach 5
        cmd S12_VMALL vmid=1
        sync
        promise detached 5
        dma 5 0x1000 reaches 0x80001000 as a
        ",
    );
    check(&script, &[&format!("Driver StaleConfiguration 0x5 0x1000: {CFGI}")]);
}

#[test]
fn an_old_ste_after_cfgi_and_sync_is_the_hardware() {
    check(
        &attached(
            "
        attach 5 b
        cmd CFGI_STE stream=5
        sync
        dma 5 0x1000 reaches 0x80001000 as a
        ",
        ),
        &["Hardware StaleConfiguration 0x5 0x1000"],
    );
}

#[test]
fn a_walk_through_an_old_ste_sees_the_tables_as_they_are_now() {
    legal(
        &attached(
            "
        attach 5 b
        map a 0x1000 0x80003000
        dma 5 0x1000 reaches 0x80003000 as a
        ",
        ),
        1,
    );
}

#[test]
fn other_tables_under_the_same_vmid_need_a_tlbi() {
    let moved = "
        domain a s2 vmid=1
        domain c s2 vmid=1
        map a 0x1000 0x80001000
        map c 0x1000 0x80009000
        attach 5 a
        dma 5 0x1000 walk 1
        attach 5 c
        cmd CFGI_STE stream=5
        sync
    ";
    legal(&(moved.to_owned() + "dma 5 0x1000 hit 1"), 1);
    check(
        &(moved.to_owned()
            + "
        promise detached 5
        dma 5 0x1000 hit 1
        "),
        &["Driver StaleTranslation 0x5 0x1000: CMD_TLBI_S2_IPA vmid=0x1 ipa=0x1000 leaf; CMD_SYNC"],
    );
    check(
        &(moved.to_owned()
            + "
        cmd S12_VMALL vmid=1
        sync
        dma 5 0x1000 hit 1
        "),
        &["Hardware StaleTranslation 0x5 0x1000"],
    );
}

#[test]
fn an_empty_table_under_the_same_tags_needs_a_tlbi_too() {
    legal(
        "
        domain a s2 vmid=1
        domain c s2 vmid=1
        map a 0x1000 0x80001000
        attach 5 a
        dma 5 0x1000 walk 1
        attach 5 c
        cmd CFGI_STE stream=5
        sync
        dma 5 0x1000 hit 1
        ",
        1,
    );
}

#[test]
fn an_old_cd_needs_cfgi_cd_before_the_tlbi() {
    let retagged = "
        domain a s1 vmid=1 asid=7
        map a 0x1000 0x80001000
        attach 5 a
        dma 5 0x1000 walk 1
        retag a 8
        unmap a 0x1000
        promise asid-freed 7
        dma 5 0x1000 hit 1
    ";
    check(
        retagged,
        &["Driver TagReused 0x5 0x1000: CMD_CFGI_CD stream=0x5 substream=0x0 leaf; CMD_SYNC; \
           CMD_TLBI_NH_ASID vmid=0x1 asid=0x7; CMD_SYNC"],
    );
}

#[test]
fn an_invalid_ste_may_be_remembered_until_cfgi() {
    let script = "
        domain a s2 vmid=1
        map a 0x1000 0x80001000
        attach 5 a
        dma 5 0x1000 refused ste
    ";
    legal(script, 1);
    check(
        &(script.to_owned()
            + "
        cmd CFGI_STE stream=5
        sync
        dma 5 0x1000 refused ste
        "),
        &["Hardware WrongRefusal 0x5 0x1000"],
    );
}

#[test]
fn bypass_and_abort() {
    legal("bypass 5\n dma 5 0x1000 passes 0x1000\n detach 5\n dma 5 0x1000 passes 0x1000", 1);
    check(
        "
        bypass 5
        detach 5
        promise detached 5
        dma 5 0x1000 passes 0x1000
        ",
        &[&format!("Driver StaleConfiguration 0x5 0x1000: {CFGI}")],
    );
}

#[test]
fn an_ste_of_two_halves() {
    let halves = attached(
        "
        attach 5 b
        dma 5 0x1000 reaches 0x8000f000 as b
        ",
    );
    check(&halves, &[&format!("Driver TornConfiguration 0x5 0x1000: {CFGI}")]);
}
