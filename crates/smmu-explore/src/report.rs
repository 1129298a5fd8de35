//! Exploring a test, and what is told of it.

use crate::exhaust::{Exhaustion, exhaust};
use crate::litmus::{AtomEnd, Litmus, Rule};
use crate::saved::Saved;
use crate::schedule::{follow, orders_log10, sample, shrink};
use crate::timeline::draw;
use crate::trial::{Failure, FailureKind, Setup};
use smmu_machine::{ActorName, MemoryOrder};
use std::fmt;

/// How a test is explored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// When memory sees the stores of CPUs; without it as the test says.
    pub memory: Option<MemoryOrder>,
    /// Schedules at most. If they are not all, as many are drawn from the seed behind them.
    pub bound: u64,
    /// Where drawn schedules begin.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory: None, bound: 200_000, seed: 0 }
    }
}

/// What came out of a test.
#[derive(Clone, Debug)]
pub struct Report {
    /// Schedules that were run to their end.
    pub runs: u64,
    /// Schedules that were given up, since others stand for them.
    pub redundant: u64,
    /// Schedules drawn at random, where not all could be run.
    pub drawn: u64,
    /// Steps of all of them.
    pub steps: u64,
    /// Every schedule was run, or another that stands for it.
    pub complete: bool,
    /// log10 of the schedules there are, estimated.
    pub orders_log10: f64,
    /// Outcomes that the test says must be possible and that no schedule had, in its words.
    pub never: Vec<String>,
    /// What is wrong, if anything.
    pub finding: Option<Finding>,
}

/// A schedule that fails.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What is wrong with it.
    pub failure: FailureKind,
    /// The same in the test's words.
    pub what: String,
    /// Steps of the schedule that was found.
    pub steps_found: usize,
    /// Who takes each step, after shrinking.
    pub schedule: Vec<ActorName>,
    /// Two columns: CPU and SMMU.
    pub timeline: String,
}

impl Report {
    /// Nothing failed, and whatever must be possible was, if all was tried.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.finding.is_none() && (!self.complete || self.never.is_empty())
    }
}

impl Finding {
    /// Changes from one actor to another.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.schedule.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    /// The schedule as a file that [`Saved::replay`] runs again.
    #[must_use]
    pub fn save(
        &self,
        file: &str,
        text: &str,
        variant: Option<usize>,
        memory: MemoryOrder,
    ) -> Saved {
        Saved::new(file, text, variant, memory, &self.schedule)
    }
}

/// Explores a test: every schedule up to a bound, then some at random. `progress` is told now and
/// then how many were run.
pub fn explore(litmus: &Litmus, options: &Options, progress: &mut dyn FnMut(u64)) -> Report {
    let setup = Setup::new(litmus, options.memory);
    let mut found = exhaust(&setup, options.bound, progress);
    let is_open = !found.complete && found.failed.is_none();
    let drawn = if is_open { sample(&setup, options.bound, options.seed, &mut found) } else { 0 };
    let never = never(litmus, &found);
    let finding = found.failed.take().and_then(|(events, outcome)| {
        let failure = outcome.failure?;
        let steps_found = events.len();
        let schedule = shrink(&setup, events, &failure);
        Some(finding(&setup, failure, schedule, steps_found))
    });
    let Exhaustion { runs, redundant, steps, complete, .. } = found;
    let orders_log10 = orders_log10(&setup);
    Report { runs, redundant, drawn, steps, complete, orders_log10, never, finding }
}

fn never(litmus: &Litmus, found: &Exhaustion) -> Vec<String> {
    let rules = litmus.rules.iter().zip(&found.met);
    let unmet = rules.filter(|(rule, met)| !rule.forbid && !**met);
    unmet.map(|(rule, _)| rule_text(litmus, rule)).collect()
}

pub(crate) fn finding(
    setup: &Setup,
    failure: Failure,
    schedule: Vec<ActorName>,
    steps_found: usize,
) -> Finding {
    // The shrunk schedule was run, so that it can be.
    let (turns, outcome) = match follow(setup, &schedule) {
        Ok((turns, outcome)) => (turns, outcome.failure),
        Err(_) => (Vec::new(), None),
    };
    let failure = outcome.map_or(failure.kind, |failure| failure.kind);
    let what = text(setup, &failure);
    let timeline = draw(setup, &turns);
    Finding { failure, what, steps_found, schedule, timeline }
}

fn text(setup: &Setup, failure: &FailureKind) -> String {
    match failure {
        FailureKind::Verdict(verdict) => verdict.to_string(),
        FailureKind::Forbidden(rule) => {
            format!("forbidden: {}", rule_text(&setup.litmus, &setup.litmus.rules[*rule]))
        }
        FailureKind::Command(error) => format!("a command stopped the queue: {error}"),
        FailureKind::Stuck(who) => format!("the machine stands still: {who}"),
    }
}

/// An outcome, as the language writes it.
fn rule_text(litmus: &Litmus, rule: &Rule) -> String {
    let atoms = rule.atoms.iter().map(|atom| {
        let block = &litmus.dmas[atom.access.0];
        let access = match block.accesses.len() {
            1 => block.name.clone(),
            _ => format!("{}.{}", block.name, atom.access.1),
        };
        match atom.end {
            AtomEnd::Faults => format!("{access} faults"),
            AtomEnd::Reaches(page) => format!("{access} -> {}", litmus.pages[page].name),
            AtomEnd::ReachesFree(page) => format!("{access} -> {} free", litmus.pages[page].name),
        }
    });
    atoms.collect::<Vec<_>>().join(" and ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cover = match (self.complete, &self.finding) {
            (true, _) => "that is all",
            (false, Some(_)) => "until it failed",
            (false, None) => "not all",
        };
        writeln!(
            f,
            "schedules  about 10^{:.0} before reduction; {} run ({cover}), {} given up as redundant",
            self.orders_log10, self.runs, self.redundant
        )?;
        if self.drawn != 0 {
            writeln!(f, "drawn      {} more at random", self.drawn)?;
        }
        for outcome in &self.never {
            let why = if self.complete { "never happens" } else { "did not happen" };
            writeln!(f, "outcome    {outcome} {why}")?;
        }
        let Some(finding) = &self.finding else { return Ok(()) };
        writeln!(f, "\n{}\n", finding.what)?;
        writeln!(
            f,
            "{} steps and {} changes between actors, of {} steps when it was found:\n",
            finding.schedule.len(),
            finding.changes(),
            finding.steps_found
        )?;
        f.write_str(&finding.timeline)
    }
}
