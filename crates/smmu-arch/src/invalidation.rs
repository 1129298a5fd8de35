//! What is to be forgotten: the one value that goes across to every cache.
//!
//! Architecture: sections "Commands", "TLB invalidation" and "Configuration structure
//! invalidation". A command names a scope here, and every structure has one `invalidate` that
//! takes it.

use crate::{
    AddressSpace, Asid, ConfigKey, EntryKind, Leaf, StreamId, SubstreamId, TlbEntry, Vmid,
    WalkEntry,
};

/// A scope of cached information.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Invalidation {
    /// Configuration structures.
    Configuration(ConfigScope),
    /// Translations.
    Translations(TlbScope),
}

impl Invalidation {
    /// Whether a cached translation lies inside the scope.
    #[must_use]
    pub fn covers_translation(&self, entry: &TlbEntry) -> bool {
        match self {
            Self::Translations(scope) => scope.covers(entry),
            Self::Configuration(_) => false,
        }
    }

    /// Whether a descriptor kept of a walk lies inside the scope.
    #[must_use]
    pub fn covers_walk(&self, entry: &WalkEntry) -> bool {
        match self {
            Self::Translations(scope) => scope.covers_walk(entry),
            Self::Configuration(_) => false,
        }
    }

    /// Whether a cached STE or CD lies inside the scope.
    #[must_use]
    pub fn covers_configuration(&self, key: &ConfigKey) -> bool {
        match self {
            Self::Configuration(scope) => scope.covers(key),
            Self::Translations(_) => false,
        }
    }
}

/// Which configuration structures are to be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConfigScope {
    /// The STE of a stream and all CDs cached through it. `leaf` spares the level 1 descriptor.
    Ste {
        /// Stream.
        stream: StreamId,
        /// CMD_CFGI_STE.Leaf.
        leaf: bool,
    },
    /// STEs, level 1 descriptors and CDs of an aligned range of 2^`log2` streams.
    SteRange {
        /// First stream of the range.
        first: StreamId,
        /// log2 of the streams in it, 1 to 31.
        log2: u8,
    },
    /// All configuration of the Security state.
    All,
    /// One CD reached through a stream.
    Cd {
        /// Stream.
        stream: StreamId,
        /// Index in the CD table.
        substream: SubstreamId,
        /// CMD_CFGI_CD.Leaf.
        leaf: bool,
    },
    /// All CDs reached through a stream.
    CdAll {
        /// Stream.
        stream: StreamId,
    },
}

impl ConfigScope {
    /// Whether the scope covers a cached STE or CD.
    #[must_use]
    pub fn covers(&self, key: &ConfigKey) -> bool {
        let stream = match *key {
            ConfigKey::Ste(stream) | ConfigKey::Cd(stream, _) => stream,
        };
        match *self {
            Self::All => true,
            Self::Ste { stream: named, .. } => named == stream,
            Self::SteRange { first, log2 } => {
                u64::from(stream.0 ^ first.0) >> log2 == 0 // same aligned range
            }
            Self::Cd { stream: named, substream, .. } => *key == ConfigKey::Cd(named, substream),
            Self::CdAll { stream: named } => {
                matches!(*key, ConfigKey::Cd(of, _) if of == named)
            }
        }
    }
}

/// Which StreamWorlds a TLBI acts on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Worlds {
    /// Non-secure EL1.
    NsEl1,
    /// EL2 and EL2-E2H, whatever CR2.E2H.
    AnyEl2,
    /// EL2 only.
    El2,
    /// EL2-E2H only.
    El2E2h,
}

impl Worlds {
    /// Whether `world` is among them.
    #[must_use]
    pub fn contains(self, world: crate::StreamWorld) -> bool {
        use crate::StreamWorld as W;
        match self {
            Self::NsEl1 => world == W::NsEl1,
            Self::AnyEl2 => matches!(world, W::El2 | W::El2E2h),
            Self::El2 => world == W::El2,
            Self::El2E2h => world == W::El2E2h,
        }
    }
}

/// Which entries by the stages they combine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stages {
    /// Stage 1 and combined entries; stage-2-only ones may stay.
    Stage1,
    /// Stage-2-only entries; combined ones may stay.
    Stage2,
    /// Everything.
    Both,
}

/// How the VMID is compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VmidMatch {
    /// Not compared.
    Any,
    /// Equal but for the bits of `ignore`, which CR0.VMW gives (0 to 15).
    Like {
        /// VMID of the command.
        vmid: Vmid,
        /// Low bits that do not count.
        ignore: u16,
    },
}

impl VmidMatch {
    /// Whether `vmid` matches.
    #[must_use]
    pub const fn matches(self, vmid: Vmid) -> bool {
        match self {
            Self::Any => true,
            Self::Like { vmid: named, ignore } => (named.0 ^ vmid.0) & !ignore == 0,
        }
    }
}

/// How the ASID is compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AsidMatch {
    /// Not compared; global entries match too.
    Any,
    /// Non-global entries of this ASID.
    NonGlobal(Asid),
    /// Entries of this ASID and global ones.
    OrGlobal(Asid),
}

impl AsidMatch {
    /// Whether an entry with this ASID and globality matches.
    #[must_use]
    pub fn matches(self, asid: Asid, global: bool) -> bool {
        match self {
            Self::Any => true,
            Self::NonGlobal(named) => !global && named == asid,
            Self::OrGlobal(named) => global || named == asid,
        }
    }
}

/// A range of input addresses of the stage that a TLBI names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddressScope {
    /// First address.
    pub first: u64,
    /// Last address, inclusive. Equal to `first` for a single address.
    pub last: u64,
    /// Leaf = 1: only last-level information need be removed.
    pub leaf: bool,
    /// TTL: level of the leaf entries to remove; 0 = any. Entries of other levels may stay.
    pub level: u8,
    /// TG: granule of the leaf entries; `None` = any.
    pub granule: Option<crate::Granule>,
}

impl AddressScope {
    /// Whether an entry made from `leaf` lies in the scope.
    ///
    /// An entry matches when the *leaf it was made from* overlaps, even where the entry itself
    /// covers less because the other stage cut it.
    #[must_use]
    pub fn covers(&self, leaf: &Leaf) -> bool {
        leaf.overlaps(self.first, self.last)
            && (self.level == 0 || self.level as i8 == leaf.level)
            && self.granule.is_none_or(|granule| granule == leaf.granule)
    }
}

/// Which translations are to be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbScope {
    /// StreamWorlds.
    pub worlds: Worlds,
    /// Stages.
    pub stages: Stages,
    /// VMID.
    pub vmid: VmidMatch,
    /// ASID.
    pub asid: AsidMatch,
    /// Only entries of contexts whose ASIDs are shared with PEs (CD.ASET = 0): a broadcast that
    /// names an ASID.
    pub shared_only: bool,
    /// Addresses; `None` = all.
    pub address: Option<AddressScope>,
}

impl TlbScope {
    /// Everything of the Non-secure EL1 world (CMD_TLBI_NSNH_ALL).
    pub const NSNH_ALL: Self = Self {
        worlds: Worlds::NsEl1,
        stages: Stages::Both,
        vmid: VmidMatch::Any,
        asid: AsidMatch::Any,
        shared_only: false,
        address: None,
    };

    /// Both stages of one VMID (CMD_TLBI_S12_VMALL), without the wildcard of CR0.VMW.
    #[must_use]
    pub const fn s12_vmall(vmid: Vmid) -> Self {
        Self { vmid: VmidMatch::Like { vmid, ignore: 0 }, ..Self::NSNH_ALL }
    }

    /// Whether the scope covers an entry.
    #[must_use]
    pub fn covers(&self, entry: &TlbEntry) -> bool {
        self.covers_tags(&entry.space, entry.global)
            && self.covers_stages(entry.space.kind)
            && match (&self.address, self.stages) {
                (None, _) => true,
                (Some(range), Stages::Stage2) => {
                    entry.stage2.as_ref().is_some_and(|leaf| range.covers(leaf))
                }
                (Some(range), _) => entry.stage1.as_ref().is_some_and(|leaf| range.covers(leaf)),
            }
    }

    fn covers_stages(&self, kind: EntryKind) -> bool {
        match self.stages {
            Stages::Both => true,
            Stages::Stage1 => kind.has_stage1(),
            Stages::Stage2 => kind == EntryKind::Stage2,
        }
    }

    /// Whether world, VMID, ASID and ASET are among those that the scope names.
    pub(crate) fn covers_tags(&self, space: &AddressSpace, global: bool) -> bool {
        self.worlds.contains(space.world)
            && self.vmid.matches(space.vmid)
            && self.asid.matches(space.asid, global)
            && !(self.shared_only && space.aset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_streams_is_aligned() {
        let scope = ConfigScope::SteRange { first: StreamId(6), log2: 2 };
        let covered = |sid| scope.covers(&ConfigKey::Ste(StreamId(sid)));
        assert_eq!([3, 4, 5, 6, 7, 8].map(covered), [false, true, true, true, true, false]);
    }

    #[test]
    fn cfgi_cd_spares_the_ste_and_other_cds() {
        let scope = ConfigScope::Cd { stream: StreamId(1), substream: SubstreamId(2), leaf: true };
        assert!(scope.covers(&ConfigKey::Cd(StreamId(1), SubstreamId(2))));
        assert!(!scope.covers(&ConfigKey::Cd(StreamId(1), SubstreamId(3))));
        assert!(!scope.covers(&ConfigKey::Ste(StreamId(1))));
    }

    #[test]
    fn vmw_ignores_low_vmid_bits() {
        let like = VmidMatch::Like { vmid: Vmid(4), ignore: 1 };
        assert_eq!([3, 4, 5, 6].map(|v| like.matches(Vmid(v))), [false, true, true, false]);
    }
}
