//! Numbers and structures of the iommufd ABI, as [`crate::uapi`] has those of VFIO.

use crate::Errno;
use crate::abi::mirror;
use iommufd_bindings::iommufd as abi;
use smmu_bus::UserMemory;
use std::mem::{offset_of, size_of};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `_IO(';', n)`.
const fn io(n: u32) -> u32 {
    (abi::IOMMUFD_TYPE as u32) << 8 | n
}

/// `IOMMU_DESTROY`.
pub const DESTROY: u32 = io(abi::IOMMUFD_CMD_DESTROY);
/// `IOMMU_IOAS_ALLOC`.
pub const IOAS_ALLOC: u32 = io(abi::IOMMUFD_CMD_IOAS_ALLOC);
/// `IOMMU_IOAS_ALLOW_IOVAS`.
pub const IOAS_ALLOW_IOVAS: u32 = io(abi::IOMMUFD_CMD_IOAS_ALLOW_IOVAS);
/// `IOMMU_IOAS_COPY`.
pub const IOAS_COPY: u32 = io(abi::IOMMUFD_CMD_IOAS_COPY);
/// `IOMMU_IOAS_IOVA_RANGES`.
pub const IOAS_IOVA_RANGES: u32 = io(abi::IOMMUFD_CMD_IOAS_IOVA_RANGES);
/// `IOMMU_IOAS_MAP`.
pub const IOAS_MAP: u32 = io(abi::IOMMUFD_CMD_IOAS_MAP);
/// `IOMMU_IOAS_UNMAP`.
pub const IOAS_UNMAP: u32 = io(abi::IOMMUFD_CMD_IOAS_UNMAP);
/// `IOMMU_OPTION`.
pub const OPTION: u32 = io(abi::IOMMUFD_CMD_OPTION);
/// `IOMMU_HWPT_ALLOC`.
pub const HWPT_ALLOC: u32 = io(abi::IOMMUFD_CMD_HWPT_ALLOC);
/// `IOMMU_GET_HW_INFO`.
pub const GET_HW_INFO: u32 = io(abi::IOMMUFD_CMD_GET_HW_INFO);
/// `IOMMU_HWPT_SET_DIRTY_TRACKING`.
pub const HWPT_SET_DIRTY_TRACKING: u32 = io(abi::IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING);
/// `IOMMU_HWPT_GET_DIRTY_BITMAP`.
pub const HWPT_GET_DIRTY_BITMAP: u32 = io(abi::IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP);
/// `IOMMU_HWPT_INVALIDATE`.
pub const HWPT_INVALIDATE: u32 = io(abi::IOMMUFD_CMD_HWPT_INVALIDATE);
/// `IOMMU_VIOMMU_ALLOC`.
pub const VIOMMU_ALLOC: u32 = io(abi::IOMMUFD_CMD_VIOMMU_ALLOC);
/// `IOMMU_VDEVICE_ALLOC`.
pub const VDEVICE_ALLOC: u32 = io(abi::IOMMUFD_CMD_VDEVICE_ALLOC);
/// `IOMMU_VEVENTQ_ALLOC`.
pub const VEVENTQ_ALLOC: u32 = io(abi::IOMMUFD_CMD_VEVENTQ_ALLOC);
/// `IOMMU_HW_QUEUE_ALLOC`.
pub const HW_QUEUE_ALLOC: u32 = io(abi::IOMMUFD_CMD_HW_QUEUE_ALLOC);

/// `IOMMU_IOAS_MAP_FIXED_IOVA`.
pub const MAP_FIXED_IOVA: u32 = abi::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA;
/// `IOMMU_IOAS_MAP_WRITEABLE`.
pub const MAP_WRITEABLE: u32 = abi::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE;
/// `IOMMU_IOAS_MAP_READABLE`.
pub const MAP_READABLE: u32 = abi::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE;
/// `IOMMU_HWPT_ALLOC_NEST_PARENT`.
pub const ALLOC_NEST_PARENT: u32 = abi::iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_NEST_PARENT;
/// `IOMMU_HWPT_DATA_NONE`.
pub const HWPT_DATA_NONE: u32 = abi::iommu_hwpt_data_type_IOMMU_HWPT_DATA_NONE;
/// `IOMMU_HWPT_DATA_ARM_SMMUV3`.
pub const HWPT_DATA_ARM_SMMUV3: u32 = abi::iommu_hwpt_data_type_IOMMU_HWPT_DATA_ARM_SMMUV3;
/// `IOMMU_HW_INFO_TYPE_ARM_SMMUV3`.
pub const HW_INFO_TYPE_ARM_SMMUV3: u32 = abi::iommu_hw_info_type_IOMMU_HW_INFO_TYPE_ARM_SMMUV3;
/// `IOMMU_HW_INFO_FLAG_INPUT_TYPE`.
pub const HW_INFO_FLAG_INPUT_TYPE: u32 = abi::iommufd_hw_info_flags_IOMMU_HW_INFO_FLAG_INPUT_TYPE;
/// `IOMMU_VIOMMU_TYPE_ARM_SMMUV3`.
pub const VIOMMU_TYPE_ARM_SMMUV3: u32 = abi::iommu_viommu_type_IOMMU_VIOMMU_TYPE_ARM_SMMUV3;
/// `IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3`.
pub const INVALIDATE_DATA_ARM_SMMUV3: u32 =
    abi::iommu_hwpt_invalidate_data_type_IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3;
/// `IOMMU_VEVENTQ_TYPE_ARM_SMMUV3`.
pub const VEVENTQ_TYPE_ARM_SMMUV3: u32 = abi::iommu_veventq_type_IOMMU_VEVENTQ_TYPE_ARM_SMMUV3;
/// `IOMMU_VEVENTQ_FLAG_LOST_EVENTS`.
pub const VEVENTQ_FLAG_LOST_EVENTS: u32 = abi::iommu_veventq_flag_IOMMU_VEVENTQ_FLAG_LOST_EVENTS;
/// `IOMMU_OPTION_RLIMIT_MODE`.
pub const OPTION_RLIMIT_MODE: u32 = abi::iommufd_option_IOMMU_OPTION_RLIMIT_MODE;
/// `IOMMU_OPTION_HUGE_PAGES`.
pub const OPTION_HUGE_PAGES: u32 = abi::iommufd_option_IOMMU_OPTION_HUGE_PAGES;
/// `IOMMU_OPTION_OP_SET`.
pub const OPTION_OP_SET: u16 = abi::iommufd_option_ops_IOMMU_OPTION_OP_SET as u16;
/// `IOMMU_OPTION_OP_GET`.
pub const OPTION_OP_GET: u16 = abi::iommufd_option_ops_IOMMU_OPTION_OP_GET as u16;

mirror! {
    /// `struct iommu_destroy`.
    Destroy = iommu_destroy { size: u32, id: u32, }
    /// `struct iommu_ioas_alloc`.
    IoasAlloc = iommu_ioas_alloc { size: u32, flags: u32, out_ioas_id: u32, }
    /// `struct iommu_iova_range`: both ends inclusive.
    IovaRange = iommu_iova_range { start: u64, last: u64, }
    /// `struct iommu_ioas_iova_ranges`.
    IoasIovaRanges = iommu_ioas_iova_ranges {
        size: u32, ioas_id: u32, num_iovas: u32, __reserved: u32, allowed_iovas: u64,
        out_iova_alignment: u64,
    }
    /// `struct iommu_ioas_allow_iovas`.
    IoasAllowIovas = iommu_ioas_allow_iovas {
        size: u32, ioas_id: u32, num_iovas: u32, __reserved: u32, allowed_iovas: u64,
    }
    /// `struct iommu_ioas_map`.
    IoasMap = iommu_ioas_map {
        size: u32, flags: u32, ioas_id: u32, __reserved: u32, user_va: u64, length: u64, iova: u64,
    }
    /// `struct iommu_ioas_copy`.
    IoasCopy = iommu_ioas_copy {
        size: u32, flags: u32, dst_ioas_id: u32, src_ioas_id: u32, length: u64, dst_iova: u64,
        src_iova: u64,
    }
    /// `struct iommu_ioas_unmap`.
    IoasUnmap = iommu_ioas_unmap { size: u32, ioas_id: u32, iova: u64, length: u64, }
    /// `struct iommu_option`.
    IommuOption = iommu_option {
        size: u32, option_id: u32, op: u16, __reserved: u16, object_id: u32, val64: u64,
    }
    /// `struct iommu_hwpt_arm_smmuv3`: words 0 and 1 of the guest's STE.
    HwptArmSmmuv3 = iommu_hwpt_arm_smmuv3 { ste: [u64; 2], }
    /// `struct iommu_hwpt_alloc`.
    HwptAlloc = iommu_hwpt_alloc {
        size: u32, flags: u32, dev_id: u32, pt_id: u32, out_hwpt_id: u32, __reserved: u32,
        data_type: u32, data_len: u32, data_uptr: u64, fault_id: u32, __reserved2: u32,
    }
    /// `struct iommu_hw_info_arm_smmuv3`.
    HwInfoArmSmmuv3 = iommu_hw_info_arm_smmuv3 {
        flags: u32, __reserved: u32, idr: [u32; 6], iidr: u32, aidr: u32,
    }
    /// `struct iommu_hwpt_set_dirty_tracking`.
    HwptSetDirtyTracking = iommu_hwpt_set_dirty_tracking {
        size: u32, flags: u32, hwpt_id: u32, __reserved: u32,
    }
    /// `struct iommu_hwpt_get_dirty_bitmap`.
    HwptGetDirtyBitmap = iommu_hwpt_get_dirty_bitmap {
        size: u32, hwpt_id: u32, flags: u32, __reserved: u32, iova: u64, length: u64,
        page_size: u64, data: u64,
    }
    /// `struct iommu_hwpt_invalidate`.
    HwptInvalidate = iommu_hwpt_invalidate {
        size: u32, hwpt_id: u32, data_uptr: u64, data_type: u32, entry_len: u32, entry_num: u32,
        __reserved: u32,
    }
    /// `struct iommu_viommu_alloc`.
    ViommuAlloc = iommu_viommu_alloc {
        size: u32, flags: u32, type_: u32, dev_id: u32, hwpt_id: u32, out_viommu_id: u32,
        data_len: u32, __reserved: u32, data_uptr: u64,
    }
    /// `struct iommu_vdevice_alloc`.
    VdeviceAlloc = iommu_vdevice_alloc {
        size: u32, viommu_id: u32, dev_id: u32, out_vdevice_id: u32, virt_id: u64,
    }
    /// `struct iommufd_vevent_header`: stands before each record that is read.
    VeventHeader = iommufd_vevent_header { flags: u32, sequence: u32, }
    /// `struct iommu_vevent_arm_smmuv3`: an event record with the guest's name of the stream.
    VeventArmSmmuv3 = iommu_vevent_arm_smmuv3 { evt: [u64; 4], }
    /// `struct iommu_veventq_alloc`.
    VeventqAlloc = iommu_veventq_alloc {
        size: u32, flags: u32, viommu_id: u32, type_: u32, veventq_depth: u32,
        out_veventq_id: u32, out_veventq_fd: u32, __reserved: u32,
    }
    /// `struct iommu_hw_queue_alloc`.
    HwQueueAlloc = iommu_hw_queue_alloc {
        size: u32, flags: u32, viommu_id: u32, type_: u32, index: u32, out_hw_queue_id: u32,
        nesting_parent_iova: u64, length: u64,
    }
}

/// `struct iommu_hw_info`. The binding has a union where `data_type` stands.
#[repr(C)]
#[derive(
    Clone, Copy, PartialEq, Eq, Default, Debug, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[allow(missing_docs, reason = "the names are those of the ABI")]
pub struct HwInfo {
    pub size: u32,
    pub flags: u32,
    pub dev_id: u32,
    pub data_len: u32,
    pub data_uptr: u64,
    /// `in_data_type` where the flag says so, `out_data_type` afterwards.
    pub data_type: u32,
    pub out_max_pasid_log2: u8,
    pub __reserved: [u8; 3],
    pub out_capabilities: u64,
}

const _: () = {
    use abi::iommu_hw_info as binding;
    assert!(size_of::<HwInfo>() == size_of::<binding>());
    assert!(offset_of!(HwInfo, data_type) == offset_of!(binding, __bindgen_anon_1));
    assert!(offset_of!(HwInfo, __reserved) == offset_of!(binding, __reserved));
    assert!(offset_of!(HwInfo, out_capabilities) == offset_of!(binding, out_capabilities));
};

/// The structure of one ioctl.
pub(super) trait Argument: FromBytes + IntoBytes + Immutable + Default {
    /// Bytes that every caller must have; what came later may be missing.
    const MIN: usize;
}

macro_rules! arguments {
    ($($name:ident up to $field:ident;)*) => {$(
        impl Argument for $name {
            const MIN: usize = {
                let base = Self::new_zeroed_for_layout();
                offset_of!($name, $field) + size_of_field(&base.$field)
            };
        }
        impl $name {
            const fn new_zeroed_for_layout() -> Self {
                zerocopy::transmute!([0u8; size_of::<$name>()])
            }
        }
    )*};
}

const fn size_of_field<T>(_: &T) -> usize {
    size_of::<T>()
}

arguments! {
    Destroy up to id;
    IoasAlloc up to out_ioas_id;
    IoasIovaRanges up to out_iova_alignment;
    IoasAllowIovas up to allowed_iovas;
    IoasMap up to iova;
    IoasCopy up to src_iova;
    IoasUnmap up to length;
    IommuOption up to val64;
    HwptAlloc up to __reserved;
    HwInfo up to __reserved;
    HwptSetDirtyTracking up to __reserved;
    HwptGetDirtyBitmap up to data;
    HwptInvalidate up to __reserved;
    ViommuAlloc up to out_viommu_id;
    VdeviceAlloc up to virt_id;
    VeventqAlloc up to out_veventq_fd;
    HwQueueAlloc up to length;
}

/// Copies a structure of `size` bytes into `T`. What the caller has not is zero; what only the
/// caller has must be.
///
/// # Errors
/// E2BIG, EFAULT.
pub(super) fn copy_struct<T: FromBytes + IntoBytes + Default>(
    process: &dyn UserMemory,
    address: u64,
    size: usize,
) -> Result<T, Errno> {
    let known = size.min(size_of::<T>());
    let mut at = known;
    let mut page = [0; 4096];
    while at < size {
        let rest = &mut page[..(size - at).min(4096)];
        process.read(address.checked_add(at as u64).ok_or(Errno::EFAULT)?, rest)?;
        if rest.iter().any(|&byte| byte != 0) {
            return Err(Errno::E2BIG);
        }
        at += rest.len();
    }
    crate::abi::read_prefix(process, address, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_abi() {
        assert_eq!((DESTROY, HWPT_ALLOC, GET_HW_INFO), (0x3b80, 0x3b89, 0x3b8a));
        assert_eq!((HWPT_INVALIDATE, VIOMMU_ALLOC, VDEVICE_ALLOC), (0x3b8d, 0x3b90, 0x3b91));
        assert_eq!((VEVENTQ_ALLOC, HW_QUEUE_ALLOC), (0x3b93, 0x3b94));
    }

    #[test]
    fn the_sizes_are_those_of_the_abi() {
        assert_eq!((size_of::<HwptAlloc>(), HwptAlloc::MIN), (48, 24));
        assert_eq!((size_of::<ViommuAlloc>(), ViommuAlloc::MIN), (40, 24));
        assert_eq!((size_of::<VdeviceAlloc>(), size_of::<HwptInvalidate>()), (24, 32));
        assert_eq!((size_of::<VeventqAlloc>(), VeventqAlloc::MIN), (32, 28));
        assert_eq!((size_of::<HwInfo>(), HwInfo::MIN, size_of::<HwInfoArmSmmuv3>()), (40, 32, 40));
        assert_eq!((size_of::<IoasMap>(), size_of::<IoasUnmap>()), (40, 24));
        assert_eq!(size_of::<HwQueueAlloc>(), 40);
    }
}
