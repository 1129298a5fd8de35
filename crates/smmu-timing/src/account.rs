//! Where the time of transactions went.

use crate::Moment;
use hdrhistogram::Histogram;
use serde::Serialize;

/// What time is spent on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Waiting for others: for a slot, a port, a walk of the same page.
    Queue,
    /// On the way between device, port and shared part.
    Link,
    /// Looking configuration up, and fetching it.
    Configuration,
    /// Looking translations up.
    LookUp,
    /// Walking.
    Walk,
    /// The access itself.
    Memory,
    /// Held by a fault until software decided.
    Stall,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 7] = [
        Self::Queue,
        Self::Link,
        Self::Configuration,
        Self::LookUp,
        Self::Walk,
        Self::Memory,
        Self::Stall,
    ];

    /// Name, as reports show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Link => "link",
            Self::Configuration => "configuration",
            Self::LookUp => "look-up",
            Self::Walk => "walk",
            Self::Memory => "memory",
            Self::Stall => "stall",
        }
    }
}

/// Time by part.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Split([Moment; Part::ALL.len()]);

impl Split {
    pub(crate) fn add(&mut self, part: Part, time: Moment) {
        self.0[part as usize] += time;
    }

    /// Time of one part.
    #[must_use]
    pub const fn of(&self, part: Part) -> Moment {
        self.0[part as usize]
    }

    /// Time of all parts.
    #[must_use]
    pub fn total(&self) -> Moment {
        self.0.iter().fold(Moment(0), |sum, &part| sum + part)
    }

    /// Adds the time of another.
    pub fn join(&mut self, other: &Self) {
        Part::ALL.iter().for_each(|&part| self.add(part, other.of(part)));
    }
}

/// The transactions of a port that have ended.
#[derive(Clone, PartialEq, Debug)]
pub struct PortFigures {
    /// Transactions.
    pub transactions: u64,
    /// Bytes of their data accesses.
    pub bytes: u64,
    /// Where their time went.
    pub split: Split,
    /// Their latencies in ns, from the arrival to the end, to three digits.
    pub latency: Histogram<u64>,
    /// The first arrival.
    pub first: Moment,
    /// The last end.
    pub last: Moment,
}

impl Default for PortFigures {
    fn default() -> Self {
        let latency = Histogram::new(3).expect("three digits are possible");
        let (first, last) = (Moment(u64::MAX), Moment(0));
        Self { transactions: 0, bytes: 0, split: Split::default(), latency, first, last }
    }
}

/// Latencies at a glance, in ns.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Latencies {
    /// Mean.
    pub mean: f64,
    /// Half are shorter or equal.
    pub p50: u64,
    /// 95 of 100 are shorter or equal.
    pub p95: u64,
    /// 999 of 1000 are shorter or equal.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

impl PortFigures {
    pub(crate) fn ended(&mut self, begun: Moment, ended: Moment, split: &Split, bytes: u64) {
        self.transactions += 1;
        self.bytes += bytes;
        self.split.join(split);
        let ns = (ended - begun).ns();
        self.latency.record(ns).expect("the histogram grows as it must");
        self.first = self.first.min(begun);
        self.last = self.last.max(ended);
    }

    /// Adds the transactions of another port.
    pub fn join(&mut self, other: &Self) {
        self.transactions += other.transactions;
        self.bytes += other.bytes;
        self.split.join(&other.split);
        self.latency.add(&other.latency).expect("the histogram grows as it must");
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// From the first arrival to the last end.
    #[must_use]
    pub fn elapsed(&self) -> Moment {
        self.last - self.first
    }

    /// Gigabits a second that moved.
    #[must_use]
    pub fn gbit_per_s(&self) -> f64 {
        per(self.bytes as f64 * 8.0 * 1000.0, self.elapsed())
    }

    /// Transactions under way at once, on average (Little: rate times latency).
    #[must_use]
    pub fn in_flight(&self) -> f64 {
        per(self.split.total().0 as f64, self.elapsed())
    }

    /// Latencies at a glance.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        Latencies {
            mean: self.split.total().0 as f64 / 1000.0 / self.transactions.max(1) as f64,
            p50: at(0.5),
            p95: at(0.95),
            p99_9: at(0.999),
            max: self.latency.max(),
        }
    }
}

/// A sum over a time in picoseconds; 0 where no time passed.
pub(crate) fn per(sum: f64, time: Moment) -> f64 {
    if time == Moment(0) { 0.0 } else { sum / time.0 as f64 }
}
