//! The work that is measured.

mod command;
mod tlb;
mod tlbi;
mod translate;
mod walk;

pub use command::{Commands, PeerCommands};
pub use tlb::{TlbFill, TlbHit, TlbMiss};
pub use tlbi::{Scope, Tlbi};
pub use translate::{PeerTranslate, Translate};
pub use walk::WalkOnly;

use crate::draw::{Draw, Round};
use crate::layout::{IOVA, PAGE};

/// The order in which a working set is gone through.
pub trait Order {
    /// The order of one thread over `pages` pages, a power of two.
    fn new(thread: usize, pages: u64) -> Self;

    /// The next page of the working set, as an offset from its first.
    fn next(&mut self) -> u64;

    /// The next IOVA.
    #[inline(always)]
    fn iova(&mut self) -> u64 {
        IOVA + self.next()
    }
}

/// Pages drawn at random: hits, once all pages are resident.
#[derive(Clone, Debug)]
pub struct AtRandom(Draw, u64);

impl Order for AtRandom {
    fn new(thread: usize, pages: u64) -> Self {
        Self(Draw::new(thread), pages)
    }

    #[inline(always)]
    fn next(&mut self) -> u64 {
        self.0.page(self.1)
    }
}

/// Every page in turn: misses, where the TLB is much smaller than the working set.
#[derive(Clone, Debug)]
pub struct InTurn(Round);

impl Order for InTurn {
    fn new(_: usize, pages: u64) -> Self {
        Self(Round::new(pages))
    }

    #[inline(always)]
    fn next(&mut self) -> u64 {
        self.0.page() * PAGE
    }
}

/// Where the mappings take a byte of a working set of `pages` pages.
fn output_of(offset: u64, pages: u64) -> u64 {
    crate::layout::output(offset / PAGE, pages) + offset % PAGE
}
