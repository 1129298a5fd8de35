//! A bench: memory, one SMMU with the REFERENCE ID registers, two ports, and software that is
//! written out by hand.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]

pub mod broadcast;
pub mod script;
pub mod spaces;

pub use script::{check, check_with};
pub use spaces::{Kind, Space};

use smmu_arch::registers::CmdqvParam;
use smmu_arch::{
    Access, AtcInv, Attributes, Direction, Event, IdRegisters, Iova, Observation, Origin, Pa,
    PortId, PriResp, SmmuId, StreamId, SubstreamId, Transaction,
};
use smmu_bus::{
    Actor, Answer, AtcAnswer, Faulting, InterruptLine, Memory, Mmio, Observer, Outputs, Platform,
    Ram, Step, serve_memory,
};
use smmu_cache::TlbShape;
use smmu_device::{
    HierarchySizes, Port, Progress, Smmu, SmmuConfig, StructureSizes, Translation,
    TranslationOutcome,
};
use smmu_tables::PageAllocator;
use spaces::Spaces;
use std::sync::Arc;

/// Offsets of registers, as the specification's register map gives them.
pub mod at {
    pub const CR0: u64 = 0x20;
    pub const CR0ACK: u64 = 0x24;
    pub const CR1: u64 = 0x28;
    pub const CR2: u64 = 0x2c;
    pub const GBPA: u64 = 0x44;
    pub const IRQ_CTRL: u64 = 0x50;
    pub const IRQ_CTRLACK: u64 = 0x54;
    pub const GERROR: u64 = 0x60;
    pub const GERRORN: u64 = 0x64;
    pub const GERROR_IRQ_CFG0: u64 = 0x68;
    pub const GERROR_IRQ_CFG1: u64 = 0x70;
    pub const STRTAB_BASE: u64 = 0x80;
    pub const STRTAB_BASE_CFG: u64 = 0x88;
    pub const CMDQ_BASE: u64 = 0x90;
    pub const CMDQ_PROD: u64 = 0x98;
    pub const CMDQ_CONS: u64 = 0x9c;
    pub const EVENTQ_BASE: u64 = 0xa0;
    pub const EVENTQ_IRQ_CFG0: u64 = 0xb0;
    pub const EVENTQ_IRQ_CFG1: u64 = 0xb8;
    pub const PRIQ_BASE: u64 = 0xc0;
    pub const PRIQ_IRQ_CFG0: u64 = 0xd0;
    pub const PRIQ_IRQ_CFG1: u64 = 0xd8;
    pub const PRIQ_IRQ_CFG2: u64 = 0xdc;
    pub const PRIQ_PROD: u64 = 0x1_00c8;
    pub const PRIQ_CONS: u64 = 0x1_00cc;
    pub const EVENTQ_PROD: u64 = 0x1_00a8;
    pub const EVENTQ_CONS: u64 = 0x1_00ac;
}

pub const RAM: Pa = Pa(0x8000_0000);
pub const RAM_BYTES: u64 = 64 << 20;
pub const STREAM_TABLE: Pa = Pa(0x8000_0000);
pub const COMMANDS: Pa = Pa(0x8001_0000);
pub const EVENTS: Pa = Pa(0x8002_0000);
pub const PAGE_REQUESTS: Pa = Pa(0x8003_0000);
pub const MSI: Pa = Pa(0x8004_0000);
/// CD tables: a page a stream.
pub const CDS: Pa = Pa(0x8010_0000);
const TABLES: Pa = Pa(0x8100_0000);

pub const SMMUEN: u32 = 1;
pub const PRIQEN: u32 = 2;
pub const EVENTQEN: u32 = 4;
pub const CMDQEN: u32 = 8;

/// What one port or the background told.
#[derive(Default, Debug)]
pub struct Log(pub Vec<(Origin, Observation)>);

impl Observer for Log {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        self.0.push((*origin, *observation));
    }
}

/// Interrupts, wake-up events and messages to endpoints that came out.
#[derive(Default, Debug)]
pub struct Pulses {
    pub lines: Vec<InterruptLine>,
    pub events: u32,
    /// Invalidation requests that endpoints got.
    pub invalidations: Vec<AtcInv>,
    /// Endpoints answer them later.
    pub later: bool,
    /// Page responses that endpoints got.
    pub responses: Vec<PriResp>,
}

impl Outputs for Pulses {
    fn pulse(&mut self, _: SmmuId, line: InterruptLine) {
        self.lines.push(line);
    }

    fn send_event(&mut self) {
        self.events += 1;
    }

    fn invalidate_atc(&mut self, _: SmmuId, invalidation: &AtcInv) -> AtcAnswer {
        self.invalidations.push(*invalidation);
        if self.later { AtcAnswer::Later } else { AtcAnswer::Completed }
    }

    fn page_response(&mut self, _: SmmuId, response: &PriResp) {
        self.responses.push(*response);
    }
}

/// How the bench is set up.
#[derive(Clone, Copy)]
pub struct Setup {
    pub ids: IdRegisters,
    pub structures: StructureSizes,
    pub cmdq_log2: u32,
    pub eventq_log2: u32,
    pub cr2: u32,
    /// Bits of CR0 besides the enables.
    pub cr0: u32,
    /// LOG2SIZE, SPLIT and FMT.
    pub strtab_cfg: u32,
    /// Transactions are stepped as actors instead of translated at once.
    pub stepwise: bool,
    /// PARAM of a CMDQV.
    pub cmdqv: Option<CmdqvParam>,
}

impl Default for Setup {
    fn default() -> Self {
        let structures = StructureSizes {
            tlb: TlbShape::Unbounded,
            ste_cache: None,
            cd_cache: None,
            hierarchy: HierarchySizes::default(),
        };
        Self {
            ids: IdRegisters::REFERENCE,
            structures,
            cmdq_log2: 6,
            eventq_log2: 4,
            cr2: 0b10, // RECINVSID
            cr0: 0,
            strtab_cfg: 8,
            stepwise: false,
            cmdqv: None,
        }
    }
}

/// Software's view of the memory: stores of the table builder.
pub struct Board<'a>(pub &'a Faulting<Ram>);

impl Platform for Board<'_> {
    type Memory = Faulting<Ram>;

    fn memory(&self) -> &Self::Memory {
        self.0
    }

    fn mmio_read(&self, _: Pa, _: u8) -> u64 {
        0
    }

    fn mmio_write(&self, _: Pa, _: u8, _: u64) {}

    fn now_ns(&self) -> u64 {
        0
    }

    fn advance_to(&self, _: u64) {}

    fn promise(&self, _: smmu_arch::Promise) {}
}

/// Gives pages in order and takes none back.
pub struct Pages(pub u64);

impl PageAllocator for Pages {
    fn allocate(&mut self, bytes: u64) -> Option<Pa> {
        let at = self.0.next_multiple_of(bytes);
        self.0 = at + bytes;
        (self.0 <= RAM.0 + RAM_BYTES).then_some(Pa(at))
    }

    fn free(&mut self, _: Pa, _: u64) {}

    fn gives_zeroed(&self) -> bool {
        true
    }
}

pub struct Bench {
    pub setup: Setup,
    pub smmu: Arc<Smmu>,
    pub memory: Faulting<Ram>,
    pub ports: Vec<Port<Log>>,
    pub background: Log,
    pub pulses: Pulses,
    pub pages: Pages,
    pub spaces: Spaces,
}

impl Bench {
    /// With queues and translation enabled.
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let mut bench = Self::after_reset(setup);
        bench.enable();
        bench
    }

    pub fn after_reset(setup: Setup) -> Self {
        let config = SmmuConfig {
            id: SmmuId(0),
            id_registers: setup.ids,
            structures: setup.structures,
            ports: 2,
            cmdqv: setup.cmdqv,
        };
        let smmu = Arc::new(Smmu::new(&config).expect("a geometry that exists"));
        let port =
            |id| Port::new(Arc::clone(&smmu), PortId(id), Log::default()).expect("two ports");
        Self {
            setup,
            ports: vec![port(0), port(1)],
            memory: Faulting::new(Ram::new([(RAM, RAM_BYTES)]).expect("one region")),
            background: Log::default(),
            pulses: Pulses::default(),
            pages: Pages(TABLES.0),
            spaces: Spaces::default(),
            smmu,
        }
    }

    /// What a driver does at its start.
    pub fn enable(&mut self) {
        let setup = self.setup;
        self.write64(at::STRTAB_BASE, STREAM_TABLE.0);
        self.write(at::STRTAB_BASE_CFG, setup.strtab_cfg);
        self.write(at::CR2, setup.cr2);
        self.write64(at::CMDQ_BASE, COMMANDS.0 | u64::from(setup.cmdq_log2));
        self.write64(at::EVENTQ_BASE, EVENTS.0 | u64::from(setup.eventq_log2));
        self.write(at::CR0, setup.cr0 | SMMUEN | EVENTQEN | CMDQEN);
    }

    pub fn write(&self, offset: u64, value: u32) {
        self.smmu.mmio_write(offset, 4, value.into());
    }

    pub fn write64(&self, offset: u64, value: u64) {
        self.smmu.mmio_write(offset, 8, value);
    }

    pub fn read(&self, offset: u64) -> u32 {
        self.smmu.mmio_read(offset, 4) as u32
    }

    pub fn read64(&self, offset: u64) -> u64 {
        self.smmu.mmio_read(offset, 8)
    }

    pub fn store(&self, pa: Pa, words: &[u64]) {
        self.memory.write_words(pa, words).expect("RAM");
    }

    pub fn load(&self, pa: Pa) -> u64 {
        self.memory.read_word(pa).expect("RAM")
    }

    /// Puts a command into the queue and moves PROD. Nothing runs yet.
    pub fn issue(&self, words: [u64; 2]) {
        let prod = self.read(at::CMDQ_PROD);
        let index = u64::from(prod & ((1 << self.setup.cmdq_log2) - 1));
        self.store(COMMANDS.offset(index * 16), &words);
        self.write(at::CMDQ_PROD, prod.wrapping_add(1) & ((2 << self.setup.cmdq_log2) - 1));
    }

    pub fn pump(&mut self) -> Progress {
        self.smmu.pump(&self.memory, &mut self.background, &mut self.pulses)
    }

    /// Issues a command and a CMD_SYNC, which completes.
    pub fn command(&mut self, words: [u64; 2]) {
        self.issue(words);
        self.issue([0x46, 0]);
        assert_eq!(self.pump(), Progress::Idle, "the CMD_SYNC completes");
        assert_eq!(self.command_error(), None, "the command is legal");
    }

    /// CMDQ_CONS.ERR while GERROR.CMDQ_ERR is active.
    pub fn command_error(&self) -> Option<u32> {
        let active = (self.read(at::GERROR) ^ self.read(at::GERRORN)) & 1 != 0;
        active.then(|| self.read(at::CMDQ_CONS) >> 24 & 0x7f)
    }

    /// Takes the next record out of the Event queue, once the background work is done.
    pub fn event_words(&mut self) -> Option<[u64; 4]> {
        self.pump();
        let mask = (2 << self.setup.eventq_log2) - 1;
        let (prod, cons) = (self.read(at::EVENTQ_PROD), self.read(at::EVENTQ_CONS));
        if (prod ^ cons) & mask == 0 {
            return None;
        }
        let index = u64::from(cons & (mask >> 1));
        let words = self.memory.read_words(EVENTS.offset(index * 32)).expect("RAM");
        let flag = cons & 1 << 31;
        self.write(at::EVENTQ_CONS, flag | (cons + 1) & mask);
        Some(words)
    }

    pub fn event(&mut self) -> Option<Event> {
        let words = self.event_words()?;
        Some(Event::decode(&words).expect("a record of the specification"))
    }

    /// One transaction through port 0, from its begin to its end.
    pub fn dma(&mut self, transaction: &Transaction) -> TranslationOutcome {
        self.dma_at(0, transaction)
    }

    pub fn dma_at(&mut self, port: usize, transaction: &Transaction) -> TranslationOutcome {
        let port = &mut self.ports[port];
        let outcome = if self.setup.stepwise {
            step_through(port, &self.memory, transaction)
        } else {
            port.translate(&self.memory, transaction)
        };
        port.end();
        outcome
    }

    /// The name of what became of a transaction, and the record that it left.
    pub fn refusal(&mut self, transaction: &Transaction) -> (String, Option<Event>) {
        let refused = self.dma(transaction).expect_err("the transaction is refused");
        let name = refused.fault.map_or("silent".to_owned(), |fault| fault.name().to_owned());
        (name, self.event())
    }
}

/// Translates as an actor whose requests are answered one by one.
pub fn step_through<M: Memory, O: Observer>(
    port: &mut Port<O>,
    memory: &M,
    transaction: &Transaction,
) -> TranslationOutcome {
    let mut translation = port.start(transaction);
    let mut outcome = step_to_its_end(port, memory, &mut translation);
    port.finish(&translation, &mut outcome);
    if let Some(mut ahead) = port.prefetch(&translation) {
        let _ = step_to_its_end(port, memory, &mut ahead);
    }
    outcome
}

fn step_to_its_end<M: Memory, O: Observer>(
    port: &mut Port<O>,
    memory: &M,
    translation: &mut Translation,
) -> TranslationOutcome {
    let mut answer = Answer::Start;
    loop {
        match translation.step(answer) {
            Step::Need(request) => {
                let here = port.answer(&request);
                answer = here.or_else(|| serve_memory(memory, &request)).expect("an answer");
            }
            Step::Done(outcome) => return outcome,
            Step::Wait(condition) => panic!("waits for {condition:?}"),
        }
    }
}

pub fn read(stream: u32, iova: u64) -> Transaction {
    let access = Access::data(Direction::Read);
    Transaction { stream: StreamId(stream), substream: None, iova: Iova(iova), access }
}

pub fn write(stream: u32, iova: u64) -> Transaction {
    Transaction { access: Access::data(Direction::Write), ..read(stream, iova) }
}

pub fn with_substream(transaction: Transaction, substream: u32) -> Transaction {
    Transaction { substream: Some(SubstreamId(substream)), ..transaction }
}

pub fn output(outcome: TranslationOutcome) -> Pa {
    outcome.expect("the transaction is let through").output
}

pub fn attributes(outcome: TranslationOutcome) -> Attributes {
    outcome.expect("the transaction is let through").attributes
}
