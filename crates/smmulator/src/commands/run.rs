//! `smmulator run`: what comes out of a scenario.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use smmu_lab::report;
use smmu_lab::run::{Results, RunOptions, StatsText, TraceText, render, run};

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
    /// Print the figures as another tool would, in place of the table
    #[arg(long, value_name = "FORM", conflicts_with_all = ["json", "trace_text"])]
    stats: Option<Stats>,
    /// Print what happens as text of another tool, in place of the table
    #[arg(long, value_name = "FORM", conflicts_with = "json")]
    trace_text: Option<Trace>,
    /// Write a page with the figures as plots, which opens without a network
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Whose figures.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stats {
    /// Rows of perf stat -x, over PMCG events
    Perf,
    /// gem5's stats.txt
    Gem5,
}

/// Whose text.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Trace {
    /// Trace events of QEMU's SMMUv3
    Qemu,
    /// A trace for `smmulator tlb`
    Csv,
}

impl Run {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let loaded = self.scenario.load()?;
        let trace = self.trace_text.map(|form| match form {
            Trace::Qemu => TraceText::Qemu,
            Trace::Csv => TraceText::Csv,
        });
        if trace == Some(TraceText::Csv) && loaded.runs.len() > 1 {
            return Err(Error::Typed {
                what: "the scenario has variants, and a trace is that of one run".to_owned(),
                help: "take a scenario without variants, or `--trace-text qemu`".to_owned(),
            });
        }
        let options = RunOptions { interleave: self.interleave, jobs: self.jobs.get(), trace };
        let results = run(&loaded, &options)?;
        self.print(&results)?;
        if let Some(path) = &self.report {
            output::file(path, &report::page(&results))?;
        }
        Ok(Exit::of(results.passed()))
    }

    fn print(&self, results: &Results) -> Result<(), Error> {
        if self.trace_text.is_some() {
            for run in &results.runs {
                if let Some(variant) = &run.variant {
                    output::text(&format!("# {variant}\n"))?;
                }
                output::text(&run.trace)?;
            }
            return Ok(());
        }
        if let Some(stats) = self.stats {
            let form = match stats {
                Stats::Perf => StatsText::Perf,
                Stats::Gem5 => StatsText::Gem5,
            };
            return Ok(output::text(&form.render(results))?);
        }
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
