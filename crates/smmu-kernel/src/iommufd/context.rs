//! `/dev/iommu`: one open file with its objects.
//!
//! The model has one lock for all of them, where Linux has several.

use super::attach::{self, Attachment};
use super::objects::{Object, Objects};
use super::uapi::{self, Argument, Destroy, IommuOption};
use super::{hwpt, ioas, iova, veventq, viommu};
use crate::DomainView;
use crate::Errno;
use crate::abi;
use crate::driver::Env;
use crate::guarded::{Guarded, LockNumbers};
use crate::vfio::Call;
use smmu_arch::Event;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The state of one iommufd.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) objects: Objects,
    /// Where groups are attached, by index of the group.
    pub(super) attachments: BTreeMap<usize, Attachment>,
    /// Bytes of all mappings that are pinned.
    pub(super) locked: u64,
    /// `IOMMU_OPTION_RLIMIT_MODE`: count pinned memory by process, not by user.
    by_process: bool,
}

/// An open iommufd.
#[derive(Debug)]
pub(crate) struct Context(Guarded<State>);

impl Context {
    pub(crate) fn new(locks: &LockNumbers) -> Rc<Self> {
        Rc::new(Self(Guarded::new(locks, State::default())))
    }

    /// Runs `body` with the objects.
    pub(super) fn with<R>(&self, env: Env<'_>, body: impl FnOnce(&mut State) -> R) -> R {
        self.0.with(env.cpu, body)
    }

    /// An ioctl; those that give a descriptor excepted.
    ///
    /// # Errors
    /// ENOTTY: unknown. EFAULT, EINVAL: the structure is too short. E2BIG: it is too long, and not
    /// zero there. Those of the request.
    pub(super) fn ioctl(&self, call: Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        self.with(call.env, |state| dispatch(call, state, request, argument)).map(|()| 0)
    }

    /// The last user of the file is gone, and with it every device and every queue: all objects go,
    /// those first that nobody needs.
    pub(crate) fn release(&self, call: Call<'_>) {
        self.with(call.env, |state| {
            while let Some(id) = state.objects.unused() {
                let _ = state.destroy(call, id);
            }
        });
    }

    /// The page table in memory that a device uses.
    pub(crate) fn domain_of(&self, env: Env<'_>, device: u32) -> Option<DomainView> {
        self.with(env, |state| attach::domain_of(state, device))
    }

    /// Hands an event of a device to its guest; `false` where the host has to look after it.
    pub(super) fn report(&self, env: Env<'_>, device: u32, event: &Event) -> bool {
        self.with(env, |state| state.report(device, event))
    }
}

fn dispatch(call: Call<'_>, state: &mut State, request: u32, argument: u64) -> Result<(), Errno> {
    let mut run = Run { call, state, argument };
    match request {
        uapi::DESTROY => run.read_only(|call, state, cmd: &Destroy| state.destroy(call, cmd.id)),
        uapi::IOAS_ALLOC => run.creating(|_, state, cmd| ioas::alloc(state, cmd)),
        uapi::IOAS_IOVA_RANGES => run.telling(|call, state, cmd| iova::ranges(call, state, cmd)),
        uapi::IOAS_ALLOW_IOVAS => run.read_only(iova::allow),
        uapi::IOAS_MAP => run.replying(ioas::map),
        uapi::IOAS_COPY => run.replying(ioas::copy),
        uapi::IOAS_UNMAP => run.replying(ioas::unmap),
        uapi::OPTION => run.replying(|_, state, cmd| option(state, cmd)),
        uapi::GET_HW_INFO => run.replying(|call, state, cmd| hwpt::hw_info(call, state, cmd)),
        uapi::HWPT_ALLOC => run.creating(hwpt::alloc),
        uapi::HWPT_SET_DIRTY_TRACKING => {
            run.read_only(|_, state, cmd| hwpt::set_dirty_tracking(state, cmd))
        }
        uapi::HWPT_GET_DIRTY_BITMAP => {
            run.read_only(|_, state, cmd| hwpt::get_dirty_bitmap(state, cmd))
        }
        uapi::HWPT_INVALIDATE => {
            run.telling(|call, state, cmd| viommu::invalidate(call, state, cmd))
        }
        uapi::VIOMMU_ALLOC => run.creating(viommu::alloc),
        uapi::VDEVICE_ALLOC => run.creating(|_, state, cmd| viommu::alloc_vdevice(state, cmd)),
        uapi::HW_QUEUE_ALLOC => run.read_only(|_, state, cmd| viommu::alloc_hw_queue(state, cmd)),
        _ => Err(Errno::ENOTTY),
    }
}

/// One ioctl under way.
struct Run<'a, 's> {
    call: Call<'a>,
    state: &'s mut State,
    argument: u64,
}

impl<'a> Run<'a, '_> {
    /// A request that writes nothing back.
    fn read_only<T: Argument>(
        &mut self,
        body: impl FnOnce(Call<'a>, &mut State, &T) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (cmd, _) = fetch::<T>(self.call, self.argument)?;
        body(self.call, self.state, &cmd)
    }

    /// A request that makes an object, which goes again where the caller cannot learn its number.
    fn creating<T: Argument>(
        &mut self,
        body: impl FnOnce(Call<'a>, &mut State, &mut T) -> Result<u32, Errno>,
    ) -> Result<(), Errno> {
        let (mut cmd, size) = fetch::<T>(self.call, self.argument)?;
        let created = body(self.call, self.state, &mut cmd)?;
        let told = respond(self.call, self.argument, size, &cmd);
        told.inspect_err(|_| _ = self.state.destroy(self.call, created))
    }

    /// A request that writes its structure back when it succeeds.
    fn replying<T: Argument>(
        &mut self,
        body: impl FnOnce(Call<'a>, &mut State, &mut T) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (mut cmd, size) = fetch::<T>(self.call, self.argument)?;
        body(self.call, self.state, &mut cmd)?;
        respond(self.call, self.argument, size, &cmd)
    }

    /// A request that writes its structure back in any case.
    fn telling<T: Argument>(
        &mut self,
        body: impl FnOnce(Call<'a>, &mut State, &mut T) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (mut cmd, size) = fetch::<T>(self.call, self.argument)?;
        let result = body(self.call, self.state, &mut cmd);
        respond(self.call, self.argument, size, &cmd)?;
        result
    }
}

/// The structure of a request and the size that the caller says it has.
pub(super) fn fetch<T: Argument>(call: Call<'_>, argument: u64) -> Result<(T, usize), Errno> {
    let size: u32 = abi::read(call.process, argument)?;
    let size = size as usize;
    if size < T::MIN {
        return Err(Errno::EINVAL);
    }
    Ok((uapi::copy_struct(call.process, argument, size)?, size))
}

/// Writes as much of a structure back as the caller has.
pub(super) fn respond<T: Argument>(
    call: Call<'_>,
    argument: u64,
    size: usize,
    cmd: &T,
) -> Result<(), Errno> {
    let bytes = cmd.as_bytes();
    Ok(call.process.write(argument, &bytes[..size.min(bytes.len())])?)
}

/// `IOMMU_OPTION`.
///
/// # Errors
/// EOPNOTSUPP: a reserved field, an unknown option or operation. ENOENT. EINVAL: neither 0 nor 1.
/// EBUSY: the mode of counting is set after the first object was made.
fn option(state: &mut State, cmd: &mut IommuOption) -> Result<(), Errno> {
    if cmd.__reserved != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let empty = state.objects.is_empty();
    let value = match cmd.option_id {
        uapi::OPTION_RLIMIT_MODE if cmd.object_id == 0 => &mut state.by_process,
        uapi::OPTION_HUGE_PAGES => &mut state.objects.ioas_mut(cmd.object_id)?.huge_pages,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    match (cmd.op, cmd.val64) {
        (uapi::OPTION_OP_GET, _) => cmd.val64 = u64::from(*value),
        (uapi::OPTION_OP_SET, _) if cmd.option_id == uapi::OPTION_RLIMIT_MODE && !empty => {
            return Err(Errno::EBUSY);
        }
        (uapi::OPTION_OP_SET, new @ (0 | 1)) => *value = new == 1,
        (uapi::OPTION_OP_SET, _) => return Err(Errno::EINVAL),
        _ => return Err(Errno::EOPNOTSUPP),
    }
    Ok(())
}

impl State {
    /// `IOMMU_DESTROY`.
    ///
    /// # Errors
    /// ENOENT; EBUSY: something needs the object.
    pub(super) fn destroy(&mut self, call: Call<'_>, id: u32) -> Result<(), Errno> {
        match self.objects.remove(id)? {
            // The bound device holds its object; it goes by `unbind`.
            Object::Device(_) => {}
            Object::Ioas(space) => ioas::destroyed(call, self, space),
            Object::Paging(paging) => hwpt::destroyed(call, self, id, paging),
            Object::Nested(nested) => _ = self.objects.release(nested.viommu),
            Object::Viommu(viommu) => viommu::destroyed(call, self, &viommu),
            Object::Vdevice(vdevice) => viommu::vdevice_destroyed(self, &vdevice),
            Object::Veventq(queue) => veventq::destroyed(self, &queue),
        }
        Ok(())
    }

    /// A bound device goes: it is detached, its vDEVICE destroyed and the number of that buried.
    pub(super) fn unbind(&mut self, call: Call<'_>, id: u32) {
        attach::detach(call, self, id);
        if let Ok(Some(vdevice)) = self.objects.device(id).map(|device| device.vdevice)
            && self.destroy(call, vdevice).is_ok()
        {
            self.objects.bury(vdevice);
        }
        self.objects.release(id);
        let _ = self.destroy(call, id);
    }
}
