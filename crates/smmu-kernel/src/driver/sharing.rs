//! What the containers of one shared VMID have mapped (`rfc-fixed`).
//!
//! Containers of one VMID hold equal tables, so that an entry filled through one table may be hit by
//! the device of another. An unmap therefore promises nothing for what another container of the VMID
//! still maps; the last one to unmap promises it.

use super::Env;
use crate::guarded::{Guarded, LockNumbers};
use rustc_hash::FxHashMap;
use smmu_arch::{SmmuId, Vmid};

/// Ranges by SMMU and VMID.
#[derive(Debug)]
pub(crate) struct Sharing(Guarded<FxHashMap<(SmmuId, Vmid), Vec<Held>>>);

/// A range that a domain has mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Held {
    domain: u64,
    first: u64,
    /// Inclusive.
    last: u64,
}

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
            spaces.entry(space).or_default().push(Held { domain, first, last });
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
            let Some(held) = spaces.get_mut(&space) else { return vec![(first, last)] };
            held.retain(|h| h.domain != domain || h.first < first || h.last > last);
            let mut parts = vec![(first, last)];
            for other in held.iter().filter(|h| h.domain != domain) {
                parts = parts.into_iter().flat_map(|part| without(part, other)).collect();
            }
            if held.is_empty() {
                spaces.remove(&space);
            }
            parts
        })
    }

    /// A domain has got another VMID.
    pub(super) fn retag(&self, env: Env<'_>, smmu: SmmuId, domain: u64, old: Vmid, new: Vmid) {
        self.0.with(env.cpu, |spaces| {
            let held = spaces.remove(&(smmu, old)).unwrap_or_default();
            let (moved, kept): (Vec<_>, _) = held.into_iter().partition(|h| h.domain == domain);
            if !kept.is_empty() {
                spaces.insert((smmu, old), kept);
            }
            if !moved.is_empty() {
                spaces.entry((smmu, new)).or_default().extend(moved);
            }
        });
    }
}

/// The parts of a range that lie outside of another.
fn without((first, last): (u64, u64), other: &Held) -> impl Iterator<Item = (u64, u64)> + use<> {
    let below = (first < other.first).then(|| (first, last.min(other.first.wrapping_sub(1))));
    let above = (last > other.last).then(|| (first.max(other.last.wrapping_add(1)), last));
    below.into_iter().chain(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_without_another() {
        let held = |first, last| Held { domain: 0, first, last };
        let parts = |other: Held| without((10, 20), &other).collect::<Vec<_>>();
        assert_eq!(parts(held(0, 9)), [(10, 20)]);
        assert_eq!(parts(held(21, u64::MAX)), [(10, 20)]);
        assert_eq!(parts(held(12, 14)), [(10, 11), (15, 20)]);
        assert_eq!(parts(held(0, 12)), [(13, 20)]);
        assert_eq!(parts(held(0, u64::MAX)), []);
    }
}
