//! `/dev/vfio/N`: groups, and the devices in them.

use super::Vfio;
use super::container::Container;
use super::files::{FileKind, OpenFile};
use super::type1::Call;
use super::uapi::{self, DEVICE_INFO_MIN, DeviceInfo, GroupStatus};
use crate::driver::{Env, Smmu};
use crate::guarded::{Guarded, LockNumbers};
use crate::host::HostDomain;
use crate::iommufd::Context;
use crate::{DeviceNode, Errno};
use smmu_arch::{SmmuId, StreamId};
use std::mem::size_of;
use std::rc::Rc;
use vfio_bindings::bindings::vfio as abi;
use zerocopy::IntoBytes;

/// Devices that cannot be told apart by the SMMU, or share a bus.
#[derive(Debug)]
pub(crate) struct Group {
    /// N of `/dev/vfio/N`.
    pub(crate) number: u32,
    smmu: SmmuId,
    /// Streams of all devices.
    pub(crate) streams: Vec<StreamId>,
    /// Names of the devices.
    devices: Vec<String>,
    /// What the host does with the group while no container holds it.
    pub(crate) host: HostDomain,
    state: Guarded<State>,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    container: Option<Rc<Container>>,
    open_devices: u32,
    /// The iommufd that devices of the group are bound to, and how many are.
    iommufd: Option<(Rc<Context>, u32)>,
}

impl Group {
    /// The groups of a machine, in the order in which devices name them.
    pub(crate) fn collect(locks: &LockNumbers, devices: &[DeviceNode]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for device in devices {
            let found = groups.iter().position(|group| group.number == device.group);
            let at = found.unwrap_or_else(|| {
                groups.push(Self {
                    number: device.group,
                    smmu: device.smmu,
                    streams: Vec::new(),
                    devices: Vec::new(),
                    host: HostDomain::new(locks),
                    state: Guarded::new(locks, State::default()),
                });
                groups.len() - 1
            });
            groups[at].streams.extend(&device.streams);
            groups[at].devices.push(device.name.clone());
        }
        groups
    }

    /// The SMMU in front of the group.
    ///
    /// # Errors
    /// ENODEV before the kernel was booted.
    pub(crate) fn smmu<'a>(&self, env: Env<'a>) -> Result<&'a Smmu, Errno> {
        env.driver.smmu(self.smmu).ok_or(Errno::ENODEV)
    }

    /// The container that the group is in.
    pub(super) fn container(&self, env: Env<'_>) -> Option<Rc<Container>> {
        self.state.with(env.cpu, |state| state.container.clone())
    }

    /// Whether the group has a device of this name.
    pub(crate) fn has_device(&self, name: &[u8]) -> bool {
        self.devices.iter().any(|known| known.as_bytes() == name)
    }

    /// Opens the group.
    ///
    /// # Errors
    /// EBUSY: it is open, or a device of it is bound to an iommufd.
    pub(crate) fn open(&self, env: Env<'_>) -> Result<(), Errno> {
        self.state.with(env.cpu, |state| {
            if state.iommufd.is_some() {
                return Err(Errno::EBUSY);
            }
            if std::mem::replace(&mut state.open, true) { Err(Errno::EBUSY) } else { Ok(()) }
        })
    }

    /// Devices in the group, bound or not.
    pub(crate) fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// Whether devices of the group may be used without its file.
    ///
    /// # Errors
    /// EBUSY: the file is open.
    pub(crate) fn check_unopened(&self, env: Env<'_>) -> Result<(), Errno> {
        self.state.with(env.cpu, |state| if state.open { Err(Errno::EBUSY) } else { Ok(()) })
    }

    /// A device of the group is bound to an iommufd. With the first one the host lets the group go,
    /// and all its devices are blocked.
    ///
    /// # Errors
    /// EBUSY: the group's file is open. EPERM: another device is bound to another iommufd. ENODEV.
    pub(crate) fn claim(&self, env: Env<'_>, owner: &Rc<Context>) -> Result<(), Errno> {
        let smmu = self.smmu(env)?;
        self.state.with(env.cpu, |state| {
            if state.open {
                return Err(Errno::EBUSY);
            }
            match &mut state.iommufd {
                Some((other, _)) if !Rc::ptr_eq(other, owner) => return Err(Errno::EPERM),
                Some((_, devices)) => *devices += 1,
                None => {
                    self.host.claim(env, smmu, &self.streams);
                    state.iommufd = Some((Rc::clone(owner), 1));
                }
            }
            Ok(())
        })
    }

    /// A device of the group is bound no longer. With the last one the group goes back to the host.
    pub(crate) fn unclaim(&self, env: Env<'_>) {
        self.state.with(env.cpu, |state| {
            let Some((_, devices)) = &mut state.iommufd else { return };
            *devices -= 1;
            if *devices == 0 {
                state.iommufd = None;
                if let Ok(smmu) = self.smmu(env) {
                    // Without memory for that the devices stay blocked.
                    let _ = self.host.release(env, smmu, &self.streams);
                }
            }
        });
    }

    /// Takes back an open that got no number.
    pub(crate) fn abandon(&self, env: Env<'_>) {
        self.state.with(env.cpu, |state| state.open = false);
    }

    /// The last user of the group's file is gone.
    pub(crate) fn release(&self, call: Call<'_>, index: usize) {
        self.state.with(call.env.cpu, |state| {
            if let Some(container) = state.container.take() {
                container.remove_group(call, index);
            }
            state.open = false;
        });
    }

    /// The last user of a device's file is gone.
    pub(crate) fn release_device(&self, env: Env<'_>) {
        self.state.with(env.cpu, |state| state.open_devices -= 1);
    }

    /// An ioctl on the group; `file` is the group's own.
    pub(crate) fn ioctl(
        &self,
        vfio: &Vfio,
        call: Call<'_>,
        (index, file): (usize, &Rc<OpenFile>),
        request: u32,
        argument: u64,
    ) -> Result<i64, Errno> {
        match request {
            uapi::GROUP_GET_STATUS => self.get_status(call, argument),
            uapi::GROUP_SET_CONTAINER => self.set_container(vfio, call, index, argument),
            uapi::GROUP_UNSET_CONTAINER => self.unset_container(call, index),
            uapi::GROUP_GET_DEVICE_FD => self.get_device_fd(vfio, call, file, argument),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn get_status(&self, call: Call<'_>, argument: u64) -> Result<i64, Errno> {
        let mut status: GroupStatus = uapi::read(call.process, argument)?;
        if (status.argsz as usize) < size_of::<GroupStatus>() {
            return Err(Errno::EINVAL);
        }
        let set = self.state.with(call.env.cpu, |state| state.container.is_some());
        status.flags = abi::VFIO_GROUP_FLAGS_VIABLE;
        if set {
            status.flags |= abi::VFIO_GROUP_FLAGS_CONTAINER_SET;
        }
        uapi::write(call.process, argument, &status)?;
        Ok(0)
    }

    fn set_container(
        &self,
        vfio: &Vfio,
        call: Call<'_>,
        index: usize,
        argument: u64,
    ) -> Result<i64, Errno> {
        let fd: i32 = uapi::read(call.process, argument)?;
        let file = vfio.files.get(call.env.cpu, fd)?;
        let joined = self.state.with(call.env.cpu, |state| {
            if state.container.is_some() {
                return Err(Errno::EINVAL);
            }
            let FileKind::Container(container) = &file.kind else { return Err(Errno::EBADFD) };
            container.add_group(call, index)?;
            state.container = Some(Rc::clone(container));
            Ok(0)
        });
        vfio.put(call, &file);
        joined
    }

    fn unset_container(&self, call: Call<'_>, index: usize) -> Result<i64, Errno> {
        self.state.with(call.env.cpu, |state| {
            if state.container.is_none() {
                return Err(Errno::EINVAL);
            }
            if state.open_devices != 0 {
                return Err(Errno::EBUSY);
            }
            if let Some(container) = state.container.take() {
                container.remove_group(call, index);
            }
            Ok(0)
        })
    }

    fn get_device_fd(
        &self,
        vfio: &Vfio,
        call: Call<'_>,
        file: &Rc<OpenFile>,
        argument: u64,
    ) -> Result<i64, Errno> {
        let name = read_name(call, argument)?;
        if !self.has_device(&name) {
            return Err(Errno::ENODEV);
        }
        self.state.with(call.env.cpu, |state| {
            let container = state.container.as_ref().ok_or(Errno::EINVAL)?;
            if !container.has_iommu(call.env) {
                return Err(Errno::EINVAL);
            }
            state.open_devices += 1;
            Ok(())
        })?;
        let group = file.hold();
        let device = OpenFile::new(FileKind::Device { group });
        let fd = vfio.files.install(call.env.cpu, Rc::clone(&device));
        if fd.is_err() {
            vfio.put(call, &device);
        }
        Ok(i64::from(fd?))
    }
}

/// A string that ends with 0, at most a page long.
fn read_name(call: Call<'_>, argument: u64) -> Result<Vec<u8>, Errno> {
    let mut name = Vec::new();
    for at in 0..4096 {
        let mut byte = [0];
        call.process.read(argument.checked_add(at).ok_or(Errno::EFAULT)?, &mut byte)?;
        if byte == [0] {
            return Ok(name);
        }
        name.extend(byte);
    }
    Err(Errno::EINVAL)
}

/// An ioctl on a device. The model's devices have no regions and no interrupts of their own; a reset
/// changes neither mappings nor VMID.
pub(crate) fn device_ioctl(call: Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
    match request {
        uapi::DEVICE_GET_INFO => {
            let mut info: DeviceInfo = uapi::read_prefix(call.process, argument, DEVICE_INFO_MIN)?;
            if (info.argsz as usize) < DEVICE_INFO_MIN {
                return Err(Errno::EINVAL);
            }
            let argsz = info.argsz;
            info = DeviceInfo {
                argsz,
                flags: abi::VFIO_DEVICE_FLAGS_RESET | abi::VFIO_DEVICE_FLAGS_PLATFORM,
                ..DeviceInfo::default()
            };
            call.process.write(argument, &info.as_bytes()[..DEVICE_INFO_MIN])?;
            Ok(0)
        }
        uapi::DEVICE_RESET => Ok(0),
        _ => Err(Errno::ENOTTY),
    }
}
