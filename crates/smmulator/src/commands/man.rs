//! `smmulator man`: manual pages, written from the command line's own definition.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use smmu_machine::suggest;

use crate::cli::Cli;
use crate::exit::{Error, Exit};
use crate::output;

/// Print a manual page: `smmulator man | man -l -`.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// The command to describe [default: all of smmulator]
    command: Option<String>,
    /// Write all pages into this folder instead
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let mut root = Cli::command();
        root.build();
        if let Some(folder) = self.out {
            std::fs::create_dir_all(&folder)?;
            clap_mangen::generate_to(root, folder)?;
            return Ok(Exit::Held);
        }
        let page = match &self.command {
            None => root,
            Some(name) => subcommand(&root, name)?,
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        output::text(&String::from_utf8_lossy(&text))?;
        Ok(Exit::Held)
    }
}

fn subcommand(root: &clap::Command, name: &str) -> Result<clap::Command, Error> {
    let names = root.get_subcommands().map(clap::Command::get_name);
    let found = root.find_subcommand(name).cloned();
    found.ok_or_else(|| Error::Typed {
        what: format!("no command is named `{name}`"),
        help: suggest::remedy(name, names),
    })
}
