//! The driver model: like Linux's arm-smmu-v3, in straight-line code over a CPU.
//!
//! Architecture: IHI 0070. What Linux does is told from its published sources' behaviour; each
//! place where this driver is simpler says so.

mod asid;
mod atc;
mod counters;
mod domain;
mod entries;
mod entry_writer;
mod events;
mod heap;
mod ids;
mod invalidate;
mod nested;
mod probe;
mod queue;
mod registers;
mod reset;
mod sharing;
mod strtab;
mod unmap;
mod vmid;

pub use counters::SmmuStatistics;
pub use ids::IdPolicy;
pub use probe::{ProbeError, Refusal};

pub(crate) use domain::{Domain, DomainKind};
pub(crate) use invalidate::Tag;
pub(crate) use nested::{VirtualSte, guest_command};
pub(crate) use sharing::Sharing;
pub(crate) use unmap::Deferred;
pub(crate) use vmid::SharedVmids;

use crate::faults::{FaultSwitch, Faults};
use crate::guarded::{Guarded, LockNumbers};
use crate::log::{Log, Notice};
use crate::{Errno, Hardware, Oops, Options};
use counters::Counters;
use events::EventQueue;
use heap::Heap;
use ids::IdAllocator;
use queue::{BATCH_COMMANDS, Batch, CommandQueue};
use registers::RegisterFrame;
use smmu_arch::registers::{Aidr, Idr0, Idr1, Idr2, Idr3, Idr4, Idr5, Iidr};
use smmu_arch::{Command, Features, Promise, SmmuId, StreamId};
use smmu_bus::Cpu;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use strtab::StreamTable;
use vmid::VmidTable;

/// All that the drivers of a machine share.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) options: Options,
    /// All mistakes that the kernel makes.
    mistakes: Faults,
    /// Why the kernel stopped, if it did.
    oops: Cell<Option<Oops>>,
    pub(crate) log: Log,
    pub(crate) heap: Heap,
    /// VMIDs that several SMMUs and containers share (`rfc-fixed`).
    pub(crate) shared_vmids: SharedVmids,
    /// What the containers of one shared VMID have mapped.
    pub(crate) sharing: Sharing,
    next_domain: Cell<u64>,
    booting: Cell<bool>,
    /// Filled once, by probing.
    smmus: OnceCell<Vec<Smmu>>,
}

impl Driver {
    pub(crate) fn new(locks: &LockNumbers, hardware: &Hardware, options: Options) -> Self {
        Self {
            mistakes: options.mistakes(),
            options,
            oops: Cell::new(None),
            log: Log::default(),
            heap: Heap::new(locks, hardware.heap),
            shared_vmids: SharedVmids::new(locks),
            sharing: Sharing::new(locks),
            next_domain: Cell::new(0),
            booting: Cell::new(false),
            smmus: OnceCell::new(),
        }
    }

    /// Probes and starts every SMMU, then places the stream table entries of every device.
    pub(crate) fn boot(
        &self,
        cpu: &dyn Cpu,
        locks: &LockNumbers,
        hardware: &Hardware,
    ) -> Result<(), ProbeError> {
        if self.booting.replace(true) {
            return Err(ProbeError::AlreadyBooted);
        }
        let smmus = self.start(self.env(cpu), locks, hardware);
        self.booting.set(smmus.is_ok());
        self.smmus.set(smmus?).map_err(|_| ProbeError::AlreadyBooted)
    }

    fn start(
        &self,
        env: Env<'_>,
        locks: &LockNumbers,
        hardware: &Hardware,
    ) -> Result<Vec<Smmu>, ProbeError> {
        let mut smmus = Vec::new();
        for node in &hardware.smmus {
            let mut smmu = probe::probe(env, locks, node)?;
            let behind: Vec<_> =
                hardware.devices.iter().filter(|device| device.smmu == node.id).collect();
            smmu.ats_streams = atc::streams(&smmu.features, &behind);
            reset::reset(env, &smmu).map_err(|refusal| refusal.of(node.id))?;
            smmus.push(smmu);
        }
        check_groups(hardware)?;
        for device in &hardware.devices {
            let smmu = smmus.iter().find(|smmu| smmu.id == device.smmu);
            let smmu = smmu.ok_or(Refusal::NoSuchSmmu.of(device.smmu))?;
            for &stream in &device.streams {
                strtab::place(env, smmu, stream).map_err(|refusal| refusal.of(smmu.id))?;
            }
        }
        Ok(smmus)
    }

    /// The SMMUs, none before boot.
    pub(crate) fn smmus(&self) -> &[Smmu] {
        self.smmus.get().map_or(&[], Vec::as_slice)
    }

    /// The context of code that runs on a CPU.
    pub(crate) fn env<'a>(&'a self, cpu: &'a dyn Cpu) -> Env<'a> {
        Env { cpu, driver: self }
    }

    /// Why the kernel stopped, if it did.
    pub(crate) const fn oops(&self) -> Option<Oops> {
        self.oops.get()
    }

    /// A number that no domain had before.
    fn number_domain(&self) -> u64 {
        let number = self.next_domain.get();
        self.next_domain.set(number + 1);
        number
    }

    /// The SMMU of this number.
    pub(crate) fn smmu(&self, id: SmmuId) -> Option<&Smmu> {
        self.smmus().iter().find(|smmu| smmu.id == id)
    }
}

/// Devices of one group stand behind one SMMU, and names tell devices apart.
fn check_groups(hardware: &Hardware) -> Result<(), ProbeError> {
    for (index, device) in hardware.devices.iter().enumerate() {
        for other in &hardware.devices[..index] {
            if other.name == device.name {
                return Err(ProbeError::DuplicateDevice { name: device.name.clone() });
            }
            if other.group == device.group && other.smmu != device.smmu {
                return Err(ProbeError::SplitGroup { group: device.group });
            }
        }
    }
    Ok(())
}

/// What a driver function needs: the CPU that runs it and what all of them share.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) cpu: &'a dyn Cpu,
    pub(crate) driver: &'a Driver,
}

impl Env<'_> {
    /// Whether a fault is switched on.
    pub(crate) fn has(self, fault: FaultSwitch) -> bool {
        self.driver.mistakes.has(fault)
    }

    /// The kernel stops here; the first cause counts. What is left of the call is of no meaning.
    pub(crate) fn oops(self, cause: Oops) -> Errno {
        self.driver.oops.set(self.driver.oops.get().or(Some(cause)));
        Errno::EIO
    }

    pub(crate) fn log(self, smmu: &Smmu, notice: Notice) {
        self.driver.log.add(self.cpu.now_ns(), smmu.id, notice);
    }
}

/// One SMMU, probed.
#[derive(Debug)]
pub(crate) struct Smmu {
    pub(crate) id: SmmuId,
    pub(crate) features: Features,
    pub(crate) frame: RegisterFrame,
    pub(crate) counters: Counters,
    queue: Guarded<CommandQueue>,
    events: Guarded<EventQueue>,
    streams: Guarded<StreamTable>,
    vmids: Guarded<VmidTable>,
    asids: Guarded<IdAllocator>,
    /// Streams whose entries turn ATS on.
    ats_streams: BTreeSet<StreamId>,
}

impl Smmu {
    /// Lets streams pass untranslated.
    ///
    /// # Errors
    /// EIO.
    pub(crate) fn bypass_streams(&self, env: Env<'_>, streams: &[StreamId]) -> Result<(), Errno> {
        let entry = entries::bypass();
        streams.iter().try_for_each(|&stream| strtab::write(env, self, stream, &entry))
    }

    /// Blocks streams that are in no domain.
    pub(crate) fn block_streams(&self, env: Env<'_>, streams: &[StreamId]) {
        for &stream in streams {
            // Every stream got its place at boot.
            let _ = strtab::write(env, self, stream, &entries::abort());
            env.cpu.promise(Promise::Detached { smmu: self.id, stream });
        }
    }

    /// Sends one command, and waits for it where `sync` says so.
    pub(crate) fn issue(&self, env: Env<'_>, command: Command, sync: bool) {
        let mut batch = Batch::new(env, self);
        batch.add(command);
        if sync { batch.sync() } else { batch.leave() }
    }

    /// Sends a guest's commands, with a CMD_SYNC behind each block of at most 63, and waits.
    pub(crate) fn issue_for_guest(&self, env: Env<'_>, commands: &[Command]) {
        for block in commands.chunks(BATCH_COMMANDS - 1) {
            let mut batch = Batch::new(env, self);
            block.iter().for_each(|&command| batch.add(command));
            batch.sync();
        }
    }

    /// Whether a guest may have its own stage 1: both stages, and the guest cannot undo that
    /// memory is cacheable (IDR3.FWB).
    pub(crate) const fn nests(&self) -> bool {
        self.features.s1p && self.features.s2p && self.features.fwb
    }

    /// IDR0 to IDR5, IIDR and AIDR, as the registers read.
    pub(crate) fn id_words(&self, env: Env<'_>) -> [u32; 8] {
        [
            self.frame.read::<Idr0>(env).into(),
            self.frame.read::<Idr1>(env).into(),
            self.frame.read::<Idr2>(env).into(),
            self.frame.read::<Idr3>(env).into(),
            self.frame.read::<Idr4>(env).into(),
            self.frame.read::<Idr5>(env).into(),
            self.frame.read::<Iidr>(env).into(),
            self.frame.read::<Aidr>(env).into(),
        ]
    }

    /// Drains the Event queue.
    pub(crate) fn service_events(&self, env: Env<'_>) -> Vec<smmu_arch::Event> {
        events::service(env, self)
    }

    /// Looks after global errors, as the GERROR interrupt handler does.
    pub(crate) fn service_errors(&self, env: Env<'_>) {
        queue::service_errors(env, self);
    }

    /// What the driver counted, with the numbers that are in use now.
    pub(crate) fn statistics(&self) -> SmmuStatistics {
        let vmids = self.vmids.peek(VmidTable::in_use).unwrap_or_default();
        let asids = self.asids.peek(IdAllocator::in_use).unwrap_or_default();
        self.counters.statistics(self.id, vmids, asids)
    }
}
