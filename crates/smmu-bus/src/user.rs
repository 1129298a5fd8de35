//! User memory: the address space of a process, as the kernel reaches into it.

use crate::Memory;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use smmu_arch::Pa;
use std::collections::BTreeMap;
use std::ops::Range;
use thiserror::Error;

const PAGE_SHIFT: u32 = 12;

/// An access to a user address that is not there: `EFAULT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no user memory at {0:#x}")]
pub struct UserFault(pub u64);

/// Contiguous physical memory that is pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pinned {
    /// First byte.
    pub pa: Pa,
    /// Size in bytes.
    pub bytes: u64,
}

/// The memory of a process, as the kernel sees it.
pub trait UserMemory {
    /// Copies from user memory (`copy_from_user`).
    ///
    /// # Errors
    /// [`UserFault`] at the first address that is not there; bytes before it were copied.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), UserFault>;

    /// Copies to user memory (`copy_to_user`).
    ///
    /// # Errors
    /// [`UserFault`] at the first address that is not there; bytes before it were copied.
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), UserFault>;

    /// Pins the pages that hold these bytes once more each, so that they stay where they are, and
    /// tells which physical memory it is: runs as long as can be, in the order of user addresses.
    ///
    /// # Errors
    /// [`UserFault`] at the first address without a physical page; then nothing is pinned.
    fn pin(&self, address: u64, bytes: u64) -> Result<Vec<Pinned>, UserFault>;

    /// Takes back one pin of each page of a run. To unpin what was never pinned is a mistake of the
    /// kernel, not of the user.
    fn unpin(&self, pinned: &Pinned);
}

/// A mapping that a process cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum UserSpaceError {
    /// Address, physical address or size is no multiple of 4 KiB, or the size is zero.
    #[error("the mapping of {bytes:#x} bytes at {address:#x} is not made of whole pages")]
    Misaligned {
        /// User address.
        address: u64,
        /// Size in bytes.
        bytes: u64,
    },
    /// The mapping reaches into the heap or past it.
    #[error("the mapping of {bytes:#x} bytes at {address:#x} does not end below the heap")]
    OutOfRange {
        /// User address.
        address: u64,
        /// Size in bytes.
        bytes: u64,
    },
    /// Some of it is mapped already.
    #[error("the mapping of {bytes:#x} bytes at {address:#x} overlaps another")]
    Overlap {
        /// User address.
        address: u64,
        /// Size in bytes.
        bytes: u64,
    },
}

/// A process: pages mapped onto the memory of a machine, and a heap of its own for the structures
/// that it hands to ioctls, which no device ever sees and which cannot be pinned.
///
/// Pages are of 4 KiB. Pins are counted for each physical page, so that a test can see one that
/// leaked; they keep nothing mapped, as a page that is pinned outlives its mapping.
#[derive(Debug)]
pub struct UserSpace<M> {
    memory: M,
    /// Mappings by first address; none touches the heap.
    mappings: RwLock<BTreeMap<u64, Mapping>>,
    heap: RwLock<Vec<u8>>,
    /// Pins by physical page number; never zero.
    pins: Mutex<FxHashMap<u64, u32>>,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    pa: Pa,
    bytes: u64,
}

/// What a user address leads to.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Memory of the machine.
    Ram(Pa),
    /// A byte of the heap, by index.
    Heap(usize),
}

impl UserSpace<()> {
    /// Address at which the heap begins. Mappings end below it.
    pub const HEAP: u64 = 0x7f00_0000_0000;
}

impl<M: Memory> UserSpace<M> {
    /// A process with nothing mapped and an empty heap.
    pub fn new(memory: M) -> Self {
        Self {
            memory,
            mappings: RwLock::default(),
            heap: RwLock::default(),
            pins: Mutex::default(),
        }
    }

    /// The memory that pages are mapped onto.
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// Maps pages from `address` on onto physical pages from `pa` on.
    ///
    /// # Errors
    /// A mapping that is empty, not of whole pages, overlaps another or reaches the heap.
    pub fn map(&self, address: u64, pa: Pa, bytes: u64) -> Result<(), UserSpaceError> {
        if bytes == 0 || !Pa(address | pa.0 | bytes).is_aligned(PAGE_SHIFT) {
            return Err(UserSpaceError::Misaligned { address, bytes });
        }
        let end = address.checked_add(bytes).filter(|&end| end <= UserSpace::HEAP);
        let end = end.ok_or(UserSpaceError::OutOfRange { address, bytes })?;
        let mut mappings = self.mappings.write();
        let below = mappings.range(..end).next_back();
        if below.is_some_and(|(&first, mapping)| first + mapping.bytes > address) {
            return Err(UserSpaceError::Overlap { address, bytes });
        }
        mappings.insert(address, Mapping { pa, bytes });
        Ok(())
    }

    /// Unmaps every page that holds one of these bytes (`munmap`). Pins of them stay.
    pub fn unmap(&self, address: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let first = Pa(address).align_down(PAGE_SHIFT).0;
        let end = address.saturating_add(bytes).checked_next_multiple_of(1 << PAGE_SHIFT);
        let end = end.unwrap_or(UserSpace::HEAP);
        let mut mappings = self.mappings.write();
        while let Some((&at, &Mapping { pa, bytes: length })) = mappings.range(..end).next_back()
            && at + length > first
        {
            mappings.remove(&at);
            if at + length > end {
                let pa = pa.offset(end - at);
                mappings.insert(end, Mapping { pa, bytes: at + length - end });
            }
            if at < first {
                mappings.insert(at, Mapping { pa, bytes: first - at });
            }
        }
    }

    /// Puts bytes on the heap, at an address aligned to 8 bytes, and gives it.
    pub fn place(&self, bytes: &[u8]) -> u64 {
        let mut heap = self.heap.write();
        let at = heap.len().next_multiple_of(8);
        heap.resize(at, 0);
        heap.extend_from_slice(bytes);
        UserSpace::HEAP + at as u64
    }

    /// Empties the heap: nothing that was placed is there any more.
    pub fn empty_heap(&self) {
        self.heap.write().clear();
    }

    /// Number of physical pages that are pinned at least once.
    pub fn pinned_pages(&self) -> usize {
        self.pins.lock().len()
    }

    /// How many times the page that contains `pa` is pinned.
    pub fn pin_count(&self, pa: Pa) -> u32 {
        self.pins.lock().get(&(pa.0 >> PAGE_SHIFT)).copied().unwrap_or(0)
    }

    /// Where `address` leads, and how many bytes lie contiguously from there on: at least one.
    fn find(&self, address: u64) -> Result<(Place, u64), UserFault> {
        let (place, bytes) = match address.checked_sub(UserSpace::HEAP) {
            Some(at) => {
                let length = self.heap.read().len() as u64;
                (Place::Heap(at as usize), length.saturating_sub(at))
            }
            None => {
                let mappings = self.mappings.read();
                let below = mappings.range(..=address).next_back().ok_or(UserFault(address))?;
                let (&first, mapping) = below;
                let skip = address - first;
                (Place::Ram(mapping.pa.offset(skip)), mapping.bytes.saturating_sub(skip))
            }
        };
        if bytes == 0 { Err(UserFault(address)) } else { Ok((place, bytes)) }
    }

    /// Calls `visit(address, place, bytes)` for each contiguous piece of user memory, in order.
    fn each_piece(
        &self,
        address: u64,
        bytes: u64,
        mut visit: impl FnMut(u64, Place, u64) -> Result<(), UserFault>,
    ) -> Result<(), UserFault> {
        let mut done = 0;
        while done < bytes {
            let at = address.checked_add(done).ok_or(UserFault(u64::MAX))?;
            let (place, there) = self.find(at)?;
            let now = there.min(bytes - done);
            visit(at, place, now)?;
            done += now;
        }
        Ok(())
    }

    /// Physical memory from `address` on, merged into runs.
    fn runs(&self, address: u64, bytes: u64) -> Result<Vec<Pinned>, UserFault> {
        let mut runs: Vec<Pinned> = Vec::new();
        self.each_piece(address, bytes, |at, place, bytes| {
            let Place::Ram(pa) = place else { return Err(UserFault(at)) };
            match runs.last_mut() {
                Some(run) if run.pa.offset(run.bytes) == pa => run.bytes += bytes,
                _ => runs.push(Pinned { pa, bytes }),
            }
            Ok(())
        })?;
        Ok(runs)
    }
}

impl<M: Memory> UserMemory for UserSpace<M> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), UserFault> {
        let mut rest = &mut *bytes;
        self.each_piece(address, rest.len() as u64, |at, place, now| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(now as usize);
            rest = after;
            let copied = match place {
                Place::Ram(pa) => self.memory.read_bytes(pa, part).ok(),
                Place::Heap(index) => {
                    let heap = self.heap.read();
                    heap.get(index..index + part.len()).map(|there| part.copy_from_slice(there))
                }
            };
            copied.ok_or(UserFault(at))
        })
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), UserFault> {
        let mut rest = bytes;
        self.each_piece(address, rest.len() as u64, |at, place, now| {
            let (part, after) = rest.split_at(now as usize);
            rest = after;
            let copied = match place {
                Place::Ram(pa) => self.memory.write_bytes(pa, part).ok(),
                Place::Heap(index) => {
                    let mut heap = self.heap.write();
                    heap.get_mut(index..index + now as usize)
                        .map(|there| there.copy_from_slice(part))
                }
            };
            copied.ok_or(UserFault(at))
        })
    }

    fn pin(&self, address: u64, bytes: u64) -> Result<Vec<Pinned>, UserFault> {
        let runs = self.runs(address, bytes)?;
        let mut pins = self.pins.lock();
        for page in runs.iter().flat_map(pages) {
            *pins.entry(page).or_default() += 1;
        }
        Ok(runs)
    }

    fn unpin(&self, pinned: &Pinned) {
        let mut pins = self.pins.lock();
        for page in pages(pinned) {
            let Some(count) = pins.get_mut(&page) else {
                panic!("the page at {:#x} is unpinned more often than pinned", page << PAGE_SHIFT)
            };
            *count -= 1;
            if *count == 0 {
                pins.remove(&page);
            }
        }
    }
}

/// Numbers of the physical pages that a run touches.
fn pages(run: &Pinned) -> Range<u64> {
    let first = run.pa.0 >> PAGE_SHIFT;
    match run.bytes.checked_sub(1) {
        Some(more) => first..(run.pa.0.saturating_add(more) >> PAGE_SHIFT) + 1,
        None => first..first,
    }
}
