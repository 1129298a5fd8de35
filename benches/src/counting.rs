//! An observer that counts, as statistics do.

use smmu_arch::{Observation, Origin};
use smmu_bus::Observer;

/// What a port counted. It is the port's own: threads share nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counting {
    /// Transactions begun.
    pub begun: u64,
    /// Look-ups of the TLB that hit.
    pub hits: u64,
    /// Look-ups of the TLB that missed.
    pub misses: u64,
    /// Descriptors and configuration structures fetched.
    pub fetches: u64,
    /// Entries filled.
    pub fills: u64,
    /// Transactions translated.
    pub translated: u64,
    /// Transactions ended.
    pub ended: u64,
}

impl Observer for Counting {
    #[inline]
    fn observe(&mut self, _: &Origin, observation: &Observation) {
        match observation {
            Observation::Began(_) => self.begun += 1,
            Observation::LookedUp { hit: Some(_), .. } => self.hits += 1,
            Observation::LookedUp { hit: None, .. } => self.misses += 1,
            Observation::Fetched { .. } => self.fetches += 1,
            Observation::Filled { .. } => self.fills += 1,
            Observation::Translated { .. } => self.translated += 1,
            Observation::Ended => self.ended += 1,
            _ => {}
        }
    }
}
