//! Who takes the next step.

use rand::RngExt;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The order in which the actors of a machine take their steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Functional: SMMUs finish what they have to do before anybody else goes on, transactions
    /// are translated at once, and one actor runs until it has to wait.
    Direct,
    /// Interleaved: one request at a time, in an order drawn from the seed.
    Seeded(u64),
}

/// When memory sees the stores of a CPU.
///
/// Loads are made in program order, and find the CPU's own stores. Register accesses and broadcast
/// TLBIs do not wait for stores; barriers, locks and compare-and-swaps do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum MemoryOrder {
    /// At once: sequential consistency.
    #[default]
    Sc,
    /// Later, in program order: a store buffer that is first in, first out.
    Tso,
    /// Later, and in program order for each word alone.
    Arm,
}

/// Draws from the actors that can take a step.
#[derive(Clone, Debug)]
pub(super) enum Chooser {
    Direct,
    Seeded(Box<Xoshiro256PlusPlus>),
}

impl Chooser {
    pub(super) fn new(order: Order) -> Self {
        match order {
            Order::Direct => Self::Direct,
            Order::Seeded(seed) => Self::Seeded(Box::new(Xoshiro256PlusPlus::seed_from_u64(seed))),
        }
    }

    pub(super) const fn is_direct(&self) -> bool {
        matches!(self, Self::Direct)
    }

    /// One of `ready`, which is not empty and sorted by rank.
    pub(super) fn choose(&mut self, ready: &[usize]) -> usize {
        match self {
            Self::Direct => ready[0],
            Self::Seeded(rng) => ready[rng.random_range(0..ready.len())],
        }
    }
}
