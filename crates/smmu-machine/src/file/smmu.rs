//! `[[smmu]]` of the machine file: ID registers and structures.

use schemars::JsonSchema;
use serde::Deserialize;

/// An SMMU. Whatever is not given comes from the preset.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smmu {
    /// Name, unique in the machine.
    pub name: String,
    /// Physical address of its registers, aligned to 64 KiB: two pages of 64 KiB, a third with
    /// IDR0.VATOS, and with IDR1.ECMDQ the third and the control pages of IDR6.
    /// Default: 0x2b40_0000 for the first SMMU, 1 MiB further for each one after it.
    pub registers: Option<u64>,
    /// Preset under this SMMU. Default: the machine's preset.
    pub preset: Option<String>,
    /// ID registers.
    #[serde(default)]
    pub id: IdOverrides,
    /// Main TLB.
    #[serde(default)]
    pub tlb: Tlb,
    /// STE cache.
    #[serde(default)]
    pub ste_cache: ConfigCache,
    /// CD cache.
    #[serde(default)]
    pub cd_cache: ConfigCache,
    /// A Tegra241 CMDQV in front of it; without the table there is none.
    pub cmdqv: Option<Cmdqv>,
}

/// A Tegra241 CMDQV: Command queues that a guest may be given. Counts are powers of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cmdqv {
    /// Physical address of its registers, aligned to 64 KiB: 0x83_0000 bytes. Default:
    /// 0x2c00_0000 for the first SMMU, 16 MiB further for each one after it.
    pub registers: Option<u64>,
    /// Queues, 1 to 128. Default: 128.
    pub queues: Option<u32>,
    /// Virtual interfaces, 1 to 64. Default: 64.
    pub interfaces: Option<u32>,
    /// StreamID slots of an interface, 1 to 16. Default: 16.
    pub streams: Option<u32>,
}

/// ID registers: whole words first, then single fields over them. What is not given comes from
/// the preset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdOverrides {
    /// SMMU_IDR0.
    pub idr0: Option<u32>,
    /// SMMU_IDR1.
    pub idr1: Option<u32>,
    /// SMMU_IDR2.
    pub idr2: Option<u32>,
    /// SMMU_IDR3.
    pub idr3: Option<u32>,
    /// SMMU_IDR4.
    pub idr4: Option<u32>,
    /// SMMU_IDR5.
    pub idr5: Option<u32>,
    /// SMMU_IDR6.
    pub idr6: Option<u32>,
    /// SMMU_IIDR.
    pub iidr: Option<u32>,
    /// SMMU_AIDR.
    pub aidr: Option<u32>,
    /// Bits of a VMID, 8 or 16: IDR0.VMID16.
    pub vmid_bits: Option<u8>,
    /// Bits of an ASID, 8 or 16: IDR0.ASID16.
    pub asid_bits: Option<u8>,
    /// Bits of a StreamID, 0 to 32: IDR1.SIDSIZE.
    pub sid_bits: Option<u8>,
    /// Bits of a physical address, 32, 36, 40, 42, 44, 48 or 52: IDR5.OAS.
    pub oas_bits: Option<u8>,
}

/// The main TLB, shared by all ports. What is not given comes from the preset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tlb {
    /// Kind of structure. Default: `set-associative` where another key of this table is given,
    /// else the preset's.
    pub shape: Option<Shape>,
    /// Entries, 1 to 1048576. Default over an unbounded preset: 2048.
    pub entries: Option<u32>,
    /// Entries of a set; 0 = all in one set (fully associative). `entries / ways` is a power of
    /// two. Default over an unbounded preset: 4.
    pub ways: Option<u32>,
    /// How the set is found. Default over an unbounded preset: `page`.
    pub index: Option<Index>,
    /// Which entry of a full set goes. Default over an unbounded preset: `round-robin`.
    pub replacement: Option<Replacement>,
}

/// Kind of TLB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Sets of ways, as in hardware.
    SetAssociative,
    /// Forgets nothing by itself.
    Unbounded,
    /// Forgets nothing by itself, and uses a global entry only in the ASID that it was made in.
    UnboundedByAsid,
}

impl Shape {
    /// Whether entries, ways, index and replacement have no meaning.
    pub(super) const fn is_unbounded(self) -> bool {
        matches!(self, Self::Unbounded | Self::UnboundedByAsid)
    }
}

/// How the set of an entry is found; pages count in units of the entry's size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Index {
    /// Low bits of the page number.
    #[default]
    Page,
    /// Page number, ASID and VMID mixed, so that address spaces of equal layout spread.
    PageXorTags,
}

/// Which entry of a full set is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Replacement {
    /// Each way in turn.
    #[default]
    RoundRobin,
    /// Drawn from a generator that the scenario's seed starts.
    Random,
}

/// A cache of STEs or CDs, first in, first out. What is not given comes from the preset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigCache {
    /// `unbounded`; left out where `entries` says how many.
    pub shape: Option<ConfigCacheShape>,
    /// Entries; 0 = no cache.
    pub entries: Option<u32>,
}

/// Kind of configuration cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigCacheShape {
    /// Forgets nothing by itself.
    Unbounded,
}
