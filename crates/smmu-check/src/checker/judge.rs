//! The judgement of one use that the tables do not allow now.
//!
//! A use is explained by a state of the past in which the tables allowed it, so that some store
//! has ended it since. It is legal if an SMMU may still have remembered that state when the
//! transaction began: no covering invalidation and CMD_SYNC were complete since. It is a bug of
//! the driver if software had promised by then that it was over, and a bug of the hardware if the
//! invalidation was complete. Of several explanations the most lenient one counts.

use super::Moment;
use super::explain::{Change, Explainer, State};
use super::fills::Fill;
use super::history::{History, Part};
use super::promises::{Promises, Used};
use super::remembered::Remembered;
use super::smmu::Smmu;
use super::verdict::{Blame, Cause};
use crate::reference::{Allowed, Ruling, Translation};
use rustc_hash::FxHashMap;
use smmu_arch::{AddressSpace, EntryKind, Pa, Path, Promise, SmmuId, StreamId, Transaction};
use smmu_bus::Memory;

/// Who a stream belongs to.
pub(super) type Owners = FxHashMap<(SmmuId, StreamId), u32>;

/// The transaction of a use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub transaction: Transaction,
    pub began: Moment,
    pub at: Moment,
}

/// Something that was still remembered, or should not have been.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Stale {
    pub part: Part,
    pub change: Change,
    pub remembered: Remembered,
    /// Invalidations count that took effect after this.
    pub since: Moment,
    /// For an entry that was made after the change: what it was made from, which must have been
    /// remembered when the transaction began that made it.
    pub origin: Option<(Remembered, Moment)>,
}

/// What there is to say about a use.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Charge {
    pub blame: Blame,
    pub cause: Cause,
    /// What was stale; the first one was promised to be over, or had been invalidated.
    pub stale: Vec<Stale>,
    pub promise: Option<(Moment, Promise)>,
    /// Tags that the use was made under.
    pub space: Option<AddressSpace>,
}

impl Charge {
    pub(super) fn plain(blame: Blame, cause: Cause, space: Option<AddressSpace>) -> Self {
        Self { blame, cause, stale: Vec::new(), promise: None, space }
    }
}

/// `None` is legal.
pub(super) type Judgement = Option<Charge>;

/// What a judge looks at.
pub(super) struct Judge<'a, M> {
    pub memory: &'a M,
    pub history: &'a History,
    pub promises: &'a Promises,
    pub id: SmmuId,
    pub smmu: &'a Smmu,
    pub case: Case,
    /// What the tables say now.
    pub now: &'a Ruling,
    /// Who a stream belongs to, where that was told.
    pub owners: &'a Owners,
}

/// How a transaction was let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed<'a> {
    pub space: Option<AddressSpace>,
    pub output: Pa,
    pub path: Path,
    /// The entry of a hit, where it is known.
    pub fill: Option<&'a Fill>,
}

impl<M: Memory> Judge<'_, M> {
    /// Judges a translation that the tables do not allow now.
    pub(super) fn passed(&self, passed: &Passed<'_>) -> Judgement {
        let explainer = self.explainer();
        let output = Some(passed.output);
        let mut own = explainer.states(&self.case.transaction, |r| r.allowed.output() == output);
        // Where a state has the very tags as well, one that has others explains nothing.
        if own.iter().any(|state| same_tags(&state.ruling, passed)) {
            own.retain(|state| same_tags(&state.ruling, passed));
        }
        let mut charges = Vec::new();
        for state in &own {
            let stale = self.stale(state, passed);
            if self.is_anothers(passed.fill, &stale) {
                continue;
            }
            charges.push(self.classify(state, stale, passed)?);
        }
        if let Some(charge) = self.way_to_tags(passed) {
            charges.push(charge);
        } else if passed.path == Path::Walk {
            for (fill, state) in &self.partners_walks(passed, &explainer) {
                charges.push(self.foreign(state, passed, fill, &own)?);
            }
        } else if let Some(fill) = passed.fill
            && let Some(filler) = fill.transaction
        {
            for state in &explainer.states(&filler, |ruling| says(ruling, fill)) {
                charges.push(self.foreign(state, passed, fill, &own)?);
            }
        }
        let known = passed.fill.is_some_and(|fill| fill.transaction.is_some());
        // The most lenient one; a stable sort keeps the nearest state first.
        charges.sort_by_key(|charge| charge.blame);
        match charges.into_iter().next() {
            Some(charge) => Some(charge),
            // An entry of which nobody knows what it was made from: nothing can be said.
            None if matches!(passed.path, Path::Hit(_)) && !known => None,
            None => match passed.fill.filter(|fill| self.is_own_and_was_true(fill, passed)) {
                Some(fill) => self.by_entry(fill, passed),
                None => self.unexplained(passed.space),
            },
        }
    }

    /// A walk may have gone on from a table descriptor that an SMMU remembers under the tags: where
    /// another stream of the same owner bears them, from one of its tables. What that table says is
    /// as good as an entry that was made for it just now.
    fn partners_walks(
        &self,
        passed: &Passed<'_>,
        explainer: &Explainer<'_, M>,
    ) -> Vec<(Fill, State)> {
        let partners = partners(self.owners, self.id, self.case.transaction.stream);
        let walked = |stream: StreamId| {
            let transaction = Transaction { stream, ..self.case.transaction };
            let states = explainer.states(&transaction, |ruling| {
                ruling.allowed.output() == Some(passed.output) && same_tags(ruling, passed)
            });
            states.into_iter().filter_map(move |state| {
                let entry = translation(&state.ruling)?.entry();
                let (at, began) = (self.case.at, self.case.began);
                let (transaction, was_true) = (Some(transaction), true);
                Some((Fill { number: 0, entry, at, began, transaction, was_true }, state))
            })
        };
        partners.into_iter().flat_map(walked).collect()
    }

    pub(super) fn explainer(&self) -> Explainer<'_, M> {
        Explainer {
            memory: self.memory,
            history: self.history,
            features: &self.smmu.features,
            globals: &self.smmu.globals,
        }
    }

    /// What was stale when the transaction began, in a state that explains its outcome.
    fn stale(&self, state: &State, passed: &Passed<'_>) -> Vec<Stale> {
        let translation = translation(&state.ruling);
        let same_space = passed.space.is_some() && passed.space == self.now.space;
        let hit = matches!(passed.path, Path::Hit(_));
        let before = state.changes.iter().filter(|(_, change)| change.at() <= self.case.began);
        let stale = before.map(|&(part, change)| {
            // The entry of a hit remembers all that it was made from but the way to its tags.
            let by_entry = hit && (same_space || !part.is_configuration());
            let entry = passed.fill.filter(|_| by_entry);
            let (remembered, since) = match (entry, translation) {
                (Some(fill), _) => (Remembered::in_tlb(fill.entry), fill.began),
                (None, Some(translation)) if by_entry => {
                    (Remembered::in_tlb(translation.entry()), change.at())
                }
                (None, Some(translation)) if !part.is_configuration() => {
                    (Remembered::in_walk(&translation, part, &change), change.at())
                }
                _ => (
                    Remembered::in_configuration(&self.case.transaction, part, &change),
                    change.at(),
                ),
            };
            let origin = entry.and_then(|fill| origin(state, part, &change, fill));
            Stale { part, change, remembered, since, origin }
        });
        stale.collect()
    }

    /// An entry that another stream made, after an STE or CD of this stream was changed: what this
    /// stream had before does not explain it.
    fn is_anothers(&self, fill: Option<&Fill>, stale: &[Stale]) -> bool {
        let Some(made_by) = fill.and_then(|fill| fill.transaction) else { return false };
        let of = |transaction: &Transaction| (transaction.stream, transaction.substream);
        let later = |stale: &Stale| stale.part.is_configuration() && stale.origin.is_some();
        of(&made_by) != of(&self.case.transaction) && stale.iter().any(later)
    }

    /// The configuration under which the transaction had its tags was over and invalidated: what
    /// the entry says does not matter.
    fn way_to_tags(&self, passed: &Passed<'_>) -> Judgement {
        if same_tags(self.now, passed) {
            return None;
        }
        let transaction = &self.case.transaction;
        let states = self.explainer().states(transaction, |ruling| same_tags(ruling, passed));
        let cause = Cause::StaleConfiguration;
        let mut charge = None;
        for state in &states {
            let changes = state
                .changes
                .iter()
                .filter(|(part, change)| part.is_configuration() && change.at() <= self.case.began);
            let mut stale = changes.map(|&(part, change)| {
                let remembered = Remembered::in_configuration(transaction, part, &change);
                Stale { part, change, remembered, since: change.at(), origin: None }
            });
            let over = stale.find(|stale| !self.may_remember(&stale.remembered, stale.since))?;
            let plain = Charge::plain(Blame::Hardware, cause, passed.space);
            charge = charge.or(Some(Charge { stale: vec![over], ..plain }));
        }
        charge
    }

    /// The entry was made for somebody else, and was right for them in this state.
    fn foreign(&self, state: &State, passed: &Passed<'_>, fill: &Fill, own: &[State]) -> Judgement {
        let before = state.changes.iter().filter(|(_, change)| change.at() <= self.case.began);
        let stale: Vec<_> = before
            .map(|&(part, change)| {
                let (remembered, since) = (Remembered::in_tlb(fill.entry), fill.began);
                let origin = origin(state, part, &change, fill);
                Stale { part, change, remembered, since, origin }
            })
            .collect();
        if !stale.is_empty() {
            return self.classify(state, stale, passed);
        }
        if !state.changes.is_empty() || self.configuration_races() {
            return None;
        }
        // Nothing has ended it for them: the tag was given to two, or freed before its time.
        let entry = Remembered::in_tlb(fill.entry);
        let dropped = self.smmu.commands.complete(&entry, fill.began, self.case.began);
        if dropped.is_some() {
            let cause = Cause::StaleTranslation;
            return Some(Charge::plain(Blame::Hardware, cause, passed.space));
        }
        let used = self.used(&state.ruling, passed);
        let promise = self.promises.broken_tag(&used, fill.at, self.case.began);
        if promise.is_some() {
            let charge = Charge::plain(Blame::Driver, Cause::TagReused, passed.space);
            return Some(Charge { promise, ..charge });
        }
        let promise = match own.first() {
            Some(own) if self.are_partners(fill) => Some(self.promised_to_partner(own, &used)?),
            // The partner's table is ahead of this one.
            None if self.are_partners(fill) && self.now.allowed.output().is_none() => return None,
            _ => None,
        };
        Some(Charge { promise, ..Charge::plain(Blame::Driver, Cause::TagShared, passed.space) })
    }

    /// Both streams belong to one owner, who has them bear one tag and keeps their tables alike:
    /// while he changes one table after the other, they differ, and that is over when he says so.
    fn are_partners(&self, fill: &Fill) -> bool {
        let filler = fill.transaction.and_then(|transaction| self.owner(transaction.stream));
        filler.is_some() && filler == self.owner(self.case.transaction.stream)
    }

    fn owner(&self, stream: StreamId) -> Option<u32> {
        self.owners.get(&(self.id, stream)).copied()
    }

    /// The promise to this stream that what its own tables said in the state `own` is over.
    fn promised_to_partner(&self, own: &State, used: &Used) -> Option<(Moment, Promise)> {
        let ended = own.changes.iter().map(|(_, change)| change.at()).min()?;
        self.promises.broken(used, ended, self.case.began)
    }

    /// Legal, or whose bug it is, if this is what was remembered.
    fn classify(&self, state: &State, stale: Vec<Stale>, passed: &Passed<'_>) -> Judgement {
        let began = self.case.began;
        let space = passed.space.or(state.ruling.space);
        let complete = |stale: &Stale| {
            let immediate = matches!(stale.change, Change::Registers { table: false, .. });
            let commands = &self.smmu.commands;
            let since_change = |(what, until): (Remembered, Moment)| {
                commands.complete(&what, stale.change.at(), until).is_some()
            };
            immediate
                || commands.complete(&stale.remembered, stale.since, began).is_some()
                || stale.origin.is_some_and(since_change)
        };
        if let Some(at) = stale.iter().position(complete) {
            let mut stale = stale;
            stale.swap(0, at);
            let cause = cause_of(&stale[0].remembered);
            return Some(Charge { stale, ..Charge::plain(Blame::Hardware, cause, space) });
        }
        let used = self.used(&state.ruling, passed);
        let anothers = passed.fill.and_then(|fill| fill.transaction).is_some_and(|filler| {
            self.owner(filler.stream) != self.owner(self.case.transaction.stream)
        });
        let broken = stale.iter().enumerate().find_map(|(at, stale)| {
            let promise = self.promises.broken(&used, stale.change.at(), began)?;
            Some((at, promise))
        });
        let (at, mut promise) = broken?;
        if anothers {
            // The former owner may have been promised much before, but the new one only the tag.
            let since = stale[at].change.at();
            promise = self.promises.broken_tag(&used, since, began).unwrap_or(promise);
        }
        let mut stale = stale;
        stale.swap(0, at);
        let cause = match promise.1 {
            Promise::VmidFreed { .. }
            | Promise::VmidAssigned { .. }
            | Promise::AsidFreed { .. }
            | Promise::AsidAssigned { .. } => Cause::TagReused,
            _ => cause_of(&stale[0].remembered),
        };
        let charge = Charge::plain(Blame::Driver, cause, space);
        Some(Charge { stale, promise: Some(promise), ..charge })
    }

    pub(super) fn used(&self, ruling: &Ruling, passed: &Passed<'_>) -> Used {
        let translation = translation(ruling);
        let transaction = &self.case.transaction;
        let space = passed.space.or(ruling.space);
        let global = match passed.fill {
            Some(fill) => fill.entry.global,
            None => translation.is_some_and(|translation| translation.global),
        };
        Used {
            smmu: self.id,
            stream: transaction.stream,
            space,
            global,
            input: transaction.iova.0,
            ipa: match space.map(|space| space.kind) {
                Some(EntryKind::Stage2) => Some(transaction.iova.0),
                _ => translation.and_then(|translation| translation.ipa).map(|ipa| ipa.0),
            },
            output: passed.output,
            filled: passed.fill.map(|fill| fill.at),
        }
    }

    pub(super) fn may_remember(&self, what: &Remembered, since: Moment) -> bool {
        self.smmu.commands.complete(what, since, self.case.began).is_none()
    }
}

/// The other streams of the owner of a stream.
pub(super) fn partners(owners: &Owners, smmu: SmmuId, stream: StreamId) -> Vec<StreamId> {
    let Some(owner) = owners.get(&(smmu, stream)) else { return Vec::new() };
    let alike = owners.iter().filter(|&(_, of)| of == owner).map(|(&name, _)| name);
    let others = alike.filter(|&(of, other)| of == smmu && other != stream);
    let mut others: Vec<StreamId> = others.map(|(_, other)| other).collect();
    others.sort_unstable();
    others
}

/// What an entry was made from that was stale already.
fn origin(state: &State, part: Part, change: &Change, fill: &Fill) -> Option<(Remembered, Moment)> {
    if fill.began < change.at() {
        return None;
    }
    let made_from = if part.is_configuration() {
        Remembered::in_configuration(&fill.transaction?, part, change)
    } else {
        Remembered::in_walk(&translation(&state.ruling)?, part, change)
    };
    Some((made_from, fill.began))
}

pub(super) const fn translation(ruling: &Ruling) -> Option<Translation> {
    match ruling.allowed {
        Allowed::Translates(translation) => Some(translation),
        Allowed::Bypass(_) | Allowed::Refuses(_) => None,
    }
}

/// Whether a ruling has the tags that a use was made under. A global entry has every ASID.
fn same_tags(ruling: &Ruling, passed: &Passed<'_>) -> bool {
    let tags = |space: &AddressSpace| (space.world, space.kind, space.vmid);
    let asid = |space: &AddressSpace| space.asid;
    let (then, used) = (ruling.space.as_ref(), passed.space.as_ref());
    let global = passed.fill.is_some_and(|fill| fill.entry.global);
    then.map(tags) == used.map(tags) && (global || then.map(asid) == used.map(asid))
}

/// Whether the ruling for the transaction that made an entry says what the entry says.
pub(super) fn says(ruling: &Ruling, fill: &Fill) -> bool {
    let Some(translation) = translation(ruling) else { return false };
    let entry = &fill.entry;
    let input = match translation.ipa {
        Some(ipa) if entry.space.kind == EntryKind::Stage2 => ipa.0,
        _ => translation.input,
    };
    let inside = entry.input <= input && input <= entry.last_input();
    inside && entry.translate(input) == translation.output
}

const fn cause_of(remembered: &Remembered) -> Cause {
    match remembered {
        Remembered::Configuration { .. } => Cause::StaleConfiguration,
        Remembered::Translation { .. } => Cause::StaleTranslation,
    }
}
