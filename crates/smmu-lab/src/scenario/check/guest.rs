//! Steps on objects of the kernel: the VM has such objects, and the numbers are possible.

use smmu_machine::Path;

use super::super::{Idle, Iommu, Step, VmPlan};
use super::steps::Check;

/// What a guest's stage 1 maps at once.
const BLOCK: u64 = 2 << 20;
/// Behind the last virtual address of a guest's stage 1.
const VA_END: u64 = 1 << 30;
/// Calls of one step.
const CALLS_MAX: u32 = 100_000;

impl Check<'_> {
    /// Adds what is wrong with a step on an object.
    pub(super) fn object_step(&mut self, step: &Step, at: &Path) {
        match step {
            Step::IoasAlloc(one) => self.iommufd(&one.vm, at),
            Step::HwptAlloc(one) => {
                self.of_iommufd(&one.device, at);
                self.calls(one.count, at);
            }
            Step::ViommuAlloc(one) => self.of_iommufd(&one.device, at),
            Step::VdeviceAlloc(one) => self.of_iommufd(&one.device, at),
            Step::Attach(one) => self.of_iommufd(&one.device, at),
            Step::Detach(one) => self.of_iommufd(&one.device, at),
            Step::Destroy(one) => self.iommufd(&one.vm, at),
            Step::Invalidate(one) => {
                self.iommufd(&one.vm, at);
                for (index, command) in one.commands.iter().enumerate() {
                    self.operands(command, &at.key("commands").index(index));
                }
            }
            Step::GuestMap(one) => {
                self.iommufd(&one.vm, at);
                self.block(one.va, at);
                if let Some(vm) = self.vm(&one.vm, &at.key("vm"))
                    && (!vm.ram.contains(one.to, BLOCK) || !one.to.is_multiple_of(BLOCK))
                {
                    let what =
                        format!("there are no 2 MiB of RAM of `{}` at {:#x}", vm.name, one.to);
                    let help = "use a multiple of 2 MiB inside of the VM's RAM";
                    self.refuse(at.key("to"), what, help);
                }
            }
            Step::GuestUnmap(one) => {
                self.iommufd(&one.vm, at);
                self.block(one.va, at);
            }
            Step::GuestPromise(one) => {
                self.iommufd(&one.vm, at);
                self.block(one.va, at);
            }
            Step::Close(one) => drop(self.vm(&one.vm, &at.key("vm"))),
            Step::Plug(one) => self.of_container(&one.device, at),
            Step::Unplug(one) => self.of_container(&one.device, at),
            Step::SeizeAsid(one) => self.of_container(&one.device, at),
            Step::HostMap(one) => {
                self.of_host(&one.device, at);
                self.calls(one.count, at);
            }
            Step::HostUnmap(one) => {
                self.of_host(&one.device, at);
                self.calls(one.count, at);
            }
            _ => {}
        }
    }

    /// The host uses the device through the DMA API.
    pub(super) fn is_of_host(&self, device: usize) -> bool {
        let translates = matches!(self.plan.kernel.idle, Idle::Strict | Idle::Lazy);
        translates && self.plan.vm_of_device(device).is_none()
    }

    fn calls(&mut self, count: u32, at: &Path) {
        if count == 0 || count > CALLS_MAX {
            let what = format!("the step makes {count} calls");
            self.refuse(at.key("count"), what, format!("1 to {CALLS_MAX}"));
        }
    }

    fn block(&mut self, va: u64, at: &Path) {
        if va >= VA_END || !va.is_multiple_of(BLOCK) {
            let what = format!("{va:#x} is no address of a guest's stage 1");
            self.refuse(at.key("va"), what, "use a multiple of 2 MiB below 1 GiB");
        }
    }

    fn of_host(&mut self, name: &str, at: &Path) {
        let Some(device) = self.device(name, &at.key("device")) else { return };
        if !self.is_of_host(device) {
            let what = format!("the host does not use `{name}` through the DMA API");
            let help = "set `kernel.idle` to `strict` or `lazy`, and give the device to no VM";
            self.refuse(at.key("device"), what, help);
        }
    }

    fn of_container(&mut self, name: &str, at: &Path) {
        let owner = self.owned_device(name, &at.key("device"));
        if owner.is_some_and(|vm| vm.iommu == Iommu::Iommufd) {
            let what = format!("`{name}` is in no container");
            self.refuse(at.key("device"), what, "use a VM with containers");
        }
    }

    fn of_iommufd(&mut self, name: &str, at: &Path) {
        let owner = self.owned_device(name, &at.key("device"));
        self.needs_iommufd(owner, at);
    }

    fn iommufd(&mut self, vm: &str, at: &Path) {
        let vm = self.vm(vm, &at.key("vm"));
        self.needs_iommufd(vm, at);
    }

    fn needs_iommufd(&mut self, vm: Option<&VmPlan>, at: &Path) {
        if let Some(vm) = vm.filter(|vm| vm.iommu != Iommu::Iommufd) {
            let what = format!("VM `{}` uses containers", vm.name);
            self.refuse(at.clone(), what, "set its `iommu = \"iommufd\"`");
        }
    }
}
