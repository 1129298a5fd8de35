//! Memory as it was: the stores, kept so that they can be undone.

use super::Moment;
use crate::reference::Words;
use rustc_hash::FxHashMap;
use smmu_arch::{Pa, Stage, Why};
use smmu_bus::Memory;
use std::collections::VecDeque;

/// A store to a word of memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Store {
    /// When.
    pub at: Moment,
    /// Address of the word.
    pub pa: Pa,
    /// The word before.
    pub old: u64,
    /// The word after.
    pub new: u64,
}

/// What an SMMU remembers apart from each other: a use may be stale in one and fresh in the rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Part {
    /// The stream table.
    Ste,
    /// CD tables.
    Cd,
    /// Translation tables of stage 1.
    Stage1,
    /// Translation tables of stage 2.
    Stage2,
}

impl Part {
    pub(super) const ALL: [Self; 4] = [Self::Ste, Self::Cd, Self::Stage1, Self::Stage2];

    /// The part that a word belongs to.
    pub(super) const fn of(why: Why) -> Self {
        match why {
            Why::L1Cd | Why::Cd => Self::Cd,
            Why::Descriptor { stage: Stage::Stage1, .. } => Self::Stage1,
            Why::Descriptor { stage: Stage::Stage2, .. } => Self::Stage2,
            _ => Self::Ste,
        }
    }

    pub(super) const fn is_configuration(self) -> bool {
        matches!(self, Self::Ste | Self::Cd)
    }
}

/// For each [`Part`] the moment before which it is looked at.
pub(super) type Times = [Moment; 4];

/// All stores, the last [`History::KEPT`] of each word.
#[derive(Debug, Default)]
pub(super) struct History {
    words: FxHashMap<u64, VecDeque<Store>>,
}

impl History {
    /// Stores of one word that are kept. A use that is staler than that is not explained.
    const KEPT: usize = 32;

    pub(super) fn stored(&mut self, store: Store) {
        if store.old == store.new {
            return;
        }
        let stores = self.words.entry(store.pa.0).or_default();
        if stores.len() == Self::KEPT {
            stores.pop_front();
        }
        stores.push_back(store);
    }

    /// The word at `pa` as it was before `time`, where it has changed since.
    fn word_before(&self, pa: Pa, time: Moment) -> Option<u64> {
        self.words.get(&pa.0)?.iter().find(|store| store.at >= time).map(|store| store.old)
    }

    /// The last store to `pa` before `time`.
    pub(super) fn last_before(&self, pa: Pa, time: Moment) -> Option<&Store> {
        self.words.get(&pa.0)?.iter().rev().find(|store| store.at < time)
    }

    /// Every kept store to `pa` from `time` on.
    pub(super) fn since(&self, pa: Pa, time: Moment) -> impl Iterator<Item = &Store> {
        self.words.get(&pa.0).into_iter().flatten().filter(move |store| store.at >= time)
    }
}

/// Memory, each part of it as it was before its moment.
pub(super) struct Past<'a, M> {
    pub memory: &'a M,
    pub history: &'a History,
    pub times: Times,
}

impl<M: Memory> Words for Past<'_, M> {
    fn word(&self, pa: Pa, why: Why) -> Option<u64> {
        let time = self.times[Part::of(why) as usize];
        let old = self.history.word_before(pa, time);
        old.or_else(|| self.memory.read_word(pa).ok())
    }
}
