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

pub(crate) use group::Group;
pub(crate) use type1::MSI_WINDOW;

use crate::driver::{Domain, Driver, Env, ProbeError, Refusal, Tag};
use crate::guarded::LockNumbers;
use crate::host::HostDomain;
use crate::{DeviceNode, Errno};
use container::Container;
use files::{FileKind, Files, OpenFile};
use pins::Pins;
use smmu_arch::{Asid, SmmuId, StreamId, Vmid};
use smmu_bus::{Cpu, UserMemory};
use std::rc::Rc;
use type1::Call;

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

fn domain_view(domain: &Domain) -> DomainView {
    let asid = match domain.tag() {
        Tag::Stage1(asid) => Some(asid),
        Tag::Stage2(_) => None,
    };
    DomainView {
        smmu: domain.smmu(),
        vmid: domain.vmid(),
        asid,
        streams: domain.streams().to_vec(),
    }
}

/// The VFIO objects of a kernel.
#[derive(Debug)]
pub(crate) struct Vfio {
    files: Files,
    pins: Pins,
    groups: Vec<Group>,
}

impl Vfio {
    pub(crate) fn new(locks: &LockNumbers, devices: &[DeviceNode]) -> Self {
        Self {
            files: Files::new(locks),
            pins: Pins::new(locks),
            groups: Group::collect(locks, devices),
        }
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

    /// Opens `/dev/vfio/vfio` or `/dev/vfio/N`.
    pub(crate) fn open(&self, env: Env<'_>, locks: &LockNumbers, path: &str) -> Result<i32, Errno> {
        let name = path.strip_prefix("/dev/vfio/").ok_or(Errno::ENOENT)?;
        if name == "vfio" {
            let container = FileKind::Container(Container::new(locks));
            return self.files.install(env.cpu, OpenFile::new(container));
        }
        let named = |group: &Group| group.number.to_string() == name;
        let index = self.groups.iter().position(named).ok_or(Errno::ENOENT)?;
        let group = &self.groups[index];
        group.smmu(env)?;
        group.open(env)?;
        let installed = self.files.install(env.cpu, OpenFile::new(FileKind::Group(index)));
        installed.inspect_err(|_| group.abandon(env))
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
            FileKind::Device { .. } => group::device_ioctl(call, request, argument),
        };
        self.put(call, &file);
        result
    }

    /// What a container descriptor shows.
    pub(crate) fn view(&self, call: Call<'_>, fd: i32) -> Result<ContainerView, Errno> {
        let file = self.files.get(call.env.cpu, fd)?;
        let view = match &file.kind {
            FileKind::Container(container) => Ok(container.view(call.env)),
            FileKind::Group(_) | FileKind::Device { .. } => Err(Errno::EBADFD),
        };
        self.put(call, &file);
        view
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
    fn put(&self, call: Call<'_>, file: &Rc<OpenFile>) {
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
        }
    }
}
