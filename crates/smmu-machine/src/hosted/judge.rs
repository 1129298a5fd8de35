//! The checker of a hosted machine, and how it hears of what software stored.

use super::outputs::Host;
use super::seen::Seen;
use parking_lot::Mutex;
use smmu_arch::{Observation, Origin, Pa};
use smmu_bus::{Aborted, Memory, Observer};
use smmu_check::Checker;
use std::sync::Arc;

/// What a hosted machine and its ports share.
#[derive(Debug)]
pub(super) struct Desk<M, H> {
    pub(super) host: H,
    pub(super) memory: Arc<Seen<M>>,
    /// `None` where nobody judges.
    pub(super) checker: Option<Mutex<Checker<Arc<Seen<M>>>>>,
}

impl<M: Memory, H: Host> Desk<M, H> {
    /// Software may have stored something by now.
    pub(super) fn catch_up(&self) {
        let Some(checker) = &self.checker else { return };
        let mut checker = checker.lock();
        self.memory.compare(|pa, old, new| checker.stored(pa, old, new));
    }
}

/// Who listens at a port.
#[derive(Debug)]
pub(super) struct Ear<M, H>(pub(super) Arc<Desk<M, H>>);

impl<M: Memory, H: Host> Observer for Ear<M, H> {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        if self.0.host.listens() {
            self.0.host.observe(origin, observation);
        }
        if let Some(checker) = &self.0.checker {
            checker.lock().observe(origin, observation);
        }
    }
}

/// Memory as a translation reads it: the checker learns of a store before the SMMU acts on it.
pub(super) struct Fetched<'a, M, H>(pub(super) &'a Desk<M, H>);

impl<M: Memory, H: Host> Memory for Fetched<'_, M, H> {
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        let Some(checker) = &self.0.checker else { return self.0.memory.memory().read_word(pa) };
        self.0.memory.refresh(pa, |pa, old, new| checker.lock().stored(pa, old, new))
    }

    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.0.memory.memory().write_word(pa, value)
    }

    /// A hardware update of a descriptor.
    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        let found = self.0.memory.memory().compare_and_swap(pa, old, new)?;
        self.read_word(pa)?;
        Ok(found)
    }
}
