//! A whole machine under test: board, scheduler, kernel, one process, and a checker that listens.
//!
//! Everything is reached as a user of the real thing would reach it: the kernel by its ioctls, the
//! SMMU by registers and memory, devices by their DMA.

use smmu_arch::registers::{Register, StrtabBase, StrtabBaseCfg};
use smmu_arch::{
    AddressSpace, Direction, Features, Iova, L1Std, Observation, Origin, Pa, Path, Promise, SmmuId,
    Ste, StreamId,
};
use smmu_bus::{Cpu, Memory, Mmio, Ram, UserSpace};
use smmu_check::{Checker, Globals, Verdict};
use smmu_kernel::client::Process;
use smmu_kernel::{DeviceNode, Hardware, Kernel, Options, SmmuNode};
use smmu_machine::{
    Blueprint, Board, DmaId, Document, Listener, Machine, MachineFile, MachineMemory, Order, Shared,
};
use smmu_master::{Dma, DmaSummary};
use std::rc::Rc;

/// Where the process sees the first byte of its memory.
pub const USER: u64 = 0x10_0000_0000;
/// Bytes of memory that the process has.
pub const USER_BYTES: u64 = 16 << 20;
/// Bytes at the start of memory that are the kernel's.
const HEAP_BYTES: u64 = 64 << 20;

/// A translation that a device was granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// SMMU.
    pub smmu: SmmuId,
    /// Stream.
    pub stream: StreamId,
    /// Tags of the TLB entry that served it; `None` for a bypass.
    pub space: Option<AddressSpace>,
    /// Whether it was a hit, or a walk.
    pub path: Path,
    /// Where it went.
    pub output: Pa,
}

/// Listens to a machine: the checker, and a list of what was translated.
#[derive(Debug)]
pub struct Watch {
    /// The checker.
    pub checker: Checker<Rc<Ram>>,
    /// Translations, oldest first.
    pub uses: Vec<Use>,
}

impl Listener for Watch {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        if let Observation::Translated { transaction, space, output, path } = *observation {
            let (smmu, stream) = (origin.smmu, transaction.stream);
            self.uses.push(Use { smmu, stream, space, path, output });
        }
        self.checker.observe(origin, observation);
    }

    fn stored(&mut self, pa: Pa, old: u64, new: u64) {
        self.checker.stored(pa, old, new);
    }

    fn promised(&mut self, promise: &Promise) {
        self.checker.promised(*promise);
    }

    fn globals(&mut self, smmu: SmmuId, globals: &Globals) {
        self.checker.globals(smmu, *globals);
    }
}

/// The machine, the kernel that was booted on it, and a process.
pub struct Testbed {
    /// The machine.
    pub machine: Machine<Watch>,
    /// Its kernel.
    pub kernel: Rc<Kernel>,
    blueprint: Blueprint,
    process: Rc<UserSpace<Rc<MachineMemory<Watch>>>>,
}

impl Testbed {
    /// Builds the machine of a machine file and boots the kernel.
    ///
    /// # Panics
    /// If the file is wrong, or the driver refuses the machine.
    #[must_use]
    pub fn new(machine: &str, options: Options, order: Order) -> Self {
        let document = Document::parse("machine.toml", machine).expect("TOML");
        let blueprint = MachineFile::load_document(&document).expect("a machine file");
        let board = Board::build(&blueprint, 1, |ram| watch(ram, &blueprint)).expect("a board");
        let mut machine = Machine::new(board, order);
        let hardware = hardware(&blueprint);
        let user = hardware.heap.0.offset(HEAP_BYTES);
        let kernel = Rc::new(Kernel::new(hardware, options));
        let process = Rc::new(UserSpace::new(Rc::clone(machine.memory())));
        process.map(USER, user, USER_BYTES).expect("memory of the process");
        let booting = Rc::clone(&kernel);
        let booted = machine.run(move |cpu| booting.boot(cpu)).expect("a boot that ends");
        booted.expect("a driver that probes");
        Self { machine, kernel, blueprint, process }
    }

    /// Runs a program of the process to its end.
    ///
    /// # Panics
    /// If the machine gets stuck.
    pub fn call<T: 'static>(&mut self, program: impl FnOnce(&Process<'_>) -> T + 'static) -> T {
        let program = self.program(program);
        self.machine.run(program).expect("a program that ends")
    }

    /// A program of the process, for a CPU of the machine.
    pub fn program<T: 'static>(
        &self,
        program: impl FnOnce(&Process<'_>) -> T + 'static,
    ) -> impl FnOnce(&dyn Cpu) -> T + 'static {
        let (kernel, memory) = (Rc::clone(&self.kernel), Rc::clone(&self.process));
        move |cpu| program(&Process { kernel: &kernel, cpu, memory: &*memory })
    }

    /// Starts `times` reads by a device of `bytes` bytes at `iova`, with its first StreamID.
    ///
    /// # Panics
    /// If the machine has no such device.
    pub fn start_dma(&mut self, device: &str, iova: u64, bytes: u64, times: usize) -> DmaId {
        let devices = &self.blueprint.devices;
        let index = devices.iter().position(|known| known.name == device).expect("a device");
        let dma = Dma {
            stream: StreamId(devices[index].streams[0]),
            substream: None,
            iova: Iova(iova),
            bytes,
            direction: Direction::Read,
            privileged: false,
        };
        self.machine.start_dma(index, std::iter::repeat_n(dma, times))
    }

    /// One read by a device, to its end.
    ///
    /// # Panics
    /// If the machine gets stuck.
    pub fn dma(&mut self, device: &str, iova: u64, bytes: u64) -> DmaSummary {
        let id = self.start_dma(device, iova, bytes, 1);
        self.machine.wait(id).expect("a DMA that ends")
    }

    /// Translations since the last call.
    pub fn take_uses(&mut self) -> Vec<Use> {
        self.machine.listener().with(|watch| std::mem::take(&mut watch.uses))
    }

    /// What the checker has found.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.machine.listener().with(|watch| watch.checker.verdicts().to_vec())
    }

    /// The STE of a stream as it stands in memory, found by the registers; `None` where the stream
    /// has no place in the table.
    ///
    /// # Panics
    /// If there is no such SMMU, or its table lies outside of memory.
    #[must_use]
    pub fn ste(&self, smmu: SmmuId, stream: StreamId) -> Option<Ste> {
        let base: StrtabBase = self.register(smmu);
        let config: StrtabBaseCfg = self.register(smmu);
        let entry = if config.is_two_level() {
            let split = config.effective_split();
            let level1 = Pa(base.address()).offset(u64::from(stream.0 >> split) * 8);
            let index = stream.0 & ((1 << split) - 1);
            Pa(L1Std::decode(self.word(level1)).entry_address(index, split)?)
        } else {
            Pa(base.address()).offset(u64::from(stream.0) * Ste::BYTES)
        };
        Some(Ste::decode(&std::array::from_fn(|word| self.word(entry.offset(8 * word as u64)))))
    }

    fn word(&self, pa: Pa) -> u64 {
        self.machine.memory().read_word(pa).expect("tables lie in memory")
    }

    fn register<R: Register>(&self, smmu: SmmuId) -> R {
        let smmu = self.machine.smmu(usize::from(smmu.0)).expect("an SMMU of the machine");
        let offset = u64::from(R::PAGE.base() + R::OFFSET);
        R::from_word(smmu.mmio_read(offset, (R::WIDTH / 8) as u8))
    }

    /// Who listens.
    #[must_use]
    pub fn listener(&self) -> &Shared<Watch> {
        self.machine.listener()
    }
}

fn watch(ram: &Rc<Ram>, blueprint: &Blueprint) -> Watch {
    let mut checker = Checker::new(Rc::clone(ram));
    for (index, smmu) in blueprint.smmus.iter().enumerate() {
        checker.add_smmu(SmmuId(index as u8), Features::decode(&smmu.ids));
    }
    Watch { checker, uses: Vec::new() }
}

fn hardware(blueprint: &Blueprint) -> Hardware {
    let smmu = |(index, smmu): (usize, &smmu_machine::SmmuBlueprint)| SmmuNode {
        id: SmmuId(index as u8),
        registers: Pa(smmu.registers),
    };
    let device = |device: &smmu_machine::DeviceBlueprint| DeviceNode {
        name: device.name.clone(),
        group: device.group,
        smmu: SmmuId(device.smmu as u8),
        streams: device.streams.iter().map(|&stream| StreamId(stream)).collect(),
        ats: device.ats.is_some(),
    };
    Hardware {
        smmus: blueprint.smmus.iter().enumerate().map(smmu).collect(),
        devices: blueprint.devices.iter().map(device).collect(),
        heap: (Pa(blueprint.memory[0].base), HEAP_BYTES),
    }
}
