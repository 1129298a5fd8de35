//! The kernel side of Smmulator: a model of Linux's SMMUv3 driver under fake VFIO objects.
//!
//! The driver is straight-line code over [`smmu_bus::Cpu`]. It sees registers and memory and never
//! the device, so that it can be run against any SMMU: at once, in virtual time, or in every
//! interleaving. File descriptors, ioctl numbers, structures and errno values are those of Linux, so
//! that an unmodified client can be put on top; [`client`] is one. Beside containers and groups there
//! are `/dev/iommu` and device files, by which a guest gets an SMMU of its own: [`client::iommufd`].
//!
//! Three [`Personality`]s: the patch series that shares VMIDs between containers as it was posted,
//! with its bugs; the same as its document means it; and Linux 7.2. [`Faults`] are mistakes that can
//! be switched on.
//!
//! The two fragments of that document, as a client writes them:
//!
//! ```no_run
//! use smmu_kernel::client::{Container, Group, IommuType, Process};
//! # fn virtual_machine(process: Process) -> Result<(), smmu_kernel::Errno> {
//! // The first device of a virtual machine: the kernel picks a VMID.
//! let first = Container::open(&process)?;
//! Group::open(&process, 1)?.set_container(&first)?;
//! first.set_iommu(IommuType::Nesting)?;
//! let vmid = first.get_vmid()?.expect("a nesting container has a VMID");
//!
//! // Every further device takes the same one.
//! let second = Container::open(&process)?;
//! Group::open(&process, 2)?.set_container(&second)?;
//! second.set_vmid(vmid)?;
//! second.set_iommu(IommuType::Nesting)?;
//! # Ok(())
//! # }
//! ```

mod abi;
pub mod client;
mod driver;
mod errno;
mod faults;
mod guarded;
mod host;
mod iommufd;
mod kernel;
mod log;
mod oops;
mod personality;
#[cfg(test)]
mod tests;
mod vfio;

pub use driver::{IdPolicy, ProbeError, Refusal, SmmuStatistics};
pub use errno::Errno;
pub use faults::{FaultInfo, FaultSwitch, Faults, UnknownFault};
pub use iommufd::uapi as iommufd_uapi;
pub use kernel::{DeviceNode, Hardware, Idle, Kernel, Options, SmmuNode, Statistics};
pub use log::{LogEntry, Notice};
pub use oops::Oops;
pub use personality::Personality;
pub use vfio::{ContainerView, DomainView, uapi};
