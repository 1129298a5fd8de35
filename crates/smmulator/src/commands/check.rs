//! `smmulator check`: does the driver invalidate what it must?

use clap::Args;
use smmu_lab::run::{RunOptions, render, run};

use crate::exit::{Error, Exit};
use crate::output;
use crate::scenario::ScenarioArgs;

/// Run a scenario on the adversary: hardware that keeps all that the architecture allows.
///
/// Expectations of counts are left out, since they depend on the scenario's own machine.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// Step all actors one request at a time, in random order from this seed
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let mut loaded = self.scenario.load()?;
        for run in &mut loaded.runs {
            run.machine = run.machine.clone().on_adversary();
            run.scenario = run.scenario.clone().without_counts();
        }
        let results = run(&loaded, &RunOptions { interleave: self.seed, ..RunOptions::default() })?;
        if self.json {
            let data = serde_json::to_value(&results).map_err(std::io::Error::other)?;
            output::raw_json(&data)?;
        } else {
            output::text(&render(&results))?;
        }
        Ok(Exit::of(results.passed()))
    }
}
