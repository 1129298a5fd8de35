//! Steps: the names in them are known, the addresses possible.

use std::collections::BTreeSet;

use smmu_machine::{Blueprint, Path, Problem, suggest};

use super::super::command::{Operand, num_and_scale};
use super::super::{
    CommandStep, Dma, DmaOutcome, Expectation, Iommu, Metric, Scenario, Step, Tag, VmPlan, Workload,
};
use super::{PAGE, input_bits_most, traffic};

/// Steps of a scenario, repeats written out.
const STEPS_MAX: u64 = 1_000_000;

/// Adds everything that is wrong with the steps.
pub(super) fn check(plan: &Scenario, machine: &Blueprint, problems: &mut Vec<Problem>) {
    let path = Path::root().key("step");
    let mut check = Check { plan, machine, marks: BTreeSet::new(), problems };
    check.steps(&plan.steps, &path);
    let total = written_out(&plan.steps);
    if total > STEPS_MAX {
        let what = format!("the steps come to {total}, repeats written out");
        problems.push(Problem::new(path, what, format!("repeat less: at most {STEPS_MAX}")));
    }
}

fn written_out(steps: &[Step]) -> u64 {
    let count = |step: &Step| match step {
        Step::Repeat(repeat) => u64::from(repeat.times).saturating_mul(written_out(&repeat.steps)),
        _ => 1,
    };
    steps.iter().map(count).fold(0, u64::saturating_add)
}

pub(super) struct Check<'a> {
    pub(super) plan: &'a Scenario,
    pub(super) machine: &'a Blueprint,
    /// Marks that were set by the steps before.
    marks: BTreeSet<String>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Check<'a> {
    fn steps(&mut self, steps: &[Step], path: &Path) {
        for (index, step) in steps.iter().enumerate() {
            self.step(step, &path.index(index).key(step.key()));
        }
    }

    fn step(&mut self, step: &Step, at: &Path) {
        match step {
            Step::Start(start) => drop(self.vm(&start.vm, &at.key("vm"))),
            Step::Stop(stop) => drop(self.vm(&stop.vm, &at.key("vm"))),
            Step::Workload(workload) => self.workload(workload, at),
            Step::Dma(dma) => self.dma(dma, at),
            Step::Close(_)
            | Step::Plug(_)
            | Step::Unplug(_)
            | Step::SeizeAsid(_)
            | Step::IoasAlloc(_)
            | Step::HwptAlloc(_)
            | Step::ViommuAlloc(_)
            | Step::VdeviceAlloc(_)
            | Step::Attach(_)
            | Step::Detach(_)
            | Step::Destroy(_)
            | Step::Invalidate(_)
            | Step::GuestMap(_)
            | Step::GuestUnmap(_)
            | Step::GuestPromise(_)
            | Step::HostMap(_)
            | Step::HostUnmap(_) => self.object_step(step, at),
            Step::Map(map) => {
                let vm = self.containers(&map.vm, map.containers.as_deref(), at);
                if let Some(vm) = vm {
                    self.range(vm, map.iova, map.bytes.0, at);
                    let from = map.from.unwrap_or(map.iova);
                    self.backed(vm, from, map.bytes.0, map.from.is_some(), at);
                }
            }
            Step::Unmap(unmap) => {
                if let Some(vm) = self.containers(&unmap.vm, unmap.containers.as_deref(), at) {
                    self.range(vm, unmap.iova, unmap.bytes.0, at);
                }
            }
            Step::GetVmid(get) => drop(self.owned_device(&get.device, &at.key("device"))),
            Step::SetVmid(set) => {
                self.owned_device(&set.device, &at.key("device"));
                self.tag(&set.vmid, u32::MAX, &at.key("vmid"));
            }
            Step::Command(command) => self.command(command, at),
            Step::Mark(mark) => drop(self.marks.insert(mark.name.clone())),
            Step::Expect(expectation) => self.expectation(expectation, at),
            Step::Wait(_) | Step::Sleep(_) => {}
            Step::Repeat(repeat) => self.steps(&repeat.steps, &at.key("steps")),
        }
    }

    pub(super) fn refuse(&mut self, at: Path, what: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(at, what, help));
    }

    pub(super) fn vm(&mut self, name: &str, at: &Path) -> Option<&'a VmPlan> {
        let found = self.plan.vm(name);
        if found.is_none() {
            let help = suggest::remedy(name, self.plan.vms.iter().map(|vm| vm.name.as_str()));
            self.refuse(at.clone(), format!("no VM is named `{name}`"), help);
        }
        found
    }

    pub(super) fn device(&mut self, name: &str, at: &Path) -> Option<usize> {
        let found = self.machine.devices.iter().position(|device| device.name == name);
        if found.is_none() {
            let names = self.machine.devices.iter().map(|device| device.name.as_str());
            let help = suggest::remedy(name, names);
            self.refuse(at.clone(), format!("the machine has no device `{name}`"), help);
        }
        found
    }

    /// A device that belongs to a VM, and the VM.
    pub(super) fn owned_device(&mut self, name: &str, at: &Path) -> Option<&'a VmPlan> {
        let device = self.device(name, at)?;
        let owner = self.plan.vm_of_device(device);
        if owner.is_none() {
            let help = "add it to the `devices` of a VM";
            self.refuse(at.clone(), format!("device `{name}` belongs to no VM"), help);
        }
        owner
    }

    fn smmu(&mut self, name: Option<&str>, at: &Path) {
        let names = || self.machine.smmus.iter().map(|smmu| smmu.name.as_str());
        match name {
            Some(name) if self.machine.smmu(name).is_none() => {
                let help = suggest::remedy(name, names());
                self.refuse(at.key("smmu"), format!("no SMMU is named `{name}`"), help);
            }
            None if self.machine.smmus.len() > 1 => {
                let names: Vec<_> = names().collect();
                let help = format!("add `smmu = \"…\"`: one of {}", names.join(", "));
                self.refuse(at.clone(), "the machine has several SMMUs", help);
            }
            _ => {}
        }
    }

    fn tag(&mut self, tag: &Tag, max: u32, at: &Path) {
        match tag {
            Tag::Number(number) if *number > max => {
                let what = format!("{number:#x} is too wide");
                self.refuse(at.clone(), what, format!("use at most {max:#x}"));
            }
            Tag::Number(_) => {}
            Tag::Device(name) => drop(self.device(name, at)),
        }
    }

    /// The VM of a step, its containers checked.
    fn containers(
        &mut self,
        vm: &str,
        containers: Option<&[String]>,
        at: &Path,
    ) -> Option<&'a VmPlan> {
        let vm = self.vm(vm, &at.key("vm"))?;
        if containers.is_some() && vm.iommu == Iommu::Iommufd {
            let what = format!("`{}` has one address space and no containers", vm.name);
            self.refuse(at.key("containers"), what, "leave `containers` out");
        }
        for (index, name) in containers.into_iter().flatten().enumerate() {
            let at = at.key("containers").index(index);
            let Some(device) = self.device(name, &at) else { continue };
            if vm.container_of(device).is_none() {
                let own = vm.devices().map(|one| self.machine.devices[one].name.as_str());
                let help = suggest::remedy(name, own);
                self.refuse(at, format!("device `{name}` is not one of `{}`", vm.name), help);
            }
        }
        Some(vm)
    }

    /// A range to map or unmap.
    fn range(&mut self, vm: &VmPlan, iova: u64, bytes: u64, at: &Path) {
        for (key, value) in [("iova", iova), ("bytes", bytes)] {
            if !value.is_multiple_of(PAGE) {
                let what = format!("{key} = {value:#x} is not aligned to 4 KiB");
                self.refuse(at.key(key), what, format!("use {:#x}", value / PAGE * PAGE));
            }
        }
        // An address space of an iommufd has no end until a page table is made for it.
        if vm.iommu != Iommu::Iommufd {
            self.addressable(vm, iova, bytes, at);
        }
    }

    fn addressable(&mut self, vm: &VmPlan, iova: u64, bytes: u64, at: &Path) -> bool {
        let bits = input_bits_most(vm, self.machine);
        let inside = iova.checked_add(bytes).is_some_and(|end| end <= 1 << bits);
        if !inside {
            let what = format!(
                "{iova:#x} and {bytes:#x} bytes from there lie outside of the {bits}-bit address \
                 space"
            );
            self.refuse(at.key("iova"), what, format!("stay below {:#x}", 1u64 << bits));
        }
        inside
    }

    /// There is RAM behind what is mapped.
    fn backed(&mut self, vm: &VmPlan, from: u64, bytes: u64, given: bool, at: &Path) {
        if !vm.ram.contains(from, bytes) {
            let key = if given { "from" } else { "iova" };
            let what = format!("there is no RAM of `{}` at {from:#x}", vm.name);
            let help = format!("{}; `from` says which RAM stands behind `iova`", ram(vm));
            self.refuse(at.key(key), what, help);
        }
    }

    fn workload(&mut self, workload: &Workload, at: &Path) {
        if workload.devices.is_empty() {
            let help = "name at least one device of a VM";
            self.refuse(at.key("devices"), "no device does the workload", help);
        }
        traffic::check(&workload.traffic, &at.key("traffic"), self.problems);
        for (index, device) in workload.devices.iter().enumerate() {
            let vm = self.owned_device(device, &at.key("devices").index(index));
            if let Some(vm) = vm {
                let at = at.key("traffic");
                traffic::check_fits(&workload.traffic, vm, &at, self.problems);
            }
        }
    }

    fn dma(&mut self, dma: &Dma, at: &Path) {
        let Some(device) = self.device(&dma.device, &at.key("device")) else { return };
        if dma.bytes.0 == 0 {
            self.refuse(at.key("bytes"), "no bytes are accessed", "give a length");
        }
        let accesses = u64::from(dma.count).saturating_mul(dma.bytes.0.div_ceil(PAGE));
        if accesses > traffic::ACCESSES_MAX {
            let what = format!("the step makes {accesses} accesses");
            self.refuse(at.clone(), what, format!("at most {}", traffic::ACCESSES_MAX));
        }
        if dma.expect != DmaOutcome::Ok {
            return; // whatever the address is: that may be what is tried
        }
        let owner = self.plan.vm_of_device(device);
        if owner.is_some_and(|vm| vm.iommu == Iommu::Iommufd) || self.is_of_host(device) {
            return; // what an address means is a matter of the guest, or of the host
        }
        let Some(vm) = self.plan.vm_of_device(device) else {
            let what = format!("device `{}` belongs to no VM", dma.device);
            self.refuse(at.key("device"), what, "add it to a VM, or `expect = \"abort\"`");
            return;
        };
        let reachable = self.addressable(vm, dma.iova, dma.bytes.0, at);
        if reachable && !self.mapped(vm, dma.iova, dma.bytes.0) {
            let what = format!("nothing of `{}` is ever mapped at {:#x}", vm.name, dma.iova);
            let help = format!("{}; otherwise map it, or `expect = \"abort\"`", ram(vm));
            self.refuse(at.key("iova"), what, help);
        }
    }

    /// Whether RAM or a `map` step covers the range at some time.
    fn mapped(&self, vm: &VmPlan, iova: u64, bytes: u64) -> bool {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        if vm.ram.mapped {
            ranges.push((vm.ram.guest, vm.ram.guest.saturating_add(vm.ram.bytes.0)));
        }
        collect_maps(&self.plan.steps, &vm.name, &mut ranges);
        ranges.sort_unstable();
        let mut covered = iova;
        for (first, end) in ranges {
            if first <= covered {
                covered = covered.max(end);
            }
        }
        iova.checked_add(bytes).is_some_and(|end| end <= covered)
    }

    fn command(&mut self, command: &CommandStep, at: &Path) {
        self.smmu(command.smmu.as_deref(), at);
        self.operands(command, at);
    }

    /// The operands of a command, wherever it is sent.
    pub(super) fn operands(&mut self, command: &CommandStep, at: &Path) {
        let operands = command.op.operands();
        let all = [
            Operand::Vmid,
            Operand::Asid,
            Operand::Stream,
            Operand::Substream,
            Operand::Address,
            Operand::Pages,
            Operand::Leaf,
        ];
        for operand in all {
            let (has, takes) = (command.has(operand), operands.contains(&operand));
            if has && !takes {
                let keys: Vec<_> = operands.iter().map(|one| one.key()).collect();
                let help = format!("its operands: {}", none_if_empty(&keys.join(", ")));
                let what = format!("this command has no `{}`", operand.key());
                self.refuse(at.key(operand.key()), what, help);
            } else if takes && !has && !operand.is_optional() {
                let what = format!("this command needs `{}`", operand.key());
                self.refuse(at.clone(), what, format!("add `{} = …`", operand.key()));
            }
        }
        self.operand_values(command, at);
    }

    fn operand_values(&mut self, command: &CommandStep, at: &Path) {
        let tags = [
            ("vmid", &command.vmid, 0xffff),
            ("asid", &command.asid, 0xffff),
            ("stream", &command.stream, u32::MAX),
        ];
        for (key, tag, max) in tags {
            if let Some(tag) = tag {
                self.tag(tag, max, &at.key(key));
            }
        }
        if command.substream.is_some_and(|substream| substream >> 20 != 0) {
            self.refuse(at.key("substream"), "a SubstreamID has 20 bits", "use at most 0xfffff");
        }
        if let Some(address) = command.address.filter(|address| !address.is_multiple_of(PAGE)) {
            let what = format!("{address:#x} is not aligned to 4 KiB");
            self.refuse(at.key("address"), what, format!("use {:#x}", address / PAGE * PAGE));
        }
        if let Some(pages) = command.pages.filter(|pages| num_and_scale(*pages).is_none()) {
            let what = format!("one command cannot name {pages} pages");
            self.refuse(at.key("pages"), what, "use 1 to 32, times a power of two");
        }
    }

    fn expectation(&mut self, expectation: &Expectation, at: &Path) {
        let metric = expectation.metric;
        if expectation.equals.or(expectation.at_least).or(expectation.at_most).is_none() {
            let help = "add `equals`, `at_least` or `at_most`";
            self.refuse(at.clone(), format!("nothing is expected of `{metric}`"), help);
        }
        for selector in expectation.given().filter(|one| !metric.selectors().contains(one)) {
            let what = format!("`{metric}` is not counted by {}", selector.key());
            let help = format!("it goes with {}", Metric::list(metric.selectors()));
            self.refuse(at.key(selector.key()), what, help);
        }
        if metric.needs_device() && expectation.device.is_none() {
            let what = format!("`{metric}` has a meaning for one device only");
            self.refuse(at.clone(), what, "add `device = \"…\"`");
        }
        if let Some(vm) = &expectation.vm {
            self.vm(vm, &at.key("vm"));
        }
        if let Some(device) = &expectation.device {
            self.device(device, &at.key("device"));
        }
        if expectation.smmu.is_some() {
            self.smmu(expectation.smmu.as_deref(), at);
        }
        for (key, tag) in [("vmid", &expectation.vmid), ("asid", &expectation.asid)] {
            if let Some(tag) = tag {
                self.tag(tag, 0xffff, &at.key(key));
            }
        }
        self.since(expectation, at);
    }

    fn since(&mut self, expectation: &Expectation, at: &Path) {
        let Some(mark) = &expectation.since else { return };
        if expectation.metric.is_instant() {
            let what = format!("`{}` tells what is now", expectation.metric);
            self.refuse(at.key("since"), what, "take `since` out");
        } else if !self.marks.contains(mark) {
            let help = match suggest::nearest(mark, self.marks.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("set it in an earlier step: mark = {{ name = \"{mark}\" }}"),
            };
            self.refuse(at.key("since"), format!("no step before has the mark `{mark}`"), help);
        }
    }
}

fn collect_maps(steps: &[Step], vm: &str, ranges: &mut Vec<(u64, u64)>) {
    for step in steps {
        match step {
            Step::Map(map) if map.vm == vm => {
                ranges.push((map.iova, map.iova.saturating_add(map.bytes.0)));
            }
            Step::Repeat(repeat) => collect_maps(&repeat.steps, vm, ranges),
            _ => {}
        }
    }
}

/// The RAM of a VM, for remedies.
fn ram(vm: &VmPlan) -> String {
    let last = vm.ram.guest.saturating_add(vm.ram.bytes.0.saturating_sub(1));
    format!("RAM of `{}` is {:#x}–{last:#x}", vm.name, vm.ram.guest)
}

fn none_if_empty(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
