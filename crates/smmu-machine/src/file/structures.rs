//! The structures of an SMMU in the machine file: TLBs, walk caches, configuration caches.

use super::bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

/// A TLB. What is not given comes from the preset.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tlb {
    /// Kind of structure. Default: `set-associative` where another key of this table is given,
    /// else the preset's.
    pub shape: Option<Shape>,
    /// Entries, 1 to 1048576. Default over an unbounded preset: 2048.
    pub entries: Option<u32>,
    /// Entries of a set; 0 = all in one set (fully associative). They divide the entries. Default
    /// over an unbounded preset: 4.
    pub ways: Option<u32>,
    /// How the set is found. Default over an unbounded preset: `page`.
    pub index: Option<Index>,
    /// Which entry of a full set goes. Default over an unbounded preset: `round-robin`.
    pub replacement: Option<Replacement>,
    /// Parts that the structure is divided into; an entry goes into the part VMID modulo parts.
    /// Default over an unbounded preset: 1.
    pub partitions: Option<u32>,
    /// What the parts are made of. Default over an unbounded preset: `ways`.
    pub partition_by: Option<PartitionBy>,
    /// Bytes of input addresses that go into one set together, a power of two: entries that are
    /// larger, and all of them where it is 4KiB, go by units of their own size. Default over an
    /// unbounded preset: 4KiB.
    pub region: Option<Bytes>,
    /// Sets of their own for larger entries, beside `entries`; two parts at most, the smaller
    /// first. Default over an unbounded preset: none.
    pub split: Option<Vec<Split>>,
    /// Sizes that an entry can have, powers of two from 4KiB on. A larger translation is held as
    /// the piece around the address that was asked for, a smaller one not at all. Default over an
    /// unbounded preset: every size. The IPA TLB holds descriptors, and has no such sizes.
    pub sizes: Option<Vec<Bytes>>,
}

/// Sets of their own for large entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Bytes of the smallest entry that goes there, a power of two.
    pub from: Bytes,
    /// Entries of these sets; the ways divide them.
    pub entries: u32,
}

/// What partitions divide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionBy {
    /// The ways of each set. A look-up asks all of them.
    #[default]
    Ways,
    /// The sets.
    Sets,
}

/// Whose the main TLB is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MainTlb {
    /// One for all ports.
    #[default]
    Shared,
    /// Each port has one.
    PerPort,
    /// There is none: what a walk found goes into the port's µTLB.
    None,
}

/// What the SMMU walks for without having been asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Prefetch {
    /// Nothing.
    #[default]
    None,
    /// The page behind each that a transaction had to be walked for.
    NextPage,
}

impl Tlb {
    /// Whether a key is given that an unbounded structure does not have.
    pub(super) const fn is_sized(&self) -> bool {
        self.entries.is_some()
            || self.ways.is_some()
            || self.index.is_some()
            || self.replacement.is_some()
            || self.partitions.is_some()
            || self.partition_by.is_some()
            || self.region.is_some()
            || self.split.is_some()
    }
}

/// Walk caches: table descriptors, each stage's by itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WalkCaches {
    /// Of stage 1. Without the table, or with `entries = 0`, there are none.
    pub stage1: Option<WalkCache>,
    /// Of stage 2. Without the table, or with `entries = 0`, there are none.
    pub stage2: Option<WalkCache>,
}

/// The walk caches of a stage: one of this geometry for each level. What is not given comes from
/// the preset.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WalkCache {
    /// Levels whose table descriptors are kept, -1 to 2. Default over a preset without: [0, 1, 2].
    pub levels: Option<Vec<i8>>,
    /// Whether stage 1 uses them under stage 2 as well; means nothing for stage 2. Default over a
    /// preset without: true.
    pub nested: Option<bool>,
    /// Kind of structure: see `tlb`.
    pub shape: Option<Shape>,
    /// Entries of each level. Default over a preset without: 64.
    pub entries: Option<u32>,
    /// Entries of each of `levels`, in their order, where they differ.
    pub level_entries: Option<Vec<u32>>,
    /// Entries of a set; 0 = all in one set. Default over a preset without: 4.
    pub ways: Option<u32>,
    /// How the set is found. Default over a preset without: `page`.
    pub index: Option<Index>,
    /// Which entry of a full set goes. Default over a preset without: `round-robin`.
    pub replacement: Option<Replacement>,
    /// See `tlb`. Default over a preset without: 1.
    pub partitions: Option<u32>,
    /// See `tlb`. Default over a preset without: `ways`.
    pub partition_by: Option<PartitionBy>,
}

impl WalkCache {
    /// The geometry of one level.
    pub(super) fn tlb(&self) -> Tlb {
        let Self { shape, entries, ways, index, replacement, partitions, partition_by, .. } = *self;
        let (region, split, sizes) = (None, None, None);
        Tlb {
            shape,
            entries,
            ways,
            index,
            replacement,
            partitions,
            partition_by,
            region,
            split,
            sizes,
        }
    }
}

/// Kind of TLB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Sets of ways, as in hardware.
    SetAssociative,
    /// Forgets nothing by itself.
    Unbounded,
    /// Forgets nothing by itself, and uses a global entry only in the ASID that it was made in.
    UnboundedByAsid,
}

impl Shape {
    /// Whether entries, ways, index and replacement have no meaning.
    pub(super) const fn is_unbounded(self) -> bool {
        matches!(self, Self::Unbounded | Self::UnboundedByAsid)
    }
}

/// How the set of an entry is found; pages count in units of the entry's size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Index {
    /// Low bits of the page number.
    #[default]
    Page,
    /// Page number, ASID and VMID mixed, so that address spaces of equal layout spread.
    PageXorTags,
    /// A multiplicative hash of the same, so that strides spread as well.
    Hash,
}

/// Which entry of a full set is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Replacement {
    /// Each way in turn.
    #[default]
    RoundRobin,
    /// Each way in turn, with one turn for all sets, as gem5 has it.
    RoundRobinPerCache,
    /// What was not used for the longest time.
    Lru,
    /// gem5's LRU: a new entry is the next to go until its first hit.
    Gem5Lru,
    /// By a binary tree of bits that point away from what was used last; ways are a power of two
    /// up to 64.
    TreePlru,
    /// Drawn from a generator (SplitMix64) that the scenario's seed starts.
    Random,
    /// Drawn by the 64-bit Mersenne Twister, as gem5 does, from the scenario's seed.
    Gem5Random,
    /// Re-reference interval prediction with two bits (SRRIP).
    Rrip,
}

/// A cache of STEs or CDs, first in, first out. What is not given comes from the preset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigCache {
    /// `unbounded`; left out where `entries` says how many.
    pub shape: Option<ConfigCacheShape>,
    /// Entries; 0 = no cache.
    pub entries: Option<u32>,
}

/// Kind of configuration cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigCacheShape {
    /// Forgets nothing by itself.
    Unbounded,
}
