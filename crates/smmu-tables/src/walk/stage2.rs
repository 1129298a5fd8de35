//! Stage 2: IPA to PA, for the output of stage 1 and for every address that stage 1 reads.

use super::attributes::stage2_is_device;
use super::input::{next_entry, start_entry};
use super::rights::stage2_rights;
use super::update::{self, Met, Noting, Updated};
use super::{Phase, Walk, WalkStep};
use smmu_arch::{
    Access, DescriptorKind, Direction, Fault, FaultClass, Ipa, Regime, Stage, Stage2LeafWord,
    Stage2Regime, StageFault, StageFaultKind, StageRights, descriptor_address, descriptor_kind,
};

impl<N: Noting> Walk<N> {
    /// Takes an IPA to stage 2. Without stage 2 it is the output.
    #[inline(always)]
    pub(super) fn begin_stage2(
        &mut self,
        regime: &Regime,
        ipa: u64,
        class: FaultClass,
    ) -> Result<WalkStep, Fault> {
        self.ipa = ipa;
        self.class = class;
        let Some(stage2) = &regime.stage2 else {
            return Ok(self.finish_stage1(regime));
        };
        if ipa >> stage2.root.input_bits != 0 {
            return Err(self.stage2_fault(StageFaultKind::Translation));
        }
        self.level2 = stage2.root.start_level;
        Ok(self.read(Phase::Stage2, start_entry(&stage2.root, ipa)))
    }

    /// Takes a stage 2 descriptor.
    #[inline(always)]
    pub(super) fn stage2_descriptor(
        &mut self,
        regime: &Regime,
        word: u64,
    ) -> Result<WalkStep, Fault> {
        let Some(stage2) = &regime.stage2 else {
            return Ok(self.finish_stage1(regime));
        };
        let word = if stage2.big_endian { word.swap_bytes() } else { word };
        let root = &stage2.root;
        match descriptor_kind(word, root.granule, self.level2, root.format) {
            DescriptorKind::Invalid => Err(self.stage2_fault(StageFaultKind::Translation)),
            DescriptorKind::Table => {
                let table = self.stage2_output(stage2, word, root.granule.shift())?;
                self.level2 += 1;
                Ok(self.read(Phase::Stage2, next_entry(table, root, self.level2, self.ipa)))
            }
            DescriptorKind::Leaf => {
                let shift = root.granule.level_shift(self.level2);
                let block = self.stage2_output(stage2, word, shift)?;
                let leaf = Stage2LeafWord::from(word);
                let mut rights = self.check_stage2(stage2, leaf)?;
                if N::NOTES && stage2.hardware_access {
                    rights = self.update_stage2(stage2, word, rights);
                }
                if self.class == FaultClass::Tt {
                    self.table_writable = rights.allows(Access::data(Direction::Write));
                    let pa = block | (self.ipa & ((1 << shift) - 1));
                    return Ok(self.read(Phase::Stage1, pa));
                }
                Ok(self.finish_stage2(regime, stage2, leaf, block, rights))
            }
        }
    }

    /// Notes the hardware update of a leaf that permits the access; gives the rights of the entry
    /// made from it.
    #[inline(always)]
    fn update_stage2(
        &mut self,
        stage2: &Stage2Regime,
        word: u64,
        rights: StageRights,
    ) -> StageRights {
        let met = Met {
            pa: self.wanted,
            stage: Stage::Stage2,
            level: self.level2,
            class: self.class,
            writes: self.access.is_write(),
        };
        let Updated { pending, stays_clean } =
            update::stage2(self.updates.take(), met, word, stage2);
        self.updates.put(pending);
        if stays_clean { rights.without(StageRights::WRITE) } else { rights }
    }

    /// Access flag first, then permission; a protected table walk refuses Device memory.
    #[inline(always)]
    fn check_stage2(
        &self,
        stage2: &Stage2Regime,
        leaf: Stage2LeafWord,
    ) -> Result<StageRights, Fault> {
        if !leaf.af() && !stage2.access_flag_fault_disabled && !stage2.hardware_access {
            return Err(self.stage2_fault(StageFaultKind::AccessFlag));
        }
        let rights = stage2_rights(leaf, stage2);
        let by_smmu = self.class != FaultClass::In;
        // What stage 1 reads it reads as data, whatever the transaction is.
        let access =
            if self.class == FaultClass::Tt { Access::data(Direction::Read) } else { self.access };
        let protected = by_smmu
            && stage2.protected_table_walk
            && stage2_is_device(leaf, stage2.forced_write_back);
        if protected || !rights.allows(access) {
            return Err(self.stage2_fault(StageFaultKind::Permission));
        }
        Ok(rights)
    }

    /// Address of a table or leaf, if it fits the effective output size.
    #[inline(always)]
    fn stage2_output(&self, stage2: &Stage2Regime, word: u64, shift: u32) -> Result<u64, Fault> {
        let address = descriptor_address(word, shift, stage2.root.format);
        if address >> stage2.output_bits != 0 {
            return Err(self.stage2_fault(StageFaultKind::AddressSize));
        }
        Ok(address)
    }

    #[cold]
    fn stage2_fault(&self, kind: StageFaultKind) -> Fault {
        Fault::Stage(StageFault {
            kind,
            stage: Stage::Stage2,
            class: self.class,
            ipa: Ipa(self.ipa),
            descriptor_write: false,
        })
    }
}
