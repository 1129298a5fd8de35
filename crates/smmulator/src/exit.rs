//! How a command ends.

use std::process::ExitCode;

use miette::GraphicalReportHandler;
use owo_colors::OwoColorize;
use smmu_lab::Diagnostic;

/// How a command ends, if it was understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// All went as expected: 0.
    Held,
    /// An expectation failed, or the checker found a bug: 1.
    Failed,
    /// Bad input: 2.
    BadInput,
}

impl Exit {
    /// How a run ends.
    pub(crate) const fn of(passed: bool) -> Self {
        if passed { Self::Held } else { Self::Failed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Held => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
        })
    }
}

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) enum Error {
    /// Something is wrong with a file or an override.
    File(Diagnostic),
    /// Something is wrong with what was typed.
    Typed {
        /// What is wrong.
        what: String,
        /// What would be right.
        help: String,
    },
    /// Output could not be written.
    Output(std::io::Error),
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::File(diagnostic)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl Error {
    /// Tells it on stderr. A reader who went away (`| head`) is no error.
    pub(crate) fn report(self) -> Exit {
        match self {
            Self::File(diagnostic) => {
                let mut text = String::new();
                let shown = GraphicalReportHandler::new().render_report(&mut text, &diagnostic);
                if shown.is_err() {
                    text = diagnostic.to_string();
                }
                anstream::eprintln!("{}", text.trim_end());
            }
            Self::Typed { what, help } => {
                anstream::eprintln!("{} {what}", "error:".red().bold());
                anstream::eprintln!("{} {help}", " help:".cyan());
            }
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Exit::Held;
            }
            Self::Output(error) => {
                anstream::eprintln!("{} cannot write: {error}", "error:".red().bold());
            }
        }
        Exit::BadInput
    }
}
