//! What a scenario has to keep.

mod guest;
mod steps;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use smmu_arch::Features;
use smmu_machine::names::{check_copies, check_names, numbered};
use smmu_machine::{Blueprint, Path, Problem, suggest};

use super::{Iommu, Metric, Personality, Scenario, ScenarioFile, Vm, VmPlan, VmidChoice};

const PAGE: u64 = 0x1000;
/// Bits of an address that one table of 4 KiB pages without extensions can translate.
const INPUT_BITS_MAX: u32 = 48;

impl ScenarioFile {
    /// What is wrong with the variants.
    pub(super) fn check_variants(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        check_names(
            self.variant.iter().map(|one| one.name.as_str()),
            "variant",
            "a variant",
            &mut problems,
        );
        for (index, variant) in self.variant.iter().enumerate() {
            for key in variant.set.keys().filter(|key| key.starts_with("variant")) {
                let at = Path::root().key("variant").index(index).key("set").key(key);
                let what = "a variant cannot change variants";
                problems.push(Problem::new(at, what, "set something else"));
            }
        }
        problems
    }

    /// Everything that is wrong with the scenario on its machine.
    pub(super) fn check(
        &self,
        plan: &Scenario,
        machine: &Blueprint,
        faults: Option<&[&str]>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let names = self.vm.iter().map(|vm| vm.name.as_str());
        check_names(names, "vm", "a VM", &mut problems);
        for (index, vm) in self.vm.iter().enumerate() {
            check_vm(vm, machine, &Path::root().key("vm").index(index), &mut problems);
        }
        if problems.is_empty() {
            check_copied_names(plan, &mut problems);
            check_owners(plan, machine, &mut problems);
            check_addresses(plan, machine, &mut problems);
            check_ram_fits(plan, machine, &mut problems);
        }
        self.check_faults(faults, &mut problems);
        self.check_kernel(&mut problems);
        self.check_expect(&mut problems);
        if problems.is_empty() {
            steps::check(plan, machine, &mut problems);
        }
        problems
    }

    fn check_faults(&self, known: Option<&[&str]>, problems: &mut Vec<Problem>) {
        let Some(known) = known else { return };
        for (key, names) in [("faults", &self.faults), ("repairs", &self.repairs)] {
            for (index, fault) in names.iter().enumerate() {
                if !known.contains(&fault.as_str()) {
                    let what = format!("no fault is named `{fault}`");
                    let help = suggest::remedy(fault, known.iter().copied());
                    problems.push(Problem::new(Path::root().key(key).index(index), what, help));
                }
            }
        }
    }

    fn check_kernel(&self, problems: &mut Vec<Problem>) {
        if !self.repairs.is_empty() && self.personality != Personality::Upstream {
            let what = "only `upstream` is repaired one by one";
            let help = "take `repairs` out: `rfc-fixed` is `rfc` with all repairs";
            problems.push(Problem::new(Path::root().key("repairs"), what, help));
        }
        for (index, vm) in self.vm.iter().enumerate() {
            let at = |key| Path::root().key("vm").index(index).key(key);
            if vm.iommu == Iommu::Iommufd && self.personality != Personality::Upstream {
                let what = "this kernel is older than iommufd";
                problems.push(Problem::new(at("iommu"), what, "set `personality = \"upstream\"`"));
            }
            if !vm.attach && vm.iommu != Iommu::Iommufd {
                let what = "devices of containers are attached by SET_IOMMU";
                problems.push(Problem::new(at("attach"), what, "leave `attach` out"));
            }
        }
    }

    fn check_expect(&self, problems: &mut Vec<Problem>) {
        for metric in self.expect.keys().filter(|metric| metric.needs_device()) {
            let at = Path::root().key("expect").key(&metric.to_string());
            let what = format!("`{metric}` has a meaning for one device only");
            let help = format!(
                "end with a step: expect = {{ metric = \"{metric}\", device = \"…\", equals = … }}"
            );
            problems.push(Problem::new(at, what, help));
        }
    }
}

fn check_vm(vm: &Vm, machine: &Blueprint, path: &Path, problems: &mut Vec<Problem>) {
    if vm.devices.is_empty() {
        let what = format!("VM `{}` has no devices", vm.name);
        let help = match machine.devices.first() {
            Some(device) => format!("give it one, for example `devices = [\"{}\"]`", device.name),
            None => "add a [[device]] to the machine".to_owned(),
        };
        problems.push(Problem::new(path.key("devices"), what, help));
    }
    check_copies(&vm.name, vm.count, path, problems);
    check_devices(vm, machine, path, problems);
    check_ram(vm, path, problems);
    let has_choice = match vm.vmid {
        VmidChoice::Private => true,
        VmidChoice::Shared => matches!(vm.iommu, Iommu::Nesting | Iommu::Iommufd),
        VmidChoice::Number(_) => vm.iommu == Iommu::Nesting,
    };
    if !has_choice {
        let what = "only nesting containers have a VMID of their own to share or to set";
        let help = "set `iommu = \"nesting\"`, or leave `vmid` out";
        problems.push(Problem::new(path.key("vmid"), what, help));
    }
}

fn check_devices(vm: &Vm, machine: &Blueprint, path: &Path, problems: &mut Vec<Problem>) {
    for (index, template) in vm.devices.iter().enumerate() {
        for number in 0..smmu_machine::names::copies(vm.count) {
            let name = numbered(template, number);
            if machine.device(&name).is_none() {
                let what = format!("the machine has no device `{name}`");
                let names = machine.devices.iter().map(|device| device.name.as_str());
                let help = suggest::remedy(&name, names);
                let at = path.key("devices").index(index);
                problems.push(Problem::new(at, what, help));
                break;
            }
        }
    }
}

fn check_ram(vm: &Vm, path: &Path, problems: &mut Vec<Problem>) {
    let ram = &vm.ram;
    let mut refuse = |key: &str, what: String, help: String| {
        problems.push(Problem::new(path.key("ram").key(key), what, help));
    };
    let page = ram.page.0;
    if ![1 << 12, 1 << 21, 1 << 30].contains(&page) {
        let help = "choose \"4KiB\", \"2MiB\" or \"1GiB\"".to_owned();
        refuse("page", format!("{} is no size of host pages", ram.page), help);
        return;
    }
    if !ram.guest.is_multiple_of(page) {
        let what = format!("RAM at {:#x} is not aligned to its pages of {}", ram.guest, ram.page);
        refuse("guest", what, format!("use {:#x}", ram.guest / page * page));
    }
    if ram.bytes.0 == 0 || !ram.bytes.0.is_multiple_of(page) {
        let what = format!("{} of RAM are no whole number of pages of {}", ram.bytes, ram.page);
        refuse("bytes", what, format!("give a multiple of {}", ram.page));
    }
}

/// Copies may bear the name of another VM.
fn check_copied_names(plan: &Scenario, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for vm in &plan.vms {
        if !seen.insert(&vm.name) {
            let at = entry(vm).key("name");
            let what = format!("a VM named `{}` exists already", vm.name);
            problems.push(Problem::new(at, what, "give each its own name"));
        }
    }
}

fn check_owners(plan: &Scenario, machine: &Blueprint, problems: &mut Vec<Problem>) {
    let mut of_device = BTreeMap::new();
    let mut of_group = BTreeMap::new();
    for (index, vm) in plan.vms.iter().enumerate() {
        for device in vm.devices() {
            let (name, group) = (&machine.devices[device].name, machine.devices[device].group);
            let at = entry(vm).key("devices");
            if let Some(other) = of_device.insert(device, &vm.name) {
                let what = format!("device `{name}` is assigned to `{other}` already");
                problems.push(Problem::new(at, what, "a device belongs to one VM, once"));
                continue;
            }
            let owner = *of_group.entry(group).or_insert(index);
            if owner != index {
                let what = format!(
                    "device `{name}` shares IOMMU group {group} with a device of `{}`",
                    plan.vms[owner].name
                );
                let help = "devices of one group belong to one VM";
                problems.push(Problem::new(at, what, help));
            }
        }
    }
}

/// Bits of the addresses that every device of a VM may use.
fn input_bits(vm: &VmPlan, machine: &Blueprint) -> u32 {
    bits_of_devices(vm, machine).min().unwrap_or(INPUT_BITS_MAX)
}

/// Bits of the addresses that some device of a VM may use.
fn input_bits_most(vm: &VmPlan, machine: &Blueprint) -> u32 {
    bits_of_devices(vm, machine).max().unwrap_or(INPUT_BITS_MAX)
}

fn bits_of_devices(vm: &VmPlan, machine: &Blueprint) -> impl Iterator<Item = u32> {
    let of_device = move |device: usize| {
        let smmu = &machine.smmus[machine.devices[device].smmu];
        let oas = u32::from(Features::decode(&smmu.ids).oas_bits);
        if matches!(vm.iommu, Iommu::Nesting | Iommu::Iommufd) {
            oas.min(INPUT_BITS_MAX)
        } else {
            INPUT_BITS_MAX
        }
    };
    vm.devices().map(of_device)
}

fn check_addresses(plan: &Scenario, machine: &Blueprint, problems: &mut Vec<Problem>) {
    for vm in &plan.vms {
        let bits = input_bits(vm, machine);
        let end = vm.ram.guest.checked_add(vm.ram.bytes.0);
        if end.is_none_or(|end| end > 1 << bits) {
            let what = format!(
                "RAM of `{}` ends beyond the {bits} bits that its devices can address",
                vm.name
            );
            let help = format!("end at {:#x} at the latest", 1u64 << bits);
            problems.push(Problem::new(entry(vm).key("ram"), what, help));
            return;
        }
    }
}

fn check_ram_fits(plan: &Scenario, machine: &Blueprint, problems: &mut Vec<Problem>) {
    let memory = machine.memory_bytes();
    let mut used = 0u64;
    for vm in &plan.vms {
        used = used.saturating_add(vm.ram.bytes.0);
        if used > memory {
            let what = format!(
                "RAM of the VMs up to `{}` comes to {}, the machine has {}",
                vm.name,
                smmu_machine::Bytes(used),
                smmu_machine::Bytes(memory)
            );
            let help = "give the VMs less RAM, or the machine more memory";
            problems.push(Problem::new(entry(vm).key("ram").key("bytes"), what, help));
            return;
        }
    }
}

/// The `[[vm]]` that a VM comes from.
fn entry(vm: &VmPlan) -> Path {
    Path::root().key("vm").index(vm.entry)
}

/// The metrics that `[expect]` may hold, for messages.
impl Metric {
    pub(super) fn list(selectors: &[super::Selector]) -> String {
        let keys: Vec<_> = selectors.iter().map(|one| format!("`{}`", one.key())).collect();
        keys.join(", ")
    }
}
