//! VFIO: containers, groups and devices, as Linux offers them to a process.

mod container;
mod dirty;
mod dma;
mod files;
mod group;
mod info;
mod pins;
mod type1;
pub mod uapi;

pub(crate) use files::{FileKind, OpenFile};
pub(crate) use group::{Group, device_ioctl};
pub(crate) use type1::{Call, MSI_WINDOW};

use crate::driver::{Domain, Driver, Env, ProbeError, Refusal, Tag};
use crate::guarded::LockNumbers;
use crate::host::HostDomain;
use crate::iommufd::{self, Cdev, Context, Endpoint};
use crate::personality::Personality;
use crate::{DeviceNode, Errno};
use container::Container;
use files::Files;
use pins::Pins;
use smmu_arch::{Asid, Event, SmmuId, StreamId, Vmid};
use smmu_bus::{Cpu, UserMemory};
use std::rc::Rc;

/// A domain of a container, as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainView {
    /// SMMU.
    pub smmu: SmmuId,
    /// VMID, where the domain is a stage 2.
    pub vmid: Option<Vmid>,
    /// ASID, where it is a stage 1.
    pub asid: Option<Asid>,
    /// Streams that use it.
    pub streams: Vec<StreamId>,
}

/// A container, as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerView {
    /// The VMID that user space believes in.
    pub vmid: Option<u32>,
    /// Domains, one for each SMMU.
    pub domains: Vec<DomainView>,
    /// Mappings.
    pub mappings: usize,
}

pub(crate) fn domain_view(domain: &Domain) -> DomainView {
    let asid = match domain.tag() {
        Tag::Stage1(asid) => Some(asid),
        Tag::Stage2(_) => None,
    };
    DomainView {
        smmu: domain.smmu(),
        vmid: domain.vmid(),
        asid,
        streams: domain.streams().collect(),
    }
}

/// The VFIO objects of a kernel.
#[derive(Debug)]
pub(crate) struct Vfio {
    files: Files,
    pins: Pins,
    groups: Vec<Group>,
    /// Devices in the order of the machine: N of `/dev/vfio/devices/vfioN`.
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Vfio {
    pub(crate) fn new(locks: &LockNumbers, devices: &[DeviceNode]) -> Self {
        let (files, pins) = (Files::new(locks), Pins::new(locks));
        let groups = Group::collect(locks, devices);
        let endpoint = |node: &DeviceNode| {
            let group = groups.iter().position(|group| group.number == node.group);
            group.map(|group| Endpoint::new(locks, node, group))
        };
        let endpoints = devices.iter().filter_map(endpoint).collect();
        Self { files, pins, groups, endpoints }
    }

    /// Gives every group to the host.
    ///
    /// # Errors
    /// No memory or no number for the host's domains.
    pub(crate) fn start_host(&self, env: Env<'_>) -> Result<(), ProbeError> {
        for group in &self.groups {
            let Ok(smmu) = group.smmu(env) else { continue };
            let released = group.host.release(env, smmu, &group.streams);
            released.map_err(|errno| Refusal::Memory(errno).of(smmu.id))?;
        }
        Ok(())
    }

    /// The host's domain of a device.
    ///
    /// # Errors
    /// ENODEV: no such device.
    pub(crate) fn host_of(&self, device: &str) -> Result<&HostDomain, Errno> {
        let group = self.groups.iter().find(|group| group.has_device(device.as_bytes()));
        group.map(|group| &group.host).ok_or(Errno::ENODEV)
    }

    /// The kernel's timer.
    pub(crate) fn tick(&self, env: Env<'_>) {
        self.groups.iter().for_each(|group| group.host.tick(env));
    }

    /// Opens `/dev/vfio/vfio`, `/dev/vfio/N`, `/dev/iommu` or `/dev/vfio/devices/vfioN`. The kernels
    /// of the series are older than the last two.
    pub(crate) fn open(&self, env: Env<'_>, locks: &LockNumbers, path: &str) -> Result<i32, Errno> {
        let has_iommufd = env.driver.options.personality == Personality::Upstream;
        let name = match path.strip_prefix("/dev/").ok_or(Errno::ENOENT)? {
            "iommu" if has_iommufd => {
                let context = FileKind::Iommufd(Context::new(locks));
                return self.install(env.cpu, OpenFile::new(context));
            }
            path => path.strip_prefix("vfio/").ok_or(Errno::ENOENT)?,
        };
        match name.strip_prefix("devices/vfio") {
            _ if name == "vfio" => {
                let container = FileKind::Container(Container::new(locks));
                self.install(env.cpu, OpenFile::new(container))
            }
            Some(number) if has_iommufd => {
                let named = |index: &usize| index.to_string() == number;
                let index = (0..self.endpoints.len()).find(named).ok_or(Errno::ENOENT)?;
                let device = FileKind::Cdev(Cdev::new(locks, index));
                self.install(env.cpu, OpenFile::new(device))
            }
            _ => self.open_group(env, name),
        }
    }

    fn open_group(&self, env: Env<'_>, name: &str) -> Result<i32, Errno> {
        let named = |group: &Group| group.number.to_string() == name;
        let index = self.groups.iter().position(named).ok_or(Errno::ENOENT)?;
        let group = &self.groups[index];
        group.smmu(env)?;
        group.open(env)?;
        let installed = self.install(env.cpu, OpenFile::new(FileKind::Group(index)));
        installed.inspect_err(|_| group.abandon(env))
    }

    /// Gives an open file the lowest free number.
    ///
    /// # Errors
    /// EMFILE.
    pub(crate) fn install(&self, cpu: &dyn Cpu, file: Rc<OpenFile>) -> Result<i32, Errno> {
        self.files.install(cpu, file)
    }

    /// Takes a number back that nobody was told.
    pub(crate) fn uninstall(&self, cpu: &dyn Cpu, fd: i32) -> Result<(), Errno> {
        self.files.remove(cpu, fd).map(drop)
    }

    /// The file of a number, held once more.
    ///
    /// # Errors
    /// EBADF.
    pub(crate) fn file(&self, cpu: &dyn Cpu, fd: i32) -> Result<Rc<OpenFile>, Errno> {
        self.files.get(cpu, fd)
    }

    /// Reads from an event queue: bytes read, 0 where there is nothing.
    pub(crate) fn read(&self, call: Call<'_>, fd: i32, buffer: (u64, u64)) -> Result<u64, Errno> {
        let file = self.files.get(call.env.cpu, fd)?;
        let read = match &file.kind {
            FileKind::Queue(queue) => queue.read(call, buffer),
            _ => Err(Errno::EINVAL),
        };
        self.put(call, &file);
        read
    }

    /// Whether an event queue has something to read.
    pub(crate) fn is_readable(&self, call: Call<'_>, fd: i32) -> Result<bool, Errno> {
        let file = self.files.get(call.env.cpu, fd)?;
        let readable = match &file.kind {
            FileKind::Queue(queue) => Ok(queue.is_readable(call)),
            _ => Err(Errno::EINVAL),
        };
        self.put(call, &file);
        readable
    }

    /// Hands an event to the guest that has the device; `false` where the host has to look after it.
    pub(crate) fn report(&self, env: Env<'_>, smmu: SmmuId, event: &Event) -> bool {
        let about = |endpoint: &&Endpoint| endpoint.has_stream(smmu, event.stream);
        self.endpoints.iter().find(about).is_some_and(|endpoint| endpoint.report(env, event))
    }

    /// Gives a file a second number.
    pub(crate) fn dup(&self, cpu: &dyn Cpu, fd: i32) -> Result<i32, Errno> {
        self.files.install(cpu, self.files.get(cpu, fd)?)
    }

    /// Takes a number away.
    pub(crate) fn close(&self, call: Call<'_>, fd: i32) -> Result<(), Errno> {
        let file = self.files.remove(call.env.cpu, fd)?;
        self.put(call, &file);
        Ok(())
    }

    /// An ioctl.
    pub(crate) fn ioctl(
        &self,
        call: Call<'_>,
        fd: i32,
        request: u32,
        argument: u64,
    ) -> Result<i64, Errno> {
        let file = self.files.get(call.env.cpu, fd)?;
        let result = match &file.kind {
            FileKind::Container(container) => container.ioctl(call, request, argument),
            &FileKind::Group(index) => {
                self.groups[index].ioctl(self, call, (index, &file), request, argument)
            }
            FileKind::Device { .. } => device_ioctl(call, request, argument),
            FileKind::Iommufd(context) => {
                iommufd::ioctl(self, call, (context, &file), request, argument)
            }
            FileKind::Cdev(device) => device.ioctl(self, call, request, argument),
            FileKind::Queue(_) => Err(Errno::ENOTTY),
        };
        self.put(call, &file);
        result
    }

    /// What a container descriptor shows.
    pub(crate) fn view(&self, call: Call<'_>, fd: i32) -> Result<ContainerView, Errno> {
        let file = self.files.get(call.env.cpu, fd)?;
        let view = match &file.kind {
            FileKind::Container(container) => Ok(container.view(call.env)),
            _ => Err(Errno::EBADFD),
        };
        self.put(call, &file);
        view
    }

    /// The domain that a device uses now.
    pub(crate) fn domain_of(&self, env: Env<'_>, device: usize) -> Option<DomainView> {
        let endpoint = &self.endpoints[device];
        let stream = endpoint.streams().first()?;
        let (group, bound) = endpoint.whereabouts(env);
        if let Some((context, device)) = bound {
            return context.domain_of(env, device);
        }
        let container = self.groups[group].container(env)?;
        let mut domains = container.view(env).domains.into_iter();
        domains.find(|one| one.smmu == endpoint.smmu() && one.streams.contains(stream))
    }

    /// The domain of a device gets another ASID.
    pub(crate) fn seize_asid(&self, env: Env<'_>, device: usize) -> Result<(), Errno> {
        let endpoint = &self.endpoints[device];
        let &stream = endpoint.streams().first().ok_or(Errno::ENODEV)?;
        let container = self.groups[endpoint.whereabouts(env).0].container(env);
        container.ok_or(Errno::ENODEV)?.give_asid(env, stream)
    }

    /// The context of one call.
    pub(crate) fn call<'a>(
        &'a self,
        cpu: &'a dyn Cpu,
        driver: &'a Driver,
        process: &'a dyn UserMemory,
    ) -> Call<'a> {
        Call { env: Env { cpu, driver }, process, pins: &self.pins, groups: &self.groups }
    }

    /// Gives up one use of a file, and releases it with the last.
    pub(crate) fn put(&self, call: Call<'_>, file: &Rc<OpenFile>) {
        if !file.drop_user() {
            return;
        }
        match &file.kind {
            FileKind::Container(container) => container.drop_holder(call.env),
            &FileKind::Group(index) => self.groups[index].release(call, index),
            FileKind::Device { group } => {
                if let FileKind::Group(index) = group.kind {
                    self.groups[index].release_device(call.env);
                }
                self.put(call, group);
            }
            FileKind::Iommufd(context) => context.release(call),
            FileKind::Cdev(device) => {
                let iommufd = device.release(self, call);
                iommufd.into_iter().for_each(|file| self.put(call, &file));
            }
            FileKind::Queue(queue) => {
                queue.release(call);
                self.put(call, &queue.file);
            }
        }
    }
}
