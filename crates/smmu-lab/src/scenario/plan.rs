//! What a scenario file comes to: VMs written out, names looked up.

use std::collections::BTreeMap;

use smmu_machine::Blueprint;
use smmu_machine::names::{copies, numbered};

use super::{
    Containers, Iommu, KernelChoice, Metric, Personality, Ram, ScenarioFile, Step, Vm, VmidChoice,
};

/// A scenario, ready to be run on its machine: every name in it is known, every number possible.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// What it shows, in a line.
    pub title: String,
    /// What happens and why.
    pub description: String,
    /// Start of every random choice.
    pub seed: u64,
    /// Which kernel the VFIO layer behaves like.
    pub personality: Personality,
    /// Faults that are switched on.
    pub faults: Vec<String>,
    /// Faults of the kernel's own that are repaired.
    pub repairs: Vec<String>,
    /// How the kernel behaves.
    pub kernel: KernelChoice,
    /// VMs, in the order of the file, copies written out.
    pub vms: Vec<VmPlan>,
    /// What is done. Names in it are those of [`vms`](Self::vms) and of the machine.
    pub steps: Vec<Step>,
    /// Counters at the end of the run.
    pub expect: BTreeMap<Metric, u64>,
}

/// A VM.
#[derive(Clone, PartialEq, Debug)]
pub struct VmPlan {
    /// Name, unique in the scenario.
    pub name: String,
    /// Its containers in the order in which they are opened, each with its devices: indices into
    /// [`Blueprint::devices`]. None is empty.
    pub containers: Vec<Vec<usize>>,
    /// IOMMU type of its containers.
    pub iommu: Iommu,
    /// VMIDs of its containers.
    pub vmid: VmidChoice,
    /// RAM.
    pub ram: Ram,
    /// Its devices are attached at the start.
    pub attach: bool,
    /// Starts before the first step.
    pub autostart: bool,
    /// `[[vm]]` of the file that it comes from, from 0.
    pub entry: usize,
}

impl Scenario {
    /// The VM of a name.
    #[must_use]
    pub fn vm(&self, name: &str) -> Option<&VmPlan> {
        self.vms.iter().find(|vm| vm.name == name)
    }

    /// The VM that a device belongs to, by index into [`Blueprint::devices`].
    #[must_use]
    pub fn vm_of_device(&self, device: usize) -> Option<&VmPlan> {
        self.vms.iter().find(|vm| vm.devices().any(|one| one == device))
    }
}

impl Scenario {
    /// The same without its expectations of counts that depend on the structures of the machine.
    /// What calls and DMA come to and what the checker finds at the end is still expected.
    #[must_use]
    pub fn without_counts(mut self) -> Self {
        let lasting = [Metric::Stale, Metric::CrossVmHits, Metric::Verdicts];
        self.expect.retain(|metric, _| lasting.contains(metric));
        self.steps = without_counts(self.steps);
        self
    }
}

fn without_counts(steps: Vec<Step>) -> Vec<Step> {
    let inside = |step| match step {
        Step::Repeat(mut repeat) => {
            repeat.steps = without_counts(repeat.steps);
            Step::Repeat(repeat)
        }
        other => other,
    };
    steps.into_iter().filter(|step| !matches!(step, Step::Expect(_))).map(inside).collect()
}

impl VmPlan {
    /// Its devices: indices into [`Blueprint::devices`].
    pub fn devices(&self) -> impl Iterator<Item = usize> + '_ {
        self.containers.iter().flatten().copied()
    }

    /// The container that a device is in, by index into [`containers`](Self::containers).
    #[must_use]
    pub fn container_of(&self, device: usize) -> Option<usize> {
        self.containers.iter().position(|devices| devices.contains(&device))
    }
}

impl ScenarioFile {
    /// The plan, as far as the names are known: unknown devices are left out.
    pub(super) fn plan(&self, machine: &Blueprint) -> Scenario {
        let vms = self.vm.iter().enumerate();
        Scenario {
            title: self.title.clone(),
            description: self.description.clone(),
            seed: self.seed,
            personality: self.personality,
            faults: self.faults.clone(),
            repairs: self.repairs.clone(),
            kernel: self.kernel,
            vms: vms.flat_map(|(entry, vm)| written_out(entry, vm, machine)).collect(),
            steps: self.step.clone(),
            expect: self.expect.clone(),
        }
    }
}

fn written_out(entry: usize, vm: &Vm, machine: &Blueprint) -> Vec<VmPlan> {
    let copy = |number| {
        let index = |name: &String| {
            let name = numbered(name, number);
            machine.devices.iter().position(|device| device.name == name)
        };
        let devices: Vec<usize> = vm.devices.iter().filter_map(index).collect();
        VmPlan {
            name: numbered(&vm.name, number),
            containers: containers(vm.container, &devices, machine),
            iommu: vm.iommu,
            vmid: vm.vmid,
            ram: vm.ram,
            attach: vm.attach,
            autostart: vm.autostart,
            entry,
        }
    };
    (0..copies(vm.count)).map(copy).collect()
}

fn containers(choice: Containers, devices: &[usize], machine: &Blueprint) -> Vec<Vec<usize>> {
    let mut containers: Vec<Vec<usize>> = Vec::new();
    for &device in devices {
        let joins = |container: &&mut Vec<usize>| match choice {
            Containers::One => true,
            Containers::PerDevice => container
                .iter()
                .any(|&other| machine.devices[other].group == machine.devices[device].group),
        };
        match containers.iter_mut().find(joins) {
            Some(container) => container.push(device),
            None => containers.push(vec![device]),
        }
    }
    containers
}
