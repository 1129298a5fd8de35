//! VMIDs and ASIDs: freed, given to others, shared.

use super::{check, legal};

/// Stream 5 leaves VMID 1 with entry 1 in the TLB; stream 6 has tables of its own.
const LEFT: &str = "
    domain a s2 vmid=1
    attach 5 a
    map a 0x1000 0x80001000
    dma 5 0x1000 walk 1
    domain b s2 vmid=1
    map b 0x1000 0x80009000
    detach 5
    cmd CFGI_STE stream=5
    sync
";

fn left(script: &str) -> String {
    LEFT.to_owned() + script
}

#[test]
fn a_vmid_that_is_given_away_without_tlbi() {
    check(
        &left(
            "
        promise freed 1
        promise assigned 1
        attach 6 b
        cmd CFGI_STE stream=6
        sync
        dma 6 0x1000 hit 1
        ",
        ),
        &["Driver TagReused 0x6 0x1000: CMD_TLBI_S12_VMALL vmid=0x1; CMD_SYNC"],
    );
}

#[test]
fn a_vmid_that_is_freed_before_the_sync() {
    check(
        &left(
            "
        cmd S12_VMALL vmid=1
        promise freed 1
        attach 6 b
        dma 6 0x1000 hit 1
        sync
        dma 6 0x1000 walk 2
        ",
        ),
        &["Driver TagReused 0x6 0x1000: CMD_SYNC"],
    );
}

#[test]
fn a_vmid_that_was_cleaned_is_as_good_as_new() {
    legal(
        &left(
            "
        cmd S12_VMALL vmid=1 dropped=1
        sync
        promise freed 1
        promise assigned 1
        attach 6 b
        dma 6 0x1000 walk 2
        dma 6 0x1000 hit 2
        ",
        ),
        0,
    );
}

#[test]
fn an_entry_that_survives_the_cleaning_is_the_hardware() {
    check(
        &left(
            "
        cmd S12_VMALL vmid=1
        sync
        promise freed 1
        attach 6 b
        dma 6 0x1000 hit 1
        ",
        ),
        &["Hardware StaleTranslation 0x6 0x1000"],
    );
}

#[test]
fn two_tables_under_one_vmid() {
    check(
        "
        domain a s2 vmid=1
        domain b s2 vmid=1
        attach 5 a
        attach 6 b
        map a 0x1000 0x80001000
        map b 0x1000 0x80009000
        dma 5 0x1000 walk 1
        dma 6 0x1000 hit 1
        ",
        &["Driver TagShared 0x6 0x1000"],
    );
}

/// One owner keeps the tables of both streams alike and takes them down one after the other.
const PARTNERS: &str = "
    owner 5 1
    owner 6 1
    domain a s2 vmid=1
    domain b s2 vmid=1
    attach 5 a
    attach 6 b
    map a 0x1000 0x80001000
    map b 0x1000 0x80001000
    unmap b 0x1000
    cmd S2_IPA vmid=1 address=0x1000
    sync
    dma 5 0x1000 walk 1
";

#[test]
fn tables_of_one_owner_may_differ_until_he_promises() {
    legal(&(PARTNERS.to_owned() + "dma 6 0x1000 hit 1"), 1);
}

#[test]
fn a_promise_to_one_of_two_streams_of_a_vmid_is_broken_by_the_other() {
    check(
        &(PARTNERS.to_owned() + "promise unmapped b 0x1000\ndma 6 0x1000 hit 1"),
        &["Driver TagShared 0x6 0x1000"],
    );
}

#[test]
fn a_vmid_that_is_freed_while_its_owner_still_uses_it() {
    check(
        "
        domain a s2 vmid=1
        domain b s2 vmid=1
        attach 5 a
        map a 0x1000 0x80001000
        map b 0x1000 0x80009000
        dma 5 0x1000 walk 1
        promise freed 1
        attach 6 b
        dma 6 0x1000 hit 1
        ",
        &["Driver TagReused 0x6 0x1000: CMD_TLBI_S12_VMALL vmid=0x1; CMD_SYNC"],
    );
}

#[test]
fn two_streams_of_one_domain_share_entries() {
    legal(
        "
        domain a s2 vmid=1
        attach 5 a
        attach 6 a
        map a 0x1000 0x80001000
        dma 5 0x1000 walk 1
        dma 6 0x1000 hit 1
        ",
        0,
    );
}

#[test]
fn an_unmap_is_over_for_every_stream_of_the_domain() {
    check(
        "
        domain a s2 vmid=1
        attach 5 a
        attach 6 a
        map a 0x1000 0x80001000
        dma 5 0x1000 walk 1
        unmap a 0x1000
        promise unmapped a 0x1000
        dma 6 0x1000 hit 1
        ",
        &["Driver StaleTranslation 0x6 0x1000: CMD_TLBI_S2_IPA vmid=0x1 ipa=0x1000 leaf; CMD_SYNC"],
    );
}

#[test]
fn an_asid_that_is_given_away_without_tlbi() {
    check(
        "
        domain a s1 vmid=1 asid=7
        domain b s1 vmid=1 asid=7
        attach 5 a
        map a 0x1000 0x80001000
        map b 0x1000 0x80009000
        dma 5 0x1000 walk 1
        detach 5
        cmd CFGI_STE stream=5
        sync
        promise asid-freed 7
        attach 6 b
        dma 6 0x1000 hit 1
        ",
        &["Driver TagReused 0x6 0x1000: CMD_TLBI_NH_ASID vmid=0x1 asid=0x7; CMD_SYNC"],
    );
}
