//! Keys and entries of the translation structures.
//!
//! Architecture: section "TLB tagging, VMIDs, ASIDs". An entry bears its StreamWorld, the VMID
//! (EL1 worlds where stage 2 is implemented), the ASID or the ASET of a global entry, and which
//! stages it combines. StreamID and SubstreamID are no tags.

use crate::{
    Asid, Attributes, Leaf, Pa, Permissions, Stage, StreamId, StreamWorld, SubstreamId, Vmid,
};

/// Which stages an entry combines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryKind {
    /// Stage 1 alone (STE.Config = 0b101).
    Stage1,
    /// Stage 2 alone: a stream without stage 1, or an IPA of a nested walk.
    Stage2,
    /// Stage 1 over stage 2, held as one entry.
    Combined,
}

impl EntryKind {
    /// Stage 1 took part.
    #[must_use]
    pub const fn has_stage1(self) -> bool {
        !matches!(self, Self::Stage2)
    }
}

/// The tag that a look-up carries: the address space of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AddressSpace {
    /// StreamWorld.
    pub world: StreamWorld,
    /// Stages in use.
    pub kind: EntryKind,
    /// VMID; 0 where the world or the implementation has none.
    pub vmid: Vmid,
    /// ASID; 0 where the world has none or stage 1 is off.
    pub asid: Asid,
    /// CD.ASET: separates global entries of private and shared ASID sets.
    pub aset: bool,
}

/// A look-up in a translation structure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbKey {
    /// Address space.
    pub space: AddressSpace,
    /// Input address of the first enabled stage (an IOVA, or an IPA for kind `Stage2`).
    /// Bits that TBI takes out of the look-up are already sign-extended.
    pub input: u64,
}

/// An entry of a translation structure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbEntry {
    /// Address space that filled it.
    pub space: AddressSpace,
    /// Global at stage 1 (nG = 0, or a world without ASIDs): found by every ASID of the VMID
    /// with the same ASET.
    pub global: bool,
    /// First input address that it translates, aligned to its size.
    pub input: u64,
    /// log2 of the bytes that it translates: the smaller of both stages' leaves. 12 to 52.
    pub size_log2: u8,
    /// Output for `input`.
    pub output: Pa,
    /// Rights of both stages.
    pub permissions: Permissions,
    /// Combined memory attributes.
    pub attributes: Attributes,
    /// Leaf of stage 1, where stage 1 took part.
    pub stage1: Option<Leaf>,
    /// Leaf of stage 2, where stage 2 took part. Its addresses are IPAs.
    pub stage2: Option<Leaf>,
}

impl TlbEntry {
    /// Last input address that the entry translates.
    #[must_use]
    pub const fn last_input(&self) -> u64 {
        self.input | (1u64 << self.size_log2).wrapping_sub(1)
    }

    /// Whether a look-up with `key` may use this entry.
    #[must_use]
    pub fn matches(&self, key: &TlbKey) -> bool {
        let (a, b) = (&self.space, &key.space);
        let same_asid = if self.global { a.aset == b.aset } else { a.asid == b.asid };
        a.world == b.world
            && a.kind == b.kind
            && a.vmid == b.vmid
            && same_asid
            && self.input <= key.input
            && key.input <= self.last_input()
    }

    /// The output address for `input`, which lies inside the entry.
    #[must_use]
    pub const fn translate(&self, input: u64) -> Pa {
        Pa(self.output.0 | (input & (1u64 << self.size_log2).wrapping_sub(1)))
    }

    /// The part of it around `input`, which lies inside, that a structure of these sizes can hold.
    #[must_use]
    pub fn piece(&self, input: u64, sizes: EntrySizes) -> Option<Self> {
        let size_log2 = sizes.largest_within(self.size_log2)?;
        let input = input >> size_log2 << size_log2;
        Some(Self { input, size_log2, output: self.translate(input), ..*self })
    }
}

/// Sizes that the entries of a structure can have: bit n is 2^(12+n) bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EntrySizes(pub u64);

impl Default for EntrySizes {
    fn default() -> Self {
        Self::ALL
    }
}

impl EntrySizes {
    /// Every size.
    pub const ALL: Self = Self(u64::MAX);

    /// The largest, log2 of bytes, that is not larger than 2^`size_log2` bytes.
    #[must_use]
    pub const fn largest_within(self, size_log2: u8) -> Option<u8> {
        let fitting = self.0 & !(u64::MAX << (size_log2 - 11));
        if fitting == 0 { None } else { Some(12 + fitting.ilog2() as u8) }
    }
}

/// A look-up in the configuration structures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConfigKey {
    /// The STE of a stream.
    Ste(StreamId),
    /// The CD with a table index, reached through a stream. The index is the SubstreamID, or 0
    /// for the only CD.
    Cd(StreamId, SubstreamId),
}

impl std::fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ste(stream) => write!(f, "STE of stream {stream}"),
            Self::Cd(stream, index) => write!(f, "CD {index} of stream {stream}"),
        }
    }
}

/// An entry of the configuration structures: 64 bytes as fetched.
///
/// Held encoded, valid or not: the architecture lets an SMMU cache what it fetched, and checks
/// legality at use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConfigEntry {
    /// Which structure.
    pub key: ConfigKey,
    /// Its eight words.
    pub words: [u64; 8],
    /// Where it was read.
    pub pa: Pa,
}

/// What a hit gives back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hit {
    /// Output for the input address that was looked up.
    pub output: Pa,
    /// Rights of both stages.
    pub permissions: Permissions,
    /// Combined memory attributes.
    pub attributes: Attributes,
    /// Number of the fill that made the entry: the observation of the fill bears it too.
    pub fill: u64,
}

/// A structure of an SMMU that remembers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Structure {
    /// The micro TLB of a port.
    MicroTlb,
    /// The main TLB, shared by all ports.
    MainTlb,
    /// The IPA TLB: leaf descriptors of stage 2, met by nested walks.
    IpaTlb,
    /// The walk cache of one level: table descriptors of a stage.
    WalkCache {
        /// Stage.
        stage: Stage,
        /// Level of the descriptors, -1 to 2.
        level: i8,
    },
    /// The STE cache.
    SteCache,
    /// The CD cache.
    CdCache,
}

impl std::fmt::Display for Structure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MicroTlb => f.write_str("µTLB"),
            Self::MainTlb => f.write_str("main TLB"),
            Self::IpaTlb => f.write_str("IPA TLB"),
            Self::WalkCache { stage, level } => write!(f, "walk cache, {stage} level {level}"),
            Self::SteCache => f.write_str("STE cache"),
            Self::CdCache => f.write_str("CD cache"),
        }
    }
}

/// A position in the order of invalidations of one SMMU.
///
/// It grows whenever a scope takes effect. A transaction carries the epoch of its begin; a fill
/// is dropped when a scope of a later epoch covers it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);
