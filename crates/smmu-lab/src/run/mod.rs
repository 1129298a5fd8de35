//! Running scenarios.
//!
//! [`run`] takes what [`crate::scenario::Scenario::load`] gives and comes back with [`Results`].
//! Variants are different machines and may run on different host threads; a run depends on its
//! scenario, its seeds and the build, and on nothing else.

mod engine;
mod explain;
mod guest;
mod host;
mod host_steps;
mod meters;
mod objects;
mod occupancy;
mod results;
mod statistics;
mod stats_text;
mod table;
mod trace_text;
mod traffic;
mod watch;

pub use explain::{Explanation, Line, Question, explain};
pub use occupancy::{Blast, Held, Occupant, Sample, Tags, WINDOW, WorkingSet};
pub use results::{
    DeviceResult, EvictionResult, Failure, ResidentResult, Results, RunResult, SmmuResult,
    StructureResult, VerdictResult, VmResult, WalkAccessResult, hit_rate, jain_index,
};
pub use statistics::{Counters, DeviceCounts, SmmuCounts, Statistics, StructureCounts, VmCounts};
pub use stats_text::StatsText;
pub use table::render;
pub use trace_text::TraceText;

use crate::scenario::{Loaded, Run};
use smmu_kernel::{ProbeError, UnknownFault};
use smmu_machine::{BuildError, Order, Stuck};
use thiserror::Error;

/// A run that could not be made.
#[derive(Debug, Error)]
pub enum RunError {
    /// The machine cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The driver refuses an SMMU.
    #[error("the driver does not probe: {0}")]
    Probe(#[from] ProbeError),
    /// A fault has no such name.
    #[error(transparent)]
    Fault(#[from] UnknownFault),
    /// The host's memory does not suffice for a VM's RAM.
    #[error("no memory is left for the RAM of VM `{0}`: make `[[memory]]` larger")]
    OutOfMemory(String),
    /// Nobody can go on.
    #[error(transparent)]
    Stuck(#[from] Stuck),
}

/// How scenarios are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// Seed of the interleaving; `None` for the functional order.
    pub interleave: Option<u64>,
    /// Host threads: as many variants run at once.
    pub jobs: usize,
    /// Text of another tool that each run is to leave.
    pub trace: Option<TraceText>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { interleave: None, jobs: 1, trace: None }
    }
}

/// Runs every variant of a scenario.
///
/// # Errors
/// The first variant, in the order of the file, that could not be run.
pub fn run(loaded: &Loaded, options: &RunOptions) -> Result<Results, RunError> {
    let runs = in_parallel(&loaded.runs, options)?;
    let first = loaded.runs.first().map(|run| &run.scenario);
    Ok(Results {
        schema_version: Results::SCHEMA_VERSION,
        title: loaded.title.clone(),
        description: first.map_or(String::new(), |scenario| scenario.description.clone()),
        seed: first.map_or(0, |scenario| scenario.seed),
        interleave: options.interleave,
        runs,
    })
}

fn in_parallel(runs: &[Run], options: &RunOptions) -> Result<Vec<RunResult>, RunError> {
    let order = options.interleave.map_or(Order::Direct, Order::Seeded);
    let jobs = options.jobs.clamp(1, runs.len().max(1));
    let share = runs.len().div_ceil(jobs).max(1);
    let results: Vec<Result<RunResult, RunError>> = crossbeam::thread::scope(|scope| {
        let workers: Vec<_> = runs
            .chunks(share)
            .map(|chunk| {
                scope.spawn(move |_| {
                    chunk.iter().map(|run| one(run, order, options.trace)).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(resume)).collect()
    })
    .unwrap_or_else(resume);
    results.into_iter().collect()
}

fn one(run: &Run, order: Order, trace: Option<TraceText>) -> Result<RunResult, RunError> {
    let mut engine = engine::Engine::new(run.clone(), order)?;
    engine.write_trace(trace);
    engine.finish()
}

/// Our own mistake in a worker stays our own mistake.
fn resume<T>(panic: Box<dyn std::any::Any + Send>) -> T {
    std::panic::resume_unwind(panic)
}
