//! The type 1 IOMMU driver of a container: its domains and what is mapped in them.

use super::Group;
use super::pins::Pins;
use super::uapi::INVALID_VMID;
use crate::driver::{Domain, DomainKind, Env, Smmu};
use crate::faults::FaultSwitch;
use crate::{Errno, Oops};
use smmu_arch::StreamId;
use smmu_bus::{Pinned, UserMemory};
use smmu_tables::Prot;
use std::collections::BTreeMap;

/// What an ioctl on a container works with.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) env: Env<'a>,
    pub(crate) process: &'a dyn UserMemory,
    pub(crate) pins: &'a Pins,
    pub(crate) groups: &'a [Group],
}

/// The variants of the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Variant {
    /// v1: an unmap may take more than it was asked for.
    pub(crate) v2: bool,
    /// Stage 2 for a virtual machine.
    pub(crate) nesting: bool,
}

/// One mapping.
#[derive(Debug)]
pub(crate) struct Dma {
    pub(crate) size: u64,
    prot: Prot,
    runs: Vec<Pinned>,
}

/// The groups that use one domain.
#[derive(Debug)]
struct Attachment {
    domain: Domain,
    groups: Vec<usize>,
}

/// The state of the driver in one container.
#[derive(Debug)]
pub(crate) struct Type1 {
    pub(crate) variant: Variant,
    /// The driver's own copy of the container's VMID.
    pub(crate) vmid: u32,
    attachments: Vec<Attachment>,
    /// Mappings by first IOVA.
    pub(crate) dmas: BTreeMap<u64, Dma>,
    /// Bytes of all mappings.
    locked: u64,
    pub(crate) tracks_dirty: bool,
}

/// IOVAs that the SMMU driver keeps for the doorbells of MSIs.
pub(crate) const MSI_WINDOW: (u64, u64) = (0x0800_0000, 0x080f_ffff);

impl Type1 {
    pub(crate) const fn new(variant: Variant) -> Self {
        Self {
            variant,
            vmid: INVALID_VMID,
            attachments: Vec::new(),
            dmas: BTreeMap::new(),
            locked: 0,
            tracks_dirty: false,
        }
    }

    /// Domains, one for each SMMU.
    pub(crate) fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.attachments.iter().map(|attachment| &attachment.domain)
    }

    /// Page sizes that every domain maps, as a set of bits.
    pub(crate) fn page_sizes(&self) -> u64 {
        self.domains().fold(u64::MAX, |sizes, domain| sizes & domain.page_sizes())
    }

    /// The smallest page.
    pub(crate) fn page(&self) -> u64 {
        1 << self.page_sizes().trailing_zeros()
    }

    /// IOVAs that can be mapped: first and last of each range.
    pub(crate) fn iova_ranges(&self, env: Env<'_>) -> Vec<(u64, u64)> {
        let last = self.domains().map(Domain::last_input).min().unwrap_or(0);
        match env.driver.options.msi_window {
            true if last > MSI_WINDOW.1 => vec![(0, MSI_WINDOW.0 - 1), (MSI_WINDOW.1 + 1, last)],
            true => vec![(0, last.min(MSI_WINDOW.0 - 1))],
            false => vec![(0, last)],
        }
    }

    /// Lets the devices of a group use the container's address space.
    ///
    /// As Linux does: a new domain first, so that its SMMU is known, and then the domain that
    /// serves this SMMU already, if there is one. In the series the new domain has the container's
    /// VMID, and freeing it flushes the whole machine (bug B10).
    ///
    /// # Errors
    /// ENOSPC: no VMID or ASID is free. EPERM: the series cannot read the VMID of a domain that is
    /// attached (bug B1). EINVAL, ENOMEM, EIO.
    pub(crate) fn attach_group(&mut self, call: Call<'_>, group: usize) -> Result<(), Errno> {
        let env = call.env;
        let smmu = call.groups[group].smmu(env)?;
        let streams = &call.groups[group].streams;
        let mut domain = self.new_domain(env, smmu)?;
        if let Err(errno) = self.enter(env, &mut domain, streams) {
            self.check_free(env, smmu);
            domain.free(env);
            return Err(errno);
        }
        if self.variant.nesting && self.vmid == INVALID_VMID {
            if env.has(FaultSwitch::GetAfterAttach) {
                // The domain goes although its streams still are in it (bug B2).
                if !env.has(FaultSwitch::FreeWithoutDetach) {
                    leave(env, &mut domain, streams);
                }
                domain.free(env);
                return Err(Errno::EPERM);
            }
            self.vmid = domain.vmid().map_or(INVALID_VMID, |vmid| u32::from(vmid.0));
        }
        let same = self.attachments.iter().position(|other| other.domain.smmu() == smmu.id);
        if let Some(index) = same {
            leave(env, &mut domain, streams);
            domain.free(env);
            let existing = &mut self.attachments[index];
            attach_all(env, &mut existing.domain, streams)?;
            existing.groups.push(group);
            return Ok(());
        }
        if let Err(errno) = self.replay(env, &domain) {
            leave(env, &mut domain, streams);
            self.empty(env, &domain);
            domain.free(env);
            return Err(errno);
        }
        self.attachments.push(Attachment { domain, groups: vec![group] });
        Ok(())
    }

    fn new_domain(&self, env: Env<'_>, smmu: &Smmu) -> Result<Domain, Errno> {
        let told = (self.vmid != INVALID_VMID).then_some(self.vmid);
        let kind = match self.variant.nesting {
            true => DomainKind::Nesting { vmid: told },
            false => DomainKind::Private,
        };
        Domain::new(env, smmu, kind).inspect_err(|_| self.check_free(env, smmu))
    }

    /// A domain that was never attached is freed. With a number of the container the series looks
    /// for its SMMU (bug B8).
    fn check_free(&self, env: Env<'_>, smmu: &Smmu) {
        let told = self.vmid != INVALID_VMID && self.vmid as u16 != 0;
        if self.variant.nesting && told && env.has(FaultSwitch::FreeUnattached) {
            env.oops(Oops::FreedUnattachedDomain { smmu: smmu.id });
        }
    }

    /// Attaches streams to a domain that holds everything that is mapped.
    fn enter(&self, env: Env<'_>, domain: &mut Domain, streams: &[StreamId]) -> Result<(), Errno> {
        let beyond =
            self.dmas.iter().any(|(iova, dma)| iova + (dma.size - 1) > domain.last_input());
        if beyond {
            return Err(Errno::EINVAL);
        }
        attach_all(env, domain, streams)
    }

    /// Maps in a new domain what is mapped in the others.
    fn replay(&self, env: Env<'_>, domain: &Domain) -> Result<(), Errno> {
        self.dmas.iter().try_for_each(|(&iova, dma)| map_runs(env, domain, iova, dma))
    }

    /// Takes everything out of one domain of several.
    fn empty(&self, env: Env<'_>, domain: &Domain) {
        for (&iova, dma) in &self.dmas {
            domain.unmap(env, iova, dma.size).finish();
        }
    }

    /// Blocks the devices of a group. The last group takes all mappings with it.
    pub(crate) fn detach_group(&mut self, call: Call<'_>, group: usize) {
        let env = call.env;
        let found = self.attachments.iter().position(|one| one.groups.contains(&group));
        let Some(index) = found else { return };
        let attachment = &mut self.attachments[index];
        leave(env, &mut attachment.domain, &call.groups[group].streams);
        attachment.groups.retain(|&other| other != group);
        if !attachment.groups.is_empty() {
            return;
        }
        if self.attachments.len() == 1 {
            self.unmap_all(call);
        } else if self.attachments[index].domain.is_shared() {
            // Walks of other containers' devices may have cached these tables.
            self.empty(env, &self.attachments[index].domain);
        }
        self.attachments.remove(index).domain.free(env);
    }

    /// Pins user memory and maps it in every domain. The range is free, aligned and valid.
    ///
    /// # Errors
    /// EFAULT: not all of it is there. ENOMEM: too much is locked, or no memory for tables. EINVAL:
    /// physical addresses that the SMMU cannot reach or map.
    pub(crate) fn map(
        &mut self,
        call: Call<'_>,
        iova: u64,
        (vaddr, size): (u64, u64),
        prot: Prot,
    ) -> Result<(), Errno> {
        let env = call.env;
        if self.locked.saturating_add(size) > env.driver.options.memlock_bytes {
            return Err(Errno::ENOMEM);
        }
        let dma = Dma { size, prot, runs: call.process.pin(vaddr, size)? };
        call.pins.lend(env, &dma.runs);
        let mapped = self.domains().try_for_each(|domain| map_runs(env, domain, iova, &dma));
        if let Err(errno) = mapped {
            self.unmap_dma(call, iova, &dma);
            return Err(errno);
        }
        self.dmas.insert(iova, dma);
        self.locked += size;
        Ok(())
    }

    /// Takes a mapping away; gives its size, 0 if there is none at this IOVA.
    pub(crate) fn unmap(&mut self, call: Call<'_>, iova: u64) -> u64 {
        let Some(dma) = self.dmas.remove(&iova) else { return 0 };
        self.locked -= dma.size;
        self.unmap_dma(call, iova, &dma);
        dma.size
    }

    /// Takes all mappings away; gives the bytes that were mapped.
    pub(crate) fn unmap_all(&mut self, call: Call<'_>) -> u64 {
        let iovas: Vec<_> = self.dmas.keys().copied().collect();
        iovas.into_iter().map(|iova| self.unmap(call, iova)).sum()
    }

    fn unmap_dma(&self, call: Call<'_>, iova: u64, dma: &Dma) {
        use crate::faults::FaultSwitch::FreeBeforeSync;
        let env = call.env;
        let pending: Vec<_> =
            self.domains().map(|domain| domain.unmap(env, iova, dma.size)).collect();
        if env.has(FreeBeforeSync) {
            unpin(call, dma);
        }
        pending.into_iter().for_each(|unmap| unmap.finish());
        if !env.has(FreeBeforeSync) {
            unpin(call, dma);
        }
    }

    /// Gives the domain that a stream is in another ASID.
    ///
    /// # Errors
    /// ENODEV: there is none. Those of [`Domain::give_asid`].
    pub(crate) fn give_asid(&mut self, env: Env<'_>, stream: StreamId) -> Result<(), Errno> {
        let mut domains = self.attachments.iter_mut().map(|attachment| &mut attachment.domain);
        let domain = domains.find(|domain| domain.streams().any(|one| one == stream));
        domain.ok_or(Errno::ENODEV)?.give_asid(env)
    }

    /// Gives every domain another VMID (`rfc-fixed`). The domains' holds move with it.
    ///
    /// # Errors
    /// EBUSY, EINVAL: see [`crate::driver::SharedVmids::reserve`]. EIO.
    pub(crate) fn retag(&mut self, env: Env<'_>, number: u32) -> Result<(), Errno> {
        let shared = &env.driver.shared_vmids;
        for attachment in &mut self.attachments {
            let Some(old) = attachment.domain.vmid().filter(|old| u32::from(old.0) != number)
            else {
                continue;
            };
            let new = shared.reserve(env, number)?;
            attachment.domain.retag(env, new)?;
            shared.release(env, old);
        }
        self.vmid = number;
        Ok(())
    }
}

fn attach_all(env: Env<'_>, domain: &mut Domain, streams: &[StreamId]) -> Result<(), Errno> {
    for (index, &stream) in streams.iter().enumerate() {
        if let Err(errno) = domain.attach(env, stream) {
            leave(env, domain, &streams[..index]);
            return Err(errno);
        }
    }
    Ok(())
}

fn leave(env: Env<'_>, domain: &mut Domain, streams: &[StreamId]) {
    streams.iter().rev().for_each(|&stream| domain.detach(env, stream));
}

fn map_runs(env: Env<'_>, domain: &Domain, iova: u64, dma: &Dma) -> Result<(), Errno> {
    let mut at = iova;
    for run in &dma.runs {
        domain.map(env, at, run.pa, run.bytes, dma.prot)?;
        at += run.bytes;
    }
    Ok(())
}

fn unpin(call: Call<'_>, dma: &Dma) {
    dma.runs.iter().for_each(|run| call.process.unpin(run));
    call.pins.give_back(call.env, &dma.runs);
}
