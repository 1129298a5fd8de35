//! The translation table walk, one descriptor at a time.
//!
//! Architecture: IHI 0070, sections "Translation procedure", "Fault priority" and "TLB tagging";
//! DDI 0487, "VMSAv8-64 translation process". 32-bit tables are not built in.
//!
//! A nested walk has one read in flight at any time. Before a stage 1 descriptor is read, its
//! address, an IPA, goes through stage 2 as a data read of class TT; the output of stage 1 goes
//! through stage 2 last, as class IN and with the rights of the transaction. Stage 1 is done with
//! its leaf, permissions included, before stage 2 looks at the output.

mod attributes;
mod cached;
mod entry;
mod input;
mod rights;
mod stage1;
mod stage2;
mod update;

pub use cached::{CachedAnswer, CachedStep, CachedWalk};
pub use input::lookup_input;
pub use update::{UpdatingAnswer, UpdatingStep, UpdatingWalk};

use self::entry::Stage1Result;
use self::rights::TableLimits;
use self::update::{Noting, Pending};
use smmu_arch::{Access, Fault, FaultClass, Ipa, Pa, Regime, Stage, TlbEntry, Why};
use smmu_bus::Memory;

/// What a walk is handed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkAnswer {
    /// The first step. Later it makes the walk ask for the same word again.
    Start,
    /// The word read, as the number that little-endian memory holds.
    Word(u64),
    /// The read met an external abort.
    Aborted,
}

/// What a walk says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkStep {
    /// It needs the 8 bytes at `pa`.
    Read {
        /// Address, aligned to 8 bytes.
        pa: Pa,
        /// Stage and level of the descriptor.
        why: Why,
    },
    /// It is done. The access is permitted by all stages, or this is its fault.
    Done(Result<Walked, Fault>),
}

/// A translation that a walk found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walked {
    /// The entry to fill. Its permissions are all that the tables grant, not only what this access
    /// needed.
    pub entry: TlbEntry,
    /// Output address of the input that was walked.
    pub output: Pa,
    /// Output of stage 1 for it: the input itself where stage 1 took no part.
    pub ipa: Ipa,
    /// Descriptors read.
    pub fetches: u8,
}

/// A walk in progress: a plain value that can be cloned and carried on with later.
///
/// The regime is not kept inside. Hand the same one to every step.
///
/// Hardware updates (HTTU) count as made, and are not: what comes out may be more accessed or dirty
/// than memory. An [`UpdatingWalk`] makes them, and is the walk to fill a TLB from where
/// [`Regime::updates_by_hardware`]. `N` is its own affair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk<N = ()> {
    phase: Phase,
    /// What the stage 2 walk in progress is for.
    class: FaultClass,
    /// Level of the stage 1 descriptor that is read, or whose address goes through stage 2.
    level1: i8,
    /// Level of the stage 2 descriptor that is read.
    level2: i8,
    /// Descriptors read.
    fetches: u8,
    /// The address belongs to TTB1.
    high: bool,
    extent: Extent,
    /// Stage 2 lets the last table of stage 1 be written.
    table_writable: bool,
    access: Access,
    /// What the tables above took away.
    limits: TableLimits,
    /// Input of the first enabled stage, as a TLB is looked up.
    input: u64,
    /// Physical address of the word that is read.
    wanted: u64,
    /// Input of the stage 2 walk in progress.
    ipa: u64,
    result1: Stage1Result,
    /// Updates to be made at the end.
    updates: N,
}

/// Which stages of the regime take part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Extent {
    /// All.
    All,
    /// Stage 2 serves the tables of stage 1, and not its output.
    Stage1,
    /// Stage 2 alone.
    Stage2,
}

/// What a word belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Begin,
    BeginStage2,
    Stage1,
    Stage2,
}

impl Walk {
    /// A walk through all stages of `regime` for `input`, all 64 bits as presented.
    ///
    /// `access` is what the transaction asks for after the overrides of the STE. Without stage 1
    /// the input is an IPA; that it fits the input size of the SMMU is checked by the caller.
    #[inline]
    #[must_use]
    pub fn new(regime: &Regime, input: u64, access: Access) -> Self {
        Self::begin_at(lookup_input(regime, input), FaultClass::In, access, regime)
    }

    /// A walk of stage 2 alone: `regime.stage1` is not looked at. The address of a CD or L1CD is
    /// fetched with class CD and a data read; `class` is CD or IN.
    ///
    /// The entry is tagged as a stage 2 entry of the regime's VMID.
    #[inline]
    #[must_use]
    pub fn stage2_only(regime: &Regime, ipa: Ipa, class: FaultClass, access: Access) -> Self {
        debug_assert!(class != FaultClass::Tt, "class TT belongs to a walk of both stages");
        let walk = Self::begin_at(ipa.0, class, access, regime);
        Self { phase: Phase::BeginStage2, extent: Extent::Stage2, ..walk }
    }

    /// The same walk, which notes the hardware updates that it leads to.
    fn noting_updates(self) -> Walk<Pending> {
        Walk {
            phase: self.phase,
            class: self.class,
            level1: self.level1,
            level2: self.level2,
            fetches: self.fetches,
            high: self.high,
            extent: self.extent,
            table_writable: self.table_writable,
            access: self.access,
            limits: self.limits,
            input: self.input,
            wanted: self.wanted,
            ipa: self.ipa,
            result1: self.result1,
            updates: None,
        }
    }

    #[inline(always)]
    fn begin_at(input: u64, class: FaultClass, access: Access, regime: &Regime) -> Self {
        Self {
            phase: Phase::Begin,
            class,
            level1: 0,
            level2: 0,
            fetches: 0,
            high: false,
            extent: Extent::All,
            table_writable: true,
            access,
            limits: TableLimits::NONE,
            input,
            wanted: 0,
            ipa: 0,
            result1: Stage1Result::bypass(input, regime),
            updates: (),
        }
    }

    /// The same walk up to the output of stage 1, where stage 1 translates. The output is an IPA
    /// then, and not for a TLB.
    #[must_use]
    pub fn up_to_stage1(self) -> Self {
        Self { extent: Extent::Stage1, ..self }
    }
}

impl<N: Noting> Walk<N> {
    /// Takes the answer to the last read and says what comes next. Not to be called again after
    /// [`WalkStep::Done`].
    #[inline(always)]
    pub fn step(&mut self, regime: &Regime, answer: WalkAnswer) -> WalkStep {
        let next = match (self.phase, answer) {
            (Phase::Stage1, WalkAnswer::Word(word)) => self.stage1_descriptor(regime, word),
            (Phase::Stage2, WalkAnswer::Word(word)) => self.stage2_descriptor(regime, word),
            (Phase::Begin, _) => self.begin(regime),
            (Phase::BeginStage2, _) => self.begin_stage2(regime, self.input, self.class),
            (_, WalkAnswer::Aborted) => Err(self.external_abort()),
            (_, WalkAnswer::Start) => Ok(self.ask_again()),
        };
        next.unwrap_or_else(|fault| WalkStep::Done(Err(fault)))
    }

    /// Descriptors asked for so far.
    #[must_use]
    pub const fn fetches(&self) -> u8 {
        self.fetches
    }

    #[inline(always)]
    fn begin(&mut self, regime: &Regime) -> Result<WalkStep, Fault> {
        match &regime.stage1 {
            Some(stage1) => self.begin_stage1(regime, stage1),
            None => self.begin_stage2(regime, self.input, FaultClass::In),
        }
    }

    /// Asks for the word at `pa`.
    #[inline(always)]
    fn read(&mut self, phase: Phase, pa: u64) -> WalkStep {
        self.phase = phase;
        self.wanted = pa;
        self.fetches += 1;
        self.ask_again()
    }

    #[inline(always)]
    fn ask_again(&self) -> WalkStep {
        let (stage, level) = match self.phase {
            Phase::Stage2 => (Stage::Stage2, self.level2),
            _ => (Stage::Stage1, self.level1),
        };
        WalkStep::Read { pa: Pa(self.wanted), why: Why::Descriptor { stage, level } }
    }

    /// F_WALK_EABT: of stage 1 its class is TT, of stage 2 that of the IPA in translation.
    #[cold]
    fn external_abort(&self) -> Fault {
        let (stage, class) = match self.phase {
            Phase::Stage2 => (Stage::Stage2, self.class),
            _ => (Stage::Stage1, FaultClass::Tt),
        };
        Fault::WalkExternalAbort { stage, class, address: Pa(self.wanted) }
    }
}

/// Carries a walk through to its end, answering every read from `memory` at once. Hardware updates
/// count as made: see [`UpdatingWalk::run`].
///
/// # Errors
/// The fault of the access.
#[inline]
pub fn run<M: Memory>(mut walk: Walk, regime: &Regime, memory: &M) -> Result<Walked, Fault> {
    let mut answer = WalkAnswer::Start;
    loop {
        match walk.step(regime, answer) {
            WalkStep::Read { pa, .. } => {
                answer = memory.read_word(pa).map_or(WalkAnswer::Aborted, WalkAnswer::Word);
            }
            WalkStep::Done(result) => return result,
        }
    }
}
