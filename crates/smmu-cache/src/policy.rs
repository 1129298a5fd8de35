//! Replacement policies: which way of a full set goes.
//!
//! A way that holds nothing valid always goes first, the lowest of them at once; a policy is asked
//! only where all ways are valid, and is told of every hit and fill. What the policies of gem5 do
//! is its SMMUv3 model's (src/dev/arm/smmu_v3_caches.cc, v24.0).

mod memory;
mod random;
mod recency;
mod turns;

pub use random::{Draw, MersenneTwister, Random, SplitMix64};
pub use recency::{Gem5Lru, Lru, Rrip, TreePlru};
pub use turns::{RoundRobin, RoundRobinPerCache};

use thiserror::Error;

/// Which way of a full set goes. Sets and ways are numbered from 0.
///
/// A policy is shared: look-ups tell of hits without a lock, and of two at the same moment one may
/// be forgotten. Fills and victims are the owner's, one by one.
pub trait Policy {
    /// Whether [`hit`](Self::hit) remembers anything.
    const REMEMBERS_HITS: bool = false;

    /// A look-up has found its entry in this way. What is not remembered costs nothing.
    #[inline]
    fn hit(&self, set: usize, way: usize) {
        let _ = (set, way);
    }

    /// An entry was put into this way.
    #[inline]
    fn filled(&self, set: usize, way: usize) {
        let _ = (set, way);
    }

    /// The way that goes. Every way of the set is valid.
    fn victim(&self, set: usize) -> usize;
}

/// Sets and ways of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shape {
    /// Sets, at least 1.
    pub sets: usize,
    /// Ways of a set, at least 1.
    pub ways: usize,
}

/// The name of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PolicyKind {
    /// Each set's ways in turn, from way 0.
    RoundRobin,
    /// One turn for the whole structure, as gem5 has it: way 1 goes first.
    RoundRobinPerCache,
    /// The way that was not used for the longest time.
    Lru,
    /// gem5's LRU: a new entry is the next to go until its first hit.
    Gem5Lru,
    /// A binary tree of bits that point away from what was used last; ways are a power of two.
    TreePlru,
    /// Drawn by SplitMix64.
    Random {
        /// Start of the generator.
        seed: u64,
    },
    /// Drawn by the 64-bit Mersenne Twister, as gem5 does.
    Gem5Random {
        /// Start of the generator.
        seed: u64,
    },
    /// Static re-reference interval prediction with two bits: Jaleel et al., ISCA 2010.
    Rrip,
}

/// A policy that a shape cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[error("tree-PLRU needs a power of two of ways up to 64, not {0}")]
pub struct NoTree(pub usize);

/// What is done with a policy, for every type of policy.
pub trait WithPolicy {
    /// What comes out.
    type Output;

    /// Does it.
    fn with<P: Policy>(self, policy: P) -> Self::Output;
}

/// Any policy, where its name is asked at each call.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is the policy of its name")]
pub enum AnyPolicy {
    RoundRobin(RoundRobin),
    RoundRobinPerCache(RoundRobinPerCache),
    Lru(Lru),
    Gem5Lru(Gem5Lru),
    TreePlru(TreePlru),
    Random(Random<SplitMix64>),
    Gem5Random(Random<MersenneTwister>),
    Rrip(Rrip),
}

macro_rules! each {
    ($any:expr, $policy:ident => $do:expr) => {
        match $any {
            AnyPolicy::RoundRobin($policy) => $do,
            AnyPolicy::RoundRobinPerCache($policy) => $do,
            AnyPolicy::Lru($policy) => $do,
            AnyPolicy::Gem5Lru($policy) => $do,
            AnyPolicy::TreePlru($policy) => $do,
            AnyPolicy::Random($policy) => $do,
            AnyPolicy::Gem5Random($policy) => $do,
            AnyPolicy::Rrip($policy) => $do,
        }
    };
}

impl PolicyKind {
    /// The policy of the name.
    ///
    /// # Errors
    /// A tree over ways that are no power of two, or more than 64.
    pub fn policy(self, shape: Shape) -> Result<AnyPolicy, NoTree> {
        Ok(match self {
            Self::RoundRobin => AnyPolicy::RoundRobin(RoundRobin::new(shape)),
            Self::RoundRobinPerCache => {
                AnyPolicy::RoundRobinPerCache(RoundRobinPerCache::new(shape))
            }
            Self::Lru => AnyPolicy::Lru(Lru::new(shape)),
            Self::Gem5Lru => AnyPolicy::Gem5Lru(Gem5Lru::new(shape)),
            Self::TreePlru => AnyPolicy::TreePlru(TreePlru::new(shape)?),
            Self::Random { seed } => AnyPolicy::Random(Random::new(shape, SplitMix64(seed))),
            Self::Gem5Random { seed } => {
                AnyPolicy::Gem5Random(Random::new(shape, MersenneTwister::new(seed)))
            }
            Self::Rrip => AnyPolicy::Rrip(Rrip::new(shape)),
        })
    }
}

impl AnyPolicy {
    /// Hands the policy over with its own type, so that nobody asks for its name any more.
    pub fn with<W: WithPolicy>(self, with: W) -> W::Output {
        each!(self, policy => with.with(policy))
    }
}

impl AnyPolicy {
    /// Whether it must be told of hits.
    #[must_use]
    pub fn remembers_hits(&self) -> bool {
        fn of<P: Policy>(_: &P) -> bool {
            P::REMEMBERS_HITS
        }
        each!(self, policy => of(policy))
    }
}

impl Policy for AnyPolicy {
    #[inline]
    fn hit(&self, set: usize, way: usize) {
        each!(self, policy => policy.hit(set, way));
    }

    #[inline]
    fn filled(&self, set: usize, way: usize) {
        each!(self, policy => policy.filled(set, way));
    }

    #[inline]
    fn victim(&self, set: usize) -> usize {
        each!(self, policy => policy.victim(set))
    }
}
