//! An SMMU that remembers all that the architecture lets it remember, for as long as it may.

use crate::Reference;
use crate::reference::{Allowed, Words};
use smmu_arch::{
    ConfigKey, Invalidation, Observation, Pa, Path, SubstreamId, TlbEntry, TlbKey, Transaction, Why,
};
use smmu_bus::{Memory, Ram};
use std::cell::RefCell;
use std::collections::BTreeMap;

type Cached = RefCell<BTreeMap<ConfigKey, BTreeMap<Pa, u64>>>;

/// Caches of unlimited size; translations are looked up oldest first.
#[derive(Default)]
pub(super) struct Adversary {
    /// Invalidations are made when a CMD_SYNC demands it, not before.
    pub(super) lazy: bool,
    /// Against the rules: nothing is ever forgotten.
    pub(super) deaf: bool,
    configuration: Cached,
    tlb: Vec<(u64, TlbEntry)>,
    fills: u64,
    pending: Vec<Invalidation>,
}

/// Memory behind the configuration caches.
struct Cache<'a> {
    memory: &'a Ram,
    configuration: &'a Cached,
    transaction: &'a Transaction,
}

impl Words for Cache<'_> {
    fn word(&self, pa: Pa, why: Why) -> Option<u64> {
        let stream = self.transaction.stream;
        let key = match why {
            Why::Ste => ConfigKey::Ste(stream),
            Why::Cd => ConfigKey::Cd(stream, SubstreamId(0)),
            _ => return self.memory.read_word(pa).ok(),
        };
        let word = self.memory.read_word(pa).ok()?;
        Some(*self.configuration.borrow_mut().entry(key).or_default().entry(pa).or_insert(word))
    }
}

impl Adversary {
    /// What becomes of a transaction, and the entry that a walk may fill.
    pub(super) fn translate(
        &mut self,
        reference: &Reference,
        memory: &Ram,
        transaction: &Transaction,
    ) -> (Observation, Option<(u64, TlbEntry)>) {
        let transaction = *transaction;
        let words = Cache { memory, configuration: &self.configuration, transaction: &transaction };
        let ruling = reference.rule_from(&words, &transaction);
        let (space, input) = (ruling.space, transaction.iova.0);
        let found = space.and_then(|space| {
            let key = TlbKey { space, input };
            self.tlb.iter().find(|(_, entry)| entry.matches(&key))
        });
        if let Some(&(number, entry)) = found {
            let (output, path) = (entry.translate(input), Path::Hit(number));
            return (Observation::Translated { transaction, space, output, path }, None);
        }
        match ruling.allowed {
            Allowed::Translates(translation) => {
                self.fills += 1;
                let (output, path) = (translation.output, Path::Walk);
                let entry = Some((self.fills, translation.entry()));
                (Observation::Translated { transaction, space, output, path }, entry)
            }
            Allowed::Bypass(output) => {
                let path = Path::Bypass;
                (Observation::Translated { transaction, space, output, path }, None)
            }
            Allowed::Refuses(fault) => (Observation::Refused { transaction, fault }, None),
        }
    }

    pub(super) fn fill(&mut self, number: u64, entry: TlbEntry) {
        self.tlb.push((number, entry));
    }

    pub(super) fn invalidate(&mut self, scope: Invalidation) {
        if self.deaf {
            return;
        }
        self.pending.push(scope);
        if !self.lazy {
            self.synchronise();
        }
    }

    pub(super) fn synchronise(&mut self) {
        for scope in self.pending.drain(..) {
            self.tlb.retain(|(_, entry)| !scope.covers_translation(entry));
            self.configuration.borrow_mut().retain(|key, _| !scope.covers_configuration(key));
        }
    }
}
