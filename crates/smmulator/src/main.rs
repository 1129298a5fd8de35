//! `smmulator`: the command line.
//!
//! Data goes to stdout, talk to stderr. Exit status: 0 all expectations held, 1 one failed or the
//! checker found a bug, 2 bad input.
//!
//! ```text
//! smmulator run scenarios/shared-vmid.toml
//! smmulator check scenarios/vmid-reuse.toml --fault reuse-without-tlbi
//! smmulator decode event 0x10 0 0x1000 0
//! ```

mod cli;
mod commands;
mod exit;
mod output;
mod progress;
mod scenario;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    cli.color.apply();
    commands::run(cli.command).unwrap_or_else(|error| error.report()).into()
}
