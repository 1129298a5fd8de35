//! A walk that is shortened by what an SMMU has kept of earlier ones.
//!
//! Architecture: section "TLB tagging, VMIDs, ASIDs". A descriptor that was kept is taken where the
//! walk would have read it, and judged by the same rules; nothing of a walk is written twice. What
//! was kept may be older than memory. So that a fault is reported as the tables have it now, and a
//! hardware update starts from the descriptor that is there, a walk that ends badly on a kept
//! descriptor is walked again from memory (a choice: the architecture lets it be reported).

use super::entry::leaf_of;
use super::input::{half_of, is_high, table_for};
use super::rights::TableLimits;
use super::{Phase, UpdatingAnswer, UpdatingStep, UpdatingWalk, Walk};
use smmu_arch::{
    DescriptorKind, Leaf, Pa, Regime, Stage, Stage2LeafWord, TableRoot, WalkCaches, WalkEntry,
    WalkKey, Why, descriptor_address, descriptor_kind,
};

/// What a cached walk is handed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CachedAnswer {
    /// What the walk itself asked for.
    Walk(UpdatingAnswer),
    /// The descriptor found, if one was kept.
    Found(Option<WalkEntry>),
    /// A descriptor was kept, or not.
    Kept,
}

/// What a cached walk says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CachedStep {
    /// It asks for the descriptor that shortens the walk most.
    LookUp(WalkKey),
    /// This descriptor may be kept.
    Keep(WalkEntry),
    /// As a walk without caches.
    Walk(UpdatingStep),
}

/// A walk with caches. It makes the hardware updates of an [`UpdatingWalk`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CachedWalk {
    caches: WalkCaches,
    /// As it began: it may have to begin again.
    first: Walk,
    walk: UpdatingWalk,
    state: State,
    /// A kept descriptor was taken.
    shortened: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Begin,
    /// Stage 1 may begin further down than at its root.
    LookUp1,
    /// Stage 2 may; otherwise this is what the walk asks for.
    LookUp2(UpdatingStep),
    /// The answer is the walk's.
    Walk,
    /// A descriptor is kept; what comes next is known.
    Keep(UpdatingStep),
}

impl CachedWalk {
    /// `walk`, from its start, with these structures.
    #[must_use]
    pub fn new(walk: Walk, caches: WalkCaches) -> Self {
        Self {
            caches,
            walk: UpdatingWalk::new(walk.clone()),
            first: walk,
            state: State::Begin,
            shortened: false,
        }
    }

    /// Takes the answer to the last request and says what comes next. Not to be called again after
    /// [`UpdatingStep::Done`].
    pub fn step(&mut self, regime: &Regime, answer: CachedAnswer) -> CachedStep {
        match (self.state, answer) {
            (State::Begin, _) => self.begin(regime),
            (State::LookUp1 | State::LookUp2(_), CachedAnswer::Found(Some(entry))) => {
                self.shortened = true;
                let word = self.go_on_from(regime, &entry);
                let next = self.walk.step(regime, UpdatingAnswer::Word(word));
                self.next(regime, next)
            }
            (State::LookUp1, _) => self.begin_at_the_root(regime),
            (State::LookUp2(read), _) => self.say(read),
            (State::Keep(next), _) => self.next(regime, next),
            (State::Walk, CachedAnswer::Walk(answer)) => self.answered(regime, answer),
            (State::Walk, _) => self.answered(regime, UpdatingAnswer::Start),
        }
    }

    fn begin(&mut self, regime: &Regime) -> CachedStep {
        match self.root1(regime) {
            Some(root) => self.look_up(regime, Stage::Stage1, root, State::LookUp1),
            None => self.begin_at_the_root(regime),
        }
    }

    fn begin_at_the_root(&mut self, regime: &Regime) -> CachedStep {
        let next = self.walk.step(regime, UpdatingAnswer::Start);
        self.next(regime, next)
    }

    /// The table of stage 1, if the address is one that it may be asked for.
    fn root1<'a>(&self, regime: &'a Regime) -> Option<&'a TableRoot> {
        let (stage1, walk) = (regime.stage1.as_ref()?, &self.first);
        let high = is_high(stage1, walk.input);
        let begins = matches!(walk.phase, Phase::Begin);
        begins.then(|| table_for(half_of(stage1, high), high, walk.input, walk.access)).flatten()
    }

    fn look_up(
        &mut self,
        regime: &Regime,
        stage: Stage,
        root: &TableRoot,
        state: State,
    ) -> CachedStep {
        let input = self.input_of(stage);
        let key = WalkKey::new(regime.space, stage, root, input, is_nested(regime));
        self.state = state;
        if self.caches.asked(&key).next().is_none() {
            return self.step(regime, CachedAnswer::Found(None));
        }
        CachedStep::LookUp(key)
    }

    fn input_of(&self, stage: Stage) -> u64 {
        match stage {
            Stage::Stage1 => self.first.input,
            Stage::Stage2 => self.walk.walk.ipa,
        }
    }

    /// The walk stands where it has just read `entry`; gives the word that it has read.
    fn go_on_from(&mut self, regime: &Regime, entry: &WalkEntry) -> u64 {
        let big_endian = match entry.stage {
            Stage::Stage1 => regime.stage1.is_some_and(|stage1| stage1.big_endian),
            Stage::Stage2 => regime.stage2.is_some_and(|stage2| stage2.big_endian),
        };
        let (word, pa) = descriptor_for(entry, self.input_of(entry.stage), big_endian);
        let walk = &mut self.walk.walk;
        walk.wanted = pa.0;
        match entry.stage {
            Stage::Stage1 => {
                walk.phase = Phase::Stage1;
                walk.level1 = entry.reach.level;
                walk.limits = TableLimits(entry.limits);
                walk.high = regime.stage1.is_some_and(|stage1| is_high(&stage1, walk.input));
            }
            Stage::Stage2 => {
                walk.phase = Phase::Stage2;
                walk.level2 = entry.reach.level;
                walk.fetches -= 1; // what it asked for is not read
            }
        }
        word
    }

    /// The answer to what the walk itself asked for. A descriptor that it goes on from is kept.
    fn answered(&mut self, regime: &Regime, answer: UpdatingAnswer) -> CachedStep {
        let restarts = self.walk.restarts;
        let entry = match answer {
            UpdatingAnswer::Word(word) => self.kept(regime, word),
            _ => None,
        };
        let next = self.walk.step(regime, answer);
        if self.walk.restarts != restarts {
            self.caches = WalkCaches::NONE; // what was kept is not what is there
        }
        match entry {
            Some(entry) if !matches!(next, UpdatingStep::Done(Err(_))) => {
                self.state = State::Keep(next);
                CachedStep::Keep(entry)
            }
            _ => self.next(regime, next),
        }
    }

    /// What the walk says next, or a look-up before a walk of stage 2 begins at its root.
    fn next(&mut self, regime: &Regime, next: UpdatingStep) -> CachedStep {
        match (next, &regime.stage2) {
            (
                UpdatingStep::Read { why: Why::Descriptor { stage: Stage::Stage2, level }, .. },
                Some(stage2),
            ) if level == stage2.root.start_level => {
                self.look_up(regime, Stage::Stage2, &stage2.root, State::LookUp2(next))
            }
            (UpdatingStep::Done(Err(_)), _) if self.shortened => {
                *self = Self::new(self.first.clone(), WalkCaches::NONE);
                self.begin_at_the_root(regime)
            }
            _ => self.say(next),
        }
    }

    fn say(&mut self, step: UpdatingStep) -> CachedStep {
        self.state = State::Walk;
        CachedStep::Walk(step)
    }

    /// The descriptor that the walk has read, if a structure keeps such.
    fn kept(&self, regime: &Regime, word: u64) -> Option<WalkEntry> {
        let walk = &self.walk.walk;
        let (stage, level, root, big_endian) = match walk.phase {
            Phase::Stage1 => {
                let stage1 = regime.stage1.as_ref()?;
                let root = half_of(stage1, walk.high).root.as_ref()?;
                (Stage::Stage1, walk.level1, root, stage1.big_endian)
            }
            Phase::Stage2 => {
                let stage2 = regime.stage2.as_ref()?;
                (Stage::Stage2, walk.level2, &stage2.root, stage2.big_endian)
            }
            Phase::Begin | Phase::BeginStage2 => return None,
        };
        let value = if big_endian { word.swap_bytes() } else { word };
        let leaf = match descriptor_kind(value, root.granule, level, root.format) {
            DescriptorKind::Table => false,
            // One whose Access flag is not set must not be kept.
            DescriptorKind::Leaf => Stage2LeafWord::from(value).af().then_some(true)?,
            DescriptorKind::Invalid => return None,
        };
        let nested = is_nested(regime);
        self.caches.keeper(stage, level, leaf, nested)?;
        let input = self.input_of(stage);
        let key = WalkKey::new(regime.space, stage, root, input, nested);
        Some(WalkEntry {
            space: key.space,
            stage,
            nested,
            reach: reach(root, level, input, value, leaf),
            leaf,
            word,
            pa: Pa(walk.wanted),
            limits: walk.limits.0,
        })
    }
}

fn is_nested(regime: &Regime) -> bool {
    regime.stage1.is_some() && regime.stage2.is_some()
}

/// What a descriptor maps, the whole contiguous group included, or resolves.
fn reach(root: &TableRoot, level: i8, input: u64, word: u64, leaf: bool) -> Leaf {
    let shift = root.granule.level_shift(level);
    let output = descriptor_address(word, shift, root.format);
    leaf_of(root, level, input, output, leaf && Stage2LeafWord::from(word).contiguous())
}

/// The descriptor of `input` and its place, out of one that was kept for its contiguous group: both
/// differ from those of the one that was read in the bits that tell the members apart.
fn descriptor_for(entry: &WalkEntry, input: u64, big_endian: bool) -> (u64, Pa) {
    let Leaf { granule, level, span_log2, .. } = entry.reach;
    let shift = granule.level_shift(level);
    let members = (1u64 << (u32::from(span_log2) - shift)) - 1;
    let index = input >> shift & members;
    let in_order = |word: u64| if big_endian { word.swap_bytes() } else { word };
    let word = in_order(entry.word) & !(members << shift) | index << shift;
    (
        if entry.leaf { in_order(word) } else { entry.word },
        Pa(entry.pa.0 & !(members << 3) | index << 3),
    )
}
