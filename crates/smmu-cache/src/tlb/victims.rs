//! Which way goes: a policy over the ways that an address space may fill.

use std::ops::Range;

use smmu_arch::Vmid;

use super::geometry::{GeometryError, TlbGeometry};
use crate::policy::{AnyPolicy, Policy, RoundRobin};

/// The policy of a TLB, shared by look-ups and the writers.
#[derive(Clone, Debug)]
pub(crate) struct Victims {
    policy: Chosen,
    partitions: usize,
    /// Ways of a partition.
    ways: usize,
}

/// The usual policy is asked without a way through all others.
#[derive(Clone, Debug)]
enum Chosen {
    InTurn(RoundRobin),
    Other(Box<AnyPolicy>),
}

impl Victims {
    pub(crate) fn new(geometry: &TlbGeometry) -> Result<Self, GeometryError> {
        let ways = geometry.partition_shape()?.ways;
        let policy = match geometry.policy()? {
            AnyPolicy::RoundRobin(turns) => Chosen::InTurn(turns),
            other => Chosen::Other(Box::new(other)),
        };
        Ok(Self { policy, partitions: geometry.way_partitions() as usize, ways })
    }

    /// Whether look-ups have to tell of their hits.
    #[inline]
    pub(crate) fn remember_hits(&self) -> bool {
        match &self.policy {
            Chosen::InTurn(_) => RoundRobin::REMEMBERS_HITS,
            Chosen::Other(policy) => policy.remembers_hits(),
        }
    }

    /// The ways that entries of a VMID go into.
    #[inline(always)]
    pub(crate) fn ways_of(&self, vmid: Vmid) -> Range<usize> {
        let first = match self.partitions {
            1 => 0,
            partitions => usize::from(vmid.0) % partitions * self.ways,
        };
        first..first + self.ways
    }

    /// The victim among `ways`, all of which are valid.
    #[inline(always)]
    pub(crate) fn victim(&self, set: usize, ways: &Range<usize>) -> usize {
        match &self.policy {
            Chosen::InTurn(turns) if self.partitions == 1 => turns.victim(set),
            _ => self.any_victim(set, ways),
        }
    }

    #[inline(never)]
    fn any_victim(&self, set: usize, ways: &Range<usize>) -> usize {
        let (set, way) = self.of_partition(set, ways.start);
        let victim = match &self.policy {
            Chosen::InTurn(turns) => turns.victim(set),
            Chosen::Other(policy) => policy.victim(set),
        };
        ways.start - way + victim
    }

    /// An entry was put into a way.
    #[inline(always)]
    pub(crate) fn filled(&self, set: usize, way: usize) {
        if let Chosen::Other(policy) = &self.policy {
            self.tell_filled(policy, set, way);
        }
    }

    #[inline(never)]
    fn tell_filled(&self, policy: &AnyPolicy, set: usize, way: usize) {
        let (set, way) = self.of_partition(set, way);
        policy.filled(set, way);
    }

    /// A look-up has found its entry in a way.
    pub(crate) fn hit(&self, set: usize, way: usize) {
        if let Chosen::Other(policy) = &self.policy {
            let (set, way) = self.of_partition(set, way);
            policy.hit(set, way);
        }
    }

    /// A way as the policy numbers it: to it, each partition of a set is a set.
    #[inline]
    fn of_partition(&self, set: usize, way: usize) -> (usize, usize) {
        match self.partitions {
            1 => (set, way),
            partitions => (set * partitions + way / self.ways, way % self.ways),
        }
    }
}
