//! Who listens to observations.

use smmu_arch::{Observation, Origin};

/// A listener at a port. It is a type parameter there: `()` costs nothing.
pub trait Observer {
    /// Whether observations are worth making at all.
    const LISTENS: bool = true;

    /// Takes one observation.
    fn observe(&mut self, origin: &Origin, observation: &Observation);
}

impl Observer for () {
    const LISTENS: bool = false;
    #[inline(always)]
    fn observe(&mut self, _: &Origin, _: &Observation) {}
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        (**self).observe(origin, observation);
    }
}

impl<O: Observer> Observer for &mut O {
    const LISTENS: bool = O::LISTENS;
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        (**self).observe(origin, observation);
    }
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    const LISTENS: bool = A::LISTENS || B::LISTENS;
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        self.0.observe(origin, observation);
        self.1.observe(origin, observation);
    }
}

impl<O: Observer> Observer for std::rc::Rc<std::cell::RefCell<O>> {
    const LISTENS: bool = O::LISTENS;
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        self.borrow_mut().observe(origin, observation);
    }
}
