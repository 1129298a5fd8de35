//! What a user may type.

use clap::{Parser, ValueEnum};

use crate::commands::Command;

/// An Arm SMMUv3 with a VMID-tagged TLB under a VFIO layer, in user space.
#[derive(Parser, Debug)]
#[command(name = "smmulator", version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 all expectations held; 1 an expectation failed or the \
    checker found a bug; 2 bad input.")]
pub(crate) struct Cli {
    /// When to use colour
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When colour is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Holds for all output from here on.
    pub(crate) fn apply(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}
