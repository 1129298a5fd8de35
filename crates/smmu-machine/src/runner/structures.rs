//! The structures of a blueprint as the device takes them.

use crate::file::{
    CacheBlueprint, HierarchyBlueprint, Index, Replacement, SetAssociative, SmmuBlueprint,
    TlbBlueprint, WalkCacheBlueprint,
};
use smmu_cache::policy::PolicyKind;
use smmu_cache::{IndexFunction, TlbGeometry, TlbShape};
use smmu_device::{HierarchySizes, StructureSizes};

/// The structures of an SMMU. The seed starts random replacement.
#[must_use]
pub fn structure_sizes(drawn: &SmmuBlueprint, seed: u64) -> StructureSizes {
    let entries = |cache| match cache {
        CacheBlueprint::Unbounded => None,
        CacheBlueprint::Entries(entries) => Some(entries),
    };
    StructureSizes {
        tlb: shape(drawn.tlb, seed),
        ste_cache: entries(drawn.ste_cache),
        cd_cache: entries(drawn.cd_cache),
        hierarchy: hierarchy(&drawn.hierarchy, seed),
    }
}

fn hierarchy(drawn: &HierarchyBlueprint, seed: u64) -> HierarchySizes {
    let shape = |drawn| shape(drawn, seed);
    let levels = |cache: Option<WalkCacheBlueprint>| match cache {
        None => [None; 4],
        Some(cache) => cache.levels.map(|there| there.then(|| shape(cache.tlb))),
    };
    HierarchySizes {
        micro_tlb: drawn.micro_tlb.map(shape),
        ipa_tlb: drawn.ipa_tlb.map(shape),
        stage1: levels(drawn.stage1),
        stage2: levels(drawn.stage2),
        stage1_nested: drawn.stage1.is_some_and(|cache| cache.nested),
    }
}

fn shape(drawn: TlbBlueprint, seed: u64) -> TlbShape {
    match drawn {
        TlbBlueprint::Unbounded => TlbShape::Unbounded,
        TlbBlueprint::UnboundedByAsid => TlbShape::UnboundedByAsid,
        TlbBlueprint::SetAssociative(sets) => geometry(&sets, seed).into(),
    }
}

fn geometry(drawn: &SetAssociative, seed: u64) -> TlbGeometry {
    TlbGeometry {
        entries: drawn.entries,
        ways: drawn.ways,
        index: match drawn.index {
            Index::Page => IndexFunction::Page,
            Index::PageXorTags => IndexFunction::PageXorTags,
            Index::Hash => IndexFunction::Hash,
        },
        replacement: match drawn.replacement {
            Replacement::RoundRobin => PolicyKind::RoundRobin,
            Replacement::RoundRobinPerCache => PolicyKind::RoundRobinPerCache,
            Replacement::Lru => PolicyKind::Lru,
            Replacement::Gem5Lru => PolicyKind::Gem5Lru,
            Replacement::TreePlru => PolicyKind::TreePlru,
            Replacement::Random => PolicyKind::Random { seed },
            Replacement::Gem5Random => PolicyKind::Gem5Random { seed },
            Replacement::Rrip => PolicyKind::Rrip,
        },
        partitions: drawn.partitions,
    }
}
