//! The Event queue: the only place where a record is made.
//!
//! Architecture: section "Event queue recovery" and "Event records". Records wait in order; one
//! writer at a time puts them into memory, then PROD moves, then the interrupt goes out. Where the
//! queue cannot be written, records are lost but for those of stalled transactions, which wait.

use crate::Notification;
use crate::registers::{GlobalError, RegisterFile};
use crate::translation::Refused;
use smmu_arch::registers::{EventqIrqCfg0, EventqIrqCfg1, IrqCtrl};
use smmu_arch::{Event, Observation, Pa, Transaction, Why};
use smmu_bus::{Actor, Answer, Data, InterruptLine, Request, Step};
use std::collections::VecDeque;

/// Records that wait for their turn.
#[derive(Clone, Default, Debug)]
pub(crate) struct EventQueue {
    waiting: VecDeque<Event>,
    busy: bool,
}

/// What is to be done about the first waiting record.
pub(crate) enum Next {
    /// Nothing waits, or a writer is under way.
    Idle,
    /// It is to be written.
    Write(EventWriter),
    /// It is lost: the queue is disabled, full or in error.
    Lost(Event),
}

impl EventQueue {
    /// A record enters; it is written, or lost, when its turn comes.
    pub(crate) fn record(&mut self, event: Event) {
        self.waiting.push_back(event);
    }

    /// Records that nobody wants any more leave, unless they are being written.
    pub(crate) fn discard(&mut self, unwanted: impl Fn(&Event) -> bool) {
        let mut written = self.busy;
        self.waiting.retain(|event| std::mem::take(&mut written) || !unwanted(event));
    }

    pub(crate) fn next(&mut self, registers: &mut RegisterFile) -> Next {
        let Some(&event) = self.waiting.front().filter(|_| !self.busy) else { return Next::Idle };
        let queue = registers.event_queue();
        let enabled = registers.cr0().eventqen();
        if enabled && !queue.is_full() && !registers.is_active(GlobalError::EventQueueAbort) {
            self.busy = true;
            return Next::Write(EventWriter { entry: queue.producer_entry(), event, asked: false });
        }
        let loses = self.waiting.iter().position(|event| !event.is_stall());
        let Some(lost) = loses.and_then(|index| self.waiting.remove(index)) else {
            return Next::Idle;
        };
        if enabled && queue.is_full() {
            registers.note_event_overflow();
        }
        Next::Lost(lost)
    }

    /// A writer is done: PROD moves past the record, or it is lost and the abort is reported.
    pub(crate) fn complete(
        &mut self,
        registers: &mut RegisterFile,
        outcome: EventOutcome,
    ) -> (Option<Observation>, Option<Notification>) {
        self.busy = false;
        let event = self.waiting.pop_front();
        match outcome {
            EventOutcome::Aborted => (
                event.map(Observation::EventLost),
                registers.activate(GlobalError::EventQueueAbort),
            ),
            EventOutcome::Written => {
                let was_empty = registers.event_queue().is_empty();
                registers.advance_event_producer();
                let interrupt = was_empty.then(|| interrupt(registers)).flatten();
                (event.map(Observation::EventRecorded), interrupt)
            }
        }
    }

    /// A writer is under way.
    pub(crate) const fn is_writing(&self) -> bool {
        self.busy
    }

    /// The record that is being written.
    pub(crate) fn being_written(&self) -> Option<&Event> {
        self.waiting.front().filter(|_| self.busy)
    }

    /// No record of a terminated transaction waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.iter().all(Event::is_stall)
    }
}

/// The interrupt on empty to non-empty, where it is enabled.
fn interrupt(registers: &RegisterFile) -> Option<Notification> {
    let irq: IrqCtrl = registers.get();
    if !irq.eventq_irqen() {
        return None;
    }
    let (target, data): (EventqIrqCfg0, EventqIrqCfg1) = (registers.get(), registers.get());
    Some(Notification {
        msi: registers.message(target.address(), data.data()),
        line: Some(InterruptLine::EventQueue),
        send_event: false,
        abort: Some(GlobalError::MsiEventQueue),
    })
}

/// The record that a refused transaction leaves, where it has one.
pub(crate) fn record_of(
    transaction: &Transaction,
    refused: &Refused,
    oas_bits: u8,
) -> Option<Event> {
    let fault = refused.fault.as_ref().filter(|_| refused.record)?;
    Some(Event::from_fault(fault, transaction, refused.access, oas_bits))
}

/// Writes one record to memory.
#[derive(Clone, Debug)]
pub struct EventWriter {
    entry: Pa,
    event: Event,
    asked: bool,
}

/// How the write of a record ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventOutcome {
    /// The record is in memory.
    Written,
    /// The write met an external abort.
    Aborted,
}

impl Actor for EventWriter {
    type Outcome = EventOutcome;

    fn step(&mut self, answer: Answer) -> Step<EventOutcome> {
        if !self.asked {
            self.asked = true;
            let data = Data::Record(self.event.encode());
            return Step::Need(Request::Write { pa: self.entry, data, why: Why::Event });
        }
        Step::Done(match answer {
            Answer::Aborted => EventOutcome::Aborted,
            _ => EventOutcome::Written,
        })
    }
}
