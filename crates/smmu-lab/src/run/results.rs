//! What a run came to, as data: the source of the table, the JSON and the page.

use super::occupancy::{Blast, Sample, WorkingSet};
use super::statistics::{DeviceCounts, SmmuCounts, StructureCounts, VmCounts};
use serde::Serialize;
use smmu_arch::{Stage, Structure};

/// All runs of a scenario.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Results {
    /// Version of this shape; it grows when a field changes its meaning.
    pub schema_version: u32,
    /// Title of the scenario.
    pub title: String,
    /// What the scenario shows and why.
    pub description: String,
    /// Seed of the scenario.
    pub seed: u64,
    /// Seed of the interleaving; `None` for the functional order.
    pub interleave: Option<u64>,
    /// One for each variant, in the order of the file.
    pub runs: Vec<RunResult>,
}

/// One run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RunResult {
    /// Name of the variant, if the scenario has any.
    pub variant: Option<String>,
    /// Kernel personality.
    pub personality: String,
    /// Faults that were switched on.
    pub faults: Vec<String>,
    /// By VM.
    pub vms: Vec<VmResult>,
    /// By SMMU.
    pub smmus: Vec<SmmuResult>,
    /// Entries of main TLBs that a VM lost to another one's fills, or to its own.
    pub evictions: Vec<EvictionResult>,
    /// Jain's fairness index of the hit rates of the VMs that made look-ups: 1 where all are alike,
    /// 1/n where one of n has them all. `None` without two such VMs.
    pub jain_index: Option<f64>,
    /// What the checker found.
    pub verdicts: Vec<VerdictResult>,
    /// The scenario says how many verdicts there are to be: then they are no failure by
    /// themselves.
    pub verdicts_expected: bool,
    /// Translations that the checker compared with the tables.
    pub checked: u64,
    /// Stale uses that were legal: software had not been told that the translation is over.
    pub stale_allowed: u64,
    /// Entries dropped by invalidations that the tables still allowed.
    pub dropped_needlessly: u64,
    /// Expectations that did not hold.
    pub failures: Vec<Failure>,
    /// Virtual nanoseconds that passed: waits of the driver only, since nothing else takes time
    /// here.
    pub time_ns: u64,
    /// What was asked for as text of another tool; not part of the data.
    #[serde(skip)]
    pub trace: String,
}

/// One VM.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct VmResult {
    /// Name.
    pub name: String,
    /// Commands issued on its behalf.
    #[serde(flatten)]
    pub counts: VmCounts,
    /// Its devices.
    pub devices: Vec<DeviceResult>,
}

/// One device.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DeviceResult {
    /// Name.
    pub name: String,
    /// Number of its container in the VM, from 0.
    pub container: usize,
    /// VMID of its domain at the end of the traffic; `None` when it was detached.
    pub vmid: Option<u16>,
    /// ASID of its domain, for stage 1.
    pub asid: Option<u16>,
    /// Counters.
    #[serde(flatten)]
    pub counts: DeviceCounts,
    /// Stale uses that were bugs.
    pub stale: u64,
}

/// One SMMU.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SmmuResult {
    /// Name.
    pub name: String,
    /// The preset that it was made from: `adversary` under `smmulator check`.
    pub preset: String,
    /// Counters.
    #[serde(flatten)]
    pub counts: SmmuCounts,
    /// Its structures that were ever asked.
    pub structures: Vec<StructureResult>,
    /// Physical address of its counter group, or where one would stand.
    pub pmcg: u64,
    /// Entries of the main TLB at its fullest moment between two steps, by tags.
    pub resident: Vec<ResidentResult>,
    /// Accesses to translation tables, by stage and level.
    pub walk_accesses: Vec<WalkAccessResult>,
    /// Who held the entries of the main TLB over time, and who took them; at most 257 samples.
    pub timeline: Vec<Sample>,
    /// Pages that address spaces touch in a window.
    pub working_sets: Vec<WorkingSet>,
    /// What invalidations took away.
    pub blast: Blast,
}

/// Accesses to the descriptors of one level.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct WalkAccessResult {
    /// Stage, 1 or 2.
    pub stage: u8,
    /// Level, -1 to 3.
    pub level: i8,
    /// Accesses.
    pub accesses: u64,
    /// For each miss of the TLB; `None` where there was none.
    pub per_miss: Option<f64>,
}

/// Entries that one VM lost to the fills of one VM.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EvictionResult {
    /// Whose entries.
    pub of: String,
    /// Whose fills.
    pub by: String,
    /// How many.
    pub entries: u64,
}

/// One structure of an SMMU, those of all ports together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StructureResult {
    /// Name: `main TLB`, `µTLB`, `walk cache, stage 1 level 2`, …
    pub name: String,
    /// Which it is.
    #[serde(skip)]
    pub structure: Structure,
    /// Counters.
    #[serde(flatten)]
    pub counts: StructureCounts,
}

impl StructureResult {
    /// What gem5's model calls it.
    #[must_use]
    pub fn gem5_name(&self) -> String {
        match self.structure {
            Structure::MicroTlb => "uTLB".to_owned(),
            Structure::MainTlb => "tlb".to_owned(),
            Structure::IpaTlb => "ipa".to_owned(),
            Structure::WalkCache { stage, level } => {
                let stage = if stage == Stage::Stage1 { 1 } else { 2 };
                format!("walkCache.S{stage}L{level}")
            }
            Structure::SteCache => "cfg.ste".to_owned(),
            Structure::CdCache => "cfg.cd".to_owned(),
        }
    }
}

/// Entries of one address space in the main TLB.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ResidentResult {
    /// VMID.
    pub vmid: u16,
    /// ASID; `None` for global entries and where stage 1 is off.
    pub asid: Option<u16>,
    /// Stages that an entry combines: `stage1`, `stage2` or `combined`.
    pub kind: String,
    /// Entries.
    pub entries: u32,
}

/// A bug that the checker found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct VerdictResult {
    /// `driver` or `hardware`.
    pub blame: String,
    /// Device, where the stream belongs to one.
    pub device: Option<String>,
    /// VM that the device belongs to, if any.
    pub vm: Option<String>,
    /// What is wrong, in a line.
    pub cause: String,
    /// The whole story, several lines.
    pub text: String,
    /// Commands that would have prevented it; empty where none would have.
    pub missing: String,
    /// How often.
    pub count: u64,
}

/// An expectation that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Failure {
    /// Step of the scenario, from 1; `None` before the first and after the last.
    pub step: Option<usize>,
    /// What was done: the key of the step in the file, or `autostart` before the first. `None` for
    /// the counters at the end.
    pub action: Option<String>,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub found: String,
}

impl RunResult {
    /// Nothing failed, and the checker found nothing but what the scenario is to show.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && (self.verdicts_expected || self.verdicts.is_empty())
    }

    /// Verdicts that say the same of one device, in the order in which they came up.
    #[must_use]
    pub fn verdicts_alike(&self) -> Vec<Vec<&VerdictResult>> {
        let mut groups: Vec<Vec<&VerdictResult>> = Vec::new();
        for verdict in &self.verdicts {
            match groups.iter_mut().find(|group| group[0].title() == verdict.title()) {
                Some(group) => group.push(verdict),
                None => groups.push(vec![verdict]),
            }
        }
        groups
    }

    /// Sum of a counter over all devices.
    #[must_use]
    pub fn sum(&self, counter: impl Fn(&DeviceResult) -> u64) -> u64 {
        self.vms.iter().flat_map(|vm| &vm.devices).map(counter).sum()
    }
}

impl VerdictResult {
    /// Who has to be mended, which device did it, and what is wrong, in a line.
    #[must_use]
    pub fn title(&self) -> String {
        let device = self.device.as_ref().map_or(String::new(), |name| format!(", {name}"));
        let vm = self.vm.as_ref().map_or(String::new(), |name| format!(" of VM {name}"));
        format!("{} bug{device}{vm}: {}", self.blame, self.cause)
    }

    /// The story without its first line, which the title repeats.
    #[must_use]
    pub fn story(&self) -> &str {
        self.text.split_once('\n').map_or("", |(_, story)| story)
    }
}

impl Failure {
    /// Where it failed: `step 3 (dma)`, `at the start (autostart)` or `at the end`.
    #[must_use]
    pub fn place(&self) -> String {
        match (self.step, &self.action) {
            (Some(step), Some(action)) => format!("step {step} ({action})"),
            (Some(step), None) => format!("step {step}"),
            (None, Some(action)) => format!("at the start ({action})"),
            (None, None) => "at the end".to_owned(),
        }
    }
}

impl DeviceResult {
    /// Hits of all look-ups, 0 to 1; 0 without look-ups.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        hit_rate(self.counts.hits, self.counts.misses)
    }
}

/// Jain's fairness index of some shares: (Σx)² / (n Σx²). `None` for less than two, or where all
/// are 0 (Jain, Chiu, Hawe, DEC-TR-301, 1984).
#[must_use]
pub fn jain_index(shares: &[f64]) -> Option<f64> {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
    (shares.len() > 1 && squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

/// Hits of all look-ups, 0 to 1; 0 without look-ups.
#[must_use]
pub fn hit_rate(hits: u64, misses: u64) -> f64 {
    let lookups = hits + misses;
    if lookups == 0 { 0.0 } else { hits as f64 / lookups as f64 }
}

impl Results {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// All expectations held and the checker found nothing.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.runs.iter().all(RunResult::passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fairness_index_is_between_one_share_and_all_alike() {
        assert_eq!(jain_index(&[0.5, 0.5, 0.5]), Some(1.0));
        assert_eq!(jain_index(&[0.8, 0.0, 0.0, 0.0]), Some(0.25));
        assert_eq!((jain_index(&[0.7]), jain_index(&[0.0, 0.0])), (None, None));
    }
}
