//! Sparse random access memory.

use crate::{Aborted, Memory};
use smmu_arch::Pa;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// log2 of the alignment of regions: the smallest translation granule.
const PAGE_SHIFT: u32 = 12;

/// A memory map that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MemoryMapError {
    /// A region has no bytes.
    #[error("the region at {first} is empty")]
    Empty {
        /// First byte.
        first: Pa,
    },
    /// Start or size of a region is no multiple of 4 KiB.
    #[error("the region at {first} of {bytes:#x} bytes is not aligned to 4 KiB")]
    Misaligned {
        /// First byte.
        first: Pa,
        /// Size in bytes.
        bytes: u64,
    },
    /// A region goes on past the last address.
    #[error("the region at {first} of {bytes:#x} bytes does not end within 64 address bits")]
    AddressOverflow {
        /// First byte.
        first: Pa,
        /// Size in bytes.
        bytes: u64,
    },
    /// Two regions share an address.
    #[error("the regions at {lower} and {upper} overlap")]
    Overlap {
        /// First byte of the lower region.
        lower: Pa,
        /// First byte of the upper region.
        upper: Pa,
    },
    /// The host cannot reserve a region.
    #[error("the host cannot reserve {bytes:#x} bytes for the region at {first}")]
    TooLarge {
        /// First byte.
        first: Pa,
        /// Size in bytes.
        bytes: u64,
    },
}

/// Sparse random access memory: regions of words, zero at first. Pages that are never touched cost
/// the host nothing, so that regions may be as large as those of a real machine.
///
/// Loads acquire and stores release. The memory of a machine must carry order between its actors,
/// as these share nothing else when they run on threads of their own: who sees the flag sees what
/// was written before it. On hosts with a strong memory model this is free, and hides nothing that
/// the model promises: which orders *software* may rely on is for the interleaver to try, not for
/// the host to show by chance. Compare-and-swap is sequentially consistent, because queues that
/// software builds on it assume one order of all of them.
pub struct Ram {
    /// The largest region, which is tried first; empty if there is none.
    main: Region,
    /// All others, in address order.
    others: Box<[Region]>,
}

impl Ram {
    /// Memory that answers in the given regions (first byte, size in bytes) and nowhere else.
    ///
    /// # Errors
    /// A region that is empty, not aligned to 4 KiB, too large for the host or the address space,
    /// or overlaps another.
    pub fn new(regions: impl IntoIterator<Item = (Pa, u64)>) -> Result<Self, MemoryMapError> {
        let mut map: Vec<_> = regions.into_iter().collect();
        map.sort_unstable();
        check(&map)?;
        let mut others = map
            .into_iter()
            .map(|(first, bytes)| Region::new(first, bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let largest = (0..others.len()).max_by_key(|&index| others[index].words.len());
        let main = largest.map_or_else(Region::default, |index| others.remove(index));
        Ok(Self { main, others: others.into() })
    }

    /// First byte and size in bytes of every region, in address order.
    #[must_use]
    pub fn regions(&self) -> Vec<(Pa, u64)> {
        let mut map: Vec<_> = self.others.iter().map(Region::extent).collect();
        if !self.main.words.is_empty() {
            map.push(self.main.extent());
        }
        map.sort_unstable();
        map
    }

    /// The word that contains `pa`.
    #[inline]
    fn word(&self, pa: Pa) -> Result<&AtomicU64, Aborted> {
        match self.main.word(pa) {
            Some(word) => Ok(word),
            None => self.other_word(pa),
        }
    }

    fn other_word(&self, pa: Pa) -> Result<&AtomicU64, Aborted> {
        let above = self.others.partition_point(|region| region.first <= pa);
        let region = above.checked_sub(1).map(|index| &self.others[index]);
        region.and_then(|region| region.word(pa)).ok_or(Aborted(pa))
    }
}

impl Memory for Ram {
    #[inline]
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        Ok(self.word(pa)?.load(Ordering::Acquire))
    }

    #[inline]
    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.word(pa)?.store(value, Ordering::Release);
        Ok(())
    }

    #[inline]
    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        let swapped = self.word(pa)?.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst);
        Ok(swapped.unwrap_or_else(|found| found))
    }

    #[inline]
    fn read_words<const N: usize>(&self, pa: Pa) -> Result<[u64; N], Aborted> {
        let mut words = [0; N];
        if let Some(span) = self.main.span(pa, N) {
            for (word, cell) in words.iter_mut().zip(span) {
                *word = cell.load(Ordering::Acquire);
            }
        } else {
            for (at, word) in (0u64..).step_by(8).zip(&mut words) {
                *word = self.read_word(pa.offset(at))?;
            }
        }
        Ok(words)
    }
}

/// A copy of the content. It reads every word once, which is felt from some GiB on, and keeps pages
/// free that hold only zeros.
impl Clone for Ram {
    fn clone(&self) -> Self {
        Self { main: self.main.clone(), others: self.others.clone() }
    }
}

impl fmt::Debug for Ram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ram").field(&self.regions()).finish()
    }
}

#[derive(Default)]
struct Region {
    first: Pa,
    words: Box<[AtomicU64]>,
}

impl Region {
    fn new(first: Pa, bytes: u64) -> Result<Self, MemoryMapError> {
        let too_large = MemoryMapError::TooLarge { first, bytes };
        let words = usize::try_from(bytes / 8).map_err(|_| too_large)?;
        let words = bytemuck::allocation::try_zeroed_slice_box(words).map_err(|()| too_large)?;
        Ok(Self { first, words })
    }

    fn extent(&self) -> (Pa, u64) {
        (self.first, self.words.len() as u64 * 8)
    }

    /// Index of the word that contains `pa`; beyond the end of the region for addresses outside.
    #[inline]
    fn index(&self, pa: Pa) -> usize {
        usize::try_from(pa.0.wrapping_sub(self.first.0) / 8).unwrap_or(usize::MAX)
    }

    #[inline]
    fn word(&self, pa: Pa) -> Option<&AtomicU64> {
        self.words.get(self.index(pa))
    }

    #[inline]
    fn span(&self, pa: Pa, words: usize) -> Option<&[AtomicU64]> {
        self.words.get(self.index(pa)..)?.get(..words)
    }
}

impl Clone for Region {
    fn clone(&self) -> Self {
        let words = bytemuck::zeroed_slice_box::<AtomicU64>(self.words.len());
        for (copy, word) in words.iter().zip(&self.words) {
            // A store of zero would make the host give a page for it.
            match word.load(Ordering::Acquire) {
                0 => {}
                value => copy.store(value, Ordering::Relaxed),
            }
        }
        Self { first: self.first, words }
    }
}

/// Checks a memory map that is in address order.
fn check(map: &[(Pa, u64)]) -> Result<(), MemoryMapError> {
    for &(first, bytes) in map {
        if bytes == 0 {
            return Err(MemoryMapError::Empty { first });
        }
        if !Pa(first.0 | bytes).is_aligned(PAGE_SHIFT) {
            return Err(MemoryMapError::Misaligned { first, bytes });
        }
        if first.0.checked_add(bytes - 1).is_none() {
            return Err(MemoryMapError::AddressOverflow { first, bytes });
        }
    }
    for pair in map.windows(2) {
        let ((lower, bytes), (upper, _)) = (pair[0], pair[1]);
        if lower.0 + (bytes - 1) >= upper.0 {
            return Err(MemoryMapError::Overlap { lower, upper });
        }
    }
    Ok(())
}
