//! `[[smmu]]` of the machine file: ID registers and structures.

use schemars::JsonSchema;
use serde::Deserialize;

use super::structures::{ConfigCache, MainTlb, Prefetch, Tlb, WalkCaches};

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
    /// µTLB of each port. Without the table, or with `entries = 0`, there is none.
    pub micro_tlb: Option<Tlb>,
    /// Main TLB.
    #[serde(default)]
    pub tlb: Tlb,
    /// Whose the main TLB is. Default: the preset's.
    pub main_tlb: Option<MainTlb>,
    /// What is walked for without having been asked for. Default: the preset's.
    pub prefetch: Option<Prefetch>,
    /// IPA TLB: leaf descriptors of stage 2 that nested walks have met. Without the table, or with
    /// `entries = 0`, there is none.
    pub ipa_tlb: Option<Tlb>,
    /// Walk caches.
    #[serde(default)]
    pub walk_cache: WalkCaches,
    /// STE cache.
    #[serde(default)]
    pub ste_cache: ConfigCache,
    /// CD cache.
    #[serde(default)]
    pub cd_cache: ConfigCache,
    /// A Tegra241 CMDQV in front of it; without the table there is none.
    pub cmdqv: Option<Cmdqv>,
    /// A Performance Monitor Counter Group; without the table there is none.
    pub pmcg: Option<Pmcg>,
}

/// A Performance Monitor Counter Group that counts what the ports of its SMMU do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pmcg {
    /// Physical address of its page, aligned to 64 KiB: 64 KiB. Default: 0x2b80_0000 for the first
    /// SMMU, 64 KiB further for each one after it.
    pub registers: Option<u64>,
    /// Counters, 1 to 64. Default: 8.
    pub counters: Option<u8>,
    /// Bits of a counter, 32 to 64. Default: 32.
    pub counter_bits: Option<u8>,
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
