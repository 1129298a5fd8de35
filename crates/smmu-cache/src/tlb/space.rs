//! Address spaces as the TLB sees them: interned into small numbers, with a hint of what sizes
//! to look for.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use smmu_arch::{
    AddressSpace, Asid, Attributes, EntryKind, Pa, Permissions, StreamWorld, TlbEntry, TlbScope,
    Vmid,
};

use super::placement::{Placement, Salt};
use super::words::{SIZE_MIN, tag};

/// Regions of the hint: 1 GiB each, modulo their number.
const REGIONS: u64 = 8;
const REGION_SHIFT: u32 = 30;

/// The tags of an entry, as the architecture compares them in a look-up. The order is that of
/// what TLBI commands name: world, VMID, global or ASID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SpaceTag {
    pub(super) world: StreamWorld,
    pub(super) vmid: Vmid,
    pub(super) asid: AsidTag,
    pub(super) kind: EntryKind,
}

/// For a global entry the ASET takes the place of the ASID, or joins it where global entries are
/// used in the ASID only that they were made in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum AsidTag {
    Global(bool),
    GlobalOf(Asid, bool),
    Asid(Asid),
}

impl SpaceTag {
    pub(super) fn new(space: &AddressSpace, global: bool) -> Self {
        let asid = if global { AsidTag::Global(space.aset) } else { AsidTag::Asid(space.asid) };
        Self { world: space.world, vmid: space.vmid, asid, kind: space.kind }
    }

    /// The tag of an entry that is used in its own ASID only.
    pub(super) fn in_own_asid(space: &AddressSpace, global: bool) -> Self {
        match Self::new(space, global) {
            tag @ Self { asid: AsidTag::Global(aset), .. } => {
                Self { asid: AsidTag::GlobalOf(space.asid, aset), ..tag }
            }
            tag => tag,
        }
    }

    /// Back to the values of the architecture; what the tag does not compare is 0.
    pub(super) fn address_space(&self) -> (AddressSpace, bool) {
        let (asid, aset, global) = match self.asid {
            AsidTag::Global(aset) => (Asid(0), aset, true),
            AsidTag::GlobalOf(asid, aset) => (asid, aset, true),
            AsidTag::Asid(asid) => (asid, false, false),
        };
        let space =
            AddressSpace { world: self.world, kind: self.kind, vmid: self.vmid, asid, aset };
        (space, global)
    }

    /// Whether a scope without addresses covers the entries with this tag. One that names an ASID
    /// need not cover its global entries, and does where they are used in no other.
    pub(super) fn is_covered(&self, scope: &TlbScope) -> bool {
        let example = self.example();
        let own = matches!(self.asid, AsidTag::GlobalOf(..));
        scope.covers(&example) || own && scope.covers(&TlbEntry { global: false, ..example })
    }

    /// Some entry with this tag: a scope without addresses covers it and every other one alike.
    fn example(&self) -> TlbEntry {
        let (space, global) = self.address_space();
        TlbEntry {
            space,
            global,
            input: 0,
            size_log2: SIZE_MIN as u8,
            output: Pa(0),
            permissions: Permissions::ALL,
            attributes: Attributes::DEFAULT,
            stage1: None,
            stage2: None,
        }
    }

    fn salt(&self, placement: Option<&Placement>) -> Salt {
        let asid = match self.asid {
            AsidTag::Global(_) => Asid(0),
            AsidTag::GlobalOf(asid, _) | AsidTag::Asid(asid) => asid,
        };
        placement.map_or_else(Salt::default, |placement| placement.salt(asid, self.vmid))
    }
}

impl Hash for SpaceTag {
    /// One word instead of five: every fill hashes a name.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let asid = match self.asid {
            AsidTag::Global(aset) => u64::from(aset) << 16,
            AsidTag::GlobalOf(asid, aset) => 1 << 18 | u64::from(aset) << 16 | u64::from(asid.0),
            AsidTag::Asid(asid) => 1 << 17 | u64::from(asid.0),
        };
        let stage = (self.world as u64) << 2 | self.kind as u64;
        state.write_u64(stage << 40 | u64::from(self.vmid.0) << 20 | asid);
    }
}

/// A line of the TLB that forgets nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) data: u64,
    pub(super) number: u64,
    pub(super) entry: TlbEntry,
}

/// An interned address space: what a look-up needs to know of it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Space {
    /// For each region of inputs the sizes ever filled there: bit `n` is 2^(12+n) bytes.
    hints: [AtomicU64; REGIONS as usize],
    /// Tag of page 0; the page is ORed in.
    pub(super) tag: u64,
    /// What decides about the set.
    pub(super) salt: Salt,
    /// Entries by page, in a TLB that forgets nothing; otherwise empty.
    pub(super) lines: RwLock<FxHashMap<u64, Line>>,
}

impl Space {
    pub(super) fn new(id: u32, name: &SpaceTag, placement: Option<&Placement>) -> Self {
        Self { tag: tag(id, 0), salt: name.salt(placement), ..Self::default() }
    }

    /// The sizes to look for at `input`.
    #[inline]
    pub(super) fn sizes(&self, input: u64) -> u64 {
        self.hints[(input >> REGION_SHIFT & (REGIONS - 1)) as usize].load(Ordering::Relaxed)
    }

    /// Makes look-ups find 2^`size` bytes at `input`. Called under the writers' lock.
    pub(super) fn add_size(&self, input: u64, size: u32) {
        let bit = 1 << (size - SIZE_MIN);
        let regions = if size > REGION_SHIFT { 1 << (size - REGION_SHIFT).min(3) } else { 1 };
        for region in 0..regions {
            let hint = &self.hints[(((input >> REGION_SHIFT) + region) & (REGIONS - 1)) as usize];
            hint.store(hint.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
        }
    }
}

impl Clone for Space {
    fn clone(&self) -> Self {
        Self {
            hints: self.hints.each_ref().map(|h| AtomicU64::new(h.load(Ordering::Relaxed))),
            tag: self.tag,
            salt: self.salt,
            lines: RwLock::new(self.lines.read().clone()),
        }
    }
}

/// An address space that a port looks up in, with what the TLB has worked out about it.
///
/// A port keeps it beside the configuration of its stream. It is never wrong: a look-up refreshes
/// it when the TLB has retired what it refers to, or when it belongs to another TLB.
#[derive(Clone, Debug)]
pub struct Context {
    pub(super) space: AddressSpace,
    /// Generation of the TLB in which the rest was true; 0 never is.
    pub(super) generation: u64,
    pub(super) own: Arc<Space>,
    pub(super) global: Arc<Space>,
}

impl Context {
    /// A context that no TLB has seen yet: the first look-up resolves it.
    #[must_use]
    pub fn new(space: AddressSpace) -> Self {
        let nowhere = Arc::new(Space::default());
        Self { space, generation: 0, own: nowhere.clone(), global: nowhere }
    }

    /// The address space.
    #[must_use]
    pub fn space(&self) -> &AddressSpace {
        &self.space
    }
}
