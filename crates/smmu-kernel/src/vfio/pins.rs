//! Pages of user memory that devices may reach.
//!
//! A page is lent with the first pin of any container and goes back with the last: only then may its
//! owner give it to somebody else.

use crate::driver::Env;
use crate::guarded::{Guarded, LockNumbers};
use rustc_hash::FxHashMap;
use smmu_arch::{Pa, Promise};
use smmu_bus::Pinned;

const PAGE: u64 = 4096;

/// Pins by physical page number, over all containers.
#[derive(Debug)]
pub(crate) struct Pins(Guarded<FxHashMap<u64, u32>>);

impl Pins {
    pub(crate) fn new(locks: &LockNumbers) -> Self {
        Self(Guarded::new(locks, FxHashMap::default()))
    }

    /// Pages were pinned once more.
    pub(crate) fn lend(&self, env: Env<'_>, runs: &[Pinned]) {
        let lent = self.0.with(env.cpu, |pins| {
            changed(runs, |page| {
                let count = pins.entry(page).or_default();
                *count += 1;
                *count == 1
            })
        });
        for (first, bytes) in lent {
            env.cpu.promise(Promise::PagesLent { first, bytes });
        }
    }

    /// Pages are unpinned once.
    pub(crate) fn give_back(&self, env: Env<'_>, runs: &[Pinned]) {
        let returned = self.0.with(env.cpu, |pins| {
            changed(runs, |page| {
                let Some(count) = pins.get_mut(&page) else { return false };
                *count -= 1;
                if *count == 0 {
                    pins.remove(&page);
                    return true;
                }
                false
            })
        });
        for (first, bytes) in returned {
            env.cpu.promise(Promise::PagesReturned { first, bytes });
        }
    }
}

/// The pages for which `change` is true, merged into ranges.
fn changed(runs: &[Pinned], mut change: impl FnMut(u64) -> bool) -> Vec<(Pa, u64)> {
    let mut ranges: Vec<(Pa, u64)> = Vec::new();
    for run in runs {
        let pages = run.pa.0 / PAGE..(run.pa.0 + run.bytes).div_ceil(PAGE);
        for page in pages.filter(|&page| change(page)) {
            match ranges.last_mut() {
                Some((first, bytes)) if first.0 + *bytes == page * PAGE => *bytes += PAGE,
                _ => ranges.push((Pa(page * PAGE), PAGE)),
            }
        }
    }
    ranges
}
