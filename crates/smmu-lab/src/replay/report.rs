//! What came of all cases of a file.

use super::case::Case;
use super::compare::{Difference, Verdict};
use serde::Serialize;
use std::fmt;

/// Tags of the cases that do not count among those with the 4K granule only and without generated
/// configurations.
const BEYOND_CORE: [&str; 8] =
    ["g16k", "g64k", "s1g16k", "s1g64k", "s2g16k", "s2g64k", "range", "fuzz"];

/// What came of the cases of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// All cases.
    pub all: Counts,
    /// Those with the 4K granule only, without range invalidation and generated configurations.
    pub core: Counts,
    /// Those that disagree, in the order of the file.
    pub disagreements: Vec<Disagreement>,
    /// Those that cannot be compared, in the order of the file.
    pub skipped: Vec<Skipped>,
}

/// Cases by verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// All.
    pub cases: usize,
    /// Those that agree.
    pub agree: usize,
    /// Those that disagree.
    pub disagree: usize,
    /// Those that cannot be compared.
    pub skipped: usize,
}

/// A case that disagrees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Disagreement {
    /// Name of the case.
    pub name: String,
    /// Where.
    pub differences: Vec<Difference>,
}

/// A case that cannot be compared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Skipped {
    /// Name of the case.
    pub name: String,
    /// Why.
    pub note: String,
}

impl Report {
    /// Enters the next case.
    pub fn add(&mut self, case: &Case, verdict: Verdict) {
        let core = !case.tags.iter().any(|tag| BEYOND_CORE.contains(&tag.as_str()));
        self.all.add(&verdict);
        if core {
            self.core.add(&verdict);
        }
        let name = case.name.clone();
        match verdict {
            Verdict::Agrees => {}
            Verdict::Skipped(note) => self.skipped.push(Skipped { name, note }),
            Verdict::Disagrees(differences) => {
                self.disagreements.push(Disagreement { name, differences });
            }
        }
    }

    /// Whether every case that can be compared agrees.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.disagreements.is_empty()
    }

    /// The report as JSON, with a line break at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a report has only names as keys");
        json + "\n"
    }
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        self.cases += 1;
        *match verdict {
            Verdict::Agrees => &mut self.agree,
            Verdict::Disagrees(_) => &mut self.disagree,
            Verdict::Skipped(_) => &mut self.skipped,
        } += 1;
    }

    /// Those that can be compared.
    #[must_use]
    pub const fn comparable(&self) -> usize {
        self.agree + self.disagree
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (agree, comparable) = (self.agree, self.comparable());
        write!(f, "{agree} of {comparable} comparable cases agree, {} skipped", self.skipped)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Disagreement { name, differences } in &self.disagreements {
            writeln!(f, "{name}")?;
            for difference in differences {
                writeln!(f, "  {difference}")?;
            }
        }
        writeln!(f, "all:                      {}", self.all)?;
        writeln!(f, "4K, no range, no fuzz:    {}", self.core)
    }
}
