//! What the structures of a machine file come to.

use super::bytes::Bytes;
use super::smmu::Smmu;
use super::structures::{
    ConfigCache, Index, MainTlb, PartitionBy, Prefetch, Replacement, Shape, Tlb, WalkCache,
};
use smmu_arch::EntrySizes;

/// A TLB, or a walk cache of one level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlbBlueprint {
    /// Forgets nothing by itself.
    Unbounded,
    /// The same, and a global entry is used only in the ASID that it was made in.
    UnboundedByAsid,
    /// Sets of ways.
    SetAssociative(SetAssociative),
}

/// Size and policies of a structure that is made of sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetAssociative {
    /// Entries, 1 to 2^20.
    pub entries: u32,
    /// Entries of a set; 0 for one set that holds all. They divide the entries.
    pub ways: u32,
    /// How the set is found.
    pub index: Index,
    /// Which entry of a full set goes.
    pub replacement: Replacement,
    /// Parts by VMID.
    pub partitions: u32,
    /// What the parts are made of.
    pub partition_by: PartitionBy,
    /// log2 of the bytes of input addresses that go into one set together.
    pub region_log2: u8,
    /// Sets of their own for larger entries: log2 of the bytes of the smallest, and entries.
    pub split: [Option<(u8, u32)>; 2],
}

impl SetAssociative {
    /// This many entries and ways, indexed by page, round-robin, undivided.
    pub(crate) const fn new(entries: u32, ways: u32) -> Self {
        Self {
            entries,
            ways,
            index: Index::Page,
            replacement: Replacement::RoundRobin,
            partitions: 1,
            partition_by: PartitionBy::Ways,
            region_log2: 12,
            split: [None; 2],
        }
    }
}

/// A cache of STEs or CDs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheBlueprint {
    /// Forgets nothing by itself.
    Unbounded,
    /// First in, first out over this many entries; 0 = no cache.
    Entries(u32),
}

/// The structures around the main TLB; `None` is not there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HierarchyBlueprint {
    /// µTLB of each port.
    pub micro_tlb: Option<TlbBlueprint>,
    /// Sizes that its entries can have.
    pub micro_sizes: EntrySizes,
    /// Whose the main TLB is.
    pub main: MainTlb,
    /// Sizes that its entries can have.
    pub main_sizes: EntrySizes,
    /// What is walked for ahead.
    pub prefetch: Prefetch,
    /// IPA TLB.
    pub ipa_tlb: Option<TlbBlueprint>,
    /// Walk caches of stage 1.
    pub stage1: Option<WalkCacheBlueprint>,
    /// Walk caches of stage 2.
    pub stage2: Option<WalkCacheBlueprint>,
}

/// The walk caches of a stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalkCacheBlueprint {
    /// That of level -1, 0, 1, 2.
    pub levels: [Option<TlbBlueprint>; 4],
    /// Stage 1 uses them under stage 2 as well.
    pub nested: bool,
}

impl HierarchyBlueprint {
    /// With the keys of the file over it.
    pub(crate) fn with(self, over: &Smmu) -> Self {
        Self {
            micro_tlb: optional_over(self.micro_tlb, MICRO_TLB, over.micro_tlb.as_ref()),
            micro_sizes: sizes_over(self.micro_sizes, over.micro_tlb.as_ref()),
            main: over.main_tlb.unwrap_or(self.main),
            main_sizes: sizes_over(self.main_sizes, Some(&over.tlb)),
            prefetch: over.prefetch.unwrap_or(self.prefetch),
            ipa_tlb: optional_over(self.ipa_tlb, WALK_CACHE, over.ipa_tlb.as_ref()),
            stage1: walk_cache_over(self.stage1, over.walk_cache.stage1.as_ref()),
            stage2: walk_cache_over(self.stage2, over.walk_cache.stage2.as_ref()),
        }
    }

    /// Every structure with its key.
    pub(crate) fn structures(
        &self,
    ) -> impl Iterator<Item = (&'static [&'static str], TlbBlueprint)> {
        let walks = |cache: Option<WalkCacheBlueprint>| {
            cache.into_iter().flat_map(|cache| cache.levels).flatten()
        };
        let one = |key: &'static [&'static str], tlb: Option<TlbBlueprint>| {
            tlb.into_iter().map(move |tlb| (key, tlb))
        };
        let (stage1, stage2): (&[&str], &[&str]) =
            (&["walk_cache", "stage1"], &["walk_cache", "stage2"]);
        one(&["micro_tlb"], self.micro_tlb)
            .chain(one(&["ipa_tlb"], self.ipa_tlb))
            .chain(walks(self.stage1).map(move |tlb| (stage1, tlb)))
            .chain(walks(self.stage2).map(move |tlb| (stage2, tlb)))
    }
}

/// A µTLB over a preset that has none: 16 entries in one set.
const MICRO_TLB: TlbBlueprint = TlbBlueprint::SetAssociative(SetAssociative::new(16, 0));
/// An IPA TLB or walk cache over a preset that has none: 64 entries of 4 ways.
const WALK_CACHE: TlbBlueprint = TlbBlueprint::SetAssociative(SetAssociative::new(64, 4));

/// A structure that need not be there, with the keys of the file over it.
fn optional_over(
    under: Option<TlbBlueprint>,
    otherwise: TlbBlueprint,
    over: Option<&Tlb>,
) -> Option<TlbBlueprint> {
    match over {
        None => under,
        Some(Tlb { entries: Some(0), .. }) => None,
        Some(over) => Some(tlb_over(under.unwrap_or(otherwise), over)),
    }
}

fn walk_cache_over(
    under: Option<WalkCacheBlueprint>,
    over: Option<&WalkCache>,
) -> Option<WalkCacheBlueprint> {
    let Some(over) = over else { return under };
    let below = under.map_or([None; 4], |under| under.levels);
    let named: Vec<i8> = match (&over.levels, under) {
        (Some(levels), _) => levels.clone(),
        (None, Some(_)) => {
            LEVELS.into_iter().filter(|&level| below[place(level)].is_some()).collect()
        }
        (None, None) => vec![0, 1, 2],
    };
    let mut levels = [None; 4];
    for (index, &level) in named.iter().enumerate().filter(|(_, level)| LEVELS.contains(level)) {
        let own = over.level_entries.as_ref().and_then(|entries| entries.get(index).copied());
        let keys = Tlb { entries: own.or(over.entries), ..over.tlb() };
        // A level that the preset lacks is as its others are.
        let base = below[place(level)].or(below.into_iter().flatten().next());
        levels[place(level)] = optional_over(base, WALK_CACHE, Some(&keys));
    }
    let nested = over.nested.or(under.map(|under| under.nested)).unwrap_or(true);
    levels.iter().any(Option::is_some).then_some(WalkCacheBlueprint { levels, nested })
}

/// Levels of table descriptors.
const LEVELS: [i8; 4] = [-1, 0, 1, 2];

const fn place(level: i8) -> usize {
    (level + 1) as usize
}

/// Sizes of entries with the key of the file over them.
fn sizes_over(under: EntrySizes, over: Option<&Tlb>) -> EntrySizes {
    let Some(sizes) = over.and_then(|over| over.sizes.as_ref()) else { return under };
    EntrySizes(sizes.iter().map(|size| size.0 >> 12).fold(0, |all, bit| all | bit))
}

/// log2 of a size, which is a power of two where nothing is wrong with the file.
fn log2(size: Bytes) -> u8 {
    size.0.max(1).ilog2() as u8
}

/// A TLB with the keys of the file over it.
pub(crate) fn tlb_over(under: TlbBlueprint, over: &Tlb) -> TlbBlueprint {
    let unbounded = matches!(under, TlbBlueprint::Unbounded | TlbBlueprint::UnboundedByAsid);
    let base = match (over.shape, under) {
        (Some(Shape::Unbounded), _) => return TlbBlueprint::Unbounded,
        (Some(Shape::UnboundedByAsid), _) => return TlbBlueprint::UnboundedByAsid,
        (None, _) if unbounded && !over.is_sized() => return under,
        (_, TlbBlueprint::SetAssociative(base)) => base,
        (_, TlbBlueprint::Unbounded | TlbBlueprint::UnboundedByAsid) => {
            SetAssociative::new(2048, 4)
        }
    };
    TlbBlueprint::SetAssociative(SetAssociative {
        entries: over.entries.unwrap_or(base.entries),
        ways: over.ways.unwrap_or(base.ways),
        index: over.index.unwrap_or(base.index),
        replacement: over.replacement.unwrap_or(base.replacement),
        partitions: over.partitions.unwrap_or(base.partitions),
        partition_by: over.partition_by.unwrap_or(base.partition_by),
        region_log2: over.region.map_or(base.region_log2, log2),
        split: over.split.as_ref().map_or(base.split, |parts| {
            let mut parts = parts.iter().map(|part| (log2(part.from), part.entries));
            std::array::from_fn(|_| parts.next())
        }),
    })
}

/// A configuration cache with the keys of the file over it.
pub(crate) fn cache_over(under: CacheBlueprint, over: ConfigCache) -> CacheBlueprint {
    match (over.shape, over.entries) {
        (Some(_), _) => CacheBlueprint::Unbounded,
        (None, Some(entries)) => CacheBlueprint::Entries(entries),
        (None, None) => under,
    }
}
