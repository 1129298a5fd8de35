//! Policies that take ways in turn.

use super::{Policy, Shape};

/// Each set's ways in turn, from way 0.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    ways: u32,
    turns: Vec<u32>,
}

impl RoundRobin {
    /// Every set begins at way 0.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { ways: shape.ways as u32, turns: vec![0; shape.sets] }
    }
}

impl Policy for RoundRobin {
    #[inline]
    fn victim(&mut self, set: usize) -> usize {
        let turn = &mut self.turns[set];
        let way = *turn;
        *turn = if way + 1 == self.ways { 0 } else { way + 1 };
        way as usize
    }
}

/// One turn for the whole structure: it moves on and is then used, so that way 1 goes first.
#[derive(Clone, Debug)]
pub struct RoundRobinPerCache {
    ways: usize,
    turn: usize,
}

impl RoundRobinPerCache {
    /// The turn begins at way 0.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { ways: shape.ways, turn: 0 }
    }
}

impl Policy for RoundRobinPerCache {
    #[inline]
    fn victim(&mut self, _: usize) -> usize {
        self.turn = if self.turn + 1 == self.ways { 0 } else { self.turn + 1 };
        self.turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { sets: 2, ways: 3 };

    #[test]
    fn each_set_has_its_own_turn() {
        let mut policy = RoundRobin::new(SHAPE);
        assert_eq!([0, 0, 1, 0, 0].map(|set| policy.victim(set)), [0, 1, 0, 2, 0]);
    }

    #[test]
    fn one_turn_for_all_begins_at_way_1() {
        let mut policy = RoundRobinPerCache::new(SHAPE);
        assert_eq!([0, 1, 0, 1].map(|set| policy.victim(set)), [1, 2, 0, 1]);
    }
}
