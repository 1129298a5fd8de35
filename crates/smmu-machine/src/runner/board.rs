//! What is soldered on: memory, SMMUs at their addresses, ports of the devices, interrupt lines.

use super::endpoint::{Endpoint, endpoints};
use super::listener::{Listener, Shared};
use super::structures::structure_sizes;
use crate::file::{Blueprint, PMCG_STRIDE, SmmuBlueprint};
use smmu_arch::registers::{
    CMDQV_BYTES, Cr0, Cr0Ack, Cr2, Gbpa, Register, StrtabBase, StrtabBaseCfg,
};
use smmu_arch::{Pa, PortId, SmmuId, Why};
use smmu_bus::{
    Data, InterruptLine, MemoryMapError, Mmio, Outputs, Ram, Recording, Request, serve_memory,
};
use smmu_cache::GeometryError;
use smmu_check::Globals;
use smmu_device::{CmdqvFrame, Metered, NoSuchPort, Pmcg, PmcgConfig, Port, Smmu, SmmuConfig};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use thiserror::Error;

/// Memory of a machine. Every store is heard.
pub type MachineMemory<L> = Recording<Rc<Ram>, Shared<L>>;

/// A blueprint that cannot be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Memory regions.
    #[error(transparent)]
    Memory(#[from] MemoryMapError),
    /// A TLB.
    #[error("SMMU {smmu}: {source}")]
    Geometry {
        /// Name of the SMMU.
        smmu: String,
        /// What is wrong.
        source: GeometryError,
    },
    /// More devices than ports can be numbered.
    #[error(transparent)]
    Port(#[from] NoSuchPort),
}

/// The parts of a machine that do not act by themselves.
#[derive(Debug)]
pub struct Board<L: Listener> {
    pub(super) memory: Rc<MachineMemory<L>>,
    pub(super) smmus: Vec<Placed>,
    /// Ports by device.
    pub(super) ports: Vec<Port<Metered<Shared<L>>>>,
    /// Address translation caches by device.
    pub(super) endpoints: Vec<Option<Endpoint>>,
    pub(super) listener: Shared<L>,
    pub(super) interrupts: Interrupts,
}

/// An SMMU and the address of its registers.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) smmu: Arc<Smmu>,
    /// Where its registers are, and how many bytes.
    registers: (Pa, u64),
    /// Where those of its CMDQV are, if it has one.
    cmdqv: Option<Pa>,
    /// Its counter group. One without registers never counts.
    pub(super) pmcg: Arc<Pmcg>,
    pmcg_registers: Option<Pa>,
    globals: Globals,
}

/// Whose registers an address names.
#[derive(Clone, Copy)]
enum Window {
    Smmu,
    Cmdqv,
    Pmcg,
}

impl Placed {
    fn decode(&self, address: Pa) -> Option<(Window, u64)> {
        let within = |(base, bytes): (Pa, u64)| {
            address.0.checked_sub(base.0).filter(|&offset| offset < bytes)
        };
        let own = within(self.registers).map(|offset| (Window::Smmu, offset));
        own.or_else(|| within((self.cmdqv?, CMDQV_BYTES)).map(|offset| (Window::Cmdqv, offset)))
            .or_else(|| {
                let page = (self.pmcg_registers?, PMCG_STRIDE);
                within(page).map(|offset| (Window::Pmcg, offset))
            })
    }
}

/// Interrupts so far, by SMMU and line.
#[derive(Clone, Default, Debug)]
pub struct Interrupts {
    pulses: BTreeMap<(SmmuId, InterruptLine), usize>,
    events: u64,
}

impl Interrupts {
    /// How often a line was pulsed.
    #[must_use]
    pub fn count(&self, smmu: SmmuId, line: InterruptLine) -> usize {
        self.pulses.get(&(smmu, line)).copied().unwrap_or(0)
    }

    /// How often waiting CPUs were woken.
    #[must_use]
    pub const fn wake_ups(&self) -> u64 {
        self.events
    }
}

impl Outputs for Interrupts {
    fn pulse(&mut self, smmu: SmmuId, line: InterruptLine) {
        *self.pulses.entry((smmu, line)).or_default() += 1;
    }

    fn send_event(&mut self) {
        self.events += 1;
    }
}

impl<L: Listener> Board<L> {
    /// Builds what the blueprint describes. The seed starts random replacement; the listener is
    /// made when memory exists.
    ///
    /// # Errors
    /// What the blueprint's checks leave open: see [`BuildError`].
    pub fn build(
        blueprint: &Blueprint,
        seed: u64,
        listener: impl FnOnce(&Rc<Ram>) -> L,
    ) -> Result<Self, BuildError> {
        let regions = blueprint.memory.iter().map(|region| (Pa(region.base), region.bytes));
        let ram = Rc::new(Ram::new(regions)?);
        let listener = Shared::new(listener(&ram));
        let smmus = (0..blueprint.smmus.len())
            .map(|index| place(blueprint, index, seed))
            .collect::<Result<Vec<_>, _>>()?;
        let ports = connect(blueprint, &smmus, &listener)?;
        let memory = Rc::new(Recording::new(ram, listener.clone()));
        let (endpoints, interrupts) = (endpoints(blueprint), Interrupts::default());
        Ok(Self { memory, smmus, ports, endpoints, listener, interrupts })
    }

    /// Interrupts of counter groups that became due.
    pub(super) fn signal_overflows(&mut self) {
        for placed in &self.smmus {
            let Some(interrupt) = placed.pmcg.take_interrupt() else { continue };
            match interrupt.msi {
                Some((pa, data)) => {
                    let (data, why) = (Data::Half(data), Why::Msi);
                    // An MSI that meets no memory is lost: a PMCG has nowhere to report it.
                    let _ = serve_memory(&*self.memory, &Request::Write { pa, data, why });
                }
                None => self.interrupts.pulse(placed.smmu.id(), InterruptLine::CounterGroup),
            }
        }
    }

    /// The SMMU whose registers hold `address`, and where in them it is.
    fn decode(&self, address: Pa) -> Option<(usize, Window, u64)> {
        self.smmus.iter().enumerate().find_map(|(index, placed)| {
            placed.decode(address).map(|(window, offset)| (index, window, offset))
        })
    }

    /// A register read; nothing answers elsewhere, which reads as all ones.
    pub(super) fn mmio_read(&self, address: Pa, bytes: u8) -> u64 {
        match self.decode(address) {
            Some((index, Window::Smmu, offset)) => self.smmus[index].smmu.mmio_read(offset, bytes),
            Some((index, Window::Cmdqv, offset)) => {
                CmdqvFrame(Arc::clone(&self.smmus[index].smmu)).mmio_read(offset, bytes)
            }
            Some((index, Window::Pmcg, offset)) => self.smmus[index].pmcg.mmio_read(offset, bytes),
            None => u64::MAX >> (64 - 8 * u32::from(bytes.clamp(1, 8))),
        }
    }

    /// A register write; elsewhere it is lost.
    pub(super) fn mmio_write(&mut self, address: Pa, bytes: u8, value: u64) {
        let Some((index, window, offset)) = self.decode(address) else { return };
        let placed = &mut self.smmus[index];
        match window {
            Window::Smmu => placed.smmu.mmio_write(offset, bytes, value),
            Window::Cmdqv => {
                CmdqvFrame(Arc::clone(&placed.smmu)).mmio_write(offset, bytes, value);
            }
            Window::Pmcg => placed.pmcg.mmio_write(offset, bytes, value),
        }
        let globals = globals(&placed.smmu);
        if globals != placed.globals {
            placed.globals = globals;
            let id = placed.smmu.id();
            self.listener.with(|listener| listener.globals(id, &globals));
        }
    }
}

fn place(blueprint: &Blueprint, index: usize, seed: u64) -> Result<Placed, BuildError> {
    let drawn = &blueprint.smmus[index];
    let ports = blueprint.devices.iter().filter(|device| device.smmu == index).count();
    let smmu = build_smmu(drawn, index, ports, seed)?;
    let globals = globals(&smmu);
    Ok(Placed {
        smmu,
        registers: (Pa(drawn.registers), drawn.register_bytes()),
        cmdqv: drawn.cmdqv.map(|cmdqv| Pa(cmdqv.registers)),
        pmcg: Arc::new(Pmcg::new(&pmcg_config(drawn))),
        pmcg_registers: drawn.pmcg.map(|pmcg| Pa(pmcg.registers)),
        globals,
    })
}

/// The `index`th SMMU, with this many ports.
pub(crate) fn build_smmu(
    drawn: &SmmuBlueprint,
    index: usize,
    ports: usize,
    seed: u64,
) -> Result<Arc<Smmu>, BuildError> {
    let config = SmmuConfig {
        id: SmmuId(index as u8),
        id_registers: drawn.ids,
        structures: structure_sizes(drawn, seed),
        ports: ports as u16,
        cmdqv: drawn.cmdqv.map(|cmdqv| cmdqv.param),
    };
    let smmu = Smmu::new(&config);
    let smmu = smmu.map_err(|source| BuildError::Geometry { smmu: drawn.name.clone(), source })?;
    Ok(Arc::new(smmu))
}

fn pmcg_config(drawn: &SmmuBlueprint) -> PmcgConfig {
    let PmcgConfig { counters, counter_bits, msi } = PmcgConfig::default();
    let (counters, counter_bits) =
        drawn.pmcg.map_or((counters, counter_bits), |pmcg| (pmcg.counters, pmcg.counter_bits));
    PmcgConfig { counters, counter_bits, msi }
}

fn connect<L: Listener>(
    blueprint: &Blueprint,
    smmus: &[Placed],
    listener: &Shared<L>,
) -> Result<Vec<Port<Metered<Shared<L>>>>, BuildError> {
    let places = blueprint.devices.iter().zip(device_ports(blueprint));
    places
        .map(|(device, (_, number))| {
            let Placed { smmu, pmcg, .. } = &smmus[device.smmu];
            let observer = Metered::new(Arc::clone(pmcg), listener.clone());
            Ok(Port::new(Arc::clone(smmu), number, observer)?)
        })
        .collect()
}

/// The SMMU and the port of each device: ports are numbered in the order of the devices.
#[must_use]
pub fn device_ports(blueprint: &Blueprint) -> Vec<(SmmuId, PortId)> {
    let mut taken = vec![0; blueprint.smmus.len()];
    let mut next = |smmu: usize| {
        taken[smmu] += 1;
        (SmmuId(smmu as u8), PortId(taken[smmu] - 1))
    };
    blueprint.devices.iter().map(|device| next(device.smmu)).collect()
}

/// What the checker needs to know of the registers, read as software reads them.
pub(crate) fn globals(smmu: &Smmu) -> Globals {
    let (cr0, gbpa): (Cr0Ack, Gbpa) = (read(smmu), read(smmu));
    let (base, cfg): (StrtabBase, StrtabBaseCfg) = (read(smmu), read(smmu));
    let cr2: Cr2 = read(smmu);
    let enabled: Cr0 = read(smmu);
    Globals {
        smmuen: cr0.smmuen() && enabled.smmuen(),
        gbpa_abort: gbpa.abort(),
        strtab_base: Pa(base.address()),
        strtab_log2size: cfg.log2size(),
        split: cfg.effective_split(),
        two_level: cfg.is_two_level(),
        e2h: cr2.e2h(),
        recinvsid: cr2.recinvsid(),
    }
}

fn read<R: Register>(smmu: &Smmu) -> R {
    let offset = u64::from(R::PAGE.base() + R::OFFSET);
    R::from_word(smmu.mmio_read(offset, (R::WIDTH / 8) as u8))
}
