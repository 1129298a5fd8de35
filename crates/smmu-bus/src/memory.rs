//! Physical memory.

use smmu_arch::Pa;
use std::rc::Rc;
use std::sync::Arc;
use thiserror::Error;

/// An access that no memory answered: an external abort.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("external abort at {0}")]
pub struct Aborted(pub Pa);

/// Physical memory as an SMMU, a CPU or a master sees it.
///
/// One aligned word of 8 bytes is single-copy atomic, and nothing more is. Words are little-endian
/// in memory and numbers here.
pub trait Memory {
    /// Reads the word that contains `pa`; low three address bits are ignored.
    ///
    /// # Errors
    /// [`Aborted`] where nothing answers.
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted>;

    /// Writes the word that contains `pa`.
    ///
    /// # Errors
    /// [`Aborted`] where nothing answers.
    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted>;

    /// Replaces the word that contains `pa` if it is `old`; gives the value found.
    ///
    /// # Errors
    /// [`Aborted`] where nothing answers.
    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted>;

    /// Reads `N` words from `pa` on.
    ///
    /// # Errors
    /// [`Aborted`] at the first word that does not answer.
    fn read_words<const N: usize>(&self, pa: Pa) -> Result<[u64; N], Aborted>
    where
        Self: Sized,
    {
        let mut words = [0; N];
        for (at, word) in (0u64..).step_by(8).zip(&mut words) {
            *word = self.read_word(pa.offset(at))?;
        }
        Ok(words)
    }

    /// Writes the words from `pa` on, in order.
    ///
    /// # Errors
    /// [`Aborted`] at the first word that does not answer; earlier ones are written.
    fn write_words(&self, pa: Pa, words: &[u64]) -> Result<(), Aborted> {
        (0u64..)
            .step_by(8)
            .zip(words)
            .try_for_each(|(at, &word)| self.write_word(pa.offset(at), word))
    }

    /// Replaces the bits of `mask` in the word that contains `pa`.
    ///
    /// # Errors
    /// [`Aborted`] where nothing answers.
    fn write_masked(&self, pa: Pa, value: u64, mask: u64) -> Result<(), Aborted> {
        if mask == u64::MAX {
            return self.write_word(pa, value);
        }
        let mut old = self.read_word(pa)?;
        loop {
            let new = old & !mask | value & mask;
            let found = self.compare_and_swap(pa, old, new)?;
            if found == old {
                return Ok(());
            }
            old = found;
        }
    }

    /// Reads bytes from any address on.
    ///
    /// # Errors
    /// [`Aborted`] at the first word that does not answer.
    fn read_bytes(&self, pa: Pa, bytes: &mut [u8]) -> Result<(), Aborted> {
        let mut at = pa;
        let mut rest = bytes;
        while !rest.is_empty() {
            let skip = (at.0 & 7) as usize;
            let now = rest.len().min(8 - skip);
            let word = self.read_word(at)?.to_le_bytes();
            let (head, tail) = rest.split_at_mut(now);
            head.copy_from_slice(&word[skip..skip + now]);
            rest = tail;
            at = at.offset(now as u64);
        }
        Ok(())
    }

    /// Writes bytes from any address on, a word at a time.
    ///
    /// # Errors
    /// [`Aborted`] at the first word that does not answer; earlier ones are written.
    fn write_bytes(&self, pa: Pa, bytes: &[u8]) -> Result<(), Aborted> {
        let mut at = pa;
        let mut rest = bytes;
        while !rest.is_empty() {
            let skip = (at.0 & 7) as usize;
            let now = rest.len().min(8 - skip);
            let (head, tail) = rest.split_at(now);
            let (mut value, mut mask) = ([0; 8], [0; 8]);
            value[skip..skip + now].copy_from_slice(head);
            mask[skip..skip + now].fill(0xff);
            self.write_masked(at, u64::from_le_bytes(value), u64::from_le_bytes(mask))?;
            rest = tail;
            at = at.offset(now as u64);
        }
        Ok(())
    }
}

macro_rules! forward_through {
    ($($pointer:ty),*) => {$(
        impl<M: Memory + ?Sized> Memory for $pointer {
            #[inline]
            fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
                (**self).read_word(pa)
            }

            #[inline]
            fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
                (**self).write_word(pa, value)
            }

            #[inline]
            fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
                (**self).compare_and_swap(pa, old, new)
            }
        }
    )*};
}

forward_through!(&M, Box<M>, Rc<M>, Arc<M>);
