//! Seeded address streams that the answers of gem5 were counted on.
//!
//! An access is one word of 32 bits: the context, 0 to 15, above the page, 0 to 65,535. The address
//! is `0x10_0000_0000 + page * 4096`.

use smmu_cache::policy::{Draw, SplitMix64};

/// Accesses of a stream.
pub const ACCESSES: usize = 1 << 20;

/// Contexts of a stream.
const CONTEXTS: usize = 16;

/// Which pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pages {
    /// Each context walks its own ring of this many pages, one page an access.
    Ring(u32),
    /// Drawn evenly from 65,536 pages.
    Uniform,
    /// Drawn from 65,536 pages by Zipf's law with exponent 0.99; neighbours in rank are no
    /// neighbours in address.
    Zipf,
}

/// Which contexts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Context 0 alone.
    One,
    /// Sixteen, each for this many accesses in turn.
    Bursts(usize),
}

/// A stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    /// Which pages.
    pub pages: Pages,
    /// Which contexts.
    pub order: Order,
}

impl Stream {
    /// The stream of a name such as `zipf64k.c16b64`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (pages, order) = name.split_once('.')?;
        let pages = match pages {
            "ring1k" => Pages::Ring(1 << 10),
            "ring8k" => Pages::Ring(8 << 10),
            "ring64k" => Pages::Ring(64 << 10),
            "uni64k" => Pages::Uniform,
            "zipf64k" => Pages::Zipf,
            _ => return None,
        };
        let order = match order {
            "c1" => Order::One,
            "c16" => Order::Bursts(1),
            "c16b64" => Order::Bursts(64),
            _ => return None,
        };
        Some(Self { pages, order })
    }

    /// The names of all streams.
    pub fn names() -> impl Iterator<Item = String> {
        ["ring1k", "ring8k", "ring64k", "uni64k", "zipf64k"].into_iter().flat_map(|pages| {
            ["c1", "c16", "c16b64"].into_iter().map(move |order| format!("{pages}.{order}"))
        })
    }

    /// The accesses.
    #[must_use]
    pub fn accesses(self) -> Vec<u32> {
        let contexts = (0..ACCESSES).map(|index| match self.order {
            Order::One => 0,
            Order::Bursts(length) => index / length % CONTEXTS,
        });
        match self.pages {
            Pages::Ring(size) => {
                let mut at = [0; CONTEXTS];
                let page = |context: usize| {
                    let page = at[context];
                    at[context] = (page + 1) % size;
                    page
                };
                pack(contexts, page)
            }
            Pages::Uniform => {
                let mut draw = SplitMix64(0x534d_4d55);
                pack(contexts, |_| (draw.draw() >> 48) as u32)
            }
            Pages::Zipf => {
                let (mut draw, bounds) = (SplitMix64(0x5a49_5046), zipf_bounds());
                let page = |_| {
                    let drawn = draw.draw() >> 11;
                    let rank = bounds.partition_point(|&bound| bound <= drawn);
                    (rank as u32).wrapping_mul(40_503) & 0xffff
                };
                pack(contexts, page)
            }
        }
    }
}

fn pack(contexts: impl Iterator<Item = usize>, mut page: impl FnMut(usize) -> u32) -> Vec<u32> {
    contexts.map(|context| (context as u32) << 16 | page(context)).collect()
}

/// Cumulative probabilities of the ranks, in units of 2^-53.
fn zipf_bounds() -> Vec<u64> {
    const UNIT: f64 = (1u64 << 53) as f64;
    let mut total = 0.0;
    let sums: Vec<f64> = (1..=65_536)
        .map(|rank| {
            total += 1.0 / f64::from(rank).powf(0.99);
            total
        })
        .collect();
    let mut bounds: Vec<u64> = sums.iter().map(|sum| (sum / total * UNIT) as u64).collect();
    bounds[65_535] = 1 << 53;
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_stream() {
        assert_eq!(Stream::names().filter(|name| Stream::named(name).is_some()).count(), 15);
        assert_eq!(Stream::named("ring8k.c2"), None);
        assert_eq!(Stream::named("ring8k"), None);
    }

    #[test]
    fn contexts_take_turns() {
        let stream = Stream { pages: Pages::Ring(1024), order: Order::Bursts(64) };
        let accesses = stream.accesses();
        assert_eq!(accesses.len(), ACCESSES);
        assert_eq!((accesses[63], accesses[64]), (63, 1 << 16));
        assert_eq!(accesses[16 * 64], 64, "a ring goes on where it stood");
    }
}
