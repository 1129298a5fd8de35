//! The memory of a replay.

use smmu_arch::Pa;
use smmu_bus::{Aborted, Memory};
use std::cell::RefCell;
use std::collections::HashMap;

/// First byte of RAM.
const FIRST: u64 = 0x4000_0000;

/// Bytes of RAM: 8 GiB.
const SIZE: u64 = 8 << 30;

/// log2 of the bytes that come into being at once.
const PAGE_SHIFT: u32 = 12;

type Page = Box<[u64; 512]>;

/// RAM of 8 GiB at `0x4000_0000`; nothing answers elsewhere.
///
/// Every case has one of its own, and many run at once: so this one reserves nothing of the host,
/// and a page exists from the first store to it that is not zero.
#[derive(Debug, Default)]
pub(super) struct CaseMemory(RefCell<HashMap<u64, Page>>);

impl CaseMemory {
    /// Stores bytes as a CPU does: what falls where nothing answers is lost.
    pub(super) fn store(&self, pa: u64, bytes: &[u8]) {
        let mut at = Pa(pa);
        for part in split_at_words(pa, bytes) {
            let _ = self.write_bytes(at, part);
            at = Pa(at.0.wrapping_add(part.len() as u64));
        }
    }

    /// Loads bytes; none if nothing answers at one of them.
    pub(super) fn load(&self, pa: Pa, bytes: usize) -> Option<Vec<u8>> {
        let mut loaded = vec![0; bytes];
        pa.0.checked_add(bytes as u64)?;
        self.read_bytes(pa, &mut loaded).ok().map(|()| loaded)
    }

    fn update(&self, pa: Pa, change: impl FnOnce(u64) -> u64) -> Result<u64, Aborted> {
        let (page, word) = place(pa)?;
        let mut pages = self.0.borrow_mut();
        let old = pages.get(&page).map_or(0, |words| words[word]);
        let new = change(old);
        if new != old {
            pages.entry(page).or_insert_with(|| Box::new([0; 512]))[word] = new;
        }
        Ok(old)
    }
}

impl Memory for CaseMemory {
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        let (page, word) = place(pa)?;
        Ok(self.0.borrow().get(&page).map_or(0, |words| words[word]))
    }

    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.update(pa, |_| value).map(|_| ())
    }

    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        self.update(pa, |found| if found == old { new } else { found })
    }
}

/// Page number and index of the word in it.
fn place(pa: Pa) -> Result<(u64, usize), Aborted> {
    let offset = pa.0.checked_sub(FIRST).filter(|&offset| offset < SIZE).ok_or(Aborted(pa))?;
    Ok((offset >> PAGE_SHIFT, (offset >> 3) as usize % 512))
}

/// The bytes, cut where one word of memory ends.
fn split_at_words(pa: u64, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (head, rest) = bytes.split_at(bytes.len().min((pa.wrapping_neg() & 7) as usize));
    std::iter::once(head).chain(rest.chunks(8)).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_answers_from_its_first_word_to_its_last_and_nowhere_else() {
        let memory = CaseMemory::default();
        for (pa, answers) in [
            (0, false),
            (0x3fff_fff8, false),
            (0x4000_0000, true),
            (0x2_3fff_fff8, true),
            (0x2_4000_0000, false),
            (0x20_0000_0000, false),
            (u64::MAX - 7, false),
        ] {
            assert_eq!(memory.read_word(Pa(pa)).is_ok(), answers, "{pa:#x}");
            assert_eq!(memory.write_word(Pa(pa), 1).is_ok(), answers, "{pa:#x}");
        }
    }

    #[test]
    fn a_store_over_the_edge_of_ram_keeps_what_is_inside() {
        let memory = CaseMemory::default();
        memory.store(0x3fff_fffd, &[1, 2, 3, 4, 5]);
        assert_eq!(memory.read_word(Pa(0x4000_0000)), Ok(0x0504));
        memory.store(u64::MAX - 1, &[1, 2, 3, 4]);
        assert_eq!(memory.load(Pa(0x3fff_fffe), 4), None);
        assert_eq!(memory.load(Pa(u64::MAX), 4), None);
        assert_eq!(memory.load(Pa(0x4000_0001), 1), Some(vec![5]));
    }
}
