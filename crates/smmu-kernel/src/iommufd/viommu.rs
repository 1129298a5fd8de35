//! A guest's SMMU: its share of the real one, its names of devices, and the commands of its queue.

use super::context::State;
use super::hwpt::smmu_of;
use super::objects::{Object, Objects};
use super::uapi::{
    self, HwQueueAlloc, HwptInvalidate, INVALIDATE_DATA_ARM_SMMUV3, VIOMMU_TYPE_ARM_SMMUV3,
    VdeviceAlloc, ViommuAlloc,
};
use crate::Errno;
use crate::driver::guest_command;
use crate::faults::FaultSwitch;
use crate::vfio::Call;
use iommufd_bindings::iommufd as abi;
use smmu_arch::{Command, SmmuId, StreamId, TlbiVa, Vmid};
use std::collections::BTreeMap;

/// Commands of one call at most.
const COMMANDS_MAX: u32 = 1 << 19;
/// Commands that are sent with one CMD_SYNC behind them.
const BLOCK: usize = 63;
const PAGE: u32 = 4096;

/// A guest's SMMU.
#[derive(Debug)]
pub(super) struct Viommu {
    pub(super) smmu: SmmuId,
    /// The stage 2 of the virtual machine.
    pub(super) parent: u32,
    /// A copy of the parent's number, so that two vIOMMUs of one parent have the same; or a number of
    /// its own where that mistake is repaired.
    pub(super) vmid: Vmid,
    /// vDEVICEs by the guest's StreamID.
    pub(super) vdevices: BTreeMap<u64, u32>,
    /// Event queues by type.
    pub(super) queues: BTreeMap<u32, u32>,
}

/// A device as a guest sees it.
#[derive(Debug)]
pub(super) struct Vdevice {
    pub(super) viommu: u32,
    pub(super) device: u32,
    /// The guest's StreamID.
    pub(super) virt_id: u64,
}

/// `IOMMU_VIOMMU_ALLOC`.
///
/// # Errors
/// EOPNOTSUPP: flags, another type, or the SMMU does not nest. ENOENT. EINVAL: the HWPT is no
/// parent, or of another SMMU.
pub(super) fn alloc(
    call: Call<'_>,
    state: &mut State,
    cmd: &mut ViommuAlloc,
) -> Result<u32, Errno> {
    if cmd.flags != 0 || cmd.__reserved != 0 || cmd.type_ != VIOMMU_TYPE_ARM_SMMUV3 {
        return Err(Errno::EOPNOTSUPP);
    }
    let device = state.objects.device(cmd.dev_id)?;
    if !smmu_of(call.env, device)?.nests() {
        return Err(Errno::EOPNOTSUPP);
    }
    let smmu = device.smmu;
    let parent = state.objects.paging(cmd.hwpt_id)?;
    let vmid = parent.domain.vmid().filter(|_| parent.nest_parent).ok_or(Errno::EINVAL)?;
    if parent.domain.smmu() != smmu {
        return Err(Errno::EINVAL);
    }
    let vmid = match call.env.has(FaultSwitch::ViommusShareVmid) {
        true => vmid,
        false => smmu_of(call.env, state.objects.device(cmd.dev_id)?)?.allocate_vmid(call.env)?,
    };
    state.objects.hold(cmd.hwpt_id);
    cmd.out_viommu_id = state.objects.insert(Object::Viommu(Viommu {
        smmu,
        parent: cmd.hwpt_id,
        vmid,
        vdevices: BTreeMap::new(),
        queues: BTreeMap::new(),
    }));
    Ok(cmd.out_viommu_id)
}

/// `IOMMU_VDEVICE_ALLOC`.
///
/// # Errors
/// ENOENT. EINVAL: another SMMU. EEXIST: the device has one, or the name is taken. EOPNOTSUPP: the
/// device has several streams.
pub(super) fn alloc_vdevice(state: &mut State, cmd: &mut VdeviceAlloc) -> Result<u32, Errno> {
    let viommu = state.objects.viommu(cmd.viommu_id)?;
    let device = state.objects.device(cmd.dev_id)?;
    if viommu.smmu != device.smmu {
        return Err(Errno::EINVAL);
    }
    if device.vdevice.is_some() || viommu.vdevices.contains_key(&cmd.virt_id) {
        return Err(Errno::EEXIST);
    }
    if device.streams.len() != 1 {
        return Err(Errno::EOPNOTSUPP);
    }
    let (viommu, virt_id) = (cmd.viommu_id, cmd.virt_id);
    let vdevice = Vdevice { viommu, device: cmd.dev_id, virt_id };
    let id = state.objects.insert(Object::Vdevice(vdevice));
    state.objects.hold(viommu);
    state.objects.viommu_mut(viommu)?.vdevices.insert(virt_id, id);
    state.objects.device_mut(cmd.dev_id)?.vdevice = Some(id);
    cmd.out_vdevice_id = id;
    Ok(id)
}

/// What goes with a vIOMMU that is destroyed. Nobody is attached under it any more.
pub(super) fn destroyed(call: Call<'_>, state: &mut State, viommu: &Viommu) {
    if !call.env.has(FaultSwitch::ViommusShareVmid)
        && let Some(smmu) = call.env.driver.smmu(viommu.smmu)
    {
        smmu.release_vmid(call.env, viommu.vmid);
    }
    state.objects.release(viommu.parent);
}

/// What goes with a vDEVICE that is destroyed.
pub(super) fn vdevice_destroyed(state: &mut State, vdevice: &Vdevice) {
    if let Ok(viommu) = state.objects.viommu_mut(vdevice.viommu) {
        viommu.vdevices.remove(&vdevice.virt_id);
    }
    if let Ok(device) = state.objects.device_mut(vdevice.device) {
        device.vdevice = None;
    }
    state.objects.release(vdevice.viommu);
}

/// `IOMMU_HWPT_INVALIDATE`: commands of the guest's queue. How many were taken is written back, also
/// on failure. As in Linux 7.2 that counts commands of the last block which were checked and never
/// sent.
///
/// # Errors
/// EOPNOTSUPP: a reserved field, or a nested HWPT. EINVAL: no commands, too many, a length of 0 or
/// above a page, another type of data, another object. ENOENT. E2BIG, EFAULT. EIO: a command that is
/// not the guest's to send.
pub(super) fn invalidate(
    call: Call<'_>,
    state: &State,
    cmd: &mut HwptInvalidate,
) -> Result<(), Errno> {
    if cmd.__reserved != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let count = std::mem::take(&mut cmd.entry_num);
    let sized = (1..=PAGE).contains(&cmd.entry_len) && cmd.data_uptr != 0;
    if !(1..=COMMANDS_MAX).contains(&count) || !sized {
        return Err(Errno::EINVAL);
    }
    let viommu = match state.objects.get(cmd.hwpt_id)? {
        Object::Viommu(viommu) => viommu,
        Object::Nested(_) => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    if cmd.data_type != INVALIDATE_DATA_ARM_SMMUV3 {
        return Err(Errno::EINVAL);
    }
    let commands = read_commands(call, cmd, count)?;
    let smmu = call.env.driver.smmu(viommu.smmu).ok_or(Errno::ENODEV)?;
    let mut block: Vec<Command> = Vec::new();
    for (index, words) in commands.iter().enumerate() {
        let stream_of = |stream| real_stream(&state.objects, viommu, stream);
        match guest_command(words, viommu.vmid, stream_of) {
            Ok(command) => block.push(spoiled(call, command)),
            Err(errno) => {
                if !call.env.has(FaultSwitch::UnsentCounted) {
                    smmu.issue_for_guest(call.env, &block);
                }
                cmd.entry_num = index as u32;
                return Err(errno);
            }
        }
        if block.len() == BLOCK || index + 1 == commands.len() {
            smmu.issue_for_guest(call.env, &std::mem::take(&mut block));
        }
    }
    cmd.entry_num = count;
    Ok(())
}

fn spoiled(call: Call<'_>, command: Command) -> Command {
    match command {
        Command::TlbiNhVa(told) if call.env.has(FaultSwitch::TlbiWithoutVmid) => {
            Command::TlbiNhVa(TlbiVa { vmid: Vmid(0), ..told })
        }
        command => command,
    }
}

/// All of them, before the first is looked at.
fn read_commands(call: Call<'_>, cmd: &HwptInvalidate, count: u32) -> Result<Vec<[u64; 2]>, Errno> {
    let length = u64::from(cmd.entry_len);
    let place = |index: u32| u64::from(index) * length;
    let read = |index| {
        let address = cmd.data_uptr.checked_add(place(index)).ok_or(Errno::EFAULT)?;
        uapi::copy_struct(call.process, address, cmd.entry_len as usize)
    };
    (0..count).map(read).collect()
}

/// The stream that a guest means.
fn real_stream(objects: &Objects, viommu: &Viommu, stream: StreamId) -> Option<StreamId> {
    let vdevice = objects.vdevice(*viommu.vdevices.get(&u64::from(stream.0))?).ok()?;
    objects.device(vdevice.device).ok()?.streams.first().copied()
}

/// `IOMMU_HW_QUEUE_ALLOC`. A vIOMMU of this kind has no queues of the hardware.
///
/// # Errors
/// EOPNOTSUPP; ENOENT.
pub(super) fn alloc_hw_queue(state: &State, cmd: &HwQueueAlloc) -> Result<(), Errno> {
    if cmd.flags != 0 || cmd.type_ == abi::iommu_hw_queue_type_IOMMU_HW_QUEUE_TYPE_DEFAULT {
        return Err(Errno::EOPNOTSUPP);
    }
    state.objects.viommu(cmd.viommu_id)?;
    Err(Errno::EOPNOTSUPP)
}
