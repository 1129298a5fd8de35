//! `smmulator run`: what comes out of a scenario.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use smmu_lab::report;
use smmu_lab::run::{Results, RunOptions, render, run};

use crate::exit::{Error, Exit};
use crate::output;
use crate::scenario::ScenarioArgs;

/// Run a scenario and print what came out.
#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// Step all actors one request at a time, in random order from this seed
    #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
    interleave: Option<u64>,
    /// Host threads: as many variants run at once; the output does not depend on it
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// Write JSON into a file, or to stdout in place of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write a page with the figures as plots, which opens without a network
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Run {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let loaded = self.scenario.load()?;
        let options = RunOptions { interleave: self.interleave, jobs: self.jobs.get() };
        let results = run(&loaded, &options)?;
        self.print(&results)?;
        if let Some(path) = &self.report {
            output::file(path, &report::page(&results))?;
        }
        Ok(Exit::of(results.passed()))
    }

    fn print(&self, results: &Results) -> Result<(), Error> {
        let data = || serde_json::to_value(results).map_err(std::io::Error::other);
        match &self.json {
            Some(path) if path.as_os_str() == "-" => output::raw_json(&data()?)?,
            Some(path) => {
                output::text(&render(results))?;
                output::file(path, &format!("{:#}\n", data()?))?;
            }
            None => output::text(&render(results))?,
        }
        Ok(())
    }
}
