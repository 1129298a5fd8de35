//! What actors queue for.
//!
//! A *server* does one thing in a fixed time: a port of a TLB, a link, a memory channel. A *pool*
//! has slots that an actor holds for as long as it needs: walk slots, translation slots. Both serve
//! in the order of arrival.

use crate::Moment;
use std::collections::VecDeque;

/// What a resource has done so far. Means over a time are these sums divided by it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Arrivals that were served, or have their slot.
    pub arrivals: u64,
    /// Of which had to wait.
    pub waited: u64,
    /// Time that all of them together waited.
    pub wait: Moment,
    /// The longest wait.
    pub longest_wait: Moment,
    /// Time that all slots together were taken.
    pub busy: Moment,
}

impl Usage {
    fn arrived(&mut self, wait: Moment) {
        self.arrivals += 1;
        self.waited += u64::from(wait > Moment(0));
        self.wait += wait;
        self.longest_wait = self.longest_wait.max(wait);
    }
}

/// A resource whose time of service is known at the arrival.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// When each slot is free again.
    free_at: Vec<Moment>,
    pub(crate) usage: Usage,
}

impl Server {
    /// One of this many slots.
    pub(crate) fn new(slots: u32) -> Self {
        Self { free_at: vec![Moment(0); slots as usize], usage: Usage::default() }
    }

    pub(crate) fn slots(&self) -> u64 {
        self.free_at.len() as u64
    }

    /// An arrival at `now` takes a slot for `service`, as soon as one is free: gives that moment,
    /// and the slot. As arrivals come in the order of time, whoever came before has taken its slot already.
    pub(crate) fn serve(&mut self, now: Moment, service: Moment) -> (Moment, usize) {
        let mut first = 0;
        for (index, free_at) in self.free_at.iter().enumerate() {
            if *free_at < self.free_at[first] {
                first = index;
            }
        }
        let start = now.max(self.free_at[first]);
        self.free_at[first] = start + service;
        self.usage.arrived(start - now);
        self.usage.busy += service;
        (start, first)
    }
}

/// A resource that is held.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    slots: u32,
    taken: u32,
    /// When the number of taken slots changed last.
    changed: Moment,
    /// Who waits, and since when.
    waiting: VecDeque<(u32, Moment)>,
    usage: Usage,
}

impl Pool {
    /// One of this many slots.
    pub(crate) fn new(slots: u32) -> Self {
        let (taken, changed) = (0, Moment(0));
        Self { slots, taken, changed, waiting: VecDeque::new(), usage: Usage::default() }
    }

    pub(crate) fn slots(&self) -> u64 {
        self.slots.into()
    }

    /// `who` takes a slot, or waits for one (`false`).
    pub(crate) fn take(&mut self, now: Moment, who: u32) -> bool {
        if self.taken == self.slots {
            self.waiting.push_back((who, now));
            return false;
        }
        self.pass(now);
        self.taken += 1;
        self.usage.arrived(Moment(0));
        true
    }

    /// A slot is given back, and goes to the first who waits, if any: who that is, and its wait.
    pub(crate) fn give_back(&mut self, now: Moment) -> Option<(u32, Moment)> {
        self.pass(now);
        let Some((who, since)) = self.waiting.pop_front() else {
            self.taken -= 1;
            return None;
        };
        let wait = now - since;
        self.usage.arrived(wait);
        Some((who, wait))
    }

    /// Slots that are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.into()
    }

    pub(crate) fn restart_counts(&mut self, now: Moment) {
        self.usage = Usage::default();
        self.changed = now;
    }

    /// How many wait for one.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    fn pass(&mut self, now: Moment) {
        self.usage.busy += Moment((now - self.changed).0.saturating_mul(self.taken.into()));
        self.changed = now;
    }

    /// Usage up to `now`.
    pub(crate) fn usage(&self, now: Moment) -> Usage {
        let held = Moment((now - self.changed).0.saturating_mul(self.taken.into()));
        Usage { busy: self.usage.busy + held, ..self.usage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_first_come_first_served_over_its_slots() {
        let mut server = Server::new(2);
        let starts = [0, 0, 0, 1, 50].map(|at| server.serve(Moment(at), Moment(10)).0.0);
        assert_eq!(starts, [0, 0, 10, 10, 50]);
        let usage = server.usage;
        assert_eq!((usage.arrivals, usage.waited, usage.wait.0, usage.busy.0), (5, 2, 19, 50));
    }

    #[test]
    fn a_pool_hands_a_slot_to_who_waited_longest() {
        let mut pool = Pool::new(1);
        assert!(pool.take(Moment(0), 7));
        assert!(!pool.take(Moment(2), 8) && !pool.take(Moment(3), 9));
        assert_eq!(pool.give_back(Moment(10)), Some((8, Moment(8))));
        assert_eq!(pool.give_back(Moment(15)), Some((9, Moment(12))));
        assert_eq!(pool.usage(Moment(18)).busy, Moment(18));
        assert_eq!(pool.give_back(Moment(20)), None);
        let usage = pool.usage(Moment(100));
        assert_eq!((usage.busy.0, usage.wait.0, usage.longest_wait.0), (20, 20, 12));
    }
}
