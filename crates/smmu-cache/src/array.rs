//! A set-associative array of tags that one owner uses: for studies over traces, where nothing is
//! translated and nobody else looks.
//!
//! A tag is one word, 0 for an empty way. What it is made of, and which set it belongs to, the owner
//! decides.

use crate::policy::{Policy, Shape};

/// What a reference found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It was there.
    Hit,
    /// It was put into an empty way.
    Inserted,
    /// It took the place of this tag.
    Replaced(u64),
}

impl Found {
    /// It was there.
    #[must_use]
    pub const fn is_hit(self) -> bool {
        matches!(self, Self::Hit)
    }
}

/// An array with `W` ways; 0 for a number that is known at run time only.
#[derive(Clone, Debug)]
pub struct Array<const W: usize, P> {
    shape: Shape,
    tags: Vec<u64>,
    policy: P,
}

impl<const W: usize, P: Policy> Array<W, P> {
    /// An empty array.
    ///
    /// # Panics
    /// `W` is neither 0 nor the ways of the shape.
    #[must_use]
    pub fn new(shape: Shape, policy: P) -> Self {
        assert!(W == 0 || W == shape.ways, "{W} ways are not {}", shape.ways);
        Self { shape, tags: vec![0; shape.sets * shape.ways], policy }
    }

    #[inline(always)]
    const fn ways(&self) -> usize {
        if W == 0 { self.shape.ways } else { W }
    }

    /// Every way is compared, so that nothing depends on where the tag is.
    #[inline(always)]
    fn position(&self, set: usize, tag: u64) -> Option<usize> {
        let ways = self.ways();
        let tags = &self.tags[set * ways..][..ways];
        let none = usize::MAX;
        let at = (0..ways).fold(none, |at, way| if tags[way] == tag { at.min(way) } else { at });
        (at != none).then_some(at)
    }

    /// Looks for `tag`, which is not 0, and tells the policy of a hit.
    #[inline(always)]
    pub fn look_up(&mut self, set: usize, tag: u64) -> bool {
        let found = self.position(set, tag);
        if let Some(way) = found {
            self.policy.hit(set, way);
        }
        found.is_some()
    }

    /// Puts in `tag`, which is not 0: over itself, into the lowest empty way, or in place of the
    /// policy's victim.
    #[inline(always)]
    pub fn store(&mut self, set: usize, tag: u64) -> Found {
        if let Some(way) = self.position(set, tag) {
            self.policy.filled(set, way);
            return Found::Hit;
        }
        self.put_in(set, tag)
    }

    /// As [`Self::store`], for a tag that is known to be absent.
    #[inline(always)]
    fn put_in(&mut self, set: usize, tag: u64) -> Found {
        let empty = self.position(set, 0);
        let way = empty.unwrap_or_else(|| self.policy.victim(set));
        let ways = self.ways();
        let old = std::mem::replace(&mut self.tags[set * ways + way], tag);
        self.policy.filled(set, way);
        if empty.is_some() { Found::Inserted } else { Found::Replaced(old) }
    }

    /// Looks for `tag`, and puts it in where it is missing.
    #[inline(always)]
    pub fn refer(&mut self, set: usize, tag: u64) -> Found {
        if self.look_up(set, tag) { Found::Hit } else { self.put_in(set, tag) }
    }

    /// Drops a tag; tells whether it was there.
    pub fn drop_tag(&mut self, set: usize, tag: u64) -> bool {
        let found = self.position(set, tag);
        if let Some(way) = found {
            let ways = self.ways();
            self.tags[set * ways + way] = 0;
        }
        found.is_some()
    }

    /// Drops the tags that `covers` names, and hands over each.
    pub fn drop_all(&mut self, covers: impl Fn(u64) -> bool, mut dropped: impl FnMut(u64)) {
        for tag in self.tags.iter_mut().filter(|tag| **tag != 0 && covers(**tag)) {
            dropped(std::mem::take(tag));
        }
    }

    /// Sets and ways.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Lru, RoundRobin};

    const SHAPE: Shape = Shape { sets: 2, ways: 2 };

    #[test]
    fn empty_ways_fill_from_the_lowest_and_then_the_policy_is_asked() {
        let mut array = Array::<2, _>::new(SHAPE, RoundRobin::new(SHAPE));
        assert_eq!(array.refer(0, 1), Found::Inserted);
        assert_eq!(array.refer(0, 2), Found::Inserted);
        assert_eq!(array.refer(0, 1), Found::Hit);
        assert_eq!(array.refer(0, 3), Found::Replaced(1));
        assert_eq!(array.refer(1, 1), Found::Inserted);
        assert!(array.drop_tag(0, 2) && !array.drop_tag(0, 2));
        assert_eq!(array.refer(0, 4), Found::Inserted, "an empty way goes before the victim");
    }

    #[test]
    fn what_is_covered_is_dropped_and_handed_over() {
        let mut array = Array::<0, _>::new(SHAPE, Lru::new(SHAPE));
        for tag in 1..5 {
            assert_eq!(array.refer(tag as usize % 2, tag), Found::Inserted);
        }
        let mut dropped = Vec::new();
        array.drop_all(|tag| tag > 2, |tag| dropped.push(tag));
        dropped.sort_unstable();
        assert_eq!(dropped, [3, 4]);
        assert!(array.look_up(1, 1) && !array.look_up(1, 3));
    }
}
