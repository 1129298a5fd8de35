//! I/O address spaces: what is mapped, which IOVAs there are, and the page tables that hold it.
//!
//! A mapping is pinned while at least one page table holds it. Until then it is a note only.

use super::context::State;
use super::iova::{self, PAGE};
use super::mapping::Mapping;
use super::objects::Object;
use super::uapi::{
    IoasAlloc, IoasCopy, IoasMap, IoasUnmap, MAP_FIXED_IOVA, MAP_READABLE, MAP_WRITEABLE,
};
use crate::Errno;
use crate::driver::Domain;
use crate::faults::FaultSwitch;
use crate::vfio::Call;
use smmu_tables::Prot;
use std::collections::BTreeMap;

/// An address space.
#[derive(Debug)]
pub(super) struct Ioas {
    /// HWPTs that hold what is mapped here.
    pub(super) hwpts: Vec<u32>,
    mappings: BTreeMap<u64, Mapping>,
    /// IOVAs that user space wants to keep usable; none means any.
    pub(super) allowed: Vec<(u64, u64)>,
    pub(super) huge_pages: bool,
}

/// `IOMMU_IOAS_ALLOC`.
///
/// # Errors
/// EOPNOTSUPP: flags.
pub(super) fn alloc(state: &mut State, cmd: &mut IoasAlloc) -> Result<u32, Errno> {
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
    Ok(cmd.out_ioas_id)
}

/// `IOMMU_IOAS_MAP`.
///
/// # Errors
/// EOPNOTSUPP: flags. EOVERFLOW. EINVAL: neither readable nor writable, no length, misaligned, or a
/// reserved IOVA. ENOENT. EEXIST. ENOSPC: no IOVA is free. EFAULT, ENOMEM.
pub(super) fn map(call: Call<'_>, state: &mut State, cmd: &mut IoasMap) -> Result<(), Errno> {
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
    let mapping = Mapping::new(cmd.user_va, cmd.length, prot);
    let fixed = (cmd.flags & MAP_FIXED_IOVA != 0).then_some(cmd.iova);
    cmd.iova = iova::place(call.env, state, cmd.ioas_id, fixed, (cmd.user_va, cmd.length))?;
    add(call, state, cmd.ioas_id, cmd.iova, mapping)?;
    Ok(())
}

/// `IOMMU_IOAS_COPY`: maps once more what is mapped, in this or another space.
///
/// # Errors
/// As [`map`]. ENOENT: not all of the source is mapped. EPERM: writable, and the source is not.
pub(super) fn copy(call: Call<'_>, state: &mut State, cmd: &mut IoasCopy) -> Result<(), Errno> {
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
    let start = iova::place(call.env, state, cmd.dst_ioas_id, fixed, (first_user, cmd.length))?;
    let mut done = 0;
    for mut piece in pieces {
        let length = piece.length;
        piece.prot = prot;
        if let Err(errno) = add(call, state, cmd.dst_ioas_id, start + done, piece) {
            if done != 0 {
                let _ = remove(call, state, cmd.dst_ioas_id, (start, start + done - 1));
            }
            return Err(errno);
        }
        done += length; // the last piece may end where the address space does
    }
    cmd.dst_iova = start;
    Ok(())
}

/// `IOMMU_IOAS_UNMAP`; writes back how much that was. 0 and `U64_MAX` mean all there is.
///
/// # Errors
/// EOVERFLOW. EINVAL: no length. ENOENT: no such space, nothing there, or a mapping would be cut;
/// those before it are gone then.
pub(super) fn unmap(call: Call<'_>, state: &mut State, cmd: &mut IoasUnmap) -> Result<(), Errno> {
    state.objects.ioas(cmd.ioas_id)?;
    if (cmd.iova, cmd.length) == (0, u64::MAX) {
        cmd.length = remove(call, state, cmd.ioas_id, (0, u64::MAX))?;
        return Ok(());
    }
    if cmd.iova == u64::MAX || cmd.length == u64::MAX {
        return Err(Errno::EOVERFLOW);
    }
    let more = cmd.length.checked_sub(1).ok_or(Errno::EINVAL)?;
    let last = cmd.iova.checked_add(more).ok_or(Errno::EOVERFLOW)?;
    cmd.length = remove(call, state, cmd.ioas_id, (cmd.iova, last))?;
    if cmd.length == 0 { Err(Errno::ENOENT) } else { Ok(()) }
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
    mapping.fill(call.env, domain, iova, huge)
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

/// The rights, or `None` where there are none.
fn prot(flags: u32, reserved: u32) -> Result<Option<Prot>, Errno> {
    if flags & !(MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE) != 0 || reserved != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let (read, write) = (flags & MAP_READABLE != 0, flags & MAP_WRITEABLE != 0);
    Ok((read || write).then_some(Prot { read, write, ..Prot::READ }))
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
    if !space.hwpts.is_empty() {
        mapping.pin(call, locked)?;
    }
    let domains: Vec<_> =
        space.hwpts.iter().filter_map(|&hwpt| Some(&objects.paging(hwpt).ok()?.domain)).collect();
    let filled = domains
        .iter()
        .try_for_each(|domain| mapping.fill(call.env, domain, iova, space.huge_pages));
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
        if call.env.has(FaultSwitch::FreeBeforeSync) {
            mapping.unpin(call, locked);
        }
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

impl Ioas {
    /// The lowest mapping that touches a range: its first and last IOVA.
    fn lowest_in(&self, (first, last): (u64, u64)) -> Option<(u64, u64)> {
        let span = |(&iova, mapping): (&u64, &Mapping)| (iova, iova + (mapping.length - 1));
        let below = self.mappings.range(..first).next_back().map(span);
        let below = below.filter(|&(_, end)| end >= first);
        below.or_else(|| self.mappings.range(first..=last).next().map(span))
    }

    /// Whether anything of a range is mapped.
    pub(super) fn mapped(&self, range: (u64, u64)) -> bool {
        self.lowest_in(range).is_some()
    }

    /// First and last IOVA of each mapping.
    pub(super) fn mapped_ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.mappings.iter().map(|(&iova, one)| (iova, iova + (one.length - 1)))
    }

    fn check_fits(&self, domain: &Domain) -> Result<(), Errno> {
        let beyond = (domain.last_input() + 1, u64::MAX);
        let page = 1u64 << domain.page_sizes().trailing_zeros();
        let odd = |(&iova, mapping): (&u64, &Mapping)| {
            (iova | mapping.length | mapping.user) & (page - 1) != 0
        };
        let kept = self.allowed.iter().any(|&range| iova::overlap(range, beyond));
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
            pieces.push(mapping.part(user, end - at + 1));
            if end == last {
                return Ok(pieces);
            }
            at = end + 1;
        }
    }
}
