//! The one trait over which the driver model runs.
//!
//! The driver is straight-line code. Every call of [`Cpu`] is a point where another actor may run;
//! between two calls nothing else does. What a call costs is charged by the runner.

mod direct;
mod scheduled;

pub use direct::{DirectCpu, Platform};
pub use scheduled::{CpuActor, ScheduledCpu};

use crate::{Aborted, LockId};
use smmu_arch::{BroadcastTlbi, Pa, Promise};

/// A processor that runs the driver model.
///
/// Time is virtual nanoseconds. Locks are the driver's own: named by number, not recursive. Words of
/// memory are aligned to 8 bytes: the low three bits of their addresses are ignored.
pub trait Cpu {
    /// Reads an aligned word of memory.
    ///
    /// # Errors
    /// [`Aborted`] where no memory answers.
    fn load(&self, pa: Pa) -> Result<u64, Aborted>;

    /// Writes an aligned word of memory.
    ///
    /// # Errors
    /// [`Aborted`] where no memory answers.
    fn store(&self, pa: Pa, value: u64) -> Result<(), Aborted>;

    /// Replaces an aligned word of memory if it is `old`; gives the value found.
    ///
    /// # Errors
    /// [`Aborted`] where no memory answers.
    fn cas(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted>;

    /// Reads a device register of 4 or 8 bytes.
    fn mmio_read(&self, address: Pa, bytes: u8) -> u64;

    /// Writes a device register of 4 or 8 bytes.
    fn mmio_write(&self, address: Pa, bytes: u8, value: u64);

    /// Orders accesses before it against those after it.
    fn barrier(&self);

    /// Executes a TLBI instruction that is broadcast. It is complete after the next [`Cpu::dsb`].
    fn tlbi(&self, tlbi: BroadcastTlbi);

    /// Returns once the TLBI instructions before it are complete in every SMMU that takes part
    /// (DSB). It orders accesses as [`Cpu::barrier`] does.
    fn dsb(&self);

    /// Takes a lock; returns when it is held.
    fn lock(&self, lock: LockId);

    /// Gives a lock back.
    fn unlock(&self, lock: LockId);

    /// Returns once virtual time has come to `ns`.
    fn wait_until(&self, ns: u64);

    /// Virtual time in nanoseconds.
    fn now_ns(&self) -> u64;

    /// Tells that a promise was kept, as far as the driver knows.
    fn promise(&self, promise: Promise);
}
