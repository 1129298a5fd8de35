//! The invalidations that were seen, what they cover, and what they miss.

use super::Moment;
use smmu_arch::{
    AddressScope, Asid, AsidMatch, ConfigKey, ConfigScope, EntryKind, Granule, Invalidation, Leaf,
    Stages, StreamId, TlbEntry, TlbScope, Vmid, VmidMatch, Worlds,
};
use std::collections::VecDeque;
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
    /// Whether the scope takes it away.
    pub(super) fn is_covered(&self, scope: &Invalidation) -> bool {
        self.misses(scope).is_empty()
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

/// An invalidation that took effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Effect {
    pub at: Moment,
    pub scope: Invalidation,
    pub dropped: u32,
    /// When a CMD_SYNC behind it completed.
    pub completed: Option<Moment>,
}

/// The invalidations of one SMMU in their order.
#[derive(Debug, Default)]
pub(super) struct Commands {
    effects: VecDeque<Effect>,
    /// Effects at the end that no CMD_SYNC has completed yet.
    open: usize,
}

impl Commands {
    /// Invalidations that are kept.
    const KEPT: usize = 1 << 16;

    pub(super) fn invalidated(&mut self, at: Moment, scope: Invalidation, dropped: u32) {
        if self.effects.len() == Self::KEPT {
            self.effects.pop_front();
            self.open = self.open.min(self.effects.len());
        }
        self.effects.push_back(Effect { at, scope, dropped, completed: None });
        self.open += 1;
    }

    pub(super) fn synchronised(&mut self, at: Moment) {
        let first = self.effects.len() - self.open;
        for effect in self.effects.range_mut(first..) {
            effect.completed = Some(at);
        }
        self.open = 0;
    }

    /// Invalidations that took effect after `time`.
    pub(super) fn since(&self, time: Moment) -> impl DoubleEndedIterator<Item = &Effect> {
        let first = self.effects.partition_point(|effect| effect.at <= time);
        self.effects.range(first..)
    }

    /// The last invalidation after `since` that covers `what` and was complete before `before`.
    pub(super) fn complete(
        &self,
        what: &Remembered,
        since: Moment,
        before: Moment,
    ) -> Option<&Effect> {
        let complete = |effect: &&Effect| effect.completed.is_some_and(|at| at < before);
        self.since(since).rev().filter(complete).find(|effect| what.is_covered(&effect.scope))
    }
}

/// The name and operands of the command that has a scope.
pub(super) struct ScopeText<'a>(pub &'a Invalidation);

impl fmt::Display for ScopeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Invalidation::Configuration(scope) => config_text(f, scope),
            Invalidation::Translations(scope) => tlbi_text(f, scope),
        }
    }
}

fn config_text(f: &mut fmt::Formatter<'_>, scope: &ConfigScope) -> fmt::Result {
    match scope {
        ConfigScope::Ste { stream, .. } => write!(f, "CMD_CFGI_STE stream={stream}"),
        ConfigScope::SteRange { first, log2 } => {
            write!(f, "CMD_CFGI_STE_RANGE stream={first} range={}", log2.saturating_sub(1))
        }
        ConfigScope::All => f.write_str("CMD_CFGI_ALL"),
        ConfigScope::Cd { stream, substream, .. } => {
            write!(f, "CMD_CFGI_CD stream={stream} substream={substream}")
        }
        ConfigScope::CdAll { stream } => write!(f, "CMD_CFGI_CD_ALL stream={stream}"),
    }
}

fn tlbi_text(f: &mut fmt::Formatter<'_>, scope: &TlbScope) -> fmt::Result {
    let el2 = scope.worlds != Worlds::NsEl1;
    let by_address = scope.address.is_some();
    f.write_str(match (el2, scope.stages, scope.asid, by_address, scope.vmid) {
        (true, _, AsidMatch::Any, false, _) => "CMD_TLBI_EL2_ALL",
        (true, _, _, false, _) => "CMD_TLBI_EL2_ASID",
        (true, _, AsidMatch::Any, true, _) => "CMD_TLBI_EL2_VAA",
        (true, _, _, true, _) => "CMD_TLBI_EL2_VA",
        (false, Stages::Both, _, _, VmidMatch::Any) => "CMD_TLBI_NSNH_ALL",
        (false, Stages::Both, ..) => "CMD_TLBI_S12_VMALL",
        (false, Stages::Stage2, ..) => "CMD_TLBI_S2_IPA",
        (false, Stages::Stage1, AsidMatch::Any, false, _) => "CMD_TLBI_NH_ALL",
        (false, Stages::Stage1, _, false, _) => "CMD_TLBI_NH_ASID",
        (false, Stages::Stage1, AsidMatch::Any, true, _) => "CMD_TLBI_NH_VAA",
        (false, Stages::Stage1, _, true, _) => "CMD_TLBI_NH_VA",
    })?;
    if let VmidMatch::Like { vmid, .. } = scope.vmid {
        write!(f, " vmid={vmid}")?;
    }
    if let AsidMatch::NonGlobal(asid) | AsidMatch::OrGlobal(asid) = scope.asid {
        write!(f, " asid={asid}")?;
    }
    match scope.address {
        Some(range) if range.first == range.last => write!(f, " address={:#x}", range.first)?,
        Some(range) => write!(f, " address={:#x}..={:#x}", range.first, range.last)?,
        None => {}
    }
    f.write_str(if scope.address.is_some_and(|range| range.leaf) { " leaf" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smmu_arch::{AddressSpace, Attributes, Pa, Permissions, StreamWorld};

    fn entries() -> impl Strategy<Value = TlbEntry> {
        let kinds =
            prop::sample::select(vec![EntryKind::Stage1, EntryKind::Stage2, EntryKind::Combined]);
        (kinds, 0u16..3, 0u16..3, any::<bool>(), 0u64..4).prop_map(
            |(kind, vmid, asid, global, page)| {
                let leaf = |base| Leaf { base, span_log2: 12, level: 3, granule: Granule::K4 };
                let world = StreamWorld::NsEl1;
                let (vmid, asid) = (Vmid(vmid), Asid(asid));
                TlbEntry {
                    space: AddressSpace { world, kind, vmid, asid, aset: false },
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
        (stages, asid, address, 0u16..3).prop_map(|(stages, asid, address, vmid)| {
            let (stages, asid, address) = match stages {
                // No command names both stages and an ASID or an address.
                Stages::Both => (stages, AsidMatch::Any, None),
                Stages::Stage2 => (stages, AsidMatch::Any, address),
                Stages::Stage1 => (stages, asid, address),
            };
            TlbScope { stages, asid, address, ..TlbScope::s12_vmall(Vmid(vmid)) }
        })
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

    #[test]
    fn a_sync_completes_what_came_before_it() {
        let mut commands = Commands::default();
        let scope = Invalidation::Translations(TlbScope::NSNH_ALL);
        commands.invalidated(Moment(1), scope, 0);
        commands.synchronised(Moment(2));
        commands.invalidated(Moment(3), scope, 0);
        let completed: Vec<_> = commands.since(Moment(0)).map(|effect| effect.completed).collect();
        assert_eq!(completed, [Some(Moment(2)), None]);
    }

    #[test]
    fn a_scope_reads_as_its_command() {
        let text = |scope| ScopeText(&Invalidation::Translations(scope)).to_string();
        assert_eq!(text(TlbScope::s12_vmall(Vmid(1))), "CMD_TLBI_S12_VMALL vmid=0x1");
        assert_eq!(text(TlbScope::NSNH_ALL), "CMD_TLBI_NSNH_ALL");
        let range =
            AddressScope { first: 0x1000, last: 0x1000, leaf: true, level: 0, granule: None };
        let asid = AsidMatch::OrGlobal(Asid(7));
        let nh_va = TlbScope {
            stages: Stages::Stage1,
            asid,
            address: Some(range),
            ..TlbScope::s12_vmall(Vmid(1))
        };
        assert_eq!(text(nh_va), "CMD_TLBI_NH_VA vmid=0x1 asid=0x7 address=0x1000 leaf");
    }
}
