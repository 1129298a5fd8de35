//! The words of a case file.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smmu_arch::IdRegisters;
use std::fmt;

/// One case: what memory holds, what software does, and what another implementation answered.
///
/// Keys that are not named here are for information, and ignored.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub struct Case {
    /// Name, which reports use.
    pub name: String,
    /// What the case is about.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The SMMU.
    pub smmu: Model,
    /// Initial content of memory: address and bytes.
    #[serde(default)]
    pub memory: Vec<(u64, Bytes)>,
    /// Register writes after reset, in order: offset, bytes, value.
    #[serde(default)]
    pub mmio_writes: Vec<(u64, u8, u64)>,
    /// What happens then, in order.
    #[serde(default)]
    pub steps: Vec<CaseStep>,
    /// Answer to each DMA; none where nobody has answered the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Vec<DmaResult>>,
    /// All records that were drained, in order.
    #[serde(default)]
    pub events: Vec<[u64; 4]>,
    /// Bits of each record that count. Records without an entry have the usual mask.
    #[serde(default)]
    pub event_masks: Vec<[u64; 4]>,
    /// What each register read gave.
    #[serde(default)]
    pub mmio_reads: Vec<u64>,
    /// Value and mask by which each register read is compared; none where it is the
    /// implementation's own. Reads without an entry count in full.
    #[serde(default)]
    pub arch_reads: Vec<Option<(u64, u64)>>,
    /// How each DMA is compared. Those without an entry are compared exactly.
    #[serde(default)]
    pub dma_cmp: Vec<Comparison>,
    /// Whether the answers can be compared at all.
    #[serde(default = "yes")]
    pub comparable: bool,
    /// Why not, or what is peculiar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

const fn yes() -> bool {
    true
}

/// Which SMMU a case is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub struct Model {
    /// Stages that it implements.
    pub stage: Stages,
}

/// Stages of translation that an SMMU implements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub enum Stages {
    /// Stage 1 only.
    #[serde(rename = "1")]
    Stage1,
    /// Stage 2 only.
    #[serde(rename = "2")]
    Stage2,
    /// Both.
    #[serde(rename = "nested")]
    Nested,
}

impl Stages {
    /// ID registers, verbatim.
    #[must_use]
    pub const fn id_registers(self) -> IdRegisters {
        match self {
            Self::Stage1 => IdRegisters::QEMU_STAGE1,
            Self::Stage2 => IdRegisters::QEMU_STAGE2,
            Self::Nested => IdRegisters::QEMU_NESTED,
        }
    }
}

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseStep {
    /// A device accesses memory.
    Dma(Dma),
    /// A command is put at CMDQ_PROD, and consumed or refused.
    Cmd([u64; 2]),
    /// A CPU stores bytes.
    Mem(u64, Bytes),
    /// A CPU writes a register: offset, bytes, value.
    Mmio(u64, u8, u64),
    /// A CPU reads a register: offset, bytes.
    MmioRead(u64, u8),
    /// A CPU drains the Event queue.
    ExpectEvents(bool),
}

/// One access by a device: Non-secure, privileged, data. It is one transaction, with one
/// translation: a case in which it leaves its page of 4 KiB is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "DmaWords")]
pub struct Dma {
    /// StreamID.
    pub sid: u32,
    /// SubstreamID.
    pub ssid: Option<u32>,
    /// Input address.
    pub iova: u64,
    /// Direction.
    pub rw: ReadWrite,
    /// Bytes, 1 to 4096.
    pub len: u32,
}

impl Dma {
    /// Bytes of the smallest page.
    const PAGE: u64 = 4096;

    /// Whether it has bytes, and all of them in one page.
    pub(super) fn has_one_translation(&self) -> bool {
        self.len != 0 && u64::from(self.len) <= Self::PAGE - self.iova % Self::PAGE
    }
}

/// A DMA as it is written.
#[derive(Deserialize)]
struct DmaWords {
    sid: u32,
    #[serde(default)]
    ssid: Option<u32>,
    iova: u64,
    rw: ReadWrite,
    #[serde(default = "four")]
    len: u32,
}

impl TryFrom<DmaWords> for Dma {
    type Error = String;

    fn try_from(words: DmaWords) -> Result<Self, String> {
        let DmaWords { sid, ssid, iova, rw, len } = words;
        let dma = Self { sid, ssid, iova, rw, len };
        dma.has_one_translation().then_some(dma).ok_or_else(|| {
            format!(
                "a DMA of {len} bytes at {iova:#x}: it has 1 byte or more, and stays in a page of \
                 4 KiB"
            )
        })
    }
}

const fn four() -> u32 {
    4
}

/// Direction of an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub enum ReadWrite {
    /// Read.
    #[serde(rename = "r")]
    Read,
    /// Write.
    #[serde(rename = "w")]
    Write,
}

/// What became of a DMA.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub struct DmaResult {
    /// It was translated, and memory answered.
    pub ok: bool,
    /// Where it went; none if it was refused.
    pub pa: Option<u64>,
    /// What a read gave. A write has no data; a refused read has none either, and says so.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub data: Option<Option<Bytes>>,
    /// Records that it added to the Event queue.
    #[serde(default)]
    pub nev: u32,
    /// Other answers (`ok`, `pa`) that the architecture allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<(bool, Option<u64>)>,
}

/// Tells a key that is null from one that is not there.
fn present<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Option<Bytes>>, D::Error> {
    Option::deserialize(source).map(Some)
}

/// How the answer to a DMA is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The architecture allows this one.
    #[default]
    Exact,
    /// A cached translation may be used still, or not: any of the alternatives will do.
    StaleOk,
    /// Not at all.
    No,
}

/// Bytes, written as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        target.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_str(HexVisitor)
    }
}

struct HexVisitor;

impl de::Visitor<'_> for HexVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an even number of hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        });
        pairs.collect::<Option<Vec<u8>>>().map(Bytes).ok_or_else(wrong)
    }
}
