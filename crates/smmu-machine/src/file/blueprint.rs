//! What a machine file comes to, with presets and defaults filled in.

use smmu_arch::IdRegisters;
use smmu_arch::registers::{CmdqvParam, VCMDQS_MAX, VINTF_STREAMS, VINTFS_MAX};

use super::hierarchy::{CacheBlueprint, HierarchyBlueprint, TlbBlueprint, cache_over, tlb_over};
use super::smmu::{Cmdqv, Smmu};
use super::{
    CMDQV_BASE, CMDQV_STRIDE, Device, MEMORY_BASE, MEMORY_BYTES, MachineFile, PMCG_BASE,
    PMCG_STRIDE, REGISTERS_BASE, REGISTERS_STRIDE, with_overrides,
};
use crate::names::{copies, numbered};
use crate::presets::{self, Preset};
use crate::{Path, Problem, suggest};

/// A machine, ready to be built: nothing in it is left to a default, everything is checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blueprint {
    /// Memory regions, in the order of the file.
    pub memory: Vec<MemoryRegion>,
    /// SMMUs, in the order of the file.
    pub smmus: Vec<SmmuBlueprint>,
    /// Devices, in the order of the file, copies written out.
    pub devices: Vec<DeviceBlueprint>,
}

/// A region of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryRegion {
    /// First physical address, aligned to 4 KiB.
    pub base: u64,
    /// Size in bytes, a multiple of 4 KiB, at least 4 KiB; `base + bytes` does not overflow.
    pub bytes: u64,
}

/// An SMMU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmmuBlueprint {
    /// Name, unique in the machine.
    pub name: String,
    /// Physical address of page 0 of its registers.
    pub registers: u64,
    /// The preset that it was made from.
    pub preset: &'static str,
    /// ID registers.
    pub ids: IdRegisters,
    /// Main TLB.
    pub tlb: TlbBlueprint,
    /// What is around it.
    pub hierarchy: HierarchyBlueprint,
    /// STE cache.
    pub ste_cache: CacheBlueprint,
    /// CD cache.
    pub cd_cache: CacheBlueprint,
    /// The CMDQV in front of it, if there is one.
    pub cmdqv: Option<CmdqvBlueprint>,
    /// Its counter group, if it has one.
    pub pmcg: Option<PmcgBlueprint>,
}

/// A Performance Monitor Counter Group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PmcgBlueprint {
    /// Physical address of its page.
    pub registers: u64,
    /// Counters, 1 to 64.
    pub counters: u8,
    /// Bits of a counter, 32 to 64.
    pub counter_bits: u8,
}

/// A Tegra241 CMDQV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CmdqvBlueprint {
    /// Physical address of its registers.
    pub registers: u64,
    /// Its PARAM register.
    pub param: CmdqvParam,
}

/// A device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceBlueprint {
    /// Name, unique in the machine.
    pub name: String,
    /// The SMMU it stands behind: index into [`Blueprint::smmus`].
    pub smmu: usize,
    /// StreamIDs, unique on the SMMU; at least one.
    pub streams: Vec<u32>,
    /// IOMMU group: devices with the same number are owned together.
    pub group: u32,
    /// Its address translation cache, if it has one.
    pub ats: Option<AtsBlueprint>,
    /// `[[device]]` of the file that it comes from, from 0.
    pub entry: usize,
}

/// The address translation cache of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtsBlueprint {
    /// Translations that it holds, 1 to 65536.
    pub entries: u32,
    /// It answers invalidation requests.
    pub answers: bool,
}

impl SmmuBlueprint {
    /// Physical address of its counter group, or where one would stand, as the `index`th SMMU.
    #[must_use]
    pub fn pmcg_registers(&self, index: usize) -> u64 {
        self.pmcg.map_or(PMCG_BASE + index as u64 * PMCG_STRIDE, |pmcg| pmcg.registers)
    }
}

impl Blueprint {
    /// The device of a name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<&DeviceBlueprint> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// The index of the SMMU of a name.
    #[must_use]
    pub fn smmu(&self, name: &str) -> Option<usize> {
        self.smmus.iter().position(|smmu| smmu.name == name)
    }

    /// The same machine with the structures of the preset `adversary`: nothing is forgotten but
    /// what an invalidation covers. ID registers stay.
    #[must_use]
    pub fn on_adversary(mut self) -> Self {
        for smmu in &mut self.smmus {
            smmu.preset = presets::ADVERSARY;
            smmu.tlb = TlbBlueprint::Unbounded;
            smmu.hierarchy = presets::adversary().hierarchy;
            smmu.ste_cache = CacheBlueprint::Unbounded;
            smmu.cd_cache = CacheBlueprint::Unbounded;
        }
        self
    }

    /// Bytes of memory of all regions.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory.iter().fold(0, |sum, region| sum.saturating_add(region.bytes))
    }
}

impl MachineFile {
    /// The blueprint as far as it can be told, and everything that is wrong with it.
    pub(crate) fn resolve(&self) -> (Blueprint, Vec<Problem>) {
        let mut problems = Vec::new();
        let smmus = self.resolve_smmus(&mut problems);
        let devices = self.resolve_devices(&smmus, &mut problems);
        let blueprint = Blueprint { memory: self.regions(), smmus, devices };
        self.check(&blueprint, &mut problems);
        (blueprint, problems)
    }

    fn regions(&self) -> Vec<MemoryRegion> {
        if self.memory.is_empty() {
            return vec![MemoryRegion { base: MEMORY_BASE, bytes: MEMORY_BYTES }];
        }
        self.memory.iter().map(|one| MemoryRegion { base: one.base, bytes: one.bytes.0 }).collect()
    }

    fn resolve_smmus(&self, problems: &mut Vec<Problem>) -> Vec<SmmuBlueprint> {
        let only = [Smmu { name: "smmu0".to_owned(), ..Smmu::default() }];
        let entries = if self.smmu.is_empty() { &only[..] } else { &self.smmu };
        let base = preset(self.preset.as_deref(), &Path::root().key("preset"), problems);
        entries
            .iter()
            .enumerate()
            .map(|(index, smmu)| {
                let path = Path::root().key("smmu").index(index);
                let preset = match &smmu.preset {
                    Some(name) => preset(Some(name), &path.key("preset"), problems),
                    None => base,
                };
                let registers =
                    smmu.registers.unwrap_or(REGISTERS_BASE + index as u64 * REGISTERS_STRIDE);
                SmmuBlueprint {
                    name: smmu.name.clone(),
                    registers,
                    preset: preset.name,
                    ids: with_overrides(preset.ids, &smmu.id, &path.key("id"), problems),
                    tlb: tlb_over(preset.tlb, &smmu.tlb),
                    hierarchy: preset.hierarchy.with(smmu),
                    ste_cache: cache_over(preset.ste_cache, smmu.ste_cache),
                    cd_cache: cache_over(preset.cd_cache, smmu.cd_cache),
                    cmdqv: smmu.cmdqv.map(|cmdqv| cmdqv_of(&cmdqv, index)),
                    pmcg: smmu.pmcg.map(|pmcg| PmcgBlueprint {
                        registers: pmcg.registers.unwrap_or(PMCG_BASE + index as u64 * PMCG_STRIDE),
                        counters: pmcg.counters.unwrap_or(8),
                        counter_bits: pmcg.counter_bits.unwrap_or(32),
                    }),
                }
            })
            .collect()
    }

    fn resolve_devices(
        &self,
        smmus: &[SmmuBlueprint],
        problems: &mut Vec<Problem>,
    ) -> Vec<DeviceBlueprint> {
        if self.device.is_empty() {
            return (0..4).map(default_device).collect();
        }
        let mut devices = Vec::new();
        for (entry, device) in self.device.iter().enumerate() {
            let path = Path::root().key("device").index(entry);
            let smmu = smmu_of(device, smmus, &path, problems);
            for copy in 0..copies(device.count) {
                let group = device.group.unwrap_or_else(|| self.free_group(devices.len()));
                let streams = streams_of_copy(device, copy);
                let name = numbered(&device.name, copy);
                let ats = device.ats.map(|ats| AtsBlueprint {
                    entries: ats.entries.unwrap_or(64),
                    answers: ats.answers.unwrap_or(true),
                });
                devices.push(DeviceBlueprint { name, smmu, streams, group, ats, entry });
            }
        }
        devices
    }

    /// A group number for the `index`th device that no device of the file names.
    fn free_group(&self, index: usize) -> u32 {
        let above = self.device.iter().filter_map(|device| device.group).max();
        above.map_or(0, |group| group.saturating_add(1)).saturating_add(index as u32)
    }
}

fn cmdqv_of(cmdqv: &Cmdqv, index: usize) -> CmdqvBlueprint {
    let log2 = |count: Option<u32>, most: u64| {
        count.map_or(most.ilog2(), |count| count.max(1).ilog2()).min(most.ilog2()) as u8
    };
    let param = CmdqvParam::new()
        .with_ver(1)
        .with_log2_queues(log2(cmdqv.queues, VCMDQS_MAX))
        .with_log2_interfaces(log2(cmdqv.interfaces, VINTFS_MAX))
        .with_log2_streams(log2(cmdqv.streams, VINTF_STREAMS as u64));
    let registers = cmdqv.registers.unwrap_or(CMDQV_BASE + index as u64 * CMDQV_STRIDE);
    CmdqvBlueprint { registers, param }
}

fn streams_of_copy(device: &Device, copy: u32) -> Vec<u32> {
    let by = copy.saturating_mul(device.streams.len() as u32);
    device.streams.iter().map(|stream| stream.saturating_add(by)).collect()
}

fn default_device(number: u32) -> DeviceBlueprint {
    DeviceBlueprint {
        name: format!("nic{number}"),
        smmu: 0,
        streams: vec![number + 1],
        group: number,
        ats: None,
        entry: 0,
    }
}

fn preset(name: Option<&str>, at: &Path, problems: &mut Vec<Problem>) -> &'static Preset {
    let name = name.unwrap_or(presets::DEFAULT);
    presets::find(name).unwrap_or_else(|| {
        let help = suggest::remedy(name, presets::all().iter().map(|preset| preset.name));
        problems.push(Problem::new(at.clone(), format!("no preset is named `{name}`"), help));
        presets::reference()
    })
}

fn smmu_of(
    device: &Device,
    smmus: &[SmmuBlueprint],
    path: &Path,
    problems: &mut Vec<Problem>,
) -> usize {
    let names = || smmus.iter().map(|smmu| smmu.name.as_str());
    match &device.smmu {
        None if smmus.len() > 1 => {
            let what = format!("device `{}` does not say which SMMU it stands behind", device.name);
            let names: Vec<_> = names().collect();
            let help = format!("add `smmu = \"…\"`: one of {}", names.join(", "));
            problems.push(Problem::new(path.clone(), what, help));
            0
        }
        None => 0,
        Some(name) => names().position(|one| one == name).unwrap_or_else(|| {
            let help = suggest::remedy(name, names());
            let what = format!("no SMMU is named `{name}`");
            problems.push(Problem::new(path.key("smmu"), what, help));
            0
        }),
    }
}
