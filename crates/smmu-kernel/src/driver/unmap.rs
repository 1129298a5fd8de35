//! The second half of an unmap: waiting, freeing, promising.

use super::invalidate::Tag;
use super::{Batch, Env, Smmu, atc};
use crate::faults::FaultSwitch;
use smmu_arch::{Command, Promise};
use smmu_tables::Retired;

/// An unmap without commands; [`Deferred::finish`] after a flush of the domain makes it hold.
#[derive(Debug)]
#[must_use]
pub(crate) struct Deferred {
    pub(super) retired: Vec<Retired>,
    pub(super) promises: Vec<Promise>,
}

/// An unmap whose commands are on their way; [`PendingUnmap::finish`] makes it hold.
#[must_use]
pub(crate) struct PendingUnmap<'a> {
    pub(super) env: Env<'a>,
    pub(super) smmu: &'a Smmu,
    pub(super) batch: Option<Batch<'a>>,
    /// What endpoints have to forget when the batch has completed.
    pub(super) atc: Vec<Command>,
    pub(super) retired: Vec<Retired>,
    pub(super) promises: Vec<Promise>,
}

impl Deferred {
    /// Frees table pages and tells that the range is gone.
    pub(crate) fn finish(self, env: Env<'_>) {
        self.retired.iter().for_each(|page| env.driver.heap.free(env, page.pa, page.bytes));
        self.promises.into_iter().for_each(|promise| env.cpu.promise(promise));
    }
}

impl PendingUnmap<'_> {
    /// Waits for the commands, frees table pages and tells that the range is gone.
    pub(crate) fn finish(self) {
        let Self { env, smmu, batch, atc, retired, promises } = self;
        let free = || {
            retired.iter().for_each(|page| env.driver.heap.free(env, page.pa, page.bytes));
        };
        let early = env.has(FaultSwitch::FreeBeforeSync);
        if early {
            free();
        }
        if let Some(batch) = batch {
            if env.has(FaultSwitch::MissingSync) { batch.leave() } else { batch.sync() }
        }
        atc::forget(env, smmu, atc);
        if !early {
            free();
        }
        promises.into_iter().for_each(|promise| env.cpu.promise(promise));
    }
}

/// Forgets everything of a number.
pub(super) fn flush(env: Env<'_>, smmu: &Smmu, tag: Tag) {
    if env.has(FaultSwitch::ReuseWithoutTlbi) {
        return;
    }
    let mut batch = Batch::new(env, smmu);
    batch.add(tag.everything());
    if env.has(FaultSwitch::ReuseOrder) { batch.leave() } else { batch.sync() }
}
