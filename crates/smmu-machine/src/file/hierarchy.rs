//! What the structures of a machine file come to.

use super::smmu::Smmu;
use super::structures::{ConfigCache, Index, Replacement, Shape, Tlb, WalkCache};

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
    /// Entries of a set; 0 for one set that holds all. `entries / ways` is a power of two.
    pub ways: u32,
    /// How the set is found.
    pub index: Index,
    /// Which entry of a full set goes.
    pub replacement: Replacement,
    /// Parts that the ways are divided into, by VMID.
    pub partitions: u32,
}

impl SetAssociative {
    /// This many entries and ways, indexed by page, round-robin, undivided.
    pub(crate) const fn new(entries: u32, ways: u32) -> Self {
        let (index, replacement) = (Index::Page, Replacement::RoundRobin);
        Self { entries, ways, index, replacement, partitions: 1 }
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
    /// Geometry of each level.
    pub tlb: TlbBlueprint,
    /// Whether level -1, 0, 1, 2 has one.
    pub levels: [bool; 4],
    /// Stage 1 uses them under stage 2 as well.
    pub nested: bool,
}

impl HierarchyBlueprint {
    /// With the keys of the file over it.
    pub(crate) fn with(self, over: &Smmu) -> Self {
        Self {
            micro_tlb: optional_over(self.micro_tlb, MICRO_TLB, over.micro_tlb.as_ref()),
            ipa_tlb: optional_over(self.ipa_tlb, WALK_CACHE, over.ipa_tlb.as_ref()),
            stage1: walk_cache_over(self.stage1, over.walk_cache.stage1.as_ref()),
            stage2: walk_cache_over(self.stage2, over.walk_cache.stage2.as_ref()),
        }
    }

    /// Every structure with its key.
    pub(crate) fn structures(
        &self,
    ) -> impl Iterator<Item = (&'static [&'static str], TlbBlueprint)> {
        let walks = |cache: Option<WalkCacheBlueprint>| cache.map(|cache| cache.tlb);
        let all: [(&[&str], _); 4] = [
            (&["micro_tlb"], self.micro_tlb),
            (&["ipa_tlb"], self.ipa_tlb),
            (&["walk_cache", "stage1"], walks(self.stage1)),
            (&["walk_cache", "stage2"], walks(self.stage2)),
        ];
        all.into_iter().filter_map(|(key, structure)| Some((key, structure?)))
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
    let tlb = optional_over(under.map(|under| under.tlb), WALK_CACHE, Some(&over.tlb()))?;
    let levels = match (&over.levels, under) {
        (Some(levels), _) => [-1, 0, 1, 2].map(|level| levels.contains(&level)),
        (None, Some(under)) => under.levels,
        (None, None) => [false, true, true, true],
    };
    let nested = over.nested.or(under.map(|under| under.nested)).unwrap_or(true);
    Some(WalkCacheBlueprint { tlb, levels, nested })
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
