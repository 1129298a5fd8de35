//! Policies that draw.

use super::{Policy, Shape};
use parking_lot::Mutex;
use rand_mt::Mt64;

/// A generator of 64-bit words.
pub trait Draw {
    /// The next word.
    fn draw(&mut self) -> u64;

    /// The way that a word names.
    fn way(&mut self, ways: usize) -> usize;
}

/// SplitMix64: any seed will do.
#[derive(Clone, Copy, Debug)]
pub struct SplitMix64(
    /// State; at first the seed.
    pub u64,
);

impl Draw for SplitMix64 {
    #[inline]
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    #[inline]
    fn way(&mut self, ways: usize) -> usize {
        (self.draw() % ways as u64) as usize
    }
}

/// The 64-bit Mersenne Twister (MT19937-64), which gem5 draws from.
#[derive(Clone, Debug)]
pub struct MersenneTwister(Box<Mt64>);

impl MersenneTwister {
    /// Seeded as C++'s `std::mt19937_64`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Box::new(Mt64::new(seed)))
    }
}

impl Draw for MersenneTwister {
    fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The word as a fraction of all words.
    fn way(&mut self, ways: usize) -> usize {
        ((u128::from(self.draw()) * ways as u128) >> 64) as usize
    }
}

/// Any way, drawn from a generator of the structure's own: the same seed and history give the same
/// victims.
#[derive(Debug)]
pub struct Random<G> {
    ways: usize,
    generator: Mutex<G>,
}

impl<G: Clone> Clone for Random<G> {
    fn clone(&self) -> Self {
        Self { ways: self.ways, generator: Mutex::new(self.generator.lock().clone()) }
    }
}

impl<G> Random<G> {
    /// Draws from `generator`.
    #[must_use]
    pub fn new(shape: Shape, generator: G) -> Self {
        Self { ways: shape.ways, generator: Mutex::new(generator) }
    }
}

impl<G: Draw> Policy for Random<G> {
    #[inline]
    fn victim(&self, _: usize) -> usize {
        self.generator.lock().way(self.ways)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first words of `std::mt19937_64` with its default seed; the ten thousandth is the
    /// standard's own check (section "Engines and engine adaptors with predefined parameters").
    #[test]
    fn the_twister_is_that_of_cpp() {
        let mut twister = MersenneTwister::new(5489);
        let ten_thousandth = (0..10_000).map(|_| twister.draw()).last();
        assert_eq!(ten_thousandth, Some(9_981_545_732_273_789_042));
    }

    #[test]
    fn every_way_is_drawn_and_none_else() {
        for ways in [1, 3, 4, 32] {
            let shape = Shape { sets: 1, ways };
            let mut seen = vec![0; ways];
            let policy = Random::new(shape, SplitMix64(7));
            let twister = Random::new(shape, MersenneTwister::new(7));
            (0..1000).for_each(|_| {
                seen[policy.victim(0)] += 1;
                seen[twister.victim(0)] += 1;
            });
            assert!(seen.iter().all(|&times| times > 0), "{seen:?}");
        }
    }
}
