//! The scheduler.

use super::board::Board;
use super::endpoint::{Forgetting, Traffic};
use super::listener::{Listener, Shared};
use super::name::{ActorName, Family};
use super::order::{Chooser, MemoryOrder, Order};
use super::turn::{Did, End};
use super::{Interrupts, MachineMemory};
use smmu_arch::{Pa, Transaction};
use smmu_bus::{Actor, Answer, Condition, Cpu, CpuActor, Data, LockId, Request, Step};
use smmu_device::{BroadcastSync, Refused, Smmu, Translation, Work, WorkOutcome};
use smmu_master::{Dma, DmaEngine, DmaSummary};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use thiserror::Error;

/// No actor can take a step any more, although some are not done.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the machine is stuck: {0}")]
pub struct Stuck(pub String);

/// A DMA in the background, by the order of its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DmaId(pub(super) u32);

/// A CPU, by the order of its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CpuId(pub(super) u32);

/// A program on a CPU, whose result is of type `T`.
pub struct Program<T>(Rc<Cell<Option<T>>>);

/// Transfers of a device, made one after the other.
type Transfers = Box<dyn Iterator<Item = Dma>>;

/// A machine that runs.
pub struct Machine<L: Listener> {
    pub(super) board: Board<L>,
    pub(super) actors: Vec<Slot>,
    pub(super) chooser: Chooser,
    pub(super) memory_order: MemoryOrder,
    /// Words that an SMMU reads each at a moment of its own.
    pub(super) torn: BTreeSet<Pa>,
    pub(super) time_ns: u64,
    pub(super) held: BTreeSet<LockId>,
    /// Room for the list of actors that can take a step.
    pub(super) ready: Vec<usize>,
    finished: BTreeMap<DmaId, DmaSummary>,
    /// Actors started so far, by family.
    started: BTreeMap<Family, u32>,
    /// What the last step came to.
    pub(super) did: Did,
}

pub(super) struct Slot {
    pub(super) name: ActorName,
    pub(super) actor: Running,
    pub(super) state: State,
}

pub(super) enum State {
    Ready(Answer),
    Waiting(Condition),
    /// A CPU's request, once memory has seen its stores.
    Ordered(Request),
    /// Words of a structure that came so far, and how many are missing.
    Gathering([u64; 8], usize),
    /// Other actors make its answer: they translate the transaction of a master, or do the part
    /// of SMMUs in the DSB of a CPU.
    Asked,
}

pub(super) enum Running {
    Work {
        smmu: usize,
        work: Work,
    },
    Translation {
        master: DmaId,
        device: usize,
        translation: Box<Translation>,
        traffic: Traffic,
    },
    /// A transaction that the SMMU holds, until software decides about it.
    Stalled {
        master: DmaId,
        device: usize,
        transaction: Transaction,
        refused: Refused,
    },
    Cpu {
        id: CpuId,
        cpu: Box<dyn Actor<Outcome = ()>>,
    },
    /// A store of a CPU that memory has not seen yet.
    Store {
        cpu: CpuId,
        pa: Pa,
        data: Data,
    },
    /// The read of one word of a structure for the translation of a device.
    Word {
        master: DmaId,
        index: usize,
        pa: Pa,
    },
    /// An endpoint that was told to forget.
    Forgetting(Forgetting),
    /// The part of an SMMU in the DSB of a CPU.
    Sync {
        cpu: CpuId,
        smmu: usize,
        sync: BroadcastSync,
    },
    Master {
        id: DmaId,
        device: usize,
        engine: DmaEngine<Transfers>,
    },
}

impl Running {
    /// In direct order lower ranks go first: what hardware has begun is finished before software
    /// looks again.
    const fn rank(&self) -> u8 {
        match self {
            Self::Work { .. } | Self::Sync { .. } | Self::Forgetting(_) | Self::Store { .. } => 0,
            Self::Translation { .. } | Self::Stalled { .. } | Self::Word { .. } => 1,
            Self::Cpu { .. } => 2,
            Self::Master { .. } => 3,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Work { .. } => "an SMMU's queue work",
            Self::Translation { .. } => "a translation",
            Self::Stalled { .. } => "a stalled transaction",
            Self::Cpu { .. } => "a CPU",
            Self::Store { .. } => "a store",
            Self::Word { .. } => "a fetch",
            Self::Forgetting(_) => "an endpoint's invalidation",
            Self::Sync { .. } => "a DSB",
            Self::Master { .. } => "a device",
        }
    }
}

impl<L: Listener> Machine<L> {
    /// A machine at rest.
    #[must_use]
    pub fn new(board: Board<L>, order: Order) -> Self {
        Self {
            board,
            actors: Vec::new(),
            chooser: Chooser::new(order),
            memory_order: MemoryOrder::default(),
            torn: BTreeSet::new(),
            time_ns: 0,
            held: BTreeSet::new(),
            ready: Vec::new(),
            finished: BTreeMap::new(),
            started: BTreeMap::new(),
            did: Did::Ended(End::Other),
        }
    }

    /// Physical memory.
    #[must_use]
    pub fn memory(&self) -> &Rc<MachineMemory<L>> {
        &self.board.memory
    }

    /// The SMMU with this number.
    #[must_use]
    pub fn smmu(&self, index: usize) -> Option<&Arc<Smmu>> {
        self.board.smmus.get(index).map(|placed| &placed.smmu)
    }

    /// Who watches.
    #[must_use]
    pub fn listener(&self) -> &Shared<L> {
        &self.board.listener
    }

    /// Interrupts so far.
    #[must_use]
    pub fn interrupts(&self) -> &Interrupts {
        &self.board.interrupts
    }

    /// Virtual nanoseconds since the start.
    #[must_use]
    pub const fn time_ns(&self) -> u64 {
        self.time_ns
    }

    /// Runs a program on a CPU to its end. Whatever else is going on in the machine goes on.
    ///
    /// # Errors
    /// [`Stuck`] when the program waits for something that nobody will do.
    pub fn run<T: 'static>(
        &mut self,
        program: impl FnOnce(&dyn Cpu) -> T + 'static,
    ) -> Result<T, Stuck> {
        let program = self.start_program(program);
        self.join(&program)
    }

    /// Starts a program on a CPU of its own, beside all else.
    pub fn start_program<T: 'static>(
        &mut self,
        program: impl FnOnce(&dyn Cpu) -> T + 'static,
    ) -> Program<T> {
        let result = Rc::new(Cell::new(None));
        let out = Rc::clone(&result);
        self.start_cpu(CpuActor::new(move |cpu| out.set(Some(program(cpu)))));
        Program(result)
    }

    /// Starts a CPU that is an actor of another making, beside all else.
    pub fn start_cpu(&mut self, cpu: impl Actor<Outcome = ()> + 'static) {
        let name = self.name(Family::Cpu);
        self.start_named(name, Running::Cpu { id: CpuId(name.number), cpu: Box::new(cpu) });
    }

    /// Runs until a program is done.
    ///
    /// # Errors
    /// [`Stuck`] when it waits for something that nobody will do, or was joined before.
    pub fn join<T: 'static>(&mut self, program: &Program<T>) -> Result<T, Stuck> {
        loop {
            if let Some(result) = program.0.take() {
                return Ok(result);
            }
            if !self.step()? {
                return Err(Stuck("the program was joined before".to_owned()));
            }
        }
    }

    /// Starts the transfers of a device. They go on beside the programs; [`Machine::wait`] tells
    /// when they are done. In direct order they run when nothing else can.
    pub fn start_dma(
        &mut self,
        device: usize,
        transfers: impl Iterator<Item = Dma> + 'static,
    ) -> DmaId {
        let name = self.name(Family::Dma);
        let id = DmaId(name.number);
        let port = smmu_arch::PortId(device as u16);
        let engine = DmaEngine::new(port, Box::new(transfers) as Transfers);
        let engine = match &self.board.endpoints[device] {
            Some(endpoint) => engine.with_atc(Rc::clone(&endpoint.atc)),
            None => engine,
        };
        self.start_named(name, Running::Master { id, device, engine });
        id
    }

    /// Runs until these transfers are done.
    ///
    /// # Errors
    /// [`Stuck`] when they wait for something that nobody will do.
    pub fn wait(&mut self, id: DmaId) -> Result<DmaSummary, Stuck> {
        loop {
            if let Some(summary) = self.finished.remove(&id) {
                return Ok(summary);
            }
            if !self.step()? {
                return Err(Stuck(format!("{id:?} was never started, or was waited for before")));
            }
        }
    }

    /// Runs until no actor is left.
    ///
    /// # Errors
    /// [`Stuck`] when some wait for something that nobody will do.
    pub fn settle(&mut self) -> Result<(), Stuck> {
        while self.step()? {}
        Ok(())
    }

    pub(super) fn start(&mut self, actor: Running) {
        let name = self.name(self.family(&actor));
        self.start_named(name, actor);
    }

    fn start_named(&mut self, name: ActorName, actor: Running) {
        self.actors.push(Slot { name, actor, state: State::Ready(Answer::Start) });
    }

    /// The next name of a family.
    fn name(&mut self, family: Family) -> ActorName {
        let next = self.started.entry(family).or_default();
        let number = *next;
        *next += 1;
        ActorName { family, number }
    }

    /// How many of a family have started.
    pub(super) fn started_of(&self, family: Family) -> u32 {
        self.started.get(&family).copied().unwrap_or(0)
    }

    /// One step of one actor. `false` when there is none.
    fn step(&mut self) -> Result<bool, Stuck> {
        self.take_up_work();
        self.find_ready();
        if self.ready.is_empty() {
            return if self.actors.is_empty() {
                Ok(false)
            } else {
                self.pass_time().map(|()| true)
            };
        }
        let index = self.chooser.choose(&self.ready);
        self.go_on(index);
        Ok(true)
    }

    /// The step of an actor that can take one.
    pub(super) fn go_on(&mut self, index: usize) {
        let answer = match std::mem::replace(&mut self.actors[index].state, State::Asked) {
            State::Ready(answer) => answer,
            State::Ordered(request) => return self.answer_ordered(index, &request),
            State::Waiting(Condition::Lock(lock)) => {
                self.held.insert(lock);
                Answer::Resumed
            }
            State::Waiting(_) | State::Asked | State::Gathering(..) => Answer::Resumed,
        };
        self.step_actor(index, answer);
    }

    /// What SMMUs have to do becomes actors.
    pub(super) fn take_up_work(&mut self) {
        self.board.signal_overflows();
        for index in 0..self.board.smmus.len() {
            let mut listener = self.board.listener.clone();
            while let Some(work) = self.board.smmus[index].smmu.work(&mut listener) {
                self.start(Running::Work { smmu: index, work });
            }
        }
    }

    /// Actors that can take a step, lowest rank first, in the order of their start.
    pub(super) fn find_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        ready.extend((0..self.actors.len()).filter(|&index| self.is_ready(&self.actors[index])));
        if self.chooser.is_direct() {
            ready.sort_by_key(|&index| self.actors[index].actor.rank());
        }
        self.ready = ready;
    }

    fn is_ready(&self, slot: &Slot) -> bool {
        match (&slot.state, &slot.actor) {
            (State::Ready(_), Running::Store { cpu, pa, .. }) => {
                self.is_next_store(*cpu, *pa, slot.name)
            }
            (State::Ready(_), _) => true,
            (State::Ordered(_), Running::Cpu { id, .. }) => !self.has_stores(*id),
            (State::Ordered(_) | State::Gathering(..), _) => false,
            (State::Asked, Running::Forgetting(forgetting)) => self.has_drained(forgetting),
            (State::Asked, _) => false,
            (State::Waiting(Condition::Time(ns)), _) => *ns <= self.time_ns,
            (State::Waiting(Condition::Register { address, mask, least }), _) => {
                self.board.mmio_read(*address, 4) as u32 & mask >= *least
            }
            (State::Waiting(Condition::Lock(lock)), _) => !self.held.contains(lock),
            (
                State::Waiting(condition),
                Running::Work { smmu, .. } | Running::Sync { smmu, .. },
            ) => self.board.smmus[*smmu].smmu.holds(*condition),
            (State::Waiting(condition), Running::Stalled { device, .. }) => {
                self.board.ports[*device].smmu().holds(*condition)
            }
            (State::Waiting(_), _) => false,
        }
    }

    /// Nobody can go on now: the clock goes to the next moment that somebody waits for.
    pub(super) fn pass_time(&mut self) -> Result<(), Stuck> {
        let next = self.actors.iter().filter_map(|slot| match slot.state {
            State::Waiting(Condition::Time(ns)) => Some(ns),
            _ => None,
        });
        self.time_ns = next.min().ok_or_else(|| Stuck(self.who_waits()))?;
        Ok(())
    }

    pub(super) fn who_waits(&self) -> String {
        let waits = self.actors.iter().map(|slot| match slot.state {
            State::Waiting(Condition::Released(_)) => {
                format!("{} waits for CMD_RESUME or CMD_STALL_TERM", slot.actor.name())
            }
            State::Waiting(condition) => format!("{} waits for {condition:?}", slot.actor.name()),
            _ => format!("{} waits for the answer of another", slot.actor.name()),
        });
        waits.collect::<Vec<_>>().join("; ")
    }

    fn step_actor(&mut self, index: usize, answer: Answer) {
        match &mut self.actors[index].actor {
            Running::Work { smmu, work } => {
                let smmu = *smmu;
                match work.step(answer) {
                    Step::Need(request) => {
                        self.did = Did::Asked(request);
                        let answer = self.answer_work(smmu, &request);
                        self.actors[index].state = State::Ready(answer);
                    }
                    Step::Wait(condition) => self.wait_for(index, condition),
                    Step::Done(outcome) => {
                        self.did = Did::Ended(match &outcome {
                            WorkOutcome::Command(outcome) => End::Command(outcome.result),
                            _ => End::Other,
                        });
                        self.actors.remove(index);
                        let mut listener = self.board.listener.clone();
                        self.board.smmus[smmu].smmu.complete(&outcome, &mut listener);
                    }
                }
            }
            Running::Translation { device, translation, .. } => {
                let device = *device;
                match translation.step(answer) {
                    Step::Need(request) => {
                        self.did = Did::Asked(request);
                        self.answer_translation(index, device, &request);
                    }
                    Step::Wait(condition) => self.wait_for(index, condition),
                    Step::Done(outcome) => self.translated(index, outcome),
                }
            }
            Running::Stalled { master, device, transaction, refused } => {
                let (master, device, transaction, refused) =
                    (*master, *device, *transaction, *refused);
                self.did = Did::Ended(End::Other);
                self.actors.remove(index);
                self.released(master, device, transaction, refused);
            }
            Running::Cpu { id, cpu } => {
                let id = *id;
                match cpu.step(answer) {
                    Step::Need(request) => {
                        self.did = Did::Asked(request);
                        // The CPU stays in State::Asked until there is an answer.
                        if self.is_ordered(&request) {
                            self.did = Did::Waits;
                            self.actors[index].state = State::Ordered(request);
                        } else if let Some(answer) = self.answer_cpu(id, &request) {
                            self.actors[index].state = State::Ready(answer);
                        }
                    }
                    Step::Wait(condition) => self.wait_for(index, condition),
                    Step::Done(()) => {
                        self.did = Did::Ended(End::Other);
                        self.actors.remove(index);
                    }
                }
            }
            Running::Store { .. } => self.make_store(index),
            Running::Word { .. } => self.fetch_word(index),
            Running::Forgetting(_) => self.step_forgetting(index),
            Running::Sync { sync, .. } => match sync.step(answer) {
                Step::Need(_) => unreachable!("a DSB asks for nothing"),
                Step::Wait(condition) => self.wait_for(index, condition),
                Step::Done(()) => {
                    self.did = Did::Ended(End::Other);
                    self.end_sync(index);
                }
            },
            Running::Master { id, device, engine } => {
                let (id, device) = (*id, *device);
                match engine.step(answer) {
                    Step::Need(request) => {
                        self.did = Did::Asked(request);
                        self.answer_master(index, id, device, &request);
                    }
                    Step::Wait(condition) => self.wait_for(index, condition),
                    Step::Done(summary) => {
                        self.did = Did::Ended(End::Other);
                        self.actors.remove(index);
                        self.finished.insert(id, summary);
                    }
                }
            }
        }
    }

    fn wait_for(&mut self, index: usize, condition: Condition) {
        self.did = Did::Waits;
        self.actors[index].state = State::Waiting(condition);
    }
}
