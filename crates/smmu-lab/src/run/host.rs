//! The host's memory: what of a machine's RAM the kernel has, and what VMs are given.

use smmu_arch::Pa;
use smmu_machine::Blueprint;
use std::collections::BTreeMap;

/// Share of the first memory region that is the kernel's: one in so many.
const KERNEL_SHARE: u64 = 4;
/// The most that the kernel takes.
const KERNEL_BYTES_MAX: u64 = 512 << 20;

/// Pages for VMs. Fresh ones are given out first and returned ones when there is no other, so that
/// a translation that outlives its VM is seen to reach memory that is not its own.
#[derive(Debug)]
pub(super) struct HostMemory {
    regions: Vec<(u64, u64)>,
    returned: BTreeMap<u64, Vec<Vec<u64>>>,
}

impl HostMemory {
    /// All memory but the kernel's.
    pub(super) fn new(blueprint: &Blueprint) -> Self {
        let (_, kernel_bytes) = kernel_heap(blueprint);
        let regions = blueprint.memory.iter().enumerate().map(|(index, region)| {
            let skip = if index == 0 { kernel_bytes } else { 0 };
            (region.base + skip, region.base + region.bytes)
        });
        Self { regions: regions.collect(), returned: BTreeMap::new() }
    }

    /// `count` pages of `page` bytes, in an order that no two neighbours keep; `None` when memory
    /// is out.
    pub(super) fn take(&mut self, count: u64, page: u64) -> Option<Vec<u64>> {
        self.take_fresh(count, page).or_else(|| {
            let lists = self.returned.get_mut(&page)?;
            let fits = lists.iter().position(|pages| pages.len() as u64 == count)?;
            Some(lists.remove(fits))
        })
    }

    fn take_fresh(&mut self, count: u64, page: u64) -> Option<Vec<u64>> {
        let bytes = count.checked_mul(page)?;
        let (next, _) = self.regions.iter_mut().find_map(|(next, end)| {
            let first = next.checked_next_multiple_of(page)?;
            let last = first.checked_add(bytes)?;
            (last <= *end).then(|| {
                *next = last;
                (first, last)
            })
        })?;
        Some((0..count).map(|index| next + scattered(index, count) * page).collect())
    }

    /// The pages of a VM that is gone.
    pub(super) fn give_back(&mut self, pages: Vec<u64>, page: u64) {
        self.returned.entry(page).or_default().push(pages);
    }
}

/// A place among `count` for page `index`: a permutation without neighbours, as a host that has
/// been up for a while gives them out.
fn scattered(index: u64, count: u64) -> u64 {
    let stride = (count * 5 / 8) | 1;
    let stride = (stride..).step_by(2).find(|&stride| gcd(stride, count) == 1).unwrap_or(1);
    (index as u128 * stride as u128 % u128::from(count)) as u64
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Memory of the kernel: for tables, queues and stream tables.
pub(super) fn kernel_heap(blueprint: &Blueprint) -> (Pa, u64) {
    let (base, bytes) =
        blueprint.memory.first().map_or((0, 0), |region| (region.base, region.bytes));
    let share = (bytes / KERNEL_SHARE).min(KERNEL_BYTES_MAX) & !0xffff;
    (Pa(base), share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_given_once() {
        for count in [1, 2, 7, 64, 4096, 4095] {
            let mut seen: Vec<u64> = (0..count).map(|index| scattered(index, count)).collect();
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..count), "{count}");
        }
    }

    #[test]
    fn neighbours_are_not_neighbours_in_memory() {
        let far = (0..4095).filter(|&i| scattered(i, 4096).abs_diff(scattered(i + 1, 4096)) > 1);
        assert_eq!(far.count(), 4095);
    }
}
