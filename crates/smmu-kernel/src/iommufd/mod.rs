//! iommufd and VFIO device files, as Linux 7.2 offers them: `/dev/iommu` and `/dev/vfio/devices/`.
//!
//! The one has address spaces, page tables and guests' SMMUs as numbered objects; the other binds a
//! device to it and attaches the device to one of them.

mod attach;
mod cdev;
mod context;
mod hwpt;
mod ioas;
mod iova;
mod mapping;
mod objects;
pub mod uapi;
mod veventq;
mod viommu;

pub(crate) use cdev::{Cdev, Endpoint};
pub(crate) use context::Context;

use crate::Errno;
use crate::vfio::{Call, FileKind, OpenFile, Vfio};
use std::rc::Rc;

/// A descriptor of an event queue. It keeps the iommufd open.
#[derive(Debug)]
pub(crate) struct QueueFile {
    /// The file of the iommufd.
    pub(crate) file: Rc<OpenFile>,
    context: Rc<Context>,
    queue: u32,
}

/// An ioctl on an iommufd; `file` is its own.
///
/// # Errors
/// Those of [`Context::ioctl`] and of the request.
pub(crate) fn ioctl(
    vfio: &Vfio,
    call: Call<'_>,
    (context, file): (&Rc<Context>, &Rc<OpenFile>),
    request: u32,
    argument: u64,
) -> Result<i64, Errno> {
    match request {
        uapi::VEVENTQ_ALLOC => alloc_queue(vfio, call, (context, file), argument).map(|()| 0),
        _ => context.ioctl(call, request, argument),
    }
}

/// `IOMMU_VEVENTQ_ALLOC`.
fn alloc_queue(
    vfio: &Vfio,
    call: Call<'_>,
    (context, file): (&Rc<Context>, &Rc<OpenFile>),
    argument: u64,
) -> Result<(), Errno> {
    let (mut cmd, size) = context::fetch::<uapi::VeventqAlloc>(call, argument)?;
    let queue = context.with(call.env, |state| {
        let queue = veventq::alloc(state, &mut cmd)?;
        // The descriptor needs the object.
        state.objects.hold(queue);
        Ok::<_, Errno>(queue)
    })?;
    let made = QueueFile { file: file.hold(), context: Rc::clone(context), queue };
    let made = OpenFile::new(FileKind::Queue(made));
    let told = vfio.install(call.env.cpu, Rc::clone(&made)).and_then(|fd| {
        cmd.out_veventq_fd = fd as u32;
        let told = context::respond(call, argument, size, &cmd);
        told.inspect_err(|_| _ = vfio.uninstall(call.env.cpu, fd))
    });
    if told.is_err() {
        vfio.put(call, &made);
        context.with(call.env, |state| _ = state.destroy(call, queue));
    }
    told
}

impl QueueFile {
    /// Reads whole records; gives the bytes, 0 where there is none.
    ///
    /// # Errors
    /// EFAULT.
    pub(crate) fn read(&self, call: Call<'_>, buffer: (u64, u64)) -> Result<u64, Errno> {
        self.context.with(call.env, |state| veventq::read(call, state, self.queue, buffer))
    }

    /// Whether there is something to read.
    pub(crate) fn is_readable(&self, call: Call<'_>) -> bool {
        self.context.with(call.env, |state| state.has_events(self.queue))
    }

    /// The last user of the descriptor is gone. The queue stays until it is destroyed.
    pub(crate) fn release(&self, call: Call<'_>) {
        self.context.with(call.env, |state| state.objects.release(self.queue));
    }
}
