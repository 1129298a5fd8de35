//! The commands, a file each.

mod completions;
mod decode;
mod man;
mod presets;
mod schema;

use clap::Subcommand;

use crate::exit::{Error, Exit};

/// What is to be done.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Explain an event record, a command, an STE or a CD, field by field
    Decode(decode::Decode),
    /// List the presets of SMMUs, or print one with the source of every value
    Presets(presets::Presets),
    /// Print the JSON Schema of a file format
    Schema(schema::Schema),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Print a manual page
    Man(man::Man),
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<Exit, Error> {
    match command {
        Command::Decode(command) => command.run(),
        Command::Presets(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}
