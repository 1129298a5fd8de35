//! Which stores have to be undone, so that the tables say what an SMMU did.
//!
//! Each part of what an SMMU remembers may be older than the rest: an STE from before one store, a
//! leaf from before another. The search goes back one store at a time, in every part, and gives
//! the states in which the outcome was right, those with the fewest stores undone first.

use super::Moment;
use super::history::{History, Part, Past, Store, Times};
use crate::reference::{Globals, Reference, Ruling};
use rustc_hash::FxHashSet;
use smmu_arch::{Features, Transaction, Why};
use smmu_bus::Memory;
use std::collections::VecDeque;

/// What made the tables say something else.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Change {
    /// A store to a word.
    Store(Store, Why),
    /// The control registers.
    Registers {
        at: Moment,
        /// Where the stream table lies, which an SMMU may remember in its STEs; otherwise what
        /// takes effect when it is acknowledged.
        table: bool,
    },
}

impl Change {
    pub(super) const fn at(&self) -> Moment {
        match self {
            Self::Store(store, _) => store.at,
            Self::Registers { at, .. } => *at,
        }
    }

    /// Whether a store replaced a table descriptor.
    pub(super) fn is_table(&self) -> bool {
        match self {
            Self::Store(store, Why::Descriptor { level, .. }) => *level < 3 && store.old & 3 == 3,
            _ => false,
        }
    }
}

/// A state of the past in which the outcome was right.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub ruling: Ruling,
    /// For each part that has to be older than now, the change that ended it.
    pub changes: Vec<(Part, Change)>,
}

/// The tables of one SMMU at any moment.
pub(super) struct Explainer<'a, M> {
    pub memory: &'a M,
    pub history: &'a History,
    pub features: &'a Features,
    /// Control registers, each from its moment on.
    pub globals: &'a [(Moment, Globals)],
}

impl<M: Memory> Explainer<'_, M> {
    /// Rulings that are made before the search gives up.
    const RULINGS: usize = 1024;
    /// States that are enough.
    const STATES: usize = 16;

    /// States in which `right` held for `transaction`, nearest first.
    pub(super) fn states(
        &self,
        transaction: &Transaction,
        right: impl Fn(&Ruling) -> bool,
    ) -> Vec<State> {
        let start = ([Moment::NOW; 4], [None; 4]);
        let mut seen = FxHashSet::from_iter([start.0]);
        let mut queue = VecDeque::from([start]);
        let mut states = Vec::new();
        for _ in 0..Self::RULINGS {
            let Some((times, undone)) = queue.pop_front() else { break };
            let ruling = self.rule(transaction, times);
            for part in Part::ALL {
                let Some(change) = self.previous(part, times, &ruling) else { continue };
                let mut next = (times, undone);
                next.0[part as usize] = change.at();
                next.1[part as usize] = Some(change);
                if seen.insert(next.0) {
                    queue.push_back(next);
                }
            }
            if right(&ruling) {
                let parts = Part::ALL.into_iter().zip(undone);
                let changes = parts.filter_map(|(part, change)| Some((part, change?))).collect();
                states.push(State { ruling, changes });
                if states.len() == Self::STATES {
                    break;
                }
            }
        }
        states
    }

    /// What the tables said, each part of them before its moment.
    pub(super) fn rule(&self, transaction: &Transaction, times: Times) -> Ruling {
        let globals = self.globals_before(times[Part::Ste as usize]);
        let reference = Reference { features: *self.features, globals };
        let past = Past { memory: self.memory, history: self.history, times };
        reference.rule_from(&past, transaction)
    }

    fn globals_before(&self, time: Moment) -> Globals {
        let known = self.globals.partition_point(|&(at, _)| at < time);
        known.checked_sub(1).map_or_else(Globals::default, |at| self.globals[at].1)
    }

    /// The last change of a part before its moment that the ruling depended on.
    fn previous(&self, part: Part, times: Times, ruling: &Ruling) -> Option<Change> {
        let time = times[part as usize];
        let words = ruling.made_from.iter().filter(|source| Part::of(source.why) == part);
        let stores = words.filter_map(|source| {
            let store = self.history.last_before(source.pa, time)?;
            Some(Change::Store(*store, source.why))
        });
        let registers = (part == Part::Ste).then(|| self.registers_before(time)).flatten();
        stores.chain(registers).max_by_key(Change::at)
    }

    fn registers_before(&self, time: Moment) -> Option<Change> {
        let known = self.globals.partition_point(|&(at, _)| at < time);
        let (at, new) = *self.globals.get(known.checked_sub(1)?)?;
        let old = self.globals_before(at);
        let enables = |globals: &Globals| (globals.smmuen, globals.gbpa_abort);
        Some(Change::Registers { at, table: enables(&old) == enables(&new) })
    }
}
