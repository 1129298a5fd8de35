//! VMs behind an iommufd: how they start, and the steps on their objects.

use super::RunError;
use super::engine::Engine;
use super::guest::{Descriptors, FileKind, address_of};
use crate::scenario::{
    Attach, Close, Destroy, Detach, GuestConfig, GuestMap, GuestPromise, GuestUnmap, HwptAlloc,
    Invalidate, IoasAlloc, Iommu, Outcome, Plug, Unplug, VdeviceAlloc, ViommuAlloc, VmPlan,
    VmidChoice,
};
use smmu_arch::{Asid, Cd, Command, Promise, SmmuId, Stage, Ste, StreamConfig, Vmid};
use smmu_bus::Cpu;
use smmu_kernel::Errno;
use smmu_kernel::client::iommufd::{DeviceFile, Iommufd};
use smmu_kernel::client::{Container, Group, Process};
use smmu_kernel::iommufd_uapi::ALLOC_NEST_PARENT;
use smmu_machine::Blueprint;
use std::collections::BTreeMap;
use std::rc::Rc;
use zerocopy::IntoBytes;

/// The open `/dev/iommu` of a VM, as `close` knows it.
const IOMMUFD: &str = "iommufd";
/// The address space of a VM.
const IOAS: &str = "ioas";
/// Where in the RAM of a VM the CD of its first stage 1 stands; its table is a page behind it, and
/// the next stage 1 two pages.
const STAGE1: u64 = 0x1000;
const STAGE1_BYTES: u64 = 0x2000;
/// Where in the RAM of a VM its hypervisor puts the arrays of its calls.
const ROOM: u64 = 0x10_0000;
/// What one entry of a guest's table maps: 2 MiB.
const BLOCK_SHIFT: u32 = 21;
/// Input bits of a guest's stage 1: one table, of blocks.
const VA_BITS: u8 = 30;

/// Devices of a VM as the kernel numbers and places them.
pub(super) struct Numbers {
    /// By container of the plan: number, name and SMMU of each device.
    containers: Vec<Vec<(usize, String, usize)>>,
}

impl Numbers {
    pub(super) fn new(plan: &VmPlan, blueprint: &Blueprint) -> Self {
        let drawn = |&index: &usize| {
            let device = &blueprint.devices[index];
            (index, device.name.clone(), device.smmu)
        };
        let containers = plan.containers.iter().map(|devices| devices.iter().map(drawn).collect());
        Self { containers: containers.collect() }
    }
}

/// A stage 1 of a guest: where its structures stand in guest physical memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage1 {
    /// The device that it was made for.
    device: usize,
    asid: Asid,
    table: u64,
}

/// Opens the iommufd and the devices, maps RAM, and attaches each device to a stage 2: one for each
/// container of the plan and SMMU, or one for each SMMU where VMIDs are shared.
///
/// # Errors
/// Of the first call that fails.
pub(super) fn start(
    process: &Process<'_>,
    plan: &VmPlan,
    numbers: &Numbers,
    open: &mut Descriptors,
) -> Result<(), Errno> {
    let iommufd = Iommufd::open(process)?;
    open.add(FileKind::Container, IOMMUFD.to_owned(), iommufd.fd());
    let ioas = iommufd.alloc_ioas()?;
    open.objects.insert(IOAS.to_owned(), ioas);
    if plan.ram.mapped {
        let ram = &plan.ram;
        iommufd.map(ioas, ram.guest, address_of(plan, ram.guest), ram.bytes.0)?;
    }
    let mut parents = BTreeMap::new();
    for (container, devices) in numbers.containers.iter().enumerate() {
        for (number, name, smmu) in devices {
            let file = DeviceFile::open(process, *number)?;
            open.add(FileKind::Device, name.clone(), file.fd());
            let device = file.bind(&iommufd)?;
            open.objects.insert(name.clone(), device);
            if !plan.attach {
                continue;
            }
            let container = if plan.vmid == VmidChoice::Shared { 0 } else { container };
            let parent = match parents.get(&(container, smmu)) {
                Some(&parent) => parent,
                None => iommufd.alloc_hwpt(device, ioas, ALLOC_NEST_PARENT)?,
            };
            parents.insert((container, smmu), parent);
            open.objects.insert(format!("{name}.parent"), parent);
            file.attach(parent)?;
        }
    }
    Ok(())
}

impl Engine {
    /// The VM that a device belongs to, checked at load.
    pub(super) fn vm_of(&self, device: usize) -> usize {
        let vms = &self.run.scenario.vms;
        vms.iter().position(|vm| vm.devices().any(|one| one == device)).unwrap_or(0)
    }

    /// Makes a system call of a VM; EBADF where it does not run.
    fn call<T: 'static>(
        &mut self,
        vm: usize,
        body: impl FnOnce(&Process<'_>, &Descriptors) -> Result<T, Errno> + 'static,
    ) -> Result<Result<T, Errno>, RunError> {
        let Some(open) = self.guests[vm].open().cloned() else { return Ok(Err(Errno::EBADF)) };
        let (kernel, space) = (Rc::clone(&self.kernel), self.guests[vm].space());
        self.act_for(Some(vm));
        let result = self.machine.run(move |cpu: &dyn Cpu| {
            let process = Process { kernel: &kernel, cpu, memory: &*space };
            body(&process, &open)
        })?;
        self.act_for(None);
        Ok(result)
    }

    /// The same, for a result that nobody needs.
    fn call_for(
        &mut self,
        vm: usize,
        expected: Outcome,
        body: impl FnOnce(&Process<'_>, &Descriptors) -> Result<(), Errno> + 'static,
    ) -> Result<(), RunError> {
        let result = self.call(vm, body)?;
        self.outcome(expected, result.err());
        self.remember_tags(vm)
    }

    /// A call on the address space of a VM.
    pub(super) fn call_ioas(
        &mut self,
        vm: usize,
        (ioas, expected): (Option<&str>, Outcome),
        body: impl FnOnce(&Iommufd<'_>, u32) -> Result<(), Errno> + 'static,
    ) -> Result<(), RunError> {
        let ioas = ioas.unwrap_or(IOAS).to_owned();
        self.call_for(vm, expected, move |process, open| {
            body(&Iommufd::from_fd(process, open.file(IOMMUFD)), open.object(&ioas))
        })
    }

    pub(super) fn ioas_alloc(&mut self, step: &IoasAlloc) -> Result<(), RunError> {
        let vm = self.vm(&step.vm);
        let result = self
            .call(vm, |process, open| Iommufd::from_fd(process, open.file(IOMMUFD)).alloc_ioas())?;
        self.made(vm, Some(&step.name), step.expect, result);
        Ok(())
    }

    fn name(&mut self, vm: usize, name: Option<&String>, object: u32) {
        if let (Some(open), Some(name)) = (self.guests[vm].open_mut(), name) {
            open.objects.insert(name.clone(), object);
        }
    }

    /// What a call that makes an object came to.
    fn made(
        &mut self,
        vm: usize,
        name: Option<&String>,
        expected: Outcome,
        result: Result<u32, Errno>,
    ) {
        if let Ok(object) = result {
            self.name(vm, name, object);
        }
        self.outcome(expected, result.err());
    }

    pub(super) fn hwpt_alloc(&mut self, step: &HwptAlloc) -> Result<(), RunError> {
        let device = self.device(&step.device);
        let vm = self.vm_of(device);
        if let Some(viommu) = step.viommu.clone() {
            return self.alloc_stage1(step, (vm, device), viommu);
        }
        let (name, count) = (step.device.clone(), step.count);
        let ioas = step.ioas.clone().unwrap_or_else(|| IOAS.to_owned());
        let flags = if step.nest_parent { ALLOC_NEST_PARENT } else { 0 };
        let (early, result) = {
            let result = self.call(vm, move |process, open| {
                let iommufd = Iommufd::from_fd(process, open.file(IOMMUFD));
                let alloc = || iommufd.alloc_hwpt(open.object(&name), open.object(&ioas), flags);
                let early = (1..count).try_for_each(|_| alloc().map(drop));
                Ok((early, alloc()))
            })?;
            result.unwrap_or_else(|errno| (Ok(()), Err(errno)))
        };
        if let Err(errno) = early {
            self.failed("all but the last to succeed", format!("errno {}", errno.0));
        }
        self.made(vm, step.name.as_ref(), step.expect, result);
        Ok(())
    }

    /// The guest writes its CD and an empty table, and its hypervisor passes its STE on.
    fn alloc_stage1(
        &mut self,
        step: &HwptAlloc,
        (vm, device): (usize, usize),
        viommu: String,
    ) -> Result<(), RunError> {
        let plan = self.guests[vm].plan.clone();
        let known = self.stage1s.keys().filter(|(of, _)| *of == vm).count() as u64;
        let context = plan.ram.guest + STAGE1 + known * STAGE1_BYTES;
        let table = context + STAGE1_BYTES / 2;
        let asid = Asid(step.asid);
        let words = guest_entry(step.config, context);
        let name = step.device.clone();
        let result = self.call(vm, move |process, open| {
            store(process, &plan, context, &guest_context(table, asid))?;
            store(process, &plan, table, &[0; 512])?;
            let iommufd = Iommufd::from_fd(process, open.file(IOMMUFD));
            let room = address_of(&plan, plan.ram.guest + ROOM);
            iommufd.alloc_nested(open.object(&name), open.object(&viommu), words, room)
        })?;
        if let (Ok(_), Some(name)) = (&result, &step.name) {
            self.stage1s.insert((vm, name.clone()), Stage1 { device, asid, table });
        }
        self.made(vm, step.name.as_ref(), step.expect, result);
        Ok(())
    }

    pub(super) fn viommu_alloc(&mut self, step: &ViommuAlloc) -> Result<(), RunError> {
        let vm = self.vm_of(self.device(&step.device));
        let device = step.device.clone();
        let parent = step.parent.clone().unwrap_or_else(|| format!("{device}.parent"));
        let result = self.call(vm, move |process, open| {
            let iommufd = Iommufd::from_fd(process, open.file(IOMMUFD));
            iommufd.alloc_viommu(open.object(&device), open.object(&parent))
        })?;
        self.made(vm, Some(&step.name), step.expect, result);
        Ok(())
    }

    pub(super) fn vdevice_alloc(&mut self, step: &VdeviceAlloc) -> Result<(), RunError> {
        let vm = self.vm_of(self.device(&step.device));
        let (device, viommu, stream) = (step.device.clone(), step.viommu.clone(), step.stream);
        let named = format!("{device}.vdevice");
        let result = self.call(vm, move |process, open| {
            let iommufd = Iommufd::from_fd(process, open.file(IOMMUFD));
            let (viommu, device) = (open.object(&viommu), open.object(&device));
            iommufd.alloc_vdevice(viommu, device, u64::from(stream))
        })?;
        self.made(vm, Some(&named), step.expect, result);
        Ok(())
    }

    pub(super) fn attach(&mut self, step: &Attach) -> Result<(), RunError> {
        let vm = self.vm_of(self.device(&step.device));
        let (device, to) = (step.device.clone(), step.to.clone());
        self.call_for(vm, step.expect, move |process, open| {
            let file = DeviceFile::from_fd(process, open.file(&device));
            file.attach(open.object(&to)).map(drop)
        })
    }

    pub(super) fn detach(&mut self, step: &Detach) -> Result<(), RunError> {
        let vm = self.vm_of(self.device(&step.device));
        let device = step.device.clone();
        self.call_for(vm, step.expect, move |process, open| {
            DeviceFile::from_fd(process, open.file(&device)).detach()
        })
    }

    pub(super) fn destroy(&mut self, step: &Destroy) -> Result<(), RunError> {
        let object = step.object.clone();
        self.call_for(self.vm(&step.vm), step.expect, move |process, open| {
            Iommufd::from_fd(process, open.file(IOMMUFD)).destroy(open.object(&object))
        })
    }

    pub(super) fn invalidate(&mut self, step: &Invalidate) -> Result<(), RunError> {
        let vm = self.vm(&step.vm);
        let commands: Vec<[u64; 2]> =
            step.commands.iter().map(|command| self.resolved(command).encode()).collect();
        let (viommu, plan) = (step.viommu.clone(), self.guests[vm].plan.clone());
        let result = self.call(vm, move |process, open| {
            let iommufd = Iommufd::from_fd(process, open.file(IOMMUFD));
            let room = address_of(&plan, plan.ram.guest + ROOM);
            Ok(iommufd.invalidate(open.object(&viommu), &commands, room))
        })?;
        let (consumed, result) = result.unwrap_or_else(|errno| (0, Err(errno)));
        if let Some(expected) = step.consumed.filter(|&expected| expected != consumed) {
            self.failed(&format!("{expected} commands consumed"), consumed.to_string());
        }
        self.outcome(step.expect, result.err());
        Ok(())
    }

    fn stage1(&mut self, vm: usize, name: &str) -> Option<Stage1> {
        let found = self.stage1s.get(&(vm, name.to_owned())).copied();
        if found.is_none() {
            self.failed("a stage 1 of this name", format!("`{name}` was not made"));
        }
        found
    }

    pub(super) fn guest_map(&mut self, step: &GuestMap) -> Result<(), RunError> {
        // A valid block: Access flag set, inner shareable, for all, not global.
        let descriptor = step.to | 1 << 11 | 1 << 10 | 0b11 << 8 | 1 << 6 | 1;
        self.guest_store(self.vm(&step.vm), &step.hwpt, step.va, descriptor)
    }

    pub(super) fn guest_unmap(&mut self, step: &GuestUnmap) -> Result<(), RunError> {
        self.guest_store(self.vm(&step.vm), &step.hwpt, step.va, 0)
    }

    fn guest_store(
        &mut self,
        vm: usize,
        hwpt: &str,
        va: u64,
        descriptor: u64,
    ) -> Result<(), RunError> {
        let Some(stage1) = self.stage1(vm, hwpt) else { return Ok(()) };
        let plan = self.guests[vm].plan.clone();
        self.call_for(vm, Outcome::Ok, move |process, _| {
            store(process, &plan, stage1.table + 8 * (va >> BLOCK_SHIFT), &[descriptor])
        })
    }

    pub(super) fn guest_promise(&mut self, step: &GuestPromise) -> Result<(), RunError> {
        let vm = self.vm(&step.vm);
        let Some(stage1) = self.stage1(vm, &step.hwpt) else { return Ok(()) };
        let vmid = self.tags[stage1.device].as_ref().and_then(|domain| domain.vmid);
        let promise = Promise::Unmapped {
            smmu: SmmuId(self.run.machine.devices[stage1.device].smmu as u8),
            stage: Stage::Stage1,
            vmid: vmid.unwrap_or(Vmid(0)),
            asid: Some(stage1.asid),
            first: step.va,
            last: step.va + ((1 << BLOCK_SHIFT) - 1),
        };
        self.machine.run(move |cpu| cpu.promise(promise))?;
        Ok(())
    }

    pub(super) fn close(&mut self, step: &Close) -> Result<(), RunError> {
        let (vm, file) = (self.vm(&step.vm), step.file.clone());
        self.call_for(vm, step.expect, move |process, open| process.close(open.file(&file)))?;
        if let Some(open) = self.guests[vm].open_mut() {
            open.forget(&step.file);
        }
        Ok(())
    }

    /// Names of the devices that are in a VM and in the group of a device, and the group's number.
    fn group_of(&self, vm: usize, device: usize) -> (u32, Vec<String>) {
        let devices = &self.run.machine.devices;
        let group = devices[device].group;
        let inside = self.guests[vm].plan.devices().filter(|&one| devices[one].group == group);
        (group, inside.map(|one| devices[one].name.clone()).collect())
    }

    pub(super) fn unplug(&mut self, step: &Unplug) -> Result<(), RunError> {
        let device = self.device(&step.device);
        let vm = self.vm_of(device);
        let (group, names) = self.group_of(vm, device);
        let closed = names.clone();
        self.call_for(vm, step.expect, move |process, open| {
            closed.iter().try_for_each(|name| process.close(open.file(name)))?;
            Group::from_fd(process, open.file(&format!("group.{group}"))).unset_container()
        })?;
        if let Some(open) = self.guests[vm].open_mut() {
            names.iter().for_each(|name| open.forget(name));
        }
        Ok(())
    }

    pub(super) fn plug(&mut self, step: &Plug) -> Result<(), RunError> {
        let device = self.device(&step.device);
        let vm = self.vm_of(device);
        let (group, names) = self.group_of(vm, device);
        let container = self.guests[vm].containers(Some(&[device])).first().copied().unwrap_or(-1);
        let result = self.call(vm, move |process, open| {
            let group = Group::from_fd(process, open.file(&format!("group.{group}")));
            group.set_container(&Container::from_fd(process, container))?;
            let open_device =
                |name: String| Ok((group.device(&name)?.fd(), name)) as Result<_, Errno>;
            names.into_iter().map(open_device).collect::<Result<Vec<_>, _>>()
        })?;
        let outcome = result.as_ref().err().copied();
        if let (Some(open), Ok(files)) = (self.guests[vm].open_mut(), result) {
            files.into_iter().for_each(|(fd, name)| open.add(FileKind::Device, name, fd));
        }
        self.outcome(step.expect, outcome);
        self.remember_tags(vm)
    }

    /// A command with the numbers of the devices in it.
    pub(super) fn resolved(&self, step: &crate::scenario::CommandStep) -> Command {
        use crate::scenario::Operand;
        step.command(|operand, name| match operand {
            Operand::Vmid => self.tag_of(name).map_or(0, |(vmid, _)| u32::from(vmid)),
            Operand::Asid => self.tag_of(name).and_then(|(_, asid)| asid).map_or(0, u32::from),
            _ => self.first_stream(self.device(name)).0,
        })
    }
}

/// A guest writes its own memory.
fn store(process: &Process<'_>, plan: &VmPlan, guest: u64, words: &[u64]) -> Result<(), Errno> {
    debug_assert_eq!(plan.iommu, Iommu::Iommufd);
    Ok(process.memory.write(address_of(plan, guest), words.as_bytes())?)
}

/// A guest's context descriptor: one table of blocks, an ASID of its own.
fn guest_context(table: u64, asid: Asid) -> [u64; 8] {
    Cd { aset: true, ..Cd::lower_half(VA_BITS, table, asid) }.encode()
}

/// Words 0 and 1 of a guest's STE.
fn guest_entry(config: GuestConfig, context: u64) -> [u64; 2] {
    let config = match config {
        GuestConfig::Translate => StreamConfig::Stage1,
        GuestConfig::Bypass => StreamConfig::Bypass,
        GuestConfig::Abort => StreamConfig::Abort,
    };
    let context = if config == StreamConfig::Stage1 { context } else { 0 };
    let ste = Ste { valid: true, config, s1_context_ptr: context, ..Ste::default() };
    let [first, second, ..] = ste.encode();
    [first, second]
}
