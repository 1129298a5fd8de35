//! The caches of gem5's SMMUv3 model (src/dev/arm/smmu_v3_caches.cc, v24.0): placement, replacement
//! and the order of look-ups and fills, so that its counts come out to the last hit.
//!
//! What gem5 gets wrong about blocks, invalidation and permissions is not here: entries are pages of
//! 4 KiB, and nothing is invalidated.

mod rows;

pub use rows::{Row, RowError, Rows, load_rows};

use super::tags::{Contexts, Fnv64, tag};
use super::trace::Access;
use smmu_cache::policy::{AnyPolicy, PolicyKind, Shape};
use smmu_cache::{Array, Found};

/// A replacement policy of gem5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gem5Policy {
    /// One pointer for the whole cache.
    RoundRobin,
    /// gem5's LRU.
    Lru,
    /// Drawn by the Mersenne Twister, from a seed that each class of caches has.
    Random,
}

impl Gem5Policy {
    /// The policy of a name: `rr`, `lru` or `rand`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "rr" => Some(Self::RoundRobin),
            "lru" => Some(Self::Lru),
            "rand" => Some(Self::Random),
            _ => None,
        }
    }
}

/// A class of caches: entries, ways, which tags they compare, and the seed of random replacement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class {
    /// Entries.
    pub entries: usize,
    /// Ways.
    pub ways: usize,
    /// Tags.
    pub tagged_by: TaggedBy,
    seed: u64,
}

/// What an entry is tagged with, besides the address; it decides the set as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaggedBy {
    /// StreamID, SubstreamID and page; the set is that of the page.
    Stream,
    /// ASID, VMID and page; the set is that of page XOR ASID XOR VMID.
    AddressSpace,
    /// VMID and page; the set is that of page XOR VMID.
    Vm,
    /// StreamID and SubstreamID; the set is that of their XOR.
    StreamAlone,
}

/// The µTLB of a device interface.
pub const UTLB: Class =
    Class { entries: 32, ways: 32, tagged_by: TaggedBy::Stream, seed: 0xea75_2dfe };
/// The main TLB of a device interface.
pub const INTERFACE_TLB: Class =
    Class { entries: 2048, ways: 4, tagged_by: TaggedBy::Stream, seed: 0xea75_2dfe };
/// The SMMU's TLB, which is off by default.
pub const SMMU_TLB: Class =
    Class { entries: 2048, ways: 4, tagged_by: TaggedBy::AddressSpace, seed: 0x8b02_1fa1 };
/// The IPA cache, which is off by default.
pub const IPA_CACHE: Class =
    Class { entries: 128, ways: 4, tagged_by: TaggedBy::Vm, seed: 0xe5a0_cc0f };
/// The configuration cache.
pub const CONFIG_CACHE: Class =
    Class { entries: 64, ways: 4, tagged_by: TaggedBy::StreamAlone, seed: 0xb56f_74e8 };

/// Entries of the walk cache: stage 1 levels 0 to 3, then stage 2 levels 0 to 3.
const WALK_ENTRIES: [usize; 8] = [4, 28, 348, 4, 4, 28, 92, 4];
const WALK_WAYS: usize = 4;
const WALK_SEED: u64 = 0x18ac_f3d6;

fn array(shape: Shape, policy: Gem5Policy, seed: u64) -> Array<0, AnyPolicy> {
    let kind = match policy {
        Gem5Policy::RoundRobin => PolicyKind::RoundRobinPerCache,
        Gem5Policy::Lru => PolicyKind::Gem5Lru,
        Gem5Policy::Random => PolicyKind::Gem5Random { seed },
    };
    let policy = kind.policy(shape).expect("none of the three is a tree");
    Array::new(shape, policy)
}

/// One cache.
#[derive(Clone, Debug)]
pub struct Cache {
    class: Class,
    contexts: Contexts,
    array: Array<0, AnyPolicy>,
}

impl Cache {
    /// An empty cache of the class.
    #[must_use]
    pub fn new(class: Class, policy: Gem5Policy) -> Self {
        let shape = Shape { sets: class.entries / class.ways, ways: class.ways };
        Self { class, contexts: Contexts::default(), array: array(shape, policy, class.seed) }
    }

    /// Set and tag of an access.
    fn place(&mut self, access: &Access) -> (usize, u64) {
        let page = access.iova >> 12;
        let (vmid, asid) = (u32::from(access.vmid), u32::from(access.asid));
        let (context, index, page) = match self.class.tagged_by {
            TaggedBy::Stream => ((access.sid, access.ssid), page, page),
            TaggedBy::AddressSpace => ((vmid, asid), page ^ u64::from(asid ^ vmid), page),
            TaggedBy::Vm => ((vmid, 0), page ^ u64::from(vmid), page),
            TaggedBy::StreamAlone => {
                ((access.sid, access.ssid), u64::from(access.sid ^ access.ssid), 0)
            }
        };
        let set = (index % self.array.shape().sets as u64) as usize;
        (set, tag(self.contexts.number(context), page << 12, 12))
    }

    /// Looks for the access.
    pub fn look_up(&mut self, access: &Access) -> bool {
        let (set, tag) = self.place(access);
        self.array.look_up(set, tag)
    }

    /// Puts the access in.
    pub fn store(&mut self, access: &Access) -> Found {
        let (set, tag) = self.place(access);
        self.array.store(set, tag)
    }
}

/// Counts of one cache on its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that found nothing; each is followed by a store.
    pub misses: u64,
    /// Stores into empty ways.
    pub insertions: u64,
    /// Which accesses hit.
    pub hit_index_fnv64: Fnv64,
}

/// A cache on its own, filled by whatever misses.
#[must_use]
pub fn run_cache(
    class: Class,
    policy: Gem5Policy,
    accesses: impl Iterator<Item = Access>,
) -> Counts {
    let mut cache = Cache::new(class, policy);
    let mut counts = Counts::default();
    for (index, access) in accesses.enumerate() {
        if cache.look_up(&access) {
            counts.hits += 1;
            counts.hit_index_fnv64.add(index as u64);
        } else {
            counts.misses += 1;
            counts.insertions += u64::from(cache.store(&access) == Found::Inserted);
        }
    }
    counts
}

/// The walk cache for stage 1: all parts share one array, and one pointer of round-robin.
#[derive(Clone, Debug)]
struct WalkCache {
    contexts: Contexts,
    array: Array<0, AnyPolicy>,
}

impl WalkCache {
    fn new(policy: Gem5Policy) -> Self {
        let sets = WALK_ENTRIES.iter().sum::<usize>() / WALK_WAYS;
        let array = array(Shape { sets, ways: WALK_WAYS }, policy, WALK_SEED);
        Self { contexts: Contexts::default(), array }
    }

    /// Set and tag of the table descriptor of a level, with a granule of 4 KiB.
    fn place(&mut self, access: &Access, level: usize) -> (usize, u64) {
        let first = WALK_ENTRIES[..level].iter().sum::<usize>() / WALK_WAYS;
        let sets = WALK_ENTRIES[level] / WALK_WAYS;
        let region = access.iova >> (39 - 9 * level);
        let context = self.contexts.number((access.vmid.into(), access.asid.into()));
        (first + (region % sets as u64) as usize, tag(context, region << 12, 12))
    }

    fn look_up(&mut self, access: &Access, level: usize) -> bool {
        let (set, tag) = self.place(access, level);
        self.array.look_up(set, tag)
    }

    fn store(&mut self, access: &Access, level: usize) {
        let (set, tag) = self.place(access, level);
        self.array.store(set, tag);
    }
}

/// Counts of the hierarchy.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HierarchyCounts {
    /// Hits of the µTLB.
    pub utlb_hits: u64,
    /// Hits of the interface's main TLB.
    pub ifctlb_hits: u64,
    /// Hits of the configuration cache.
    pub cfg_hits: u64,
    /// Hits of the SMMU's TLB.
    pub smmutlb_hits: u64,
    /// Look-ups of the walk cache, by level.
    pub walk_lookups: [u64; 3],
    /// Hits of the walk cache, by level.
    pub walk_hits: [u64; 3],
    /// Descriptors fetched.
    pub pte_fetches: u64,
}

/// One device interface and the SMMU behind it: stage 1, 4 KiB pages, four levels.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    utlb: Cache,
    interface: Cache,
    config: Cache,
    smmu: Option<Cache>,
    walk: WalkCache,
    /// What was counted.
    pub counts: HierarchyCounts,
}

impl Hierarchy {
    /// An empty hierarchy.
    #[must_use]
    pub fn new(policy: Gem5Policy, smmu_tlb: bool) -> Self {
        Self {
            utlb: Cache::new(UTLB, policy),
            interface: Cache::new(INTERFACE_TLB, policy),
            config: Cache::new(CONFIG_CACHE, policy),
            smmu: smmu_tlb.then(|| Cache::new(SMMU_TLB, policy)),
            walk: WalkCache::new(policy),
            counts: HierarchyCounts::default(),
        }
    }

    /// One access, from the µTLB to the last fill.
    pub fn refer(&mut self, access: &Access) {
        if self.utlb.look_up(access) {
            self.counts.utlb_hits += 1;
            return;
        }
        if self.interface.look_up(access) {
            self.counts.ifctlb_hits += 1;
        } else {
            self.behind_the_interface(access);
            self.interface.store(access);
        }
        self.utlb.store(access);
    }

    fn behind_the_interface(&mut self, access: &Access) {
        if self.config.look_up(access) {
            self.counts.cfg_hits += 1;
        } else {
            self.config.store(access);
        }
        if self.smmu.as_mut().is_some_and(|smmu| smmu.look_up(access)) {
            self.counts.smmutlb_hits += 1;
            return;
        }
        self.walk(access);
        if let Some(smmu) = &mut self.smmu {
            smmu.store(access);
        }
    }

    /// The walk begins behind the lowest level that is cached. The leaf level never is.
    fn walk(&mut self, access: &Access) {
        let counts = &mut self.counts;
        let cached = (0..3).rev().find(|&level| {
            counts.walk_lookups[level] += 1;
            let hit = self.walk.look_up(access, level);
            counts.walk_hits[level] += u64::from(hit);
            hit
        });
        let first = cached.map_or(0, |level| level + 1);
        counts.pte_fetches += 4 - first as u64;
        (first..3).for_each(|level| self.walk.store(access, level));
    }
}
