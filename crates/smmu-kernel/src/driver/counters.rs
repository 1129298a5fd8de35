//! What the driver counts.

use smmu_arch::{Command, SmmuId};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// What the driver of one SMMU did since boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmmuStatistics {
    /// SMMU.
    pub smmu: SmmuId,
    /// Commands put in the queue, by the architecture's name.
    pub commands: BTreeMap<&'static str, u64>,
    /// Doorbells rung: writes of CMDQ_PROD.
    pub doorbells: u64,
    /// Rewrites of stream table entries.
    pub ste_writes: u64,
    /// Rewrites that had to pass through V = 0.
    pub ste_breaks: u64,
    /// Mappings made.
    pub maps: u64,
    /// Mappings taken away.
    pub unmaps: u64,
    /// VMIDs in use.
    pub vmids_in_use: u32,
    /// ASIDs in use.
    pub asids_in_use: u32,
}

impl SmmuStatistics {
    /// CMD_SYNCs put in the queue.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.commands.get("CMD_SYNC").copied().unwrap_or(0)
    }
}

/// Plain counters: they are touched between two calls of a CPU only, so that no lock is needed.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commands: RefCell<BTreeMap<&'static str, u64>>,
    pub(crate) doorbells: Count,
    pub(crate) ste_writes: Count,
    pub(crate) ste_breaks: Count,
    pub(crate) maps: Count,
    pub(crate) unmaps: Count,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Count(Cell<u64>);

impl Count {
    pub(crate) fn add_one(&self) {
        self.0.set(self.0.get() + 1);
    }
}

impl Counters {
    pub(crate) fn count_command(&self, command: &Command) {
        *self.commands.borrow_mut().entry(command.name()).or_default() += 1;
    }

    pub(crate) fn statistics(&self, smmu: SmmuId, vmids: u32, asids: u32) -> SmmuStatistics {
        SmmuStatistics {
            smmu,
            commands: self.commands.borrow().clone(),
            doorbells: self.doorbells.0.get(),
            ste_writes: self.ste_writes.0.get(),
            ste_breaks: self.ste_breaks.0.get(),
            maps: self.maps.0.get(),
            unmaps: self.unmaps.0.get(),
            vmids_in_use: vmids,
            asids_in_use: asids,
        }
    }
}
