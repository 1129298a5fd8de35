//! The figures of a run, as other tools print theirs.

use super::results::{Results, RunResult, SmmuResult};
use super::statistics::StructureCounts;
use std::fmt::Write;

/// A form of figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatsText {
    /// The rows of `perf stat -x,` over the counter groups, with the names of Linux's PMCG driver
    /// (drivers/perf/arm_smmuv3_pmu.c).
    Perf,
    /// gem5's stats.txt, with the names of its SMMUv3 model (src/dev/arm/smmu_v3_caches.cc and
    /// smmu_v3.cc, v24.0). What takes time there is left out.
    Gem5,
}

impl StatsText {
    /// The figures of every run, one block a run.
    #[must_use]
    pub fn render(self, results: &Results) -> String {
        let mut text = String::new();
        for run in &results.runs {
            match self {
                Self::Perf => perf(run, &mut text),
                Self::Gem5 => gem5(run, &mut text),
            }
        }
        text
    }
}

/// Value, unit, event, time enabled in ns, share of it in percent; no metric.
fn perf(run: &RunResult, text: &mut String) {
    if let Some(variant) = &run.variant {
        row(text, format_args!("# {variant}"));
    }
    for smmu in &run.smmus {
        let counts = &smmu.counts;
        let pmu = format!("smmuv3_pmcg_{:x}", smmu.pmcg >> 12);
        for (event, value) in [
            ("transaction", counts.transactions),
            ("tlb_miss", counts.tlb_misses),
            ("config_cache_miss", counts.config_misses),
            ("trans_table_walk_access", counts.fetches),
            ("config_struct_access", counts.config_fetches),
            ("pcie_ats_trans_rq", counts.ats_requests),
            ("pcie_ats_trans_passed", counts.ats_translated),
        ] {
            row(text, format_args!("{value},,{pmu}/{event}/,{},100.00,,", run.time_ns));
        }
    }
}

fn gem5(run: &RunResult, text: &mut String) {
    row(text, format_args!("\n---------- Begin Simulation Statistics ----------"));
    for smmu in &run.smmus {
        let system = format!("system.{}", smmu.name);
        let fetches = "Number of fetches (Count)";
        stat(text, &format!("{system}.configFetches"), smmu.counts.config_fetches, fetches);
        for structure in &smmu.structures {
            cache(text, &format!("{system}.{}", structure.gem5_name()), &structure.counts);
        }
    }
    row(text, format_args!("\n---------- End Simulation Statistics   ----------"));
}

fn cache(text: &mut String, name: &str, counts: &StructureCounts) {
    let StructureCounts { lookups, misses, fills, evicted } = *counts;
    stat(text, &format!("{name}.totalLookups"), lookups, "Total number of lookups (Count)");
    stat(text, &format!("{name}.totalMisses"), misses, "Total number of misses (Count)");
    stat(text, &format!("{name}.totalUpdates"), fills, "Total number of updates (Count)");
    let hits = lookups - misses;
    let rate = if lookups == 0 {
        "nan".to_owned()
    } else {
        format!("{:.6}", hits as f64 / lookups as f64)
    };
    row(
        text,
        format_args!(
            "{:<40} {rate:>20}  # Average hit rate (Ratio)",
            format!("{name}.averageHitRate")
        ),
    );
    let insertions = fills - evicted;
    let what = "Number of insertions (not replacements) (Count)";
    stat(text, &format!("{name}.insertions"), insertions, what);
}

fn stat(text: &mut String, name: &str, value: u64, what: &str) {
    row(text, format_args!("{name:<40} {value:>20}  # {what}"));
}

fn row(text: &mut String, row: std::fmt::Arguments<'_>) {
    // A string takes whatever is written into it.
    let _ = writeln!(text, "{row}");
}

impl SmmuResult {
    /// The structure of a name, if it was ever looked up.
    #[must_use]
    pub fn structure(&self, name: &str) -> Option<&StructureCounts> {
        let mut structures = self.structures.iter();
        structures.find(|one| one.name == name).map(|one| &one.counts)
    }
}
