//! Keys and entries of the structures that shorten a walk: walk caches and the IPA TLB.
//!
//! Architecture: section "TLB tagging, VMIDs, ASIDs": an SMMU may keep any descriptor of a walk,
//! and a TLBI without Leaf covers those above the leaf too. What is kept is the descriptor as it was
//! read, so that a walk goes on from it by the rules by which it goes on from memory.

use crate::{
    AddressSpace, Asid, EntryKind, Granule, Leaf, Pa, Stage, Stages, Structure, TableRoot, TlbScope,
};

/// Levels of a table descriptor: -1 to 2.
pub const TABLE_LEVELS: std::ops::RangeInclusive<i8> = -1..=2;

/// The structures that shorten a walk, as far as an SMMU has them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct WalkCaches {
    /// Bit n: table descriptors of level n - 1.
    stage1: u8,
    stage2: u8,
    ipa: bool,
    nested: bool,
}

impl WalkCaches {
    /// None at all.
    pub const NONE: Self = Self { stage1: 0, stage2: 0, ipa: false, nested: false };

    /// With a structure more. Those that shorten no walk change nothing.
    #[must_use]
    pub const fn with(self, structure: Structure) -> Self {
        match structure {
            Structure::WalkCache { stage: Stage::Stage1, level } => {
                Self { stage1: self.stage1 | bit(level), ..self }
            }
            Structure::WalkCache { stage: Stage::Stage2, level } => {
                Self { stage2: self.stage2 | bit(level), ..self }
            }
            Structure::IpaTlb => Self { ipa: true, ..self },
            _ => self,
        }
    }

    /// Stage 1 uses its caches under stage 2 as well.
    #[must_use]
    pub const fn nested(self) -> Self {
        Self { nested: true, ..self }
    }

    /// There is one.
    #[inline(always)]
    #[must_use]
    pub const fn any(self) -> bool {
        self.stage1 != 0 || self.stage2 != 0 || self.ipa
    }

    /// The structure that keeps descriptors of `stage` and `level`; those of leaves if `leaf`.
    /// `nested` says that both stages are in use.
    #[must_use]
    pub const fn keeper(
        self,
        stage: Stage,
        level: i8,
        leaf: bool,
        nested: bool,
    ) -> Option<Structure> {
        let there = match (stage, leaf) {
            (Stage::Stage1, true) => false,
            (Stage::Stage2, true) if nested && self.ipa => return Some(Structure::IpaTlb),
            (Stage::Stage2, true) => false,
            (Stage::Stage1, false) => self.stage1 & bit(level) != 0 && (self.nested || !nested),
            (Stage::Stage2, false) => self.stage2 & bit(level) != 0,
        };
        if there { Some(Structure::WalkCache { stage, level }) } else { None }
    }

    /// The structures to ask for a key, the one that shortens the walk most first.
    pub fn asked(self, key: &WalkKey) -> impl Iterator<Item = Structure> + use<> {
        let (stage, nested) = (key.stage, key.nested);
        let ipa = self.keeper(stage, 3, true, nested);
        let levels = (key.start_level.max(*TABLE_LEVELS.start())..=*TABLE_LEVELS.end()).rev();
        ipa.into_iter()
            .chain(levels.filter_map(move |level| self.keeper(stage, level, false, nested)))
    }
}

const fn bit(level: i8) -> u8 {
    if level < -1 || level > 2 { 0 } else { 1 << (level + 1) }
}

/// A look-up for the descriptor that shortens the walk of one stage most.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WalkKey {
    /// Address space: that of the regime for stage 1, that of the VMID for stage 2.
    pub space: AddressSpace,
    /// Stage of the walk.
    pub stage: Stage,
    /// Input of the stage: as a TLB is looked up for stage 1, an IPA for stage 2.
    pub input: u64,
    /// Granule of the tables.
    pub granule: Granule,
    /// Level at which the walk would begin.
    pub start_level: i8,
    /// Both stages are in use.
    pub nested: bool,
}

impl WalkKey {
    /// The key of a walk of `stage` from `root`, for a regime whose tags are `space`.
    #[must_use]
    pub fn new(
        space: AddressSpace,
        stage: Stage,
        root: &TableRoot,
        input: u64,
        nested: bool,
    ) -> Self {
        let space = match stage {
            Stage::Stage1 => space,
            Stage::Stage2 => {
                AddressSpace { kind: EntryKind::Stage2, asid: Asid(0), aset: false, ..space }
            }
        };
        let (granule, start_level) = (root.granule, root.start_level);
        Self { space, stage, input, granule, start_level, nested }
    }
}

/// A descriptor that a walk has met.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WalkEntry {
    /// Address space of the walk: see [`WalkKey::space`].
    pub space: AddressSpace,
    /// Stage.
    pub stage: Stage,
    /// Both stages were in use.
    pub nested: bool,
    /// What the descriptor maps, and its level and granule. For a table descriptor, what it
    /// resolves.
    pub reach: Leaf,
    /// It is a leaf descriptor.
    pub leaf: bool,
    /// The word as memory holds it.
    pub word: u64,
    /// Where it was read.
    pub pa: Pa,
    /// APTable, XNTable and PXNTable of the tables above it, as the walk gathers them.
    pub limits: u8,
}

impl WalkEntry {
    /// Whether a walk with `key` may go on from this descriptor.
    #[must_use]
    pub fn matches(&self, key: &WalkKey) -> bool {
        self.space == key.space
            && self.stage == key.stage
            && self.reach.granule == key.granule
            && self.reach.level >= key.start_level
            && self.reach.overlaps(key.input, key.input)
    }
}

impl TlbScope {
    /// Whether the scope covers a descriptor that a structure keeps. A table descriptor bears the
    /// ASID of its walk, global or not, and is spared by Leaf; TTL tells the level of leaves.
    #[must_use]
    pub fn covers_walk(&self, entry: &WalkEntry) -> bool {
        let concerned = match self.stages {
            Stages::Stage2 => entry.stage == Stage::Stage2,
            Stages::Stage1 => entry.stage == Stage::Stage1,
            Stages::Both => true,
        };
        concerned
            && self.covers_tags(&entry.space, false)
            && self.address.as_ref().is_none_or(|range| {
                if entry.leaf {
                    return range.covers(&entry.reach);
                }
                !range.leaf
                    && entry.reach.overlaps(range.first, range.last)
                    && range.granule.is_none_or(|granule| granule == entry.reach.granule)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AddressScope, AsidMatch, StreamWorld, Vmid};

    const SPACE: AddressSpace = AddressSpace {
        world: StreamWorld::NsEl1,
        kind: EntryKind::Combined,
        vmid: Vmid(1),
        asid: Asid(7),
        aset: false,
    };

    fn table(level: i8) -> WalkEntry {
        let span_log2 = Granule::K4.level_shift(level) as u8;
        WalkEntry {
            space: SPACE,
            stage: Stage::Stage1,
            nested: true,
            reach: Leaf { base: 0, span_log2, level, granule: Granule::K4 },
            leaf: false,
            word: 0x8003,
            pa: Pa(0),
            limits: 0,
        }
    }

    fn tlbi_va(first: u64, leaf: bool) -> TlbScope {
        TlbScope {
            stages: Stages::Stage1,
            asid: AsidMatch::OrGlobal(Asid(7)),
            address: Some(AddressScope { first, last: first, leaf, level: 0, granule: None }),
            ..TlbScope::s12_vmall(Vmid(1))
        }
    }

    #[test]
    fn leaf_spares_tables_and_an_address_names_those_above_it() {
        assert!(tlbi_va(0x1f_f000, false).covers_walk(&table(2)));
        assert!(!tlbi_va(0x20_0000, false).covers_walk(&table(2)));
        assert!(tlbi_va(0x20_0000, false).covers_walk(&table(1)));
        assert!(!tlbi_va(0x1f_f000, true).covers_walk(&table(2)));
        let other = TlbScope { asid: AsidMatch::OrGlobal(Asid(8)), ..tlbi_va(0, false) };
        assert!(!other.covers_walk(&table(2)), "a table descriptor is never global");
    }

    #[test]
    fn a_scope_names_the_stages_whose_descriptors_go() {
        let of_ipa = |leaf| WalkEntry {
            space: AddressSpace { kind: EntryKind::Stage2, asid: Asid(0), ..SPACE },
            stage: Stage::Stage2,
            leaf,
            ..table(2)
        };
        let s2_ipa =
            |leaf| TlbScope { stages: Stages::Stage2, asid: AsidMatch::Any, ..tlbi_va(0, leaf) };
        assert!(
            s2_ipa(false).covers_walk(&of_ipa(false)) && s2_ipa(true).covers_walk(&of_ipa(true))
        );
        assert!(!s2_ipa(true).covers_walk(&of_ipa(false)) && !s2_ipa(false).covers_walk(&table(2)));
        assert!(!tlbi_va(0, false).covers_walk(&of_ipa(true)));
        assert!(
            [table(2), of_ipa(true)].iter().all(|e| TlbScope::s12_vmall(Vmid(1)).covers_walk(e))
        );
        assert!(!TlbScope::s12_vmall(Vmid(2)).covers_walk(&table(1)));
    }

    #[test]
    fn the_deepest_structure_is_asked_first() {
        let cache = |stage, level| Structure::WalkCache { stage, level };
        let some = WalkCaches::NONE
            .with(cache(Stage::Stage1, 0))
            .with(cache(Stage::Stage1, 2))
            .with(cache(Stage::Stage2, 1))
            .with(Structure::IpaTlb)
            .with(Structure::MainTlb);
        let key = |stage, start_level, nested| WalkKey {
            space: SPACE,
            stage,
            input: 0,
            granule: Granule::K4,
            start_level,
            nested,
        };
        let asked = |key: WalkKey| some.asked(&key).collect::<Vec<_>>();
        assert_eq!(
            asked(key(Stage::Stage1, 0, false)),
            [cache(Stage::Stage1, 2), cache(Stage::Stage1, 0)]
        );
        assert_eq!(asked(key(Stage::Stage1, 1, false)), [cache(Stage::Stage1, 2)]);
        assert_eq!(asked(key(Stage::Stage1, 0, true)), []);
        assert_eq!(some.nested().asked(&key(Stage::Stage1, 1, true)).count(), 1);
        assert_eq!(
            asked(key(Stage::Stage2, 1, true)),
            [Structure::IpaTlb, cache(Stage::Stage2, 1)]
        );
        assert_eq!(asked(key(Stage::Stage2, 1, false)), [cache(Stage::Stage2, 1)]);
        assert!(!WalkCaches::NONE.any() && some.any());
    }
}
