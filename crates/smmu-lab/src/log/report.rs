//! What came of a log.

use super::compare::Place;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Mismatches that are told one by one.
const TOLD: usize = 20;

/// What came of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct LogReport {
    /// Records of the log.
    pub records: u64,
    /// What was compared, by kind.
    pub compared: BTreeMap<Kind, Tally>,
    /// What was not compared, by reason.
    pub passed_over: BTreeMap<&'static str, u64>,
    /// The first mismatches, in the order in which they were found.
    pub mismatches: Vec<Mismatch>,
}

/// A kind of record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Register reads.
    Register,
    /// Commands as consumed.
    Command,
    /// MSIs of a CMD_SYNC.
    SyncMessage,
    /// MSIs of queues.
    Message,
    /// Event records.
    Event,
    /// Accesses of masters.
    Access,
}

/// Compared and equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// Compared.
    pub compared: u64,
    /// Equal.
    pub equal: u64,
}

/// Something that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Mismatch {
    /// `n` of the record; none for what the log does not have.
    pub n: Option<u64>,
    /// Line of the file.
    pub line: Option<usize>,
    /// Kind.
    pub kind: Kind,
    /// What the log has.
    pub expected: String,
    /// What this SMMU did.
    pub got: String,
}

impl LogReport {
    /// Enters a comparison; the texts are made for a mismatch only.
    pub(super) fn compare<T>(
        &mut self,
        place: Option<Place>,
        kind: Kind,
        sides: (&T, &T),
        equal: bool,
        tell: impl Fn(&T) -> String,
    ) {
        self.count(kind, equal);
        if !equal {
            self.mismatch(place, kind, tell(sides.0), tell(sides.1));
        }
    }

    pub(super) fn differs(
        &mut self,
        place: Option<Place>,
        kind: Kind,
        expected: String,
        got: String,
    ) {
        self.count(kind, false);
        self.mismatch(place, kind, expected, got);
    }

    fn count(&mut self, kind: Kind, equal: bool) {
        let tally = self.compared.entry(kind).or_default();
        tally.compared += 1;
        tally.equal += u64::from(equal);
    }

    fn mismatch(&mut self, place: Option<Place>, kind: Kind, expected: String, got: String) {
        if self.mismatches.len() < TOLD {
            let (n, line) = (place.map(|place| place.n), place.map(|place| place.line));
            self.mismatches.push(Mismatch { n, line, kind, expected, got });
        }
    }

    pub(super) fn pass_over(&mut self, reason: &'static str, count: u64) {
        if count != 0 {
            *self.passed_over.entry(reason).or_default() += count;
        }
    }

    /// Everything that is compared is equal.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.compared.values().all(|tally| tally.compared == tally.equal)
    }

    /// The report as JSON, with a line break at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a report has only names as keys");
        json + "\n"
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Register => "register reads",
            Self::Command => "commands",
            Self::SyncMessage => "CMD_SYNC messages",
            Self::Message => "queue messages",
            Self::Event => "event records",
            Self::Access => "accesses",
        })
    }
}

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Mismatch { n, line, kind, expected, got } in &self.mismatches {
            match (n, line) {
                (Some(n), Some(line)) => write!(f, "record {n} (line {line})")?,
                _ => write!(f, "end of the log")?,
            }
            writeln!(f, ", {kind}:\n  expected {expected}\n  got      {got}")?;
        }
        let unequal: u64 = self.compared.values().map(|tally| tally.compared - tally.equal).sum();
        let untold = unequal.saturating_sub(self.mismatches.len() as u64);
        if untold != 0 {
            writeln!(f, "... and {untold} more")?;
        }
        for (kind, Tally { compared, equal }) in &self.compared {
            writeln!(f, "{kind:<18} {equal} of {compared} agree")?;
        }
        for (reason, count) in &self.passed_over {
            writeln!(f, "not compared       {count}: {reason}")?;
        }
        writeln!(f, "records            {}", self.records)
    }
}
