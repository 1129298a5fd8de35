//! Broadcast TLB maintenance: what each TLBI instruction names, and what an SMMU forgets for it.
//!
//! Operands are written out by hand from the TLBI pages of DDI 0487; scopes follow the sections
//! "TLB tagging, VMIDs, ASIDs and participation in broadcast TLB maintenance" and "CD.ASET".

use proptest::prelude::*;
use smmu_arch::{
    AddressScope, AddressSpace, Asid, AsidMatch, Attributes, BroadcastTlbi, Command,
    CommandFeatures, EntryKind, Granule, Invalidation, Leaf, Pa, PeContext, Permissions, Stages,
    StreamWorld, TlbEntry, TlbScope, TlbiInstruction as I, TlbiRange, TlbiVmid, Vmid, VmidMatch,
    Worlds,
};

const GUEST: PeContext = PeContext { vmid: Vmid(5), host: false };
const HOST: PeContext = PeContext { vmid: Vmid(5), host: true };
/// ASID 7 and the page at 0x1000.
const XT: u64 = 7 << 48 | 1;

fn broadcast(instruction: I, xt: u64, pe: &PeContext) -> BroadcastTlbi {
    BroadcastTlbi::of(instruction, xt, pe).expect("a granule that exists")
}

fn scope_with(tlbi: &BroadcastTlbi, features: &CommandFeatures, e2h: bool) -> TlbScope {
    match tlbi.scope(features, e2h, 0) {
        Invalidation::Translations(scope) => scope,
        Invalidation::Configuration(_) => panic!("{tlbi} touches configuration"),
    }
}

fn scope(instruction: I, pe: &PeContext) -> TlbScope {
    scope_with(&broadcast(instruction, XT, pe), &CommandFeatures::ALL, pe.host)
}

/// The address part of a scope of EL1.
fn addresses(instruction: I, xt: u64) -> AddressScope {
    let tlbi = broadcast(instruction, xt, &GUEST);
    scope_with(&tlbi, &CommandFeatures::ALL, false).address.expect("addresses")
}

/// A page at 0x1000 of VMID 5 and ASID 7.
fn entry(world: StreamWorld, kind: EntryKind) -> TlbEntry {
    let leaf = Leaf { base: 0x1000, span_log2: 12, level: 3, granule: Granule::K4 };
    let vmid = if world.has_vmid() { Vmid(5) } else { Vmid(0) };
    TlbEntry {
        space: AddressSpace { world, kind, vmid, asid: Asid(7), aset: false },
        global: false,
        input: 0x1000,
        size_log2: 12,
        output: Pa(0x8000),
        permissions: Permissions::ALL,
        attributes: Attributes::DEFAULT,
        stage1: kind.has_stage1().then_some(leaf),
        stage2: (kind != EntryKind::Stage1).then_some(leaf),
    }
}

fn page() -> TlbEntry {
    entry(StreamWorld::NsEl1, EntryKind::Stage1)
}

fn with_vmid(vmid: u16) -> TlbEntry {
    let mut entry = page();
    entry.space.vmid = Vmid(vmid);
    entry
}

fn with_asid(asid: u16) -> TlbEntry {
    let mut entry = page();
    entry.space.asid = Asid(asid);
    entry
}

fn private(entry: TlbEntry) -> TlbEntry {
    TlbEntry { space: AddressSpace { aset: true, ..entry.space }, ..entry }
}

fn global(entry: TlbEntry) -> TlbEntry {
    TlbEntry { global: true, ..entry }
}

#[test]
fn each_el1_instruction_names_its_stages_and_tags() {
    let vmid = VmidMatch::Like { vmid: Vmid(5), ignore: 0 };
    let asid = AsidMatch::OrGlobal(Asid(7));
    for (instruction, stages, vmid, asid, by_address) in [
        (I::Vmalle1Is, Stages::Stage1, vmid, AsidMatch::Any, false),
        (I::Aside1Is, Stages::Stage1, vmid, AsidMatch::NonGlobal(Asid(7)), false),
        (I::Vae1Is, Stages::Stage1, vmid, asid, true),
        (I::Vale1Is, Stages::Stage1, vmid, asid, true),
        (I::Vaae1Is, Stages::Stage1, vmid, AsidMatch::Any, true),
        (I::Vaale1Is, Stages::Stage1, vmid, AsidMatch::Any, true),
        (I::Vmalls12e1Is, Stages::Both, vmid, AsidMatch::Any, false),
        (I::Ipas2e1Is, Stages::Stage2, vmid, AsidMatch::Any, true),
        (I::Ipas2le1Is, Stages::Stage2, vmid, AsidMatch::Any, true),
        (I::Alle1Is, Stages::Both, VmidMatch::Any, AsidMatch::Any, false),
    ] {
        let scope = scope(instruction, &GUEST);
        let name = instruction.mnemonic();
        assert_eq!((scope.worlds, scope.stages), (Worlds::NsEl1, stages), "{name}");
        assert_eq!((scope.vmid, scope.asid), (vmid, asid), "{name}");
        assert_eq!(scope.address.is_some(), by_address, "{name}");
    }
}

#[test]
fn an_l_names_the_last_level_only() {
    for &instruction in I::ALL {
        let tlbi = broadcast(instruction, XT | 1 << 46, &GUEST);
        if let Some(range) = scope_with(&tlbi, &CommandFeatures::ALL, false).address {
            let name = instruction.mnemonic();
            let last_level = name.contains("ALE") || name.contains("LE1") || name.contains("LE2");
            assert_eq!(range.leaf, last_level && name != "ALLE1IS", "{name}");
        }
    }
}

#[test]
fn what_names_an_asid_spares_contexts_with_private_asids() {
    for instruction in [I::Aside1Is, I::Vae1Is, I::Vale1Is] {
        let scope = scope(instruction, &GUEST);
        assert!(scope.covers(&page()) && !scope.covers(&private(page())), "{instruction:?}");
    }
    let va = scope(I::Vae1Is, &GUEST);
    assert!(va.covers(&global(with_asid(9))) && !va.covers(&private(global(with_asid(9)))));
}

#[test]
fn what_names_no_asid_takes_private_asids_along() {
    for instruction in [I::Vmalle1Is, I::Vaae1Is, I::Vaale1Is, I::Vmalls12e1Is, I::Alle1Is] {
        let scope = scope(instruction, &GUEST);
        assert!(scope.covers(&page()) && scope.covers(&private(page())), "{instruction:?}");
        assert!(scope.covers(&private(global(page()))), "{instruction:?}");
    }
}

#[test]
fn without_stage_2_every_entry_has_vmid_0() {
    let features = CommandFeatures { stage2: false, ..CommandFeatures::ALL };
    let of = |vmid| BroadcastTlbi::Vmalle1(TlbiVmid { vmid: Vmid(vmid) });
    assert!(scope_with(&of(0), &features, false).covers(&with_vmid(0)));
    assert!(!scope_with(&of(5), &features, false).covers(&with_vmid(0)));
}

#[test]
fn vmw_ignores_low_vmid_bits_of_broadcasts_too() {
    let tlbi = broadcast(I::Aside1Is, XT, &GUEST);
    let scope = tlbi.scope(&CommandFeatures::ALL, false, 1);
    let covers = |vmid| scope.covers_translation(&with_vmid(vmid));
    assert_eq!([3, 4, 5, 6].map(covers), [false, true, true, false]);
}

#[test]
fn el2_is_el2_or_el2_e2h_by_cr2() {
    let of = |world| entry(world, EntryKind::Stage1);
    let covered = |instruction, e2h| {
        let tlbi = broadcast(instruction, XT, &GUEST);
        let scope = scope_with(&tlbi, &CommandFeatures::ALL, e2h);
        assert!(!scope.covers(&page()), "{instruction:?} leaves EL1 alone");
        [StreamWorld::El2, StreamWorld::El2E2h].map(|world| scope.covers(&of(world)))
    };
    for instruction in [I::Vae2Is, I::Vale2Is] {
        assert_eq!(covered(instruction, false), [true, false]);
        assert_eq!(covered(instruction, true), [false, true]);
    }
    assert_eq!([covered(I::Alle2Is, false), covered(I::Alle2Is, true)], [[true; 2]; 2]);
}

#[test]
fn el2_has_no_asid_to_be_private() {
    let tlbi = broadcast(I::Vae2Is, 99 << 48 | 1, &GUEST);
    let el2 = private(entry(StreamWorld::El2, EntryKind::Stage1));
    assert!(scope_with(&tlbi, &CommandFeatures::ALL, false).covers(&el2));
}

/// HCR_EL2.E2H and TGE are 1.
#[test]
fn stage_1_instructions_of_a_host_act_on_el2() {
    let e2h = entry(StreamWorld::El2E2h, EntryKind::Stage1);
    for instruction in [I::Vmalle1Is, I::Aside1Is, I::Vae1Is, I::Vale1Is, I::Vaae1Is, I::Vaale1Is] {
        let scope = scope(instruction, &HOST);
        assert!(scope.covers(&e2h) && !scope.covers(&page()), "{instruction:?}");
    }
    assert!(!scope(I::Aside1Is, &HOST).covers(&private(e2h)));
    assert!(scope(I::Vaae1Is, &HOST).covers(&private(e2h)));
    let stage2 = entry(StreamWorld::NsEl1, EntryKind::Stage2);
    assert!(scope(I::Ipas2e1Is, &HOST).covers(&stage2), "stage 2 is that of the current VMID");
}

#[test]
fn an_address_is_in_the_half_that_its_bit_55_tells() {
    assert_eq!(addresses(I::Vae1Is, 7 << 48 | 0xfff_ffff_ffff).first, 0xffff_ffff_ffff_f000);
    assert_eq!(addresses(I::Vae1Is, 7 << 48 | 0x7ff_ffff_ffff).first, 0x007f_ffff_ffff_f000);
    assert_eq!(addresses(I::Ipas2e1Is, 1 << 63 | 0xff_ffff_ffff).first, 0x000f_ffff_ffff_f000);
}

#[test]
fn ttl_names_granule_and_level_of_one_address() {
    let hint = |ttl: u64| {
        let scope = addresses(I::Vae1Is, XT | ttl << 44);
        (scope.granule, scope.level, scope.last)
    };
    assert_eq!(hint(0b0000), (None, 0, 0x1000));
    assert_eq!(hint(0b0111), (Some(Granule::K4), 3, 0x1fff));
    assert_eq!(hint(0b0110), (Some(Granule::K4), 2, 0x1fff));
    assert_eq!(hint(0b1010), (Some(Granule::K16), 2, 0x4fff));
    assert_eq!(hint(0b1101), (Some(Granule::K64), 1, 0x1_0fff));
}

#[test]
fn a_reserved_ttl_tells_nothing() {
    for ttl in [0b0001, 0b0011, 0b0100, 0b1000, 0b1001, 0b1100] {
        let scope = addresses(I::Vae1Is, XT | ttl << 44);
        assert_eq!((scope.granule, scope.level), (None, 0), "{ttl:#b}");
    }
}

#[test]
fn a_range_is_num_plus_1_times_2_to_5_scale_plus_1_granules() {
    // TG, SCALE, NUM, TTL, BaseADDR.
    let xt = |tg: u64, scale: u64, num: u64, ttl: u64, base: u64| {
        7 << 48 | tg << 46 | scale << 44 | num << 39 | ttl << 37 | base
    };
    let range = |xt| {
        let scope = addresses(I::Rvae1Is, xt);
        (scope.first, scope.last, scope.level, scope.granule)
    };
    assert_eq!(range(xt(1, 0, 0, 0, 1)), (0x1000, 0x2fff, 0, Some(Granule::K4)));
    assert_eq!(range(xt(1, 1, 2, 3, 0)), (0, 3 * 64 * 0x1000 - 1, 3, Some(Granule::K4)));
    assert_eq!(range(xt(3, 0, 1, 2, 1)), (0x1_0000, 0x4_ffff, 2, Some(Granule::K64)));
    let top = 0x1f_ffff_ffff;
    assert_eq!(range(xt(1, 0, 0, 0, top)).0, 0xffff_ffff_ffff_f000);
    assert_eq!(addresses(I::Ripas2e1Is, xt(1, 0, 0, 0, top)).first, 0x0001_ffff_ffff_f000);
}

#[test]
fn a_range_of_the_reserved_granule_is_not_sent() {
    for instruction in [I::Rvae1Is, I::Rvaale1Is, I::Ripas2e1Is, I::Rvae2Is] {
        assert_eq!(BroadcastTlbi::of(instruction, XT, &GUEST), None, "{instruction:?}");
    }
}

/// An SMMU without IDR3.RIL that dropped one granule of a range would leave the rest stale.
#[test]
fn a_range_is_taken_whole_without_ril() {
    let features = CommandFeatures { ril: false, ..CommandFeatures::ALL };
    let tlbi = broadcast(I::Rvae1Is, XT | 1 << 46, &GUEST);
    let range = scope_with(&tlbi, &features, false).address.expect("addresses");
    assert_eq!((range.first, range.last), (0x1000, 0x2fff));
}

#[test]
fn a_broadcast_reads_as_its_instruction() {
    let text = |instruction, pe| broadcast(instruction, XT | 1 << 46, pe).to_string();
    assert_eq!(text(I::Aside1Is, &GUEST), "TLBI ASIDE1IS vmid=0x5 asid=0x7");
    assert_eq!(text(I::Aside1Is, &HOST), "TLBI ASIDE1IS (EL2&0) asid=0x7");
    let range = "va=0x1000 tg=4K num=0 scale=1 ttl=0";
    assert_eq!(text(I::Rvae1Is, &GUEST), format!("TLBI VAE1IS vmid=0x5 asid=0x7 {range}"));
    assert_eq!(text(I::Alle2Is, &GUEST), "TLBI ALLE2IS");
}

/// The command that a driver without broadcasts issues in its place.
#[test]
fn but_for_private_asids_a_broadcast_is_the_command_of_the_same_name() {
    let range = TlbiRange::single(0x1000, true);
    let command = Command::TlbiNhVa(smmu_arch::TlbiVa { vmid: Vmid(5), asid: Asid(7), range });
    let of_command = command.scope(&CommandFeatures::ALL, false, 0);
    let broadcast = TlbScope { shared_only: false, ..scope(I::Vale1Is, &GUEST) };
    assert_eq!(of_command, Some(Invalidation::Translations(broadcast)));
}

proptest! {
    #[test]
    fn no_operand_is_fatal(xt: u64, host: bool, e2h: bool, which in 0..I::ALL.len()) {
        if let Some(tlbi) = BroadcastTlbi::of(I::ALL[which], xt, &PeContext { host, ..GUEST }) {
            let scope = scope_with(&tlbi, &CommandFeatures::ALL, e2h);
            prop_assert!(scope.address.is_none_or(|range| range.first <= range.last));
            prop_assert!(!scope.shared_only || scope.asid != AsidMatch::Any);
        }
    }
}
