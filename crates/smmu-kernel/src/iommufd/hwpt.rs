//! Hardware page tables: those of an address space, and guests' stage 1 above one; and what the
//! SMMU of a device can do.

use super::context::State;
use super::ioas;
use super::objects::{Device, Object};
use super::uapi::{
    self, ALLOC_NEST_PARENT, Argument, HW_INFO_FLAG_INPUT_TYPE, HW_INFO_TYPE_ARM_SMMUV3,
    HWPT_DATA_ARM_SMMUV3, HWPT_DATA_NONE, HwInfo, HwInfoArmSmmuv3, HwptAlloc, HwptArmSmmuv3,
    HwptGetDirtyBitmap, HwptSetDirtyTracking,
};
use crate::Errno;
use crate::driver::{Domain, DomainKind, Env, Smmu, VirtualSte};
use crate::vfio::Call;
use iommufd_bindings::iommufd as abi;
use std::mem::{offset_of, size_of};
use zerocopy::IntoBytes;

/// A page table that holds what an address space maps.
#[derive(Debug)]
pub(super) struct Paging {
    pub(super) domain: Domain,
    pub(super) ioas: u32,
    /// Made for an attach to the address space; goes with the last device.
    pub(super) auto: bool,
    pub(super) nest_parent: bool,
}

/// A guest's stage 1 above the stage 2 of a vIOMMU's parent.
#[derive(Debug)]
pub(super) struct Nested {
    pub(super) viommu: u32,
    pub(super) ste: VirtualSte,
}

/// The SMMU in front of a device.
///
/// # Errors
/// ENODEV: not probed.
pub(super) fn smmu_of<'a>(env: Env<'a>, device: &Device) -> Result<&'a Smmu, Errno> {
    env.driver.smmu(device.smmu).ok_or(Errno::ENODEV)
}

/// `IOMMU_HWPT_ALLOC`.
///
/// # Errors
/// EOPNOTSUPP: flags or a combination of them, or what the SMMU cannot do. EINVAL: data and its
/// length do not fit each other; no object `pt_id`, or of the wrong kind, or behind another SMMU.
/// ENOENT: no such device. EIO: a guest's STE that it may not have. ENOSPC: no VMID or ASID is free.
pub(super) fn alloc(call: Call<'_>, state: &mut State, cmd: &mut HwptAlloc) -> Result<u32, Errno> {
    if cmd.__reserved != 0 || cmd.__reserved2 != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if (cmd.data_type == HWPT_DATA_NONE) != (cmd.data_len == 0) {
        return Err(Errno::EINVAL);
    }
    let device = state.objects.device(cmd.dev_id)?;
    let id = match state.objects.get(cmd.pt_id).map_err(|_| Errno::EINVAL)? {
        Object::Ioas(_) => {
            let smmu = smmu_of(call.env, device)?;
            let parent = match cmd.flags {
                _ if cmd.data_type != HWPT_DATA_NONE => return Err(Errno::EOPNOTSUPP),
                0 => false,
                ALLOC_NEST_PARENT => true,
                // No dirty state in tables, no PASIDs, no faults to user space.
                _ => return Err(Errno::EOPNOTSUPP),
            };
            alloc_paging(call, state, smmu, cmd.pt_id, (parent, false))?
        }
        // This driver nests under a vIOMMU only.
        Object::Paging(_) => return Err(Errno::EOPNOTSUPP),
        Object::Viommu(viommu) => {
            if cmd.flags != 0 || cmd.data_len == 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if viommu.smmu != device.smmu {
                return Err(Errno::EINVAL);
            }
            let ste = guest_ste(call, cmd)?;
            let nested = Nested { viommu: cmd.pt_id, ste };
            state.objects.hold(cmd.pt_id);
            state.objects.insert(Object::Nested(nested))
        }
        _ => return Err(Errno::EINVAL),
    };
    cmd.out_hwpt_id = id;
    Ok(id)
}

fn guest_ste(call: Call<'_>, cmd: &HwptAlloc) -> Result<VirtualSte, Errno> {
    let length = cmd.data_len as usize;
    if cmd.data_type != HWPT_DATA_ARM_SMMUV3 || length < size_of::<HwptArmSmmuv3>() {
        return Err(Errno::EINVAL);
    }
    let data: HwptArmSmmuv3 = uapi::copy_struct(call.process, cmd.data_uptr, length)?;
    VirtualSte::new(data.ste)
}

/// A page table that holds what the address space maps, for one SMMU.
///
/// # Errors
/// Those of [`Domain::new`] and [`ioas::join`].
pub(super) fn alloc_paging(
    call: Call<'_>,
    state: &mut State,
    smmu: &Smmu,
    ioas: u32,
    (nest_parent, auto): (bool, bool),
) -> Result<u32, Errno> {
    let kind = if nest_parent { DomainKind::NestParent } else { DomainKind::Private };
    let domain = Domain::new(call.env, smmu, kind)?;
    if let Err(errno) = ioas::join(call, state, ioas, &domain) {
        domain.free(call.env);
        return Err(errno);
    }
    let id = state.objects.insert(Object::Paging(Paging { domain, ioas, auto, nest_parent }));
    state.objects.hold(ioas);
    state.objects.ioas_mut(ioas)?.hwpts.push(id);
    Ok(id)
}

/// What goes with a page table that is destroyed.
pub(super) fn destroyed(call: Call<'_>, state: &mut State, id: u32, paging: Paging) {
    if let Ok(space) = state.objects.ioas_mut(paging.ioas) {
        space.hwpts.retain(|&hwpt| hwpt != id);
    }
    ioas::leave(call, state, paging.ioas, &paging.domain);
    state.objects.release(paging.ioas);
    paging.domain.free(call.env);
}

/// `IOMMU_GET_HW_INFO`: the ID registers of the SMMU. As much as the caller has room for is copied,
/// the rest of the room is zeroed, and the true length is written back.
///
/// # Errors
/// EOPNOTSUPP: flags, a reserved field, another type of data. ENOENT. EFAULT.
pub(super) fn hw_info(call: Call<'_>, state: &State, cmd: &mut HwInfo) -> Result<(), Errno> {
    if cmd.flags & !HW_INFO_FLAG_INPUT_TYPE != 0 || cmd.__reserved != [0; 3] {
        return Err(Errno::EOPNOTSUPP);
    }
    let asked = if cmd.flags & HW_INFO_FLAG_INPUT_TYPE != 0 { cmd.data_type } else { 0 };
    let device = state.objects.device(cmd.dev_id)?;
    if asked != abi::iommu_hw_info_type_IOMMU_HW_INFO_TYPE_DEFAULT
        && asked != HW_INFO_TYPE_ARM_SMMUV3
    {
        return Err(Errno::EOPNOTSUPP);
    }
    let [idr @ .., iidr, aidr] = smmu_of(call.env, device)?.id_words(call.env);
    let info = HwInfoArmSmmuv3 { idr, iidr, aidr, ..HwInfoArmSmmuv3::default() };
    let room = (cmd.data_len as usize).min(size_of::<HwInfoArmSmmuv3>());
    call.process.write(cmd.data_uptr, &info.as_bytes()[..room])?;
    let mut at = room as u64;
    while at < u64::from(cmd.data_len) {
        let rest = (u64::from(cmd.data_len) - at).min(4096);
        let place = cmd.data_uptr.checked_add(at).ok_or(Errno::EFAULT)?;
        call.process.write(place, &[0; 4096][..rest as usize])?;
        at += rest;
    }
    cmd.data_len = size_of::<HwInfoArmSmmuv3>() as u32;
    cmd.data_type = HW_INFO_TYPE_ARM_SMMUV3;
    // The devices have no PASIDs, and tables no dirty state.
    cmd.out_max_pasid_log2 = 0;
    cmd.out_capabilities = 0;
    Ok(())
}

/// `IOMMU_HWPT_SET_DIRTY_TRACKING`. No table of this driver can track.
///
/// # Errors
/// EOPNOTSUPP; ENOENT.
pub(super) fn set_dirty_tracking(state: &State, cmd: &HwptSetDirtyTracking) -> Result<(), Errno> {
    let known = abi::iommufd_hwpt_set_dirty_tracking_flags_IOMMU_HWPT_DIRTY_TRACKING_ENABLE;
    if cmd.flags & !known != 0 || cmd.__reserved != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    state.objects.paging(cmd.hwpt_id)?;
    Err(Errno::EOPNOTSUPP)
}

/// `IOMMU_HWPT_GET_DIRTY_BITMAP`. No table of this driver can track.
///
/// # Errors
/// EOPNOTSUPP; ENOENT.
pub(super) fn get_dirty_bitmap(state: &State, cmd: &HwptGetDirtyBitmap) -> Result<(), Errno> {
    let known = abi::iommufd_hwpt_get_dirty_bitmap_flags_IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;
    if cmd.flags & !known != 0 || cmd.__reserved != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    state.objects.paging(cmd.hwpt_id)?;
    Err(Errno::EOPNOTSUPP)
}

const _: () = {
    // Old callers know nothing of data, and get what they got before there was any.
    assert!(HwptAlloc::MIN == offset_of!(HwptAlloc, data_type));
};
