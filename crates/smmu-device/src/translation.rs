//! One translation, from its first configuration look-up to its last fill.
//!
//! Architecture: section "Translation procedure" and the order of "Fault priority". It is an
//! actor: it asks for memory and for the structures alike, and reads no register after its begin.

mod configuration;
mod context;
mod refusal;

pub use refusal::Refused;

use crate::globals::{Globals, overridden};
use configuration::SteFetch;
use context::CdFetch;
use smmu_arch::{
    Access, AddressSpace, Attributes, Epoch, Fault, Hit, Pa, Path, Regime, Structure, TlbKey,
    Transaction,
};
use smmu_bus::{Actor, Answer, Request, Step};
use smmu_tables::{Walk, WalkAnswer, WalkStep, Walked, lookup_input};

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

/// A translation in progress.
#[derive(Clone, Debug)]
pub struct Translation {
    transaction: Transaction,
    begin: Epoch,
    globals: Globals,
    phase: Phase,
    /// A configuration structure was fetched but could not be kept.
    overtaken: bool,
}

#[derive(Clone, Debug)]
enum Phase {
    Begin,
    Ste(SteFetch),
    Cd(Box<CdFetch>),
    LookUp(Regime),
    Walk(Box<(Regime, Walk)>),
    Fill(Regime, Walked),
    Done(Option<Treatment>),
}

type Next = Result<Step<TranslationOutcome>, Refused>;

impl Translation {
    pub(crate) fn new(transaction: Transaction, begin: Epoch, globals: Globals) -> Self {
        Self { transaction, begin, globals, phase: Phase::Begin, overtaken: false }
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
        match self.phase {
            Phase::Done(treatment) if !self.overtaken => treatment,
            _ => None,
        }
    }

    /// SMMUEN = 0: no configuration is read (section "Global bypass").
    fn start(&mut self) -> Next {
        if self.globals.enabled {
            let (fetch, request) = SteFetch::begin(self.transaction.stream);
            self.phase = Phase::Ste(fetch);
            return Ok(Step::Need(request));
        }
        let input = self.transaction.iova.0;
        if self.globals.bypass_aborts || !self.globals.is_physical(input) {
            return Err(Refused::silent());
        }
        self.phase = Phase::Done(None);
        Ok(Step::Done(Ok(bypass(input, self.globals.bypass_attributes))))
    }

    /// All configuration is known: bypass, or look the translation up.
    fn treat(&mut self, treatment: Treatment) -> Next {
        match treatment {
            Treatment::Bypass(regime) => {
                self.phase = Phase::Done(Some(treatment));
                bypass_stream(&self.transaction, &regime, &self.globals).map(|g| Step::Done(Ok(g)))
            }
            Treatment::Translate(regime) => {
                check_input(&self.transaction, &regime, &self.globals)?;
                let input = lookup_input(&regime, self.transaction.iova.0);
                self.phase = Phase::LookUp(regime);
                let key = TlbKey { space: regime.space, input };
                Ok(Step::Need(Request::LookUp { structure: Structure::MainTlb, key }))
            }
        }
    }

    /// A hit that the permissions of both stages allow is all. A refusing hit is walked again, so
    /// that the fault is reported as the tables have it now (a choice).
    fn looked_up(&mut self, regime: Regime, hit: Option<Hit>) -> Next {
        let access = access_of(&self.transaction, &regime);
        if let Some(hit) = hit.filter(|hit| hit.permissions.allows(access)) {
            self.phase = Phase::Done(Some(Treatment::Translate(regime)));
            return Ok(Step::Done(Ok(granted_by_hit(&regime, &hit))));
        }
        let walk = Walk::new(&regime, self.transaction.iova.0, access);
        self.phase = Phase::Walk(Box::new((regime, walk)));
        self.walk(WalkAnswer::Start)
    }

    fn walk(&mut self, answer: WalkAnswer) -> Next {
        let Phase::Walk(state) = &mut self.phase else { unreachable!("only called in a walk") };
        let (regime, walk) = &mut **state;
        match walk.step(regime, answer) {
            WalkStep::Read { pa, why } => Ok(Step::Need(Request::Read { pa, words: 1, why })),
            WalkStep::Done(Err(fault)) => {
                let refused = Refused::by_policy(fault, regime, &self.transaction);
                self.phase = Phase::Done(Some(Treatment::Translate(*regime)));
                Err(refused)
            }
            WalkStep::Done(Ok(walked)) => {
                self.phase = Phase::Fill(*regime, walked);
                Ok(Step::Need(Request::Fill {
                    structure: Structure::MainTlb,
                    entry: walked.entry,
                    begin: self.begin,
                }))
            }
        }
    }

    fn advance(&mut self, answer: Answer) -> Next {
        match &mut self.phase {
            Phase::Begin => self.start(),
            Phase::Ste(_) => self.ste_step(answer),
            Phase::Cd(_) => self.cd_step(answer),
            Phase::LookUp(regime) => {
                let regime = *regime;
                let Answer::Hit(hit) = answer else { unexpected(&answer) };
                self.looked_up(regime, hit)
            }
            Phase::Walk(_) => self.walk(walk_answer(answer)),
            Phase::Fill(regime, walked) => {
                let granted = granted_by_walk(regime, walked);
                self.phase = Phase::Done(Some(Treatment::Translate(*regime)));
                Ok(Step::Done(Ok(granted)))
            }
            Phase::Done(_) => unreachable!("stepped after it was done"),
        }
    }
}

impl Actor for Translation {
    type Outcome = TranslationOutcome;

    fn step(&mut self, answer: Answer) -> Step<TranslationOutcome> {
        self.advance(answer).unwrap_or_else(|refused| {
            if !matches!(self.phase, Phase::Done(_)) {
                self.phase = Phase::Done(None);
            }
            Step::Done(Err(refused))
        })
    }
}

/// What a walk is handed.
fn walk_answer(answer: Answer) -> WalkAnswer {
    match answer {
        Answer::Word(word) => WalkAnswer::Word(word),
        Answer::Aborted => WalkAnswer::Aborted,
        other => unexpected(&other),
    }
}

/// A runner that answers with something else than was asked for has a bug.
#[cold]
fn unexpected(answer: &Answer) -> ! {
    panic!("the runner answered {answer:?} to another request")
}

/// The access after the overrides of the STE.
pub(crate) fn access_of(transaction: &Transaction, regime: &Regime) -> Access {
    overridden(transaction.access, regime.privilege_override, regime.instruction_override)
}

pub(crate) fn granted_by_hit(regime: &Regime, hit: &Hit) -> Granted {
    Granted {
        output: hit.output,
        attributes: hit.attributes,
        space: Some(regime.space),
        path: Path::Hit(hit.fill),
    }
}

fn granted_by_walk(regime: &Regime, walked: &Walked) -> Granted {
    Granted {
        output: walked.output,
        attributes: walked.entry.attributes,
        space: Some(regime.space),
        path: Path::Walk,
    }
}

fn bypass(input: u64, attributes: Attributes) -> Granted {
    Granted { output: Pa(input), attributes, space: None, path: Path::Bypass }
}

/// A bypass by the STE: an input wider than the OAS is an Address Size fault of stage 1.
pub(crate) fn bypass_stream(
    transaction: &Transaction,
    regime: &Regime,
    globals: &Globals,
) -> TranslationOutcome {
    let input = transaction.iova.0;
    if globals.is_physical(input) {
        Ok(bypass(input, regime.input_attributes))
    } else {
        Err(Refused::bypass_address_size(access_of(transaction, regime)))
    }
}

/// Stage 1 bypassed in front of stage 2: an input wider than the IAS is an Address Size fault of
/// stage 1, always an abort and always recorded.
pub(crate) fn check_input(
    transaction: &Transaction,
    regime: &Regime,
    globals: &Globals,
) -> Result<(), Refused> {
    if regime.stage1.is_none() && transaction.iova.0 >> globals.features.ias_bits() != 0 {
        return Err(Refused::bypass_address_size(access_of(transaction, regime)));
    }
    Ok(())
}

/// Faults that end the configuration look-up always abort; all but C_BAD_STREAMID are recorded
/// whatever the registers say.
fn configuration_fault(fault: Fault, transaction: &Transaction, globals: &Globals) -> Refused {
    let record = fault != Fault::BadStreamId || globals.record_bad_stream_id;
    Refused { fault: Some(fault), record, read_zero: false, access: transaction.access }
}
