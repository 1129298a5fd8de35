//! Which half of the stage 1 range an address belongs to, and whether it lies in it.

use smmu_arch::{Access, Regime, Stage1Half, Stage1Regime, TableRoot};

/// The input address that a TLB is looked up with: see `TlbKey::input`.
///
/// Where TBI applies to the half that `input` lies in, bits 63:56 become copies of bit 55, so that
/// all addresses that differ in the ignored byte alone find one entry. Otherwise, and without
/// stage 1, it is `input` itself.
#[inline(always)]
#[must_use]
pub fn lookup_input(regime: &Regime, input: u64) -> u64 {
    match &regime.stage1 {
        Some(stage1) if half(stage1, input).top_byte_ignored => sign_extend_bit_55(input),
        _ => input,
    }
}

#[inline(always)]
const fn sign_extend_bit_55(input: u64) -> u64 {
    ((input << 8) as i64 >> 8) as u64
}

/// Bit 55 chooses the table, in worlds that have two.
#[inline(always)]
pub(super) fn is_high(stage1: &Stage1Regime, input: u64) -> bool {
    stage1.high.is_some() && input >> 55 & 1 != 0
}

/// The half that `input` belongs to.
#[inline(always)]
fn half(stage1: &Stage1Regime, input: u64) -> &Stage1Half {
    half_of(stage1, is_high(stage1, input))
}

/// The half of TTB1 or TTB0.
#[inline(always)]
pub(super) fn half_of(stage1: &Stage1Regime, high: bool) -> &Stage1Half {
    match &stage1.high {
        Some(half) if high => half,
        _ => &stage1.low,
    }
}

/// The table that translates `input`, a look-up input. `None` is a translation fault before any
/// read: the half is disabled (EPD), or to this privilege (E0PD), or the address is not canonical.
#[inline(always)]
pub(super) fn table_for(
    half: &Stage1Half,
    high: bool,
    input: u64,
    access: Access,
) -> Option<&TableRoot> {
    let root = half.root.as_ref()?;
    // TBI has made the top byte a copy of bit 55 already, so one check serves both cases.
    let above = (input as i64) >> root.input_bits;
    let canonical = above == if high { -1 } else { 0 };
    let refused = half.unprivileged_disabled && !access.privileged;
    (canonical && !refused).then_some(root)
}

/// Address of the descriptor of a start table.
#[inline(always)]
pub(super) fn start_entry(root: &TableRoot, input: u64) -> u64 {
    let resolved = input & ((1 << root.input_bits) - 1);
    root.base + (resolved >> root.granule.level_shift(root.start_level) << 3)
}

/// Address of the descriptor in a table below the start level.
#[inline(always)]
pub(super) fn next_entry(table: u64, root: &TableRoot, level: i8, input: u64) -> u64 {
    let index = input >> root.granule.level_shift(level) & ((1 << root.granule.stride()) - 1);
    table | index << 3
}
