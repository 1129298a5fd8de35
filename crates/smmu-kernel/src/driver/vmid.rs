//! VMIDs: who has which number, on one SMMU and on all of them.

use super::ids::IdAllocator;
use super::{Env, Smmu};
use crate::faults::FaultSwitch;
use crate::guarded::{Guarded, LockNumbers};
use crate::{Errno, Oops};
use rustc_hash::FxHashMap;
use smmu_arch::{Promise, Vmid};
use smmu_tables::Table;

/// The numbers of one SMMU.
#[derive(Debug)]
pub(crate) struct VmidTable {
    ids: IdAllocator,
    /// Domains by number: the reference counts of the series.
    domains: FxHashMap<Vmid, u32>,
    /// Attached streams by number. A number without one is clean once it was flushed.
    streams: FxHashMap<Vmid, u32>,
    /// Tables of domains that are gone, whose descriptors may be remembered under the number.
    kept: Vec<(Vmid, Table)>,
}

impl VmidTable {
    pub(super) fn new(ids: IdAllocator) -> Self {
        let (domains, streams) = (FxHashMap::default(), FxHashMap::default());
        Self { ids, domains, streams, kept: Vec::new() }
    }

    /// Numbers whose bit is set.
    pub(super) const fn in_use(&self) -> u32 {
        self.ids.in_use()
    }
}

impl Smmu {
    /// A free number for a new domain.
    pub(crate) fn allocate_vmid(&self, env: Env<'_>) -> Result<Vmid, Errno> {
        let vmid = self.vmids.with(env.cpu, |vmids| vmids.ids.allocate()).map(Vmid);
        let vmid = vmid.ok_or(Errno::ENOSPC)?;
        self.vmids.with(env.cpu, |vmids| *vmids.domains.entry(vmid).or_default() += 1);
        // The driver takes it for a new number, also where user space named it before (bug B5).
        env.cpu.promise(Promise::VmidAssigned { smmu: self.id, vmid });
        Ok(vmid)
    }

    /// One domain more has this number. Its bit is *not* set here: the series counts a number that
    /// user space named without reserving it (bug B5), and without a look at the size of its array
    /// (bug B4).
    ///
    /// # Errors
    /// An [`Oops`]: the array has no such element.
    pub(super) fn adopt_vmid(&self, env: Env<'_>, vmid: Vmid) -> Result<(), Errno> {
        let (first, counts) = self.vmids.with(env.cpu, |vmids| {
            let count = vmids.domains.entry(vmid).or_default();
            *count += 1;
            (*count == 1, vmids.ids.capacity())
        });
        if u32::from(vmid.0) >= counts {
            return Err(env.oops(Oops::VmidOutOfBounds { smmu: self.id, vmid, counts }));
        }
        if first {
            env.cpu.promise(Promise::VmidAssigned { smmu: self.id, vmid });
        }
        Ok(())
    }

    /// One domain less has this number; after the last it is free.
    pub(crate) fn release_vmid(&self, env: Env<'_>, vmid: Vmid) {
        let last = self.vmids.with(env.cpu, |vmids| {
            let count = vmids.domains.get_mut(&vmid)?;
            *count -= 1;
            if *count == 0 {
                vmids.domains.remove(&vmid);
                vmids.ids.free(vmid.0);
                return Some(());
            }
            None
        });
        if last.is_some() {
            env.cpu.promise(Promise::VmidFreed { smmu: self.id, vmid });
        }
    }

    /// A stream is about to use the number.
    pub(super) fn join_vmid(&self, env: Env<'_>, vmid: Vmid) {
        self.vmids.with(env.cpu, |vmids| *vmids.streams.entry(vmid).or_default() += 1);
    }

    /// A stream no longer uses the number; `true` if it was the last.
    pub(super) fn leave_vmid(&self, env: Env<'_>, vmid: Vmid) -> bool {
        self.vmids.with(env.cpu, |vmids| {
            let Some(count) = vmids.streams.get_mut(&vmid) else { return true };
            *count -= 1;
            let last = *count == 0;
            if last {
                vmids.streams.remove(&vmid);
            }
            last
        })
    }

    /// Whether any stream uses the number.
    pub(super) fn uses_vmid(&self, env: Env<'_>, vmid: Vmid) -> bool {
        self.vmids.with(env.cpu, |vmids| vmids.streams.contains_key(&vmid))
    }

    /// Keeps a table until the number is flushed, if any stream uses it; tells whether it did.
    pub(super) fn keep_table(&self, env: Env<'_>, vmid: Vmid, table: &Table) -> bool {
        self.vmids.with(env.cpu, |vmids| {
            let used = vmids.streams.contains_key(&vmid);
            if used {
                vmids.kept.push((vmid, table.clone()));
            }
            used
        })
    }

    /// The tables that were kept for a number, which was flushed.
    pub(super) fn take_kept(&self, env: Env<'_>, vmid: Vmid) -> Vec<Table> {
        let kept = self.vmids.with(env.cpu, |vmids| {
            let all = std::mem::take(&mut vmids.kept);
            let (kept, others) = all.into_iter().partition(|(of, _)| *of == vmid);
            vmids.kept = others;
            kept
        });
        let kept: Vec<(Vmid, Table)> = kept;
        kept.into_iter().map(|(_, table)| table).collect()
    }
}

/// Numbers that mean the same virtual machine on every SMMU with stage 2 (`rfc-fixed`). Each has one
/// count of all that hold it: domains, and containers that were told it.
#[derive(Debug)]
pub(crate) struct SharedVmids(Guarded<FxHashMap<Vmid, u32>>);

impl SharedVmids {
    pub(super) fn new(locks: &LockNumbers) -> Self {
        Self(Guarded::new(locks, FxHashMap::default()))
    }

    /// Bits of a shared number: those that every SMMU has; 0 where none has stage 2.
    pub(crate) fn bits(env: Env<'_>) -> u8 {
        stage2_smmus(env).map(|smmu| smmu.features.vmid_bits()).min().unwrap_or(0)
    }

    /// Whether a number is one that user space may name.
    pub(crate) fn is_vmid(env: Env<'_>, number: u32) -> bool {
        number != 0 && number >> Self::bits(env) == 0
    }

    /// A number that is free on every SMMU, held once.
    ///
    /// # Errors
    /// ENOSPC.
    pub(crate) fn allocate(&self, env: Env<'_>) -> Result<Vmid, Errno> {
        let Some(first) = stage2_smmus(env).next() else { return Err(Errno::ENOSPC) };
        self.0.with(env.cpu, |holders| {
            // Numbers that are free on the first SMMU but not on another are put aside meanwhile.
            let mut aside = Vec::new();
            let found = loop {
                let candidate = first.vmids.with(env.cpu, |vmids| vmids.ids.allocate());
                let Some(number) = candidate else { break None };
                if u32::from(number) >> Self::bits(env) == 0 && take_elsewhere(env, first, number) {
                    break Some(Vmid(number));
                }
                aside.push(number);
            };
            first.vmids.with(env.cpu, |vmids| {
                aside.into_iter().for_each(|number| _ = vmids.ids.free(number));
            });
            let vmid = found.ok_or(Errno::ENOSPC)?;
            *holders.entry(vmid).or_default() += 1;
            announce(env, vmid);
            Ok(vmid)
        })
    }

    /// Holds a number once more, or for the first time on every SMMU.
    ///
    /// # Errors
    /// EINVAL for 0 and for a number too wide for some SMMU; EBUSY where an SMMU uses the number
    /// for something else.
    pub(crate) fn reserve(&self, env: Env<'_>, number: u32) -> Result<Vmid, Errno> {
        let vmid = Vmid(number as u16);
        if !Self::is_vmid(env, number) {
            if !env.has(FaultSwitch::VmidUnchecked) {
                return Err(Errno::EINVAL);
            }
            let smmu = stage2_smmus(env).next().ok_or(Errno::EINVAL)?.id;
            let counts = 1 << Self::bits(env);
            if u32::from(vmid.0) >= counts {
                return Err(env.oops(Oops::VmidOutOfBounds { smmu, vmid, counts }));
            }
        }
        self.0.with(env.cpu, |holders| {
            if let Some(count) = holders.get_mut(&vmid) {
                *count += 1;
                return Ok(vmid);
            }
            let first = stage2_smmus(env).next().ok_or(Errno::EINVAL)?;
            if env.has(FaultSwitch::VmidUnreserved) {
                holders.insert(vmid, 1);
                announce(env, vmid);
                return Ok(vmid);
            }
            if !first.vmids.with(env.cpu, |vmids| vmids.ids.take(vmid.0)) {
                return Err(Errno::EBUSY);
            }
            let elsewhere = env.has(FaultSwitch::VmidOfOneSmmu);
            if !elsewhere && !take_elsewhere(env, first, vmid.0) {
                first.vmids.with(env.cpu, |vmids| vmids.ids.free(vmid.0));
                return Err(Errno::EBUSY);
            }
            holders.insert(vmid, 1);
            announce(env, vmid);
            Ok(vmid)
        })
    }

    /// Holds a number once less; after the last it is free on every SMMU.
    pub(crate) fn release(&self, env: Env<'_>, vmid: Vmid) {
        self.0.with(env.cpu, |holders| {
            let Some(count) = holders.get_mut(&vmid) else { return };
            *count -= 1;
            if *count != 0 {
                return;
            }
            holders.remove(&vmid);
            for smmu in stage2_smmus(env) {
                smmu.vmids.with(env.cpu, |vmids| vmids.ids.free(vmid.0));
                env.cpu.promise(Promise::VmidFreed { smmu: smmu.id, vmid });
            }
        });
    }
}

fn stage2_smmus<'a>(env: Env<'a>) -> impl Iterator<Item = &'a Smmu> {
    env.driver.smmus().iter().filter(|smmu| smmu.features.s2p)
}

/// Takes a number on every SMMU but `first`, or on none.
fn take_elsewhere(env: Env<'_>, first: &Smmu, number: u16) -> bool {
    let mut taken = Vec::new();
    for smmu in stage2_smmus(env).filter(|smmu| smmu.id != first.id) {
        if !smmu.vmids.with(env.cpu, |vmids| vmids.ids.take(number)) {
            for smmu in taken {
                let smmu: &Smmu = smmu;
                smmu.vmids.with(env.cpu, |vmids| vmids.ids.free(number));
            }
            return false;
        }
        taken.push(smmu);
    }
    true
}

fn announce(env: Env<'_>, vmid: Vmid) {
    for smmu in stage2_smmus(env) {
        env.cpu.promise(Promise::VmidAssigned { smmu: smmu.id, vmid });
    }
}
