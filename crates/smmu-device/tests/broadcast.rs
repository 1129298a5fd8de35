//! Broadcast TLB maintenance: what a TLBI instruction of a PE takes away. Section "TLB tagging,
//! VMIDs, ASIDs and participation in broadcast TLB maintenance", SMMU_CR2.PTM and CD.ASET.
//!
//! As with commands, that entries outside of the scope stay is a choice of this model.

mod common;

use common::broadcast::{mapped, taking_part};
use common::{Bench, Setup, check_with, read};
use smmu_arch::{BroadcastTlbi, Observation};

const E2H: u32 = 1;
const PTM: u32 = 1 << 2;
const ALL: BroadcastTlbi = BroadcastTlbi::Alle1;

#[test]
fn aside1is_removes_the_named_asid_where_it_is_shared() {
    check_with(
        taking_part(),
        "map vmid=1 asid=7 0x1000 -> 0x8000
         map vmid=1 asid=8 0x1000 -> 0x9000
         shared vmid=1 asid=7
         shared vmid=1 asid=8
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma vmid=1 asid=8 0x1000 => 0x9000 walk
         tlbi ASIDE1IS vmid=1 asid=7; DSB
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma vmid=1 asid=8 0x1000 => 0x9000 hit",
    );
}

/// CD.ASET = 1: the ASID is the SMMU's own, and a PE's process of the same number is another.
#[test]
fn what_names_an_asid_spares_private_ones() {
    check_with(
        taking_part(),
        "map vmid=1 asid=7 0x1000 -> 0x8000
         map vmid=1 asid=7 0x2000 -> 0x9000 global
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma vmid=1 asid=7 0x2000 => 0x9000 walk
         tlbi ASIDE1IS vmid=1 asid=7; VAE1IS vmid=1 asid=7 0x1000; DSB
         tlbi VAE1IS vmid=1 asid=7 0x2000; DSB
         dma vmid=1 asid=7 0x1000 => 0x8000 hit
         dma vmid=1 asid=7 0x2000 => 0x9000 hit",
    );
}

#[test]
fn what_names_no_asid_takes_private_ones_along() {
    for tlbi in ["VAAE1IS vmid=1 0x1000", "VMALLE1IS vmid=1", "VMALLS12E1IS vmid=1", "ALLE1IS"] {
        let script = format!(
            "map vmid=1 asid=7 0x1000 -> 0x8000
             map vmid=1 asid=8 0x1000 -> 0x9000
             shared vmid=1 asid=8
             dma vmid=1 asid=7 0x1000 => 0x8000 walk
             dma vmid=1 asid=8 0x1000 => 0x9000 walk
             tlbi {tlbi}; DSB
             dma vmid=1 asid=7 0x1000 => 0x8000 walk
             dma vmid=1 asid=8 0x1000 => 0x9000 walk"
        );
        check_with(taking_part(), &script);
    }
}

#[test]
fn vae1is_removes_one_page_and_its_range_as_many_as_it_says() {
    check_with(
        taking_part(),
        "map asid=7 0x1000 -> 0x8000 size=0x5000
         shared asid=7
         dma asid=7 0x1000 => 0x8000 walk
         dma asid=7 0x2000 => 0x9000 walk
         dma asid=7 0x5000 => 0xc000 walk
         tlbi VAE1IS asid=7 0x1000; DSB
         dma asid=7 0x2000 => 0x9000 hit
         dma asid=7 0x1000 => 0x8000 walk
         tlbi VAE1IS asid=7 0x2000 tg=4 num=1 scale=1; DSB
         dma asid=7 0x1000 => 0x8000 hit
         dma asid=7 0x2000 => 0x9000 walk
         dma asid=7 0x5000 => 0xc000 walk",
    );
}

#[test]
fn a_level_hint_names_the_level_of_the_leaf() {
    check_with(
        taking_part(),
        "map asid=7 0x200000 -> 0x40000000 size=0x200000
         shared asid=7
         dma asid=7 0x200000 => 0x40000000 walk
         tlbi VAE1IS asid=7 0x200000 tg=4 ttl=3; DSB
         dma asid=7 0x200000 => 0x40000000 hit
         tlbi VAE1IS asid=7 0x200000 tg=4 ttl=2; DSB
         dma asid=7 0x200000 => 0x40000000 walk",
    );
}

#[test]
fn ipas2e1is_removes_stage_2_entries_of_the_vmid() {
    check_with(
        taking_part(),
        "map s2 vmid=1 0x1000 -> 0xb000
         map s2 vmid=2 0x1000 -> 0xc000
         dma s2 vmid=1 0x1000 => 0xb000 walk
         dma s2 vmid=2 0x1000 => 0xc000 walk
         tlbi VMALLE1IS vmid=1; IPAS2E1IS vmid=2 0x1000; DSB
         dma s2 vmid=1 0x1000 => 0xb000 hit
         dma s2 vmid=2 0x1000 => 0xc000 walk",
    );
}

#[test]
fn el1_and_el2_are_apart() {
    check_with(
        taking_part(),
        "map vmid=1 asid=7 0x1000 -> 0x8000
         map el2 0x1000 -> 0xa000 size=0x2000
         dma vmid=1 asid=7 0x1000 => 0x8000 walk
         dma el2 0x1000 => 0xa000 walk
         dma el2 0x2000 => 0xb000 walk
         tlbi VAE2IS asid=99 0x1000; DSB
         dma el2 0x2000 => 0xb000 hit
         dma el2 0x1000 => 0xa000 walk
         tlbi ALLE2IS; DSB
         dma vmid=1 asid=7 0x1000 => 0x8000 hit
         dma el2 0x1000 => 0xa000 walk
         tlbi ALLE1IS; DSB
         dma el2 0x1000 => 0xa000 hit
         dma vmid=1 asid=7 0x1000 => 0x8000 walk",
    );
}

/// CR2.E2H = 1, as HCR_EL2.E2H of the PEs.
#[test]
fn el2_e2h_has_asids_and_they_can_be_private() {
    let e2h = Setup { cr2: E2H, ..taking_part() };
    check_with(
        e2h,
        "map el2 asid=1 0x1000 -> 0x8000
         map el2 asid=2 0x1000 -> 0x9000
         shared el2 asid=1
         dma el2 asid=1 0x1000 => 0x8000 walk
         dma el2 asid=2 0x1000 => 0x9000 walk
         tlbi ASIDE2 asid=1; ASIDE2 asid=2; DSB
         dma el2 asid=2 0x1000 => 0x9000 hit
         dma el2 asid=1 0x1000 => 0x8000 walk
         tlbi VAE2IS asid=1 0x1000; VAE2IS asid=2 0x1000; DSB
         dma el2 asid=2 0x1000 => 0x9000 hit
         dma el2 asid=1 0x1000 => 0x8000 walk
         tlbi VAAE2 0x1000; DSB
         dma el2 asid=1 0x1000 => 0x8000 walk
         dma el2 asid=2 0x1000 => 0x9000 walk",
    );
}

#[test]
fn cr0_vmw_ignores_low_vmid_bits_of_broadcasts() {
    let mut setup = Setup { cr0: 1 << 6, ..taking_part() }; // VMW = 1: one bit
    setup.ids.idr0 |= 1 << 17; // IDR0.VMW
    check_with(
        setup,
        "map vmid=5 asid=7 0x1000 -> 0x9000
         map vmid=6 asid=7 0x1000 -> 0xa000
         dma vmid=5 asid=7 0x1000 => 0x9000 walk
         dma vmid=6 asid=7 0x1000 => 0xa000 walk
         tlbi VMALLE1IS vmid=4; DSB
         dma vmid=6 asid=7 0x1000 => 0xa000 hit
         dma vmid=5 asid=7 0x1000 => 0x9000 walk",
    );
}

#[test]
fn with_ptm_translations_are_private_and_broadcasts_ignored() {
    check_with(
        Setup { cr2: PTM, ..taking_part() },
        "map asid=7 0x1000 -> 0x8000
         shared asid=7
         dma asid=7 0x1000 => 0x8000 walk
         tlbi ASIDE1IS asid=7; VMALLE1IS; ALLE1IS; DSB
         dma asid=7 0x1000 => 0x8000 hit
         cmd TLBI_NH_ASID asid=7; CMD_SYNC
         dma asid=7 0x1000 => 0x8000 walk",
    );
}

#[test]
fn without_btm_an_smmu_takes_no_part() {
    let mut bench = Bench::new();
    bench.tlbi(ALL);
    assert!(bench.background.0.is_empty());
    assert!(bench.smmu.broadcast_sync().is_none());
}

#[test]
fn configuration_caches_are_not_touched() {
    let (mut bench, stream) = mapped();
    let _ = bench.dma(&read(stream, 0x1000));
    bench.tlbi(ALL);
    bench.tlbi(BroadcastTlbi::Alle2);
    bench.dsb();
    bench.ports[0].observer().0.clear();
    let _ = bench.dma(&read(stream, 0x1000));
    let seen: Vec<_> = bench.ports[0].observer().0.iter().map(|(_, o)| *o).collect();
    assert!(!seen.iter().any(|o| matches!(o, Observation::ConfigLookedUp { hit: false, .. })));
    assert!(seen.iter().any(|o| matches!(o, Observation::LookedUp { hit: None, .. })));
}
