//! What comes out of a walk: the leaves of both stages and the entry made from them.

use super::attributes::{combined, sh_of};
use super::update::Noting;
use super::{Walk, WalkStep, Walked};
use smmu_arch::{
    AddressSpace, Asid, Attributes, EntryKind, Ipa, Leaf, Pa, Permissions, Regime, Stage2LeafWord,
    Stage2Regime, StageRights, TableRoot, TlbEntry,
};

/// What stage 1 leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stage1Result {
    /// Output address of the input.
    pub(super) output: u64,
    /// Leaf; `None` where stage 1 is bypassed.
    pub(super) leaf: Option<Leaf>,
    pub(super) rights: StageRights,
    pub(super) attributes: Attributes,
    pub(super) global: bool,
}

impl Stage1Result {
    /// Stage 1 is bypassed: the output is the input, with all rights.
    #[inline(always)]
    pub(super) fn bypass(input: u64, regime: &Regime) -> Self {
        Self {
            output: input,
            leaf: None,
            rights: StageRights::ALL,
            attributes: regime.input_attributes,
            global: false,
        }
    }
}

/// The smallest entry: the size of one that no leaf bounds.
const SMALLEST_LOG2: u8 = 12;

impl<N: Noting> Walk<N> {
    /// Ends a walk whose last stage is stage 1.
    #[inline(always)]
    pub(super) fn finish_stage1(&self, regime: &Regime) -> WalkStep {
        let result = self.result1;
        let size = result.leaf.map_or(SMALLEST_LOG2, |leaf| leaf.span_log2);
        self.done(regime, result.output, size, StageRights::ALL, result.attributes, None)
    }

    /// Ends a walk with the leaf of stage 2 for its last IPA.
    #[inline(always)]
    pub(super) fn finish_stage2(
        &self,
        regime: &Regime,
        stage2: &Stage2Regime,
        word: Stage2LeafWord,
        block: u64,
        rights: StageRights,
    ) -> WalkStep {
        let leaf = leaf_of(&stage2.root, self.level2, self.ipa, block, word.contiguous());
        let shift = stage2.root.granule.level_shift(self.level2);
        let output = block | (self.ipa & ((1 << shift) - 1));
        let attributes = combined(
            self.result1.attributes,
            word,
            sh_of(&stage2.root, stage2.sh, word.sh()),
            stage2.forced_write_back,
        );
        let size = self.result1.leaf.map_or(leaf.span_log2, |l| l.span_log2.min(leaf.span_log2));
        self.done(regime, output, size, rights, attributes, Some(leaf))
    }

    #[inline(always)]
    fn done(
        &self,
        regime: &Regime,
        output: u64,
        size_log2: u8,
        rights2: StageRights,
        attributes: Attributes,
        leaf2: Option<Leaf>,
    ) -> WalkStep {
        let entry = TlbEntry {
            space: self.space(regime),
            global: self.result1.global,
            input: Pa(self.input).align_down(u32::from(size_log2)).0,
            size_log2,
            output: Pa(output).align_down(u32::from(size_log2)),
            permissions: Permissions::new(self.result1.rights, rights2),
            attributes,
            stage1: self.result1.leaf,
            stage2: leaf2,
        };
        let walked = Walked {
            entry,
            output: Pa(output),
            ipa: Ipa(self.result1.output),
            fetches: self.fetches,
        };
        WalkStep::Done(Ok(walked))
    }

    /// The regime's own tags, but an IPA that no stage 1 gave belongs to the VMID alone.
    #[inline(always)]
    fn space(&self, regime: &Regime) -> AddressSpace {
        if self.result1.leaf.is_some() || regime.stage1.is_none() {
            return regime.space;
        }
        AddressSpace { kind: EntryKind::Stage2, asid: Asid(0), aset: false, ..regime.space }
    }
}

/// The leaf at `level` that maps `input` to the block at `output`.
///
/// The Contiguous hint widens it to its group if the group is what the hint claims as far as this
/// one descriptor tells: it lies within the input range, and the output has the place in its group
/// that the input has. The architecture leaves a misprogrammed hint open; this model then ignores
/// it, so that no entry ever covers an address outside the table.
#[inline(always)]
pub(super) fn leaf_of(
    root: &TableRoot,
    level: i8,
    input: u64,
    output: u64,
    contiguous: bool,
) -> Leaf {
    let shift = root.granule.level_shift(level);
    let span = shift + root.granule.contiguous_log2(level);
    let place = ((1u64 << span) - 1) >> shift << shift;
    let honoured =
        contiguous && span <= u32::from(root.input_bits) && (input ^ output) & place == 0;
    let span_log2 = if honoured { span } else { shift };
    Leaf {
        base: input >> span_log2 << span_log2,
        span_log2: span_log2 as u8,
        level,
        granule: root.granule,
    }
}
