//! The programs of a litmus test's CPUs, as actors.

use crate::litmus::{Action, Litmus, Order, Pledge, Reach};
use crate::world::{COMMANDS_LOG2, World, command_queue};
use smmu_arch::registers::{CmdqCons, CmdqProd, Register};
use smmu_arch::{
    Asid, AtcInv, BroadcastTlbi, CfgiCd, CfgiSte, CmdSync, Command, Granule, Iova, Pa, Promise,
    Shareability, SmmuId, Stage, StreamId, SubstreamId, SyncSignal, TlbiIpa, TlbiRange, TlbiVa,
    TlbiVaa, TlbiVmid, TlbiVmidAsid, Why,
};
use smmu_bus::{Actor, Answer, Condition, Data, LockId, Message, Request, Step};
use std::cell::RefCell;
use std::rc::Rc;

/// Locks of the tests' own count from 0, those of the queues from here.
const QUEUE_LOCKS: u32 = 1 << 16;
/// log2 of the pages of a CMD_ATC_INV for all addresses.
const ALL_PAGES_LOG2: u8 = 52;

/// One step of a CPU.
#[derive(Clone, Debug)]
enum Op {
    Need(Request),
    Wait(Condition),
    /// A word of the next entry of an SMMU's Command queue; the second one takes the entry.
    Entry {
        smmu: usize,
        word: u64,
        value: u64,
    },
    /// PROD of an SMMU.
    Doorbell(usize),
    /// Waits until an SMMU has consumed all that this CPU put into its queue.
    Consumed(usize),
}

/// A program, without the queues that it shares with others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    ops: Vec<Op>,
}

/// All programs of a test.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) cpus: Vec<Program>,
    /// Words that any of them stores.
    pub(crate) stored: Vec<(Pa, u64)>,
    /// Promises that a page or table went back, with its number where it is a page.
    pub(crate) registers: Vec<u64>,
}

/// Entries of the Command queues that were taken, by SMMU.
pub(crate) type Taken = Rc<RefCell<Vec<u32>>>;

/// A CPU that runs a program.
#[derive(Clone, Debug)]
pub(crate) struct LitmusCpu {
    ops: Rc<[Op]>,
    at: usize,
    taken: Taken,
    /// What this CPU waits for, by SMMU.
    mine: Vec<u32>,
    registers: Rc<[u64]>,
}

impl Programs {
    /// Makes the steps of all statements. Tables that are named and missing are made in `world`.
    pub(crate) fn new(litmus: &Litmus, world: &mut World, registers: Vec<u64>) -> Self {
        let mut compiler =
            Compiler { litmus, world, stored: Vec::new(), ops: Vec::new(), held: None };
        let cpus = litmus.cpus.iter().map(|cpu| {
            for statement in cpu {
                compiler.action(&statement.action);
            }
            compiler.held = None;
            Program { ops: std::mem::take(&mut compiler.ops) }
        });
        let cpus = cpus.collect();
        Self { cpus, stored: compiler.stored, registers }
    }

    /// The CPUs, with queues of their own.
    pub(crate) fn start(&self, smmus: usize) -> Vec<LitmusCpu> {
        let taken: Taken = Rc::new(RefCell::new(vec![0; smmus]));
        let registers: Rc<[u64]> = self.registers.clone().into();
        let start = |program: &Program| LitmusCpu {
            ops: program.ops.clone().into(),
            at: 0,
            taken: Rc::clone(&taken),
            mine: vec![0; smmus],
            registers: Rc::clone(&registers),
        };
        self.cpus.iter().map(start).collect()
    }
}

impl Actor for LitmusCpu {
    type Outcome = ();

    fn step(&mut self, _: Answer) -> Step<()> {
        let Some(op) = self.ops.get(self.at) else { return Step::Done(()) };
        self.at += 1;
        match *op {
            Op::Need(request) => Step::Need(request),
            Op::Wait(condition) => Step::Wait(condition),
            Op::Entry { smmu, word, value } => {
                let mut taken = self.taken.borrow_mut();
                let entry = command_queue(smmu) + 16 * u64::from(taken[smmu]);
                if word == 1 {
                    taken[smmu] += 1;
                    self.mine[smmu] = taken[smmu];
                }
                Step::Need(write(Pa(entry + 8 * word), value))
            }
            Op::Doorbell(smmu) => {
                let value = u64::from(self.taken.borrow()[smmu]);
                let address = Pa(self.registers[smmu] + u64::from(CmdqProd::OFFSET));
                Step::Need(Request::MmioWrite { address, bytes: 4, value })
            }
            Op::Consumed(smmu) => Step::Wait(Condition::Register {
                address: Pa(self.registers[smmu] + u64::from(CmdqCons::OFFSET)),
                mask: (2 << COMMANDS_LOG2) - 1,
                least: self.mine[smmu],
            }),
        }
    }
}

fn write(pa: Pa, value: u64) -> Request {
    Request::Write { pa, data: Data::Word(value), why: Why::Cpu }
}

struct Compiler<'a> {
    litmus: &'a Litmus,
    world: &'a mut World,
    stored: Vec<(Pa, u64)>,
    ops: Vec<Op>,
    /// The queue whose lock is held.
    held: Option<usize>,
}

impl Compiler<'_> {
    fn action(&mut self, action: &Action) {
        match *action {
            Action::Store(place, value) => {
                for (pa, value) in self.world.store(self.litmus, place, value) {
                    self.stored.push((Pa(pa), value));
                    self.ops.push(Op::Need(write(Pa(pa), value)));
                }
            }
            Action::Queue(smmu, order) => self.queue(smmu, order),
            Action::Doorbell(smmu) => self.doorbell(smmu),
            Action::Wait(smmu) => self.ops.push(Op::Consumed(smmu)),
            Action::Issue(smmu, order) => {
                self.queue(smmu, order);
                self.ops.push(Op::Need(Request::Barrier));
                self.doorbell(smmu);
                if order == Order::Sync {
                    self.ops.push(Op::Consumed(smmu));
                }
            }
            Action::Broadcast(order) => {
                if let Some(tlbi) = broadcast(order) {
                    self.send(Message::Tlbi(tlbi));
                }
            }
            Action::Barrier => self.ops.push(Op::Need(Request::Barrier)),
            Action::Dsb => self.send(Message::BroadcastSync),
            Action::Lock(lock) => self.ops.push(Op::Wait(Condition::Lock(LockId(lock)))),
            Action::Unlock(lock) => self.ops.push(Op::Need(Request::Unlock(LockId(lock)))),
            Action::Promise(pledge) => {
                let promise = self.promise(pledge);
                self.ops.push(Op::Need(Request::Promise(promise)));
            }
        }
    }

    fn send(&mut self, message: Message) {
        self.ops.push(Op::Need(Request::Send { port: smmu_arch::PortId(0), message }));
    }

    /// Takes the queue, where others use it as well, and fills its next entry.
    fn queue(&mut self, smmu: usize, order: Order) {
        if self.held != Some(smmu) && self.is_shared(smmu) {
            self.ops.push(Op::Wait(Condition::Lock(queue_lock(smmu))));
        }
        self.held = Some(smmu);
        let words = self.command(order).encode();
        for (word, value) in (0..).zip(words) {
            self.ops.push(Op::Entry { smmu, word, value });
        }
    }

    fn doorbell(&mut self, smmu: usize) {
        self.ops.push(Op::Doorbell(smmu));
        if self.held.take() == Some(smmu) && self.is_shared(smmu) {
            self.ops.push(Op::Need(Request::Unlock(queue_lock(smmu))));
        }
    }

    /// More than one CPU puts commands into the queue.
    fn is_shared(&self, smmu: usize) -> bool {
        let uses = |action: &Action| matches!(action, Action::Queue(of, _) | Action::Issue(of, _) if *of == smmu);
        let cpus = self.litmus.cpus.iter();
        cpus.filter(|cpu| cpu.iter().any(|statement| uses(&statement.action))).count() > 1
    }

    fn stream(&self, device: usize) -> StreamId {
        StreamId(self.litmus.devices[device].stream)
    }

    fn command(&self, order: Order) -> Command {
        match order {
            Order::All(vmid) => Command::TlbiNhAll(TlbiVmid { vmid }),
            Order::Everything => Command::TlbiNsnhAll,
            Order::Asid(vmid, asid) => Command::TlbiNhAsid(TlbiVmidAsid { vmid, asid }),
            Order::Va(vmid, asid, reach) => {
                Command::TlbiNhVa(TlbiVa { vmid, asid, range: range(reach) })
            }
            Order::Vaa(vmid, reach) => Command::TlbiNhVaa(TlbiVaa { vmid, range: range(reach) }),
            Order::Vmid(vmid) => Command::TlbiS12Vmall(TlbiVmid { vmid }),
            Order::Ipa(vmid, reach) => Command::TlbiS2Ipa(TlbiIpa { vmid, range: range(reach) }),
            Order::CfgiSte(device) => {
                Command::CfgiSte(CfgiSte { stream: self.stream(device), leaf: true })
            }
            Order::CfgiCd(device) => Command::CfgiCd(CfgiCd {
                substream: SubstreamId(0),
                stream: self.stream(device),
                leaf: true,
            }),
            Order::CfgiAll => Command::CfgiAll,
            Order::AtcInv(device, address, bytes_log2) => Command::AtcInv(AtcInv {
                stream: self.stream(device),
                substream: None,
                global: false,
                size_log2: (bytes_log2 - 12).min(ALL_PAGES_LOG2),
                address: Iova(address),
            }),
            Order::Sync => Command::Sync(CmdSync {
                signal: SyncSignal::None,
                shareability: Shareability::Non,
                memory_attributes: 0,
                data: 0,
                address: Pa(0),
            }),
        }
    }

    fn promise(&mut self, pledge: Pledge) -> Promise {
        let smmu = |index: usize| SmmuId(index as u8);
        let pages = |world: &World, page: usize, litmus: &Litmus| {
            (Pa(world.pages[page]), 1 << litmus.pages[page].size_log2)
        };
        match pledge {
            Pledge::FreePage(page) => {
                let (first, bytes) = pages(self.world, page, self.litmus);
                Promise::PagesReturned { first, bytes }
            }
            Pledge::Lend(page) => {
                let (first, bytes) = pages(self.world, page, self.litmus);
                Promise::PagesLent { first, bytes }
            }
            Pledge::FreeTable { space, input, level } => {
                let first = self.world.table_page(self.litmus, space, level, input);
                Promise::PagesReturned { first, bytes: 4096 }
            }
            Pledge::FreeVmid(of, vmid) => Promise::VmidFreed { smmu: smmu(of), vmid },
            Pledge::FreeAsid(of, asid) => Promise::AsidFreed { smmu: smmu(of), asid },
            Pledge::AssignVmid(of, vmid) => Promise::VmidAssigned { smmu: smmu(of), vmid },
            Pledge::AssignAsid(of, asid) => Promise::AsidAssigned { smmu: smmu(of), asid },
            Pledge::Unmapped(space, first, last, of) => {
                let space = &self.litmus.spaces[space];
                let stage = if space.asid.is_some() { Stage::Stage1 } else { Stage::Stage2 };
                let (vmid, asid): (_, Option<Asid>) = (space.vmid, space.asid);
                Promise::Unmapped { smmu: smmu(of), stage, vmid, asid, first, last }
            }
            Pledge::Detached(device) => Promise::Detached {
                smmu: smmu(self.litmus.devices[device].smmu),
                stream: self.stream(device),
            },
        }
    }
}

const fn queue_lock(smmu: usize) -> LockId {
    LockId(QUEUE_LOCKS + smmu as u32)
}

fn range(reach: Reach) -> TlbiRange {
    match reach.pages {
        1 => TlbiRange::single(reach.address, reach.leaf),
        pages => TlbiRange::granules(reach.address, Granule::K4, pages - 1, 0, reach.leaf),
    }
}

/// The instruction like a command; there is none for configuration and endpoints, which the parser
/// does not take.
fn broadcast(order: Order) -> Option<BroadcastTlbi> {
    Some(match order {
        Order::All(vmid) => BroadcastTlbi::Vmalle1(TlbiVmid { vmid }),
        Order::Everything => BroadcastTlbi::Alle1,
        Order::Asid(vmid, asid) => BroadcastTlbi::Aside1(TlbiVmidAsid { vmid, asid }),
        Order::Va(vmid, asid, reach) => {
            BroadcastTlbi::Vae1(TlbiVa { vmid, asid, range: range(reach) })
        }
        Order::Vaa(vmid, reach) => BroadcastTlbi::Vaae1(TlbiVaa { vmid, range: range(reach) }),
        Order::Vmid(vmid) => BroadcastTlbi::Vmalls12e1(TlbiVmid { vmid }),
        Order::Ipa(vmid, reach) => BroadcastTlbi::Ipas2e1(TlbiIpa { vmid, range: range(reach) }),
        Order::CfgiSte(_) | Order::CfgiCd(_) | Order::CfgiAll | Order::AtcInv(..) | Order::Sync => {
            return None;
        }
    })
}
