//! Miss-ratio curves: the misses of a fully associative LRU TLB of every size, from one pass.
//!
//! The stack distance of an access is the number of other pages used since the last access to its
//! page (Mattson et al., 1970): a TLB of more entries hits. Distances are counted in a Fenwick tree
//! over the times of the last accesses. Above a sampling rate below 1 only pages whose hash falls
//! into that share are looked at, and their distances are scaled up (SHARDS: Waldspurger et al.,
//! FAST 2015, with its adjustment by the expected number of samples).

use rustc_hash::FxHashMap;
use smmu_cache::policy::{Draw, SplitMix64};

/// A curve in the making.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Share of pages that are looked at, as a bound on their hashes.
    bound: u64,
    rate: f64,
    last: FxHashMap<u64, u32>,
    /// Last accesses by time.
    tree: Fenwick,
    now: u32,
    references: u64,
    sampled: u64,
    first: u64,
    /// Accesses by stack distance.
    distances: Vec<u64>,
}

impl Curve {
    /// Room for times before they are numbered anew.
    const ROOM: usize = 1 << 16;

    /// A curve that looks at the share `rate` of all pages, above 0 and at most 1.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        let rate = rate.clamp(f64::MIN_POSITIVE, 1.0);
        Self {
            bound: (rate * u64::MAX as f64) as u64,
            rate,
            last: FxHashMap::default(),
            tree: Fenwick::new(Self::ROOM),
            now: 0,
            references: 0,
            sampled: 0,
            first: 0,
            distances: Vec::new(),
        }
    }

    /// An access to a page.
    pub fn refer(&mut self, page: u64) {
        self.references += 1;
        if self.rate < 1.0 && SplitMix64(page).draw() > self.bound {
            return;
        }
        self.sampled += 1;
        if self.now as usize == self.tree.len() {
            self.renumber();
        }
        match self.last.insert(page, self.now) {
            None => self.first += 1,
            Some(before) => {
                // Of the pages used since, each has its last access behind `before`.
                let distance = self.last.len() - self.tree.sum(before as usize + 1);
                self.tree.add(before as usize, false);
                if distance >= self.distances.len() {
                    self.distances.resize(distance + 1, 0);
                }
                self.distances[distance] += 1;
            }
        }
        self.tree.add(self.now as usize, true);
        self.now += 1;
    }

    /// Gives the last accesses the first times, in their order.
    fn renumber(&mut self) {
        let mut pages: Vec<(u32, u64)> = self.last.iter().map(|(&page, &at)| (at, page)).collect();
        pages.sort_unstable();
        self.tree = Fenwick::new((2 * pages.len()).max(Self::ROOM));
        for (at, (_, page)) in pages.iter().enumerate() {
            self.last.insert(*page, at as u32);
            self.tree.add(at, true);
        }
        self.now = pages.len() as u32;
    }

    /// Accesses.
    #[must_use]
    pub const fn references(&self) -> u64 {
        self.references
    }

    /// Accesses that were looked at.
    #[must_use]
    pub const fn sampled(&self) -> u64 {
        self.sampled
    }

    /// Pages that were used, scaled up.
    #[must_use]
    pub fn pages(&self) -> u64 {
        (self.last.len() as f64 / self.rate).round() as u64
    }

    /// Misses of a TLB of so many entries for each access.
    #[must_use]
    pub fn miss_ratio(&self, entries: u64) -> f64 {
        if self.references == 0 {
            return 0.0;
        }
        let scaled = |distance: usize| (distance as f64 / self.rate) as u64;
        let distances = self.distances.iter().enumerate();
        let far = distances.filter(|(distance, _)| scaled(*distance) >= entries);
        let misses = self.first + far.map(|(_, accesses)| accesses).sum::<u64>();
        // The samples that are too few or too many are taken for hits.
        let expected = self.references as f64 * self.rate;
        (misses as f64 / expected).min(1.0)
    }

    /// Bound of the error of [`Self::miss_ratio`] in 95 of 100 cases, were samples independent
    /// (Dvoretzky, Kiefer, Wolfowitz); 0 where everything was looked at.
    #[must_use]
    pub fn error_bound(&self) -> f64 {
        if self.rate >= 1.0 || self.sampled == 0 {
            return 0.0;
        }
        ((2.0f64 / 0.05).ln() / (2.0 * self.sampled as f64)).sqrt()
    }
}

/// Ones at places, and how many stand below a place.
#[derive(Clone, Debug)]
struct Fenwick(Vec<u32>);

impl Fenwick {
    fn new(places: usize) -> Self {
        Self(vec![0; places + 1])
    }

    fn len(&self) -> usize {
        self.0.len() - 1
    }

    fn add(&mut self, place: usize, one: bool) {
        let mut node = place + 1;
        while node < self.0.len() {
            self.0[node] = if one { self.0[node] + 1 } else { self.0[node] - 1 };
            node += node & node.wrapping_neg();
        }
    }

    /// Ones below `place`.
    fn sum(&self, place: usize) -> usize {
        let (mut node, mut sum) = (place, 0);
        while node > 0 {
            sum += self.0[node] as usize;
            node &= node - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Stack distances by a list of pages, the last used first.
    fn misses_by_list(pages: &[u64], entries: usize) -> usize {
        let mut stack: Vec<u64> = Vec::new();
        let misses = pages.iter().filter(|&&page| {
            let at = stack.iter().position(|&other| other == page);
            at.map(|at| stack.remove(at));
            stack.insert(0, page);
            at.is_none_or(|at| at >= entries)
        });
        misses.count()
    }

    proptest! {
        #[test]
        fn the_curve_is_that_of_the_stack(pages in prop::collection::vec(0u64..40, 1..300)) {
            let mut curve = Curve::new(1.0);
            pages.iter().for_each(|&page| curve.refer(page));
            for entries in [1, 2, 3, 7, 16, 39, 40, 100] {
                let misses = misses_by_list(&pages, entries) as f64;
                let ratio = curve.miss_ratio(entries as u64);
                prop_assert!((ratio - misses / pages.len() as f64).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn times_are_numbered_anew_without_a_trace() {
        let mut curve = Curve::new(1.0);
        (0..5 * Curve::ROOM as u64).for_each(|at| curve.refer(at % 100));
        assert_eq!(curve.miss_ratio(100), 100.0 / (5 * Curve::ROOM) as f64);
        assert!(curve.miss_ratio(99) > 0.9999, "a ring under LRU: all or nothing");
        assert_eq!(curve.pages(), 100);
    }

    #[test]
    fn a_sample_of_uniform_accesses_is_near_the_closed_form() {
        let (pages, mut draw) = (10_000, SplitMix64(3));
        let mut curve = Curve::new(0.1);
        (0..2_000_000).for_each(|_| curve.refer(draw.draw() % pages));
        assert!((150_000..250_000).contains(&curve.sampled()), "{}", curve.sampled());
        for entries in [1_000, 5_000, 9_000] {
            let expected = 1.0 - entries as f64 / pages as f64;
            assert!((curve.miss_ratio(entries) - expected).abs() < 0.05);
        }
        assert!(curve.error_bound() > 0.0);
    }
}
