//! What of a log is compared, and how.

use super::bench::{Consumed, DOORBELL};
use smmu_arch::{Event, EventKind, FaultClass, Stage, StageEvent};
use std::collections::VecDeque;

/// Expected and obtained things of one kind, paired in order.
#[derive(Debug)]
pub(super) struct Pairs<T> {
    expected: VecDeque<(Place, T)>,
    obtained: VecDeque<T>,
}

/// Where a log says something: the number of its record, and the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// `n` of the record.
    pub n: u64,
    /// Line of the file, from 1.
    pub line: usize,
}

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self { expected: VecDeque::new(), obtained: VecDeque::new() }
    }
}

impl<T> Pairs<T> {
    pub(super) fn expect(&mut self, place: Place, what: T) {
        self.expected.push_back((place, what));
    }

    pub(super) fn obtain(&mut self, all: impl Iterator<Item = T>) {
        self.obtained.extend(all);
    }

    /// The next pair, once both sides have it.
    pub(super) fn next(&mut self) -> Option<(Place, T, T)> {
        if self.obtained.is_empty() {
            return None;
        }
        let (place, expected) = self.expected.pop_front()?;
        self.obtained.pop_front().map(|obtained| (place, expected, obtained))
    }

    /// Something is expected that has not come.
    pub(super) fn lacks(&self) -> bool {
        self.expected.len() > self.obtained.len()
    }

    /// Passes over what is expected and has not come; how much that is.
    pub(super) fn pass_over(&mut self) -> usize {
        let left = self.expected.len();
        self.expected.clear();
        left
    }

    /// Takes away what was obtained and is not expected; how much that is.
    pub(super) fn more_obtained(&mut self) -> u64 {
        let more = self.obtained.len().saturating_sub(self.expected.len());
        self.obtained.truncate(self.expected.len());
        more as u64
    }

    /// What has no counterpart at the end.
    pub(super) fn leftovers(self) -> (VecDeque<(Place, T)>, VecDeque<T>) {
        (self.expected, self.obtained)
    }
}

/// The pairs of commands pass over those that were illegal here and that the log does not have.
impl Pairs<Consumed> {
    pub(super) fn next_command(&mut self) -> Option<(Place, Consumed, Consumed)> {
        let (_, expected) = self.expected.front()?;
        let of_log = |found: &Consumed| (found.pa, found.words) == (expected.pa, expected.words);
        while self.obtained.front().is_some_and(|found| found.failed && !of_log(found)) {
            self.obtained.pop_front();
        }
        self.next()
    }
}

/// An MSI of a CMD_SYNC goes to memory, one of a queue to the doorbell.
pub(super) fn is_doorbell(pa: u64) -> bool {
    pa & !0xfff == DOORBELL
}

/// What of an event record is compared: number, SSV, SubstreamID, StreamID; of the kinds that can
/// stall also Stall, RnW, S2, CLASS and InputAddr; of F_WALK_EABT the same without Stall.
///
/// IPA, STAG, and InputAddr of the C_* records are not: the model that made the logs had them
/// wrong, or was free. CLASS of a stage 2 fault at the fetch of a CD depends on what is cached.
pub(super) fn same_event(expected: &Event, got: &Event) -> bool {
    let who = |event: &Event| (event.id(), event.stream, event.substream);
    if who(expected) != who(got) {
        return false;
    }
    match (&expected.kind, &got.kind) {
        (EventKind::WalkExternalAbort(expected), EventKind::WalkExternalAbort(got)) => {
            let what = |event: &smmu_arch::WalkAbortEvent| {
                (event.access.direction, event.stage, event.class, event.input)
            };
            what(expected) == what(got)
        }
        (expected, got) => match (expected.stage_event(), got.stage_event()) {
            (Some(expected), Some(got)) => same_stage_event(expected, got),
            _ => true,
        },
    }
}

fn same_stage_event(expected: &StageEvent, got: &StageEvent) -> bool {
    let what = |event: &StageEvent| (event.stall, event.access.direction, event.stage, event.input);
    let by_cache = got.stage == Stage::Stage2 && got.class == FaultClass::Cd;
    what(expected) == what(got) && (by_cache || expected.class == got.class)
}
