//! The objects behind an iommufd, by number, and who uses whom.

use super::hwpt::{Nested, Paging};
use super::ioas::Ioas;
use super::veventq::Veventq;
use super::viommu::{Vdevice, Viommu};
use crate::Errno;
use smmu_arch::{SmmuId, StreamId};
use std::collections::BTreeMap;

/// A device that was bound.
#[derive(Debug)]
pub(super) struct Device {
    /// Its group, by index.
    pub(super) group: usize,
    pub(super) smmu: SmmuId,
    /// Its own streams; its group may have more.
    pub(super) streams: Vec<StreamId>,
    pub(super) vdevice: Option<u32>,
    /// Who is told of its events, and by which name: set while its group is attached to a nested
    /// HWPT.
    pub(super) reports_to: Option<(u32, StreamId)>,
}

/// An object.
#[derive(Debug)]
pub(super) enum Object {
    Device(Device),
    Ioas(Ioas),
    Paging(Paging),
    Nested(Nested),
    Viommu(Viommu),
    Vdevice(Vdevice),
    Veventq(Veventq),
}

/// The objects. Numbers start at 1; the lowest free one is given.
#[derive(Debug, Default)]
pub(super) struct Objects {
    slots: BTreeMap<u32, Slot>,
    /// Every number up to this one is given.
    given: u32,
}

#[derive(Debug)]
enum Slot {
    Live {
        /// Other objects, devices and open files that need it.
        users: u32,
        object: Object,
    },
    /// A vDEVICE that went with its device: the number is not given again until it is destroyed.
    Tombstone,
}

macro_rules! accessors {
    ($($get:ident $get_mut:ident $kind:ident;)*) => {
        impl Objects {$(
            /// The object of this number.
            ///
            /// # Errors
            /// ENOENT: there is none, or it is of another kind.
            pub(super) fn $get(&self, id: u32) -> Result<&$kind, Errno> {
                match self.get(id)? {
                    Object::$kind(object) => Ok(object),
                    _ => Err(Errno::ENOENT),
                }
            }

            /// The object of this number, to be changed.
            ///
            /// # Errors
            /// ENOENT: there is none, or it is of another kind.
            #[allow(dead_code, reason = "not every kind of object is changed")]
            pub(super) fn $get_mut(&mut self, id: u32) -> Result<&mut $kind, Errno> {
                match self.slots.get_mut(&id) {
                    Some(Slot::Live { object: Object::$kind(object), .. }) => Ok(object),
                    _ => Err(Errno::ENOENT),
                }
            }
        )*}
    };
}

accessors! {
    device device_mut Device;
    ioas ioas_mut Ioas;
    paging paging_mut Paging;
    viommu viommu_mut Viommu;
    vdevice vdevice_mut Vdevice;
    veventq veventq_mut Veventq;
}

impl Objects {
    /// Gives an object a number.
    pub(super) fn insert(&mut self, object: Object) -> u32 {
        let mut id = self.given + 1;
        while self.slots.contains_key(&id) {
            id += 1;
        }
        self.given = id;
        self.slots.insert(id, Slot::Live { users: 0, object });
        id
    }

    /// The object of this number, of whatever kind.
    ///
    /// # Errors
    /// ENOENT.
    pub(super) fn get(&self, id: u32) -> Result<&Object, Errno> {
        match self.slots.get(&id) {
            Some(Slot::Live { object, .. }) => Ok(object),
            Some(Slot::Tombstone) | None => Err(Errno::ENOENT),
        }
    }

    /// The devices of a group, by its index, that were bound.
    pub(super) fn devices_of(&self, group: usize) -> Vec<u32> {
        let live = self.slots.iter().filter_map(|(&id, slot)| match slot {
            Slot::Live { object: Object::Device(device), .. } => Some((id, device.group)),
            _ => None,
        });
        live.filter(|&(_, of)| of == group).map(|(id, _)| id).collect()
    }

    /// One user more of an object that is there.
    pub(super) fn hold(&mut self, id: u32) {
        if let Some(Slot::Live { users, .. }) = self.slots.get_mut(&id) {
            *users += 1;
        }
    }

    /// One user less; `true` if it was the last.
    pub(super) fn release(&mut self, id: u32) -> bool {
        match self.slots.get_mut(&id) {
            Some(Slot::Live { users, .. }) => {
                *users -= 1;
                *users == 0
            }
            _ => false,
        }
    }

    /// Takes an object out that nobody uses.
    ///
    /// # Errors
    /// ENOENT; EBUSY.
    pub(super) fn remove(&mut self, id: u32) -> Result<Object, Errno> {
        match self.slots.get(&id) {
            Some(Slot::Live { users: 0, .. }) => {}
            Some(Slot::Live { .. }) => return Err(Errno::EBUSY),
            Some(Slot::Tombstone) => {
                self.given = self.given.min(id - 1);
                self.slots.remove(&id);
                return Err(Errno::ENOENT);
            }
            None => return Err(Errno::ENOENT),
        }
        self.given = self.given.min(id - 1);
        match self.slots.remove(&id) {
            Some(Slot::Live { object, .. }) => Ok(object),
            _ => Err(Errno::ENOENT),
        }
    }

    /// Keeps the number of an object that was removed from being given again.
    pub(super) fn bury(&mut self, id: u32) {
        self.slots.insert(id, Slot::Tombstone);
    }

    /// There is no object.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// An object that nobody uses, if there is one.
    pub(super) fn unused(&self) -> Option<u32> {
        let unused = |slot: &Slot| matches!(slot, Slot::Live { users: 0, .. });
        self.slots.iter().find_map(|(&id, slot)| unused(slot).then_some(id))
    }
}
