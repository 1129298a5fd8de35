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
/// every fill. A command has its scope [`take_effect`](Self::take_effect) on the structures: the
/// scope is announced to fills before the sweep, and its epoch begins after the sweep. So whoever
/// may have looked something up that the sweep had not reached yet began before that epoch: its
/// fills are checked against the scope, and a CMD_SYNC waits for it.
#[derive(Debug)]
pub struct InvalidationLog {
    /// Epoch of the last scope that took effect: what transactions begin with.
    epoch: CachePadded<AtomicU64>,
    /// Epoch of the last scope announced, ahead of `epoch` while it is swept.
    announced: CachePadded<AtomicU64>,
    ring: Mutex<[Option<Invalidation>; DEPTH as usize]>,
    /// Held from the announcement of a scope to its epoch: scopes take effect one by one.
    order: Mutex<()>,
}

impl Default for InvalidationLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for InvalidationLog {
    fn clone(&self) -> Self {
        let _order = self.order.lock();
        let ring = self.ring.lock();
        let counter = || CachePadded::new(AtomicU64::new(self.now().0));
        Self {
            epoch: counter(),
            announced: counter(),
            ring: Mutex::new(*ring),
            order: Mutex::new(()),
        }
    }
}

impl InvalidationLog {
    /// A log in which nothing has been invalidated.
    #[must_use]
    pub fn new() -> Self {
        Self {
            epoch: CachePadded::new(AtomicU64::new(0)),
            announced: CachePadded::new(AtomicU64::new(0)),
            ring: Mutex::new([None; DEPTH as usize]),
            order: Mutex::new(()),
        }
    }

    /// The epoch of the last scope that took effect.
    #[must_use]
    pub fn now(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    /// `scope` takes effect: `sweep` invalidates the structures in between. Gives what `sweep`
    /// gives.
    ///
    /// A fill that passed its check before the announcement is finished when the sweep takes the
    /// structure's lock, and found by it; a later one sees the scope here. `sweep` must not
    /// change the log.
    pub fn take_effect<R>(&self, scope: &Invalidation, sweep: impl FnOnce() -> R) -> R {
        self.enter(Some(*scope), sweep).1
    }

    /// A new epoch without a scope: tells what began before from what begins after, as the end of
    /// translation (SMMUEN going to 0) needs.
    pub fn advance(&self) -> Epoch {
        self.enter(None, || ()).0
    }

    fn enter<R>(&self, scope: Option<Invalidation>, sweep: impl FnOnce() -> R) -> (Epoch, R) {
        let _order = self.order.lock();
        let epoch = self.announced.load(Ordering::Relaxed) + 1;
        {
            let mut ring = self.ring.lock();
            ring[(epoch % DEPTH) as usize] = scope;
            self.announced.store(epoch, Ordering::SeqCst);
        }
        let swept = sweep();
        self.epoch.store(epoch, Ordering::SeqCst);
        (Epoch(epoch), swept)
    }

    /// Whether a scope that took effect after `begin`, or is about to, covers what is about to be
    /// filled.
    ///
    /// Also true when more scopes took effect since than are remembered (64): then nobody can
    /// tell any more, and dropping a fill is always allowed.
    #[inline]
    #[must_use]
    pub fn overtook(&self, begin: Epoch, covers: impl Fn(&Invalidation) -> bool) -> bool {
        self.announced.load(Ordering::SeqCst) != begin.0 && self.search(begin, covers)
    }

    #[cold]
    fn search(&self, begin: Epoch, covers: impl Fn(&Invalidation) -> bool) -> bool {
        let ring = self.ring.lock();
        let announced = self.announced.load(Ordering::SeqCst);
        announced.saturating_sub(begin.0) > DEPTH
            || (begin.0 + 1..=announced)
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

    /// A scope takes effect with nothing to sweep; gives its epoch.
    fn push(log: &InvalidationLog, scope: &Invalidation) -> Epoch {
        log.take_effect(scope, || ());
        log.now()
    }

    #[test]
    fn only_later_scopes_overtake() {
        let log = InvalidationLog::new();
        let first = push(&log, &vmall(1));
        assert_eq!((first, log.now()), (Epoch(1), Epoch(1)));
        assert!(!log.overtook(first, |_| true));
        assert!(log.overtook(Epoch(0), |scope| *scope == vmall(1)));
        assert!(!log.overtook(Epoch(0), |scope| *scope == vmall(2)));
    }

    #[test]
    fn a_full_ring_still_answers_exactly_and_an_overflown_one_drops() {
        let log = InvalidationLog::new();
        push(&log, &vmall(1));
        let other =
            Invalidation::Configuration(ConfigScope::Ste { stream: StreamId(1), leaf: true });
        (0..63).for_each(|_| {
            push(&log, &other);
        });
        assert!(log.overtook(Epoch(0), |scope| *scope == vmall(1)));
        assert!(!log.overtook(Epoch(1), |scope| *scope == vmall(1)));
        assert!(!log.overtook(Epoch(0), |scope| *scope == vmall(2)));
        push(&log, &other);
        assert!(log.overtook(Epoch(0), |_| false));
        assert!(!log.overtook(Epoch(1), |_| false));
    }

    #[test]
    fn who_begins_during_the_sweep_began_before_the_scope() {
        let log = InvalidationLog::new();
        let begin = log.take_effect(&vmall(1), || log.now());
        assert_eq!((begin, log.now()), (Epoch(0), Epoch(1)));
        assert!(log.overtook(begin, |scope| *scope == vmall(1)));
        assert!(!log.overtook(log.now(), |_| true));
    }

    #[test]
    fn a_fill_during_the_sweep_sees_the_scope() {
        let log = InvalidationLog::new();
        let seen = log.take_effect(&vmall(1), || log.overtook(log.now(), |s| *s == vmall(1)));
        assert!(seen);
    }

    #[test]
    fn a_copy_goes_its_own_way() {
        let log = InvalidationLog::new();
        let begin = log.now();
        push(&log, &vmall(1));
        let copy = log.clone();
        push(&log, &vmall(2));
        assert_eq!(copy.now(), Epoch(1));
        assert!(copy.overtook(begin, |scope| *scope == vmall(1)));
        assert!(!copy.overtook(begin, |scope| *scope == vmall(2)));
    }
}
