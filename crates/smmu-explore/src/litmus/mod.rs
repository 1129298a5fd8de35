//! Litmus tests of invalidation protocols: the language.
//!
//! `docs/src/litmus.md` has the grammar. Names are resolved while a file is read, so that whoever
//! goes on with a [`Litmus`] holds indexes that are right.

mod command;
mod parse;
mod statement;
mod token;

use smmu_arch::{Asid, Vmid};
use smmu_machine::{Diagnostic, MemoryOrder};
use std::ops::Range;

/// A litmus test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Litmus {
    /// What it is about, in a sentence.
    pub title: String,
    /// When memory sees the stores of CPUs, unless who runs the test says otherwise.
    pub memory: MemoryOrder,
    /// SMMUs; at least one.
    pub smmus: Vec<SmmuLine>,
    /// Pages that devices reach.
    pub pages: Vec<Page>,
    /// Address spaces.
    pub spaces: Vec<Space>,
    /// Tables that nothing points to at first.
    pub tables: Vec<SpareTable>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Programs of the CPUs.
    pub cpus: Vec<Vec<Statement>>,
    /// Accesses of devices.
    pub dmas: Vec<DmaBlock>,
    /// Outcomes.
    pub rules: Vec<Rule>,
}

/// An SMMU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmmuLine {
    /// Name.
    pub name: String,
    /// It takes part in broadcast TLB maintenance.
    pub broadcast: bool,
}

/// A page of memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Name.
    pub name: String,
    /// log2 of its bytes: 12, 21 or 30.
    pub size_log2: u8,
}

/// An address space: a set of tables, and the tags of what is cached of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Space {
    /// Name.
    pub name: String,
    /// ASID, for a space of stage 1.
    pub asid: Option<Asid>,
    /// VMID.
    pub vmid: Vmid,
    /// The space of stage 2 that translates the output of this one.
    pub over: Option<usize>,
    /// What is mapped at first.
    pub maps: Vec<Map>,
}

/// A mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Map {
    /// First input address.
    pub input: u64,
    /// Where it goes.
    pub leaf: Leaf,
}

/// A leaf descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Where it points.
    pub target: Target,
    /// Writes are refused.
    pub read_only: bool,
    /// For every ASID.
    pub global: bool,
}

/// What a leaf points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A page.
    Page(usize),
    /// An intermediate address, in a space over another.
    Ipa(u64),
}

/// A table that nothing points to at first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpareTable {
    /// Name.
    pub name: String,
    /// The space for whose stage it is made.
    pub space: usize,
    /// Level of its descriptors.
    pub level: i8,
    /// What it maps.
    pub maps: Vec<Map>,
}

/// A device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Name.
    pub name: String,
    /// StreamID.
    pub stream: u32,
    /// The SMMU in front of it.
    pub smmu: usize,
    /// What its STE says at first.
    pub start: SteValue,
    /// It has an address translation cache.
    pub ats: bool,
}

/// What an STE is made to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SteValue {
    /// V = 0.
    Invalid,
    /// Transactions abort.
    Abort,
    /// Transactions pass untranslated.
    Bypass,
    /// A space translates.
    Space(usize),
}

/// A statement of a CPU, in the variants of the test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// What is done.
    pub action: Action,
    /// A variant of the test leaves it out, or does this instead.
    pub dropped: Option<Dropped>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// What becomes of a statement in the variant that is made from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// Nothing.
    Nothing,
    /// Another action.
    Else(Action, Range<usize>),
}

/// What a CPU does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Stores words.
    Store(Place, Value),
    /// Puts commands into the queue of an SMMU.
    Queue(usize, Order),
    /// Tells the SMMU of all that was put into its queue.
    Doorbell(usize),
    /// Waits until the SMMU has consumed all that this CPU put into its queue.
    Wait(usize),
    /// Puts a command into the queue, after a barrier tells the SMMU, and waits for a CMD_SYNC.
    Issue(usize, Order),
    /// Executes a TLBI instruction.
    Broadcast(Order),
    /// Orders stores: `dmb`, `wmb`.
    Barrier,
    /// Orders stores and completes TLBI instructions: `dsb`.
    Dsb,
    /// Takes a lock.
    Lock(u32),
    /// Gives a lock back.
    Unlock(u32),
    /// Makes promises.
    Promise(Pledge),
}

/// A command, before streams and addresses are words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// CMD_TLBI_NH_ALL.
    All(Vmid),
    /// CMD_TLBI_NSNH_ALL.
    Everything,
    /// CMD_TLBI_NH_ASID.
    Asid(Vmid, Asid),
    /// CMD_TLBI_NH_VA.
    Va(Vmid, Asid, Reach),
    /// CMD_TLBI_NH_VAA.
    Vaa(Vmid, Reach),
    /// CMD_TLBI_S12_VMALL.
    Vmid(Vmid),
    /// CMD_TLBI_S2_IPA.
    Ipa(Vmid, Reach),
    /// CMD_CFGI_STE of a device.
    CfgiSte(usize),
    /// CMD_CFGI_CD of a device.
    CfgiCd(usize),
    /// CMD_CFGI_ALL.
    CfgiAll,
    /// CMD_ATC_INV of a device: first address and log2 of the bytes.
    AtcInv(usize, u64, u8),
    /// CMD_SYNC.
    Sync,
}

/// The addresses of a TLBI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// First address.
    pub address: u64,
    /// Pages of 4 KiB: 1 to 32.
    pub pages: u8,
    /// Only what came from leaves.
    pub leaf: bool,
}

/// What is stored to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The descriptor of a space for an address, at a level.
    Pte {
        /// Space.
        space: usize,
        /// Input address.
        input: u64,
        /// Level.
        level: i8,
    },
    /// A descriptor of a spare table.
    Entry {
        /// Table.
        table: usize,
        /// Input address.
        input: u64,
    },
    /// Words of the STE of a device: one, or all from the first on.
    Ste(usize, Option<u8>),
    /// Words of the CD of a device.
    Cd(usize, Option<u8>),
}

/// What is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// An invalid descriptor, STE or CD: zeros.
    Invalid,
    /// A leaf.
    Leaf(Leaf),
    /// A descriptor that points to a spare table.
    Table(usize),
    /// The descriptor that points to the table that was there at first.
    OldTable,
    /// An STE.
    Ste(SteValue),
    /// The CD of a space.
    Cd(usize),
}

/// What software is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pledge {
    /// A page went back to its owner.
    FreePage(usize),
    /// The table that a space used at first for an address, at a level, went back.
    FreeTable {
        /// Space.
        space: usize,
        /// Input address.
        input: u64,
        /// Level of its descriptors.
        level: i8,
    },
    /// A page was given to an address space.
    Lend(usize),
    /// A VMID is free, on an SMMU.
    FreeVmid(usize, Vmid),
    /// An ASID is free, on an SMMU.
    FreeAsid(usize, Asid),
    /// A VMID belongs to somebody else now.
    AssignVmid(usize, Vmid),
    /// An ASID belongs to somebody else now.
    AssignAsid(usize, Asid),
    /// An unmap returned: space, first and last address, SMMU.
    Unmapped(usize, u64, u64, usize),
    /// A device was detached.
    Detached(usize),
}

/// Accesses of a device, one after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DmaBlock {
    /// Name.
    pub name: String,
    /// Device.
    pub device: usize,
    /// Accesses.
    pub accesses: Vec<Access>,
}

/// An access of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// It writes.
    pub write: bool,
    /// IOVA.
    pub iova: u64,
}

/// An outcome that must not be, or must be possible.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// It must not be.
    pub forbid: bool,
    /// All of these.
    pub atoms: Vec<Atom>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// How one access ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Atom {
    /// Which block, and which of its accesses.
    pub access: (usize, usize),
    /// How.
    pub end: AtomEnd,
}

/// How an access ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtomEnd {
    /// It reached a page.
    Reaches(usize),
    /// It reached a page that was free at that moment.
    ReachesFree(usize),
    /// It was refused.
    Faults,
}

impl Litmus {
    /// Reads a litmus test. `file` stands for it in messages.
    ///
    /// # Errors
    /// What is wrong, with line, column and remedy.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostic> {
        parse::parse(file, text)
    }

    /// Statements from which a broken variant of the test is made, in the order of the file.
    #[must_use]
    pub fn drops(&self) -> Vec<&Statement> {
        self.cpus.iter().flatten().filter(|statement| statement.dropped.is_some()).collect()
    }

    /// The variant without the `index`th of [`Litmus::drops`]; `None` if there are not so many.
    #[must_use]
    pub fn broken(&self, index: usize) -> Option<Self> {
        let mut variant = self.clone();
        let mut all = variant.cpus.iter_mut().enumerate().flat_map(|(cpu, statements)| {
            let numbers = statements.iter().enumerate().filter(|(_, s)| s.dropped.is_some());
            numbers.map(move |(at, _)| (cpu, at)).collect::<Vec<_>>()
        });
        let (cpu, at) = all.nth(index)?;
        drop(all);
        match variant.cpus[cpu][at].dropped.take()? {
            Dropped::Nothing => drop(variant.cpus[cpu].remove(at)),
            Dropped::Else(action, span) => {
                variant.cpus[cpu][at] = Statement { action, dropped: None, span };
            }
        }
        Some(variant)
    }
}
