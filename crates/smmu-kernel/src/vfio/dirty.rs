//! `VFIO_IOMMU_DIRTY_PAGES`: which pages a device may have written.
//!
//! As Linux does for an IOMMU without dirty state in its tables: while tracking is on, every mapped
//! page may have been written, and is reported.

use super::dma::unmap_range;
use super::type1::{Call, Type1};
use super::uapi::{self, Bitmap, DirtyBitmap, DirtyBitmapGet, DmaUnmap};
use crate::Errno;
use std::mem::size_of;
use vfio_bindings::bindings::vfio as abi;

/// The largest bitmap, in bytes: one bit for each of 2^31 - 1 pages, as Linux has it.
pub(crate) const BITMAP_BYTES_MAX: u64 = (i32::MAX as u64 + 1) / 8;

/// Starts or stops tracking, or reports.
///
/// # Errors
/// EACCES: v1. EFAULT. EINVAL: argsz, not exactly one flag, tracking is off, a bitmap that does not
/// fit, a range that cuts a mapping.
pub(crate) fn dirty_pages(call: Call<'_>, iommu: &mut Type1, argument: u64) -> Result<i64, Errno> {
    if !iommu.variant.v2 {
        return Err(Errno::EACCES);
    }
    let header: DirtyBitmap = uapi::read(call.process, argument)?;
    if (header.argsz as usize) < size_of::<DirtyBitmap>() {
        return Err(Errno::EINVAL);
    }
    match header.flags {
        abi::VFIO_IOMMU_DIRTY_PAGES_FLAG_START => iommu.tracks_dirty = true,
        abi::VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP => iommu.tracks_dirty = false,
        abi::VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP => {
            let room = header.argsz as usize - size_of::<DirtyBitmap>();
            if !iommu.tracks_dirty || room < size_of::<DirtyBitmapGet>() {
                return Err(Errno::EINVAL);
            }
            let behind = argument.checked_add(size_of::<DirtyBitmap>() as u64);
            let range: DirtyBitmapGet = uapi::read(call.process, behind.ok_or(Errno::EFAULT)?)?;
            report(call, iommu, range.iova, range.size, &range.bitmap)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Unmaps and reports what was unmapped; gives the bytes that were mapped.
pub(super) fn unmap(
    call: Call<'_>,
    iommu: &mut Type1,
    argument: u64,
    unmap: &DmaUnmap,
) -> Result<u64, Errno> {
    let needed = size_of::<DmaUnmap>() + size_of::<Bitmap>();
    if !iommu.tracks_dirty || (unmap.argsz as usize) < needed {
        return Err(Errno::EINVAL);
    }
    let behind = argument.checked_add(size_of::<DmaUnmap>() as u64).ok_or(Errno::EFAULT)?;
    let bitmap: Bitmap = uapi::read(call.process, behind)?;
    report(call, iommu, unmap.iova, unmap.size, &bitmap)?;
    unmap_range(call, iommu, unmap.iova, unmap.size)
}

fn report(
    call: Call<'_>,
    iommu: &Type1,
    iova: u64,
    size: u64,
    bitmap: &Bitmap,
) -> Result<(), Errno> {
    let page = iommu.page();
    if bitmap.pgsize != page || size == 0 || (iova | size) & (page - 1) != 0 {
        return Err(Errno::EINVAL);
    }
    let last = iova.checked_add(size - 1).ok_or(Errno::EINVAL)?;
    let bytes = (size / page).div_ceil(64) * 8;
    if bitmap.size < bytes || bytes > BITMAP_BYTES_MAX {
        return Err(Errno::EINVAL);
    }
    let mut bits = vec![0u8; bytes as usize];
    for (&first, dma) in iommu.dmas.range(iova..=last) {
        let pages = (first - iova) / page..(first - iova).saturating_add(dma.size) / page;
        for at in pages.take_while(|at| at / 8 < bytes) {
            bits[(at / 8) as usize] |= 1 << (at % 8);
        }
    }
    Ok(call.process.write(bitmap.data, &bits)?)
}
