//! The commands, a file each.

mod check;
mod completions;
mod decode;
mod explain;
mod explore;
mod faults;
mod man;
mod presets;
mod replay;
mod run;
mod schema;
mod tlb;

use clap::Subcommand;

use crate::exit::{Error, Exit};

/// What is to be done.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a scenario and print what came out
    Run(run::Run),
    /// Draw one DMA as a tree: every fetch, every structure
    Explain(explain::Explain),
    /// Run a scenario on the adversary, under the checker
    Check(check::Check),
    /// Run a litmus test in every order of its steps
    Explore(explore::Explore),
    /// Run cases with known answers and compare
    Replay(replay::Replay),
    /// Run a trace through a TLB: no tables, only what hits and what misses
    Tlb(tlb::Tlb),
    /// Explain an event record, a command, an STE or a CD, field by field
    Decode(decode::Decode),
    /// List the presets of SMMUs, or print one with the source of every value
    Presets(presets::Presets),
    /// List the faults of the driver that can be switched on
    Faults(faults::Faults),
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
        Command::Run(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Explore(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Tlb(command) => command.run(),
        Command::Decode(command) => command.run(),
        Command::Presets(command) => command.run(),
        Command::Faults(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}
