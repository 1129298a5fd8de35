//! The TLBs of the ports, and the structures around the main TLB: IPA TLB and walk caches.
//!
//! Which of them there are is the implementation's affair; the architecture only says what may be
//! kept, and until when (sections "TLB tagging, VMIDs, ASIDs" and "TLB invalidation").

use smmu_arch::{
    EntrySizes, Epoch, Observation, PortId, Stage, Structure, TABLE_LEVELS, TlbKey, TlbScope,
    WalkCaches, WalkEntry, WalkKey,
};
use smmu_bus::Answer;
use smmu_cache::{Fill, GeometryError, InvalidationLog, Tlb, TlbShape, WalkCache, WalkFill};
use std::sync::Arc;

/// Whose the main TLB is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum MainTlb {
    /// One for all ports.
    #[default]
    Shared,
    /// Each port has one.
    PerPort,
    /// There is none: what a walk found goes into the port's µTLB. Without that, as `Shared`.
    Absent,
}

/// The structures around the main TLB; what is `None` is not there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HierarchySizes {
    /// µTLB of each port.
    pub micro_tlb: Option<TlbShape>,
    /// Sizes that its entries can have.
    pub micro_sizes: EntrySizes,
    /// Whose the main TLB is.
    pub main: MainTlb,
    /// Sizes that its entries can have.
    pub main_sizes: EntrySizes,
    /// After a walk for a transaction the SMMU walks for the page behind it as well.
    pub prefetch: bool,
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
    /// Sizes of the entries of the µTLBs.
    pub(crate) micro: Option<EntrySizes>,
    /// Sizes of the entries of the main TLB, shared or not.
    pub(crate) main: Option<EntrySizes>,
    pub(crate) walks: WalkCaches,
    pub(crate) prefetch: bool,
    /// There is more than a main TLB that holds entries of all sizes: worked out once, as every miss
    /// asks.
    pub(crate) deep: bool,
}

impl Hierarchy {
    pub(crate) fn of(sizes: &HierarchySizes) -> Self {
        let structures = caches(sizes).map(|(structure, _)| structure);
        let walks = structures.fold(WalkCaches::NONE, WalkCaches::with);
        let micro = sizes.micro_tlb.is_some();
        let absent = micro && sizes.main == MainTlb::Absent;
        let cut = sizes.main_sizes != EntrySizes::ALL;
        Self {
            micro: micro.then_some(sizes.micro_sizes),
            main: (!absent).then_some(sizes.main_sizes),
            walks: if sizes.stage1_nested { walks.nested() } else { walks },
            prefetch: sizes.prefetch,
            deep: micro || cut || sizes.prefetch || walks.any(),
        }
    }

    /// Where a transaction is looked up first.
    #[inline(always)]
    pub(crate) const fn first(self) -> Structure {
        if self.micro.is_some() { Structure::MicroTlb } else { Structure::MainTlb }
    }

    /// What keeps the result of a walk, and entries of which sizes it holds. `for_port`: the walk
    /// was for a transaction that its µTLB serves.
    pub(crate) fn keeper(self, for_port: bool) -> Option<(Structure, EntrySizes)> {
        let main = self.main.map(|sizes| (Structure::MainTlb, sizes));
        let micro = self.micro.filter(|_| for_port).map(|sizes| (Structure::MicroTlb, sizes));
        main.or(micro)
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

/// TLBs of one shape. The numbers of their fills differ.
fn tlbs(shape: TlbShape, count: u16) -> Result<Vec<Arc<Tlb>>, GeometryError> {
    let first = |index: u16| (u64::from(index) << 48) + 1;
    (0..count).map(|index| Tlb::numbered_from(shape, first(index)).map(Arc::new)).collect()
}

/// The structures.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// One for each port, or none at all.
    micro: Vec<Arc<Tlb>>,
    /// One for each port, one for all, or none.
    main: Vec<Arc<Tlb>>,
    walks: Vec<(Structure, WalkCache)>,
    present: Hierarchy,
}

impl Surroundings {
    pub(crate) fn new(
        main: TlbShape,
        sizes: &HierarchySizes,
        ports: u16,
    ) -> Result<Self, GeometryError> {
        let present = Hierarchy::of(sizes);
        let mains = match sizes.main {
            _ if present.main.is_none() => 0,
            MainTlb::PerPort => ports,
            _ => 1,
        };
        let micros = if sizes.micro_tlb.is_some() { ports } else { 0 };
        let walks = caches(sizes)
            .map(|(structure, shape)| Ok((structure, WalkCache::new(shape)?)))
            .collect::<Result<_, GeometryError>>()?;
        Ok(Self {
            micro: tlbs(sizes.micro_tlb.unwrap_or(main), micros)?,
            main: tlbs(main, mains)?,
            walks,
            present,
        })
    }

    /// The TLB of a port that is one of these.
    pub(crate) fn tlb(&self, structure: Structure, port: PortId) -> Option<&Arc<Tlb>> {
        let port = usize::from(port.0);
        match structure {
            Structure::MicroTlb => self.micro.get(port),
            _ if self.main.len() == 1 => self.main.first(),
            _ => self.main.get(port),
        }
    }

    /// Where the transactions of a port are looked up first.
    ///
    /// # Panics
    /// If there is no such port.
    pub(crate) fn first(&self, port: PortId) -> &Arc<Tlb> {
        self.tlb(self.present.first(), port).expect("the port exists, and it has a TLB")
    }

    /// The TLBs that hold the results of walks.
    pub(crate) fn keepers(&self) -> &[Arc<Tlb>] {
        if self.main.is_empty() { &self.micro } else { &self.main }
    }

    /// A TLB that the port fills holds `key`.
    pub(crate) fn holds(&self, port: PortId, key: &TlbKey) -> bool {
        let keeper = self.present.keeper(true).and_then(|(keeper, _)| self.tlb(keeper, port));
        keeper.is_some_and(|tlb| tlb.entry(key).is_some())
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
        key: &TlbKey,
        begin: Epoch,
        log: &InvalidationLog,
    ) -> Option<Observation> {
        let structure = Structure::MicroTlb;
        let (number, entry) = self.tlb(Structure::MainTlb, port)?.entry(key)?;
        let piece = entry.piece(key.input, self.present.micro?)?;
        Some(match self.tlb(structure, port)?.copy(number, &piece, begin, log) {
            Fill::Filled { number, evicted } => {
                Observation::Promoted { number, evicted: evicted.is_some() }
            }
            Fill::Overtaken | Fill::Refused => Observation::FillOvertaken { structure },
        })
    }

    /// Everything forgets what `scope` covers; returns how much that was.
    pub(crate) fn forget(&self, scope: &TlbScope) -> u32 {
        let tlbs = self.micro.iter().chain(&self.main);
        let translations: u32 = tlbs.map(|tlb| tlb.invalidate(scope)).sum();
        let walks: u32 = self.walks.iter().map(|(_, cache)| cache.invalidate(scope)).sum();
        translations + walks
    }

    fn cache(&self, structure: Structure) -> Option<&WalkCache> {
        self.walks.iter().find(|(own, _)| *own == structure).map(|(_, cache)| cache)
    }
}
