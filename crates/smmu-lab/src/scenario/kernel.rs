//! `[kernel]` of the scenario file, and the steps of the host's own drivers.

use schemars::JsonSchema;
use serde::Deserialize;
use smmu_machine::Bytes;

use super::Outcome;

/// How the kernel behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KernelChoice {
    /// What devices do that no VM has. Default: `blocked`.
    pub idle: Idle,
    /// Without range commands, an unmap that would take as many TLBIs as a table has entries takes
    /// one of everything, as recent Linux does. Default: true.
    pub tlbi_limit: bool,
    /// Which free VMID or ASID is taken. Default: `first-fit`.
    pub numbers: Numbers,
}

impl Default for KernelChoice {
    fn default() -> Self {
        Self { idle: Idle::Blocked, tlbi_limit: true, numbers: Numbers::FirstFit }
    }
}

/// What a device does that no VM has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// Its transactions abort.
    #[default]
    Blocked,
    /// Its transactions pass untranslated.
    Identity,
    /// The host uses it through the DMA API; an unmap is invalidated before it returns.
    Strict,
    /// The host uses it through the DMA API; unmaps are invalidated many at once.
    Lazy,
}

/// Which free number is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// The lowest one, as Linux does.
    #[default]
    FirstFit,
    /// The next one after the last that was given.
    NextFit,
}

/// The DMA API maps memory of the host for a device that no VM has. IOVAs are given from 4 GiB
/// downwards.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostMap {
    /// The device.
    pub device: String,
    /// Length, a multiple of 4 KiB.
    pub bytes: Bytes,
    /// How many transfers are mapped, each at an IOVA of its own. Default: 1.
    #[serde(default = "once")]
    pub count: u32,
    /// What the last call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// The DMA API unmaps the oldest transfers of a device.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostUnmap {
    /// The device.
    pub device: String,
    /// How many. Default: 1.
    #[serde(default = "once")]
    pub count: u32,
    /// What the last call comes to. Default: `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

/// Virtual time goes on, and then the kernel's timer runs once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sleep {
    /// Nanoseconds.
    pub ns: u64,
}

fn once() -> u32 {
    1
}
