//! What the SMMU remembers, and the answers that need no memory.

use crate::hierarchy::{HierarchySizes, Surroundings};
use crossbeam::utils::CachePadded;
use smmu_arch::{
    ConfigEntry, ConfigKey, ConfigScope, Epoch, Hit, Invalidation, Maintenance, Observation,
    Origin, PortId, Structure, TlbEntry, TlbKey, TlbScope,
};
use smmu_bus::{Answer, Observer, Request};
use smmu_cache::{ConfigCache, ConfigFill, Fill, GeometryError, InvalidationLog, Tlb, TlbShape};
use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of the structures of an SMMU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StructureSizes {
    /// Main TLB.
    pub tlb: TlbShape,
    /// Entries of the STE cache; `None` is unbounded, 0 keeps nothing.
    pub ste_cache: Option<u32>,
    /// Entries of the CD cache; `None` is unbounded, 0 keeps nothing.
    pub cd_cache: Option<u32>,
    /// What is around the main TLB.
    pub hierarchy: HierarchySizes,
}

/// The structures and the order of invalidations between them.
#[derive(Debug)]
pub(crate) struct Structures {
    pub(crate) hierarchy: Surroundings,
    pub(crate) stes: ConfigCache,
    pub(crate) cds: ConfigCache,
    pub(crate) log: InvalidationLog,
    /// Grows whenever a port may have kept something of the configuration that is no longer so:
    /// one word, since every hit looks at it.
    generation: CachePadded<AtomicU64>,
}

impl Structures {
    pub(crate) fn new(sizes: &StructureSizes, ports: u16) -> Result<Self, GeometryError> {
        let config =
            |entries: Option<u32>| entries.map_or_else(ConfigCache::unbounded, ConfigCache::new);
        Ok(Self {
            hierarchy: Surroundings::new(sizes.tlb, &sizes.hierarchy, ports)?,
            stes: config(sizes.ste_cache),
            cds: config(sizes.cd_cache),
            log: InvalidationLog::new(),
            generation: CachePadded::new(AtomicU64::new(0)),
        })
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// What ports have kept of the configuration is to be looked up anew.
    pub(crate) fn outdate_ports(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Answers what concerns the structures; `None` for all other requests.
    pub(crate) fn answer<O: Observer>(
        &self,
        origin: &Origin,
        request: &Request,
        observer: &mut O,
    ) -> Option<Answer> {
        let mut observe = |observation: Observation| observer.observe(origin, &observation);
        Some(match *request {
            Request::LookUp { structure, key } => {
                let hit = self.look_up(structure, origin, &key);
                observe(looked_up(structure, &key, hit.as_ref()));
                Answer::Hit(hit)
            }
            Request::LookUpWalk { key } => Answer::Walk(self.hierarchy.look_up_walk(&key, observe)),
            Request::FillWalk { ref entry, begin } => {
                match self.hierarchy.fill_walk(entry, begin, &self.log) {
                    Some((observation, answer)) => {
                        observe(observation);
                        answer
                    }
                    None => Answer::Filled(None),
                }
            }
            Request::Promote { ref key, begin } => {
                let promoted = port_of(origin)
                    .and_then(|port| self.hierarchy.promote(port, key, begin, &self.log));
                promoted.into_iter().for_each(&mut observe);
                Answer::Done
            }
            Request::LookUpConfig { key } => {
                let found = self.config_cache(&key).look_up(&key);
                observe(Observation::ConfigLookedUp { key, hit: found.is_some() });
                Answer::Configuration(found.map(|entry| entry.words))
            }
            Request::Fill { structure, entry, begin } => {
                let port = port_of(origin).unwrap_or_default();
                match self.hierarchy.tlb(structure, port) {
                    Some(tlb) => {
                        let (observation, answer) = self.fill(tlb, structure, entry, begin);
                        observe(observation);
                        answer
                    }
                    None => Answer::Filled(None),
                }
            }
            Request::FillConfig { entry, begin } => {
                let (observation, answer) = self.fill_config(&entry, begin);
                observe(observation);
                answer
            }
            Request::Forget { scope, by, .. } => {
                let dropped = self.forget(&scope);
                observe(Observation::Invalidated {
                    scope: Invalidation::Translations(scope),
                    dropped,
                    by: Maintenance::Command(by),
                });
                Answer::Forgotten(dropped)
            }
            Request::ForgetConfig { scope, by } => {
                let dropped = self.forget_config(&scope);
                observe(Observation::Invalidated {
                    scope: Invalidation::Configuration(scope),
                    dropped,
                    by: Maintenance::Command(by),
                });
                Answer::Forgotten(dropped)
            }
            _ => return None,
        })
    }

    fn look_up(&self, structure: Structure, origin: &Origin, key: &TlbKey) -> Option<Hit> {
        let tlb = self.hierarchy.tlb(structure, port_of(origin).unwrap_or_default())?;
        tlb.look_up(&mut tlb.resolve(&key.space), key.input)
    }

    fn config_cache(&self, key: &ConfigKey) -> &ConfigCache {
        match key {
            ConfigKey::Ste(_) => &self.stes,
            ConfigKey::Cd(..) => &self.cds,
        }
    }

    /// Fills a TLB.
    #[inline(always)]
    pub(crate) fn fill(
        &self,
        tlb: &Tlb,
        structure: Structure,
        entry: TlbEntry,
        begin: Epoch,
    ) -> (Observation, Answer) {
        match tlb.fill(&entry, begin, &self.log) {
            Fill::Filled { number, evicted } => {
                let evicted = evicted.map(|evicted| evicted.number);
                (
                    Observation::Filled { structure, number, entry, evicted },
                    Answer::Filled(Some(number)),
                )
            }
            Fill::Overtaken => (Observation::FillOvertaken { structure }, Answer::Filled(None)),
            Fill::Refused => unreachable!("a walk makes well-formed entries"),
        }
    }

    fn fill_config(&self, entry: &ConfigEntry, begin: Epoch) -> (Observation, Answer) {
        let key = entry.key;
        let cache = self.config_cache(&key);
        let before = cache.generation();
        let fill = cache.fill(entry, begin, &self.log);
        if cache.generation() != before {
            self.outdate_ports(); // something was evicted or replaced
        }
        match fill {
            ConfigFill::Overtaken => {
                let structure = match key {
                    ConfigKey::Ste(_) => Structure::SteCache,
                    ConfigKey::Cd(..) => Structure::CdCache,
                };
                (Observation::FillOvertaken { structure }, Answer::Filled(None))
            }
            // A cache without entries keeps nothing, and neither may a port.
            ConfigFill::Refused => (Observation::ConfigFilled { key }, Answer::Filled(None)),
            ConfigFill::Filled { .. } => {
                (Observation::ConfigFilled { key }, Answer::Filled(Some(0)))
            }
        }
    }

    pub(crate) fn forget(&self, scope: &TlbScope) -> u32 {
        let invalidation = Invalidation::Translations(*scope);
        self.log.take_effect(&invalidation, || self.hierarchy.forget(scope))
    }

    fn forget_config(&self, scope: &ConfigScope) -> u32 {
        let invalidation = Invalidation::Configuration(*scope);
        self.log.take_effect(&invalidation, || {
            let dropped = self.stes.invalidate(scope) + self.cds.invalidate(scope);
            // Also where nothing was dropped: a port's copy may be of what was evicted just now.
            self.outdate_ports();
            dropped
        })
    }
}

fn port_of(origin: &Origin) -> Option<PortId> {
    origin.transaction.map(|transaction| transaction.port)
}

pub(crate) fn looked_up(structure: Structure, key: &TlbKey, hit: Option<&Hit>) -> Observation {
    Observation::LookedUp {
        structure,
        space: key.space,
        input: key.input,
        hit: hit.map(|hit| hit.fill),
    }
}
