//! One run of a litmus test, a step at a time.

use crate::footprint::{Footprint, Tracer};
use crate::litmus::{Action, AtomEnd, Litmus, Rule};
use crate::program::Programs;
use crate::world::{
    COMMANDS_LOG2, CONTROL_AND_TABLES, DATA, EVENTS_LOG2, STREAMS_LOG2, World, command_queue,
    event_queue, stream_table,
};
use smmu_arch::registers::{
    CmdqBase, Cr0, Cr1, Cr2, EventqBase, Register, StrtabBase, StrtabBaseCfg,
};
use smmu_arch::{Direction, Features, Iova, Pa, Promise, SmmuId, StreamId, Why};
use smmu_bus::{Memory, Message, Ram, Request};
use smmu_check::{Checker, Verdict};
use smmu_machine::file::{AtsBlueprint, REGISTERS_BASE, REGISTERS_STRIDE};
use smmu_machine::{
    ActorName, Blueprint, Board, DeviceBlueprint, Did, End, Family, Machine, MachineFile,
    MemoryOrder, MemoryRegion, Order, Turn,
};
use smmu_master::Dma;
use std::rc::Rc;

/// The hardware that the tests run on.
const PRESET: &str = "adversary";
/// IDR0.BTM and IDR0.ATS.
const IDR0_BTM: u32 = 1 << 5;
const IDR0_ATS: u32 = 1 << 10;

/// A test that can be run again and again.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) litmus: Litmus,
    pub(crate) memory: MemoryOrder,
    pub(crate) world: World,
    blueprint: Blueprint,
    programs: Programs,
    tracer: Tracer,
    /// Words of STEs and CDs that programs store to.
    torn: Vec<Pa>,
}

/// A run of it.
pub(crate) struct Trial<'s> {
    setup: &'s Setup,
    machine: Machine<Judge>,
    tracer: Tracer,
    /// How each access ended, by block.
    ends: Vec<Vec<Option<Ending>>>,
    /// The access of each block that is under way, and whether it is.
    under_way: Vec<(usize, bool)>,
    /// Pages that are free.
    free: Vec<bool>,
    failed: Option<String>,
    steps: usize,
}

/// How an access ended, and by which step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ending {
    /// The page that it reached and whether that was free; `None` for a refusal.
    reached: Option<(Option<usize>, bool)>,
    step: usize,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first thing that is wrong.
    pub failure: Option<Failure>,
    /// Rules of the test that hold at the end, `allow` and `forbid` alike.
    pub(crate) met: Vec<bool>,
}

/// What is wrong with a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// What it is.
    pub kind: FailureKind,
    /// The steps by which it is known, from 0.
    pub(crate) steps: Vec<usize>,
}

/// What can be wrong.
#[derive(Clone, PartialEq, Debug)]
pub enum FailureKind {
    /// The checker has found something.
    Verdict(Box<Verdict>),
    /// A forbidden outcome, by the number of its rule.
    Forbidden(usize),
    /// A command stopped its queue.
    Command(String),
    /// Somebody waits for what nobody does.
    Stuck(String),
}

impl FailureKind {
    /// The same mistake, though perhaps at another moment.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Verdict(a), Self::Verdict(b)) => (a.blame, a.cause) == (b.blame, b.cause),
            (Self::Forbidden(a), Self::Forbidden(b)) => a == b,
            (Self::Command(_), Self::Command(_)) | (Self::Stuck(_), Self::Stuck(_)) => true,
            _ => false,
        }
    }
}

type Judge = Checker<Rc<Ram>>;

impl Setup {
    /// Prepares a test. Without a memory order it has its own.
    pub(crate) fn new(litmus: &Litmus, memory: Option<MemoryOrder>) -> Self {
        let memory = memory.unwrap_or(litmus.memory);
        let mut world = World::new(litmus);
        let blueprint = blueprint(litmus, &world);
        let registers: Vec<u64> = blueprint.smmus.iter().map(|smmu| smmu.registers).collect();
        let programs = Programs::new(litmus, &mut world, registers.clone());
        let stored = programs.stored.iter().map(|&(pa, _)| pa);
        let is_table = |pa: &Pa| world.names.get(&pa.0).is_none_or(|name| name.starts_with("pte["));
        let torn = stored.filter(|pa| !is_table(pa)).collect();
        let mut actions = litmus.cpus.iter().flatten().map(|statement| &statement.action);
        let many_scopes = actions.any(|action| matches!(action, Action::Broadcast(_)));
        let ats = litmus.devices.iter().any(|device| device.ats);
        let tracer = Tracer::new(registers, many_scopes, ats, memory != MemoryOrder::Sc);
        Self { litmus: litmus.clone(), memory, world, blueprint, programs, tracer, torn }
    }

    /// A run from the begin.
    ///
    /// # Panics
    /// Never: the machine of a litmus test can be built.
    pub(crate) fn start(&self) -> Trial<'_> {
        let judge = |ram: &Rc<Ram>| {
            let mut checker = Checker::new(Rc::clone(ram));
            for (index, smmu) in self.blueprint.smmus.iter().enumerate() {
                checker.add_smmu(SmmuId(index as u8), Features::decode(&smmu.ids));
            }
            checker
        };
        let board = Board::build(&self.blueprint, 0, judge).expect("a machine that can be built");
        // The seed never draws: every step is chosen here.
        let mut machine = Machine::new(board, Order::Seeded(0));
        let ram = machine.memory().memory();
        for (&pa, &word) in &self.world.words {
            let _ = ram.write_word(Pa(pa), word);
        }
        for index in 0..self.blueprint.smmus.len() {
            self.bring_up(&mut machine, index);
        }
        machine.set_memory_order(self.memory);
        machine.tear(self.torn.iter().copied());
        for cpu in self.programs.start(self.blueprint.smmus.len()) {
            machine.start_cpu(cpu);
        }
        for (index, block) in self.litmus.dmas.iter().enumerate() {
            let stream = StreamId(self.litmus.devices[block.device].stream);
            let transfers = block.accesses.clone().into_iter().map(move |access| Dma {
                stream,
                substream: None,
                iova: Iova(access.iova),
                bytes: 8,
                direction: if access.write { Direction::Write } else { Direction::Read },
                privileged: false,
            });
            machine.start_dma(index, transfers);
        }
        Trial {
            setup: self,
            machine,
            tracer: self.tracer.clone(),
            ends: self.litmus.dmas.iter().map(|block| vec![None; block.accesses.len()]).collect(),
            under_way: vec![(0, false); self.litmus.dmas.len()],
            free: vec![false; self.litmus.pages.len()],
            failed: None,
            steps: 0,
        }
    }

    /// Section "SMMU initialization", as far as it is needed after a reset.
    fn bring_up(&self, machine: &mut Machine<Judge>, index: usize) {
        let base = self.blueprint.smmus[index].registers;
        let ats = self.litmus.devices.iter().any(|device| device.ats && device.smmu == index);
        let mut write = |offset: u64, bits: u32, value: u64| {
            machine.write_register(Pa(base + offset), (bits / 8) as u8, value);
        };
        let commands = CmdqBase::new().with_address(command_queue(index));
        let events = EventqBase::new().with_address(event_queue(index));
        let streams = StrtabBaseCfg::new().with_log2size(STREAMS_LOG2);
        let silent = !self.litmus.smmus[index].broadcast;
        let on = Cr0::new().with_cmdqen(true).with_eventqen(true).with_atschk(ats);
        put(&mut write, Cr1::new().with_table_sh(3).with_table_oc(1).with_table_ic(1));
        put(&mut write, Cr2::new().with_ptm(silent).with_recinvsid(true));
        put(&mut write, StrtabBase::new().with_address(stream_table(index)));
        put(&mut write, streams);
        put(&mut write, commands.with_log2size(COMMANDS_LOG2));
        put(&mut write, events.with_log2size(EVENTS_LOG2));
        put(&mut write, on);
        put(&mut write, on.with_smmuen(true));
    }
}

fn put<R: Register>(write: &mut impl FnMut(u64, u32, u64), value: R) {
    write(u64::from(R::PAGE.base() + R::OFFSET), R::WIDTH, value.to_word());
}

/// The machine of a test: an SMMU of the preset for each that it names, and a port for each `dma`.
fn blueprint(litmus: &Litmus, world: &World) -> Blueprint {
    let preset = MachineFile::of_preset(PRESET).blueprint().expect("a preset that is valid");
    let broadcast = litmus.cpus.iter().flatten();
    let broadcast = broadcast.map(|s| &s.action).any(|a| matches!(a, Action::Broadcast(_)));
    let smmus = (0..litmus.smmus.len()).map(|index| {
        let mut smmu = preset.smmus[0].clone();
        smmu.name.clone_from(&litmus.smmus[index].name);
        smmu.registers = REGISTERS_BASE + index as u64 * REGISTERS_STRIDE;
        if litmus.devices.iter().any(|device| device.ats) {
            smmu.ids.idr0 |= IDR0_ATS;
        }
        if broadcast {
            smmu.ids.idr0 |= IDR0_BTM;
        }
        smmu
    });
    let devices = litmus.dmas.iter().enumerate().map(|(entry, block)| {
        let device = &litmus.devices[block.device];
        DeviceBlueprint {
            name: block.name.clone(),
            smmu: device.smmu,
            streams: vec![device.stream],
            group: entry as u32,
            ats: device.ats.then_some(AtsBlueprint { entries: 64, answers: true }),
            entry,
        }
    });
    let (base, bytes) = CONTROL_AND_TABLES;
    let data = (world.data_end - DATA).max(4096);
    Blueprint {
        memory: vec![MemoryRegion { base, bytes }, MemoryRegion { base: DATA, bytes: data }],
        smmus: smmus.collect(),
        devices: devices.collect(),
    }
}

impl Trial<'_> {
    /// Actors that can take a step. None of them: the run is over.
    pub(crate) fn ready(&mut self, names: &mut Vec<ActorName>) {
        self.machine.ready(names);
    }

    /// The step of one that can take it.
    pub(crate) fn turn(&mut self, actor: ActorName) -> (Turn, Footprint) {
        for (index, epoch) in self.tracer.epochs.iter_mut().enumerate() {
            *epoch = self.machine.smmu(index).map_or(0, |smmu| smmu.background_origin().begin.0);
        }
        let turn = self.machine.turn(actor);
        self.follow(&turn);
        self.steps += 1;
        let print = self.tracer.trace(&turn);
        (turn, print)
    }

    /// Who is watched: how accesses end, which pages are free, which commands fail.
    fn follow(&mut self, turn: &Turn) {
        match (turn.actor.family, &turn.did) {
            (Family::Cpu, Did::Asked(Request::Promise(promise))) => self.promised(promise),
            (Family::Command { .. }, Did::Ended(End::Command(Err(error)))) => {
                let entry = turn.actor.number;
                self.failed.get_or_insert_with(|| format!("command {entry}: {error}"));
            }
            (Family::Walk { dma }, Did::Ended(End::Translation { refused: true })) => {
                self.end(dma as usize, None);
            }
            (Family::Dma, Did::Asked(request)) => self.requested(turn.actor.number, request),
            (Family::Dma, Did::Ended(_)) => self.given_up(turn.actor.number as usize),
            _ => {}
        }
    }

    fn promised(&mut self, promise: &Promise) {
        let (first, free) = match promise {
            Promise::PagesReturned { first, .. } => (first.0, true),
            Promise::PagesLent { first, .. } => (first.0, false),
            _ => return,
        };
        if let Some(page) = self.setup.world.pages.iter().position(|&page| page == first) {
            self.free[page] = free;
        }
    }

    fn requested(&mut self, dma: u32, request: &Request) {
        let block = dma as usize;
        let device = self.setup.litmus.dmas[block].device;
        let ats = self.setup.litmus.devices[device].ats;
        match *request {
            Request::Send { ref message, .. } => {
                // An endpoint that was refused a translation may go untranslated: no new access.
                let begins = match message {
                    Message::Transaction(_) => !ats,
                    Message::TranslationRequest(_) | Message::Translated(_) => true,
                    _ => false,
                };
                let (at, busy) = &mut self.under_way[block];
                if begins && !*busy {
                    *at += usize::from(self.ends[block][*at].is_some());
                    *busy = true;
                }
                if matches!(message, Message::End) {
                    *busy = false;
                }
            }
            Request::Read { pa, why: Why::Data, .. }
            | Request::Write { pa, why: Why::Data, .. } => {
                let page = self.page_at(pa.0);
                let free = page.is_some_and(|page| self.free[page]);
                self.end(block, Some((page, free)));
            }
            _ => {}
        }
    }

    /// A device is done. What an endpoint was not granted it has given up in silence.
    fn given_up(&mut self, block: usize) {
        let step = self.steps;
        for end in &mut self.ends[block] {
            end.get_or_insert(Ending { reached: None, step });
        }
    }

    fn page_at(&self, pa: u64) -> Option<usize> {
        let pages = self.setup.world.pages.iter().zip(&self.setup.litmus.pages);
        pages.into_iter().position(|(&first, page)| pa >> page.size_log2 == first >> page.size_log2)
    }

    fn end(&mut self, block: usize, reached: Option<(Option<usize>, bool)>) {
        let at = self.under_way[block].0.min(self.ends[block].len() - 1);
        self.ends[block][at] = Some(Ending { reached, step: self.steps });
        self.under_way[block].1 = reached.is_some();
    }

    /// Something is wrong already, so that later steps matter no more.
    pub(crate) fn verdict(&self) -> Option<Failure> {
        let verdict = |judge: &mut Judge| judge.verdicts().first().cloned();
        let found = self.machine.listener().with(verdict)?;
        let steps = vec![self.steps.saturating_sub(1)];
        Some(Failure { kind: FailureKind::Verdict(Box::new(found)), steps })
    }

    /// The steps that make a rule hold, if it does.
    fn holds(&self, rule: &Rule) -> Option<Vec<usize>> {
        let step = |atom: &crate::litmus::Atom| {
            let (block, access) = atom.access;
            let ending = self.ends[block][access]?;
            let holds = match (atom.end, ending.reached) {
                (AtomEnd::Faults, None) => true,
                (AtomEnd::Reaches(page), Some((reached, _))) => reached == Some(page),
                (AtomEnd::ReachesFree(page), Some((reached, free))) => {
                    free && reached == Some(page)
                }
                _ => false,
            };
            holds.then_some(ending.step)
        };
        rule.atoms.iter().map(step).collect()
    }

    /// What the run came to, if it ends here. `complete` says that nobody can take a step.
    pub(crate) fn outcome(&self, complete: bool) -> Outcome {
        let rules = &self.setup.litmus.rules;
        let met: Vec<_> = rules.iter().map(|rule| self.holds(rule)).collect();
        let failure = self.verdict().or_else(|| {
            let broken = rules.iter().zip(&met).enumerate();
            let mut broken = broken.filter(|(_, (rule, _))| rule.forbid);
            let forbidden = broken.find_map(|(index, (_, met))| {
                let steps = met.clone()?;
                Some(Failure { kind: FailureKind::Forbidden(index), steps })
            });
            forbidden.or_else(|| self.stopped(complete))
        });
        Outcome { failure, met: met.iter().map(Option::is_some).collect() }
    }

    fn stopped(&self, complete: bool) -> Option<Failure> {
        let last = vec![self.steps.saturating_sub(1)];
        if let Some(error) = &self.failed {
            return Some(Failure { kind: FailureKind::Command(error.clone()), steps: last });
        }
        let stuck = self.machine.waiting().filter(|_| complete)?;
        Some(Failure { kind: FailureKind::Stuck(stuck.0), steps: last })
    }
}
