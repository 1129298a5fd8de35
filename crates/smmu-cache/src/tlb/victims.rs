//! Which way goes: a policy over the ways that an address space may fill.

use std::ops::Range;

use smmu_arch::Vmid;

use super::geometry::{GeometryError, TlbGeometry};
use crate::policy::{AnyPolicy, Policy};

/// The policy of a TLB, shared by look-ups and the writers.
#[derive(Clone, Debug)]
pub(crate) struct Victims {
    policy: AnyPolicy,
    partitions: usize,
    /// Ways of a partition.
    ways: usize,
}

impl Victims {
    pub(crate) fn new(geometry: &TlbGeometry) -> Result<Self, GeometryError> {
        let ways = geometry.partition_shape()?.ways;
        Ok(Self { policy: geometry.policy()?, partitions: geometry.partitions as usize, ways })
    }

    /// Whether look-ups have to tell of their hits.
    pub(crate) fn remember_hits(&self) -> bool {
        self.policy.remembers_hits()
    }

    /// The ways that entries of a VMID go into.
    #[inline]
    pub(crate) fn ways_of(&self, vmid: Vmid) -> Range<usize> {
        let first = if self.partitions == 1 { 0 } else { usize::from(vmid.0) % self.partitions };
        first * self.ways..(first + 1) * self.ways
    }

    /// The victim among `ways`, all of which are valid.
    #[inline]
    pub(crate) fn victim(&self, set: usize, ways: &Range<usize>) -> usize {
        ways.start + self.policy.victim(set * self.partitions + ways.start / self.ways)
    }

    #[inline]
    pub(crate) fn filled(&self, set: usize, way: usize) {
        self.policy.filled(set * self.partitions + way / self.ways, way % self.ways);
    }

    pub(crate) fn hit(&self, set: usize, way: usize) {
        self.policy.hit(set * self.partitions + way / self.ways, way % self.ways);
    }
}
