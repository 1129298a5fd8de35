//! The structures around the main TLB: a µTLB for each port, the IPA TLB and the walk caches.
//!
//! Which of them there are is the implementation's affair; the architecture only says what may be
//! kept, and until when (sections "TLB tagging, VMIDs, ASIDs" and "TLB invalidation").

use smmu_arch::{
    Epoch, Observation, PortId, Stage, Structure, TABLE_LEVELS, TlbKey, TlbScope, WalkCaches,
    WalkEntry, WalkKey,
};
use smmu_bus::Answer;
use smmu_cache::{Fill, GeometryError, InvalidationLog, Tlb, TlbShape, WalkCache, WalkFill};
use std::sync::Arc;

/// Sizes of the structures around the main TLB; what is `None` is not there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HierarchySizes {
    /// µTLB of each port.
    pub micro_tlb: Option<TlbShape>,
    /// IPA TLB: leaf descriptors of stage 2 that nested walks have met.
    pub ipa_tlb: Option<TlbShape>,
    /// Table descriptors of stage 1, of level -1 to 2.
    pub stage1: [Option<TlbShape>; 4],
    /// Table descriptors of stage 2, of level -1 to 2.
    pub stage2: [Option<TlbShape>; 4],
    /// Those of stage 1 are used under stage 2 as well.
    pub stage1_nested: bool,
}

/// Which of the structures there are: what an actor asks for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Hierarchy {
    pub(crate) micro: bool,
    pub(crate) walks: WalkCaches,
}

impl Hierarchy {
    pub(crate) fn of(sizes: &HierarchySizes) -> Self {
        let structures = caches(sizes).map(|(structure, _)| structure);
        let walks = structures.fold(WalkCaches::NONE, WalkCaches::with);
        Self {
            micro: sizes.micro_tlb.is_some(),
            walks: if sizes.stage1_nested { walks.nested() } else { walks },
        }
    }

    /// There is something beside the main TLB.
    #[inline(always)]
    pub(crate) const fn is_deep(self) -> bool {
        self.micro || self.walks.any()
    }

    /// Where a transaction is looked up first.
    #[inline(always)]
    pub(crate) const fn first(self) -> Structure {
        if self.micro { Structure::MicroTlb } else { Structure::MainTlb }
    }
}

/// Every structure that shortens a walk, and its shape.
fn caches(sizes: &HierarchySizes) -> impl Iterator<Item = (Structure, TlbShape)> {
    let ipa = sizes.ipa_tlb.map(|shape| (Structure::IpaTlb, shape));
    let of = |stage, shapes: [Option<TlbShape>; 4]| {
        let levels = TABLE_LEVELS.zip(shapes);
        levels
            .filter_map(move |(level, shape)| Some((Structure::WalkCache { stage, level }, shape?)))
    };
    let stages = [(Stage::Stage1, sizes.stage1), (Stage::Stage2, sizes.stage2)];
    ipa.into_iter().chain(stages.into_iter().flat_map(move |(stage, shapes)| of(stage, shapes)))
}

/// The structures.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// One for each port, or none at all.
    micro: Vec<Arc<Tlb>>,
    walks: Vec<(Structure, WalkCache)>,
    present: Hierarchy,
}

impl Surroundings {
    pub(crate) fn new(sizes: &HierarchySizes, ports: u16) -> Result<Self, GeometryError> {
        let micro = sizes.micro_tlb.into_iter().flat_map(|shape| (0..ports).map(move |_| shape));
        let walks = caches(sizes)
            .map(|(structure, shape)| Ok((structure, WalkCache::new(shape)?)))
            .collect::<Result<_, GeometryError>>()?;
        Ok(Self {
            micro: micro.map(|shape| Tlb::new(shape).map(Arc::new)).collect::<Result<_, _>>()?,
            walks,
            present: Hierarchy::of(sizes),
        })
    }

    /// The µTLB of a port.
    pub(crate) fn micro(&self, port: PortId) -> Option<&Arc<Tlb>> {
        self.micro.get(usize::from(port.0))
    }

    /// Looks for a descriptor from which a walk may go on, in one structure after the other.
    pub(crate) fn look_up_walk(
        &self,
        key: &WalkKey,
        mut observe: impl FnMut(Observation),
    ) -> Option<WalkEntry> {
        self.present.walks.asked(key).find_map(|structure| {
            let found = self.cache(structure).and_then(|cache| cache.look_up(key));
            let (space, input) = (key.space, key.input);
            let hit = found.map(|(number, _)| number);
            observe(Observation::LookedUp { structure, space, input, hit });
            found.map(|(_, entry)| entry)
        })
    }

    /// Keeps a descriptor of a walk, where there is a structure for it.
    pub(crate) fn fill_walk(
        &self,
        entry: &WalkEntry,
        begin: Epoch,
        log: &InvalidationLog,
    ) -> Option<(Observation, Answer)> {
        let WalkEntry { stage, leaf, nested, reach, .. } = *entry;
        let structure = self.present.walks.keeper(stage, reach.level, leaf, nested)?;
        Some(match self.cache(structure)?.fill(entry, begin, log) {
            WalkFill::Filled { number, evicted } => (
                Observation::WalkFilled { structure, number, entry: *entry, evicted },
                Answer::Filled(Some(number)),
            ),
            WalkFill::Overtaken => (Observation::FillOvertaken { structure }, Answer::Filled(None)),
        })
    }

    /// Copies what the main TLB holds for `key` into the µTLB of a port.
    pub(crate) fn promote(
        &self,
        port: PortId,
        main: &Tlb,
        key: &TlbKey,
        begin: Epoch,
        log: &InvalidationLog,
    ) -> Option<Observation> {
        let structure = Structure::MicroTlb;
        let (number, entry) = main.entry(key)?;
        Some(match self.micro(port)?.copy(number, &entry, begin, log) {
            Fill::Filled { number, evicted } => {
                let evicted = evicted.map(|evicted| evicted.number);
                Observation::Filled { structure, number, entry, evicted }
            }
            Fill::Overtaken | Fill::Refused => Observation::FillOvertaken { structure },
        })
    }

    /// Everything forgets what `scope` covers; returns how much that was.
    pub(crate) fn forget(&self, scope: &TlbScope) -> u32 {
        let micro: u32 = self.micro.iter().map(|tlb| tlb.invalidate(scope)).sum();
        let walks: u32 = self.walks.iter().map(|(_, cache)| cache.invalidate(scope)).sum();
        micro + walks
    }

    fn cache(&self, structure: Structure) -> Option<&WalkCache> {
        self.walks.iter().find(|(own, _)| *own == structure).map(|(_, cache)| cache)
    }
}
