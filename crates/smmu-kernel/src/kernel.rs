//! The kernel: what a machine gives it, and what a process asks of it.

use crate::driver::{Driver, IdPolicy, ProbeError, SmmuStatistics};
use crate::guarded::LockNumbers;
use crate::log::LogEntry;
use crate::vfio::{ContainerView, Vfio};
use crate::{DomainView, Errno, Faults, Oops, Personality};
use smmu_arch::{Command, Event, Features, Iova, Pa, SmmuId, StreamId};
use smmu_bus::{Cpu, UserMemory};
use smmu_tables::Prot;

/// What firmware tells the kernel of the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hardware {
    /// SMMUs.
    pub smmus: Vec<SmmuNode>,
    /// Devices behind them.
    pub devices: Vec<DeviceNode>,
    /// Memory for queues and tables: first byte and length. It reads as zero before boot, and the
    /// kernel alone writes to it.
    pub heap: (Pa, u64),
}

/// One SMMU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmmuNode {
    /// Its number.
    pub id: SmmuId,
    /// Address of register page 0; page 1 follows.
    pub registers: Pa,
}

/// One device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceNode {
    /// Name, by which `VFIO_GROUP_GET_DEVICE_FD` finds it.
    pub name: String,
    /// N of `/dev/vfio/N`.
    pub group: u32,
    /// SMMU in front of it: the same for all devices of a group.
    pub smmu: SmmuId,
    /// Its StreamIDs.
    pub streams: Vec<StreamId>,
    /// It has an ATS capability.
    pub ats: bool,
}

/// What a device does that no container holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Idle {
    /// Its transactions abort.
    #[default]
    Blocked,
    /// Its transactions pass untranslated: the host's own driver uses it (`iommu.passthrough=1`).
    Identity,
    /// The host's own driver uses it through the DMA API ([`Kernel::dma_map`]).
    Dma {
        /// Unmaps are invalidated later, many at once (`iommu.strict=0`).
        lazy: bool,
    },
}

/// How the kernel behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Which kernel it is.
    pub personality: Personality,
    /// Which mistakes it makes beside those of its own.
    pub faults: Faults,
    /// Which mistakes of its own it does not make. Those of [`Personality::Rfc`] stay:
    /// [`Personality::RfcFixed`] is that kernel without them.
    pub repairs: Faults,
    /// Which free VMID or ASID is taken. Linux takes the lowest.
    pub id_policy: IdPolicy,
    /// Without range commands, an unmap that would take as many TLBIs as a table has entries takes
    /// one for the whole ASID or VMID (recent Linux). Otherwise each leaf has its TLBI (older Linux).
    pub tlbi_limit: bool,
    /// What the devices do that no container holds.
    pub idle: Idle,
    /// IOVAs 0x800_0000 to 0x80f_ffff are kept for MSI doorbells, as on arm64 Linux.
    pub msi_window: bool,
    /// Mappings in one container at most (the module parameter `dma_entry_limit`).
    pub dma_entry_limit: u32,
    /// Bytes that one container may have mapped (`RLIMIT_MEMLOCK`).
    pub memlock_bytes: u64,
}

impl Options {
    /// A kernel without added mistakes and with Linux's defaults.
    #[must_use]
    pub const fn new(personality: Personality) -> Self {
        Self {
            personality,
            faults: Faults::NONE,
            repairs: Faults::NONE,
            id_policy: IdPolicy::FirstFit,
            tlbi_limit: true,
            idle: Idle::Blocked,
            msi_window: true,
            dma_entry_limit: 65_535,
            memlock_bytes: u64::MAX,
        }
    }

    /// All mistakes that the kernel makes.
    #[must_use]
    pub fn mistakes(&self) -> Faults {
        self.personality.mistakes().without(self.repairs).union(self.faults)
    }
}

/// What the kernel did since boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// By SMMU, in the order of [`Hardware::smmus`].
    pub smmus: Vec<SmmuStatistics>,
    /// Bytes of the heap that are free; `None` while a CPU is in the allocator.
    pub heap_free_bytes: Option<u64>,
}

/// A kernel that drives the SMMUs of a machine and offers VFIO.
///
/// Every call runs on a CPU that the caller gives. CPUs may be coroutines of one host thread: the
/// kernel's state stands behind locks of the modelled machine.
#[derive(Debug)]
pub struct Kernel {
    hardware: Hardware,
    locks: LockNumbers,
    driver: Driver,
    vfio: Vfio,
}

impl Kernel {
    /// A kernel that is not booted yet.
    #[must_use]
    pub fn new(hardware: Hardware, options: Options) -> Self {
        let locks = LockNumbers::default();
        let driver = Driver::new(&locks, &hardware, options);
        let vfio = Vfio::new(&locks, &hardware.devices);
        Self { hardware, locks, driver, vfio }
    }

    /// Probes every SMMU, resets it and turns translation on. Every device aborts from then on.
    ///
    /// # Errors
    /// [`ProbeError`]: which SMMU was refused, and why.
    pub fn boot(&self, cpu: &dyn Cpu) -> Result<(), ProbeError> {
        self.driver.boot(cpu, &self.locks, &self.hardware)?;
        self.vfio.start_host(self.driver.env(cpu))
    }

    /// The DMA API: maps memory for a transfer of a device that the host holds, and gives the IOVA.
    /// Devices may read it, and write where `write` says so. Needs [`Idle::Dma`].
    ///
    /// # Errors
    /// ENODEV: no such device, or it is in a container, or the host does not translate. EINVAL: not
    /// whole pages. ENOSPC: no IOVA is free. ENOMEM, EIO.
    pub fn dma_map(
        &self,
        cpu: &dyn Cpu,
        device: &str,
        output: Pa,
        bytes: u64,
        write: bool,
    ) -> Result<Iova, Errno> {
        let prot = if write { Prot::READ_WRITE } else { Prot::READ };
        self.vfio.host_of(device)?.map(self.driver.env(cpu), output, bytes, prot)
    }

    /// The DMA API: ends a transfer that [`Kernel::dma_map`] began. In lazy mode the device may reach
    /// the memory until the queue of unmaps is invalidated: with the 256th of them, or by
    /// [`Kernel::tick`] after 10 ms.
    ///
    /// # Errors
    /// ENODEV; EINVAL: nothing was mapped as that.
    pub fn dma_unmap(
        &self,
        cpu: &dyn Cpu,
        device: &str,
        iova: Iova,
        bytes: u64,
    ) -> Result<(), Errno> {
        self.vfio.host_of(device)?.unmap(self.driver.env(cpu), iova, bytes)
    }

    /// A process whose ASID the domain of a device has shares its address space with some device:
    /// the domain gets another ASID, and the old one is free.
    ///
    /// # Errors
    /// ENODEV: no such device, or it is in no container. ENOSPC, EIO.
    pub fn seize_asid(&self, cpu: &dyn Cpu, device: &str) -> Result<(), Errno> {
        self.check_running()?;
        let index = self.hardware.devices.iter().position(|node| node.name == device);
        self.vfio.seize_asid(self.driver.env(cpu), index.ok_or(Errno::ENODEV)?)
    }

    /// The kernel's timer: invalidates what lazy unmaps left for 10 ms.
    pub fn tick(&self, cpu: &dyn Cpu) {
        self.vfio.tick(self.driver.env(cpu));
    }

    /// Opens `/dev/vfio/vfio` (a new container), `/dev/vfio/N` (a group), and where the kernel has
    /// iommufd `/dev/iommu` or `/dev/vfio/devices/vfioN` (device N of [`Hardware::devices`]); gives a
    /// descriptor.
    ///
    /// # Errors
    /// ENOENT; EBUSY: the group is in use; ENODEV: not booted; EMFILE.
    pub fn open(&self, cpu: &dyn Cpu, path: &str) -> Result<i32, Errno> {
        self.check_running()?;
        let env = self.driver.env(cpu);
        self.vfio.open(env, &self.locks, path)
    }

    /// Closes a descriptor. With the last one of a group its devices are blocked; with the last
    /// group of a container all its mappings go.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(&self, cpu: &dyn Cpu, process: &dyn UserMemory, fd: i32) -> Result<(), Errno> {
        self.check_running()?;
        self.vfio.close(self.vfio.call(cpu, &self.driver, process), fd)
    }

    /// Why the kernel stopped: a mistake after which it would have corrupted its memory or crashed.
    /// Every call after that gives EIO.
    #[must_use]
    pub const fn oops(&self) -> Option<Oops> {
        self.driver.oops()
    }

    const fn check_running(&self) -> Result<(), Errno> {
        if self.oops().is_some() { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Gives a second descriptor for the same open file.
    ///
    /// # Errors
    /// EBADF, EMFILE.
    pub fn dup(&self, cpu: &dyn Cpu, fd: i32) -> Result<i32, Errno> {
        self.vfio.dup(cpu, fd)
    }

    /// Reads from an event queue of an iommufd into `bytes` bytes of user memory at `buffer`: whole
    /// records, as many as there are and fit. Gives the bytes, 0 where there is none.
    ///
    /// # Errors
    /// EBADF; EINVAL: the descriptor is of something else; EFAULT.
    pub fn read(
        &self,
        cpu: &dyn Cpu,
        process: &dyn UserMemory,
        fd: i32,
        buffer: u64,
        bytes: u64,
    ) -> Result<u64, Errno> {
        self.vfio.read(self.vfio.call(cpu, &self.driver, process), fd, (buffer, bytes))
    }

    /// Whether [`Kernel::read`] would find something: what `poll` says.
    ///
    /// # Errors
    /// EBADF; EINVAL: the descriptor is of something else.
    pub fn is_readable(
        &self,
        cpu: &dyn Cpu,
        process: &dyn UserMemory,
        fd: i32,
    ) -> Result<bool, Errno> {
        self.vfio.is_readable(self.vfio.call(cpu, &self.driver, process), fd)
    }

    /// An ioctl. Of `request` the kernel takes 32 bits, as Linux does. The result is 0 or a value:
    /// a version, an extension, a descriptor.
    ///
    /// # Errors
    /// As Linux: see [`crate::uapi`] and [`crate::iommufd_uapi`] for the requests.
    pub fn ioctl(
        &self,
        cpu: &dyn Cpu,
        process: &dyn UserMemory,
        fd: i32,
        request: u64,
        argument: u64,
    ) -> Result<i64, Errno> {
        self.check_running()?;
        let call = self.vfio.call(cpu, &self.driver, process);
        let result = self.vfio.ioctl(call, fd, request as u32, argument);
        self.check_running()?;
        result
    }

    /// Takes every record out of the Event queue of an SMMU, oldest first: the handler of its
    /// interrupt. An event that is a guest's goes to the event queue of its vIOMMU; the others are
    /// given back. Empty for an SMMU that there is not.
    pub fn service_events(&self, cpu: &dyn Cpu, smmu: SmmuId) -> Vec<Event> {
        let Some(driven) = self.driver.smmu(smmu) else { return Vec::new() };
        let env = self.driver.env(cpu);
        let mut events = driven.service_events(env);
        events.retain(|event| !self.vfio.report(env, smmu, event));
        events
    }

    /// Puts a command into the queue of an SMMU, beside what domains send, and a CMD_SYNC behind it
    /// where `sync` says so: what a person does who debugs a driver. Nothing happens for an SMMU
    /// that was not probed.
    pub fn issue(&self, cpu: &dyn Cpu, smmu: SmmuId, command: Command, sync: bool) {
        if let Some(smmu) = self.driver.smmu(smmu) {
            smmu.issue(self.driver.env(cpu), command, sync);
        }
    }

    /// Logs and acknowledges the global errors of an SMMU: the handler of their interrupt.
    pub fn service_errors(&self, cpu: &dyn Cpu, smmu: SmmuId) {
        if let Some(smmu) = self.driver.smmu(smmu) {
            smmu.service_errors(self.driver.env(cpu));
        }
    }

    /// What a container holds now.
    ///
    /// # Errors
    /// EBADF; EBADFD: the descriptor is none of a container.
    pub fn container(
        &self,
        cpu: &dyn Cpu,
        process: &dyn UserMemory,
        fd: i32,
    ) -> Result<ContainerView, Errno> {
        self.vfio.view(self.vfio.call(cpu, &self.driver, process), fd)
    }

    /// The domain that a device uses now: that of its container, or the page table that it is
    /// attached to through an iommufd. `None` where it is in neither.
    #[must_use]
    pub fn domain_of(&self, cpu: &dyn Cpu, device: &str) -> Option<DomainView> {
        let index = self.hardware.devices.iter().position(|node| node.name == device)?;
        self.vfio.domain_of(self.driver.env(cpu), index)
    }

    /// What the driver read from the ID registers of an SMMU; `None` before boot.
    #[must_use]
    pub fn features(&self, smmu: SmmuId) -> Option<&Features> {
        self.driver.smmu(smmu).map(|smmu| &smmu.features)
    }

    /// Counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            smmus: self.driver.smmus().iter().map(|smmu| smmu.statistics()).collect(),
            heap_free_bytes: self.driver.heap.free_bytes(),
        }
    }

    /// The kernel's log, oldest line first.
    #[must_use]
    pub fn log(&self) -> Vec<LogEntry> {
        self.driver.log.entries()
    }

    /// What the machine told the kernel.
    #[must_use]
    pub const fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// How the kernel behaves.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.driver.options
    }

    /// Takes all of the heap, so that a test sees what happens then.
    #[cfg(test)]
    pub(crate) fn take_heap(&self, cpu: &dyn Cpu) {
        let env = self.driver.env(cpu);
        (6..40).rev().for_each(|log2| while self.driver.heap.allocate(env, 1 << log2).is_ok() {});
    }
}
