//! The machine of a log: RAM from 0, the page of the MSI doorbell, one SMMU, and a port through
//! which every master goes.

use super::record::{Access, Direction as LogDirection, Init};
use smmu_arch::{
    Access as BusAccess, AtsTranslation, Command, CommandQueueId, Direction, Event, Fault,
    IdRegisters, Iova, Observation, Origin, Pa, PortId, Resume, SmmuId, StallTicket, StreamId,
    Structure, SubstreamId, TlbScope, Transaction, TranslationCompletion, TranslationRequest, Why,
    Worlds,
};
use smmu_bus::{
    Actor, Answer, Condition, Data, Memory, MemoryMapError, Mmio, Observer, Ram, Request, Step,
    serve_memory,
};
use smmu_cache::TlbShape;
use smmu_device::{
    HierarchySizes, Port, Refused, Release, Response, Smmu, SmmuConfig, StructureSizes,
    TranslationOutcome, Work,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The page of the MSI doorbell answers although it is no RAM.
pub(super) const DOORBELL: u64 = 0x2b50_0000;
const PAGE: u64 = 0x1000;

/// The access aborted without a record.
pub(super) const SILENT: u64 = 0xff;
/// The access was translated to where nothing answers.
pub(super) const NO_MEMORY: u64 = 0xfe;

/// What the SMMU did by itself, in order, by kind.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Commands fetched: address, words, and whether they stopped the queue.
    pub commands: VecDeque<Consumed>,
    /// MSI writes: address and data.
    pub messages: VecDeque<(u64, u32)>,
    /// Event records.
    pub events: VecDeque<Event>,
}

/// A command that was fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Consumed {
    pub pa: u64,
    pub words: [u64; 2],
    /// It was illegal: a log may or may not have it.
    pub failed: bool,
}

/// What became of an access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    /// As a log's `fault`; `None` while it is stalled.
    pub fault: Option<u64>,
    /// Physical address of each piece before the fault.
    pub pas: Vec<u64>,
}

/// A page of a stream: what an access of 4 KiB at most is made to.
type PageOf = (StreamId, Option<SubstreamId>, u64);

/// A transaction that the SMMU holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    ticket: StallTicket,
    fault: u64,
}

/// Hears why a Translation Request got nothing.
#[derive(Debug, Default)]
pub(super) struct Reason(Option<Fault>);

impl Observer for Reason {
    fn observe(&mut self, _: &Origin, observation: &Observation) {
        if let Observation::AtsCompleted { fault, .. } = observation {
            self.0 = *fault;
        }
    }
}

pub(super) struct Bench {
    smmu: Arc<Smmu>,
    port: Port<Reason>,
    memory: Ram,
    done: Done,
    parked: Option<(Work, Condition)>,
    held: BTreeMap<PageOf, Held>,
    /// STAGs of the log, and those that this SMMU gave.
    stags: BTreeMap<u16, u16>,
}

impl Bench {
    /// The machine after reset, with ID registers taken verbatim.
    pub(super) fn new(init: &Init) -> Result<Self, MemoryMapError> {
        let ram = (Pa(0), init.ram_size.0);
        let doorbell = (init.ram_size.0 <= DOORBELL).then_some((Pa(DOORBELL), PAGE));
        let memory = Ram::new([ram].into_iter().chain(doorbell))?;
        let config = SmmuConfig {
            id: SmmuId(0),
            id_registers: IdRegisters {
                idr0: init.idr0.0 as u32,
                idr1: init.idr1.0 as u32,
                idr3: init.idr3.0 as u32,
                idr5: init.idr5.0 as u32,
                aidr: init.aidr.0 as u32,
                ..IdRegisters::default()
            },
            structures: StructureSizes {
                tlb: TlbShape::Unbounded,
                ste_cache: None,
                cd_cache: None,
                hierarchy: HierarchySizes::default(),
            },
            ports: 1,
            cmdqv: None,
        };
        let smmu = Arc::new(Smmu::new(&config).expect("what is unbounded has no bad geometry"));
        let port = Port::new(Arc::clone(&smmu), PortId(0), Reason::default());
        Ok(Self {
            port: port.expect("the SMMU has one port"),
            smmu,
            memory,
            done: Done::default(),
            parked: None,
            held: BTreeMap::new(),
            stags: BTreeMap::new(),
        })
    }

    pub(super) fn done(&mut self) -> &mut Done {
        &mut self.done
    }

    /// A CPU stored a word; whether anything answered.
    pub(super) fn store(&self, pa: u64, word: u64) -> bool {
        self.memory.write_word(Pa(pa), word).is_ok()
    }

    pub(super) fn read(&self, offset: u64, bytes: u8) -> u64 {
        self.smmu.mmio_read(offset, bytes)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: u8, value: u64) {
        self.smmu.mmio_write(offset, bytes, value);
        self.settle();
    }

    /// Carries an access out, piece by piece of 4 KiB, up to its fault.
    pub(super) fn access(&mut self, access: &Access) -> Outcome {
        self.forget_translations();
        let mut pas = Vec::new();
        for transaction in pieces(access) {
            let reached = match access.ats.0 {
                0 => self.transaction(&transaction),
                _ => self.through_atc(&transaction).map_err(Some),
            };
            let fault = match reached {
                Ok(pa) if self.memory.read_word(Pa(pa & !7)).is_ok() => {
                    pas.push(pa);
                    continue;
                }
                Ok(_) => Some(NO_MEMORY),
                Err(fault) => fault,
            };
            return Outcome { fault, pas };
        }
        Outcome { fault: Some(0), pas }
    }

    /// A record of the log tells of a stall: the transaction that it is about is made now, and
    /// comes to its end with the record of the access.
    pub(super) fn stall(&mut self, event: &Event) {
        let Some(told) = event.kind.stage_event() else { return };
        let transaction = Transaction {
            stream: event.stream,
            substream: event.substream,
            iova: told.input,
            access: BusAccess::data(told.access.direction),
        };
        self.forget_translations();
        let _ = self.transaction(&transaction);
    }

    /// The STAG that the log has for the stall that this SMMU told of by another.
    pub(super) fn same_stag(&mut self, expected: &Event, got: &Event) {
        let stag = |event: &Event| event.kind.stage_event().map(|event| event.stag);
        if let (Some(theirs), Some(ours)) = (stag(expected), stag(got)) {
            self.stags.insert(theirs, ours);
        }
    }

    /// One transaction. `Err(None)` while it is stalled.
    fn transaction(&mut self, transaction: &Transaction) -> Result<u64, Option<u64>> {
        let page = (transaction.stream, transaction.substream, transaction.iova.0 / PAGE);
        if let Some(held) = self.held.get(&page).copied() {
            match self.smmu.released(held.ticket) {
                None => return Err(None),
                Some(Release::Retry) => {}
                Some(Release::Abort | Release::ReadZeroWriteIgnored) => {
                    self.held.remove(&page);
                    return Err(Some(held.fault));
                }
            }
            self.held.remove(&page);
        }
        let outcome = self.port.translate(&self.memory, transaction);
        self.port.end();
        self.settle();
        if let Err(Refused { response: Response::Held(ticket), fault: Some(fault), .. }) = outcome {
            let fault = fault.number().into();
            self.held.insert(page, Held { ticket, fault });
            return Err(None);
        }
        reached(outcome).map_err(Some)
    }

    /// One transaction of an endpoint that asks for the translation first. No record is left.
    fn through_atc(&mut self, transaction: &Transaction) -> Result<u64, u64> {
        let is_write = transaction.access.is_write();
        let request = TranslationRequest {
            stream: transaction.stream,
            substream: transaction.substream,
            iova: transaction.iova,
            no_write: !is_write,
            execute: false,
            privileged: false,
        };
        let completion = self.port.request_translation(&self.memory, &request);
        self.settle();
        let reason = self.port.observer().0.map_or(SILENT, |fault| fault.number().into());
        let TranslationCompletion::Success(translation) = completion else { return Err(reason) };
        let AtsTranslation { address, size_log2, read, write, .. } = translation;
        match (read, write) {
            (false, false) => return Err(reason),
            (_, false) if is_write => return Err(PERMISSION),
            (false, _) if !is_write => return Err(PERMISSION),
            _ => {}
        }
        let iova = Iova(address | transaction.iova.0 & ((1 << size_log2) - 1));
        let translated = Transaction { iova, ..*transaction };
        let outcome = self.port.translated(&self.memory, &translated);
        self.port.end();
        self.settle();
        reached(outcome)
    }

    /// What a hit would give depends on what a model caches; a walk does not.
    fn forget_translations(&self) {
        for worlds in [Worlds::NsEl1, Worlds::AnyEl2] {
            let scope = TlbScope { worlds, ..TlbScope::NSNH_ALL };
            let by = CommandQueueId::Main;
            let forget = Request::Forget { structure: Structure::MainTlb, scope, by };
            let _ = self.smmu.answer(&self.smmu.background_origin(), &forget, &mut ());
        }
    }

    /// Does all that the SMMU has to do by itself, and notes it.
    fn settle(&mut self) {
        loop {
            let (work, answer) = match self.parked.take() {
                Some((work, condition)) if self.smmu.holds(condition) => (work, Answer::Resumed),
                parked => {
                    self.parked = parked;
                    match self.smmu.work(&mut ()) {
                        Some(work) => (work, Answer::Start),
                        None => return,
                    }
                }
            };
            self.run(work, answer);
        }
    }

    fn run(&mut self, mut work: Work, mut answer: Answer) {
        loop {
            match work.step(answer) {
                Step::Need(request) => answer = self.serve(&request),
                Step::Wait(condition) if self.smmu.holds(condition) => answer = Answer::Resumed,
                Step::Wait(condition) => return self.parked = Some((work, condition)),
                Step::Done(outcome) => {
                    if let smmu_device::WorkOutcome::Command(outcome) = outcome
                        && outcome.result.is_err()
                        && let Some(command) = self.done.commands.back_mut()
                    {
                        command.failed = true;
                    }
                    return self.smmu.complete(&outcome, &mut ());
                }
            }
        }
    }

    fn serve(&mut self, request: &Request) -> Answer {
        if let Request::Send { .. } = request {
            return Answer::Done;
        }
        let origin = self.smmu.background_origin();
        if let Some(answer) = self.smmu.answer(&origin, request, &mut ()) {
            return answer;
        }
        let answer = serve_memory(&self.memory, request).unwrap_or(Answer::Aborted);
        match (*request, answer) {
            (
                Request::Read { pa, why: Why::Command, .. },
                Answer::Words([low, high, rest @ ..]),
            ) => {
                let words = [low, high];
                let again = Consumed { pa: pa.0, words, failed: false };
                self.done.commands.push_back(again);
                let [low, high] = self.with_own_stag(words);
                let [a, b, c, d, e, f] = rest;
                Answer::Words([low, high, a, b, c, d, e, f])
            }
            (Request::Write { pa, data: Data::Half(data), .. }, Answer::Done) => {
                self.done.messages.push_back((pa.0, data));
                answer
            }
            (Request::Write { data: Data::Record(words), .. }, Answer::Done) => {
                self.done.events.extend(Event::decode(&words));
                answer
            }
            _ => answer,
        }
    }

    /// CMD_RESUME names the STAG of the log.
    fn with_own_stag(&self, words: [u64; 2]) -> [u64; 2] {
        match Command::decode(&words) {
            Ok(Command::Resume(resume)) => match self.stags.get(&resume.stag) {
                Some(&stag) => Command::Resume(Resume { stag, ..resume }).encode(),
                None => words,
            },
            _ => words,
        }
    }
}

/// F_PERMISSION.
const PERMISSION: u64 = 0x13;

fn reached(outcome: TranslationOutcome) -> Result<u64, u64> {
    match outcome {
        Ok(granted) => Ok(granted.output.0),
        Err(Refused { fault: Some(fault), record: true, .. }) => Err(fault.number().into()),
        Err(_) => Err(SILENT),
    }
}

/// The transactions of an access: none crosses a boundary of 4 KiB.
fn pieces(access: &Access) -> impl Iterator<Item = Transaction> + use<> {
    let (first, bytes) = (access.iova.0, access.len.0);
    let stream = StreamId(access.sid.0 as u32);
    let substream = access.ssid.map(|id| SubstreamId(id.0 as u32));
    let direction = match access.rw {
        LogDirection::Read => Direction::Read,
        LogDirection::Write => Direction::Write,
    };
    let count = if bytes == 0 { 0 } else { (first % PAGE + bytes - 1) / PAGE + 1 };
    (0..count).map(move |index| {
        let at = if index == 0 { first } else { (first & !(PAGE - 1)).wrapping_add(index * PAGE) };
        Transaction { stream, substream, iova: Iova(at), access: BusAccess::data(direction) }
    })
}
