//! `VFIO_IOMMU_MAP_DMA` and `VFIO_IOMMU_UNMAP_DMA`.

use super::type1::{Call, Type1};
use super::uapi::{self, DmaMap, DmaUnmap};
use crate::Errno;
use smmu_tables::Prot;
use std::mem::size_of;
use vfio_bindings::bindings::vfio as abi;

/// Maps user memory.
///
/// # Errors
/// EFAULT; EINVAL: argsz, flags, size 0, misaligned, outside of the valid IOVAs; EOVERFLOW; EEXIST;
/// ENOSPC: too many mappings; ENOMEM.
pub(crate) fn map(call: Call<'_>, iommu: &mut Type1, argument: u64) -> Result<i64, Errno> {
    let map: DmaMap = uapi::read(call.process, argument)?;
    let known = abi::VFIO_DMA_MAP_FLAG_READ | abi::VFIO_DMA_MAP_FLAG_WRITE;
    let prot = Prot {
        read: map.flags & abi::VFIO_DMA_MAP_FLAG_READ != 0,
        write: map.flags & abi::VFIO_DMA_MAP_FLAG_WRITE != 0,
        ..Prot::READ
    };
    // Without a flag there is nothing to map; VADDR belongs to an extension that is not offered.
    if (map.argsz as usize) < size_of::<DmaMap>() || map.flags & !known != 0 || map.flags == 0 {
        return Err(Errno::EINVAL);
    }
    if map.size == 0 || (map.size | map.iova | map.vaddr) & (iommu.page() - 1) != 0 {
        return Err(Errno::EINVAL);
    }
    let last = map.iova.checked_add(map.size - 1).ok_or(Errno::EOVERFLOW)?;
    map.vaddr.checked_add(map.size - 1).ok_or(Errno::EOVERFLOW)?;
    if iommu.overlaps(map.iova, last) {
        return Err(Errno::EEXIST);
    }
    if iommu.dmas.len() >= call.env.driver.options.dma_entry_limit as usize {
        return Err(Errno::ENOSPC);
    }
    let ranges = iommu.iova_ranges(call.env);
    if !ranges.iter().any(|&(first, end)| first <= map.iova && last <= end) {
        return Err(Errno::EINVAL);
    }
    iommu.map(call, map.iova, (map.vaddr, map.size), prot)?;
    Ok(0)
}

/// Unmaps what lies in a range, and writes back how much that was.
///
/// # Errors
/// EFAULT; EINVAL: argsz, flags, size 0, misaligned, v2: a mapping would be cut; EOVERFLOW.
pub(crate) fn unmap(call: Call<'_>, iommu: &mut Type1, argument: u64) -> Result<i64, Errno> {
    let mut unmap: DmaUnmap = uapi::read(call.process, argument)?;
    if (unmap.argsz as usize) < size_of::<DmaUnmap>() {
        return Err(Errno::EINVAL);
    }
    unmap.size = match unmap.flags {
        0 => unmap_range(call, iommu, unmap.iova, unmap.size)?,
        abi::VFIO_DMA_UNMAP_FLAG_ALL if unmap.iova == 0 && unmap.size == 0 => iommu.unmap_all(call),
        abi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP => {
            super::dirty::unmap(call, iommu, argument, &unmap)?
        }
        _ => return Err(Errno::EINVAL),
    };
    uapi::write(call.process, argument, &unmap)?;
    Ok(0)
}

/// Gives the bytes that were mapped.
pub(super) fn unmap_range(
    call: Call<'_>,
    iommu: &mut Type1,
    iova: u64,
    size: u64,
) -> Result<u64, Errno> {
    if size == 0 || (iova | size) & (iommu.page() - 1) != 0 {
        return Err(Errno::EINVAL);
    }
    let last = iova.checked_add(size - 1).ok_or(Errno::EOVERFLOW)?;
    if iommu.variant.v2 && (iommu.cuts(iova) || last < u64::MAX && iommu.cuts(last + 1)) {
        return Err(Errno::EINVAL);
    }
    if !iommu.variant.v2 && iommu.cuts(iova) {
        // v1 does not look further: nothing starts where the range does.
        return Ok(0);
    }
    // v1 takes a mapping that starts in the range as a whole, also what lies behind the range.
    let inside: Vec<_> = iommu.dmas.range(iova..=last).map(|(&iova, _)| iova).collect();
    Ok(inside.into_iter().map(|iova| iommu.unmap(call, iova)).sum())
}

impl Type1 {
    /// Whether anything is mapped in a range.
    fn overlaps(&self, first: u64, last: u64) -> bool {
        let below = self.dmas.range(..=last).next_back();
        below.is_some_and(|(&iova, dma)| iova + (dma.size - 1) >= first)
    }

    /// Whether a mapping lies on both sides of an address.
    fn cuts(&self, at: u64) -> bool {
        let below = self.dmas.range(..at).next_back();
        below.is_some_and(|(&iova, dma)| iova + (dma.size - 1) >= at)
    }
}
