//! Which IOVAs an address space has, and where a mapping goes.

use super::context::State;
use super::ioas::Ioas;
use super::objects::Objects;
use super::uapi::{IoasAllowIovas, IoasIovaRanges, IovaRange};
use crate::Errno;
use crate::abi;
use crate::driver::Env;
use crate::vfio::{Call, MSI_WINDOW};
use std::mem::size_of;

pub(super) const PAGE: u64 = 4096;
/// Mappings are laid so that blocks of this size can be used, where the kernel picks the IOVA.
const HUGE_PAGE: u64 = 2 << 20;

/// `IOMMU_IOAS_IOVA_RANGES`: the IOVAs that can be mapped.
///
/// # Errors
/// EOPNOTSUPP: reserved field. ENOENT. EFAULT. EMSGSIZE: too few slots; how many are needed is
/// written back.
pub(super) fn ranges(call: Call<'_>, state: &State, cmd: &mut IoasIovaRanges) -> Result<(), Errno> {
    if cmd.__reserved != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let space = state.objects.ioas(cmd.ioas_id)?;
    let ranges = holes(&reserved(call.env, state, space)?);
    let slots = std::mem::replace(&mut cmd.num_iovas, ranges.len() as u32);
    cmd.out_iova_alignment = space.alignment(&state.objects)?;
    for (index, &(start, last)) in ranges.iter().take(slots as usize).enumerate() {
        let place = slot(cmd.allowed_iovas, index)?;
        abi::write(call.process, place, &IovaRange { start, last })?;
    }
    if slots < cmd.num_iovas { Err(Errno::EMSGSIZE) } else { Ok(()) }
}

/// `IOMMU_IOAS_ALLOW_IOVAS`: IOVAs that must stay usable whatever is attached later.
///
/// # Errors
/// EOPNOTSUPP, ENOENT, EFAULT. EINVAL: a range is empty or overlaps another. EADDRINUSE: one is not
/// usable now.
pub(super) fn allow(call: Call<'_>, state: &mut State, cmd: &IoasAllowIovas) -> Result<(), Errno> {
    if cmd.__reserved != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let space = state.objects.ioas(cmd.ioas_id)?;
    let mut allowed: Vec<(u64, u64)> = Vec::new();
    for index in 0..cmd.num_iovas as usize {
        let range: IovaRange = abi::read(call.process, slot(cmd.allowed_iovas, index)?)?;
        let range = (range.start, range.last);
        if range.0 >= range.1 || allowed.iter().any(|&other| overlap(other, range)) {
            return Err(Errno::EINVAL);
        }
        allowed.push(range);
    }
    let reserved = reserved(call.env, state, space)?;
    if allowed.iter().any(|&one| reserved.iter().any(|&other| overlap(one, other))) {
        return Err(Errno::EADDRINUSE);
    }
    allowed.sort_unstable();
    state.objects.ioas_mut(cmd.ioas_id)?.allowed = allowed;
    Ok(())
}

/// Whether a device can be attached, whose MSI doorbells need IOVAs of their own.
///
/// # Errors
/// ENOENT; EADDRINUSE: those are mapped or to be kept usable.
pub(super) fn check_msi_window(env: Env<'_>, objects: &Objects, ioas: u32) -> Result<(), Errno> {
    let space = objects.ioas(ioas)?;
    let used = space.mapped(MSI_WINDOW) || space.allowed.iter().any(|&a| overlap(a, MSI_WINDOW));
    match env.driver.options.msi_window && used {
        true => Err(Errno::EADDRINUSE),
        false => Ok(()),
    }
}

/// Where a mapping goes: as told, or the lowest place that fits.
pub(super) fn place(
    env: Env<'_>,
    state: &State,
    ioas: u32,
    fixed: Option<u64>,
    (user, length): (u64, u64),
) -> Result<u64, Errno> {
    let space = state.objects.ioas(ioas)?;
    let alignment = space.alignment(&state.objects)?;
    if length & (alignment - 1) != 0 || user & (alignment - 1) != 0 {
        return Err(Errno::EINVAL);
    }
    let reserved = reserved(env, state, space)?;
    if let Some(iova) = fixed {
        if iova & (alignment - 1) != 0 {
            return Err(Errno::EINVAL);
        }
        let last = iova.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?;
        if reserved.iter().any(|&other| overlap(other, (iova, last))) {
            return Err(Errno::EINVAL);
        }
        return if space.mapped((iova, last)) { Err(Errno::EEXIST) } else { Ok(iova) };
    }
    let natural = length.checked_next_power_of_two().unwrap_or(HUGE_PAGE).min(HUGE_PAGE);
    let align = natural.min(1 << user.trailing_zeros().min(63)).max(alignment);
    let mut taken = reserved;
    taken.extend(space.mapped_ranges());
    taken.push((0, PAGE - 1));
    taken.sort_unstable();
    let inside = |(first, last): (u64, u64)| {
        let iova = first.checked_next_multiple_of(align)?;
        (iova.checked_add(length - 1)? <= last).then_some(iova)
    };
    let free = holes(&taken).into_iter();
    let usable: Vec<_> = match space.allowed.as_slice() {
        [] => free.collect(),
        allowed => {
            free.flat_map(|hole| allowed.iter().filter_map(move |&a| cut(hole, a))).collect()
        }
    };
    usable.into_iter().find_map(inside).ok_or(Errno::ENOSPC)
}

/// IOVAs that cannot be mapped: beyond what some page table holds, and the window of MSIs while a
/// device is attached.
fn reserved(env: Env<'_>, state: &State, space: &Ioas) -> Result<Vec<(u64, u64)>, Errno> {
    let mut reserved = Vec::new();
    for &hwpt in &space.hwpts {
        let last = state.objects.paging(hwpt)?.domain.last_input();
        reserved.push((last + 1, u64::MAX));
    }
    let attached = space.hwpts.iter().any(|&hwpt| state.is_attached(hwpt));
    if env.driver.options.msi_window && attached {
        reserved.push(MSI_WINDOW);
    }
    reserved.sort_unstable();
    Ok(reserved)
}

fn slot(array: u64, index: usize) -> Result<u64, Errno> {
    array.checked_add((index * size_of::<IovaRange>()) as u64).ok_or(Errno::EFAULT)
}

/// Whether two ranges have an IOVA in common.
pub(super) const fn overlap(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

fn cut(one: (u64, u64), other: (u64, u64)) -> Option<(u64, u64)> {
    overlap(one, other).then(|| (one.0.max(other.0), one.1.min(other.1)))
}

/// What lies between ranges, which are in order and may overlap.
fn holes(taken: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut holes = Vec::new();
    let mut next = Some(0);
    for &(first, last) in taken {
        let Some(start) = next else { break };
        if first > start {
            holes.push((start, first - 1));
        }
        next = last.checked_add(1).map(|after| after.max(start));
    }
    holes.extend(next.map(|start| (start, u64::MAX)));
    holes
}

impl Ioas {
    /// What IOVAs, lengths and user addresses are multiples of.
    fn alignment(&self, objects: &Objects) -> Result<u64, Errno> {
        let least = if self.huge_pages { 1 } else { PAGE };
        self.hwpts.iter().try_fold(least, |most, &hwpt| {
            Ok(most.max(1 << objects.paging(hwpt)?.domain.page_sizes().trailing_zeros()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_what_no_range_covers() {
        assert_eq!(holes(&[]), [(0, u64::MAX)]);
        assert_eq!(holes(&[(0, u64::MAX)]), []);
        assert_eq!(holes(&[(0, 9), (10, 19), (30, 39), (32, 35)]), [(20, 29), (40, u64::MAX)]);
        assert_eq!(holes(&[(5, 9), (1 << 48, u64::MAX)]), [(0, 4), (10, (1 << 48) - 1)]);
        assert_eq!(holes(&[(8, u64::MAX), (20, 30)]), [(0, 7)]);
    }
}
