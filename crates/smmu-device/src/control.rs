//! What only the register and queue side of an SMMU touches, under one lock: which background work
//! comes next, and what follows from its end.

use crate::atc::AtcInvalidations;
use crate::atos::{AtosLookup, Group, Lookups};
use crate::command_queue::{CommandConsumer, CommandContext, CommandOutcome, CommandQueues};
use crate::event_queue::{self, EventQueue};
use crate::globals::Globals;
use crate::hierarchy::Hierarchy;
use crate::notification::{Notification, Notifier};
use crate::pri_queue::{self, Automatic, PriQueue, Responder};
use crate::registers::{Busy, GlobalError, RegisterFile};
use crate::stalls::{Stalls, stag_of};
use crate::translation::Translation;
use crate::work::{Work, WorkOutcome};
use smmu_arch::registers::CmdqvParam;
use smmu_arch::{
    Command, CommandError, CommandQueueId, Epoch, Event, Observation, PageRequest, StallTicket,
};
use std::collections::VecDeque;

/// What only the register and queue side touches.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) registers: RegisterFile,
    pub(crate) globals: Globals,
    pub(crate) events: EventQueue,
    pub(crate) stalls: Stalls,
    pub(crate) page_requests: PriQueue,
    /// Page requests that the SMMU answers by itself.
    pub(crate) responses: VecDeque<(PageRequest, Automatic)>,
    pub(crate) responding: bool,
    pub(crate) atc: AtcInvalidations,
    /// GATOS and VATOS.
    pub(crate) lookups: [Lookups; 2],
    pub(crate) notifications: VecDeque<Notification>,
    pub(crate) notifying: Option<Notification>,
    pub(crate) commands: CommandQueues,
    /// Transactions that began before this epoch hold back the acknowledge of SMMUEN = 0.
    pub(crate) disabled_at: Option<Epoch>,
}

impl Control {
    /// After reset.
    pub(crate) fn new(
        registers: RegisterFile,
        cmdqv: Option<CmdqvParam>,
        hierarchy: Hierarchy,
    ) -> Self {
        let globals = Globals::of(&registers, hierarchy);
        Self {
            commands: CommandQueues::new(registers.features(), cmdqv),
            stalls: Stalls::new(registers.features()),
            registers,
            globals,
            events: EventQueue::default(),
            page_requests: PriQueue::default(),
            responses: VecDeque::new(),
            responding: false,
            atc: AtcInvalidations::default(),
            lookups: Default::default(),
            notifications: VecDeque::new(),
            notifying: None,
            disabled_at: None,
        }
    }

    pub(crate) fn next_work(
        &mut self,
        lost: &mut Vec<Observation>,
        context: impl FnOnce(&Globals) -> CommandContext,
        look_up: impl FnOnce(&Globals, &PageRequest) -> Translation,
        now: Epoch,
    ) -> Option<Work> {
        if self.notifying.is_none()
            && let Some(notification) = self.notifications.pop_front()
        {
            self.notifying = Some(notification);
            return Some(Work::Notify(Notifier::new(notification)));
        }
        loop {
            match self.events.next(&mut self.registers) {
                event_queue::Next::Write(writer) => return Some(Work::Event(writer)),
                event_queue::Next::Lost(event) => lost.push(Observation::EventLost(event)),
                event_queue::Next::Idle => break,
            }
        }
        if let Some(work) = self.next_page_work(lost, look_up) {
            return Some(work);
        }
        if let Some(lookup) = self.next_lookup(now) {
            return Some(Work::Lookup(lookup));
        }
        if self.sync_is_signalled() {
            return None;
        }
        let head = self.commands.next(&self.registers)?;
        Some(Work::Command(CommandConsumer::new(head, context(&self.globals))))
    }

    fn next_page_work(
        &mut self,
        lost: &mut Vec<Observation>,
        look_up: impl FnOnce(&Globals, &PageRequest) -> Translation,
    ) -> Option<Work> {
        loop {
            match self.page_requests.next(&mut self.registers) {
                pri_queue::Next::Write(writer) => return Some(Work::PageRequest(writer)),
                pri_queue::Next::Dropped(request, automatic) => {
                    lost.push(Observation::PageRequestLost(request));
                    self.responses.extend(automatic.map(|automatic| (request, automatic)));
                }
                pri_queue::Next::Idle => break,
            }
        }
        if self.responding {
            return None;
        }
        let (request, automatic) = self.responses.pop_front()?;
        self.responding = true;
        let look_up = |request: &PageRequest| look_up(&self.globals, request);
        let pps = self.globals.features.pps;
        Some(Work::Respond(Box::new(Responder::new(&request, automatic, pps, look_up))))
    }

    fn next_lookup(&mut self, now: Epoch) -> Option<AtosLookup> {
        let group = Group::ALL.into_iter().find(|&group| self.lookups[group as usize].start())?;
        Some(AtosLookup::new(group, &self.registers, &self.globals, now))
    }

    /// SMMUEN was cleared.
    pub(crate) fn disabled(&mut self) {
        self.stalls.terminate_all();
        self.record_stalls();
        for group in Group::ALL {
            if self.lookups[group as usize].drop_all() {
                self.registers.give_up_lookup(group);
            }
        }
    }

    /// What a CMD_SYNC waits for besides transactions: records of terminated ones, and endpoints.
    pub(crate) fn is_drained(&self) -> bool {
        self.events.is_idle() && self.atc.is_idle()
    }

    /// A transaction stalls. While SMMUEN is 0 none can (section "Stall model"): one that began
    /// before is terminated.
    pub(crate) fn hold(&mut self, event: Event) -> Option<StallTicket> {
        let ticket = self.globals.enabled.then(|| self.stalls.hold(event))??;
        self.record_stalls();
        Some(ticket)
    }

    /// A CMD_SYNC fails if an endpoint did not answer (CERROR_ATC_INV_SYNC).
    fn confirmed(&mut self, outcome: &CommandOutcome) -> CommandOutcome {
        let is_sync = matches!(outcome.result, Ok(Command::Sync(_)));
        if is_sync && self.atc.take_timeout() {
            return CommandOutcome { result: Err(CommandError::AtcInvSync), ..*outcome };
        }
        *outcome
    }

    /// Records of stalls follow who was released and which STAGs are free.
    fn record_stalls(&mut self) {
        let Self { events, stalls, .. } = self;
        events.discard(|event| stalls.is_void(event));
        while let Some(event) = stalls.next_record() {
            events.record(event);
        }
    }

    /// What commands do to stalled transactions, at their consumption.
    fn decide_stalls(&mut self, command: &Command) {
        match command {
            Command::Resume(resume) => self.stalls.resume(resume),
            Command::StallTerm(term) => self.stalls.terminate(term.stream),
            Command::Sync(_) => {
                self.stalls.synchronised(self.events.being_written().and_then(stag_of));
            }
            _ => return,
        }
        self.record_stalls();
    }

    /// The signal of a CMD_SYNC is on its way: a later command waits for it.
    fn sync_is_signalled(&self) -> bool {
        self.is_on_its_way(GlobalError::MsiCommandQueue)
    }

    /// A notification is waiting or under way whose MSI would raise this error if it aborted.
    fn is_on_its_way(&self, abort: GlobalError) -> bool {
        let mut all = self.notifications.iter().chain(&self.notifying);
        all.any(|notification| notification.abort == Some(abort))
    }

    pub(crate) fn busy(&self) -> Busy {
        Busy {
            transactions: self.disabled_at.is_some(),
            command: self.commands.is_under_way(CommandQueueId::Main),
            record: self.events.is_writing(),
            page_request: self.page_requests.is_writing(),
            pri_interrupt: self.is_on_its_way(GlobalError::MsiPriQueue),
            gerror_interrupt: self.is_on_its_way(GlobalError::MsiGerror),
            event_interrupt: self.is_on_its_way(GlobalError::MsiEventQueue),
        }
    }

    pub(crate) fn complete(&mut self, outcome: &WorkOutcome) -> Option<Observation> {
        let (notification, observation) = match outcome {
            WorkOutcome::Command(outcome) => {
                let outcome = &self.confirmed(outcome);
                if let Ok(command) = &outcome.result {
                    self.decide_stalls(command);
                }
                let observation = match outcome.result {
                    Ok(Command::Sync(_)) => Observation::Synchronised(outcome.queue),
                    Ok(command) => Observation::CommandConsumed(command),
                    Err(error) => Observation::CommandFailed(error),
                };
                (self.commands.complete(&mut self.registers, outcome), Some(observation))
            }
            WorkOutcome::Event(outcome) => {
                if let Some(event) = self.events.being_written() {
                    self.stalls.recorded(event);
                }
                let (observation, notification) =
                    self.events.complete(&mut self.registers, *outcome);
                (notification, observation)
            }
            WorkOutcome::PageRequest(outcome) => {
                let done = self.page_requests.complete(&mut self.registers, *outcome);
                let failed = done.failed.map(|request| (request, Automatic::Failure));
                self.responses.extend(failed);
                (done.notification, done.observation)
            }
            WorkOutcome::Respond => {
                self.responding = false;
                (None, None)
            }
            WorkOutcome::Lookup(outcome) => {
                if self.lookups[outcome.group as usize].complete() {
                    self.registers.finish_lookup(*outcome);
                }
                (None, None)
            }
            WorkOutcome::Notify(outcome) => {
                self.notifying = None;
                (outcome.error().and_then(|error| self.registers.activate(error)), None)
            }
        };
        self.notifications.extend(notification);
        observation
    }
}
