//! Broadcast TLBIs and DSBs cover and complete as commands and CMD_SYNCs do, each its own.

use super::script::World;
use super::{check, legal};

/// Stream 5 has a page in the TLB that was unmapped.
const UNMAPPED: &str = "
    domain a s1 vmid=1 asid=7
    attach 5 a
    map a 0x1000 0x80001000
    dma 5 0x1000 walk 1
    unmap a 0x1000
";

/// The same in a context whose ASIDs are private.
const PRIVATE: &str = "
    domain a s1 vmid=1 asid=7 aset=1
    attach 5 a
    map a 0x1000 0x80001000
    dma 5 0x1000 walk 1
    unmap a 0x1000
";

fn after(unmapped: &str, script: &str) -> String {
    unmapped.to_owned() + script
}

#[test]
fn a_use_between_broadcast_and_dsb_is_legal() {
    let script = "
        broadcast VALE1IS vmid=1 asid=7 address=0x1000
        dma 5 0x1000 hit 1
        dsb
        promise unmapped a 0x1000
    ";
    legal(&after(UNMAPPED, script), 1);
}

#[test]
fn a_use_after_the_dsb_is_the_hardwares_bug() {
    let script = "
        broadcast VALE1IS vmid=1 asid=7 address=0x1000
        dsb
        dma 5 0x1000 hit 1
    ";
    check(&after(UNMAPPED, script), &["Hardware StaleTranslation 0x5 0x1000"]);
}

#[test]
fn a_transaction_that_began_before_the_dsb_may_use_the_entry() {
    let script = "
        t8: begin 5 0x1000
        broadcast VALE1IS vmid=1 asid=7 address=0x1000
        dsb
        t8: hit 1
        t8: end
    ";
    legal(&after(UNMAPPED, script), 1);
}

#[test]
fn a_cmd_sync_completes_no_broadcast() {
    let script = "
        broadcast VALE1IS vmid=1 asid=7 address=0x1000
        sync
        promise unmapped a 0x1000
        dma 5 0x1000 hit 1
    ";
    let missing = "CMD_TLBI_NH_VA vmid=0x1 asid=0x7 va=0x1000 leaf; CMD_SYNC";
    let expected = format!("Driver StaleTranslation 0x5 0x1000: {missing}");
    check(&after(UNMAPPED, script), &[&expected]);
}

#[test]
fn a_dsb_completes_no_command() {
    let script = "
        cmd NH_VA vmid=1 asid=7 address=0x1000
        dsb
        promise unmapped a 0x1000
        dma 5 0x1000 hit 1
    ";
    check(&after(UNMAPPED, script), &["Driver StaleTranslation 0x5 0x1000: CMD_SYNC"]);
}

#[test]
fn a_broadcast_by_asid_does_not_cover_private_asids() {
    let script = "
        broadcast VALE1IS vmid=1 asid=7 address=0x1000
        dsb
        dma 5 0x1000 hit 1
    ";
    legal(&after(PRIVATE, script), 1);
    let promised = "promise unmapped a 0x1000\ndma 5 0x1000 hit 1";
    let world = World::run(&(after(PRIVATE, script) + promised));
    let text = world.checker.borrow().verdicts()[0].to_string();
    let line = "broadcast like CMD_TLBI_NH_VA vmid=0x1 asid=0x7 address=0x1000 leaf: \
                misses it (not private ASIDs (ASET = 1)), DSB complete";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_broadcast_by_vmid_covers_private_asids() {
    let script = "
        broadcast VMALLE1IS vmid=1
        dsb
        dma 5 0x1000 hit 1
    ";
    check(&after(PRIVATE, script), &["Hardware StaleTranslation 0x5 0x1000"]);
}
