//! One translation, from its first configuration look-up to its last fill.
//!
//! Architecture: section "Translation procedure" and the order of "Fault priority". It is an
//! actor: it asks for memory and for the structures alike, and reads no register after its begin.

mod ats;
mod configuration;
mod context;
mod lookup;
mod prefetch;
mod refusal;

pub(crate) use ats::Purpose;
pub use refusal::{Refused, Response};

use crate::globals::{Globals, overridden};
use configuration::SteFetch;
use context::CdFetch;
use smmu_arch::{
    Access, AddressSpace, Attributes, Epoch, Fault, Hit, Pa, Path, Regime, Structure, TlbEntry,
    TlbKey, Transaction,
};
use smmu_bus::{Actor, Answer, Request, Step};
use smmu_tables::{
    CachedAnswer, CachedStep, CachedWalk, UpdatingAnswer, UpdatingStep, UpdatingWalk, Walk,
    WalkAnswer, WalkStep, Walked, lookup_input,
};

/// A transaction that was let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Output address.
    pub output: Pa,
    /// Memory attributes of the access.
    pub attributes: Attributes,
    /// Address space that served it; `None` for a bypass.
    pub space: Option<AddressSpace>,
    /// How it was translated.
    pub path: Path,
}

/// What became of a transaction.
pub type TranslationOutcome = Result<Granted, Refused>;

/// What to do with the transactions of one (StreamID, SubstreamID): the result of the
/// configuration look-up. A port keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Treatment {
    /// STE.Config = 0b100, or the same by S1DSS: no translation.
    Bypass(Regime),
    /// By TLB and walk.
    Translate(Regime),
}

impl Treatment {
    /// What the stream's STE and CD say.
    #[inline(always)]
    pub(crate) fn regime(&self) -> &Regime {
        let (Self::Bypass(regime) | Self::Translate(regime)) = self;
        regime
    }

    /// Bits that an input address may not have: those above the OAS where nothing is translated,
    /// above the IAS where stage 1 is bypassed in front of stage 2. Otherwise it is an Address
    /// Size fault of stage 1, always an abort and always recorded.
    pub(crate) fn refused_bits(&self, globals: &Globals) -> u64 {
        let bits = match self {
            Self::Bypass(_) => globals.features.oas_bits.into(),
            Self::Translate(Regime { stage1: None, .. }) => globals.features.ias_bits().into(),
            Self::Translate(_) => return 0,
        };
        u64::MAX.checked_shl(bits).unwrap_or(0)
    }
}

/// A translation in progress.
#[derive(Clone, Debug)]
pub struct Translation {
    transaction: Transaction,
    begin: Epoch,
    globals: Globals,
    purpose: Purpose,
    phase: Phase,
    /// Known once the configuration look-up is over.
    treatment: Option<Treatment>,
    /// A configuration structure was fetched but could not be kept.
    overtaken: bool,
    /// The address behind what was found by a walk, where the SMMU walks ahead.
    behind: Option<u64>,
}

#[derive(Clone, Debug)]
enum Phase {
    Begin,
    Ste(SteFetch),
    Cd(Box<CdFetch>),
    LookUp(Structure),
    /// The first look-up was somebody else's, and is over.
    LookedUp,
    Walk(Walk),
    UpdatingWalk(Box<UpdatingWalk>),
    CachedWalk(Box<CachedWalk>),
    Fill(Structure, Walked),
    /// A copy of the entry goes to the port's µTLB.
    Promote(Granted),
    Done,
}

type Next = Result<Step<TranslationOutcome>, Refused>;

impl Translation {
    pub(crate) fn new(
        transaction: Transaction,
        begin: Epoch,
        globals: Globals,
        purpose: Purpose,
    ) -> Self {
        let (phase, treatment) = (Phase::Begin, None);
        let overtaken = false;
        Self { transaction, begin, globals, purpose, phase, treatment, overtaken, behind: None }
    }

    /// A transaction whose configuration is known and whose first look-up has found nothing that
    /// lets it through.
    pub(crate) fn after_first_look_up(
        transaction: Transaction,
        begin: Epoch,
        globals: Globals,
        treatment: Treatment,
    ) -> Self {
        let untreated = Self::new(transaction, begin, globals, Purpose::Untranslated);
        Self { phase: Phase::LookedUp, treatment: Some(treatment), ..untreated }
    }

    /// The transaction.
    #[must_use]
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Its begin stamp.
    #[must_use]
    pub fn begin(&self) -> Epoch {
        self.begin
    }

    /// What later transactions of the stream may be treated by, unless an invalidation overtook
    /// the look-up. Known when the translation is done.
    pub(crate) fn treatment(&self) -> Option<Treatment> {
        self.treatment.filter(|_| !self.overtaken)
    }

    /// SMMUEN = 0: no configuration is read (section "Global bypass").
    fn start(&mut self) -> Next {
        if let Some(next) = self.start_ats() {
            return next;
        }
        if self.globals.enabled {
            let (fetch, request) = SteFetch::begin(self.transaction.stream);
            self.phase = Phase::Ste(fetch);
            return Ok(Step::Need(request));
        }
        let input = self.transaction.iova.0;
        if self.globals.bypass_aborts || !self.globals.is_physical(input) {
            return Err(Refused::silent());
        }
        Ok(Step::Done(Ok(bypass(input, self.globals.bypass_attributes))))
    }

    /// All configuration is known: bypass, or look the translation up.
    fn treat(&mut self, treatment: Treatment) -> Next {
        self.treatment = Some(treatment);
        let input = self.transaction.iova.0;
        if input & treatment.refused_bits(&self.globals) != 0 {
            let access = access_of(&self.transaction, treatment.regime());
            let record = !self.walks_at_once();
            return Err(Refused { record, ..Refused::bypass_address_size(access) });
        }
        match &treatment {
            Treatment::Bypass(regime) => Ok(Step::Done(Ok(bypass(input, regime.input_attributes)))),
            Treatment::Translate(_) if self.walks_at_once() => self.walk_at_once(),
            Treatment::Translate(regime) => {
                let key = TlbKey { space: regime.space, input: lookup_input(regime, input) };
                Ok(self.look_up(self.globals.hierarchy.first(), key))
            }
        }
    }

    /// HTTU, unless a look-up of ATOS inhibits it.
    #[inline(always)]
    fn updates_descriptors(&self) -> bool {
        translating(&self.treatment).updates_by_hardware() && !self.purpose.inhibits_updates()
    }

    /// Translation Requests and look-ups of ATOS do not look the TLB up.
    const fn walks_at_once(&self) -> bool {
        matches!(self.purpose, Purpose::Request(_) | Purpose::Lookup(_))
    }

    fn key(&self) -> TlbKey {
        let regime = translating(&self.treatment);
        TlbKey { space: regime.space, input: lookup_input(regime, self.transaction.iova.0) }
    }

    fn look_up(&mut self, structure: Structure, key: TlbKey) -> Step<TranslationOutcome> {
        self.phase = Phase::LookUp(structure);
        Step::Need(Request::LookUp { structure, key })
    }

    /// Granted by what the main TLB holds: a copy of it goes to the µTLB, where there is one.
    fn promoted(&mut self, granted: Granted) -> Step<TranslationOutcome> {
        if self.globals.hierarchy.micro.is_none() || !self.purpose.is_untranslated() {
            return Step::Done(Ok(granted));
        }
        self.phase = Phase::Promote(granted);
        Step::Need(Request::Promote { key: self.key(), begin: self.begin })
    }

    /// A hit that the permissions of both stages allow is all. A refusing hit is walked again, so
    /// that the fault is reported as the tables have it now (a choice).
    fn looked_up(&mut self, structure: Structure, hit: Option<Hit>) -> Next {
        let regime = translating(&self.treatment);
        let access = access_of(&self.transaction, regime);
        if let Some(hit) = hit.filter(|hit| hit.permissions.allows(access)) {
            let granted = granted_by_hit(regime, &hit);
            return Ok(match structure {
                Structure::MicroTlb => Step::Done(Ok(granted)),
                _ => self.promoted(granted),
            });
        }
        if structure == Structure::MicroTlb && self.globals.hierarchy.main.is_some() {
            let key = self.key();
            return Ok(self.look_up(Structure::MainTlb, key));
        }
        let walk = Walk::new(regime, self.transaction.iova.0, access);
        self.begin_walk(walk)
    }

    #[inline(always)]
    fn walk(&mut self, answer: WalkAnswer) -> Next {
        let Phase::Walk(walk) = &mut self.phase else { unreachable!("only called in a walk") };
        match walk.step(translating(&self.treatment), answer) {
            WalkStep::Read { pa, why } => Ok(Step::Need(Request::Read { pa, words: 1, why })),
            WalkStep::Done(Err(fault)) => self.walk_refused(fault),
            WalkStep::Done(Ok(walked)) => self.walked(walked),
        }
    }

    /// The walk is at its end, and what it found may be used.
    #[inline(always)]
    fn walked(&mut self, walked: Walked) -> Next {
        if !self.purpose.is_untranslated() {
            self.keep_found(&walked);
        }
        let Some((structure, entry)) = self.kept(&walked) else {
            let granted = granted_by_walk(translating(&self.treatment), &walked);
            return Ok(Step::Done(Ok(granted)));
        };
        self.look_ahead(&entry);
        self.phase = Phase::Fill(structure, walked);
        Ok(Step::Need(Request::Fill { structure, entry, begin: self.begin }))
    }

    /// What is kept of a walk, and where; ATOS keeps nothing.
    #[inline(always)]
    fn kept(&self, walked: &Walked) -> Option<(Structure, TlbEntry)> {
        if matches!(self.purpose, Purpose::Lookup(_)) {
            return None;
        }
        let keeper = self.globals.hierarchy.keeper(self.purpose.is_for_port());
        let (structure, sizes) = keeper?;
        Some((structure, walked.entry.piece(self.key().input, sizes)?))
    }

    /// Begins to walk; where descriptors may have to be updated, apart from all other walks.
    #[inline(always)]
    fn begin_walk(&mut self, walk: Walk) -> Next {
        if self.globals.hierarchy.walks.any() && !matches!(self.purpose, Purpose::Lookup(_)) {
            let walk = CachedWalk::new(walk, self.globals.hierarchy.walks);
            self.phase = Phase::CachedWalk(Box::new(walk));
            return self.cached_walk(None);
        }
        if self.updates_descriptors() {
            return self.updating_walk(UpdatingWalk::new(walk), UpdatingAnswer::Start);
        }
        self.phase = Phase::Walk(walk);
        self.walk(WalkAnswer::Start)
    }

    #[cold]
    fn updating_walk(&mut self, mut walk: UpdatingWalk, answer: UpdatingAnswer) -> Next {
        let step = walk.step(translating(&self.treatment), answer);
        self.phase = Phase::UpdatingWalk(Box::new(walk));
        self.updating_step(step)
    }

    /// A walk that is shortened by what is kept. `None` begins it.
    #[cold]
    fn cached_walk(&mut self, answer: Option<Answer>) -> Next {
        let Phase::CachedWalk(walk) = &mut self.phase else { unreachable!("only called in it") };
        let answer = match answer {
            Some(Answer::Walk(found)) => CachedAnswer::Found(found),
            Some(Answer::Filled(_)) => CachedAnswer::Kept,
            Some(other) => CachedAnswer::Walk(updating_answer(other)),
            None => CachedAnswer::Walk(UpdatingAnswer::Start),
        };
        match walk.step(translating(&self.treatment), answer) {
            CachedStep::LookUp(key) => Ok(Step::Need(Request::LookUpWalk { key })),
            CachedStep::Keep(entry) => {
                Ok(Step::Need(Request::FillWalk { entry, begin: self.begin }))
            }
            CachedStep::Walk(step) => self.updating_step(step),
        }
    }

    /// What a walk that may update descriptors says; the phase is that of the walk.
    fn updating_step(&mut self, step: UpdatingStep) -> Next {
        Ok(Step::Need(match step {
            UpdatingStep::Read { pa, why } => Request::Read { pa, words: 1, why },
            UpdatingStep::Swap { pa, old, new, why } => {
                Request::CompareAndSwap { pa, old, new, why }
            }
            UpdatingStep::Done(Ok(walked)) => return self.walked(walked),
            UpdatingStep::Done(Err(fault)) => return self.walk_refused(fault),
        }))
    }

    #[cold]
    fn walk_refused(&mut self, fault: Fault) -> Next {
        if let Some(walk) = self.attempt_after(&fault) {
            return self.begin_walk(walk);
        }
        Err(self.walk_fault(fault, translating(&self.treatment)))
    }

    fn advance(&mut self, answer: Answer) -> Next {
        match &mut self.phase {
            Phase::Begin => self.start(),
            Phase::Ste(_) => self.ste_step(answer),
            Phase::Cd(_) => self.cd_step(answer),
            Phase::LookUp(structure) => {
                let Answer::Hit(hit) = answer else { unexpected(&answer) };
                let structure = *structure;
                self.looked_up(structure, hit)
            }
            Phase::LookedUp => self.looked_up(self.globals.hierarchy.first(), None),
            Phase::Walk(_) => self.walk(walk_answer(answer)),
            Phase::UpdatingWalk(walk) => {
                let walk = UpdatingWalk::clone(walk);
                self.updating_walk(walk, updating_answer(answer))
            }
            Phase::CachedWalk(_) => self.cached_walk(Some(answer)),
            Phase::Fill(structure, walked) => {
                let granted = granted_by_walk(translating(&self.treatment), walked);
                let held =
                    matches!(answer, Answer::Filled(Some(_))) && *structure == Structure::MainTlb;
                Ok(if held { self.promoted(granted) } else { Step::Done(Ok(granted)) })
            }
            Phase::Promote(granted) => Ok(Step::Done(Ok(*granted))),
            Phase::Done => unreachable!("stepped after it was done"),
        }
    }

    /// A step outside of a walk.
    #[inline(never)]
    fn step_other(&mut self, answer: Answer) -> Step<TranslationOutcome> {
        let step = self.advance(answer).unwrap_or_else(|refused| Step::Done(Err(refused)));
        self.settled(step)
    }

    /// Nothing follows a last step.
    #[inline(always)]
    fn settled(&mut self, step: Step<TranslationOutcome>) -> Step<TranslationOutcome> {
        if matches!(step, Step::Done(_)) {
            self.phase = Phase::Done;
        }
        step
    }
}

impl Actor for Translation {
    type Outcome = TranslationOutcome;

    /// The steps of a walk become part of the runner's loop: most steps are such.
    #[inline(always)]
    fn step(&mut self, answer: Answer) -> Step<TranslationOutcome> {
        match (&self.phase, answer) {
            (Phase::Walk(_), Answer::Start | Answer::Word(_)) => {
                let answer = walk_answer(answer);
                match self.walk(answer) {
                    Ok(step) => step,
                    Err(refused) => self.settled(Step::Done(Err(refused))),
                }
            }
            _ => self.step_other(answer),
        }
    }
}

/// The regime of a translation that has come to its look-up.
#[inline(always)]
fn translating(treatment: &Option<Treatment>) -> &Regime {
    match treatment {
        Some(Treatment::Translate(regime)) => regime,
        _ => unreachable!("only a stream that is translated is looked up"),
    }
}

/// What a walk is handed.
#[inline(always)]
fn walk_answer(answer: Answer) -> WalkAnswer {
    match answer {
        Answer::Start => WalkAnswer::Start,
        Answer::Word(word) => WalkAnswer::Word(word),
        Answer::Aborted => WalkAnswer::Aborted,
        other => unexpected(&other),
    }
}

fn updating_answer(answer: Answer) -> UpdatingAnswer {
    match answer {
        Answer::Start => UpdatingAnswer::Start,
        Answer::Word(word) => UpdatingAnswer::Word(word),
        Answer::Swapped(found) => UpdatingAnswer::Swapped(found),
        Answer::Aborted => UpdatingAnswer::Aborted,
        other => unexpected(&other),
    }
}

/// A runner that answers with something else than was asked for has a bug.
#[cold]
fn unexpected(answer: &Answer) -> ! {
    panic!("the runner answered {answer:?} to another request")
}

/// The access after the overrides of the STE.
#[inline(always)]
pub(crate) fn access_of(transaction: &Transaction, regime: &Regime) -> Access {
    overridden_by(transaction.access, regime)
}

#[inline(always)]
pub(crate) fn overridden_by(access: Access, regime: &Regime) -> Access {
    overridden(access, regime.privilege_override, regime.instruction_override)
}

#[inline(always)]
pub(crate) fn granted_by_hit(regime: &Regime, hit: &Hit) -> Granted {
    Granted {
        output: hit.output,
        attributes: hit.attributes,
        space: Some(regime.space),
        path: Path::Hit(hit.fill),
    }
}

#[inline(always)]
pub(crate) fn granted_by_walk(regime: &Regime, walked: &Walked) -> Granted {
    Granted {
        output: walked.output,
        attributes: walked.entry.attributes,
        space: Some(regime.space),
        path: Path::Walk,
    }
}

pub(crate) fn bypass(input: u64, attributes: Attributes) -> Granted {
    Granted { output: Pa(input), attributes, space: None, path: Path::Bypass }
}
