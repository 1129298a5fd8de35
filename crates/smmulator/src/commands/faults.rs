//! `smmulator faults`: the mistakes that a driver can be made to make.

use clap::Args;
use serde_json::json;
use smmu_lab::FaultSwitch;

use crate::exit::{Error, Exit};
use crate::output;

/// List the faults of the driver that can be switched on.
#[derive(Args, Debug)]
pub(crate) struct Faults {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Faults {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let faults = FaultSwitch::ALL.iter().map(|fault| fault.info());
        if self.json {
            let all: Vec<_> = faults
                .map(|one| json!({ "name": one.name, "breaks": one.breaks, "source": one.source, "scenario": one.scenario }))
                .collect();
            output::json(json!({ "faults": all }))?;
        } else {
            let mut table = output::table(&["fault", "what the driver does wrong", "scenario"]);
            for one in faults {
                table.add_row([one.name, one.breaks, one.scenario.unwrap_or("–")]);
            }
            output::text(&table.to_string())?;
        }
        Ok(Exit::Held)
    }
}
