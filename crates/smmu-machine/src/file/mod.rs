//! The machine file: what a machine is made of, in TOML.
//!
//! [`MachineFile`] is the file as written, [`Blueprint`] what it comes to once presets and
//! defaults are filled in and everything is checked.

mod blueprint;
mod bytes;
mod check;
mod geometry;
mod hierarchy;
mod identification;
mod smmu;
mod structures;
mod unmodelled;
mod windows;

pub use blueprint::{
    AtsBlueprint, Blueprint, CmdqvBlueprint, DeviceBlueprint, MemoryRegion, PmcgBlueprint,
    SmmuBlueprint,
};
pub use bytes::Bytes;
pub use hierarchy::{
    CacheBlueprint, HierarchyBlueprint, SetAssociative, TlbBlueprint, WalkCacheBlueprint,
};
pub use smmu::{Cmdqv, IdOverrides, Pmcg, Smmu};
pub use structures::{
    ConfigCache, ConfigCacheShape, Index, MainTlb, PartitionBy, Prefetch, Replacement, Shape,
    Split, Tlb, WalkCache, WalkCaches,
};
pub use unmodelled::{Unmodelled, unmodelled};

pub(crate) use hierarchy::{cache_over, tlb_over};
pub(crate) use identification::with_overrides;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Diagnostic, Document, Problem};

/// Base of memory where none is given: 0x8000_0000.
pub const MEMORY_BASE: u64 = 0x8000_0000;
/// Size of memory where none is given: 4 GiB.
pub const MEMORY_BYTES: u64 = 4 << 30;
/// Registers of the first SMMU where none are given: 0x2b40_0000.
pub const REGISTERS_BASE: u64 = 0x2b40_0000;
/// From the registers of one SMMU to the next where none are given: 1 MiB.
pub const REGISTERS_STRIDE: u64 = 0x10_0000;
/// Registers of the first CMDQV where none are given: 0x2c00_0000.
pub const CMDQV_BASE: u64 = 0x2c00_0000;
/// Registers of the first PMCG where none are given: 0x2b80_0000.
pub const PMCG_BASE: u64 = 0x2b80_0000;
/// From the registers of one PMCG to the next where none are given, and bytes of each: 64 KiB.
pub const PMCG_STRIDE: u64 = 0x1_0000;
/// From the registers of one CMDQV to the next where none are given: 16 MiB.
pub const CMDQV_STRIDE: u64 = 0x100_0000;

/// A machine: memory, SMMUs and the devices behind them.
///
/// An array of tables may be left out: memory is then 4 GiB at 0x8000_0000, the only SMMU is
/// `smmu0`, and behind it stand `nic0` to `nic3` with StreamIDs 1 to 4.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineFile {
    /// Preset under every SMMU that names none (`smmulator presets` lists them).
    /// Default: `reference`.
    pub preset: Option<String>,
    /// Memory regions; they must not overlap.
    #[serde(default)]
    pub memory: Vec<Memory>,
    /// SMMUs.
    #[serde(default)]
    pub smmu: Vec<Smmu>,
    /// Devices that do DMA.
    #[serde(default)]
    pub device: Vec<Device>,
}

/// A region of memory, zero at start. Only what is touched takes space on the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// First physical address, aligned to 4 KiB.
    pub base: u64,
    /// Size, a multiple of 4 KiB.
    pub bytes: Bytes,
}

/// A device, or `count` alike.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Name, unique in the machine. With `count`, it has `{n}` where the number goes: `vf{n}`.
    pub name: String,
    /// The SMMU it stands behind. Default: the only one.
    pub smmu: Option<String>,
    /// Its StreamIDs, unique on its SMMU. With `count`, each copy's are the last one's, moved on
    /// by as many as there are: `[256]` gives 256, 257, …
    pub streams: Vec<u32>,
    /// IOMMU group: devices of one group are owned together and lie behind one SMMU.
    /// Default: a group of its own.
    pub group: Option<u32>,
    /// It has an address translation cache (ATS), which needs IDR0.ATS of its SMMU: `ats = {}`.
    /// Default: it has none.
    pub ats: Option<Ats>,
    /// How many copies, numbered from 0. 1 to 4096. Default: a single device without number.
    pub count: Option<u32>,
}

/// The address translation cache of an endpoint, fully associative, first in, first out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ats {
    /// Translations that it holds, 1 to 65536. Default: 64.
    pub entries: Option<u32>,
    /// Whether it answers invalidation requests. If it does not, each times out, and the next
    /// CMD_SYNC reports CERROR_ATC_INV_SYNC. Default: true.
    pub answers: Option<bool>,
}

impl MachineFile {
    /// A machine that is all default but for its preset.
    #[must_use]
    pub fn of_preset(preset: &str) -> Self {
        Self { preset: Some(preset.to_owned()), ..Self::default() }
    }

    /// Reads a machine file and works out its blueprint.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file, with line and remedy.
    pub fn load(path: &std::path::Path) -> Result<Blueprint, Diagnostic> {
        Self::load_document(&Document::open(path)?)
    }

    /// Works out the blueprint of a document, overrides included.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file, with line and remedy.
    pub fn load_document(document: &Document) -> Result<Blueprint, Diagnostic> {
        let (blueprint, problems) = document.read::<Self>()?.resolve();
        document.refuse(problems)?;
        Ok(blueprint)
    }

    /// The blueprint of a machine that was never a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn blueprint(&self) -> Result<Blueprint, Vec<Problem>> {
        let (blueprint, problems) = self.resolve();
        if problems.is_empty() { Ok(blueprint) } else { Err(problems) }
    }

    /// The published JSON Schema of the format.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        crate::schema_of::<Self>("Smmulator machine file")
    }
}
