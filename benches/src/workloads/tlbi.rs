//! Invalidation: 32 entries go, out of TLBs of all sizes.

use super::tlb::{entry, space};
use crate::draw::Hash;
use crate::layout::{IOVA, OUTPUT, PAGE};
use crate::measure::{Measured, Workload};
use smmu_arch::{AddressScope, AsidMatch, Invalidation, Stages, TlbScope, Vmid};
use smmu_cache::{InvalidationLog, Tlb, TlbGeometry};
use std::time::{Duration, Instant};

/// Entries that a scope covers.
const MATCHING: u64 = 32;
/// Invalidations between two readings of the clock.
const BATCH: u16 = 32;
/// VMID of the entries that stay.
const OTHERS: u16 = 0x100;

/// What the commands name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// CMD_TLBI_S12_VMALL.
    Vmid,
    /// CMD_TLBI_NH_ASID.
    Asid,
    /// CMD_TLBI_NH_VA of a range.
    Va,
}

/// Invalidations of 32 entries each. A batch of them has its own entries, in as few TLBs as hold
/// them, half full at most of what goes; all other entries belong to others.
pub struct Tlbi {
    scope: Scope,
    log: InvalidationLog,
    tlbs: Vec<Tlb>,
    /// Targets in each TLB.
    targets: u16,
}

impl Tlbi {
    /// TLBs of `entries` entries, 64 to 2^20, a power of two.
    #[must_use]
    pub fn new(scope: Scope, entries: u32) -> Self {
        let targets = (entries / (2 * MATCHING as u32)).min(u32::from(BATCH)) as u16;
        let geometry = TlbGeometry { entries, ..TlbGeometry::default() };
        let tlb = || Tlb::new(geometry.into()).expect("a geometry that can be");
        let tlbs: Vec<Tlb> = (0..BATCH / targets).map(|_| tlb()).collect();
        let log = InvalidationLog::new();
        for tlb in &tlbs {
            for at in (0..u64::from(entries) * PAGE).step_by(PAGE as usize) {
                tlb.fill(&entry(space(OTHERS, 1), at, OUTPUT + at), log.now(), &log);
            }
        }
        Self { scope, log, tlbs, targets }
    }

    fn refill(&self) {
        for tlb in &self.tlbs {
            for target in 0..self.targets {
                for page in 0..MATCHING {
                    let at = (u64::from(target) * MATCHING + page) * PAGE;
                    let entry = entry(self.space(target), IOVA + at, OUTPUT + at);
                    tlb.fill(&entry, self.log.now(), &self.log);
                }
            }
        }
    }

    /// Targets differ in what the scope names.
    fn space(&self, target: u16) -> smmu_arch::AddressSpace {
        match self.scope {
            Scope::Vmid => space(target + 1, 1),
            Scope::Asid => space(1, target + 1),
            Scope::Va => space(1, 1),
        }
    }

    fn scope(&self, target: u16) -> TlbScope {
        let first = IOVA + u64::from(target) * MATCHING * PAGE;
        let named = self.space(target);
        let of_vmid = TlbScope::s12_vmall(named.vmid);
        let of_asid = TlbScope {
            stages: Stages::Stage1,
            asid: AsidMatch::NonGlobal(named.asid),
            ..TlbScope::s12_vmall(Vmid(1))
        };
        match self.scope {
            Scope::Vmid => of_vmid,
            Scope::Asid => of_asid,
            Scope::Va => TlbScope {
                asid: AsidMatch::OrGlobal(named.asid),
                address: Some(AddressScope {
                    first,
                    last: first + MATCHING * PAGE - 1,
                    leaf: true,
                    level: 0,
                    granule: None,
                }),
                ..of_asid
            },
        }
    }

    fn batch(&self, hash: &mut Hash) -> Duration {
        self.refill();
        let start = Instant::now();
        for tlb in &self.tlbs {
            for target in 0..self.targets {
                let scope = self.scope(target);
                let dropped = self
                    .log
                    .take_effect(&Invalidation::Translations(scope), || tlb.invalidate(&scope));
                hash.add(u64::from(dropped));
            }
        }
        start.elapsed()
    }
}

impl Workload for Tlbi {
    fn run(&mut self, operations: u64) -> Measured {
        let batches = operations.div_ceil(u64::from(BATCH));
        let mut hash = Hash::default();
        let time = (0..batches).map(|_| self.batch(&mut hash)).sum();
        Measured { time, operations: batches * u64::from(BATCH), hash: hash.0 }
    }

    fn expected(&self, operations: u64) -> u64 {
        let mut hash = Hash::default();
        let batches = operations.div_ceil(u64::from(BATCH));
        (0..batches * u64::from(BATCH)).for_each(|_| hash.add(MATCHING));
        hash.0
    }
}
