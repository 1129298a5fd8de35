//! What the containers of one shared VMID have mapped (`rfc-fixed`).
//!
//! Containers of one VMID hold equal tables, so that an entry filled through one table may be hit by
//! the device of another. An unmap therefore promises nothing for what another container of the VMID
//! still maps; the last one to unmap promises it.

use super::Env;
use crate::guarded::{Guarded, LockNumbers};
use rustc_hash::FxHashMap;
use smmu_arch::{SmmuId, Vmid};
use std::collections::BTreeMap;

/// Ranges by SMMU and VMID.
#[derive(Debug)]
pub(crate) struct Sharing(Guarded<FxHashMap<(SmmuId, Vmid), Space>>);

/// What each domain of one VMID has mapped, by number of the domain.
type Space = BTreeMap<u64, Ranges>;

/// Ranges that do not overlap: first input address to last.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Sharing {
    pub(super) fn new(locks: &LockNumbers) -> Self {
        Self(Guarded::new(locks, FxHashMap::default()))
    }

    /// A domain has mapped a range.
    pub(super) fn add(
        &self,
        env: Env<'_>,
        space: (SmmuId, Vmid),
        domain: u64,
        (first, last): (u64, u64),
    ) {
        self.0.with(env.cpu, |spaces| {
            let ranges = spaces.entry(space).or_default().entry(domain).or_default();
            ranges.0.insert(first, last);
        });
    }

    /// A domain has unmapped what it had inside a range; gives the parts of the range that nobody
    /// else has mapped.
    pub(super) fn remove(
        &self,
        env: Env<'_>,
        space: (SmmuId, Vmid),
        domain: u64,
        (first, last): (u64, u64),
    ) -> Vec<(u64, u64)> {
        self.0.with(env.cpu, |spaces| {
            let mut parts = vec![(first, last)];
            let Some(domains) = spaces.get_mut(&space) else { return parts };
            if let Some(own) = domains.get_mut(&domain) {
                own.remove(first, last);
                if own.0.is_empty() {
                    domains.remove(&domain);
                }
            }
            for (_, other) in domains.iter().filter(|(number, _)| **number != domain) {
                for held in other.overlapping(first, last) {
                    parts = parts.into_iter().flat_map(|part| without(part, held)).collect();
                }
            }
            if domains.is_empty() {
                spaces.remove(&space);
            }
            parts
        })
    }

    /// A domain has got another VMID.
    pub(super) fn retag(&self, env: Env<'_>, smmu: SmmuId, domain: u64, old: Vmid, new: Vmid) {
        self.0.with(env.cpu, |spaces| {
            let Some(domains) = spaces.get_mut(&(smmu, old)) else { return };
            let ranges = domains.remove(&domain);
            if domains.is_empty() {
                spaces.remove(&(smmu, old));
            }
            if let Some(ranges) = ranges {
                spaces.entry((smmu, new)).or_default().insert(domain, ranges);
            }
        });
    }
}

impl Ranges {
    /// Forgets the ranges that begin inside.
    fn remove(&mut self, first: u64, last: u64) {
        let inside: Vec<_> = self.0.range(first..=last).map(|(&first, _)| first).collect();
        inside.into_iter().for_each(|first| _ = self.0.remove(&first));
    }

    /// Ranges that have something in common with this one.
    fn overlapping(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let from = self.0.range(..=first).next_back().map_or(first, |(&below, _)| below);
        let near = self.0.range(from..=last).map(|(&first, &last)| (first, last));
        near.filter(move |&(_, end)| end >= first)
    }
}

/// The parts of a range that lie outside of another.
fn without(
    (first, last): (u64, u64),
    other: (u64, u64),
) -> impl Iterator<Item = (u64, u64)> + use<> {
    let below = (first < other.0).then(|| (first, last.min(other.0.wrapping_sub(1))));
    let above = (last > other.1).then(|| (first.max(other.1.wrapping_add(1)), last));
    below.into_iter().chain(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_without_another() {
        let parts = |first, last| without((10, 20), (first, last)).collect::<Vec<_>>();
        assert_eq!(parts(0, 9), [(10, 20)]);
        assert_eq!(parts(21, u64::MAX), [(10, 20)]);
        assert_eq!(parts(12, 14), [(10, 11), (15, 20)]);
        assert_eq!(parts(0, 12), [(13, 20)]);
        assert_eq!(parts(0, u64::MAX), []);
    }

    #[test]
    fn ranges_that_overlap_are_found_from_both_sides() {
        let ranges = Ranges(BTreeMap::from([(0, 9), (10, 19), (30, 39)]));
        let found = |first, last| ranges.overlapping(first, last).collect::<Vec<_>>();
        assert_eq!(found(5, 9), [(0, 9)]);
        assert_eq!(found(5, 30), [(0, 9), (10, 19), (30, 39)]);
        assert_eq!(found(20, 29), []);
        assert_eq!(found(20, 100), [(30, 39)]);
    }
}
