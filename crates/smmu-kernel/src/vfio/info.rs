//! `VFIO_IOMMU_GET_INFO`.

use super::type1::{Call, Type1};
use super::uapi::{
    self, CapDmaAvail, CapHeader, CapIovaRange, CapMigration, IovaRange, TYPE1_INFO_MIN, Type1Info,
};
use crate::Errno;
use std::mem::size_of;
use vfio_bindings::bindings::vfio as abi;
use zerocopy::IntoBytes;

/// Tells page sizes, and with enough room the capabilities. With too little room the size that is
/// needed is written back, and no offset.
///
/// # Errors
/// EFAULT; EINVAL: argsz.
pub(crate) fn get_info(call: Call<'_>, iommu: &Type1, argument: u64) -> Result<i64, Errno> {
    let asked: Type1Info = uapi::read_prefix(call.process, argument, TYPE1_INFO_MIN)?;
    let room = asked.argsz as usize;
    if room < TYPE1_INFO_MIN {
        return Err(Errno::EINVAL);
    }
    let capabilities = capabilities(call, iommu);
    let needed = size_of::<Type1Info>() + capabilities.len();
    let mut info = Type1Info {
        argsz: asked.argsz,
        flags: abi::VFIO_IOMMU_INFO_PGSIZES | abi::VFIO_IOMMU_INFO_CAPS,
        iova_pgsizes: iommu.page_sizes(),
        ..Type1Info::default()
    };
    if room < needed {
        info.argsz = needed as u32;
    } else {
        let behind = argument.checked_add(size_of::<Type1Info>() as u64).ok_or(Errno::EFAULT)?;
        call.process.write(behind, &capabilities)?;
        info.cap_offset = size_of::<Type1Info>() as u32;
    }
    // Old callers have a structure that ends before the offset.
    let offset_end = TYPE1_INFO_MIN + size_of::<u32>();
    let known = if room >= offset_end { offset_end } else { TYPE1_INFO_MIN };
    call.process.write(argument, &info.as_bytes()[..known])?;
    Ok(0)
}

/// The chain of capabilities, as it lies behind the structure.
fn capabilities(call: Call<'_>, iommu: &Type1) -> Vec<u8> {
    let header = |id: u32, next| CapHeader { id: id as u16, version: 1, next };
    let at = |bytes: usize| (size_of::<Type1Info>() + bytes) as u32;

    let migration_end = size_of::<CapMigration>();
    let migration = CapMigration {
        header: header(abi::VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, at(migration_end)),
        pgsize_bitmap: iommu.page(),
        max_dirty_bitmap_size: super::dirty::BITMAP_BYTES_MAX,
        ..CapMigration::default()
    };
    // Capabilities are aligned to 8 bytes.
    let avail_end = migration_end + size_of::<CapDmaAvail>().next_multiple_of(8);
    let limit = call.env.driver.options.dma_entry_limit;
    let avail = CapDmaAvail {
        header: header(abi::VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, at(avail_end)),
        avail: limit.saturating_sub(iommu.dmas.len() as u32),
    };
    let ranges = iommu.iova_ranges(call.env);
    let iova = CapIovaRange {
        header: header(abi::VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 0),
        nr_iovas: ranges.len() as u32,
        reserved: 0,
    };

    let mut bytes = migration.as_bytes().to_vec();
    bytes.extend_from_slice(avail.as_bytes());
    bytes.resize(avail_end, 0);
    bytes.extend_from_slice(iova.as_bytes());
    for (start, end) in ranges {
        bytes.extend_from_slice(IovaRange { start, end }.as_bytes());
    }
    bytes
}
