//! A port: one source of transactions, with what it keeps of the configuration.
//!
//! A hit costs a look at the port's private line, one look-up and one AND of permissions. A miss
//! of a stream that the line knows is a walk and a fill on top. Neither builds an actor; all else
//! is a [`Translation`] from its first look-up on.

mod ats;
mod line;

use crate::globals::Globals;
use crate::smmu::Smmu;
use crate::structures::looked_up;
use crate::translation::{
    Granted, Purpose, Refused, Response, Translation, TranslationOutcome, Treatment, access_of,
    bypass, granted_by_hit, granted_by_walk,
};
use line::Line;
use smmu_arch::{
    ConfigKey, EntryKind, Epoch, Hit, Observation, Origin, PortId, Structure, SubstreamId, TlbKey,
    Transaction, TransactionId,
};
use smmu_bus::{Actor, Answer, Memory, Observer, Request, Step, serve_memory};
use smmu_cache::Tlb;
use smmu_tables::{Walk, WalkAnswer, WalkStep};
use std::sync::Arc;

/// Private lines of a port: a direct-mapped copy of the last configurations in use.
const LINES: usize = 8;

/// A port of an SMMU. At most one transaction is in flight at a port.
#[derive(Debug)]
pub struct Port<O: Observer = ()> {
    smmu: Arc<Smmu>,
    id: PortId,
    /// Where transactions are looked up first: the port's own TLB, or the main one.
    tlb: Arc<Tlb>,
    observer: O,
    /// Number of the next transaction.
    number: u64,
    /// Begin of the one in flight.
    begin: Epoch,
    generation: u64,
    globals: Globals,
    lines: [Option<Line>; LINES],
}

/// Ports of an SMMU are numbered from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the SMMU has {ports} ports, and no port {port:?}")]
pub struct NoSuchPort {
    /// The number asked for.
    pub port: PortId,
    /// Ports that there are.
    pub ports: u16,
}

impl<O: Observer> Port<O> {
    /// Port `id` of the SMMU, whose observations go to `observer`.
    ///
    /// # Errors
    /// [`NoSuchPort`]. Two `Port`s of one number share one place in flight: have one.
    pub fn new(smmu: Arc<Smmu>, id: PortId, observer: O) -> Result<Self, NoSuchPort> {
        if !smmu.has_port(id) {
            return Err(NoSuchPort { port: id, ports: smmu.ports() });
        }
        let (generation, globals) = (smmu.generation(), smmu.globals());
        let begin = Epoch::default();
        let lines = Default::default();
        let tlb = Arc::clone(smmu.structures.hierarchy.first(id));
        Ok(Self { smmu, id, tlb, observer, number: 0, begin, generation, globals, lines })
    }

    /// The SMMU.
    #[must_use]
    pub fn smmu(&self) -> &Arc<Smmu> {
        &self.smmu
    }

    /// Who listens.
    pub fn observer(&mut self) -> &mut O {
        &mut self.observer
    }

    /// Translates a transaction at once. It is in flight until [`Port::end`], which follows its
    /// data access or its refusal.
    ///
    /// # Errors
    /// The refusal; its record, if it has one, waits in the Event queue's background work. A
    /// transaction that stalls is pending: see [`Response::Held`]. It is no longer in flight after
    /// [`Port::end`], and is translated anew when it is to be tried again.
    // A hit becomes part of the caller's loop, as there are few callers and what they know of
    // their transactions need not be asked again. All that is not a hit is called.
    #[inline(always)]
    pub fn translate<M: Memory>(
        &mut self,
        memory: &M,
        transaction: &Transaction,
    ) -> TranslationOutcome {
        let Self { smmu, lines, tlb, .. } = self;
        let line = lines[slot(transaction)].as_mut().filter(|line| line.serves(transaction));
        let Some(line) = line else { return self.translate_otherwise(memory, transaction) };
        let Treatment::Translate(regime) = &line.treatment else {
            return self.translate_otherwise(memory, transaction);
        };
        let smmu: &Smmu = smmu;
        let key = TlbKey { space: regime.space, input: line.lookup_input(regime, transaction) };
        let needed = line.needed(transaction.access);
        self.begin = smmu.in_flight.enter(self.id, &smmu.structures.log);
        self.number += 1;
        if smmu.generation() != self.generation {
            return self.translate_by_actor(memory, transaction);
        }
        // What is granted is made where it is returned: see the note on `Found` in smmu-cache.
        match tlb.look_up(&mut line.context, key.input) {
            Some(hit) if hit.permissions.bits() & needed == needed => {
                let granted = granted_by_hit(regime, &hit);
                if O::LISTENS {
                    self.observe_looked_up(transaction, &key, Some(&hit));
                    self.observe_granted(&self.origin(), transaction, &granted);
                }
                Ok(granted)
            }
            hit => {
                self.observe_looked_up(transaction, &key, hit.as_ref());
                self.walk_by_private_line(memory, transaction)
            }
        }
    }

    /// The walk for the page behind the one that the translation in flight had to walk for, where
    /// the SMMU walks ahead and does not hold that page yet. To be stepped like the translation,
    /// before [`Port::end`]; its outcome says nothing.
    #[must_use]
    pub fn prefetch(&self, translation: &Translation) -> Option<Translation> {
        let (key, ahead) = translation.ahead()?;
        (!self.smmu.structures.hierarchy.holds(self.id, &key)).then_some(ahead)
    }

    /// The transaction in flight is over.
    #[inline]
    pub fn end(&mut self) {
        if O::LISTENS {
            let origin = self.origin();
            self.observer.observe(&origin, &Observation::Ended);
        }
        self.smmu.in_flight.leave(self.id);
    }

    /// Begins a transaction for a runner that answers its requests one by one. It is in flight
    /// until [`Port::end`].
    pub fn start(&mut self, transaction: &Transaction) -> Translation {
        self.enter();
        self.begin_actor(transaction)
    }

    /// Answers a request of the translation in flight that concerns the structures.
    pub fn answer(&mut self, request: &Request) -> Option<Answer> {
        let origin = self.origin();
        self.observe_fetch(&origin, request);
        self.smmu.answer(&origin, request, &mut self.observer)
    }

    /// Takes the outcome of the translation in flight: its record goes to the Event queue, and
    /// where it stalls the SMMU holds it from now on.
    pub fn finish(&mut self, translation: &Translation, outcome: &mut TranslationOutcome) {
        self.settle(translation.transaction(), outcome);
    }

    #[inline(always)]
    fn settle(&mut self, transaction: &Transaction, outcome: &mut TranslationOutcome) {
        let origin = self.origin();
        match outcome {
            Ok(granted) => self.observe_granted(&origin, transaction, granted),
            Err(refused) => self.refuse(&origin, transaction, refused),
        }
    }

    #[cold]
    fn refuse(&mut self, origin: &Origin, transaction: &Transaction, refused: &mut Refused) {
        self.smmu.record(transaction, refused);
        let (transaction, fault) = (*transaction, refused.fault);
        let observation = match (refused.response, fault) {
            (Response::Held(_), Some(fault)) => Observation::Stalled { transaction, fault },
            _ => Observation::Refused { transaction, fault },
        };
        self.observer.observe(origin, &observation);
    }

    #[inline]
    fn enter(&mut self) {
        self.begin = self.smmu.in_flight.enter(self.id, &self.smmu.structures.log);
        self.number += 1;
    }

    /// The observations that an actor would have led to, up to its look-up in the TLB.
    #[inline]
    fn observe_looked_up(&mut self, transaction: &Transaction, key: &TlbKey, hit: Option<&Hit>) {
        self.observe_configured(transaction, key.space.kind);
        let origin = self.origin();
        self.observer.observe(&origin, &looked_up(self.globals.hierarchy.first(), key, hit));
    }

    /// The same, up to its last look-up of configuration: that of a CD where stage 1 translates.
    #[inline]
    fn observe_configured(&mut self, transaction: &Transaction, kind: EntryKind) {
        let origin = self.origin();
        self.observer.observe(&origin, &Observation::Began(*transaction));
        let ste = ConfigKey::Ste(transaction.stream);
        self.observer.observe(&origin, &Observation::ConfigLookedUp { key: ste, hit: true });
        if kind.has_stage1() {
            let index = transaction.substream.unwrap_or(SubstreamId(0));
            let key = ConfigKey::Cd(transaction.stream, index);
            self.observer.observe(&origin, &Observation::ConfigLookedUp { key, hit: true });
        }
    }

    #[inline(always)]
    fn observe_granted(&mut self, origin: &Origin, transaction: &Transaction, granted: &Granted) {
        self.observer.observe(
            origin,
            &Observation::Translated {
                transaction: *transaction,
                space: granted.space,
                output: granted.output,
                path: granted.path,
            },
        );
    }

    #[inline(always)]
    fn observe_fetch(&mut self, origin: &Origin, request: &Request) {
        if let Request::Read { pa, why, .. } = *request {
            self.observer.observe(origin, &Observation::Fetched { pa, why });
        }
    }

    #[cold]
    fn begin_actor(&mut self, transaction: &Transaction) -> Translation {
        self.refresh();
        let origin = self.origin();
        self.observer.observe(&origin, &Observation::Began(*transaction));
        Translation::new(*transaction, self.begin, self.globals, Purpose::Untranslated)
    }

    /// Forgets what is kept of the configuration, if that has changed.
    fn refresh(&mut self) {
        let generation = self.smmu.generation();
        if generation != self.generation {
            self.generation = generation;
            self.globals = self.smmu.globals();
            self.lines = Default::default();
        }
    }

    /// Walks with the configuration of the private line, which stays as it is, and fills: what a
    /// [`Translation`] does from there on.
    #[inline(never)]
    fn walk_by_private_line<M: Memory>(
        &mut self,
        memory: &M,
        transaction: &Transaction,
    ) -> TranslationOutcome {
        let origin = self.origin();
        let Some(Line { treatment: Treatment::Translate(regime), .. }) =
            &self.lines[slot(transaction)]
        else {
            unreachable!("the line was looked at");
        };
        if regime.updates_by_hardware() || self.globals.hierarchy.deep {
            return self.go_on_by_actor(memory, transaction);
        }
        let mut walk = Walk::new(regime, transaction.iova.0, access_of(transaction, regime));
        let mut answer = WalkAnswer::Start;
        let walked = loop {
            match walk.step(regime, answer) {
                WalkStep::Read { pa, why } => {
                    self.observer.observe(&origin, &Observation::Fetched { pa, why });
                    answer = memory.read_word(pa).map_or(WalkAnswer::Aborted, WalkAnswer::Word);
                }
                WalkStep::Done(walked) => break walked,
            }
        };
        match walked {
            Ok(walked) => {
                // Nothing but a main TLB is there: that is where the transaction was looked up.
                let (structures, main) = (&self.smmu.structures, Structure::MainTlb);
                let (fill, _) = structures.fill(&self.tlb, main, walked.entry, self.begin);
                self.observer.observe(&origin, &fill);
                let granted = granted_by_walk(regime, &walked);
                self.observe_granted(&origin, transaction, &granted);
                Ok(granted)
            }
            Err(fault) => {
                let refused = Refused::by_policy(fault, regime, transaction);
                self.settled(transaction, Err(refused))
            }
        }
    }

    /// The same where there is more than the main TLB and a walk that only reads.
    #[cold]
    #[inline(never)]
    fn go_on_by_actor<M: Memory>(
        &mut self,
        memory: &M,
        transaction: &Transaction,
    ) -> TranslationOutcome {
        let line = self.lines[slot(transaction)].as_ref().expect("the line was looked at");
        let (begin, globals) = (self.begin, self.globals);
        let mut translation =
            Translation::after_first_look_up(*transaction, begin, globals, line.treatment);
        let outcome = self.run(memory, &mut translation);
        let outcome = self.settled(transaction, outcome);
        self.walk_ahead(memory, &translation);
        outcome
    }

    #[cold]
    fn settled(
        &mut self,
        transaction: &Transaction,
        mut outcome: TranslationOutcome,
    ) -> TranslationOutcome {
        self.settle(transaction, &mut outcome);
        outcome
    }

    /// Where no private line says how to translate: one may say that nothing is to be translated.
    #[inline(never)]
    fn translate_otherwise<M: Memory>(
        &mut self,
        memory: &M,
        transaction: &Transaction,
    ) -> TranslationOutcome {
        self.enter();
        let line = self.lines[slot(transaction)].as_ref().filter(|line| line.serves(transaction));
        match line.map(|line| &line.treatment) {
            Some(Treatment::Bypass(regime)) if self.smmu.generation() == self.generation => {
                let granted = bypass(transaction.iova.0, regime.input_attributes);
                self.observe_configured(transaction, EntryKind::Stage2);
                self.observe_granted(&self.origin(), transaction, &granted);
                Ok(granted)
            }
            _ => self.translate_by_actor(memory, transaction),
        }
    }

    #[inline(never)]
    fn translate_by_actor<M: Memory>(
        &mut self,
        memory: &M,
        transaction: &Transaction,
    ) -> TranslationOutcome {
        let mut translation = self.begin_actor(transaction);
        let mut outcome = self.run(memory, &mut translation);
        self.finish(&translation, &mut outcome);
        self.keep(&translation);
        self.walk_ahead(memory, &translation);
        outcome
    }

    fn walk_ahead<M: Memory>(&mut self, memory: &M, translation: &Translation) {
        if let Some(mut ahead) = self.prefetch(translation) {
            let _ = self.run(memory, &mut ahead);
        }
    }

    /// Answers every request of a translation at once.
    #[inline(always)]
    fn run<M: Memory>(&mut self, memory: &M, translation: &mut Translation) -> TranslationOutcome {
        let mut answer = Answer::Start;
        loop {
            match translation.step(answer) {
                Step::Need(request @ Request::Read { .. }) => {
                    self.observe_fetch(&self.origin(), &request);
                    answer = serve_memory(memory, &request).unwrap_or(Answer::Aborted);
                }
                Step::Need(request @ Request::CompareAndSwap { .. }) => {
                    answer = serve_memory(memory, &request).unwrap_or(Answer::Aborted);
                }
                Step::Need(request) => {
                    answer = self.answer(&request).unwrap_or(Answer::Aborted);
                }
                Step::Done(outcome) => return outcome,
                Step::Wait(_) => unreachable!("a translation waits for nothing: a stall ends it"),
            }
        }
    }

    /// Keeps the configuration for later transactions, if nothing changed meanwhile.
    fn keep(&mut self, translation: &Translation) {
        let Some(treatment) = translation.treatment() else { return };
        if self.smmu.generation() != self.generation {
            return;
        }
        let context = self.tlb.resolve(&treatment.regime().space);
        let transaction = translation.transaction();
        let line = Line::new(transaction, treatment, context, &self.globals);
        self.lines[slot(transaction)] = Some(line);
    }

    /// Of the transaction in flight, numbered from 0.
    #[inline(always)]
    fn origin(&self) -> Origin {
        let transaction = TransactionId { port: self.id, number: self.number.wrapping_sub(1) };
        Origin { smmu: self.smmu.id(), transaction: Some(transaction), begin: self.begin }
    }
}

fn slot(transaction: &Transaction) -> usize {
    let substream = transaction.substream.map_or(0, |id| id.0);
    (transaction.stream.0 ^ substream) as usize % LINES
}
