//! What an SMMU may remember, and why an invalidation does not take it away.

use super::explain::Change;
use super::history::Part;
use crate::reference::Translation;
use smmu_arch::{
    AddressScope, Asid, AsidMatch, ConfigKey, ConfigScope, EntryKind, Granule, Invalidation, Leaf,
    Stages, StreamId, SubstreamId, TlbEntry, TlbScope, Transaction, Vmid, VmidMatch, Why,
};
use std::fmt;

/// Something that an SMMU may remember.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remembered {
    /// An STE or CD, or the level 1 descriptor that leads to it where `level1` is set.
    Configuration { key: ConfigKey, level1: bool },
    /// A translation: an entry of a TLB, or of a walk cache where `table` is set.
    Translation { entry: TlbEntry, table: bool },
}

impl Remembered {
    /// An entry of a TLB.
    pub(super) const fn in_tlb(entry: TlbEntry) -> Self {
        Self::Translation { entry, table: false }
    }

    /// The STE or CD of a transaction's stream, or the level 1 descriptor that a change was made to.
    pub(super) fn in_configuration(transaction: &Transaction, part: Part, change: &Change) -> Self {
        let key = match part {
            Part::Cd => {
                ConfigKey::Cd(transaction.stream, transaction.substream.unwrap_or(SubstreamId(0)))
            }
            _ => ConfigKey::Ste(transaction.stream),
        };
        let level1 = match change {
            Change::Store(_, why) => matches!(why, Why::L1Std | Why::L1Cd),
            Change::Registers { .. } => true,
        };
        Self::Configuration { key, level1 }
    }

    /// What a walk may have remembered: a table descriptor, or the stage 2 entry of an IPA.
    pub(super) fn in_walk(translation: &Translation, part: Part, change: &Change) -> Self {
        let of_ipa = translation.ipa_entry().filter(|_| part == Part::Stage2);
        let entry = of_ipa.unwrap_or_else(|| translation.entry());
        Self::Translation { entry, table: change.is_table() }
    }

    /// Whether the scope takes it away.
    pub(super) fn is_covered(&self, scope: &Invalidation) -> bool {
        match self {
            Self::Translation { entry, table: false } => scope.covers_translation(entry),
            _ => self.misses(scope).is_empty(),
        }
    }

    /// Why the scope does not take it away; empty if it does.
    pub(super) fn misses(&self, scope: &Invalidation) -> Vec<Miss> {
        match (self, scope) {
            (Self::Configuration { key, level1 }, Invalidation::Configuration(scope)) => {
                config_misses(key, *level1, scope)
            }
            (Self::Translation { entry, table }, Invalidation::Translations(scope)) => {
                translation_misses(entry, *table, scope)
            }
            (Self::Configuration { .. }, _) => vec![Miss::NotConfiguration],
            (Self::Translation { .. }, _) => vec![Miss::NotTranslations],
        }
    }
}

/// Why an invalidation did not cover what was used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Miss {
    /// It acts on translations; an STE or CD was stale.
    NotConfiguration,
    /// It acts on configuration; a translation was stale.
    NotTranslations,
    /// Another stream.
    Stream(StreamId),
    /// Another CD of the stream.
    OtherCd,
    /// Another StreamWorld.
    World,
    /// It need not remove entries that combine these stages.
    Stages(EntryKind),
    /// Another VMID.
    Vmid(Vmid),
    /// Another ASID.
    Asid(Asid),
    /// The entry is global.
    Global,
    /// Its context does not share its ASIDs with PEs (CD.ASET = 1).
    PrivateAsid,
    /// Other addresses.
    Addresses {
        /// First address that it covers.
        first: u64,
        /// Last address that it covers.
        last: u64,
    },
    /// The level hint names another level.
    Level(u8),
    /// The granule is another one.
    Granule(Granule),
    /// Leaf = 1 spares table descriptors and level 1 descriptors.
    LeafOnly,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfiguration => f.write_str("no configuration"),
            Self::NotTranslations => f.write_str("no translations"),
            Self::Stream(stream) => write!(f, "another stream, {stream}"),
            Self::OtherCd => f.write_str("another CD"),
            Self::World => f.write_str("another StreamWorld"),
            Self::Stages(EntryKind::Stage1) => f.write_str("not stage 1 entries"),
            Self::Stages(EntryKind::Stage2) => f.write_str("not stage 2 entries"),
            Self::Stages(EntryKind::Combined) => f.write_str("not entries that combine stages"),
            Self::Vmid(vmid) => write!(f, "another VMID, {vmid}"),
            Self::Asid(asid) => write!(f, "another ASID, {asid}"),
            Self::Global => f.write_str("not global entries"),
            Self::PrivateAsid => f.write_str("not private ASIDs (ASET = 1)"),
            Self::Addresses { first, last } if first == last => {
                write!(f, "another address, {first:#x}")
            }
            Self::Addresses { first, last } => write!(f, "other addresses, {first:#x}..={last:#x}"),
            Self::Level(level) => write!(f, "only leaves of level {level}"),
            Self::Granule(granule) => write!(f, "only leaves of granule {granule}"),
            Self::LeafOnly => f.write_str("last level only (Leaf = 1)"),
        }
    }
}

fn config_misses(key: &ConfigKey, level1: bool, scope: &ConfigScope) -> Vec<Miss> {
    if scope.covers(key) {
        let spares = matches!(
            scope,
            ConfigScope::Ste { leaf: true, .. } | ConfigScope::Cd { leaf: true, .. }
        );
        return if level1 && spares { vec![Miss::LeafOnly] } else { Vec::new() };
    }
    let (ConfigKey::Ste(stream) | ConfigKey::Cd(stream, _)) = *key;
    match *scope {
        ConfigScope::Cd { stream: named, .. } | ConfigScope::CdAll { stream: named }
            if named == stream =>
        {
            vec![if matches!(key, ConfigKey::Ste(_)) {
                Miss::NotConfiguration
            } else {
                Miss::OtherCd
            }]
        }
        ConfigScope::Ste { stream: named, .. }
        | ConfigScope::SteRange { first: named, .. }
        | ConfigScope::Cd { stream: named, .. }
        | ConfigScope::CdAll { stream: named } => vec![Miss::Stream(named)],
        ConfigScope::All => Vec::new(),
    }
}

fn translation_misses(entry: &TlbEntry, table: bool, scope: &TlbScope) -> Vec<Miss> {
    let mut misses = Vec::new();
    let kind = entry.space.kind;
    let stages = match scope.stages {
        Stages::Both => true,
        Stages::Stage1 => kind.has_stage1(),
        Stages::Stage2 => kind == EntryKind::Stage2,
    };
    if !stages {
        misses.push(Miss::Stages(kind));
    }
    if !scope.worlds.contains(entry.space.world) {
        misses.push(Miss::World);
    }
    if let VmidMatch::Like { vmid, .. } = scope.vmid
        && !scope.vmid.matches(entry.space.vmid)
    {
        misses.push(Miss::Vmid(vmid));
    }
    match scope.asid {
        AsidMatch::NonGlobal(_) if entry.global => misses.push(Miss::Global),
        AsidMatch::NonGlobal(asid) | AsidMatch::OrGlobal(asid)
            if !scope.asid.matches(entry.space.asid, entry.global) =>
        {
            misses.push(Miss::Asid(asid));
        }
        _ => {}
    }
    if scope.shared_only && entry.space.aset {
        misses.push(Miss::PrivateAsid);
    }
    let leaf = if scope.stages == Stages::Stage2 { entry.stage2 } else { entry.stage1 };
    if let (Some(range), Some(leaf)) = (scope.address, leaf) {
        misses.extend(address_misses(&range, &leaf, table));
    }
    misses
}

fn address_misses(range: &AddressScope, leaf: &Leaf, table: bool) -> Option<Miss> {
    if !leaf.overlaps(range.first, range.last) {
        return Some(Miss::Addresses { first: range.first, last: range.last });
    }
    if table {
        return range.leaf.then_some(Miss::LeafOnly);
    }
    if range.level != 0 && range.level as i8 != leaf.level {
        return Some(Miss::Level(range.level));
    }
    range.granule.filter(|&granule| granule != leaf.granule).map(Miss::Granule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smmu_arch::{AddressSpace, AsidMatch, Attributes, Pa, Permissions, StreamWorld};

    fn entries() -> impl Strategy<Value = TlbEntry> {
        let kinds =
            prop::sample::select(vec![EntryKind::Stage1, EntryKind::Stage2, EntryKind::Combined]);
        (kinds, 0u16..3, 0u16..3, any::<(bool, bool)>(), 0u64..4).prop_map(
            |(kind, vmid, asid, (global, aset), page)| {
                let leaf = |base| Leaf { base, span_log2: 12, level: 3, granule: Granule::K4 };
                let world = StreamWorld::NsEl1;
                let (vmid, asid) = (Vmid(vmid), Asid(asid));
                TlbEntry {
                    space: AddressSpace { world, kind, vmid, asid, aset },
                    global,
                    input: page << 12,
                    size_log2: 12,
                    output: Pa(0),
                    permissions: Permissions::ALL,
                    attributes: Attributes::DEFAULT,
                    stage1: kind.has_stage1().then(|| leaf(page << 12)),
                    stage2: (kind != EntryKind::Stage1).then(|| leaf(page << 12)),
                }
            },
        )
    }

    fn scopes() -> impl Strategy<Value = TlbScope> {
        let stages = prop::sample::select(vec![Stages::Stage1, Stages::Stage2, Stages::Both]);
        let asid = prop_oneof![
            Just(AsidMatch::Any),
            (0u16..3).prop_map(|asid| AsidMatch::NonGlobal(Asid(asid))),
            (0u16..3).prop_map(|asid| AsidMatch::OrGlobal(Asid(asid))),
        ];
        let address = prop::option::of((0u64..4, 0u8..4).prop_map(|(page, level)| {
            let (first, granule) = (page << 12, Some(Granule::K4));
            AddressScope { first, last: first, leaf: true, level, granule }
        }));
        (stages, asid, address, 0u16..3, any::<bool>()).prop_map(
            |(stages, asid, address, vmid, shared_only)| {
                let (stages, asid, address) = match stages {
                    // No command names both stages and an ASID or an address.
                    Stages::Both => (stages, AsidMatch::Any, None),
                    Stages::Stage2 => (stages, AsidMatch::Any, address),
                    Stages::Stage1 => (stages, asid, address),
                };
                TlbScope { stages, asid, shared_only, address, ..TlbScope::s12_vmall(Vmid(vmid)) }
            },
        )
    }

    proptest! {
        #[test]
        fn a_scope_misses_nothing_exactly_where_it_covers(
            entry in entries(),
            scope in scopes(),
        ) {
            let used = Remembered::Translation { entry, table: false };
            let misses = used.misses(&Invalidation::Translations(scope));
            prop_assert_eq!(misses.is_empty(), scope.covers(&entry), "{:?}", misses);
        }
    }
}
