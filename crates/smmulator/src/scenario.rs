//! What the commands that run scenarios have in common.

use std::path::PathBuf;

use clap::Args;
use smmu_lab::run::RunError;
use smmu_lab::{FaultSwitch, LoadOptions, Loaded, Scenario};
use smmu_machine::suggest;

use crate::exit::Error;

/// A scenario, and what is laid over it.
#[derive(Args, Debug)]
pub(crate) struct ScenarioArgs {
    /// The scenario file
    #[arg(value_name = "SCENARIO")]
    path: PathBuf,
    /// Replace a value, e.g. vm.A.vmid=shared or machine.smmu.smmu0.tlb.entries=64
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Switch a fault of the driver on, as well as those of the file; `faults` lists them
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
}

impl ScenarioArgs {
    /// Reads and checks everything.
    pub(crate) fn load(&self) -> Result<Loaded, Error> {
        let known: Vec<&str> = FaultSwitch::ALL.iter().map(|fault| fault.info().name).collect();
        for fault in &self.fault {
            if !known.contains(&fault.as_str()) {
                return Err(Error::Typed {
                    what: format!("no fault is named `{fault}`"),
                    help: suggest::remedy(fault, known),
                });
            }
        }
        let options = LoadOptions { set: &self.set, faults: Some(&known) };
        let mut loaded = Scenario::load(&self.path, &options)?;
        for run in &mut loaded.runs {
            let given = &mut run.scenario.faults;
            for fault in &self.fault {
                if !given.contains(fault) {
                    given.push(fault.clone());
                }
            }
        }
        Ok(loaded)
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        Self::Typed {
            what: error.to_string(),
            help: "the scenario cannot be run on this machine: change one of the two".to_owned(),
        }
    }
}
