//! The machine that is called.

use super::judge::{Desk, Ear};
use super::outputs::{Host, HostOutputs, WithMessages};
use super::seen::Seen;
use crate::file::Blueprint;
use crate::runner::{BuildError, build_smmu, globals};
use parking_lot::{Mutex, MutexGuard};
use smmu_arch::{
    Access, AddressSpace, AtcInv, Direction, Features, Iova, PortId, Promise, SmmuId, Stage,
    StreamId, SubstreamId, Transaction,
};
use smmu_bus::{AtcAnswer, Memory, Mmio};
use smmu_check::{Checker, Counters, Verdict};
use smmu_device::{AtcOutcome, CmdqvFrame, Port, Smmu};
use smmu_master::Atc;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a hosted machine is run.
#[derive(Clone, Copy, Debug)]
pub struct HostedOptions {
    /// Seed of random replacement.
    pub seed: u64,
    /// Whether the checker watches. It makes calls from several threads take turns.
    pub check: bool,
}

impl Default for HostedOptions {
    fn default() -> Self {
        Self { seed: 0, check: true }
    }
}

/// A machine whose CPUs and memory belong to a [`Host`].
///
/// ```
/// use smmu_arch::{Direction, Iova, Pa, SmmuId, StreamId};
/// use smmu_bus::Ram;
/// use smmu_machine::MachineFile;
/// use smmu_machine::hosted::{Access, Hosted, HostedOptions};
///
/// let blueprint = MachineFile::of_preset("adversary").blueprint().unwrap();
/// let ram = Ram::new([(Pa(0), 1 << 20)]).unwrap();
/// let machine = Hosted::new(&blueprint, HostedOptions::default(), ram, ()).unwrap();
/// assert_eq!(machine.mmio_read(blueprint.smmus[0].registers + 0x20, 4), 0); // CR0 after reset
/// // After reset, SMMUEN is 0 and GBPA lets transactions pass.
/// let access = Access::new(SmmuId(0), StreamId(1), Iova(0x1000), Direction::Read);
/// assert_eq!(machine.translate(&access).unwrap(), Pa(0x1000));
/// ```
#[derive(Debug)]
pub struct Hosted<M: Memory, H: Host> {
    pub(super) desk: Arc<Desk<M, H>>,
    pub(super) smmus: Vec<Unit<M, H>>,
    /// Held through a call where the checker watches: it is told of things in their order.
    turn: Mutex<()>,
}

/// A port of a hosted machine.
pub(super) type HostPort<M, H> = Port<Ear<M, H>>;

/// An SMMU, where it is, and what stands in front of it.
#[derive(Debug)]
pub(super) struct Unit<M: Memory, H: Host> {
    pub(super) smmu: Arc<Smmu>,
    registers: (u64, u64),
    cmdqv: Option<u64>,
    /// Ports of the devices, and one for every other stream.
    pub(super) ports: Vec<Mutex<HostPort<M, H>>>,
    /// The port of each stream that a device has.
    pub(super) port_of: BTreeMap<StreamId, usize>,
    pub(super) atcs: BTreeMap<StreamId, Endpoint>,
}

/// The address translation cache of a device of the machine file.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) atc: Arc<Mutex<Atc>>,
    answers: bool,
}

impl<M: Memory, H: Host> Hosted<M, H> {
    /// Builds the SMMUs and devices of a blueprint, over memory of the host's own: memory regions
    /// of the blueprint do not count.
    ///
    /// # Errors
    /// What the checks of the blueprint leave open.
    pub fn new(
        blueprint: &Blueprint,
        options: HostedOptions,
        memory: M,
        host: H,
    ) -> Result<Self, BuildError> {
        let memory = Arc::new(Seen::new(memory));
        let checker = options.check.then(|| {
            let mut checker = Checker::new(Arc::clone(&memory));
            for (index, smmu) in blueprint.smmus.iter().enumerate() {
                checker.add_smmu(SmmuId(index as u8), Features::decode(&smmu.ids));
            }
            Mutex::new(checker)
        });
        let desk = Arc::new(Desk { host, memory, checker });
        let smmus = (0..blueprint.smmus.len())
            .map(|index| Unit::new(blueprint, index, options.seed, &desk))
            .collect::<Result<_, _>>()?;
        let machine = Self { desk, smmus, turn: Mutex::new(()) };
        machine.smmus.iter().for_each(|unit| machine.tell_globals(unit));
        Ok(machine)
    }

    /// The host that was given.
    pub fn host(&self) -> &H {
        &self.desk.host
    }

    /// The memory that was given.
    pub fn memory(&self) -> &M {
        self.desk.memory.memory()
    }

    /// A register read of 4 or 8 bytes at a physical address. Nothing answers elsewhere, which
    /// reads as all ones.
    pub fn mmio_read(&self, address: u64, bytes: u8) -> u64 {
        let _turn = self.take_turn();
        let read = self.smmus.iter().find_map(|unit| match unit.decode(address)? {
            Window::Smmu(offset) => Some(unit.smmu.mmio_read(offset, bytes)),
            Window::Cmdqv(offset) => {
                Some(CmdqvFrame(Arc::clone(&unit.smmu)).mmio_read(offset, bytes))
            }
        });
        read.unwrap_or(u64::MAX >> (64 - 8 * u32::from(bytes.clamp(1, 8))))
    }

    /// A register write of 4 or 8 bytes, and all that follows from it: commands, records,
    /// interrupts. Elsewhere it is lost.
    pub fn mmio_write(&self, address: u64, bytes: u8, value: u64) {
        let _turn = self.take_turn();
        let found = self.smmus.iter().find_map(|unit| Some((unit, unit.decode(address)?)));
        let Some((unit, window)) = found else { return };
        self.desk.catch_up();
        match window {
            Window::Smmu(offset) => unit.smmu.mmio_write(offset, bytes, value),
            Window::Cmdqv(offset) => {
                CmdqvFrame(Arc::clone(&unit.smmu)).mmio_write(offset, bytes, value);
            }
        }
        self.tell_globals(unit);
        self.pump(unit);
    }

    /// Software was told something. See also [`Hosted::unmapped`].
    pub fn promise(&self, promise: Promise) {
        let _turn = self.take_turn();
        self.promised(promise);
    }

    /// An unmap of these input addresses of a stream has returned. The tags of its address space
    /// are those that the tables name now. `false` where they name none: nothing can be promised.
    pub fn unmapped(
        &self,
        smmu: SmmuId,
        stream: StreamId,
        substream: Option<SubstreamId>,
        first: u64,
        last: u64,
    ) -> bool {
        let _turn = self.take_turn();
        self.desk.catch_up();
        let iova = Iova(first);
        let access = Access::data(Direction::Read);
        let transaction = Transaction { stream, substream, iova, access };
        let Some(space) = self.space_of(smmu, &transaction) else { return false };
        let stage1 = space.kind.has_stage1();
        self.promised(Promise::Unmapped {
            smmu,
            stage: if stage1 { Stage::Stage1 } else { Stage::Stage2 },
            vmid: space.vmid,
            asid: stage1.then_some(space.asid),
            first,
            last,
        });
        true
    }

    /// Everything that the checker found so far; empty where none watches.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let checker = self.desk.checker.as_ref();
        checker.map_or_else(Vec::new, |checker| checker.lock().verdicts().to_vec())
    }

    /// How many verdicts there are.
    #[must_use]
    pub fn verdict_count(&self) -> usize {
        self.desk.checker.as_ref().map_or(0, |checker| checker.lock().verdicts().len())
    }

    /// What the checker counted; `None` where none watches.
    #[must_use]
    pub fn counters(&self) -> Option<Counters> {
        Some(*self.desk.checker.as_ref()?.lock().counters())
    }

    /// An endpoint of the host's own has ended an invalidation that it took for later.
    pub fn atc_invalidated(&self, smmu: SmmuId, outcome: AtcOutcome) {
        let _turn = self.take_turn();
        let Some(unit) = self.unit(smmu) else { return };
        unit.smmu.atc_invalidation_ended(outcome);
        self.pump(unit);
    }

    pub(super) fn unit(&self, smmu: SmmuId) -> Option<&Unit<M, H>> {
        self.smmus.get(usize::from(smmu.0))
    }

    /// Calls take turns where the checker watches.
    pub(super) fn take_turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.desk.checker.is_some().then(|| self.turn.lock())
    }

    /// Does what an SMMU has to do by itself.
    pub(super) fn pump(&self, unit: &Unit<M, H>) {
        let endpoints = |invalidation: &AtcInv| unit.invalidate_atc(invalidation);
        let host = &self.desk.host;
        let mut outputs = HostOutputs { host, endpoints: &endpoints };
        // What queues hold is not remembered: it says nothing about translations.
        let memory = WithMessages { memory: self.memory(), host };
        let _ = unit.smmu.pump(&memory, &mut Ear(Arc::clone(&self.desk)), &mut outputs);
    }

    fn promised(&self, promise: Promise) {
        self.desk.catch_up();
        if let Some(checker) = &self.desk.checker {
            checker.lock().promised(promise);
        }
    }

    fn space_of(&self, smmu: SmmuId, transaction: &Transaction) -> Option<AddressSpace> {
        let reference = self.desk.checker.as_ref()?.lock().reference(smmu)?;
        reference.rule(&*self.desk.memory, transaction).space
    }

    fn tell_globals(&self, unit: &Unit<M, H>) {
        if let Some(checker) = &self.desk.checker {
            checker.lock().globals(unit.smmu.id(), globals(&unit.smmu));
        }
    }
}

/// Whose registers an address names, and where in them it is.
enum Window {
    Smmu(u64),
    Cmdqv(u64),
}

impl<M: Memory, H: Host> Unit<M, H> {
    fn new(
        blueprint: &Blueprint,
        index: usize,
        seed: u64,
        desk: &Arc<Desk<M, H>>,
    ) -> Result<Self, BuildError> {
        let drawn = &blueprint.smmus[index];
        let devices = || blueprint.devices.iter().filter(|device| device.smmu == index);
        let ports = devices().count() + 1;
        let smmu = build_smmu(drawn, index, ports, seed)?;
        let port = |number| {
            Port::new(Arc::clone(&smmu), PortId(number as u16), Ear(Arc::clone(desk)))
                .map(Mutex::new)
        };
        let ports = (0..ports).map(port).collect::<Result<_, _>>()?;
        let (mut port_of, mut atcs) = (BTreeMap::new(), BTreeMap::new());
        for (number, device) in devices().enumerate() {
            let endpoint = device.ats.map(|ats| Endpoint {
                atc: Arc::new(Mutex::new(Atc::new(ats.entries as usize))),
                answers: ats.answers,
            });
            for &stream in &device.streams {
                port_of.insert(StreamId(stream), number);
                atcs.extend(endpoint.clone().map(|endpoint| (StreamId(stream), endpoint)));
            }
        }
        let registers = (drawn.registers, drawn.register_bytes());
        let cmdqv = drawn.cmdqv.map(|cmdqv| cmdqv.registers);
        Ok(Self { smmu, registers, cmdqv, ports, port_of, atcs })
    }

    fn decode(&self, address: u64) -> Option<Window> {
        let within = |base, bytes| address.checked_sub(base).filter(|&offset: &u64| offset < bytes);
        within(self.registers.0, self.registers.1)
            .map(Window::Smmu)
            .or_else(|| within(self.cmdqv?, smmu_arch::registers::CMDQV_BYTES).map(Window::Cmdqv))
    }

    /// An endpoint of the machine's own forgets at once: no access of it is under way.
    fn invalidate_atc(&self, invalidation: &AtcInv) -> Option<AtcAnswer> {
        let endpoint = self.atcs.get(&invalidation.stream)?;
        if endpoint.answers {
            endpoint.atc.lock().invalidate(invalidation);
        } else {
            self.smmu.atc_invalidation_begun();
            self.smmu.atc_invalidation_ended(AtcOutcome::TimedOut);
        }
        Some(AtcAnswer::Completed)
    }
}
