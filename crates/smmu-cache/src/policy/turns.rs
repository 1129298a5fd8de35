//! Policies that take ways in turn.

use super::memory::Words;
use super::{Policy, Shape};

/// Each set's ways in turn, from way 0.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    ways: u64,
    turns: Words,
}

impl RoundRobin {
    /// Every set begins at way 0.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { ways: shape.ways as u64, turns: Words::new(shape.sets, 0) }
    }
}

impl Policy for RoundRobin {
    #[inline]
    fn victim(&self, set: usize) -> usize {
        let way = self.turns.get(set);
        self.turns.put(set, if way + 1 == self.ways { 0 } else { way + 1 });
        way as usize
    }
}

/// One turn for the whole structure: it moves on and is then used, so that way 1 goes first.
#[derive(Clone, Debug)]
pub struct RoundRobinPerCache {
    ways: u64,
    turn: Words,
}

impl RoundRobinPerCache {
    /// The turn begins at way 0.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { ways: shape.ways as u64, turn: Words::new(1, 0) }
    }
}

impl Policy for RoundRobinPerCache {
    #[inline]
    fn victim(&self, _: usize) -> usize {
        let next = self.turn.get(0) + 1;
        let way = if next == self.ways { 0 } else { next };
        self.turn.put(0, way);
        way as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { sets: 2, ways: 3 };

    #[test]
    fn each_set_has_its_own_turn() {
        let policy = RoundRobin::new(SHAPE);
        assert_eq!([0, 0, 1, 0, 0].map(|set| policy.victim(set)), [0, 1, 0, 2, 0]);
    }

    #[test]
    fn one_turn_for_all_begins_at_way_1() {
        let policy = RoundRobinPerCache::new(SHAPE);
        assert_eq!([0, 1, 0, 1].map(|set| policy.victim(set)), [1, 2, 0, 1]);
    }
}
