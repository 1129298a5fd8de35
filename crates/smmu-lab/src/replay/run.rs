//! A case, run on the functional SMMU.

use super::case::{Bytes, Case, CaseStep, Dma, DmaResult, ReadWrite};
use super::memory::CaseMemory;
use serde::{Deserialize, Serialize};
use smmu_arch::registers::{CmdqBase, CmdqProd, EventqBase, EventqCons, EventqProd, Register};
use smmu_arch::{Access, Direction, Iova, Pa, PortId, SmmuId, StreamId, SubstreamId, Transaction};
use smmu_bus::{InterruptLine, Memory, Mmio, Outputs};
use smmu_device::{Port, Smmu, SmmuConfig, StructureSizes};
use smmu_machine::{MachineFile, presets, structure_sizes};
use std::sync::Arc;

/// What this project answers to a case, in the shapes of a case.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub struct Answers {
    /// Name of the case.
    pub name: String,
    /// Answer to each DMA.
    pub results: Vec<DmaResult>,
    /// All records that were drained, in order.
    pub events: Vec<[u64; 4]>,
    /// What each register read gave.
    pub mmio_reads: Vec<u64>,
}

/// Runs a case on the structures of the preset `qemu`: the SMMU forgets nothing by itself, so that a
/// missing invalidation shows.
#[must_use]
pub fn run(case: &Case) -> Answers {
    let mut bench = Bench::new(case);
    for step in &case.steps {
        bench.step(step);
    }
    bench.answers
}

/// The structures of the preset `qemu`. Nothing in them is random.
fn structures() -> StructureSizes {
    let machine = MachineFile::of_preset(presets::QEMU).blueprint();
    let machine = machine.expect("a preset makes a machine that is valid");
    structure_sizes(&machine.smmus[0], 0)
}

/// The platform that every case assumes.
struct Bench {
    smmu: Arc<Smmu>,
    port: Port,
    memory: CaseMemory,
    answers: Answers,
}

impl Bench {
    fn new(case: &Case) -> Self {
        let config = SmmuConfig {
            id: SmmuId(0),
            id_registers: case.smmu.stage.id_registers(),
            structures: structures(),
            ports: 1,
            cmdqv: None,
        };
        let smmu = Arc::new(Smmu::new(&config).expect("what is unbounded has no bad geometry"));
        let port = Port::new(Arc::clone(&smmu), PortId(0), ()).expect("the SMMU has one port");
        let answers = Answers {
            name: case.name.clone(),
            results: Vec::new(),
            events: Vec::new(),
            mmio_reads: Vec::new(),
        };
        let bench = Self { smmu, port, memory: CaseMemory::default(), answers };
        for (pa, bytes) in &case.memory {
            bench.memory.store(*pa, &bytes.0);
        }
        for &(offset, bytes, value) in &case.mmio_writes {
            bench.mmio_write(offset, bytes, value);
        }
        bench
    }

    fn step(&mut self, step: &CaseStep) {
        match step {
            CaseStep::Dma(dma) => {
                let result = self.dma(dma);
                self.answers.results.push(result);
            }
            CaseStep::Cmd(words) => self.command(words),
            CaseStep::Mem(pa, bytes) => self.memory.store(*pa, &bytes.0),
            CaseStep::Mmio(offset, bytes, value) => self.mmio_write(*offset, *bytes, *value),
            CaseStep::MmioRead(offset, bytes) => {
                let value = self.smmu.mmio_read(*offset, *bytes);
                self.answers.mmio_reads.push(value);
            }
            CaseStep::ExpectEvents(_) => self.drain(),
        }
    }

    fn dma(&mut self, dma: &Dma) -> DmaResult {
        let direction = match dma.rw {
            ReadWrite::Read => Direction::Read,
            ReadWrite::Write => Direction::Write,
        };
        let transaction = Transaction {
            stream: StreamId(dma.sid),
            substream: dma.ssid.map(SubstreamId),
            iova: Iova(dma.iova),
            access: Access { privileged: true, ..Access::data(direction) },
        };
        let before = self.register::<EventqProd>();
        let translated = self.port.translate(&self.memory, &transaction);
        // A write is undone at once, which is to say that it only finds out whether memory answers.
        let reached = translated.ok().filter(|_| dma.has_one_translation()).and_then(|granted| {
            let data = self.memory.load(granted.output, dma.len as usize)?;
            Some((granted.output, data))
        });
        self.port.end();
        self.pump();
        let after = self.register::<EventqProd>();
        let data = reached.as_ref().map(|(_, data)| Bytes(data.clone()));
        DmaResult {
            ok: reached.is_some(),
            pa: reached.map(|(pa, _)| pa.0),
            data: (dma.rw == ReadWrite::Read).then_some(data),
            nev: self.event_ring().distance(before.wr(), after.wr()),
            alternatives: Vec::new(),
        }
    }

    /// Puts a command into the queue and rings the doorbell. As the queue is run to its end or its
    /// error at once, it is only full when it is in error; the command is then put all the same.
    fn command(&mut self, words: &[u64; 2]) {
        let ring = self.command_ring();
        let prod = self.register::<CmdqProd>().wr();
        let at = ring.entry(prod);
        for (offset, word) in [(0, words[0]), (8, words[1])] {
            self.memory.store(at.wrapping_add(offset), &word.to_le_bytes());
        }
        self.set(CmdqProd::new().with_wr(ring.next(prod)));
    }

    /// Reads the records from CONS to PROD and gives them back: CONS = PROD, and with it the
    /// acknowledge of an overflow.
    fn drain(&mut self) {
        let ring = self.event_ring();
        let prod = self.register::<EventqProd>();
        let mut at = self.register::<EventqCons>().rd();
        for _ in 0..ring.distance(at, prod.wr()).min(ring.entries()) {
            let pa = Pa(ring.entry(at));
            self.answers.events.push(self.memory.read_words(pa).unwrap_or_default());
            at = ring.next(at);
        }
        self.set(EventqCons::from_word(prod.to_word()));
    }

    fn command_ring(&self) -> Ring {
        let base = self.register::<CmdqBase>();
        Ring { base: base.address(), log2_entries: base.log2size().into(), entry_log2: 4 }
    }

    fn event_ring(&self) -> Ring {
        let base = self.register::<EventqBase>();
        Ring { base: base.address(), log2_entries: base.log2size().into(), entry_log2: 5 }
    }

    fn register<R: Register>(&self) -> R {
        let offset = u64::from(R::PAGE.base() + R::OFFSET);
        R::from_word(self.smmu.mmio_read(offset, (R::WIDTH / 8) as u8))
    }

    fn set<R: Register>(&self, register: R) {
        let offset = u64::from(R::PAGE.base() + R::OFFSET);
        self.mmio_write(offset, (R::WIDTH / 8) as u8, register.to_word());
    }

    fn mmio_write(&self, offset: u64, bytes: u8, value: u64) {
        self.smmu.mmio_write(offset, bytes, value);
        self.pump();
    }

    /// Nothing is in flight here, so that no CMD_SYNC waits.
    fn pump(&self) {
        self.smmu.pump(&self.memory, &mut (), &mut NoInterrupts);
    }
}

/// A queue as software sees it. Its base is aligned to its size.
#[derive(Clone, Copy)]
struct Ring {
    base: u64,
    log2_entries: u32,
    entry_log2: u32,
}

impl Ring {
    /// The ID registers of this platform allow 2^19 entries.
    const LOG2_ENTRIES_MAX: u32 = 19;

    fn entries(self) -> u32 {
        1 << self.log2_entries.min(Self::LOG2_ENTRIES_MAX)
    }

    fn entry(self, index: u32) -> u64 {
        let bytes = u64::from(self.entries()) << self.entry_log2;
        let offset = u64::from(index & (self.entries() - 1)) << self.entry_log2;
        (self.base & !(bytes.max(32) - 1)) | offset
    }

    /// The index one further on, with its wrap bit.
    fn next(self, index: u32) -> u32 {
        index.wrapping_add(1) & (2 * self.entries() - 1)
    }

    /// Entries from one index to another.
    fn distance(self, from: u32, to: u32) -> u32 {
        to.wrapping_sub(from) & (2 * self.entries() - 1)
    }
}

/// Interrupts are information in a case, and not compared.
struct NoInterrupts;

impl Outputs for NoInterrupts {
    fn pulse(&mut self, _: SmmuId, _: InterruptLine) {}

    fn send_event(&mut self) {}
}
