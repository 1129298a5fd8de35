//! The scenario file: who does what on which machine, and what must come out.
//!
//! [`ScenarioFile`] is the file as written; [`Loaded`] is what it comes to, one [`Run`] for each
//! variant, with its machine. Keys and metrics are in snake_case, other values in kebab-case.

mod check;
mod choice;
mod command;
mod guest_step;
mod kernel;
mod load;
mod metric;
mod outcome;
mod plan;
mod step;
mod traffic;
mod vm;

pub use choice::{MachineChoice, Tag, VmidChoice};
pub use command::{CommandStep, Operand, Operation};
pub use guest_step::{
    Attach, Close, Destroy, Detach, GuestConfig, GuestMap, GuestPromise, GuestUnmap, HwptAlloc,
    Invalidate, IoasAlloc, Plug, SeizeAsid, Unplug, VdeviceAlloc, ViommuAlloc,
};
pub use kernel::{HostMap, HostUnmap, Idle, KernelChoice, Numbers, Sleep};
pub use load::{LoadOptions, Loaded, Run};
pub use metric::{Expectation, Metric, Selector};
pub use outcome::{DmaOutcome, Outcome};
pub use plan::{Scenario, VmPlan};
pub use step::{
    Dma, GetVmid, Map, Mark, Repeat, SetVmid, Start, Step, Stop, Unmap, Wait, Workload,
};
pub use traffic::{
    Accelerator, Access, NicRing, Nvme, Order, Pattern, RingDirection, TenantRing, Traffic, Window,
};
pub use vm::{Containers, Iommu, Ram, Vm};

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A scenario: VMs with devices on a machine, the steps they take, and what must come out.
///
/// First every VM with `autostart` starts, in the order of the file, then the steps run one after
/// the other, then `[expect]` is held against the counters.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    /// What it shows, in a line.
    pub title: String,
    /// What happens and why. Default: nothing.
    #[serde(default)]
    pub description: String,
    /// Start of every random choice. Default: 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// The machine: a path to a machine file (relative to this file, ending in `.toml`), the name
    /// of a preset, or a machine written out here.
    pub machine: MachineChoice,
    /// Which kernel the VFIO layer behaves like. Default: `rfc-fixed`.
    #[serde(default)]
    pub personality: Personality,
    /// Faults that are switched on (`smmulator faults` lists them). Default: none.
    #[serde(default)]
    pub faults: Vec<String>,
    /// Faults that the kernel has by itself and that are repaired here. Only `upstream` can be
    /// repaired one by one; `rfc-fixed` is `rfc` without any. Default: none.
    #[serde(default)]
    pub repairs: Vec<String>,
    /// How the kernel behaves.
    #[serde(default)]
    pub kernel: KernelChoice,
    /// VMs.
    #[serde(default)]
    pub vm: Vec<Vm>,
    /// The scenario is run once for each variant and the runs are compared. Default: one run of
    /// the file as it stands.
    #[serde(default)]
    pub variant: Vec<Variant>,
    /// What is done, in this order.
    #[serde(default)]
    pub step: Vec<Step>,
    /// Counters at the end of the run, over all VMs: each metric named here must be equal to its
    /// number.
    #[serde(default)]
    #[schemars(schema_with = "metric_counts")]
    pub expect: BTreeMap<Metric, u64>,
}

/// A table whose keys are metrics.
fn metric_counts(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": generator.subschema_for::<Metric>(),
        "additionalProperties": { "type": "integer", "minimum": 0 },
    })
}

fn one() -> u64 {
    1
}

/// Which kernel the VFIO layer behaves like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Personality {
    /// The patch series of 2021 exactly as posted, with its bugs.
    Rfc,
    /// What that series meant.
    #[default]
    RfcFixed,
    /// Linux 7.2: no nesting containers, no VMID ioctls.
    Upstream,
}

/// The same scenario with some values changed.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name, unique in the scenario.
    pub name: String,
    /// What is changed: dotted paths with their new values, as for `--set`. An element of an
    /// array is named by its `name` or its index from 0: `"vm.A.vmid" = "shared"`.
    pub set: BTreeMap<String, serde_json::Value>,
}

impl ScenarioFile {
    /// The published JSON Schema of the format.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        smmu_machine::schema_of::<Self>("Smmulator scenario file")
    }
}
