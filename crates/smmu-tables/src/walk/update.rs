//! Hardware update of the Access flag and of dirty state (HTTU).
//!
//! Architecture: section "HTTU behaviour"; DDI 0487, "Hardware management of the Access flag and
//! dirty state". All updates of a walk are made at its end, so that none is made on the way to a
//! fault: first those of stage 2 leaves that map stage 1 tables, then that of the stage 1 leaf,
//! then that of the stage 2 leaf of the output. One that finds another descriptor than was read
//! starts the walk over.
//!
//! A walk without updates is compiled apart, and pays nothing for them.

use super::rights::{is_clean1, is_clean2};
use super::{Walk, WalkAnswer, WalkStep, Walked};
use smmu_arch::{
    Fault, FaultClass, Pa, Regime, Stage, Stage1LeafWord, Stage1Regime, Stage2LeafWord,
    Stage2Regime, Why,
};
use smmu_bus::Memory;

/// Walks that are started over before the updates count as made. Software that changes descriptors
/// under a walk gets this many chances; only tables that lie in each other need more, as two
/// updates can then undo each other for ever.
const RESTARTS_MAX: u8 = 16;

/// What is to be written at the end of a walk.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Updates {
    swaps: Vec<Swap>,
    /// How many were made.
    made: usize,
    /// What would make the stage 2 leaf that maps the last table of stage 1 dirty.
    table: Option<Swap>,
}

/// Updates that a walk has noted.
pub(super) type Pending = Option<Box<Updates>>;

/// Where a walk notes its updates: [`Pending`], or nowhere.
pub trait Noting {
    /// They are noted.
    const NOTES: bool;

    /// What was noted so far.
    fn take(&mut self) -> Pending;

    /// Gives it back.
    fn put(&mut self, pending: Pending);
}

impl Noting for () {
    const NOTES: bool = false;

    fn take(&mut self) -> Pending {
        None
    }

    fn put(&mut self, _: Pending) {}
}

impl Noting for Pending {
    const NOTES: bool = true;

    fn take(&mut self) -> Pending {
        Self::take(self)
    }

    fn put(&mut self, pending: Pending) {
        *self = pending;
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Swap {
    leaf: Met,
    /// As memory holds them.
    old: u64,
    new: u64,
}

/// A leaf that a walk has met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Met {
    pub(super) pa: u64,
    pub(super) stage: Stage,
    pub(super) level: i8,
    /// What it was read for.
    pub(super) class: FaultClass,
    /// The input itself is written.
    pub(super) writes: bool,
}

/// What a leaf comes to.
pub(super) struct Updated {
    pub(super) pending: Pending,
    /// The leaf is writable-clean and stays so: the entry made from it must not let write.
    pub(super) stays_clean: bool,
}

impl Updates {
    /// Adds an update. A stage 2 leaf may be met more than once: its updates only set bits.
    fn add(&mut self, swap: Swap) {
        if swap.old == swap.new {
            return;
        }
        let again =
            |other: &&mut Swap| (other.leaf.pa, other.leaf.stage) == (swap.leaf.pa, Stage::Stage2);
        match self.swaps.iter_mut().find(again) {
            Some(other) => other.new |= swap.new,
            None => self.swaps.push(swap),
        }
    }
}

/// A leaf of stage 1 permits the access: what is to be updated in it. `None` where stage 2 does not
/// let it be written.
#[cold]
pub(super) fn stage1(
    mut pending: Pending,
    met: Met,
    word: u64,
    regime: &Stage1Regime,
    table_writable: bool,
) -> Option<Updated> {
    let leaf = Stage1LeafWord::from(word);
    let clean = is_clean1(leaf, regime);
    let dirties = clean && met.writes;
    let updated = leaf.with_af(true).with_ap_read_only(leaf.ap_read_only() && !dirties);
    let (old, new) = in_memory(word, updated.into(), regime.big_endian);
    if old != new {
        if !table_writable {
            return None;
        }
        let updates = pending.get_or_insert_default();
        if let Some(table) = updates.table {
            updates.add(table);
        }
        updates.add(Swap { leaf: met, old, new });
    }
    Some(Updated { pending, stays_clean: clean && !dirties })
}

/// A leaf of stage 2 permits the access: what is to be updated in it. What stage 1 is read from
/// stays clean until stage 1 is written.
#[cold]
pub(super) fn stage2(mut pending: Pending, met: Met, word: u64, regime: &Stage2Regime) -> Updated {
    let leaf = Stage2LeafWord::from(word);
    let clean = is_clean2(leaf, regime);
    let dirties = clean && met.class == FaultClass::In && met.writes;
    let swap = |write: bool| {
        let updated = leaf.with_af(true).with_write(leaf.write() || write);
        let (old, new) = in_memory(word, updated.into(), regime.big_endian);
        Swap { leaf: met, old, new }
    };
    let updates = pending.get_or_insert_default();
    updates.add(swap(dirties));
    let is_table = met.class == FaultClass::Tt;
    if is_table {
        updates.table = Some(swap(clean));
    }
    Updated { pending, stays_clean: clean && !dirties && !is_table }
}

/// A walk that makes its hardware updates before it is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdatingWalk {
    /// As it began: it may have to begin again.
    first: Walk,
    pub(super) walk: Walk<Pending>,
    /// What the walk came to, once updates are made.
    walked: Option<Walked>,
    updates: Box<Updates>,
    pub(super) restarts: u8,
}

/// What an updating walk is handed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdatingAnswer {
    /// The first step. Later it makes the walk ask for the same again.
    Start,
    /// The word read, as the number that little-endian memory holds.
    Word(u64),
    /// The value that a swap found.
    Swapped(u64),
    /// The read or swap met an external abort.
    Aborted,
}

/// What an updating walk says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdatingStep {
    /// It needs the 8 bytes at `pa`.
    Read {
        /// Address, aligned to 8 bytes.
        pa: Pa,
        /// Stage and level of the descriptor.
        why: Why,
    },
    /// The descriptor at `pa` is to be replaced, if it still is `old`.
    Swap {
        /// Address, aligned to 8 bytes.
        pa: Pa,
        /// The descriptor that was read.
        old: u64,
        /// The same with its Access flag set or made dirty.
        new: u64,
        /// Stage and level of the descriptor.
        why: Why,
    },
    /// It is done. The access is permitted by all stages and the descriptors say so, or this is its
    /// fault.
    Done(Result<Walked, Fault>),
}

impl UpdatingWalk {
    /// `walk` with its updates, from its start.
    #[must_use]
    pub fn new(walk: Walk) -> Self {
        Self {
            walk: walk.clone().noting_updates(),
            first: walk,
            walked: None,
            updates: Box::default(),
            restarts: 0,
        }
    }

    /// Takes the answer to the last request and says what comes next. Not to be called again after
    /// [`UpdatingStep::Done`].
    pub fn step(&mut self, regime: &Regime, answer: UpdatingAnswer) -> UpdatingStep {
        if self.walked.is_some() {
            return self.answered(regime, answer);
        }
        let answer = match answer {
            UpdatingAnswer::Word(word) => WalkAnswer::Word(word),
            UpdatingAnswer::Aborted => WalkAnswer::Aborted,
            UpdatingAnswer::Start | UpdatingAnswer::Swapped(_) => WalkAnswer::Start,
        };
        match self.walk.step(regime, answer) {
            WalkStep::Read { pa, why } => UpdatingStep::Read { pa, why },
            WalkStep::Done(Ok(walked)) => {
                self.walked = Some(walked);
                self.updates = Noting::take(&mut self.walk.updates).unwrap_or_default();
                self.next()
            }
            WalkStep::Done(fault) => UpdatingStep::Done(fault),
        }
    }

    /// Takes the answer to a swap.
    fn answered(&mut self, regime: &Regime, answer: UpdatingAnswer) -> UpdatingStep {
        let swap = self.updates.swaps.get(self.updates.made).copied();
        match (answer, swap) {
            (UpdatingAnswer::Swapped(found), Some(swap)) if found == swap.old => {
                self.updates.made += 1;
            }
            (UpdatingAnswer::Swapped(_), _) if self.restarts < RESTARTS_MAX => {
                // The descriptor has changed since it was read.
                self.restarts += 1;
                self.walked = None;
                self.walk = self.first.clone().noting_updates();
                return self.step(regime, UpdatingAnswer::Start);
            }
            (UpdatingAnswer::Swapped(_), _) => self.updates.made = self.updates.swaps.len(),
            (UpdatingAnswer::Aborted, Some(Swap { leaf: Met { pa, stage, class, .. }, .. })) => {
                let fault = Fault::WalkExternalAbort { stage, class, address: Pa(pa) };
                return UpdatingStep::Done(Err(fault));
            }
            _ => {}
        }
        self.next()
    }

    /// The next swap, or the result.
    fn next(&self) -> UpdatingStep {
        match (self.updates.swaps.get(self.updates.made), self.walked) {
            (Some(&Swap { leaf: Met { pa, stage, level, .. }, old, new }), _) => {
                UpdatingStep::Swap { pa: Pa(pa), old, new, why: Why::Descriptor { stage, level } }
            }
            (None, Some(walked)) => UpdatingStep::Done(Ok(walked)),
            (None, None) => unreachable!("updates are made when the walk is at its end"),
        }
    }

    /// Carries the walk through to its end, answering everything from `memory` at once; `fetched`
    /// hears of every read.
    ///
    /// # Errors
    /// The fault of the access.
    #[cold]
    pub fn run<M: Memory>(
        mut self,
        regime: &Regime,
        memory: &M,
        mut fetched: impl FnMut(Pa, Why),
    ) -> Result<Walked, Fault> {
        let mut answer = UpdatingAnswer::Start;
        loop {
            answer = match self.step(regime, answer) {
                UpdatingStep::Read { pa, why } => {
                    fetched(pa, why);
                    memory.read_word(pa).map_or(UpdatingAnswer::Aborted, UpdatingAnswer::Word)
                }
                UpdatingStep::Swap { pa, old, new, .. } => memory
                    .compare_and_swap(pa, old, new)
                    .map_or(UpdatingAnswer::Aborted, UpdatingAnswer::Swapped),
                UpdatingStep::Done(result) => return result,
            };
        }
    }
}

/// Both words in the byte order of the table.
const fn in_memory(old: u64, new: u64, big_endian: bool) -> (u64, u64) {
    if big_endian { (old.swap_bytes(), new.swap_bytes()) } else { (old, new) }
}
