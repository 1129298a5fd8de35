//! Memory that is written behind our back, and what was seen of it.

use parking_lot::Mutex;
use smmu_arch::Pa;
use smmu_bus::{Aborted, Memory};
use std::collections::BTreeMap;

const PAGE_LOG2: u32 = 12;
const WORDS: usize = 512;

/// Memory of which every word that was ever read here is remembered.
///
/// It reads as it was when last seen: [`Seen::refresh`] looks at a word anew, and
/// [`Seen::compare`] at all of them. What has changed is told to whoever asked.
#[derive(Debug)]
pub struct Seen<M> {
    memory: M,
    /// In address order, so that changes found together are told in one order.
    pages: Mutex<BTreeMap<u64, Box<Page>>>,
}

/// Words of a page, and which of them are known.
#[derive(Debug)]
struct Page {
    words: [u64; WORDS],
    known: [u64; WORDS / 64],
}

impl Page {
    fn known_mut(&mut self, index: usize) -> (&mut u64, bool) {
        let (group, bit) = (&mut self.known[index / 64], 1 << (index % 64));
        let known = *group & bit != 0;
        *group |= bit;
        (&mut self.words[index], known)
    }
}

impl<M: Memory> Seen<M> {
    /// Memory of which nothing was seen yet.
    pub const fn new(memory: M) -> Self {
        Self { memory, pages: Mutex::new(BTreeMap::new()) }
    }

    /// The memory itself.
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// Reads a word as it is now. If it is not what was last seen, `changed` is told of the address,
    /// the old word and the new one.
    ///
    /// # Errors
    /// [`Aborted`] where nothing answers.
    pub fn refresh(&self, pa: Pa, changed: impl FnOnce(Pa, u64, u64)) -> Result<u64, Aborted> {
        let pa = pa.align_down(3);
        let now = self.memory.read_word(pa)?;
        let old = self.replace(pa, now);
        if let Some(old) = old.filter(|&old| old != now) {
            changed(pa, old, now);
        }
        Ok(now)
    }

    /// Looks at every word that was ever seen, and tells of those that have changed.
    pub fn compare(&self, mut changed: impl FnMut(Pa, u64, u64)) {
        for (&number, page) in self.pages.lock().iter_mut() {
            let Page { words, known } = &mut **page;
            for (group, &known) in known.iter().enumerate() {
                let mut rest = known;
                while rest != 0 {
                    let index = group * 64 + rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    let pa = Pa((number << PAGE_LOG2) + index as u64 * 8);
                    // Memory that is gone keeps its last words.
                    let Ok(now) = self.memory.read_word(pa) else { continue };
                    let old = std::mem::replace(&mut words[index], now);
                    if old != now {
                        changed(pa, old, now);
                    }
                }
            }
        }
    }

    /// What was seen last, which is `now` from here on; `None` if nothing was.
    fn replace(&self, pa: Pa, now: u64) -> Option<u64> {
        let (number, index) = place(pa);
        let mut pages = self.pages.lock();
        let fresh = || Box::new(Page { words: [0; WORDS], known: [0; WORDS / 64] });
        let (word, known) = pages.entry(number).or_insert_with(fresh).known_mut(index);
        let old = std::mem::replace(word, now);
        known.then_some(old)
    }

    fn last(&self, pa: Pa) -> Option<u64> {
        let (number, index) = place(pa);
        let pages = self.pages.lock();
        let page = pages.get(&number)?;
        (page.known[index / 64] >> (index % 64) & 1 == 1).then(|| page.words[index])
    }
}

fn place(pa: Pa) -> (u64, usize) {
    (pa.0 >> PAGE_LOG2, (pa.0 >> 3) as usize % WORDS)
}

/// The words as last seen. Who only judges does not write.
impl<M: Memory> Memory for Seen<M> {
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        match self.last(pa) {
            Some(word) => Ok(word),
            None => self.refresh(pa, |_, _, _| ()),
        }
    }

    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.memory.write_word(pa, value)
    }

    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        self.memory.compare_and_swap(pa, old, new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_bus::Ram;

    #[test]
    fn a_word_reads_as_it_was_seen_until_it_is_looked_at_anew() {
        let seen = Seen::new(Ram::new([(Pa(0), 0x4000)]).unwrap());
        assert_eq!(seen.read_word(Pa(0x1008)), Ok(0));
        seen.memory().write_word(Pa(0x1008), 7).unwrap();
        seen.memory().write_word(Pa(0x2000), 8).unwrap();
        assert_eq!(seen.read_word(Pa(0x1008)), Ok(0));
        let mut told = Vec::new();
        seen.compare(|pa, old, new| told.push((pa.0, old, new)));
        assert_eq!(told, [(0x1008, 0, 7)], "the other word was never looked at");
        assert_eq!(seen.read_word(Pa(0x1008)), Ok(7));
        seen.memory().write_word(Pa(0x1008), 9).unwrap();
        assert_eq!(seen.refresh(Pa(0x100c), |pa, old, new| told.push((pa.0, old, new))), Ok(9));
        assert_eq!(told[1], (0x1008, 7, 9));
        assert!(seen.read_word(Pa(0x8000)).is_err());
    }
}
