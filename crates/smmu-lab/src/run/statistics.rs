//! Counters of a run: a reader of observations.

use rustc_hash::FxHashMap;
use serde::Serialize;
use smmu_arch::{
    ConfigKey, Invalidation, Observation, Origin, PortId, SmmuId, Stage, Structure, Why,
};
use smmu_machine::file::MainTlb;
use smmu_machine::{Blueprint, Listener, SmmuBlueprint, device_ports};
use std::collections::{BTreeMap, VecDeque};

/// Fills that are remembered after their entries have left the main TLB.
const LEFT_MAX: usize = 1 << 16;

/// What one device did, and what it cost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct DeviceCounts {
    /// Transactions, refused ones included.
    pub dma: u64,
    /// Transactions that were refused.
    pub aborts: u64,
    /// Look-ups that hit: of the µTLB, or of the main TLB behind it.
    pub hits: u64,
    /// Of which on an entry that another device of the same VM filled.
    pub shared_hits: u64,
    /// Of which on an entry that a device of another VM filled.
    pub cross_vm_hits: u64,
    /// Look-ups of the last TLB that missed, which is the main one where there is one; each starts
    /// a walk.
    pub misses: u64,
    /// Translation table descriptors fetched.
    pub fetches: u64,
    /// STEs, CDs and their level 1 descriptors fetched.
    pub config_fetches: u64,
    /// Event records written about the device.
    pub events: u64,
}

impl DeviceCounts {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: &Self) -> Self {
        Self {
            dma: self.dma + other.dma,
            aborts: self.aborts + other.aborts,
            hits: self.hits + other.hits,
            shared_hits: self.shared_hits + other.shared_hits,
            cross_vm_hits: self.cross_vm_hits + other.cross_vm_hits,
            misses: self.misses + other.misses,
            fetches: self.fetches + other.fetches,
            config_fetches: self.config_fetches + other.config_fetches,
            events: self.events + other.events,
        }
    }
}

/// What one SMMU was told to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct SmmuCounts {
    /// Commands consumed.
    pub commands: u64,
    /// Of which TLBI.
    pub tlbi: u64,
    /// Of which CFGI.
    pub cfgi: u64,
    /// Of which CMD_SYNC.
    pub syncs: u64,
    /// Entries that invalidations dropped: of TLBs, copies in µTLBs included, and of walk caches.
    pub dropped: u64,
    /// Event records written.
    pub events: u64,
    /// Event records lost.
    pub events_lost: u64,
    /// Fills that an invalidation overtook.
    pub overtaken: u64,
    /// TLB entries that had to leave for others.
    pub evicted: u64,
    /// Transactions, ATS Translated ones included.
    pub transactions: u64,
    /// Look-ups that missed in the last TLB, which is the main one where there is one.
    pub tlb_misses: u64,
    /// Look-ups of STEs and CDs that missed.
    pub config_misses: u64,
    /// Translation table descriptors fetched.
    pub fetches: u64,
    /// STEs, CDs and their level 1 descriptors fetched.
    pub config_fetches: u64,
    /// ATS Translation Requests.
    pub ats_requests: u64,
    /// ATS Translated transactions.
    pub ats_translated: u64,
}

/// What one structure of an SMMU was asked, those of all ports together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct StructureCounts {
    /// Look-ups.
    pub lookups: u64,
    /// Of which missed.
    pub misses: u64,
    /// Entries that were put in.
    pub fills: u64,
    /// Of which another one had to go for.
    pub evicted: u64,
}

/// What the driver had an SMMU do on behalf of one VM.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct VmCounts {
    /// TLBI commands.
    pub tlbi: u64,
    /// TLB entries that they dropped.
    pub dropped: u64,
}

/// All counters; a difference of two is what happened between.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// By device.
    pub devices: Vec<DeviceCounts>,
    /// By SMMU.
    pub smmus: Vec<SmmuCounts>,
    /// By SMMU and structure.
    pub structures: Vec<BTreeMap<Structure, StructureCounts>>,
    /// By VM.
    pub vms: Vec<VmCounts>,
    /// Entries of the main TLBs that a VM lost to a VM: whose, and to whom.
    pub evictions: BTreeMap<(usize, usize), u64>,
    /// By SMMU: translation table descriptors fetched, by stage and level.
    pub walk_accesses: Vec<BTreeMap<(Stage, i8), u64>>,
}

/// Reads observations into [`Counters`].
#[derive(Debug)]
pub struct Statistics {
    counters: Counters,
    device_of: FxHashMap<(SmmuId, PortId), usize>,
    stream_of: FxHashMap<(SmmuId, u32), usize>,
    vm_of: Vec<Option<usize>>,
    /// Device that made a fill, by SMMU and number of the fill.
    filled_by: FxHashMap<(SmmuId, u64), u32>,
    /// Fills whose entries have left the main TLB; copies may be in µTLBs still.
    left: VecDeque<(SmmuId, u64)>,
    /// Where a miss leads to a walk, by SMMU.
    last_tlb: Vec<Structure>,
    /// VM for which the driver acts now.
    acting: Option<usize>,
}

fn last_tlb(smmu: &SmmuBlueprint) -> Structure {
    match smmu.hierarchy.main {
        MainTlb::None => Structure::MicroTlb,
        MainTlb::Shared | MainTlb::PerPort => Structure::MainTlb,
    }
}

impl Statistics {
    /// Counters at zero. `vm_of` names the VM of each device, of `vms` in all.
    #[must_use]
    pub fn new(blueprint: &Blueprint, vm_of: Vec<Option<usize>>, vms: usize) -> Self {
        let ports = device_ports(blueprint).into_iter().enumerate();
        let streams = blueprint.devices.iter().enumerate().flat_map(|(index, device)| {
            let smmu = SmmuId(device.smmu as u8);
            device.streams.iter().map(move |&stream| ((smmu, stream), index))
        });
        Self {
            counters: Counters {
                devices: vec![DeviceCounts::default(); blueprint.devices.len()],
                smmus: vec![SmmuCounts::default(); blueprint.smmus.len()],
                structures: vec![BTreeMap::new(); blueprint.smmus.len()],
                vms: vec![VmCounts::default(); vms],
                evictions: BTreeMap::new(),
                walk_accesses: vec![BTreeMap::new(); blueprint.smmus.len()],
            },
            device_of: ports.map(|(device, place)| (place, device)).collect(),
            stream_of: streams.collect(),
            vm_of,
            filled_by: FxHashMap::default(),
            left: VecDeque::new(),
            last_tlb: blueprint.smmus.iter().map(last_tlb).collect(),
            acting: None,
        }
    }

    /// The counters now.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// From now on commands are issued on behalf of this VM.
    pub const fn act_for(&mut self, vm: Option<usize>) {
        self.acting = vm;
    }

    fn device(&self, origin: &Origin) -> Option<usize> {
        let transaction = origin.transaction?;
        self.device_of.get(&(origin.smmu, transaction.port)).copied()
    }

    fn hit(&mut self, origin: &Origin, device: usize, fill: u64) {
        let filler = self.filled_by.get(&(origin.smmu, fill)).map(|&filler| filler as usize);
        let counts = &mut self.counters.devices[device];
        counts.hits += 1;
        match filler {
            Some(filler) if filler == device => {}
            Some(filler) if self.vm_of[filler] == self.vm_of[device] => counts.shared_hits += 1,
            Some(_) => counts.cross_vm_hits += 1,
            None => {}
        }
    }

    fn of_device(&mut self, origin: &Origin, device: usize, observation: &Observation) {
        let last = self.last_tlb.get(usize::from(origin.smmu.0)).copied();
        let counts = &mut self.counters.devices[device];
        match observation {
            Observation::Began(_) => counts.dma += 1,
            Observation::Refused { .. } => counts.aborts += 1,
            Observation::AtsTranslated { output, .. } => {
                counts.dma += 1;
                counts.aborts += u64::from(output.is_none());
            }
            Observation::LookedUp { structure, hit: None, .. } if Some(*structure) == last => {
                counts.misses += 1;
            }
            Observation::LookedUp {
                structure: Structure::MicroTlb | Structure::MainTlb,
                hit: Some(fill),
                ..
            } => self.hit(origin, device, *fill),
            Observation::Fetched { why, .. } => match why {
                Why::Descriptor { .. } => counts.fetches += 1,
                why if why.is_configuration() => counts.config_fetches += 1,
                _ => {}
            },
            Observation::Filled { number, evicted, .. } => {
                self.filled_by.insert((origin.smmu, *number), device as u32);
                if let Some(evicted) = evicted {
                    self.evicted(origin, device, *evicted);
                }
            }
            _ => {}
        }
    }

    /// The entry of a fill had to leave for one of `device`.
    fn evicted(&mut self, origin: &Origin, device: usize, number: u64) {
        let name = (origin.smmu, number);
        let victim = self.filled_by.get(&name).copied();
        self.left.push_back(name);
        if self.left.len() > LEFT_MAX
            && let Some(forgotten) = self.left.pop_front()
        {
            self.filled_by.remove(&forgotten);
        }
        let vm = |device: usize| self.vm_of.get(device).copied().flatten();
        if let (Some(of), Some(by)) = (victim.and_then(|it| vm(it as usize)), vm(device)) {
            *self.counters.evictions.entry((of, by)).or_default() += 1;
        }
    }

    fn of_smmu(&mut self, origin: &Origin, observation: &Observation) {
        let index = usize::from(origin.smmu.0);
        let Some(counts) = self.counters.smmus.get_mut(index) else { return };
        let last = self.last_tlb.get(index).copied();
        match observation {
            Observation::Synchronised(_) => {
                counts.commands += 1;
                counts.syncs += 1;
            }
            Observation::CommandConsumed(_) => counts.commands += 1,
            Observation::Invalidated { scope: Invalidation::Configuration(_), .. } => {
                counts.cfgi += 1;
            }
            Observation::Invalidated { scope: Invalidation::Translations(_), dropped, .. } => {
                counts.tlbi += 1;
                counts.dropped += u64::from(*dropped);
                if let Some(vm) = self.acting {
                    self.counters.vms[vm].tlbi += 1;
                    self.counters.vms[vm].dropped += u64::from(*dropped);
                }
            }
            Observation::EventRecorded(event) => {
                counts.events += 1;
                if let Some(&device) = self.stream_of.get(&(origin.smmu, event.stream.0)) {
                    self.counters.devices[device].events += 1;
                }
            }
            Observation::EventLost(_) => counts.events_lost += 1,
            Observation::FillOvertaken { .. } => counts.overtaken += 1,
            Observation::Filled { evicted, .. } => {
                counts.evicted += u64::from(evicted.is_some());
            }
            Observation::Began(_) => counts.transactions += 1,
            Observation::LookedUp { structure, hit: None, .. } if Some(*structure) == last => {
                counts.tlb_misses += 1;
            }
            Observation::ConfigLookedUp { hit: false, .. } => counts.config_misses += 1,
            Observation::Fetched { why, .. } if why.is_walk() => {
                counts.fetches += 1;
                if let Why::Descriptor { stage, level, .. } = *why {
                    *self.counters.walk_accesses[index].entry((stage, level)).or_default() += 1;
                }
            }
            Observation::Fetched { why, .. } if why.is_configuration() => {
                counts.config_fetches += 1;
            }
            Observation::AtsCompleted { .. } => counts.ats_requests += 1,
            Observation::AtsTranslated { .. } => {
                counts.transactions += 1;
                counts.ats_translated += 1;
            }
            _ => {}
        }
    }

    fn of_structure(&mut self, origin: &Origin, observation: &Observation) {
        let smmu = usize::from(origin.smmu.0);
        let Some(structures) = self.counters.structures.get_mut(smmu) else { return };
        let config = |key: &ConfigKey| match key {
            ConfigKey::Ste(_) => Structure::SteCache,
            ConfigKey::Cd(..) => Structure::CdCache,
        };
        let looked_up = |counts: &mut StructureCounts, hit: bool| {
            counts.lookups += 1;
            counts.misses += u64::from(!hit);
        };
        let filled = |counts: &mut StructureCounts, evicted: bool| {
            counts.fills += 1;
            counts.evicted += u64::from(evicted);
        };
        match observation {
            Observation::LookedUp { structure, hit, .. } => {
                looked_up(structures.entry(*structure).or_default(), hit.is_some());
            }
            Observation::ConfigLookedUp { key, hit } => {
                looked_up(structures.entry(config(key)).or_default(), *hit);
            }
            Observation::Filled { structure, evicted, .. } => {
                filled(structures.entry(*structure).or_default(), evicted.is_some());
            }
            Observation::Promoted { evicted, .. } => {
                filled(structures.entry(Structure::MicroTlb).or_default(), *evicted);
            }
            Observation::WalkFilled { structure, evicted, .. } => {
                filled(structures.entry(*structure).or_default(), *evicted);
            }
            Observation::ConfigFilled { key } => {
                structures.entry(config(key)).or_default().fills += 1;
            }
            _ => {}
        }
    }
}

impl Listener for Statistics {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        if let Some(device) = self.device(origin) {
            self.of_device(origin, device, observation);
        }
        self.of_smmu(origin, observation);
        self.of_structure(origin, observation);
    }
}
