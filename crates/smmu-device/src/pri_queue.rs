//! The PRI queue: page requests of endpoints, and the responses that the SMMU gives by itself.
//!
//! Architecture: sections "PRI queue", "PRI queue overflow" and "Automatic responses". Unlike the
//! Event queue, an overflow that is not acknowledged holds back every further record.

use crate::Notification;
use crate::registers::{GlobalError, RegisterFile};
use crate::translation::{Purpose, Translation};
use smmu_arch::registers::{IrqCtrl, PriqIrqCfg0, PriqIrqCfg1, PriqIrqCfg2};
use smmu_arch::{Observation, Pa, PageRequest, PortId, PriResp, PriResponse, Why};
use smmu_bus::{Actor, Answer, Data, InterruptLine, Message, Request, Step};
use std::collections::VecDeque;

/// Page requests that wait for their turn.
#[derive(Clone, Default, Debug)]
pub(crate) struct PriQueue {
    waiting: VecDeque<PageRequest>,
    busy: bool,
}

/// What is to be done about the first waiting request.
pub(crate) enum Next {
    /// Nothing waits, or a writer is under way.
    Idle,
    /// It is to be written.
    Write(PageRequestWriter),
    /// It is dropped, and answered at once if there is a response.
    Dropped(PageRequest, Option<Automatic>),
}

/// A response that the SMMU gives by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Automatic {
    /// Response Failure, without PASID: the queue cannot be used.
    Failure,
    /// Success: the queue is full, and the endpoint may ask again. Its PASID goes along by
    /// IDR3.PPS or STE.PPAR.
    Success,
}

impl PriQueue {
    /// A request arrives.
    pub(crate) fn request(&mut self, request: PageRequest) {
        self.waiting.push_back(request);
    }

    pub(crate) fn next(&mut self, registers: &mut RegisterFile) -> Next {
        let Some(&request) = self.waiting.front().filter(|_| !self.busy) else {
            return Next::Idle;
        };
        let (cr0, queue) = (registers.cr0(), registers.pri_queue());
        let answered = |automatic| (!request.is_stop_marker()).then_some(automatic);
        let usable = cr0.priqen() && cr0.smmuen();
        let response = if !usable || registers.is_active(GlobalError::PriQueueAbort) {
            answered(Automatic::Failure)
        } else if queue.is_full() || registers.pri_overflow_pending() {
            registers.note_pri_overflow();
            answered(Automatic::Success).filter(|_| request.last)
        } else {
            self.busy = true;
            let entry = queue.producer_entry();
            return Next::Write(PageRequestWriter { entry, request, asked: false });
        };
        self.waiting.pop_front();
        Next::Dropped(request, response)
    }

    /// A writer is done: PROD moves past the record, or the abort is reported and the request
    /// answered.
    pub(crate) fn complete(
        &mut self,
        registers: &mut RegisterFile,
        outcome: PageRequestOutcome,
    ) -> PageRequestCompletion {
        self.busy = false;
        let Some(request) = self.waiting.pop_front() else {
            return PageRequestCompletion::default();
        };
        if outcome == PageRequestOutcome::Aborted {
            return PageRequestCompletion {
                observation: Some(Observation::PageRequestLost(request)),
                notification: registers.activate(GlobalError::PriQueueAbort),
                failed: Some(request).filter(|request| !request.is_stop_marker()),
            };
        }
        let was_empty = registers.pri_queue().is_empty();
        registers.advance_pri_producer();
        let cfg: PriqIrqCfg2 = registers.get();
        let tells = if cfg.lo() { request.last } else { was_empty };
        PageRequestCompletion {
            observation: Some(Observation::PageRequested(request)),
            notification: tells.then(|| interrupt(registers)).flatten(),
            failed: None,
        }
    }

    /// A writer is under way.
    pub(crate) const fn is_writing(&self) -> bool {
        self.busy
    }
}

/// What follows from the end of a writer.
#[derive(Default)]
pub(crate) struct PageRequestCompletion {
    pub(crate) observation: Option<Observation>,
    pub(crate) notification: Option<Notification>,
    /// This request is answered with Response Failure.
    pub(crate) failed: Option<PageRequest>,
}

/// The interrupt of the queue, where it is enabled.
fn interrupt(registers: &RegisterFile) -> Option<Notification> {
    let irq: IrqCtrl = registers.get();
    if !irq.priq_irqen() {
        return None;
    }
    let (target, data): (PriqIrqCfg0, PriqIrqCfg1) = (registers.get(), registers.get());
    Some(Notification {
        msi: registers.message(target.address(), data.data()),
        line: Some(InterruptLine::PriQueue),
        send_event: false,
        abort: Some(GlobalError::MsiPriQueue),
    })
}

/// Writes one record to memory.
#[derive(Clone, Debug)]
pub struct PageRequestWriter {
    entry: Pa,
    request: PageRequest,
    asked: bool,
}

/// How the write of a record ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageRequestOutcome {
    /// The record is in memory.
    Written,
    /// The write met an external abort.
    Aborted,
}

impl Actor for PageRequestWriter {
    type Outcome = PageRequestOutcome;

    fn step(&mut self, answer: Answer) -> Step<PageRequestOutcome> {
        if !self.asked {
            self.asked = true;
            let data = Data::Pair(self.request.encode());
            return Step::Need(Request::Write { pa: self.entry, data, why: Why::PageRequest });
        }
        Step::Done(match answer {
            Answer::Aborted => PageRequestOutcome::Aborted,
            _ => PageRequestOutcome::Written,
        })
    }
}

/// Gives an automatic response; looks STE.PPAR up where that decides about the PASID.
#[derive(Clone, Debug)]
pub struct Responder {
    response: PriResp,
    ste: Option<Translation>,
    sent: bool,
}

impl Responder {
    /// `ste` looks the stream's STE up, for a response whose PASID depends on it.
    pub(crate) fn new(
        request: &PageRequest,
        automatic: Automatic,
        always_pasid: bool,
        ste: impl FnOnce(&PageRequest) -> Translation,
    ) -> Self {
        let PageRequest { stream, substream, group, .. } = *request;
        let response = |substream, response| PriResp { stream, substream, group, response };
        match automatic {
            Automatic::Failure => Self {
                response: response(None, PriResponse::ResponseFailure),
                ste: None,
                sent: false,
            },
            Automatic::Success => Self {
                response: response(substream, PriResponse::Success),
                ste: (substream.is_some() && !always_pasid).then(|| ste(request)),
                sent: false,
            },
        }
    }

    fn send(&mut self) -> Step<()> {
        self.sent = true;
        let message = Message::PageResponse(self.response);
        Step::Need(Request::Send { port: PortId(0), message })
    }
}

impl Actor for Responder {
    type Outcome = ();

    fn step(&mut self, answer: Answer) -> Step<()> {
        if self.sent {
            return Step::Done(());
        }
        let Some(ste) = &mut self.ste else { return self.send() };
        match ste.step(answer) {
            Step::Need(request) => Step::Need(request),
            Step::Wait(condition) => Step::Wait(condition),
            Step::Done(_) => {
                match *ste.purpose() {
                    Purpose::PageResponse { ppar: Some(true) } => {}
                    Purpose::PageResponse { ppar: Some(false) } => self.response.substream = None,
                    _ => {
                        self.response.substream = None;
                        self.response.response = PriResponse::ResponseFailure;
                    }
                }
                self.send()
            }
        }
    }
}
