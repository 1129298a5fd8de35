//! Refusals, and outcomes that no single state of the past explains.

use super::Moment;
use super::explain::Change;
use super::fills::Fill;
use super::history::Part;
use super::judge::{Case, Charge, Judge, Judgement, Passed, translation};
use super::remembered::Remembered;
use super::verdict::{Blame, Cause};
use crate::reference::{Allowed, Ruling, Translation};
use smmu_arch::{AddressSpace, Fault, StageFaultKind, TlbKey};
use smmu_bus::Memory;

impl<M: Memory> Judge<'_, M> {
    /// An entry that this stream made, that said what the tables said then, and that was used for
    /// what it says.
    pub(super) fn is_own_and_was_true(&self, fill: &Fill, passed: &Passed<'_>) -> bool {
        let made_for = fill.transaction.map(|made_by| (made_by.stream, made_by.substream));
        let Case { transaction, .. } = self.case;
        fill.was_true
            && made_for == Some((transaction.stream, transaction.substream))
            && passed.space == Some(fill.entry.space)
            && fill.entry.translate(transaction.iova.0) == passed.output
    }

    /// The stores that ended such an entry are no longer known, as there were too many since: the
    /// entry alone tells whether it may have been remembered, and what was promised of it.
    pub(super) fn by_entry(&self, fill: &Fill, passed: &Passed<'_>) -> Judgement {
        let cause = Cause::StaleTranslation;
        if !self.may_remember(&Remembered::in_tlb(fill.entry), fill.began) {
            return Some(Charge::plain(Blame::Hardware, cause, passed.space));
        }
        let used = self.used(self.now, passed);
        let promise = self.promises.broken(&used, fill.at, self.case.began)?;
        Some(Charge { promise: Some(promise), ..Charge::plain(Blame::Driver, cause, passed.space) })
    }

    /// No single state explains the outcome.
    pub(super) fn unexplained(&self, space: Option<AddressSpace>) -> Judgement {
        if self.races() {
            return None;
        }
        let torn = [Part::Ste, Part::Cd].into_iter().any(|part| self.is_torn(part));
        Some(if torn {
            Charge::plain(Blame::Driver, Cause::TornConfiguration, space)
        } else {
            Charge::plain(Blame::Hardware, Cause::NeverAllowed, space)
        })
    }

    /// A word that counts now was stored to since the transaction began: it may have seen old and
    /// new words side by side.
    fn races(&self) -> bool {
        let mut words = self.now.made_from.iter();
        words.any(|word| self.history.since(word.pa, self.case.began).next().is_some())
    }

    pub(super) fn configuration_races(&self) -> bool {
        let mut words = self.now.made_from.iter();
        words.any(|word| {
            Part::of(word.why).is_configuration()
                && self.history.since(word.pa, self.case.began).next().is_some()
        })
    }

    /// Several stores to an STE or CD since it was last taken out of the caches.
    fn is_torn(&self, part: Part) -> bool {
        let changed = Change::Registers { at: Moment(0), table: true };
        let Remembered::Configuration { key, .. } =
            Remembered::in_configuration(&self.case.transaction, part, &changed)
        else {
            return false;
        };
        let what = Remembered::Configuration { key, level1: false };
        let last = self.smmu.commands.complete(&what, Moment(0), self.case.began);
        let since = last.map_or(Moment(0), |effect| effect.at);
        let words = self.now.made_from.iter().filter(|word| Part::of(word.why) == part);
        words.map(|word| self.history.since(word.pa, since).count()).sum::<usize>() > 1
    }

    /// Judges a refusal where the tables let through now.
    pub(super) fn refused(&self, fault: Option<Fault>) -> Judgement {
        let now = translation(self.now);
        let refuses = |ruling: &Ruling| matches!(ruling.allowed, Allowed::Refuses(then) if alike(then, fault));
        for state in &self.explainer().states(&self.case.transaction, refuses) {
            let changes = state.changes.iter();
            let mut before = changes.filter(|(_, change)| change.at() <= self.case.began);
            if before.all(|(part, change)| self.may_refuse(*part, change, fault, now.as_ref())) {
                return None;
            }
        }
        let Some(now) = now else { return self.unexplained_refusal(None) };
        let key = TlbKey { space: now.space, input: now.input };
        let other = self.smmu.fills.matching(&key).any(|fill| {
            fill.entry.permissions != now.permissions
                && self.may_remember(&Remembered::in_tlb(fill.entry), fill.began)
        });
        if other { None } else { self.unexplained_refusal(Some(now.space)) }
    }

    fn unexplained_refusal(&self, space: Option<AddressSpace>) -> Judgement {
        let charge = self.unexplained(space)?;
        match charge.cause {
            Cause::NeverAllowed => Some(Charge { cause: Cause::WrongRefusal, ..charge }),
            _ => Some(charge),
        }
    }

    /// Whether an SMMU may still have remembered what was before `change`, which refused.
    /// Configuration may be cached valid or not; a descriptor only if it was valid, and not for
    /// its Access flag.
    fn may_refuse(
        &self,
        part: Part,
        change: &Change,
        fault: Option<Fault>,
        now: Option<&Translation>,
    ) -> bool {
        if part.is_configuration() {
            let immediate = matches!(change, Change::Registers { table: false, .. });
            return !immediate
                && self.may_remember(
                    &Remembered::in_configuration(&self.case.transaction, part, change),
                    change.at(),
                );
        }
        let Change::Store(store, _) = change else { return false };
        let access_flag = matches!(
            fault,
            Some(Fault::Stage(fault)) if fault.kind == StageFaultKind::AccessFlag
        );
        let valid = (store.old | store.old.swap_bytes()) & 1 == 1;
        let Some(now) = now.filter(|_| valid && !access_flag) else { return false };
        self.may_remember(&Remembered::in_tlb(now.entry()), change.at())
            || self.may_remember(&Remembered::in_walk(now, part, change), change.at())
    }
}

/// Whether two refusals are for the same reason. Addresses in them are not compared.
fn alike(then: Option<Fault>, observed: Option<Fault>) -> bool {
    match (then, observed) {
        (Some(Fault::Stage(a)), Some(Fault::Stage(b))) => (a.kind, a.stage) == (b.kind, b.stage),
        (Some(a), Some(b)) => a.name() == b.name(),
        (None, None) => true,
        _ => false,
    }
}
