//! The entries that an SMMU said it made.

use super::Moment;
use rustc_hash::FxHashMap;
use smmu_arch::{Invalidation, TlbEntry, TlbKey, Transaction};
use std::collections::VecDeque;

/// An entry of the main TLB.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Fill {
    pub number: u64,
    pub entry: TlbEntry,
    /// When it was made.
    pub at: Moment,
    /// When the transaction began that made it: what it was made from was read since then.
    pub began: Moment,
    /// The transaction that made it; `None` for a prefetch.
    pub transaction: Option<Transaction>,
    /// The tables said the same for this transaction when it was made.
    pub was_true: bool,
}

/// The last fills of one SMMU.
#[derive(Debug, Default)]
pub(super) struct Fills {
    by_number: FxHashMap<u64, Fill>,
    order: VecDeque<u64>,
    /// Those that no invalidation has covered yet.
    live: VecDeque<u64>,
}

impl Fills {
    /// Fills that are kept: more than a TLB has entries.
    const KEPT: usize = 1 << 16;
    /// Fills that are thought to be in the TLB still.
    const LIVE: usize = 1 << 13;

    pub(super) fn filled(&mut self, fill: Fill) {
        if self.order.len() == Self::KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_number.remove(&oldest);
        }
        if self.live.len() == Self::LIVE {
            self.live.pop_front();
        }
        self.order.push_back(fill.number);
        self.live.push_back(fill.number);
        self.by_number.insert(fill.number, fill);
    }

    pub(super) fn get(&self, number: u64) -> Option<&Fill> {
        self.by_number.get(&number)
    }

    /// Takes out the entries that a scope covers.
    pub(super) fn invalidate(&mut self, scope: &Invalidation) -> Vec<Fill> {
        let mut gone = Vec::new();
        let by_number = &self.by_number;
        self.live.retain(|number| match by_number.get(number) {
            Some(fill) if scope.covers_translation(&fill.entry) => {
                gone.push(*fill);
                false
            }
            Some(_) => true,
            None => false,
        });
        gone
    }

    /// Every kept entry that a look-up may find.
    pub(super) fn matching<'a>(&'a self, key: &'a TlbKey) -> impl Iterator<Item = &'a Fill> {
        self.by_number.values().filter(move |fill| fill.entry.matches(key))
    }
}
