//! Which transactions are in flight.
//!
//! A transaction is in flight from its first look-up until its own data access was made, hits
//! included. CMD_SYNC completes when every transaction that began before the commands ahead of it
//! took effect has ended (section "CMD_SYNC", completion of invalidation).

use crossbeam::utils::CachePadded;
use smmu_arch::{Epoch, PortId};
use smmu_cache::InvalidationLog;
use std::sync::atomic::{AtomicU64, Ordering, fence};

const IDLE: u64 = u64::MAX;

/// One padded slot a port.
#[derive(Debug)]
pub(crate) struct InFlight {
    slots: Box<[CachePadded<AtomicU64>]>,
}

impl InFlight {
    pub(crate) fn new(ports: u16) -> Self {
        Self { slots: (0..ports).map(|_| CachePadded::new(AtomicU64::new(IDLE))).collect() }
    }

    pub(crate) fn ports(&self) -> u16 {
        self.slots.len() as u16
    }

    /// A transaction begins at `port`.
    ///
    /// Either a CMD_SYNC sees the slot, or the look-ups see what the invalidations before it left.
    /// The slot is stored and the epoch read again in the one order of all such accesses. If the
    /// CMD_SYNC had read the slot before, the epochs of its invalidations come before that in the
    /// order, so the read meets them or later ones; and who reads an epoch sees the sweep that it
    /// follows. A fence would say the same and cost a second barrier of the host.
    #[inline]
    pub(crate) fn enter(&self, port: PortId, log: &InvalidationLog) -> Epoch {
        let begin = log.now();
        debug_assert!(
            self.slots[usize::from(port.0)].load(Ordering::Relaxed) == IDLE,
            "the transaction before has not ended at {port:?}"
        );
        self.slots[usize::from(port.0)].store(begin.0, Ordering::SeqCst);
        let _ = log.now();
        begin
    }

    /// The transaction at `port` has made its data access, or was refused.
    #[inline]
    pub(crate) fn leave(&self, port: PortId) {
        self.slots[usize::from(port.0)].store(IDLE, Ordering::Release);
    }

    /// Every transaction that began before `epoch` has ended.
    pub(crate) fn drained(&self, epoch: Epoch) -> bool {
        fence(Ordering::SeqCst);
        self.slots.iter().all(|slot| slot.load(Ordering::SeqCst) >= epoch.0)
    }
}
