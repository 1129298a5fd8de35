//! The structures of a blueprint in the terms of the structures themselves, and what is wrong with
//! them.

use super::hierarchy::{SetAssociative, TlbBlueprint};
use super::structures::{Index, PartitionBy, Replacement};
use crate::{Path, Problem};
use smmu_cache::policy::PolicyKind;
use smmu_cache::{Division, GeometryError, IndexFunction, Split, TlbGeometry, TlbShape};

impl TlbBlueprint {
    /// The structure; the seed starts random replacement.
    pub(crate) fn shape(&self, seed: u64) -> TlbShape {
        match self {
            Self::Unbounded => TlbShape::Unbounded,
            Self::UnboundedByAsid => TlbShape::UnboundedByAsid,
            Self::SetAssociative(sets) => sets.geometry(seed).into(),
        }
    }
}

impl SetAssociative {
    fn geometry(&self, seed: u64) -> TlbGeometry {
        TlbGeometry {
            entries: self.entries,
            ways: self.ways,
            index: match self.index {
                Index::Page => IndexFunction::Page,
                Index::PageXorTags => IndexFunction::PageXorTags,
                Index::Hash => IndexFunction::Hash,
            },
            replacement: match self.replacement {
                Replacement::RoundRobin => PolicyKind::RoundRobin,
                Replacement::RoundRobinPerCache => PolicyKind::RoundRobinPerCache,
                Replacement::Lru => PolicyKind::Lru,
                Replacement::Gem5Lru => PolicyKind::Gem5Lru,
                Replacement::TreePlru => PolicyKind::TreePlru,
                Replacement::Random => PolicyKind::Random { seed },
                Replacement::Gem5Random => PolicyKind::Gem5Random { seed },
                Replacement::Rrip => PolicyKind::Rrip,
            },
            partitions: self.partitions,
            partition_by: match self.partition_by {
                PartitionBy::Ways => Division::Ways,
                PartitionBy::Sets => Division::Sets,
            },
            region_log2: self.region_log2,
            split: self
                .split
                .map(|split| split.map(|(from_log2, entries)| Split { from_log2, entries })),
        }
    }

    /// Says at its key why the structure cannot be.
    pub(super) fn check(&self, path: &Path, problems: &mut Vec<Problem>) {
        let Err(error) = self.geometry(0).check() else { return };
        let (key, help) = remedy(&error);
        problems.push(Problem::new(path.key(key), error.to_string(), help));
    }
}

/// The key that is to be changed, and how.
fn remedy(error: &GeometryError) -> (&'static str, String) {
    match *error {
        GeometryError::Entries(_) => {
            ("entries", "choose 1 to 1048576, or `shape = \"unbounded\"`".to_owned())
        }
        GeometryError::Sets { entries, ways } if ways > entries => {
            ("ways", "use 0 for one set that holds all".to_owned())
        }
        GeometryError::Sets { entries, ways } => {
            let below = entries / ways * ways;
            ("entries", format!("use {below} or {} entries", below + ways))
        }
        GeometryError::Partitions { .. } => {
            ("partitions", "choose a divisor of the ways, 1 for none".to_owned())
        }
        GeometryError::SetPartitions { .. } => {
            ("partitions", "choose a divisor of the sets, 1 for none".to_owned())
        }
        GeometryError::Split(_) => {
            ("split", "name the parts in the order of their sizes, each once".to_owned())
        }
        GeometryError::Policy(_) => {
            ("replacement", "use a power of two up to 64, or `replacement = \"lru\"`".to_owned())
        }
    }
}
