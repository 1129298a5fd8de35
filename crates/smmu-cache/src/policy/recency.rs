//! Policies that remember what was used.

use super::memory::Words;
use super::{NoTree, Policy, Shape};

/// The way that was not used for the longest time.
#[derive(Clone, Debug)]
pub struct Lru {
    stamps: Stamps,
    /// Uses so far, of every set for itself: threads that use different sets meet nowhere.
    now: Words,
}

impl Lru {
    /// Nothing was used yet.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { stamps: Stamps::new(shape), now: Words::new(shape.sets, 0) }
    }

    fn touch(&self, set: usize, way: usize) {
        let now = self.now.get(set) + 1;
        self.now.put(set, now);
        self.stamps.put(set, way, now);
    }
}

impl Policy for Lru {
    const REMEMBERS_HITS: bool = true;

    #[inline]
    fn hit(&self, set: usize, way: usize) {
        self.touch(set, way);
    }

    #[inline]
    fn filled(&self, set: usize, way: usize) {
        self.touch(set, way);
    }

    #[inline]
    fn victim(&self, set: usize) -> usize {
        self.stamps.oldest(set)
    }
}

/// gem5's LRU: a fill stamps 0, so that a new entry is the next to go until its first hit; a hit
/// stamps the counter and moves it on.
#[derive(Clone, Debug)]
pub struct Gem5Lru {
    stamps: Stamps,
    counter: Words,
}

impl Gem5Lru {
    /// The counter begins at 0.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { stamps: Stamps::new(shape), counter: Words::new(1, 0) }
    }
}

impl Policy for Gem5Lru {
    const REMEMBERS_HITS: bool = true;

    #[inline]
    fn hit(&self, set: usize, way: usize) {
        let counter = self.counter.get(0);
        self.stamps.put(set, way, counter);
        self.counter.put(0, counter + 1);
    }

    #[inline]
    fn filled(&self, set: usize, way: usize) {
        self.stamps.put(set, way, 0);
    }

    #[inline]
    fn victim(&self, set: usize) -> usize {
        self.stamps.oldest(set)
    }
}

/// A stamp for each way.
#[derive(Clone, Debug)]
struct Stamps {
    ways: usize,
    stamps: Words,
}

impl Stamps {
    fn new(shape: Shape) -> Self {
        Self { ways: shape.ways, stamps: Words::new(shape.sets * shape.ways, 0) }
    }

    fn put(&self, set: usize, way: usize, stamp: u64) {
        self.stamps.put(set * self.ways + way, stamp);
    }

    /// The way with the smallest stamp, the lowest of several.
    fn oldest(&self, set: usize) -> usize {
        let stamps = self.stamps.values(set * self.ways, self.ways);
        let oldest = stamps.enumerate().min_by_key(|(_, stamp)| *stamp);
        oldest.map_or(0, |(way, _)| way)
    }
}

/// A binary tree of bits over the ways: each use turns the bits on its path away from it, and the
/// victim is found by following them.
#[derive(Clone, Debug)]
pub struct TreePlru {
    levels: u32,
    /// Bit n of a word is node n of the tree of the set; the root is node 1.
    trees: Words,
}

impl TreePlru {
    /// Every bit points to the lower half.
    ///
    /// # Errors
    /// Ways that are no power of two, or more than 64.
    pub fn new(shape: Shape) -> Result<Self, NoTree> {
        if !shape.ways.is_power_of_two() || shape.ways > 64 {
            return Err(NoTree(shape.ways));
        }
        Ok(Self { levels: shape.ways.ilog2(), trees: Words::new(shape.sets, 0) })
    }

    fn touch(&self, set: usize, way: usize) {
        let mut tree = self.trees.get(set);
        let mut node = 1;
        for level in (0..self.levels).rev() {
            let upper = (way >> level & 1) as u64;
            tree = tree & !(1 << node) | (upper ^ 1) << node;
            node = 2 * node + upper;
        }
        self.trees.put(set, tree);
    }
}

impl Policy for TreePlru {
    const REMEMBERS_HITS: bool = true;

    #[inline]
    fn hit(&self, set: usize, way: usize) {
        self.touch(set, way);
    }

    #[inline]
    fn filled(&self, set: usize, way: usize) {
        self.touch(set, way);
    }

    #[inline]
    fn victim(&self, set: usize) -> usize {
        let tree = self.trees.get(set);
        let leaf = (0..self.levels).fold(1, |node, _| 2 * node + (tree >> node & 1));
        leaf as usize - (1 << self.levels)
    }
}

/// Static re-reference interval prediction with two bits, hit priority (SRRIP-HP): Jaleel et al.,
/// "High Performance Cache Replacement Using Re-Reference Interval Prediction", ISCA 2010.
#[derive(Clone, Debug)]
pub struct Rrip {
    ways: usize,
    predictions: Words,
}

impl Rrip {
    /// Furthest prediction of two bits.
    const DISTANT: u64 = 3;

    /// Everything is predicted to be used in the distant future.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { ways: shape.ways, predictions: Words::new(shape.sets * shape.ways, Self::DISTANT) }
    }
}

impl Policy for Rrip {
    const REMEMBERS_HITS: bool = true;

    #[inline]
    fn hit(&self, set: usize, way: usize) {
        self.predictions.put(set * self.ways + way, 0);
    }

    #[inline]
    fn filled(&self, set: usize, way: usize) {
        self.predictions.put(set * self.ways + way, Self::DISTANT - 1);
    }

    #[inline]
    fn victim(&self, set: usize) -> usize {
        let first = set * self.ways;
        let predictions = || self.predictions.values(first, self.ways).enumerate();
        let furthest = predictions().map(|(_, prediction)| prediction).max().unwrap_or(0);
        for (way, prediction) in predictions() {
            self.predictions.put(first + way, prediction + Self::DISTANT - furthest);
        }
        predictions().find(|&(_, it)| it == Self::DISTANT).map_or(0, |(way, _)| way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { sets: 1, ways: 4 };

    fn fill(policy: &impl Policy) {
        (0..4).for_each(|way| policy.filled(0, way));
    }

    #[test]
    fn the_least_recently_used_way_goes() {
        let policy = Lru::new(SHAPE);
        fill(&policy);
        policy.hit(0, 0);
        assert_eq!(policy.victim(0), 1);
        policy.filled(0, 1);
        assert_eq!(policy.victim(0), 2);
    }

    #[test]
    fn gem5_takes_the_newest_entry_that_was_not_hit() {
        let policy = Gem5Lru::new(SHAPE);
        fill(&policy);
        policy.hit(0, 0); // the first hit stamps 0
        assert_eq!(policy.victim(0), 0);
        policy.hit(0, 0);
        assert_eq!(policy.victim(0), 1);
        policy.filled(0, 1);
        assert_eq!(policy.victim(0), 1, "it was not hit");
    }

    #[test]
    fn the_tree_points_away_from_what_was_used() {
        let policy = TreePlru::new(SHAPE).expect("four ways");
        fill(&policy);
        assert_eq!(policy.victim(0), 0);
        policy.hit(0, 0);
        assert_eq!(policy.victim(0), 2);
        policy.hit(0, 2);
        assert_eq!(policy.victim(0), 1);
        assert_eq!(TreePlru::new(Shape { sets: 1, ways: 3 }).err(), Some(NoTree(3)));
        let one = TreePlru::new(Shape { sets: 1, ways: 1 }).expect("one way");
        one.hit(0, 0);
        assert_eq!(one.victim(0), 0);
    }

    #[test]
    fn what_was_hit_outlives_what_was_only_filled() {
        let policy = Rrip::new(SHAPE);
        fill(&policy);
        policy.hit(0, 0);
        assert_eq!(policy.victim(0), 1);
        policy.filled(0, 1);
        assert_eq!(policy.victim(0), 2, "all were aged: 2 and 3 are distant by now");
        policy.filled(0, 2);
        policy.filled(0, 3);
        assert_eq!(policy.victim(0), 1, "aged again, and 0 with them");
    }
}
