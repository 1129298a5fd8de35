//! `smmulator presets`: what a machine may be made from.

use clap::Args;
use serde_json::json;
use smmu_machine::{presets, suggest};

use crate::exit::{Error, Exit};
use crate::output;

/// List the presets of SMMUs, or print one with the source of every value.
#[derive(Args, Debug)]
pub(crate) struct Presets {
    /// The preset to print, as the TOML that it is made of
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Presets {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        match &self.name {
            Some(name) => self.one(name)?,
            None => self.all()?,
        }
        Ok(Exit::Held)
    }

    fn one(&self, name: &str) -> Result<(), Error> {
        let Some(preset) = presets::find(name) else {
            let names = presets::all().iter().map(|preset| preset.name);
            return Err(Error::Typed {
                what: format!("no preset is named `{name}`"),
                help: suggest::remedy(name, names),
            });
        };
        if self.json {
            output::json(preset.to_json())?
        } else {
            output::text(preset.text)?
        }
        Ok(())
    }

    fn all(&self) -> Result<(), Error> {
        if self.json {
            let all: Vec<_> = presets::all().iter().map(|preset| preset.to_json()).collect();
            output::json(json!({ "presets": all }))?;
            return Ok(());
        }
        let mut table = output::table(&["preset", "what it is"]);
        for preset in presets::all() {
            table.add_row([preset.name, preset.title.as_str()]);
        }
        output::text(&table.to_string())?;
        Ok(())
    }
}
