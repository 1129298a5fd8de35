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
        // A page for each `help COMMAND` would say what that command's own page says.
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        if let Some(folder) = self.out {
            let written = std::fs::create_dir_all(&folder)
                .and_then(|()| clap_mangen::generate_to(root, &folder));
            return written.map(|()| Exit::Held).map_err(|error| Error::Typed {
                what: format!("{} cannot be written: {error}", folder.display()),
                help: "name a folder that may be written".to_owned(),
            });
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
