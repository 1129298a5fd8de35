//! Which page table a device uses. All devices of a group use the same.

use super::context::State;
use super::hwpt::{alloc_paging, smmu_of};
use super::iova;
use super::objects::{Object, Objects};
use crate::DomainView;
use crate::Errno;
use crate::driver::{Env, VirtualSte};
use crate::vfio::{Call, Group, domain_view};
use smmu_arch::{StreamId, Vmid};

/// The HWPT of a group.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) hwpt: u32,
    /// Devices that were attached; the group leaves with the last.
    devices: Vec<u32>,
}

/// Where an HWPT leads.
#[derive(Clone, Copy)]
struct Target {
    paging: u32,
    /// The guest's entry above, and the vIOMMU that it belongs to.
    guest: Option<(VirtualSte, u32)>,
    /// The VMID of that vIOMMU.
    vmid: Option<Vmid>,
}

impl Target {
    fn of(objects: &Objects, hwpt: u32) -> Result<Self, Errno> {
        match objects.get(hwpt)? {
            Object::Paging(_) => Ok(Self { paging: hwpt, guest: None, vmid: None }),
            Object::Nested(nested) => {
                let viommu = objects.viommu(nested.viommu)?;
                let guest = Some((nested.ste, nested.viommu));
                Ok(Self { paging: viommu.parent, guest, vmid: Some(viommu.vmid) })
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn enter(self, env: Env<'_>, objects: &mut Objects, stream: StreamId) -> Result<(), Errno> {
        let domain = &mut objects.paging_mut(self.paging)?.domain;
        match (self.guest, self.vmid) {
            (Some((ste, _)), Some(vmid)) => domain.attach_nested(env, stream, &ste, vmid),
            _ => domain.attach(env, stream),
        }
    }

    fn leave(self, env: Env<'_>, objects: &mut Objects, stream: StreamId) {
        if let Ok(paging) = objects.paging_mut(self.paging) {
            paging.domain.leave(env, stream);
        }
    }

    fn detach(self, env: Env<'_>, objects: &mut Objects, stream: StreamId) {
        if let Ok(paging) = objects.paging_mut(self.paging) {
            paging.domain.detach(env, stream);
        }
    }

    /// Who is told of the events of a device, and by which name.
    fn reports_to(self, objects: &Objects, device: u32) -> Result<Option<(u32, StreamId)>, Errno> {
        let Some((ste, viommu)) = self.guest else { return Ok(None) };
        let vdevice = objects.device(device)?.vdevice;
        let vdevice = vdevice.and_then(|id| objects.vdevice(id).ok());
        let named = vdevice.filter(|vdevice| vdevice.viommu == viommu);
        let named = named.map(|vdevice| (viommu, StreamId(vdevice.virt_id as u32)));
        // Without a name neither CD invalidations nor events could be told apart.
        if named.is_none() && ste.translates() { Err(Errno::ENOENT) } else { Ok(named) }
    }

    /// The same for every device of a group, as all of them move. One that is not bound has no name.
    fn names(self, objects: &Objects, at: usize, group: &Group) -> Result<Vec<Named>, Errno> {
        let members = objects.devices_of(at);
        let translates = self.guest.is_some_and(|(ste, _)| ste.translates());
        if translates && members.len() < group.device_count() {
            return Err(Errno::ENOENT);
        }
        members.into_iter().map(|id| Ok((id, self.reports_to(objects, id)?))).collect()
    }
}

/// A device, who is told of its events, and by which name.
type Named = (u32, Option<(u32, StreamId)>);

impl State {
    /// Whether any device uses a page table, directly or under a guest's stage 1.
    pub(super) fn is_attached(&self, paging: u32) -> bool {
        self.attachments.values().any(|attachment| {
            Target::of(&self.objects, attachment.hwpt).is_ok_and(|target| target.paging == paging)
        })
    }
}

/// Attaches a device to an address space or an HWPT, or moves it to another one at once; gives the
/// HWPT.
///
/// # Errors
/// ENOENT: no such object, or a guest's stage 1 for a group with a device without a vDEVICE. EINVAL: another kind
/// of object, another SMMU, or the group is attached to something else. EADDRINUSE: the doorbells of
/// MSIs are mapped. ENOSPC, ENOMEM, EIO.
pub(super) fn attach(
    call: Call<'_>,
    state: &mut State,
    device: u32,
    pt: u32,
) -> Result<u32, Errno> {
    match state.objects.get(pt)? {
        Object::Paging(_) | Object::Nested(_) => {
            attach_hwpt(call, state, device, pt)?;
            Ok(pt)
        }
        Object::Ioas(space) => {
            let automatic = |&id: &u32| state.objects.paging(id).is_ok_and(|hwpt| hwpt.auto);
            let known: Vec<u32> = space.hwpts.iter().copied().filter(automatic).collect();
            for hwpt in known {
                match attach_hwpt(call, state, device, hwpt) {
                    Ok(()) => return Ok(hwpt),
                    Err(Errno::EINVAL) => {}
                    Err(errno) => return Err(errno),
                }
            }
            let smmu = smmu_of(call.env, state.objects.device(device)?)?;
            let hwpt = alloc_paging(call, state, smmu, pt, (false, true))?;
            let attached = attach_hwpt(call, state, device, hwpt);
            if attached.is_err() {
                let _ = state.destroy(call, hwpt);
            }
            attached.map(|()| hwpt)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn attach_hwpt(call: Call<'_>, state: &mut State, device: u32, hwpt: u32) -> Result<(), Errno> {
    let target = Target::of(&state.objects, hwpt)?;
    let (group, smmu) = state.objects.device(device).map(|known| (known.group, known.smmu))?;
    let paging = state.objects.paging(target.paging)?;
    if paging.domain.smmu() != smmu {
        return Err(Errno::EINVAL);
    }
    let joins =
        |attachment: &Attachment| attachment.hwpt == hwpt || attachment.devices.contains(&device);
    if state.attachments.get(&group).is_some_and(|attachment| !joins(attachment)) {
        return Err(Errno::EINVAL);
    }
    let names = target.names(&state.objects, group, &call.groups[group])?;
    iova::check_msi_window(call.env, &state.objects, paging.ioas)?;
    let old = state.attachments.get(&group).map(|attachment| attachment.hwpt);
    if old != Some(hwpt) {
        let streams = &call.groups[group].streams;
        let from = old.map(|old| Target::of(&state.objects, old)).transpose()?;
        relocate(call.env, &mut state.objects, streams, (from, target))?;
    }
    let devices = settle(state, group, device, hwpt);
    for (member, reports_to) in names {
        state.objects.device_mut(member)?.reports_to = reports_to;
    }
    if let Some(old) = old {
        devices.into_iter().for_each(|_| put(call, state, old));
    }
    Ok(())
}

/// Notes where a group is; gives the devices that use its old HWPT no longer.
fn settle(state: &mut State, group: usize, device: u32, hwpt: u32) -> Vec<u32> {
    let fresh = || Attachment { hwpt, devices: Vec::new() };
    let attachment = state.attachments.entry(group).or_insert_with(fresh);
    let moved = match attachment.hwpt == hwpt {
        true => Vec::new(),
        false => attachment.devices.clone(),
    };
    attachment.hwpt = hwpt;
    moved.iter().for_each(|_| state.objects.hold(hwpt));
    if !attachment.devices.contains(&device) {
        attachment.devices.push(device);
        state.objects.hold(hwpt);
    }
    moved
}

/// Writes the new entry of each stream over the old one, without a moment in which it is blocked.
fn relocate(
    env: Env<'_>,
    objects: &mut Objects,
    streams: &[StreamId],
    (from, to): (Option<Target>, Target),
) -> Result<(), Errno> {
    for (index, &stream) in streams.iter().enumerate() {
        let entered = to.enter(env, objects, stream);
        if let Err(errno) = entered {
            for &moved in &streams[..index] {
                match from {
                    // It was there a moment ago, and so is its place.
                    Some(from) => {
                        let _ = from.enter(env, objects, moved);
                        to.leave(env, objects, moved);
                    }
                    None => to.detach(env, objects, moved),
                }
            }
            return Err(errno);
        }
        if let Some(from) = from {
            from.leave(env, objects, stream);
        }
    }
    Ok(())
}

/// Detaches a device. With the last of its group the streams are blocked.
pub(super) fn detach(call: Call<'_>, state: &mut State, device: u32) {
    let Ok(group) = state.objects.device(device).map(|known| known.group) else { return };
    let Some(attachment) = state.attachments.get_mut(&group) else { return };
    let Some(at) = attachment.devices.iter().position(|&other| other == device) else { return };
    attachment.devices.remove(at);
    let hwpt = attachment.hwpt;
    if attachment.devices.is_empty() {
        state.attachments.remove(&group);
        for member in state.objects.devices_of(group) {
            if let Ok(known) = state.objects.device_mut(member) {
                known.reports_to = None;
            }
        }
        if let Ok(target) = Target::of(&state.objects, hwpt) {
            for &stream in &call.groups[group].streams {
                target.detach(call.env, &mut state.objects, stream);
            }
        }
    }
    put(call, state, hwpt);
}

/// The page table in memory that a device uses, with the VMID under which it does.
pub(super) fn domain_of(state: &State, device: u32) -> Option<DomainView> {
    let device = state.objects.device(device).ok()?;
    let attachment = state.attachments.get(&device.group)?;
    let target = Target::of(&state.objects, attachment.hwpt).ok()?;
    let view = domain_view(&state.objects.paging(target.paging).ok()?.domain);
    let vmid = target.vmid.or(view.vmid);
    Some(DomainView { vmid, ..view })
}

/// A device uses an HWPT no longer; one that was made for an attach goes with the last.
fn put(call: Call<'_>, state: &mut State, hwpt: u32) {
    let last = state.objects.release(hwpt);
    if last && state.objects.paging(hwpt).is_ok_and(|paging| paging.auto) {
        let _ = state.destroy(call, hwpt);
    }
}
