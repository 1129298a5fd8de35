//! `[[step]]` of the scenario file: what is done, one thing at a time.

use schemars::JsonSchema;
use serde::Deserialize;
use smmu_machine::Bytes;

use super::{
    Attach, Close, CommandStep, Destroy, Detach, DmaOutcome, Expectation, GuestMap, GuestPromise,
    GuestUnmap, HostMap, HostUnmap, HwptAlloc, Invalidate, IoasAlloc, Outcome, Plug, SeizeAsid,
    Sleep, Traffic, Unplug, VdeviceAlloc, ViommuAlloc,
};

/// A step: a table with exactly one key, which says what is done.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Starts a VM.
    Start(Start),
    /// Kills a VM: all its descriptors are closed, its pages go back to the host.
    Stop(Stop),
    /// Lets devices do the DMA of a generator.
    Workload(Workload),
    /// Lets a device access a range, page by page.
    Dma(Dma),
    /// MAP_DMA in containers of a VM.
    Map(Map),
    /// UNMAP_DMA in containers of a VM.
    Unmap(Unmap),
    /// VFIO_IOMMU_GET_VMID on the container of a device.
    GetVmid(GetVmid),
    /// VFIO_IOMMU_SET_VMID on the container of a device.
    SetVmid(SetVmid),
    /// Closes one descriptor of a VM.
    Close(Close),
    /// VFIO_GROUP_SET_CONTAINER for the group of a device that was unplugged.
    Plug(Plug),
    /// VFIO_GROUP_UNSET_CONTAINER for the group of a device.
    Unplug(Unplug),
    /// Takes the ASID of a device's domain for a process.
    SeizeAsid(SeizeAsid),
    /// IOMMU_IOAS_ALLOC.
    IoasAlloc(IoasAlloc),
    /// IOMMU_HWPT_ALLOC.
    HwptAlloc(HwptAlloc),
    /// IOMMU_VIOMMU_ALLOC.
    ViommuAlloc(ViommuAlloc),
    /// IOMMU_VDEVICE_ALLOC.
    VdeviceAlloc(VdeviceAlloc),
    /// VFIO_DEVICE_ATTACH_IOMMUFD_PT.
    Attach(Attach),
    /// VFIO_DEVICE_DETACH_IOMMUFD_PT.
    Detach(Detach),
    /// IOMMU_DESTROY.
    Destroy(Destroy),
    /// IOMMU_HWPT_INVALIDATE.
    Invalidate(Invalidate),
    /// A guest maps in its own stage 1.
    GuestMap(GuestMap),
    /// A guest unmaps in its own stage 1.
    GuestUnmap(GuestUnmap),
    /// A guest has told its users that an unmap is over.
    GuestPromise(GuestPromise),
    /// The host maps memory for a device of its own.
    HostMap(HostMap),
    /// The host unmaps memory of a device of its own.
    HostUnmap(HostUnmap),
    /// Lets virtual time go on.
    Sleep(Sleep),
    /// Puts a command into the Command queue, beside the driver.
    Command(CommandStep),
    /// Remembers all counters under a name, for `since` of later expectations.
    Mark(Mark),
    /// Holds a counter against a number; the scenario fails if it does not fit.
    Expect(Expectation),
    /// Waits until all workloads in the background are done.
    Wait(Wait),
    /// Does steps several times.
    Repeat(Repeat),
}

/// Starts a VM that is not running.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The VM.
    pub vm: String,
    /// What the first system call that fails comes to, or `ok`. What was opened before it is
    /// closed again. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// Kills a VM.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The VM.
    pub vm: String,
}

/// DMA of a generator. The devices take turns, one packet or access each.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Devices of running VMs, at least one.
    pub devices: Vec<String>,
    /// What each of them does.
    pub traffic: Traffic,
    /// What each access comes to. Default: `ok`.
    #[serde(default)]
    pub expect: DmaOutcome,
    /// Goes on beside the steps that follow, until `wait` or the end. Default: false.
    #[serde(default)]
    pub background: bool,
}

/// Waits for the workloads in the background.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {}

/// One access in each page of `[iova, iova + bytes)`, in ascending order.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dma {
    /// The device.
    pub device: String,
    /// First address.
    pub iova: u64,
    /// Length of the range. Default: 4 KiB.
    #[serde(default = "page")]
    pub bytes: Bytes,
    /// Writes instead of reads. Default: false.
    #[serde(default)]
    pub write: bool,
    /// How many times the range is gone through. Default: 1.
    #[serde(default = "once")]
    pub count: u32,
    /// What each access comes to. Default: `ok`.
    #[serde(default)]
    pub expect: DmaOutcome,
}

/// MAP_DMA, read and write.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// The VM.
    pub vm: String,
    /// First address of the devices, aligned to 4 KiB.
    pub iova: u64,
    /// Length, a multiple of 4 KiB.
    pub bytes: Bytes,
    /// Guest physical address of the RAM behind it. Default: `iova`.
    pub from: Option<u64>,
    /// With an iommufd: the address space. Default: `ioas`, that of the VM's RAM.
    pub ioas: Option<String>,
    /// Containers, each named by a device in it. Default: all of the VM.
    pub containers: Option<Vec<String>>,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// UNMAP_DMA. The last container that unmaps a page gives it back.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unmap {
    /// The VM.
    pub vm: String,
    /// First address, aligned to 4 KiB.
    pub iova: u64,
    /// Length, a multiple of 4 KiB.
    pub bytes: Bytes,
    /// Containers, each named by a device in it. Default: all of the VM.
    pub containers: Option<Vec<String>>,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// VFIO_IOMMU_GET_VMID.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetVmid {
    /// A device in the container.
    pub device: String,
    /// The number that it gives. Default: not looked at.
    pub equals: Option<u32>,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// VFIO_IOMMU_SET_VMID.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVmid {
    /// A device in the container.
    pub device: String,
    /// The number, 32 bits, unchecked; the name of a device stands for its domain's VMID.
    pub vmid: super::Tag,
    /// What the call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// Remembers all counters.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Name; a second mark of the same name replaces the first.
    pub name: String,
}

/// Does steps several times.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How many times; all steps of a scenario, repeats written out, are at most 1,000,000.
    pub times: u32,
    /// The steps.
    pub steps: Vec<Step>,
}

fn page() -> Bytes {
    Bytes::kib(4)
}

fn once() -> u32 {
    1
}

impl Step {
    /// The key of the step in the file.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Workload(_) => "workload",
            Self::Dma(_) => "dma",
            Self::Map(_) => "map",
            Self::Unmap(_) => "unmap",
            Self::GetVmid(_) => "get_vmid",
            Self::SetVmid(_) => "set_vmid",
            Self::Close(_) => "close",
            Self::Plug(_) => "plug",
            Self::Unplug(_) => "unplug",
            Self::SeizeAsid(_) => "seize_asid",
            Self::IoasAlloc(_) => "ioas_alloc",
            Self::HwptAlloc(_) => "hwpt_alloc",
            Self::ViommuAlloc(_) => "viommu_alloc",
            Self::VdeviceAlloc(_) => "vdevice_alloc",
            Self::Attach(_) => "attach",
            Self::Detach(_) => "detach",
            Self::Destroy(_) => "destroy",
            Self::Invalidate(_) => "invalidate",
            Self::GuestMap(_) => "guest_map",
            Self::GuestUnmap(_) => "guest_unmap",
            Self::GuestPromise(_) => "guest_promise",
            Self::HostMap(_) => "host_map",
            Self::HostUnmap(_) => "host_unmap",
            Self::Sleep(_) => "sleep",
            Self::Command(_) => "command",
            Self::Mark(_) => "mark",
            Self::Expect(_) => "expect",
            Self::Wait(_) => "wait",
            Self::Repeat(_) => "repeat",
        }
    }
}
