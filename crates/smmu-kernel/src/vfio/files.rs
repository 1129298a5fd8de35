//! File descriptors.
//!
//! The model has one table for all processes: who holds a number may use it, as after passing it
//! over a socket.

use super::container::Container;
use crate::Errno;
use crate::guarded::{Guarded, LockNumbers};
use crate::iommufd::{Cdev, Context, QueueFile};
use smmu_bus::Cpu;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What is open.
#[derive(Debug)]
pub(crate) enum FileKind {
    /// `/dev/vfio/vfio`.
    Container(Rc<Container>),
    /// `/dev/vfio/N`, by index of the group.
    Group(usize),
    /// A device of a group. It keeps the group's file open.
    Device {
        /// The file of its group.
        group: Rc<OpenFile>,
    },
    /// `/dev/iommu`.
    Iommufd(Rc<Context>),
    /// `/dev/vfio/devices/vfioN`. Once bound it keeps the iommufd's file open.
    Cdev(Cdev),
    /// An event queue of an iommufd, whose file it keeps open.
    Queue(QueueFile),
}

/// An open file. It is released when the last of its users is gone.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) kind: FileKind,
    /// Descriptors, ioctls in progress and other files that hold it.
    users: Cell<u32>,
}

impl OpenFile {
    pub(crate) fn new(kind: FileKind) -> Rc<Self> {
        Rc::new(Self { kind, users: Cell::new(1) })
    }

    /// One user more.
    pub(crate) fn hold(self: &Rc<Self>) -> Rc<Self> {
        self.users.set(self.users.get() + 1);
        Rc::clone(self)
    }

    /// One user less; `true` when it was the last.
    pub(crate) fn drop_user(&self) -> bool {
        self.users.set(self.users.get() - 1);
        self.users.get() == 0
    }
}

/// The descriptors.
#[derive(Debug)]
pub(crate) struct Files(Guarded<BTreeMap<i32, Rc<OpenFile>>>);

/// The first three numbers belong to the standard streams of a process.
const FIRST_FD: i32 = 3;
/// Descriptors at most.
const FILES_MAX: i32 = 1 << 20;

impl Files {
    pub(crate) fn new(locks: &LockNumbers) -> Self {
        Self(Guarded::new(locks, BTreeMap::new()))
    }

    /// Gives an open file the lowest free number.
    ///
    /// # Errors
    /// EMFILE.
    pub(crate) fn install(&self, cpu: &dyn Cpu, file: Rc<OpenFile>) -> Result<i32, Errno> {
        self.0.with(cpu, |files| {
            let mut fd = FIRST_FD;
            for &taken in files.keys() {
                if taken != fd {
                    break;
                }
                fd += 1;
            }
            if fd == FILES_MAX {
                return Err(Errno::EMFILE);
            }
            files.insert(fd, file);
            Ok(fd)
        })
    }

    /// The file of a number, held once more.
    ///
    /// # Errors
    /// EBADF.
    pub(crate) fn get(&self, cpu: &dyn Cpu, fd: i32) -> Result<Rc<OpenFile>, Errno> {
        self.0.with(cpu, |files| files.get(&fd).map(OpenFile::hold)).ok_or(Errno::EBADF)
    }

    /// Takes a number away; its hold on the file goes to the caller.
    ///
    /// # Errors
    /// EBADF.
    pub(crate) fn remove(&self, cpu: &dyn Cpu, fd: i32) -> Result<Rc<OpenFile>, Errno> {
        self.0.with(cpu, |files| files.remove(&fd)).ok_or(Errno::EBADF)
    }
}
