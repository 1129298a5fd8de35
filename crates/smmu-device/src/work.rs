//! The background actors of an SMMU.

use crate::atos::{AtosLookup, AtosOutcome};
use crate::command_queue::{CommandConsumer, CommandOutcome};
use crate::event_queue::{EventOutcome, EventWriter};
use crate::notification::{Notifier, NotifyOutcome};
use crate::pri_queue::{PageRequestOutcome, PageRequestWriter, Responder};
use smmu_bus::{Actor, Answer, Step};

/// A background actor of an SMMU. At most one of each kind is under way, and one command a queue.
#[derive(Clone, Debug)]
pub enum Work {
    /// The consumption of a command.
    Command(CommandConsumer),
    /// The write of an event record.
    Event(EventWriter),
    /// The write of a page request.
    PageRequest(PageRequestWriter),
    /// The automatic response to a page request.
    Respond(Box<Responder>),
    /// An address translation operation.
    Lookup(AtosLookup),
    /// An interrupt or wake-up event.
    Notify(Notifier),
}

/// How background work ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum WorkOutcome {
    /// A command was consumed or refused.
    Command(CommandOutcome),
    /// A record was written or not.
    Event(EventOutcome),
    /// A page request was written or not.
    PageRequest(PageRequestOutcome),
    /// A response was sent.
    Respond,
    /// An address translation operation came to its result.
    Lookup(AtosOutcome),
    /// A notification was sent.
    Notify(NotifyOutcome),
}

impl Actor for Work {
    type Outcome = WorkOutcome;

    fn step(&mut self, answer: Answer) -> Step<WorkOutcome> {
        match self {
            Self::Command(actor) => rewrap(actor.step(answer), WorkOutcome::Command),
            Self::Event(actor) => rewrap(actor.step(answer), WorkOutcome::Event),
            Self::PageRequest(actor) => rewrap(actor.step(answer), WorkOutcome::PageRequest),
            Self::Respond(actor) => rewrap(actor.step(answer), |()| WorkOutcome::Respond),
            Self::Lookup(actor) => rewrap(actor.step(answer), WorkOutcome::Lookup),
            Self::Notify(actor) => rewrap(actor.step(answer), WorkOutcome::Notify),
        }
    }
}

fn rewrap<A, B>(step: Step<A>, wrap: impl FnOnce(A) -> B) -> Step<B> {
    match step {
        Step::Need(request) => Step::Need(request),
        Step::Wait(condition) => Step::Wait(condition),
        Step::Done(outcome) => Step::Done(wrap(outcome)),
    }
}
