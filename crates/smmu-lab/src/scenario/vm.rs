//! `[[vm]]` of the scenario file.

use schemars::JsonSchema;
use serde::Deserialize;
use smmu_machine::Bytes;

use super::VmidChoice;

/// A virtual machine: RAM, and devices that are assigned to it through VFIO.
///
/// At its start it opens its containers, adds the groups of their devices, sets the IOMMU type,
/// and maps its RAM once and alike in each of them.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    /// Name, unique in the scenario. With `count`, it has `{n}` where the number goes.
    pub name: String,
    /// Devices of the machine, at least one. With `count`, `{n}` stands for the number.
    pub devices: Vec<String>,
    /// How its devices are spread over containers. Default: `per-device`.
    #[serde(default)]
    pub container: Containers,
    /// IOMMU type of its containers. Default: `nesting`.
    #[serde(default)]
    pub iommu: Iommu,
    /// VMIDs of its containers; anything but `private` needs `iommu = "nesting"`, and `shared` goes
    /// with `iommufd` as well. Default: `private`.
    #[serde(default)]
    pub vmid: VmidChoice,
    /// RAM.
    #[serde(default)]
    pub ram: Ram,
    /// With `iommu = "iommufd"`: its devices are attached at the start. Default: true.
    #[serde(default = "yes")]
    pub attach: bool,
    /// Starts before the first step. Default: true.
    #[serde(default = "yes")]
    pub autostart: bool,
    /// How many VMs alike, numbered from 0. 1 to 4096. Default: a single one without number.
    pub count: Option<u32>,
}

fn yes() -> bool {
    true
}

/// How devices are spread over containers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Containers {
    /// One for each device; devices of one IOMMU group share theirs.
    #[default]
    PerDevice,
    /// One for all.
    One,
}

/// IOMMU type of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Iommu {
    /// VFIO_TYPE1_NESTING_IOMMU: stage 2, tagged by a VMID.
    #[default]
    Nesting,
    /// VFIO_TYPE1_IOMMU: stage 1 where the SMMU has it, tagged by an ASID.
    Type1,
    /// VFIO_TYPE1v2_IOMMU: as `type1`, with the stricter rules of unmapping.
    Type1v2,
    /// No containers: one address space, `ioas`, behind `/dev/iommu`. For each of what would be
    /// containers there is a stage 2 page table with a VMID, `DEVICE.parent` for each of its devices;
    /// with `vmid = "shared"` one for all. Needs `personality = "upstream"`.
    Iommufd,
}

/// RAM of a VM: what its devices' addresses mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ram {
    /// First guest physical address. Default: 0x4000_0000.
    pub guest: u64,
    /// Size. Default: 16 MiB.
    pub bytes: Bytes,
    /// Host pages behind it, 4 KiB, 2 MiB or 1 GiB: `guest` and `bytes` are multiples. Larger
    /// ones can be mapped by blocks. Default: 4 KiB, scattered.
    pub page: Bytes,
    /// Mapped at the start, in every container, by one MAP_DMA. Default: true.
    pub mapped: bool,
}

impl Default for Ram {
    fn default() -> Self {
        Self { guest: 0x4000_0000, bytes: Bytes::mib(16), page: Bytes::kib(4), mapped: true }
    }
}

impl Ram {
    /// Whether `[first, first + bytes)` lies inside.
    #[must_use]
    pub fn contains(&self, first: u64, bytes: u64) -> bool {
        let end = self.guest.saturating_add(self.bytes.0);
        first >= self.guest && first.checked_add(bytes).is_some_and(|last| last <= end)
    }
}
