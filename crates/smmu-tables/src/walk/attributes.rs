//! Memory attributes of leaves.
//!
//! Architecture: section "Memory attributes and types"; DDI 0487, "Stage 2 memory region type and
//! cacheability attributes when FEAT_S2FWB is implemented".

use smmu_arch::{Attributes, MemoryType, Shareability, Stage1LeafWord, Stage2LeafWord};

/// Attributes of a stage 1 leaf.
#[inline(always)]
pub(super) fn stage1_attributes(leaf: Stage1LeafWord, mair: u64) -> Attributes {
    let memory = MemoryType((mair >> (u32::from(leaf.attr_index()) * 8)) as u8);
    Attributes::new(memory, Shareability::from_sh(leaf.sh()))
}

/// Attributes of both stages. `stage1` is the result of stage 1, or the input's where it is
/// bypassed.
#[inline(always)]
pub(super) fn combined(
    stage1: Attributes,
    leaf: Stage2LeafWord,
    forced_write_back: bool,
) -> Attributes {
    let plain = Attributes::from_stage2(leaf.mem_attr(), leaf.sh());
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
