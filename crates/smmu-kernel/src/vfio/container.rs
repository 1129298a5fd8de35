//! `/dev/vfio/vfio`: containers.

use super::type1::{Call, Type1, Variant};
use super::uapi::{self, INVALID_VMID};
use super::{dirty, dma, info};
use crate::Errno;
use crate::driver::{Env, SharedVmids};
use crate::faults::FaultSwitch;
use crate::guarded::{Guarded, LockNumbers};
use crate::personality::Personality;
use smmu_arch::{StreamId, Vmid};
use std::cell::Cell;
use std::rc::Rc;
use vfio_bindings::bindings::vfio as abi;

/// A container: groups that share an address space.
#[derive(Debug)]
pub(crate) struct Container {
    state: Guarded<State>,
    /// The open file, and every group inside.
    holders: Cell<u32>,
}

#[derive(Debug)]
struct State {
    groups: Vec<usize>,
    /// The container's VMID word.
    vmid: u32,
    /// The hold on the number that SET_VMID named (`rfc-fixed`).
    reserved: Option<Vmid>,
    iommu: Option<Type1>,
}

impl Container {
    pub(crate) fn new(locks: &LockNumbers) -> Rc<Self> {
        let state = State { groups: Vec::new(), vmid: INVALID_VMID, reserved: None, iommu: None };
        Rc::new(Self { state: Guarded::new(locks, state), holders: Cell::new(1) })
    }

    /// One holder more.
    fn hold(&self) {
        self.holders.set(self.holders.get() + 1);
    }

    /// One holder less; with the last the container is gone.
    pub(crate) fn drop_holder(&self, env: Env<'_>) {
        self.holders.set(self.holders.get() - 1);
        if self.holders.get() == 0 {
            let reserved = self.state.with(env.cpu, |state| state.reserved.take());
            reserved.into_iter().for_each(|vmid| env.driver.shared_vmids.release(env, vmid));
        }
    }

    /// Whether an IOMMU was set.
    pub(crate) fn has_iommu(&self, env: Env<'_>) -> bool {
        self.state.with(env.cpu, |state| state.iommu.is_some())
    }

    /// Takes a group in. Where an IOMMU is set its devices join the address space at once.
    ///
    /// # Errors
    /// Those of [`Type1::attach_group`].
    pub(crate) fn add_group(&self, call: Call<'_>, group: usize) -> Result<(), Errno> {
        let joining = &call.groups[group];
        let smmu = joining.smmu(call.env)?;
        joining.host.claim(call.env, smmu, &joining.streams);
        let joined = self.state.with(call.env.cpu, |state| {
            if let Some(iommu) = &mut state.iommu {
                // The series uses the driver's copy, which a later SET_VMID does not reach (B3).
                if !call.env.has(FaultSwitch::LateSetIgnored) {
                    iommu.vmid = state.vmid;
                }
                iommu.attach_group(call, group)?;
            }
            state.groups.push(group);
            self.hold();
            Ok(())
        });
        joined.inspect_err(|_| give_to_host(call, group))
    }

    /// Lets a group go. The last one takes the IOMMU and all mappings with it.
    pub(crate) fn remove_group(&self, call: Call<'_>, group: usize) {
        self.state.with(call.env.cpu, |state| {
            if let Some(iommu) = &mut state.iommu {
                iommu.detach_group(call, group);
            }
            state.groups.retain(|&other| other != group);
            if state.groups.is_empty() {
                state.iommu = None;
                let fixed = call.env.driver.options.personality == Personality::RfcFixed;
                if fixed && state.reserved.is_none() {
                    // The number was the domain's, which is gone.
                    state.vmid = INVALID_VMID;
                }
            }
        });
        give_to_host(call, group);
        self.drop_holder(call.env);
    }

    /// An ioctl on the container.
    pub(crate) fn ioctl(&self, call: Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        let personality = call.env.driver.options.personality;
        match request {
            uapi::GET_API_VERSION => Ok(i64::from(abi::VFIO_API_VERSION)),
            uapi::CHECK_EXTENSION => Ok(i64::from(has_extension(personality, argument))),
            uapi::SET_IOMMU => self.set_iommu(call, argument),
            uapi::IOMMU_GET_VMID if personality.has_nesting() => {
                let vmid = self.state.with(call.env.cpu, |state| state.vmid);
                uapi::write(call.process, argument, &vmid)?;
                Ok(0)
            }
            uapi::IOMMU_SET_VMID if personality.has_nesting() => {
                self.set_vmid(call.env, argument as u32)
            }
            _ => self.state.with(call.env.cpu, |state| {
                let iommu = state.iommu.as_mut().ok_or(Errno::EINVAL)?;
                match request {
                    uapi::IOMMU_GET_INFO => info::get_info(call, iommu, argument),
                    uapi::IOMMU_MAP_DMA => dma::map(call, iommu, argument),
                    uapi::IOMMU_UNMAP_DMA => dma::unmap(call, iommu, argument),
                    uapi::IOMMU_DIRTY_PAGES => dirty::dirty_pages(call, iommu, argument),
                    _ => Err(Errno::ENOTTY),
                }
            }),
        }
    }

    fn set_iommu(&self, call: Call<'_>, kind: u64) -> Result<i64, Errno> {
        let personality = call.env.driver.options.personality;
        self.state.with(call.env.cpu, |state| {
            if state.groups.is_empty() || state.iommu.is_some() {
                return Err(Errno::EINVAL);
            }
            let mut iommu = Type1::new(variant(personality, kind)?);
            let told = state.vmid;
            for index in 0..state.groups.len() {
                if let Err(errno) = state.attach(call, &mut iommu, index) {
                    // The failing group is skipped: what it left attached stays so (bug B2).
                    for &group in state.groups[..index].iter().rev() {
                        iommu.detach_group(call, group);
                    }
                    // A number that an earlier group brought went with its domain.
                    state.vmid = told;
                    return Err(errno);
                }
            }
            state.iommu = Some(iommu);
            Ok(0)
        })
    }

    /// The series stores whatever it is told (bugs B3, B4, B5); `rfc-fixed` holds the number on every
    /// SMMU and gives it to what is attached already.
    fn set_vmid(&self, env: Env<'_>, number: u32) -> Result<i64, Errno> {
        if number == INVALID_VMID {
            return Err(Errno::EINVAL);
        }
        self.state.with(env.cpu, |state| {
            let checked = SharedVmids::is_vmid(env, number) || !env.has(FaultSwitch::VmidUnchecked);
            if env.driver.options.personality == Personality::RfcFixed && checked {
                let reserved = env.driver.shared_vmids.reserve(env, number)?;
                let iommu = state.iommu.as_mut().filter(|iommu| iommu.variant.nesting);
                let iommu = iommu.filter(|_| !env.has(FaultSwitch::LateSetIgnored));
                if let Some(iommu) = iommu
                    && let Err(errno) = iommu.retag(env, number)
                {
                    env.driver.shared_vmids.release(env, reserved);
                    return Err(errno);
                }
                if let Some(old) = state.reserved.replace(reserved) {
                    env.driver.shared_vmids.release(env, old);
                }
            }
            state.vmid = number;
            Ok(0)
        })
    }

    /// Gives the domain that a stream is in another ASID.
    ///
    /// # Errors
    /// ENODEV: there is none. Those of [`Type1::give_asid`].
    pub(crate) fn give_asid(&self, env: Env<'_>, stream: StreamId) -> Result<(), Errno> {
        self.state.with(env.cpu, |state| {
            let iommu = state.iommu.as_mut().ok_or(Errno::ENODEV)?;
            iommu.give_asid(env, stream)
        })
    }

    /// What the container holds, for whoever looks from outside.
    pub(crate) fn view(&self, env: Env<'_>) -> super::ContainerView {
        self.state.with(env.cpu, |state| super::ContainerView {
            vmid: (state.vmid != INVALID_VMID).then_some(state.vmid),
            domains: state.iommu.iter().flat_map(Type1::domains).map(super::domain_view).collect(),
            mappings: state.iommu.as_ref().map_or(0, |iommu| iommu.dmas.len()),
        })
    }
}

/// Without memory for that the devices stay blocked.
fn give_to_host(call: Call<'_>, group: usize) {
    let group = &call.groups[group];
    if let Ok(smmu) = group.smmu(call.env) {
        let _ = group.host.release(call.env, smmu, &group.streams);
    }
}

impl State {
    /// One group of SET_IOMMU: a VMID is pushed to the driver before, or pulled from it afterwards.
    fn attach(&mut self, call: Call<'_>, iommu: &mut Type1, index: usize) -> Result<(), Errno> {
        let group = self.groups[index];
        if self.vmid != INVALID_VMID {
            iommu.vmid = self.vmid;
            return iommu.attach_group(call, group);
        }
        iommu.attach_group(call, group)?;
        self.vmid = iommu.vmid;
        Ok(())
    }
}

/// Extensions 4 (coherent DMA is enforced) and 10 (VADDR can be updated) are answered with no, before
/// and after SET_IOMMU: an SMMU cannot enforce the one, this driver does not do the other.
fn has_extension(personality: Personality, extension: u64) -> bool {
    match extension as u32 {
        abi::VFIO_TYPE1_IOMMU | abi::VFIO_TYPE1v2_IOMMU | abi::VFIO_UNMAP_ALL => true,
        uapi::TYPE1_NESTING_IOMMU => personality.has_nesting(),
        _ => false,
    }
}

fn variant(personality: Personality, kind: u64) -> Result<Variant, Errno> {
    match kind as u32 {
        abi::VFIO_TYPE1_IOMMU => Ok(Variant { v2: false, nesting: false }),
        abi::VFIO_TYPE1v2_IOMMU => Ok(Variant { v2: true, nesting: false }),
        uapi::TYPE1_NESTING_IOMMU if personality.has_nesting() => {
            Ok(Variant { v2: true, nesting: true })
        }
        // An extension of the driver, so that it is asked to open, but no kind of IOMMU.
        abi::VFIO_UNMAP_ALL => Err(Errno::EINVAL),
        _ => Err(Errno::ENODEV),
    }
}
