//! What the checker knows of one SMMU.

use super::Moment;
use super::commands::Commands;
use super::fills::Fills;
use crate::reference::{Globals, Reference};
use rustc_hash::FxHashMap;
use smmu_arch::{Features, Transaction, TransactionId, Vmid};
use std::collections::BTreeMap;

/// A transaction that has begun and not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub at: Moment,
    pub transaction: Transaction,
}

/// Hits on entries that were filled for another stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sharing {
    /// All of them.
    pub shared: u64,
    /// Those where both streams have owners, and not the same one: 0 between virtual machines.
    pub cross_owner: u64,
}

#[derive(Debug)]
pub(super) struct Smmu {
    pub features: Features,
    /// Control registers, each from its moment on.
    pub globals: Vec<(Moment, Globals)>,
    pub commands: Commands,
    pub fills: Fills,
    pub in_flight: FxHashMap<TransactionId, Begun>,
    pub sharing: BTreeMap<Vmid, Sharing>,
}

impl Smmu {
    pub(super) fn new(features: Features) -> Self {
        Self {
            features,
            globals: Vec::new(),
            commands: Commands::default(),
            fills: Fills::default(),
            in_flight: FxHashMap::default(),
            sharing: BTreeMap::new(),
        }
    }

    /// The rules as they are now.
    pub(super) fn reference(&self) -> Reference {
        let globals = self.globals.last().map_or_else(Globals::default, |&(_, globals)| globals);
        Reference { features: self.features, globals }
    }
}
