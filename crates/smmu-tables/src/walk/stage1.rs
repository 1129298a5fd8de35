//! Stage 1: VA to IPA, or to PA where stage 2 is off.

use super::attributes::{sh_of, stage1_attributes};
use super::entry::{Stage1Result, leaf_of};
use super::input::{half_of, is_high, next_entry, start_entry, table_for};
use super::rights::stage1_rights;
use super::update::{self, Met, Noting, Updated};
use super::{Extent, Phase, Walk, WalkStep};
use smmu_arch::{
    DescriptorKind, Fault, FaultClass, Ipa, Regime, Stage, Stage1LeafWord, Stage1Regime,
    StageFault, StageFaultKind, StageRights, TableRoot, descriptor_address, descriptor_kind,
};

impl<N: Noting> Walk<N> {
    #[inline(always)]
    pub(super) fn begin_stage1(
        &mut self,
        regime: &Regime,
        stage1: &Stage1Regime,
    ) -> Result<WalkStep, Fault> {
        self.high = is_high(stage1, self.input);
        let half = half_of(stage1, self.high);
        let root = table_for(half, self.high, self.input, self.access)
            .ok_or_else(|| fault(StageFaultKind::Translation))?;
        self.level1 = root.start_level;
        self.read_stage1(regime, start_entry(root, self.input))
    }

    /// Takes a stage 1 descriptor.
    #[inline(always)]
    pub(super) fn stage1_descriptor(
        &mut self,
        regime: &Regime,
        word: u64,
    ) -> Result<WalkStep, Fault> {
        let Some(stage1) = &regime.stage1 else {
            return self.begin_stage2(regime, self.input, FaultClass::In);
        };
        let half = half_of(stage1, self.high);
        let Some(root) = &half.root else {
            return Err(fault(StageFaultKind::Translation));
        };
        let word = if stage1.big_endian { word.swap_bytes() } else { word };
        match descriptor_kind(word, root.granule, self.level1, root.format) {
            DescriptorKind::Invalid => Err(fault(StageFaultKind::Translation)),
            DescriptorKind::Table => {
                let table = output(stage1, root, word, root.granule.shift())?;
                self.limits = self.limits.below(word, half.hierarchy_disabled);
                self.level1 += 1;
                self.read_stage1(regime, next_entry(table, root, self.level1, self.input))
            }
            DescriptorKind::Leaf => {
                self.result1 = self.stage1_leaf(stage1, root, word)?;
                if N::NOTES && stage1.hardware_access {
                    self.update_stage1(stage1, word)?;
                }
                if self.extent == Extent::Stage1 {
                    return Ok(self.finish_stage1(regime));
                }
                self.begin_stage2(regime, self.result1.output, FaultClass::In)
            }
        }
    }

    /// Notes the hardware update of a leaf that permits the access.
    #[inline(always)]
    fn update_stage1(&mut self, stage1: &Stage1Regime, word: u64) -> Result<(), Fault> {
        let met = Met {
            pa: self.wanted,
            stage: Stage::Stage1,
            level: self.level1,
            class: FaultClass::Tt,
            writes: self.access.is_write(),
        };
        let pending = self.updates.take();
        let Some(Updated { pending, stays_clean }) =
            update::stage1(pending, met, word, stage1, self.table_writable)
        else {
            return Err(refused_update(self.ipa));
        };
        self.updates.put(pending);
        if stays_clean {
            self.result1.rights = self.result1.rights.without(StageRights::WRITE);
        }
        Ok(())
    }

    /// Checks a leaf: address size, then Access flag, then permission.
    #[inline(always)]
    fn stage1_leaf(
        &self,
        stage1: &Stage1Regime,
        root: &TableRoot,
        word: u64,
    ) -> Result<Stage1Result, Fault> {
        let shift = root.granule.level_shift(self.level1);
        let block = output(stage1, root, word, shift)?;
        let leaf = Stage1LeafWord::from(word);
        if !leaf.af() && !stage1.access_flag_fault_disabled && !stage1.hardware_access {
            return Err(fault(StageFaultKind::AccessFlag));
        }
        let granted = stage1_rights(leaf, self.limits, stage1);
        // E0PD refuses before any read; an entry must not grant what the walk would refuse.
        let half = half_of(stage1, self.high);
        let refused = match half.unprivileged_disabled {
            true => StageRights::UNPRIVILEGED,
            false => StageRights::NONE,
        };
        let rights = granted.without(refused);
        if !rights.allows(self.access) {
            return Err(fault(StageFaultKind::Permission));
        }
        Ok(Stage1Result {
            output: block | (self.input & ((1 << shift) - 1)),
            leaf: Some(leaf_of(root, self.level1, self.input, block, leaf.contiguous())),
            rights,
            attributes: stage1_attributes(leaf, stage1.mair, sh_of(root, half.sh, leaf.sh())),
            global: !leaf.ng() || !stage1.has_asid,
        })
    }

    /// Reads the descriptor at `address`, through stage 2 where that is on.
    #[inline(always)]
    fn read_stage1(&mut self, regime: &Regime, address: u64) -> Result<WalkStep, Fault> {
        if regime.stage2.is_some() {
            self.begin_stage2(regime, address, FaultClass::Tt)
        } else {
            Ok(self.read(Phase::Stage1, address))
        }
    }
}

/// Address of a table or leaf, if it fits the effective output size.
#[inline(always)]
fn output(stage1: &Stage1Regime, root: &TableRoot, word: u64, shift: u32) -> Result<u64, Fault> {
    let address = descriptor_address(word, shift, root.format);
    if address >> stage1.output_bits != 0 {
        return Err(fault(StageFaultKind::AddressSize));
    }
    Ok(address)
}

/// Stage 2 does not let the descriptor of stage 1 be written (TTRnW = 0).
#[cold]
fn refused_update(ipa: u64) -> Fault {
    Fault::Stage(StageFault {
        kind: StageFaultKind::Permission,
        stage: Stage::Stage2,
        class: FaultClass::Tt,
        ipa: Ipa(ipa),
        descriptor_write: true,
    })
}

/// Faults of stage 1 are those of the input itself: class IN, no IPA.
#[cold]
fn fault(kind: StageFaultKind) -> Fault {
    Fault::Stage(StageFault {
        kind,
        stage: Stage::Stage1,
        class: FaultClass::In,
        ipa: Ipa(0),
        descriptor_write: false,
    })
}
