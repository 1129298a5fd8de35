//! What is counted, and what an expectation counts.

use super::RunError;
use super::engine::Engine;
use super::results::{
    DeviceResult, EvictionResult, ResidentResult, RunResult, SmmuResult, StructureResult,
    VerdictResult, VmResult, WalkAccessResult, hit_rate, jain_index,
};
use super::statistics::{Counters, DeviceCounts, StructureCounts};
use super::watch::Watch;
use crate::scenario::{Expectation, Metric, Tag};
use smmu_arch::{EntryKind, SmmuId, Stage, Structure};
use smmu_check::{Blame, Verdict};
use smmu_device::Resident;
use smmu_kernel::{LogEntry, Notice};
use smmu_machine::Machine;
use std::collections::BTreeMap;

/// All counters at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    counters: Counters,
    resident: Vec<Vec<Resident>>,
    /// Verdicts so far.
    verdicts: Vec<Found>,
    /// What the driver counts, by SMMU.
    driver: Vec<DriverCounts>,
}

/// What the driver of one SMMU counts.
#[derive(Clone, Copy, Default, Debug)]
struct DriverCounts {
    vmids: u64,
    asids: u64,
    timeouts: u64,
}

/// A verdict of the checker, as it is counted.
#[derive(Clone, Copy, Debug)]
struct Found {
    device: Option<usize>,
    /// Something was used that was over.
    stale: bool,
    /// How often it was seen.
    times: u64,
}

/// The main TLBs at their fullest moments between two steps.
#[derive(Clone, Default, Debug)]
pub(super) struct Fullest {
    smmus: Vec<Vec<Resident>>,
}

impl Fullest {
    pub(super) fn look(&mut self, machine: &Machine<Watch>, smmus: usize) {
        self.smmus.resize(smmus, Vec::new());
        for (index, fullest) in self.smmus.iter_mut().enumerate() {
            let now = resident(machine, index);
            if entries(&now) > entries(fullest) {
                *fullest = now;
            }
        }
    }
}

fn resident(machine: &Machine<Watch>, smmu: usize) -> Vec<Resident> {
    machine.smmu(smmu).map_or_else(Vec::new, |smmu| smmu.resident())
}

fn entries(resident: &[Resident]) -> u64 {
    resident.iter().map(|one| u64::from(one.count)).sum()
}

impl Engine {
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, RunError> {
        let smmus = self.run.machine.smmus.len();
        let resident = (0..smmus).map(|smmu| resident(&self.machine, smmu)).collect();
        let counters = self.machine.listener().with(|watch| watch.statistics.counters().clone());
        let driver = self.driver_counts();
        Ok(Snapshot { counters, resident, verdicts: self.found(), driver })
    }

    fn driver_counts(&self) -> Vec<DriverCounts> {
        let log = self.kernel.log();
        let timeouts = |smmu| {
            let in_vain =
                |entry: &&LogEntry| entry.smmu == smmu && entry.notice == Notice::SyncTimeout;
            log.iter().filter(in_vain).count() as u64
        };
        let smmus = self.kernel.statistics().smmus;
        let counts = smmus.iter().map(|one| DriverCounts {
            vmids: u64::from(one.vmids_in_use),
            asids: u64::from(one.asids_in_use),
            timeouts: timeouts(one.smmu),
        });
        counts.collect()
    }

    fn found(&self) -> Vec<Found> {
        let verdicts = self.machine.listener().with(|watch| {
            let each = |v: &Verdict| (v.smmu, v.stream().0, v.is_stale_use(), v.count);
            watch.checker.verdicts().iter().map(each).collect::<Vec<_>>()
        });
        let found = verdicts.into_iter().map(|(smmu, stream, stale, times)| {
            let device = self.device_of_stream(smmu, stream);
            Found { device, stale, times }
        });
        found.collect()
    }

    fn device_of_stream(&self, smmu: SmmuId, stream: u32) -> Option<usize> {
        let devices = &self.run.machine.devices;
        devices.iter().position(|device| {
            device.smmu == usize::from(smmu.0) && device.streams.contains(&stream)
        })
    }

    /// What an expectation counts, from `since` on.
    pub(super) fn measure(
        &self,
        expectation: &Expectation,
        now: &Snapshot,
        since: Option<&Snapshot>,
    ) -> u64 {
        let value = |snapshot: &Snapshot| self.value(expectation, snapshot);
        match since {
            Some(since) if !expectation.metric.is_instant() => {
                value(now).saturating_sub(value(since))
            }
            _ => value(now),
        }
    }

    fn value(&self, expectation: &Expectation, snapshot: &Snapshot) -> u64 {
        let devices = |counter: fn(&DeviceCounts) -> u64| -> u64 {
            let chosen = self.devices_of(expectation).into_iter();
            chosen.map(|device| counter(&snapshot.counters.devices[device])).sum()
        };
        let smmus = |counter: fn(&super::statistics::SmmuCounts) -> u64| -> u64 {
            let chosen = self.smmus_of(expectation).into_iter();
            chosen.map(|smmu| counter(&snapshot.counters.smmus[smmu])).sum()
        };
        let driver = |counter: fn(&DriverCounts) -> u64| -> u64 {
            let chosen = self.smmus_of(expectation).into_iter();
            chosen.filter_map(|smmu| snapshot.driver.get(smmu)).map(counter).sum()
        };
        match expectation.metric {
            Metric::VmidsInUse => driver(|d| d.vmids),
            Metric::AsidsInUse => driver(|d| d.asids),
            Metric::Timeouts => driver(|d| d.timeouts),
            Metric::Dma => devices(|d| d.dma),
            Metric::Aborts => devices(|d| d.aborts),
            Metric::Hits => devices(|d| d.hits),
            Metric::Misses | Metric::Walks => devices(|d| d.misses),
            Metric::Fetches => devices(|d| d.fetches),
            Metric::ConfigFetches => devices(|d| d.config_fetches),
            Metric::CrossVmHits => devices(|d| d.cross_vm_hits),
            Metric::Events => devices(|d| d.events),
            Metric::Commands => smmus(|s| s.commands),
            Metric::Tlbi => smmus(|s| s.tlbi),
            Metric::Dropped => match &expectation.vm {
                Some(vm) => snapshot.counters.vms[self.vm(vm)].dropped,
                None => smmus(|s| s.dropped),
            },
            Metric::Resident => self.resident_of(expectation, snapshot),
            Metric::Stale | Metric::Verdicts => {
                let chosen = self.devices_of(expectation);
                let all = expectation.vm.is_none() && expectation.device.is_none();
                let counts = |found: &&Found| {
                    (all || found.device.is_some_and(|device| chosen.contains(&device)))
                        && (found.stale || expectation.metric == Metric::Verdicts)
                };
                snapshot.verdicts.iter().filter(counts).map(|found| found.times).sum()
            }
            Metric::Vmid => self.tag(expectation).map_or(0, |(vmid, _)| u64::from(vmid)),
            Metric::Asid => self.tag(expectation).and_then(|(_, asid)| asid).map_or(0, u64::from),
        }
    }

    fn tag(&self, expectation: &Expectation) -> Option<(u16, Option<u16>)> {
        self.tag_of(expectation.device.as_ref()?)
    }

    fn devices_of(&self, expectation: &Expectation) -> Vec<usize> {
        let machine = &self.run.machine;
        let smmu = expectation.smmu.as_ref().and_then(|name| machine.smmu(name));
        let vm = expectation.vm.as_ref().map(|name| self.vm(name));
        let device = expectation.device.as_ref().map(|name| self.device(name));
        (0..machine.devices.len())
            .filter(|&one| device.is_none_or(|device| device == one))
            .filter(|&one| smmu.is_none_or(|smmu| machine.devices[one].smmu == smmu))
            .filter(|&one| vm.is_none_or(|vm| self.guests[vm].plan.devices().any(|d| d == one)))
            .collect()
    }

    fn smmus_of(&self, expectation: &Expectation) -> Vec<usize> {
        let named = expectation.smmu.as_ref().and_then(|name| self.run.machine.smmu(name));
        named.map_or_else(|| (0..self.run.machine.smmus.len()).collect(), |smmu| vec![smmu])
    }

    /// Entries that the selectors name; of devices: those that one of them could hit.
    fn resident_of(&self, expectation: &Expectation, snapshot: &Snapshot) -> u64 {
        let number = |tag: &Tag, of: fn((u16, Option<u16>)) -> Option<u16>| match tag {
            Tag::Number(number) => Some(*number),
            Tag::Device(device) => self.tag_of(device).and_then(of).map(u32::from),
        };
        let vmid = expectation.vmid.as_ref().map(|tag| number(tag, |(vmid, _)| Some(vmid)));
        let asid = expectation.asid.as_ref().map(|tag| number(tag, |(_, asid)| asid));
        let by_device = expectation.device.is_some() || expectation.vm.is_some();
        let devices = self.devices_of(expectation);
        let mut sum = 0;
        for smmu in self.smmus_of(expectation) {
            for one in &snapshot.resident[smmu] {
                let space = &one.space;
                let tagged = vmid.is_none_or(|vmid| vmid == Some(u32::from(space.vmid.0)))
                    && asid.is_none_or(|asid| !one.global && asid == Some(u32::from(space.asid.0)));
                let reached = !by_device || devices.iter().any(|&d| self.reaches(d, smmu, one));
                if tagged && reached {
                    sum += u64::from(one.count);
                }
            }
        }
        sum
    }

    /// A look-up of the device could hit these entries.
    fn reaches(&self, device: usize, smmu: usize, resident: &Resident) -> bool {
        let Some(domain) = &self.tags[device] else { return false };
        let space = &resident.space;
        let vmid = domain.vmid.map_or(0, |vmid| vmid.0);
        let asid = domain.asid.map_or(0, |asid| asid.0);
        let stage1 = domain.asid.is_some();
        usize::from(domain.smmu.0) == smmu
            && space.vmid.0 == vmid
            && (space.kind == EntryKind::Stage1) == stage1
            && (resident.global || space.asid.0 == asid)
    }

    /// Holds the counters at the end against `[expect]`.
    pub(super) fn check_end(&mut self) {
        let Ok(now) = self.snapshot() else { return };
        for (metric, expected) in self.run.scenario.expect.clone() {
            let expectation = Expectation::total(metric, expected);
            let found = self.measure(&expectation, &now, None);
            if found != expected {
                let found = found.to_string();
                let expected = expectation.to_string();
                self.failures.push(super::results::Failure {
                    step: None,
                    action: None,
                    expected,
                    found,
                });
            }
        }
    }

    pub(super) fn results(mut self) -> RunResult {
        let found = self.found();
        let counters = self.machine.listener().with(|watch| watch.statistics.counters().clone());
        let judged = self.machine.listener().with(|watch| *watch.checker.counters());
        let vms = self.vm_results(&counters, &found);
        RunResult {
            variant: self.run.variant.clone(),
            personality: self.kernel.options().personality.to_string(),
            faults: self.run.scenario.faults.clone(),
            jain_index: fairness(&vms),
            vms,
            smmus: self.smmu_results(&counters),
            evictions: self.eviction_results(&counters),
            verdicts: self.verdict_results(),
            verdicts_expected: self.run.scenario.expect.contains_key(&Metric::Verdicts),
            checked: judged.translations + judged.refusals,
            stale_allowed: judged.stale_legal,
            dropped_needlessly: judged.dropped_needlessly,
            time_ns: self.machine.time_ns(),
            trace: self.machine.listener().with(Watch::take_trace),
            failures: std::mem::take(&mut self.failures),
        }
    }

    fn vm_results(&self, counters: &Counters, found: &[Found]) -> Vec<VmResult> {
        let device = |index: usize, container: usize| {
            let name = self.run.machine.devices[index].name.clone();
            let tag = self.tag_of(&name);
            DeviceResult {
                container,
                vmid: tag.map(|(vmid, _)| vmid),
                asid: tag.and_then(|(_, asid)| asid),
                counts: counters.devices[index],
                stale: found
                    .iter()
                    .filter(|one| one.stale && one.device == Some(index))
                    .map(|one| one.times)
                    .sum(),
                name,
            }
        };
        let vm = |(index, guest): (usize, &super::guest::Guest<Watch>)| VmResult {
            name: guest.plan.name.clone(),
            counts: counters.vms[index],
            devices: (0..)
                .zip(&guest.plan.containers)
                .flat_map(|(number, devices)| devices.iter().map(move |&d| (d, number)))
                .map(|(index, container)| device(index, container))
                .collect(),
        };
        self.guests.iter().enumerate().map(vm).collect()
    }

    fn eviction_results(&self, counters: &Counters) -> Vec<EvictionResult> {
        let name = |vm: usize| self.guests[vm].plan.name.clone();
        let evictions = counters.evictions.iter();
        evictions
            .map(|(&(of, by), &entries)| EvictionResult { of: name(of), by: name(by), entries })
            .collect()
    }

    fn smmu_results(&self, counters: &Counters) -> Vec<SmmuResult> {
        let smmus = (0..).zip(&self.run.machine.smmus).enumerate();
        let none = Vec::new();
        let of = |id: u8| {
            let id = SmmuId(id);
            self.machine.listener().with(|watch| {
                let seen = &watch.occupancy;
                (seen.timeline(id), seen.working_sets(id), seen.blast(id))
            })
        };
        smmus
            .map(|(index, (id, smmu))| (index, smmu, of(id)))
            .map(|(index, smmu, (timeline, working_sets, blast))| SmmuResult {
                name: smmu.name.clone(),
                preset: smmu.preset.to_owned(),
                counts: counters.smmus[index],
                structures: structure_results(&counters.structures[index]),
                pmcg: smmu.pmcg_registers(index),
                resident: resident_results(self.fullest.smmus.get(index).unwrap_or(&none)),
                walk_accesses: walk_results(counters, index),
                timeline,
                working_sets,
                blast,
            })
            .collect()
    }

    fn verdict_results(&self) -> Vec<VerdictResult> {
        let result = |verdict: &Verdict| {
            let device = self.device_of_stream(verdict.smmu, verdict.stream().0);
            let mut vms = self.guests.iter();
            let vm =
                device.and_then(|d| vms.find(|guest| guest.plan.devices().any(|one| one == d)));
            VerdictResult {
                blame: match verdict.blame {
                    Blame::Driver => "driver",
                    Blame::Hardware => "hardware",
                }
                .to_owned(),
                device: device.map(|device| self.run.machine.devices[device].name.clone()),
                vm: vm.map(|guest| guest.plan.name.clone()),
                cause: verdict.cause.to_string(),
                text: verdict.to_string(),
                missing: verdict.missing_text(),
                count: verdict.count,
            }
        };
        self.machine.listener().with(|w| w.checker.verdicts().iter().map(result).collect())
    }
}

/// Jain's index over the hit rates of the VMs that made look-ups.
fn fairness(vms: &[VmResult]) -> Option<f64> {
    let rate = |vm: &VmResult| {
        let sum = |counter: fn(&DeviceCounts) -> u64| {
            vm.devices.iter().map(|device| counter(&device.counts)).sum::<u64>()
        };
        let (hits, misses) = (sum(|counts| counts.hits), sum(|counts| counts.misses));
        (hits + misses > 0).then(|| hit_rate(hits, misses))
    };
    jain_index(&vms.iter().filter_map(rate).collect::<Vec<_>>())
}

fn structure_results(counts: &BTreeMap<Structure, StructureCounts>) -> Vec<StructureResult> {
    let result = |(&structure, &counts): (&Structure, &StructureCounts)| StructureResult {
        name: structure.to_string(),
        structure,
        counts,
    };
    counts.iter().map(result).collect()
}

fn walk_results(counters: &Counters, smmu: usize) -> Vec<WalkAccessResult> {
    let misses = counters.smmus[smmu].tlb_misses;
    let result = |(&(stage, level), &accesses): (&(Stage, i8), &u64)| WalkAccessResult {
        stage: if stage == Stage::Stage1 { 1 } else { 2 },
        level,
        accesses,
        per_miss: (misses > 0).then(|| accesses as f64 / misses as f64),
    };
    counters.walk_accesses[smmu].iter().map(result).collect()
}

fn resident_results(resident: &[Resident]) -> Vec<ResidentResult> {
    let mut rows: Vec<ResidentResult> = resident
        .iter()
        .filter(|one| one.count > 0)
        .map(|one| ResidentResult {
            vmid: one.space.vmid.0,
            asid: (one.space.kind != EntryKind::Stage2 && !one.global).then_some(one.space.asid.0),
            kind: match one.space.kind {
                EntryKind::Stage1 => "stage1",
                EntryKind::Stage2 => "stage2",
                EntryKind::Combined => "combined",
            }
            .to_owned(),
            entries: one.count,
        })
        .collect();
    rows.sort_by(|a, b| (a.vmid, a.asid, &a.kind).cmp(&(b.vmid, b.asid, &b.kind)));
    rows
}
