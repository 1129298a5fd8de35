//! The event queue.

use crate::Moment;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is to happen: at a moment, to an actor, in the order in which it was said.
///
/// Events of one moment go by the number of the actor, then by the order in which they were
/// scheduled. So nothing depends on how the queue is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Event {
    pub(crate) at: Moment,
    pub(crate) actor: u64,
    sequence: u64,
    /// Where the actor's record is.
    pub(crate) place: u32,
}

/// Events that are to come.
#[derive(Clone, Default, Debug)]
pub(crate) struct EventQueue {
    heap: BinaryHeap<Reverse<Event>>,
    scheduled: u64,
}

impl EventQueue {
    pub(crate) fn schedule(&mut self, at: Moment, actor: u64, place: u32) {
        let sequence = self.scheduled;
        self.scheduled += 1;
        self.heap.push(Reverse(Event { at, actor, sequence, place }));
    }

    pub(crate) fn next(&mut self) -> Option<Event> {
        self.heap.pop().map(|Reverse(event)| event)
    }

    /// Whether an actor that goes on at `at` would be the next to do so anyway.
    pub(crate) fn is_next(&self, at: Moment, actor: u64) -> bool {
        self.heap.peek().is_none_or(|Reverse(first)| (at, actor) < (first.at, first.actor))
    }

    /// Events scheduled so far.
    pub(crate) const fn scheduled(&self) -> u64 {
        self.scheduled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_moment_go_by_actor_and_then_as_scheduled() {
        let mut queue = EventQueue::default();
        for (at, actor, place) in [(5, 1, 0), (3, 9, 1), (3, 2, 2), (3, 2, 3), (0, 7, 4)] {
            queue.schedule(Moment(at), actor, place);
        }
        assert!(queue.is_next(Moment(0), 6) && !queue.is_next(Moment(0), 7));
        let order: Vec<u32> = std::iter::from_fn(|| queue.next()).map(|e| e.place).collect();
        assert_eq!((order, queue.scheduled()), (vec![4, 2, 3, 1, 0], 5));
    }
}
