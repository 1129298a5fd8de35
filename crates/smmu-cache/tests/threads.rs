//! Look-ups while others fill and invalidate: whatever they find must fit together.

use std::sync::atomic::{AtomicBool, Ordering};

use smmu_arch::{
    AddressScope, AddressSpace, Asid, AsidMatch, Attributes, EntryKind, Granule, Invalidation,
    Leaf, MemoryType, Pa, Permissions, Shareability, Stages, StreamWorld, TlbEntry, TlbScope, Vmid,
};
use smmu_cache::{Context, InvalidationLog, Tlb, TlbGeometry, TlbShape};

const PAGES: u64 = 24;
const ASIDS: u16 = 3;

fn space(asid: u16) -> AddressSpace {
    AddressSpace {
        world: StreamWorld::NsEl1,
        kind: EntryKind::Stage1,
        vmid: Vmid(1),
        asid: Asid(asid),
        aset: false,
    }
}

/// All fields follow from (ASID, page, version), so that a mixture shows.
fn entry(asid: u16, page: u64, version: u64) -> TlbEntry {
    let input = page << 12;
    TlbEntry {
        space: space(asid),
        global: false,
        input,
        size_log2: 12,
        output: Pa(version << 32 | page << 20 | u64::from(asid) << 12),
        permissions: Permissions::from_bits(version as u16 ^ page as u16),
        attributes: Attributes {
            memory: MemoryType(version as u8),
            shareability: Shareability::Inner,
        },
        stage1: Some(Leaf { base: input, span_log2: 12, level: 3, granule: Granule::K4 }),
        stage2: None,
    }
}

fn scope(asid: u16, page: Option<u64>) -> TlbScope {
    TlbScope {
        stages: Stages::Stage1,
        asid: AsidMatch::NonGlobal(Asid(asid)),
        address: page.map(|page| AddressScope {
            first: page << 12,
            last: page << 12 | 0xfff,
            leaf: true,
            level: 0,
            granule: None,
        }),
        ..TlbScope::s12_vmall(Vmid(1))
    }
}

/// Fills with versions that grow, and drops now and then by page, ASID and VMID.
fn write(tlb: &Tlb, log: &InvalidationLog, rounds: u64) {
    for n in 0..rounds {
        let (asid, page) = ((n % u64::from(ASIDS)) as u16, n * 7 % PAGES);
        tlb.fill(&entry(asid, page, n & 0xf_ffff), log.now(), log);
        let scope = match n % 11 {
            3 | 5 => scope(asid, Some(page)),
            7 => scope(asid, None),
            9 => TlbScope::s12_vmall(Vmid(1)),
            _ => continue,
        };
        log.take_effect(&Invalidation::Translations(scope), || tlb.invalidate(&scope));
    }
}

/// Looks up until `stop`; returns the hits.
fn read(tlb: &Tlb, stop: &AtomicBool) -> u64 {
    let mut contexts: Vec<Context> = (0..ASIDS).map(|asid| Context::new(space(asid))).collect();
    let mut hits = 0;
    let mut n = 0u64;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let (asid, page) = ((n % u64::from(ASIDS)) as u16, n * 5 % PAGES);
        if let Some(hit) = tlb.look_up(&mut contexts[usize::from(asid)], page << 12 | 0x123) {
            let expected = entry(asid, page, hit.output.0 >> 32);
            assert_eq!(hit.output, expected.translate(page << 12 | 0x123));
            assert_eq!(hit.permissions, expected.permissions);
            assert_eq!(hit.attributes, expected.attributes);
            assert_eq!(hit.fill, (hit.output.0 >> 32) + 1, "fills are numbered from 1");
            hits += 1;
        }
    }
    hits
}

fn stress(shape: TlbShape) {
    let tlb = Tlb::new(shape).unwrap();
    let log = InvalidationLog::new();
    let stop = AtomicBool::new(false);
    let hits = std::thread::scope(|threads| {
        let reader = threads.spawn(|| read(&tlb, &stop));
        write(&tlb, &log, 200_000);
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    println!("{hits} hits");
}

#[test]
fn a_hit_beside_writers_is_never_torn() {
    stress(TlbGeometry { entries: 16, ways: 4, ..TlbGeometry::default() }.into());
}

#[test]
fn a_hit_beside_writers_of_an_odd_geometry_is_never_torn() {
    stress(TlbGeometry { entries: 12, ways: 0, ..TlbGeometry::default() }.into());
}

#[test]
fn a_hit_beside_writers_of_an_unbounded_tlb_is_never_torn() {
    stress(TlbShape::Unbounded);
}

/// Two misses of the same page race: one copy stays.
#[test]
fn two_fills_of_a_page_leave_one_copy() {
    for _ in 0..50 {
        let tlb = Tlb::new(TlbGeometry::default().into()).unwrap();
        let log = InvalidationLog::new();
        std::thread::scope(|threads| {
            for version in 0..2 {
                let (tlb, log) = (&tlb, &log);
                threads.spawn(move || {
                    (0..PAGES).for_each(|page| {
                        tlb.fill(&entry(0, page, version), log.now(), log);
                    });
                });
            }
        });
        assert_eq!(u64::from(tlb.len()), PAGES);
        assert_eq!(u64::from(tlb.invalidate(&scope(0, None))), PAGES);
    }
}

/// An entry that was fetched before a scope took effect is gone after it, whoever comes first.
#[test]
fn no_entry_from_before_a_scope_survives_it() {
    for _ in 0..300 {
        let tlb = Tlb::new(TlbGeometry::default().into()).unwrap();
        let log = InvalidationLog::new();
        let begin = log.now();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                (0..PAGES).for_each(|page| {
                    tlb.fill(&entry(0, page, 0), begin, &log);
                });
            });
            let scope = scope(0, None);
            log.take_effect(&Invalidation::Translations(scope), || tlb.invalidate(&scope));
        });
        assert!(tlb.is_empty());
    }
}
