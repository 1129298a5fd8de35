//! State behind a lock of the driver.
//!
//! Several CPUs run the driver as coroutines of one host thread: every call of [`Cpu`] may let
//! another one run. A plain `RefCell` borrow held across such a call would meet the other CPU's
//! borrow and panic; a host lock would block the thread for ever. So state lives behind a lock of
//! the modelled machine, and a borrow exists only while that lock is held.

use smmu_bus::{Cpu, LockId};
use std::cell::{Cell, RefCell};

/// A value that is reached under its lock only.
#[derive(Debug)]
pub(crate) struct Guarded<T> {
    lock: LockId,
    value: RefCell<T>,
}

impl<T> Guarded<T> {
    /// A value with a lock of its own.
    pub(crate) fn new(locks: &LockNumbers, value: T) -> Self {
        Self { lock: locks.next(), value: RefCell::new(value) }
    }

    /// Runs `body` with the lock held. Locks are not recursive: `body` must not come back here.
    pub(crate) fn with<R>(&self, cpu: &dyn Cpu, body: impl FnOnce(&mut T) -> R) -> R {
        cpu.lock(self.lock);
        let result = body(&mut self.value.borrow_mut());
        cpu.unlock(self.lock);
        result
    }

    /// Reads without a CPU, for whoever looks at the kernel from outside between two steps.
    /// `None` while a CPU is inside.
    pub(crate) fn peek<R>(&self, body: impl FnOnce(&T) -> R) -> Option<R> {
        self.value.try_borrow().ok().map(|value| body(&value))
    }
}

/// Hands out lock numbers, in the order in which the driver makes its locks.
#[derive(Debug, Default)]
pub(crate) struct LockNumbers(Cell<u32>);

impl LockNumbers {
    fn next(&self) -> LockId {
        let number = self.0.get();
        self.0.set(number + 1);
        LockId(number)
    }
}
