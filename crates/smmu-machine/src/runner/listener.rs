//! Who watches a machine.

use smmu_arch::{Observation, Origin, Pa, Promise, SmmuId};
use smmu_bus::{Memory, Observer, StoreListener};
use smmu_check::{Checker, Globals};
use std::cell::RefCell;
use std::rc::Rc;

/// Is told what happens in a machine, in the order in which it happens.
///
/// It hears of a thing after it has taken effect, and must not touch the machine.
pub trait Listener: 'static {
    /// An SMMU reports.
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        let _ = (origin, observation);
    }

    /// A word of memory changed, whoever stored it.
    fn stored(&mut self, pa: Pa, old: u64, new: u64) {
        let _ = (pa, old, new);
    }

    /// The driver has kept a promise, as far as it knows.
    fn promised(&mut self, promise: &Promise) {
        let _ = promise;
    }

    /// Registers that transactions depend on have changed.
    fn globals(&mut self, smmu: SmmuId, globals: &Globals) {
        let _ = (smmu, globals);
    }
}

impl Listener for () {}

impl<M: Memory + 'static> Listener for Checker<M> {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        Observer::observe(self, origin, observation);
    }

    fn stored(&mut self, pa: Pa, old: u64, new: u64) {
        Checker::stored(self, pa, old, new);
    }

    fn promised(&mut self, promise: &Promise) {
        Checker::promised(self, *promise);
    }

    fn globals(&mut self, smmu: SmmuId, globals: &Globals) {
        Checker::globals(self, smmu, *globals);
    }
}

impl<A: Listener, B: Listener> Listener for (A, B) {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        self.0.observe(origin, observation);
        self.1.observe(origin, observation);
    }

    fn stored(&mut self, pa: Pa, old: u64, new: u64) {
        self.0.stored(pa, old, new);
        self.1.stored(pa, old, new);
    }

    fn promised(&mut self, promise: &Promise) {
        self.0.promised(promise);
        self.1.promised(promise);
    }

    fn globals(&mut self, smmu: SmmuId, globals: &Globals) {
        self.0.globals(smmu, globals);
        self.1.globals(smmu, globals);
    }
}

/// The one listener of a machine, at each place where something happens.
#[derive(Debug)]
pub struct Shared<L>(Rc<RefCell<L>>);

impl<L> Clone for Shared<L> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<L: Listener> Shared<L> {
    pub(super) fn new(listener: L) -> Self {
        Self(Rc::new(RefCell::new(listener)))
    }

    /// Looks at the listener, or changes it, between two steps of the machine.
    pub fn with<T>(&self, look: impl FnOnce(&mut L) -> T) -> T {
        look(&mut self.0.borrow_mut())
    }
}

impl<L: Listener> Observer for Shared<L> {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        self.0.borrow_mut().observe(origin, observation);
    }
}

impl<L: Listener> StoreListener for Shared<L> {
    fn stored(&self, pa: Pa, old: u64, new: u64) {
        self.0.borrow_mut().stored(pa, old, new);
    }
}
