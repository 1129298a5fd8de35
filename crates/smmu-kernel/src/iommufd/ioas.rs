//! I/O address spaces: what is mapped, which IOVAs there are, and the page tables that hold it.
//!
//! A mapping is pinned while at least one page table holds it. Until then it is a note only.

use super::context::State;
use super::objects::{Object, Objects};
use super::uapi::{
    IoasAlloc, IoasAllowIovas, IoasCopy, IoasIovaRanges, IoasMap, IoasUnmap, IovaRange,
    MAP_FIXED_IOVA, MAP_READABLE, MAP_WRITEABLE,
};
use crate::Errno;
use crate::abi;
use crate::driver::{Domain, Env};
use crate::vfio::{Call, MSI_WINDOW};
use smmu_bus::Pinned;
use smmu_tables::Prot;
use std::collections::BTreeMap;
use std::mem::size_of;

const PAGE: u64 = 4096;
/// Mappings are laid so that blocks of this size can be used, where the kernel picks the IOVA.
const HUGE_PAGE: u64 = 2 << 20;

/// One mapping.
#[derive(Clone, Debug)]
struct Mapping {
    length: u64,
    user: u64,
    prot: Prot,
    /// The first mapping of these pages was for writing, so that a copy may be.
    writable: bool,
    /// Where the pages are; empty while they are not pinned.
    runs: Vec<Pinned>,
}

/// An address space.
#[derive(Debug)]
pub(super) struct Ioas {
    /// HWPTs that hold what is mapped here.
    pub(super) hwpts: Vec<u32>,
    mappings: BTreeMap<u64, Mapping>,
    /// IOVAs that user space wants to keep usable; none means any.
    allowed: Vec<(u64, u64)>,
    pub(super) huge_pages: bool,
}

/// `IOMMU_IOAS_ALLOC`.
///
/// # Errors
/// EOPNOTSUPP: flags.
pub(super) fn alloc(state: &mut State, cmd: &mut IoasAlloc) -> Result<Option<u32>, Errno> {
    if cmd.flags != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let space = Ioas {
        hwpts: Vec::new(),
        mappings: BTreeMap::new(),
        allowed: Vec::new(),
        huge_pages: true,
    };
    cmd.out_ioas_id = state.objects.insert(Object::Ioas(space));
    Ok(Some(cmd.out_ioas_id))
}

/// `IOMMU_IOAS_IOVA_RANGES`: the IOVAs that can be mapped.
///
/// # Errors
/// EOPNOTSUPP: reserved field. ENOENT. EFAULT. EMSGSIZE: too few slots; how many are needed is
/// written back.
pub(super) fn iova_ranges(
    call: Call<'_>,
    state: &State,
    cmd: &mut IoasIovaRanges,
) -> Result<Option<u32>, Errno> {
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
    if slots < cmd.num_iovas { Err(Errno::EMSGSIZE) } else { Ok(None) }
}

/// `IOMMU_IOAS_ALLOW_IOVAS`: IOVAs that must stay usable whatever is attached later.
///
/// # Errors
/// EOPNOTSUPP, ENOENT, EFAULT. EINVAL: a range is empty or overlaps another. EADDRINUSE: one is not
/// usable now.
pub(super) fn allow_iovas(
    call: Call<'_>,
    state: &mut State,
    cmd: &IoasAllowIovas,
) -> Result<Option<u32>, Errno> {
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
    Ok(None)
}

/// `IOMMU_IOAS_MAP`.
///
/// # Errors
/// EOPNOTSUPP: flags. EOVERFLOW. EINVAL: neither readable nor writable, no length, misaligned, or a
/// reserved IOVA. ENOENT. EEXIST. ENOSPC: no IOVA is free. EFAULT, ENOMEM.
pub(super) fn map(
    call: Call<'_>,
    state: &mut State,
    cmd: &mut IoasMap,
) -> Result<Option<u32>, Errno> {
    let prot = prot(cmd.flags, cmd.__reserved)?;
    if cmd.iova == u64::MAX || cmd.length == u64::MAX {
        return Err(Errno::EOVERFLOW);
    }
    let prot = prot.ok_or(Errno::EINVAL)?;
    state.objects.ioas(cmd.ioas_id)?;
    if cmd.length == 0 || cmd.length > u64::MAX - PAGE {
        return Err(Errno::EINVAL);
    }
    cmd.user_va.checked_add(cmd.length).ok_or(Errno::EOVERFLOW)?;
    let mapping = Mapping {
        length: cmd.length,
        user: cmd.user_va,
        prot,
        writable: prot.write,
        runs: Vec::new(),
    };
    let fixed = (cmd.flags & MAP_FIXED_IOVA != 0).then_some(cmd.iova);
    cmd.iova = place(call.env, state, cmd.ioas_id, fixed, (cmd.user_va, cmd.length))?;
    add(call, state, cmd.ioas_id, cmd.iova, mapping)?;
    Ok(None)
}

/// `IOMMU_IOAS_COPY`: maps once more what is mapped, in this or another space.
///
/// # Errors
/// As [`map`]. ENOENT: not all of the source is mapped. EPERM: writable, and the source is not.
pub(super) fn copy(
    call: Call<'_>,
    state: &mut State,
    cmd: &mut IoasCopy,
) -> Result<Option<u32>, Errno> {
    let prot = prot(cmd.flags, 0)?;
    if cmd.length == u64::MAX || cmd.dst_iova == u64::MAX {
        return Err(Errno::EOVERFLOW);
    }
    let prot = prot.ok_or(Errno::EINVAL)?;
    let pieces = state.objects.ioas(cmd.src_ioas_id)?.pieces(cmd.src_iova, cmd.length)?;
    state.objects.ioas(cmd.dst_ioas_id)?;
    if prot.write && pieces.iter().any(|piece| !piece.writable) {
        return Err(Errno::EPERM);
    }
    let fixed = (cmd.flags & MAP_FIXED_IOVA != 0).then_some(cmd.dst_iova);
    let first_user = pieces[0].user;
    let start = place(call.env, state, cmd.dst_ioas_id, fixed, (first_user, cmd.length))?;
    let mut iova = start;
    for piece in pieces {
        let length = piece.length;
        if let Err(errno) = add(call, state, cmd.dst_ioas_id, iova, Mapping { prot, ..piece }) {
            if iova != start {
                let _ = remove(call, state, cmd.dst_ioas_id, (start, iova - 1));
            }
            return Err(errno);
        }
        iova += length;
    }
    cmd.dst_iova = start;
    Ok(None)
}

/// `IOMMU_IOAS_UNMAP`; writes back how much that was. 0 and `U64_MAX` mean all there is.
///
/// # Errors
/// EOVERFLOW. EINVAL: no length. ENOENT: no such space, nothing there, or a mapping would be cut;
/// those before it are gone then.
pub(super) fn unmap(
    call: Call<'_>,
    state: &mut State,
    cmd: &mut IoasUnmap,
) -> Result<Option<u32>, Errno> {
    state.objects.ioas(cmd.ioas_id)?;
    if (cmd.iova, cmd.length) == (0, u64::MAX) {
        cmd.length = remove(call, state, cmd.ioas_id, (0, u64::MAX))?;
        return Ok(None);
    }
    if cmd.iova == u64::MAX || cmd.length == u64::MAX {
        return Err(Errno::EOVERFLOW);
    }
    let more = cmd.length.checked_sub(1).ok_or(Errno::EINVAL)?;
    let last = cmd.iova.checked_add(more).ok_or(Errno::EOVERFLOW)?;
    cmd.length = remove(call, state, cmd.ioas_id, (cmd.iova, last))?;
    if cmd.length == 0 { Err(Errno::ENOENT) } else { Ok(None) }
}

/// Lets a new page table hold what is mapped.
///
/// # Errors
/// EADDRINUSE: something is mapped, or to be kept usable, that the table cannot hold. EFAULT,
/// ENOMEM.
pub(super) fn join(
    call: Call<'_>,
    state: &mut State,
    ioas: u32,
    domain: &Domain,
) -> Result<(), Errno> {
    let first = state.objects.ioas(ioas)?.hwpts.is_empty();
    state.objects.ioas(ioas)?.check_fits(domain)?;
    let iovas: Vec<u64> = state.objects.ioas(ioas)?.mappings.keys().copied().collect();
    let mut joined = Ok(());
    for &iova in &iovas {
        joined = join_one(call, state, ioas, domain, (iova, first));
        if joined.is_err() {
            break;
        }
    }
    if joined.is_err() {
        leave(call, state, ioas, domain);
    }
    joined
}

fn join_one(
    call: Call<'_>,
    state: &mut State,
    ioas: u32,
    domain: &Domain,
    (iova, first): (u64, bool),
) -> Result<(), Errno> {
    let State { objects, locked, .. } = state;
    let space = objects.ioas_mut(ioas)?;
    let huge = space.huge_pages;
    let Some(mapping) = space.mappings.get_mut(&iova) else { return Ok(()) };
    if first {
        mapping.pin(call, locked)?;
    }
    fill(call.env, domain, iova, mapping, huge)
}

/// A page table that is about to be freed no longer holds what is mapped. With the last one the
/// pages go back. The table is not among the space's own any more, or not yet.
pub(super) fn leave(call: Call<'_>, state: &mut State, ioas: u32, domain: &Domain) {
    let State { objects, locked, .. } = state;
    let Ok(space) = objects.ioas_mut(ioas) else { return };
    let last = space.hwpts.is_empty();
    for (&iova, mapping) in &mut space.mappings {
        domain.unmap(call.env, iova, mapping.length).finish();
        if last {
            mapping.unpin(call, locked);
        }
    }
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

/// The rights, or `None` where there are none.
fn prot(flags: u32, reserved: u32) -> Result<Option<Prot>, Errno> {
    if flags & !(MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE) != 0 || reserved != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let (read, write) = (flags & MAP_READABLE != 0, flags & MAP_WRITEABLE != 0);
    Ok((read || write).then_some(Prot { read, write, ..Prot::READ }))
}

/// Where a mapping goes: as told, or the lowest place that fits.
fn place(
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
    taken.extend(space.mappings.iter().map(|(&iova, one)| (iova, iova + (one.length - 1))));
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

/// Pins and maps in every page table of the space.
fn add(
    call: Call<'_>,
    state: &mut State,
    ioas: u32,
    iova: u64,
    mut mapping: Mapping,
) -> Result<(), Errno> {
    let State { objects, locked, .. } = state;
    let space = objects.ioas(ioas)?;
    mapping.runs.clear();
    if !space.hwpts.is_empty() {
        mapping.pin(call, locked)?;
    }
    let domains: Vec<_> =
        space.hwpts.iter().filter_map(|&hwpt| Some(&objects.paging(hwpt).ok()?.domain)).collect();
    let filled = domains
        .iter()
        .try_for_each(|domain| fill(call.env, domain, iova, &mapping, space.huge_pages));
    if filled.is_err() {
        domains.iter().for_each(|domain| domain.unmap(call.env, iova, mapping.length).finish());
        mapping.unpin(call, locked);
        return filled;
    }
    objects.ioas_mut(ioas)?.mappings.insert(iova, mapping);
    Ok(())
}

/// Takes away what lies in a range, lowest first; gives how much that was.
fn remove(
    call: Call<'_>,
    state: &mut State,
    ioas: u32,
    (first, last): (u64, u64),
) -> Result<u64, Errno> {
    let mut bytes = 0;
    while let Some((iova, end)) = state.objects.ioas(ioas)?.lowest_in((first, last)) {
        if iova < first || end > last {
            return Err(Errno::ENOENT);
        }
        let State { objects, locked, .. } = &mut *state;
        let Some(mut mapping) = objects.ioas_mut(ioas)?.mappings.remove(&iova) else { break };
        let hwpts = &objects.ioas(ioas)?.hwpts;
        let domains = hwpts.iter().filter_map(|&hwpt| objects.paging(hwpt).ok());
        let pending: Vec<_> =
            domains.map(|hwpt| hwpt.domain.unmap(call.env, iova, mapping.length)).collect();
        pending.into_iter().for_each(|unmap| unmap.finish());
        mapping.unpin(call, locked);
        bytes += mapping.length;
    }
    Ok(bytes)
}

/// What goes with a space that is destroyed. No page table holds it any more.
pub(super) fn destroyed(call: Call<'_>, state: &mut State, mut space: Ioas) {
    for mapping in space.mappings.values_mut() {
        mapping.unpin(call, &mut state.locked);
    }
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

const fn overlap(one: (u64, u64), other: (u64, u64)) -> bool {
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

fn fill(
    env: Env<'_>,
    domain: &Domain,
    iova: u64,
    mapping: &Mapping,
    huge: bool,
) -> Result<(), Errno> {
    let page = 1 << domain.page_sizes().trailing_zeros();
    let mut at = iova;
    for run in &mapping.runs {
        let step = if huge { run.bytes } else { page };
        for offset in (0..run.bytes).step_by(step as usize) {
            domain.map(env, at + offset, run.pa.offset(offset), step, mapping.prot)?;
        }
        at += run.bytes;
    }
    Ok(())
}

impl Ioas {
    /// What IOVAs, lengths and user addresses are multiples of.
    fn alignment(&self, objects: &Objects) -> Result<u64, Errno> {
        let least = if self.huge_pages { 1 } else { PAGE };
        self.hwpts.iter().try_fold(least, |most, &hwpt| {
            Ok(most.max(1 << objects.paging(hwpt)?.domain.page_sizes().trailing_zeros()))
        })
    }

    /// The lowest mapping that touches a range: its first and last IOVA.
    fn lowest_in(&self, (first, last): (u64, u64)) -> Option<(u64, u64)> {
        let span = |(&iova, mapping): (&u64, &Mapping)| (iova, iova + (mapping.length - 1));
        let below = self.mappings.range(..first).next_back().map(span);
        let below = below.filter(|&(_, end)| end >= first);
        below.or_else(|| self.mappings.range(first..=last).next().map(span))
    }

    fn mapped(&self, range: (u64, u64)) -> bool {
        self.lowest_in(range).is_some()
    }

    fn check_fits(&self, domain: &Domain) -> Result<(), Errno> {
        let beyond = (domain.last_input() + 1, u64::MAX);
        let page = 1u64 << domain.page_sizes().trailing_zeros();
        let odd = |(&iova, mapping): (&u64, &Mapping)| {
            (iova | mapping.length | mapping.user) & (page - 1) != 0
        };
        let kept = self.allowed.iter().any(|&range| overlap(range, beyond));
        match kept || self.mapped(beyond) || self.mappings.iter().any(odd) {
            true => Err(Errno::EADDRINUSE),
            false => Ok(()),
        }
    }

    /// The mappings that cover a range, cut to it.
    fn pieces(&self, iova: u64, length: u64) -> Result<Vec<Mapping>, Errno> {
        let more = length.checked_sub(1).ok_or(Errno::EINVAL)?;
        let last = iova.checked_add(more).ok_or(Errno::EOVERFLOW)?;
        let mut pieces = Vec::new();
        let mut at = iova;
        loop {
            let found = self.mappings.range(..=at).next_back();
            let found = found.filter(|(first, mapping)| at - **first < mapping.length);
            let (first, mapping) = found.ok_or(Errno::ENOENT)?;
            let end = (first + (mapping.length - 1)).min(last);
            let user = mapping.user + (at - first);
            pieces.push(Mapping { length: end - at + 1, user, ..mapping.clone() });
            if end == last {
                return Ok(pieces);
            }
            at = end + 1;
        }
    }
}

impl Mapping {
    fn pin(&mut self, call: Call<'_>, locked: &mut u64) -> Result<(), Errno> {
        if locked.saturating_add(self.length) > call.env.driver.options.memlock_bytes {
            return Err(Errno::ENOMEM);
        }
        self.runs = call.process.pin(self.user, self.length)?;
        *locked += self.length;
        call.pins.lend(call.env, &self.runs);
        Ok(())
    }

    fn unpin(&mut self, call: Call<'_>, locked: &mut u64) {
        if self.runs.is_empty() {
            return;
        }
        *locked -= self.length;
        let runs = std::mem::take(&mut self.runs);
        runs.iter().for_each(|run| call.process.unpin(run));
        call.pins.give_back(call.env, &runs);
    }
}
