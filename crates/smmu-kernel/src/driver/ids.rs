//! Allocator of VMIDs and ASIDs.

use bitvec::vec::BitVec;

/// Which free number is given out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum IdPolicy {
    /// The lowest one, as Linux does: a number is reused soon.
    #[default]
    FirstFit,
    /// The next one after the last that was given: a number is reused late.
    NextFit,
}

/// Numbers from 1 up; 0 is never given, it tags what has no number of its own.
#[derive(Clone, Debug)]
pub(crate) struct IdAllocator {
    used: BitVec,
    /// First fit: nothing below is free. Next fit: where the search starts.
    hint: usize,
    in_use: u32,
    policy: IdPolicy,
}

impl IdAllocator {
    /// Numbers of `bits` bits, 8 or 16.
    pub(crate) fn new(bits: u8, policy: IdPolicy) -> Self {
        let mut used = BitVec::repeat(false, 1 << bits);
        used.set(0, true);
        Self { used, hint: 1, in_use: 0, policy }
    }

    /// Takes a free number; `None` when all are used.
    pub(crate) fn allocate(&mut self) -> Option<u16> {
        let number = self.first_free(self.hint).or_else(|| self.first_free(1))?;
        self.used.set(number, true);
        self.hint = number + 1;
        self.in_use += 1;
        Some(number as u16)
    }

    /// Takes this number; `false` when it is used, reserved or too wide.
    pub(crate) fn take(&mut self, number: u16) -> bool {
        if self.is_used(number) {
            return false;
        }
        self.used.set(usize::from(number), true);
        self.in_use += 1;
        true
    }

    /// Gives a number back; `false` when it was not taken.
    pub(crate) fn free(&mut self, number: u16) -> bool {
        if number == 0 || !self.used.get(usize::from(number)).is_some_and(|used| *used) {
            return false;
        }
        self.used.set(usize::from(number), false);
        self.in_use -= 1;
        if self.policy == IdPolicy::FirstFit {
            self.hint = self.hint.min(usize::from(number));
        }
        true
    }

    /// Whether a number cannot be taken; numbers that are too wide never can.
    pub(crate) fn is_used(&self, number: u16) -> bool {
        self.used.get(usize::from(number)).is_none_or(|used| *used)
    }

    /// Numbers there are, 0 included: 2^bits.
    pub(crate) fn capacity(&self) -> u32 {
        self.used.len() as u32
    }

    /// Numbers taken.
    pub(crate) const fn in_use(&self) -> u32 {
        self.in_use
    }

    fn first_free(&self, from: usize) -> Option<usize> {
        self.used.get(from..)?.first_zero().map(|at| from + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn eight_bits_give_255_numbers_and_never_0() {
        let mut ids = IdAllocator::new(8, IdPolicy::FirstFit);
        let given: Vec<_> = std::iter::from_fn(|| ids.allocate()).collect();
        assert_eq!(given, (1..=255).collect::<Vec<u16>>());
        assert_eq!((ids.in_use(), ids.allocate()), (255, None));
        assert!(ids.free(77));
        assert_eq!((ids.allocate(), ids.allocate()), (Some(77), None));
    }

    #[test]
    fn sixteen_bits_give_65535_numbers() {
        let mut ids = IdAllocator::new(16, IdPolicy::NextFit);
        assert_eq!(std::iter::from_fn(|| ids.allocate()).count(), 65535);
        assert!(ids.free(65535));
        assert_eq!((ids.allocate(), ids.allocate()), (Some(65535), None));
    }

    #[test]
    fn a_number_is_not_freed_twice_and_a_wide_one_never_taken() {
        let mut ids = IdAllocator::new(8, IdPolicy::FirstFit);
        assert!(ids.take(9) && !ids.take(9) && !ids.take(0) && !ids.take(256));
        assert!(ids.free(9) && !ids.free(9) && !ids.free(0) && !ids.free(300));
    }

    #[test]
    fn next_fit_reuses_late_and_first_fit_soon() {
        let again = |policy| {
            let mut ids = IdAllocator::new(8, policy);
            let first = ids.allocate().unwrap();
            ids.free(first);
            ids.allocate().unwrap()
        };
        assert_eq!((again(IdPolicy::FirstFit), again(IdPolicy::NextFit)), (1, 2));
    }

    proptest! {
        #[test]
        fn a_number_in_use_is_never_given_again(
            steps in prop::collection::vec((0u8..3, 0u16..40), 1..400),
            next_fit: bool,
        ) {
            let policy = if next_fit { IdPolicy::NextFit } else { IdPolicy::FirstFit };
            let mut ids = IdAllocator::new(8, policy);
            let mut model = BTreeSet::new();
            for (step, number) in steps {
                match step {
                    0 => prop_assert!(model.insert(ids.allocate().unwrap())),
                    1 => prop_assert_eq!(ids.free(number), model.remove(&number)),
                    _ => prop_assert_eq!(ids.take(number), number != 0 && model.insert(number)),
                }
                prop_assert!(!model.contains(&0));
                prop_assert_eq!(ids.in_use() as usize, model.len());
            }
        }
    }
}
