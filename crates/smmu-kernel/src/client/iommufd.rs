//! A client of iommufd: what a VMM with a virtual SMMU does, as typed calls.

use super::Process;
use crate::Errno;
use crate::iommufd_uapi::{
    self as uapi, Destroy, HwInfo, HwInfoArmSmmuv3, HwptAlloc, HwptInvalidate, IoasAlloc, IoasMap,
    IoasUnmap, VdeviceAlloc, VeventArmSmmuv3, VeventHeader, VeventqAlloc, ViommuAlloc,
};
use crate::uapi::{
    AttachIommufdPt, BindIommufd, DEVICE_ATTACH_IOMMUFD_PT, DEVICE_BIND_IOMMUFD,
    DEVICE_DETACH_IOMMUFD_PT, DetachIommufdPt,
};
use std::mem::size_of;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// An iommufd that is open.
#[derive(Clone, Copy)]
pub struct Iommufd<'k> {
    process: Process<'k>,
    fd: i32,
}

impl<'k> Iommufd<'k> {
    /// Opens `/dev/iommu`.
    ///
    /// # Errors
    /// ENOENT: a kernel without iommufd. EMFILE.
    pub fn open(process: &Process<'k>) -> Result<Self, Errno> {
        let fd = process.kernel.open(process.cpu, "/dev/iommu")?;
        Ok(Self { process: *process, fd })
    }

    /// The iommufd behind a descriptor that was opened before.
    #[must_use]
    pub const fn from_fd(process: &Process<'k>, fd: i32) -> Self {
        Self { process: *process, fd }
    }

    /// The descriptor.
    #[must_use]
    pub const fn fd(&self) -> i32 {
        self.fd
    }

    /// An ioctl; the first word of the structure, its size, is filled in.
    ///
    /// # Errors
    /// Those of the request.
    pub fn ioctl<T: IntoBytes + FromBytes + Immutable>(
        &self,
        request: u32,
        cmd: &mut T,
    ) -> Result<(), Errno> {
        let size = size_of::<T>() as u32;
        cmd.as_mut_bytes()[..4].copy_from_slice(size.as_bytes());
        self.process.ioctl_with(self.fd, request, cmd).map(drop)
    }

    /// `IOMMU_DESTROY`.
    ///
    /// # Errors
    /// ENOENT; EBUSY.
    pub fn destroy(&self, id: u32) -> Result<(), Errno> {
        self.ioctl(uapi::DESTROY, &mut Destroy { id, ..Destroy::default() })
    }

    /// `IOMMU_IOAS_ALLOC`.
    ///
    /// # Errors
    /// None of its own.
    pub fn alloc_ioas(&self) -> Result<u32, Errno> {
        let mut cmd = IoasAlloc::default();
        self.ioctl(uapi::IOAS_ALLOC, &mut cmd)?;
        Ok(cmd.out_ioas_id)
    }

    /// `IOMMU_IOAS_MAP` at an IOVA, for reads and writes.
    ///
    /// # Errors
    /// EINVAL, EOVERFLOW, ENOENT, EEXIST, EFAULT, ENOMEM.
    pub fn map(&self, ioas: u32, iova: u64, user_va: u64, length: u64) -> Result<(), Errno> {
        let flags = uapi::MAP_FIXED_IOVA | uapi::MAP_READABLE | uapi::MAP_WRITEABLE;
        let mut cmd = IoasMap { flags, ioas_id: ioas, user_va, length, iova, ..IoasMap::default() };
        self.ioctl(uapi::IOAS_MAP, &mut cmd)
    }

    /// `IOMMU_IOAS_UNMAP`; gives the bytes that were unmapped.
    ///
    /// # Errors
    /// EINVAL, EOVERFLOW, ENOENT.
    pub fn unmap(&self, ioas: u32, iova: u64, length: u64) -> Result<u64, Errno> {
        let mut cmd = IoasUnmap { ioas_id: ioas, iova, length, ..IoasUnmap::default() };
        self.ioctl(uapi::IOAS_UNMAP, &mut cmd)?;
        Ok(cmd.length)
    }

    /// `IOMMU_HWPT_ALLOC` of a page table that holds what an address space maps.
    ///
    /// # Errors
    /// EOPNOTSUPP, ENOENT, EINVAL, ENOSPC, ENOMEM.
    pub fn alloc_hwpt(&self, device: u32, ioas: u32, flags: u32) -> Result<u32, Errno> {
        let mut cmd = HwptAlloc { flags, dev_id: device, pt_id: ioas, ..HwptAlloc::default() };
        self.ioctl(uapi::HWPT_ALLOC, &mut cmd)?;
        Ok(cmd.out_hwpt_id)
    }

    /// `IOMMU_HWPT_ALLOC` of a guest's stage 1: words 0 and 1 of its STE. They are copied to `room`,
    /// 16 bytes of the process's memory.
    ///
    /// # Errors
    /// EIO: an entry that a guest may not have. EOPNOTSUPP, ENOENT, EINVAL.
    pub fn alloc_nested(
        &self,
        device: u32,
        viommu: u32,
        ste: [u64; 2],
        room: u64,
    ) -> Result<u32, Errno> {
        self.process.memory.write(room, ste.as_bytes())?;
        let mut cmd = HwptAlloc {
            dev_id: device,
            pt_id: viommu,
            data_type: uapi::HWPT_DATA_ARM_SMMUV3,
            data_len: size_of_val(&ste) as u32,
            data_uptr: room,
            ..HwptAlloc::default()
        };
        self.ioctl(uapi::HWPT_ALLOC, &mut cmd)?;
        Ok(cmd.out_hwpt_id)
    }

    /// `IOMMU_GET_HW_INFO`, through 40 bytes of the process's memory at `room`.
    ///
    /// # Errors
    /// ENOENT; EFAULT.
    pub fn hw_info(&self, device: u32, room: u64) -> Result<HwInfoArmSmmuv3, Errno> {
        let data_len = size_of::<HwInfoArmSmmuv3>() as u32;
        let mut cmd = HwInfo { dev_id: device, data_len, data_uptr: room, ..HwInfo::default() };
        self.ioctl(uapi::GET_HW_INFO, &mut cmd)?;
        let mut info = HwInfoArmSmmuv3::default();
        self.process.memory.read(room, info.as_mut_bytes())?;
        Ok(info)
    }

    /// `IOMMU_VIOMMU_ALLOC` above a stage 2 parent.
    ///
    /// # Errors
    /// EOPNOTSUPP, ENOENT, EINVAL.
    pub fn alloc_viommu(&self, device: u32, parent: u32) -> Result<u32, Errno> {
        let mut cmd = ViommuAlloc {
            type_: uapi::VIOMMU_TYPE_ARM_SMMUV3,
            dev_id: device,
            hwpt_id: parent,
            ..ViommuAlloc::default()
        };
        self.ioctl(uapi::VIOMMU_ALLOC, &mut cmd)?;
        Ok(cmd.out_viommu_id)
    }

    /// `IOMMU_VDEVICE_ALLOC`: the guest names the device by the StreamID `virt_id`.
    ///
    /// # Errors
    /// ENOENT, EINVAL, EEXIST, EOPNOTSUPP.
    pub fn alloc_vdevice(&self, viommu: u32, device: u32, virt_id: u64) -> Result<u32, Errno> {
        let mut cmd =
            VdeviceAlloc { viommu_id: viommu, dev_id: device, virt_id, ..VdeviceAlloc::default() };
        self.ioctl(uapi::VDEVICE_ALLOC, &mut cmd)?;
        Ok(cmd.out_vdevice_id)
    }

    /// `IOMMU_HWPT_INVALIDATE` with commands of a guest, copied to `room`; gives how many were
    /// consumed, also when it fails.
    pub fn invalidate(
        &self,
        viommu: u32,
        commands: &[[u64; 2]],
        room: u64,
    ) -> (u32, Result<(), Errno>) {
        if let Err(fault) = self.process.memory.write(room, commands.as_bytes()) {
            return (0, Err(fault.into()));
        }
        let mut cmd = HwptInvalidate {
            hwpt_id: viommu,
            data_uptr: room,
            data_type: uapi::INVALIDATE_DATA_ARM_SMMUV3,
            entry_len: size_of::<[u64; 2]>() as u32,
            entry_num: commands.len() as u32,
            ..HwptInvalidate::default()
        };
        let result = self.ioctl(uapi::HWPT_INVALIDATE, &mut cmd);
        (cmd.entry_num, result)
    }

    /// `IOMMU_VEVENTQ_ALLOC`.
    ///
    /// # Errors
    /// EOPNOTSUPP, EINVAL, ENOENT, EEXIST, EMFILE.
    pub fn alloc_veventq(&self, viommu: u32, depth: u32) -> Result<EventQueue<'k>, Errno> {
        let mut cmd = VeventqAlloc {
            viommu_id: viommu,
            type_: uapi::VEVENTQ_TYPE_ARM_SMMUV3,
            veventq_depth: depth,
            ..VeventqAlloc::default()
        };
        self.ioctl(uapi::VEVENTQ_ALLOC, &mut cmd)?;
        let (id, fd) = (cmd.out_veventq_id, cmd.out_veventq_fd as i32);
        Ok(EventQueue { process: self.process, id, fd })
    }

    /// Closes the descriptor. Bound devices and event queues keep what is behind it.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(self) -> Result<(), Errno> {
        self.process.close(self.fd)
    }
}

/// An event queue of a vIOMMU.
#[derive(Clone, Copy)]
pub struct EventQueue<'k> {
    process: Process<'k>,
    id: u32,
    fd: i32,
}

impl<'k> EventQueue<'k> {
    /// The queue behind a descriptor, and the number of its object.
    #[must_use]
    pub const fn from_fd(process: &Process<'k>, fd: i32, id: u32) -> Self {
        Self { process: *process, id, fd }
    }

    /// The number of the object.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The descriptor.
    #[must_use]
    pub const fn fd(&self) -> i32 {
        self.fd
    }

    /// Reads the oldest record through 40 bytes of the process's memory at `room`: its header, and
    /// the event record unless it tells of lost ones. `None` where there is nothing.
    ///
    /// # Errors
    /// EFAULT.
    pub fn read(
        &self,
        room: u64,
    ) -> Result<Option<(VeventHeader, Option<VeventArmSmmuv3>)>, Errno> {
        let (mut header, mut event) = (VeventHeader::default(), VeventArmSmmuv3::default());
        let whole = (size_of_val(&header) + size_of_val(&event)) as u64;
        let Process { kernel, cpu, memory } = self.process;
        let bytes = kernel.read(cpu, memory, self.fd, room, whole)?;
        if bytes == 0 {
            return Ok(None);
        }
        memory.read(room, header.as_mut_bytes())?;
        memory.read(room + size_of_val(&header) as u64, event.as_mut_bytes())?;
        Ok(Some((header, (bytes == whole).then_some(event))))
    }

    /// Closes the descriptor.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(self) -> Result<(), Errno> {
        self.process.close(self.fd)
    }
}

/// A device that is open without its group.
#[derive(Clone, Copy)]
pub struct DeviceFile<'k> {
    process: Process<'k>,
    fd: i32,
}

impl<'k> DeviceFile<'k> {
    /// Opens `/dev/vfio/devices/vfioN`.
    ///
    /// # Errors
    /// ENOENT; EMFILE.
    pub fn open(process: &Process<'k>, number: usize) -> Result<Self, Errno> {
        let path = format!("/dev/vfio/devices/vfio{number}");
        Ok(Self { process: *process, fd: process.kernel.open(process.cpu, &path)? })
    }

    /// The device behind a descriptor that was opened before.
    #[must_use]
    pub const fn from_fd(process: &Process<'k>, fd: i32) -> Self {
        Self { process: *process, fd }
    }

    /// The descriptor.
    #[must_use]
    pub const fn fd(&self) -> i32 {
        self.fd
    }

    /// `VFIO_DEVICE_BIND_IOMMUFD`; gives the number of the device's object.
    ///
    /// # Errors
    /// EINVAL, EBUSY, EBADF, EBADFD, EPERM.
    pub fn bind(&self, iommufd: &Iommufd<'_>) -> Result<u32, Errno> {
        let argsz = size_of::<BindIommufd>() as u32;
        let mut bind = BindIommufd { argsz, iommufd: iommufd.fd, ..BindIommufd::default() };
        self.process.ioctl_with(self.fd, DEVICE_BIND_IOMMUFD, &mut bind)?;
        Ok(bind.out_devid)
    }

    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT` to an address space or an HWPT; gives the HWPT.
    ///
    /// # Errors
    /// EINVAL, ENOENT, EADDRINUSE, ENOSPC, ENOMEM.
    pub fn attach(&self, pt: u32) -> Result<u32, Errno> {
        let argsz = size_of::<AttachIommufdPt>() as u32;
        let mut attach = AttachIommufdPt { argsz, pt_id: pt, ..AttachIommufdPt::default() };
        self.process.ioctl_with(self.fd, DEVICE_ATTACH_IOMMUFD_PT, &mut attach)?;
        Ok(attach.pt_id)
    }

    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`.
    ///
    /// # Errors
    /// EINVAL: not bound.
    pub fn detach(&self) -> Result<(), Errno> {
        let argsz = size_of::<DetachIommufdPt>() as u32;
        let mut detach = DetachIommufdPt { argsz, ..DetachIommufdPt::default() };
        self.process.ioctl_with(self.fd, DEVICE_DETACH_IOMMUFD_PT, &mut detach).map(drop)
    }

    /// Closes the descriptor: the device is detached and blocked.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(self) -> Result<(), Errno> {
        self.process.close(self.fd)
    }
}
