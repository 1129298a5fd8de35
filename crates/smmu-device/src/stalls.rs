//! Transactions that are held until software decides about them.
//!
//! Architecture: sections "Stall model" and "Stall fault recording", commands CMD_RESUME and
//! CMD_STALL_TERM. A held transaction is no longer in flight: what it looked up is thrown away,
//! and when it is tried again it begins anew, so that no CMD_SYNC waits for it.
//!
//! No more than IDR5.STALL_MAX records are outstanding: each has a STAG, and who finds none waits
//! for one without a record.

use smmu_arch::{Event, Features, Resume, ResumeAction, StallTicket, StreamId, TermModel};
use std::collections::{BTreeMap, BTreeSet};

/// Transactions held at once. A further one is terminated instead, which keeps a caller that never
/// asks for its decisions from filling the host's memory (a choice).
const HELD_MAX: usize = 4096;

/// What software decided about a stalled transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// It is to be translated again, as if it were new.
    Retry,
    /// It aborts.
    Abort,
    /// Its reads return zero and its writes are dropped.
    ReadZeroWriteIgnored,
}

/// The transactions that one SMMU holds.
#[derive(Clone, Debug)]
pub(crate) struct Stalls {
    held: BTreeMap<StallTicket, Held>,
    next: u64,
    free_stags: BTreeSet<u16>,
    /// IDR0.TERM_MODEL: nothing is terminated but by an abort.
    only_aborts: bool,
}

#[derive(Clone, Debug)]
struct Held {
    /// Its record, as it would be without a stall.
    event: Event,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No STAG is free.
    Waiting,
    /// The record waits for its turn, or is being written.
    Recording(u16),
    /// The record was written, or lost to an external abort.
    Recorded(u16),
    /// Software has decided; whoever asked for the transaction has not learned it yet.
    Released(Release),
}

impl State {
    const fn stag(self) -> Option<u16> {
        match self {
            Self::Recording(stag) | Self::Recorded(stag) => Some(stag),
            Self::Waiting | Self::Released(_) => None,
        }
    }
}

impl Stalls {
    pub(crate) fn new(features: &Features) -> Self {
        Self {
            held: BTreeMap::new(),
            next: 0,
            free_stags: (0..features.stall_max).collect(),
            only_aborts: features.term_model == TermModel::AbortOnly,
        }
    }

    /// Holds the transaction that `event` is about. `None` where no more can be held.
    pub(crate) fn hold(&mut self, event: Event) -> Option<StallTicket> {
        if self.held.len() >= HELD_MAX {
            let forgotten = self.held.iter().find(|(_, held)| held.is_released());
            let ticket = *forgotten?.0;
            self.held.remove(&ticket);
        }
        let ticket = StallTicket(self.next);
        self.next += 1;
        self.held.insert(ticket, Held { event, state: State::Waiting });
        Some(ticket)
    }

    /// The next record that is to go to the Event queue, while there are STAGs for them.
    pub(crate) fn next_record(&mut self) -> Option<Event> {
        let held = self.held.values_mut().find(|held| held.state == State::Waiting)?;
        let stag = self.free_stags.pop_first()?;
        held.state = State::Recording(stag);
        Some(held.event.stalled(stag))
    }

    /// The record with this STAG has left the queue's waiting room.
    pub(crate) fn recorded(&mut self, event: &Event) {
        let Some(stag) = stag_of(event) else { return };
        let recording = |held: &&mut Held| held.state == State::Recording(stag);
        if let Some(held) = self.held.values_mut().find(recording) {
            held.state = State::Recorded(stag);
        }
    }

    /// CMD_RESUME. Without an outstanding record of this StreamID and STAG it has no effect.
    pub(crate) fn resume(&mut self, resume: &Resume) {
        let release = match resume.action {
            ResumeAction::Retry => Release::Retry,
            ResumeAction::Discard if !self.only_aborts => Release::ReadZeroWriteIgnored,
            ResumeAction::Discard | ResumeAction::Abort => Release::Abort,
        };
        let (stream, state) = (resume.stream, State::Recorded(resume.stag));
        self.release(release, |held| held.event.stream == stream && held.state == state);
    }

    /// CMD_STALL_TERM: every stalled transaction of the stream aborts.
    pub(crate) fn terminate(&mut self, stream: StreamId) {
        self.release(Release::Abort, |held| held.event.stream == stream);
    }

    /// SMMUEN = 0: every stalled transaction aborts.
    pub(crate) fn terminate_all(&mut self) {
        self.release(Release::Abort, |_| true);
    }

    /// A CMD_SYNC completed. What stalled before it may have been caused by what was invalidated:
    /// unless its record is out, it is tried again, so that only a fresh outcome is recorded.
    pub(crate) fn synchronised(&mut self, being_written: Option<u16>) {
        self.release(Release::Retry, |held| match held.state {
            State::Waiting => true,
            State::Recording(stag) => Some(stag) != being_written,
            State::Recorded(_) | State::Released(_) => false,
        });
    }

    fn release(&mut self, release: Release, which: impl Fn(&Held) -> bool) {
        let held = self.held.values_mut().filter(|held| !held.is_released() && which(held));
        for held in held {
            self.free_stags.extend(held.state.stag());
            held.state = State::Released(release);
        }
    }

    /// A record waits for no one any more: its transaction was released before it was written.
    pub(crate) fn is_void(&self, event: &Event) -> bool {
        let recording = |stag| self.held.values().any(|held| held.state == State::Recording(stag));
        stag_of(event).is_some_and(|stag| !recording(stag))
    }

    /// Software has decided about the transaction.
    pub(crate) fn is_released(&self, ticket: StallTicket) -> bool {
        self.held.get(&ticket).is_none_or(Held::is_released)
    }

    /// Takes the decision. A ticket without a transaction aborts.
    pub(crate) fn take(&mut self, ticket: StallTicket) -> Option<Release> {
        let Some(held) = self.held.get(&ticket) else { return Some(Release::Abort) };
        let State::Released(release) = held.state else { return None };
        self.held.remove(&ticket);
        Some(release)
    }
}

impl Held {
    const fn is_released(&self) -> bool {
        matches!(self.state, State::Released(_))
    }
}

/// STAG of a record that tells of a stall.
pub(crate) fn stag_of(event: &Event) -> Option<u16> {
    event.kind.stage_event().filter(|event| event.stall).map(|event| event.stag)
}
