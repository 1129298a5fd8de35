//! The TLB alone.

use super::{AtRandom, InTurn, Order, output_of};
use crate::draw::Hash;
use crate::layout::{IOVA, OUTPUT, PAGE};
use crate::measure::{Measured, Workload, timed};
use smmu_arch::{
    AddressSpace, Asid, Attributes, EntryKind, Granule, Leaf, Pa, Permissions, StreamWorld,
    TlbEntry, Vmid,
};
use smmu_cache::{Context, Fill, InvalidationLog, Tlb, TlbGeometry};

/// Stage 1 of VMID and ASID.
pub(super) fn space(vmid: u16, asid: u16) -> AddressSpace {
    AddressSpace {
        world: StreamWorld::NsEl1,
        kind: EntryKind::Stage1,
        vmid: Vmid(vmid),
        asid: Asid(asid),
        aset: false,
    }
}

/// The page at `input` of `space`, to `output`.
pub(super) fn entry(space: AddressSpace, input: u64, output: u64) -> TlbEntry {
    TlbEntry {
        space,
        global: false,
        input,
        size_log2: 12,
        output: Pa(output),
        permissions: Permissions::ALL,
        attributes: Attributes::DEFAULT,
        stage1: Some(Leaf { base: input, span_log2: 12, level: 3, granule: Granule::K4 }),
        stage2: None,
    }
}

/// A TLB with every page of a working set, and a context to look up in.
struct Filled {
    tlb: Tlb,
    context: Context,
    pages: u64,
}

impl Filled {
    fn new(geometry: TlbGeometry, pages: u64) -> Self {
        let tlb = Tlb::new(geometry.into()).expect("a geometry that can be");
        let log = InvalidationLog::new();
        let space = space(1, 1);
        for offset in (0..pages * PAGE).step_by(PAGE as usize) {
            let output = output_of(offset, pages);
            tlb.fill(&entry(space, IOVA + offset, output), log.now(), &log);
        }
        let context = tlb.resolve(&space);
        Self { tlb, context, pages }
    }
}

/// Look-ups that hit.
pub struct TlbHit(Filled);

impl TlbHit {
    /// A TLB that holds all of `pages` pages.
    #[must_use]
    pub fn new(geometry: TlbGeometry, pages: u64) -> Self {
        Self(Filled::new(geometry, pages))
    }
}

impl Workload for TlbHit {
    fn run(&mut self, operations: u64) -> Measured {
        let Filled { tlb, context, pages, .. } = &mut self.0;
        let mut order = AtRandom::new(0, *pages);
        timed(operations, |operations| {
            let mut hash = Hash::default();
            for _ in 0..operations {
                let hit = tlb.look_up(context, order.iova());
                hash.add(hit.expect("a resident page").output.0);
            }
            hash
        })
    }

    fn expected(&self, operations: u64) -> u64 {
        let pages = self.0.pages;
        let (mut order, mut hash) = (AtRandom::new(0, pages), Hash::default());
        (0..operations).for_each(|_| hash.add(output_of(order.next(), pages)));
        hash.0
    }
}

/// Look-ups that miss in full sets.
pub struct TlbMiss(Filled);

impl TlbMiss {
    /// A TLB that holds all of `pages` pages; the next ones are looked up.
    #[must_use]
    pub fn new(geometry: TlbGeometry, pages: u64) -> Self {
        Self(Filled::new(geometry, pages))
    }
}

impl Workload for TlbMiss {
    fn run(&mut self, operations: u64) -> Measured {
        let Filled { tlb, context, pages, .. } = &mut self.0;
        let mut order = AtRandom::new(0, *pages);
        let beyond = *pages * PAGE;
        timed(operations, |operations| {
            let mut hash = Hash::default();
            for _ in 0..operations {
                let hit = tlb.look_up(context, order.iova() + beyond);
                hash.add(u64::from(hit.is_none()));
            }
            hash
        })
    }

    fn expected(&self, operations: u64) -> u64 {
        ones(operations)
    }
}

/// Fills that each evict an older entry.
pub struct TlbFill {
    tlb: Tlb,
    log: InvalidationLog,
    /// Goes on from run to run: what is filled is never resident.
    order: InTurn,
}

impl TlbFill {
    /// A TLB that is filled with `pages` pages, several times more than it holds, in turn.
    #[must_use]
    pub fn new(geometry: TlbGeometry, pages: u64) -> Self {
        let tlb = Tlb::new(geometry.into()).expect("a geometry that can be");
        let mut full = Self { tlb, log: InvalidationLog::new(), order: InTurn::new(0, pages) };
        full.run(pages);
        full
    }
}

impl Workload for TlbFill {
    fn run(&mut self, operations: u64) -> Measured {
        let Self { tlb, log, order } = self;
        let (space, begin) = (space(1, 1), log.now());
        timed(operations, |operations| {
            let mut hash = Hash::default();
            for _ in 0..operations {
                let offset = order.next();
                let entry = entry(space, IOVA + offset, OUTPUT + offset);
                let filled = tlb.fill(&entry, begin, log);
                hash.add(u64::from(matches!(filled, Fill::Filled { evicted: Some(_), .. })));
            }
            hash
        })
    }

    fn expected(&self, operations: u64) -> u64 {
        ones(operations)
    }
}

fn ones(operations: u64) -> u64 {
    let mut hash = Hash::default();
    (0..operations).for_each(|_| hash.add(1));
    hash.0
}
