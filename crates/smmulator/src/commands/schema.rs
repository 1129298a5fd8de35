//! `smmulator schema`: the published JSON Schemas.

use clap::{Args, ValueEnum};
use smmu_lab::ScenarioFile;
use smmu_machine::MachineFile;

use crate::exit::{Error, Exit};
use crate::output;

/// Print the JSON Schema of a file format.
#[derive(Args, Debug)]
pub(crate) struct Schema {
    /// Which format
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The machine file
    Machine,
    /// The scenario file
    Scenario,
}

impl Schema {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let schema = match self.format {
            Format::Machine => MachineFile::schema(),
            Format::Scenario => ScenarioFile::schema(),
        };
        output::raw_json(&schema)?;
        Ok(Exit::Held)
    }
}
