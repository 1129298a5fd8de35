//! What a mapping allows, and its leaf descriptor.

use super::Geometry;
use smmu_arch::{DescriptorFormat, Stage, Stage1LeafWord, Stage2LeafWord, descriptor_address_bits};

/// MAIR for stage 1 tables built here: Normal Non-cacheable, Normal Write-Back and Device-nGnRE as
/// attributes 0, 1 and 2.
pub const STAGE1_MAIR: u64 = 0x0004_ff44;

/// Memory type of a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MemoryKind {
    /// Normal memory, Write-Back, Inner Shareable: a coherent device.
    #[default]
    WriteBack,
    /// Normal memory, Non-cacheable.
    NonCacheable,
    /// Device-nGnRE: registers of another device.
    Device,
}

/// What a mapping allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prot {
    /// Reads. Stage 1 cannot refuse them where it allows writes.
    pub read: bool,
    /// Writes.
    pub write: bool,
    /// Instruction fetches, at every privilege that the other rules leave.
    pub execute: bool,
    /// Stage 1: privileged accesses alone.
    pub privileged: bool,
    /// Stage 1: for every ASID (nG = 0).
    pub global: bool,
    /// Memory type.
    pub memory: MemoryKind,
}

impl Prot {
    /// Unprivileged reads of coherent memory.
    pub const READ: Self = Self {
        read: true,
        write: false,
        execute: false,
        privileged: false,
        global: false,
        memory: MemoryKind::WriteBack,
    };
    /// Unprivileged reads and writes of coherent memory.
    pub const READ_WRITE: Self = Self { write: true, ..Self::READ };

    /// The leaf descriptor for `output` at `level`.
    pub(super) fn leaf(self, geometry: &Geometry, level: i8, output: u64, contiguous: bool) -> u64 {
        let address = descriptor_address_bits(output, geometry.format());
        let kind = if level == 3 { 3 } else { 1 };
        let inner = self.memory == MemoryKind::WriteBack;
        let sh = match geometry.format() {
            DescriptorFormat::Ds => 0, // the bits belong to the address
            _ if inner => 3,
            _ => 2,
        };
        address
            | match geometry.stage {
                Stage::Stage1 => u64::from(
                    Stage1LeafWord::new()
                        .with_kind(kind)
                        .with_attr_index(self.attribute_index())
                        .with_ap_unprivileged(!self.privileged)
                        .with_ap_read_only(!self.write)
                        .with_sh(sh)
                        .with_af(true)
                        .with_ng(!self.global)
                        .with_contiguous(contiguous)
                        .with_pxn(!self.execute)
                        .with_uxn(!self.execute),
                ),
                Stage::Stage2 => u64::from(
                    Stage2LeafWord::new()
                        .with_kind(kind)
                        .with_mem_attr(self.stage2_attribute())
                        .with_read(self.read)
                        .with_write(self.write)
                        .with_sh(sh)
                        .with_af(true)
                        .with_contiguous(contiguous)
                        // 2 is "never" with and without IDR3.XNX; 3 is not.
                        .with_xn(if self.execute { 0 } else { 2 }),
                ),
            }
    }

    const fn attribute_index(self) -> u8 {
        match self.memory {
            MemoryKind::NonCacheable => 0,
            MemoryKind::WriteBack => 1,
            MemoryKind::Device => 2,
        }
    }

    const fn stage2_attribute(self) -> u8 {
        match self.memory {
            MemoryKind::Device => 1,
            MemoryKind::NonCacheable => 5,
            MemoryKind::WriteBack => 15,
        }
    }
}
