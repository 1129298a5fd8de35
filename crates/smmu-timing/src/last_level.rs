//! The last-level cache, as far as walks meet it: which lines are in it.

use crate::Parameters;
use crate::parameters::LINE_BYTES;
use smmu_arch::Pa;
use smmu_cache::Array;
use smmu_cache::policy::{Lru, Shape};

/// Lines that walks have fetched, the least recently used going first.
#[derive(Clone, Debug)]
pub(crate) struct LastLevel {
    lines: Array<0, Lru>,
}

impl LastLevel {
    /// `None` where there is none.
    pub(crate) fn new(parameters: &Parameters) -> Option<Self> {
        let (lines, ways) = (parameters.llc_lines() as usize, parameters.llc_ways as usize);
        let shape = Shape { sets: (lines / ways).max(1), ways };
        (lines > 0).then(|| Self { lines: Array::new(shape, Lru::new(shape)) })
    }

    /// Whether the line of `pa` is there; it is from now on.
    pub(crate) fn refer(&mut self, pa: Pa) -> bool {
        let line = pa.0 / LINE_BYTES;
        let set = line as usize % self.lines.shape().sets;
        self.lines.refer(set, line + 1).is_hit()
    }
}
