//! What goes in, drawn on the fly, and a hash of what comes out.
//!
//! A list of addresses would not do: the branch predictor of a host learns several thousand of
//! them by heart, and a bench then measures what no user sees.

/// Seed of every workload.
pub const SEED: u64 = 0x5eed_0f5e_ed0f_5eed;

/// A xorshift generator.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The generator of one thread of a workload.
    #[must_use]
    pub fn new(thread: usize) -> Self {
        Self(SEED.rotate_left(thread as u32 * 17))
    }

    /// The next 64 bits.
    #[inline(always)]
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The first byte of one of `pages` pages of 4 KiB, a power of two. The peer's TLB keeps an
    /// entry for every *address* that it meets, so other bytes of a page would not hit there.
    #[inline(always)]
    pub fn page(&mut self, pages: u64) -> u64 {
        self.bits() & ((pages - 1) << 12)
    }
}

/// Every page of a range once, in an order without neighbours, then all of them again: what a
/// cache of a quarter of the pages never holds when it is asked for.
#[derive(Clone, Debug)]
pub struct Round {
    page: u64,
    pages: u64,
}

impl Round {
    /// `pages` is a power of two.
    #[must_use]
    pub fn new(pages: u64) -> Self {
        assert!(pages.is_power_of_two(), "the order is one of powers of two");
        Self { page: 0, pages }
    }

    /// The next page number: a linear congruence of full period.
    #[inline(always)]
    pub fn page(&mut self) -> u64 {
        self.page = (self.page * 13 + 7) & (self.pages - 1);
        self.page
    }
}

/// A hash of all results: equal results in equal order, equal hashes. It also keeps the compiler
/// from leaving work out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Hash(pub u64);

impl Hash {
    /// Takes one result in.
    #[inline(always)]
    pub fn add(&mut self, result: u64) {
        self.0 = self.0.rotate_left(5).wrapping_add(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_meets_every_page_once() {
        let mut round = Round::new(256);
        let mut met: Vec<u64> = (0..256).map(|_| round.page()).collect();
        let first = met.clone();
        met.sort_unstable();
        assert_eq!(met, (0..256).collect::<Vec<_>>());
        assert_eq!((0..256).map(|_| round.page()).collect::<Vec<_>>(), first);
    }

    #[test]
    fn every_page_is_drawn() {
        let mut draw = Draw::new(1);
        let drawn: std::collections::BTreeSet<_> = (0..1000).map(|_| draw.page(64)).collect();
        assert!(drawn.into_iter().eq((0..64).map(|page| page * 4096)));
    }

    #[test]
    fn a_hash_tells_orders_apart() {
        let of = |results: [u64; 2]| {
            let mut hash = Hash::default();
            results.into_iter().for_each(|result| hash.add(result));
            hash
        };
        assert_ne!(of([1, 2]), of([2, 1]));
    }
}
