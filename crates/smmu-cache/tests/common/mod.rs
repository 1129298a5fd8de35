//! What may happen to a TLB: entries, look-ups and scopes, drawn from a small hot set of
//! identifiers and addresses so that they meet, and a large cold one.

use proptest::prelude::*;
use smmu_arch::{
    AddressScope, AddressSpace, Asid, AsidMatch, Attributes, EntryKind, Granule, Invalidation,
    Leaf, MemoryType, Pa, Permissions, Shareability, Stages, StreamWorld, TlbEntry, TlbScope, Vmid,
    VmidMatch, Worlds,
};
use smmu_cache::InvalidationLog;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A walk found this.
    Fill(TlbEntry),
    /// A transaction in one of [`spaces`] looks for this.
    LookUp {
        /// Position in [`spaces`].
        space: usize,
        /// Input address.
        input: u64,
    },
    /// A command takes effect.
    Invalidate(TlbScope),
}

/// The address spaces that look-ups use.
pub(crate) fn spaces() -> Vec<AddressSpace> {
    let mut spaces = Vec::new();
    for world in [StreamWorld::NsEl1, StreamWorld::El2, StreamWorld::El2E2h] {
        for kind in [EntryKind::Stage1, EntryKind::Stage2, EntryKind::Combined] {
            for ids in 0..8 {
                let vmid = Vmid(if world.has_vmid() { ids & 1 } else { 0 });
                let asid =
                    Asid(if world.has_asid() && kind.has_stage1() { ids >> 1 & 1 } else { 0 });
                spaces.push(AddressSpace { world, kind, vmid, asid, aset: ids >> 2 == 1 });
            }
        }
    }
    spaces
}

/// Tells the log of a scope, as the consumer of a command queue does.
pub(crate) fn log_scope(log: &InvalidationLog, scope: &TlbScope) {
    log.take_effect(&Invalidation::Translations(*scope), || ());
}

/// A run.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => entry().prop_map(Step::Fill),
        6 => (0..spaces().len(), address())
            .prop_map(|(space, input)| Step::LookUp { space, input }),
        2 => scope().prop_map(Step::Invalidate),
    ];
    prop::collection::vec(step, 1..120)
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..40u64, 0..4096u64).prop_map(|(page, low)| page << 12 | low),
        3 => (0..4u64, 0..4u64).prop_map(|(gigabyte, page)| gigabyte << 30 | page << 21),
        1 => (0..16u64).prop_map(|page| !0 << 20 | page << 12),
        1 => any::<u64>(),
    ]
}

/// Sign-extends from bit 52, as every regime's range check leaves it.
fn canonical(address: u64) -> u64 {
    ((address << 11) as i64 >> 11) as u64
}

fn size() -> impl Strategy<Value = u8> {
    prop_oneof![
        6 => Just(12u8),
        3 => prop::sample::select(vec![14, 16, 21, 25, 30]),
        1 => 12..=52u8,
    ]
}

fn leaf(input: u64, size: u8) -> impl Strategy<Value = Leaf> {
    let span = prop_oneof![3 => Just(0), 1 => 0..12u8];
    (span, 1..=3i8, prop::sample::select(Granule::ALL.to_vec())).prop_map(
        move |(more, level, granule)| {
            let span_log2 = (size + more).min(52);
            Leaf { base: input >> span_log2 << span_log2, span_log2, level, granule }
        },
    )
}

fn space() -> impl Strategy<Value = AddressSpace> {
    let hot = prop::sample::select(spaces());
    let cold =
        (hot.clone(), any::<u16>(), any::<u16>()).prop_map(|(space, vmid, asid)| AddressSpace {
            vmid: if space.world.has_vmid() { Vmid(vmid) } else { space.vmid },
            asid: if space.world.has_asid() { Asid(asid) } else { space.asid },
            ..space
        });
    prop_oneof![9 => hot, 1 => cold]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let sh =
        prop::sample::select(vec![Shareability::Non, Shareability::Inner, Shareability::Outer]);
    (any::<u8>(), sh)
        .prop_map(|(memory, shareability)| Attributes { memory: MemoryType(memory), shareability })
}

fn entry() -> impl Strategy<Value = TlbEntry> {
    (space(), address(), size())
        .prop_flat_map(|(space, address, size)| {
            let input = canonical(address) >> size << size;
            let leaves = (leaf(input, size), leaf(input, size));
            let output = (0..1u64 << 52).prop_map(move |pa| Pa(pa >> size << size));
            let rights = (any::<u16>().prop_map(Permissions::from_bits), attributes());
            (Just((space, input, size)), any::<bool>(), output, rights, leaves)
        })
        .prop_map(
            |((space, input, size_log2), global, output, (permissions, attributes), leaves)| {
                TlbEntry {
                    space,
                    global: global && space.kind.has_stage1(),
                    input,
                    size_log2,
                    output,
                    permissions,
                    attributes,
                    stage1: space.kind.has_stage1().then_some(leaves.0),
                    stage2: (space.kind != EntryKind::Stage1).then_some(leaves.1),
                }
            },
        )
}

fn scope() -> impl Strategy<Value = TlbScope> {
    let worlds = prop_oneof![
        4 => Just(Worlds::NsEl1),
        1 => Just(Worlds::AnyEl2),
        1 => Just(Worlds::El2),
        1 => Just(Worlds::El2E2h),
    ];
    let stages =
        prop_oneof![2 => Just(Stages::Stage1), 1 => Just(Stages::Stage2), 2 => Just(Stages::Both)];
    let vmid = prop_oneof![
        1 => Just(VmidMatch::Any),
        4 => (0..3u16).prop_map(|vmid| VmidMatch::Like { vmid: Vmid(vmid), ignore: 0 }),
        1 => (any::<u16>(), 0..16u16)
            .prop_map(|(vmid, ignore)| VmidMatch::Like { vmid: Vmid(vmid & 0xf), ignore }),
    ];
    let asid = prop_oneof![
        2 => Just(AsidMatch::Any),
        1 => (0..3u16).prop_map(|asid| AsidMatch::NonGlobal(Asid(asid))),
        1 => (0..3u16).prop_map(|asid| AsidMatch::OrGlobal(Asid(asid))),
    ];
    let range = prop_oneof![Just(0), 0..1u64 << 14, 0..1u64 << 33];
    let granule = prop_oneof![
        2 => Just(None),
        1 => prop::sample::select(Granule::ALL.to_vec()).prop_map(Some),
    ];
    let range =
        (address(), range, any::<bool>(), prop_oneof![3 => Just(0u8), 1 => 1..=3u8], granule)
            .prop_map(|(first, more, leaf, level, granule)| AddressScope {
                first,
                last: first.saturating_add(more),
                leaf,
                level,
                granule,
            });
    let address = prop_oneof![1 => Just(None), 3 => range.prop_map(Some)];
    let shared_only = prop::bool::weighted(0.2);
    (worlds, stages, vmid, asid, shared_only, address).prop_map(
        |(worlds, stages, vmid, asid, shared_only, address)| TlbScope {
            worlds,
            stages,
            vmid,
            asid,
            shared_only,
            address,
        },
    )
}
