//! A VM as its hypervisor runs it: descriptors, RAM, and the VFIO calls in between.

use super::host::HostMemory;
use super::objects;
use crate::scenario::{Iommu, VmPlan, VmidChoice};
use smmu_arch::Pa;
use smmu_bus::{Cpu, Memory, UserSpace};
use smmu_kernel::client::{Container, Device, Group, IommuType, Process};
use smmu_kernel::{Errno, Kernel};
use smmu_machine::{Blueprint, Listener, MachineMemory};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Where a hypervisor keeps its guest's RAM in its own address space.
const RAM: u64 = 0x5000_0000_0000;

/// Address space of a hypervisor process.
pub(super) type Space<L> = Rc<UserSpace<Rc<MachineMemory<L>>>>;

/// A VM that is running, or was.
pub(super) struct Guest<L: Listener> {
    pub(super) plan: VmPlan,
    space: Space<L>,
    pages: Vec<u64>,
    open: Option<Descriptors>,
}

/// What a running VM has open.
#[derive(Clone, Default, Debug)]
pub(super) struct Descriptors {
    /// Containers, in the order of the plan.
    containers: Vec<i32>,
    /// All files, in the order in which they were opened.
    files: Vec<File>,
    /// Objects behind an iommufd, by name.
    pub(super) objects: BTreeMap<String, u32>,
}

/// An open file.
#[derive(Clone, Debug)]
struct File {
    kind: FileKind,
    /// The name by which `close` knows it.
    name: String,
    fd: i32,
}

/// In the order in which a process that dies gives them back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum FileKind {
    Device,
    Group,
    Container,
}

/// What a VM is started with.
#[derive(Clone)]
struct Recipe {
    plan: VmPlan,
    /// Groups of each container and the devices in them, by number and name.
    containers: Vec<Vec<(u32, Vec<String>)>>,
}

impl<L: Listener> Guest<L> {
    pub(super) fn new(plan: VmPlan, memory: &Rc<MachineMemory<L>>) -> Self {
        let space = Rc::new(UserSpace::new(Rc::clone(memory)));
        Self { plan, space, pages: Vec::new(), open: None }
    }

    pub(super) const fn is_running(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn space(&self) -> Space<L> {
        Rc::clone(&self.space)
    }

    /// Gives the VM its RAM; `false` when the host has no more.
    pub(super) fn take_ram(&mut self, host: &mut HostMemory) -> bool {
        let ram = &self.plan.ram;
        let page = ram.page.0.max(1);
        let Some(pages) = host.take(ram.bytes.0 / page, page) else { return false };
        for (index, &pa) in (0u64..).zip(&pages) {
            if self.space.map(RAM + index * page, Pa(pa), page).is_err() {
                return false;
            }
        }
        self.pages = pages;
        true
    }

    /// Takes the RAM away again.
    pub(super) fn return_ram(&mut self, host: &mut HostMemory) {
        let ram = &self.plan.ram;
        self.space.unmap(RAM, ram.bytes.0);
        host.give_back(std::mem::take(&mut self.pages), ram.page.0.max(1));
    }

    /// The program that starts the VM.
    pub(super) fn starting(
        &self,
        kernel: &Rc<Kernel>,
        blueprint: &Blueprint,
    ) -> impl FnOnce(&dyn Cpu) -> Result<Descriptors, Errno> + 'static {
        let (kernel, space) = (Rc::clone(kernel), self.space());
        let recipe = Recipe::new(&self.plan, blueprint);
        let numbers = objects::Numbers::new(&self.plan, blueprint);
        move |cpu| {
            let process = Process { kernel: &kernel, cpu, memory: &*space };
            let mut open = Descriptors::default();
            let started = match recipe.plan.iommu {
                Iommu::Iommufd => objects::start(&process, &recipe.plan, &numbers, &mut open),
                _ => recipe.start(&process, &mut open),
            };
            started.inspect_err(|_| open.close(&process))?;
            Ok(open)
        }
    }

    /// The VM runs with these descriptors.
    pub(super) fn started(&mut self, open: Descriptors) {
        self.open = Some(open);
    }

    /// The program that kills the VM: its descriptors are closed as they come.
    pub(super) fn stopping(&mut self, kernel: &Rc<Kernel>) -> impl FnOnce(&dyn Cpu) + 'static {
        let (kernel, space) = (Rc::clone(kernel), self.space());
        let open = self.open.take().unwrap_or_default();
        move |cpu| open.close(&Process { kernel: &kernel, cpu, memory: &*space })
    }

    /// What the VM has open, if it runs.
    pub(super) const fn open(&self) -> Option<&Descriptors> {
        self.open.as_ref()
    }

    /// What the VM has open, to be changed; of one that does not run it is lost.
    pub(super) fn open_mut(&mut self) -> Option<&mut Descriptors> {
        self.open.as_mut()
    }

    /// The container descriptors of these devices, or all.
    pub(super) fn containers(&self, of: Option<&[usize]>) -> Vec<i32> {
        let Some(open) = &self.open else { return Vec::new() };
        let wanted = |index: usize| {
            of.is_none_or(|devices| {
                devices.iter().any(|&device| self.plan.container_of(device) == Some(index))
            })
        };
        (0..).zip(&open.containers).filter(|&(i, _)| wanted(i)).map(|(_, &fd)| fd).collect()
    }

    /// Address in the hypervisor of a guest physical address.
    pub(super) const fn address_of(&self, guest: u64) -> u64 {
        address_of(&self.plan, guest)
    }
}

/// Address in the hypervisor of a guest physical address.
pub(super) const fn address_of(plan: &VmPlan, guest: u64) -> u64 {
    RAM.wrapping_add(guest.wrapping_sub(plan.ram.guest))
}

impl Recipe {
    fn new(plan: &VmPlan, blueprint: &Blueprint) -> Self {
        let containers = plan.containers.iter().map(|devices| {
            let mut groups: Vec<(u32, Vec<String>)> = Vec::new();
            for &device in devices {
                let device = &blueprint.devices[device];
                match groups.iter_mut().find(|(number, _)| *number == device.group) {
                    Some((_, names)) => names.push(device.name.clone()),
                    None => groups.push((device.group, vec![device.name.clone()])),
                }
            }
            groups
        });
        Self { plan: plan.clone(), containers: containers.collect() }
    }

    /// Opens every container with its groups and devices and maps RAM in it. Sharing is done as
    /// the document of the VMID ioctls says: GET after the first container's SET_IOMMU, SET before
    /// that of every further one.
    fn start(&self, process: &Process<'_>, open: &mut Descriptors) -> Result<(), Errno> {
        let mut shared = None;
        for groups in &self.containers {
            let container = Container::open(process)?;
            let name = format!("container.{}", open.containers.len());
            open.add(FileKind::Container, name, container.fd());
            open.containers.push(container.fd());
            let devices = Self::fill(process, &container, groups, open)?;
            match (self.plan.vmid, shared) {
                (VmidChoice::Number(vmid), _) | (VmidChoice::Shared, Some(vmid)) => {
                    container.set_vmid(vmid)?;
                }
                _ => {}
            }
            container.set_iommu(kind(self.plan.iommu))?;
            if self.plan.vmid == VmidChoice::Shared && shared.is_none() {
                shared = container.get_vmid()?;
            }
            Self::open_devices(devices, open)?;
            let ram = &self.plan.ram;
            if ram.mapped {
                container.map_dma(ram.guest, RAM, ram.bytes.0)?;
            }
        }
        Ok(())
    }

    fn fill<'k, 'n>(
        process: &Process<'k>,
        container: &Container<'k>,
        groups: &'n [(u32, Vec<String>)],
        open: &mut Descriptors,
    ) -> Result<Vec<(Group<'k>, &'n [String])>, Errno> {
        let mut filled = Vec::new();
        for (number, devices) in groups {
            let group = Group::open(process, *number)?;
            open.add(FileKind::Group, format!("group.{number}"), group.fd());
            group.set_container(container)?;
            filled.push((group, devices.as_slice()));
        }
        Ok(filled)
    }

    fn open_devices(
        groups: Vec<(Group<'_>, &[String])>,
        open: &mut Descriptors,
    ) -> Result<(), Errno> {
        for (group, names) in groups {
            for name in names {
                let device: Device<'_> = group.device(name)?;
                open.add(FileKind::Device, name.clone(), device.fd());
            }
        }
        Ok(())
    }
}

impl Descriptors {
    /// A file was opened.
    pub(super) fn add(&mut self, kind: FileKind, name: String, fd: i32) {
        self.files.push(File { kind, name, fd });
    }

    /// The descriptor of a file; -1 where it is not open, so that a call on it fails with EBADF.
    pub(super) fn file(&self, name: &str) -> i32 {
        self.files.iter().find(|file| file.name == name).map_or(-1, |file| file.fd)
    }

    /// A file was closed.
    pub(super) fn forget(&mut self, name: &str) {
        self.files.retain(|file| file.name != name);
    }

    /// The number of an object; 0, which none has, where there is none of this name.
    pub(super) fn object(&self, name: &str) -> u32 {
        self.objects.get(name).copied().unwrap_or(0)
    }

    /// Devices, groups, containers or the iommufd.
    fn close(&self, process: &Process<'_>) {
        for kind in [FileKind::Device, FileKind::Group, FileKind::Container] {
            for file in self.files.iter().filter(|file| file.kind == kind) {
                let _ = process.close(file.fd);
            }
        }
    }
}

const fn kind(iommu: Iommu) -> IommuType {
    match iommu {
        // An iommufd has no type to be set.
        Iommu::Nesting | Iommu::Iommufd => IommuType::Nesting,
        Iommu::Type1 => IommuType::Type1,
        Iommu::Type1v2 => IommuType::Type1v2,
    }
}

/// A program that makes a call on each of some containers and stops at the first that fails.
pub(super) fn on_containers<M: Memory + 'static>(
    kernel: &Rc<Kernel>,
    space: Rc<UserSpace<M>>,
    containers: Vec<i32>,
    call: impl Fn(&Container<'_>) -> Result<(), Errno> + 'static,
) -> impl FnOnce(&dyn Cpu) -> Result<(), Errno> + 'static {
    let kernel = Rc::clone(kernel);
    move |cpu| {
        let process = Process { kernel: &kernel, cpu, memory: &*space };
        containers.into_iter().try_for_each(|fd| call(&Container::from_fd(&process, fd)))
    }
}
