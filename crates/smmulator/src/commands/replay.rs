//! `smmulator replay`: cases with known answers, and logs of a real driver.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use smmu_lab::replay::{Options, command};

use crate::exit::{Error, Exit};

/// Run cases with known answers, or the log of a driver, and compare.
#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// The cases or the log, .jsonl or .jsonl.gz; - for stdin
    cases: PathBuf,
    /// Write this project's own answers, a line a case
    #[arg(long, value_name = "OUT")]
    answers: Option<PathBuf>,
    /// Cases run at once; the output does not depend on it
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let Self { cases, answers, jobs, json } = self;
        let options = Options { cases, answers, json, jobs };
        let status = command(&options, &mut anstream::stdout(), &mut anstream::stderr());
        Ok(match status {
            0 => Exit::Held,
            1 => Exit::Failed,
            _ => Exit::BadInput,
        })
    }
}
