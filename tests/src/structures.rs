//! Structures of the SMMUs that are held against something.

use smmu_cache::{TlbGeometry, TlbShape};
use smmu_device::HierarchySizes;

/// Everything around a main TLB that there can be. A walk then meets, within itself already, what it
/// has kept.
#[must_use]
pub fn deep() -> HierarchySizes {
    let small: TlbShape = TlbGeometry { entries: 8, ways: 2, ..TlbGeometry::default() }.into();
    HierarchySizes {
        micro_tlb: Some(small),
        ipa_tlb: Some(small),
        stage1: [Some(small); 4],
        stage2: [Some(small); 4],
        stage1_nested: true,
        prefetch: true,
        ..HierarchySizes::default()
    }
}
