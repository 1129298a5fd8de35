//! The checker: stores, promises and observations in, verdicts out.

mod commands;
mod explain;
mod fills;
mod history;
mod judge;
mod moment;
mod promises;
mod refusal;
mod remedy;
mod remembered;
mod report;
mod smmu;
mod verdict;

pub use history::Store;
pub use moment::Moment;
pub use remembered::Miss;
pub use smmu::Sharing;
pub use verdict::{Blame, Cause, Changed, Done, Entry, Seen, Verdict};

use crate::reference::{Allowed, Globals, Reference, Ruling};
use commands::Effect;
use explain::{Explainer, State};
use fills::Fill;
use history::History;
use judge::{Case, Charge, Judge, Owners, Passed, partners, says};
use promises::Promises;
use rustc_hash::FxHashMap;
use smmu::{Begun, Smmu};
use smmu_arch::{
    Access, AddressSpace, Direction, Fault, Features, Invalidation, Iova, Maintenance, Observation,
    Origin, Pa, Path, Promise, SmmuId, StreamId, TlbEntry, Transaction, Vmid,
};
use smmu_bus::{Memory, Observer, StoreListener};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Translations held against the tables.
    pub translations: u64,
    /// Refusals held against the tables.
    pub refusals: u64,
    /// Translations that the tables no longer allowed, and that were legal all the same.
    pub stale_legal: u64,
    /// Refusals where the tables translated, and that were legal all the same.
    pub refusals_legal: u64,
    /// Uses that were bugs.
    pub bugs: u64,
    /// What cannot be judged: refusals by an external abort, observations of unknown SMMUs.
    pub unjudged: u64,
    /// Entries that invalidations dropped.
    pub dropped: u64,
    /// Those among them that the tables still allow: they need not have been dropped.
    pub dropped_needlessly: u64,
}

/// Uses with this in common are one verdict.
type Alike = (SmmuId, Blame, Cause, StreamId, u64);

/// Holds every DMA against what the tables in memory allow.
///
/// It is told of things in the order in which they happen: stores by [`Checker::stored`] (or a
/// [`StoreWire`] on a recording memory), registers by [`Checker::globals`], promises by
/// [`Checker::promised`], the rest as an [`Observer`]. `memory` is the machine's, read without
/// being told of.
///
/// What it relies on: a store is told after it was made and before anything that saw it; an SMMU
/// says `Began` before the first look-up of a transaction and `Ended` after its data access; pages
/// that are mapped again after they went back are lent again.
///
/// ```
/// use smmu_arch::{
///     Access, Direction, Epoch, Features, IdRegisters, Iova, Observation, Origin, Pa, Path,
///     Promise, SmmuId, StreamId, Transaction,
/// };
/// use smmu_bus::{Memory, Observer, Ram, Recording};
/// use smmu_check::{Blame, Checker, Globals, StoreWire};
/// use std::{cell::RefCell, rc::Rc};
///
/// let ram = Rc::new(Ram::new([(Pa(0), 1 << 20)]).unwrap());
/// let checker = Rc::new(RefCell::new(Checker::new(Rc::clone(&ram))));
/// let memory = Recording::new(ram, StoreWire(Rc::clone(&checker)));
/// let (smmu, stream) = (SmmuId(0), StreamId(0));
/// let globals = Globals { smmuen: true, strtab_log2size: 4, ..Globals::default() };
/// checker.borrow_mut().add_smmu(smmu, Features::decode(&IdRegisters::REFERENCE));
/// checker.borrow_mut().globals(smmu, globals);
///
/// memory.write_word(Pa(0), 4 << 1 | 1).unwrap(); // STE 0: bypass
/// memory.write_word(Pa(0), 1).unwrap(); // STE 0: abort, and no CMD_CFGI_STE
/// checker.borrow_mut().promised(Promise::Detached { smmu, stream });
///
/// let access = Access::data(Direction::Read);
/// let transaction = Transaction { stream, substream: None, iova: Iova(0x1000), access };
/// let output = Pa(0x1000);
/// let passed = Observation::Translated { transaction, space: None, output, path: Path::Bypass };
/// let origin = Origin { smmu, transaction: None, begin: Epoch(0) };
/// checker.borrow_mut().observe(&origin, &passed);
///
/// let checker = checker.borrow();
/// assert_eq!(checker.verdicts()[0].blame, Blame::Driver);
/// assert_eq!(checker.verdicts()[0].missing_text(), "CMD_CFGI_STE stream=0x0 leaf; CMD_SYNC");
/// ```
#[derive(Debug)]
pub struct Checker<M> {
    memory: M,
    now: Moment,
    history: History,
    promises: Promises,
    smmus: BTreeMap<SmmuId, Smmu>,
    owners: Owners,
    verdicts: Vec<Verdict>,
    alike: FxHashMap<Alike, usize>,
    counters: Counters,
}

impl<M: Memory> Checker<M> {
    /// A checker of a machine with this memory and no SMMU yet.
    pub fn new(memory: M) -> Self {
        Self {
            memory,
            now: Moment(0),
            history: History::default(),
            promises: Promises::default(),
            smmus: BTreeMap::new(),
            owners: FxHashMap::default(),
            verdicts: Vec::new(),
            alike: FxHashMap::default(),
            counters: Counters::default(),
        }
    }

    /// Adds an SMMU with its registers at reset. Observations of others are not judged.
    pub fn add_smmu(&mut self, smmu: SmmuId, features: Features) {
        self.smmus.insert(smmu, Smmu::new(features));
    }

    /// The control registers of an SMMU took these values, as acknowledged.
    pub fn globals(&mut self, smmu: SmmuId, globals: Globals) {
        let at = self.tick();
        if let Some(smmu) = self.smmus.get_mut(&smmu)
            && smmu.globals.last().is_none_or(|&(_, last)| last != globals)
        {
            smmu.globals.push((at, globals));
        }
    }

    /// A word of memory was `old` and is `new`.
    pub fn stored(&mut self, pa: Pa, old: u64, new: u64) {
        let at = self.tick();
        self.history.stored(Store { at, pa: pa.align_down(3), old, new });
    }

    /// Software was told something.
    pub fn promised(&mut self, promise: Promise) {
        let at = self.tick();
        self.promises.promised(at, promise);
    }

    /// A stream belongs to an owner, say a virtual machine, for [`Sharing::cross_owner`].
    pub fn set_owner(&mut self, smmu: SmmuId, stream: StreamId, owner: u32) {
        self.owners.insert((smmu, stream), owner);
    }

    /// Everything found, in the order of the first of each kind.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Hits on entries of other streams, by VMID.
    #[must_use]
    pub fn sharing(&self, smmu: SmmuId) -> Option<&BTreeMap<Vmid, Sharing>> {
        self.smmus.get(&smmu).map(|smmu| &smmu.sharing)
    }

    /// How much the checker was told so far.
    #[must_use]
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// The plain rules of an SMMU as they are now.
    #[must_use]
    pub fn reference(&self, smmu: SmmuId) -> Option<Reference> {
        self.smmus.get(&smmu).map(Smmu::reference)
    }

    fn tick(&mut self) -> Moment {
        self.now.0 += 1;
        self.now
    }

    fn case(&self, origin: &Origin, transaction: Transaction) -> Case {
        let smmu = self.smmus.get(&origin.smmu);
        let begun = smmu.and_then(|smmu| smmu.in_flight.get(&origin.transaction?));
        // A transaction whose begin nobody told began now.
        Case { transaction, began: begun.map_or(self.now, |begun| begun.at), at: self.now }
    }

    fn filled(&mut self, origin: &Origin, number: u64, entry: TlbEntry) {
        let at = self.now;
        let Some(smmu) = self.smmus.get_mut(&origin.smmu) else { return };
        let begun = origin.transaction.and_then(|id| smmu.in_flight.get(&id));
        let began = begun.map_or(at, |b| b.at);
        let transaction = begun.map(|b| made_for(b.transaction, &entry));
        let mut fill = Fill { number, entry, at, began, transaction, was_true: false };
        fill.was_true = is_true(&smmu.reference(), &self.memory, &fill);
        if let Some(own) = transaction.filter(|_| !fill.was_true) {
            let explainer = Explainer {
                memory: &self.memory,
                history: &self.history,
                features: &smmu.features,
                globals: &smmu.globals,
            };
            let partners = partners(&self.owners, origin.smmu, own.stream);
            fill = theirs(&fill, own, &partners, &explainer).unwrap_or(fill);
        }
        smmu.fills.filled(fill);
    }

    fn invalidated(&mut self, origin: &Origin, scope: Invalidation, dropped: u32, by: Maintenance) {
        let (at, epoch) = (self.now, origin.begin);
        let Some(smmu) = self.smmus.get_mut(&origin.smmu) else { return };
        smmu.commands.invalidated(Effect { at, scope, dropped, by, epoch, completed: None });
        if dropped == 0 {
            return;
        }
        self.counters.dropped += u64::from(dropped);
        let gone = smmu.fills.invalidate(&scope);
        let reference = smmu.reference();
        let still_true = |fill: &&Fill| is_true(&reference, &self.memory, fill);
        let needless = gone.iter().filter(still_true).count() as u64;
        self.counters.dropped_needlessly += needless.min(u64::from(dropped));
    }

    fn translated(
        &mut self,
        origin: &Origin,
        transaction: Transaction,
        space: Option<AddressSpace>,
        output: Pa,
        path: Path,
    ) {
        let case = self.case(origin, transaction);
        let Some(smmu) = self.smmus.get(&origin.smmu) else { return };
        let fill = match path {
            Path::Hit(number) => smmu.fills.get(number).copied(),
            Path::Bypass | Path::Walk => None,
        };
        self.counters.translations += 1;
        let now = smmu.reference().rule(&self.memory, &transaction);
        let done = Done::Reached(output, path);
        let charge = if now.allowed.output() == Some(output) {
            self.still_mapped(&case, &now, output)
        } else {
            let passed = Passed { space, output, path, fill: fill.as_ref() };
            let charge = self.judge(origin.smmu, smmu, case, &now).passed(&passed);
            self.counters.stale_legal += u64::from(charge.is_none());
            charge
        };
        if let Some(charge) = charge {
            self.charge(origin, &case, done, &now, fill.as_ref(), charge);
        }
        self.count_sharing(origin.smmu, transaction.stream, fill.as_ref());
    }

    /// The tables allow it, but the page is not theirs any more. A bypass reaches what it likes.
    fn still_mapped(&self, case: &Case, now: &Ruling, output: Pa) -> Option<Charge> {
        if !matches!(now.allowed, Allowed::Translates(_)) {
            return None;
        }
        let promise = self.promises.returned(output, case.began)?;
        Some(Charge {
            blame: Blame::Driver,
            cause: Cause::StillMapped,
            stale: Vec::new(),
            promise: Some(promise),
            space: now.space,
        })
    }

    fn refused(&mut self, origin: &Origin, transaction: Transaction, fault: Option<Fault>) {
        let case = self.case(origin, transaction);
        let Some(smmu) = self.smmus.get(&origin.smmu) else { return };
        let aborted = matches!(
            fault,
            Some(Fault::SteFetch(_) | Fault::CdFetch(_) | Fault::WalkExternalAbort { .. })
        );
        if aborted {
            self.counters.unjudged += 1;
            return;
        }
        self.counters.refusals += 1;
        let now = smmu.reference().rule(&self.memory, &transaction);
        if matches!(now.allowed, Allowed::Refuses(_)) {
            return;
        }
        match self.judge(origin.smmu, smmu, case, &now).refused(fault) {
            None => self.counters.refusals_legal += 1,
            Some(charge) => self.charge(origin, &case, Done::Refused(fault), &now, None, charge),
        }
    }

    fn judge<'a>(
        &'a self,
        id: SmmuId,
        smmu: &'a Smmu,
        case: Case,
        now: &'a Ruling,
    ) -> Judge<'a, M> {
        let Self { memory, history, promises, owners, .. } = self;
        Judge { memory, history, promises, id, smmu, case, now, owners }
    }

    fn count_sharing(&mut self, id: SmmuId, stream: StreamId, fill: Option<&Fill>) {
        let Some(fill) = fill else { return };
        let Some(made_for) = fill.transaction.map(|made_by| made_by.stream) else { return };
        let Some(smmu) = self.smmus.get_mut(&id).filter(|_| made_for != stream) else { return };
        let owner = |stream| self.owners.get(&(id, stream));
        let owners = (owner(made_for), owner(stream));
        let sharing = smmu.sharing.entry(fill.entry.space.vmid).or_default();
        sharing.shared += 1;
        let crosses = matches!(owners, (Some(a), Some(b)) if a != b);
        sharing.cross_owner += u64::from(crosses);
    }

    fn charge(
        &mut self,
        origin: &Origin,
        case: &Case,
        done: Done,
        now: &Ruling,
        fill: Option<&Fill>,
        charge: Charge,
    ) {
        self.counters.bugs += 1;
        let page = case.transaction.iova.0 >> 12;
        let alike = (origin.smmu, charge.blame, charge.cause, case.transaction.stream, page);
        if let Some(&known) = self.alike.get(&alike) {
            self.verdicts[known].count += 1;
            return;
        }
        let Some(smmu) = self.smmus.get(&origin.smmu) else { return };
        let verdict = report::verdict(origin, smmu, case, done, now, fill, charge);
        self.alike.insert(alike, self.verdicts.len());
        self.verdicts.push(verdict);
    }
}

/// The transaction that an entry was made for: that of its origin, or the one that the SMMU looked
/// ahead to. Address bits above 52 need not be translated.
fn made_for(transaction: Transaction, entry: &TlbEntry) -> Transaction {
    let elsewhere = (transaction.iova.0 ^ entry.input) << 12 >> 12 >> entry.size_log2 != 0;
    if !elsewhere {
        return transaction;
    }
    let access = Access { direction: Direction::Read, ..transaction.access };
    Transaction { iova: Iova(entry.input), access, ..transaction }
}

/// An entry that was made by way of a table descriptor of a partner's, which was remembered under
/// their common tags, is the partner's: its table said so at some moment of the walk.
fn theirs<M: Memory>(
    fill: &Fill,
    own: Transaction,
    partners: &[StreamId],
    explainer: &Explainer<'_, M>,
) -> Option<Fill> {
    partners.iter().find_map(|&stream| {
        let transaction = Transaction { stream, ..own };
        let states = explainer.states(&transaction, |ruling| says(ruling, fill));
        let lately = |state: &State| state.changes.iter().all(|(_, of)| of.at() > fill.began);
        let was_true = states.iter().any(lately);
        was_true.then_some(Fill { transaction: Some(transaction), was_true, ..*fill })
    })
}

/// Whether the tables say now what an entry says.
fn is_true(reference: &Reference, memory: &impl Memory, fill: &Fill) -> bool {
    let made_by = fill.transaction.as_ref();
    made_by.is_some_and(|made_by| says(&reference.rule(memory, made_by), fill))
}

impl<M: Memory> Observer for Checker<M> {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        let at = self.tick();
        let Some(smmu) = self.smmus.get_mut(&origin.smmu) else {
            self.counters.unjudged += 1;
            return;
        };
        match *observation {
            Observation::Began(transaction) => {
                if let Some(id) = origin.transaction {
                    smmu.in_flight.insert(id, Begun { at, transaction });
                }
            }
            Observation::Ended => {
                if let Some(id) = origin.transaction {
                    smmu.in_flight.remove(&id);
                }
            }
            Observation::Filled { number, entry, .. } => {
                self.filled(origin, number, entry);
            }
            Observation::Invalidated { scope, dropped, by } => {
                self.invalidated(origin, scope, dropped, by);
            }
            Observation::Synchronised(queue) => smmu.commands.synchronised(at, queue),
            Observation::BroadcastSynchronised => {
                smmu.commands.broadcast_synchronised(at, origin.begin);
            }
            Observation::Translated { transaction, space, output, path } => {
                self.translated(origin, transaction, space, output, path);
            }
            Observation::Refused { transaction, fault } => {
                self.refused(origin, transaction, fault);
            }
            // The tables refused it just as well; when it is tried again it begins anew.
            Observation::Stalled { transaction, fault } => {
                self.refused(origin, transaction, Some(fault));
            }
            _ => {}
        }
    }
}

/// Tells a checker of the stores to a recording memory.
#[derive(Debug)]
pub struct StoreWire<M>(pub Rc<RefCell<Checker<M>>>);

impl<M> Clone for StoreWire<M> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<M: Memory> StoreListener for StoreWire<M> {
    fn stored(&self, pa: Pa, old: u64, new: u64) {
        self.0.borrow_mut().stored(pa, old, new);
    }
}

#[cfg(test)]
mod tests;
