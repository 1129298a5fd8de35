//! Numbers and structures of the VFIO ABI.
//!
//! Numbers come from `vfio-bindings`; the structures are declared again, because bytes from user
//! memory can be taken for them without `unsafe` only if they say that any bytes will do. Each is
//! held against the binding at compile time.

use crate::abi::mirror;
pub(crate) use crate::abi::{read, read_prefix, write};
use std::mem::{offset_of, size_of};
use vfio_bindings::bindings::vfio as abi;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `_IO(';', 100 + n)`.
const fn io(n: u32) -> u32 {
    (abi::VFIO_TYPE as u32) << 8 | (abi::VFIO_BASE + n)
}

/// `VFIO_GET_API_VERSION`.
pub const GET_API_VERSION: u32 = io(0);
/// `VFIO_CHECK_EXTENSION`.
pub const CHECK_EXTENSION: u32 = io(1);
/// `VFIO_SET_IOMMU`.
pub const SET_IOMMU: u32 = io(2);
/// `VFIO_GROUP_GET_STATUS`.
pub const GROUP_GET_STATUS: u32 = io(3);
/// `VFIO_GROUP_SET_CONTAINER`.
pub const GROUP_SET_CONTAINER: u32 = io(4);
/// `VFIO_GROUP_UNSET_CONTAINER`.
pub const GROUP_UNSET_CONTAINER: u32 = io(5);
/// `VFIO_GROUP_GET_DEVICE_FD`.
pub const GROUP_GET_DEVICE_FD: u32 = io(6);
/// `VFIO_DEVICE_GET_INFO`.
pub const DEVICE_GET_INFO: u32 = io(7);
/// `VFIO_DEVICE_RESET`.
pub const DEVICE_RESET: u32 = io(11);
/// `VFIO_IOMMU_GET_INFO`.
pub const IOMMU_GET_INFO: u32 = io(12);
/// `VFIO_IOMMU_MAP_DMA`.
pub const IOMMU_MAP_DMA: u32 = io(13);
/// `VFIO_IOMMU_UNMAP_DMA`.
pub const IOMMU_UNMAP_DMA: u32 = io(14);
/// `VFIO_IOMMU_DIRTY_PAGES`.
pub const IOMMU_DIRTY_PAGES: u32 = io(17);
/// `VFIO_DEVICE_BIND_IOMMUFD`.
pub const DEVICE_BIND_IOMMUFD: u32 = io(18);
/// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
pub const DEVICE_ATTACH_IOMMUFD_PT: u32 = io(19);
/// `VFIO_DEVICE_DETACH_IOMMUFD_PT`.
pub const DEVICE_DETACH_IOMMUFD_PT: u32 = io(20);
/// `VFIO_IOMMU_GET_VMID` of the series: the VMID goes to the pointer in the argument.
pub const IOMMU_GET_VMID: u32 = io(22);
/// `VFIO_IOMMU_SET_VMID` of the series: the VMID is the argument itself.
pub const IOMMU_SET_VMID: u32 = io(23);

/// `VFIO_TYPE1_NESTING_IOMMU`: removed from Linux, so the bindings have it no more.
pub const TYPE1_NESTING_IOMMU: u32 = 6;

/// The VMID of a container that has none.
pub const INVALID_VMID: u32 = u32::MAX;

mirror! {
    /// `struct vfio_group_status`.
    GroupStatus = vfio_group_status { argsz: u32, flags: u32, }
    /// `struct vfio_device_info`.
    DeviceInfo = vfio_device_info {
        argsz: u32, flags: u32, num_regions: u32, num_irqs: u32, cap_offset: u32, pad: u32,
    }
    /// `struct vfio_iommu_type1_info`.
    Type1Info = vfio_iommu_type1_info {
        argsz: u32, flags: u32, iova_pgsizes: u64, cap_offset: u32, pad: u32,
    }
    /// `struct vfio_info_cap_header`.
    CapHeader = vfio_info_cap_header { id: u16, version: u16, next: u32, }
    /// `struct vfio_iommu_type1_info_cap_iova_range`, without its ranges.
    CapIovaRange = vfio_iommu_type1_info_cap_iova_range {
        header: CapHeader, nr_iovas: u32, reserved: u32,
    }
    /// `struct vfio_iova_range`: both ends inclusive.
    IovaRange = vfio_iova_range { start: u64, end: u64, }
    /// `struct vfio_iommu_type1_info_dma_avail`.
    CapDmaAvail = vfio_iommu_type1_info_dma_avail { header: CapHeader, avail: u32, }
    /// `struct vfio_bitmap`; the pointer is a user address.
    Bitmap = vfio_bitmap { pgsize: u64, size: u64, data: u64, }
    /// `struct vfio_iommu_type1_dirty_bitmap`, without its data.
    DirtyBitmap = vfio_iommu_type1_dirty_bitmap { argsz: u32, flags: u32, }
    /// `struct vfio_iommu_type1_dirty_bitmap_get`.
    DirtyBitmapGet = vfio_iommu_type1_dirty_bitmap_get { iova: u64, size: u64, bitmap: Bitmap, }
    /// `struct vfio_device_bind_iommufd`.
    BindIommufd = vfio_device_bind_iommufd {
        argsz: u32, flags: u32, iommufd: i32, out_devid: u32, token_uuid_ptr: u64,
    }
    /// `struct vfio_device_attach_iommufd_pt`.
    AttachIommufdPt = vfio_device_attach_iommufd_pt {
        argsz: u32, flags: u32, pt_id: u32, pasid: u32,
    }
    /// `struct vfio_device_detach_iommufd_pt`.
    DetachIommufdPt = vfio_device_detach_iommufd_pt { argsz: u32, flags: u32, pasid: u32, }
    /// `struct vfio_iommu_type1_dma_map`.
    DmaMap = vfio_iommu_type1_dma_map { argsz: u32, flags: u32, vaddr: u64, iova: u64, size: u64, }
    /// `struct vfio_iommu_type1_dma_unmap`, without its bitmap.
    DmaUnmap = vfio_iommu_type1_dma_unmap { argsz: u32, flags: u32, iova: u64, size: u64, }
}

/// `struct vfio_iommu_type1_info_cap_migration`. The binding has a hole where `pad` stands.
#[repr(C)]
#[derive(
    Clone, Copy, PartialEq, Eq, Default, Debug, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[allow(missing_docs, reason = "the names are those of the ABI")]
pub struct CapMigration {
    pub header: CapHeader,
    pub flags: u32,
    pub pad: u32,
    pub pgsize_bitmap: u64,
    pub max_dirty_bitmap_size: u64,
}

const _: () = {
    use abi::vfio_iommu_type1_info_cap_migration as binding;
    assert!(size_of::<CapMigration>() == size_of::<binding>());
    assert!(offset_of!(CapMigration, pgsize_bitmap) == offset_of!(binding, pgsize_bitmap));
};

/// Bytes of `struct vfio_iommu_type1_info` that every caller must have: up to `iova_pgsizes`.
pub(crate) const TYPE1_INFO_MIN: usize = offset_of!(Type1Info, cap_offset);
/// Bytes of `struct vfio_device_info` that every caller must have: up to `num_irqs`.
pub(crate) const DEVICE_INFO_MIN: usize = offset_of!(DeviceInfo, cap_offset);
/// Bytes of `struct vfio_device_bind_iommufd` that every caller must have: up to `out_devid`.
pub(crate) const BIND_IOMMUFD_MIN: usize = offset_of!(BindIommufd, token_uuid_ptr);
/// Bytes of the attach and detach structures that every caller must have: all but `pasid`.
pub(crate) const ATTACH_IOMMUFD_PT_MIN: usize = offset_of!(AttachIommufdPt, pasid);
pub(crate) const DETACH_IOMMUFD_PT_MIN: usize = offset_of!(DetachIommufdPt, pasid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_abi() {
        assert_eq!((GET_API_VERSION, SET_IOMMU, IOMMU_MAP_DMA), (0x3b64, 0x3b66, 0x3b71));
        assert_eq!((IOMMU_GET_VMID, IOMMU_SET_VMID), (0x3b7a, 0x3b7b));
        assert_eq!((size_of::<DmaMap>(), size_of::<DmaUnmap>()), (32, 24));
        assert_eq!((DEVICE_BIND_IOMMUFD, DEVICE_DETACH_IOMMUFD_PT), (0x3b76, 0x3b78));
        assert_eq!((size_of::<BindIommufd>(), size_of::<AttachIommufdPt>()), (24, 16));
        assert_eq!((BIND_IOMMUFD_MIN, ATTACH_IOMMUFD_PT_MIN, DETACH_IOMMUFD_PT_MIN), (16, 12, 8));
    }
}
