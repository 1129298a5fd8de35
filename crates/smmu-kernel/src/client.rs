//! A VFIO client: what a user-space driver or a VMM does, as typed calls.
//!
//! Every call goes through [`Kernel::ioctl`] with the real number and the real bytes. A descriptor
//! lives until it is closed by name: a client that forgets leaves it open, as a process does.

pub mod iommufd;

use crate::uapi::{self, DmaMap, DmaUnmap, GroupStatus, INVALID_VMID};
use crate::{ContainerView, Errno, Kernel};
use smmu_bus::{Cpu, Pinned, UserFault, UserMemory};
use std::cell::RefCell;
use std::mem::size_of;
use vfio_bindings::bindings::vfio as abi;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A process that runs on a CPU.
#[derive(Clone, Copy)]
pub struct Process<'k> {
    /// The kernel.
    pub kernel: &'k Kernel,
    /// The CPU that runs the process, and the kernel on its behalf.
    pub cpu: &'k dyn Cpu,
    /// The memory of the process.
    pub memory: &'k dyn UserMemory,
}

/// Where the arguments of ioctls stand while the call is made: the top of the address space, which
/// no mapping of a process reaches.
const STACK: u64 = 0xffff_ffff_0000;

/// The memory of the process with one argument on the stack.
struct Frame<'a> {
    memory: &'a dyn UserMemory,
    bytes: RefCell<Vec<u8>>,
}

impl Frame<'_> {
    /// The place of an access inside the argument, if it is there.
    fn place(&self, address: u64, bytes: usize) -> Option<std::ops::Range<usize>> {
        let first = usize::try_from(address.checked_sub(STACK)?).ok()?;
        let end = first.checked_add(bytes)?;
        (end <= self.bytes.borrow().len()).then_some(first..end)
    }
}

impl UserMemory for Frame<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), UserFault> {
        match self.place(address, bytes.len()) {
            Some(place) => bytes.copy_from_slice(&self.bytes.borrow()[place]),
            None => self.memory.read(address, bytes)?,
        }
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), UserFault> {
        match self.place(address, bytes.len()) {
            Some(place) => self.bytes.borrow_mut()[place].copy_from_slice(bytes),
            None => self.memory.write(address, bytes)?,
        }
        Ok(())
    }

    fn pin(&self, address: u64, bytes: u64) -> Result<Vec<Pinned>, UserFault> {
        self.memory.pin(address, bytes)
    }

    fn unpin(&self, pinned: &Pinned) {
        self.memory.unpin(pinned);
    }
}

impl Process<'_> {
    /// An ioctl whose argument is a number.
    ///
    /// # Errors
    /// Those of the request.
    pub fn ioctl(&self, fd: i32, request: u32, argument: u64) -> Result<i64, Errno> {
        self.kernel.ioctl(self.cpu, self.memory, fd, u64::from(request), argument)
    }

    /// An ioctl whose argument points to `value`; the kernel may change it.
    ///
    /// # Errors
    /// Those of the request.
    pub fn ioctl_with<T: IntoBytes + FromBytes + Immutable>(
        &self,
        fd: i32,
        request: u32,
        value: &mut T,
    ) -> Result<i64, Errno> {
        let mut bytes = value.as_bytes().to_vec();
        let result = self.ioctl_bytes(fd, request, &mut bytes);
        value.as_mut_bytes().copy_from_slice(&bytes);
        result
    }

    /// An ioctl whose argument points to bytes; the kernel may change them.
    ///
    /// # Errors
    /// Those of the request.
    pub fn ioctl_bytes(&self, fd: i32, request: u32, bytes: &mut Vec<u8>) -> Result<i64, Errno> {
        let frame = Frame { memory: self.memory, bytes: RefCell::new(std::mem::take(bytes)) };
        let result = self.kernel.ioctl(self.cpu, &frame, fd, u64::from(request), STACK);
        *bytes = frame.bytes.into_inner();
        result
    }

    /// Closes a descriptor.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(&self, fd: i32) -> Result<(), Errno> {
        self.kernel.close(self.cpu, self.memory, fd)
    }
}

/// Kinds of `VFIO_SET_IOMMU`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IommuType {
    /// `VFIO_TYPE1_IOMMU`.
    Type1,
    /// `VFIO_TYPE1v2_IOMMU`.
    Type1v2,
    /// `VFIO_TYPE1_NESTING_IOMMU`.
    Nesting,
}

impl IommuType {
    /// The number of the ABI.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Type1 => abi::VFIO_TYPE1_IOMMU,
            Self::Type1v2 => abi::VFIO_TYPE1v2_IOMMU,
            Self::Nesting => uapi::TYPE1_NESTING_IOMMU,
        }
    }
}

/// A container that is open.
#[derive(Clone, Copy)]
pub struct Container<'k> {
    process: Process<'k>,
    fd: i32,
}

impl<'k> Container<'k> {
    /// The container behind a descriptor that was opened before.
    #[must_use]
    pub const fn from_fd(process: &Process<'k>, fd: i32) -> Self {
        Self { process: *process, fd }
    }

    /// Opens `/dev/vfio/vfio`.
    ///
    /// # Errors
    /// EMFILE.
    pub fn open(process: &Process<'k>) -> Result<Self, Errno> {
        let fd = process.kernel.open(process.cpu, "/dev/vfio/vfio")?;
        Ok(Self { process: *process, fd })
    }

    /// The descriptor.
    #[must_use]
    pub const fn fd(&self) -> i32 {
        self.fd
    }

    /// `VFIO_CHECK_EXTENSION`.
    ///
    /// # Errors
    /// None of its own.
    pub fn check_extension(&self, extension: u32) -> Result<bool, Errno> {
        Ok(self.process.ioctl(self.fd, uapi::CHECK_EXTENSION, u64::from(extension))? != 0)
    }

    /// `VFIO_SET_IOMMU`.
    ///
    /// # Errors
    /// EINVAL: no group, or set before. ENODEV: not this kernel's. ENOSPC: no VMID or ASID is free.
    /// EPERM: the series as posted cannot read the VMID of a nesting container.
    pub fn set_iommu(&self, kind: IommuType) -> Result<(), Errno> {
        self.process.ioctl(self.fd, uapi::SET_IOMMU, u64::from(kind.number())).map(drop)
    }

    /// `VFIO_IOMMU_GET_VMID`; `None` while the container has no VMID.
    ///
    /// # Errors
    /// EINVAL, ENOTTY: a kernel without this extension.
    pub fn get_vmid(&self) -> Result<Option<u32>, Errno> {
        let mut vmid = INVALID_VMID;
        self.process.ioctl_with(self.fd, uapi::IOMMU_GET_VMID, &mut vmid)?;
        Ok((vmid != INVALID_VMID).then_some(vmid))
    }

    /// `VFIO_IOMMU_SET_VMID`.
    ///
    /// # Errors
    /// EINVAL: no such VMID. EBUSY: it is another's. EINVAL, ENOTTY: a kernel without this extension.
    pub fn set_vmid(&self, vmid: u32) -> Result<(), Errno> {
        self.process.ioctl(self.fd, uapi::IOMMU_SET_VMID, u64::from(vmid)).map(drop)
    }

    /// `VFIO_IOMMU_MAP_DMA`: devices may read and write `size` bytes of memory at `vaddr` by `iova`.
    ///
    /// # Errors
    /// EINVAL, EOVERFLOW, EEXIST, ENOSPC, ENOMEM, EFAULT.
    pub fn map_dma(&self, iova: u64, vaddr: u64, size: u64) -> Result<(), Errno> {
        let flags = abi::VFIO_DMA_MAP_FLAG_READ | abi::VFIO_DMA_MAP_FLAG_WRITE;
        self.map_dma_with(iova, vaddr, size, flags)
    }

    /// `VFIO_IOMMU_MAP_DMA` for devices that only read.
    ///
    /// # Errors
    /// As [`Container::map_dma`].
    pub fn map_dma_read_only(&self, iova: u64, vaddr: u64, size: u64) -> Result<(), Errno> {
        self.map_dma_with(iova, vaddr, size, abi::VFIO_DMA_MAP_FLAG_READ)
    }

    fn map_dma_with(&self, iova: u64, vaddr: u64, size: u64, flags: u32) -> Result<(), Errno> {
        let argsz = size_of::<DmaMap>() as u32;
        let mut map = DmaMap { argsz, flags, vaddr, iova, size };
        self.process.ioctl_with(self.fd, uapi::IOMMU_MAP_DMA, &mut map).map(drop)
    }

    /// `VFIO_IOMMU_UNMAP_DMA`; gives the bytes that were unmapped.
    ///
    /// # Errors
    /// EINVAL, EOVERFLOW.
    pub fn unmap_dma(&self, iova: u64, size: u64) -> Result<u64, Errno> {
        self.unmap_dma_with(iova, size, 0)
    }

    /// `VFIO_IOMMU_UNMAP_DMA` of all mappings; gives the bytes that were unmapped.
    ///
    /// # Errors
    /// EINVAL: no IOMMU is set.
    pub fn unmap_all(&self) -> Result<u64, Errno> {
        self.unmap_dma_with(0, 0, abi::VFIO_DMA_UNMAP_FLAG_ALL)
    }

    fn unmap_dma_with(&self, iova: u64, size: u64, flags: u32) -> Result<u64, Errno> {
        let mut unmap = DmaUnmap { argsz: size_of::<DmaUnmap>() as u32, flags, iova, size };
        self.process.ioctl_with(self.fd, uapi::IOMMU_UNMAP_DMA, &mut unmap)?;
        Ok(unmap.size)
    }

    /// What the kernel knows of the container.
    ///
    /// # Errors
    /// EBADF: it was closed.
    pub fn view(&self) -> Result<ContainerView, Errno> {
        let Process { kernel, cpu, memory } = self.process;
        kernel.container(cpu, memory, self.fd)
    }

    /// Closes the descriptor; groups inside keep the container.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(self) -> Result<(), Errno> {
        self.process.close(self.fd)
    }
}

/// A group that is open.
#[derive(Clone, Copy)]
pub struct Group<'k> {
    process: Process<'k>,
    fd: i32,
}

impl<'k> Group<'k> {
    /// Opens `/dev/vfio/N`.
    ///
    /// # Errors
    /// ENOENT: no such group. EBUSY: it is open.
    pub fn open(process: &Process<'k>, number: u32) -> Result<Self, Errno> {
        let fd = process.kernel.open(process.cpu, &format!("/dev/vfio/{number}"))?;
        Ok(Self { process: *process, fd })
    }

    /// The group behind a descriptor that was opened before.
    #[must_use]
    pub const fn from_fd(process: &Process<'k>, fd: i32) -> Self {
        Self { process: *process, fd }
    }

    /// The descriptor.
    #[must_use]
    pub const fn fd(&self) -> i32 {
        self.fd
    }

    /// `VFIO_GROUP_GET_STATUS`: the flags.
    ///
    /// # Errors
    /// None of its own.
    pub fn status(&self) -> Result<u32, Errno> {
        let mut status = GroupStatus { argsz: size_of::<GroupStatus>() as u32, flags: 0 };
        self.process.ioctl_with(self.fd, uapi::GROUP_GET_STATUS, &mut status)?;
        Ok(status.flags)
    }

    /// `VFIO_GROUP_SET_CONTAINER`.
    ///
    /// # Errors
    /// EINVAL: it has one. Where the container has an IOMMU, the errors of [`Container::set_iommu`].
    pub fn set_container(&self, container: &Container<'_>) -> Result<(), Errno> {
        let mut fd = container.fd;
        self.process.ioctl_with(self.fd, uapi::GROUP_SET_CONTAINER, &mut fd).map(drop)
    }

    /// `VFIO_GROUP_UNSET_CONTAINER`.
    ///
    /// # Errors
    /// EINVAL: it has none. EBUSY: a device is open.
    pub fn unset_container(&self) -> Result<(), Errno> {
        self.process.ioctl(self.fd, uapi::GROUP_UNSET_CONTAINER, 0).map(drop)
    }

    /// `VFIO_GROUP_GET_DEVICE_FD`.
    ///
    /// # Errors
    /// ENODEV: no such device in the group. EINVAL: no container, or no IOMMU is set.
    pub fn device(&self, name: &str) -> Result<Device<'k>, Errno> {
        let mut name = [name.as_bytes(), &[0]].concat();
        let fd = self.process.ioctl_bytes(self.fd, uapi::GROUP_GET_DEVICE_FD, &mut name)?;
        Ok(Device { process: self.process, fd: fd as i32 })
    }

    /// Closes the descriptor. Devices of the group that are open keep it.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(self) -> Result<(), Errno> {
        self.process.close(self.fd)
    }
}

/// A device that is open.
#[derive(Clone, Copy)]
pub struct Device<'k> {
    process: Process<'k>,
    fd: i32,
}

impl Device<'_> {
    /// The descriptor.
    #[must_use]
    pub const fn fd(&self) -> i32 {
        self.fd
    }

    /// `VFIO_DEVICE_RESET`: mappings and VMID survive.
    ///
    /// # Errors
    /// None of its own.
    pub fn reset(&self) -> Result<(), Errno> {
        self.process.ioctl(self.fd, uapi::DEVICE_RESET, 0).map(drop)
    }

    /// Closes the descriptor.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(self) -> Result<(), Errno> {
        self.process.close(self.fd)
    }
}
