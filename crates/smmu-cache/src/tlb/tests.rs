//! What only shows from inside: numbers of address spaces that run out.

use smmu_arch::{
    AddressSpace, Asid, Attributes, EntryKind, Epoch, Granule, Leaf, Pa, Permissions, StreamWorld,
    TlbEntry, TlbScope, Vmid,
};

use super::*;

fn space(vmid: u16, asid: u16) -> AddressSpace {
    AddressSpace {
        world: StreamWorld::NsEl1,
        kind: EntryKind::Stage1,
        vmid: Vmid(vmid),
        asid: Asid(asid),
        aset: false,
    }
}

fn page(space: AddressSpace, input: u64) -> TlbEntry {
    TlbEntry {
        space,
        global: false,
        input,
        size_log2: 12,
        output: Pa(u64::from(space.vmid.0) << 32 | u64::from(space.asid.0) << 12),
        permissions: Permissions::ALL,
        attributes: Attributes::DEFAULT,
        stage1: Some(Leaf { base: input, span_log2: 12, level: 3, granule: Granule::K4 }),
        stage2: None,
    }
}

fn small(ways: u32, ids: u32) -> Tlb {
    let geometry = TlbGeometry { entries: 4, ways, ..TlbGeometry::default() };
    Tlb::with_space_ids(geometry.into(), ids).unwrap()
}

fn fill(tlb: &Tlb, entry: &TlbEntry) -> Fill {
    tlb.fill(entry, Epoch(0), &InvalidationLog::new())
}

#[test]
fn numbers_that_run_out_are_taken_from_idle_address_spaces() {
    let tlb = small(4, 4);
    let mut kept = tlb.resolve(&space(1, 1));
    fill(&tlb, &page(space(1, 1), 0));
    for asid in 2..100 {
        let _ = tlb.resolve(&space(1, asid));
    }
    assert_eq!(tlb.look_up(&mut kept, 0).unwrap().output, Pa(1 << 32 | 1 << 12));
}

#[test]
fn a_number_that_is_used_again_never_answers_for_its_old_address_space() {
    let tlb = small(4, 2);
    for asid in 0..50 {
        let mut context = tlb.resolve(&space(1, asid));
        assert!(tlb.look_up(&mut context, 0).is_none());
        fill(&tlb, &page(space(1, asid), 0));
        assert_eq!(tlb.look_up(&mut context, 0).unwrap().output.0 >> 12 & 0xfff, asid.into());
        let mut other = tlb.resolve(&space(1, asid + 1));
        assert!(tlb.look_up(&mut other, 0).is_none());
    }
}

#[test]
fn everything_goes_when_no_address_space_is_idle() {
    let tlb = small(4, 2);
    fill(&tlb, &page(space(1, 1), 0));
    fill(&tlb, &page(space(1, 2), 0));
    assert_eq!(tlb.len(), 2);
    fill(&tlb, &page(space(1, 3), 0));
    assert_eq!(tlb.len(), 1);
    assert_eq!(tlb.entries(), [page(space(1, 3), 0)]);
}

#[test]
fn ways_of_a_retired_vmid_are_free_again() {
    let tlb = small(0, 100);
    (0..4).for_each(|n| {
        fill(&tlb, &page(space(1 + (n as u16 & 1), 0), n << 12));
    });
    assert_eq!(tlb.invalidate(&TlbScope::s12_vmall(Vmid(1))), 2);
    for n in 4..6 {
        let filled = fill(&tlb, &page(space(2, 0), n << 12));
        assert!(matches!(filled, Fill::Filled { evicted: None, .. }), "{filled:?}");
    }
    let Fill::Filled { evicted: Some(_), .. } = fill(&tlb, &page(space(2, 0), 6 << 12)) else {
        panic!("the set is full again");
    };
}

#[test]
fn the_numbers_of_overwritten_ways_come_back() {
    let tlb = small(1, 6);
    let kept = page(space(9, 9), 3 << 12);
    fill(&tlb, &kept);
    for round in 0..100 {
        fill(&tlb, &page(space(1, round), u64::from(round % 3) << 12));
        assert_eq!(tlb.invalidate(&TlbScope::s12_vmall(Vmid(1))), 1, "round {round}");
    }
    assert_eq!(tlb.entries(), [kept], "nobody ran out of numbers");
}

#[test]
fn what_is_no_entry_is_refused() {
    let good = page(space(1, 1), 0x1000);
    let tlb = small(4, 100);
    for bad in [
        TlbEntry { size_log2: 11, ..good },
        TlbEntry { size_log2: 53, input: 0, output: Pa(0), ..good },
        TlbEntry { size_log2: 13, ..good },
        TlbEntry { input: 1 << 60, ..good },
        TlbEntry { output: Pa(1 << 52), ..good },
    ] {
        assert_eq!(fill(&tlb, &bad), Fill::Refused, "{bad:?}");
    }
}
