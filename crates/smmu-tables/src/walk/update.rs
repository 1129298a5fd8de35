//! Hardware update of the Access flag and of dirty state (HTTU).
//!
//! Architecture: section "HTTU behaviour"; DDI 0487, "Hardware management of the Access flag and
//! dirty state". All updates of a walk are made at its end, so that none is made on the way to a
//! fault: first those of stage 2 leaves that map stage 1 tables, then that of the stage 1 leaf,
//! then that of the stage 2 leaf of the output. One that finds another descriptor than was read
//! starts the walk over.

use super::rights::{is_clean1, is_clean2};
use super::{Extent, Phase, Walk, WalkAnswer, WalkStep, Walked};
use smmu_arch::{
    Fault, FaultClass, Pa, Regime, Stage, Stage1LeafWord, Stage1Regime, Stage2LeafWord,
    Stage2Regime, StageFault, StageFaultKind, StageRights, Why,
};

/// Walks that are started over before the updates count as made. Software that changes descriptors
/// under a walk gets this many chances; only tables that lie in each other need more, as two
/// updates can then undo each other for ever.
const RESTARTS_MAX: u8 = 16;

/// What is to be written at the end of a walk.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Updates {
    swaps: Vec<Swap>,
    /// How many were made.
    made: usize,
    restarts: u8,
    /// What would make the stage 2 leaf that maps the last table of stage 1 dirty.
    table: Option<Swap>,
    /// The result of the walk, once it is at its end.
    walked: Option<Walked>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Swap {
    pa: u64,
    /// As memory holds them.
    old: u64,
    new: u64,
    stage: Stage,
    class: FaultClass,
    level: i8,
}

impl Updates {
    /// Adds an update. A stage 2 leaf may be met more than once: its updates only set bits.
    fn add(&mut self, swap: Swap) {
        if swap.old == swap.new {
            return;
        }
        let again = |other: &&mut Swap| (other.pa, other.stage) == (swap.pa, Stage::Stage2);
        match self.swaps.iter_mut().find(again) {
            Some(other) => other.new |= swap.new,
            None => self.swaps.push(swap),
        }
    }
}

impl Walk {
    /// The leaf of stage 1 permits the access: what is to be updated in it, and what entry may be
    /// made from it.
    #[cold]
    pub(super) fn update_stage1(&mut self, stage1: &Stage1Regime, word: u64) -> Result<(), Fault> {
        let leaf = Stage1LeafWord::from(word);
        let clean = is_clean1(leaf, stage1);
        let dirties = clean && self.access.is_write();
        if self.assumes_updates {
            return Ok(());
        }
        if clean && !dirties {
            self.result1.rights = self.result1.rights.without(StageRights::WRITE);
        }
        let updated = leaf.with_af(true).with_ap_read_only(leaf.ap_read_only() && !dirties);
        let (old, new) = in_memory(word, updated.into(), stage1.big_endian);
        if old == new {
            return Ok(());
        }
        if !self.table_writable {
            return Err(self.refused_update());
        }
        let (stage, class) = (Stage::Stage1, FaultClass::Tt);
        let swap = Swap { pa: self.wanted, old, new, stage, class, level: self.level1 };
        let updates = self.updates.get_or_insert_default();
        if let Some(table) = updates.table {
            updates.add(table);
        }
        updates.add(swap);
        Ok(())
    }

    /// The leaf of stage 2 permits the access: what is to be updated in it, and the rights of the
    /// entry made from it. What stage 1 is read from stays clean until stage 1 is written.
    #[cold]
    pub(super) fn update_stage2(
        &mut self,
        stage2: &Stage2Regime,
        word: u64,
        rights: StageRights,
    ) -> StageRights {
        if self.assumes_updates {
            return rights;
        }
        let leaf = Stage2LeafWord::from(word);
        let clean = is_clean2(leaf, stage2);
        let dirties = clean && self.class == FaultClass::In && self.access.is_write();
        let (pa, class, level) = (self.wanted, self.class, self.level2);
        let swap = |leaf: Stage2LeafWord| {
            let (old, new) = in_memory(word, leaf.into(), stage2.big_endian);
            Swap { pa, old, new, stage: Stage::Stage2, class, level }
        };
        let accessed = leaf.with_af(true);
        let update = swap(accessed.with_write(leaf.write() || dirties));
        let dirtying = swap(accessed.with_write(leaf.write() || clean));
        let updates = self.updates.get_or_insert_default();
        updates.add(update);
        if self.class == FaultClass::Tt {
            updates.table = Some(dirtying);
            return rights;
        }
        if clean && !dirties { rights.without(StageRights::WRITE) } else { rights }
    }

    /// The walk is at its end: makes the updates.
    #[cold]
    pub(super) fn begin_updates(&mut self, walked: Walked) -> WalkStep {
        self.phase = Phase::Update;
        let updates = self.updates.get_or_insert_default();
        updates.walked = Some(walked);
        updates.made = 0;
        self.next_update()
    }

    #[cold]
    fn next_update(&mut self) -> WalkStep {
        let updates = self.updates.get_or_insert_default();
        match (updates.swaps.get(updates.made), updates.walked) {
            (Some(&Swap { pa, old, new, stage, level, .. }), _) => {
                self.wanted = pa;
                WalkStep::Swap { pa: Pa(pa), old, new, why: Why::Descriptor { stage, level } }
            }
            (None, Some(walked)) => WalkStep::Done(Ok(walked)),
            (None, None) => unreachable!("updates are made when the walk is at its end"),
        }
    }

    /// Takes the answer to a swap.
    #[cold]
    pub(super) fn update(
        &mut self,
        regime: &Regime,
        answer: WalkAnswer,
    ) -> Result<WalkStep, Fault> {
        let updates = self.updates.get_or_insert_default();
        let swap = updates.swaps.get(updates.made).copied();
        match (answer, swap) {
            (WalkAnswer::Swapped(found), Some(swap)) if found == swap.old => updates.made += 1,
            (WalkAnswer::Swapped(_), _) if updates.restarts < RESTARTS_MAX => {
                return self.start_over(regime);
            }
            (WalkAnswer::Swapped(_), _) => updates.made = updates.swaps.len(),
            (WalkAnswer::Aborted, Some(Swap { pa, stage, class, .. })) => {
                return Err(Fault::WalkExternalAbort { stage, class, address: Pa(pa) });
            }
            _ => {}
        }
        Ok(self.next_update())
    }

    /// The descriptor has changed since it was read.
    fn start_over(&mut self, regime: &Regime) -> Result<WalkStep, Fault> {
        let restarts = self.updates.as_ref().map_or(0, |updates| updates.restarts) + 1;
        let fresh = Self::begin_at(self.input, self.class, self.access, regime);
        let updates = Some(Box::new(Updates { restarts, ..Updates::default() }));
        let (fetches, extent) = (self.fetches, self.extent);
        *self = Self { fetches, extent, updates, ..fresh };
        if extent == Extent::Stage2 {
            return self.begin_stage2(regime, self.input, self.class);
        }
        self.begin(regime)
    }

    /// Stage 2 does not let the descriptor of stage 1 be written (TTRnW = 0).
    fn refused_update(&self) -> Fault {
        match self.stage2_fault(StageFaultKind::Permission) {
            Fault::Stage(fault) => Fault::Stage(StageFault { descriptor_write: true, ..fault }),
            other => other,
        }
    }
}

/// Both words in the byte order of the table.
const fn in_memory(old: u64, new: u64, big_endian: bool) -> (u64, u64) {
    if big_endian { (old.swap_bytes(), new.swap_bytes()) } else { (old, new) }
}
