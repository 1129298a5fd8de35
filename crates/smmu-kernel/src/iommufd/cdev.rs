//! `/dev/vfio/devices/vfioN`: a device without a group file.

use super::attach;
use super::context::Context;
use super::objects::{Device, Object};
use crate::driver::Env;
use crate::guarded::{Guarded, LockNumbers};
use crate::vfio::uapi::{
    self, ATTACH_IOMMUFD_PT_MIN, AttachIommufdPt, BIND_IOMMUFD_MIN, BindIommufd,
    DETACH_IOMMUFD_PT_MIN, DetachIommufdPt,
};
use crate::vfio::{Call, FileKind, OpenFile, Vfio, device_ioctl};
use crate::{DeviceNode, Errno};
use smmu_arch::{Event, SmmuId, StreamId};
use std::mem::offset_of;
use std::rc::Rc;
use zerocopy::IntoBytes;

/// A device of the machine, whoever has it open.
#[derive(Debug)]
pub(crate) struct Endpoint {
    group: usize,
    smmu: SmmuId,
    streams: Vec<StreamId>,
    /// Where it is bound, and its number there.
    bound: Guarded<Option<(Rc<Context>, u32)>>,
}

impl Endpoint {
    /// A device that is not bound; `group` is the index of its group.
    pub(crate) fn new(locks: &LockNumbers, node: &DeviceNode, group: usize) -> Self {
        let bound = Guarded::new(locks, None);
        Self { group, smmu: node.smmu, streams: node.streams.clone(), bound }
    }

    /// Whether an event is about this device.
    pub(crate) fn has_stream(&self, smmu: SmmuId, stream: StreamId) -> bool {
        self.smmu == smmu && self.streams.contains(&stream)
    }

    /// Its SMMU.
    pub(crate) const fn smmu(&self) -> SmmuId {
        self.smmu
    }

    /// Its StreamIDs.
    pub(crate) fn streams(&self) -> &[StreamId] {
        &self.streams
    }

    /// Its group by index, and where it is bound with its number there.
    pub(crate) fn whereabouts(&self, env: Env<'_>) -> (usize, Option<(Rc<Context>, u32)>) {
        (self.group, self.bound.with(env.cpu, |bound| bound.clone()))
    }

    /// Hands an event to the guest that has the device; `false` where the host has to look after it.
    pub(crate) fn report(&self, env: Env<'_>, event: &Event) -> bool {
        let bound = self.bound.with(env.cpu, |bound| bound.clone());
        bound.is_some_and(|(context, device)| context.report(env, device, event))
    }
}

/// An open device file.
#[derive(Debug)]
pub(crate) struct Cdev {
    /// Index of its device.
    endpoint: usize,
    state: Guarded<Option<Bound>>,
}

/// What a device file holds from BIND until it is closed.
#[derive(Clone, Debug)]
struct Bound {
    /// The file of the iommufd.
    file: Rc<OpenFile>,
    context: Rc<Context>,
    /// The number of the device object.
    device: u32,
}

impl Cdev {
    pub(crate) fn new(locks: &LockNumbers, endpoint: usize) -> Self {
        Self { endpoint, state: Guarded::new(locks, None) }
    }

    /// An ioctl on the device. All but BIND need it to be bound.
    ///
    /// # Errors
    /// EINVAL: not bound. Those of the request.
    pub(crate) fn ioctl(
        &self,
        vfio: &Vfio,
        call: Call<'_>,
        request: u32,
        argument: u64,
    ) -> Result<i64, Errno> {
        if request == uapi::DEVICE_BIND_IOMMUFD {
            return self.bind(vfio, call, argument).map(|()| 0);
        }
        self.state.with(call.env.cpu, |state| {
            let bound = state.as_ref().ok_or(Errno::EINVAL)?;
            match request {
                uapi::DEVICE_ATTACH_IOMMUFD_PT => bound.attach(call, argument).map(|()| 0),
                uapi::DEVICE_DETACH_IOMMUFD_PT => bound.detach(call, argument).map(|()| 0),
                _ => device_ioctl(call, request, argument),
            }
        })
    }

    /// `VFIO_DEVICE_BIND_IOMMUFD`.
    ///
    /// # Errors
    /// EFAULT. EINVAL: argsz, flags (the model's devices have no tokens), a negative descriptor, or
    /// bound before, by this file or another. EBUSY: the group is open. EBADF; EBADFD: no iommufd.
    /// EPERM: another device of the group is bound to another iommufd.
    fn bind(&self, vfio: &Vfio, call: Call<'_>, argument: u64) -> Result<(), Errno> {
        let mut bind: BindIommufd = uapi::read_prefix(call.process, argument, BIND_IOMMUFD_MIN)?;
        if (bind.argsz as usize) < BIND_IOMMUFD_MIN || bind.flags != 0 || bind.iommufd < 0 {
            return Err(Errno::EINVAL);
        }
        let group = vfio.endpoints[self.endpoint].group;
        call.groups[group].check_unopened(call.env)?;
        self.state.with(call.env.cpu, |state| {
            if state.is_some() {
                return Err(Errno::EINVAL);
            }
            let file = vfio.file(call.env.cpu, bind.iommufd)?;
            let bound = match &file.kind {
                FileKind::Iommufd(context) => self.bind_to(vfio, call, context),
                _ => Err(Errno::EBADFD),
            };
            let told = bound.and_then(|(context, device)| {
                bind.out_devid = device;
                let place = argument + offset_of!(BindIommufd, out_devid) as u64;
                let told = call.process.write(place, bind.out_devid.as_bytes());
                told.inspect_err(|_| self.unbind_from(vfio, call, &context, device))?;
                Ok(Bound { file: file.hold(), context, device })
            });
            *state = told.as_ref().ok().cloned();
            vfio.put(call, &file);
            told.map(drop)
        })
    }

    fn bind_to(
        &self,
        vfio: &Vfio,
        call: Call<'_>,
        context: &Rc<Context>,
    ) -> Result<(Rc<Context>, u32), Errno> {
        let endpoint = &vfio.endpoints[self.endpoint];
        endpoint.bound.with(call.env.cpu, |bound| {
            if bound.is_some() {
                return Err(Errno::EINVAL);
            }
            call.groups[endpoint.group].claim(call.env, context)?;
            let device = context.with(call.env, |state| {
                let device = state.objects.insert(Object::Device(Device {
                    group: endpoint.group,
                    smmu: endpoint.smmu,
                    streams: endpoint.streams.clone(),
                    vdevice: None,
                    reports_to: None,
                }));
                // As long as it is bound the object cannot be destroyed.
                state.objects.hold(device);
                device
            });
            *bound = Some((Rc::clone(context), device));
            Ok((Rc::clone(context), device))
        })
    }

    /// The last user of the file is gone: the device is blocked, its object goes, and the group goes
    /// back to the host. Gives the iommufd's file, whose hold is the caller's to drop.
    pub(crate) fn release(&self, vfio: &Vfio, call: Call<'_>) -> Option<Rc<OpenFile>> {
        let bound = self.state.with(call.env.cpu, Option::take)?;
        self.unbind_from(vfio, call, &bound.context, bound.device);
        Some(bound.file)
    }

    fn unbind_from(&self, vfio: &Vfio, call: Call<'_>, context: &Rc<Context>, device: u32) {
        let endpoint = &vfio.endpoints[self.endpoint];
        endpoint.bound.with(call.env.cpu, |bound| {
            context.with(call.env, |state| state.unbind(call, device));
            *bound = None;
        });
        call.groups[endpoint.group].unclaim(call.env);
    }
}

impl Bound {
    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`; the HWPT is written back.
    ///
    /// # Errors
    /// EFAULT. EINVAL: argsz, flags. EOPNOTSUPP: a PASID, which the model's devices have not. Those
    /// of [`attach::attach`].
    fn attach(&self, call: Call<'_>, argument: u64) -> Result<(), Errno> {
        let attach: AttachIommufdPt =
            uapi::read_prefix(call.process, argument, ATTACH_IOMMUFD_PT_MIN)?;
        check_pt(attach.argsz, ATTACH_IOMMUFD_PT_MIN, attach.flags)?;
        self.context.with(call.env, |state| {
            let hwpt = attach::attach(call, state, self.device, attach.pt_id)?;
            let place = argument + offset_of!(AttachIommufdPt, pt_id) as u64;
            let told = call.process.write(place, hwpt.as_bytes());
            Ok(told.inspect_err(|_| attach::detach(call, state, self.device))?)
        })
    }

    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`; nothing happens to a device that is not attached.
    ///
    /// # Errors
    /// EFAULT. EINVAL: argsz, flags. EOPNOTSUPP: a PASID.
    fn detach(&self, call: Call<'_>, argument: u64) -> Result<(), Errno> {
        let detach: DetachIommufdPt =
            uapi::read_prefix(call.process, argument, DETACH_IOMMUFD_PT_MIN)?;
        check_pt(detach.argsz, DETACH_IOMMUFD_PT_MIN, detach.flags)?;
        self.context.with(call.env, |state| attach::detach(call, state, self.device));
        Ok(())
    }
}

fn check_pt(argsz: u32, least: usize, flags: u32) -> Result<(), Errno> {
    use vfio_bindings::bindings::vfio::VFIO_DEVICE_ATTACH_PASID as PASID;
    if (argsz as usize) < least || flags & !PASID != 0 {
        return Err(Errno::EINVAL);
    }
    if flags == PASID { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}
