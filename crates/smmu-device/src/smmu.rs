//! One SMMU: registers, structures, queues, and what runs in the background.

use crate::atc::{AtcInvalidations, AtcOutcome};
use crate::atos::{AtosLookup, AtosOutcome, Group, Lookups};
use crate::command_queue::{self, CommandConsumer, CommandContext, CommandOutcome};
use crate::event_queue::{self, EventOutcome, EventQueue, EventWriter};
use crate::globals::Globals;
use crate::in_flight::InFlight;
use crate::notification::{Notification, Notifier, NotifyOutcome};
use crate::pri_queue::{
    self, Automatic, PageRequestOutcome, PageRequestWriter, PriQueue, Responder,
};
use crate::registers::{Busy, GlobalError, RegisterFile};
use crate::stalls::{Release, Stalls, stag_of};
use crate::structures::{StructureSizes, Structures};
use crate::translation::{Purpose, Refused, Response, Translation};
use parking_lot::Mutex;
use smmu_arch::registers::{Cr0Ack, GatosCtrl, IrqCtrlAck, Register, VatosCtrl};
use smmu_arch::{
    Access, Command, CommandError, CommandFeatures, Direction, Epoch, Event, Features, IdRegisters,
    Observation, Origin, PageRequest, PortId, SmmuId, StallModel, StallTicket, TlbEntry,
    Transaction,
};
use smmu_bus::{Actor, Answer, Condition, Mmio, Observer, Request, Step};
use smmu_cache::{GeometryError, Resident};
use std::collections::VecDeque;

/// What an SMMU is built from.
#[derive(Clone, Debug)]
pub struct SmmuConfig {
    /// Number in its machine.
    pub id: SmmuId,
    /// ID registers, taken verbatim. A feature that they announce and that is not modelled (LPAE
    /// tables, ATS, PRI, ...) is not there: `smmu-machine` refuses such a set.
    pub id_registers: IdRegisters,
    /// Structures.
    pub structures: StructureSizes,
    /// Ports.
    pub ports: u16,
}

/// An SMMU. It is shared: look-ups from several threads do not lock.
#[derive(Debug)]
pub struct Smmu {
    id: SmmuId,
    features: Features,
    pub(crate) structures: Structures,
    pub(crate) in_flight: InFlight,
    control: Mutex<Control>,
    /// Held by whoever runs the background work; a CMD_SYNC that waits is kept in it.
    pub(crate) pump: Mutex<Option<(Work, Condition)>>,
}

/// What only the register and queue side touches.
#[derive(Debug)]
struct Control {
    registers: RegisterFile,
    globals: Globals,
    events: EventQueue,
    stalls: Stalls,
    page_requests: PriQueue,
    /// Page requests that the SMMU answers by itself.
    responses: VecDeque<(PageRequest, Automatic)>,
    responding: bool,
    atc: AtcInvalidations,
    /// GATOS and VATOS.
    lookups: [Lookups; 2],
    notifications: VecDeque<Notification>,
    notifying: Option<Notification>,
    command_under_way: bool,
    /// Transactions that began before this epoch hold back the acknowledge of SMMUEN = 0.
    disabled_at: Option<Epoch>,
}

/// A background actor of an SMMU. At most one of each kind is under way.
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

impl Smmu {
    /// An SMMU after reset.
    ///
    /// # Errors
    /// A geometry that no structure can have.
    pub fn new(config: &SmmuConfig) -> Result<Self, GeometryError> {
        let registers = RegisterFile::new(&config.id_registers);
        let globals = Globals::of(&registers);
        Ok(Self {
            id: config.id,
            features: *registers.features(),
            structures: Structures::new(&config.structures)?,
            in_flight: InFlight::new(config.ports),
            control: Mutex::new(Control {
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
                command_under_way: false,
                disabled_at: None,
            }),
            pump: Mutex::new(None),
        })
    }

    /// Number in its machine.
    #[must_use]
    pub fn id(&self) -> SmmuId {
        self.id
    }

    /// Features that its ID registers tell.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Ports.
    #[must_use]
    pub fn ports(&self) -> u16 {
        self.in_flight.ports()
    }

    /// Changes whenever anything changes that a port may have kept of the configuration.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.structures.generation()
    }

    pub(crate) fn globals(&self) -> Globals {
        self.control.lock().globals
    }

    /// Answers the requests that concern the structures; `None` for all others, which are the
    /// runner's.
    pub fn answer<O: Observer>(
        &self,
        origin: &Origin,
        request: &Request,
        observer: &mut O,
    ) -> Option<Answer> {
        self.structures.answer(origin, request, observer)
    }

    /// Whether a condition of this SMMU holds.
    ///
    /// A CMD_SYNC also waits for the records of transactions that were terminated before it.
    #[must_use]
    pub fn holds(&self, condition: Condition) -> bool {
        match condition {
            Condition::Drained(epoch) => {
                self.in_flight.drained(epoch) && self.control.lock().is_drained()
            }
            Condition::Released(ticket) => self.control.lock().stalls.is_released(ticket),
            Condition::Time(_) | Condition::Lock(_) => false,
        }
    }

    /// The next background actor that can start, if any. Ask again until there is none: one of
    /// each kind can be under way.
    ///
    /// Records that cannot be written are discarded here, so that a CMD_SYNC may be able to go on
    /// although no actor was given: ask [`Smmu::holds`] afterwards.
    pub fn work<O: Observer>(&self, observer: &mut O) -> Option<Work> {
        let mut lost = Vec::new();
        let now = self.structures.log.now();
        let work =
            self.control.lock().next_work(&mut lost, self.command_context(), self.look_up(), now);
        for observation in lost {
            observer.observe(&self.background_origin(), &observation);
        }
        work
    }

    /// An endpoint asks for a page (PRI). The request is queued, or dropped and answered, in the
    /// background. Without IDR0.PRI nothing takes it.
    pub fn request_page(&self, request: &PageRequest) {
        if self.features.pri {
            self.control.lock().page_requests.request(*request);
        }
    }

    /// An endpoint has taken an invalidation request and will complete it later: a CMD_SYNC waits.
    pub fn atc_invalidation_begun(&self) {
        self.control.lock().atc.begun();
    }

    /// An endpoint has ended an invalidation request that had begun.
    pub fn atc_invalidation_ended(&self, outcome: AtcOutcome) {
        self.control.lock().atc.ended(outcome);
    }

    /// The look-up of the STE of a page request that is to be answered.
    fn look_up(&self) -> impl Fn(&Globals, &PageRequest) -> Translation + '_ {
        |globals, request| {
            let access = Access::data(Direction::Read);
            let (stream, iova) = (request.stream, request.address);
            let transaction = Transaction { stream, substream: None, iova, access };
            let purpose = Purpose::PageResponse { ppar: None };
            Translation::new(transaction, self.structures.log.now(), *globals, purpose)
        }
    }

    /// Applies what a background actor came to.
    pub fn complete<O: Observer>(&self, outcome: &WorkOutcome, observer: &mut O) {
        let observation = {
            let mut control = self.control.lock();
            let observation = control.complete(outcome);
            self.acknowledge(&mut control);
            observation
        };
        if let Some(observation) = observation {
            observer.observe(&self.background_origin(), &observation);
        }
    }

    /// Origin of what no transaction does.
    pub fn background_origin(&self) -> Origin {
        Origin { smmu: self.id, transaction: None, begin: self.structures.log.now() }
    }

    /// A refused transaction leaves its record, where it has one. Where it stalls it is held: then
    /// its response tells the ticket.
    pub(crate) fn record(&self, transaction: &Transaction, refused: &mut Refused) {
        let record = event_queue::record_of(transaction, refused, self.features.oas_bits);
        let Some(event) = record else { return };
        let mut control = self.control.lock();
        if refused.response == Response::Stall {
            let held = control.hold(event);
            refused.response = held.map_or(Response::Abort, Response::Held);
        }
        if !matches!(refused.response, Response::Held(_)) {
            control.events.record(event);
        }
    }

    /// What is to become of a stalled transaction; `None` while software has not decided. The
    /// answer is given once.
    #[must_use]
    pub fn released(&self, ticket: StallTicket) -> Option<Release> {
        self.control.lock().stalls.take(ticket)
    }

    fn command_context(&self) -> impl Fn(&Globals) -> CommandContext + '_ {
        |globals| CommandContext {
            features: command_features(&globals.features),
            e2h: globals.e2h,
            vmid_ignore: globals.vmid_ignore,
            enabled: globals.enabled,
            now: self.structures.log.now(),
        }
    }

    /// Entries of the main TLB by address space.
    #[must_use]
    pub fn resident(&self) -> Vec<Resident> {
        self.structures.tlb.resident()
    }

    /// Live entries of the main TLB.
    #[must_use]
    pub fn tlb_entries(&self) -> Vec<TlbEntry> {
        self.structures.tlb.entries()
    }

    /// A port number exists.
    #[must_use]
    pub fn has_port(&self, port: PortId) -> bool {
        port.0 < self.ports()
    }
}

impl Control {
    fn next_work(
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
        if self.command_under_way || self.sync_is_signalled() {
            return None;
        }
        let entry = command_queue::next_entry(&self.registers)?;
        self.command_under_way = true;
        Some(Work::Command(CommandConsumer::new(entry, context(&self.globals))))
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
    fn disabled(&mut self) {
        self.stalls.terminate_all();
        self.record_stalls();
        for group in Group::ALL {
            if self.lookups[group as usize].drop_all() {
                self.registers.give_up_lookup(group);
            }
        }
    }

    /// What a CMD_SYNC waits for besides transactions: records of terminated ones, and endpoints.
    fn is_drained(&self) -> bool {
        self.events.is_idle() && self.atc.is_idle()
    }

    /// A transaction stalls. While SMMUEN is 0 none can (section "Stall model"): one that began
    /// before is terminated.
    fn hold(&mut self, event: Event) -> Option<StallTicket> {
        let ticket = self.globals.enabled.then(|| self.stalls.hold(event))??;
        self.record_stalls();
        Some(ticket)
    }

    /// A CMD_SYNC fails if an endpoint did not answer (CERROR_ATC_INV_SYNC).
    fn confirmed(&mut self, outcome: &CommandOutcome) -> CommandOutcome {
        match outcome {
            Ok(Command::Sync(_)) if self.atc.take_timeout() => Err(CommandError::AtcInvSync),
            other => *other,
        }
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

    fn busy(&self) -> Busy {
        Busy {
            transactions: self.disabled_at.is_some(),
            command: self.command_under_way,
            record: self.events.is_writing(),
            page_request: self.page_requests.is_writing(),
            pri_interrupt: self.is_on_its_way(GlobalError::MsiPriQueue),
            gerror_interrupt: self.is_on_its_way(GlobalError::MsiGerror),
            event_interrupt: self.is_on_its_way(GlobalError::MsiEventQueue),
        }
    }

    fn complete(&mut self, outcome: &WorkOutcome) -> Option<Observation> {
        let (notification, observation) = match outcome {
            WorkOutcome::Command(outcome) => {
                self.command_under_way = false;
                let outcome = &self.confirmed(outcome);
                if let Ok(command) = outcome {
                    self.decide_stalls(command);
                }
                let registers = &mut self.registers;
                let observation = match outcome {
                    Ok(Command::Sync(_)) => Observation::Synchronised,
                    Ok(command) => Observation::CommandConsumed(*command),
                    Err(error) => Observation::CommandFailed(*error),
                };
                (command_queue::complete(registers, outcome), Some(observation))
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

impl Mmio for Smmu {
    fn mmio_read(&self, offset: u64, bytes: u8) -> u64 {
        let mut control = self.control.lock();
        if [Cr0Ack::OFFSET, IrqCtrlAck::OFFSET].map(u64::from).contains(&offset) {
            self.acknowledge(&mut control);
        }
        control.registers.read(offset, bytes)
    }

    /// Registers change at once; what follows from them is background work.
    fn mmio_write(&self, offset: u64, bytes: u8, value: u64) {
        let mut control = self.control.lock();
        let was_enabled = control.globals.enabled;
        let Some(written) = control.registers.write(offset, bytes, value) else { return };
        match written.name {
            GatosCtrl::NAME => return control.lookups[Group::Global as usize].request(),
            VatosCtrl::NAME => return control.lookups[Group::Vm as usize].request(),
            _ => {}
        }
        control.registers.finish_gbpa_update();
        let globals = Globals::of(&control.registers);
        if globals != control.globals {
            control.globals = globals;
            self.structures.outdate_ports();
        }
        if was_enabled && !globals.enabled {
            control.disabled_at = Some(self.structures.log.advance());
            control.disabled();
        }
        self.acknowledge(&mut control);
    }
}

impl Smmu {
    fn acknowledge(&self, control: &mut Control) {
        if control.disabled_at.is_some_and(|epoch| self.in_flight.drained(epoch)) {
            control.disabled_at = None;
        }
        let busy = control.busy();
        control.registers.acknowledge_cr0(&busy);
        control.registers.acknowledge_irq_ctrl(&busy);
    }
}

/// What of the features decides about commands.
fn command_features(features: &Features) -> CommandFeatures {
    CommandFeatures {
        stage1: features.s1p,
        stage2: features.s2p,
        hyp: features.hyp,
        ats: features.ats,
        pri: features.pri,
        stall: features.stall_model != StallModel::TerminateOnly,
        vmid16: features.vmid16,
        asid16: features.asid16,
        ril: features.ril,
        mpam: false,
        dpt: false,
        ds: false,
    }
}
