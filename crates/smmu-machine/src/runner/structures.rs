//! The structures of a blueprint as the device takes them.

use crate::file::{
    CacheBlueprint, HierarchyBlueprint, MainTlb, Prefetch, SmmuBlueprint, TlbBlueprint,
    WalkCacheBlueprint,
};
use smmu_device::{HierarchySizes, StructureSizes};

/// The structures of an SMMU. The seed starts random replacement.
#[must_use]
pub fn structure_sizes(drawn: &SmmuBlueprint, seed: u64) -> StructureSizes {
    let entries = |cache| match cache {
        CacheBlueprint::Unbounded => None,
        CacheBlueprint::Entries(entries) => Some(entries),
    };
    StructureSizes {
        tlb: drawn.tlb.shape(seed),
        ste_cache: entries(drawn.ste_cache),
        cd_cache: entries(drawn.cd_cache),
        hierarchy: hierarchy(&drawn.hierarchy, seed),
    }
}

fn hierarchy(drawn: &HierarchyBlueprint, seed: u64) -> HierarchySizes {
    let shape = |drawn: TlbBlueprint| drawn.shape(seed);
    let levels = |cache: Option<WalkCacheBlueprint>| {
        cache.map_or([None; 4], |cache| cache.levels.map(|level| level.map(shape)))
    };
    HierarchySizes {
        micro_tlb: drawn.micro_tlb.map(shape),
        micro_sizes: drawn.micro_sizes,
        main: match drawn.main {
            MainTlb::Shared => smmu_device::MainTlb::Shared,
            MainTlb::PerPort => smmu_device::MainTlb::PerPort,
            MainTlb::None => smmu_device::MainTlb::Absent,
        },
        main_sizes: drawn.main_sizes,
        prefetch: drawn.prefetch == Prefetch::NextPage,
        ipa_tlb: drawn.ipa_tlb.map(shape),
        stage1: levels(drawn.stage1),
        stage2: levels(drawn.stage2),
        stage1_nested: drawn.stage1.is_some_and(|cache| cache.nested),
    }
}
