//! A CPU that runs on the caller's thread.

use crate::{Aborted, Cpu, LockId, Memory};
use parking_lot::{Condvar, Mutex};
use rustc_hash::FxHashMap;
use smmu_arch::{BroadcastTlbi, Pa, Promise};
use std::sync::atomic::{Ordering, fence};
use std::thread::{self, ThreadId};

/// What a machine offers to a [`DirectCpu`]: it answers at once.
pub trait Platform {
    /// Memory as CPUs see it.
    type Memory: Memory + ?Sized;

    /// Memory as CPUs see it.
    fn memory(&self) -> &Self::Memory;

    /// Reads a device register of 4 or 8 bytes.
    fn mmio_read(&self, address: Pa, bytes: u8) -> u64;

    /// Writes a device register of 4 or 8 bytes. The platform may let the device act on it before
    /// it returns.
    fn mmio_write(&self, address: Pa, bytes: u8, value: u64);

    /// Hands a broadcast TLBI to every SMMU that takes part. Of these there need not be any.
    fn tlbi(&self, tlbi: &BroadcastTlbi) {
        let _ = tlbi;
    }

    /// Returns once the broadcasts before it are complete.
    fn broadcast_sync(&self) {}

    /// Virtual time in nanoseconds.
    fn now_ns(&self) -> u64;

    /// Lets the machine run until virtual time has come to `ns`. Nothing happens if it has.
    fn advance_to(&self, ns: u64);

    /// Takes notice of a promise.
    fn promise(&self, promise: Promise);
}

/// A CPU every call of which is answered on the caller's thread.
///
/// Threads may share one: then locks hold between them, as they would between processors. The locks
/// live in the CPU, so that a platform whose drivers share locks has one CPU.
///
/// # Panics
/// [`Cpu::lock`] by the thread that holds the lock, and [`Cpu::unlock`] by one that does not: these
/// are mistakes of the driver model.
#[derive(Debug)]
pub struct DirectCpu<'p, P> {
    platform: &'p P,
    holders: Mutex<FxHashMap<LockId, ThreadId>>,
    released: Condvar,
}

impl<'p, P: Platform> DirectCpu<'p, P> {
    /// A CPU of `platform`, with every lock free.
    pub fn new(platform: &'p P) -> Self {
        Self { platform, holders: Mutex::default(), released: Condvar::new() }
    }

    /// The platform that answers.
    pub const fn platform(&self) -> &'p P {
        self.platform
    }
}

impl<P: Platform> Cpu for DirectCpu<'_, P> {
    fn load(&self, pa: Pa) -> Result<u64, Aborted> {
        self.platform.memory().read_word(pa.align_down(3))
    }

    fn store(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.platform.memory().write_word(pa.align_down(3), value)
    }

    fn cas(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        self.platform.memory().compare_and_swap(pa.align_down(3), old, new)
    }

    fn mmio_read(&self, address: Pa, bytes: u8) -> u64 {
        self.platform.mmio_read(address, bytes)
    }

    fn mmio_write(&self, address: Pa, bytes: u8, value: u64) {
        self.platform.mmio_write(address, bytes, value);
    }

    fn barrier(&self) {
        fence(Ordering::SeqCst);
    }

    fn tlbi(&self, tlbi: BroadcastTlbi) {
        self.platform.tlbi(&tlbi);
    }

    fn dsb(&self) {
        fence(Ordering::SeqCst);
        self.platform.broadcast_sync();
    }

    fn lock(&self, lock: LockId) {
        let me = thread::current().id();
        let mut holders = self.holders.lock();
        while let Some(&holder) = holders.get(&lock) {
            assert!(holder != me, "{lock:?} is taken by the thread that holds it");
            self.released.wait(&mut holders);
        }
        holders.insert(lock, me);
    }

    fn unlock(&self, lock: LockId) {
        let holder = self.holders.lock().remove(&lock);
        let me = Some(thread::current().id());
        assert!(holder == me, "{lock:?} is given back by a thread that does not hold it");
        self.released.notify_all();
    }

    fn wait_until(&self, ns: u64) {
        self.platform.advance_to(ns);
    }

    fn now_ns(&self) -> u64 {
        self.platform.now_ns()
    }

    fn promise(&self, promise: Promise) {
        self.platform.promise(promise);
    }
}
