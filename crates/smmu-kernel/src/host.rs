//! The host's own use of devices: what happens to those that no container holds, and the DMA API.
//!
//! A driver of the host maps memory for one transfer and unmaps it afterwards. In *strict* mode each
//! unmap is invalidated before it returns. In *lazy* mode it is put in a queue, and one invalidation
//! of everything serves the whole queue: when it is full, or 10 ms after the first entry. Until then
//! a device may still use what was unmapped, and the IOVA is not given again.

use crate::driver::{Deferred, Domain, DomainKind, Env, Smmu};
use crate::guarded::{Guarded, LockNumbers};
use crate::vfio::MSI_WINDOW;
use crate::{Errno, Idle};
use smmu_arch::{Iova, Pa, Promise, StreamId};
use smmu_tables::Prot;
use std::collections::BTreeMap;

/// Entries of a flush queue of Linux. One place stays empty, so that the 256th unmap finds it full.
const QUEUE_ENTRIES: usize = 256;
/// How long an entry waits at most.
const QUEUE_NS: u64 = 10_000_000;
/// Drivers are given IOVAs below 4 GiB.
const LAST_IOVA: u64 = u32::MAX as u64;

/// The host's domain of one group. The model has one queue for each, where Linux has one for each
/// CPU.
#[derive(Debug)]
pub(crate) struct HostDomain(Guarded<State>);

#[derive(Debug, Default)]
struct State {
    /// The DMA domain, once there is one.
    domain: Option<Domain>,
    /// The host holds the group.
    attached: bool,
    /// IOVAs that are taken: first to last.
    taken: BTreeMap<u64, u64>,
    queue: Vec<Entry>,
    /// When the first entry came.
    since_ns: u64,
}

/// An unmap that was not invalidated yet.
#[derive(Debug)]
struct Entry {
    iova: u64,
    output: Option<Pa>,
    bytes: u64,
    deferred: Deferred,
}

impl HostDomain {
    pub(crate) fn new(locks: &LockNumbers) -> Self {
        Self(Guarded::new(locks, State::default()))
    }

    /// The group comes (back) to the host.
    ///
    /// # Errors
    /// ENOSPC, ENOMEM, EIO: its devices stay blocked.
    pub(crate) fn release(
        &self,
        env: Env<'_>,
        smmu: &Smmu,
        streams: &[StreamId],
    ) -> Result<(), Errno> {
        self.0.with(env.cpu, |state| match env.driver.options.idle {
            Idle::Blocked => Ok(()),
            Idle::Identity => smmu.bypass_streams(env, streams),
            Idle::Dma { .. } => {
                if state.domain.is_none() {
                    state.domain = Some(Domain::new(env, smmu, DomainKind::Private)?);
                }
                let Some(domain) = &mut state.domain else { return Ok(()) };
                streams.iter().try_for_each(|&stream| domain.attach(env, stream))?;
                state.attached = true;
                Ok(())
            }
        })
    }

    /// A container takes the group: its devices are blocked. What is mapped stays for later.
    pub(crate) fn claim(&self, env: Env<'_>, smmu: &Smmu, streams: &[StreamId]) {
        self.0.with(env.cpu, |state| {
            if env.driver.options.idle == Idle::Identity {
                smmu.block_streams(env, streams);
            }
            if std::mem::take(&mut state.attached)
                && let Some(domain) = &mut state.domain
            {
                streams.iter().for_each(|&stream| domain.detach(env, stream));
                state.flush(env);
            }
        });
    }

    /// Maps memory for a transfer and gives its IOVA.
    ///
    /// # Errors
    /// EINVAL: not whole pages. ENODEV: the host does not translate for the device. ENOSPC: no IOVA
    /// is free. ENOMEM, EIO.
    pub(crate) fn map(
        &self,
        env: Env<'_>,
        output: Pa,
        bytes: u64,
        prot: Prot,
    ) -> Result<Iova, Errno> {
        self.0.with(env.cpu, |state| {
            state.expire(env);
            let domain = state.domain.as_ref().filter(|_| state.attached).ok_or(Errno::ENODEV)?;
            let page = 1 << domain.page_sizes().trailing_zeros();
            if bytes == 0 || (bytes | output.0) & (page - 1) != 0 {
                return Err(Errno::EINVAL);
            }
            let last = domain.last_input().min(LAST_IOVA);
            let iova = place(&state.taken, bytes, last).ok_or(Errno::ENOSPC)?;
            env.cpu.promise(Promise::PagesLent { first: output, bytes });
            let mapped = domain.map(env, iova, output, bytes, prot);
            mapped.inspect_err(|_| give_back(env, Some(output), bytes))?;
            state.taken.insert(iova, iova + (bytes - 1));
            Ok(Iova(iova))
        })
    }

    /// Ends a transfer.
    ///
    /// # Errors
    /// EINVAL: nothing was mapped as that.
    pub(crate) fn unmap(&self, env: Env<'_>, iova: Iova, bytes: u64) -> Result<(), Errno> {
        self.0.with(env.cpu, |state| {
            let last = bytes.checked_sub(1).and_then(|more| iova.0.checked_add(more));
            let queued = state.queue.iter().any(|entry| entry.iova == iova.0);
            if state.taken.get(&iova.0).copied() != last || last.is_none() || queued {
                return Err(Errno::EINVAL);
            }
            let Some(domain) = &state.domain else { return Err(Errno::EINVAL) };
            let output = domain.translate(env, iova.0);
            if env.driver.options.idle == (Idle::Dma { lazy: true }) {
                let deferred = domain.unmap_lazily(env, iova.0, bytes);
                state.enqueue(env, Entry { iova: iova.0, output, bytes, deferred });
            } else {
                domain.unmap(env, iova.0, bytes).finish();
                state.taken.remove(&iova.0);
                give_back(env, output, bytes);
            }
            Ok(())
        })
    }

    /// What the timer does: invalidates a queue whose first entry is 10 ms old.
    pub(crate) fn tick(&self, env: Env<'_>) {
        self.0.with(env.cpu, |state| state.expire(env));
    }
}

impl State {
    fn enqueue(&mut self, env: Env<'_>, entry: Entry) {
        self.expire(env);
        if self.queue.len() == QUEUE_ENTRIES - 1 {
            self.flush(env);
        }
        if self.queue.is_empty() {
            self.since_ns = env.cpu.now_ns();
        }
        self.queue.push(entry);
    }

    fn expire(&mut self, env: Env<'_>) {
        if !self.queue.is_empty() && env.cpu.now_ns() - self.since_ns >= QUEUE_NS {
            self.flush(env);
        }
    }

    fn flush(&mut self, env: Env<'_>) {
        let Some(domain) = self.domain.as_ref().filter(|_| !self.queue.is_empty()) else { return };
        domain.flush(env);
        for entry in std::mem::take(&mut self.queue) {
            entry.deferred.finish(env);
            self.taken.remove(&entry.iova);
            give_back(env, entry.output, entry.bytes);
        }
    }
}

fn give_back(env: Env<'_>, output: Option<Pa>, bytes: u64) {
    if let Some(first) = output {
        env.cpu.promise(Promise::PagesReturned { first, bytes });
    }
}

/// The highest free IOVA up to `last` that is aligned to the size, as Linux gives them.
fn place(taken: &BTreeMap<u64, u64>, bytes: u64, last: u64) -> Option<u64> {
    let align = bytes.checked_next_power_of_two()?;
    let mut end = last;
    let mut below = taken.range(..=last).rev().peekable();
    loop {
        let first = end.checked_sub(bytes - 1)? & !(align - 1);
        let until = first + (bytes - 1);
        let blocker = match below.peek() {
            Some(&(&taken_first, &taken_last)) if taken_last >= first => {
                below.next();
                Some(taken_first)
            }
            _ if first <= MSI_WINDOW.1 && until >= MSI_WINDOW.0 => Some(MSI_WINDOW.0),
            _ => None,
        };
        match blocker {
            // IOVA 0 is never given: drivers take it for "none".
            None => return (first != 0).then_some(first),
            Some(blocker) => end = end.min(blocker.checked_sub(1)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iovas_are_given_from_the_top_aligned_to_their_size() {
        let taken = BTreeMap::from([(0xffff_f000, 0xffff_ffff), (0xffff_8000, 0xffff_9fff)]);
        assert_eq!(place(&BTreeMap::new(), 0x1000, LAST_IOVA), Some(0xffff_f000));
        assert_eq!(place(&taken, 0x1000, LAST_IOVA), Some(0xffff_e000));
        assert_eq!(place(&taken, 0x3000, LAST_IOVA), Some(0xffff_c000));
        assert_eq!(place(&taken, 0x8000, LAST_IOVA), Some(0xffff_0000));
        // Below the window of MSI doorbells.
        assert_eq!(place(&BTreeMap::new(), 0x1000, MSI_WINDOW.1), Some(MSI_WINDOW.0 - 0x1000));
        assert_eq!(place(&BTreeMap::new(), 0x1000, 0xfff), None);
        assert_eq!(place(&BTreeMap::new(), 1 << 33, LAST_IOVA), None);
    }
}
