//! A schedule in a file, to be run again.

use crate::litmus::Litmus;
use crate::report::{Finding, finding};
use crate::schedule::{Impossible, follow, read};
use crate::trial::{Failure, FailureKind, Setup};
use serde::{Deserialize, Serialize};
use smmu_machine::{ActorName, Diagnostic, Document, MemoryOrder};

const FORMAT: &str = "smmulator schedule 1";

/// A schedule, with the test that it is of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// What this file is.
    format: String,
    /// The file of the test, for people.
    file: String,
    /// The statement that is left out, by its number among those marked `drop`.
    variant: Option<usize>,
    /// When memory sees the stores of CPUs.
    memory: String,
    /// The test.
    text: String,
    /// Who takes each step.
    steps: Vec<String>,
}

/// The names of memory orders.
const ORDERS: [(&str, MemoryOrder); 3] =
    [("sc", MemoryOrder::Sc), ("tso", MemoryOrder::Tso), ("arm", MemoryOrder::Arm)];

impl Saved {
    pub(crate) fn new(
        file: &str,
        text: &str,
        variant: Option<usize>,
        memory: MemoryOrder,
        schedule: &[ActorName],
    ) -> Self {
        let name =
            ORDERS.iter().find(|(_, order)| *order == memory).map_or("arm", |(name, _)| name);
        Self {
            format: FORMAT.to_owned(),
            file: file.to_owned(),
            variant,
            memory: name.to_owned(),
            text: text.to_owned(),
            steps: schedule.iter().map(ToString::to_string).collect(),
        }
    }

    /// The file.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Strings, numbers and a list: nothing that TOML cannot say.
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// What is wrong with it, with line and remedy.
    pub fn open(path: &std::path::Path) -> Result<Self, Diagnostic> {
        let saved: Self = Document::open(path)?.read()?;
        let name = path.display().to_string();
        let refuse = |what: String, help: &str| Err(Diagnostic::unreadable(&name, what, help));
        if saved.format != FORMAT {
            return refuse(format!("the format is not `{FORMAT}`"), "save the schedule again");
        }
        if !ORDERS.iter().any(|(order, _)| *order == saved.memory) {
            let what = format!("no memory order is named `{}`", saved.memory);
            return refuse(what, "use one of: sc, tso, arm");
        }
        Ok(saved)
    }

    /// Runs the schedule again; nothing is found if it does not fail any more.
    ///
    /// # Errors
    /// A test that cannot be read, or a schedule that cannot be.
    pub fn replay(&self) -> Result<Option<Finding>, Diagnostic> {
        let litmus = Litmus::parse(&self.file, &self.text)?;
        let refuse = |what: String| {
            Diagnostic::unreadable(&self.file, what, "save the schedule again, of the same test")
        };
        let litmus = match self.variant {
            None => litmus,
            Some(index) => {
                let none = || refuse(format!("the test has no variant {index}"));
                litmus.broken(index).ok_or_else(none)?
            }
        };
        let order = ORDERS.iter().find(|(name, _)| *name == self.memory);
        let setup = Setup::new(&litmus, order.map(|(_, order)| *order));
        let impossible = |error: Impossible| refuse(error.to_string());
        let schedule = read(&setup, &self.steps).map_err(impossible)?;
        let (_, outcome) = follow(&setup, &schedule).map_err(impossible)?;
        let steps = schedule.len();
        Ok(outcome.failure.map(|failure: Failure| finding(&setup, failure, schedule, steps)))
    }
}

impl FailureKind {
    /// One word for what it is.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Verdict(_) => "verdict",
            Self::Forbidden(_) => "forbidden",
            Self::Command(_) => "command",
            Self::Stuck(_) => "stuck",
        }
    }
}
