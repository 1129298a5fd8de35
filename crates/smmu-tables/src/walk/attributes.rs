//! Memory attributes of leaves.
//!
//! Architecture: section "Memory attributes and types"; DDI 0487, "Stage 2 memory region type and
//! cacheability attributes when FEAT_S2FWB is implemented".

use smmu_arch::{
    Attributes, DescriptorFormat, MemoryType, Shareability, Stage1LeafWord, Stage2LeafWord,
    TableRoot,
};

/// Shareability code of a leaf: its own, or that of the table where its format has none (DS).
#[inline(always)]
pub(super) const fn sh_of(root: &TableRoot, of_table: u8, of_leaf: u8) -> u8 {
    match root.format {
        DescriptorFormat::Ds => of_table,
        DescriptorFormat::Bits48 | DescriptorFormat::Wide64K => of_leaf,
    }
}

/// Attributes of a stage 1 leaf with the shareability code `sh`.
#[inline(always)]
pub(super) fn stage1_attributes(leaf: Stage1LeafWord, mair: u64, sh: u8) -> Attributes {
    let memory = MemoryType((mair >> (u32::from(leaf.attr_index()) * 8)) as u8);
    Attributes::new(memory, Shareability::from_sh(sh))
}

/// Attributes of both stages. `stage1` is the result of stage 1, or the input's where it is
/// bypassed; `sh` is the shareability code of stage 2.
#[inline(always)]
pub(super) fn combined(
    stage1: Attributes,
    leaf: Stage2LeafWord,
    sh: u8,
    forced_write_back: bool,
) -> Attributes {
    let plain = Attributes::from_stage2(leaf.mem_attr(), sh);
    if !forced_write_back {
        return stage1.combine(plain);
    }
    let memory = match leaf.mem_attr() & 7 {
        5 => return stage1.combine(Attributes { memory: MemoryType::NORMAL_NC, ..plain }),
        6 => MemoryType::NORMAL_WB,
        7 => stage1.memory,
        device @ 0..=3 => MemoryType(device << 2),
        _ => MemoryType::DEVICE_NGNRNE, // reserved
    };
    Attributes::new(memory, stage1.shareability.max(plain.shareability))
}

/// Whether stage 2 maps a page as Device, for what an SMMU reads there by itself: Normal memory,
/// so that a forced type that follows stage 1 is none.
#[inline(always)]
pub(super) fn stage2_is_device(leaf: Stage2LeafWord, forced_write_back: bool) -> bool {
    if forced_write_back {
        return leaf.mem_attr() & 7 <= 4;
    }
    leaf.mem_attr() & 0b1100 == 0 || leaf.mem_attr() & 0b11 == 0
}
