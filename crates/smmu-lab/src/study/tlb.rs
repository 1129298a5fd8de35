//! A TLB of any geometry over a trace.

use super::misses::{Miss, Misses};
use super::tags::{Contexts, Fnv64, TaggedBy, tag};
use super::trace::{Access, Forget, Record};
use smmu_arch::{Asid, Vmid};
use smmu_cache::policy::{AnyPolicy, NoTree, PolicyKind, Shape};
use smmu_cache::{Array, GeometryError, IndexFunction, TlbGeometry};
use std::collections::BTreeMap;
use thiserror::Error;

/// A TLB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Entries, 1 to 2^20.
    pub entries: u32,
    /// Ways of a set; 0 for one set that holds all. `entries / ways` is a power of two.
    pub ways: u32,
    /// How the set is found.
    pub index: IndexFunction,
    /// Which way of a full set goes.
    pub policy: PolicyKind,
    /// What entries are tagged with.
    pub tagged_by: TaggedBy,
}

impl Default for Geometry {
    /// 2048 entries of 4 ways, indexed by page, round-robin, tagged by VMID and ASID.
    fn default() -> Self {
        Self {
            entries: 2048,
            ways: 4,
            index: IndexFunction::Page,
            policy: PolicyKind::RoundRobin,
            tagged_by: TaggedBy::default(),
        }
    }
}

/// A TLB that cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NoTlb {
    /// Its size.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// Its policy.
    #[error(transparent)]
    Policy(#[from] NoTree),
}

impl Geometry {
    /// Sets and ways.
    ///
    /// # Errors
    /// No entries, too many, or no power of two of sets.
    pub fn shape(&self) -> Result<Shape, GeometryError> {
        let Self { entries, ways, .. } = *self;
        TlbGeometry { entries, ways, ..TlbGeometry::default() }.shape()
    }

    /// What the tags of a context put into the index.
    pub(crate) fn salt(&self, access: &Access) -> u64 {
        self.index.salt(Asid(access.asid), Vmid(access.vmid))
    }
}

/// References and how they ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// References that hit.
    pub hits: u64,
    /// References that missed.
    pub misses: u64,
    /// Misses by their cause, in the order of [`Miss`]; all 0 where causes were not asked for.
    pub causes: [u64; 4],
}

impl Tally {
    fn count(&mut self, miss: Option<Miss>, hit: bool) {
        self.hits += u64::from(hit);
        self.misses += u64::from(!hit);
        if let Some(miss) = miss {
            self.causes[miss as usize] += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.causes.iter_mut().zip(other.causes).for_each(|(sum, more)| *sum += more);
    }

    /// References.
    #[must_use]
    pub const fn references(&self) -> u64 {
        self.hits + self.misses
    }
}

/// A TLB, and what was counted of it.
#[derive(Debug)]
pub struct Study {
    geometry: Geometry,
    array: Array<0, AnyPolicy>,
    contexts: Contexts,
    salts: Vec<u64>,
    misses: Option<Misses>,
    by_context: Vec<Tally>,
    by_size: [Tally; 41],
    index: u64,
    hit_index: Fnv64,
    invalidations: u64,
    dropped: u64,
}

impl Study {
    /// An empty TLB. With `causes` misses are told apart, which costs more than all else.
    ///
    /// # Errors
    /// A geometry or policy that cannot be.
    pub fn new(geometry: Geometry, causes: bool) -> Result<Self, NoTlb> {
        let shape = geometry.shape()?;
        Ok(Self {
            array: Array::new(shape, geometry.policy.policy(shape)?),
            geometry,
            contexts: Contexts::default(),
            salts: Vec::new(),
            misses: causes.then(|| Misses::new(geometry.entries as usize)),
            by_context: Vec::new(),
            by_size: [Tally::default(); 41],
            index: 0,
            hit_index: Fnv64::default(),
            invalidations: 0,
            dropped: 0,
        })
    }

    /// Takes a record of the trace; hands over the tag of every page that it touches.
    pub fn take(&mut self, record: &Record, mut touched: impl FnMut(u64)) {
        if let Record::Forget(forget) = record {
            self.forget(forget);
        }
        record.references().for_each(|access| touched(self.refer(&access)));
    }

    /// One reference; gives its tag.
    fn refer(&mut self, access: &Access) -> u64 {
        let context = self.contexts.number(self.geometry.tagged_by.name(access));
        let at = context as usize - 1;
        if at >= self.salts.len() {
            self.salts.push(self.geometry.salt(access));
            self.by_context.push(Tally::default());
        }
        let tag = tag(context, access.iova, access.size_log2);
        let page = access.iova >> access.size_log2;
        let sets = self.array.shape().sets;
        let set = self.geometry.index.set_of(page, self.salts[at], sets);
        let hit = self.array.refer(set, tag).is_hit();
        if hit {
            self.hit_index.add(self.index);
        }
        self.index += 1;
        let miss = self.misses.as_mut().and_then(|misses| misses.refer(tag, hit));
        self.by_context[at].count(miss, hit);
        self.by_size[usize::from(access.size_log2) - 12].count(miss, hit);
        tag
    }

    fn forget(&mut self, forget: &Forget) {
        let Self { geometry, contexts, array, misses, dropped, .. } = self;
        let covers = |tag| geometry.tagged_by.is_covered(tag, forget, contexts);
        array.drop_all(covers, |tag| {
            *dropped += 1;
            if let Some(misses) = misses {
                misses.dropped(tag);
            }
        });
        if let Some(misses) = misses {
            misses.forget(covers);
        }
        self.invalidations += 1;
    }

    /// What was counted.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let contexts = self.contexts.names().iter().copied().zip(self.by_context.iter().copied());
        let sizes = (12..).zip(self.by_size);
        Outcome {
            invalidations: self.invalidations,
            dropped: self.dropped,
            ..Outcome::new(contexts, sizes, self.hit_index)
        }
    }
}

/// What was counted of a TLB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// All references.
    pub total: Tally,
    /// By VMID and ASID, or StreamID and SubstreamID.
    pub by_context: BTreeMap<(u32, u32), Tally>,
    /// By log2 of the bytes of the page.
    pub by_size: BTreeMap<u8, Tally>,
    /// Which references hit.
    pub hit_index_fnv64: Fnv64,
    /// Invalidations of the trace.
    pub invalidations: u64,
    /// Entries that they dropped.
    pub dropped: u64,
}

impl Outcome {
    /// Tallies of contexts, which make the total, and of sizes; nothing was invalidated.
    pub(crate) fn new(
        contexts: impl Iterator<Item = ((u32, u32), Tally)>,
        sizes: impl Iterator<Item = (u8, Tally)>,
        hit_index_fnv64: Fnv64,
    ) -> Self {
        let (mut total, mut by_context) = (Tally::default(), BTreeMap::<_, Tally>::new());
        for (name, tally) in contexts {
            total.add(&tally);
            by_context.entry(name).or_default().add(&tally);
        }
        let by_size = sizes.filter(|(_, tally)| tally.references() > 0).collect();
        Self { total, by_context, by_size, hit_index_fnv64, invalidations: 0, dropped: 0 }
    }

    /// By the first of the two identifiers of a context: VMID or StreamID.
    #[must_use]
    pub fn by_first(&self) -> BTreeMap<u32, Tally> {
        let mut by_first: BTreeMap<u32, Tally> = BTreeMap::new();
        for ((first, _), tally) in &self.by_context {
            by_first.entry(*first).or_default().add(tally);
        }
        by_first
    }
}
