//! The order of invalidations: which scopes took effect since a transaction began.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;
use smmu_arch::{Epoch, Invalidation};

/// Scopes that are remembered. A fill that is older than all of them is dropped unseen.
const DEPTH: u64 = 64;

/// The order of invalidations of one SMMU.
///
/// A transaction notes [`now`](Self::now) before its first configuration look-up and hands it to
/// every fill. A command pushes its scope first and then invalidates the structures.
#[derive(Debug)]
pub struct InvalidationLog {
    epoch: CachePadded<AtomicU64>,
    ring: Mutex<[Option<Invalidation>; DEPTH as usize]>,
}

impl Default for InvalidationLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for InvalidationLog {
    fn clone(&self) -> Self {
        let ring = self.ring.lock();
        Self { epoch: CachePadded::new(AtomicU64::new(self.now().0)), ring: Mutex::new(*ring) }
    }
}

impl InvalidationLog {
    /// A log in which nothing has been invalidated.
    #[must_use]
    pub fn new() -> Self {
        Self {
            epoch: CachePadded::new(AtomicU64::new(0)),
            ring: Mutex::new([None; DEPTH as usize]),
        }
    }

    /// The epoch of the last scope that took effect.
    #[must_use]
    pub fn now(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    /// `scope` takes effect now; returns its epoch.
    ///
    /// Call it before `invalidate` of the structures: a fill that passed its check earlier is
    /// then finished and found by them, and a later one sees the scope here.
    pub fn push(&self, scope: &Invalidation) -> Epoch {
        self.enter(Some(*scope))
    }

    /// A new epoch without a scope: tells what began before from what begins after, as the end of
    /// translation (SMMUEN going to 0) needs.
    pub fn advance(&self) -> Epoch {
        self.enter(None)
    }

    fn enter(&self, scope: Option<Invalidation>) -> Epoch {
        let mut ring = self.ring.lock();
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        ring[(epoch % DEPTH) as usize] = scope;
        self.epoch.store(epoch, Ordering::SeqCst);
        Epoch(epoch)
    }

    /// Whether a scope that took effect after `begin` covers what is about to be filled.
    ///
    /// Also true when more scopes took effect since than are remembered (64): then nobody can
    /// tell any more, and dropping a fill is always allowed.
    #[inline]
    #[must_use]
    pub fn overtook(&self, begin: Epoch, covers: impl Fn(&Invalidation) -> bool) -> bool {
        self.now() != begin && self.search(begin, covers)
    }

    #[cold]
    fn search(&self, begin: Epoch, covers: impl Fn(&Invalidation) -> bool) -> bool {
        let ring = self.ring.lock();
        let now = self.now().0;
        now.saturating_sub(begin.0) > DEPTH
            || (begin.0 + 1..=now)
                .any(|epoch| ring[(epoch % DEPTH) as usize].as_ref().is_some_and(&covers))
    }
}

#[cfg(test)]
mod tests {
    use smmu_arch::{ConfigScope, StreamId, TlbScope, Vmid};

    use super::*;

    fn vmall(vmid: u16) -> Invalidation {
        Invalidation::Translations(TlbScope::s12_vmall(Vmid(vmid)))
    }

    #[test]
    fn only_later_scopes_overtake() {
        let log = InvalidationLog::new();
        let first = log.push(&vmall(1));
        assert_eq!((first, log.now()), (Epoch(1), Epoch(1)));
        assert!(!log.overtook(first, |_| true));
        assert!(log.overtook(Epoch(0), |scope| *scope == vmall(1)));
        assert!(!log.overtook(Epoch(0), |scope| *scope == vmall(2)));
    }

    #[test]
    fn a_full_ring_still_answers_exactly_and_an_overflown_one_drops() {
        let log = InvalidationLog::new();
        log.push(&vmall(1));
        let other =
            Invalidation::Configuration(ConfigScope::Ste { stream: StreamId(1), leaf: true });
        (0..63).for_each(|_| {
            log.push(&other);
        });
        assert!(log.overtook(Epoch(0), |scope| *scope == vmall(1)));
        assert!(!log.overtook(Epoch(1), |scope| *scope == vmall(1)));
        assert!(!log.overtook(Epoch(0), |scope| *scope == vmall(2)));
        log.push(&other);
        assert!(log.overtook(Epoch(0), |_| false));
        assert!(!log.overtook(Epoch(1), |_| false));
    }

    #[test]
    fn a_copy_goes_its_own_way() {
        let log = InvalidationLog::new();
        let begin = log.now();
        log.push(&vmall(1));
        let copy = log.clone();
        log.push(&vmall(2));
        assert_eq!(copy.now(), Epoch(1));
        assert!(copy.overtook(begin, |scope| *scope == vmall(1)));
        assert!(!copy.overtook(begin, |scope| *scope == vmall(2)));
    }
}
