//! Runs one variant of a scenario, step by step.

use super::guest::{self, Guest};
use super::host::{HostMemory, kernel_heap};
use super::host_steps::Transfers;
use super::meters::{self, Snapshot};
use super::objects::Stage1;
use super::results::{Failure, RunResult};
use super::trace_text::{TraceText, TraceWriter};
use super::watch::Watch;
use super::{RunError, traffic};
use crate::scenario::{self, DmaOutcome, Expectation, Outcome, Run, Step};
use smmu_arch::{Pa, SmmuId, StreamId};
use smmu_bus::Cpu;
use smmu_kernel::client::iommufd::Iommufd;
use smmu_kernel::client::{Container, Process};
use smmu_kernel::{
    DeviceNode, DomainView, Errno, Faults, Hardware, IdPolicy, Idle, Kernel, Options, Personality,
    SmmuNode,
};
use smmu_machine::{Blueprint, Board, DmaId, Machine, Order};
use smmu_master::{Dma, DmaSummary};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A scenario under way.
pub(crate) struct Engine {
    pub(super) run: Run,
    pub(super) machine: Machine<Watch>,
    pub(super) kernel: Rc<Kernel>,
    pub(super) guests: Vec<Guest<Watch>>,
    pub(super) host: HostMemory,
    /// Transfers that the host has mapped, by device.
    pub(super) transfers: BTreeMap<usize, Transfers>,
    /// Stage 1 of guests, by VM and name.
    pub(super) stage1s: BTreeMap<(usize, String), Stage1>,
    /// The kernel has stopped, and a step has accounted for it.
    oops_seen: bool,
    pub(super) marks: BTreeMap<String, Snapshot>,
    pub(super) failures: Vec<Failure>,
    pub(super) fullest: meters::Fullest,
    /// VMIDs and ASIDs of the devices when they were last attached.
    pub(super) tags: Vec<Option<DomainView>>,
    background: Vec<(DmaId, DmaOutcome, usize)>,
    interleaved: bool,
    step: usize,
}

impl Engine {
    /// Builds the machine, boots the kernel on it, and starts the VMs that start by themselves.
    ///
    /// # Errors
    /// A machine or fault names that do not exist, a driver that does not probe, a host without
    /// memory, a machine that gets stuck.
    pub(crate) fn new(run: Run, order: Order) -> Result<Self, RunError> {
        let blueprint = &run.machine;
        let vms = run.scenario.vms.len();
        let vm_of =
            |device| run.scenario.vms.iter().position(|vm| vm.devices().any(|d| d == device));
        let vm_of: Vec<_> = (0..blueprint.devices.len()).map(vm_of).collect();
        let board = Board::build(blueprint, run.scenario.seed, |ram| {
            Watch::new(ram, blueprint, vm_of, vms)
        })?;
        let mut machine = Machine::new(board, order);
        let kernel = Rc::new(kernel(&run)?);
        let booting = Rc::clone(&kernel);
        machine.run(move |cpu| booting.boot(cpu))??;
        let guests = run.scenario.vms.iter().map(|plan| Guest::new(plan.clone(), machine.memory()));
        let mut engine = Self {
            guests: guests.collect(),
            host: HostMemory::new(blueprint),
            transfers: BTreeMap::new(),
            stage1s: BTreeMap::new(),
            oops_seen: false,
            marks: BTreeMap::new(),
            failures: Vec::new(),
            fullest: meters::Fullest::default(),
            tags: vec![None; blueprint.devices.len()],
            background: Vec::new(),
            interleaved: order != Order::Direct,
            step: 0,
            machine,
            kernel,
            run,
        };
        for vm in 0..vms {
            if engine.run.scenario.vms[vm].autostart {
                engine.start(vm, Outcome::Ok)?;
            }
        }
        Ok(engine)
    }

    /// From now on what happens is written down as text of another tool.
    pub(crate) fn write_trace(&mut self, form: Option<TraceText>) {
        self.machine.listener().with(|watch| watch.writer = form.map(TraceWriter::new));
    }

    /// All steps, and what came of them.
    ///
    /// # Errors
    /// A host without memory, or a machine that gets stuck.
    pub(crate) fn finish(mut self) -> Result<RunResult, RunError> {
        for index in 0..self.run.scenario.steps.len() {
            self.step_number(index)?;
        }
        self.wait_for_background()?;
        self.machine.settle()?;
        self.check_end();
        Ok(self.results())
    }

    /// One step of the scenario, by its place in the file.
    pub(crate) fn step_number(&mut self, index: usize) -> Result<(), RunError> {
        self.step = index + 1;
        let step = self.run.scenario.steps[index].clone();
        self.take(&step)
    }

    fn take(&mut self, step: &Step) -> Result<(), RunError> {
        if self.kernel.oops().is_some() {
            return Ok(()); // the machine has stopped
        }
        match step {
            Step::Close(close) => self.close(close)?,
            Step::Plug(plug) => self.plug(plug)?,
            Step::Unplug(unplug) => self.unplug(unplug)?,
            Step::SeizeAsid(seize) => self.seize_asid(seize)?,
            Step::IoasAlloc(alloc) => self.ioas_alloc(alloc)?,
            Step::HwptAlloc(alloc) => self.hwpt_alloc(alloc)?,
            Step::ViommuAlloc(alloc) => self.viommu_alloc(alloc)?,
            Step::VdeviceAlloc(alloc) => self.vdevice_alloc(alloc)?,
            Step::Attach(attach) => self.attach(attach)?,
            Step::Detach(detach) => self.detach(detach)?,
            Step::Destroy(destroy) => self.destroy(destroy)?,
            Step::Invalidate(invalidate) => self.invalidate(invalidate)?,
            Step::GuestMap(map) => self.guest_map(map)?,
            Step::GuestUnmap(unmap) => self.guest_unmap(unmap)?,
            Step::GuestPromise(promise) => self.guest_promise(promise)?,
            Step::HostMap(map) => self.host_map(map)?,
            Step::HostUnmap(unmap) => self.host_unmap(unmap)?,
            Step::Sleep(sleep) => self.sleep(*sleep)?,
            Step::Start(start) => self.start(self.vm(&start.vm), start.expect)?,
            Step::Stop(stop) => self.stop(self.vm(&stop.vm))?,
            Step::Workload(workload) => self.workload(workload)?,
            Step::Dma(dma) => self.dma(dma)?,
            Step::Map(map) => self.map(map)?,
            Step::Unmap(unmap) => self.unmap(unmap)?,
            Step::GetVmid(get) => self.get_vmid(get)?,
            Step::SetVmid(set) => self.set_vmid(set)?,
            Step::Command(command) => self.command(command)?,
            Step::Mark(mark) => {
                let snapshot = self.snapshot()?;
                self.marks.insert(mark.name.clone(), snapshot);
            }
            Step::Expect(expectation) => self.expect(expectation)?,
            Step::Wait(_) => self.wait_for_background()?,
            Step::Repeat(repeat) => {
                for _ in 0..repeat.times {
                    repeat.steps.iter().try_for_each(|step| self.take(step))?;
                }
            }
        }
        self.fullest.look(&self.machine, self.run.machine.smmus.len());
        self.account_for_oops(Outcome::Ok);
        Ok(())
    }

    /// The VM of a checked name.
    pub(super) fn vm(&self, name: &str) -> usize {
        let vms = &self.run.scenario.vms;
        vms.iter().position(|vm| vm.name == name).unwrap_or_else(|| unreachable!("checked at load"))
    }

    /// The device of a checked name.
    pub(super) fn device(&self, name: &str) -> usize {
        let devices = &self.run.machine.devices;
        let found = devices.iter().position(|device| device.name == name);
        found.unwrap_or_else(|| unreachable!("checked at load"))
    }

    pub(super) fn act_for(&mut self, vm: Option<usize>) {
        self.machine.listener().with(|watch| watch.statistics.act_for(vm));
    }

    fn start(&mut self, vm: usize, expected: Outcome) -> Result<(), RunError> {
        if self.guests[vm].is_running() {
            self.failed("the VM to be stopped", "it runs already".to_owned());
            return Ok(());
        }
        if !self.guests[vm].take_ram(&mut self.host) {
            return Err(RunError::OutOfMemory(self.run.scenario.vms[vm].name.clone()));
        }
        self.act_for(Some(vm));
        let starting = self.guests[vm].starting(&self.kernel, &self.run.machine);
        let result = self.machine.run(starting)?;
        self.act_for(None);
        let outcome = result.as_ref().err().copied();
        match result {
            Ok(open) => self.guests[vm].started(open),
            Err(_) => self.guests[vm].return_ram(&mut self.host),
        }
        self.remember_tags(vm)?;
        self.outcome(expected, outcome);
        Ok(())
    }

    fn stop(&mut self, vm: usize) -> Result<(), RunError> {
        self.act_for(Some(vm));
        let stopping = self.guests[vm].stopping(&self.kernel);
        self.machine.run(stopping)?;
        self.act_for(None);
        self.guests[vm].return_ram(&mut self.host);
        Ok(())
    }

    /// What the driver has given to the devices of a VM.
    pub(super) fn remember_tags(&mut self, vm: usize) -> Result<(), RunError> {
        let devices: Vec<usize> = self.guests[vm].plan.devices().collect();
        let name = |&device: &usize| self.run.machine.devices[device].name.clone();
        let names: Vec<String> = devices.iter().map(name).collect();
        let kernel = Rc::clone(&self.kernel);
        let looking = move |cpu: &dyn Cpu| -> Vec<_> {
            names.iter().map(|name| kernel.domain_of(cpu, name)).collect()
        };
        let found = self.machine.run(looking)?;
        for (device, domain) in devices.into_iter().zip(found) {
            self.tags[device] = domain.or_else(|| self.tags[device].take());
        }
        Ok(())
    }

    fn dma(&mut self, dma: &scenario::Dma) -> Result<(), RunError> {
        let device = self.device(&dma.device);
        let direction =
            if dma.write { smmu_arch::Direction::Write } else { smmu_arch::Direction::Read };
        let one = Dma {
            stream: self.first_stream(device),
            substream: None,
            iova: smmu_arch::Iova(dma.iova),
            bytes: dma.bytes.0,
            direction,
            privileged: false,
        };
        let transfers = (0..dma.count).map(move |_| one);
        let id = self.machine.start_dma(device, transfers);
        let summary = self.machine.wait(id)?;
        self.judge(dma.expect, &summary);
        Ok(())
    }

    pub(super) fn first_stream(&self, device: usize) -> StreamId {
        StreamId(self.run.machine.devices[device].streams.first().copied().unwrap_or(0))
    }

    /// The devices take turns, packet by packet, in direct order; interleaved they run beside each
    /// other.
    fn workload(&mut self, workload: &scenario::Workload) -> Result<(), RunError> {
        let devices: Vec<usize> = workload.devices.iter().map(|name| self.device(name)).collect();
        let generators: Vec<_> =
            devices.iter().map(|&device| self.packets(device, &workload.traffic)).collect();
        if self.interleaved || workload.background {
            for (&device, packets) in devices.iter().zip(generators) {
                let id = self.machine.start_dma(device, packets.flatten());
                self.background.push((id, workload.expect, self.step));
            }
            return if workload.background { Ok(()) } else { self.wait_for_background() };
        }
        let lengths = vec![traffic::length(&workload.traffic); devices.len()];
        let mut generators = generators;
        let mut sum = DmaSummary::default();
        for turn in traffic::turns(&workload.traffic, &lengths, self.run.scenario.seed) {
            let Some(packet) = generators[turn].next() else { continue };
            let id = self.machine.start_dma(devices[turn], packet.into_iter());
            sum.add(&self.machine.wait(id)?);
        }
        self.judge(workload.expect, &sum);
        Ok(())
    }

    fn packets(&self, device: usize, traffic: &scenario::Traffic) -> traffic::Packets {
        let plan = self.run.scenario.vm_of_device(device);
        let ram = plan.map_or(0, |vm| vm.ram.guest);
        let seed = self.run.scenario.seed.wrapping_mul(0x9e37_79b9) ^ device as u64;
        traffic::packets(traffic, self.first_stream(device), ram, seed)
    }

    fn wait_for_background(&mut self) -> Result<(), RunError> {
        for (id, expected, step) in std::mem::take(&mut self.background) {
            let summary = self.machine.wait(id)?;
            let now = std::mem::replace(&mut self.step, step);
            self.judge(expected, &summary);
            self.step = now;
        }
        Ok(())
    }

    fn judge(&mut self, expected: DmaOutcome, summary: &DmaSummary) {
        let refused = summary.refused + summary.bus_errors;
        let (holds, expected) = match expected {
            DmaOutcome::Ok => (refused == 0, "every access to succeed"),
            DmaOutcome::Abort => (summary.moved == 0, "every access to be aborted"),
            DmaOutcome::Any => (true, ""),
        };
        if !holds {
            let found = format!(
                "{} succeeded, {} refused, {} met no memory",
                summary.moved, summary.refused, summary.bus_errors
            );
            self.failed(expected, found);
        }
    }

    fn map(&mut self, map: &scenario::Map) -> Result<(), RunError> {
        let vm = self.vm(&map.vm);
        let address = self.guests[vm].address_of(map.from.unwrap_or(map.iova));
        let (iova, bytes) = (map.iova, map.bytes.0);
        if self.guests[vm].plan.iommu == scenario::Iommu::Iommufd {
            let mapping =
                move |iommufd: &Iommufd<'_>, ioas| iommufd.map(ioas, iova, address, bytes);
            return self.call_ioas(vm, (map.ioas.as_deref(), map.expect), mapping);
        }
        let call = move |container: &Container<'_>| container.map_dma(iova, address, bytes);
        self.call_containers(vm, map.containers.as_deref(), map.expect, call)
    }

    fn unmap(&mut self, unmap: &scenario::Unmap) -> Result<(), RunError> {
        let vm = self.vm(&unmap.vm);
        let (iova, bytes) = (unmap.iova, unmap.bytes.0);
        if self.guests[vm].plan.iommu == scenario::Iommu::Iommufd {
            let unmapping = move |iommufd: &Iommufd<'_>, ioas| iommufd.unmap(ioas, iova, bytes);
            let call = move |fd: &Iommufd<'_>, ioas| unmapping(fd, ioas).map(drop);
            return self.call_ioas(vm, (None, unmap.expect), call);
        }
        let call = move |container: &Container<'_>| container.unmap_dma(iova, bytes).map(drop);
        self.call_containers(vm, unmap.containers.as_deref(), unmap.expect, call)
    }

    fn call_containers(
        &mut self,
        vm: usize,
        of: Option<&[String]>,
        expected: Outcome,
        call: impl Fn(&Container<'_>) -> Result<(), Errno> + 'static,
    ) -> Result<(), RunError> {
        let of: Option<Vec<usize>> =
            of.map(|names| names.iter().map(|name| self.device(name)).collect());
        let guest = &self.guests[vm];
        let containers = guest.containers(of.as_deref());
        let calling = guest::on_containers(&self.kernel, guest.space(), containers, call);
        self.act_for(Some(vm));
        let result = self.machine.run(calling)?;
        self.act_for(None);
        self.outcome(expected, result.err());
        Ok(())
    }

    fn get_vmid(&mut self, get: &scenario::GetVmid) -> Result<(), RunError> {
        let (guest, fd) = self.container_of(&get.device);
        let (kernel, space) = (Rc::clone(&self.kernel), self.guests[guest].space());
        let result = self.machine.run(move |cpu| {
            let process = Process { kernel: &kernel, cpu, memory: &*space };
            Container::from_fd(&process, fd).get_vmid()
        })?;
        self.outcome(get.expect, result.as_ref().err().copied());
        if let (Some(expected), Ok(found)) = (get.equals, result)
            && found != Some(expected)
        {
            self.failed(&format!("VMID {expected}"), format!("{found:?}"));
        }
        Ok(())
    }

    fn set_vmid(&mut self, set: &scenario::SetVmid) -> Result<(), RunError> {
        let (guest, fd) = self.container_of(&set.device);
        let vmid = match &set.vmid {
            scenario::Tag::Number(number) => *number,
            scenario::Tag::Device(name) => self.tag_of(name).map_or(0, |(vmid, _)| u32::from(vmid)),
        };
        let (kernel, space) = (Rc::clone(&self.kernel), self.guests[guest].space());
        let result = self.machine.run(move |cpu| {
            let process = Process { kernel: &kernel, cpu, memory: &*space };
            Container::from_fd(&process, fd).set_vmid(vmid)
        })?;
        self.outcome(set.expect, result.err());
        self.remember_tags(guest)
    }

    /// The VM of a device and the descriptor of its container; -1 where the VM does not run, so
    /// that the call fails with EBADF as a process would see it.
    fn container_of(&self, device: &str) -> (usize, i32) {
        let device = self.device(device);
        let vm = self.run.scenario.vms.iter().position(|vm| vm.devices().any(|d| d == device));
        let vm = vm.unwrap_or(0);
        let fd = self.guests.get(vm).and_then(|g| g.containers(Some(&[device])).first().copied());
        (vm, fd.unwrap_or(-1))
    }

    /// VMID and ASID that the driver has given to a device.
    pub(super) fn tag_of(&self, device: &str) -> Option<(u16, Option<u16>)> {
        let domain = self.tags[self.device(device)].as_ref()?;
        Some((domain.vmid.map_or(0, |vmid| vmid.0), domain.asid.map(|asid| asid.0)))
    }

    fn command(&mut self, step: &scenario::CommandStep) -> Result<(), RunError> {
        let command = self.resolved(step);
        let named = step.smmu.as_ref().and_then(|name| self.run.machine.smmu(name));
        let smmu = SmmuId(named.unwrap_or(0) as u8);
        let (kernel, sync) = (Rc::clone(&self.kernel), step.sync);
        self.machine.run(move |cpu| kernel.issue(cpu, smmu, command, sync))?;
        Ok(())
    }

    fn expect(&mut self, expectation: &Expectation) -> Result<(), RunError> {
        let now = self.snapshot()?;
        let since = expectation.since.as_ref().and_then(|mark| self.marks.get(mark));
        let value = self.measure(expectation, &now, since);
        if !expectation.holds(value) {
            self.failed(&expectation.to_string(), value.to_string());
        }
        Ok(())
    }

    /// The kernel has stopped, and this was to come of it.
    fn account_for_oops(&mut self, expected: Outcome) {
        let Some(oops) = self.kernel.oops().filter(|_| !self.oops_seen) else { return };
        self.oops_seen = true;
        if expected != Outcome::Oops {
            self.failed(expected.name(), format!("oops: {oops}"));
        }
    }

    /// Holds what a system call came to against what it was to come to.
    pub(super) fn outcome(&mut self, expected: Outcome, found: Option<Errno>) {
        if self.kernel.oops().is_some() {
            self.account_for_oops(expected);
            return;
        }
        if expected == Outcome::Oops {
            self.failed("oops", "the kernel goes on".to_owned());
            return;
        }
        let found = found.map(|errno| errno.0);
        if expected.errno() != found {
            let name = match found {
                None => "ok".to_owned(),
                Some(errno) => Outcome::from_errno(errno)
                    .map_or_else(|| format!("errno {errno}"), |outcome| outcome.name().to_owned()),
            };
            self.failed(expected.name(), name);
        }
    }

    pub(super) fn failed(&mut self, expected: &str, found: String) {
        let step = (self.step > 0).then_some(self.step);
        let done = self.step.checked_sub(1).and_then(|index| self.run.scenario.steps.get(index));
        let action = Some(done.map_or("autostart", Step::key).to_owned());
        self.failures.push(Failure { step, action, expected: expected.to_owned(), found });
    }
}

fn kernel(run: &Run) -> Result<Kernel, RunError> {
    let personality = match run.scenario.personality {
        scenario::Personality::Rfc => Personality::Rfc,
        scenario::Personality::RfcFixed => Personality::RfcFixed,
        scenario::Personality::Upstream => Personality::Upstream,
    };
    let faults = Faults::from_names(run.scenario.faults.iter().map(String::as_str))?;
    let repairs = Faults::from_names(run.scenario.repairs.iter().map(String::as_str))?;
    let choice = &run.scenario.kernel;
    let options = Options {
        faults,
        repairs,
        tlbi_limit: choice.tlbi_limit,
        id_policy: match choice.numbers {
            scenario::Numbers::FirstFit => IdPolicy::FirstFit,
            scenario::Numbers::NextFit => IdPolicy::NextFit,
        },
        idle: match choice.idle {
            scenario::Idle::Blocked => Idle::Blocked,
            scenario::Idle::Identity => Idle::Identity,
            scenario::Idle::Strict => Idle::Dma { lazy: false },
            scenario::Idle::Lazy => Idle::Dma { lazy: true },
        },
        ..Options::new(personality)
    };
    Ok(Kernel::new(hardware(&run.machine), options))
}

/// The machine as firmware describes it to a kernel.
fn hardware(blueprint: &Blueprint) -> Hardware {
    let smmus = blueprint
        .smmus
        .iter()
        .enumerate()
        .map(|(index, smmu)| SmmuNode { id: SmmuId(index as u8), registers: Pa(smmu.registers) });
    let devices = blueprint.devices.iter().map(|device| DeviceNode {
        name: device.name.clone(),
        group: device.group,
        smmu: SmmuId(device.smmu as u8),
        streams: device.streams.iter().map(|&stream| StreamId(stream)).collect(),
        ats: device.ats.is_some(),
    });
    Hardware { smmus: smmus.collect(), devices: devices.collect(), heap: kernel_heap(blueprint) }
}
