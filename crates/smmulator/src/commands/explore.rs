//! `smmulator explore`: every order of the steps of a litmus test.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use smmu_explore::{Finding, Litmus, MemoryOrder, Options, Report, Saved, explore};

use crate::exit::{Error, Exit};
use crate::output;
use crate::progress::Spinner;

/// Run a litmus test in every order of its steps that can make a difference.
///
/// The checker and the outcomes of the test judge each. What fails is made short and drawn: CPU on
/// the left, SMMU on the right. Statements marked `drop` make broken variants of the test.
#[derive(Args, Debug)]
pub(crate) struct Explore {
    /// The litmus test
    #[arg(value_name = "FILE", required_unless_present = "replay")]
    file: Option<PathBuf>,
    /// When memory sees the stores of CPUs [default: as the test says]
    #[arg(long, value_name = "ORDER")]
    memory: Option<Memory>,
    /// Schedules at most; if they are not all, as many more are drawn at random
    #[arg(long, value_name = "N", default_value_t = Options::default().bound)]
    bound: u64,
    /// Where drawn schedules begin
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Leave out the Nth statement marked `drop`, from 0
    #[arg(long, value_name = "N", conflicts_with = "pairs")]
    broken: Option<usize>,
    /// Run the test, which must hold, and every broken variant, which must not
    #[arg(long, conflicts_with = "save")]
    pairs: bool,
    /// Write the schedule that fails to a file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Run a schedule again that was saved
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "memory", "broken", "pairs", "save"])]
    replay: Option<PathBuf>,
}

/// Memory orders by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Memory {
    /// At once: sequential consistency
    Sc,
    /// Later, first in, first out
    Tso,
    /// Later, in order for each word alone
    Arm,
}

impl From<Memory> for MemoryOrder {
    fn from(memory: Memory) -> Self {
        match memory {
            Memory::Sc => Self::Sc,
            Memory::Tso => Self::Tso,
            Memory::Arm => Self::Arm,
        }
    }
}

impl Explore {
    pub(crate) fn run(self) -> Result<Exit, Error> {
        let file = match (&self.replay, &self.file) {
            (Some(saved), _) => return replay(saved),
            (None, Some(file)) => file,
            // clap has refused this.
            (None, None) => return Ok(Exit::BadInput),
        };
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| Error::Typed {
            what: format!("{name} cannot be read: {error}"),
            help: "give the path of a litmus test, saved as UTF-8".to_owned(),
        })?;
        let litmus = Litmus::parse(&name, &text)?;
        if self.pairs {
            return self.run_pairs(&litmus, &text);
        }
        let variant = match self.broken {
            None => litmus.clone(),
            Some(index) => litmus.broken(index).ok_or_else(|| no_variant(&litmus, index))?,
        };
        let report = self.explore(&variant);
        output::text(&format!("{}\n{report}", heading(&litmus, &text, self.broken)))?;
        if let (Some(path), Some(finding)) = (&self.save, &report.finding) {
            let memory = self.memory.map_or(variant.memory, MemoryOrder::from);
            let saved = finding.save(&name, &text, self.broken, memory);
            output::file(path, &saved.to_text())?;
        }
        Ok(Exit::of(report.passed()))
    }

    fn explore(&self, litmus: &Litmus) -> Report {
        let memory = self.memory.map(MemoryOrder::from);
        let options = Options { memory, bound: self.bound, seed: self.seed };
        let spinner = Spinner::start("schedules");
        let report = explore(litmus, &options, &mut |runs| spinner.at(runs));
        spinner.stop();
        report
    }

    /// A line for the test, and one for each of its broken variants.
    fn run_pairs(&self, litmus: &Litmus, text: &str) -> Result<Exit, Error> {
        let report = self.explore(litmus);
        let mut good = report.passed();
        let mut lines = format!("{}\n{report}", heading(litmus, text, None));
        for index in 0..litmus.drops().len() {
            let Some(variant) = litmus.broken(index) else { continue };
            let report = self.explore(&variant);
            let found = report.finding.as_ref().map(first_line);
            good &= found.is_some();
            let found = found.unwrap_or_else(|| "NOT FOUND".to_owned());
            let dropped = dropped(litmus, text, index);
            lines += &format!("without    {dropped}: {found} ({} schedules)\n", report.runs);
        }
        output::text(&lines)?;
        Ok(Exit::of(good))
    }
}

fn heading(litmus: &Litmus, text: &str, broken: Option<usize>) -> String {
    match broken {
        None => format!("{}\n", litmus.title),
        Some(index) => format!("{}\nwithout    {}\n", litmus.title, dropped(litmus, text, index)),
    }
}

fn dropped<'t>(litmus: &Litmus, text: &'t str, index: usize) -> &'t str {
    litmus.drops().get(index).map_or("", |statement| &text[statement.span.clone()])
}

fn first_line(finding: &Finding) -> String {
    finding.what.lines().next().unwrap_or_default().to_owned()
}

fn no_variant(litmus: &Litmus, index: usize) -> Error {
    let help = match litmus.drops().len() {
        0 => "mark a statement of the test with `drop`".to_owned(),
        count => format!("give a number below {count}"),
    };
    Error::Typed { what: format!("the test has no statement {index} marked `drop`"), help }
}

fn replay(path: &std::path::Path) -> Result<Exit, Error> {
    let found = Saved::open(path)?.replay()?;
    match &found {
        Some(finding) => output::text(&format!("{}\n\n{}", finding.what, finding.timeline))?,
        None => output::text("the schedule does not fail")?,
    }
    Ok(Exit::of(found.is_none()))
}
