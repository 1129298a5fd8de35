//! `smmulator explain`: one DMA, every fetch, every structure.

use clap::Args;
use smmu_lab::run::{Question, RunOptions, explain};
use smmu_lab::{Loaded, Run};
use smmu_machine::suggest;

use crate::exit::{Error, Exit};
use crate::output;
use crate::scenario::ScenarioArgs;

/// Draw one DMA as a tree: every fetch, every structure, the first time and once more.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// The device
    #[arg(long)]
    device: String,
    /// The address that it puts on the bus, decimal or 0x…
    #[arg(long, value_parser = address, allow_negative_numbers = true)]
    iova: u64,
    /// Write instead of read
    #[arg(long)]
    write: bool,
    /// The variant of the scenario [default: the first]
    #[arg(long)]
    variant: Option<String>,
    /// Steps of the scenario that are done before
    #[arg(long, value_name = "STEPS", default_value_t = 0, allow_negative_numbers = true)]
    after: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let loaded = self.scenario.load()?;
        let run = self.chosen(&loaded)?;
        let names = run.machine.devices.iter().map(|device| device.name.as_str());
        if run.machine.device(&self.device).is_none() {
            return Err(Error::Typed {
                what: format!("the machine has no device `{}`", self.device),
                help: suggest::remedy(&self.device, names),
            });
        }
        let steps = run.scenario.steps.len();
        if self.after > steps {
            return Err(Error::Typed {
                what: format!("--after {}: the scenario has {steps} steps", self.after),
                help: format!("choose 0 to {steps}"),
            });
        }
        let question =
            Question { device: self.device, iova: self.iova, write: self.write, after: self.after };
        let explanation = explain(run, &question, &RunOptions::default())?;
        if self.json {
            output::json(serde_json::to_value(&explanation).map_err(std::io::Error::other)?)?;
        } else {
            output::text(&explanation.render())?;
        }
        Ok(Exit::Held)
    }

    fn chosen<'a>(&self, loaded: &'a Loaded) -> Result<&'a Run, Error> {
        let Some(wanted) = &self.variant else { return Ok(&loaded.runs[0]) };
        let found = loaded.runs.iter().find(|run| run.variant.as_ref() == Some(wanted));
        let names = loaded.runs.iter().filter_map(|run| run.variant.as_deref());
        found.ok_or_else(|| Error::Typed {
            what: format!("the scenario has no variant `{wanted}`"),
            help: suggest::remedy(wanted, names),
        })
    }
}

/// A number as people write addresses: decimal, or hexadecimal with 0x; underscores are allowed.
fn address(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    number
        .map_err(|_| "an address is decimal, or 0x and hexadecimal, of at most 64 bits".to_owned())
}
