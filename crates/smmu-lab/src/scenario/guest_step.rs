//! Steps of a VM with `iommu = "iommufd"`: its objects behind `/dev/iommu`, the stage 1 of its guest,
//! and the commands that the guest sends.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CommandStep, Outcome};

/// IOMMU_IOAS_ALLOC: one more address space.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IoasAlloc {
    /// The VM.
    pub vm: String,
    /// Name, by which later steps of the VM find it.
    pub name: String,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// IOMMU_HWPT_ALLOC: a page table.
///
/// Without `viommu` it holds what an address space of the VM maps. With one it is a stage 1 of the guest:
/// the guest's CD and its table stand in the first 2 MiB of RAM, and map nothing at first.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HwptAlloc {
    /// The device that it is made for.
    pub device: String,
    /// Name, by which later steps of the VM find it. Default: none.
    pub name: Option<String>,
    /// The address space. Default: `ioas`, that of the VM's RAM.
    pub ioas: Option<String>,
    /// A stage 2 for guests (NEST_PARENT), which takes a VMID. Default: true.
    #[serde(default = "yes")]
    pub nest_parent: bool,
    /// The vIOMMU above which the guest's stage 1 stands. Default: none.
    pub viommu: Option<String>,
    /// With `viommu`: Config of the guest's STE. Default: `translate`.
    #[serde(default)]
    pub config: GuestConfig,
    /// With `viommu`: the guest's ASID. Default: 1.
    #[serde(default = "one")]
    pub asid: u16,
    /// How many are made, one after the other. Default: 1.
    #[serde(default = "once")]
    pub count: u32,
    /// What the last of them comes to; those before it succeed. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// What a guest's STE does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuestConfig {
    /// Transactions go through the guest's stage 1.
    #[default]
    Translate,
    /// Transactions pass the guest's stage 1 untranslated.
    Bypass,
    /// Transactions abort.
    Abort,
}

/// IOMMU_VIOMMU_ALLOC: an SMMU for the guest.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViommuAlloc {
    /// A device behind the SMMU.
    pub device: String,
    /// Name, by which later steps of the VM find it.
    pub name: String,
    /// The page table below. Default: the one that the device was attached to at the start.
    pub parent: Option<String>,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// IOMMU_VDEVICE_ALLOC: the guest's name for a device.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VdeviceAlloc {
    /// The device.
    pub device: String,
    /// The guest's SMMU.
    pub viommu: String,
    /// The StreamID that the guest uses.
    pub stream: u32,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// VFIO_DEVICE_ATTACH_IOMMUFD_PT: the device goes from what it is attached to, to something else.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The device.
    pub device: String,
    /// A page table by name, or `ioas`.
    pub to: String,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// VFIO_DEVICE_DETACH_IOMMUFD_PT: the device is blocked.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detach {
    /// The device.
    pub device: String,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// IOMMU_DESTROY.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Destroy {
    /// The VM.
    pub vm: String,
    /// An object of it by name: `ioas`, a device, or what a step made.
    pub object: String,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// IOMMU_HWPT_INVALIDATE: commands of the guest's queue.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invalidate {
    /// The VM.
    pub vm: String,
    /// Its vIOMMU.
    pub viommu: String,
    /// The commands as the guest wrote them, in one array. `smmu` and `sync` mean nothing here.
    pub commands: Vec<CommandStep>,
    /// The count that the kernel writes back. Default: not looked at.
    pub consumed: Option<u32>,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// The guest maps 2 MiB in its own stage 1.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestMap {
    /// The VM.
    pub vm: String,
    /// The stage 1, by name.
    pub hwpt: String,
    /// Virtual address below 1 GiB, aligned to 2 MiB.
    pub va: u64,
    /// Guest physical address behind it, aligned to 2 MiB.
    pub to: u64,
}

/// The guest takes 2 MiB out of its own stage 1. What it invalidates is another step.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestUnmap {
    /// The VM.
    pub vm: String,
    /// The stage 1, by name.
    pub hwpt: String,
    /// Virtual address, aligned to 2 MiB.
    pub va: u64,
}

/// The guest has told its users that an unmap of 2 MiB is over.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestPromise {
    /// The VM.
    pub vm: String,
    /// The stage 1, by name.
    pub hwpt: String,
    /// Virtual address, aligned to 2 MiB.
    pub va: u64,
}

/// Closes one descriptor of a VM.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// The VM.
    pub vm: String,
    /// `iommufd`; the name of a device; `group.N` with the number of a group; `container.N` with the
    /// number of a container, from 0.
    pub file: String,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// VFIO_GROUP_SET_CONTAINER: the group of a device that was unplugged comes back into its container.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plug {
    /// The device.
    pub device: String,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// VFIO_GROUP_UNSET_CONTAINER: the group of a device leaves its container, after the files of its
/// devices were closed.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unplug {
    /// The device.
    pub device: String,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// A process of the host that has the ASID of a device's domain shares its address space with some
/// device: the domain gets another ASID, and the old one is free.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeizeAsid {
    /// The device, in a container with stage 1.
    pub device: String,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

fn yes() -> bool {
    true
}

fn one() -> u16 {
    1
}

fn once() -> u32 {
    1
}
