//! What the architecture says of look-up and invalidation, one rule a test, on every shape.

use smmu_arch::{
    AddressScope, AddressSpace, Asid, AsidMatch, Attributes, EntryKind, Granule, Leaf, Pa,
    Permissions, Stages, StreamWorld, TlbEntry, TlbKey, TlbScope, Vmid, VmidMatch,
};
use smmu_cache::policy::PolicyKind;
use smmu_cache::{
    Array, ConfigCache, ConfigFill, Context, Division, Fill, IndexFunction, InvalidationLog, Split,
    Tlb, TlbGeometry, TlbShape,
};

const KIB_4: u8 = 12;
const KIB_64: u8 = 16;
const MIB_2: u8 = 21;
const GIB_1: u8 = 30;
const GIB_512: u8 = 39;

fn space(kind: EntryKind, vmid: u16, asid: u16) -> AddressSpace {
    AddressSpace {
        world: StreamWorld::NsEl1,
        kind,
        vmid: Vmid(vmid),
        asid: Asid(asid),
        aset: false,
    }
}

fn leaf(input: u64, span_log2: u8) -> Leaf {
    Leaf { base: input >> span_log2 << span_log2, span_log2, level: 3, granule: Granule::K4 }
}

/// 2^`size` bytes at `input`, translated to 1 TiB higher, from leaves of 2^`stage1` bytes.
fn entry(space: AddressSpace, input: u64, size: u8, stage1: u8) -> TlbEntry {
    TlbEntry {
        space,
        global: false,
        input,
        size_log2: size,
        output: Pa(input + (1 << 40)),
        permissions: Permissions::ALL,
        attributes: Attributes::DEFAULT,
        stage1: space.kind.has_stage1().then(|| leaf(input, stage1)),
        stage2: (space.kind != EntryKind::Stage1).then(|| leaf(input, size)),
    }
}

/// A TLBI of stage 1 by VMID, ASID and addresses.
fn tlbi(vmid: u16, asid: AsidMatch, addresses: Option<(u64, u64)>) -> TlbScope {
    TlbScope {
        stages: Stages::Stage1,
        asid,
        address: addresses.map(|(first, last)| AddressScope {
            first,
            last,
            leaf: true,
            level: 0,
            granule: None,
        }),
        ..TlbScope::s12_vmall(Vmid(vmid))
    }
}

const SPLIT: [Option<Split>; 2] =
    [Some(Split { from_log2: 16, entries: 64 }), Some(Split { from_log2: 30, entries: 32 })];

fn on_every_shape(rule: impl Fn(&Tlb)) {
    let geometry =
        |ways, index| TlbGeometry { entries: 1024, ways, index, ..TlbGeometry::default() }.into();
    let shapes = [
        TlbShape::Unbounded,
        geometry(16, IndexFunction::Page),
        geometry(0, IndexFunction::Page),
        geometry(16, IndexFunction::PageXorTags),
        geometry(4, IndexFunction::Hash),
        TlbGeometry { region_log2: 31, entries: 1500, ways: 500, ..TlbGeometry::default() }.into(),
        TlbGeometry { split: SPLIT, entries: 1024, ways: 16, ..TlbGeometry::default() }.into(),
    ];
    shapes.into_iter().for_each(|shape| rule(&Tlb::new(shape).unwrap()));
}

fn hold(tlb: &Tlb, entry: &TlbEntry) {
    let log = InvalidationLog::new();
    let fill = tlb.fill(entry, log.now(), &log);
    assert!(matches!(fill, Fill::Filled { evicted: None, .. }), "{fill:?}");
}

fn found(tlb: &Tlb, space: AddressSpace, input: u64) -> bool {
    tlb.look_up(&mut Context::new(space), input).is_some()
}

#[test]
fn an_entry_of_any_size_is_found_by_every_address_it_covers() {
    let at = space(EntryKind::Stage1, 1, 1);
    on_every_shape(|tlb| {
        for (n, size) in (0..).zip([KIB_4, KIB_64, MIB_2, GIB_1, GIB_512]) {
            let input = n << 40;
            hold(tlb, &entry(at, input, size, size));
            let last = input + (1 << size) - 1;
            for address in [input, input + (last - input) / 3, last] {
                let hit = tlb.look_up(&mut Context::new(at), address).unwrap();
                assert_eq!(hit.output, Pa(address + (1 << 40)));
            }
            assert!(!found(tlb, at, last + 1));
        }
    });
}

/// The other stage cut a leaf into pieces: an address anywhere in the leaf drops all of them,
/// and nothing of its neighbours.
#[test]
fn a_tlbi_inside_a_leaf_drops_every_piece_of_it() {
    let at = space(EntryKind::Combined, 1, 1);
    for address in [0x1_0000, 0x1_7fff, 0x1_ffff] {
        on_every_shape(|tlb| {
            for page in 0..64 {
                hold(tlb, &entry(at, page << 12, KIB_4, KIB_64));
            }
            let by_address = tlbi(1, AsidMatch::OrGlobal(Asid(1)), Some((address, address)));
            assert_eq!(tlb.invalidate(&by_address), 16);
            let left: Vec<u64> = (0..64).filter(|page| found(tlb, at, page << 12)).collect();
            assert_eq!(left, (0..16).chain(32..64).collect::<Vec<u64>>());
            assert_eq!(tlb.invalidate(&by_address), 0);
        });
    }
}

#[test]
fn a_range_drops_what_it_overlaps() {
    let at = space(EntryKind::Stage1, 1, 1);
    on_every_shape(|tlb| {
        (0..64).for_each(|page| hold(tlb, &entry(at, page << 12, KIB_4, KIB_4)));
        hold(tlb, &entry(at, 1 << 30, MIB_2, MIB_2));
        let any = AsidMatch::Any;
        assert_eq!(tlb.invalidate(&tlbi(1, any, Some((0x2fff, 0x5000)))), 4);
        assert_eq!(tlb.invalidate(&tlbi(1, any, Some((0x3f000, (1 << 30) + 5)))), 2);
    });
}

#[test]
fn a_global_entry_answers_every_asid_of_its_vmid_and_aset() {
    on_every_shape(|tlb| {
        let at = |vmid, asid| space(EntryKind::Stage1, vmid, asid);
        hold(tlb, &TlbEntry { global: true, ..entry(at(1, 1), 0, KIB_4, KIB_4) });
        assert!(found(tlb, at(1, 2), 0));
        assert!(!found(tlb, at(2, 1), 0));
        assert!(!found(tlb, AddressSpace { aset: true, ..at(1, 1) }, 0));
        assert_eq!(tlb.invalidate(&tlbi(1, AsidMatch::NonGlobal(Asid(1)), None)), 0);
        assert_eq!(tlb.invalidate(&tlbi(1, AsidMatch::OrGlobal(Asid(7)), Some((0, 0)))), 1);
    });
}

/// The ASET is no tag of a non-global entry: one context finds what the other has filled.
#[test]
fn a_broadcast_by_asid_spares_what_a_context_with_private_asids_has_filled() {
    on_every_shape(|tlb| {
        let shared = space(EntryKind::Stage1, 1, 1);
        let private = AddressSpace { aset: true, ..shared };
        hold(tlb, &entry(shared, 0, KIB_4, KIB_4));
        hold(tlb, &entry(private, 0x1000, KIB_4, KIB_4));
        let broadcast =
            TlbScope { shared_only: true, ..tlbi(1, AsidMatch::NonGlobal(Asid(1)), None) };
        assert_eq!(tlb.invalidate(&broadcast), 1);
        assert!(!found(tlb, private, 0) && found(tlb, shared, 0x1000));
    });
}

#[test]
fn a_tlbi_by_vmid_or_asid_spares_the_others() {
    on_every_shape(|tlb| {
        for (vmid, asid) in [(1, 1), (1, 2), (2, 1), (3, 1)] {
            hold(tlb, &entry(space(EntryKind::Stage1, vmid, asid), 0, KIB_4, KIB_4));
            hold(tlb, &entry(space(EntryKind::Combined, vmid, asid), 0, KIB_4, KIB_4));
        }
        hold(tlb, &entry(space(EntryKind::Stage2, 1, 0), 0, KIB_4, KIB_4));
        assert_eq!(tlb.invalidate(&tlbi(1, AsidMatch::NonGlobal(Asid(1)), None)), 2);
        assert!(found(tlb, space(EntryKind::Stage1, 1, 2), 0));
        assert_eq!(tlb.invalidate(&tlbi(1, AsidMatch::Any, None)), 2);
        assert!(found(tlb, space(EntryKind::Stage2, 1, 0), 0));
        assert_eq!(tlb.invalidate(&TlbScope::s12_vmall(Vmid(1))), 1);
        let wild = VmidMatch::Like { vmid: Vmid(2), ignore: 1 };
        assert_eq!(tlb.invalidate(&TlbScope { vmid: wild, ..TlbScope::NSNH_ALL }), 4);
        assert!(tlb.is_empty());
    });
}

/// A choice of this model: the architecture leaves open which of two entries answers.
#[test]
fn of_two_sizes_the_smaller_answers() {
    let at = space(EntryKind::Stage1, 1, 1);
    on_every_shape(|tlb| {
        hold(tlb, &entry(at, 0, MIB_2, MIB_2));
        hold(tlb, &TlbEntry { output: Pa(0x9000), ..entry(at, 0x1000, KIB_4, KIB_4) });
        let output = |input| tlb.look_up(&mut Context::new(at), input).unwrap().output;
        assert_eq!(output(0x1010), Pa(0x9010));
        assert_eq!(output(0x2010), Pa(0x100_0000_2010));
    });
}

#[test]
fn a_page_that_is_filled_again_is_held_once() {
    let at = space(EntryKind::Stage1, 1, 1);
    on_every_shape(|tlb| {
        hold(tlb, &entry(at, 0, KIB_4, KIB_4));
        hold(tlb, &TlbEntry { output: Pa(0x9000), ..entry(at, 0, KIB_4, KIB_4) });
        assert_eq!(tlb.len(), 1);
        let hit = tlb.look_up(&mut Context::new(at), 0).unwrap();
        assert_eq!((hit.output, hit.fill), (Pa(0x9000), 2));
    });
}

#[test]
fn a_configuration_cache_without_entries_keeps_nothing() {
    use smmu_arch::{ConfigEntry, ConfigKey, Epoch, StreamId};
    let cache = ConfigCache::new(0);
    let key = ConfigKey::Ste(StreamId(1));
    let entry = ConfigEntry { key, words: [1; 8], pa: Pa(0) };
    assert_eq!(cache.fill(&entry, Epoch(0), &InvalidationLog::new()), ConfigFill::Refused);
    assert_eq!(cache.look_up(&key), None);
}

#[test]
fn a_configuration_fill_that_a_cfgi_overtook_is_dropped() {
    use smmu_arch::{ConfigEntry, ConfigKey, ConfigScope, Invalidation, StreamId, SubstreamId};
    let (cache, log) = (ConfigCache::new(4), InvalidationLog::new());
    let begin = log.now();
    let scope = ConfigScope::Ste { stream: StreamId(1), leaf: true };
    log.take_effect(&Invalidation::Configuration(scope), || ());
    let entry = |stream| ConfigEntry {
        key: ConfigKey::Cd(StreamId(stream), SubstreamId(0)),
        words: [1; 8],
        pa: Pa(0),
    };
    assert_eq!(cache.fill(&entry(1), begin, &log), ConfigFill::Overtaken);
    assert_eq!(cache.fill(&entry(2), begin, &log), ConfigFill::Filled { evicted: None });
    assert_eq!(cache.fill(&entry(1), log.now(), &log), ConfigFill::Filled { evicted: None });
}

/// Whatever the policy, a TLB hits where an array of tags with the same policy does.
#[test]
fn a_policy_replaces_in_a_tlb_as_it_does_in_an_array() {
    let policies = [
        PolicyKind::RoundRobin,
        PolicyKind::RoundRobinPerCache,
        PolicyKind::Lru,
        PolicyKind::Gem5Lru,
        PolicyKind::TreePlru,
        PolicyKind::Random { seed: 5 },
        PolicyKind::Gem5Random { seed: 5 },
        PolicyKind::Rrip,
    ];
    let at = space(EntryKind::Stage1, 1, 1);
    for replacement in policies {
        let geometry = TlbGeometry { entries: 32, ways: 4, replacement, ..TlbGeometry::default() };
        let shape = geometry.shape().unwrap();
        let mut array = Array::<4, _>::new(shape, replacement.policy(shape).unwrap());
        let (tlb, log) = (Tlb::new(geometry.into()).unwrap(), InvalidationLog::new());
        let mut context = Context::new(at);
        let mut seed = 1u64;
        for step in 0..4000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let page = (seed >> 40) % 48;
            let hit = tlb.look_up(&mut context, page << 12).is_some();
            assert_eq!(hit, array.look_up(page as usize % 8, page + 1), "{replacement:?} {step}");
            if !hit {
                array.store(page as usize % 8, page + 1);
                tlb.fill(&entry(at, page << 12, KIB_4, KIB_4), log.now(), &log);
            }
        }
    }
}

#[test]
fn a_vmid_fills_its_own_ways_and_takes_none_of_anothers() {
    let geometry = TlbGeometry { entries: 32, ways: 8, partitions: 4, ..TlbGeometry::default() };
    let (tlb, log) = (Tlb::new(geometry.into()).unwrap(), InvalidationLog::new());
    let fill = |vmid, page: u64| {
        let entry = entry(space(EntryKind::Combined, vmid, 0), page << 12, KIB_4, KIB_4);
        tlb.fill(&entry, log.now(), &log)
    };
    (0..8).for_each(|page| assert!(matches!(fill(1, page), Fill::Filled { evicted: None, .. })));
    let evicted = |fill| matches!(fill, Fill::Filled { evicted: Some(_), .. });
    assert!((0..100).all(|page| evicted(fill(2, page)) == (page >= 8)));
    assert!((0..8).all(|page| found(&tlb, space(EntryKind::Combined, 1, 0), page << 12)));
    assert!((8..16).all(|page| evicted(fill(5, page))), "VMID 5 shares the part of VMID 1");
}

#[test]
fn a_vmid_fills_its_own_sets_and_takes_none_of_anothers() {
    let partition_by = Division::Sets;
    let geometry =
        TlbGeometry { entries: 32, ways: 4, partitions: 2, partition_by, ..TlbGeometry::default() };
    let (tlb, log) = (Tlb::new(geometry.into()).unwrap(), InvalidationLog::new());
    let fill = |vmid, page: u64| {
        let entry = entry(space(EntryKind::Combined, vmid, 0), page << 12, KIB_4, KIB_4);
        matches!(tlb.fill(&entry, log.now(), &log), Fill::Filled { evicted: Some(_), .. })
    };
    assert!((0..16).all(|page| !fill(1, page)));
    assert!((0..100).all(|page| fill(2, page) == (page >= 16)));
    assert!((0..16).all(|page| found(&tlb, space(EntryKind::Combined, 1, 0), page << 12)));
}

#[test]
fn a_storm_of_large_entries_leaves_the_sets_of_the_small_ones_alone() {
    let geometry = TlbGeometry { entries: 16, ways: 4, split: SPLIT, ..TlbGeometry::default() };
    let (tlb, log) = (Tlb::new(geometry.into()).unwrap(), InvalidationLog::new());
    let at = space(EntryKind::Stage1, 1, 1);
    (0..16).for_each(|page| hold(&tlb, &entry(at, page << 12, KIB_4, KIB_4)));
    for block in 0..1000 {
        tlb.fill(&entry(at, (512 + block) << 21, MIB_2, MIB_2), log.now(), &log);
    }
    assert!((0..16).all(|page| found(&tlb, at, page << 12)));
    assert_eq!(tlb.len(), 16 + 64);
}

#[test]
fn a_copy_bears_the_number_of_its_original() {
    let (main, log) = (Tlb::new(TlbShape::Unbounded).unwrap(), InvalidationLog::new());
    let at = space(EntryKind::Stage1, 1, 1);
    hold(&main, &entry(at, 0, MIB_2, MIB_2));
    hold(&main, &entry(at, 0x1000, KIB_4, KIB_4));
    on_every_shape(|micro| {
        let key = |input| TlbKey { space: at, input };
        let (number, entry) = main.entry(&key(0x1234)).expect("held");
        assert_eq!((number, entry.size_log2), (2, KIB_4));
        assert!(matches!(micro.copy(number, &entry, log.now(), &log), Fill::Filled { .. }));
        assert_eq!(micro.look_up(&mut Context::new(at), 0x1234).map(|hit| hit.fill), Some(2));
        assert_eq!(micro.entry(&key(0x1fff)).map(|(number, _)| number), Some(2));
        assert!(micro.entry(&key(0x2000)).is_none());
    });
    assert_eq!(main.entry(&TlbKey { space: at, input: 0x2000 }).map(|(n, _)| n), Some(1));
}
