//! What the SMMU remembers, and the answers that need no memory.

use smmu_arch::{
    ConfigEntry, ConfigKey, ConfigScope, Epoch, Hit, Invalidation, Observation, Origin, Structure,
    TlbEntry, TlbKey, TlbScope,
};
use smmu_bus::{Answer, Observer, Request};
use smmu_cache::{ConfigCache, ConfigFill, Fill, GeometryError, InvalidationLog, Tlb, TlbShape};

/// Sizes of the structures of an SMMU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StructureSizes {
    /// Main TLB.
    pub tlb: TlbShape,
    /// Entries of the STE cache; `None` is unbounded, 0 keeps nothing.
    pub ste_cache: Option<u32>,
    /// Entries of the CD cache; `None` is unbounded, 0 keeps nothing.
    pub cd_cache: Option<u32>,
}

/// The structures and the order of invalidations between them.
#[derive(Debug)]
pub(crate) struct Structures {
    pub(crate) tlb: Tlb,
    pub(crate) stes: ConfigCache,
    pub(crate) cds: ConfigCache,
    pub(crate) log: InvalidationLog,
}

impl Structures {
    pub(crate) fn new(sizes: &StructureSizes) -> Result<Self, GeometryError> {
        let config =
            |entries: Option<u32>| entries.map_or_else(ConfigCache::unbounded, ConfigCache::new);
        Ok(Self {
            tlb: Tlb::new(sizes.tlb)?,
            stes: config(sizes.ste_cache),
            cds: config(sizes.cd_cache),
            log: InvalidationLog::new(),
        })
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
                let hit = self.look_up(&key);
                observe(looked_up(structure, &key, hit.as_ref()));
                Answer::Hit(hit)
            }
            Request::LookUpConfig { key } => {
                let found = self.config_cache(&key).look_up(&key);
                observe(Observation::ConfigLookedUp { key, hit: found.is_some() });
                Answer::Configuration(found.map(|entry| entry.words))
            }
            Request::Fill { structure, entry, begin } => {
                let (observation, answer) = self.fill(structure, entry, begin);
                observe(observation);
                answer
            }
            Request::FillConfig { entry, begin } => {
                let (observation, answer) = self.fill_config(&entry, begin);
                observe(observation);
                answer
            }
            Request::Forget { scope, .. } => {
                let dropped = self.forget(&scope);
                observe(Observation::Invalidated {
                    scope: Invalidation::Translations(scope),
                    dropped,
                });
                Answer::Forgotten(dropped)
            }
            Request::ForgetConfig { scope } => {
                let dropped = self.forget_config(&scope);
                observe(Observation::Invalidated {
                    scope: Invalidation::Configuration(scope),
                    dropped,
                });
                Answer::Forgotten(dropped)
            }
            _ => return None,
        })
    }

    fn look_up(&self, key: &TlbKey) -> Option<Hit> {
        self.tlb.look_up(&mut self.tlb.resolve(&key.space), key.input)
    }

    fn config_cache(&self, key: &ConfigKey) -> &ConfigCache {
        match key {
            ConfigKey::Ste(_) => &self.stes,
            ConfigKey::Cd(..) => &self.cds,
        }
    }

    #[inline(always)]
    pub(crate) fn fill(
        &self,
        structure: Structure,
        entry: TlbEntry,
        begin: Epoch,
    ) -> (Observation, Answer) {
        match self.tlb.fill(&entry, begin, &self.log) {
            Fill::Filled { number, evicted } => (
                Observation::Filled { structure, number, entry, evicted: evicted.is_some() },
                Answer::Filled(Some(number)),
            ),
            Fill::Overtaken => (Observation::FillOvertaken { structure }, Answer::Filled(None)),
            Fill::Refused => unreachable!("a walk makes well-formed entries"),
        }
    }

    fn fill_config(&self, entry: &ConfigEntry, begin: Epoch) -> (Observation, Answer) {
        let key = entry.key;
        match self.config_cache(&key).fill(entry, begin, &self.log) {
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

    fn forget(&self, scope: &TlbScope) -> u32 {
        let invalidation = Invalidation::Translations(*scope);
        self.log.take_effect(&invalidation, || self.tlb.invalidate(scope))
    }

    fn forget_config(&self, scope: &ConfigScope) -> u32 {
        let invalidation = Invalidation::Configuration(*scope);
        let sweep = || self.stes.invalidate(scope) + self.cds.invalidate(scope);
        self.log.take_effect(&invalidation, sweep)
    }
}

pub(crate) fn looked_up(structure: Structure, key: &TlbKey, hit: Option<&Hit>) -> Observation {
    Observation::LookedUp {
        structure,
        space: key.space,
        input: key.input,
        hit: hit.map(|hit| hit.fill),
    }
}
