//! A machine that is just enough for the driver: memory, and registers that acknowledge and consume
//! commands, with a trace of what the driver did.

use crate::client::Process;
use crate::{DeviceNode, Hardware, Kernel, Options, SmmuNode};
use smmu_arch::registers::REGISTERS;
use smmu_arch::{Command, IdRegisters, L1Std, Pa, Promise, SmmuId, Ste, StreamId};
use smmu_bus::{Aborted, DirectCpu, Memory, Platform, Ram, UserSpace};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

pub(super) const RAM: Pa = Pa(0x4000_0000);
pub(super) const RAM_BYTES: u64 = 1 << 30;
/// The kernel's half of the memory; the other belongs to processes.
const HEAP_BYTES: u64 = RAM_BYTES / 2;
/// Where the memory of the process begins, and where it sees it.
pub(super) const USER_PA: Pa = Pa(RAM.0 + HEAP_BYTES);
pub(super) const USER: u64 = 0x10_0000_0000;
const FRAME: u64 = 0x2b40_0000;
const FRAME_BYTES: u64 = 0x10_0000;

const CR0: u32 = 0x20;
const IRQ_CTRL: u32 = 0x50;
const GBPA: u32 = 0x44;
pub(super) const GERROR: u32 = 0x60;
const GERRORN: u32 = 0x64;
const STRTAB_BASE: u32 = 0x80;
const CMDQ_BASE: u32 = 0x90;
const CMDQ_PROD: u32 = 0x98;
pub(super) const CMDQ_CONS: u32 = 0x9c;
pub(super) const EVENTQ_BASE: u32 = 0xa0;
pub(super) const EVENTQ_PROD: u32 = 0x1_00a8;

/// Memory that remembers stores while it is told to.
pub(super) struct TestMemory {
    pub(super) ram: Ram,
    pub(super) stores: RefCell<Option<Vec<(Pa, u64)>>>,
}

impl Memory for TestMemory {
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        self.ram.read_word(pa)
    }
    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        if let Some(stores) = self.stores.borrow_mut().as_mut() {
            stores.push((pa, value));
        }
        self.ram.write_word(pa, value)
    }
    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        self.ram.compare_and_swap(pa, old, new)
    }
}

/// The registers of one SMMU.
pub(super) struct Frame {
    ids: IdRegisters,
    pub(super) words: RefCell<BTreeMap<u32, u64>>,
    /// Opcode of a command that is refused once.
    pub(super) refuse: Cell<Option<u8>>,
    /// Commands are consumed.
    pub(super) alive: Cell<bool>,
}

impl Frame {
    pub(super) fn word(&self, offset: u32) -> u64 {
        self.words.borrow().get(&offset).copied().unwrap_or(0)
    }

    pub(super) fn set(&self, offset: u32, value: u64) {
        self.words.borrow_mut().insert(offset, value);
    }
}

pub(super) struct TestPlatform {
    pub(super) memory: TestMemory,
    pub(super) frames: Vec<Frame>,
    now: Cell<u64>,
    trace: RefCell<Vec<String>>,
}

impl TestPlatform {
    fn new(ids: &[IdRegisters]) -> Self {
        let frame = |&ids: &IdRegisters| Frame {
            ids,
            words: RefCell::default(),
            refuse: Cell::new(None),
            alive: Cell::new(true),
        };
        Self {
            memory: TestMemory {
                ram: Ram::new([(RAM, RAM_BYTES)]).unwrap(),
                stores: RefCell::default(),
            },
            frames: ids.iter().map(frame).collect(),
            now: Cell::new(0),
            trace: RefCell::default(),
        }
    }

    /// What happened since the last call.
    pub(super) fn take_trace(&self) -> Vec<String> {
        self.trace.take()
    }

    fn note(&self, smmu: usize, what: impl std::fmt::Display) {
        let prefix = if self.frames.len() > 1 { format!("{smmu}: ") } else { String::new() };
        self.trace.borrow_mut().push(format!("{prefix}{what}"));
    }

    fn find(&self, address: Pa) -> (usize, u32) {
        let offset = address.0 - FRAME;
        ((offset / FRAME_BYTES) as usize, (offset % FRAME_BYTES) as u32)
    }

    fn consume(&self, smmu: usize) {
        let frame = &self.frames[smmu];
        let base = frame.word(CMDQ_BASE);
        let log2size = base & 31;
        let address = base & 0x00ff_ffff_ffff_ffe0;
        while frame.alive.get() && frame.word(GERROR) & 1 == frame.word(GERRORN) & 1 {
            let cons = frame.word(CMDQ_CONS) & 0xf_ffff;
            if cons == frame.word(CMDQ_PROD) {
                break;
            }
            let entry = Pa(address + (cons & ((1 << log2size) - 1)) * 16);
            let words = self.memory.read_words::<2>(entry).unwrap();
            if frame.refuse.get() == Some(words[0] as u8) {
                frame.refuse.set(None);
                frame.set(CMDQ_CONS, cons | 1 << 24);
                frame.set(GERROR, frame.word(GERROR) ^ 1);
                break;
            }
            self.note(smmu, Command::decode(&words).unwrap());
            frame.set(CMDQ_CONS, (cons + 1) & ((2 << log2size) - 1));
        }
    }
}

impl Platform for TestPlatform {
    type Memory = TestMemory;

    fn memory(&self) -> &TestMemory {
        &self.memory
    }

    fn mmio_read(&self, address: Pa, _: u8) -> u64 {
        let (smmu, offset) = self.find(address);
        let frame = &self.frames[smmu];
        frame.ids.word_at(offset).map_or_else(|| frame.word(offset), u64::from)
    }

    fn mmio_write(&self, address: Pa, _: u8, value: u64) {
        let (smmu, offset) = self.find(address);
        let frame = &self.frames[smmu];
        if offset != CMDQ_PROD {
            let register = REGISTERS.iter().find(|r| r.page.base() + r.offset == offset).unwrap();
            self.note(smmu, format_args!("{} = {value:#x}", register.name));
        }
        frame.set(offset, value);
        match offset {
            CR0 | IRQ_CTRL => frame.set(offset + 4, value),
            GBPA => frame.set(GBPA, value & !(1 << 31)),
            CMDQ_PROD | GERRORN => self.consume(smmu),
            _ => {}
        }
    }

    fn now_ns(&self) -> u64 {
        self.now.get()
    }

    fn advance_to(&self, ns: u64) {
        self.now.set(self.now.get().max(ns));
    }

    fn promise(&self, promise: Promise) {
        let smmu = match promise {
            Promise::Unmapped { smmu, .. }
            | Promise::Detached { smmu, .. }
            | Promise::VmidFreed { smmu, .. }
            | Promise::VmidAssigned { smmu, .. }
            | Promise::AsidFreed { smmu, .. }
            | Promise::AsidAssigned { smmu, .. } => usize::from(smmu.0),
            Promise::PagesReturned { .. } | Promise::PagesLent { .. } => 0,
        };
        self.note(smmu, promise);
    }
}

/// A machine with a kernel. Device `n` is `nic{n}`, alone in group `n + 1`, with StreamID `0x100 * n + 8`.
pub(super) struct Bench {
    pub(super) platform: TestPlatform,
    pub(super) kernel: Kernel,
}

/// A CPU of the machine with the memory of a process.
pub(super) struct Desk<'b> {
    pub(super) cpu: DirectCpu<'b, TestPlatform>,
    pub(super) memory: UserSpace<&'b Ram>,
    bench: &'b Bench,
}

impl Bench {
    /// A machine whose SMMUs have these ID registers; device `n` is behind SMMU `behind[n]`.
    pub(super) fn new(ids: &[IdRegisters], behind: &[u8], options: Options) -> Self {
        Self::with(ids, behind, false, |device| device, options)
    }

    /// One SMMU and one device, with ATS where `ats` says so.
    pub(super) fn with_ats(ids: IdRegisters, ats: bool, options: Options) -> Self {
        Self::with(&[ids], &[0], ats, |device| device, options)
    }

    /// Device `n` is in group `1 + group(n)`.
    fn with(
        ids: &[IdRegisters],
        behind: &[u8],
        ats: bool,
        group: impl Fn(u32) -> u32,
        options: Options,
    ) -> Self {
        let smmu = |index: usize| SmmuNode {
            id: SmmuId(index as u8),
            registers: Pa(FRAME + FRAME_BYTES * index as u64),
        };
        let device = |(index, &smmu): (usize, &u8)| DeviceNode {
            name: format!("nic{index}"),
            group: 1 + group(index as u32),
            smmu: SmmuId(smmu),
            streams: vec![StreamId(0x100 * index as u32 + 8)],
            ats,
        };
        let hardware = Hardware {
            smmus: (0..ids.len()).map(smmu).collect(),
            devices: behind.iter().enumerate().map(device).collect(),
            heap: (RAM, HEAP_BYTES),
        };
        Self { platform: TestPlatform::new(ids), kernel: Kernel::new(hardware, options) }
    }

    /// One SMMU with these ID registers and two devices, booted.
    pub(super) fn booted(ids: IdRegisters, options: Options) -> Self {
        let bench = Self::new(&[ids], &[0, 0], options);
        bench.desk().boot();
        bench
    }

    /// One SMMU, and two devices that are one group, booted.
    pub(super) fn one_group(ids: IdRegisters, options: Options) -> Self {
        let bench = Self::with(&[ids], &[0, 0], false, |_| 0, options);
        bench.desk().boot();
        bench
    }

    /// The entry of a stream, as it stands in memory.
    pub(super) fn ste(&self, stream: StreamId) -> Ste {
        let ram = &self.platform.memory.ram;
        let base = self.platform.frames[0].word(STRTAB_BASE) & 0x00ff_ffff_ffff_ffc0;
        let level1 = L1Std::decode(ram.read_word(Pa(base + u64::from(stream.0 >> 8) * 8)).unwrap());
        let entry = level1.entry_address(stream.0 & 0xff, 8).unwrap();
        Ste::decode(&ram.read_words(Pa(entry)).unwrap())
    }

    /// Leaves the kernel no memory for tables.
    pub(super) fn exhaust_heap(&self) {
        self.kernel.take_heap(&self.desk().cpu);
    }

    pub(super) fn desk(&self) -> Desk<'_> {
        let memory = UserSpace::new(&self.platform.memory.ram);
        memory.map(USER, USER_PA, RAM_BYTES - HEAP_BYTES).unwrap();
        Desk { cpu: DirectCpu::new(&self.platform), memory, bench: self }
    }
}

impl Desk<'_> {
    pub(super) fn boot(&self) {
        self.bench.kernel.boot(&self.cpu).unwrap();
        self.bench.platform.take_trace();
    }

    pub(super) fn process(&self) -> Process<'_> {
        Process { kernel: &self.bench.kernel, cpu: &self.cpu, memory: &self.memory }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.bench.platform.take_trace()
    }
}

/// The reference SMMU with 8-bit VMIDs.
pub(super) fn narrow_vmids() -> IdRegisters {
    let reference = IdRegisters::REFERENCE;
    IdRegisters { idr0: reference.idr0 & !(1 << 18), ..reference }
}

/// The reference SMMU without range commands.
pub(super) fn without_ranges() -> IdRegisters {
    let reference = IdRegisters::REFERENCE;
    IdRegisters { idr3: reference.idr3 & !(1 << 10), ..reference }
}

/// The reference SMMU without stage 1.
pub(super) fn stage2_only() -> IdRegisters {
    let reference = IdRegisters::REFERENCE;
    IdRegisters { idr0: reference.idr0 & !(1 << 1), ..reference }
}

/// The reference SMMU without stage 2.
pub(super) fn stage1_only() -> IdRegisters {
    let reference = IdRegisters::REFERENCE;
    IdRegisters { idr0: reference.idr0 & !1, ..reference }
}
